"""What ``dask worker --preload`` loads first here: a stand-in for the network, and the accidents that a test asks for.

The folder that `FOLDER` in the environment names tells all workers what to do, also those that start while a run goes on:

- ``pause``: seconds that each chunk takes at least;
- ``deadly``: while it is there, sound with a sample of `DEADLY` kills the worker that scores it;
- ``stalled``: name of a recording whose disk does not answer while the file is there.

Workers leave there the hash of every chunk that they begin to score (``diary.txt``), and files named ``read-PID`` and
``scored-PID``.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distributed import Worker

from tests.standin import StandIn
from whalescan.audio import reading
from whalescan.core import FloatArray, Recording, WindowGrid, WindowScores
from whalescan.engine import worker

FOLDER = "WHALESCAN_TEST_FOLDER"
DEADLY = 0.875
"""A number that samples of 16 bits can be, and that no other sound of the tests reaches."""
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class _Mortal(StandIn):
    folder: Path = Path()

    def score(
        self, samples: FloatArray, grid: WindowGrid, n_windows: int, jumps: Sequence[int] = (), first: int = 0
    ) -> WindowScores:
        (self.folder / f"scored-{os.getpid()}").touch()
        if (self.folder / "deadly").exists() and (samples == DEADLY).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return super(_Mortal, self).score(samples, grid, n_windows, jumps, first)


def dask_setup(_worker: Worker) -> None:
    """Called by Dask when a worker starts."""
    folder = Path(os.environ[FOLDER])
    read = reading.read

    def load(_path: str, sha256: str, _device: str, _batch_size: int, _exact: bool) -> _Mortal:
        pause = folder / "pause"
        return _Mortal(sha256, folder / "diary.txt", float(pause.read_text()) if pause.exists() else 0, folder=folder)

    def watched_read(
        recording: Recording, channel: int, rate_hz: int, begin: int, end: int, after: Sequence[Recording] = ()
    ) -> reading.Sound:
        (folder / f"read-{os.getpid()}").touch()
        stalled = folder / "stalled"
        while stalled.exists() and stalled.read_text() == recording.name:
            time.sleep(_POLL_S)
        return read(recording, channel, rate_hz, begin, end, after)

    worker._load_scorer = load  # type: ignore[assignment]
    reading.read = watched_read
