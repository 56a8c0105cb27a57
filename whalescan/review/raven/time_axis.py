"""Where the rows of a table that went through Raven lie.

Raven opens a table in one of two ways, and rewrites the columns that it does not trust: as a selection table, Begin Time
counts, and File Offset may be left as it was or stay blank; as a sound selection table, File Offset counts, and Begin Time
may follow the sounds that happened to be open. So whichever of the two was changed tells where a box is now.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import PureWindowsPath

from whalescan.core import Annotation
from whalescan.detections.validations import SAME_HZ, SAME_S, Boxed
from whalescan.tables.csvs import FileRow

_SAME_S = 2 * SAME_S
"""Begin Time and File Offset, each rounded to the millisecond, that say the same."""
PAST_THE_END_S = 0.1
"""A box may end this much after its recording: Raven rounds, and people drag boxes to the border."""


class Axis(Enum):
    """From where a table's Begin Time counts."""

    SEQUENCE = "the first of all recordings"
    RECORDING = "the first sample of each recording"
    FOREIGN = "the first of other sounds"

    def begin_s(self, row: Annotation, file: FileRow) -> float | None:
        """Begin of a row from its recording's first sample; None where Begin Time does not tell."""
        if self is Axis.FOREIGN:
            return None
        return row.begin_s - (file.sequence_offset_s if self is Axis.SEQUENCE else 0.0)


@dataclass(frozen=True, slots=True)
class Anchored:
    """A row whose recording is known, and where its box is known to have begun, in seconds from that recording's first.

    ``begins_s`` end with where it stands now.
    """

    row: Annotation
    file: FileRow
    begins_s: tuple[float, ...] = ()


def axis_of(rows: Sequence[Anchored], likely: Axis) -> Axis:
    """The axis on which most boxes are where they were, or at least in their recordings; ``likely`` where two fit."""

    def fit(axis: Axis) -> tuple[int, int]:
        begins = ((one, axis.begin_s(one.row, one.file)) for one in rows)
        inside = sum(begin_s is not None and -_SAME_S <= begin_s <= duration_s(one.file) for one, begin_s in begins)
        return n_unmoved(rows, axis), inside

    best = max((likely, Axis.SEQUENCE, Axis.RECORDING), key=fit)
    return best if 2 * fit(best)[1] >= len(rows) else Axis.FOREIGN


def n_unmoved(rows: Sequence[Anchored], axis: Axis) -> int:
    """How many boxes are, on an axis, where they were."""
    begins = ((one, axis.begin_s(one.row, one.file)) for one in rows)
    return sum(begin_s is not None and _is_at(begin_s, one.begins_s) for one, begin_s in begins)


def duration_s(file: FileRow) -> float:
    """True length of a recording; 0 of one that could not be read."""
    return file.recording.duration_s if file.recording else 0.0


def locate(one: Anchored, axis: Axis) -> float | str:
    """Begin of a row from its recording's first sample, or what is wrong with the row."""
    row, by_time_s, offset_s = one.row, axis.begin_s(one.row, one.file), one.row.file_offset_s
    if row.sound and PureWindowsPath(row.sound).name.lower() != one.file.path.name.lower():
        offset_s = None  # of another file
    begin_s = offset_s if by_time_s is None else by_time_s
    if begin_s is None:
        return "counts from the first of other files; save the table with the column File Offset (s)"
    if by_time_s is not None and offset_s is not None and abs(by_time_s - offset_s) > _SAME_S:
        if _is_at(offset_s, one.begins_s) and _is_at(by_time_s, one.begins_s):
            begin_s = one.begins_s[-1]  # one column was left as it was, and the other has been taken already
        elif _is_at(offset_s, one.begins_s):
            begin_s = by_time_s
        elif _is_at(by_time_s, one.begins_s):
            begin_s = offset_s
        else:
            return f"begins at {by_time_s:g} s by Begin Time (s), at {offset_s:g} s by File Offset (s); make them agree"
    length_s = duration_s(one.file)
    runs_on = axis is Axis.SEQUENCE  # a box may be drawn into the next recording where that is in sight
    end_s = begin_s + row.end_s - row.begin_s
    if not -_SAME_S <= begin_s < length_s or not (math.isfinite(end_s) and (runs_on or end_s <= length_s + PAST_THE_END_S)):
        return f"does not lie within the {length_s:g} s of {one.file.path.name}; mend its times"
    return max(begin_s, 0.0)


Edges = tuple[float, float, float, float]
"""Begin and end in seconds from the recording's first sample, low and high edge in Hz."""


def edges(box: Boxed) -> Edges:
    """The edges of a call's box."""
    return box.begin_s, box.end_s, box.low_hz, box.high_hz


def snapped(row: Annotation, begin_s: float, box: Boxed | None, file: FileRow) -> Edges:
    """A row's edges, those that are where a box had them exactly as it had them.

    Raven's tables end with their recordings, so a box that ends there may have run on; and one that was only drawn in a
    waveform has no edges in frequency.
    """
    assert file.recording is not None
    length_s, nyquist_hz = file.recording.duration_s, file.recording.rate_hz / 2
    end_s = begin_s + row.end_s - row.begin_s
    if length_s < end_s <= length_s + PAST_THE_END_S:
        end_s = length_s
    high_hz = min(row.high_hz, nyquist_hz)
    if box is None:
        return begin_s, end_s, row.low_hz, high_hz
    clipped = abs(end_s - min(box.end_s, length_s)) <= SAME_S
    no_band = row.low_hz == 0 and math.isinf(row.high_hz)
    return (
        _same_or(begin_s, box.begin_s, SAME_S),
        box.end_s if clipped else _same_or(end_s, box.end_s, SAME_S),
        box.low_hz if no_band else _same_or(row.low_hz, box.low_hz, SAME_HZ),
        box.high_hz if no_band else _same_or(high_hz, box.high_hz, SAME_HZ),
    )


def _same_or(value: float, known: float, tolerance: float) -> float:
    return known if abs(value - known) <= tolerance else value


def _is_at(begin_s: float, known_s: Sequence[float]) -> bool:
    return any(abs(begin_s - known) <= _SAME_S for known in known_s)


def impossible(row: Annotation, drawn: Edges, file: FileRow) -> str:
    """What is wrong with a box that nobody can have drawn; empty where nothing is."""
    begin_s, end_s, low_hz, high_hz = drawn
    if file.recording is not None and not 1 <= row.channel <= file.recording.channels:
        return f"is on channel {row.channel}, of {file.recording.channels}; mend its Channel"
    if not (begin_s < end_s and 0 <= low_hz < high_hz < math.inf):
        return f"has edges of {low_hz:g} and {high_hz:g} Hz; mend its frequencies"
    return ""
