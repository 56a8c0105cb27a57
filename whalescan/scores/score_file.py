"""Stored scores of one channel of a recording: all that its tables are made of, without audio and model."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from whalescan.core import (
    ClockSegment,
    ColumnGrid,
    ColumnScores,
    FloatArray,
    GapKind,
    MissingSpan,
    Recording,
    TableError,
    WindowGrid,
    WindowScores,
)
from whalescan.core.files import write_atomically

FORMAT = 2
"""Raised by one whenever older versions of the program can no longer read what this one writes."""
_parsing = Lock()
"""Before Python 3.11.9 and 3.12.3, two threads that parse headers of arrays at a time may raise SystemError (gh-106905)."""
_READ_ERRORS = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True, slots=True)
class ScoreFile:
    """The scores of all columns and windows of one channel of one recording.

    Attributes:
        channel: 1-based.
        grid: the windows.
        classes: names of the classes, in the order of the scores.
        windows: scores and complexity of the windows, made of those of the columns.
        column_grid: the columns.
        columns: log-odds, boxes and complexity of the columns. Where another recording continues this one, they go on into
            it by a window.
        reach_samples: samples of the recording and of those that continue it.
        discontinuities: samples of these at which the timestamps jump; no column or window uses both sides of one.
        missing_spans: parts that were not analysed, in samples at the model's rate, in the order of time.
        problem: what was wrong with the recording, and where; empty where nothing was.
        fingerprint: what determines the scores; equal fingerprints mean equal scores.
    """

    recording: Recording
    channel: int
    grid: WindowGrid
    classes: tuple[str, ...]
    windows: WindowScores
    column_grid: ColumnGrid
    columns: ColumnScores
    reach_samples: int
    discontinuities: tuple[int, ...]
    missing_spans: tuple[MissingSpan, ...]
    problem: str
    fingerprint: str

    @property
    def missing_samples(self) -> int:
        """Number of samples at the model's rate that were not analysed."""
        return sum(span.length_samples for span in self.missing_spans)


def score_path(folder: Path, name: str, channel: int) -> Path:
    """Return the path of the scores of a channel of a recording. Its name states the channel, unless it is the first."""
    return folder / (f"{name}.npz" if channel == 1 else f"{name}.ch{channel}.npz")


def write_scores(folder: Path, scores: ScoreFile) -> None:
    """Write ``<recording>.npz`` to a folder."""
    about = {"recording": _recording_to_json(scores.recording), "channel": scores.channel, "problem": scores.problem}
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        format=FORMAT,
        scores=scores.windows.scores,
        complexity=scores.windows.complexity,
        classes=np.array(scores.classes),
        rate_hz=scores.grid.rate_hz,
        window_samples=scores.grid.window_samples,
        hop_samples=scores.grid.hop_samples,
        column_samples=scores.column_grid.column_samples,
        column_log_odds=scores.columns.log_odds,
        column_boxes=scores.columns.boxes,
        column_complexity=scores.columns.complexity,
        reach_samples=scores.reach_samples,
        jumps=np.array(scores.discontinuities, np.int64),
        losses=np.array([(span.begin_sample, span.end_sample) for span in scores.missing_spans], np.int64).reshape(-1, 2),
        loss_kinds=np.array([span.kind for span in scores.missing_spans], np.str_),
        about=json.dumps(about, sort_keys=True),
        fingerprint=scores.fingerprint,
    )
    write_atomically(score_path(folder, scores.recording.name, scores.channel), buffer.getvalue())


