"""Raven selection tables, written so that both ways in which Raven opens them lead to the call; `selections` reads them.

Raven opens a table *as a selection table* and uses Begin and End Time on the axis of all sounds in the window, or *as a
sound selection table* and uses Begin Path and File Offset. The times in a deployment's table therefore include the durations
of all earlier recordings, also of those without detections.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass

from whalescan.core import Annotation, Detection, Recording, RecordingResult, plain_text
from whalescan.core.text import iso_utc

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


_ENCODING_ERRORS = "backslashreplace"
"""File names may contain invalid text; a table must not."""


@dataclass(frozen=True, slots=True)
class RavenTableOptions:
    """What a table states beside the detections.

    Attributes:
        detector: name and version of the detector; never empty.
        raven_root: folder of the recordings as the reviewer's computer sees it; empty for their paths on this computer.
    """

    detector: str
    raven_root: str = ""


def table_bytes(results: Iterable[RecordingResult], options: RavenTableOptions) -> bytes:
    """Return the selection table of the detections of these recordings, in this order."""
    table = io.BytesIO()  # a deployment's table is long, so it is kept in memory once, not as rows, text and bytes
    table.write(_line(COLUMNS))
    rows = ((result, detection) for result in results for detection in result.detections)
    for selection, (result, detection) in enumerate(rows, start=1):
        table.write(_line(_cells(selection, result, detection, options)))
    return table.getvalue()


def _line(cells: Iterable[str]) -> bytes:
    return ("\t".join(map(plain_text, cells)) + "\n").encode(errors=_ENCODING_ERRORS)


def list_file_bytes(recordings: Iterable[Recording], options: RavenTableOptions) -> bytes:
    """Return a list of the recordings in the order of the deployment's table, one path on each line."""
    return "".join(f"{plain_text(reviewer_path(recording, options.raven_root))}\n" for recording in recordings).encode(
        errors=_ENCODING_ERRORS
    )


def reviewer_path(recording: Recording, raven_root: str) -> str:
    """Return the path of a recording on the reviewer's computer; with backslashes if the root has any, or a drive."""
    if not raven_root:
        return str(recording.path)
    separator = "\\" if "\\" in raven_root or raven_root[1:2] == ":" else "/"
    return raven_root.rstrip("\\/") + separator + recording.relative_path.replace("/", separator)


def _cells(selection: int, result: RecordingResult, detection: Detection, options: RavenTableOptions) -> tuple[str, ...]:
    recording = result.readable_recording()
    end_s = min(detection.end_s, recording.duration_s)  # in Raven, a selection lies in one file
    return (
        str(selection),
        "Spectrogram 1",
        str(detection.channel),
        f"{result.sequence_offset_s + detection.begin_s:.6f}",
        f"{result.sequence_offset_s + end_s:.6f}",
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
    """Return a selection table of annotations."""
    rows = ["\t".join((*COLUMNS[:7], "Annotation"))]
    for a in annotations:
        cells = f"{a.begin_s:.6f}", f"{a.end_s:.6f}", f"{a.low_hz:.1f}", f"{a.high_hz:.1f}", plain_text(a.label)
        rows.append("\t".join((str(len(rows)), "Spectrogram 1", str(a.channel), *cells)))
    return ("\n".join(rows) + "\n").encode()
