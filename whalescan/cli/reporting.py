"""``report``: the survey on one page, and what people's judgements say of the detector."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import click

from whalescan.cli.door import main
from whalescan.core import UsageError


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--precision", type=float, metavar="P", help="Advise the threshold from which a part P of the calls is right.")
@click.option("--false-per-hour", type=float, metavar="R", help="Advise the threshold with R false calls in an hour.")
@click.option("--position", metavar="LAT,LON", help="Where the recorder was; the report then tells day from night.")
@click.option("--summary-timezone", metavar="ZONE", help="Show hours by the clocks of a zone, too.")
def report(
    out: Path, precision: float | None, false_per_hour: float | None, position: str | None, summary_timezone: str | None
) -> None:
    """Write OUT/report.html, and every table, as they are by now.

    Prints how often the detector was right, by score and in all, as far as a judged sample tells.
    """
    from whalescan.calls import strata
    from whalescan.calls.advice import WantedFalseAlarms, WantedPrecision, advise
    from whalescan.calls.estimates import estimate
    from whalescan.survey import provenance
    from whalescan.survey.judged import Wanted, judged_lines
    from whalescan.survey.outputs import REPORT
    from whalescan.survey.run import detect

    wishes: list[Wanted] = []
    if precision is not None:
        if not 0 < precision <= 1:
            raise UsageError(f"--precision {precision:g} is no part of the calls; give one above 0 and at most 1")
        wishes.append(WantedPrecision(precision))
    if false_per_hour is not None:
        if not 0 < false_per_hour < math.inf:
            raise UsageError(f"--false-per-hour {false_per_hour:g} is no rate that a sample can show; give one above 0")
        wishes.append(WantedFalseAlarms(false_per_hour))
    last = provenance.read(out).tables
    asked = replace(
        last,
        position=last.position if position is None else position,
        summary_timezone=last.summary_timezone if summary_timezone is None else summary_timezone,
    )
    survey = detect(out, None, asked)
    calls = strata.found_at(survey.detections, survey.views.rule.threshold)
    hours = sum(file.outcome.analysed_s for file in survey.files) / 3600
    click.echo(out / REPORT)
    for line in judged_lines(out, estimate(calls, hours), {wish: advise(calls, hours, wish) for wish in wishes}):
        click.echo(line)
