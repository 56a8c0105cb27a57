"""Workers that a batch system starts, through dask-jobqueue and as the site's own configuration of it describes a job."""

from __future__ import annotations

import importlib
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import dask

from whalescan.core import UsageError

_TENDED_EVERY_S = 15.0
_ANSWER_S = 30.0
_DEATHS = 1
"""Workers that Dask lets die of a chunk before `dispatch` tries it alone. Jobs also die of their time limit."""


class Jobs:
    """Jobs of a batch system.

    Attributes:
        cluster: Dask's view of them.
    """

    def __init__(self, cluster: Any, queue: str) -> None:
        self.cluster, self._queue = cluster, queue
        self._tended_s = time.monotonic()

    def tend(self) -> None:
        """Replace jobs that ended before they had become workers, which Dask never learns; on SLURM only."""
        if self._queue != "slurm" or time.monotonic() - self._tended_s < _TENDED_EVERY_S:
            return
        self._tended_s = time.monotonic()
        workers = tuple(map(str, self.cluster.observed))
        waited_for = {
            name: job.job_id
            for name, job in self.cluster.workers.items()
            if not any(one == name or one.startswith(f"{name}-") for one in workers)
        }
        ended = [name for name, job_id in waited_for.items() if job_id and not _is_queued(job_id)]
        if ended:
            self.cluster.sync(self.cluster.scale_down, ended)  # and adapt() asks for others


def _is_queued(job_id: str) -> bool:
    """Whether SLURM still knows a job that waits or runs; True where it gives no answer."""
    try:
        answer = subprocess.run(
            ["squeue", "--noheader", "--jobs", job_id],  # noqa: S607 - it is where sbatch is
            capture_output=True,
            text=True,
            timeout=_ANSWER_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return True
    return bool(answer.stdout.strip()) or (answer.returncode != 0 and "Invalid job id" not in answer.stderr)


@contextmanager
def jobs(queue: str, n_workers: int) -> Iterator[Jobs]:
    """Workers that are jobs; those that end at their time limit are replaced.

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
        yield Jobs(cluster, queue)
    finally:
        with suppress(AssertionError):  # dask-jobqueue 0.9 raises it when a job was refused
            cluster.close()


async def _grow(cluster: Any, n_workers: int) -> None:
    """Ask for the jobs, and wait until the batch system has taken them."""
    cluster.scale(n_workers)
    await cluster
