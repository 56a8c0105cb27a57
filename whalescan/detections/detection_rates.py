"""Detections per analysed hour: by hour of the day, and over the time of a survey. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import tzinfo

import numpy as np
from scipy.special import gammaincinv

from whalescan.core import Gap, GapKind, IntArray, from_ns
from whalescan.core.intervals import subtract, union
from whalescan.detections.presence import PresenceBin, time_in_bins

_HOUR_NS = 3600 * 10**9
_BIN_LENGTHS_H = (1, 2, 3, 4, 6, 8, 12, 24, 48, 96, 168, 336, 672)
_GAP_PRIORITY = (GapKind.DROPOUT, GapKind.UNREADABLE, GapKind.DUTY_CYCLE, GapKind.GAP)
"""Where two kinds of gap overlap, the earlier one in this order counts."""


@dataclass(frozen=True, slots=True)
class HourOfDayRate:
    """Detections and effort of an hour of the day, over all days of a survey.

    Attributes:
        hour: 0 to 23, by the clock.
        n_detections: detections that begin in it and were not rejected, each time on the channel that has most of them.
        analysed_ns: analysed time in it.
    """

    hour: int
    n_detections: int
    analysed_ns: int

    @property
    def detections_per_hour(self) -> float | None:
        """Detections per analysed hour; None, and not 0, where nothing was analysed."""
        return self.n_detections * _HOUR_NS / self.analysed_ns if self.analysed_ns else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Exact 95 % interval of `detections_per_hour` for a Poisson count (Garwood 1936); None without effort.

        It assumes independent detections. Whales call in bouts, so the true interval is wider.
        """
        if not self.analysed_ns:
            return None
        low, high = poisson_interval(self.n_detections)
        return low * _HOUR_NS / self.analysed_ns, high * _HOUR_NS / self.analysed_ns


def poisson_interval(n: int) -> tuple[float, float]:
    """Return the exact 95 % interval of the mean of a Poisson distribution, given one count (Garwood 1936)."""
    return (float(gammaincinv(n, 0.025)) if n else 0.0), float(gammaincinv(n + 1, 0.975))


def hour_of_day_rates(hourly: Iterable[PresenceBin], zone: tzinfo) -> tuple[HourOfDayRate, ...]:
    """Return the rates of the 24 hours of the day.

    Args:
        hourly: full hours of the time zone.
        zone: time zone of the hours of the day. An hour that happens twice, where clocks are set back, counts twice.
    """
    n_detections, analysed_ns = [0] * 24, [0] * 24
    for hour_bin in hourly:
        hour = from_ns(hour_bin.begin_ns).astimezone(zone).hour
        n_detections[hour] += hour_bin.n_detections
        analysed_ns[hour] += hour_bin.analysed_ns
    return tuple(HourOfDayRate(*values) for values in zip(range(24), n_detections, analysed_ns, strict=True))


@dataclass(frozen=True, slots=True)
class SurveyTimeline:
    """Effort, gaps and detections in equal bins of a survey's time.

    Attributes:
        edges_ns: int64 ``[n_bins + 1]``.
        recorded_ns: int64 ``[n_bins]``.
        durations_ns: time ``analysed`` and, by the name of a `GapKind`, time that was not: int64 ``[n_bins]`` each. Their
            sum is at most the length of a bin.
        overlap_ns: time recorded more than once, int64 ``[n_bins]``.
        n_detections: int64 ``[n_bins]``, counted as in `PresenceBin.n_detections`.
    """

    edges_ns: IntArray
    recorded_ns: IntArray
    durations_ns: dict[str, IntArray]
    overlap_ns: IntArray
    n_detections: IntArray

    @property
    def bin_length_ns(self) -> int:
        """Length of each bin."""
        return int(self.edges_ns[1] - self.edges_ns[0])

    @property
    def detections_per_hour(self) -> list[float | None]:
        """Detections per analysed hour; None where nothing was analysed."""
        analysed_ns = self.durations_ns["analysed"].tolist()
        return [n * _HOUR_NS / ns if ns else None for n, ns in zip(self.n_detections.tolist(), analysed_ns, strict=True)]


def survey_timeline(
    hourly: Sequence[PresenceBin], recorded: IntArray, analysed: IntArray, gaps: Iterable[Gap], max_bins: int
) -> SurveyTimeline:
    """Return effort, gaps and detections of a survey in a bounded number of equal bins.

    Args:
        hourly: consecutive full UTC hours; at least one.
        recorded: intervals, int64 ``[n, 2]``, in nanoseconds since 1970 UTC.
        analysed: likewise.
        gaps: in any order; they may overlap.
        max_bins: largest number of bins.
    """
    length_h = _bin_length_h(len(hourly), max_bins)
    alignment_ns = min(length_h, 24) * _HOUR_NS
    first_ns = hourly[0].begin_ns // alignment_ns * alignment_ns
    n = -(-(hourly[-1].end_ns - first_ns) // (length_h * _HOUR_NS))
    edges: IntArray = first_ns + np.arange(n + 1, dtype=np.int64) * (length_h * _HOUR_NS)
    by_kind = _intervals_by_kind(gaps)
    accounted, durations = union(analysed), {"analysed": time_in_bins(analysed, edges)}
    for kind in _GAP_PRIORITY:
        remaining = subtract(by_kind[kind], accounted)
        durations[kind.value] = time_in_bins(remaining, edges)
        accounted = union(np.concatenate([accounted, remaining]))
    numbers = (np.array([hour.begin_ns for hour in hourly], np.int64) - first_ns) // (length_h * _HOUR_NS)
    n_detections = np.zeros(n, np.int64)
    np.add.at(n_detections, numbers, np.array([hour.n_detections for hour in hourly], np.int64))
    overlap = time_in_bins(by_kind[GapKind.OVERLAP], edges)
    return SurveyTimeline(edges, time_in_bins(recorded, edges), durations, overlap, n_detections)


def _bin_length_h(n_hours: int, max_bins: int) -> int:
    """Return the shortest bin length that needs at most ``max_bins``; bins of 24 h and more begin at midnight."""
    lengths = (*_BIN_LENGTHS_H, *(_BIN_LENGTHS_H[-1] * 2**i for i in range(1, 64)))
    length_h: int = next(length for length in lengths if n_hours / length <= max_bins - 1)
    return length_h


def _intervals_by_kind(gaps: Iterable[Gap]) -> dict[GapKind, IntArray]:
    """Return the gaps of each kind as int64 ``[n, 2]``."""
    intervals: dict[GapKind, list[tuple[int, int]]] = {kind: [] for kind in GapKind}
    for gap in gaps:
        intervals[gap.kind].append((gap.begin_ns, gap.end_ns))
    return {kind: np.array(some, np.int64).reshape(-1, 2) for kind, some in intervals.items()}
