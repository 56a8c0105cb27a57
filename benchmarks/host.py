"""Throughput of a core where a GPU computes the networks: reading, cutting, boxes. The networks' results are replayed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import soundfile
import soxr
from torch import Tensor

from benchmarks.table import Row
from whalescan import load_model
from whalescan.audio.recordings import find_recordings, read_header
from whalescan.detector.glancing import GlancingScorer, load_scorer
from whalescan.detector.scorer import Scorer
from whalescan.engine import chunking, worker
from whalescan.engine.chunking import Chunk
from whalescan.engine.worker import ScoringTask
from whalescan.training.simulation import SimulationOptions, simulate_soundscape

MINUTES = 60
HOP_S = 0.5
BATCH_SIZE = 512
REPEATS = 3

NetworkResult = tuple[Tensor, Tensor, Tensor]


def measure() -> list[Row]:
    """Return the rows of the table."""
    with tempfile.TemporaryDirectory() as folder:
        samples = simulate_soundscape(2000, SimulationOptions(minutes=MINUTES)).samples
        low, high = Path(folder, "low.wav"), Path(folder, "high.flac")
        soundfile.write(low, samples, 2000)
        soundfile.write(high, soxr.resample(samples, 2000, 48_000), 48_000)
        return [_row("2 kHz WAV", low), _row("48 kHz FLAC", high)]


def _row(what: str, path: Path) -> Row:
    model = load_model()
    task = ScoringTask(model, model.spec.grid(HOP_S), "cpu", BATCH_SIZE)
    step = chunking.windows_per_chunk(task.grid, task.batching.n_windows)
    chunks = list(chunking.split_recording(read_header(find_recordings([path])[0]), 1, task.grid, step))
    scorer = load_scorer(model, "cpu", BATCH_SIZE)
    assert isinstance(scorer, GlancingScorer)
    with mock.patch.object(worker, "cached_scorer", return_value=scorer):
        block_results: list[NetworkResult] = []
        window_results: list[NetworkResult] = []
        with (
            mock.patch.object(GlancingScorer, "_judge", _recording(GlancingScorer._judge, block_results)),
            mock.patch.object(Scorer, "classify", _recording(Scorer.classify, window_results)),
        ):
            _score(chunks, task)

        def replay() -> None:
            with (
                mock.patch.object(GlancingScorer, "_judge", side_effect=block_results),
                mock.patch.object(Scorer, "classify", side_effect=window_results),
            ):
                _score(chunks, task)

        seconds = _shortest(replay)
        reading_s = _shortest(lambda: [worker.load_chunk(chunk, task) for chunk in chunks])
    n_scored = sum(len(logits) for _, logits, _ in window_results)
    return {
        "what": f"{what}, {HOP_S:g} s hop",
        "x real time, a core": round(MINUTES * 60 / seconds),
        "of it reading": f"{reading_s / seconds:.0%}",
        "windows scored by the whole network": f"{n_scored / sum(chunk.n_windows for chunk in chunks):.1%}",
    }


def _score(chunks: Sequence[Chunk], task: ScoringTask) -> None:
    for chunk in chunks:
        worker.score_chunk(chunk, task)


def _recording(compute: Callable[..., NetworkResult], results: list[NetworkResult]) -> Callable[..., NetworkResult]:
    """A method that results as a network does, and keeps its results in the order of the questions."""

    def compute_and_record(scorer: object, *inputs: Tensor) -> NetworkResult:
        results.append(compute(scorer, *inputs))
        return results[-1]

    return compute_and_record


def _shortest(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return min(taken)
