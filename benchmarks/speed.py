"""Throughput of a run, compared with other programs that score windows of the same sound with a network of the same kind.

A run on a processor without bfloat16 units is measured with ``ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2``.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import soundfile

import whalescan
from benchmarks import opensoundscape, plain
from benchmarks.chunks import chunks_of
from benchmarks.table import Row
from whalescan.detector.batching import BATCH_SIZE
from whalescan.engine.cluster import worker_pool
from whalescan.engine.dispatch import ChunkDispatcher
from whalescan.engine.process_settings import InterruptHandler
from whalescan.engine.worker import ScoringTask, score_chunk
from whalescan.options import WorkOptions
from whalescan.training.simulation import SimulationOptions, simulate_soundscape

MINUTES = 60
HOP_S = 0.5
"""Between the windows of the other programs; a run scores the same columns at any hop."""
REPEATS = 3


def measure() -> list[Row]:
    """Return the rows of the table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "noise.wav")
        soundfile.write(path, simulate_soundscape(2000, SimulationOptions(minutes=MINUTES)).samples, 2000)
        out = Path(folder, "out")
        methods: dict[str, Callable[[], object]] = {
            "plain PyTorch, every window": lambda: plain.score(path, HOP_S),
            "whalescan run": lambda: whalescan.scan(path, out, hop_s=HOP_S, restart=True),
        }
        if opensoundscape.is_installed():
            methods["OpenSoundscape, every window"] = lambda: opensoundscape.score(path, HOP_S)
        taken_s = _alternating(methods)
        dask_s = _alternating({"loop": lambda: _chunks(path, dask=False), "Dask": lambda: _chunks(path, dask=True)})
    ours_s = taken_s["whalescan run"]
    rows: list[Row] = [
        {
            "what": f"{name}, {HOP_S:g} s hop",
            "x real time": round(MINUTES * 60 / seconds),
            "whalescan run is": round(seconds / ours_s, 2),
        }
        for name, seconds in taken_s.items()
    ]
    return [*rows, {"what": "Dask over a plain loop, one worker: time", "ratio": round(dask_s["Dask"] / dask_s["loop"], 3)}]


def _chunks(path: Path, dask: bool) -> None:
    """Score every chunk with one worker, with and without Dask."""
    model = whalescan.load_model()
    task = ScoringTask(model, "cpu", BATCH_SIZE)
    chunks = chunks_of(path, task)
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
