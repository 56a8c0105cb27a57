"""Folders of labelled clips in the layout of the Kaggle whale challenge: ``train.csv``, and the sound in ``train/``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from whalescan.audio import reading, recordings
from whalescan.core import FloatArray, Recording, RecordingError, UsageError

TABLE_NAME, SOUND_FOLDER = "train.csv", "train"
HELD_OUT = "validation"
"""Cell of the column ``side`` for clips that a training did not use."""


@dataclass(frozen=True, slots=True)
class ClipRow:
    """A row of a table of clips.

    Attributes:
        name: file name of the clip.
        label: ``0``, ``1``, or the name of a class; empty in a table without labels.
        group: what must stay on one side of a split, such as a day; empty where the table has no group.
        side: ``training`` or ``validation``; None where the table does not have this column.
    """

    name: str
    label: str = ""
    group: str = ""
    side: str | None = None

    @property
    def number(self) -> float | None:
        """Return the label as a number, None where it is text. In the Kaggle layout, 0 is no call, and 1 an upcall."""
        try:
            return float(self.label)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class ClipTable:
    """A table of clips.

    Attributes:
        path: the table.
        rows: in the order of the table, without repetitions.
        n_repeated: rows that occurred before.
    """

    path: Path
    rows: tuple[ClipRow, ...]
    n_repeated: int


def read_clip_table(path: Path, required: tuple[str, ...] = ("clip_name", "label")) -> ClipTable:
    """Read a table with ``clip_name``, and the columns ``label``, ``group`` and ``side`` where it has them.

    Raises:
        UsageError: when the file cannot be read, or lacks a required column.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig").fillna("")
        if missing := [name for name in required if name not in table]:
            raise ValueError(f"it has no column {' and no column '.join(missing)}")
    except (OSError, ValueError) as error:
        columns = f"column{'s' if len(required) > 1 else ''} {' and '.join(required)}"
        raise UsageError(f"{path}: not a table with the {columns}: {error}") from error
    cells = {name: table[name].str.strip().tolist() for name in ("clip_name", "label", "group", "side") if name in table}
    rows = tuple(
        dict.fromkeys(
            ClipRow(
                name,
                label=cells["label"][i] if "label" in cells else "",
                group=cells["group"][i] if "group" in cells else "",
                side=cells["side"][i] if "side" in cells else None,
            )
            for i, name in enumerate(cells["clip_name"])
        )
    )
    return ClipTable(path, rows, len(table) - len(rows))


@dataclass(frozen=True, slots=True)
class ClipSound:
    """The sound of a clip.

    Attributes:
        recording: the clip's file.
        begin_sample: position of the first of the samples in the clip, at the rate that was asked for.
        samples: float32 ``[n]`` of one channel, full scale is 1.
    """

    recording: Recording
    begin_sample: int
    samples: FloatArray


def read_clip(path: Path, rate_hz: int, channel: int = 1, at_most_samples: int | None = None) -> ClipSound:
    """Read a clip at a rate.

    Args:
        path: the clip.
        rate_hz: rate to which it is resampled.
        channel: 1-based.
        at_most_samples: of a longer clip, read so many samples from its middle; None to read all of it.

    Raises:
        RecordingError: when the clip is absent, unreadable, damaged, or does not have the channel.
    """
    if not path.is_file():
        raise RecordingError(f"{path}: listed in {TABLE_NAME}, but not there; add the file or delete its row")
    recording = recordings.read_header(recordings.AudioFile(path.name, path, path.name))
    if channel > recording.channels:
        raise RecordingError(f"{path}: has no channel {channel}, only {recording.channels}")
    n_samples = recording.n_samples(rate_hz)
    length = n_samples if at_most_samples is None else min(n_samples, at_most_samples)
    begin = (n_samples - length) // 2
    sound = reading.read(recording, channel, rate_hz, begin, begin + length)
    if sound.is_unreadable.any():
        raise RecordingError(f"{path}: damaged ({sound.problems[0]}); copy it again or delete its row")
    return ClipSound(recording, begin, sound.samples)
