"""What is said of a GPU: tested on one where there is one, and on the shapes and places of tensors where there is none."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from tests.conftest import recording_of, write_sound
from whalescan import load_model
from whalescan.core import FloatArray, WindowScores
from whalescan.detector import device as device_module
from whalescan.detector.device import Turns, arrive
from whalescan.detector.glancing import GlancingScorer, load_scorer
from whalescan.detector.model_file import load_glance
from whalescan.detector.scorer import Scorer
from whalescan.engine import chunking
from whalescan.training.simulation import SeaOptions, simulate

CPU, META, GPU = torch.device("cpu"), torch.device("meta"), torch.device("cuda", 0)
NEEDS_GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))
DEVICES = ["cpu", NEEDS_GPU]
BATCH_SIZE = 64


@pytest.fixture(scope="module")
def sound() -> FloatArray:
    """Three minutes with calls: five strips, the last one short."""
    return simulate(2000, SeaOptions(minutes=3, calls_per_hour=200, seed=7)).samples.astype(np.float32)


@pytest.fixture(scope="module", params=DEVICES)
def scorer(request: pytest.FixtureRequest) -> GlancingScorer:
    found = load_scorer(load_model(), request.param, BATCH_SIZE)
    assert isinstance(found, GlancingScorer)
    return found


def same(one: WindowScores, other: WindowScores) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True)
        for name in ("scores", "boxes", "complexity")
    )


# ---------------------------------------------------------------------------------------------- wherever it is computed


@pytest.mark.parametrize("device", [NEEDS_GPU])
@pytest.mark.parametrize("exact", [True, False])
def test_a_gpu_gives_the_same_scores_within_a_hundredth(device: str, exact: bool, sound: FloatArray) -> None:
    grid = load_model().spec.grid(0.5)
    n = grid.n_windows(len(sound))
    here, there = (load_scorer(load_model(), name, BATCH_SIZE, exact).score(sound, grid, n) for name in ("cpu", device))
    np.testing.assert_allclose(there.scores, here.scores, atol=0.01)
    np.testing.assert_allclose(there.complexity, here.complexity, atol=0.01)


def test_threads_beside_each_other_give_the_same_bytes(scorer: GlancingScorer, sound: FloatArray) -> None:
    grid = scorer.spec.grid(0.5)
    n = grid.n_windows(len(sound))
    alone = scorer.score(sound, grid, n)
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda _: scorer.score(sound, grid, n), range(4)))
    assert all(same(one, alone) for one in together)


def test_chunks_of_whole_batches_give_the_same_bytes(scorer: GlancingScorer, sound: FloatArray, tmp_path: Path) -> None:
    grid = scorer.spec.grid(0.5)
    whole = scorer.score(sound, grid, grid.n_windows(len(sound)))
    looked_at = np.isfinite(whole.boxes[:, 0])
    assert 0 < looked_at.mean() < 1
    recording = recording_of(write_sound(tmp_path / "sea.wav", sound, subtype="FLOAT"))
    margin_samples, step = 2560, 3 * 80  # BATCH_SIZE windows of 2 s are the sound of three strips
    parts = []
    for chunk in chunking.chunks(recording, 1, grid, step):
        begin, end = chunk.needed_samples(grid, margin_samples)
        first = chunk.own_samples(grid)[0] - begin
        parts.append(scorer.score(sound[begin:end], grid, chunk.n_windows, first=first))
    assert len(parts) == 2
    assert same(WindowScores.join(parts), whole)


def test_batches_move_scores_by_less_than_a_hundredth(scorer: GlancingScorer, sound: FloatArray) -> None:
    grid = scorer.spec.grid(0.25)
    n = grid.n_windows(len(sound))
    other = load_scorer(load_model(), scorer._device.type, 4).score(sound, grid, n)
    np.testing.assert_allclose(scorer.score(sound, grid, n).scores, other.scores, atol=0.01)


# ---------------------------------------------------------------------------------------------- where there is no GPU


def imagined(module: nn.Module, mode: FakeTensorMode) -> None:
    """Put the weights of a module on a GPU that need not be there: tensors have a place and a shape, but no numbers."""
    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is not None:
                part._parameters[name] = nn.Parameter(FakeTensor(mode, weight.data, GPU), requires_grad=False)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = FakeTensor(mode, buffer, GPU)


@pytest.fixture
def imaginary() -> Iterator[tuple[Scorer, GlancingScorer]]:
    """The default model on such a GPU; operations on tensors of two devices fail there as on a real one."""
    model = load_model()
    scorer = Scorer(model, META, BATCH_SIZE)
    glance = load_glance(model)
    assert glance is not None
    glancing = GlancingScorer(scorer, glance)
    mode = FakeTensorMode()
    for module in (scorer._detector, glancing._glance):
        imagined(module, mode)
    scorer.device = glancing._device = GPU
    with mode, torch.inference_mode():
        yield scorer, glancing


def test_all_of_a_look_is_computed_on_the_device(imaginary: tuple[Scorer, GlancingScorer]) -> None:
    cells, logits, measures = imaginary[0]._judge(torch.empty(7, 4000, device=GPU))
    assert [tuple(values.shape) for values in (cells, logits, measures)] == [(7, 64, 94), (7, 1), (7, 4)]
    assert {values.device for values in (cells, logits, measures)} == {GPU}


def test_all_of_a_glance_is_computed_on_the_device(imaginary: tuple[Scorer, GlancingScorer]) -> None:
    begins = torch.arange(80, device=GPU) * 1000 + 2560
    told = imaginary[1]._judge(torch.empty(3, 89_216, device=GPU), begins)
    assert [tuple(values.shape) for values in told] == [(3, 80, 1), (3, 80, 4), (3, 80)]
    assert {values.device for values in told} == {GPU}


def test_what_is_left_on_the_processor_is_found_out(imaginary: tuple[Scorer, GlancingScorer]) -> None:
    with pytest.raises(RuntimeError, match="device"):
        imaginary[0]._judge(torch.empty(7, 4000))


class _Stream:
    """A stream of no GPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device


