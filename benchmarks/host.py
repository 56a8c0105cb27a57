"""What a GPU leaves to the processor: reading, cutting, drawing boxes. The networks' answers are kept, and given again."""

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
from whalescan.audio.recordings import find, inspect
from whalescan.detector.glancing import GlancingScorer, load_scorer
from whalescan.detector.scorer import Scorer
from whalescan.engine import chunking, worker
from whalescan.engine.chunking import Chunk
from whalescan.engine.worker import Task
from whalescan.training.simulation import SeaOptions, simulate

MINUTES = 60
HOP_S = 0.5
BATCH_SIZE = 512
REPEATS = 3

Answer = tuple[Tensor, Tensor, Tensor]


def measure() -> list[Row]:
    """Rows of the table."""
    with tempfile.TemporaryDirectory() as folder:
        sea = simulate(2000, SeaOptions(minutes=MINUTES)).samples
        low, high = Path(folder, "low.wav"), Path(folder, "high.flac")
        soundfile.write(low, sea, 2000)
        soundfile.write(high, soxr.resample(sea, 2000, 48_000), 48_000)
        return [_row("2 kHz WAV", low), _row("48 kHz FLAC", high)]


def _row(what: str, path: Path) -> Row:
    model = load_model()
    task = Task(model, model.spec.grid(HOP_S), "cpu", BATCH_SIZE)
    step = chunking.chunk_windows(task.grid, task.together.n_windows)
    chunks = list(chunking.chunks(inspect(find([path])[0]), 1, task.grid, step))
    scorer = load_scorer(model, "cpu", BATCH_SIZE)
    assert isinstance(scorer, GlancingScorer)
    with mock.patch.object(worker, "_scorer", return_value=scorer):
        glances: list[Answer] = []
        looks: list[Answer] = []
        with (
            mock.patch.object(GlancingScorer, "_judge", _keeping(GlancingScorer._judge, glances)),
            mock.patch.object(Scorer, "_judge", _keeping(Scorer._judge, looks)),
        ):
            _score(chunks, task)

        def again() -> None:
            with (
                mock.patch.object(GlancingScorer, "_judge", side_effect=glances),
                mock.patch.object(Scorer, "_judge", side_effect=looks),
            ):
                _score(chunks, task)

        seconds = _least(again)
        reading_s = _least(lambda: [worker.hear(chunk, task) for chunk in chunks])
    n_looked = sum(len(logits) for _, logits, _ in looks)
    return {
        "what": f"{what}, {HOP_S:g} s hop",
        "x real time, a core": round(MINUTES * 60 / seconds),
        "of it reading": f"{reading_s / seconds:.0%}",
        "windows looked at": f"{n_looked / sum(chunk.n_windows for chunk in chunks):.1%}",
    }


def _score(chunks: Sequence[Chunk], task: Task) -> None:
    for chunk in chunks:
        worker.score_chunk(chunk, task)


def _keeping(judge: Callable[..., Answer], answers: list[Answer]) -> Callable[..., Answer]:
    """A method that answers as a network does, and keeps its answers in the order of the questions."""

    def judged(scorer: object, *question: Tensor) -> Answer:
        answers.append(judge(scorer, *question))
        return answers[-1]

    return judged


def _least(way: Callable[[], object]) -> float:
    taken = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        way()
        taken.append(time.perf_counter() - begin)
    return min(taken)
