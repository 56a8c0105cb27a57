"""``review`` and ``import-review``: people validate detections on a page or in Raven, and every table follows."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whalescan.cli.group import echo_problem, main
from whalescan.cli.options import quiet_option
from whalescan.core import UsageError
from whalescan.detections.precision_estimates import reviewed_precision

if TYPE_CHECKING:
    from whalescan.review.page.server import PageAddress
    from whalescan.review.raven.import_review import ReviewImport

_ORDERS = ("highest", "lowest", "threshold", "time", "recording", "sample")


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--reviewer", default="", show_default="the page asks", help="Name of the reviewer, stored with each decision."
)
@click.option(
    "--order",
    type=click.Choice(_ORDERS),
    show_default="highest; with --sample or --blind: sample",
    help="First: highest or lowest scores, scores nearest to the threshold, earliest time, or a random sample.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    show_default="all",
    help="Review N detections drawn at random, to estimate the precision.",
)
@click.option("--blind", is_flag=True, help="Hide scores and earlier decisions until a detection is reviewed.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="PORT",
    show_default="a free one",
    help="Port of the page on this computer.",
)
@click.option("--no-browser", is_flag=True, help="Print the address without opening a browser.")
@quiet_option("Print nothing but the address of the page.")
def review(
    out: Path,
    reviewer: str,
    order: str | None,
    sample: int | None,
    blind: bool,
    port: int,
    no_browser: bool,
    quiet: bool,
) -> None:
    """Review the detections of OUT on a web page.

    The page is served to this computer alone, at an address that is printed. Each decision is stored at once. Ctrl-C, or
    Finish on the page, ends the review and writes every table again.

    Example: whalescan review out/ --sample 200
    """
    from whalescan.review.page.app import ReviewDefaults
    from whalescan.review.page.queues import QueueOptions, QueueOrder
    from whalescan.review.page.server import serve
    from whalescan.review.page.session import ReviewSession, check_reviewer_name
    from whalescan.survey.finished_run import open_finished_run

    if sample is not None and order not in (None, QueueOrder.SAMPLE):
        raise UsageError(f"--sample draws detections at random; leave out --order {order}")
    by_default = QueueOrder.SAMPLE if sample is not None or blind else QueueOrder.HIGHEST
    queue = QueueOptions(QueueOrder(order) if order else by_default, sample_size=sample)
    if blind and queue.reveals_hidden:
        raise UsageError(f"--blind hides scores, and --order {order} would reveal them; choose sample, time or recording")
    name = check_reviewer_name(reviewer) if reviewer.strip() else ""
    session = ReviewSession(open_finished_run(out), blind)

    def announce(address: PageAddress) -> None:
        click.echo(address.url)  # flushed at once
        if not quiet:
            click.echo("Ctrl-C, or Finish on the page, ends the review and writes every table again.", err=True)
        if not no_browser:
            webbrowser.open(address.url)

    serve(session, ReviewDefaults(name, queue), port, announce)
    if not quiet:
        click.echo(_decisions(session.review_counts_since_start()), err=True)
    _write_tables(out, quiet)


def _decisions(counts: dict[str, int]) -> str:
    n_detections = sum(counts.values())
    if not n_detections:
        return "nothing was reviewed"
    reset = f", {counts['unreviewed']} reset to unreviewed" if counts["unreviewed"] else ""
    decided = f"{counts['yes']} yes, {counts['no']} no, {counts['maybe']} maybe{reset}"
    return f"reviewed {n_detections} detection{'' if n_detections == 1 else 's'}: {decided}"


def _write_tables(out: Path, quiet: bool) -> None:
    """Write every table, and print the precision; where another process writes, the decisions are safe all the same."""
    from whalescan.survey.run import detect
    from whalescan.survey.validation_summary import describe_validations

    try:
        survey = detect(out)
    except UsageError as error:
        click.echo(f"{error}\nEvery decision is stored; `whalescan detect {out}` updates the tables.", err=True)
        return
    if not quiet:
        for line in describe_validations(out, survey):
            click.echo(line)


@main.command("import-review")
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("tables", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="TABLE...")
@click.option("--reviewer", default="", show_default="none", help="Name of the reviewer, stored with each decision.")
@quiet_option("Print no summary.")
def import_review(out: Path, tables: tuple[Path, ...], reviewer: str, quiet: bool) -> None:
    """Import reviewed Raven TABLEs of OUT.

    The Review column says yes, no or maybe. A deleted row counts as no, an added row as a call that the detector missed.
    Then every table is written again.

    Example: whalescan import-review out/ out/deployment.whalescan.sound.selections.txt --reviewer Ada
    """
    from whalescan.review.raven.import_review import import_review as import_tables

    imported = import_tables(out, tables, reviewer)
    if not quiet:
        click.echo(_summary(imported))
    for line in (*imported.notes, *imported.problems):
        echo_problem(line)
    sys.exit(imported.exit_code)


def _summary(imported: ReviewImport) -> str:
    """Return what was new in the tables, and the precision of the detector by all validations."""
    tables = f"{imported.n_tables} table{'' if imported.n_tables == 1 else 's'}"
    new = imported.counts
    decided = f"{new.n_yes} yes, {new.n_no} no, {new.n_maybe} maybe"
    changed = f"{new.n_deleted} deleted, {new.n_added} added, {new.n_moved} moved"
    reset = f", {new.n_restored} reset to unreviewed" if new.n_restored else ""
    lines = [f"{tables} imported; new validations: {decided}; {changed}{reset}"]
    precision = reviewed_precision(imported.survey.detections)
    if precision is None:
        lines.append("precision: not known, as no detection of the detector is validated as yes or no")
    else:
        lines.append(
            f"precision so far: {precision.value:.3f} (95 % interval {precision.low:.3f} to {precision.high:.3f}), "
            f"from {precision.n_yes} yes and {precision.n_no} no among the detector's own detections"
        )
    return "\n".join(lines)
