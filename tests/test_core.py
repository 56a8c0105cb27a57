from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalescan import UsageError, WindowGrid

hops = st.integers(1, 4000)


@given(n_samples=st.integers(1, 100_000), hop=hops)
def test_every_sample_lies_in_a_window_and_no_window_is_wasted(n_samples: int, hop: int) -> None:
    grid = WindowGrid(2000, 4000, hop)
    n = grid.n_windows(n_samples)
    assert grid.begin_sample(n - 1) + 4000 >= n_samples, "the last sample is covered"
    assert n == 1 or grid.begin_sample(n - 2) + 4000 < n_samples, "without the last window it would not be"


def test_no_sound_no_windows() -> None:
    assert WindowGrid(2000, 4000, 500).n_windows(0) == 0


@pytest.mark.parametrize("hop", [0, -1, 4001])
def test_a_hop_that_would_leave_holes_is_refused(hop: int) -> None:
    with pytest.raises(UsageError, match="hop"):
        WindowGrid(2000, 4000, hop)


@given(sample=st.integers(0, 2**40), rate=st.integers(600, 384_000))
def test_seconds_are_exact_at_whole_seconds(sample: int, rate: int) -> None:
    assert WindowGrid(rate, 2 * rate, rate).seconds(sample * rate) == sample
