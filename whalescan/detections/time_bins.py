"""Bins of time: edges of full hours and days in a time zone, and the time that intervals have in each.

Intervals are int64 ``[n, 2]``: half-open ``[begin_ns, end_ns)`` in nanoseconds since 1970, UTC. Effort is a union of
intervals, so time that two recordings or two channels share counts once, and no bin holds more time than its length.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal

import numpy as np

from whalescan.core import IntArray, from_ns, to_ns
from whalescan.core.intervals import union

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
