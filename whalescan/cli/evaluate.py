"""``evaluate``: how good detections are."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from whalescan.cli.group import main, together
from whalescan.core import UsageError

_MEANT_FOR_CLIPS = frozenset(
    {"detections", "annotations", "output", "threshold", "class_name", "channel", "bootstrap", "seed", "clips"}
)
_matching_options = together(
    click.option("--recordings", multiple=True, help="What was listened to, where DETECTIONS are tables; repeatable."),
    click.option("--tolerance", type=click.FloatRange(0), default=1.0, show_default=True, help="Seconds between middles."),
    click.option("--label", multiple=True, help="Annotations that are calls; repeatable. Default: all that are certain."),
    click.option("--uncertain", multiple=True, help="Labels that count neither way, beside maybe, ...?; repeatable."),
    click.option(
        "--aside", multiple=True, type=click.Path(path_type=Path), help="Tables that count neither way; repeatable."
    ),
    click.option("--silent-are-empty", is_flag=True, help="Recordings that no table speaks of hold no calls."),
    click.option("--lowest", type=float, default=0.005, show_default=True, help="Score down to which a run is looked at."),
    click.option("--false-positives-per-hour", type=float, multiple=True, help="Advise a threshold; repeatable."),
    click.option("--precision", type=float, multiple=True, help="Advise a threshold; repeatable."),
    click.option(
        "--calibrate", type=click.Path(path_type=Path), help="Write the run's model there, calibrated on these recordings."
    ),
)


@main.command()
@click.argument("detections", type=click.Path(path_type=Path))
@click.argument("annotations", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder for numbers, tables and pictures.")
@click.option("--threshold", type=float, help="Where errors are shown. Default: the run's or the model's; .5 for tables.")
@click.option("--class", "class_name", default="", help="Which class of a model that knows several. Default: upcalls.")
@click.option("--channel", type=click.IntRange(1), default=1, show_default=True, help="Which channel.")
@click.option("--bootstrap", type=click.IntRange(0), default=1000, show_default=True, help="Draws for the intervals.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of the draws.")
@_matching_options
@click.option("--clips", type=click.Path(path_type=Path), help="A table of the clips to use, where DETECTIONS is a model.")
def evaluate(
    detections: Path,
    annotations: Path,
    output: Path | None,
    threshold: float | None,
    class_name: str,
    channel: int,
    bootstrap: int,
    seed: int,
    recordings: tuple[str, ...],
    tolerance: float,
    label: tuple[str, ...],
    uncertain: tuple[str, ...],
    aside: tuple[Path, ...],
    silent_are_empty: bool,
    lowest: float,
    false_positives_per_hour: tuple[float, ...],
    precision: tuple[float, ...],
    calibrate: Path | None,
    clips: Path | None,
) -> None:
    """Say how good DETECTIONS are, by ANNOTATIONS.

    DETECTIONS are what `run` wrote, or Raven tables; ANNOTATIONS are Raven tables.
    Where DETECTIONS is a model file, ANNOTATIONS is a folder of labelled clips, as for `train`.
    """
    from whalescan.evaluation import job
    from whalescan.evaluation.annotations import TruthOptions
    from whalescan.evaluation.bootstrap import Draws
    from whalescan.evaluation.clips import ClipOptions
    from whalescan.evaluation.evaluate import EvaluateOptions
    from whalescan.evaluation.scored_sources import SourceOptions

    asked = job.Asked(detections, annotations, output, click.get_current_context().params)
    draws = Draws(bootstrap, seed)
    if detections.suffix == ".safetensors":
        _refuse_all_but(_MEANT_FOR_CLIPS, "is for recordings, not for clips")
        click.echo(job.judge_clips(asked, ClipOptions(clips, channel, class_name, threshold, draws)))
        return
    if clips:
        raise UsageError("--clips is for a model file and its clips, not for recordings")
    source = SourceOptions(channel, class_name, lowest, recordings)
    truth = TruthOptions(label, uncertain, aside, channel, silent_are_empty)
    judging = EvaluateOptions(tolerance, threshold, false_positives_per_hour, precision, draws)
    click.echo(job.judge_recordings(asked, source, truth, judging, calibrate))


def _refuse_all_but(meant: frozenset[str], why: str) -> None:
    """Stop at an option that was given although it means nothing here."""
    context = click.get_current_context()
    for option in context.command.params:
        name = option.name or ""
        if name not in meant and context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise UsageError(f"{option.opts[0]} {why}")
