"""A recording on its way from the list of files to the tables, with all that a run finds out about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from whalescan.core.detection import Detection, Outcome, Status
from whalescan.core.recording import Recording
from whalescan.core.time import MissingSpan

PENDING = Outcome(Status.PENDING, 0.0, 0)
"""The outcome of a recording whose scores are not stored, or not read, yet."""


@dataclass(frozen=True, slots=True)
class RecordingResult:
    """A recording with its detections and its outcome.

    Attributes:
        name, path: as in `Recording`.
        recording: None where the header cannot be read.
        outcome: done, partial, failed or skipped; pending until the scores are read.
        channels: 1-based numbers of the channels to score; empty where there is none, and in a result read from a table.
        detections: in the order of their times, with their reviews.
        missing_spans: parts that were analysed on none of the channels, in samples of the recording itself; None where
            nothing was analysed, and in a result read from a table.
        sequence_offset_s: total duration of the readable recordings before this one, in the order of their names.
        start_utc, time_source, size_bytes: as in `Recording`; where that is None, what the name and the file system tell.
    """

    name: str
    path: Path
    recording: Recording | None
    outcome: Outcome
    channels: tuple[int, ...] = ()
    detections: tuple[Detection, ...] = field(default=(), repr=False)
    missing_spans: tuple[MissingSpan, ...] | None = field(default=None, repr=False)
    sequence_offset_s: float = 0.0
    start_utc: datetime | None = None
    time_source: str = "none"
    size_bytes: int | None = None

    @classmethod
    def of(
        cls,
        recording: Recording,
        outcome: Outcome = PENDING,
        *,
        channels: tuple[int, ...] = (),
        detections: Sequence[Detection] = (),
        missing_spans: tuple[MissingSpan, ...] | None = None,
        sequence_offset_s: float = 0.0,
    ) -> RecordingResult:
        """Return the result of a recording whose header can be read."""
        return cls(
            recording.name,
            recording.path,
            recording,
            outcome,
            channels,
            tuple(detections),
            missing_spans,
            sequence_offset_s,
            recording.start_utc,
            recording.time_source,
            recording.size_bytes,
        )

    def with_recording(self, recording: Recording) -> RecordingResult:
        """Return this result with other facts about the recording, such as a start time found later."""
        return replace(
            self,
            recording=recording,
            start_utc=recording.start_utc,
            time_source=recording.time_source,
            size_bytes=recording.size_bytes,
        )

    def readable_recording(self) -> Recording:
        """Return the recording.

        Raises:
            ValueError: where its header cannot be read.
        """
        if self.recording is None:
            raise ValueError(f"{self.path}: its header cannot be read")
        return self.recording
