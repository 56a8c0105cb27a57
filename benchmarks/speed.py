"""How fast a run is, against the plain way, and what Dask costs; all in one go, alternating."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import soundfile

import whalescan
from benchmarks import plain
from benchmarks.table import Row
from whalescan.config import WorkOptions
from whalescan.engine import plan
from whalescan.engine.dispatch import Dispatch
from whalescan.engine.interruption import Interruption
from whalescan.engine.worker import Task, score_chunk
from whalescan.engine.workforce import workforce
from whalescan.learn.simulation import SeaOptions, simulate
from whalescan.sound.recordings import find, inspect

MINUTES = 20
HOP_S = 1.0
REPEATS = 3


def measure() -> list[Row]:
    """Rows of the table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sea.wav")
        soundfile.write(path, simulate(2000, SeaOptions(minutes=MINUTES)).samples, 2000)
        plain_s, whalescan_s = _alternating(
            lambda: plain.score(path, HOP_S), lambda: whalescan.scan(path, Path(folder, "out"), hop=HOP_S, restart=True)
        )
        loop_s, dask_s = _alternating(lambda: _chunks(path, dask=False), lambda: _chunks(path, dask=True))
    x = MINUTES * 60
    return [
        {"what": f"plain PyTorch, float32, DataLoader, {HOP_S:g} s hop", "x real time": round(x / plain_s)},
        {"what": f"whalescan run, all outputs, {HOP_S:g} s hop", "x real time": round(x / whalescan_s)},
        {"what": "whalescan over plain PyTorch", "ratio": round(plain_s / whalescan_s, 2)},
        {"what": "Dask over a plain loop, one worker: time", "ratio": round(dask_s / loop_s, 3)},
    ]


def _chunks(path: Path, dask: bool) -> None:
    """Score every chunk with one worker, with and without Dask."""
    model = whalescan.load_model()
    grid = model.spec.grid(HOP_S)
    task = Task(model, grid, "cpu", 32)
    chunks = plan.chunks(inspect(find([path])[0]), 1, grid, 2 * task.batch_size)
    if not dask:
        for chunk in chunks:
            score_chunk(chunk, task)
        return
    with workforce(WorkOptions(workers=1), 0) as workers:
        for _ in Dispatch(chunks, task, workers, Interruption(), print):
            pass


def _alternating(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """Medians of the seconds that two ways take; a first round warms up and is not counted."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for repeat in range(REPEATS + 1):
        for way, taken in zip((one, other), seconds, strict=True):
            begin = time.perf_counter()
            way()
            if repeat:
                taken.append(time.perf_counter() - begin)
    return statistics.median(seconds[0]), statistics.median(seconds[1])
