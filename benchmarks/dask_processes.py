"""Dask clusters of processes, started by ``dask scheduler`` and ``dask worker`` as on a real cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from distributed import Client

_START_TIMEOUT_S = 60
HERE = "127.0.0.1"
_REPOSITORY = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class ClusterProcesses:
    """A Dask cluster on this machine.

    Attributes:
        scheduler_file: file with the scheduler's address.
        scheduler_pid: process ID of the scheduler.
    """

    scheduler_file: Path
    scheduler_pid: int


@contextmanager
def start_cluster(n_workers: int, n_threads: int = 1, preload: str = "") -> Iterator[ClusterProcesses]:
    """Start a cluster on this machine, until the block ends.

    Args:
        n_workers: number of worker processes.
        n_threads: threads of each.
        preload: module that workers load first; empty for none.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        file = Path(folder, "scheduler.json")
        scheduler_options = ("--host", HERE, "--port", "0", "--dashboard-address", f"{HERE}:0")
        scheduler = stack.enter_context(_started("scheduler", *scheduler_options, "--scheduler-file", str(file)))
        worker_options = ("--host", HERE, "--nthreads", str(n_threads), "--no-dashboard", "--memory-limit", "0")
        for _ in range(n_workers):
            loads = ("--preload", preload) if preload else ()
            stack.enter_context(
                _started("worker", "--scheduler-file", str(file), "--local-directory", folder, *worker_options, *loads)
            )
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while not file.exists() and time.monotonic() < deadline_s:
            time.sleep(0.1)
        with Client(scheduler_file=str(file), timeout=_START_TIMEOUT_S) as client:
            client.wait_for_workers(n_workers, timeout=_START_TIMEOUT_S)
        yield ClusterProcesses(file, scheduler.pid)


@contextmanager
def _started(role: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``dask scheduler`` or ``dask worker`` until the block ends."""
    process = start_dask(role, *arguments)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_START_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start_dask(
    role: str,
    *arguments: str,
    within: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
    log: BinaryIO | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``dask scheduler`` or ``dask worker``, with this repository on its path.

    Args:
        role: ``scheduler`` or ``worker``.
        arguments: its options.
        within: a command that runs it.
        variables: added to its environment.
        log: takes its output; None to discard it.
    """
    command = [*within, sys.executable, "-m", f"distributed.cli.dask_{role}", *arguments]
    path = os.pathsep.join(filter(None, (str(_REPOSITORY), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, **(variables or {}), "PYTHONPATH": path}
    output = log or subprocess.DEVNULL
    return subprocess.Popen(command, env=environment, stdout=output, stderr=output)
