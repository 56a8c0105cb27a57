"""Module for ``dask worker --preload``: workers score with a `FakeScorer`, and fail as a test wants them to.

Files in the folder that the environment variable `FOLDER_VARIABLE` names tell workers what to do, also during a run:

- ``pause``: seconds that each chunk takes at least
- ``hold``: chunks that have begun do not end while the file exists
- ``deadly``: while it exists, a sample of `DEADLY_SAMPLE` kills the worker that scores it
- ``stalled``: name of a recording whose disk does not answer while the file exists

Workers write there the hash of every chunk that they begin to score (``chunks.txt``), and files named ``read-PID`` and
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

from tests.fake_scorer import CHUNK_S, COLUMNS, FakeScorer
from whalescan.audio import reading
from whalescan.core import BoolArray, ColumnScores, DiskError, FloatArray, Recording
from whalescan.detector import batching
from whalescan.engine import worker

FOLDER_VARIABLE = "WHALESCAN_TEST_FOLDER"
DEADLY_SAMPLE = 0.875
"""A value that 16-bit samples can have, and that no other sound of the tests reaches."""
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class _MortalScorer(FakeScorer):
    folder: Path = Path()

    def score(
        self,
        samples: FloatArray,
        n_columns: int,
        *,
        is_empty: BoolArray | None = None,
        discontinuities: Sequence[int] = (),
        first_sample: int = 0,
    ) -> ColumnScores:
        (self.folder / f"scored-{os.getpid()}").touch()
        own = samples[first_sample : first_sample + COLUMNS.begin_sample(n_columns)]
        if (self.folder / "deadly").exists() and (own == DEADLY_SAMPLE).any():
            os.kill(os.getpid(), signal.SIGKILL)
        scores = super(_MortalScorer, self).score(
            samples, n_columns, is_empty=is_empty, discontinuities=discontinuities, first_sample=first_sample
        )
        while (self.folder / "hold").exists():
            time.sleep(_POLL_S)
        return scores


def dask_setup(_worker: Worker) -> None:
    """Called by Dask when a worker starts."""
    folder = Path(os.environ[FOLDER_VARIABLE])
    read = reading.read

    def load(_path: str, sha256: str, _device: str, _batch_size: int) -> _MortalScorer:
        pause = folder / "pause"
        return _MortalScorer(sha256, folder / "chunks.txt", float(pause.read_text()) if pause.exists() else 0, folder=folder)

    def watched_read(
        recording: Recording, channel: int, rate_hz: int, begin: int, end: int, following: Sequence[Recording] = ()
    ) -> reading.AudioSegment:
        (folder / f"read-{os.getpid()}").touch()
        stalled = folder / "stalled"
        if stalled.exists() and stalled.read_text() == recording.name:
            raise DiskError(f"{recording.path}: its disk did not answer")
        return read(recording, channel, rate_hz, begin, end, following)

    batching.BLOCK_S = CHUNK_S
    worker.cached_scorer = load  # type: ignore[assignment]
    reading.read = watched_read
