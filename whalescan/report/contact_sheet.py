"""Contact sheets: calls as pictures with axes, box, and the complexity of the same seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whalescan.report import axes
from whalescan.report.axes import Scale
from whalescan.report.report_data import Complexity, Exhibit, Sheet
from whalescan.report.spectrogram import Picture
from whalescan.report.svg import Box, Drawing, Mark, Path, Raster, Table, Text, line
from whalescan.report.text import moment, offset, score

_WIDTH_PX, _LEFT_PX, _RIGHT_PX = 420.0, 40.0, 414.0
_TOP_PX, _FOOT_PX = 24.0, 184.0
_LINES_TOP_PX, _LINES_FOOT_PX, _END_PX = 240.0, 300.0, 326.0
_COMPLEXITIES = ("H", "C_SQ", "C_JSD", "C_TV")
"""In the order of `Complexity.values`."""
_SERIES = (("1 - H", "c-h"), ("C_SQ", "c-sq"), ("C_JSD", "c-jsd"), ("C_TV", "c-tv"))
_LEAST_TOP = 0.2
"""An axis reaches at least so far, so that noise looks as flat as it is."""
"""Roles differ in colour and in dashes."""

_Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shown:
    """A call as a sheet shows it.

    Attributes:
        name: unique on the page.
        exhibit: what is shown.
        drawing: None where the sound cannot be read; the exhibit's note then says why.
        score, when, place: as words; the place is an offset in the recording.
    """

    name: str
    exhibit: Exhibit
    drawing: Drawing | None
    score: str
    when: str
    place: str


@dataclass(frozen=True, slots=True)
class Pinned:
    """A contact sheet, ready to be shown.

    Attributes:
        name: unique on the page.
        table: what stands below the pictures, and the complexity amid each call.
    """

    name: str
    title: str
    rule: str
    shown: tuple[Shown, ...]
    table: Table


def pinned(place: int, sheet: Sheet) -> Pinned:
    """A sheet, ready to be shown; ``place`` is its number among all."""
    name = f"sheet-{place}"
    shown = tuple(_shown(f"{name}-{i}", exhibit) for i, exhibit in enumerate(sheet.exhibits, 1))
    return Pinned(name, sheet.title, sheet.rule, shown, _table(shown))


def _shown(name: str, exhibit: Exhibit) -> Shown:
    call = exhibit.call
    drawing = None if exhibit.picture is None else _drawing(exhibit, exhibit.picture)
    return Shown(name, exhibit, drawing, score(call.score), moment(exhibit.start_utc), offset(call.begin_s))


def _drawing(exhibit: Exhibit, picture: Picture) -> Drawing:
    call, frame = exhibit.call, picture.frame
    x = Scale(frame.begin_s - call.begin_s, frame.end_s - call.begin_s, _LEFT_PX, _RIGHT_PX)
    y = Scale(frame.low_hz, frame.high_hz, _FOOT_PX, _TOP_PX)
    marks: list[Mark] = [Raster(_LEFT_PX, _TOP_PX, _RIGHT_PX - _LEFT_PX, _FOOT_PX - _TOP_PX, picture.png)]
    marks += [Text(_LEFT_PX - 6, y(at) + 4, f"{at:g}", "end", "soft") for at in axes.ticks(frame.low_hz, frame.high_hz, 4)]
    marks.append(Text(0, _TOP_PX - 9, "Hz", "start", "soft"))
    # What reaches past the picture ends at its edge.
    left, right = max(x(0), _LEFT_PX), min(x(call.end_s - call.begin_s), _RIGHT_PX)
    high, low = max(y(call.high_hz), _TOP_PX), min(y(call.low_hz), _FOOT_PX)
    marks += [Box(left, high, max(right - left, 0), max(low - high, 0), role) for role in ("halo", "call")]
    seconds = [(at, f"{at:g}") for at in axes.ticks(x.low, x.high, 7)]
    marks += axes.bottom_axis(x, _FOOT_PX, seconds, "seconds from the start of the call")
    if exhibit.complexity is not None:
        marks += _complexity(exhibit.complexity, call.begin_s, x)
    description = (
        f"{call.label}, score {score(call.score)}, {moment(exhibit.start_utc)}, {offset(call.begin_s)} into "
        f"{call.recording}; box {call.end_s - call.begin_s:.2f} s long, {call.low_hz:.0f} to {call.high_hz:.0f} Hz; "
        f"review: {call.review}."
    )
    height = _FOOT_PX + 40 if exhibit.complexity is None else _END_PX
    return Drawing(f"Spectrogram of {call.detection_id}", description, _WIDTH_PX, height, tuple(marks))


def _complexity(complexity: Complexity, begin_s: float, x: Scale) -> list[Mark]:
    """Four lines on the picture's own time axis: how far the sound is from no order at all, where each of them is 0."""
    values = complexity.values.astype(np.float64)
    values[:, 0] = 1 - values[:, 0]
    highest = float(np.nanmax(values, initial=_LEAST_TOP))
    y = Scale(0, axes.ceiling(highest, 2), _LINES_FOOT_PX, _LINES_TOP_PX)
    marks = axes.left_axis(y, _LEFT_PX, _RIGHT_PX, "", [0, y.high / 2, y.high])
    at_px = _LEFT_PX
    for i, (name, role) in enumerate(_SERIES):
        marks += [line(run, role) for run in _runs(complexity.middles_s - begin_s, values[:, i], x, y)]
        marks += [Path(f"M{at_px:g} {_END_PX - 8:g}h26", role), Text(at_px + 32, _END_PX - 4, name)]
        at_px += 94
    return marks


def _runs(seconds: _Numbers, values: _Numbers, x: Scale, y: Scale) -> list[list[tuple[float, float]]]:
    """A series as lines within the picture, broken where windows hold no sound."""
    runs: list[list[tuple[float, float]]] = [[]]
    for at, value in zip(seconds.tolist(), values.tolist(), strict=True):
        if math.isnan(value) or not x.low <= at <= x.high:
            runs.append([])
        else:
            runs[-1].append((x(at), y(value)))
    return [run for run in runs if len(run) > 1]


def _table(shown: tuple[Shown, ...]) -> Table:
    columns = ("Detection ID", "Score", "Begin (UTC)", "Recording", "Channel", "Offset", "Low (Hz)", "High (Hz)", "Label")
    rows = tuple((*_row(one), *_amid(one.exhibit)) for one in shown)
    note = "H, C_SQ, C_JSD and C_TV are those of the window whose middle is nearest to the call's."
    return Table((*columns, "Review", *_COMPLEXITIES), rows, note, is_text=True)


def _row(one: Shown) -> tuple[str, ...]:
    call = one.exhibit.call
    box = f"{call.low_hz:.1f}", f"{call.high_hz:.1f}"
    return (
        call.detection_id,
        one.score,
        one.when,
        call.recording,
        str(call.channel),
        one.place,
        *box,
        call.label,
        call.review,
    )


def _amid(exhibit: Exhibit) -> tuple[str, ...]:
    """Complexity amid a call."""
    complexity = exhibit.complexity
    if complexity is None or not len(complexity.middles_s):
        return ("-",) * len(_COMPLEXITIES)
    middle_s = (exhibit.call.begin_s + exhibit.call.end_s) / 2
    nearest = complexity.values[int(np.argmin(np.abs(complexity.middles_s - middle_s)))].tolist()
    return tuple("-" if math.isnan(value) else f"{value:.3f}" for value in nearest)
