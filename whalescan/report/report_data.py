"""Data that a report is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

import numpy as np
import numpy.typing as npt

from whalescan.core import BoolArray, Detection, FloatArray, Gap, IntArray, Position, RecordingResult
from whalescan.detections.presence import PresenceBin
from whalescan.report.spectrogram_image import SpectrogramImage


@dataclass(frozen=True, slots=True)
class ComplexitySeries:
    """Complexity of the windows around a detection.

    Attributes:
        middles_s: float64 ``[n]``, the midpoints of the windows, from the recording's first sample.
        values: float32 ``[n, 4]``: H, C_SQ, C_JSD, C_TV, each 0 to 1; NaN where a window holds no sound.
    """

    middles_s: npt.NDArray[np.float64]
    values: FloatArray


@dataclass(frozen=True, slots=True)
class ContactSheetEntry:
    """A detection on a contact sheet.

    Attributes:
        detection: with its review.
        start_utc: its begin; None where the recording has no known start.
        image: spectrogram of some seconds around it; None where the sound cannot be read.
        note: why there is no image, and the remedy; empty where there is one.
        complexity: of the same seconds; None where it is not stored.
    """

    detection: Detection
    start_utc: datetime | None
    image: SpectrogramImage | None
    note: str
    complexity: ComplexitySeries | None


@dataclass(frozen=True, slots=True)
class ContactSheet:
    """Detections selected by one rule, in the order in which they are shown.

    Attributes:
        title: such as ``Highest scores``.
        rule: how they were selected, as a sentence.
    """

    title: str
    rule: str
    entries: tuple[ContactSheetEntry, ...]


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything that a report shows.

    Attributes:
        title: name of the survey, from the names of its folders.
        files: every recording with its outcome, sorted by name.
        detections: all of them, with their reviews; the score is None for a call that only a person found.
        is_counted: bool ``[n_detections]``: whether a detection is of a class that counts in hours and days.
        recorded, analysed: unions of intervals, int64 ``[n, 2]``, half open, in nanoseconds since 1970 UTC.
        gaps: sorted by time.
        hourly, daily: full UTC hours and days, from the first sample to the last; empty where no recording has a known
            start time.
        summary_timezone: time zone of local hours; None where none is given.
        local_hourly: full hours of that time zone; empty without one.
        position: of the recorder; None where it is not given.
        threshold: minimum score of a detection.
        threshold_text: what the threshold was chosen by, and what it finds and misses, as sentences.
        window_counts: int64 ``[n]``, number of windows that score in each of n equal parts of 0 to 1; None where not
            counted.
        presence_rule: description of the rule for presence.
        sheets: the contact sheets.
        provenance: contents of ``run.json``.
        written_utc: time at which the report was written.
    """

    title: str
    files: tuple[RecordingResult, ...]
    detections: tuple[Detection, ...]
    is_counted: BoolArray
    recorded: IntArray
    analysed: IntArray
    gaps: tuple[Gap, ...]
    hourly: tuple[PresenceBin, ...]
    daily: tuple[PresenceBin, ...]
    summary_timezone: tzinfo | None
    local_hourly: tuple[PresenceBin, ...]
    position: Position | None
    threshold: float
    threshold_text: str
    window_counts: IntArray | None
    presence_rule: str
    sheets: tuple[ContactSheet, ...]
    provenance: Mapping[str, Any]
    written_utc: datetime

    @property
    def recorded_s(self) -> float:
        """Length of all readable recordings; where two run at the same time, both count."""
        return sum(row.recording.duration_s for row in self.files if row.recording)

    @property
    def analysed_s(self) -> float:
        """Analysed length of all recordings; where two run at the same time, both count."""
        return sum(row.outcome.analysed_s for row in self.files)

    @property
    def n_without_start_time(self) -> int:
        """Readable recordings without a known start; they are in no hour and no day."""
        return sum(row.recording is not None and row.recording.start_utc is None for row in self.files)
