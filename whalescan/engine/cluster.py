"""Worker pools: threads or processes of this machine, an existing Dask cluster or client, or jobs of a batch system."""

from __future__ import annotations

import importlib.util
import json
import logging
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import dask
from distributed import Client, Scheduler, performance_report
from distributed.comm import CommClosedError

from whalescan.core import ClusterError, UsageError
from whalescan.engine.batch_jobs import BatchJobs, start_batch_jobs
from whalescan.engine.local_cluster import local_processes, local_threads
from whalescan.options import WorkOptions

GPU_RESOURCE = "GPU"
"""Dask resource of the workers of a cluster that have a GPU, as in ``dask worker --resources GPU=2``."""
CONNECT_TIMEOUT_S = 30.0
"""How long to wait for a scheduler's answer."""
MIN_SOUND_FOR_PROCESSES_S = 3600
"""Less audio is scored by threads of this process: starting worker processes would take longer than they save."""
_SHORT_LOGS = {"distributed.admin.low-level-log-length": 10}
"""Dask keeps the last 1,000 messages to each worker, with their chunks: on a large cluster, those of the whole survey."""


@dataclass(frozen=True, slots=True)
class WorkerCounts:
    """Number of the workers that are connected, and of their threads.

    Attributes:
        has_gpus: whether any worker declares the resource `GPU_RESOURCE`.
    """

    n_workers: int
    n_threads: int
    has_gpus: bool


@dataclass(frozen=True, slots=True)
class WorkerPool:
    """Workers behind a Dask client.

    Attributes:
        location: where they are, for messages.
        dashboard: address of Dask's dashboard; empty where there is none.
        shares_memory: whether they are threads of this process.
        batch_jobs: the jobs of a batch system that they are; None elsewhere.
        is_external: whether the client belongs to the caller, and stays open after the run.
    """

    client: Client
    location: str
    dashboard: str
    shares_memory: bool
    batch_jobs: BatchJobs | None = None
    is_external: bool = False

    def counts(self) -> WorkerCounts:
        """Count the workers.

        Raises:
            ClusterError: when the connection to the scheduler is lost.
        """
        n_workers, n_threads, n_gpus = self._connected_client().run_on_scheduler(_count_workers)
        return WorkerCounts(n_workers, n_threads, n_gpus > 0)

    def addresses(self) -> list[str]:
        """Return the workers' addresses.

        Raises:
            ClusterError: when the connection to the scheduler is lost.
        """
        return list(self._connected_client().nthreads())

    def _connected_client(self) -> Client:
        """Return the client if it is connected; one that has lost its scheduler would wait long for an answer."""
        if self.client.status != "running":
            raise self.connection_lost()
        if self.batch_jobs is not None:
            self.batch_jobs.replace_ended_jobs()
        return self.client

    def connection_lost(self) -> ClusterError:
        """Return the error for a scheduler that does not answer any more."""
        return ClusterError(
            f"{self.location}: lost the Dask scheduler; finished work is stored, start it and run the same command again"
        )


def _count_workers(dask_scheduler: Scheduler) -> tuple[int, int, int]:
    gpus = dask_scheduler.resources.get(GPU_RESOURCE, ())
    return len(dask_scheduler.workers), dask_scheduler.total_nthreads, len(gpus)


@contextmanager
def worker_pool(options: WorkOptions, sound_s: float) -> Iterator[WorkerPool]:
    """Connect to or start the workers that the options describe, until the block ends.

    Args:
        options: where the workers are.
        sound_s: seconds of audio to score.

    Raises:
        UsageError: where no workers can be started or reached.
        ClusterError: when the connection to the scheduler is lost.
    """
    with ExitStack() as stack:
        if options.owns_process:
            stack.enter_context(_silence_dask_logs())
        if options.client is not None:
            pool = _external_pool(options.client)
        else:
            stack.enter_context(dask.config.set(_SHORT_LOGS))
            pool = _start_pool(options, sound_s, stack)
        try:
            yield pool
        except (CommClosedError, CancelledError) as error:  # of any request that was under way
            raise pool.connection_lost() from error


