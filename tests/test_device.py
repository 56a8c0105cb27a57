"""Scoring on a GPU: tested on a real one where there is one, else on devices and shapes of tensors without data."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from tests.builders import read_recording, write_sound
from whalescan import load_model
from whalescan.core import FloatArray, WindowScores
from whalescan.detector import device as device_module
from whalescan.detector.device import DeviceQueue, to_device
from whalescan.detector.glancing import GlancingScorer, load_scorer
from whalescan.detector.model_file import load_glance
from whalescan.detector.scorer import Scorer
from whalescan.engine import chunking
from whalescan.engine.process_settings import configure_for_scoring
from whalescan.training.simulation import SimulationOptions, simulate_soundscape

pytestmark = pytest.mark.slow

CPU, META, GPU = torch.device("cpu"), torch.device("meta"), torch.device("cuda", 0)
NEEDS_GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))
DEVICES = ["cpu", NEEDS_GPU]
BATCH_SIZE = 64


@pytest.fixture(scope="module")
def sound() -> FloatArray:
    """Three minutes with calls: five blocks, the last one short."""
    return simulate_soundscape(2000, SimulationOptions(minutes=3, calls_per_hour=200, seed=7)).samples.astype(np.float32)


@pytest.fixture(scope="module", params=DEVICES)
def scorer(request: pytest.FixtureRequest) -> GlancingScorer:
    """The default model on each device."""
    if request.param == "cuda":
        configure_for_scoring()  # products on several streams are repeatable
    found = load_scorer(load_model(), request.param, BATCH_SIZE)
    assert isinstance(found, GlancingScorer)
    return found


def equal(first: WindowScores, second: WindowScores) -> bool:
    return all(
        np.array_equal(getattr(first, name), getattr(second, name), equal_nan=True)
        for name in ("scores", "boxes", "complexity")
    )


# On each device


@pytest.mark.parametrize("device", [NEEDS_GPU])
@pytest.mark.parametrize("exact", [True, False])
def test_a_gpu_gives_the_scores_of_a_processor_within_a_hundredth(device: str, exact: bool, sound: FloatArray) -> None:
    grid = load_model().spec.grid(0.5)
    n = grid.n_windows(len(sound))
    on_cpu, on_gpu = (load_scorer(load_model(), name, BATCH_SIZE, exact).score(sound, grid, n) for name in ("cpu", device))
    np.testing.assert_allclose(on_gpu.scores, on_cpu.scores, atol=0.01)
    np.testing.assert_allclose(on_gpu.complexity, on_cpu.complexity, atol=0.01)


def test_parallel_threads_give_identical_scores(scorer: GlancingScorer, sound: FloatArray) -> None:
    grid = scorer.spec.grid(0.5)
    n = grid.n_windows(len(sound))
    alone = scorer.score(sound, grid, n)
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda _: scorer.score(sound, grid, n), range(4)))
    assert all(equal(scored, alone) for scored in together)


def test_chunks_of_whole_batches_give_identical_scores(scorer: GlancingScorer, sound: FloatArray, tmp_path: Path) -> None:
    grid = scorer.spec.grid(0.5)
    whole = scorer.score(sound, grid, grid.n_windows(len(sound)))
    has_box = np.isfinite(whole.boxes[:, 0])
    assert 0 < has_box.mean() < 1
    recording = read_recording(write_sound(tmp_path / "recording.wav", sound, subtype="FLOAT"))
    margin_samples, step = 2560, 3 * 80  # BATCH_SIZE windows of 2 s are the audio of three blocks
    parts = []
    for chunk in chunking.split_recording(recording, 1, grid, step):
        begin, end = chunk.read_span(grid, margin_samples)
        first = chunk.scored_span(grid)[0] - begin
        parts.append(scorer.score(sound[begin:end], grid, chunk.n_windows, first_sample=first))
    assert len(parts) == 2
    assert equal(WindowScores.join(parts), whole)


def test_batch_size_changes_scores_by_less_than_a_hundredth(scorer: GlancingScorer, sound: FloatArray) -> None:
    grid = scorer.spec.grid(0.25)
    n = grid.n_windows(len(sound))
    other = load_scorer(load_model(), scorer._device.type, 4).score(sound, grid, n)
    np.testing.assert_allclose(scorer.score(sound, grid, n).scores, other.scores, atol=0.01)


# Without a GPU


def move_to_fake_gpu(module: nn.Module, mode: FakeTensorMode) -> None:
    """Move the weights of a module to a fake GPU, where tensors have a device and a shape, but no data."""
    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is not None:
                part._parameters[name] = nn.Parameter(FakeTensor(mode, weight.data, GPU), requires_grad=False)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = FakeTensor(mode, buffer, GPU)


@pytest.fixture
def fake_gpu_scorers() -> Iterator[tuple[Scorer, GlancingScorer]]:
    """The default model on a fake GPU; operations on tensors of two devices fail there as on a real one."""
    model = load_model()
    scorer = Scorer(model, META, BATCH_SIZE)
    glance = load_glance(model)
    assert glance is not None
    glancing = GlancingScorer(scorer, glance)
    mode = FakeTensorMode()
    for module in (scorer.detector, glancing._glance):
        move_to_fake_gpu(module, mode)
    scorer.device = glancing._device = GPU
    with mode, torch.inference_mode():
        yield scorer, glancing


def test_windows_are_scored_on_the_device(fake_gpu_scorers: tuple[Scorer, GlancingScorer]) -> None:
    power, logits, measures = fake_gpu_scorers[0].classify(torch.empty(7, 4000, device=GPU))
    assert [tuple(values.shape) for values in (power, logits, measures)] == [(7, 64, 94), (7, 1), (7, 4)]
    assert {values.device for values in (power, logits, measures)} == {GPU}


def test_blocks_are_scored_on_the_device(fake_gpu_scorers: tuple[Scorer, GlancingScorer]) -> None:
    begins = torch.arange(80, device=GPU) * 1000 + 2560
    told = fake_gpu_scorers[1]._judge(torch.empty(3, 89_216, device=GPU), begins)
    assert [tuple(values.shape) for values in told] == [(3, 80, 1), (3, 80, 4), (3, 80)]
    assert {values.device for values in told} == {GPU}


def test_tensors_left_on_the_processor_are_an_error(fake_gpu_scorers: tuple[Scorer, GlancingScorer]) -> None:
    with pytest.raises(RuntimeError, match="device"):
        fake_gpu_scorers[0].classify(torch.empty(7, 4000))


class _Stream:
    """A stream without a GPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device


