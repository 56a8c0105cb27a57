"""``python -m benchmarks speed|memory|clips|hops|false-alarms [FOLDER]``: measure, and print a table."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks import clips, false_alarms, hops, memory, speed
from benchmarks.table import markdown, write_json

_OF_THE_MACHINE = {"speed": speed.measure, "memory": memory.measure}
_OF_A_FOLDER = {"clips": clips.measure, "hops": hops.measure, "false-alarms": false_alarms.measure}


@click.command()
@click.argument("what", type=click.Choice([*_OF_THE_MACHINE, *_OF_A_FOLDER]))
@click.argument("folder", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows there too.")
def main(what: str, folder: Path | None, json_path: Path | None) -> None:
    """Measure one thing on this machine.

    Clips needs a FOLDER in the layout of the Kaggle whale challenge, hops one of annotated recordings, false-alarms one of
    recordings that hold no calls.
    """
    if what in _OF_THE_MACHINE:
        rows = _OF_THE_MACHINE[what]()
    elif folder is not None:
        rows = _OF_A_FOLDER[what](folder)
    else:
        raise click.UsageError(f"{what} needs a FOLDER")
    click.echo(markdown(rows))
    if json_path:
        write_json(json_path, rows)


if __name__ == "__main__":
    main()
