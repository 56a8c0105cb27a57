"""Tables of measurements in Markdown and JSON."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

Row = dict[str, object]


def markdown(rows: list[Row]) -> str:
    """Return a table in Markdown, with the machine above it."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    body = [[str(row.get(name, "")) for name in columns] for row in rows]
    lines = [f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *body)]
    return "\n".join([machine(), "", *lines])


def write_json(path: Path, rows: list[Row]) -> None:
    """Write the rows and the machine as JSON."""
    path.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2), encoding="utf-8")


def machine() -> str:
    """Return a description of this machine."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