def test_a_gpu_scores_a_limited_number_of_chunks_each_on_its_own_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    streams_in_use: list[object] = []
    most = 0

    class Using:
        def __init__(self, stream: object) -> None:
            self.stream = stream

        def __enter__(self) -> None:
            nonlocal most
            assert self.stream not in streams_in_use
            streams_in_use.append(self.stream)
            most = max(most, len(streams_in_use))

        def __exit__(self, *error: object) -> None:
            streams_in_use.remove(self.stream)

    monkeypatch.setattr(torch.cuda, "Stream", _Stream)
    monkeypatch.setattr(torch.cuda, "stream", Using)
    device_queue = DeviceQueue(GPU)

    others = threading.Barrier(device_module.N_STREAMS, timeout=240)

    def score(_: int) -> bool:
        with device_queue.slot():
            return torch.is_inference_mode_enabled()

    def score_in_parallel(_: int) -> bool:
        with device_queue.slot():
            others.wait()
            return torch.is_inference_mode_enabled()

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(score_in_parallel, range(10 * device_module.N_STREAMS)))
    assert most == device_module.N_STREAMS
    with pytest.raises(ValueError, match="broken"), device_queue.slot():
        raise ValueError("broken")
    for _ in range(device_module.N_STREAMS + 1):  # a block that failed returns its stream
        assert score(0)


def test_torch_settings_hold_while_any_thread_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)

    def cudnn() -> tuple[bool, bool]:
        return torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic

    device_queue = DeviceQueue(CPU)
    with device_queue.slot():
        with ThreadPoolExecutor(1) as threads:
            assert threads.submit(_settings_in_a_slot, device_queue).result() == (1, False, True)
        assert cudnn() == (False, True), "another thread still scores"
    assert cudnn() == (True, False)


def _settings_in_a_slot(device_queue: DeviceQueue) -> tuple[int, bool, bool]:
    with device_queue.slot():
        return torch.get_num_threads(), torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic


@pytest.mark.parametrize("device", DEVICES)
def test_samples_on_the_device_are_unchanged(device: str, sound: FloatArray) -> None:
    on_device: Tensor = to_device(sound[:10_000], torch.device(device))
    assert on_device.device.type == device
    np.testing.assert_array_equal(on_device.cpu().numpy(), sound[:10_000])


@pytest.mark.parametrize("device", [NEEDS_GPU])
def test_a_batch_too_large_for_a_gpu_is_halved(device: str, sound: FloatArray) -> None:
    scorer = load_scorer(load_model(), device, 512)
    grid = replace(scorer.spec.grid(0.5), hop_samples=125)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(device) + 2**28) / total, device)
    try:
        assert np.isfinite(scorer.score(np.tile(sound, 8), grid, 20_000).scores).all()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
    assert "out of memory" in scorer.note
