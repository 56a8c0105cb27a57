"""``clips``: calls as sound files of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whalescan.cli.group import main
from whalescan.core import UsageError
from whalescan.detections.selection import By, Choice
from whalescan.detections.validations import VERDICTS

if TYPE_CHECKING:
    from whalescan.survey.clips import ClipsCut


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Folder for the clips.")
@click.option("--choose", type=click.Choice([by.value for by in By]), default="all", show_default=True, help="Which calls.")
@click.option("--count", type=click.IntRange(1), help="How many, unless all.")
@click.option("--context", type=float, help="Seconds before and after the call. Default: 1.")
@click.option("--length", type=float, help="Seconds of a clip instead, the call in its middle.")
@click.option("--review", "reviews", multiple=True, type=click.Choice(VERDICTS), help="Only calls so judged; repeatable.")
@click.option("--threshold", type=float, help="Only calls with this score or a higher one.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of what is random.")
@click.option("--rate", type=int, metavar="HZ", help="Sampling rate. Default: the recording's, no sample changed.")
@click.option("--for-training", is_flag=True, help="Judged calls, as `whalescan train` takes them.")
@click.option("--quiet", "-q", is_flag=True, help="No progress bar and no summary.")
def clips(
    out: Path,
    output: Path,
    choose: str,
    count: int | None,
    context: float | None,
    length: float | None,
    reviews: tuple[str, ...],
    threshold: float | None,
    seed: int,
    rate: int | None,
    for_training: bool,
    quiet: bool,
) -> None:
    """Cut the calls of OUT as WAV files, with a Raven table.

    The choice is all of them, those with the highest or lowest scores, some at random, or balanced: as many of each range of
    scores. A second run with the same options writes the same files.
    """
    from whalescan.survey.clips import Extent, cut_clips, cut_for_training

    if context is not None and length is not None:
        raise UsageError("--context and --length both say how long a clip is; leave one of them out")
    if for_training and (reviews or (context, length, rate) != (None, None, None)):
        raise UsageError(
            "--for-training cuts calls judged yes or no, as long and at the rate as the model hears them; leave out "
            "--review, --context, --length and --rate"
        )
    choice = Choice(By(choose), count, threshold, reviews, seed)
    if for_training:
        cut = cut_for_training(out, output, choice, quiet)
    else:
        extent = Extent(length_s=length, rate_hz=rate) if context is None else Extent(context, length, rate)
        cut = cut_clips(out, output, choice, extent, quiet)
    if not quiet:
        click.echo("\n".join(_to_train_with(cut, output) if for_training else _to_look_at(cut, output)))
    for line in cut.problems:
        click.echo(line, err=True)
    sys.exit(cut.exit_code)


def _to_look_at(cut: ClipsCut, folder: Path) -> Iterator[str]:
    from whalescan.survey.clips import CLIPS, LIST_FILE, TABLE
    from whalescan.survey.text import count, hours

    length = hours(sum(clip.duration_s for clip in cut.clips))
    yield f"{folder}: {count(len(cut.clips), 'clip')}, {length}; {CLIPS} says of what"
    if cut.clips:
        yield f"in Raven Pro, open {folder / LIST_FILE} as a list of sounds, then the table {TABLE} beside it"


def _to_train_with(cut: ClipsCut, folder: Path) -> Iterator[str]:
    from whalescan.survey.text import count

    n_calls = sum(clip.call.review == "yes" for clip in cut.clips)
    n_others = len(cut.clips) - n_calls
    yield f"{folder}: {count(n_calls, 'clip')} with a call, {n_others} without one; maybe and unreviewed are left out"
    if cut.n_unclear:
        yield f"{count(cut.n_unclear, 'rejected call')} left out, since another call lies in the same seconds"
    if not n_calls:
        yield "nobody has confirmed a call yet, and without one nothing can be learnt: whalescan review"
    elif not n_others:
        yield "add sound without calls, or clips of rejected ones: nothing can be told apart from nothing"
    else:
        yield f"to go on with: whalescan train {folder} -o MODEL.safetensors --from default"
