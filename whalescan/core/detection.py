"""Calls: what the detector found, what people drew, and how a recording ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

_NOT_PLAIN = str.maketrans({"\t": " ", "\n": " ", "\r": " ", '"': "'"})


def plain_text(text: str) -> str:
    """Text without what ends a cell or a row in a tab-separated table, which knows no quoting."""
    return text.translate(_NOT_PLAIN)


@dataclass(frozen=True, slots=True)
class Detection:
    """A call that the detector, or a reviewer, found: a box in time and frequency with a score.

    Attributes:
        recording: name of the recording in which the call begins.
        channel: 1-based, as Raven counts.
        begin_s, end_s: from the recording's first sample; ``0 <= begin_s < end_s``. The end lies past the recording's own
            where the call runs on into the next one.
        low_hz, high_hz: edges of the box.
        label: the class.
        score: of the highest window, 0 to 1; None for a call that only a reviewer saw.
        detection_id: the same call gets the same id in every table and in every run.
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
    """A selection of a Raven table, drawn by a person or by a detector.

    Attributes:
        begin_s, end_s: as the table counts them: from the first sample of a recording, or of a sequence of recordings.
        sound: path or name of the sound file that the table states; empty where it states none.
        file_offset_s: seconds from that file's first sample; None where the table does not say.
        score: None where nobody gave one.
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
    """How a recording ended."""

    DONE = "done"
    PARTIAL = "partial"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recording.

    Attributes:
        status: done, partial (some of its sound could not be read), failed (none could) or skipped (not asked for).
        analysed_s: seconds of sound that were readable and lie in a scored window.
        n_detections: calls found, all channels together.
        problem: what was wrong, where, and what helps; empty where nothing was.
    """

    status: Status
    analysed_s: float
    n_detections: int
    problem: str = ""
