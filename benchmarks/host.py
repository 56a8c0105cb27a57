"""Throughput of a core where a GPU computes the network: reading, cutting, boxes. The network's results are replayed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import soundfile
import soxr
from torch import Tensor

from benchmarks.chunks import chunks_of
from benchmarks.table import Row
from whalescan import load_model
from whalescan.detector.scorer import Scorer, load_scorer
from whalescan.engine import worker
from whalescan.engine.chunking import Chunk
from whalescan.engine.worker import ScoringTask
from whalescan.training.simulation import SimulationOptions, simulate_soundscape

MINUTES = 60
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
    task = ScoringTask(load_model(), "cpu", BATCH_SIZE)
    chunks = chunks_of(path, task)
    scorer = load_scorer(task.model, "cpu", BATCH_SIZE)
    classify, results = scorer.classify, list[NetworkResult]()

    def compute_and_record(audio: Tensor) -> NetworkResult:
        results.append(classify(audio))
        return results[-1]

    with mock.patch.object(worker, "cached_scorer", return_value=scorer):
        with mock.patch.object(Scorer, "classify", side_effect=compute_and_record):
            _score(chunks, task)

        def replay() -> None:
            with mock.patch.object(Scorer, "classify", side_effect=results):
                _score(chunks, task)

        seconds = _shortest(replay)
        reading_s = _shortest(lambda: [worker.load_chunk(chunk, task) for chunk in chunks])
    return {
        "what": what,
        "x real time, a core": round(MINUTES * 60 / seconds),
        "of it reading": f"{reading_s / seconds:.0%}",
    }


def _score(chunks: Sequence[Chunk], task: ScoringTask) -> None:
    for chunk in chunks:
        worker.score_chunk(chunk, task)


def _shortest(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return min(taken)
