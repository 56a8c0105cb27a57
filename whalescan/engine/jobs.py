"""Workers that a batch system starts, through dask-jobqueue and as the site's own configuration of it describes a job."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import dask

from whalescan.core import UsageError

_DEATHS = 1
"""Workers that Dask lets die of a chunk before `dispatch` tries it alone. Jobs also die of their time limit."""


@contextmanager
def jobs(queue: str, n_workers: int) -> Iterator[Any]:
    """A cluster whose workers are jobs; those that end at their time limit are replaced.

    Args:
        queue: one of `config.QUEUES`.
        n_workers: how many workers there shall be.

    Raises:
        UsageError: where no job is described, or the batch system refuses it.
    """
    try:
        jobqueue = importlib.import_module("dask_jobqueue")
    except ImportError as error:
        raise UsageError('--jobqueue needs dask-jobqueue; python -m pip install "whalescan[cluster]"') from error
    about = f"jobqueue.{queue}"
    missing = [name for name in ("cores", "memory") if not dask.config.get(f"{about}.{name}")]
    if missing:
        raise UsageError(
            f"--jobqueue {queue}: Dask's configuration does not say {' and '.join(missing)} of a job; "
            f"write them into ~/.config/dask/jobqueue.yaml, under jobqueue: {queue}:"
        )
    settings = {
        "distributed.scheduler.allowed-failures": _DEATHS,
        f"{about}.processes": dask.config.get(f"{about}.processes") or 1,  # with more, jobs that end are not replaced
        f"{about}.scheduler-options": {
            "dashboard_address": ":0",  # the usual port may be another run's
            **(dask.config.get(f"{about}.scheduler-options", None) or {}),
        },
    }
    with dask.config.set(settings):
        cluster = getattr(jobqueue, f"{queue.upper()}Cluster")()
    try:
        try:
            cluster.sync(_grow, cluster, n_workers)
        except (RuntimeError, OSError) as error:
            raise UsageError(f"--jobqueue {queue}: takes no job: {error}") from error
        cluster.adapt(minimum=n_workers, maximum=n_workers)  # scale() alone does not replace jobs that end
        yield cluster
    finally:
        with suppress(AssertionError):  # dask-jobqueue 0.9 raises it when a job was refused
            cluster.close()


async def _grow(cluster: Any, n_workers: int) -> None:
    """Ask for the jobs, and wait until the batch system has taken them."""
    cluster.scale(n_workers)
    await cluster
