"""Formats of other programs, on request: Audacity labels, Kaleidoscope's CSV, Parquet.

A writer takes what the tables are made of and gives files as bytes; who calls it puts them into the output folder. `FORMATS`
is the one list of them: a new format is a function and its line there.

Audacity and Kaleidoscope open one recording at a time: a call that runs on into the next recording ends with its own there.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC
from pathlib import PurePosixPath
from typing import Any

from whalescan.core import Detection, Recording, UsageError, plain_text
from whalescan.core.files import csv_bytes
from whalescan.tables import csvs
from whalescan.tables.raven import Placed, SelectionOptions, reviewer_path

Writer = Callable[[Sequence[Placed], SelectionOptions], Mapping[str, bytes]]
"""Recordings with their calls as files: from the path below the output folder, with ``/``, to the content."""

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
    """See that these formats can be written, before hours of work.

    Raises:
        UsageError: where one is not known, or needs a library that is not installed.
    """
    for name in names:
        if name not in FORMATS:
            raise UsageError(f"--format {name!r} is none; whalescan knows {', '.join(sorted(FORMATS))}")
        for module in _NEEDS.get(name, ()):
            _library(module, name)


def audacity(placed: Sequence[Placed], options: SelectionOptions) -> dict[str, bytes]:
    """Labels with frequencies: ``audacity/<recording>.labels.txt``, empty where nothing was found.

    A label is two lines with tabs between their cells: begin, end and text; a backslash, low and high edge. That is the
    "extended format with frequency ranges" of https://manual.audacityteam.org/man/importing_and_exporting_labels.html.
    Audacity's labels know no channel: the text names it where the recording has several.
    """
    del options  # labels lie beside no path, and name no detector
    return {
        f"audacity/{place.recording.name}.labels.txt": _labels(place).encode(errors="backslashreplace") for place in placed
    }


def _labels(place: Placed) -> str:
    return "".join(
        f"{call.begin_s:.6f}\t{_end_s(place.recording, call):.6f}\t{_label_text(place.recording, call)}\n"
        f"\\\t{call.low_hz:.6f}\t{call.high_hz:.6f}\n"
        for call in place.detections
    )


def _label_text(recording: Recording, call: Detection) -> str:
    """What stands on a label, such as ``NARW upcall 0.93 yes``; what is not known is left out."""
    score = "" if call.score is None else f"{call.score:.2f}"
    review = "" if call.review == "unreviewed" else call.review
    channel = f"channel {call.channel}" if recording.channels > 1 else ""
    return plain_text(" ".join(part for part in (call.label, score, review, channel) if part))


def _end_s(recording: Recording, call: Detection) -> float:
    """Where a call ends within the recording in which it begins."""
    return max(min(call.end_s, recording.duration_s), call.begin_s)


def kaleidoscope(placed: Sequence[Placed], options: SelectionOptions) -> dict[str, bytes]:
    """``kaleidoscope.csv``, for "File > Open Results..." of Wildlife Acoustics' Kaleidoscope, a row a call.

    The columns are those of its own ``cluster.csv`` and ``id.csv`` that a detector can fill, by the names under which other
    programs read and write them (BirdNET-Analyzer, Softspoken, PyHa). ``CHANNEL`` counts from 0, ``OFFSET`` is in seconds
    from the recording's first sample, frequencies are in Hz, ``Fmean`` is the middle of the box, and ``DATE``, ``TIME`` and
    ``HOUR`` say when the recording began, in UTC. ``TOP1MATCH`` and ``TOP1DIST`` hold class and score, which Kaleidoscope
    shows in its list of results (https://github.com/birdnet-team/BirdNET-Analyzer/pull/856); unlike a distance, the higher
    the surer. ``MANUAL ID`` holds what a reviewer said; where nobody did, it is blank to fill.
    """
    rows = (_kaleidoscope_row(place.recording, call, options) for place in placed for call in place.detections)
    return {"kaleidoscope.csv": csv_bytes(KALEIDOSCOPE_COLUMNS, rows)}


def _kaleidoscope_row(recording: Recording, call: Detection, options: SelectionOptions) -> tuple[str, ...]:
    start = recording.start_utc.astimezone(UTC) if recording.start_utc else None
    manual = {"yes": call.label, "no": f"not {call.label}", "maybe": f"maybe {call.label}"}
    return (
        *_folders(recording, options.raven_root),
        recording.path.name,
        str(call.channel - 1),
        f"{call.begin_s:.6f}",
        f"{_end_s(recording, call) - call.begin_s:.6f}",
        f"{call.low_hz:.1f}",
        f"{(call.low_hz + call.high_hz) / 2:.1f}",
        f"{call.high_hz:.1f}",
        f"{start:%Y-%m-%d}" if start else "",
        f"{start:%H:%M:%S}" if start else "",
        str(start.hour) if start else "",
        call.label,
        "" if call.score is None else f"{call.score:.4f}",
        call.label,
        manual.get(call.review, ""),
        call.detection_id,
    )


def _folders(recording: Recording, raven_root: str) -> tuple[str, str]:
    """The folder that was given, as the reviewer's computer sees it, and the way from it to the file's own."""
    folder = reviewer_path(recording, raven_root).removesuffix(recording.path.name)
    separator = folder[-1:]
    folder = folder.rstrip(separator)
    below = separator.join(PurePosixPath(recording.relative).parts[:-1])
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


def parquet(placed: Sequence[Placed], options: SelectionOptions) -> dict[str, bytes]:
    """``detections.parquet``: the columns and values of ``detections.csv``, typed; moments in UTC to the millisecond.

    It is made of that table, so that the two cannot differ. What is missing there is null here.

    Raises:
        UsageError: where pyarrow is not installed.
    """
    del options  # as in detections.csv
    csv, pq, arrow = (_library(module, "parquet") for module in (*_NEEDS["parquet"], "pyarrow"))
    types = {"int64": arrow.int64(), "float64": arrow.float64(), "timestamp": arrow.timestamp("ms", tz="UTC")}
    columns = {name: arrow.string() for name in csvs.DETECTION_COLUMNS}
    columns |= {name: types[kind] for name, kind in _PARQUET_TYPES.items()}
    table = csv.read_csv(
        io.BytesIO(csvs.detections_csv((place.recording, place.detections) for place in placed)),
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
            f"--format {format_name} needs {module.partition('.')[0]}, which cannot be imported ({error}); "
            "python -m pip install 'whalescan[parquet]', or leave that format out"
        ) from error


FORMATS: dict[str, Writer] = {"audacity": audacity, "kaleidoscope": kaleidoscope, "parquet": parquet}
"""The writers by the names that ``--format`` takes."""
_NEEDS = {"parquet": ("pyarrow.csv", "pyarrow.parquet")}
"""What a format needs beyond what is installed with the program."""

LEFT_BY_FORMATS = ("audacity/**/*.labels.txt", "kaleidoscope.csv", "detections.parquet")
"""Where the writers' files lie: what is there and not wanted any more is of an earlier run."""
