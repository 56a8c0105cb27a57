"""Days as NOAA's tables hold them: what a survey knows of its analysis, a day's cells, and what rows of days must obey."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from whalescan.detections.presence import Bin, Result
from whalescan.tables.noaa.rules import Problem, Row, moment, moment_cell, number, number_cell

RESULTS = frozenset(str(result) for result in Result)
PROCESSING = frozenset({"POST_PROCESSED", "REAL_TIME"})
RIGHT_WHALES = frozenset({"RIWH", "NPRW", "SRWH"})
RIGHT_WHALE_CALLS = frozenset({"RW_UPCALL", "RW_MOAN", "RW_SCREAM", "RW_DC", "RW_CTW", "RW_MIX", "GUNSHOT"})
"""Each of them pairs with each of the right whales in NOAA's ``call_types_sound_sources`` (``RW_UPCALL:RIWH``, ...)."""

LOWEST_RATE_KHZ, HIGHEST_RATE_KHZ = 0.1, 2000.0
"""Outside lies a rate in Hz and not in kHz: a submission once said 48000."""

_DAY = timedelta(days=1)
_BAND = ("min_frequency", "max_frequency", "sample_rate")
_HEARD = (Result.DETECTED, Result.POSSIBLY_DETECTED)


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the survey itself knows of how its recordings were analysed.

    Attributes:
        sample_rate_hz: of the sound that the detector saw, after resampling: the model's, not the recorder's.
        low_hz, high_hz: edges of the band that the detector looks at.
        detector_version: such as ``whalescan 0.2.0 narw-xception-2``.
        n_reviewed, n_unreviewed: detections that a person judged (yes, no or maybe), and those that nobody did.
    """

    sample_rate_hz: int
    low_hz: float
    high_hz: float
    detector_version: str
    n_reviewed: int
    n_unreviewed: int


SPECIMEN_DAY = {
    "detection_start_datetime": "2019-01-01T00:00:00Z",
    "detection_end_datetime": "2019-01-02T00:00:00Z",
    "detection_effort_secs": "0",
    "detection_result_code": str(Result.NOT_AVAILABLE),
}
"""A day that breaks no rule, with which facts can be checked before there is anything to report."""


def day_cells(day: Bin) -> dict[str, str]:
    """The cells that the tables hold of a day. Where nobody listened, nothing was counted either."""
    counted = day.result != Result.NOT_AVAILABLE
    effort_us = -(-day.analysed_ns // 1000)  # upwards: any effort at all is more than none
    return {
        "detection_start_datetime": moment_cell(day.begin_ns),
        "detection_end_datetime": moment_cell(day.end_ns),
        "detection_effort_secs": number_cell(effort_us / 10**6),
        "detection_n_validated": str(day.n_validated) if counted else "",
        "detection_n_total": str(day.n_detections) if counted else "",
        "detection_result_code": str(day.result),
    }


def window_cells(days: Sequence[Row], analysis: Analysis, low_khz: float | None, high_khz: float | None) -> dict[str, str]:
    """The cells of an analysis that the survey knows: its window from the first day to the last, its rate, its band.

    Args:
        days: rows with their ``detection_*`` cells, by time.
        analysis: how they were made.
        low_khz: lower edge of a band that the user stated; None for the detector's.
        high_khz: its upper edge, likewise.
    """
    return {
        "analysis_start_datetime": days[0]["detection_start_datetime"] if days else "",
        "analysis_end_datetime": days[-1]["detection_end_datetime"] if days else "",
        "analysis_sample_rate_khz": number_cell(analysis.sample_rate_hz / 1000),
        "analysis_min_frequency_khz": number_cell(analysis.low_hz / 1000 if low_khz is None else low_khz),
        "analysis_max_frequency_khz": number_cell(analysis.high_hz / 1000 if high_khz is None else high_khz),
    }


def span(row: Row, what: str) -> tuple[datetime | None, datetime | None]:
    """Begin and end of a row's ``detection`` or ``analysis``; None where a cell holds no moment."""
    return moment(row.get(f"{what}_start_datetime", "")), moment(row.get(f"{what}_end_datetime", ""))


def analysis_problems(rows: Sequence[Row]) -> Iterator[Problem]:
    """Windows that end before they begin, and bands that do, or that lie above what the sampling rate can hold."""
    for index, row in enumerate(rows, start=1):
        begin, end = span(row, "analysis")
        if begin and end and begin > end:
            yield Problem("analysis_start_datetime", index, "lies after analysis_end_datetime", "swap them")
        low, high, rate = (number(row.get(f"analysis_{name}_khz", "")) for name in _BAND)
        if low is not None and high is not None and low > high:
            yield Problem("analysis_min_frequency_khz", index, f"{low:g} is above the maximum of {high:g} kHz", "swap them")
        if high is not None and rate is not None and high > rate / 2:
            what = f"sound of {rate:g} kHz holds nothing at {high:g} kHz"
            yield Problem("analysis_max_frequency_khz", index, what, "give kHz, at most half the sample rate")


