"""Effort: which time was recorded and analysed, and how much of it lies in each hour and day. Pure arithmetic on integers.

Spans are int64 ``[n, 2]``: half-open ``[begin_ns, end_ns)`` in nanoseconds since 1970, UTC. Effort is a union of spans, so
that a second on which two recordings, or two channels, agree counts once, and no bin holds more time than it is long.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal

import numpy as np

from whalescan.core import IntArray, from_ns, to_ns

_HOUR_NS = 3600 * 10**9


def union(spans: IntArray) -> IntArray:
    """The same time as sorted spans that neither overlap nor touch; spans that hold no time are left out."""
    spans = spans[spans[:, 0] < spans[:, 1]]
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    ends = np.maximum.accumulate(spans[:, 1])
    # A span begins anew where nothing before it reaches it, and the one before ends with the furthest end until then.
    apart = np.flatnonzero(spans[1:, 0] > ends[:-1])
    if not len(spans):
        return spans
    return np.stack([spans[np.append(0, apart + 1), 0], ends[np.append(apart, -1)]], axis=1)


def subtract(spans: IntArray, holes: IntArray) -> IntArray:
    """The time of some spans that lies in no hole, as `union` gives it."""
    spans, holes = union(spans), union(holes)
    points = np.unique(np.concatenate([spans, holes]))
    kept = _within(points, spans) & ~_within(points, holes)  # the last point ends whatever it belongs to, and is never kept
    return union(np.stack([points[:-1], points[1:]], axis=1)[kept[:-1]])


def _within(moments: IntArray, spans: IntArray) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which moments lie in one of the spans, which are a `union`."""
    begun = np.searchsorted(spans[:, 0], moments, side="right")
    ended = np.searchsorted(spans[:, 1], moments, side="right")
    inside: np.ndarray[tuple[int], np.dtype[np.bool_]] = begun > ended
    return inside


def time_in_bins(spans: IntArray, edges: IntArray) -> IntArray:
    """Nanoseconds of a union of spans in each bin: int64 ``[max(len(edges) - 1, 0)]``.

    Args:
        spans: in any order; where they overlap, their time counts once.
        edges: ascending; bin ``i`` is ``[edges[i], edges[i + 1])``.
    """
    spans = union(spans)
    until = np.append(0, np.cumsum(spans[:, 1] - spans[:, 0]))
    begun = np.searchsorted(spans[:, 0], edges, side="right")
    # Until an edge all spans count that began before it, less what the last of them still has to come.
    ends = np.append(np.iinfo(np.int64).min, spans[:, 1])[begun]
    before: IntArray = until[begun] - (np.maximum(ends, edges) - edges)
    return np.diff(before)


def bin_edges(first_ns: int, last_ns: int, hours: Literal[1, 24], zone: tzinfo = UTC) -> IntArray:
    """Edges of the full hours or days that hold the time from a first moment to a last one, as clocks in a zone show them.

    A local day has 23 or 25 h where daylight saving begins or ends in it. An hour always has 3600 s and begins when the
    clock shows a full hour, in zones of half-hour offsets too. Only where a zone shifts its clock by a part of an hour, as
    Lord Howe Island does, one bin of the rest follows and brings the hours in step again. Every edge of a day is also the
    edge of an hour, so the hours of a day add up to it.

    Args:
        first_ns: the first moment, in nanoseconds since 1970 UTC.
        last_ns: the end, which does not belong to the time any more: effort until midnight needs no bin of the next day.
        hours: 1 for hours, 24 for days.
        zone: whose hours and days; UTC for those of ``hourly.csv`` and ``daily.csv``.

    Returns:
        int64 ``[n_bins + 1]``, ascending; empty where the last moment is not after the first.
    """
    first_ns, last_ns = int(first_ns), int(last_ns)
    if last_ns <= first_ns:
        return np.empty(0, np.int64)
    day = _clock(first_ns, zone).date() - timedelta(days=1)  # a clock set back across midnight shows its date too early
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


def _clock(moment_ns: int, zone: tzinfo) -> datetime:
    return from_ns(moment_ns).astimezone(zone)


def _midnight(day: date, zone: tzinfo) -> int:
    """When a local day begins; where daylight saving begins at midnight, that is when the clock shows 01:00."""
    first, second = (to_ns(datetime.combine(day, time(fold=fold), zone)) for fold in (0, 1))
    # Newfoundland's clocks once went back at 00:01, to 23:01 of the day before, which had not ended yet. Cuba's go back at
    # 01:00, to 00:00, and the day has begun.
    went_back_a_day = second > first and _clock(second - 1000, zone).date() < day
    return second if went_back_a_day else first


def _full_hours(begin_ns: int, end_ns: int, zone: tzinfo) -> list[int]:
    """The moments between two edges at which the clock shows a full hour, or an hour has passed since the one before."""
    edges, at = [], begin_ns
    while (at := at + _HOUR_NS - to_ns(_clock(at, zone).replace(tzinfo=UTC)) % _HOUR_NS) < end_ns:
        edges.append(at)
    return edges
