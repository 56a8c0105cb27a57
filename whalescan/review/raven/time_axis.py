"""Positions of the rows of a table that was edited in Raven, in seconds from the start of their recordings.

Raven opens a table in one of two ways, and may rewrite the columns that it does not use. In a selection table, Begin Time
counts, and File Offset may be left unchanged or blank. In a sound selection table, File Offset counts, and Begin Time may
follow the sound files that happened to be open. The column that differs from the known position therefore holds the new one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import PureWindowsPath

from whalescan.core import Annotation, RecordingResult
from whalescan.detections.validations import BOX_TOLERANCE_HZ, BOX_TOLERANCE_S, DetectionRecord

_COLUMN_TOLERANCE_S = 2 * BOX_TOLERANCE_S
"""Largest difference between Begin Time and File Offset of one position, each rounded to the millisecond."""
END_TOLERANCE_S = 0.1
"""How far a box may extend past the end of its recording: Raven rounds times, and analysts drag boxes to the border."""


class TimeAxis(Enum):
    """Origin of a table's Begin Time."""

    SEQUENCE = "start of the first recording of all"
    RECORDING = "start of each recording"
    UNKNOWN = "start of other sound files"

    def begin_s(self, row: Annotation, result: RecordingResult) -> float | None:
        """Return a row's begin from the start of its recording, or None on an unknown axis."""
        if self is TimeAxis.UNKNOWN:
            return None
        return row.begin_s - (result.sequence_offset_s if self is TimeAxis.SEQUENCE else 0.0)


@dataclass(frozen=True, slots=True)
class RowInRecording:
    """A row whose recording is known.

    Attributes:
        row: the row.
        result: its recording.
        known_begins_s: begins that the box is known to have had, from the start of the recording; the current one last.
    """

    row: Annotation
    result: RecordingResult
    known_begins_s: tuple[float, ...] = ()


def infer_time_axis(rows: Sequence[RowInRecording], expected: TimeAxis) -> TimeAxis:
    """Return the axis on which most boxes have known begins, or at least lie in their recordings.

    Args:
        rows: rows whose recordings are known.
        expected: returned where two axes fit equally.
    """

    def fit(axis: TimeAxis) -> tuple[int, int]:
        begins = ((row, axis.begin_s(row.row, row.result)) for row in rows)
        n_inside = sum(
            begin_s is not None and -_COLUMN_TOLERANCE_S <= begin_s <= _duration_s(row.result) for row, begin_s in begins
        )
        return count_unmoved(rows, axis), n_inside

    best = max((expected, TimeAxis.SEQUENCE, TimeAxis.RECORDING), key=fit)
    return best if 2 * fit(best)[1] >= len(rows) else TimeAxis.UNKNOWN


def count_unmoved(rows: Sequence[RowInRecording], axis: TimeAxis) -> int:
    """Return how many boxes have a known begin on an axis."""
    begins = ((row, axis.begin_s(row.row, row.result)) for row in rows)
    return sum(begin_s is not None and _is_known(begin_s, row.known_begins_s) for row, begin_s in begins)


def _duration_s(result: RecordingResult) -> float:
    return result.recording.duration_s if result.recording else 0.0


def begin_in_recording(row: RowInRecording, axis: TimeAxis) -> float | str:
    """Return a row's begin in seconds from the start of its recording, or a problem with the row."""
    cells, path = row.row, row.result.path
    by_time_s, by_offset_s = axis.begin_s(cells, row.result), cells.file_offset_s
    if cells.sound and PureWindowsPath(cells.sound).name.lower() != path.name.lower():
        by_offset_s = None  # the offset refers to another file
    begin_s = by_offset_s if by_time_s is None else by_time_s
    if begin_s is None:
        return "counts from the start of other files; save the table with the column File Offset (s)"
    if by_time_s is not None and by_offset_s is not None and abs(by_time_s - by_offset_s) > _COLUMN_TOLERANCE_S:
        if _is_known(by_offset_s, row.known_begins_s) and _is_known(by_time_s, row.known_begins_s):
            begin_s = row.known_begins_s[-1]  # one column was left unchanged, and the other was imported before
        elif _is_known(by_offset_s, row.known_begins_s):
            begin_s = by_time_s
        elif _is_known(by_time_s, row.known_begins_s):
            begin_s = by_offset_s
        else:
            return (
                f"begins at {by_time_s:g} s by Begin Time (s) but at {by_offset_s:g} s by File Offset (s); correct one of "
                "them"
            )
    length_s = _duration_s(row.result)
    may_extend = axis is TimeAxis.SEQUENCE  # there, a box can be drawn into the following recording
    end_s = begin_s + cells.end_s - cells.begin_s
    ends_inside = math.isfinite(end_s) and (may_extend or end_s <= length_s + END_TOLERANCE_S)
    if not (-_COLUMN_TOLERANCE_S <= begin_s < length_s and ends_inside):
        return f"does not lie within the {length_s:g} s of {path.name}; correct its times"
    return max(begin_s, 0.0)


BoxEdges = tuple[float, float, float, float]
"""Begin and end in seconds from the start of the recording, low and high edge in Hz."""


def box_edges(box: DetectionRecord) -> BoxEdges:
    """Return the edges of a box."""
    return box.begin_s, box.end_s, box.low_hz, box.high_hz


def snapped_edges(row: Annotation, begin_s: float, box: DetectionRecord | None, result: RecordingResult) -> BoxEdges:
    """Return a row's edges; those that equal a known box's within its tolerance get the box's exact values.

    Raven's tables end with their recordings, so a box that ends there may have extended into the following one. A selection
    that was drawn in a waveform has no frequency edges.
    """
    assert result.recording is not None
    length_s, nyquist_hz = result.recording.duration_s, result.recording.rate_hz / 2
    end_s = begin_s + row.end_s - row.begin_s
    if length_s < end_s <= length_s + END_TOLERANCE_S:
        end_s = length_s
    high_hz = min(row.high_hz, nyquist_hz)
    if box is None:
        return begin_s, end_s, row.low_hz, high_hz
    has_same_end = abs(end_s - min(box.end_s, length_s)) <= BOX_TOLERANCE_S
    has_no_band = row.low_hz == 0 and math.isinf(row.high_hz)
    return (
        _snap(begin_s, box.begin_s, BOX_TOLERANCE_S),
        box.end_s if has_same_end else _snap(end_s, box.end_s, BOX_TOLERANCE_S),
        box.low_hz if has_no_band else _snap(row.low_hz, box.low_hz, BOX_TOLERANCE_HZ),
        box.high_hz if has_no_band else _snap(high_hz, box.high_hz, BOX_TOLERANCE_HZ),
    )


def _snap(value: float, known: float, tolerance: float) -> float:
    return known if abs(value - known) <= tolerance else value


def _is_known(begin_s: float, known_begins_s: Sequence[float]) -> bool:
    return any(abs(begin_s - known_s) <= _COLUMN_TOLERANCE_S for known_s in known_begins_s)


def edge_problem(row: Annotation, drawn: BoxEdges, result: RecordingResult) -> str:
    """Return what is wrong with the channel or the edges of a drawn box; empty for a valid one."""
    begin_s, end_s, low_hz, high_hz = drawn
    if result.recording is not None and not 1 <= row.channel <= result.recording.channels:
        return f"is on channel {row.channel} of {result.recording.channels}; correct its Channel"
    if not (begin_s < end_s and 0 <= low_hz < high_hz < math.inf):
        return f"has edges of {low_hz:g} and {high_hz:g} Hz; correct its frequencies"
    return ""
