"""What a page asks for, taken out of its request and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import request

from whalescan.core import UsageError
from whalescan.review.page.queues import Choice, Order, Show

_LONGEST_S = 120.0
_LONGEST_NAME = 60


def body() -> dict[str, Any]:
    """What was sent, a JSON object.

    Raises:
        UsageError: as all of these do, where it is not what it must be.
    """
    said = request.get_json()
    if not isinstance(said, dict):
        raise UsageError("a request holds a JSON object")
    return said


def choice(said: Mapping[str, Any]) -> Choice:
    """What a page has chosen to judge."""
    low, high, sample = (None if said.get(name) is None else said[name] for name in ("low", "high", "sample"))
    try:
        return Choice(
            order=Order(said.get("order", Order.RECORDING)),
            show=Show(said.get("show", Show.UNREVIEWED)),
            low=None if low is None else float(low),
            high=None if high is None else float(high),
            recording=str(said.get("recording", "")),
            label=str(said.get("label", "")),
            by=None if said.get("by") is None else str(said["by"]),
            sample=None if sample is None else max(int(sample), 1),
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"such calls cannot be chosen ({error})") from error


def reviewer(text: str) -> str:
    """The name of somebody who judges."""
    name = text.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise UsageError(f"say who reviews: a name of 1 to {_LONGEST_NAME} characters")
    return name


def number(name: str, default: float) -> float:
    """A number of the address."""
    try:
        value = float(request.args.get(name, default))
    except ValueError as error:
        raise UsageError(f"{name} is a number ({error})") from error
    if not -1e12 < value < 1e12:  # also what is no number
        raise UsageError(f"{name} is no number that can be used: {value}")
    return value


def whole(name: str, default: int) -> int:
    """A whole number of the address."""
    return int(number(name, default))


def span_s() -> tuple[float, float]:
    """From when to when, in seconds from the recording's first sample."""
    begin_s, end_s = number("begin", 0.0), number("end", 0.0)
    if not 0 < end_s - begin_s <= _LONGEST_S:
        raise UsageError(f"{begin_s:g} to {end_s:g} s cannot be shown; at most {_LONGEST_S:g} s can")
    return begin_s, end_s


def band_hz() -> tuple[int, int]:
    """From where to where on the axis of frequency; no filter, and no picture, can be narrower than whole hertz."""
    low_hz, high_hz = whole("low", 0), whole("high", 1_000_000)
    if not 0 <= low_hz < high_hz:
        raise UsageError(f"{low_hz} to {high_hz} Hz is no band")
    return low_hz, high_hz
