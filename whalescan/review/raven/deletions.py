"""Deleted rows: detections that a Raven table of a run showed when it was written and that it no longer contains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from whalescan.core import Detection
from whalescan.core.text import count
from whalescan.detections.validations import Validation
from whalescan.review.raven.run_snapshot import RunSnapshot

_CONFIRMED = frozenset({"yes", "maybe"})
"""Reviews with which a detection is shown at any threshold; it says nothing about the threshold of a table."""

_ROUNDING = 5e-5 + 1e-6
"""Tables round scores to four decimals."""


@dataclass(frozen=True, slots=True)
class TableContent:
    """Content of a table.

    Attributes:
        path: path of the table.
        ids: detection IDs in its rows.
        ids_found: detections that have a row, including those recognised without their IDs.
        recordings: recordings of the detections with these IDs.
        covers_all_recordings: whether the table was written for all recordings of its time.
        has_rows_without_id: whether there are rows without IDs.
    """

    path: Path
    ids: Set[str]
    ids_found: Set[str]
    recordings: Set[str]
    covers_all_recordings: bool
    has_rows_without_id: bool


@dataclass(frozen=True, slots=True)
class Deletions:
    """Result of the search for deleted rows; the attributes are those of `compare.TableComparison`."""

    entries: tuple[Validation, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def find_deletions(content: TableContent, snapshot: RunSnapshot) -> Deletions:
    """Return the detections whose rows were deleted; those that the table may never have shown stay unchanged."""
    recordings, problems, notes = _covered_recordings(content, snapshot)
    threshold = _threshold(content.ids, snapshot)
    absent = _absent(recordings, content, snapshot)
    deleted = [detection for detection in absent if _is_shown_at(detection, threshold, snapshot)]
    deleted_calls, call_notes = _deleted_added_calls(recordings, content, snapshot)
    entries = (
        *(Validation.of_detection(detection, "no", "deleted", content.path.name) for detection in deleted),
        *deleted_calls,
    )
    threshold_notes = _notes_below_threshold(recordings, threshold, content, snapshot)
    return Deletions(entries, problems, (*notes, *threshold_notes, *call_notes))


def relevant_thresholds(
    tables: Sequence[Mapping[str, float | None]], thresholds: Sequence[float], validations: Mapping[str, Validation]
) -> frozenset[float]:
    """Return the thresholds at which the tables may have been written, and the lowest at which they show a detection.

    Args:
        tables: for each table, the scores in its rows by detection ID.
        thresholds: all thresholds at which tables were written.
        validations: the latest validation of each ID.
    """
    lowest = min(thresholds) - _ROUNDING
    scores_below = [
        score for scores in tables for score in scores.values() if score is not None and _ROUNDING < score < lowest
    ]
    relevant = {min(scores_below) - _ROUNDING if scores_below else min(thresholds)}
    for scores in tables:
        limiting = [score for detection_id, score in scores.items() if _limits_threshold(detection_id, validations)]
        if any(score is None for score in limiting):
            return frozenset({*relevant, *thresholds})
        lowest = min((score for score in limiting if score is not None), default=1.0)
        certain = [threshold for threshold in thresholds if threshold <= lowest - _ROUNDING]
        relevant |= {max(certain)} if certain else set()
        relevant |= {threshold for threshold in thresholds if abs(threshold - lowest) < _ROUNDING}
    return frozenset(relevant)


def _covered_recordings(
    content: TableContent, snapshot: RunSnapshot
) -> tuple[Sequence[str], tuple[str, ...], tuple[str, ...]]:
    """Return the recordings whose detections the table showed, problems, and notes."""
    if content.covers_all_recordings:
        return _recordings_of_deployment_table(content, snapshot)
    results = snapshot.result_by_name
    own = snapshot.recording_of_table(content.path, content.recordings)
    covered = sorted(name for name in (content.recordings if own is None else {own}) if name in results)
    if not covered and not content.has_rows_without_id:
        problem = (
            f"{content.path}: no row contains a known detection ID, and the file name matches no recording; nothing was "
            "imported from it. Restore the file name under which it was written"
        )
        return (), (problem,), ()
    if own is None and len(covered) < len(results):
        of_all = f"{len(covered)} of {count(len(results), 'recording')}"
        note = f"{content.path}: refers to {of_all}; detections in the others stay unchanged"
        return covered, (), (note,)
    return covered, (), ()


def _recordings_of_deployment_table(
    content: TableContent, snapshot: RunSnapshot
) -> tuple[Sequence[str], tuple[str, ...], tuple[str, ...]]:
    """As `_covered_recordings`; recordings added after the latest one that the table names may be missing in it."""
    last = max((snapshot.first_write.get(name, 0) for name in content.recordings), default=0)
    covered = [name for name in snapshot.result_by_name if snapshot.first_write.get(name, 0) <= last]
    later = [name for name in snapshot.result_by_name if snapshot.first_write.get(name, 0) > last]
    threshold = _threshold(content.ids, snapshot)
    n_absent = sum(_is_shown_at(detection, threshold, snapshot) for detection in _absent(later, content, snapshot))
    if not n_absent:
        return covered, (), ()
    note = (
        f"{content.path}: left {count(n_absent, 'detection')} unchanged in {count(len(later), 'recording')} added later, "
        "since the table may be older. To reject one, enter no in its Review column"
    )
    return covered, (), (note,)


def _absent(recordings: Iterable[str], content: TableContent, snapshot: RunSnapshot) -> list[Detection]:
    """Return the detector's detections in some recordings that have no row in the table."""
    detections = (detection for name in recordings for detection in snapshot.detections_in.get(name, ()))
    return [detection for detection in detections if detection.detection_id not in content.ids_found]


