"""``review``: calls are judged on a page, and every table follows."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whalescan.cli.group import main
from whalescan.core import UsageError

if TYPE_CHECKING:
    from whalescan.review.page.server import Address

_ORDERS = ("highest", "lowest", "threshold", "time", "recording", "sample")


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--reviewer", default="", help="Who judges. Default: the page asks, so that several can.")
@click.option("--order", type=click.Choice(_ORDERS), help="Which calls come first. Default: those with the highest scores.")
@click.option(
    "--sample", type=click.IntRange(min=1), metavar="N", help="Judge N calls drawn by chance, to know the precision."
)
@click.option("--blind", is_flag=True, help="Hide scores, and what others said, until a call is judged.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of the page. Default: a free one.")
@click.option("--no-browser", is_flag=True, help="Print the address, and open nothing.")
def review(
    out: Path, reviewer: str, order: str | None, sample: int | None, blind: bool, port: int, no_browser: bool
) -> None:
    """Judge the calls of OUT on a page, by eye and ear.

    The page is served to this machine alone, at an address that is printed. Each judgement is on disk at once. Ctrl-C, or
    Finish on the page, ends it; then every table and summary follows.
    """
    from whalescan.review.page import request_parsing
    from whalescan.review.page.app import Wishes
    from whalescan.review.page.queues import Choice, Order
    from whalescan.review.page.server import serve
    from whalescan.review.page.session import Desk
    from whalescan.survey.finished_run import open_run

    if sample is not None and order not in (None, Order.SAMPLE):
        raise UsageError(f"--sample draws calls by chance; leave out --order {order}")
    by_default = Order.SAMPLE if sample is not None or blind else Order.HIGHEST
    choice = Choice(Order(order) if order else by_default, sample=sample)
    if blind and choice.is_telling:
        raise UsageError(f"--blind hides scores, and --order {order} would tell them; choose sample, time or recording")
    name = request_parsing.reviewer(reviewer) if reviewer.strip() else ""
    desk = Desk(open_run(out), blind)

    def announce(address: Address) -> None:
        click.echo(address.url)  # flushed at once
        click.echo("Ctrl-C, or Finish on the page, ends the review and writes every table anew.", err=True)
        if not no_browser:
            webbrowser.open(address.url)

    serve(desk, Wishes(name, choice), port, announce)
    click.echo(_what_was_said(desk.said_since()), err=True)
    _write_tables(out)


def _what_was_said(counts: dict[str, int]) -> str:
    n_calls = sum(counts.values())
    if not n_calls:
        return "nothing was judged"
    taken_back = f", {counts['unreviewed']} taken back" if counts["unreviewed"] else ""
    named = f"{counts['yes']} yes, {counts['no']} no, {counts['maybe']} maybe{taken_back}"
    return f"judged {n_calls} call{'' if n_calls == 1 else 's'}: {named}"


def _write_tables(out: Path) -> None:
    """Every table anew, and what the judgements say of the detector; where that cannot be now, nothing is lost by it."""
    from whalescan.survey.run import detect
    from whalescan.survey.validation_summary import what_people_said

    try:
        survey = detect(out)
    except UsageError as error:
        click.echo(f"{error}\nEvery judgement is safe; `whalescan detect {out}` brings the tables up to them.", err=True)
        return
    for line in what_people_said(out, survey):
        click.echo(line)
