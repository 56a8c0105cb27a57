"""Days in NOAA's tables: what a survey knows of its analysis, the cells of a day, and the rules of rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from whalescan.detections.presence import Presence, PresenceBin
from whalescan.tables.noaa.rules import Row, TableProblem, number_cell, parse_number, parse_timestamp, timestamp_cell

RESULTS = frozenset(str(result) for result in Presence)
PROCESSING = frozenset({"POST_PROCESSED", "REAL_TIME"})
RIGHT_WHALES = frozenset({"RIWH", "NPRW", "SRWH"})
RIGHT_WHALE_CALLS = frozenset({"RW_UPCALL", "RW_MOAN", "RW_SCREAM", "RW_DC", "RW_CTW", "RW_MIX", "GUNSHOT"})
"""Each of them pairs with each of the right whales in NOAA's ``call_types_sound_sources`` (``RW_UPCALL:RIWH``, ...)."""

LOWEST_RATE_KHZ, HIGHEST_RATE_KHZ = 0.1, 2000.0
"""A rate outside this range is in Hz instead of kHz, as in a submission with 48000."""

_DAY = timedelta(days=1)
_BAND = ("min_frequency", "max_frequency", "sample_rate")
_PRESENT = (Presence.DETECTED, Presence.POSSIBLY_DETECTED)


@dataclass(frozen=True, slots=True)
class NoaaAnalysis:
    """What the survey itself knows of the analysis.

    Attributes:
        sample_rate_hz: sample rate after resampling: the model's, not the recorder's.
        low_hz, high_hz: edges of the band that the detector uses.
        detector_version: such as ``whalescan 0.2.0 narw-xception-2``.
        n_reviewed, n_unreviewed: numbers of reviewed (yes, no or maybe) and of unreviewed detections.
    """

    sample_rate_hz: int
    low_hz: float
    high_hz: float
    detector_version: str
    n_reviewed: int
    n_unreviewed: int


EXAMPLE_DAY = {
    "detection_start_datetime": "2019-01-01T00:00:00Z",
    "detection_end_datetime": "2019-01-02T00:00:00Z",
    "detection_effort_secs": "0",
    "detection_result_code": str(Presence.NOT_AVAILABLE),
}
"""A valid day, with which metadata can be checked before there are results."""


