"""Detections, annotations and outcomes of recordings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Detection:
    """A box in time and frequency that the detector, or a reviewer, marked as a call.

    Attributes:
        recording: name of the recording in which it begins.
        channel: 1-based, as Raven counts.
        begin_s, end_s: seconds from the recording's first sample; ``0 <= begin_s < end_s``. The end lies past that of the
            recording where the call extends into the following one.
        low_hz, high_hz: edges of the box.
        label: the class.
        score: of the highest window, 0 to 1; None for a call that only a reviewer found.
        detection_id: the same in every table and in every run.
        review: ``yes``, ``no``, ``maybe`` or ``unreviewed``.
    """

    recording: str
    channel: int
    begin_s: float
    end_s: float
    low_hz: float
    high_hz: float
    label: str
    score: float | None
    detection_id: str
    review: str = "unreviewed"


@dataclass(frozen=True, slots=True)
class Annotation:
    """A selection of a Raven table, made by a person or a detector.

    Attributes:
        begin_s, end_s: seconds as in the table: from the first sample of a recording, or of a sequence of recordings.
        sound: path or name of the sound file that the table states; empty where it states none.
        file_offset_s: seconds from that file's first sample; None where the table does not say.
        score: None where the table has none.
        review: ``yes``, ``no``, ``maybe`` or ``unreviewed``; empty where the table has no such column.
    """

    begin_s: float
    end_s: float
    low_hz: float
    high_hz: float
    label: str
    channel: int = 1
    sound: str = ""
    file_offset_s: float | None = None
    score: float | None = None
    review: str = ""
    detection_id: str = ""


class Status(StrEnum):
    """Status of a recording."""

    DONE = "done"
    PARTIAL = "partial"
    FAILED = "failed"
    SKIPPED = "skipped"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of one recording.

    Attributes:
        status: done, partial (some of its sound could not be read), failed (none could), skipped (not asked for) or
            pending (not scored yet; never in a table).
        analysed_s: seconds that were readable and lie in a scored window.
        n_detections: detections on all channels together, without rejected ones.
        problem: the problem with its place and its remedy; empty where there was none.
    """

    status: Status
    analysed_s: float
    n_detections: int
    problem: str = ""
