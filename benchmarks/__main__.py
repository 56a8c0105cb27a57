"""``python -m benchmarks [speed] [memory] [accuracy FOLDER]``: measure, and print tables."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

import click

from benchmarks import accuracy, memory, speed


@click.command()
@click.argument("what", type=click.Choice(["speed", "memory", "accuracy"]))
@click.argument("folder", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows there too.")
def main(what: str, folder: Path | None, json_path: Path | None) -> None:
    """Measure one thing on this machine; accuracy needs a FOLDER of annotated recordings."""
    if what == "accuracy" and folder is None:
        raise click.UsageError("accuracy needs a folder with recordings and their Raven tables")
    rows = accuracy.measure(folder) if folder else {"speed": speed, "memory": memory}[what].measure()
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    click.echo(f"{machine}\n")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    for cells in (columns, ["---"] * len(columns), *([str(row.get(name, "")) for name in columns] for row in rows)):
        click.echo(f"| {' | '.join(cells)} |")
    if json_path:
        json_path.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
