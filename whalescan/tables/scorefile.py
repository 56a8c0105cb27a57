"""A recording's scores on disk: all that its tables are made of, so that they can be made again without sound or model."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from whalescan.core import Recording, TableError, WindowGrid, WindowScores
from whalescan.tables.files import write_whole


@dataclass(frozen=True, slots=True)
class ScoreFile:
    """Every window's score of one channel of one recording.

    Attributes:
        classes: names of the scores' columns.
        lost_samples: samples at the model's rate that could not be read.
        problem: what was wrong with the recording, and where; empty where nothing was.
        fingerprint: what produced the scores; equal fingerprints mean equal scores.
    """

    recording: Recording
    channel: int
    grid: WindowGrid
    classes: tuple[str, ...]
    windows: WindowScores
    lost_samples: int
    problem: str
    fingerprint: str


def score_path(folder: Path, name: str, channel: int) -> Path:
    """Where the scores of a recording's channel lie; only channels beyond the first are named."""
    return folder / (f"{name}.npz" if channel == 1 else f"{name}.ch{channel}.npz")


def write_scores(folder: Path, scores: ScoreFile) -> None:
    """Write ``<recording>.npz``."""
    recording = asdict(scores.recording)
    recording["path"] = str(scores.recording.path)
    recording["start_utc"] = scores.recording.start_utc.isoformat() if scores.recording.start_utc else None
    recording["layout"] = None  # only needed to read the sound
    about = {"recording": recording, "channel": scores.channel, "problem": scores.problem}
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
        lost_samples=scores.lost_samples,
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
            fields = about["recording"]
            start = fields["start_utc"]
            return ScoreFile(
                recording=Recording(
                    **{
                        **fields,
                        "path": Path(fields["path"]),
                        "start_utc": datetime.fromisoformat(start) if start else None,
                    }
                ),
                channel=about["channel"],
                grid=WindowGrid(int(file["rate_hz"]), int(file["window_samples"]), int(file["hop_samples"])),
                classes=tuple(file["classes"].tolist()),
                windows=WindowScores(file["scores"], file["boxes"], file["complexity"]),
                lost_samples=int(file["lost_samples"]),
                problem=about["problem"],
                fingerprint=str(file["fingerprint"]),
            )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise TableError(f"{path}: no scores can be read there ({error}); give the `run` command again") from error
