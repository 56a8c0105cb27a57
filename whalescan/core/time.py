"""Sample indices, UTC times, and gaps in time.

Within a recording, time is an integer sample index until it is printed; `WindowGrid` and `ColumnGrid` convert an index to
seconds. Clock
time is an aware datetime in UTC, or an integer number of nanoseconds since 1970.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from whalescan.core.errors import invalid

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ns(moment: datetime) -> int:
    """Return an aware datetime as nanoseconds since 1970 UTC, the unit in which times are compared."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def from_ns(moment_ns: int) -> datetime:
    """Return nanoseconds since 1970 as an aware datetime, rounded down to a microsecond."""
    return _EPOCH + timedelta(microseconds=moment_ns // 1000)


@dataclass(frozen=True, slots=True)
class ClockSegment:
    """A segment of a recording without a timestamp discontinuity.

    Attributes:
        first_frame: its first frame, counted from the recording's first.
        start_utc: time of that frame (aware, UTC).
    """

    first_frame: int
    start_utc: datetime


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """Windows of equal length at equal distances, counted from a recording's first sample.

    Attributes:
        rate_hz: samples per second, of the model and not of the recording.
        window_samples: length of a window.
        hop_samples: distance between the beginnings of neighbouring windows.
    """

    rate_hz: int
    window_samples: int
    hop_samples: int

    def __post_init__(self) -> None:
        if not 0 < self.hop_samples <= self.window_samples:
            raise invalid(
                "hop_s",
                self.hop_samples / self.rate_hz,
                f"a value above 0 and at most {self.window_samples / self.rate_hz:g}",
            )

    def n_windows(self, n_samples: int) -> int:
        """Return how many windows cover ``n_samples`` samples; the last may extend past the end."""
        if n_samples <= 0:
            return 0
        return 1 + max(0, -(-(n_samples - self.window_samples) // self.hop_samples))

    def begin_sample(self, window: int) -> int:
        """Return the first sample of a window."""
        return window * self.hop_samples

    def seconds(self, sample: float) -> float:
        """Return a sample index as seconds from the recording's first sample."""
        return sample / self.rate_hz


@dataclass(frozen=True, slots=True)
class ColumnGrid:
    """Columns of a detector's output: contiguous spans of equal length, counted from a recording's first sample.

    Attributes:
        rate_hz: samples per second, of the model and not of the recording.
        column_samples: length of a column.
    """

    rate_hz: int
    column_samples: int

    def n_columns(self, n_samples: int) -> int:
        """Return how many columns have their middle within ``n_samples`` samples; at least one where there is any sample."""
        return max(-(-(2 * n_samples - self.column_samples) // (2 * self.column_samples)), min(n_samples, 1))

    def begin_sample(self, column: int) -> int:
        """Return the first sample of a column."""
        return column * self.column_samples

    def middle_sample(self, column: float) -> float:
        """Return the sample in the middle of a column, which may be a fraction."""
        return (column + 0.5) * self.column_samples

    def seconds(self, sample: float) -> float:
        """Return a sample index as seconds from the recording's first sample."""
        return sample / self.rate_hz


class GapKind(StrEnum):
    """Reason why a span of time is missing from the effort, or is counted once although it was recorded twice."""

    GAP = "gap"
    OVERLAP = "overlap"
    DUTY_CYCLE = "duty_cycle"
    UNREADABLE = "unreadable"
    DROPOUT = "dropout"


@dataclass(frozen=True, slots=True)
class Gap:
    """A span of time, half open, in nanoseconds since 1970 UTC.

    Attributes:
        kind: ``gap`` and ``duty_cycle``: nothing was recorded; ``overlap``: recorded more than once; ``unreadable``:
            recorded but unreadable; ``dropout``: the recorder wrote zeros.
    """

    begin_ns: int
    end_ns: int
    kind: GapKind


@dataclass(frozen=True, slots=True)
class MissingSpan:
    """A part of a recording that was not analysed, in samples at the model's rate from its first, half open.

    Attributes:
        kind: ``unreadable`` or ``dropout``.
    """

    begin_sample: int
    end_sample: int
    kind: GapKind

    @property
    def length_samples(self) -> int:
        """Its length."""
        return self.end_sample - self.begin_sample
