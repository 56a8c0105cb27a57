"""Commands in processes of their own, which can be killed at any moment, and start at once: they are forked from one
process that has imported what they need.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import stat
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

import whalescan.cli
import whalescan.review.raven.import_review
import whalescan.survey.run_summary
from tests.fake_scorer import use_fake_scorer
from whalescan.survey.run_folder import exclusive_access

_TIMEOUT_S = 240
"""Longer than any command here takes, however busy the machine is; one that hangs fails the test."""


@dataclass(slots=True)
class PowerCut:
    """A power cut at the n-th ``fsync``: the process dies, and of what it wrote since the last one a random part is on disk.

    Attributes:
        n_syncs_before: number of ``fsync`` calls that succeed before it.
        synced_bytes: length of each file, by inode, at its last ``fsync``.
    """

    n_syncs_before: int
    seed: int
    synced_bytes: dict[int, int] = field(default_factory=dict)

    def start(self, folder: Path) -> None:
        """Take all that is in a folder as written to disk."""
        self.synced_bytes = {facts.st_ino: facts.st_size for path in folder.rglob("*") for facts in [path.stat()]}

    def sync(self, handle: int) -> None:
        self.n_syncs_before -= 1
        facts = os.fstat(handle)
        if self.n_syncs_before < 0:
            if stat.S_ISREG(facts.st_mode):
                safe = min(self.synced_bytes.get(facts.st_ino, 0), facts.st_size)
                os.ftruncate(handle, random.Random(self.seed).randint(safe, facts.st_size))
            os.kill(os.getpid(), signal.SIGKILL)
        self.synced_bytes[facts.st_ino] = facts.st_size


_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.processes", "distributed.dashboard.scheduler", "distributed.http.scheduler.info"])


@dataclass(frozen=True, slots=True)
class CommandProcess:
    """A ``whalescan`` command that runs in a process of its own.

    Attributes:
        output_file: takes its stdout and stderr.
    """

    process: BaseProcess
    output_file: Path

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout_s: float = _TIMEOUT_S) -> int | None:
        """Return its exit status, which is negative for a killed process; None if it still runs after the time."""
        self.process.join(timeout_s)
        return self.process.exitcode

    def kill(self) -> None:
        self.process.kill()
        self.process.join(_TIMEOUT_S)


def start_command(
    arguments: Sequence[str], folder: Path, pause_s: float = 0.0, power_cut: PowerCut | None = None
) -> CommandProcess:
    """Start a command that scores with a `FakeScorer`; its chunk log and its output are written to ``folder``."""
    process = _processes.Process(target=_run_command, args=(list(arguments), folder, pause_s, power_cut), daemon=True)
    process.start()
    return CommandProcess(process, folder / "output.txt")


def start_lock_holder(output: Path, folder: Path) -> CommandProcess:
    """Start a process that only locks a folder of results; ``output_file`` exists once it has."""
    process = _processes.Process(target=_hold_lock, args=(output, folder / "output.txt"), daemon=True)
    process.start()
    return CommandProcess(process, folder / "output.txt")


def _run_command(arguments: list[str], folder: Path, pause_s: float, power_cut: PowerCut | None) -> None:
    output = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output, stream.fileno())
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the background of a shell has it ignored
    patch = pytest.MonkeyPatch()
    use_fake_scorer(patch, folder / "chunks.txt", pause_s)
    if power_cut is not None:
        power_cut.start(folder)
        patch.setattr(os, "fsync", power_cut.sync)
    whalescan.cli.main(arguments)


def _hold_lock(output: Path, locked: Path) -> None:
    with exclusive_access(output):
        locked.touch()
        time.sleep(_TIMEOUT_S)
