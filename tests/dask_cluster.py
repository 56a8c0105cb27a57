"""``dask scheduler`` and ``dask worker`` as on a cluster: processes of their own, here on the loopback address."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from distributed import Client

from benchmarks.dask_processes import HERE, start_dask
from tests.worker_preload import FOLDER_VARIABLE

_TIMEOUT_S = 240
"""Longer than anything here takes, however busy the machine is."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Dask cluster of processes, any of which a test may kill.

    Attributes:
        folder: where its processes keep their files, and find what they shall do (`tests.worker_preload`).
        settings: Dask's configuration, as variables of the environment.
    """

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def scheduler_file(self) -> Path:
        """The scheduler file."""
        return self.folder / "scheduler.json"

    def start_scheduler(self, *options: str) -> subprocess.Popen[bytes]:
        """Start a scheduler, and wait for its file."""
        self.scheduler_file.unlink(missing_ok=True)
        port = () if "--port" in options else ("--port", "0")
        here = "--host", HERE, "--no-dashboard", *port
        process = self._start("scheduler", *here, "--scheduler-file", str(self.scheduler_file), *options)
        wait_until(self.scheduler_file.exists)
        return process

    def start_worker(
        self, *options: str, preload: str = "tests.worker_preload", blind_for: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a worker of one thread, with a nanny unless the options say otherwise; it comes when it is ready.

        Args:
            options: of ``dask worker``.
            preload: a module that it loads first; empty for none.
            blind_for: a folder of which it sees nothing.
        """
        here = "--host", HERE, "--no-dashboard", "--memory-limit", "0", "--local-directory", str(self.folder)
        threads = () if "--nthreads" in options else ("--nthreads", "1")
        loads = ("--preload", preload) if preload else ()
        arguments = "--scheduler-file", str(self.scheduler_file), *here, *threads, *loads, *options
        return self._start("worker", *arguments, blind_for=blind_for)

    def wait_for(self, n_workers: int) -> None:
        """Wait until so many workers are there."""
        with Client(scheduler_file=str(self.scheduler_file), timeout=_TIMEOUT_S) as client:
            client.wait_for_workers(n_workers, timeout=_TIMEOUT_S)

    def pids(self) -> list[int]:
        """The workers' processes."""
        with Client(scheduler_file=str(self.scheduler_file), timeout=_TIMEOUT_S) as client:
            return list(client.run(os.getpid).values())

    def nannies(self) -> list[subprocess.Popen[bytes]]:
        """Return the processes that `start_worker` has started."""
        return self._started[1:]

    def on_workers(self, work: Callable[..., None], *arguments: object) -> None:
        """Do something in every worker's process."""
        with Client(scheduler_file=str(self.scheduler_file), timeout=_TIMEOUT_S) as client:
            client.run(work, *arguments)

    def instruct(self, what: str, value: str = "") -> Path:
        """Tell the workers what to do, from now on."""
        path = self.folder / what
        path.write_text(value)
        return path

    def chunk_log(self) -> list[str]:
        """Hashes of what workers began to score."""
        path = self.folder / "chunks.txt"
        return path.read_text().split() if path.exists() else []

    def _start(self, what: str, *arguments: str, blind_for: Path | None = None) -> subprocess.Popen[bytes]:
        blind = ("unshare", "--mount", "sh", "-c", f"mount -t tmpfs none '{blind_for}' && exec \"$@\"", "sh")
        variables = {**self.variables, FOLDER_VARIABLE: str(self.folder)}
        with (self.folder / "machines.log").open("ab") as log:
            process = start_dask(what, *arguments, within=blind if blind_for else (), variables=variables, log=log)
        self._started.append(process)
        return process

    def stop(self) -> None:
        """End whatever still runs."""
        for process in self._started:
            for child in worker_processes(process):
                child.kill()
            process.kill()
            process.wait()


@contextmanager
def dask_cluster(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """A cluster of nothing yet, whose processes end with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    found = Cluster(folder, settings or {})
    try:
        yield found
    finally:
        found.stop()


def worker_processes(nanny: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The process that works for a nanny; none while it starts another."""
    try:
        children = psutil.Process(nanny.pid).children()
        return [child for child in children if any("spawn_main" in word for word in child.cmdline())]
    except psutil.Error:
        return []


def wait_until(condition: Callable[[], object], patience_s: float = _TIMEOUT_S) -> None:
    """Wait for something to become true."""
    deadline_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not so after {patience_s:g} s"
        time.sleep(0.02)
