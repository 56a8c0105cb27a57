"""What a report is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

import numpy as np
import numpy.typing as npt

from whalescan.core import Detection, FloatArray, Gap, IntArray, Position
from whalescan.detections.presence import Bin
from whalescan.report.spectrogram import Picture
from whalescan.tables.csvs import FileRow


@dataclass(frozen=True, slots=True)
class Complexity:
    """Complexity of the windows around a call.

    Attributes:
        middles_s: float64 ``[n]``, the windows' middles, from the recording's first sample.
        values: float32 ``[n, 4]``: H, C_SQ, C_JSD, C_TV, each 0 to 1; NaN where a window holds no sound.
    """

    middles_s: npt.NDArray[np.float64]
    values: FloatArray


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A call on the contact sheet.

    Attributes:
        call: with what people said of it.
        start_utc: when it began; None where the recording has no clock.
        picture: some seconds around it; None where the sound cannot be read.
        note: why there is no picture, and what helps; empty where there is one.
        complexity: of the same seconds; None where it is not stored.
    """

    call: Detection
    start_utc: datetime | None
    picture: Picture | None
    note: str
    complexity: Complexity | None


@dataclass(frozen=True, slots=True)
class Sheet:
    """Calls chosen by one rule, in the order in which they are shown.

    Attributes:
        title: such as ``Highest scores``.
        rule: how they were chosen, as a sentence.
    """

    title: str
    rule: str
    exhibits: tuple[Exhibit, ...]


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """All that a report shows.

    Attributes:
        title: name of the survey, from the names of its folders.
        files: every recording with its outcome, in the order of names.
        calls: all of them, with what people said; a score is None for a call that only a person saw.
        counts: of each call, bool ``[n_calls]``: whether it is of a class that counts in hours and days.
        recorded, analysed: unions of spans, int64 ``[n, 2]``, half open, in nanoseconds since 1970 UTC.
        gaps: in the order of time.
        hourly, daily: full UTC hours and days, from the first sample to the last; empty where no recording has a clock.
        zone: for local time; None where nobody named one.
        local_hourly: as clocks there show them; empty without a zone.
        position: None where nobody said.
        threshold: score at which a detection opens.
        window_counts: int64 ``[n]``, how many windows scored in each of n equal parts of 0 to 1; None where not counted.
        presence_rule: the sentence that says what DETECTED and the like mean.
        sheets: the contact sheets.
        provenance: the contents of ``run.json``.
        written_utc: when the report was made.
    """

    title: str
    files: tuple[FileRow, ...]
    calls: tuple[Detection, ...]
    counts: npt.NDArray[np.bool_]
    recorded: IntArray
    analysed: IntArray
    gaps: tuple[Gap, ...]
    hourly: tuple[Bin, ...]
    daily: tuple[Bin, ...]
    zone: tzinfo | None
    local_hourly: tuple[Bin, ...]
    position: Position | None
    threshold: float
    window_counts: IntArray | None
    presence_rule: str
    sheets: tuple[Sheet, ...]
    provenance: Mapping[str, Any]
    written_utc: datetime
