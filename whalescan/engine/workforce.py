"""Who works: threads or processes of this machine, a process for each of its GPUs, a Dask cluster, or a queue's jobs."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from distributed import Client, Scheduler, performance_report

from whalescan.config import WorkOptions
from whalescan.core import UsageError
from whalescan.engine.jobs import jobs
from whalescan.engine.machine import GPU, processes_here, threads_here

ANSWER_S = 30.0
"""How long a scheduler may take to answer."""
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
    shares_memory = False
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        if options.scheduler:
            client, where = stack.enter_context(_connected(options.scheduler)), options.scheduler
        elif options.jobqueue:
            cluster = stack.enter_context(jobs(options.jobqueue, options.workers))
            client, where = stack.enter_context(Client(cluster, timeout=ANSWER_S)), f"--jobqueue {options.jobqueue}"
        else:
            here = processes_here if options.in_processes and sound_s >= _FEW_S else threads_here
            shares_memory = here is threads_here
            client, where = stack.enter_context(Client(stack.enter_context(here(options)))), "this machine"
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


@contextmanager
def _quiet() -> Iterator[None]:
    """No log lines of Dask's: what fails is reported by us, in one line."""
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado.application")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
