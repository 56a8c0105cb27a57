"""A stand-in for the network, and clients that can be killed: neither loads torch, and a client is there at once."""

from __future__ import annotations

import hashlib
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

import numpy as np
import pytest

import whalescan.cli
import whalescan.review.raven.import_review
import whalescan.survey.summary
from whalescan.audio.windows import cut, hearing
from whalescan.core import FloatArray, WindowGrid, WindowScores
from whalescan.engine import chunking, worker
from whalescan.survey.lock import alone

CHUNK_S = 4
_HURRY_S = 60
"""No client here takes longer, unless something hangs."""


@dataclass(frozen=True, slots=True)
class StandIn:
    """Scores that hang on the model's hash and on every bit of a window, and on nothing else.

    Attributes:
        diary: takes a line for each chunk when it is begun; None for no diary.
        pause_s: how long a chunk takes at least.
    """

    sha256: str
    diary: Path | None = None
    pause_s: float = 0.0
    note: str = ""

    def score(
        self, samples: FloatArray, grid: WindowGrid, n_windows: int, jumps: Sequence[int] = (), first: int = 0
    ) -> WindowScores:
        if self.diary is not None:
            with self.diary.open("a") as diary:
                diary.write(f"{hashlib.sha256(samples.tobytes()).hexdigest()}\n")
            time.sleep(self.pause_s)
        own = samples[first:]
        heard = hearing(grid, 0, n_windows, len(own), [jump - first for jump in jumps if jump > first])
        dice = [self._dice(window) for window in cut(own, grid, heard, np.arange(n_windows))]
        boxes = [(1000 * begin, 4000 - 1000 * end, 50 + 50 * low, 200 + 100 * high) for _, begin, end, low, high in dice]
        return WindowScores(
            np.array([[score] for score, *_ in dice], np.float32),
            np.array(boxes, np.float32),
            np.array([rest for _, *rest in dice], np.float32),
        )

    def _dice(self, window: FloatArray) -> list[float]:
        """Five numbers from 0 to 1."""
        digest = hashlib.blake2b(np.ascontiguousarray(window).tobytes(), key=self.sha256[:64].encode(), digest_size=20)
        return [float(number) for number in np.frombuffer(digest.digest(), "<u4") / 2**32]


def stand_in(patch: pytest.MonkeyPatch, diary: Path | None = None, pause_s: float = 0.0) -> None:
    """Let workers of this process score with a stand-in, in small chunks."""
    patch.setattr(worker, "_load_scorer", lambda _path, sha256, _device, _size, _exact: StandIn(sha256, diary, pause_s))
    patch.setattr(chunking, "CHUNK_S", CHUNK_S)


@dataclass(slots=True)
class PowerCut:
    """The end of a process when it wants a file on disk; of what it wrote there, any part may have got there.

    Attributes:
        at: how many times all goes well before.
        safe: length that each file had when it was on disk the last time.
    """

    at: int
    seed: int
    safe: dict[int, int] = field(default_factory=dict)

    def begin(self, folder: Path) -> None:
        """All that lies in a folder is on disk."""
        self.safe = {facts.st_ino: facts.st_size for path in folder.rglob("*") for facts in [path.stat()]}

    def sync(self, handle: int) -> None:
        self.at -= 1
        facts = os.fstat(handle)
        if self.at < 0:
            if stat.S_ISREG(facts.st_mode):
                safe = min(self.safe.get(facts.st_ino, 0), facts.st_size)
                os.ftruncate(handle, random.Random(self.seed).randint(safe, facts.st_size))
            os.kill(os.getpid(), signal.SIGKILL)
        self.safe[facts.st_ino] = facts.st_size


# ------------------------------------------------------------------------------------------------ clients

_fork = multiprocessing.get_context("forkserver")
_fork.set_forkserver_preload(["tests.standin", "distributed.dashboard.scheduler", "distributed.http.scheduler.info"])


@dataclass(frozen=True, slots=True)
class Client:
    """A `whalescan` of its own.

    Attributes:
        said: what it wrote to stdout and stderr.
    """

    process: BaseProcess
    said: Path

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def ends(self, timeout_s: float = _HURRY_S) -> int | None:
        """Its exit status, that of a killed process negative; None where it goes on after the time."""
        self.process.join(timeout_s)
        return self.process.exitcode

    def kill(self) -> None:
        self.process.kill()
        self.process.join(_HURRY_S)


def start(arguments: Sequence[str], folder: Path, pause_s: float = 0.0, cut: PowerCut | None = None) -> Client:
    """Start a command whose workers score with a stand-in; its diary and what it says are kept in ``folder``."""
    process = _fork.Process(target=_command, args=(list(arguments), folder, pause_s, cut), daemon=True)
    process.start()
    return Client(process, folder / "said.txt")


def start_holding(output: Path, folder: Path) -> Client:
    """Start a process that does nothing but hold a folder of results; it does when ``said`` is there."""
    process = _fork.Process(target=_hold, args=(output, folder / "said.txt"), daemon=True)
    process.start()
    return Client(process, folder / "said.txt")


def _command(arguments: list[str], folder: Path, pause_s: float, power_cut: PowerCut | None) -> None:
    said = os.open(folder / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(said, stream.fileno())
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the background of a shell has it ignored
    patch = pytest.MonkeyPatch()
    stand_in(patch, folder / "diary.txt", pause_s)
    if power_cut is not None:
        power_cut.begin(folder)
        patch.setattr(os, "fsync", power_cut.sync)
    whalescan.cli.main(arguments)


def _hold(output: Path, said: Path) -> None:
    with alone(output):
        said.touch()
        time.sleep(_HURRY_S)
