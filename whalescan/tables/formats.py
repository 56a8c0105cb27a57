"""Optional formats of other programs: Audacity labels, Kaleidoscope's CSV, Parquet.

A writer returns the contents of files; its caller writes them to the output folder. A new format needs a writer and an entry
in `FORMATS`.

Audacity and Kaleidoscope open one recording at a time: a detection that extends into the next recording ends with its own.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC
from pathlib import PurePosixPath
from typing import Any

from whalescan.core import Detection, Recording, RecordingResult, UsageError, invalid, plain_text
from whalescan.core.files import csv_bytes
from whalescan.tables import csvs
from whalescan.tables.raven import RavenTableOptions, reviewer_path

FormatWriter = Callable[[Sequence[RecordingResult], RavenTableOptions], Mapping[str, bytes]]
"""Returns contents by path below the output folder, with ``/``."""

KALEIDOSCOPE_COLUMNS = (
    "INDIR",
    "FOLDER",
    "IN FILE",
    "CHANNEL",
    "OFFSET",
    "DURATION",
    "Fmin",
    "Fmean",
    "Fmax",
    "DATE",
    "TIME",
    "HOUR",
    "TOP1MATCH",
    "TOP1DIST",
    "AUTO ID",
    "MANUAL ID",
    "DETECTION ID",
)


def check_formats(names: Iterable[str]) -> None:
    """Check, before a long run, that formats can be written.

    Raises:
        UsageError: when a format is unknown, or needs a library that is not installed.
    """
    for name in names:
        if name not in FORMATS:
            raise invalid("formats", name, f"one of {', '.join(sorted(FORMATS))}")
        for module in _NEEDS.get(name, ()):
            _library(module, name)


def audacity(results: Sequence[RecordingResult], options: RavenTableOptions) -> dict[str, bytes]:
    """Return Audacity labels with frequencies: ``audacity/<recording>.labels.txt``, empty without detections.

    A label consists of two tab-separated lines: begin, end and text; a backslash, low and high edge. This is the "extended
    format with frequency ranges" of https://manual.audacityteam.org/man/importing_and_exporting_labels.html.
    Labels have no channel: the text contains it where the recording has several.
    """
    del options  # labels contain neither paths nor the detector
    return {f"audacity/{result.name}.labels.txt": _labels(result).encode(errors="backslashreplace") for result in results}


def _labels(result: RecordingResult) -> str:
    recording = result.readable_recording()
    return "".join(
        f"{detection.begin_s:.6f}\t{_end_s(recording, detection):.6f}\t{_label_text(recording, detection)}\n"
        f"\\\t{detection.low_hz:.6f}\t{detection.high_hz:.6f}\n"
        for detection in result.detections
    )


def _label_text(recording: Recording, detection: Detection) -> str:
    """Return the text of a label, such as ``NARW upcall 0.93 yes``, without unknown parts."""
    score = "" if detection.score is None else f"{detection.score:.2f}"
    review = "" if detection.review == "unreviewed" else detection.review
    channel = f"channel {detection.channel}" if recording.channels > 1 else ""
    return plain_text(" ".join(part for part in (detection.label, score, review, channel) if part))


def _end_s(recording: Recording, detection: Detection) -> float:
    """Return the end of a detection within the recording in which it begins."""
    return max(min(detection.end_s, recording.duration_s), detection.begin_s)


def kaleidoscope(results: Sequence[RecordingResult], options: RavenTableOptions) -> dict[str, bytes]:
    """Return ``kaleidoscope.csv`` with one row per detection, for Kaleidoscope's "File > Open Results...".

    The columns are those of its own ``cluster.csv`` and ``id.csv`` that a detector can fill, with the names that other
    programs use (BirdNET-Analyzer, Softspoken, PyHa). ``CHANNEL`` counts from 0, ``OFFSET`` is in seconds from the start of
    the recording, frequencies are in Hz, ``Fmean`` is the centre of the box. ``DATE``, ``TIME`` and ``HOUR`` are the start
    of the recording in UTC. ``TOP1MATCH`` and ``TOP1DIST`` contain class and score, which Kaleidoscope shows in its list of
    results (https://github.com/birdnet-team/BirdNET-Analyzer/pull/856); unlike a distance, a higher score is better.
    ``MANUAL ID`` contains the review, and is blank without one.
    """
    rows = (
        _kaleidoscope_row(result.readable_recording(), detection, options)
        for result in results
        for detection in result.detections
    )
    return {"kaleidoscope.csv": csv_bytes(KALEIDOSCOPE_COLUMNS, rows)}


def _kaleidoscope_row(recording: Recording, detection: Detection, options: RavenTableOptions) -> tuple[str, ...]:
    start = recording.start_utc.astimezone(UTC) if recording.start_utc else None
    manual = {"yes": detection.label, "no": f"not {detection.label}", "maybe": f"maybe {detection.label}"}
    return (
        *_folders(recording, options.raven_root),
        recording.path.name,
        str(detection.channel - 1),
        f"{detection.begin_s:.6f}",
        f"{_end_s(recording, detection) - detection.begin_s:.6f}",
        f"{detection.low_hz:.1f}",
        f"{(detection.low_hz + detection.high_hz) / 2:.1f}",
        f"{detection.high_hz:.1f}",
        f"{start:%Y-%m-%d}" if start else "",
        f"{start:%H:%M:%S}" if start else "",
        str(start.hour) if start else "",
        detection.label,
        "" if detection.score is None else f"{detection.score:.4f}",
        detection.label,
        manual.get(detection.review, ""),
        detection.detection_id,
    )


def _folders(recording: Recording, raven_root: str) -> tuple[str, str]:
    """Return the input folder, as the reviewer's computer sees it, and the path from it to the recording's folder."""
    folder = reviewer_path(recording, raven_root).removesuffix(recording.path.name)
    separator = folder[-1:]
    folder = folder.rstrip(separator)
    below = separator.join(PurePosixPath(recording.relative_path).parts[:-1])
    if not below or not folder.endswith(separator + below):
        below = ""
    return folder.removesuffix(below).rstrip(separator) or separator, below


_PARQUET_TYPES = {
    "channel": "int64",
    "begin_s": "float64",
    "end_s": "float64",
    "low_hz": "float64",
    "high_hz": "float64",
    "score": "float64",
    "start_utc": "timestamp",
    "end_utc": "timestamp",
}


def parquet(results: Sequence[RecordingResult], options: RavenTableOptions) -> dict[str, bytes]:
    """Return ``detections.parquet``: the columns and values of ``detections.csv`` with types.

    Times are in UTC to the millisecond. The file is converted from that table, so that the two cannot differ. Blank cells
    become null.

    Raises:
        UsageError: when pyarrow is not installed.
    """
    del options  # as in detections.csv
    csv, pq, arrow = (_library(module, "parquet") for module in (*_NEEDS["parquet"], "pyarrow"))
    types = {"int64": arrow.int64(), "float64": arrow.float64(), "timestamp": arrow.timestamp("ms", tz="UTC")}
    columns = {name: arrow.string() for name in csvs.DETECTION_COLUMNS}
    columns |= {name: types[kind] for name, kind in _PARQUET_TYPES.items()}
    table = csv.read_csv(
        io.BytesIO(csvs.detections_csv(results)),
        read_options=csv.ReadOptions(use_threads=False),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(column_types=columns, null_values=[""]),
    )
    content = io.BytesIO()
    pq.write_table(table.combine_chunks(), content)
    return {"detections.parquet": content.getvalue()}


def _library(module: str, format_name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(
            f"format {format_name!r} needs {module.partition('.')[0]}, which cannot be imported ({error}); install it with "
            "python -m pip install 'whalescan[parquet]', or omit the format"
        ) from error


FORMATS: dict[str, FormatWriter] = {"audacity": audacity, "kaleidoscope": kaleidoscope, "parquet": parquet}
"""Writers by the names of formats."""
_NEEDS = {"parquet": ("pyarrow.csv", "pyarrow.parquet")}
"""Optional libraries that a format needs."""

FORMAT_OUTPUTS = ("audacity/**/*.labels.txt", "kaleidoscope.csv", "detections.parquet")
"""Patterns of the files that writers produce; those not written again are from an earlier run."""
