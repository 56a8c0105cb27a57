"""Scales and axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from whalescan.core import from_ns, to_ns
from whalescan.report.svg import Mark, Path, Text, px

_HOUR = timedelta(hours=1)
_STEPS_H = (1, 3, 6, 12, 24, 48, 168, 336)
_STEPS_MONTHS = (1, 2, 3, 6)


@dataclass(frozen=True, slots=True)
class Scale:
    """From a number to its place on the drawing; ``low`` lies at ``begin_px``."""

    low: float
    high: float
    begin_px: float
    end_px: float

    def __call__(self, number: float) -> float:
        """Where a number lies."""
        return self.begin_px + (number - self.low) / (self.high - self.low) * (self.end_px - self.begin_px)


def ceiling(highest: float, most: int = 5, finest: float = 0.0) -> float:
    """A round number at or above the highest, itself a tick of steps no finer than asked for; 1 where nothing is to show."""
    if highest <= 0:
        return 1.0
    step = max(_step(highest, most), finest)
    return step * math.ceil(highest / step - 1e-9)


def ticks(low: float, high: float, most: int = 5, finest: float = 0.0) -> list[float]:
    """Round numbers from one number to another, about ``most`` of them, and in no finer steps."""
    step = max(_step(high - low, most), finest)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [place * step for place in range(first, last + 1)]


def _step(length: float, most: int) -> float:
    """1, 2 or 5 times a power of ten, of which at most ``most`` lie in a length."""
    power: float = 10.0 ** math.floor(math.log10(length / most))
    return next(power * times for times in (1, 2, 5, 10) if power * times * most >= length * (1 - 1e-9))


def left_axis(scale: Scale, left: float, right: float, label: str, marked: Sequence[float] | None = None) -> list[Mark]:
    """Grid lines with their numbers, and what they count above the highest.

    Args:
        scale: upwards.
        left: where the grid lines begin.
        right: where they end.
        label: unit or quantity.
        marked: where the lines lie; None for round numbers.
    """
    places = ticks(scale.low, scale.high) if marked is None else marked
    marks: list[Mark] = [Path("".join(f"M{px(left)} {px(scale(place))}H{px(right)}" for place in places), "grid")]
    marks += [Text(left - 7, scale(place) + 4, f"{place:,.6g}", "end", "soft") for place in places]
    return [*marks, Text(left - 7, min(scale.begin_px, scale.end_px) - 12, label, "start", "soft")]


def bottom_axis(scale: Scale, y: float, marked: Sequence[tuple[float, str]], label: str = "") -> list[Mark]:
    """A base line with ticks and words below it.

    Args:
        scale: to the right.
        y: of the base line.
        marked: places with what stands below them.
        label: what is counted, below the words, in the middle.
    """
    d = f"M{px(scale.begin_px)} {px(y)}H{px(scale.end_px)}" + "".join(f"M{px(scale(at))} {px(y)}v4" for at, _ in marked)
    marks: list[Mark] = [Path(d, "base")]
    marks += [Text(scale(at), y + 17, text, "middle", "soft") for at, text in marked]
    middle = (scale.begin_px + scale.end_px) / 2
    return [*marks, Text(middle, y + 34, label, "middle", "soft")] if label else marks


def time_ticks(begin_ns: int, end_ns: int, most: int = 9) -> list[tuple[float, str]]:
    """Full hours, days, months or years in UTC, at most ``most`` of them, with their names."""
    begin, end = from_ns(begin_ns), from_ns(end_ns)
    step_h = next((step for step in _STEPS_H if (end - begin) / _HOUR / step <= most), None)
    if step_h is None:
        moments = _firsts(begin, end, most)
        named = [f"{moment:%Y-%m}" for moment in moments]
    else:
        moments = _rounds(begin, end, step_h)
        named = [f"{moment:%Y-%m-%d}" if moment.hour == 0 else f"{moment:%H:%M}" for moment in moments]
    return [(to_ns(moment), name) for moment, name in zip(moments, named, strict=True)]


def _rounds(begin: datetime, end: datetime, step_h: int) -> list[datetime]:
    """Every so many hours, counted from the first midnight, as far as they lie in the time."""
    moment = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    moments = []
    while moment <= end:
        if moment >= begin:
            moments.append(moment)
        moment += step_h * _HOUR
    return moments


def _firsts(begin: datetime, end: datetime, most: int) -> list[datetime]:
    """First days of months, thinned."""
    n_months = (end.year - begin.year) * 12 + end.month - begin.month
    steps = (*_STEPS_MONTHS, *(12 * years for years in range(1, 2 + n_months // 12)))
    step = next(step for step in steps if n_months / step <= most)
    first = begin.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
    months = (first.replace(year=first.year + i // 12, month=1 + i % 12) for i in range(0, n_months + 13, step))
    return [month for month in months if begin <= month <= end]
