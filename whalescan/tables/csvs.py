"""The CSV tables: detections and files, written and read; hours, days and gaps, written."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path, PurePosixPath

from whalescan.core import Detection, Gap, Outcome, Recording, RecordingResult, Status, TableError, from_ns
from whalescan.core.files import csv_bytes
from whalescan.core.text import iso_utc
from whalescan.detections.detection_changes import DetectionChange
from whalescan.detections.presence import PresenceBin

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


def detections_csv(results: Iterable[RecordingResult]) -> bytes:
    """Return ``detections.csv``: one row for each detection, recording by recording."""
    rows = (_detection_row(result.readable_recording(), detection) for result in results for detection in result.detections)
    return csv_bytes(DETECTION_COLUMNS, rows)


def _detection_row(recording: Recording, detection: Detection) -> tuple[str, ...]:
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


COMPARED_COLUMNS = (
    "recording",
    "channel",
    "label",
    "change",
    "review",
    *(f"{run}_{column}" for run in ("old", "new") for column in ("begin_s", "end_s", "score", "detection_id")),
)


def compared_csv(changes: Iterable[DetectionChange]) -> bytes:
    """Return ``detections_compared.csv``: one row for each detection of the earlier or of the new run."""
    return csv_bytes(COMPARED_COLUMNS, map(_compared_row, changes))


def _compared_row(one: DetectionChange) -> tuple[str, ...]:
    about = one.either
    return (
        about.recording,
        str(about.channel),
        about.label,
        one.change,
        one.review,
        *_compared_cells(one.old),
        *_compared_cells(one.new),
    )


def _compared_cells(detection: Detection | None) -> tuple[str, str, str, str]:
    if detection is None:
        return "", "", "", ""
    score = "" if detection.score is None else f"{detection.score:.4f}"
    return f"{detection.begin_s:.6f}", f"{detection.end_s:.6f}", score, detection.detection_id


def read_detections_csv(path: Path) -> list[Detection]:
    """Return the rows of a ``detections.csv``.

    Raises:
        TableError: when the file is absent or another table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [_read_detection_row(row) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise TableError(
            f"{path}: not a detections.csv of whalescan ({error}); `whalescan detect {path.parent}` writes it again"
        ) from error


def _read_detection_row(row: dict[str, str]) -> Detection:
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


def files_csv(results: Iterable[RecordingResult]) -> bytes:
    """Return ``files.csv``: one row for each recording, also for those that cannot be read."""
    return csv_bytes(FILE_COLUMNS, map(_file_row, results))


def _file_row(result: RecordingResult) -> tuple[str, ...]:
    recording, outcome = result.recording, result.outcome
    header_facts = ("", "", "")
    if recording is not None:
        header_facts = str(recording.rate_hz), str(recording.channels), f"{recording.duration_s:.6f}"
    return (
        result.name,
        str(result.path),
        iso_utc(result.start_utc),
        result.time_source,
        *header_facts,
        f"{outcome.analysed_s:.6f}",
        str(outcome.n_detections),
        outcome.status,
        outcome.problem,
        f"{result.sequence_offset_s:.6f}",
        "" if result.size_bytes is None else str(result.size_bytes),
    )


def read_files_csv(path: Path) -> list[RecordingResult]:
    """Return the rows of a ``files.csv``; their channels, detections and missing spans are left empty.

    Raises:
        TableError: when the file is absent or another table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [_read_file_row(row) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise TableError(f"{path}: not a files.csv of whalescan ({error}); give the output folder of a run") from error


def _read_file_row(row: dict[str, str]) -> RecordingResult:
    path = Path(row["path"])
    start_utc = datetime.fromisoformat(row["start_utc"]) if row["start_utc"] else None
    size_bytes = int(row["size_bytes"]) if row["size_bytes"] else None
    recording = None
    if row["sample_rate_hz"]:
        rate_hz = int(row["sample_rate_hz"])
        recording = Recording(
            name=row["recording"],
            path=path,
            relative_path=str(PurePosixPath(row["recording"]).parent / path.name),
            rate_hz=rate_hz,
            n_frames=round(float(row["duration_s"]) * rate_hz),
            channels=int(row["channels"]),
            size_bytes=size_bytes or 0,
            start_utc=start_utc,
            time_source=row["time_source"],
        )
    outcome = Outcome(Status(row["status"]), float(row["analysed_s"]), int(row["n_detections"]), row["problem"])
    return RecordingResult(
        name=row["recording"],
        path=path,
        recording=recording,
        outcome=outcome,
        sequence_offset_s=float(row["sequence_offset_s"]),
        start_utc=start_utc,
        time_source=row["time_source"],
        size_bytes=size_bytes,
    )


BIN_COLUMNS = (
    "bin_start_utc",
    "bin_end_utc",
    "recorded_s",
    "analysed_s",
    "n_detections",
    "n_validated",
    "detections_per_hour",
    "max_score",
    "result",
)
LOCAL_BIN_COLUMNS = ("bin_start_local", "bin_end_local", *BIN_COLUMNS)
GAP_COLUMNS = ("start_utc", "end_utc", "seconds", "kind")


def bins_csv(bins: Iterable[PresenceBin]) -> bytes:
    """``hourly.csv`` or ``daily.csv``."""
    return csv_bytes(BIN_COLUMNS, map(_bin, bins))


def local_bins_csv(bins: Iterable[PresenceBin], zone: tzinfo) -> bytes:
    """The same, with what clocks in a zone show, as ISO 8601 with the offset: ``2026-03-08T00:00:00-05:00``."""
    return csv_bytes(LOCAL_BIN_COLUMNS, ((_local(b.begin_ns, zone), _local(b.end_ns, zone), *_bin(b)) for b in bins))


def gaps_csv(gaps: Iterable[Gap]) -> bytes:
    """``gaps.csv``, in the order of time."""
    in_order = sorted(gaps, key=lambda gap: (gap.begin_ns, gap.end_ns, gap.kind))
    return csv_bytes(
        GAP_COLUMNS,
        ((_utc(gap.begin_ns), _utc(gap.end_ns), _seconds(gap.end_ns - gap.begin_ns), gap.kind) for gap in in_order),
    )


def _bin(row: PresenceBin) -> tuple[str, ...]:
    return (
        _utc(row.begin_ns),
        _utc(row.end_ns),
        _seconds(row.recorded_ns),
        _seconds(row.analysed_ns),
        str(row.n_detections),
        str(row.n_validated),
        "" if row.detections_per_hour is None else f"{row.detections_per_hour:.3f}",
        "" if row.max_score is None else f"{row.max_score:.4f}",
        row.result,
    )


def _utc(moment_ns: int) -> str:
    return iso_utc(from_ns(moment_ns))


def _local(moment_ns: int, zone: tzinfo) -> str:
    return from_ns(moment_ns).astimezone(zone).isoformat()


def _seconds(length_ns: int) -> str:
    return f"{length_ns / 10**9:.6f}"
