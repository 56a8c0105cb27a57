"""The Raven tables that were written, so that what an analyst changed in one is known, and never overwritten.

``OUT/.tables.json`` holds the hash of each table as it was written last, and every threshold at which tables were written.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path

from whalescan.core import TableError
from whalescan.tables.files import write_whole
from whalescan.tables.selections import is_reviewed

FILE = ".tables.json"
_SUFFIX = ".selections.txt"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was written to a folder.

    Attributes:
        thresholds: every one at which tables were written, the oldest first, each once.
        tables: hash of each table as it was written, by its path below the folder, with ``/``.
    """

    thresholds: tuple[float, ...] = ()
    tables: dict[str, str] = field(default_factory=dict)


def read(output: Path) -> Manifest:
    """What is known to have been written; nothing where the folder is new.

    Raises:
        TableError: when the file is damaged.
    """
    path = output / FILE
    try:
        document = json.loads(path.read_bytes())
        return Manifest(tuple(document["thresholds"]), dict(document["tables"]))
    except FileNotFoundError:
        return Manifest()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TableError(f"{path}: damaged ({error}); delete it: tables that differ will be set aside, not lost") from error


class Tables:
    """Raven tables on their way to a folder. One that somebody changed is renamed before another takes its place."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._old = read(output)
        self._is_old_version = not (output / FILE).exists()
        self._new: dict[str, str] = {}

    def write(self, path: Path, content: bytes) -> None:
        """Write a table, unless it is there already."""
        self._new[self._name(path)] = _digest(content)
        if path.exists():
            if path.read_bytes() == content:
                return
            self._set_aside_if_changed(path)
        write_whole(path, content)

    def finish(self, threshold: float, *folders: Path) -> None:
        """Remove the tables in some folders that were not written this time, and note what was."""
        for folder in folders:
            for path in folder.rglob(f"*.whalescan{_SUFFIX}"):
                if self._name(path) not in self._new:
                    self._set_aside_if_changed(path)
                    path.unlink(missing_ok=True)
        thresholds = list(dict.fromkeys((*self._old.thresholds, threshold)))
        document = {"thresholds": thresholds, "tables": dict(sorted(self._new.items()))}
        write_whole(self._output / FILE, (json.dumps(document, indent=1) + "\n").encode())

    def _name(self, path: Path) -> str:
        return path.relative_to(self._output).as_posix()

    def _set_aside_if_changed(self, path: Path) -> None:
        known = self._old.tables.get(self._name(path))
        changed = is_reviewed(path) if self._is_old_version else known != _digest(path.read_bytes())
        if changed:
            numbers = itertools.count(1)
            names = (path.with_name(f"{path.name.removesuffix(_SUFFIX)}.reviewed-{n}{_SUFFIX}") for n in numbers)
            path.rename(next(aside for aside in names if not aside.exists()))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