def test_a_gpu_has_so_many_chunks_at_a_time_each_on_a_stream_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    at_work: list[object] = []
    most = 0

    class Using:
        def __init__(self, stream: object) -> None:
            self.stream = stream

        def __enter__(self) -> None:
            nonlocal most
            assert self.stream not in at_work
            at_work.append(self.stream)
            most = max(most, len(at_work))

        def __exit__(self, *error: object) -> None:
            at_work.remove(self.stream)

    monkeypatch.setattr(torch.cuda, "Stream", _Stream)
    monkeypatch.setattr(torch.cuda, "stream", Using)
    turns = Turns(GPU)

    def score(_: int) -> bool:
        with turns.working():
            time.sleep(0.005)
            return torch.is_inference_mode_enabled()

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(score, range(40)))
    assert most == device_module.AT_ONCE
    with pytest.raises(ValueError, match="broken"), turns.working():
        raise ValueError("broken")
    for _ in range(device_module.AT_ONCE + 1):  # nothing that failed keeps its stream
        assert score(0)


def test_a_gpu_that_repeats_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "to be put back")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    device_module.be_repeatable(CPU)
    assert torch.backends.cudnn.benchmark
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    device_module.be_repeatable(GPU)
    assert (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic) == (False, True)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.parametrize("device", DEVICES)
def test_sound_arrives_as_it_was(device: str, sound: FloatArray) -> None:
    there: Tensor = arrive(sound[:10_000], torch.device(device))
    assert there.device.type == device
    np.testing.assert_array_equal(there.cpu().numpy(), sound[:10_000])


@pytest.mark.parametrize("device", [NEEDS_GPU])
def test_a_batch_that_a_gpu_does_not_hold_is_halved(device: str, sound: FloatArray) -> None:
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
