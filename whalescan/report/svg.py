"""What figures are made of: marks on a drawing, and the same numbers as a table. Templates turn them into SVG and HTML.

A mark names the role that it plays, such as ``analysed`` or ``night``; the style sheet says how that looks on a light
screen, on a dark one, and on paper.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

_LETTER_PX = 6.6
"""Mean width of a letter of a drawing's text."""
_SWATCH_PX = 14
CROSS = "\u00d7"
"""Stands where a bar cannot."""


@dataclass(frozen=True, slots=True)
class Path:
    """Lines. One path holds a whole series, however long: a page of thousands of elements is a slow page.

    Attributes:
        d: as SVG has it.
        role: its look.
        width_px: of the line; None for the style sheet's.
    """

    d: str
    role: str
    width_px: float | None = None


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle.

    Attributes:
        x, y: its upper left corner.
        role: its look.
        tip: shown where a mouse rests on it.
    """

    x: float
    y: float
    width: float
    height: float
    role: str
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """A word or a few; ``y`` is the line that they stand on."""

    x: float
    y: float
    text: str
    anchor: Literal["start", "middle", "end"] = "start"
    role: str = ""


@dataclass(frozen=True, slots=True)
class Raster:
    """A PNG, stretched to its rectangle."""

    x: float
    y: float
    width: float
    height: float
    png: bytes

    @property
    def address(self) -> str:
        """The picture itself, as an address that needs no network."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


Mark = Path | Box | Text | Raster


@dataclass(frozen=True, slots=True)
class Drawing:
    """Marks, and what to tell somebody who does not see them.

    Attributes:
        title: what it is.
        description: what it says, in a sentence or two.
        width, height: of the paper on which the marks lie, in pixels of no particular size.
        marks: the later above the earlier.
    """

    title: str
    description: str
    width: float
    height: float
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Numbers as text.

    Attributes:
        columns: their heads; the first names the rows.
        note: what is left out, and where it stands; empty where nothing is.
        is_text: whether cells are words, not numbers.
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
        caption: how to read it, and how the numbers were made.
        drawing: None where there is nothing to draw; the caption then says why.
        table: the numbers; None where there are none.
    """

    name: str
    title: str
    caption: str
    drawing: Drawing | None = None
    table: Table | None = None


def px(number: float) -> str:
    """A coordinate, to a tenth."""
    return f"{number:.1f}".removesuffix(".0")


def bars(columns: Iterable[tuple[float, float, float]], role: str, width_px: float) -> Path:
    """Upright bars, each ``(x of its middle, y of its foot, y of its head)``; those without height are left out."""
    d = "".join(f"M{px(x)} {px(foot)}V{px(head)}" for x, foot, head in columns if px(foot) != px(head))
    return Path(d, role, width_px)


def line(points: Iterable[tuple[float, float]], role: str) -> Path:
    """A line through points."""
    return Path("M" + "L".join(f"{px(x)} {px(y)}" for x, y in points), role)


def legend(x: float, y: float, entries: Sequence[tuple[str, str]]) -> list[Mark]:
    """A row of swatches with words; each entry is a role, as it looks in bars, and its name."""
    marks: list[Mark] = []
    for role, name in entries:
        marks.append(bars([(x + _SWATCH_PX / 2, y + 1, y - 11)], role, _SWATCH_PX))
        marks.append(Text(x + _SWATCH_PX + 6, y, name))
        x += _SWATCH_PX + 24 + len(name) * _LETTER_PX
    return marks
