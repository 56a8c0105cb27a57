"""Figures of the report: SVG elements, drawings, axes, legends and tables. Templates turn them into SVG and HTML.

An element names its role, such as ``analysed`` or ``night``; the style sheet says how a role looks on a light screen, on a
dark one and on paper.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from whalescan.core import from_ns, to_ns

_LETTER_PX = 6.6
"""Mean width of a letter of a drawing's text."""
_SWATCH_PX = 14
CROSS = "\u00d7"
"""Shown in place of a bar where there is no value."""
_HOUR = timedelta(hours=1)
_TICK_STEPS_H = (1, 3, 6, 12, 24, 48, 168, 336)
_TICK_STEPS_MONTHS = (1, 2, 3, 6)


@dataclass(frozen=True, slots=True)
class SvgPath:
    """Lines. One path holds a whole series, because a page of thousands of elements is slow.

    Attributes:
        d: path data as in SVG.
        role: role for the style sheet.
        width_px: stroke width; None for that of the style sheet.
    """

    d: str
    role: str
    width_px: float | None = None


@dataclass(frozen=True, slots=True)
class SvgRect:
    """A rectangle.

    Attributes:
        x, y: its upper left corner.
        role: role for the style sheet.
        tip: text shown under the mouse pointer; empty for none.
    """

    x: float
    y: float
    width: float
    height: float
    role: str
    tip: str = ""


@dataclass(frozen=True, slots=True)
class SvgText:
    """A few words; ``y`` is their base line."""

    x: float
    y: float
    text: str
    anchor: Literal["start", "middle", "end"] = "start"
    role: str = ""


@dataclass(frozen=True, slots=True)
class SvgImage:
    """A PNG, stretched to its rectangle."""

    x: float
    y: float
    width: float
    height: float
    png: bytes

    @property
    def data_uri(self) -> str:
        """The image itself as a URI that needs no network."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


SvgElement = SvgPath | SvgRect | SvgText | SvgImage


@dataclass(frozen=True, slots=True)
class Drawing:
    """SVG elements with a title and a description for screen readers.

    Attributes:
        title: name of the drawing.
        description: its content in a sentence or two.
        width, height: size of the drawing area, in the units of the elements.
        elements: later ones are drawn over earlier ones.
    """

    title: str
    description: str
    width: float
    height: float
    elements: tuple[SvgElement, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of cells as text.

    Attributes:
        columns: column heads; the first column names the rows.
        note: what is left out and where it is found; empty where nothing is.
        is_text: whether cells hold words and not numbers.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    is_text: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing with its caption and its numbers.

    Attributes:
        name: unique on the page; made of letters, digits and hyphens.
        title: a few words.
        caption: how to read the figure, and how the numbers were computed.
        drawing: None where there is nothing to draw; the caption then gives the reason.
        table: the numbers; None where there are none.
    """

    name: str
    title: str
    caption: str
    drawing: Drawing | None = None
    table: Table | None = None


def px(number: float) -> str:
    """Return a coordinate to one decimal."""
    return f"{number:.1f}".removesuffix(".0")


def bars(columns: Iterable[tuple[float, float, float]], role: str, width_px: float) -> SvgPath:
    """Return vertical bars, each ``(x of its middle, y of its base, y of its top)``; bars without height are left out."""
    d = "".join(f"M{px(x)} {px(base)}V{px(top)}" for x, base, top in columns if px(base) != px(top))
    return SvgPath(d, role, width_px)


def line(points: Iterable[tuple[float, float]], role: str) -> SvgPath:
    """Return a line through points."""
    return SvgPath("M" + "L".join(f"{px(x)} {px(y)}" for x, y in points), role)


def legend(x: float, y: float, entries: Sequence[tuple[str, str]]) -> list[SvgElement]:
    """Return a row of swatches with labels; each entry is the role of some bars and its label."""
    elements: list[SvgElement] = []
    for role, label in entries:
        elements.append(bars([(x + _SWATCH_PX / 2, y + 1, y - 11)], role, _SWATCH_PX))
        elements.append(SvgText(x + _SWATCH_PX + 6, y, label))
        x += _SWATCH_PX + 24 + len(label) * _LETTER_PX
    return elements


