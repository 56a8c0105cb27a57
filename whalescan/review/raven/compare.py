"""Comparison of a reviewed Raven table with the detections that it showed when it was written."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from whalescan.core import Annotation, Detection, RecordingResult, TableError, plain_text
from whalescan.core.text import count
from whalescan.detections.validations import BOX_TOLERANCE_S, UNREVIEWED, DetectionRecord, Validation, added_id, same_box
from whalescan.review.raven.deletions import TableContent, find_deletions
from whalescan.review.raven.run_snapshot import RunSnapshot
from whalescan.review.raven.time_axis import (
    RowInRecording,
    TimeAxis,
    begin_in_recording,
    box_edges,
    count_unmoved,
    edge_problem,
    infer_time_axis,
    snapped_edges,
)
from whalescan.tables.selections import read_selection_table

_DEPLOYMENT_TABLE_PREFIX = "deployment.whalescan.sound."
_BLANK = frozenset({"", "na", "nan", "none"})
"""Spellings of a blank cell, in lower case."""
_REVIEW_WORDS = {"yes": "yes", "y": "yes", "no": "no", "n": "no", "maybe": "maybe", "?": "maybe"}
_OTHER_CHANNEL_S = 1e9
"""Distance between boxes on different channels, larger than any difference in time."""


@dataclass(frozen=True, slots=True)
class ReviewedTable:
    """A Raven table of a run that may contain reviews; rows without a known ID have a blank ``detection_id``."""

    path: Path
    rows: tuple[Annotation, ...]

    @property
    def scores(self) -> Mapping[str, float | None]:
        """Scores of the detections by ID."""
        return {row.detection_id: row.score for row in self.rows if row.detection_id}

    @property
    def is_deployment_table(self) -> bool:
        """Whether the table was written for all recordings, by its file name."""
        return self.path.name.startswith(_DEPLOYMENT_TABLE_PREFIX)


def read_reviewed_table(path: Path) -> ReviewedTable:
    """Read a table that may contain reviews.

    Raises:
        TableError: when it is no Raven table, or has no column with detection IDs.
    """
    table = read_selection_table(path)
    if "detection id" not in table.columns:
        raise TableError(
            f"{path}: has no column Detection ID, which identifies the detections; save the table with all its columns"
        )
    rows = (replace(row, detection_id="") if row.detection_id.casefold() in _BLANK else row for row in table.selections)
    return ReviewedTable(path, tuple(rows))


@dataclass(frozen=True, slots=True)
class TableComparison:
    """Result of a comparison.

    Attributes:
        entries: one for each detection that the table shows or had shown, for `resolve_conflicts`.
        problems: rows that cannot be used, each with the table, the place and the remedy.
        notes: what was left unchanged although the table could be read otherwise.
    """

    entries: tuple[Validation, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def compare_table(table: ReviewedTable, snapshot: RunSnapshot) -> TableComparison:
    """Compare a table with the run that wrote it.

    A row is identified by its detection ID. A second row with the same ID elsewhere, and a row without an ID, is a call that
    a person added.

    Raises:
        TableError: when the table contains detections that the run never had.
    """
    unknown = [row.detection_id for row in table.rows if row.detection_id and not snapshot.boxes(row.detection_id)]
    if unknown:
        raise TableError(
            f"{table.path}: contains {count(len(unknown), 'detection')} of another run, the first is {unknown[0]}; nothing "
            "was imported. Import the table into the output folder of the run that wrote it"
        )
    return _Comparison(table, _as_written(table, snapshot) if table.is_deployment_table else snapshot).compare()


def _as_written(table: ReviewedTable, snapshot: RunSnapshot) -> RunSnapshot:
    """Return the run with its recordings in the sequence that fits most rows of a deployment table."""
    rows = [(row, boxes[0].recording, _begins(boxes)) for row in table.rows if (boxes := snapshot.boxes(row.detection_id))]

    def count_fitting(candidate: RunSnapshot) -> int:
        results = candidate.result_by_name
        in_recordings = [RowInRecording(row, results[name], begins) for row, name, begins in rows if name in results]
        return count_unmoved(in_recordings, TimeAxis.SEQUENCE)

    if count_fitting(snapshot) == len(rows):
        return snapshot
    last = max((snapshot.first_write.get(name, 0) for _, name, _ in rows), default=0)
    writes = sorted({0, *snapshot.first_write.values()}, reverse=True)[1:]
    earlier = (snapshot.as_of_write(write) for write in writes if write >= last)
    return max((snapshot, *earlier), key=count_fitting)


class _Comparison:
    """State of one comparison: entries, problems and notes are collected row by row."""

    def __init__(self, table: ReviewedTable, snapshot: RunSnapshot) -> None:
        self.path, self.snapshot = table.path, snapshot
        self.entries: list[Validation] = []
        self.problems: list[str] = []
        self.ids_found: set[str] = set()
        self.first_entry: dict[str, Validation] = {}  # by detection ID
        self.n_relabelled = 0
        self.n_of_unknown_class = 0
        self.rows_by_id: dict[str, list[Annotation]] = defaultdict(list)
        for row in table.rows:
            self.rows_by_id[row.detection_id].append(row)
        self.rows_without_id = self.rows_by_id.pop("", [])
        self.recordings = {snapshot.boxes(detection_id)[0].recording for detection_id in self.rows_by_id}
        expected_axis = TimeAxis.SEQUENCE if table.is_deployment_table else TimeAxis.RECORDING
        self.axis = infer_time_axis(list(self._rows_in_recordings()), expected_axis)
        self.covers_all_recordings = table.is_deployment_table and self.axis is TimeAxis.SEQUENCE

    def compare(self) -> TableComparison:
        """Compare every row, then find the rows that were deleted."""
        for detection_id, rows in self.rows_by_id.items():
            self._compare_rows(detection_id, rows)
        for row in self.rows_without_id:
            self._add_call(row)
        content = TableContent(
            self.path,
            self.rows_by_id.keys(),
            self.ids_found,
            self.recordings,
            self.covers_all_recordings,
            has_rows_without_id=bool(self.rows_without_id),
        )
        deletions = find_deletions(content, self.snapshot)
        notes = (*deletions.notes, *self._label_notes())
        return TableComparison((*self.entries, *deletions.entries), (*self.problems, *deletions.problems), notes)

    def _label_notes(self) -> Iterator[str]:
        if self.n_relabelled:
            yield f"{self.path}: ignored {count(self.n_relabelled, 'changed Annotation')}; only the Review column is used"
        if self.n_of_unknown_class:
            yield (
                f"{self.path}: stored {count(self.n_of_unknown_class, 'added call')} with an Annotation that is no class "
                f"of the model ({', '.join(self.snapshot.classes)}); not counted in hours and days"
            )

    def _rows_in_recordings(self) -> Iterator[RowInRecording]:
        """Yield the rows whose recordings are known."""
        for detection_id, rows in self.rows_by_id.items():
            boxes = self.snapshot.boxes(detection_id)
            if result := self.snapshot.result_by_name.get(boxes[0].recording):
                yield from (RowInRecording(row, result, _begins(boxes)) for row in rows)
        for row in self.rows_without_id:
            if row.sound and (result := self._result_of(row)):
                yield RowInRecording(row, result, () if row.file_offset_s is None else (row.file_offset_s,))

    def _result_of(self, row: Annotation) -> RecordingResult | None:
        """Return the recording that a row names, or else the one that its time or the table's name implies."""
        results = self.snapshot.result_by_name
        if row.sound:
            recording = self.snapshot.recording_finder.by_sound(row.sound)
            return results[recording.name] if recording else None
        if self.axis is TimeAxis.SEQUENCE:
            return self.snapshot.result_at(row.begin_s)
        if len(self.recordings) == 1:
            return results.get(next(iter(self.recordings)))
        name = self.snapshot.recording_of_table(self.path, self.recordings)
        by_table_name = self.snapshot.recording_finder.by_table_name(self.path)
        return results.get(name or (by_table_name.name if by_table_name else ""))

    def _add_problem(self, row: Annotation, text: str) -> None:
        self.problems.append(f"{self.path}: the selection at {row.begin_s:g} s {text}")

    def _review_of(self, row: Annotation) -> str | None:
        """Return the review in a row's Review column; None, and a problem, where it is not understood."""
        word = row.review.strip().casefold()
        if word == UNREVIEWED or word in _BLANK:
            return UNREVIEWED
        if word not in _REVIEW_WORDS:
            self._add_problem(row, f"has the Review {row.review!r}: expected yes, no or maybe; correct it and import again")
        return _REVIEW_WORDS.get(word)

    def _compare_rows(self, detection_id: str, rows: Sequence[Annotation]) -> None:
        """Compare the rows of one ID; the row nearest to the detection's box is its own."""
        boxes = self.snapshot.boxes(detection_id)
        placed_rows = [(row, self._place(row, boxes)) for row in rows]
        own_row, own_place = min(placed_rows, key=lambda pair: _distance_s(pair[1], boxes))
        if isinstance(own_place, Validation) and own_place.channel != boxes[-1].channel:  # drawn on another channel
            for row in rows:
                self._add_call(row, _begins(boxes))
            return
        for row, place in placed_rows:
            known_boxes = (*boxes, own_place) if isinstance(own_place, Validation) else boxes
            is_elsewhere = isinstance(place, Validation) and not any(same_box(place, box) for box in known_boxes)
            if row is not own_row and is_elsewhere:
                self._add_call(row, _begins(boxes))
                continue
            if isinstance(place, str):
                self._add_problem(row, place)
            review = self._review_of(row)
            entry = place if isinstance(place, Validation) else _entry_with_box(boxes, len(boxes) - 1)
            self.ids_found.add(detection_id)  # also where the row's review is not understood
            if review is not None:
                self.first_entry.setdefault(detection_id, entry)
                self.entries.append(replace(entry, review=review, source=self.path.name))
            if row.label and row.label != entry.label:
                self.n_relabelled += 1

    def _place(self, row: Annotation, boxes: Sequence[DetectionRecord]) -> Validation | str:
        """Return the detection with a box that it had or that was drawn in the row, or a problem with the row."""
        result = self.snapshot.result_by_name.get(boxes[0].recording)
        if result is None:
            return _entry_with_box(boxes, 0)
        earlier = self.snapshot.earlier_validations.get(row.detection_id, ())
        begin_s = begin_in_recording(RowInRecording(row, result, _begins((*earlier, *boxes))), self.axis)
        if isinstance(begin_s, str):
            return begin_s
        for i, box in enumerate(boxes):
            if snapped_edges(row, begin_s, box, result) == box_edges(box):
                return _entry_with_box(boxes, i)
        if any(snapped_edges(row, begin_s, box, result) == box_edges(box) and box.channel == row.channel for box in earlier):
            return _entry_with_box(boxes, len(boxes) - 1)  # the table is older than the current box
        drawn = snapped_edges(row, begin_s, boxes[-1], result)
        if problem := edge_problem(row, drawn, result):
            return problem
        begin_s, end_s, low_hz, high_hz = drawn
        origin = "added" if boxes[-1].score is None else "moved"
        latest = _entry_with_box(boxes, len(boxes) - 1)
        return replace(
            latest, channel=row.channel, begin_s=begin_s, end_s=end_s, low_hz=low_hz, high_hz=high_hz, origin=origin
        )

    def _add_call(self, row: Annotation, known_begins_s: tuple[float, ...] = ()) -> None:
        """Add the call that a person drew in a row."""
        review, result = self._review_of(row), self._result_of(row)
        if result is None or result.recording is None:
            place = f"lies in {row.sound}" if row.sound else "has no Begin Path, and its time lies"
            where = "which is none of the recordings of this run" if row.sound else "in none of the recordings of this run"
            self._add_problem(row, f"{place}{',' if row.sound else ''} {where}; correct its Begin Path or its times")
            return
        begin_s = begin_in_recording(RowInRecording(row, result, known_begins_s), self.axis)
        if isinstance(begin_s, str):
            self._add_problem(row, begin_s)
            return
        drawn = snapped_edges(row, begin_s, None, result)
        if problem := edge_problem(row, drawn, result):
            self._add_problem(row, problem)
        elif review is not None:
            call = Detection(result.name, row.channel, *drawn, self._label_of(row), None, "")
            self._add_entry_of_call(row, call, review)

    def _label_of(self, row: Annotation) -> str:
        """Return the label of an added call, in the spelling of the model's class where there is one."""
        label = plain_text(row.label) or self.snapshot.label
        own = next((name for name in self.snapshot.classes if name.casefold() == label.casefold()), None)
        self.n_of_unknown_class += own is None and bool(self.snapshot.classes)
        return own or label

    def _add_entry_of_call(self, row: Annotation, call: Detection, review: str) -> None:
        """Add the entry of a row without an ID: a detection whose ID was lost, a call added before, or a new one."""
        for box in self.snapshot.boxes_in.get(call.recording, ()):
            if box.channel == call.channel and same_box(box, call) and box.detection_id not in self.rows_by_id:
                boxes = self.snapshot.boxes(box.detection_id)
                entry = _entry_with_box(boxes, boxes.index(box))
                break
        else:
            detection_id = added_id(plain_text(call.recording), call.channel, (call.begin_s + call.end_s) / 2)
            known = self.snapshot.validations.get(detection_id)
            entry = Validation.of_detection(replace(call, detection_id=detection_id), review, "added")
            if known is not None and abs(known.begin_s + known.end_s - call.begin_s - call.end_s) > 2 * BOX_TOLERANCE_S:
                entry = known  # it was moved since it was added
            if not same_box(self.first_entry.setdefault(detection_id, entry), entry):
                self._add_problem(row, "has the same middle as another added call; move one of them by 2 ms")
                return
        self.ids_found.add(entry.detection_id)
        self.entries.append(replace(entry, review=review, source=self.path.name))


def _begins(boxes: Sequence[DetectionRecord]) -> tuple[float, ...]:
    return tuple(box.begin_s for box in boxes)


def _distance_s(place: Validation | str, boxes: Sequence[DetectionRecord]) -> float:
    """Return how far a row's box is from the nearest box of the detection; infinite for a problem."""
    if isinstance(place, str):
        return math.inf
    nearest_s = min(abs(place.begin_s - box.begin_s) + abs(place.end_s - box.end_s) for box in boxes)
    return nearest_s + _OTHER_CHANNEL_S * (place.channel != boxes[-1].channel)


def _entry_with_box(boxes: Sequence[DetectionRecord], i: int) -> Validation:
    """Return a detection with one of its boxes, as an unreviewed entry."""
    box = boxes[i]
    if isinstance(box, Detection):
        return Validation.of_detection(box, UNREVIEWED, "review")
    origin = box.origin
    if origin == "deleted":  # its row exists again
        origin = "added" if box.score is None else "moved" if len(boxes) > 1 else "review"
    return replace(box, review=UNREVIEWED, origin=origin)
