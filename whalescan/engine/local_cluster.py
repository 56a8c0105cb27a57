"""Workers of this machine: threads of this process or worker processes, and the GPUs that these share.

GPUs are found without torch, which a client does not load.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import dask
import pynvml
from dask.system import CPU_COUNT
from distributed import LocalCluster, Nanny, Scheduler, SpecCluster

from whalescan.detector.batching import BATCH_SIZE
from whalescan.engine import process_settings
from whalescan.options import WorkOptions

THREADS_PER_PROCESS = 4
"""More threads wait for Python's global lock, fewer need more memory. With a GPU, two score chunks on it and two read."""
_MIN_THREADS_WITH_GPU = 3
"""Two whose chunks are on the GPU, and one that reads."""
_MAX_PROCESSES_PER_GPU = 4
"""More than one, so that Python code of one process does not keep the others waiting."""
_MB_PER_PROCESS = 6000
"""GPU memory that a process needs."""
_MAX_BATCH_SIZE = 512
"""About the audio of a survey's chunk. Chunks are whole batches, and would have to be longer with more."""
_MB_PER_WINDOW = 8
"""512 windows take 0.6 GB; two such batches are on the GPU at a time, and CUDA with its caches needs as much again."""


@contextmanager
def local_threads(options: WorkOptions) -> Iterator[SpecCluster]:
    """Start worker threads in this process, which are ready at once."""
    with (
        dask.config.set(_dask_settings(options)),
        LocalCluster(
            n_workers=1,
            threads_per_worker=options.workers or CPU_COUNT,
            processes=False,
            dashboard_address="127.0.0.1:0",  # any free port, reachable from this machine only
            scheduler_kwargs={"dashboard": False},
            memory_limit=0,
        ) as cluster,
    ):
        try:
            yield cluster
        except KeyboardInterrupt:
            for worker in cluster.workers.values():
                cluster.sync(worker.close, executor_wait=False)  # do not wait for running chunks
            raise


