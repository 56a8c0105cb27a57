"""Runs of true values and interval arithmetic, compared with sets of integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from whalescan.core import BoolArray, IntArray
from whalescan.core.intervals import contains, subtract, true_runs, union

_BOOLS = hnp.arrays(np.bool_, st.integers(0, 40))
_INTERVALS = hnp.arrays(np.int64, st.tuples(st.integers(0, 8), st.just(2)), elements=st.integers(-20, 20))


def _points(intervals: IntArray) -> set[int]:
    return {point for begin, end in intervals.tolist() for point in range(begin, end)}


def _is_union(intervals: IntArray) -> bool:
    """Return whether intervals are sorted, not empty, and neither overlap nor touch."""
    return bool((np.diff(intervals.ravel()) > 0).all())


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([False, False], []),
        ([True], [[0, 1]]),
        ([True, True, False, True], [[0, 2], [3, 4]]),
        ([False, True, True], [[1, 3]]),
    ],
)
def test_true_runs_of_known_values(values: list[bool], expected: list[list[int]]) -> None:
    runs = true_runs(np.array(values, np.bool_))
    assert runs.dtype == np.int64
    assert runs.shape == (len(expected), 2)
    assert runs.tolist() == expected


@given(_BOOLS)
def test_true_runs_hold_all_true_values_and_are_as_long_as_possible(values: BoolArray) -> None:
    runs = true_runs(values)
    assert _points(runs) == set(np.flatnonzero(values).tolist())
    assert _is_union(runs)


@given(_INTERVALS)
def test_union_holds_the_same_points(intervals: IntArray) -> None:
    merged = union(intervals)
    assert _points(merged) == _points(intervals)
    assert _is_union(merged)
    assert merged.dtype == np.int64


@given(_INTERVALS, _INTERVALS)
def test_subtract_is_the_difference_of_sets(intervals: IntArray, holes: IntArray) -> None:
    left = subtract(intervals, holes)
    assert _points(left) == _points(intervals) - _points(holes)
    assert _is_union(left)


@given(_INTERVALS, hnp.arrays(np.int64, st.integers(0, 20), elements=st.integers(-22, 22)))
def test_contains_is_membership(intervals: IntArray, points: IntArray) -> None:
    own = _points(intervals)
    assert contains(union(intervals), points).tolist() == [point in own for point in points.tolist()]
