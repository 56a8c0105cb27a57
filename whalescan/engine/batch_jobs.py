"""Workers that are jobs of a batch system, started through dask-jobqueue as the site's Dask configuration describes them."""

from __future__ import annotations

import importlib
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import dask

from whalescan.core import UsageError

_CHECK_INTERVAL_S = 15.0
_SQUEUE_TIMEOUT_S = 30.0
_ALLOWED_FAILURES = 1
"""Worker deaths that Dask itself retries a chunk after; jobs also die because of their time limit."""


class BatchJobs:
    """The jobs of a batch system that are workers, or will be.

    Attributes:
        cluster: the Dask cluster that holds them.
    """

    def __init__(self, cluster: Any, batch_system: str) -> None:
        self.cluster, self._batch_system = cluster, batch_system
        self._last_check_s = time.monotonic()

    def replace_ended_jobs(self) -> None:
        """Replace jobs that ended before their worker connected, which Dask does not notice. On SLURM only."""
        if self._batch_system != "slurm" or time.monotonic() - self._last_check_s < _CHECK_INTERVAL_S:
            return
        self._last_check_s = time.monotonic()
        connected = tuple(map(str, self.cluster.observed))
        pending = {
            name: job.job_id
            for name, job in self.cluster.workers.items()
            if not any(worker == name or worker.startswith(f"{name}-") for worker in connected)
        }
        ended = [name for name, job_id in pending.items() if job_id and not _is_queued(job_id)]
        if ended:
            self.cluster.sync(self.cluster.scale_down, ended)  # adapt() then submits new jobs


def _is_queued(job_id: str) -> bool:
    """Return whether a SLURM job is pending or running; True where SLURM does not answer."""
    try:
        answer = subprocess.run(
            ["squeue", "--noheader", "--jobs", job_id],  # noqa: S607 - found on PATH, as sbatch is
            capture_output=True,
            text=True,
            timeout=_SQUEUE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return True
    return bool(answer.stdout.strip()) or (answer.returncode != 0 and "Invalid job id" not in answer.stderr)


@contextmanager
def start_batch_jobs(batch_system: str, n_workers: int) -> Iterator[BatchJobs]:
    """Start jobs that are workers, until the block ends; jobs that reach their time limit are replaced.

    Args:
        batch_system: one of `options.QUEUES`.
        n_workers: number of workers.

    Raises:
        UsageError: where Dask's configuration describes no job, or the batch system rejects it.
    """
    try:
        jobqueue = importlib.import_module("dask_jobqueue")
    except ImportError as error:
        remedy = 'python -m pip install "whalescan[cluster]"'
        raise UsageError(f"jobqueue needs dask-jobqueue; {remedy}", parameter="jobqueue") from error
    section = f"jobqueue.{batch_system}"
    missing = [name for name in ("cores", "memory") if not dask.config.get(f"{section}.{name}")]
    if missing:
        raise UsageError(
            f"jobqueue {batch_system}: Dask's configuration does not give {' and '.join(missing)} of a job; "
            f"add them to ~/.config/dask/jobqueue.yaml, under jobqueue: {batch_system}:",
            parameter="jobqueue",
        )
    settings = {
        "distributed.scheduler.allowed-failures": _ALLOWED_FAILURES,
        f"{section}.processes": dask.config.get(f"{section}.processes") or 1,  # with more, ended jobs are not replaced
        f"{section}.scheduler-options": {
            "dashboard_address": ":0",  # another run may use the default port
            **(dask.config.get(f"{section}.scheduler-options", None) or {}),
        },
    }
    with dask.config.set(settings):
        cluster = getattr(jobqueue, f"{batch_system.upper()}Cluster")()
    try:
        try:
            cluster.sync(_submit_jobs, cluster, n_workers)
        except (RuntimeError, OSError) as error:
            raise UsageError(
                f"jobqueue {batch_system}: the batch system rejected the job: {error}", parameter="jobqueue"
            ) from error
        cluster.adapt(minimum=n_workers, maximum=n_workers)  # scale() alone does not replace jobs that end
        yield BatchJobs(cluster, batch_system)
    finally:
        with suppress(AssertionError):  # dask-jobqueue 0.9 raises it after a job was rejected
            cluster.close()


async def _submit_jobs(cluster: Any, n_workers: int) -> None:
    """Submit the jobs, and wait until the batch system has accepted them."""
    cluster.scale(n_workers)
    await cluster
