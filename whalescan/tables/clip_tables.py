"""Folders of clips: tables of clips cut from detections, and tables of labelled clips for training and evaluation."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd

from whalescan.audio import reading, recordings
from whalescan.core import Detection, FloatArray, Recording, RecordingError, RecordingResult, UsageError
from whalescan.core.files import csv_bytes
from whalescan.core.text import iso_utc
from whalescan.tables import raven
from whalescan.tables.raven import RavenTableOptions

CLIP_COLUMNS = (
    "clip_name",
    "detection_id",
    "recording",
    "day",
    "channel",
    "clip_begin_s",
    "clip_end_s",
    "clip_start_utc",
    "begin_s",
    "end_s",
    "low_hz",
    "high_hz",
    "label",
    "score",
    "review",
    "missing_s",
)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+|^[.-]+")
_LONGEST_NAME = 80
"""Characters of a recording's name in a clip's name; leaves room for the path of the folder."""


def clip_name(detection_id: str) -> str:
    """Return the file name of a detection's clip: its ID, without characters that a file system rejects, and shortened.

    A changed recording name gets a hash, so that it stays unique. Clips of one recording sort together, by time.
    """
    recording, dash, number = detection_id.rpartition("-")
    safe = _UNSAFE.sub("_", recording)[:_LONGEST_NAME]
    if safe != recording:
        safe += "-" + hashlib.sha256(recording.encode(errors="backslashreplace")).hexdigest()[:8]
    return f"{safe}{dash}{_UNSAFE.sub('_', number)}.wav"


@dataclass(frozen=True, slots=True)
class Clip:
    """A segment of a recording in a file of its own.

    Attributes:
        path: path of the clip.
        detection: detection for which it was cut.
        recording: recording from which it was cut.
        rate_hz: sample rate of the clip.
        begin_sample: first sample at that rate, counted from the start of the recording.
        length_samples: length at that rate.
        missing_s: seconds of silence in place of unreadable audio and drop-outs.
    """

    path: Path
    detection: Detection
    recording: Recording
    rate_hz: int
    begin_sample: int
    length_samples: int
    missing_s: float

    @property
    def begin_s(self) -> float:
        """Begin in seconds from the start of the recording."""
        return self.begin_sample / self.rate_hz

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.length_samples / self.rate_hz

    @property
    def start_utc(self) -> datetime | None:
        """Start by the recording's clock at the detection; None where its start is unknown."""
        detection_utc = self.recording.utc(self.detection.begin_s)
        return detection_utc and detection_utc - timedelta(seconds=self.detection.begin_s - self.begin_s)

    @property
    def detection_in_clip(self) -> Detection:
        """The detection with times from the start of the clip, cut at its ends."""
        begin_s = max(self.detection.begin_s - self.begin_s, 0.0)
        end_s = min(self.detection.end_s - self.begin_s, self.duration_s)
        return replace(self.detection, channel=1, begin_s=begin_s, end_s=end_s)

    @property
    def as_recording(self) -> Recording:
        """The clip as a recording."""
        name = self.path.name
        return Recording(
            self.path.stem,
            self.path,
            name,
            self.rate_hz,
            self.length_samples,
            channels=1,
            size_bytes=0,
            start_utc=self.start_utc,
        )


def clip_selections_bytes(clips: Sequence[Clip], detector: str) -> bytes:
    """Return a Raven table of the detections, on the time axis of all clips in the order of `clip_list_bytes`."""
    results, offset_s = [], 0.0
    for clip in clips:
        results.append(
            RecordingResult.of(clip.as_recording, detections=[clip.detection_in_clip], sequence_offset_s=offset_s)
        )
        offset_s += clip.duration_s
    return raven.table_bytes(results, RavenTableOptions(detector))


def clip_list_bytes(clips: Iterable[Clip]) -> bytes:
    """Return Raven's list of the clips, one path per line."""
    return raven.list_file_bytes((clip.as_recording for clip in clips), RavenTableOptions(""))


def clips_csv(clips: Iterable[Clip]) -> bytes:
    """Return ``clips.csv``: detection and origin of each clip; ``begin_s`` and ``end_s`` refer to the clip."""
    return csv_bytes(CLIP_COLUMNS, map(_row, clips))


def _row(clip: Clip) -> tuple[str, ...]:
    detection, in_clip = clip.detection, clip.detection_in_clip
    return (
        clip.path.name,
        detection.detection_id,
        detection.recording,
        _day(clip),
        str(detection.channel),
        f"{clip.begin_s:.6f}",
        f"{clip.begin_s + clip.duration_s:.6f}",
        iso_utc(clip.start_utc),
        f"{in_clip.begin_s:.6f}",
        f"{in_clip.end_s:.6f}",
        f"{detection.low_hz:.1f}",
        f"{detection.high_hz:.1f}",
        detection.label,
        "" if detection.score is None else f"{detection.score:.4f}",
        detection.review,
        f"{clip.missing_s:.3f}",
    )


def training_csv(clips: Iterable[Clip]) -> bytes:
    """Return ``train.csv`` for `train`: the class where the review is ``yes``, else 0.

    Groups that are held out together are days, so that a model is not validated on neighbours of its training clips.
    """
    rows = (
        (
            clip.path.name,
            clip.detection.label if clip.detection.review == "yes" else "0",
            _day(clip) or clip.detection.recording,
        )
        for clip in clips
    )
    return csv_bytes(("clip_name", "label", "group"), rows)


def _day(clip: Clip) -> str:
    return f"{clip.start_utc:%Y-%m-%d}" if clip.start_utc else ""


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
        raise RecordingError(f"{path}: listed in {path.parent.name}.csv, but not there; add the file or delete its row")
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
