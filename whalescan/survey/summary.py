"""What a run says at its end, for a person."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from whalescan.audio import timeline
from whalescan.audio.start_times import ClockOptions
from whalescan.core import Recording, Status, from_ns
from whalescan.detections.presence import Bin, Result
from whalescan.detections.validations import precision
from whalescan.survey.output_settings import Views
from whalescan.survey.outputs import DAILY, DEPLOYMENT_TABLE, DETECTIONS, FILES, GAPS, HOURLY, REPORT, Survey
from whalescan.survey.text import and_more, count, hours, kind_of, no_clock, ravens_clock, row, wrapped


def summary(survey: Survey, output: Path) -> str:
    """Hours, calls, presence, and where to look next."""
    rows = {
        "sound": _sound(survey),
        "calls": _calls(survey),
        "reviewed": _judged(survey),
        "presence": _presence(survey.accounts.daily, survey.views),
        "Raven Pro": _for_raven(survey, output),
        "tables": [f"{output / DAILY}, {HOURLY}, {GAPS}, {DETECTIONS}, {FILES}"],
        "report": [f"{output / REPORT}"],
        "to judge": [f"whalescan review {shlex.quote(str(output))}"] if survey.detections else [],
    }
    return "\n" + "\n".join(filter(None, (row(label, lines) for label, lines in rows.items())))


def _sound(survey: Survey) -> Iterator[str]:
    recorded_s = sum(row.recording.duration_s for row in survey.files if row.recording)
    analysed_s = survey.analysed_s
    yield f"{count(len(survey.files), 'recording')}, {hours(recorded_s)}, {hours(analysed_s)} of them analysed"


def _calls(survey: Survey) -> Iterator[str]:
    n = sum(call.review != "no" for call in survey.detections)
    with_calls = sum(row.outcome.n_detections > 0 for row in survey.files)
    analysed_s = survey.analysed_s
    yield (
        f"{count(n, 'call')} in {count(with_calls, 'recording')}"
        + (f", {n / (analysed_s / 3600):,.1f} an analysed hour" if analysed_s else "")
    )


def _judged(survey: Survey) -> Iterator[str]:
    """What reviewers said, and how often the detector was right."""
    verdicts = Counter(call.review for call in survey.detections)
    if verdicts.total() == verdicts["unreviewed"]:
        return
    line = f"{verdicts['yes']:,} yes, {verdicts['no']:,} no, {verdicts['maybe']:,} maybe"
    right = precision(survey.detections)
    if right is not None:
        line += f"; precision {right.value:.2f} ({right.low:.2f}-{right.high:.2f})"
    yield line


def _presence(days: Sequence[Bin], views: Views) -> Iterator[str]:
    if days:
        results = Counter(day.result for day in days)
        named = ", ".join(f"{count(results[result], 'day')} {result}" for result in Result if results[result])
        first, last = (f"{from_ns(day.begin_ns):%Y-%m-%d}" for day in (days[0], days[-1]))
        yield f"{first if first == last else f'{first} to {last}'}, by UTC: {named}"
        yield from wrapped(views.presence.sentence)


def _for_raven(survey: Survey, output: Path) -> Iterator[str]:
    """What to open there, and how."""
    yield f"{output / DEPLOYMENT_TABLE}"
    yield f"{output / 'selections'} (a table for each recording)"
    clock = ClockOptions(survey.views.options.timezone, survey.views.options.time_format)
    yield from ravens_clock([row.recording for row in survey.files if row.recording], clock)


def problems(survey: Survey) -> Iterator[str]:
    """A line for each recording that failed or was only partly readable, and a few for clocks."""
    for file in survey.files:
        if file.outcome.status is not Status.DONE:
            yield f"{file.outcome.status}: {_named(file.path, file.outcome.problem)}"
    found = [file.recording for file in survey.files if file.recording]
    yield from _warnings(found, lambda one: one.clock_problem)
    yield from _warnings(found, no_clock)
    n_unknown = sum(one.start_utc is None for one in found)
    if n_unknown:
        yield (
            f"warning: {count(n_unknown, 'recording')} without a clock {'is' if n_unknown == 1 else 'are'} "
            f"missing from {HOURLY}, {DAILY} and {GAPS}"
        )
    pairs = timeline.overlapping(found)
    if pairs:
        one, other = pairs[0]
        yield (
            f"warning: {count(len(pairs), 'recording')} begin{'s' if len(pairs) == 1 else ''} while another still runs "
            f"(first: {other.path} and {one.path}); their time counts once, their calls twice: mend the clocks, or keep one"
        )


def _warnings(found: Iterable[Recording], problem_of: Callable[[Recording], str]) -> Iterator[str]:
    """A line for each kind of problem, with the first recording that has it."""
    kinds: dict[str, list[Recording]] = defaultdict(list)
    for one in found:
        if problem := problem_of(one):
            kinds[kind_of(problem, one.path)].append(one)
    for same in kinds.values():
        yield f"warning: {_named(same[0].path, problem_of(same[0]))}{and_more(len(same))}"


def _named(path: Path, problem: str) -> str:
    return problem if str(path) in problem else f"{path}: {problem}"
