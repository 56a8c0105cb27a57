"""Real scoring by 1, 2, 4 and 8 worker processes of one thread each: how many times faster than real time."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import soundfile

from benchmarks.cluster import cluster
from benchmarks.table import Row
from whalescan.audio.recordings import find, inspect
from whalescan.detector.batching import BATCH_SIZE
from whalescan.detector.model_spec import find_model
from whalescan.engine import chunking
from whalescan.engine.cluster import workforce
from whalescan.engine.dispatch import Dispatch
from whalescan.engine.signals import Interruption
from whalescan.engine.worker import Task, score_chunk
from whalescan.options import WorkOptions
from whalescan.training.simulation import SeaOptions, simulate

COUNTS = (1, 2, 4, 8)
MINUTES = 40
HOP_S = 0.25
REPEATS = 2
_CHUNK_S = 60
"""Short, so that the last chunks do not leave workers idle for long."""


def measure() -> list[Row]:
    """Rows of the table; rounds of all counts, so that other work on the machine disturbs each alike."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sea.wav")
        soundfile.write(path, simulate(2000, SeaOptions(minutes=MINUTES)).samples, 2000)
        rounds = [{n: _seconds(path, n) for n in COUNTS} for _ in range(REPEATS)]
    median = {n: [statistics.median(one[n][i] for one in rounds) for i in range(2)] for n in COUNTS}
    return [
        {
            "worker processes": n,
            "x real time": round(MINUTES * 60 / median[n][0]),
            "over one worker": round(statistics.median(one[COUNTS[0]][0] / one[n][0] for one in rounds), 2),
            "CPU of all workers, s": round(median[n][1], 1),
        }
        for n in COUNTS
    ]


def _seconds(path: Path, n_workers: int) -> tuple[float, float]:
    """What scoring takes when every worker has loaded the model: on the wall, and of the workers' processors."""
    model = find_model()
    grid = model.spec.grid(HOP_S)
    task = Task(model, grid, "cpu", BATCH_SIZE)
    step = max(1, round(_CHUNK_S / HOP_S / task.together.n_windows)) * task.together.n_windows
    chunks = list(chunking.chunks(inspect(find([path])[0]), 1, grid, step))
    with cluster(n_workers) as there, workforce(WorkOptions(scheduler=str(there.scheduler_file)), 0) as workers:
        warm = [
            workers.client.submit(score_chunk, chunks[0], task, workers=[one], pure=False)
            for one in workers.client.nthreads()
        ]
        workers.client.gather(warm)
        begin_cpu_s = sum(workers.client.run(time.process_time).values())
        begin_s = time.perf_counter()
        n_done = sum(1 for _ in Dispatch(chunks, task, workers, Interruption(), print))
        taken_s = time.perf_counter() - begin_s
        cpu_s = sum(workers.client.run(time.process_time).values()) - begin_cpu_s
    assert n_done == len(chunks)
    return taken_s, cpu_s
