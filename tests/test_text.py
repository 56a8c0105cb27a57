"""Numbers, lengths of time and lists as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalescan.core.text import count, decimal, duration, hours, list_some, quantity


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (1.25, 1, "1.3"),
        (2.5, 0, "3"),
        (-0.04, 1, "0"),
        (1234.5, 1, "1,234.5"),
        (2.0, 1, "2"),
        (100, 0, "100"),
        (1e-7, 2, "0"),
    ],
)
def test_halves_are_rounded_up_and_trailing_zeros_left_out(value: float, places: int, text: str) -> None:
    assert decimal(value, places) == text


@given(st.floats(-1e9, 1e9), st.integers(0, 6))
def test_a_rounded_number_differs_by_at_most_half_of_the_last_decimal(value: float, places: int) -> None:
    assert abs(float(decimal(value, places).replace(",", "")) - value) <= 0.5 * 10**-places * (1 + 1e-6) + 1e-6


@pytest.mark.parametrize(
    ("seconds", "in_hours", "in_any_unit"),
    [
        (0, "0 hours", "0 seconds"),
        (1.2, "0 hours", "1 second"),
        (36, "0.01 hours", "36 seconds"),
        (59.7, "0.02 hours", "1 minute"),
        (90, "0.03 hours", "1.5 minutes"),
        (3599, "1 hour", "1 hour"),
        (4500, "1.25 hours", "1.3 hours"),
        (7200, "2 hours", "2 hours"),
        (3600 * 1234.5, "1,234.5 hours", "1,234.5 hours"),
    ],
)
def test_lengths_of_time(seconds: float, in_hours: str, in_any_unit: str) -> None:
    assert (hours(seconds), duration(seconds)) == (in_hours, in_any_unit)


def test_one_is_singular() -> None:
    assert [count(n, "detection") for n in (0, 1, 1000)] == ["0 detections", "1 detection", "1,000 detections"]
    assert count(2, "day of effort", "days of effort") == "2 days of effort"
    assert quantity(0.96, "hour", 1) == "1 hour"


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c"], "a, b and c"),
        (list("abcde"), "a, b, c and 2 more"),
    ],
)
def test_lists(names: list[str], text: str) -> None:
    assert list_some(names, limit=3) == text
