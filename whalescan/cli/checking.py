"""``check``: a look at the recordings before hours of compute."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from whalescan.cli.door import main, read_config
from whalescan.cli.scanning import clock_options, score_options
from whalescan.config import ScoreOptions, TableOptions, WorkOptions


@main.command()
@click.argument("recordings", nargs=-1)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="A CSV of all files, or a folder for check.csv.")
@clock_options
@score_options
@click.option("--device", default=WorkOptions.device, show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--workers", type=int, default=0, help="Chunks scored beside each other. Default: one a core.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    callback=read_config,
    is_eager=True,
    expose_value=False,
    help="Options from a TOML file, or from a run.json.",
)
def check(
    recordings: tuple[str, ...],
    output: Path | None,
    timezone: str | None,
    time_format: str | None,
    model: str | None,
    hop: float,
    channel: str,
    device: str,
    workers: int,
) -> None:
    """Look at RECORDINGS as a run would: clocks, gaps, copies, damage, and how long it will take.

    Exit status 0 says that a run would be clean: everything is readable, has a clock, and is there once.
    """
    from whalescan.survey.checkup import check as check_all
    from whalescan.survey.checkup import check_csv
    from whalescan.survey.checkwords import screen
    from whalescan.survey.job import Job
    from whalescan.tables.files import write_whole

    checkup = check_all(
        Job(
            inputs=recordings,
            output=Path(),
            scores=ScoreOptions(model or "", hop, str(channel)),
            tables=TableOptions(timezone=timezone or "", time_format=time_format or ""),
            work=WorkOptions(device=device, workers=workers),
        )
    )
    click.echo(screen(checkup))
    if output is not None:
        path = output if output.suffix.lower() == ".csv" else output / "check.csv"
        write_whole(path, check_csv(checkup))
        click.echo(f"every file with its problems: {path}")
    sys.exit(checkup.exit_code)