@contextmanager
def local_processes(options: WorkOptions) -> Iterator[SpecCluster]:
    """Start worker processes, which a broken recording or the system can kill without ending the run."""
    preload = [*dask.config.get("distributed.worker.preload"), process_settings.__name__]
    with (
        dask.config.set({**_dask_settings(options), "distributed.worker.preload": preload}),
        SpecCluster(
            workers=worker_specs(options.workers or CPU_COUNT, find_gpus(options.device), options.device),
            scheduler={"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}},
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        try:
            yield cluster
        except KeyboardInterrupt:
            for nanny in cluster.workers.values():
                nanny.auto_restart = False
                with contextlib.suppress(ProcessLookupError, TypeError):  # it has ended, or not started
                    os.kill(nanny.pid, signal.SIGTERM)
            raise


def _dask_settings(options: WorkOptions) -> dict[str, Any]:
    return {
        "distributed.worker.profile.enabled": bool(options.performance_report),
        "distributed.scheduler.allowed-failures": 0,  # `dispatch` retries and counts
        "distributed.scheduler.worker-saturation": 1.0,  # chunks that wait at the scheduler can be cancelled
    }


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU of this machine.

    Attributes:
        name: its name in ``CUDA_VISIBLE_DEVICES``.
        memory_mb: its memory in MiB; None where the driver does not tell.
        allows_sharing: whether several processes may use it at a time.
    """

    name: str
    memory_mb: int | None = None
    allows_sharing: bool = False


def find_gpus(device: str) -> list[Gpu]:
    """Return the GPUs that a run on this machine uses.

    Args:
        device: ``auto`` or ``cuda`` for all visible GPUs, ``cuda:N`` for one, ``cpu`` for none.
    """
    if device == "cpu" or not _torch_has_cuda():
        return []
    visible = _visible_gpus()
    if not device.startswith("cuda:"):
        return visible
    number = device.removeprefix("cuda:")
    return visible[int(number) :][:1] if number.isdecimal() else []


def suggest_batch_size(gpus: Sequence[Gpu]) -> int:
    """Return the windows to score at a time: as many as the smallest GPU has memory for, or what suits a processor."""
    if not gpus:
        return BATCH_SIZE
    least_mb = min(gpu.memory_mb or _MB_PER_WINDOW * BATCH_SIZE for gpu in gpus)
    power_of_two = 1 << (least_mb // _MB_PER_WINDOW).bit_length() >> 1
    return min(max(power_of_two, BATCH_SIZE), _MAX_BATCH_SIZE)


def processes_per_gpu(gpus: Sequence[Gpu], n_threads: int) -> int:
    """Return the number of processes that share each GPU, where ``n_threads`` work on this machine."""
    if not all(gpu.allows_sharing for gpu in gpus):
        return 1
    by_memory = min(((gpu.memory_mb or 0) // _MB_PER_PROCESS for gpu in gpus), default=0)
    by_threads = n_threads // (THREADS_PER_PROCESS * max(len(gpus), 1))
    return max(1, min(_MAX_PROCESSES_PER_GPU, by_memory, by_threads))


def worker_specs(n_threads: int, gpus: Sequence[Gpu], device: str) -> dict[int, dict[str, Any]]:
    """Return Dask's specifications of worker processes: a few threads each, and with GPUs a few processes for each GPU.

    Args:
        n_threads: threads of all processes; with GPUs, each process has at least three.
        gpus: as `find_gpus` returns them.
        device: as in `find_gpus`.
    """
    gpu_of_worker = [gpu for gpu in gpus for _ in range(processes_per_gpu(gpus, n_threads))]
    n_workers = len(gpu_of_worker) or -(-n_threads // THREADS_PER_PROCESS)
    threads = [len(range(i, n_threads, n_workers)) for i in range(n_workers)]
    is_numbered = ":" in device  # cuda:N counts all visible GPUs, so all must stay visible
    return {
        i: {
            "cls": Nanny,
            "options": {
                "nthreads": max(threads[i], _MIN_THREADS_WITH_GPU if gpus else 1),
                "memory_limit": 0,
                "host": "127.0.0.1",
                "dashboard": False,
                "silence_logs": logging.CRITICAL,
                "env": {"CUDA_VISIBLE_DEVICES": gpu_of_worker[i].name} if gpus and not is_numbered else {},
            },
        }
        for i in range(n_workers)
    }


def _torch_has_cuda() -> bool:
    try:
        return "+cpu" not in version("torch")
    except PackageNotFoundError:
        return False


def _visible_gpus() -> list[Gpu]:
    installed = _installed_gpus()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return installed
    names = [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    return [_match_gpu(name, installed) for name in names]


def _match_gpu(name: str, installed: Sequence[Gpu]) -> Gpu:
    """Return the GPU that a number or the beginning of a UUID in ``CUDA_VISIBLE_DEVICES`` names."""
    for number, gpu in enumerate(installed):
        if name == str(number) or gpu.name.startswith(name):
            return Gpu(name, gpu.memory_mb, gpu.allows_sharing)
    return Gpu(name)


def _installed_gpus() -> list[Gpu]:
    """Return all GPUs in the driver's order; none where there is no driver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [_query_gpu(pynvml.nvmlDeviceGetHandleByIndex(i)) for i in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []
    finally:
        pynvml.nvmlShutdown()


def _query_gpu(handle: object) -> Gpu:
    try:
        memory_mb = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total) >> 20
    except pynvml.NVMLError:  # of a GPU that shares the machine's memory
        memory_mb = None
    try:
        allows_sharing = pynvml.nvmlDeviceGetComputeMode(handle) == pynvml.NVML_COMPUTEMODE_DEFAULT
    except pynvml.NVMLError:
        allows_sharing = False
    return Gpu(str(pynvml.nvmlDeviceGetUUID(handle)), memory_mb, allows_sharing)
