"""Half-open intervals in integer arrays: runs of true values, union, difference, membership.

Intervals are int64 ``[n, 2]``, each ``[begin, end)``, in samples, windows or nanoseconds.
"""

from __future__ import annotations

import numpy as np

from whalescan.core.recording import BoolArray, IntArray


def true_runs(values: BoolArray) -> IntArray:
    """Return the runs of true values, longest possible and in order: int64 ``[n, 2]``, each ``[begin, end)``.

    Args:
        values: bool ``[n_values]``.
    """
    edges = np.flatnonzero(np.diff(values, prepend=False, append=False))
    return edges.astype(np.int64).reshape(-1, 2)


def union(intervals: IntArray) -> IntArray:
    """Return the union as sorted intervals that neither overlap nor touch. Empty intervals are dropped.

    Args:
        intervals: int64 ``[n, 2]`` in any order.
    """
    intervals = intervals[intervals[:, 0] < intervals[:, 1]]
    intervals = intervals[np.argsort(intervals[:, 0], kind="stable")]
    if not len(intervals):
        return intervals
    ends = np.maximum.accumulate(intervals[:, 1])
    # An interval of the union begins where no earlier one reaches it; the one before ends at the furthest end so far.
    separate = np.flatnonzero(intervals[1:, 0] > ends[:-1])
    return np.stack([intervals[np.append(0, separate + 1), 0], ends[np.append(separate, -1)]], axis=1)


def subtract(intervals: IntArray, holes: IntArray) -> IntArray:
    """Return the parts of the intervals outside all holes, as a `union`.

    Args:
        intervals: int64 ``[n, 2]`` in any order.
        holes: likewise.
    """
    intervals, holes = union(intervals), union(holes)
    points = np.unique(np.concatenate([intervals, holes]))
    # The last point ends an interval or a hole, so nothing begins there.
    is_kept = contains(intervals, points[:-1]) & ~contains(holes, points[:-1])
    return union(np.stack([points[:-1], points[1:]], axis=1)[is_kept])


def contains(intervals: IntArray, points: IntArray) -> BoolArray:
    """Return which points lie in one of the intervals: bool ``[n_points]``.

    Args:
        intervals: int64 ``[n, 2]``, a `union`.
        points: int64 ``[n_points]`` in any order.
    """
    n_begun = np.searchsorted(intervals[:, 0], points, side="right")
    n_ended = np.searchsorted(intervals[:, 1], points, side="right")
    is_inside: BoolArray = n_begun > n_ended
    return is_inside
