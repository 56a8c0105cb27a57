"""How fast a run is against other ways to score the same windows with the same network; all in one go, alternating."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import soundfile

import whalescan
from benchmarks import opensoundscape, plain
from benchmarks.table import Row
from whalescan.audio.recordings import find, inspect
from whalescan.detector.batching import BATCH_SIZE
from whalescan.engine import chunking
from whalescan.engine.cluster import workforce
from whalescan.engine.dispatch import Dispatch
from whalescan.engine.signals import Interruption
from whalescan.engine.worker import Task, score_chunk
from whalescan.options import WorkOptions
from whalescan.training.simulation import SeaOptions, simulate

MINUTES = 60
HOPS_S = (0.25, 0.5, 1.0)
COMPARED_HOP_S = 0.5
REPEATS = 3


def measure() -> list[Row]:
    """Rows of the table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sea.wav")
        soundfile.write(path, simulate(2000, SeaOptions(minutes=MINUTES)).samples, 2000)
        out = Path(folder, "out")
        hop_s = COMPARED_HOP_S
        ways: dict[str, Callable[[], object]] = {
            "plain PyTorch": lambda: plain.score(path, hop_s),
            "whalescan run": _run(path, out, hop_s),
        }
        if opensoundscape.is_there():
            ways["OpenSoundscape"] = lambda: opensoundscape.score(path, hop_s)
        taken_s = _alternating(ways)
        hops_s = _alternating({f"whalescan run, {hop:g} s hop": _run(path, out, hop) for hop in HOPS_S})
        # not in turns with the others: a process keeps one network only, and would load it anew each time
        hops_s |= _alternating({f"whalescan run --exact, {hop:g} s hop": _run(path, out, hop, exact=True) for hop in HOPS_S})
        dask_s = _alternating({"loop": lambda: _chunks(path, dask=False), "Dask": lambda: _chunks(path, dask=True)})
    ours_s = taken_s["whalescan run"]
    rows: list[Row] = [
        {
            "what": f"{way}, {hop_s:g} s hop",
            "x real time": round(MINUTES * 60 / seconds),
            "whalescan run is": round(seconds / ours_s, 2),
        }
        for way, seconds in taken_s.items()
    ]
    rows += [{"what": way, "x real time": round(MINUTES * 60 / seconds)} for way, seconds in hops_s.items()]
    return [*rows, {"what": "Dask over a plain loop, one worker: time", "ratio": round(dask_s["Dask"] / dask_s["loop"], 3)}]


def _run(path: Path, out: Path, hop_s: float, exact: bool = False) -> Callable[[], object]:
    return lambda: whalescan.scan(path, out, hop=hop_s, exact=exact, restart=True)


def _chunks(path: Path, dask: bool) -> None:
    """Score every chunk with one worker, with and without Dask."""
    model = whalescan.load_model()
    task = Task(model, model.spec.grid(COMPARED_HOP_S), "cpu", BATCH_SIZE)
    step = chunking.chunk_windows(task.grid, task.together.n_windows)
    chunks = chunking.chunks(inspect(find([path])[0]), 1, task.grid, step)
    if not dask:
        for chunk in chunks:
            score_chunk(chunk, task)
        return
    with workforce(WorkOptions(workers=1), 0) as workers:
        for _ in Dispatch(chunks, task, workers, Interruption(), print):
            pass


def _alternating(ways: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Medians of the seconds that some ways take; a first round warms up and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(REPEATS + 1):
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            if repeat:
                seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(taken) for name, taken in seconds.items()}
