"""``check``, ``run``, ``detect`` and ``report``: recordings to tables."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whalescan.cli.group import config_option, echo_problem, main, with_flags
from whalescan.cli.options import changed, declared, path_option, quiet_option
from whalescan.core import UsageError
from whalescan.options import ScoreOptions, TableOptions, WorkOptions, options_of

if TYPE_CHECKING:
    from whalescan.survey.outputs import Survey

_AS_BEFORE = "as before"
"""Default, in help texts, of a table option that keeps its earlier value."""


def _warn_of_exact(_context: click.Context, _option: click.Parameter, is_given: bool) -> None:
    if is_given:
        click.echo("whalescan: --exact does nothing any more; leave it out", err=True)


_exact_option = click.option(
    "--exact", is_flag=True, hidden=True, expose_value=False, callback=_warn_of_exact, help="Does nothing any more."
)


@main.command()
@click.argument("recordings", nargs=-1)
@path_option("--output", "-o", show_default="no table", help="CSV of all files, or a folder for check.csv.")
@declared("tables", TableOptions, "threshold", "false_positives_per_hour", "timezone", "time_format")
@declared("scores", ScoreOptions)
@declared("work", WorkOptions, "device", "workers", "quiet")
@_exact_option
@config_option
def check(
    recordings: tuple[str, ...], output: Path | None, scores: ScoreOptions, tables: TableOptions, work: WorkOptions
) -> None:
    """Check RECORDINGS before a run: clocks, gaps, damage.

    Lists duplicates and estimates the duration of a run, too. Exit status 0: every recording is readable, has a clock, and
    is there once.

    Example: whalescan check recordings/ --timezone UTC
    """
    from whalescan.core.files import write_atomically
    from whalescan.survey.check import check as check_recordings
    from whalescan.survey.check import check_csv, check_screen
    from whalescan.survey.settings import SurveyJob

    checkup = check_recordings(SurveyJob(recordings, Path(), scores, tables, work))
    if not work.quiet:
        click.echo(with_flags(check_screen(checkup), click.get_current_context().command))
    if output is not None:
        path = output if output.suffix.lower() == ".csv" else output / "check.csv"
        write_atomically(path, check_csv(checkup))
        if not work.quiet:
            click.echo(f"every file with its problems: {path}")
    sys.exit(checkup.exit_code)


@main.command()
@click.argument("recordings", nargs=-1)
@path_option("--output", "-o", help="Folder for the results; required.")
@declared("scores", ScoreOptions)
@declared("tables", TableOptions)
@declared("work", WorkOptions)
@_exact_option
@config_option
def run(
    recordings: tuple[str, ...], output: Path | None, scores: ScoreOptions, tables: TableOptions, work: WorkOptions
) -> None:
    """Score RECORDINGS and write every table.

    RECORDINGS are folders, files or patterns. A run that was interrupted resumes when the same command is given again.

    Example: whalescan run recordings/ -o out/
    """
    from whalescan.core.profiling import stage_shares
    from whalescan.survey.run import run as run_job
    from whalescan.survey.settings import SurveyJob

    if output is None:
        raise UsageError("give the folder for the results: --output FOLDER")
    survey = run_job(SurveyJob(recordings, output, scores, tables, replace(work, in_processes=True, owns_process=True)))
    if work.profile:
        click.echo(stage_shares(output), err=True)
    _finish(survey, output, work.quiet)


def _finish(survey: Survey, output: Path, quiet: bool) -> None:
    """Print the summary and the problems, and exit with the survey's status."""
    from whalescan.survey.run_summary import problem_lines, run_summary

    if not quiet:
        click.echo(run_summary(survey, output))
    for line in problem_lines(survey):
        echo_problem(line)
    sys.exit(survey.exit_code)


_TABLE_OPTIONS_AFTER_A_RUN = [name for name in options_of(TableOptions) if name not in ("timezone", "time_format")]
"""All options but those of the clocks, which stay as the run read them."""


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@changed("tables", TableOptions, *_TABLE_OPTIONS_AFTER_A_RUN, default_text=_AS_BEFORE)
@quiet_option("Print no summary.")
def detect(out: Path, tables: Mapping[str, Any], quiet: bool) -> None:
    """Make detections from the stored scores of OUT again.

    Needs neither recordings nor model. An option that is not given stays as it was; an empty text clears it.

    Example: whalescan detect out/ --threshold 0.7
    """
    from whalescan.survey import provenance
    from whalescan.survey.run import detect as detect_again

    asked = dict(tables)
    threshold, rate = asked.pop("threshold", None), asked.pop("false_positives_per_hour", None)
    options = replace(provenance.read_run_record(out).tables, **asked)
    _finish(detect_again(out, threshold, options, false_positives_per_hour=rate), out, quiet)


def _warn_of_old_name(_context: click.Context, _option: click.Parameter, rate: float | None) -> float | None:
    if rate is not None:
        click.echo("whalescan: --false-per-hour is now --false-positives-per-hour; use that", err=True)
    return rate


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--precision",
    type=float,
    metavar="P",
    show_default="no such advice",
    help="Advise the lowest threshold at which a share P of the detections are right whale calls.",
)
@click.option(
    "--false-positives-per-hour",
    type=float,
    metavar="R",
    show_default="no such advice",
    help="Advise the lowest threshold with at most R false positives per analysed hour.",
)
@click.option("--false-per-hour", "old_rate", type=float, hidden=True, callback=_warn_of_old_name, help="The same.")
@changed("tables", TableOptions, "summary_timezone", "position", default_text=_AS_BEFORE)
@quiet_option("Print nothing.")
def report(
    out: Path,
    precision: float | None,
    false_positives_per_hour: float | None,
    old_rate: float | None,
    tables: Mapping[str, Any],
    quiet: bool,
) -> None:
    """Write OUT/report.html and every table again.

    Prints the precision of the detector, by score and overall, as far as a reviewed sample allows.

    Example: whalescan report out/ --precision 0.9
    """
    from whalescan.survey import provenance
    from whalescan.survey.outputs import REPORT
    from whalescan.survey.run import detect as detect_again
    from whalescan.survey.validation_summary import describe_validations, validation_targets

    rate = old_rate if false_positives_per_hour is None else false_positives_per_hour
    wanted = validation_targets(precision, rate)
    survey = detect_again(out, None, replace(provenance.read_run_record(out).tables, **tables))
    if quiet:
        return
    click.echo(out / REPORT)
    for line in describe_validations(out, survey, wanted):
        click.echo(line)
