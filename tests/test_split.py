"""Split of the examples into training and held-out groups."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalescan import UsageError
from whalescan.training.examples import Examples
from whalescan.training.split import split, split_csv


def examples(groups: Sequence[str], targets: Sequence[Sequence[int]], names: Sequence[str] = ()) -> Examples:
    n = len(groups)
    shaped = np.array(targets, np.float32).reshape(n, -1)
    return Examples(np.zeros((n, 4), np.float32), shaped, tuple(names or groups), np.arange(n) / 2, tuple(groups))


days = st.lists(
    st.tuples(st.integers(1, 9).map("2009-04-0{}".format), st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60
)
clips = st.lists(
    st.tuples(st.integers(0, 2**64 - 1).map("{:016x}".format), st.integers(0, 1), st.integers(0, 1)), max_size=30
)


@given(days, clips, st.floats(0, 0.9))
def test_groups_stay_on_one_side_in_any_order(
    recorded: list[tuple[str, int, int]], clipped: list[tuple[str, int, int]], share: float
) -> None:
    rows = recorded + clipped
    whole = examples([row[0] for row in rows], [row[1:] for row in rows])
    try:
        parts = split(whole, share)
    except UsageError:
        assert all(int(group, 16) / 2**64 < share for group in whole.groups if len(group) == 16)
        return
    np.testing.assert_array_equal(parts.training, ~parts.held_out)
    held_out = {group for group, out in zip(whole.groups, parts.held_out, strict=True) if out}
    learnt = {group for group, out in zip(whole.groups, parts.held_out, strict=True) if not out}
    assert not held_out & learnt
    backwards = examples([row[0] for row in rows[::-1]], [row[1:] for row in rows[::-1]])
    np.testing.assert_array_equal(split(backwards, share).held_out[::-1], parts.held_out)
    for group in whole.groups:
        if len(group) == 16:
            assert (group in held_out) == (int(group, 16) / 2**64 < share)
    of_days = np.array([len(group) == 10 for group in whole.groups])
    for column in range(2):
        called = of_days & (whole.targets[:, column] > 0)
        assert not called.any() or (called & parts.training).any(), "some of each class is left to learn from"


@given(st.lists(st.integers(1, 9), min_size=2, max_size=12))
def test_days_are_held_out_up_to_the_share(n_calls: list[int]) -> None:
    groups = [f"2009-05-{day:02d}" for day, n in enumerate(n_calls, start=1) for _ in range(2 * n)]
    whole = examples(groups, [[i % 2] for i in range(len(groups))])
    parts = split(whole, 0.2)
    held_out = whole.select(parts.held_out)
    assert 0 < held_out.n_calls < whole.n_calls
    if max(n_calls) <= 0.3 * sum(n_calls):
        assert 0.2 * whole.n_calls <= held_out.n_calls <= 0.5 * whole.n_calls


def test_a_large_day_stays_in_training() -> None:
    for large in range(1, 6):
        groups = [f"2009-05-0{day}" for day in range(1, 6) for _ in range(200 if day == large else 10)]
        whole = examples(groups, [[i % 2] for i in range(len(groups))])
        assert f"2009-05-0{large}" not in set(whole.select(split(whole, 0.1).held_out).groups)


def test_the_only_group_with_calls_is_not_held_out() -> None:
    assert not split(examples(["2009-04-01"] * 4, [[1], [0], [1], [0]]), 0.5).held_out.any()
    lonely = examples(["a.wav", "a.wav", "b.wav", "c.wav"], [[1], [0], [0], [0]])
    assert not split(lonely, 0.5).held_out.any()
    assert not split(examples(["a.wav", "b.wav"], [[1], [1]]), 0.0).held_out.any()


def test_background_is_held_out() -> None:
    groups = [f"{name}.wav" for name in "abcdefgh"]
    whole = examples(groups, [[1], [1], [1], [1], [0], [0], [0], [0]])
    held_out = whole.select(split(whole, 0.2).held_out)
    assert 0 < held_out.n_calls < len(held_out)


def test_named_recordings_and_groups_are_held_out() -> None:
    groups = ["2009-04-01", "2009-04-01", "2009-04-02", "c.wav", "00000000deadbeef"]
    whole = examples(groups, [[1], [0], [1], [1], [0]], ["a", "b", "d", "c", "x.aiff"])
    assert split(whole, 0.1, ("a",)).held_out.tolist() == [True, True, False, False, False]
    assert split(whole, 0.9, ("2009-04-02", "c")).held_out.tolist() == [False, False, True, True, False]
    assert split(whole, 0.1).held_out[-1], "which is held out where nothing is named"
    with pytest.raises(UsageError, match=r"2009-04-03.*2009-04-01, 2009-04-02"):
        split(whole, 0.1, ("2009-04-03", "a"))
    with pytest.raises(UsageError, match="none is left for training"):
        split(whole, 0.1, tuple(groups))


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_invalid_shares(share: float) -> None:
    with pytest.raises(UsageError, match="validation_share"):
        split(examples(["a.wav"], [[1]]), share)


def test_split_table() -> None:
    whole = examples(["2009-04-01", "00000000deadbeef"], [[1, 0], [0, 1]], ["a", "x, y.aiff"])
    table = split_csv(whole, split(whole, 0.1), ("NARW upcall", "moan")).decode()
    rows = list(csv.reader(io.StringIO(table)))
    assert rows == [
        ["clip_name", "begin_s", "group", "side", "NARW upcall", "moan"],
        ["a", "0.000000", "2009-04-01", "training", "1", "0"],
        ["x, y.aiff", "0.500000", "00000000deadbeef", "validation", "0", "1"],
    ]
