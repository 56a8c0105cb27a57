from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalescan import Position, UsageError, WindowGrid
from whalescan.core import ColumnGrid

hops = st.integers(1, 4000)


@given(n_samples=st.integers(1, 100_000), hop=hops)
def test_windows_cover_every_sample_and_none_is_superfluous(n_samples: int, hop: int) -> None:
    grid = WindowGrid(2000, 4000, hop)
    n = grid.n_windows(n_samples)
    assert grid.begin_sample(n - 1) + 4000 >= n_samples, "the last sample is covered"
    assert n == 1 or grid.begin_sample(n - 2) + 4000 < n_samples, "without the last window it would not be"


def test_there_are_no_windows_without_samples() -> None:
    assert WindowGrid(2000, 4000, 500).n_windows(0) == 0


@pytest.mark.parametrize("hop", [0, -1, 4001])
def test_a_hop_that_leaves_gaps_is_refused(hop: int) -> None:
    with pytest.raises(UsageError, match="hop"):
        WindowGrid(2000, 4000, hop)


@given(n_samples=st.integers(1, 100_000), column=st.integers(1, 4000))
def test_columns_have_their_middles_within_the_sound(n_samples: int, column: int) -> None:
    grid = ColumnGrid(2000, column)
    n = grid.n_columns(n_samples)
    assert n == 1 or grid.middle_sample(n - 1) < n_samples
    assert grid.middle_sample(n) >= n_samples
    assert grid.begin_sample(n) - grid.begin_sample(n - 1) == column


def test_there_are_no_columns_without_samples() -> None:
    assert ColumnGrid(2000, 512).n_columns(0) == 0


@given(sample=st.integers(0, 2**40), rate=st.integers(600, 384_000))
def test_seconds_are_exact_at_whole_seconds(sample: int, rate: int) -> None:
    assert WindowGrid(rate, 2 * rate, rate).seconds(sample * rate) == sample


def test_positions_in_decimal_degrees() -> None:
    assert Position.parse("42.3, -70.2") == Position(42.3, -70.2)


@pytest.mark.parametrize("text", ["", "42.3", "42.3,-70.2,5", "north,west", "91,0", "0,181", "nan,0"])
def test_texts_that_are_no_position(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Position.parse(text)
    assert caught.value.parameter == "position"
