"""What a run says at its end, for a person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from whalescan.core import Status
from whalescan.survey.outputs import DEPLOYMENT_TABLE, DETECTIONS, FILES, Survey

_NAIVE_CLOCK = "name-without-zone"


def summary(survey: Survey, output: Path) -> str:
    """Hours, calls, and where to look next."""
    recorded_s = sum(row.recording.duration_s for row in survey.files if row.recording)
    analysed_s = sum(row.outcome.analysed_s for row in survey.files)
    with_calls = sum(row.outcome.n_detections > 0 for row in survey.files)
    n = len(survey.detections)
    lines = [
        "",
        f"{_count(len(survey.files), 'recording')}, {_hours(recorded_s)} of sound, {_hours(analysed_s)} analysed",
        f"{_count(n, 'call')} found in {_count(with_calls, 'recording')}"
        + (f", {n / (analysed_s / 3600):.1f} an analysed hour" if analysed_s else ""),
        f"for Raven Pro: {output / DEPLOYMENT_TABLE}",
        f"               {output / 'selections'} (a table for each recording)",
        f"for reports:   {output / DETECTIONS}, {output / FILES}",
    ]
    return "\n".join(lines)


def problems(survey: Survey) -> Iterator[str]:
    """A line for each recording that failed or was only partly readable, and one for clocks without a zone."""
    for row in survey.files:
        if row.outcome.status is not Status.DONE:
            yield f"{row.outcome.status}: {_named(str(row.path), row.outcome.problem)}"
    naive = [row.name for row in survey.files if row.recording and row.recording.time_source == _NAIVE_CLOCK]
    if naive:
        yield (
            f"warning: the times in {_count(len(naive), 'file name')} state no time zone (first: {naive[0]}), so no clock "
            "time is given; say --timezone UTC, or the zone that the recorder was set to"
        )


def _named(path: str, problem: str) -> str:
    return problem if path in problem else f"{path}: {problem}"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _hours(seconds: float) -> str:
    if seconds < 3600:
        return f"{seconds / 60:.1f} minutes"
    return f"{seconds / 3600:,.1f} hours"
