"""``evaluate``: detections compared with annotations."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from whalescan.cli.group import main
from whalescan.cli.options import gathered, path_option, quiet_option
from whalescan.core import UsageError


@main.command()
@click.argument("detections", type=click.Path(path_type=Path))
@click.argument("annotations", type=click.Path(path_type=Path))
@path_option("--output", "-o", show_default="none", help="Folder for numbers, tables and figures.")
@gathered(
    "options",
    click.option(
        "--threshold",
        type=float,
        metavar="SCORE",
        show_default="that of the run or the model; 0.5 for tables",
        help="Threshold at which errors are counted and listed.",
    ),
    click.option("--class", "class_name", metavar="NAME", show_default="upcalls", help="Class of a model that has several."),
    click.option("--channel", type=click.IntRange(1), metavar="N", show_default="1", help="Channel to evaluate."),
    click.option(
        "--bootstrap",
        type=click.IntRange(0),
        metavar="N",
        show_default="1000",
        help="Samples of the bootstrap, which gives the intervals; 0 for no intervals.",
    ),
    click.option("--seed", type=click.IntRange(0), metavar="N", show_default="1", help="Random seed of the bootstrap."),
    click.option(
        "--recordings",
        multiple=True,
        show_default="none",
        help="Recordings that were analysed, where DETECTIONS are tables; repeatable.",
    ),
    click.option(
        "--tolerance",
        "tolerance_s",
        type=click.FloatRange(0),
        metavar="SECONDS",
        show_default="1.0",
        help="Largest difference between the midpoints of a detection and its annotation.",
    ),
    click.option(
        "--label",
        multiple=True,
        show_default="all that are certain",
        help="Label of annotations that are calls; repeatable.",
    ),
    click.option(
        "--uncertain",
        multiple=True,
        show_default="maybe, possible, uncertain, unknown and labels that end in ?",
        help="Further label of annotations that are ignored; repeatable.",
    ),
    path_option("--aside", multiple=True, show_default="none", help="Table of further annotations to ignore; repeatable."),
    click.option(
        "--silent-are-empty", is_flag=True, help="Treat recordings without annotations as recordings without calls."
    ),
    click.option(
        "--lowest",
        type=float,
        metavar="SCORE",
        show_default="0.005",
        help="Lowest score at which detections of a run are evaluated.",
    ),
    click.option(
        "--false-positives-per-hour",
        type=float,
        multiple=True,
        metavar="R",
        show_default="no such advice",
        help="Advise the lowest threshold with at most R false positives per hour; repeatable.",
    ),
    click.option(
        "--precision",
        type=float,
        multiple=True,
        metavar="P",
        show_default="no such advice",
        help="Advise the lowest threshold with at least the precision P; repeatable.",
    ),
    path_option(
        "--calibrate", show_default="none", help="File for the run's model, with scores calibrated on these recordings."
    ),
    path_option("--clips", show_default="all", help="Table of the clips to use, where DETECTIONS is a model."),
)
@quiet_option()
def evaluate(detections: Path, annotations: Path, output: Path | None, options: Mapping[str, Any], quiet: bool) -> None:
    """Compare DETECTIONS with ANNOTATIONS: precision and recall.

    DETECTIONS are the folder of a run, or Raven tables; ANNOTATIONS are Raven tables.
    Where DETECTIONS is a model file, ANNOTATIONS is a folder of labelled clips, as for `train`.

    Example: whalescan evaluate out/ annotations/ -o evaluation/
    """
    from whalescan.evaluation.evaluate import evaluate as evaluate_detections
    from whalescan.evaluation.evaluate import evaluate_clips
    from whalescan.evaluation.evaluation_report import clip_summary, evaluation_summary

    if detections.suffix == ".safetensors":
        for name in options.keys() - inspect.signature(evaluate_clips).parameters.keys():
            raise UsageError(f"`{name}` is for recordings, not for clips", parameter=name)
        text = clip_summary(evaluate_clips(detections, annotations, output, **options, quiet=quiet))
    elif "clips" in options:
        raise UsageError("`clips` is for a model file and its clips, not for recordings", parameter="clips")
    else:
        text = evaluation_summary(evaluate_detections(detections, annotations, output, **options))
    if not quiet:
        click.echo(text)