def _start_pool(options: WorkOptions, sound_s: float, stack: ExitStack) -> WorkerPool:
    """Return a pool whose client, and whose workers but for those of a scheduler, end with the stack."""
    if options.scheduler:
        client = stack.enter_context(_connect(options.scheduler))
        return WorkerPool(client, options.scheduler, client.dashboard_link or "", shares_memory=False)
    if options.jobqueue:
        jobs = stack.enter_context(start_batch_jobs(options.jobqueue, options.workers))
        client = stack.enter_context(Client(jobs.cluster, timeout=CONNECT_TIMEOUT_S))
        location = f"jobqueue {options.jobqueue}"
        return WorkerPool(client, location, client.dashboard_link or "", shares_memory=False, batch_jobs=jobs)
    if options.in_processes and sound_s >= MIN_SOUND_FOR_PROCESSES_S:
        client = stack.enter_context(Client(stack.enter_context(local_processes(options))))
        return WorkerPool(client, "this machine", client.dashboard_link or "", shares_memory=False)
    client = stack.enter_context(Client(stack.enter_context(local_threads(options))))
    return WorkerPool(client, "this machine", "", shares_memory=True)


def _external_pool(client: Client) -> WorkerPool:
    """Return the workers of a client that belongs to the caller.

    Raises:
        UsageError: where the client cannot be used.
    """
    if client.asynchronous:
        raise UsageError("client is asynchronous: pass a distributed.Client that is not", parameter="client")
    if client.status != "running":
        raise UsageError(f"client is {client.status}: pass one that is connected to a scheduler", parameter="client")
    address = str(client.scheduler.address)
    shares_memory = address.startswith("inproc://")
    return WorkerPool(client, address, client.dashboard_link or "", shares_memory, is_external=True)


def dask_report(options: WorkOptions) -> AbstractContextManager[object]:
    """Return a context that writes Dask's performance report when it ends; an empty one where none is requested.

    Raises:
        UsageError: where a package is missing that draws the report.
    """
    if not options.performance_report:
        return nullcontext()
    if importlib.util.find_spec("bokeh") is None:
        remedy = 'python -m pip install "whalescan[cluster]"'
        raise UsageError(f"performance_report needs bokeh; {remedy}", parameter="performance_report")
    report: AbstractContextManager[object] = performance_report(filename=options.performance_report)
    return report


def _connect(scheduler: str) -> Client:
    """Connect to a scheduler, given its address or its scheduler file."""
    address = scheduler
    try:
        if "://" not in scheduler:
            address = _read_address(Path(scheduler))
        return Client(address, timeout=CONNECT_TIMEOUT_S)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        is_tls = address.startswith("tls:")
        hint = "; its certificates are set in Dask's configuration, under distributed.comm.tls" if is_tls else ""
        raise UsageError(
            f"scheduler {scheduler}: no Dask scheduler answers there ({error}){hint}", parameter="scheduler"
        ) from error


def _read_address(file: Path) -> str:
    """Return the address in a scheduler file. It is read here because Dask waits forever for one that is damaged."""
    if not file.exists():
        return str(file)  # an address without its tcp://
    content = json.loads(file.read_bytes())
    address = content.get("address") if isinstance(content, dict) else None
    if not isinstance(address, str):
        raise ValueError("a scheduler file holds its address")
    return address


@contextmanager
def _silence_dask_logs() -> Iterator[None]:
    """Silence Dask's log: whalescan reports errors itself, in one line each."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client", "tornado.application")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    except ClusterError:
        levels = []  # Dask keeps logging the lost scheduler for some time
        raise
    finally:
        for logger, level in zip(loggers, levels, strict=False):
            logger.setLevel(level)
