"""``check``: a look at the recordings before hours of compute."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from whalescan.cli.group import config_option, main
from whalescan.cli.run import clock_options, device_option, score_options, workers_option
from whalescan.options import ScoreOptions, TableOptions, WorkOptions


@main.command()
@click.argument("recordings", nargs=-1)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="A CSV of all files, or a folder for check.csv.")
@clock_options
@score_options
@device_option
@workers_option
@config_option
def check(
    recordings: tuple[str, ...],
    output: Path | None,
    timezone: str,
    time_format: str,
    model: str,
    hop: float,
    channel: str,
    exact: bool,
    device: str,
    workers: int,
) -> None:
    """Look at RECORDINGS as a run would: clocks, gaps, damage.

    Says what is there twice and how long a run will take, too. Exit status 0: a run would be clean, as everything is
    readable, has a clock, and is there once.
    """
    from whalescan.core.files import write_whole
    from whalescan.survey.check import check as check_all
    from whalescan.survey.check import check_csv
    from whalescan.survey.check_text import screen
    from whalescan.survey.job import Job

    checkup = check_all(
        Job(
            inputs=recordings,
            output=Path(),
            scores=ScoreOptions(model, hop, channel, exact),
            tables=TableOptions(timezone=timezone, time_format=time_format),
            work=WorkOptions(device=device, workers=workers),
        )
    )
    click.echo(screen(checkup))
    if output is not None:
        path = output if output.suffix.lower() == ".csv" else output / "check.csv"
        write_whole(path, check_csv(checkup))
        click.echo(f"every file with its problems: {path}")
    sys.exit(checkup.exit_code)
