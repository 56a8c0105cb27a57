"""Scoring on a GPU: tested on a real one where there is one, else on devices and shapes of tensors without data."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from whalescan.core import ColumnScores, FloatArray
from whalescan.detector import batching
from whalescan.detector import device as device_module
from whalescan.detector.batching import batch_blocks, block_columns
from whalescan.detector.device import DeviceQueue, to_device
from whalescan.detector.model_spec import find_model
from whalescan.detector.pooling import scores_of
from whalescan.detector.scorer import Scorer, load_scorer
from whalescan.engine.process_settings import configure_for_scoring
from whalescan.training.simulation import SimulationOptions, simulate_soundscape

pytestmark = pytest.mark.slow

CPU, META, GPU = torch.device("cpu"), torch.device("meta"), torch.device("cuda", 0)
NEEDS_GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))
DEVICES = ["cpu", NEEDS_GPU]
BATCH_SIZE = 64


SPEC = find_model().spec
GRID = SPEC.columns
TOLERANCE = 0.13
"""Largest difference of log-odds on another device or with another batch size."""


@pytest.fixture(scope="module")
def sound() -> FloatArray:
    """Three minutes with calls."""
    return simulate_soundscape(2000, SimulationOptions(minutes=3, calls_per_hour=200, seed=7)).samples.astype(np.float32)


@pytest.fixture(scope="module", params=DEVICES)
def scorer(request: pytest.FixtureRequest) -> Scorer:
    """The default model on each device."""
    if request.param == "cuda":
        configure_for_scoring()  # products on several streams are repeatable
    return load_scorer(find_model(), request.param, BATCH_SIZE)


@pytest.fixture
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let blocks be 30 s, and the sound six of them."""
    monkeypatch.setattr(batching, "BLOCK_S", 30)


def equal(first: ColumnScores, second: ColumnScores) -> bool:
    return all(
        np.array_equal(getattr(first, name), getattr(second, name), equal_nan=True)
        for name in ("log_odds", "boxes", "complexity")
    )


def score(scorer: Scorer, sound: FloatArray) -> ColumnScores:
    return scorer.score(sound, GRID.n_columns(len(sound)))


# On each device


@pytest.mark.parametrize("device", [NEEDS_GPU])
def test_a_gpu_gives_nearly_the_scores_of_a_processor(device: str, sound: FloatArray) -> None:
    on_cpu, on_gpu = (score(load_scorer(find_model(), name, BATCH_SIZE), sound) for name in ("cpu", device))
    np.testing.assert_allclose(scores_of(on_gpu.log_odds), scores_of(on_cpu.log_odds), atol=0.01)
    np.testing.assert_allclose(on_gpu.complexity, on_cpu.complexity, atol=0.01)


@pytest.mark.usefixtures("short_blocks")
def test_parallel_threads_give_identical_scores(scorer: Scorer, sound: FloatArray) -> None:
    alone = score(scorer, sound)
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda _: score(scorer, sound), range(4)))
    assert all(equal(scored, alone) for scored in together)


@pytest.mark.usefixtures("short_blocks")
def test_chunks_of_whole_batches_give_identical_scores(scorer: Scorer, sound: FloatArray) -> None:
    whole = score(scorer, sound)
    n_blocks = batch_blocks(BATCH_SIZE, GRID, SPEC.front_end.window_samples)
    assert n_blocks == 4
    n_chunk, step, context = n_blocks * block_columns(GRID), GRID.column_samples, SPEC.context_samples
    parts = []
    for first in range(0, len(whole), n_chunk):
        begin, n_own = max(first * step - context, 0), min(n_chunk, len(whole) - first)
        samples = sound[begin : (first + n_own) * step + context]
        parts.append(scorer.score(samples, n_own, first_sample=first * step - begin))
    assert len(parts) == 2
    assert equal(ColumnScores.join(parts), whole)


@pytest.mark.usefixtures("short_blocks")
def test_batch_size_changes_scores_by_little(scorer: Scorer, sound: FloatArray) -> None:
    other = load_scorer(find_model(), scorer.device.type, 4)
    np.testing.assert_allclose(score(scorer, sound).log_odds, score(other, sound).log_odds, atol=TOLERANCE)


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
def fake_gpu_scorer() -> Iterator[Scorer]:
    """The default model on a fake GPU; operations on tensors of two devices fail there as on a real one."""
    scorer = Scorer(find_model(), META, BATCH_SIZE)
    mode = FakeTensorMode()
    move_to_fake_gpu(scorer.detector, mode)
    scorer.device = GPU
    with mode, torch.inference_mode():
        yield scorer


def test_blocks_are_scored_on_the_device(fake_gpu_scorer: Scorer) -> None:
    n_columns = 60
    n_samples = (
        n_columns * SPEC.front_end.column_frames - 1
    ) * SPEC.front_end.frame_hop_samples + SPEC.front_end.fft_samples
    scored = fake_gpu_scorer.classify(torch.empty(3, n_samples, device=GPU))
    assert [tuple(values.shape) for values in scored] == [(3, n_columns, n) for n in (1, 4, 4)]
    assert {values.device for values in scored} == {GPU}


def test_tensors_left_on_the_processor_are_an_error(fake_gpu_scorer: Scorer) -> None:
    with pytest.raises(RuntimeError, match="device"):
        fake_gpu_scorer.classify(torch.empty(3, 40_000))


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
    scorer = load_scorer(find_model(), device, 4096)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(device) + 2**28) / total, device)
    try:
        assert np.isfinite(score(scorer, np.tile(sound, 40)).log_odds).all()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
    assert "out of memory" in scorer.note
