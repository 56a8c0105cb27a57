"""Raven selection tables, written so that Raven lands on the call in either of its two ways; `selections` reads them.

Raven opens a table *as a selection table*, trusting Begin and End Time on the axis of all sounds in the window, or *as a
sound selection table*, trusting Begin Path and File Offset. A deployment's table therefore counts the true durations of all
earlier recordings, silent ones too.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from whalescan.core import Annotation, Detection, Recording, plain_text
from whalescan.core.files import iso_utc

COLUMNS = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Begin File",
    "File Offset (s)",
    "Begin Path",
    "Begin Date Time (UTC)",
    "Annotation",
    "Tags",
    "Score",
    "Detection ID",
    "Review",
    "Detector",
)


_UNREADABLE = "backslashreplace"
"""A file name need not be valid text; a table must be."""


@dataclass(frozen=True, slots=True)
class SelectionOptions:
    """What stands in a table beside the calls.

    Attributes:
        detector: name and version of what found them; never blank.
        raven_root: folder of the recordings as the reviewer's computer sees it; empty for where they are here.
    """

    detector: str
    raven_root: str = ""


@dataclass(frozen=True, slots=True)
class Placed:
    """A recording on Raven's axis of a whole deployment, with its calls in the order of their times."""

    recording: Recording
    sequence_offset_s: float
    detections: Sequence[Detection]


def table_bytes(placed: Iterable[Placed], options: SelectionOptions) -> bytes:
    """A table of the calls of these recordings, in this order."""
    table = io.BytesIO()  # a deployment's is long: it is held once, and not as rows, text and bytes
    table.write(_line(COLUMNS))
    calls = ((place, detection) for place in placed for detection in place.detections)
    for selection, (place, detection) in enumerate(calls, start=1):
        table.write(_line(_cells(selection, place, detection, options)))
    return table.getvalue()


def _line(cells: Iterable[str]) -> bytes:
    return ("\t".join(map(plain_text, cells)) + "\n").encode(errors=_UNREADABLE)


def list_file_bytes(recordings: Iterable[Recording], options: SelectionOptions) -> bytes:
    """The recordings in the order of the deployment's table, one path a line."""
    return "".join(f"{plain_text(reviewer_path(recording, options.raven_root))}\n" for recording in recordings).encode(
        errors=_UNREADABLE
    )


def reviewer_path(recording: Recording, raven_root: str) -> str:
    """Where the reviewer's computer finds a recording; backslashes where the given root has them or a drive letter."""
    if not raven_root:
        return str(recording.path)
    separator = "\\" if "\\" in raven_root or raven_root[1:2] == ":" else "/"
    return raven_root.rstrip("\\/") + separator + recording.relative.replace("/", separator)


def _cells(selection: int, place: Placed, detection: Detection, options: SelectionOptions) -> tuple[str, ...]:
    recording = place.recording
    end_s = min(detection.end_s, recording.duration_s)  # Raven knows no selection that runs on into another file
    return (
        str(selection),
        "Spectrogram 1",
        str(detection.channel),
        f"{place.sequence_offset_s + detection.begin_s:.6f}",
        f"{place.sequence_offset_s + end_s:.6f}",
        f"{detection.low_hz:.1f}",
        f"{detection.high_hz:.1f}",
        recording.path.name,
        f"{detection.begin_s:.6f}",
        reviewer_path(recording, options.raven_root),
        iso_utc(recording.utc(detection.begin_s)) or "unknown",
        detection.label,
        detection.label,
        "" if detection.score is None else f"{detection.score:.4f}",
        detection.detection_id,
        detection.review,
        options.detector,
    )


def annotation_bytes(annotations: Iterable[Annotation]) -> bytes:
    """A table of what a person, or a simulation, knows to be there."""
    rows = ["\t".join((*COLUMNS[:7], "Annotation"))]
    for a in annotations:
        cells = f"{a.begin_s:.6f}", f"{a.end_s:.6f}", f"{a.low_hz:.1f}", f"{a.high_hz:.1f}", plain_text(a.label)
        rows.append("\t".join((str(len(rows)), "Spectrogram 1", str(a.channel), *cells)))
    return ("\n".join(rows) + "\n").encode()
