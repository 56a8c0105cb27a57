"""``clips``: detections as sound files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whalescan.cli.group import echo_problem, main
from whalescan.cli.options import path_option, quiet_option
from whalescan.core import UsageError
from whalescan.detections.sampling import Selection, SelectionOrder
from whalescan.detections.validations import REVIEWS

if TYPE_CHECKING:
    from whalescan.survey.clip_export import ClipExport


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@path_option("--output", "-o", required=True, help="Folder for the clips.")
@click.option(
    "--choose",
    type=click.Choice([order.value for order in SelectionOrder]),
    default="all",
    show_default=True,
    help="Detections to write as clips.",
)
@click.option("--count", type=click.IntRange(1), metavar="N", show_default="all of them", help="Largest number of clips.")
@click.option(
    "--context",
    "context_s",
    type=float,
    metavar="SECONDS",
    show_default="1",
    help="Seconds before and after the detection.",
)
@click.option(
    "--length",
    "length_s",
    type=float,
    metavar="SECONDS",
    show_default="that of the detection and its context",
    help="Length of each clip, with the detection in its middle.",
)
@click.option(
    "--review",
    "reviews",
    multiple=True,
    type=click.Choice(REVIEWS),
    show_default="any",
    help="Only detections with this review; repeatable.",
)
@click.option(
    "--threshold", type=float, metavar="SCORE", show_default="none", help="Only detections with at least this score."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Random seed.")
@click.option(
    "--rate",
    "rate_hz",
    type=int,
    metavar="HZ",
    show_default="the recording's, without any change of samples",
    help="Sampling rate of the clips.",
)
@click.option("--for-training", is_flag=True, help="Write validated detections in the layout that `whalescan train` reads.")
@quiet_option()
def clips(
    out: Path,
    output: Path,
    choose: str,
    count: int | None,
    context_s: float | None,
    length_s: float | None,
    reviews: tuple[str, ...],
    threshold: float | None,
    seed: int,
    rate_hz: int | None,
    for_training: bool,
    quiet: bool,
) -> None:
    """Write the detections of OUT as WAV files, with a Raven table.

    --choose selects all of them, those with the highest or lowest scores, a random sample, or a balanced one with the same
    number from each range of scores. The same command writes the same files again.

    Example: whalescan clips out/ -o clips/ --choose random --count 50
    """
    from whalescan.survey.clip_export import ClipExtent, cut_clips, cut_training_clips

    if context_s is not None and length_s is not None:
        raise UsageError("--context and --length exclude each other; leave one of them out")
    if for_training and (reviews or (context_s, length_s, rate_hz) != (None, None, None)):
        raise UsageError(
            "--for-training writes detections reviewed as yes or no, with the length and rate of the model's windows; "
            "leave out --review, --context, --length and --rate"
        )
    selection = Selection(SelectionOrder(choose), count, threshold, reviews, seed)
    if for_training:
        cut = cut_training_clips(out, output, selection, quiet)
    else:
        extent = (
            ClipExtent(length_s=length_s, rate_hz=rate_hz) if context_s is None else ClipExtent(context_s, length_s, rate_hz)
        )
        cut = cut_clips(out, output, selection, extent, quiet)
    if not quiet:
        click.echo("\n".join(_about_training_clips(cut, output) if for_training else _about_clips(cut, output)))
    for line in cut.problems:
        echo_problem(line)
    sys.exit(cut.exit_code)


def _about_clips(cut: ClipExport, folder: Path) -> Iterator[str]:
    from whalescan.core.text import count, duration
    from whalescan.survey.clip_export import CLIPS, LIST_FILE, TABLE

    length = duration(sum(clip.duration_s for clip in cut.clips))
    yield f"{folder}: {count(len(cut.clips), 'clip')}, {length}, listed in {CLIPS}"
    if cut.clips:
        yield f"in Raven Pro, open {folder / LIST_FILE} as a list of sounds, then the table {TABLE} beside it"


def _about_training_clips(cut: ClipExport, folder: Path) -> Iterator[str]:
    from whalescan.core.text import count

    n_calls = sum(clip.detection.review == "yes" for clip in cut.clips)
    n_others = len(cut.clips) - n_calls
    yield f"{folder}: {count(n_calls, 'clip')} with a call, {n_others} without one; maybe and unreviewed are left out"
    if cut.n_ambiguous:
        yield f"{count(cut.n_ambiguous, 'rejected detection')} left out, as another detection lies within the clip"
    if not n_calls:
        yield "training needs confirmed calls, and there are none yet: whalescan review"
    elif not n_others:
        yield "training also needs negative examples: add recordings without calls, or clips of rejected detections"
    else:
        yield f"next: whalescan train {folder} -o MODEL.safetensors --from default"