def day_cells(day: PresenceBin) -> dict[str, str]:
    """Return the cells of a day; counts are blank where nothing was analysed."""
    counted = day.result != Presence.NOT_AVAILABLE
    effort_us = -(-day.analysed_ns // 1000)  # rounded up, so that any effort is above 0
    return {
        "detection_start_datetime": timestamp_cell(day.begin_ns),
        "detection_end_datetime": timestamp_cell(day.end_ns),
        "detection_effort_secs": number_cell(effort_us / 10**6),
        "detection_n_validated": str(day.n_validated) if counted else "",
        "detection_n_total": str(day.n_detections) if counted else "",
        "detection_result_code": str(day.result),
    }


def window_cells(
    days: Sequence[Row], analysis: NoaaAnalysis, low_khz: float | None, high_khz: float | None
) -> dict[str, str]:
    """Return the cells of an analysis that the survey knows: its window from the first day to the last, its rate, its band.

    Args:
        days: rows with their ``detection_*`` cells, by time.
        analysis: what the survey knows of the analysis.
        low_khz: lower edge of the band in the metadata; None for the detector's.
        high_khz: its upper edge, likewise.
    """
    return {
        "analysis_start_datetime": days[0]["detection_start_datetime"] if days else "",
        "analysis_end_datetime": days[-1]["detection_end_datetime"] if days else "",
        "analysis_sample_rate_khz": number_cell(analysis.sample_rate_hz / 1000),
        "analysis_min_frequency_khz": number_cell(analysis.low_hz / 1000 if low_khz is None else low_khz),
        "analysis_max_frequency_khz": number_cell(analysis.high_hz / 1000 if high_khz is None else high_khz),
    }


def row_span(row: Row, prefix: str) -> tuple[datetime | None, datetime | None]:
    """Return begin and end of a row's ``detection`` or ``analysis``; None for a malformed cell."""
    return parse_timestamp(row.get(f"{prefix}_start_datetime", "")), parse_timestamp(row.get(f"{prefix}_end_datetime", ""))


def analysis_problems(rows: Sequence[Row]) -> Iterator[TableProblem]:
    """Yield windows that end before they begin, reversed bands, and bands above half the sample rate."""
    for index, row in enumerate(rows, start=1):
        begin, end = row_span(row, "analysis")
        if begin and end and begin > end:
            yield TableProblem("analysis_start_datetime", index, "is after analysis_end_datetime", "swap them")
        low, high, rate = (parse_number(row.get(f"analysis_{name}_khz", "")) for name in _BAND)
        if low is not None and high is not None and low > high:
            yield TableProblem(
                "analysis_min_frequency_khz", index, f"{low:g} is above the maximum of {high:g} kHz", "swap them"
            )
        if high is not None and rate is not None and high > rate / 2:
            text = f"a sample rate of {rate:g} kHz does not cover {high:g} kHz"
            yield TableProblem("analysis_max_frequency_khz", index, text, "write kHz, at most half the sample rate")


def window_problems(rows: Sequence[Row], windows: Sequence[Row]) -> Iterator[TableProblem]:
    """Yield rows outside the half-open window of their analysis; ``windows`` contains the analysis of each row."""
    for index, (row, window) in enumerate(zip(rows, windows, strict=True), start=1):
        begin, end = row_span(row, "detection")
        first, last = row_span(window, "analysis")
        if begin and first and begin < first:
            yield TableProblem(
                "detection_start_datetime", index, "is before analysis_start_datetime", "let the analysis begin earlier"
            )
        if end and last and end > last:
            yield TableProblem(
                "detection_end_datetime", index, "is after analysis_end_datetime", "let the analysis end later"
            )


def day_problems(rows: Sequence[Row]) -> Iterator[TableProblem]:
    """Yield rows that are not UTC days, whose effort exceeds the day, or whose result contradicts effort and counts."""
    for index, row in enumerate(rows, start=1):
        begin, end = row_span(row, "detection")
        effort = parse_number(row.get("detection_effort_secs", ""))
        if begin and end and begin > end:
            yield TableProblem("detection_start_datetime", index, "is after detection_end_datetime", "swap them")
        elif begin and end and (begin != begin.replace(hour=0, minute=0, second=0) or end - begin != _DAY):
            remedy = "write whole days from 00:00:00Z to 00:00:00Z, since NOAA assigns a row to the UTC date of its begin"
            yield TableProblem("detection_start_datetime", index, "the row is not a UTC day", remedy)
        if begin and end and effort is not None and effort > (end - begin).total_seconds() >= 0:
            text = f"{effort:g} s of effort exceed the length of the row"
            yield TableProblem("detection_effort_secs", index, text, "count time with several recordings once")
        yield from _result_problems(index, row, effort)


def _result_problems(index: int, row: Row, effort: float | None) -> Iterator[TableProblem]:
    result = row.get("detection_result_code", "")
    validated = parse_number(row.get("detection_n_validated", ""))
    total = parse_number(row.get("detection_n_total", ""))
    if result in _PRESENT:
        for name in ("detection_sound_source_code", "detection_call_type_code", "detection_n_validated"):
            if not row.get(name, ""):
                yield TableProblem(name, index, f"is missing although the result is {result}", "add it")
    elif validated:
        text = f"{validated:g} validated detections although the result is {result or 'missing'}"
        yield TableProblem("detection_n_validated", index, text, "write 0, or the result DETECTED or POSSIBLY_DETECTED")
    if result == Presence.DETECTED and validated == 0:
        remedy = "write POSSIBLY_DETECTED until a reviewer has confirmed calls"
        yield TableProblem("detection_result_code", index, "is DETECTED without a validated detection", remedy)
    if result == Presence.NOT_DETECTED and effort == 0:
        text = "is NOT_DETECTED although detection_effort_secs is 0"
        yield TableProblem("detection_result_code", index, text, "write NOT_AVAILABLE")
    if result == Presence.NOT_AVAILABLE and effort:
        text = f"is NOT_AVAILABLE although detection_effort_secs is {effort:g}"
        yield TableProblem("detection_result_code", index, text, "write NOT_DETECTED, or an effort of 0")
    if validated is not None and total is not None and validated > total:
        yield TableProblem(
            "detection_n_total", index, f"{total:g} is below detection_n_validated", "count validated detections, too"
        )


def source_problems(rows: Sequence[Row], windows: Sequence[Row]) -> Iterator[TableProblem]:
    """Yield call types of another species, and species that the analysis does not include."""
    for index, (row, window) in enumerate(zip(rows, windows, strict=True), start=1):
        source, call = row.get("detection_sound_source_code", ""), row.get("detection_call_type_code", "")
        included = window.get("analysis_sound_source_codes", "")
        if call and not (call in RIGHT_WHALE_CALLS and source in RIGHT_WHALES):
            text = f"{call}:{source} is not a valid pair of call type and species"
            yield TableProblem("detection_call_type_code", index, text, "use a pair such as RW_UPCALL:RIWH")
        if source and included and source not in included.split(","):
            remedy = "add it to analysis_sound_source_codes"
            yield TableProblem("detection_sound_source_code", index, f"the analysis does not include {source}", remedy)


def sequence_problems(rows: Sequence[Row], keys: Sequence[str]) -> Iterator[TableProblem]:
    """Yield duplicate days, and missing days, which NOAA's map would draw as days without detections.

    Args:
        rows: the rows.
        keys: columns that distinguish one series of days from another.
    """
    series: dict[tuple[str, ...], dict[datetime, int]] = {}
    for index, row in enumerate(rows, start=1):
        begin, _ = row_span(row, "detection")
        if begin is None:
            continue
        days = series.setdefault(tuple(row.get(key, "") for key in keys), {})
        day = begin.replace(hour=0, minute=0, second=0)
        if day in days:
            yield TableProblem(
                "detection_start_datetime", index, f"{day:%Y-%m-%d} is already in row {days[day]}", "write each day once"
            )
        days.setdefault(day, index)
    for days in series.values():
        ordered = sorted(days)
        for day, following in itertools.pairwise(ordered):
            if following - day > _DAY:
                text = f"no rows for the days between {day:%Y-%m-%d} and {following:%Y-%m-%d}"
                remedy = "add them, NOT_AVAILABLE where there was no effort: NOAA draws days without a row as NOT_DETECTED"
                yield TableProblem("detection_start_datetime", days[following], text, remedy)