def read_scores(path: Path) -> ScoreFile:
    """Read a file that `write_scores` wrote. Arrays that this version does not know are ignored.

    Raises:
        TableError: when the file is absent, damaged, of another kind, or of another format.
    """
    try:
        with _arrays(io.BytesIO(path.read_bytes())) as file:
            _check_format(path, file)
            about: dict[str, Any] = json.loads(str(file["about"]))
            return ScoreFile(
                recording=_recording_from_json(about["recording"]),
                channel=about["channel"],
                grid=_grid(file),
                classes=tuple(file["classes"].tolist()),
                windows=WindowScores(file["scores"], file["complexity"]),
                column_grid=ColumnGrid(int(file["rate_hz"]), int(file["column_samples"])),
                columns=ColumnScores(file["column_log_odds"], file["column_boxes"], file["column_complexity"]),
                reach_samples=int(file["reach_samples"]),
                discontinuities=tuple(file["jumps"].tolist()),
                missing_spans=tuple(
                    MissingSpan(begin, end, GapKind(kind))
                    for (begin, end), kind in zip(file["losses"].tolist(), file["loss_kinds"].tolist(), strict=True)
                ),
                problem=about["problem"],
                fingerprint=str(file["fingerprint"]),
            )
    except _READ_ERRORS as error:
        raise _unreadable(path, error) from error


def read_complexity(path: Path) -> tuple[WindowGrid, FloatArray]:
    """Read only the windows of a recording and their complexity, float32 ``[n_windows, 4]``.

    Raises:
        TableError: as `read_scores` does.
    """
    try:
        with _arrays(path) as file:
            _check_format(path, file)
            return _grid(file), file["complexity"]
    except _READ_ERRORS as error:
        raise _unreadable(path, error) from error


def read_recording(path: Path) -> Recording:
    """Read only the recording from a score file.

    Raises:
        TableError: as `read_scores` does.
    """
    return read_origin(path).recording


class Origin(NamedTuple):
    """What the scores in a file are of.

    Attributes:
        grid: the windows.
        fingerprint: as in `ScoreFile`.
    """

    recording: Recording
    grid: WindowGrid
    fingerprint: str


def read_origin(path: Path) -> Origin:
    """Read only the recording, the windows and the fingerprint of the scores from a score file.

    Raises:
        TableError: as `read_scores` does.
    """
    try:
        with _arrays(path) as file:
            _check_format(path, file)
            about = json.loads(str(file["about"]))
            return Origin(_recording_from_json(about["recording"]), _grid(file), str(file["fingerprint"]))
    except _READ_ERRORS as error:
        raise _unreadable(path, error) from error


@contextmanager
def _arrays(source: Path | io.BytesIO) -> Iterator[Mapping[str, Any]]:
    """Open the arrays of a file, which are read when they are used; one thread at a time."""
    with _parsing, np.load(source, allow_pickle=False) as file:
        yield file


def _check_format(path: Path, file: Mapping[str, Any]) -> None:
    """Check that this version can read a file."""
    if "format" not in file:
        if "fingerprint" not in file:
            raise ValueError("it holds other data")
        raise TableError(f"{path}: made by whalescan 0.7 or older; run the same command again to score it")
    if int(file["format"]) > FORMAT:
        raise TableError(f"{path}: made by a newer version of whalescan; update whalescan")


def _grid(file: Mapping[str, Any]) -> WindowGrid:
    return WindowGrid(int(file["rate_hz"]), int(file["window_samples"]), int(file["hop_samples"]))


def _unreadable(path: Path, error: Exception) -> TableError:
    remedy = "delete it and run again" if path.exists() else "run again"
    return TableError(f"{path}: scores cannot be read ({error}); {remedy} in this folder")


def _recording_to_json(recording: Recording) -> dict[str, Any]:
    """Return a recording as JSON. The keys never change, so that old files stay readable."""
    facts = asdict(recording)
    del facts["clock_segments"]
    return facts | {
        "relative": facts.pop("relative_path"),
        "path": str(recording.path),
        "start_utc": _iso(recording.start_utc),
        "start_local": _iso(recording.start_local),
        "pieces": [[segment.first_frame, _iso(segment.start_utc)] for segment in recording.clock_segments],
        "layout": None,  # only needed to read the audio
    }


def _recording_from_json(facts: dict[str, Any]) -> Recording:
    facts = dict(facts)
    segments = facts.pop("pieces")
    return Recording(
        **facts
        | {
            "relative_path": facts.pop("relative"),
            "path": Path(facts["path"]),
            "start_utc": _from_iso(facts["start_utc"]),
            "start_local": _from_iso(facts["start_local"]),
            "clock_segments": tuple(ClockSegment(frame, datetime.fromisoformat(start)) for frame, start in segments),
        }
    )


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _from_iso(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
