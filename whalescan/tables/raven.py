"""Raven selection tables, written so that Raven lands on the call in either of its two ways, and read as people save them.

Raven opens a table *as a selection table*, trusting Begin and End Time on the axis of all sounds in the window, or *as a
sound selection table*, trusting Begin Path and File Offset. A deployment's table therefore counts the true durations of all
earlier recordings, silent ones too.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from whalescan.core import Annotation, Detection, Recording, TableError, plain_text
from whalescan.tables.files import iso_utc

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
    rows = ["\t".join(COLUMNS)]
    for place in placed:
        for detection in place.detections:
            cells = _cells(len(rows), place, detection, options)
            rows.append("\t".join(plain_text(cell) for cell in cells))
    return ("\n".join(rows) + "\n").encode(errors=_UNREADABLE)


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
    return (
        str(selection),
        "Spectrogram 1",
        str(detection.channel),
        f"{place.sequence_offset_s + detection.begin_s:.6f}",
        f"{place.sequence_offset_s + detection.end_s:.6f}",
        f"{detection.low_hz:.1f}",
        f"{detection.high_hz:.1f}",
        recording.path.name,
        f"{detection.begin_s:.6f}",
        reviewer_path(recording, options.raven_root),
        iso_utc(recording.utc(detection.begin_s)) or "unknown",
        detection.label,
        detection.label,
        f"{detection.score:.4f}",
        detection.detection_id,
        "unreviewed",
        options.detector,
    )


def annotation_bytes(annotations: Iterable[Annotation]) -> bytes:
    """A table of what a person, or a simulation, knows to be there."""
    rows = ["\t".join((*COLUMNS[:7], "Annotation"))]
    for a in annotations:
        cells = f"{a.begin_s:.6f}", f"{a.end_s:.6f}", f"{a.low_hz:.1f}", f"{a.high_hz:.1f}", plain_text(a.label)
        rows.append("\t".join((str(len(rows)), "Spectrogram 1", str(a.channel), *cells)))
    return ("\n".join(rows) + "\n").encode()


_OTHER_SPELLINGS = {
    "begin time (s)": "begin",
    "end time (s)": "end",
    "low freq (hz)": "low",
    "low frequency (hz)": "low",
    "high freq (hz)": "high",
    "high frequency (hz)": "high",
    "channel": "channel",
    "view": "view",
    "selection": "selection",
}
_LABELS = ("annotation", "tags", "sound type", "common name", "label", "class")


def read_selections(path: str | Path) -> list[Annotation]:
    """Selections of a Raven table, as whalescan or a person saved it.

    Byte order marks, CRLF, blank cells and Raven's doubled rows (one for the waveform, one for the spectrogram) are taken in
    stride; a table without rows is an empty list.

    Raises:
        TableError: when the file is no Raven table, or a time or frequency in it is no number; names the line.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: cannot be read as a table ({error})") from error
    rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    at = {_OTHER_SPELLINGS[cell]: i for i, cell in reversed(list(enumerate(header))) if cell in _OTHER_SPELLINGS}
    if absent := {"begin", "end"} - at.keys():
        names = " and ".join(f"{name.title()} Time (s)" for name in sorted(absent))
        raise TableError(f"{path}: no Raven selection table, its first line has no column {names} (tab-separated)")
    label_at = next((header.index(name) for name in _LABELS if name in header), None)
    annotations, seen = [], set()
    for line, row in enumerate(rows[1:], start=2):
        cells = dict.fromkeys(at, "") | {name: row[i].strip() for name, i in at.items() if i < len(row)}
        selection = cells.get("selection", "")
        if not any(cell.strip() for cell in row) or cells.get("view", "").startswith("Waveform"):
            continue
        if selection and selection in seen:
            continue
        seen.add(selection)
        label = row[label_at].strip() if label_at is not None and label_at < len(row) else ""
        annotations.append(_annotation(path, line, cells, label))
    return annotations


def is_reviewed(path: Path) -> bool:
    """Whether somebody has judged calls in a table of ours: a ``Review`` other than ``unreviewed``."""
    rows = csv.reader(
        path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE
    )
    header = next(rows, [])
    if "Review" not in header:
        return False
    at = header.index("Review")
    return any(len(row) > at and row[at].strip() not in ("", "unreviewed") for row in rows)


def _annotation(path: Path, line: int, cells: dict[str, str], label: str) -> Annotation:
    try:
        begin_s, end_s = float(cells["begin"]), float(cells["end"])
        low_hz, high_hz = float(cells.get("low") or 0), float(cells.get("high") or "inf")
        channel = int(cells.get("channel") or 1)
    except ValueError as error:
        raise TableError(f"{path}, line {line}: {error}; mend the cell or delete the row") from error
    if not begin_s < end_s:
        raise TableError(f"{path}, line {line}: ends at {end_s} s, before it begins at {begin_s} s")
    return Annotation(begin_s, end_s, low_hz, high_hz, label, channel)
