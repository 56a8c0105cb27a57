"""Who works: threads or processes of this machine, a process for each of its GPUs, a Dask cluster, or a queue's jobs."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster, Nanny, Scheduler, SpecCluster, performance_report

from whalescan.config import WorkOptions
from whalescan.core import UsageError

GPU = "GPU"
"""The Dask resource that workers with a GPU have, as ``dask worker --resources GPU=1`` says it."""
ANSWER_S = 30.0
"""How long a scheduler may take to answer."""
_THREADS = 4
"""Of a worker process of this machine: more of them wait for Python's one lock, fewer cost memory."""
_FEW_S = 3600
"""Sound that is scored by threads of this process: a worker of its own would take longer to start than it saves."""


@dataclass(frozen=True, slots=True)
class Census:
    """Who is there now."""

    n_workers: int
    n_threads: int
    has_gpus: bool


@dataclass(frozen=True, slots=True)
class Workforce:
    """Workers behind a Dask client.

    Attributes:
        where: what they were reached by, for messages.
        dashboard: address of Dask's dashboard; empty where there is none.
        shares_memory: whether they are threads of this process.
    """

    client: Client
    where: str
    dashboard: str
    shares_memory: bool

    def census(self) -> Census:
        """Count the workers."""
        n_workers, n_threads, n_gpus = self.client.run_on_scheduler(_count)
        return Census(n_workers, n_threads, n_gpus > 0)


def _count(dask_scheduler: Scheduler) -> tuple[int, int, int]:
    return len(dask_scheduler.workers), dask_scheduler.total_nthreads, len(dask_scheduler.resources.get(GPU, ()))


@contextmanager
def workforce(options: WorkOptions, sound_s: float) -> Iterator[Workforce]:
    """The workers that a user asks for, until the block ends.

    Args:
        options: where they are.
        sound_s: how much there is to do.

    Raises:
        UsageError: where none can be had.
    """
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        if options.scheduler:
            client, where = stack.enter_context(_connected(options.scheduler)), options.scheduler
        elif options.jobqueue:
            cluster = stack.enter_context(_jobs(options.jobqueue, options.workers))
            client, where = stack.enter_context(Client(cluster, timeout=ANSWER_S)), f"--jobqueue {options.jobqueue}"
        else:
            cluster = stack.enter_context(_here(options, sound_s))
            client, where = stack.enter_context(Client(cluster)), "this machine"
        shares_memory = not (options.scheduler or options.jobqueue or _in_processes(options, sound_s))
        yield Workforce(client, where, "" if shares_memory else client.dashboard_link or "", shares_memory)


def report_of(options: WorkOptions) -> AbstractContextManager[object]:
    """Dask's own report of who worked when, written when the block ends; nothing where it is not asked for.

    Raises:
        UsageError: where it cannot be made.
    """
    if not options.performance_report:
        return nullcontext()
    if importlib.util.find_spec("bokeh") is None:
        raise UsageError('--performance-report needs bokeh; python -m pip install "whalescan[cluster]"')
    report: AbstractContextManager[object] = performance_report(filename=options.performance_report)
    return report


def _connected(scheduler: str) -> Client:
    """A cluster that is there already."""
    try:
        if "://" not in scheduler and Path(scheduler).exists():
            return Client(scheduler_file=scheduler, timeout=ANSWER_S)
        return Client(scheduler, timeout=ANSWER_S)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        hint = "; its certificates stand in Dask's configuration, under distributed.comm.tls" if "tls" in scheduler else ""
        raise UsageError(f"--scheduler {scheduler}: no Dask scheduler answers there ({error}){hint}") from error


def _jobs(queue: str, n_workers: int) -> Any:
    """Jobs of a batch system, as the site's own configuration of dask-jobqueue describes one."""
    try:
        jobqueue = importlib.import_module("dask_jobqueue")
    except ImportError as error:
        raise UsageError('--jobqueue needs dask-jobqueue; python -m pip install "whalescan[cluster]"') from error
    try:
        cluster = getattr(jobqueue, f"{queue.upper()}Cluster")()
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        raise UsageError(
            f"--jobqueue {queue}: no job can be described ({error}); say cores, memory and walltime of one "
            f"in ~/.config/dask/jobqueue.yaml, under jobqueue: {queue}:"
        ) from error
    cluster.adapt(minimum=n_workers, maximum=n_workers)  # not scale(): jobs that end at their time limit are replaced
    return cluster


# ------------------------------------------------------------------------------------------------ this machine


def _in_processes(options: WorkOptions, sound_s: float) -> bool:
    """Whether workers are processes of their own, which a broken recording or the system may kill without harm."""
    return options.in_processes and sound_s >= _FEW_S


@contextmanager
def _here(options: WorkOptions, sound_s: float) -> Iterator[SpecCluster]:
    n_threads = options.workers or CPU_COUNT
    settings: dict[str, Any] = {
        "distributed.worker.profile.enabled": bool(options.performance_report),
        "distributed.scheduler.allowed-failures": 0,  # `dispatch` tries again, and counts
        "distributed.scheduler.worker-saturation": 1.0,  # what is not begun can be called back
        "distributed.worker.preload": ["whalescan.engine.deaf"],
    }
    if not _in_processes(options, sound_s):
        with dask.config.set({**settings, "distributed.worker.preload": []}), _threads(n_threads) as cluster:
            yield cluster
        return
    gpus = _gpus() if options.device in ("auto", "cuda") else []
    with dask.config.set(settings), _processes(n_threads, gpus) as cluster:
        try:
            yield cluster
        except KeyboardInterrupt:  # nobody waits for what they are at
            for nanny in cluster.workers.values():
                nanny.auto_restart = False
                with contextlib.suppress(ProcessLookupError, TypeError):  # it has ended, or not begun
                    os.kill(nanny.pid, signal.SIGTERM)
            raise


def _threads(n_threads: int) -> LocalCluster:
    return LocalCluster(
        n_workers=1,
        threads_per_worker=n_threads,
        processes=False,
        dashboard_address="127.0.0.1:0",  # any free port, and for this machine only
        memory_limit=0,
    )


def _processes(n_threads: int, gpus: list[str]) -> SpecCluster:
    """A few processes of a few threads each; with GPUs, one for each of them, whose other threads read ahead."""
    n_workers = len(gpus) or -(-n_threads // _THREADS)
    threads = [len(range(i, n_threads, n_workers)) for i in range(n_workers)]
    specs = {
        i: {
            "cls": Nanny,
            "options": {
                "nthreads": max(threads[i], 2 if gpus else 1),
                "memory_limit": 0,
                "host": "127.0.0.1",
                "dashboard": False,
                "silence_logs": logging.CRITICAL,
                "env": {"CUDA_VISIBLE_DEVICES": gpus[i]} if gpus else {},
                "resources": {GPU: 1} if gpus else {},
            },
        }
        for i in range(n_workers)
    }
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard": True, "dashboard_address": "127.0.0.1:0"}}
    return SpecCluster(workers=specs, scheduler=scheduler, silence_logs=logging.CRITICAL)


def _gpus() -> list[str]:
    """The GPUs of this machine, as CUDA_VISIBLE_DEVICES names them; without torch, which a client does not load."""
    if (given := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in given.split(",") if name.strip() not in ("", "-1")]
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    asked = [tool, "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=ANSWER_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return answer.stdout.split()


@contextmanager
def _quiet() -> Iterator[None]:
    """No log lines of Dask's: what fails is reported by us, in one line."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
