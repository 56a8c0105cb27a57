"""Validation history of a run: each reviewer's current review of a detection, and the rows that a review or an undo adds.

Rows are only ever added to the file. A row whose source is `UNDO_SOURCE` therefore cancels its reviewer's latest validation
of that detection. Where another reviewer's validation becomes the latest by that, a copy of it follows, since the latest row
of a detection is the one that tables show.

A detection may have inherited its review from a validation of a detection that is no longer found
(`match_lost_validations`). Before somebody reviews it, two rows make that explicit (`validations.carry_over`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from whalescan.core import Detection
from whalescan.detections.validations import UNREVIEWED, Validation, carry_over, match_lost_validations, same_box
from whalescan.scores.validation_store import StoredValidation

PAGE_SOURCE = "whalescan review"
UNDO_SOURCE = "whalescan review, taken back"
_ORIGINS_WITH_OWN_BOX = frozenset({"added", "moved"})


class ValidationHistory:
    """The rows of the validation file that were added here, in their order.

    Attributes:
        last_sequence: row number of the latest one; 0 without rows.
    """

    def __init__(self) -> None:
        self.last_sequence = 0
        self._valid_rows: dict[str, list[StoredValidation]] = defaultdict(list)
        """By detection ID: the rows that were not undone, in the order in which they were first stored."""
        self._latest: dict[str, Validation] = {}
        self._page_rows: dict[str, list[StoredValidation]] = defaultdict(list)
        """By reviewer: rows from this page. Undone ones are removed late, by `_last_page_row`."""
        self._expected_copy: Validation | None = None
        """After an undo row, the copy of another reviewer's validation that follows it."""

    def add(self, rows: Iterable[StoredValidation]) -> None:
        """Add rows that follow those added before."""
        for row in rows:
            self._add_row(row)
            self.last_sequence = row.sequence
            self._latest[row.validation.detection_id] = row.validation

    def _add_row(self, row: StoredValidation) -> None:
        validation, expected_copy = row.validation, self._expected_copy
        valid_rows = self._valid_rows[validation.detection_id]
        self._expected_copy = None
        if validation.source == UNDO_SOURCE:
            undone = _last_row_of(valid_rows, validation.reviewer)
            if undone is not None:
                valid_rows.remove(undone)
            self._expected_copy = _latest_of_another(valid_rows, validation.reviewer)
        elif validation != expected_copy:
            valid_rows.append(row)
            if validation.source == PAGE_SOURCE:
                self._page_rows[validation.reviewer].append(row)

    def current(self, detection_id: str) -> Validation | None:
        """Return the validation that tables show, or None where there is no row."""
        return self._latest.get(detection_id)

    def reviews_by_reviewer(self, detection_id: str) -> dict[str, str]:
        """Return each reviewer's current review of a detection, without reviewers who undid all of theirs."""
        rows = self._valid_rows.get(detection_id, ())
        reviews = {row.validation.reviewer: row.validation.review for row in rows}
        return {reviewer: review for reviewer, review in reviews.items() if review != UNREVIEWED}

    def with_reviewed_box(self, detection: Detection) -> Detection:
        """Return a detection with the box that a reviewer drew, if any."""
        latest = self.current(detection.detection_id)
        if latest is None or latest.origin not in _ORIGINS_WITH_OWN_BOX:
            return detection
        return replace(detection, begin_s=latest.begin_s, end_s=latest.end_s, low_hz=latest.low_hz, high_hz=latest.high_hz)

    def validation_rows(self, detection: Detection, review: str, reviewer: str, now_utc: str) -> tuple[Validation, ...]:
        """Return the row that a review adds; empty where the latest row already holds this review by this reviewer.

        Args:
            detection: as the detector found it, or as a person added it.
            review: ``yes``, ``no`` or ``maybe``.
            reviewer: name of the reviewer.
            now_utc: current time, ISO 8601.
        """
        latest = self.current(detection.detection_id)
        if latest is not None and (latest.reviewer, latest.review) == (reviewer, review):
            return ()
        validation = replace(_with_kept_origin(detection, latest), review=review)
        return (replace(validation, source=PAGE_SOURCE, validated_utc=now_utc, reviewer=reviewer),)

    def inherited_rows(
        self, detection: Detection, detections: Sequence[Detection], separation_s: float
    ) -> tuple[Validation, ...]:
        """Return the rows to add before a detection is reviewed (`carry_over`); empty where it inherited no review.

        Args:
            detection: one of ``detections``.
            detections: those of the run, with their reviews at the start of the session.
            separation_s: `DetectionRule.separation_s`.
        """
        if detection.review == UNREVIEWED or self.current(detection.detection_id):
            return ()
        found = {other.detection_id: other for other in detections if other.recording == detection.recording}
        heirs = [other for other in found.values() if other.review != UNREVIEWED and not self.current(other.detection_id)]
        stored = [validation for validation in self._latest.values() if validation.recording == detection.recording]
        lost = [validation for validation in stored if validation.detection_id not in found]
        inherited = match_lost_validations(heirs, lost, separation_s).get(detection.detection_id)
        if inherited is None:  # undone since the session started
            return ()
        return carry_over(detection, inherited)

    def undo_rows(self, reviewer: str, now_utc: str) -> tuple[Validation, ...]:
        """Return the rows that undo a reviewer's latest validation from this page that is still valid.

        The reviewer's earlier review of the detection becomes valid again, or none. Tables then show the latest validation
        by anybody that was not undone.

        Returns:
            One or two rows; empty where there is nothing to undo.
        """
        undone = self._last_page_row(reviewer)
        if undone is None:
            return ()
        remaining = [row for row in self._valid_rows[undone.validation.detection_id] if row is not undone]
        earlier = _last_row_of(remaining, reviewer)
        restored = earlier.validation if earlier else replace(undone.validation, review=UNREVIEWED)
        undo_row = replace(restored, source=UNDO_SOURCE, validated_utc=now_utc)
        copy = _latest_of_another(remaining, reviewer)
        return (undo_row,) if copy is None else (undo_row, copy)

    def _last_page_row(self, reviewer: str) -> StoredValidation | None:
        """Return the reviewer's last valid row from this page; drop rows that were undone or superseded by a table."""
        rows = self._page_rows[reviewer]
        while rows and _last_row_of(self._valid_rows[rows[-1].validation.detection_id], reviewer) is not rows[-1]:
            rows.pop()
        return rows[-1] if rows else None


def _last_row_of(rows: list[StoredValidation], reviewer: str) -> StoredValidation | None:
    return next((row for row in reversed(rows) if row.validation.reviewer == reviewer), None)


def _latest_of_another(rows: list[StoredValidation], reviewer: str) -> Validation | None:
    """Return the latest validation of a detection where it is by another reviewer."""
    return rows[-1].validation if rows and rows[-1].validation.reviewer != reviewer else None


def _with_kept_origin(detection: Detection, latest: Validation | None) -> Validation:
    """Return a detection as a validation with the origin and the box that a further review keeps."""
    if detection.score is None:
        return replace(latest, origin="added") if latest else Validation.of_detection(detection, UNREVIEWED, "added")
    if latest is None or latest.origin == "review":
        return Validation.of_detection(detection, UNREVIEWED, "review")
    if latest.origin == "deleted" and same_box(latest, detection):
        return Validation.of_detection(detection, UNREVIEWED, "review")
    return replace(latest, origin="moved")  # the box was drawn, and may have been deleted afterwards