def window_problems(rows: Sequence[Row], windows: Sequence[Row]) -> Iterator[Problem]:
    """Rows outside the half-open window of their analysis; ``windows`` holds that analysis for each row."""
    for index, (row, window) in enumerate(zip(rows, windows, strict=True), start=1):
        begin, end = span(row, "detection")
        first, last = span(window, "analysis")
        if begin and first and begin < first:
            yield Problem(
                "detection_start_datetime", index, "lies before analysis_start_datetime", "begin the analysis earlier"
            )
        if end and last and end > last:
            yield Problem("detection_end_datetime", index, "lies after analysis_end_datetime", "end the analysis later")


def day_problems(rows: Sequence[Row]) -> Iterator[Problem]:
    """Rows that are no UTC day, whose effort does not fit it, or whose result does not fit the effort and the counts."""
    for index, row in enumerate(rows, start=1):
        begin, end = span(row, "detection")
        effort = number(row.get("detection_effort_secs", ""))
        if begin and end and begin > end:
            yield Problem("detection_start_datetime", index, "lies after detection_end_datetime", "swap them")
        elif begin and end and (begin != begin.replace(hour=0, minute=0, second=0) or end - begin != _DAY):
            remedy = (
                "give whole days from 00:00:00Z to 00:00:00Z, since NOAA files a row under the UTC date of its beginning"
            )
            yield Problem("detection_start_datetime", index, "the row is no UTC day", remedy)
        if begin and end and effort is not None and effort > (end - begin).total_seconds() >= 0:
            what = f"{effort:g} s of effort are more than the row is long"
            yield Problem("detection_effort_secs", index, what, "count time that was recorded twice once")
        yield from _result_problems(index, row, effort)


def _result_problems(index: int, row: Row, effort: float | None) -> Iterator[Problem]:
    result = row.get("detection_result_code", "")
    validated = number(row.get("detection_n_validated", ""))
    total = number(row.get("detection_n_total", ""))
    if result in _HEARD:
        for name in ("detection_sound_source_code", "detection_call_type_code", "detection_n_validated"):
            if not row.get(name, ""):
                yield Problem(name, index, f"is missing, and the result is {result}", "give it")
    elif validated:
        what = f"{validated:g} validated calls, and the result is {result or 'missing'}"
        yield Problem("detection_n_validated", index, what, "give 0, or DETECTED or POSSIBLY_DETECTED")
    if result == Result.DETECTED and validated == 0:
        remedy = "give POSSIBLY_DETECTED until a reviewer confirmed calls"
        yield Problem("detection_result_code", index, "DETECTED without a validated call", remedy)
    if result == Result.NOT_DETECTED and effort == 0:
        what = "NOT_DETECTED, and nobody listened: detection_effort_secs is 0"
        yield Problem("detection_result_code", index, what, "give NOT_AVAILABLE")
    if result == Result.NOT_AVAILABLE and effort:
        what = f"NOT_AVAILABLE, and detection_effort_secs is {effort:g}"
        yield Problem("detection_result_code", index, what, "give NOT_DETECTED, or an effort of 0")
    if validated is not None and total is not None and validated > total:
        yield Problem("detection_n_total", index, f"{total:g} is below detection_n_validated", "count validated calls, too")


def source_problems(rows: Sequence[Row], windows: Sequence[Row]) -> Iterator[Problem]:
    """Calls of another species, and species that the analysis did not look for."""
    for index, (row, window) in enumerate(zip(rows, windows, strict=True), start=1):
        source, call = row.get("detection_sound_source_code", ""), row.get("detection_call_type_code", "")
        sought = window.get("analysis_sound_source_codes", "")
        if call and not (call in RIGHT_WHALE_CALLS and source in RIGHT_WHALES):
            what = f"{call}:{source} is no pair of call and species"
            yield Problem("detection_call_type_code", index, what, "use such as RW_UPCALL:RIWH")
        if source and sought and source not in sought.split(","):
            remedy = "name it in analysis_sound_source_codes"
            yield Problem("detection_sound_source_code", index, f"the analysis did not look for {source}", remedy)


def sequence_problems(rows: Sequence[Row], keys: Sequence[str]) -> Iterator[Problem]:
    """Days that are there twice, and days that are left out: the map draws those as days on which no whale was heard.

    Args:
        rows: the rows.
        keys: columns that tell one series of days from another.
    """
    series: dict[tuple[str, ...], dict[datetime, int]] = {}
    for index, row in enumerate(rows, start=1):
        begin, _ = span(row, "detection")
        if begin is None:
            continue
        days = series.setdefault(tuple(row.get(key, "") for key in keys), {})
        day = begin.replace(hour=0, minute=0, second=0)
        if day in days:
            yield Problem(
                "detection_start_datetime", index, f"{day:%Y-%m-%d} is in row {days[day]} already", "give each day once"
            )
        days.setdefault(day, index)
    for days in series.values():
        ordered = sorted(days)
        for day, following in itertools.pairwise(ordered):
            if following - day > _DAY:
                what = f"no row for the days between {day:%Y-%m-%d} and {following:%Y-%m-%d}"
                remedy = "add them, NOT_AVAILABLE where there was no effort: NOAA draws days without a row as NOT_DETECTED"
                yield Problem("detection_start_datetime", days[following], what, remedy)
