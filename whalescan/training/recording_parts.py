"""Parts of a recording that are held in memory: a recording of a day at 96 kHz exceeds it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from whalescan.audio import reading
from whalescan.core import FloatArray, Recording
from whalescan.core.intervals import true_runs

_MARGIN_S = 15.0
"""Sound that is read before and behind what is wanted; a training sequence is somewhat shorter."""
_OTHER_PARTS = 60
"""Further parts that are read, of `reading.SEGMENT_S` each: half an hour, so that of a shorter recording all is read."""


@dataclass(frozen=True, slots=True)
class RecordingPart:
    """A part of a recording without a gap.

    Attributes:
        begin: its first sample, counted from the recording's first.
        samples: float32 ``[n]``, full scale is 1.
    """

    begin: int
    samples: FloatArray

    @property
    def end(self) -> int:
        """The sample behind its last."""
        return self.begin + len(self.samples)


@dataclass(frozen=True, slots=True)
class RecordingParts:
    """Parts of a recording, and what of them is missing.

    Attributes:
        parts: in the order of time.
        read_s: length of what was read, missing sound included.
        missing_s: length of what could not be read, and of drop-outs.
        problem: the first problem of the file; empty where there is none.
    """

    parts: tuple[RecordingPart, ...]
    read_s: float
    missing_s: float
    problem: str


def read_parts(
    recording: Recording, channel: int, rate_hz: int, shortest_s: float, wanted_s: Sequence[tuple[float, float]] = ()
) -> RecordingParts:
    """Read what lies around some spans, and a bounded number of other parts, which the recording's name determines.

    Args:
        recording: the recording.
        channel: 1-based.
        rate_hz: rate to which it is resampled.
        shortest_s: leave out parts that are shorter, between gaps.
        wanted_s: begin and end of the spans, in seconds.

    Raises:
        RecordingError: when the file no longer exists, or cannot be opened.
    """
    n_samples = recording.n_samples(rate_hz)
    segment_samples = reading.SEGMENT_S * rate_hz
    n_segments = -(-n_samples // segment_samples)
    is_read = np.zeros(n_segments, np.bool_)
    for begin_s, end_s in wanted_s:
        first, last = (int((at_s) // reading.SEGMENT_S) for at_s in (begin_s - _MARGIN_S, end_s + _MARGIN_S))
        is_read[max(first, 0) : last + 1] = True
    others = np.flatnonzero(~is_read)
    is_read[_random_generator(recording.name).permutation(others)[:_OTHER_PARTS]] = True
    parts: list[RecordingPart] = []
    n_read, n_missing, problem = 0, 0, ""
    for first, last in true_runs(is_read).tolist():
        begin = first * segment_samples
        sound = reading.read(recording, channel, rate_hz, begin, min(last * segment_samples, n_samples))
        is_missing = sound.is_unreadable | sound.is_dropout
        n_read, n_missing = n_read + len(is_missing), n_missing + int(is_missing.sum())
        problem = problem or next(iter(sound.problems), "")
        for from_, to in true_runs(~is_missing).tolist():
            if to - from_ >= shortest_s * rate_hz:
                parts.append(RecordingPart(begin + from_, sound.samples[from_:to].copy()))
    return RecordingParts(tuple(parts), n_read / rate_hz, n_missing / rate_hz, problem)


def _random_generator(name: str) -> np.random.Generator:
    """Return a generator that depends on the name of the recording, so that other recordings do not change its parts."""
    return np.random.default_rng([*hashlib.sha256(name.encode(errors="backslashreplace")).digest()])
