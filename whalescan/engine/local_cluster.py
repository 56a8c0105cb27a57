"""The workers of this machine: threads of this process, or processes of their own, some for each GPU where there are any."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dask
from dask.system import CPU_COUNT
from distributed import LocalCluster, Nanny, Scheduler, SpecCluster

from whalescan.engine.gpus import Gpu, gpus_for, processes_each
from whalescan.options import WorkOptions

_THREADS = 4
"""Of a worker process: more of them wait for Python's one lock, fewer cost memory."""
_THREADS_OF_GPU = 3
"""At least: two whose chunks are on the GPU, and one that reads."""


@contextmanager
def threads_here(options: WorkOptions) -> Iterator[SpecCluster]:
    """Threads of this process, which are there at once."""
    with (
        dask.config.set(_settings(options)),
        LocalCluster(
            n_workers=1,
            threads_per_worker=options.workers or CPU_COUNT,
            processes=False,
            dashboard_address="127.0.0.1:0",  # any free port, and for this machine only
            scheduler_kwargs={"dashboard": False},
            memory_limit=0,
        ) as cluster,
    ):
        try:
            yield cluster
        except KeyboardInterrupt:
            for worker in cluster.workers.values():
                cluster.sync(worker.close, executor_wait=False)  # nobody waits for what they are at
            raise


@contextmanager
def processes_here(options: WorkOptions) -> Iterator[SpecCluster]:
    """Processes, which a broken recording or the system may kill without harm to the run."""
    preload = [*dask.config.get("distributed.worker.preload"), "whalescan.engine.worker_preload"]
    with (
        dask.config.set({**_settings(options), "distributed.worker.preload": preload}),
        SpecCluster(
            workers=_specs(options.workers or CPU_COUNT, gpus_for(options.device), options.device),
            scheduler={"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}},
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        try:
            yield cluster
        except KeyboardInterrupt:
            for nanny in cluster.workers.values():
                nanny.auto_restart = False
                with contextlib.suppress(ProcessLookupError, TypeError):  # it has ended, or not begun
                    os.kill(nanny.pid, signal.SIGTERM)
            raise


def _settings(options: WorkOptions) -> dict[str, Any]:
    return {
        "distributed.worker.profile.enabled": bool(options.performance_report),
        "distributed.scheduler.allowed-failures": 0,  # `dispatch` tries again, and counts
        "distributed.scheduler.worker-saturation": 1.0,  # what is not begun can be called back
    }


def _specs(n_threads: int, gpus: Sequence[Gpu], device: str) -> dict[int, dict[str, Any]]:
    """A few processes of a few threads each; with GPUs, a few for each of them, whose other threads read ahead."""
    homes = [gpu for gpu in gpus for _ in range(processes_each(gpus, n_threads))]
    n_workers = len(homes) or -(-n_threads // _THREADS)
    threads = [len(range(i, n_threads, n_workers)) for i in range(n_workers)]
    sees_all = ":" in device  # a number among all of them
    return {
        i: {
            "cls": Nanny,
            "options": {
                "nthreads": max(threads[i], _THREADS_OF_GPU if gpus else 1),
                "memory_limit": 0,
                "host": "127.0.0.1",
                "dashboard": False,
                "silence_logs": logging.CRITICAL,
                "env": {"CUDA_VISIBLE_DEVICES": homes[i].name} if gpus and not sees_all else {},
            },
        }
        for i in range(n_workers)
    }
