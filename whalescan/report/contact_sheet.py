"""Contact sheets: detections as spectrograms with axes, box, and the complexity of the same seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whalescan.core.intervals import true_runs
from whalescan.core.text import recording_offset, score_text, utc_time
from whalescan.report.report_data import ComplexitySeries, ContactSheet, ContactSheetEntry
from whalescan.report.spectrogram_image import SpectrogramImage
from whalescan.report.svg import (
    Drawing,
    Scale,
    SvgElement,
    SvgImage,
    SvgPath,
    SvgRect,
    SvgText,
    Table,
    axis_end,
    bottom_axis,
    left_axis,
    line,
    ticks,
)

_WIDTH_PX, _LEFT_PX, _RIGHT_PX = 420.0, 40.0, 414.0
_TOP_PX, _BASE_PX = 24.0, 184.0
_COMPLEXITY_TOP_PX, _COMPLEXITY_BASE_PX, _END_PX = 240.0, 300.0, 326.0
_COMPLEXITIES = ("H", "C_SQ", "C_JSD", "C_TV")
"""In the order of `ComplexitySeries.values`."""
_SERIES = (("1 - H", "c-h"), ("C_SQ", "c-sq"), ("C_JSD", "c-jsd"), ("C_TV", "c-tv"))
"""Labels and roles of the lines. Roles differ in colour and in dashes."""
_MIN_AXIS_END = 0.2
"""The complexity axis reaches at least this value, so that noise looks as flat as it is."""

_Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class EntryView:
    """An entry as a contact sheet shows it.

    Attributes:
        name: unique on the page.
        entry: the entry that is shown.
        drawing: None where the sound cannot be read; the entry's note then gives the reason.
        score, start, offset: as text; the offset is that of the detection in its recording.
    """

    name: str
    entry: ContactSheetEntry
    drawing: Drawing | None
    score: str
    start: str
    offset: str


@dataclass(frozen=True, slots=True)
class ContactSheetView:
    """A contact sheet as the page shows it.

    Attributes:
        name: unique on the page.
        table: the text below the images, and the complexity at the middle of each detection.
    """

    name: str
    title: str
    rule: str
    entries: tuple[EntryView, ...]
    table: Table


def contact_sheet_view(number: int, sheet: ContactSheet) -> ContactSheetView:
    """Return a contact sheet as the page shows it; ``number`` is its number on the page."""
    name = f"sheet-{number}"
    views = tuple(_entry_view(f"{name}-{i}", entry) for i, entry in enumerate(sheet.entries, 1))
    return ContactSheetView(name, sheet.title, sheet.rule, views, _table(views))


def _entry_view(name: str, entry: ContactSheetEntry) -> EntryView:
    detection = entry.detection
    drawing = None if entry.image is None else _drawing(entry, entry.image)
    start, offset = utc_time(entry.start_utc), recording_offset(detection.begin_s)
    return EntryView(name, entry, drawing, score_text(detection.score), start, offset)


def _drawing(entry: ContactSheetEntry, image: SpectrogramImage) -> Drawing:
    detection, extent = entry.detection, image.extent
    x = Scale(extent.begin_s - detection.begin_s, extent.end_s - detection.begin_s, _LEFT_PX, _RIGHT_PX)
    y = Scale(extent.low_hz, extent.high_hz, _BASE_PX, _TOP_PX)
    elements: list[SvgElement] = [SvgImage(_LEFT_PX, _TOP_PX, _RIGHT_PX - _LEFT_PX, _BASE_PX - _TOP_PX, image.png)]
    frequencies = ticks(extent.low_hz, extent.high_hz, 4)
    elements += [SvgText(_LEFT_PX - 6, y(hz) + 4, f"{hz:g}", "end", "soft") for hz in frequencies]
    elements.append(SvgText(0, _TOP_PX - 9, "Hz", "start", "soft"))
    # The box is clipped to the image.
    left, right = max(x(0), _LEFT_PX), min(x(detection.end_s - detection.begin_s), _RIGHT_PX)
    high, low = max(y(detection.high_hz), _TOP_PX), min(y(detection.low_hz), _BASE_PX)
    elements += [SvgRect(left, high, max(right - left, 0), max(low - high, 0), role) for role in ("halo", "detection")]
    seconds = [(second, f"{second:g}") for second in ticks(x.low, x.high, 7)]
    elements += bottom_axis(x, _BASE_PX, seconds, "seconds from the start of the detection")
    if entry.complexity is not None:
        elements += _complexity(entry.complexity, detection.begin_s, x)
    description = (
        f"{detection.label}, score {score_text(detection.score)}, {utc_time(entry.start_utc)}, "
        f"{recording_offset(detection.begin_s)} into {detection.recording}; box {detection.end_s - detection.begin_s:.2f} s "
        f"long, {detection.low_hz:.0f} to {detection.high_hz:.0f} Hz; review: {detection.review}."
    )
    height = _BASE_PX + 40 if entry.complexity is None else _END_PX
    return Drawing(f"Spectrogram of {detection.detection_id}", description, _WIDTH_PX, height, tuple(elements))


def _complexity(complexity: ComplexitySeries, begin_s: float, x: Scale) -> list[SvgElement]:
    """Return four lines on the time axis of the image; each is 0 for sound without any order."""
    values = complexity.values.astype(np.float64)
    values[:, 0] = 1 - values[:, 0]
    highest = float(np.nanmax(values, initial=_MIN_AXIS_END))
    y = Scale(0, axis_end(highest, 2), _COMPLEXITY_BASE_PX, _COMPLEXITY_TOP_PX)
    elements = left_axis(y, _LEFT_PX, _RIGHT_PX, "", [0, y.high / 2, y.high])
    label_px = _LEFT_PX
    for i, (name, role) in enumerate(_SERIES):
        elements += [line(points, role) for points in _lines(complexity.middles_s - begin_s, values[:, i], x, y)]
        elements += [SvgPath(f"M{label_px:g} {_END_PX - 8:g}h26", role), SvgText(label_px + 32, _END_PX - 4, name)]
        label_px += 94
    return elements


def _lines(seconds: _Numbers, values: _Numbers, x: Scale, y: Scale) -> list[list[tuple[float, float]]]:
    """Return a series as lines within the image, interrupted where windows hold no sound."""
    is_shown = ~np.isnan(values) & (seconds >= x.low) & (seconds <= x.high)
    return [
        [
            (x(second), y(value))
            for second, value in zip(seconds[begin:end].tolist(), values[begin:end].tolist(), strict=True)
        ]
        for begin, end in true_runs(is_shown).tolist()
        if end - begin > 1
    ]


def _table(views: tuple[EntryView, ...]) -> Table:
    columns = ("Detection ID", "Score", "Begin (UTC)", "Recording", "Channel", "Offset", "Low (Hz)", "High (Hz)", "Label")
    rows = tuple((*_row(view), *_nearest_complexity(view.entry)) for view in views)
    note = "H, C_SQ, C_JSD and C_TV are those of the window whose midpoint is nearest to that of the detection."
    return Table((*columns, "Review", *_COMPLEXITIES), rows, note, is_text=True)


def _row(view: EntryView) -> tuple[str, ...]:
    detection = view.entry.detection
    return (
        detection.detection_id,
        view.score,
        view.start,
        detection.recording,
        str(detection.channel),
        view.offset,
        f"{detection.low_hz:.1f}",
        f"{detection.high_hz:.1f}",
        detection.label,
        detection.review,
    )


def _nearest_complexity(entry: ContactSheetEntry) -> tuple[str, ...]:
    """Return the complexity of the window whose midpoint is nearest to that of the detection."""
    complexity = entry.complexity
    if complexity is None or not len(complexity.middles_s):
        return ("-",) * len(_COMPLEXITIES)
    middle_s = (entry.detection.begin_s + entry.detection.end_s) / 2
    nearest = complexity.values[int(np.argmin(np.abs(complexity.middles_s - middle_s)))].tolist()
    return tuple("-" if math.isnan(value) else f"{value:.3f}" for value in nearest)
