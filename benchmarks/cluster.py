"""A scheduler and workers, each a process of its own, as ``dask scheduler`` and ``dask worker`` start them on a cluster."""

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

_START_S = 60
HERE = "127.0.0.1"
_REPOSITORY = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Processes of this machine.

    Attributes:
        scheduler_file: what clients and workers find the scheduler by.
        scheduler_pid: the scheduler's process.
    """

    scheduler_file: Path
    scheduler_pid: int


@contextmanager
def cluster(n_workers: int, n_threads: int = 1, preload: str = "") -> Iterator[Cluster]:
    """A cluster of this machine, until the block ends.

    Args:
        n_workers: processes.
        n_threads: of each of them.
        preload: a module that workers load first; empty for none.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        file = Path(folder, "scheduler.json")
        of_scheduler = ("--host", HERE, "--port", "0", "--dashboard-address", f"{HERE}:0")
        scheduler = stack.enter_context(_started("scheduler", *of_scheduler, "--scheduler-file", str(file)))
        of_workers = ("--host", HERE, "--nthreads", str(n_threads), "--no-dashboard", "--memory-limit", "0")
        for _ in range(n_workers):
            loads = ("--preload", preload) if preload else ()
            stack.enter_context(
                _started("worker", "--scheduler-file", str(file), "--local-directory", folder, *of_workers, *loads)
            )
        deadline_s = time.monotonic() + _START_S
        while not file.exists() and time.monotonic() < deadline_s:
            time.sleep(0.1)
        with Client(scheduler_file=str(file), timeout=_START_S) as client:
            client.wait_for_workers(n_workers, timeout=_START_S)
        yield Cluster(file, scheduler.pid)


@contextmanager
def _started(what: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """``dask scheduler`` or ``dask worker``; asked to end when the block does."""
    process = start(what, *arguments)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start(
    what: str,
    *arguments: str,
    within: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
    log: BinaryIO | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``dask scheduler`` or ``dask worker``, which finds the modules of this repository.

    Args:
        what: ``scheduler`` or ``worker``.
        arguments: its options.
        within: a command that it is run by.
        variables: added to its environment.
        log: takes what it says; None where nobody wants to know.
    """
    command = [*within, sys.executable, "-m", f"distributed.cli.dask_{what}", *arguments]
    path = os.pathsep.join(filter(None, (str(_REPOSITORY), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, **(variables or {}), "PYTHONPATH": path}
    said = log or subprocess.DEVNULL
    return subprocess.Popen(command, env=environment, stdout=said, stderr=said)
