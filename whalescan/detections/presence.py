"""Presence of whales in hours and days, from the detections and the effort in each. Pure arithmetic.

Presence needs evidence and absence needs effort. A detection that a reviewer confirmed is evidence, and enough of them make
a bin ``DETECTED``; unreviewed detections alone never do. Where nothing was analysed, nothing is stated about presence.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from typing import Literal

import numpy as np

from whalescan.core import IntArray, from_ns, invalid, to_ns
from whalescan.core.intervals import union
from whalescan.core.text import count

_HOUR_NS = 3600 * 10**9


def time_in_bins(intervals: IntArray, edges: IntArray) -> IntArray:
    """Return the nanoseconds of a union of intervals in each bin: int64 ``[max(len(edges) - 1, 0)]``.

    Args:
        intervals: int64 ``[n, 2]`` in any order; where they overlap, their time counts once.
        edges: ascending; bin ``i`` is ``[edges[i], edges[i + 1])``.
    """
    intervals = union(intervals)
    total_before = np.append(0, np.cumsum(intervals[:, 1] - intervals[:, 0]))
    n_begun = np.searchsorted(intervals[:, 0], edges, side="right")
    # Time before an edge: all intervals that began before it, less the part of the last one that lies after the edge.
    ends = np.append(np.iinfo(np.int64).min, intervals[:, 1])[n_begun]
    before: IntArray = total_before[n_begun] - (np.maximum(ends, edges) - edges)
    return np.diff(before)


def bin_edges(first_ns: int, last_ns: int, hours: Literal[1, 24], zone: tzinfo = UTC) -> IntArray:
    """Return the edges of the full hours or days, by the clock of a time zone, that hold a span of time.

    A local day has 23 or 25 h where daylight saving time begins or ends in it. An hour always has 3600 s and begins when the
    clock shows a full hour, also in zones with half-hour offsets. Where a zone shifts its clock by a part of an hour, as
    Lord Howe Island does, one shorter bin follows, after which hours begin on the full hour again. Every edge of a day is
    also an edge of an hour, so the hours of a day add up to it.

    Args:
        first_ns: begin of the span, in nanoseconds since 1970 UTC.
        last_ns: end of the span, exclusive: effort until midnight needs no bin of the next day.
        hours: 1 for hours, 24 for days.
        zone: time zone of the bins; UTC for ``hourly.csv`` and ``daily.csv``.

    Returns:
        int64 ``[n_bins + 1]``, ascending; empty where the span is empty.
    """
    first_ns, last_ns = int(first_ns), int(last_ns)
    if last_ns <= first_ns:
        return np.empty(0, np.int64)
    day = _local_time(first_ns, zone).date() - timedelta(days=1)  # a clock set back across midnight shows its date early
    edges = [_midnight(day, zone)]
    while edges[-1] < last_ns:
        day += timedelta(days=1)
        midnight = _midnight(day, zone)
        if hours == 1:
            edges += _full_hours(edges[-1], midnight, zone)
        edges.append(midnight)
    unique = np.unique(np.array(edges, np.int64))  # a day that a zone skipped, as Samoa did at the date line, has no length
    begin, end = np.searchsorted(unique, first_ns, side="right") - 1, np.searchsorted(unique, last_ns, side="left")
    return unique[begin : end + 1]


def _local_time(moment_ns: int, zone: tzinfo) -> datetime:
    return from_ns(moment_ns).astimezone(zone)


def _midnight(day: date, zone: tzinfo) -> int:
    """Return when a local day begins; where daylight saving time begins at midnight, that is 01:00 by the clock."""
    first, second = (to_ns(datetime.combine(day, time(fold=fold), zone)) for fold in (0, 1))
    # Newfoundland's clocks once went back at 00:01 to 23:01 of the day before, which had not ended yet. Cuba's go back at
    # 01:00 to 00:00 of the same day, which has begun.
    went_back_a_day = second > first and _local_time(second - 1000, zone).date() < day
    return second if went_back_a_day else first


def _full_hours(begin_ns: int, end_ns: int, zone: tzinfo) -> list[int]:
    """Return the moments between two edges at which the clock shows a full hour, at most 1 h after one another."""
    edges, moment_ns = [], begin_ns
    while (moment_ns := moment_ns + _HOUR_NS - to_ns(_local_time(moment_ns, zone).replace(tzinfo=UTC)) % _HOUR_NS) < end_ns:
        edges.append(moment_ns)
    return edges


class Presence(StrEnum):
    """Presence in a bin, in the codes of NOAA's Passive Acoustic Reporting System (PARS)."""

    DETECTED = "DETECTED"
    POSSIBLY_DETECTED = "POSSIBLY_DETECTED"
    NOT_DETECTED = "NOT_DETECTED"
    NOT_AVAILABLE = "NOT_AVAILABLE"


