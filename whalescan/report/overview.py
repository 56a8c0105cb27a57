"""The survey at a glance: a sentence, and its numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from whalescan.core import Position, Status
from whalescan.detections.presence import Result
from whalescan.report.problems import n_without_clock
from whalescan.report.report_data import ReportFacts
from whalescan.report.text import count, day, hours, percent, threshold


@dataclass(frozen=True, slots=True)
class Number:
    """A number with what it counts, and what else there is to say of it."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Glance:
    """What a survey comes to.

    Attributes:
        sentence: to be put into somebody else's report as it stands.
        numbers: the same, to be looked up.
        others: calls of classes that do not count in hours and days, by label.
    """

    sentence: str
    numbers: tuple[Number, ...]
    others: tuple[tuple[str, int], ...]


def glance(facts: ReportFacts) -> Glance:
    """Sum up a survey."""
    counted = [call for call, counts in zip(facts.calls, facts.counts.tolist(), strict=True) if counts]
    others = Counter(call.label for call, counts in zip(facts.calls, facts.counts.tolist(), strict=True) if not counts)
    reviews = Counter(call.review for call in counted)
    n_found = sum(call.score is not None for call in counted)
    return Glance(
        " ".join([_effort(facts), _calls(facts, n_found, len(counted), reviews), _presence(facts)]).strip(),
        (*_sound(facts), *_numbers(n_found, len(counted), reviews), *_days(facts)),
        tuple(sorted(others.items())),
    )


def recorded_s(facts: ReportFacts) -> float:
    """Sound in all readable recordings together; where two run at the same time, both count."""
    return sum(row.recording.duration_s for row in facts.files if row.recording)


def analysed_s(facts: ReportFacts) -> float:
    """Likewise, what of it was analysed."""
    return sum(row.outcome.analysed_s for row in facts.files)


def _n_channels(facts: ReportFacts) -> int:
    """On which there are calls; one that is heard on several counts on each."""
    return len({call.channel for call in facts.calls})


def _effort(facts: ReportFacts) -> str:
    whole_s, part_s = recorded_s(facts), analysed_s(facts)
    when = f"{'On' if len(facts.daily) == 1 else 'From'} {_span(facts)} (UTC), " if facts.daily else ""
    n = n_without_clock(facts) if facts.daily else 0
    timeless = (
        f" {n:,} of the recordings {'has' if n == 1 else 'have'} no known start and may be of other dates." if n else ""
    )
    return (
        f"{when}{count(len(facts.files), 'recording')} hold{'s' if len(facts.files) == 1 else ''} {hours(whole_s)} of "
        f"sound, of which {hours(part_s)} ({percent(part_s, whole_s)}) were analysed.{timeless}"
    )


def _span(facts: ReportFacts) -> str:
    first, last = (day(facts.daily[place].begin_ns) for place in (0, -1))
    return first if first == last else f"{first} to {last}"


def _calls(facts: ReportFacts, n_found: int, n_all: int, reviews: Counter[str]) -> str:
    detector = facts.provenance.get("detector", "whalescan")
    added = f" People added {count(n_all - n_found, 'call')}." if n_all > n_found else ""
    judged = (
        f"People confirmed {reviews['yes']:,} of them, rejected {reviews['no']:,} and left {reviews['maybe']:,} in doubt; "
        f"{reviews['unreviewed']:,} {'is' if reviews['unreviewed'] == 1 else 'are'} not reviewed."
    )
    where = " on all channels together" if _n_channels(facts) > 1 else ""
    found = f"{detector} found {count(n_found, 'call')}{where} with a score of at least {threshold(facts.threshold)}."
    return f"{found}{added} {judged if n_all else ''}".strip()


def _presence(facts: ReportFacts) -> str:
    if not facts.daily:
        return "No recording has a known start, so nothing is said of hours and days."
    results = Counter(one.result for one in facts.daily)
    available = len(facts.daily) - results[Result.NOT_AVAILABLE]
    return (
        f"Of {count(available, 'day')} with effort, the whales were DETECTED on {results[Result.DETECTED]:,}, "
        f"POSSIBLY_DETECTED on {results[Result.POSSIBLY_DETECTED]:,} and NOT_DETECTED on {results[Result.NOT_DETECTED]:,}."
    )


def _sound(facts: ReportFacts) -> list[Number]:
    whole_s, part_s = recorded_s(facts), analysed_s(facts)
    statuses = Counter(row.outcome.status for row in facts.files)
    named = ", ".join(f"{statuses[status]:,} {status}" for status in Status if statuses[status])
    numbers = [
        Number("Recordings", f"{len(facts.files):,}", named),
        Number("Recorded", hours(whole_s)),
        Number("Analysed", hours(part_s), percent(part_s, whole_s)),
        Number("Lost or failed", hours(max(whole_s - part_s, 0)), "of what could be opened"),
    ]
    if facts.daily:
        numbers.append(Number("Dates (UTC)", _span(facts), count(len(facts.daily), "day")))
    if facts.position is not None:
        numbers.append(Number("Position", _where(facts.position)))
    return numbers


def _where(position: Position) -> str:
    north = f"{abs(position.latitude):.4f}° {'N' if position.latitude >= 0 else 'S'}"
    return f"{north}, {abs(position.longitude):.4f}° {'E' if position.longitude >= 0 else 'W'}"


def _numbers(n_found: int, n_all: int, reviews: Counter[str]) -> list[Number]:
    return [
        Number("Calls found", f"{n_found:,}", f"and {n_all - n_found:,} that people added" if n_all > n_found else ""),
        Number("Confirmed", f"{reviews['yes']:,}"),
        Number("In doubt", f"{reviews['maybe']:,}"),
        Number("Rejected", f"{reviews['no']:,}"),
        Number("Not reviewed", f"{reviews['unreviewed']:,}"),
    ]


def _days(facts: ReportFacts) -> list[Number]:
    if not facts.daily:
        return []
    results = Counter(one.result for one in facts.daily)
    with_calls = sum(one.n_detections > 0 for one in facts.daily)
    return [
        Number("Days with calls", f"{with_calls:,}", "rejected ones left out"),
        *(Number(f"Days {result}", f"{results[result]:,}") for result in Result),
    ]
