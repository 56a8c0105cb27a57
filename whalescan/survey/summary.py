"""What a run says at its end, for a person."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from whalescan.calls.judgements import precision
from whalescan.calls.presence import Bin, Result
from whalescan.core import Recording, Status, from_ns
from whalescan.sound import timeline
from whalescan.sound.clocks import ClockOptions, start_time
from whalescan.survey.outputs import DAILY, DEPLOYMENT_TABLE, DETECTIONS, FILES, GAPS, HOURLY, Survey
from whalescan.survey.views import Views

PLURALS = {"pause of a duty cycle": "pauses of a duty cycle", "stretch that cannot be read": "stretches that cannot be read"}
_NAIVE_CLOCK = "name-without-zone"


def summary(survey: Survey, output: Path) -> str:
    """Hours, calls, presence, and where to look next."""
    recorded_s = sum(row.recording.duration_s for row in survey.files if row.recording)
    analysed_s = sum(row.outcome.analysed_s for row in survey.files)
    with_calls = sum(row.outcome.n_detections > 0 for row in survey.files)
    n = sum(call.review != "no" for call in survey.detections)
    lines = [
        "",
        f"{count(len(survey.files), 'recording')}, {hours(recorded_s)} of sound, {hours(analysed_s)} analysed",
        f"{count(n, 'call')} found in {count(with_calls, 'recording')}"
        + (f", {n / (analysed_s / 3600):.1f} an analysed hour" if analysed_s else ""),
        *_judged(survey),
        *_presence(survey.accounts.daily, survey.views),
        f"for Raven Pro: {output / DEPLOYMENT_TABLE}",
        f"               {output / 'selections'} (a table for each recording)",
        *_ravens_clock(survey),
        f"for reports:   {output / DAILY}, {HOURLY}, {GAPS}, {DETECTIONS}, {FILES}",
    ]
    return "\n".join(lines)


def _judged(survey: Survey) -> Iterator[str]:
    """What reviewers said, and how often the detector was right."""
    verdicts = Counter(call.review for call in survey.detections)
    if verdicts.total() == verdicts["unreviewed"]:
        return
    line = f"reviewed: {verdicts['yes']:,} yes, {verdicts['no']:,} no, {verdicts['maybe']:,} maybe"
    right = precision(survey.detections)
    if right is not None:
        line += f"; precision {right.value:.2f} ({right.low:.2f}-{right.high:.2f})"
    yield line


def _presence(days: Sequence[Bin], views: Views) -> Iterator[str]:
    if days:
        results = Counter(day.result for day in days)
        named = ", ".join(f"{results[result]:,} {result}" for result in Result if results[result])
        yield f"{from_ns(days[0].begin_ns):%Y-%m-%d} to {from_ns(days[-1].begin_ns):%Y-%m-%d}, UTC days: {named}"
        yield f"               {views.presence.sentence}"


def _ravens_clock(survey: Survey) -> Iterator[str]:
    """What Raven has to be told to show clock times."""
    clock = ClockOptions(survey.views.options.timezone, survey.views.options.time_format)
    found = [row.recording for row in survey.files if row.recording]
    templates = {t: None for one in found if (t := start_time(one.path.name, clock).template)}
    if templates:
        named = " or ".join(list(templates)[:3])
        yield f"               to see clock times there, set its file name template to {named}"
    if not timeline.is_in_order(found):
        yield "               the order of names is not that of time: Raven's clock is right for single recordings only"


def problems(survey: Survey) -> Iterator[str]:
    """A line for each recording that failed or was only partly readable, and a few for clocks."""
    for row in survey.files:
        if row.outcome.status is not Status.DONE:
            yield f"{row.outcome.status}: {_named(str(row.path), row.outcome.problem)}"
    found = [row.recording for row in survey.files if row.recording]
    for same in _by_kind(found).values():
        more = f" (and {len(same) - 1:,} more such)" if len(same) > 1 else ""
        yield f"warning: {_named(str(same[0].path), same[0].clock_problem)}{more}"
    naive = [one for one in found if one.time_source == _NAIVE_CLOCK]
    if naive:
        yield (
            f"warning: the times in {count(len(naive), 'file name')} state no time zone (first: {naive[0].name}), so no "
            "clock time is given; say --timezone UTC, or the zone that the recorder was set to"
        )
    unknown = [one for one in found if one.start_utc is None]
    if unknown:
        yield (
            f"warning: {count(len(unknown), 'recording')} without a clock (first: {unknown[0].name}) "
            f"{'is' if len(unknown) == 1 else 'are'} missing from {HOURLY}, {DAILY} and {GAPS}"
        )
    pairs = timeline.overlapping(found)
    if pairs:
        one, other = pairs[0]
        yield (
            f"warning: {count(len(pairs), 'recording')} begin{'s' if len(pairs) == 1 else ''} while another still runs "
            f"(first: {other.path} and {one.path}); their time counts once, their calls twice: mend the clocks, or keep one"
        )


def _by_kind(found: Sequence[Recording]) -> dict[str, list[Recording]]:
    """Recordings whose clocks have a problem, by what kind of problem it is."""
    kinds: dict[str, list[Recording]] = defaultdict(list)
    for one in found:
        if one.clock_problem:
            kinds[kind_of(one.clock_problem, one.path)].append(one)
    return kinds


def kind_of(problem: str, path: Path) -> str:
    """A problem without the names, numbers and times in it: the same for problems of a kind."""
    words = re.split(r"[\s;,()]+", problem.replace(path.stem, ""))
    return " ".join(word for word in words if word.isalpha())


def _named(path: str, problem: str) -> str:
    return problem if path in problem else f"{path}: {problem}"


def count(n: int, noun: str) -> str:
    """A number with its noun."""
    return f"{n:,} {noun if n == 1 else PLURALS.get(noun, f'{noun}s')}"


def hours(seconds: float) -> str:
    """A length of time in minutes or hours."""
    if seconds < 3600:
        return f"{seconds / 60:.1f} minutes"
    return f"{seconds / 3600:,.1f} hours"