@dataclass(frozen=True, slots=True)
class Scale:
    """Linear scale from values to coordinates; ``low`` is drawn at ``begin_px`` and ``high`` at ``end_px``."""

    low: float
    high: float
    begin_px: float
    end_px: float

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value."""
        return self.begin_px + (value - self.low) / (self.high - self.low) * (self.end_px - self.begin_px)


def axis_end(highest: float, max_ticks: int = 5, min_step: float = 0.0) -> float:
    """Return a round number at or above the highest value, which is a tick itself; 1 where all values are 0."""
    if highest <= 0:
        return 1.0
    step = max(_tick_step(highest, max_ticks), min_step)
    return step * math.ceil(highest / step - 1e-9)


def ticks(low: float, high: float, max_ticks: int = 5, min_step: float = 0.0) -> list[float]:
    """Return about ``max_ticks`` round numbers from one number to another, at least ``min_step`` apart."""
    step = max(_tick_step(high - low, max_ticks), min_step)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _tick_step(length: float, max_ticks: int) -> float:
    """Return 1, 2 or 5 times a power of ten, of which at most ``max_ticks`` fit into a length."""
    power: float = 10.0 ** math.floor(math.log10(length / max_ticks))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor * max_ticks >= length * (1 - 1e-9))


def left_axis(scale: Scale, left: float, right: float, label: str, at: Sequence[float] | None = None) -> list[SvgElement]:
    """Return horizontal grid lines with their values, and a label above the highest.

    Args:
        scale: vertical scale.
        left: where the grid lines begin.
        right: where they end.
        label: unit or quantity.
        at: values of the grid lines; None for round numbers.
    """
    values = ticks(scale.low, scale.high) if at is None else at
    grid = "".join(f"M{px(left)} {px(scale(value))}H{px(right)}" for value in values)
    elements: list[SvgElement] = [SvgPath(grid, "grid")]
    elements += [SvgText(left - 7, scale(value) + 4, f"{value:,.6g}", "end", "soft") for value in values]
    return [*elements, SvgText(left - 7, min(scale.begin_px, scale.end_px) - 12, label, "start", "soft")]


def bottom_axis(scale: Scale, y: float, at: Sequence[tuple[float, str]], label: str = "") -> list[SvgElement]:
    """Return a base line with ticks and their labels below it.

    Args:
        scale: horizontal scale.
        y: of the base line.
        at: values of the ticks with their labels.
        label: quantity, centred below the tick labels; empty for none.
    """
    marks = "".join(f"M{px(scale(value))} {px(y)}v4" for value, _ in at)
    elements: list[SvgElement] = [SvgPath(f"M{px(scale.begin_px)} {px(y)}H{px(scale.end_px)}{marks}", "base")]
    elements += [SvgText(scale(value), y + 17, text, "middle", "soft") for value, text in at]
    middle = (scale.begin_px + scale.end_px) / 2
    return [*elements, SvgText(middle, y + 34, label, "middle", "soft")] if label else elements


def time_ticks(begin_ns: int, end_ns: int, max_ticks: int = 9) -> list[tuple[float, str]]:
    """Return at most ``max_ticks`` full hours, days, months or years in UTC, with their labels.

    Args:
        begin_ns: begin of the axis, in nanoseconds since 1970 UTC.
        end_ns: its end.
        max_ticks: largest number of ticks.
    """
    begin, end = from_ns(begin_ns), from_ns(end_ns)
    step_h = next((step for step in _TICK_STEPS_H if (end - begin) / _HOUR / step <= max_ticks), None)
    if step_h is None:
        moments = _month_ticks(begin, end, max_ticks)
        labels = [f"{moment:%Y-%m}" for moment in moments]
    else:
        moments = _hour_ticks(begin, end, step_h)
        labels = [f"{moment:%Y-%m-%d}" if moment.hour == 0 else f"{moment:%H:%M}" for moment in moments]
    return [(to_ns(moment), label) for moment, label in zip(moments, labels, strict=True)]


def _hour_ticks(begin: datetime, end: datetime, step_h: int) -> list[datetime]:
    """Return the moments from begin to end that are a multiple of ``step_h`` after the first midnight."""
    moment = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    moments = []
    while moment <= end:
        if moment >= begin:
            moments.append(moment)
        moment += step_h * _HOUR
    return moments


def _month_ticks(begin: datetime, end: datetime, max_ticks: int) -> list[datetime]:
    """Return the first days of every month, or of every few months or years."""
    n_months = (end.year - begin.year) * 12 + end.month - begin.month
    steps = (*_TICK_STEPS_MONTHS, *(12 * years for years in range(1, 2 + n_months // 12)))
    step = next(step for step in steps if n_months / step <= max_ticks)
    january = begin.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
    months = (january.replace(year=january.year + i // 12, month=1 + i % 12) for i in range(0, n_months + 13, step))
    return [month for month in months if begin <= month <= end]
