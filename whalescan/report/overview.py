"""Overview of a survey: a sentence, and its key numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from whalescan.core import Position, Status
from whalescan.core.text import count, hours, percent, threshold_text, utc_date
from whalescan.detections.presence import Presence
from whalescan.report.report_data import ReportData


@dataclass(frozen=True, slots=True)
class KeyNumber:
    """A number with its label and a note; the note is empty where there is none."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """Summary of a survey.

    Attributes:
        sentence: summary that can be copied into another report.
        numbers: the same, to be looked up.
        other_classes: detections of classes that do not count in hours and days, by label.
    """

    sentence: str
    numbers: tuple[KeyNumber, ...]
    other_classes: tuple[tuple[str, int], ...]


def survey_overview(data: ReportData) -> Overview:
    """Return the summary of a survey."""
    counted, others = [], Counter[str]()
    for detection, is_counted in zip(data.detections, data.is_counted.tolist(), strict=True):
        if is_counted:
            counted.append(detection)
        else:
            others[detection.label] += 1
    reviews = Counter(detection.review for detection in counted)
    n_added = sum(detection.score is None for detection in counted)
    n_found = len(counted) - n_added
    return Overview(
        " ".join([_effort_sentence(data), _detections_sentence(data, n_found, n_added, reviews), _presence_sentence(data)]),
        (*_effort_numbers(data), *_detection_numbers(n_found, n_added, reviews), *_day_numbers(data)),
        tuple(sorted(others.items())),
    )


def _effort_sentence(data: ReportData) -> str:
    dates = f"{'On' if len(data.daily) == 1 else 'From'} {_date_range(data)} (UTC), " if data.daily else ""
    n = data.n_without_start_time if data.daily else 0
    without_start = (
        f" {n:,} of the recordings {'has' if n == 1 else 'have'} no known start time and may be of other dates." if n else ""
    )
    recorded, analysed, share = hours(data.recorded_s), hours(data.analysed_s), percent(data.analysed_s, data.recorded_s)
    return (
        f"{dates}{count(len(data.files), 'recording')} hold{'s' if len(data.files) == 1 else ''} {recorded} of sound, of "
        f"which {analysed} ({share}) {'was' if analysed == '1 hour' else 'were'} analysed.{without_start}"
    )


def _date_range(data: ReportData) -> str:
    first, last = utc_date(data.daily[0].begin_ns), utc_date(data.daily[-1].begin_ns)
    return first if first == last else f"{first} to {last}"


def _detections_sentence(data: ReportData, n_found: int, n_added: int, reviews: Counter[str]) -> str:
    detector = data.provenance.get("detector", "whalescan")
    channels = " on all channels together" if len({detection.channel for detection in data.detections}) > 1 else ""
    n_all, n_unreviewed = n_found + n_added, reviews["unreviewed"]
    none_reviewed = ", none reviewed" if n_all and n_unreviewed == n_all else ""
    found = (
        f"{detector} found {count(n_found, 'detection')}{channels} with a score of at least {threshold_text(data.threshold)}"
        f"{none_reviewed}."
    )
    added = f" Reviewers added {count(n_added, 'call')}." if n_added else ""
    if not n_all or none_reviewed:
        return f"{found}{added}"
    reviewed = (
        f" Reviewers confirmed {reviews['yes']:,}, rejected {reviews['no']:,} and answered maybe for {reviews['maybe']:,}; "
        f"{n_unreviewed:,} {'is' if n_unreviewed == 1 else 'are'} not reviewed."
    )
    return f"{found}{added}{reviewed}"


def _presence_sentence(data: ReportData) -> str:
    if not data.daily:
        return "No recording has a known start time, so presence by hour and day is not known."
    days = Counter(day.result for day in data.daily)
    n_with_effort = len(data.daily) - days[Presence.NOT_AVAILABLE]
    return (
        f"Presence on {count(n_with_effort, 'day')} with effort: DETECTED on {days[Presence.DETECTED]:,}, "
        f"POSSIBLY_DETECTED on {days[Presence.POSSIBLY_DETECTED]:,} and NOT_DETECTED on {days[Presence.NOT_DETECTED]:,}."
    )


def _effort_numbers(data: ReportData) -> list[KeyNumber]:
    statuses = Counter(row.outcome.status for row in data.files)
    by_status = ", ".join(f"{statuses[status]:,} {status}" for status in Status if statuses[status])
    numbers = [
        KeyNumber("Recordings", f"{len(data.files):,}", by_status),
        KeyNumber("Recorded", hours(data.recorded_s)),
        KeyNumber("Analysed", hours(data.analysed_s), percent(data.analysed_s, data.recorded_s)),
        KeyNumber("Not analysed", hours(max(data.recorded_s - data.analysed_s, 0)), "of readable recordings"),
    ]
    if data.daily:
        numbers.append(KeyNumber("Dates (UTC)", _date_range(data), count(len(data.daily), "day")))
    if data.position is not None:
        numbers.append(KeyNumber("Position", _position_text(data.position)))
    return numbers


def _position_text(position: Position) -> str:
    latitude = f"{abs(position.latitude):.4f}° {'N' if position.latitude >= 0 else 'S'}"
    return f"{latitude}, {abs(position.longitude):.4f}° {'E' if position.longitude >= 0 else 'W'}"


def _detection_numbers(n_found: int, n_added: int, reviews: Counter[str]) -> list[KeyNumber]:
    added = f"and {count(n_added, 'call')} that reviewers added" if n_added else ""
    return [
        KeyNumber("Detections", f"{n_found:,}", added),
        KeyNumber("Confirmed", f"{reviews['yes']:,}"),
        KeyNumber("Maybe", f"{reviews['maybe']:,}"),
        KeyNumber("Rejected", f"{reviews['no']:,}"),
        KeyNumber("Not reviewed", f"{reviews['unreviewed']:,}"),
    ]


def _day_numbers(data: ReportData) -> list[KeyNumber]:
    if not data.daily:
        return []
    days = Counter(day.result for day in data.daily)
    n_with_detections = sum(day.n_detections > 0 for day in data.daily)
    return [
        KeyNumber("Days with detections", f"{n_with_detections:,}", "without rejected ones"),
        *(KeyNumber(f"Days {result}", f"{days[result]:,}") for result in Presence),
    ]