@dataclass(frozen=True, slots=True)
class PresenceRule:
    """Rule for ``DETECTED``. Surveys of right whales commonly require three validated upcalls a day.

    Attributes:
        min_validated: confirmed detections that a bin needs; at least 1, because a detector alone does not prove presence.
    """

    min_validated: int = 3

    def __post_init__(self) -> None:
        if self.min_validated < 1:
            raise invalid("min_validated", self.min_validated, "at least 1")

    @property
    def description(self) -> str:
        """The rule in words; it is printed wherever its results are."""
        return (
            f"DETECTED: at least {count(self.min_validated, 'validated detection')} on one channel; POSSIBLY_DETECTED: "
            "other detections that are not rejected; NOT_DETECTED: analysed, without detections that are not rejected; "
            "NOT_AVAILABLE: nothing was analysed."
        )

    def result(self, n_validated: int, n_detections: int, analysed_ns: int) -> Presence:
        """Return the presence in a bin.

        Effort is considered last: a call that a reviewer found in sound that was not analysed still counts.

        Args:
            n_validated: detections that a reviewer confirmed.
            n_detections: detections that were not rejected.
            analysed_ns: analysed time in the bin.
        """
        if n_validated >= self.min_validated:
            return Presence.DETECTED
        if n_detections:
            return Presence.POSSIBLY_DETECTED
        return Presence.NOT_DETECTED if analysed_ns else Presence.NOT_AVAILABLE


@dataclass(frozen=True, slots=True)
class CountedDetection:
    """Fields of a detection that presence depends on.

    Attributes:
        begin_ns: its begin, in nanoseconds since 1970 UTC.
        channel: 1-based.
        score: 0 to 1; None for a call that only a reviewer found.
        review: ``yes``, ``no``, ``maybe`` or ``unreviewed``.
    """

    begin_ns: int
    channel: int
    score: float | None
    review: str


@dataclass(frozen=True, slots=True)
class PresenceBin:
    """An hour or a day: its effort, its detections and the presence that follows.

    Attributes:
        begin_ns, end_ns: half open, in nanoseconds since 1970 UTC.
        recorded_ns, analysed_ns: recorded and analysed time on any channel; at most the length of the bin.
        n_detections: detections that begin in the bin and were not rejected, on the channel that has most of them.
        n_validated: detections that a reviewer confirmed, on the channel that has most of them.
        max_score: highest score of the detections on any channel that were not rejected; None where there are none.
        result: presence by the rule.
    """

    begin_ns: int
    end_ns: int
    recorded_ns: int
    analysed_ns: int
    n_detections: int
    n_validated: int
    max_score: float | None
    result: Presence

    @property
    def detections_per_hour(self) -> float | None:
        """Detections per analysed hour; None, and not 0, where nothing was analysed."""
        return self.n_detections * _HOUR_NS / self.analysed_ns if self.analysed_ns else None


def presence_bins(
    edges: IntArray, recorded: IntArray, analysed: IntArray, detections: Iterable[CountedDetection], rule: PresenceRule
) -> list[PresenceBin]:
    """Return every bin between the first edge and the last, with or without detections and effort.

    Args:
        edges: int64, from `bin_edges`; without edges there are no bins.
        recorded: intervals, int64 ``[n, 2]``, in any order, of all recordings and channels; their union counts.
        analysed: likewise.
        detections: of one class, in any order; those that begin outside the bins are not counted.
        rule: rule for ``DETECTED``.
    """
    not_rejected = [detection for detection in detections if detection.review != "no"]
    begins_ns = np.array([detection.begin_ns for detection in not_rejected], np.int64)
    by_bin: dict[int, list[CountedDetection]] = defaultdict(list)
    for number, detection in zip((np.searchsorted(edges, begins_ns, side="right") - 1).tolist(), not_rejected, strict=True):
        by_bin[number].append(detection)
    efforts = zip(
        edges[:-1].tolist(),
        edges[1:].tolist(),
        time_in_bins(recorded, edges).tolist(),
        time_in_bins(analysed, edges).tolist(),
        strict=True,
    )
    return [_presence_bin(*effort, by_bin.get(number, ()), rule) for number, effort in enumerate(efforts)]


def _presence_bin(
    begin_ns: int,
    end_ns: int,
    recorded_ns: int,
    analysed_ns: int,
    not_rejected: Sequence[CountedDetection],
    rule: PresenceRule,
) -> PresenceBin:
    n_detections = _n_on_best_channel(not_rejected)
    n_validated = _n_on_best_channel(detection for detection in not_rejected if detection.review == "yes")
    return PresenceBin(
        begin_ns=begin_ns,
        end_ns=end_ns,
        recorded_ns=recorded_ns,
        analysed_ns=analysed_ns,
        n_detections=n_detections,
        n_validated=n_validated,
        max_score=max((detection.score for detection in not_rejected if detection.score is not None), default=None),
        result=rule.result(n_validated, n_detections, analysed_ns),
    )


def _n_on_best_channel(detections: Iterable[CountedDetection]) -> int:
    """Return the largest number of detections on any channel: a call that reached four hydrophones is one call."""
    return max(Counter(detection.channel for detection in detections).values(), default=0)
