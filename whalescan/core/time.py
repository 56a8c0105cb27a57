"""Time: sample indices, moments on the clock, and what of them is missing.

Within a recording, time is an integer sample index until it is printed; `WindowGrid` is where an index becomes seconds. On
the clock, it is an aware moment in UTC, or an integer number of nanoseconds since 1970.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from whalescan.core.errors import UsageError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ns(moment: datetime) -> int:
    """An aware moment as nanoseconds since 1970, UTC: what moments are counted and compared in."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def from_ns(moment_ns: int) -> datetime:
    """Nanoseconds since 1970 as an aware moment, to the microsecond below."""
    return _EPOCH + timedelta(microseconds=moment_ns // 1000)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a recording from which on the clock runs with the samples.

    Attributes:
        first_frame: where it begins, in samples of the recording from its first.
        start_utc: when that sample was recorded (aware, UTC).
    """

    first_frame: int
    start_utc: datetime


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """Windows of equal length at equal distances, counted from a recording's first sample.

    Attributes:
        rate_hz: samples a second, of the model and not of the recording.
        window_samples: length of a window.
        hop_samples: distance between the beginnings of neighbouring windows.
    """

    rate_hz: int
    window_samples: int
    hop_samples: int

    def __post_init__(self) -> None:
        if not 0 < self.hop_samples <= self.window_samples:
            raise UsageError(
                f"a hop of {self.hop_samples / self.rate_hz:g} s does not fit windows of "
                f"{self.window_samples / self.rate_hz:g} s; choose one above 0 and at most that long"
            )

    def n_windows(self, n_samples: int) -> int:
        """Windows needed so that each of ``n_samples`` lies in at least one; the last may reach past the end."""
        if n_samples <= 0:
            return 0
        return 1 + max(0, -(-(n_samples - self.window_samples) // self.hop_samples))

    def begin_sample(self, window: int) -> int:
        """First sample of a window."""
        return window * self.hop_samples

    def seconds(self, sample: float) -> float:
        """Seconds from the recording's first sample."""
        return sample / self.rate_hz


class GapKind(StrEnum):
    """Why a stretch of time is not part of the effort, or not twice."""

    GAP = "gap"
    OVERLAP = "overlap"
    DUTY_CYCLE = "duty_cycle"
    UNREADABLE = "unreadable"
    DROPOUT = "dropout"


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of time, half open, in nanoseconds since 1970 UTC.

    Attributes:
        kind: ``gap`` and ``duty_cycle``: nothing was recorded; ``overlap``: recorded more than once; ``unreadable``:
            recorded, but not to be had; ``dropout``: the recorder wrote zeros.
    """

    begin_ns: int
    end_ns: int
    kind: GapKind


@dataclass(frozen=True, slots=True)
class Loss:
    """A part of a recording that was not analysed, in samples at the model's rate from its first, half open.

    Attributes:
        kind: ``unreadable`` or ``dropout``.
    """

    begin_sample: int
    end_sample: int
    kind: GapKind

    @property
    def n_samples(self) -> int:
        """Its length."""
        return self.end_sample - self.begin_sample
