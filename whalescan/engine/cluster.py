"""Who works: threads or processes of this machine, a process for each of its GPUs, a Dask cluster, or a queue's jobs."""

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
from whalescan.engine.batch_jobs import Jobs, jobs
from whalescan.engine.local_cluster import processes_here, threads_here
from whalescan.options import WorkOptions

GPU = "GPU"
"""The Dask resource of workers of a cluster that have a GPU, as ``dask worker --resources GPU=2`` says it."""
ANSWER_S = 30.0
"""How long a scheduler may take to answer."""
_FEW_S = 3600
"""Sound that is scored by threads of this process: a worker of its own would take longer to start than it saves."""
_SHORT_LOGS = {"distributed.admin.low-level-log-length": 10}
"""Dask keeps the last 1,000 messages to each worker, with their chunks: on a large cluster, those of the whole survey."""


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
        queued: the jobs of a batch system, where they are that.
    """

    client: Client
    where: str
    dashboard: str
    shares_memory: bool
    queued: Jobs | None = None

    def census(self) -> Census:
        """Count the workers.

        Raises:
            ClusterError: when the scheduler is gone.
        """
        n_workers, n_threads, n_gpus = self._connected().run_on_scheduler(_count)
        return Census(n_workers, n_threads, n_gpus > 0)

    def addresses(self) -> list[str]:
        """Where the workers are.

        Raises:
            ClusterError: when the scheduler is gone.
        """
        return list(self._connected().nthreads())

    def _connected(self) -> Client:
        """The client. One that has lost its scheduler would wait long for an answer."""
        if self.client.status != "running":
            raise self.gone()
        if self.queued is not None:
            self.queued.tend()
        return self.client

    def gone(self) -> ClusterError:
        """What to say when the scheduler does not answer any more."""
        return ClusterError(
            f"{self.where}: the Dask scheduler is gone; what was finished is kept, start it and give the same command again"
        )


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
        ClusterError: when they cannot be reached any more.
    """
    shares_memory, queued = False, None
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        stack.enter_context(dask.config.set(_SHORT_LOGS))
        if options.scheduler:
            client, where = stack.enter_context(_connected(options.scheduler)), options.scheduler
        elif options.jobqueue:
            queued = stack.enter_context(jobs(options.jobqueue, options.workers))
            client, where = stack.enter_context(Client(queued.cluster, timeout=ANSWER_S)), f"--jobqueue {options.jobqueue}"
        else:
            here = processes_here if options.in_processes and sound_s >= _FEW_S else threads_here
            shares_memory = here is threads_here
            client, where = stack.enter_context(Client(stack.enter_context(here(options)))), "this machine"
        workers = Workforce(client, where, "" if shares_memory else client.dashboard_link or "", shares_memory, queued)
        try:
            yield workers
        except (CommClosedError, CancelledError) as error:  # whatever it was asked at that moment
            raise workers.gone() from error


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
    address = scheduler
    try:
        if "://" not in scheduler:
            address = _address_in(Path(scheduler))
        return Client(address, timeout=ANSWER_S)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        hint = (
            "; certificates stand in Dask's configuration, under distributed.comm.tls" if address.startswith("tls:") else ""
        )
        raise UsageError(f"--scheduler {scheduler}: no Dask scheduler answers there ({error}){hint}") from error


def _address_in(file: Path) -> str:
    """The address that a scheduler wrote down; read here, since Dask waits for what a damaged file will never say."""
    if not file.exists():
        return str(file)  # an address without its tcp://
    written = json.loads(file.read_bytes())
    address = written.get("address") if isinstance(written, dict) else None
    if not isinstance(address, str):
        raise ValueError("a scheduler file holds its address")
    return address


@contextmanager
def _quiet() -> Iterator[None]:
    """No log lines of Dask's: what fails is reported by us, in one line."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client", "tornado.application")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    except ClusterError:
        levels = []  # Dask mourns a lost scheduler for a while yet
        raise
    finally:
        for logger, level in zip(loggers, levels, strict=False):
            logger.setLevel(level)
