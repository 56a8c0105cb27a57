"""Provenance: what was done, with what, and how to do it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from whalescan.options import ScoreOptions, TableOptions, WorkOptions
from whalescan.report.svg import Table

_DEFAULTS = {
    one.name.removesuffix("_s"): one.default
    for options in (ScoreOptions, TableOptions, WorkOptions)
    for one in fields(options)
    if one.default is not MISSING
}
"""By the names that options have in ``run.json``."""
_FLAGS = {"formats": "--format"}
"""Where the name of an option is not that of its flag."""
_MOST_LISTED = 20
AGAIN = "whalescan run --config run.json -o again"


def full_command(provenance: Mapping[str, Any]) -> str | None:
    """The command with every option that differs from its default; None where it would name too many recordings."""
    recordings, options = provenance.get("recordings", ()), provenance.get("options", {})
    if len(recordings) > _MOST_LISTED:
        return None
    differing = [(name, value) for name, value in options.items() if not _is_default(name, value)]
    words = [word for name, value in differing for word in _words(name, value)]
    return shlex.join(["whalescan", "run", *recordings, "-o", "again", *words])


def _is_default(name: str, value: Any) -> bool:
    default = _DEFAULTS.get(name)
    return bool(value == (list(default) if isinstance(default, tuple) else default))


def _words(name: str, value: Any) -> list[str]:
    flag = _FLAGS.get(name, f"--{name.replace('_', '-')}")
    if isinstance(value, bool):
        return [flag] if value else []
    return [word for one in (value if isinstance(value, list) else [value]) for word in (flag, str(one))]


def provenance_table(provenance: Mapping[str, Any]) -> Table:
    """Everything that ``run.json`` says, a line each, but for what is empty."""
    rows = tuple(line for line in _lines(provenance) if line[1])
    return Table(("What", "Value"), rows, "Options that are not set are left out.", is_text=True)


def _lines(document: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in document.items():
        path = f"{above}{name}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from _lines(value, f"{path}: ")
        else:
            yield path, _said(value)


def _said(value: Any) -> str:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return {"None": "", "True": "yes", "False": "no"}.get(str(value), str(value))
    more = f" and {len(value) - _MOST_LISTED:,} more, in run.json" if len(value) > _MOST_LISTED else ""
    return ", ".join(map(str, value[:_MOST_LISTED])) + more
