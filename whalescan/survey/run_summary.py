"""The summary of a run that the command line prints, and the text that other summaries share with it."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from whalescan.audio import timeline
from whalescan.audio.start_times import ClockOptions, start_time_from_name
from whalescan.core import Recording, Status, from_ns
from whalescan.core.text import count, decimal, duration
from whalescan.detections.precision_estimates import estimate_precision, reviewed_precision
from whalescan.detections.presence import Presence, PresenceBin
from whalescan.detections.sampling import detections_at_threshold
from whalescan.survey.operating_point import describe_performance, describe_sample, describe_threshold
from whalescan.survey.outputs import DAILY, DEPLOYMENT_TABLE, DETECTIONS, FILES, GAPS, HOURLY, REPORT, Survey
from whalescan.survey.settings import OutputSettings

_TEMPLATES_SHOWN = 3
_LABEL_WIDTH = 12
_WIDTH = 100
_MISSING_STARTS = {
    "name-without-zone": "its name states no time zone; set `timezone` to UTC, or to the zone of the recorder's clock",
    "clock-unset": "its clock was not set; rename it to its start time",
    "none": "its start time is unknown; set `time_format`, or rename it to its start time",
}


def run_summary(survey: Survey, output: Path) -> str:
    """Return hours, detections, reviews and presence as text, with the tables and the next command."""
    rows = {
        "audio": _recordings(survey),
        "detections": _detections(survey),
        "threshold": wrap_sentence(" ".join(threshold_sentences(survey))),
        "reviewed": _reviews(survey),
        "presence": _presence(survey.effort.daily, survey.settings),
        "Raven Pro": _raven(survey, output),
        "tables": [f"{output / DAILY}, {HOURLY}, {GAPS}, {DETECTIONS}, {FILES}"],
        "report": [f"{output / REPORT}"],
        "to review": [f"whalescan review {shlex.quote(str(output))}"] if survey.detections else [],
    }
    return "\n" + "\n".join(filter(None, (labelled_row(label, lines) for label, lines in rows.items())))


def _recordings(survey: Survey) -> Iterator[str]:
    recorded_s = sum(file.recording.duration_s for file in survey.files if file.recording)
    yield f"{count(len(survey.files), 'recording')}, {duration(recorded_s)}, {duration(survey.analysed_s)} analysed"


def _detections(survey: Survey) -> Iterator[str]:
    n = sum(detection.review != "no" for detection in survey.detections)
    n_recordings = sum(file.outcome.n_detections > 0 for file in survey.files)
    line = f"{count(n, 'detection')} in {count(n_recordings, 'recording')}"
    if survey.analysed_s:
        line += f", {decimal(n / (survey.analysed_s / 3600), 1)} per analysed hour"
    is_reviewed = any(detection.review != "unreviewed" for detection in survey.detections)
    yield line if is_reviewed or not survey.detections else f"{line}, none reviewed"


def threshold_sentences(survey: Survey) -> Iterator[str]:
    """Yield the threshold, and what it finds: in this survey by its reviewed sample, or else on validation sound."""
    settings = survey.settings
    threshold, rate = settings.rule.threshold, settings.options.false_positives_per_hour
    yield describe_threshold(threshold, settings.threshold_origin, rate)
    detections = detections_at_threshold(survey.detections, threshold)
    if own := describe_sample(estimate_precision(detections, survey.analysed_s / 3600)):
        yield own
    else:
        yield from describe_performance(threshold, settings.validation, settings.classes)


def _reviews(survey: Survey) -> Iterator[str]:
    """Yield how many detections have which review, and the precision of the detector."""
    reviews = Counter(detection.review for detection in survey.detections)
    if reviews.total() == reviews["unreviewed"]:
        return
    line = f"{reviews['yes']:,} yes, {reviews['no']:,} no, {reviews['maybe']:,} maybe"
    precision = reviewed_precision(survey.detections)
    if precision is not None:
        line += f"; precision {precision.value:.2f} ({precision.low:.2f}-{precision.high:.2f})"
    yield line


def _presence(days: Sequence[PresenceBin], settings: OutputSettings) -> Iterator[str]:
    if days:
        n_days = Counter(day.result for day in days)
        named = ", ".join(f"{count(n_days[result], 'day')} {result}" for result in Presence if n_days[result])
        first, last = (f"{from_ns(day.begin_ns):%Y-%m-%d}" for day in (days[0], days[-1]))
        yield f"{first if first == last else f'{first} to {last}'} (UTC): {named}"
        yield from wrap_sentence(settings.presence_rule.description)


def _raven(survey: Survey, output: Path) -> Iterator[str]:
    """Yield what to open in Raven, and how."""
    yield f"{output / DEPLOYMENT_TABLE}"
    yield f"{output / 'selections'} (one table for each recording)"
    clock = ClockOptions(survey.settings.options.timezone, survey.settings.options.time_format)
    yield from raven_clock_lines([file.recording for file in survey.files if file.recording], clock)


def problem_lines(survey: Survey) -> Iterator[str]:
    """Yield a line for each recording that failed or is partial, and one for each kind of problem with start times."""
    for file in survey.files:
        if file.outcome.status is not Status.DONE:
            yield f"{file.outcome.status}: {_with_path(file.path, file.outcome.problem)}"
    readable = [file.recording for file in survey.files if file.recording]
    yield from _warnings(readable, lambda recording: recording.clock_problem)
    yield from _warnings(readable, missing_start_problem)
    n_unknown = sum(recording.start_utc is None for recording in readable)
    if n_unknown:
        yield (
            f"warning: {count(n_unknown, 'recording')} without a start time {'is' if n_unknown == 1 else 'are'} "
            f"not in {HOURLY}, {DAILY} and {GAPS}"
        )
    pairs = timeline.overlapping_pairs(readable)
    if pairs:
        first, second = pairs[0]
        yield (
            f"warning: {count(len(pairs), 'recording')} begin{'s' if len(pairs) == 1 else ''} before another one ends "
            f"(first: {second.path} and {first.path}); their time counts once, their detections twice: correct the clocks, "
            "or remove one of them"
        )


def _warnings(recordings: Iterable[Recording], problem_of: Callable[[Recording], str]) -> Iterator[str]:
    """Yield a line for each kind of problem, with the first recording that has it."""
    of_kind: dict[str, list[Recording]] = defaultdict(list)
    for recording in recordings:
        if problem := problem_of(recording):
            of_kind[problem_kind(problem, recording.path)].append(recording)
    for alike in of_kind.values():
        yield f"warning: {_with_path(alike[0].path, problem_of(alike[0]))}{and_more(len(alike))}"


def _with_path(path: Path, problem: str) -> str:
    return problem if str(path) in problem else f"{path}: {problem}"


def missing_start_problem(recording: Recording) -> str:
    """Return why the start time of a recording is unknown, and the remedy; empty where it is known."""
    if recording.start_utc is not None:
        return ""
    return _MISSING_STARTS.get(recording.time_source, _MISSING_STARTS["none"])


def raven_clock_lines(recordings: Sequence[Recording], clock: ClockOptions) -> Iterator[str]:
    """Yield the file name template with which Raven shows clock times, and a warning where these would be wrong."""
    templates = {t: None for one in recordings if (t := start_time_from_name(one.path.name, clock).raven_template)}
    if templates:
        named = " or ".join(list(templates)[:_TEMPLATES_SHOWN])
        yield f"for clock times, set the file name template to {named}"
    if not timeline.is_chronological(recordings):
        yield "names are not in the order of time: clock times are right for single recordings only"


def problem_kind(problem: str, path: Path) -> str:
    """Return a problem without names, numbers and times: equal for problems of one kind."""
    text = problem.replace(str(path), "").removeprefix(f"{path.stem}: ")
    return " ".join(word for word in re.split(r"[\s:;,()`]+", text) if word.isalpha())


def and_more(n_alike: int) -> str:
    """Return how many more there are of the same kind, for the end of a line; empty where there is only one."""
    return f" (and {n_alike - 1:,} more)" if n_alike > 1 else ""


def labelled_row(label: str, lines: Iterable[str]) -> str:
    """Return lines in a column, with a label before the first; empty where there are none."""
    return "\n".join(f"{label if i == 0 else '':<{_LABEL_WIDTH}}{line}" for i, line in enumerate(lines))


def wrap_sentence(sentence: str) -> list[str]:
    """Return a long sentence as the lines of a `labelled_row`."""
    return textwrap.wrap(sentence, _WIDTH - _LABEL_WIDTH, break_long_words=False, break_on_hyphens=False)
