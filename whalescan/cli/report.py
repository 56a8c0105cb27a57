"""``report``: the survey on one page, and what people's judgements say of the detector."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from whalescan.cli.group import main


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
    from whalescan.survey import provenance
    from whalescan.survey.outputs import REPORT
    from whalescan.survey.run import detect
    from whalescan.survey.validation_summary import what_people_said, wishes

    wanted = wishes(precision, false_per_hour)
    last = provenance.read(out).tables
    asked = replace(
        last,
        position=last.position if position is None else position,
        summary_timezone=last.summary_timezone if summary_timezone is None else summary_timezone,
    )
    survey = detect(out, None, asked)
    click.echo(out / REPORT)
    for line in what_people_said(out, survey, wanted):
        click.echo(line)
