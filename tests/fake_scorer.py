"""A scorer that needs no network, so that tests of runs are quick."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from whalescan.core import LOG_ODDS_STEP, BoolArray, ColumnGrid, ColumnScores, FloatArray
from whalescan.detector import batching
from whalescan.engine import chunking, worker

CHUNK_S = 4
"""Length of a chunk, and of a block: `CHUNK_COLUMNS`."""
COLUMNS = ColumnGrid(2000, 512)
CHUNK_COLUMNS = 16
REACH_SAMPLES = 4000
"""Samples before and after a column on which its score depends."""
_MIN_SAMPLES = 1000


@dataclass(frozen=True, slots=True)
class FakeScorer:
    """Scorer without a network: scores depend on the model's hash and on every bit of the sound near a column only.

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
        n_columns: int,
        *,
        is_empty: BoolArray | None = None,
        discontinuities: Sequence[int] = (),
        first_sample: int = 0,
    ) -> ColumnScores:
        if self.chunk_log is not None:
            with self.chunk_log.open("a") as log:
                log.write(f"{hashlib.sha256(samples.tobytes()).hexdigest()}\n")
            time.sleep(self.pause_s)
        scored = ColumnScores.missing(n_columns, 1)
        runs = batching.recorded_runs(len(samples), is_empty, discontinuities, _MIN_SAMPLES)
        for column in range(n_columns):
            middle = first_sample + round(COLUMNS.middle_sample(column))
            for begin, end in runs:
                if begin <= middle < end:
                    near = samples[max(begin, middle - REACH_SAMPLES) : min(end, middle + REACH_SAMPLES)]
                    score, first, last, low, high, *measures = self._random_numbers(near)
                    scored.log_odds[column] = round((16 * score - 12) / LOG_ODDS_STEP) * LOG_ODDS_STEP
                    scored.boxes[column] = -round(800 * first), 600 + round(1000 * last), 50 + 50 * low, 200 + 100 * high
                    scored.complexity[column] = measures
        return scored

    def _random_numbers(self, samples: FloatArray) -> list[float]:
        """Return nine numbers from 0 to 1."""
        digest = hashlib.blake2b(np.ascontiguousarray(samples).tobytes(), key=self.sha256[:64].encode(), digest_size=36)
        return [float(number) for number in np.frombuffer(digest.digest(), "<u4") / 2**32]


def use_fake_scorer(patch: pytest.MonkeyPatch, chunk_log: Path | None = None, pause_s: float = 0.0) -> None:
    """Let workers of this process score with a `FakeScorer`, in chunks of `CHUNK_S`."""
    patch.setattr(worker, "cached_scorer", lambda _path, sha256, _device, _size: FakeScorer(sha256, chunk_log, pause_s))
    patch.setattr(batching, "BLOCK_S", CHUNK_S)
    patch.setattr(chunking, "CHUNK_S", CHUNK_S)
