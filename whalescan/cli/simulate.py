"""``simulate``: sound with known calls."""

from __future__ import annotations

from pathlib import Path

import click

from whalescan.cli.group import main


@main.command()
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Folder for the recordings.")
@click.option("--recordings", type=click.IntRange(1), default=3, show_default=True, help="How many.")
@click.option("--minutes", type=click.FloatRange(0.2), default=5.0, show_default=True, help="Length of each.")
@click.option(
    "--calls-per-hour", type=click.FloatRange(0, 1000), default=54.0, show_default=True, help="Mean rate of upcalls."
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes the same sound.")
def simulate(output: Path, recordings: int, minutes: float, calls_per_hour: float, seed: int) -> None:
    """Make recordings of an imagined sea, with tables of its calls."""
    from whalescan.training.simulation import SeaOptions, write_recordings

    options = SeaOptions(minutes=minutes, calls_per_hour=calls_per_hour, seed=seed)
    for path, n_calls in write_recordings(output, recordings, options):
        click.echo(f"{path}: {n_calls} calls")
