"""The file ``run.json`` of an output folder: options, model, machine and results of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from whalescan.core import TableError

RUN_JSON = "run.json"


def read_run_json(output: Path) -> dict[str, Any]:
    """Read ``run.json`` of an output folder.

    Raises:
        TableError: when there is none, or the file is not one of whalescan.
    """
    path = output / RUN_JSON
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise TableError(f"{path}: no finished run there ({error}); give the output folder of a run") from error
    if not isinstance(document, dict):
        raise TableError(f"{path}: not a run.json of whalescan")
    return document
