"""A scorer that needs no network, so that tests of runs are quick."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from whalescan.audio.windows import extract_windows, window_extents
from whalescan.core import FloatArray, WindowGrid, WindowScores
from whalescan.engine import chunking, worker

CHUNK_S = 4


@dataclass(frozen=True, slots=True)
class FakeScorer:
    """Scorer without a network: scores depend on the model's hash and on every bit of a window, and on nothing else.

    Attributes:
        chunk_log: file to which each chunk's hash is appended when its scoring begins; None for no log.
        pause_s: time that each chunk takes at least.
    """

    sha256: str
    chunk_log: Path | None = None
    pause_s: float = 0.0
    note: str = ""

    def score(
        self,
        samples: FloatArray,
        grid: WindowGrid,
        n_windows: int,
        discontinuities: Sequence[int] = (),
        first_sample: int = 0,
    ) -> WindowScores:
        if self.chunk_log is not None:
            with self.chunk_log.open("a") as log:
                log.write(f"{hashlib.sha256(samples.tobytes()).hexdigest()}\n")
            time.sleep(self.pause_s)
        own = samples[first_sample:]
        heard = window_extents(
            grid, 0, n_windows, len(own), [jump - first_sample for jump in discontinuities if jump > first_sample]
        )
        numbers = [self._random_numbers(window) for window in extract_windows(own, grid, heard, np.arange(n_windows))]
        boxes = [(1000 * begin, 4000 - 1000 * end, 50 + 50 * low, 200 + 100 * high) for _, begin, end, low, high in numbers]
        return WindowScores(
            np.array([[score] for score, *_ in numbers], np.float32),
            np.array(boxes, np.float32),
            np.array([rest for _, *rest in numbers], np.float32),
        )

    def _random_numbers(self, window: FloatArray) -> list[float]:
        """Return five numbers from 0 to 1."""
        digest = hashlib.blake2b(np.ascontiguousarray(window).tobytes(), key=self.sha256[:64].encode(), digest_size=20)
        return [float(number) for number in np.frombuffer(digest.digest(), "<u4") / 2**32]


def use_fake_scorer(patch: pytest.MonkeyPatch, chunk_log: Path | None = None, pause_s: float = 0.0) -> None:
    """Let workers of this process score with a `FakeScorer`, in chunks of `CHUNK_S`."""
    patch.setattr(
        worker, "cached_scorer", lambda _path, sha256, _device, _size, _exact: FakeScorer(sha256, chunk_log, pause_s)
    )
    patch.setattr(chunking, "CHUNK_S", CHUNK_S)
