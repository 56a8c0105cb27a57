"""Clips cut from recordings: what their files are called, and the tables that say what they hold."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from whalescan.core import Detection, Recording
from whalescan.core.files import csv_bytes, iso_utc
from whalescan.tables import raven
from whalescan.tables.raven import Placed, SelectionOptions

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
_LONGEST = 80
"""Characters of a recording's name in that of a clip; a folder's own path needs room, too."""


def clip_name(detection_id: str) -> str:
    """The name of a call's clip: its id, without what some file system does not take, or the end of which is far away.

    Where the name of the recording is changed, a hash of it tells it from others; so clips of one recording stay together,
    in the order of their times.
    """
    of_recording, dash, number = detection_id.rpartition("-")
    safe = _UNSAFE.sub("_", of_recording)[:_LONGEST]
    if safe != of_recording:
        safe += "-" + hashlib.sha256(of_recording.encode(errors="backslashreplace")).hexdigest()[:8]
    return f"{safe}{dash}{_UNSAFE.sub('_', number)}.wav"


@dataclass(frozen=True, slots=True)
class Clip:
    """A stretch of a recording in a file of its own.

    Attributes:
        path: of the clip.
        call: for which it was cut.
        recording: from which it was cut.
        rate_hz: of the clip.
        begin_sample: its first one, at that rate, from the recording's first.
        n_samples: its length.
        missing_s: seconds of it that are silent since nothing could be read, or since the recorder had lost sound.
    """

    path: Path
    call: Detection
    recording: Recording
    rate_hz: int
    begin_sample: int
    n_samples: int
    missing_s: float

    @property
    def begin_s(self) -> float:
        """From the recording's first sample."""
        return self.begin_sample / self.rate_hz

    @property
    def duration_s(self) -> float:
        """Its length."""
        return self.n_samples / self.rate_hz

    @property
    def start_utc(self) -> datetime | None:
        """When it began, by the clock at the call; None where the recording has none."""
        call_utc = self.recording.utc(self.call.begin_s)
        return call_utc and call_utc - timedelta(seconds=self.call.begin_s - self.begin_s)

    @property
    def call_within(self) -> Detection:
        """The call, with times from the clip's first sample; what lies outside is cut off."""
        begin_s = max(self.call.begin_s - self.begin_s, 0.0)
        end_s = min(self.call.end_s - self.begin_s, self.duration_s)
        return replace(self.call, channel=1, begin_s=begin_s, end_s=end_s)

    @property
    def as_recording(self) -> Recording:
        """The clip as a recording of its own."""
        name = self.path.name
        return Recording(
            self.path.stem, self.path, name, self.rate_hz, self.n_samples, channels=1, size_bytes=0, start_utc=self.start_utc
        )


def selections_bytes(clips: Sequence[Clip], detector: str) -> bytes:
    """A Raven table of the calls, on the axis of all clips in the order of `list_bytes`."""
    placed, offset_s = [], 0.0
    for clip in clips:
        placed.append(Placed(clip.as_recording, offset_s, [clip.call_within]))
        offset_s += clip.duration_s
    return raven.table_bytes(placed, SelectionOptions(detector))


def list_bytes(clips: Iterable[Clip]) -> bytes:
    """The clips, one path a line, for Raven."""
    return raven.list_file_bytes((clip.as_recording for clip in clips), SelectionOptions(""))


def clips_csv(clips: Iterable[Clip]) -> bytes:
    """``clips.csv``: what each clip is, and where it comes from; ``begin_s`` and ``end_s`` are the call's, in the clip."""
    return csv_bytes(CLIP_COLUMNS, map(_row, clips))


def _row(clip: Clip) -> tuple[str, ...]:
    call, within = clip.call, clip.call_within
    return (
        clip.path.name,
        call.detection_id,
        call.recording,
        _day(clip),
        str(call.channel),
        f"{clip.begin_s:.6f}",
        f"{clip.begin_s + clip.duration_s:.6f}",
        iso_utc(clip.start_utc),
        f"{within.begin_s:.6f}",
        f"{within.end_s:.6f}",
        f"{call.low_hz:.1f}",
        f"{call.high_hz:.1f}",
        call.label,
        "" if call.score is None else f"{call.score:.4f}",
        call.review,
        f"{clip.missing_s:.3f}",
    )


def training_csv(clips: Iterable[Clip]) -> bytes:
    """``train.csv``, as `train` reads it: the class where people said yes, 0 where they said no.

    What is held out together is a day, so that no model is judged by neighbours of what it learnt from.
    """
    rows = (
        (clip.path.name, clip.call.label if clip.call.review == "yes" else "0", _day(clip) or clip.call.recording)
        for clip in clips
    )
    return csv_bytes(("clip_name", "label", "group"), rows)


def _day(clip: Clip) -> str:
    return f"{clip.start_utc:%Y-%m-%d}" if clip.start_utc else ""
