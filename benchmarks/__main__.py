"""``python -m benchmarks speed``, and others: measure, and print a table. ``--help`` names them."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks import (
    ablations,
    clips,
    failures,
    false_alarms,
    glance,
    hops,
    host,
    memory,
    planning,
    speed,
    stages,
    survey,
    workers,
    year,
)
from benchmarks.table import Row, markdown, write_json

_folder = click.argument("folder", type=click.Path(exists=True, path_type=Path))


@click.group()
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows there too.")
def main(json_path: Path | None) -> None:
    """Measure one thing on this machine, with the default model."""


@main.result_callback()
def _print(rows: list[Row], json_path: Path | None) -> None:
    click.echo(markdown(rows))
    if json_path:
        write_json(json_path, rows)


main.command("speed", help="Audio a second, against the plain way, and what Dask costs.")(speed.measure)
main.command("memory", help="Peak memory of short and long recordings.")(memory.measure)
main.command("host", help="What a GPU leaves to a core.")(host.measure)
main.command("planning", help="Time to plan a survey of 100,000 recordings.")(planning.measure)
main.command("workers", help="Audio a second with 1 to 8 worker processes.")(workers.measure)
main.command("clips", help="Held-out clips of FOLDER, as trained and as scanned.")(_folder(clips.measure))
main.command("false-alarms", help="Detections an hour in FOLDER, where nothing is a call.")(_folder(false_alarms.measure))


@main.command("stages")
@click.option("--device", default="cpu", show_default=True, help="Where spectrograms and networks are computed.")
def _stages(device: str) -> list[Row]:
    """Every stage alone, on one core or a GPU."""
    return stages.measure(device)


@main.command("year")
@click.option("--hours", multiple=True, default=(1000,), help="Of 2 kHz WAV, 1000 by default; several show what grows.")
@click.option("--flac-hours", default=100, show_default=True, help="Of 48 kHz FLAC; 0 for none.")
@click.option("--device", default="auto", show_default=True, help="As for `whalescan run`.")
def _year(hours: tuple[int, ...], flac_hours: int, device: str) -> list[Row]:
    """How long a hydrophone-year takes, and what it waits for; for machines with a GPU."""
    return year.measure(hours, flac_hours, device)


@main.command("survey")
@click.option("--recordings", default=survey.N_RECORDINGS, show_default=True, help="How many, of 58.4 minutes each.")
@click.option("--chunks", default=0, help="Interrupt the run after so many.")
def _survey(recordings: int, chunks: int) -> list[Row]:
    """What a survey of ten hydrophone-years costs beside its scoring; an hour on two cores."""
    return survey.measure(recordings, chunks)


@main.command("glance")
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--clips", type=click.Path(exists=True, path_type=Path), help="Plant calls from here that were not taught.")
def _glance(folders: tuple[Path, ...], clips: Path | None) -> list[Row]:
    """Calls in FOLDERS that are lost by glancing first."""
    return glance.measure(folders, clips)


@main.command("noise")
@_folder
@click.option("--ships", required=True, help="Recordings of ships.")
@click.option("--humpback", required=True, help="Recordings of humpback song.")
def _noise(folder: Path, ships: str, humpback: str) -> list[Row]:
    """Held-out clips of FOLDER under noise."""
    return clips.in_noise(folder, {"ships": ships, "humpback song": humpback})


@main.command("hops")
@_folder
@click.option("--aside", multiple=True, type=click.Path(path_type=Path), help="Selections that count neither way.")
def _hops(folder: Path, aside: tuple[Path, ...]) -> list[Row]:
    """Annotated recordings in FOLDER, at several hops."""
    return hops.measure(folder, aside)


@main.command("failures")
@_folder
@click.option("--aside", multiple=True, type=click.Path(path_type=Path), help="Selections that count neither way.")
@click.option("--picture", required=True, type=click.Path(path_type=Path), help="The PNG to draw.")
def _failures(folder: Path, aside: tuple[Path, ...], picture: Path) -> list[Row]:
    """What is wrong in annotated recordings in FOLDER, in a picture."""
    return failures.measure(folder, aside, picture)


@main.command("ablations")
@_folder
@click.option("--weights", required=True, type=click.Path(path_type=Path), help="ImageNet weights.")
@click.option("--without-calls", multiple=True, help="Recordings in which nothing is a call.")
def _ablations(folder: Path, weights: Path, without_calls: tuple[str, ...]) -> list[Row]:
    """Short trainings on the clips of FOLDER, with one part of the recipe changed at a time; hours on two cores."""
    return ablations.measure(folder, weights, without_calls)


if __name__ == "__main__":
    main()
