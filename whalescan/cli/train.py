"""``train`` and ``model``: what models are, and how they come to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import click

from whalescan.cli.group import main
from whalescan.core import UsageError
from whalescan.detector.model_spec import FEATURES

_T = TypeVar("_T")


@main.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="The model file to write.")
@click.option("--from", "start_from", help="A model to go on from, or 'default'. Else training starts from ImageNet.")
@click.option("--weights", type=click.Path(path_type=Path), help="ImageNet weights. Default: timm fetches its own.")
@click.option("--without-calls", multiple=True, help="Recordings in which nothing is a call; may be given several times.")
@click.option("--class", "classes", multiple=True, help="A class to learn. Default: every label that occurs.")
@click.option("--rename", multiple=True, metavar="LABEL=CLASS", help="A label in the tables, and what it stands for.")
@click.option("--uncertain", multiple=True, help="A label that is neither call nor not. Always: maybe, possible, ...?")
@click.option("--features", type=click.Choice(FEATURES), help="What pictures are made of.")
@click.option("--validation", multiple=True, help="A recording or day to hold out. Default: a share of all, by hash.")
@click.option("--validation-share", type=float, help="Part of the examples that is held out.")
@click.option(
    "--group-by", type=click.Choice(["day", "recording"]), default="day", show_default=True, help="What stays together."
)
@click.option("--epochs", type=click.IntRange(1), help="Passes over the examples, at most.")
@click.option("--frozen-epochs", type=click.IntRange(0), help="The first of them, in which only the head learns.")
@click.option(
    "--patience", type=click.IntRange(0), help="Epochs without a better one after which training stops; 0 for never."
)
@click.option("--batch-size", type=int, help="Examples a step.")
@click.option("--learning-rate", type=float, help="The highest rate of the schedule.")
@click.option("--hard-share", type=float, help="Part of the windows without calls that are the hardest of them.")
@click.option("--seed", type=click.IntRange(0), help="Of everything that is drawn.")
@click.option("--threshold", type=float, help="The score that opens a detection. Default: 0.5, or as in --from.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--restart", is_flag=True, help="Start anew, whatever a training that was killed left.")
@click.option("--quiet", "-q", is_flag=True, help="No progress bar.")
def train(
    data: tuple[Path, ...],
    output: Path,
    start_from: str | None,
    weights: Path | None,
    without_calls: tuple[str, ...],
    classes: tuple[str, ...],
    rename: tuple[str, ...],
    uncertain: tuple[str, ...],
    features: str | None,
    validation: tuple[str, ...],
    validation_share: float | None,
    group_by: str,
    epochs: int | None,
    frozen_epochs: int | None,
    patience: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    hard_share: float | None,
    seed: int | None,
    threshold: float | None,
    device: str,
    restart: bool,
    quiet: bool,
) -> None:
    """Teach a network on DATA: recordings with tables, or clips.

    DATA are recordings with Raven tables, clips in the Kaggle layout, or several of them.
    A training that was killed goes on when the same command is given again.
    """
    from whalescan.training.datasets import DataOptions
    from whalescan.training.options import FINE_TUNING, TrainData, TrainOptions, TrainWork
    from whalescan.training.train import train as train_model

    options = FINE_TUNING if start_from else TrainOptions()
    options = replace(
        options,
        features=features or options.features,
        threshold=threshold,
        epochs=_given(epochs, options.epochs),
        frozen_epochs=_given(frozen_epochs, options.frozen_epochs),
        patience=_given(patience, options.patience),
        batch_size=_given(batch_size, options.batch_size),
        learning_rate=_given(learning_rate, options.learning_rate),
        hard_share=_given(hard_share, options.hard_share),
        validation_share=_given(validation_share, options.validation_share),
        seed=_given(seed, options.seed),
    )
    selection = DataOptions(classes, _pairs(rename), uncertain, group_by=group_by, seed=options.seed)
    trained = train_model(
        TrainData(data, without_calls, weights, start_from, validation, selection),
        output,
        options,
        TrainWork(device, restart, quiet, lambda line: click.echo(line, err=True)),
    )
    click.echo(f"{output}: {trained.kept}")
    click.echo("it looks at every window; `whalescan train-glance` makes a faster model of it", err=True)


def _given(value: _T | None, default: _T) -> _T:
    return default if value is None else value


def _pairs(renamed: Sequence[str]) -> tuple[tuple[str, str], ...]:
    pairs = []
    for text in renamed:
        label, sign, name = text.partition("=")
        if not sign or not name:
            raise UsageError(f"--rename {text!r} is none; write LABEL=CLASS, such as 'upcall=NARW upcall'")
        pairs.append((label, name))
    return tuple(pairs)


@main.command("train-glance")
@click.argument("model")
@click.argument("sounds", nargs=-1, required=True)
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="The model file to write.")
@click.option("--gate", type=float, help="Log-odds from which on a window is looked at; lower misses less, and is slower.")
@click.option("--passes", type=click.IntRange(1), help="How often the sounds are gone through.")
@click.option("--split", type=click.Path(path_type=Path), help="A .split.csv of train: what it held out is left out here.")
@click.option("--seed", type=click.IntRange(0), help="Of everything that is drawn.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--restart", is_flag=True, help="Start anew, whatever a teaching that was killed left.")
@click.option("--quiet", "-q", is_flag=True, help="No progress bar.")
def train_glance(
    model: str,
    sounds: tuple[str, ...],
    output: Path,
    gate: float | None,
    passes: int | None,
    split: Path | None,
    seed: int | None,
    device: str,
    restart: bool,
    quiet: bool,
) -> None:
    """Teach MODEL a glance, with which run is faster.

    SOUNDS are recordings or clips, folders or patterns, in which the calls occur that MODEL knows; no labels are needed.
    MODEL is a file, or 'default'.
    """
    from whalescan.detector.model_spec import find_model
    from whalescan.training.glance import GlanceTraining, teach_glance
    from whalescan.training.options import TrainWork
    from whalescan.training.split import held_out_names

    options = GlanceTraining()
    options = replace(
        options, gate=_given(gate, options.gate), passes=_given(passes, options.passes), seed=_given(seed, options.seed)
    )
    held_out = held_out_names(split) if split else frozenset()
    work = TrainWork(device, restart, quiet, lambda line: click.echo(line, err=True))
    agreement = teach_glance(
        find_model(model), sounds, output, options, work, lambda path: held_out.isdisjoint((path.name, path.stem))
    )
    click.echo(f"{output}: {agreement or 'taught; no sound with calls could be held back to measure how well'}")


@main.command()
@click.argument("model", required=False)
def model(model: str | None) -> None:
    """Say what a MODEL is: network, classes, training, metrics.

    Default: the one inside the package.
    """
    from whalescan.detector.model_spec import describe, find_model

    click.echo(describe(find_model(model)))
