"""Command line of the benchmarks: ``python -m benchmarks --help`` lists them."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks import (
    ablations,
    clips,
    failures,
    false_alarms,
    hops,
    host,
    memory,
    planning,
    planted,
    sites,
    speed,
    stages,
    survey,
    workers,
    year,
)
from benchmarks.table import Row, markdown, write_json

_PATH = click.Path(exists=True, path_type=Path)
_folder = click.argument("folder", type=_PATH)
_model = click.option("--model", default="default", show_default=True, help="Model file.")
_without_calls = click.option("--without-calls", multiple=True, required=True, help="Recordings without calls.")
_aside = click.option("--aside", "ignored", multiple=True, type=click.Path(path_type=Path), help="Selections to ignore.")


@click.group()
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows to this file, too.")
def main(json_path: Path | None) -> None:
    """Run a benchmark on this machine, with the default model unless stated otherwise."""


@main.result_callback()
def _print(rows: list[Row], json_path: Path | None) -> None:
    click.echo(markdown(rows))
    if json_path:
        write_json(json_path, rows)


main.command("speed", help="Throughput, compared with plain PyTorch, and the cost of Dask.")(speed.measure)
main.command("memory", help="Peak memory with short and long recordings.")(memory.measure)
main.command("host", help="Throughput of a core where a GPU computes the network.")(host.measure)
main.command("planning", help="Time to plan a survey of 100,000 recordings.")(planning.measure)
main.command("workers", help="Throughput with 1 to 8 worker processes.")(workers.measure)


@main.command("stages")
@click.option("--device", default="cpu", show_default=True, help="Device of spectrogram and network.")
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


@main.command("clips")
@_folder
@click.option("--noise", multiple=True, metavar="NAME=RECORDINGS", help="Noise to add, such as ships=FOLDER.")
@_model
def _clips(folder: Path, noise: tuple[str, ...], model: str) -> list[Row]:
    """Held-out clips of FOLDER: as they are, in noise, clipped, resampled, coded."""
    named = dict(text.split("=", 1) for text in noise)
    return clips.measure(folder, named, model)


@main.command("planted")
@_folder
@_without_calls
@_model
def _planted(folder: Path, without_calls: tuple[str, ...], model: str) -> list[Row]:
    """Calls of held-out clips of FOLDER at -3 to 9 dB in recordings without calls."""
    return planted.planted(folder, without_calls, model)


@main.command("pairs")
@_folder
@_without_calls
@_model
def _pairs(folder: Path, without_calls: tuple[str, ...], model: str) -> list[Row]:
    """Pairs of calls 1.0 to 1.6 s apart: how often both are found."""
    return planted.pairs(folder, without_calls, model)


@main.command("beside")
@_folder
@_without_calls
@_model
def _beside(folder: Path, without_calls: tuple[str, ...], model: str) -> list[Row]:
    """Calls beside a louder knock, tone or ship: the recall that is lost."""
    return planted.beside(folder, without_calls, model)


@main.command("sites")
@_folder
@_without_calls
@click.option("--draws", default=sites.N_DRAWS, show_default=True, help="Sites of each kind.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(list(sites.KINDS)), help="Only sites of this kind.")
@_model
def _sites(folder: Path, without_calls: tuple[str, ...], draws: int, kinds: tuple[str, ...], model: str) -> list[Row]:
    """Fine-tuning on simulated new sites; half a day on two cores."""
    return sites.measure(folder, without_calls, model, draws, kinds)


@main.command("hops")
@_folder
@_aside
def _hops(folder: Path, ignored: tuple[Path, ...]) -> list[Row]:
    """Windows of annotated calls in FOLDER, at several hops."""
    return hops.measure(folder, ignored)


@main.command("false-alarms")
@click.argument("folders", nargs=-1, type=_PATH)
@click.option("--white-noise-hours", default=0, help="Hours of white noise; 0 for none.")
@_model
def _false_alarms(folders: tuple[Path, ...], white_noise_hours: int, model: str) -> list[Row]:
    """Detections per hour in FOLDERS, which hold no calls."""
    return false_alarms.measure(folders, white_noise_hours, model)


@main.command("failures")
@_folder
@_aside
@click.option("--picture", "figure_path", required=True, type=click.Path(path_type=Path), help="PNG file to write.")
@click.option("--each", default=3, show_default=True, help="Number of pictures of each kind.")
@_model
def _failures(folder: Path, ignored: tuple[Path, ...], figure_path: Path, each: int, model: str) -> list[Row]:
    """Spectrograms of hits, misses and false alarms in annotated recordings in FOLDER."""
    return failures.measure(folder, ignored, figure_path, each, model)


@main.command("ablations")
@click.argument("data", nargs=-1, required=True, type=_PATH)
@click.option("--weights", required=True, type=click.Path(path_type=Path), help="ImageNet weights.")
@click.option("--without-calls", multiple=True, help="Recordings without calls.")
@click.option("--steps", default=ablations.SHORT.steps, show_default=True, help="Steps of each training.")
@click.option("--sizes", is_flag=True, help="Train networks of several sizes, not several recipes.")
def _ablations(data: tuple[Path, ...], weights: Path, without_calls: tuple[str, ...], steps: int, sizes: bool) -> list[Row]:
    """Short trainings on DATA, each with one option changed; hours on two cores."""
    return ablations.measure(data, weights, without_calls, steps, sizes)


if __name__ == "__main__":
    main()
