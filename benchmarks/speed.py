"""Throughput of a run, compared with other ways to score the same windows with the same network."""

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
from whalescan.audio.recordings import find_recordings, read_header
from whalescan.detector.batching import BATCH_SIZE
from whalescan.engine import chunking
from whalescan.engine.cluster import worker_pool
from whalescan.engine.dispatch import ChunkDispatcher
from whalescan.engine.process_settings import InterruptHandler
from whalescan.engine.worker import ScoringTask, score_chunk
from whalescan.options import WorkOptions
from whalescan.training.simulation import SimulationOptions, simulate_soundscape

MINUTES = 60
HOPS_S = (0.25, 0.5, 1.0)
COMPARED_HOP_S = 0.5
REPEATS = 3


def measure() -> list[Row]:
    """Return the rows of the table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "noise.wav")
        soundfile.write(path, simulate_soundscape(2000, SimulationOptions(minutes=MINUTES)).samples, 2000)
        out = Path(folder, "out")
        hop_s = COMPARED_HOP_S
        methods: dict[str, Callable[[], object]] = {
            "plain PyTorch": lambda: plain.score(path, hop_s),
            "whalescan run": _run(path, out, hop_s),
        }
        if opensoundscape.is_installed():
            methods["OpenSoundscape"] = lambda: opensoundscape.score(path, hop_s)
        taken_s = _alternating(methods)
        hops_s = _alternating({f"whalescan run, {hop:g} s hop": _run(path, out, hop) for hop in HOPS_S})
        # not alternating with the others: a process keeps only one network, and would load it again each time
        hops_s |= _alternating({f"whalescan run --exact, {hop:g} s hop": _run(path, out, hop, exact=True) for hop in HOPS_S})
        dask_s = _alternating({"loop": lambda: _chunks(path, dask=False), "Dask": lambda: _chunks(path, dask=True)})
    ours_s = taken_s["whalescan run"]
    rows: list[Row] = [
        {
            "what": f"{name}, {hop_s:g} s hop",
            "x real time": round(MINUTES * 60 / seconds),
            "whalescan run is": round(seconds / ours_s, 2),
        }
        for name, seconds in taken_s.items()
    ]
    rows += [{"what": name, "x real time": round(MINUTES * 60 / seconds)} for name, seconds in hops_s.items()]
    return [*rows, {"what": "Dask over a plain loop, one worker: time", "ratio": round(dask_s["Dask"] / dask_s["loop"], 3)}]


def _run(path: Path, out: Path, hop_s: float, exact: bool = False) -> Callable[[], object]:
    return lambda: whalescan.scan(path, out, hop_s=hop_s, exact=exact, restart=True)


def _chunks(path: Path, dask: bool) -> None:
    """Score every chunk with one worker, with and without Dask."""
    model = whalescan.load_model()
    task = ScoringTask(model, model.spec.grid(COMPARED_HOP_S), "cpu", BATCH_SIZE)
    step = chunking.windows_per_chunk(task.grid, task.batching.n_windows)
    chunks = chunking.split_recording(read_header(find_recordings([path])[0]), 1, task.grid, step)
    if not dask:
        for chunk in chunks:
            score_chunk(chunk, task)
        return
    with worker_pool(WorkOptions(workers=1), 0) as workers:
        for _ in ChunkDispatcher(chunks, task, workers, InterruptHandler(), print):
            pass


def _alternating(methods: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median seconds of each method, run in turns; a first round warms up and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for repeat in range(REPEATS + 1):
        for name, method in methods.items():
            begin = time.perf_counter()
            method()
            if repeat:
                seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(taken) for name, taken in seconds.items()}
