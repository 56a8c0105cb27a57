"""``run`` and ``detect``: recordings to tables."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whalescan.cli.group import config_option, main, together
from whalescan.core import UsageError
from whalescan.options import ScoreOptions, TableOptions, WorkOptions

if TYPE_CHECKING:
    from whalescan.survey.outputs import Survey

score_options = together(
    click.option("--model", default="", help="A model file. Default: the one inside the package."),
    click.option("--hop", type=float, default=ScoreOptions.hop_s, show_default=True, help="Seconds between windows."),
    click.option("--channel", default=ScoreOptions.channel, show_default=True, help="Which channel: 1, 2, ... or all."),
    click.option("--exact", is_flag=True, help="Look at every window, also where a first glance sees nothing."),
)
clock_options = together(
    click.option("--timezone", default="", help="Zone of the clocks in file names that state none: UTC, UTC-5, a name."),
    click.option("--time-format", default="", help="strptime format of the times in file names."),
)
device_option = click.option("--device", default=WorkOptions.device, show_default=True, help="auto, cpu, cuda or cuda:N.")
workers_option = click.option("--workers", type=int, default=0, help="Chunks scored beside each other. Default: one a core.")


def _note(context: click.Context, option: click.Parameter, value: Any) -> None:
    """Keep what was said of the tables, by its name in `TableOptions`; the command takes all of it with `click.pass_obj`."""
    said = context.ensure_object(dict)
    if value not in (None, ()):
        said[option.name] = value


_table_option = partial(click.option, callback=_note, expose_value=False)
_table_options = together(
    _table_option("--raven-root", help="Folder of the recordings as the reviewer's computer sees it."),
    _table_option("--summary-timezone", metavar="ZONE", help="Hourly and daily tables by the clocks of a zone, too."),
    _table_option("--min-validated", type=int, help="Confirmed calls that make an hour or day DETECTED. Default: 3."),
    _table_option("--format", "formats", multiple=True, help="Further formats: audacity, kaleidoscope, parquet."),
    _table_option("--position", metavar="LAT,LON", help="Where the recorder was; the report then tells day from night."),
    _table_option("--pars", metavar="FILE.toml", help="Write NOAA's PARS detectiondata.csv, with what FILE.toml says."),
    _table_option("--makara", metavar="FILE.toml", help="Write Makara's analyses.csv and detections.csv likewise."),
)
_work_options = together(
    device_option,
    click.option("--batch-size", type=int, help="Windows scored at a time. Default: what suits the device."),
    workers_option,
    click.option("--scheduler", default="", help="A Dask cluster: its address or scheduler file. Default: this machine."),
    click.option("--jobqueue", default="", help="A batch system that starts --workers: slurm, pbs, sge or lsf."),
    click.option("--performance-report", default="", metavar="FILE.html", help="Dask's report of who worked when."),
    click.option("--profile", is_flag=True, help="Say where the time went, and write OUT/profile.json, a trace."),
    click.option("--any-class", is_flag=True, help="Take a model that does not know upcalls, too."),
    click.option("--restart", is_flag=True, help="Use nothing of an earlier run in OUT."),
    click.option("--quiet", "-q", is_flag=True, help="No progress bar and no summary."),
    click.option("--verbose", "-v", is_flag=True, help="Name each recording as it is finished."),
)


@main.command()
@click.argument("recordings", nargs=-1)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder for the results.")
@score_options
@click.option("--threshold", type=float, help="Score at which a detection opens. Default: the model's.")
@clock_options
@_table_options
@_work_options
@config_option
@click.pass_obj
def run(
    said: Mapping[str, Any],
    recordings: tuple[str, ...],
    output: Path | None,
    model: str,
    hop: float,
    channel: str,
    exact: bool,
    threshold: float | None,
    timezone: str,
    time_format: str,
    device: str,
    batch_size: int | None,
    workers: int,
    scheduler: str,
    jobqueue: str,
    performance_report: str,
    profile: bool,
    any_class: bool,
    restart: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Score RECORDINGS and write every table.

    RECORDINGS are folders, files or patterns. A run that was interrupted goes on when the same command is given again.
    """
    from whalescan.survey.job import Job
    from whalescan.survey.profile import shares
    from whalescan.survey.run import run as run_job

    if output is None:
        raise UsageError("say where the results go: --output FOLDER")
    survey = run_job(
        Job(
            inputs=recordings,
            output=output,
            scores=ScoreOptions(model, hop, channel, exact),
            tables=_asked_for(TableOptions(threshold, timezone, time_format), said),
            work=WorkOptions(
                device=device,
                batch_size=batch_size,
                workers=workers,
                scheduler=scheduler,
                jobqueue=jobqueue,
                in_processes=True,
                performance_report=performance_report,
                profile=profile,
                any_class=any_class,
                restart=restart,
                quiet=quiet,
                verbose=verbose,
            ),
        )
    )
    if profile:
        click.echo(shares(output), err=True)
    _report(survey, output, quiet)


def _report(survey: Survey, output: Path, quiet: bool) -> None:
    """Say what came of it, and exit as the contract has it."""
    from whalescan.survey.summary import problems, summary

    if not quiet:
        click.echo(summary(survey, output))
    for line in problems(survey):
        click.echo(line, err=True)
    sys.exit(survey.exit_code)


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--threshold", type=float, help="Score at which a detection opens. Default: the one used last.")
@_table_options
@click.pass_obj
def detect(said: Mapping[str, Any], out: Path, threshold: float | None) -> None:
    """Find calls anew in the scores that a run left in OUT.

    Needs neither sound nor model. What is not said stays as it was said last; an empty text takes it back.
    """
    from whalescan.survey import provenance
    from whalescan.survey.run import detect as detect_again

    options = _asked_for(provenance.read(out).tables, said)
    _report(detect_again(out, threshold, options), out, quiet=False)


def _asked_for(last: TableOptions, said: Mapping[str, Any]) -> TableOptions:
    """Options for tables as they were, but for those that are said anew; an empty text takes one back."""
    asked = replace(last, **said)
    return replace(asked, formats=tuple(dict.fromkeys(filter(None, asked.formats))))
