"""Throughput with 1, 2, 4 and 8 worker processes of one thread each."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import soundfile

from benchmarks.chunks import chunks_of
from benchmarks.dask_processes import start_cluster
from benchmarks.table import Row
from whalescan.detector.batching import BATCH_SIZE
from whalescan.detector.model_spec import find_model
from whalescan.engine.cluster import worker_pool
from whalescan.engine.dispatch import ChunkDispatcher
from whalescan.engine.process_settings import InterruptHandler
from whalescan.engine.worker import ScoringTask, score_chunk
from whalescan.options import WorkOptions
from whalescan.training.simulation import SimulationOptions, simulate_soundscape

COUNTS = (1, 2, 4, 8)
MINUTES = 120
REPEATS = 2


def measure() -> list[Row]:
    """Return the rows of the table. All counts take turns, so that other work on the machine affects them alike."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "noise.wav")
        soundfile.write(path, simulate_soundscape(2000, SimulationOptions(minutes=MINUTES)).samples, 2000)
        rounds = [{n: _seconds(path, n) for n in COUNTS} for _ in range(REPEATS)]
    median = {n: [statistics.median(measured[n][i] for measured in rounds) for i in range(2)] for n in COUNTS}
    return [
        {
            "worker processes": n,
            "x real time": round(MINUTES * 60 / median[n][0]),
            "over one worker": round(statistics.median(measured[COUNTS[0]][0] / measured[n][0] for measured in rounds), 2),
            "CPU of all workers, s": round(median[n][1], 1),
        }
        for n in COUNTS
    ]


def _seconds(path: Path, n_workers: int) -> tuple[float, float]:
    """Return the elapsed and the CPU time of scoring, after every worker has loaded the model."""
    task = ScoringTask(find_model(), "cpu", BATCH_SIZE)
    chunks = chunks_of(path, task)
    with start_cluster(n_workers) as started, worker_pool(WorkOptions(scheduler=str(started.scheduler_file)), 0) as workers:
        warm = [
            workers.client.submit(score_chunk, chunks[0], task, workers=[address], pure=False)
            for address in workers.client.nthreads()
        ]
        workers.client.gather(warm)
        begin_cpu_s = sum(workers.client.run(time.process_time).values())
        begin_s = time.perf_counter()
        n_done = sum(1 for _ in ChunkDispatcher(chunks, task, workers, InterruptHandler(), print))
        taken_s = time.perf_counter() - begin_s
        cpu_s = sum(workers.client.run(time.process_time).values()) - begin_cpu_s
    assert n_done == len(chunks)
    return taken_s, cpu_s
