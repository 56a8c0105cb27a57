"""A recording's scores on disk: all that its tables are made of, so that they can be made again without sound or model."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from whalescan.core import FloatArray, GapKind, Loss, Piece, Recording, TableError, WindowGrid, WindowScores
from whalescan.core.files import write_whole

_UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True, slots=True)
class ScoreFile:
    """Every window's score of one channel of one recording.

    Attributes:
        classes: names of the scores' columns.
        reach_samples: how many samples from the recording's first its windows could hear: its own, and those of what its
            sound goes on in.
        jumps: at which of them the clock jumps; no window hears both sides of one.
        losses: parts that were not analysed, in the order of time.
        problem: what was wrong with the recording, and where; empty where nothing was.
        fingerprint: what produced the scores; equal fingerprints mean equal scores.
    """

    recording: Recording
    channel: int
    grid: WindowGrid
    classes: tuple[str, ...]
    windows: WindowScores
    reach_samples: int
    jumps: tuple[int, ...]
    losses: tuple[Loss, ...]
    problem: str
    fingerprint: str

    @property
    def lost_samples(self) -> int:
        """Samples at the model's rate that were not analysed."""
        return sum(loss.n_samples for loss in self.losses)


def score_path(folder: Path, name: str, channel: int) -> Path:
    """Where the scores of a recording's channel lie; only channels beyond the first are named."""
    return folder / (f"{name}.npz" if channel == 1 else f"{name}.ch{channel}.npz")


def write_scores(folder: Path, scores: ScoreFile) -> None:
    """Write ``<recording>.npz``."""
    about = {"recording": _facts(scores.recording), "channel": scores.channel, "problem": scores.problem}
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        scores=scores.windows.scores,
        boxes=scores.windows.boxes,
        complexity=scores.windows.complexity,
        classes=np.array(scores.classes),
        rate_hz=scores.grid.rate_hz,
        window_samples=scores.grid.window_samples,
        hop_samples=scores.grid.hop_samples,
        reach_samples=scores.reach_samples,
        jumps=np.array(scores.jumps, np.int64),
        losses=np.array([(loss.begin_sample, loss.end_sample) for loss in scores.losses], np.int64).reshape(-1, 2),
        loss_kinds=np.array([loss.kind for loss in scores.losses], np.str_),
        about=json.dumps(about, sort_keys=True),
        fingerprint=scores.fingerprint,
    )
    write_whole(score_path(folder, scores.recording.name, scores.channel), buffer.getvalue())


def read_scores(path: Path) -> ScoreFile:
    """Read what `write_scores` wrote.

    Raises:
        TableError: when the file is absent, damaged, or something else.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            about: dict[str, Any] = json.loads(str(file["about"]))
            return ScoreFile(
                recording=_recording(about["recording"]),
                channel=about["channel"],
                grid=_grid(file),
                classes=tuple(file["classes"].tolist()),
                windows=WindowScores(file["scores"], file["boxes"], file["complexity"]),
                reach_samples=int(file["reach_samples"]),
                jumps=tuple(file["jumps"].tolist()),
                losses=tuple(
                    Loss(begin, end, GapKind(kind))
                    for (begin, end), kind in zip(file["losses"].tolist(), file["loss_kinds"].tolist(), strict=True)
                ),
                problem=about["problem"],
                fingerprint=str(file["fingerprint"]),
            )
    except _UNREADABLE as error:
        raise _no_scores(path, error) from error


def read_complexity(path: Path) -> tuple[WindowGrid, FloatArray]:
    """The windows of a recording and their complexity, float32 ``[n_windows, 4]``, without the rest.

    Raises:
        TableError: as `read_scores` does.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return _grid(file), file["complexity"]
    except _UNREADABLE as error:
        raise _no_scores(path, error) from error


def read_recording(path: Path) -> Recording:
    """The recording whose scores lie in a file, without the scores.

    Raises:
        TableError: as `read_scores` does.
    """
    return read_origin(path)[0]


def read_origin(path: Path) -> tuple[Recording, str]:
    """The recording whose scores lie in a file, and the fingerprint of what produced them, without the scores.

    Raises:
        TableError: as `read_scores` does.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return _recording(json.loads(str(file["about"]))["recording"]), str(file["fingerprint"])
    except _UNREADABLE as error:
        raise _no_scores(path, error) from error


def _grid(file: Mapping[str, Any]) -> WindowGrid:
    return WindowGrid(int(file["rate_hz"]), int(file["window_samples"]), int(file["hop_samples"]))


def _no_scores(path: Path, error: Exception) -> TableError:
    there = "delete it and " if path.exists() else ""
    return TableError(f"{path}: no scores can be read there ({error}); {there}give the `run` command again")


def _facts(recording: Recording) -> dict[str, Any]:
    """A recording as JSON holds it."""
    return asdict(recording) | {
        "path": str(recording.path),
        "start_utc": _text(recording.start_utc),
        "start_local": _text(recording.start_local),
        "pieces": [[piece.first_frame, _text(piece.start_utc)] for piece in recording.pieces],
        "layout": None,  # only needed to read the sound
    }


def _recording(facts: dict[str, Any]) -> Recording:
    return Recording(
        **facts
        | {
            "path": Path(facts["path"]),
            "start_utc": _moment(facts["start_utc"]),
            "start_local": _moment(facts["start_local"]),
            "pieces": tuple(Piece(frame, datetime.fromisoformat(start)) for frame, start in facts["pieces"]),
        }
    )


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
