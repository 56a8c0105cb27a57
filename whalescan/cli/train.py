"""``model``, ``train`` and ``simulate``: models, and sound with known calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from whalescan.cli.group import main
from whalescan.cli.options import gathered, path_option, quiet_option
from whalescan.core import invalid
from whalescan.detector.model_spec import FEATURES

device_option = click.option("--device", default="auto", show_default=True, help="Device: auto, cpu, cuda or cuda:N.")
_restart_option = click.option("--restart", is_flag=True, help="Ignore an interrupted training and start over.")
_model_output = path_option("--output", "-o", required=True, help="Model file to write, NAME.safetensors.")


@main.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@_model_output
@gathered(
    "options",
    click.option(
        "--from", "start_from", metavar="MODEL", show_default="ImageNet", help="Model to fine-tune: a file, or 'default'."
    ),
    path_option("--weights", show_default="downloaded by timm", help="File with ImageNet weights."),
    click.option("--without-calls", multiple=True, show_default="none", help="Recordings without calls; repeatable."),
    click.option("--class", "classes", multiple=True, show_default="every label", help="Class to learn; repeatable."),
    click.option(
        "--rename",
        multiple=True,
        metavar="LABEL=CLASS",
        show_default="none",
        help="Use CLASS for the label LABEL; repeatable.",
    ),
    click.option(
        "--uncertain",
        multiple=True,
        show_default="maybe, possible, uncertain, unknown and labels that end in ?",
        help="Further label that is neither a call nor the absence of one; repeatable.",
    ),
    click.option(
        "--group-by",
        type=click.Choice(["day", "recording"]),
        show_default="day",
        help="Sound that is held out together.",
    ),
    click.option(
        "--validation",
        multiple=True,
        show_default="a share of all, by hash",
        help="Recording or day to hold out; repeatable.",
    ),
    click.option(
        "--validation-share",
        type=float,
        metavar="SHARE",
        show_default="0.1; with --from: 0.3",
        help="Share of the sound that is held out.",
    ),
    click.option(
        "--features", type=click.Choice(FEATURES), show_default="both; with --from: the model's", help="Input features."
    ),
    click.option(
        "--steps", type=click.IntRange(1), metavar="N", show_default="5000; with --from: 300", help="Training steps."
    ),
    click.option("--batch-size", type=int, metavar="N", show_default="8", help="Sequences of 12.8 s per step."),
    click.option(
        "--learning-rate",
        type=float,
        metavar="RATE",
        show_default="0.0006; with --from: 0.0001",
        help="Highest rate of the schedule.",
    ),
    click.option("--seed", type=click.IntRange(0), metavar="N", show_default="20090328", help="Random seed."),
    click.option(
        "--false-positives-per-hour",
        type=float,
        metavar="N",
        show_default="1",
        help="Choose the model's threshold for at most N false positives per hour of held-back sound.",
    ),
    click.option(
        "--threshold",
        type=float,
        metavar="SCORE",
        show_default="by --false-positives-per-hour",
        help="Lowest score of a detection, stored in the model.",
    ),
    click.option(
        "--keep-anyway",
        is_flag=True,
        help="With --from: write the trained weights even if they are not better than the model's.",
    ),
)
@device_option
@_restart_option
@quiet_option()
def train(data: tuple[Path, ...], output: Path, options: Mapping[str, Any], device: str, restart: bool, quiet: bool) -> None:
    """Train a model on DATA: recordings with tables, or clips.

    DATA are folders of recordings with Raven tables, or of clips in the Kaggle layout. Part of the sound is held back, to
    measure what the model finds and to choose its threshold. With --from, the model's own weights are kept unless training
    makes them better on that part. A training that was interrupted resumes when the same command is given again.

    Example: whalescan train annotated/ --without-calls quiet/ -o ours.safetensors --from default
    """
    from whalescan.training.train import train as train_model

    chosen = {**options, "rename": _classes_by_label(options.get("rename", ()))}
    result = train_model(data, output, **chosen, device=device, restart=restart, quiet=quiet)
    if not quiet:
        weights = "the weights of the initial model, validated anew" if result.keeps_start else "trained"
        measured = "; ".join(f"{name}: {metrics}" for name, metrics in result.metrics.items())
        click.echo(f"{output}: {weights}; {measured or 'not validated'}")


def _classes_by_label(renamed: Sequence[str]) -> dict[str, str]:
    classes = {}
    for text in renamed:
        label, sign, name = text.partition("=")
        if not sign or not name:
            raise invalid("rename", text, "LABEL=CLASS, such as 'upcall=NARW upcall'")
        classes[label] = name
    return classes


@main.command()
@click.argument("model", required=False)
def model(model: str | None) -> None:
    """Describe a MODEL: network, classes, training, metrics.

    MODEL is a file; without it, the model in the package is described.

    Example: whalescan model ours.safetensors
    """
    from whalescan.detector.model_spec import describe, find_model

    click.echo(describe(find_model(model)))


@main.command()
@path_option("--output", "-o", required=True, help="Folder for the recordings.")
@click.option(
    "--recordings", type=click.IntRange(1), default=3, metavar="N", show_default=True, help="Number of recordings."
)
@click.option(
    "--minutes", type=click.FloatRange(0.2), default=5.0, metavar="MINUTES", show_default=True, help="Length of each."
)
@click.option(
    "--calls-per-hour",
    type=click.FloatRange(0, 1000),
    default=54.0,
    metavar="RATE",
    show_default=True,
    help="Mean rate of upcalls, up to 1000.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Random seed; the same seed gives the same sound.")
@quiet_option("Print no list of recordings.")
def simulate(output: Path, recordings: int, minutes: float, calls_per_hour: float, seed: int, quiet: bool) -> None:
    """Simulate recordings with known calls, and their tables.

    Example: whalescan simulate -o simulated/ --recordings 2 --minutes 10
    """
    from whalescan.training.simulation import SimulationOptions, write_recordings

    options = SimulationOptions(minutes=minutes, calls_per_hour=calls_per_hour, seed=seed)
    for path, n_calls in write_recordings(output, recordings, options):
        if not quiet:
            click.echo(f"{path}: {n_calls} call{'' if n_calls == 1 else 's'}")
