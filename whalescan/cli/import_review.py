"""``import-review``: what analysts did to Raven tables comes back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whalescan.cli.group import main
from whalescan.detections.validations import precision

if TYPE_CHECKING:
    from whalescan.review.raven.import_review import Imported


@main.command("import-review")
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("tables", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="TABLE...")
@click.option("--reviewer", default="", help="Who reviewed the tables; kept with what was said.")
def import_review(out: Path, tables: tuple[Path, ...], reviewer: str) -> None:
    """Take back Raven TABLEs of OUT that were reviewed.

    Every table and summary follows.
    The Review column says yes, no or maybe. A deleted row is a no, an added one is a call that only a person saw.
    """
    from whalescan.review.raven.import_review import import_review as take_back

    imported = take_back(out, tables, reviewer)
    click.echo(_summary(imported))
    for line in (*imported.notes, *imported.problems):
        click.echo(line, err=True)
    sys.exit(imported.exit_code)


def _summary(imported: Imported) -> str:
    """What was new in the tables, and how the detector stands after all that people have said."""
    tables = f"{imported.tables} table{'' if imported.tables == 1 else 's'}"
    new = imported.counts
    said = f"{new.n_yes} yes, {new.n_no} no, {new.n_maybe} maybe"
    drawn = f"{new.n_deleted} deleted, {new.n_added} added, {new.n_moved} moved"
    taken_back = f", {new.n_taken_back} taken back" if new.n_taken_back else ""
    lines = [f"{tables}, new in them: {said}; {drawn}{taken_back}"]
    if (right := precision(imported.survey.detections)) is None:
        lines.append("nobody has said yes or no of a call that the detector found, so its precision is not known")
    else:
        lines.append(
            f"precision so far: {right.value:.3f} (95 % interval {right.low:.3f} to {right.high:.3f}), "
            f"{right.n_yes} yes and {right.n_no} no of the detector's own calls"
        )
    return "\n".join(lines)
