"""The CSV summaries."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath

from whalescan.core import Detection, Outcome, Recording, Status, TableError
from whalescan.core.files import csv_bytes, iso_utc

DETECTION_COLUMNS = (
    "detection_id",
    "recording",
    "channel",
    "begin_s",
    "end_s",
    "low_hz",
    "high_hz",
    "label",
    "score",
    "start_utc",
    "end_utc",
    "review",
)
FILE_COLUMNS = (
    "recording",
    "path",
    "start_utc",
    "time_source",
    "sample_rate_hz",
    "channels",
    "duration_s",
    "analysed_s",
    "n_detections",
    "status",
    "problem",
    "sequence_offset_s",
    "size_bytes",
)


@dataclass(frozen=True, slots=True)
class FileRow:
    """A recording with what became of it.

    Attributes:
        name, path: as in `Recording`.
        recording: None where not even its header could be read.
        outcome: what became of it.
        sequence_offset_s: seconds of all readable recordings before it, in the order of names.
        start_utc, time_source, size_bytes: what is known of a file whose header could not be read.
    """

    name: str
    path: Path
    recording: Recording | None
    outcome: Outcome
    sequence_offset_s: float = 0.0
    start_utc: datetime | None = None
    time_source: str = "none"
    size_bytes: int | None = None


def detections_csv(rows: Iterable[tuple[Recording, Sequence[Detection]]]) -> bytes:
    """``detections.csv``."""
    return csv_bytes(DETECTION_COLUMNS, (_detection(r, d) for r, detections in rows for d in detections))


def _detection(recording: Recording, detection: Detection) -> tuple[str, ...]:
    begin_utc = recording.utc(detection.begin_s)
    return (
        detection.detection_id,
        detection.recording,
        str(detection.channel),
        f"{detection.begin_s:.6f}",
        f"{detection.end_s:.6f}",
        f"{detection.low_hz:.1f}",
        f"{detection.high_hz:.1f}",
        detection.label,
        "" if detection.score is None else f"{detection.score:.4f}",
        iso_utc(begin_utc),
        iso_utc(begin_utc and begin_utc + timedelta(seconds=detection.end_s - detection.begin_s)),
        detection.review,
    )


def listed_detections(path: Path) -> list[Detection]:
    """The rows of a ``detections.csv``.

    Raises:
        TableError: when the file is absent or no such table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [_listed_detection(row) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise TableError(
            f"{path}: no detections.csv of a whalescan run ({error}); give `whalescan detect {path.parent}` to make it anew"
        ) from error


def _listed_detection(row: dict[str, str]) -> Detection:
    return Detection(
        recording=row["recording"],
        channel=int(row["channel"]),
        begin_s=float(row["begin_s"]),
        end_s=float(row["end_s"]),
        low_hz=float(row["low_hz"]),
        high_hz=float(row["high_hz"]),
        label=row["label"],
        score=float(row["score"]) if row["score"] else None,
        detection_id=row["detection_id"],
        review=row["review"],
    )


def files_csv(rows: Iterable[FileRow]) -> bytes:
    """``files.csv``: one row a recording, also for those that could not be read."""
    return csv_bytes(FILE_COLUMNS, map(_file, rows))


def _file(row: FileRow) -> tuple[str, ...]:
    recording, outcome = row.recording, row.outcome
    facts = iso_utc(row.start_utc), row.time_source, "", "", ""
    size_bytes = "" if row.size_bytes is None else str(row.size_bytes)
    if recording is not None:
        size_bytes = str(recording.size_bytes)
        facts = (
            iso_utc(recording.start_utc),
            recording.time_source,
            str(recording.rate_hz),
            str(recording.channels),
            f"{recording.duration_s:.6f}",
        )
    return (
        row.name,
        str(row.path),
        *facts,
        f"{outcome.analysed_s:.6f}",
        str(outcome.n_detections),
        outcome.status,
        outcome.problem,
        f"{row.sequence_offset_s:.6f}",
        size_bytes,
    )


def listed_files(path: Path) -> list[FileRow]:
    """The rows of a ``files.csv``.

    Raises:
        TableError: when the file is absent or no such table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [_listed(row) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise TableError(f"{path}: no files.csv of a whalescan run ({error}); give the folder that `run` wrote") from error


def _listed(row: dict[str, str]) -> FileRow:
    path = Path(row["path"])
    start_utc = datetime.fromisoformat(row["start_utc"]) if row["start_utc"] else None
    size_bytes = int(row["size_bytes"]) if row["size_bytes"] else None
    recording = None
    if row["sample_rate_hz"]:
        rate_hz = int(row["sample_rate_hz"])
        recording = Recording(
            name=row["recording"],
            path=path,
            relative=str(PurePosixPath(row["recording"]).parent / path.name),
            rate_hz=rate_hz,
            n_frames=round(float(row["duration_s"]) * rate_hz),
            channels=int(row["channels"]),
            size_bytes=size_bytes or 0,
            start_utc=start_utc,
            time_source=row["time_source"],
        )
    outcome = Outcome(Status(row["status"]), float(row["analysed_s"]), int(row["n_detections"]), row["problem"])
    offset_s = float(row["sequence_offset_s"])
    return FileRow(row["recording"], path, recording, outcome, offset_s, start_utc, row["time_source"], size_bytes)
