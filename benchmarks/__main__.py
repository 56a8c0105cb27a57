"""Command line of the benchmarks: ``python -m benchmarks --help`` lists them."""

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
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows to this file, too.")
def main(json_path: Path | None) -> None:
    """Run a benchmark on this machine, with the default model."""


@main.result_callback()
def _print(rows: list[Row], json_path: Path | None) -> None:
    click.echo(markdown(rows))
    if json_path:
        write_json(json_path, rows)


main.command("speed", help="Throughput, compared with plain PyTorch, and the cost of Dask.")(speed.measure)
main.command("memory", help="Peak memory with short and long recordings.")(memory.measure)
main.command("host", help="Throughput of a core where a GPU computes the networks.")(host.measure)
main.command("planning", help="Time to plan a survey of 100,000 recordings.")(planning.measure)
main.command("workers", help="Throughput with 1 to 8 worker processes.")(workers.measure)
main.command("clips", help="Held-out clips of FOLDER, in float32 and as in a run.")(_folder(clips.measure))
main.command("false-alarms", help="Detections per hour in FOLDER, which holds no calls.")(_folder(false_alarms.measure))


@main.command("stages")
@click.option("--device", default="cpu", show_default=True, help="Device of spectrograms and networks.")
def _stages(device: str) -> list[Row]:
    """Throughput of each stage, on one core or a GPU."""
    return stages.measure(device)


@main.command("year")
@click.option(
    "--hours",
    multiple=True,
    default=(1000,),
    help="Hours of 2 kHz WAV, 1000 by default; several show how time and memory grow.",
)
@click.option("--flac-hours", default=100, show_default=True, help="Hours of 48 kHz FLAC; 0 for none.")
@click.option("--device", default="auto", show_default=True, help="As for `whalescan run`.")
def _year(hours: tuple[int, ...], flac_hours: int, device: str) -> list[Row]:
    """Time for a hydrophone-year, and its bottleneck; for machines with a GPU."""
    return year.measure(hours, flac_hours, device)


@main.command("survey")
@click.option("--recordings", default=survey.N_RECORDINGS, show_default=True, help="Number of recordings of 58.4 minutes.")
@click.option("--chunks", default=0, help="Interrupt the run after this number of chunks.")
def _survey(recordings: int, chunks: int) -> list[Row]:
    """Cost of a survey of ten hydrophone-years without its scoring; an hour on two cores."""
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
@click.option("--aside", "ignored", multiple=True, type=click.Path(path_type=Path), help="Selections to ignore.")
def _hops(folder: Path, ignored: tuple[Path, ...]) -> list[Row]:
    """Recall and precision in annotated recordings in FOLDER, at several hops."""
    return hops.measure(folder, ignored)


@main.command("failures")
@_folder
@click.option("--aside", "ignored", multiple=True, type=click.Path(path_type=Path), help="Selections to ignore.")
@click.option("--picture", "figure_path", required=True, type=click.Path(path_type=Path), help="PNG file to write.")
def _failures(folder: Path, ignored: tuple[Path, ...], figure_path: Path) -> list[Row]:
    """Spectrograms of false positives and false negatives in annotated recordings in FOLDER."""
    return failures.measure(folder, ignored, figure_path)


@main.command("ablations")
@_folder
@click.option("--weights", required=True, type=click.Path(path_type=Path), help="ImageNet weights.")
@click.option("--without-calls", multiple=True, help="Recordings without calls.")
def _ablations(folder: Path, weights: Path, without_calls: tuple[str, ...]) -> list[Row]:
    """Short trainings on the clips of FOLDER, each with one option changed; hours on two cores."""
    return ablations.measure(folder, weights, without_calls)


if __name__ == "__main__":
    main()