def _notes_below_threshold(
    recordings: Iterable[str], threshold: float, content: TableContent, snapshot: RunSnapshot
) -> tuple[str, ...]:
    """Return notes about absent detections below the table's threshold: confirmed ones, and unreviewed ones."""
    absent = _absent(recordings, content, snapshot)
    below = [detection for detection in absent if not _is_shown_at(detection, threshold, snapshot)]
    validations = [snapshot.validations.get(detection.detection_id) for detection in below]
    lowest = min(snapshot.thresholds)
    n_unreviewed = sum(
        _reaches(detection, lowest) and validation is None for detection, validation in zip(below, validations, strict=True)
    )
    n_confirmed = sum(validation is not None and validation.review in _CONFIRMED for validation in validations)
    notes = []
    if n_confirmed:
        notes.append(
            f"{content.path}: kept {count(n_confirmed, 'confirmed detection')} with scores below {threshold:g}, which "
            "the table may never have contained. To reject one, enter no in its Review column"
        )
    if n_unreviewed:
        notes.append(
            f"{content.path}: kept {count(n_unreviewed, 'unreviewed detection')} with scores below {threshold:g}: "
            "tables were written at several thresholds, and this one may never have contained them"
        )
    return tuple(notes)


def _deleted_added_calls(
    recordings: Iterable[str], content: TableContent, snapshot: RunSnapshot
) -> tuple[list[Validation], tuple[str, ...]]:
    """Return added calls whose rows were deleted, and notes.

    A table is known to have shown an added call only where it contains, by ID, one that was added at the same time or later.
    """
    order = snapshot.added_order
    last = max((order[detection_id] for detection_id in content.ids if detection_id in order), default=-1)
    absent = [
        call
        for name in recordings
        for call in snapshot.added_in.get(name, ())
        if call.detection_id not in content.ids_found and call.review in _CONFIRMED
    ]
    deleted = [call for call in absent if order[call.detection_id] < last]
    entries = [replace(call, review="no", origin="deleted", source=content.path.name) for call in deleted]
    if len(deleted) == len(absent):
        return entries, ()
    note = (
        f"{content.path}: kept {count(len(absent) - len(deleted), 'added call')}, which the table may never have contained. "
        "To reject one, enter no in its Review column"
    )
    return entries, (note,)


def _threshold(ids: Set[str], snapshot: RunSnapshot) -> float:
    """Return the highest threshold at which the table may have been written, so that nothing unseen counts as deleted."""
    detections = [
        snapshot.detections[detection_id]
        for detection_id in ids
        if detection_id in snapshot.detections and _limits_threshold(detection_id, snapshot.validations)
    ]
    possible = [
        threshold for threshold in snapshot.thresholds if all(_reaches(detection, threshold) for detection in detections)
    ]
    return max(possible) if possible else min(detection.score or 0.0 for detection in detections)


def _limits_threshold(detection_id: str, validations: Mapping[str, Validation]) -> bool:
    """Return whether a row limits the table's threshold; a validated detection may have been shown at any threshold."""
    return detection_id not in validations


def _is_shown_at(detection: Detection, threshold: float, snapshot: RunSnapshot) -> bool:
    detections = snapshot.detections_at.get(threshold, snapshot.detections)
    return detection.detection_id in detections and _reaches(detection, threshold)


def _reaches(detection: Detection, threshold: float) -> bool:
    """Return whether a score reaches a threshold; compared as float32, like the scores of windows."""
    return bool(np.float32(detection.score or 0.0) >= np.float32(threshold))
