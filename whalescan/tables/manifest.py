"""The Raven tables that were written, so that what an analyst changed in one is known, and never overwritten.

``OUT/.tables.json`` holds the hash of each table as it was written last, every threshold at which tables were written, which
recordings came when, and the hashes of the tables that `import-review` has taken.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from whalescan.core import TableError
from whalescan.core.files import write_whole
from whalescan.tables.selections import is_reviewed

FILE = ".tables.json"
_SUFFIX = ".selections.txt"
_OURS = f".whalescan{_SUFFIX}"
_ASIDE = re.compile(rf"(?P<table>.+)\.reviewed-(?P<number>[0-9]+){re.escape(_SUFFIX)}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was written to a folder, and taken back.

    Attributes:
        thresholds: every one at which tables were written, the oldest first, each once.
        tables: hash of each table as it was written, by its path below the folder, with ``/``.
        writes: how many times the tables were written.
        recordings: of each recording that has a table, the number of the write, from 0, at which it first had one.
        imported: hash of each table that was imported, with how many times tables had been written by then.
        intended: hashes of each table as it was to be written by a write that has not ended.
    """

    thresholds: tuple[float, ...] = ()
    tables: Mapping[str, str] = field(default_factory=dict)
    writes: int = 0
    recordings: Mapping[str, int] = field(default_factory=dict)
    imported: Mapping[str, int] = field(default_factory=dict)
    intended: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def is_ours(self, name: str, digest: str) -> bool:
        """Whether a table is as it was written, also by a write that was killed."""
        return digest == self.tables.get(name) or digest in self.intended.get(name, ())

    def is_taken(self, output: Path, table: Path) -> bool:
        """Whether a table holds nothing that is not known: one of the folder, as it was written, or imported already.

        A table in its place that is not as it was written is always news, also where one like it was imported long ago.
        """
        inside, folder = table.resolve(), output.resolve()
        if not inside.is_relative_to(folder):
            return False
        name, digest = inside.relative_to(folder).as_posix(), digest_of(inside)
        is_in_place = name in self.tables or name in self.intended
        return self.is_ours(name, digest) if is_in_place else digest in self.imported


def read(output: Path) -> Manifest:
    """What is known to have been written; nothing where the folder is new.

    Raises:
        TableError: when the file is damaged.
    """
    path = output / FILE
    try:
        document = dict(json.loads(path.read_bytes()))
        return Manifest(
            tuple(float(threshold) for threshold in document["thresholds"]),
            {str(name): str(digest) for name, digest in dict(document["tables"]).items()},
            int(document.get("writes", 0)),
            {str(name): int(write) for name, write in dict(document.get("recordings", {})).items()},
            {str(digest): int(write) for digest, write in dict(document.get("imported", {})).items()},
            {str(name): tuple(map(str, digests)) for name, digests in dict(document.get("intended", {})).items()},
        )
    except FileNotFoundError:
        return Manifest()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TableError(
            f"{path}: damaged ({error}); put a copy of it back, or copy the tables that were changed, and delete it"
        ) from error


def digest_of(table: Path) -> str:
    """The hash of a table.

    Raises:
        TableError: when it cannot be read.
    """
    try:
        return _digest(table.read_bytes())
    except OSError as error:
        raise TableError(f"{table}: cannot be read as a table ({error})") from error


def note_imported(output: Path, digests: Iterable[str]) -> None:
    """Note that tables with these hashes were imported.

    Raises:
        TableError: when the file is damaged.
        OutputError: when it cannot be written.
    """
    known = read(output)
    _write(output, replace(known, imported={**known.imported, **dict.fromkeys(digests, known.writes)}))


def in_turn(tables: Iterable[Path]) -> list[list[Path]]:
    """Tables with those that took one another's place together: the ones that were set aside first, the oldest first."""
    turns: dict[Path, list[tuple[float, Path]]] = {}
    for path in tables:
        aside = _ASIDE.fullmatch(path.name)
        last = path.absolute().with_name(f"{aside['table']}{_SUFFIX}") if aside else path.absolute()
        turns.setdefault(last, []).append((int(aside["number"]) if aside else float("inf"), path))
    return [[path for _, path in sorted(turn)] for turn in turns.values()]


class Tables:
    """Raven tables on their way to a folder. One that somebody changed is renamed before another takes its place."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._old = read(output)
        self._new: dict[str, str] = {}
        self._not_imported: set[str] = set()

    def write(self, tables: Mapping[Path, bytes], threshold: float, *folders: Path) -> None:
        """Write tables, and remove those in some folders that are not among them.

        What is going to be written is noted first: after a kill, a table of ours is not taken for one that somebody changed.
        """
        self._new = {self._name(path): _digest(content) for path, content in tables.items()}
        thresholds = tuple(dict.fromkeys((*self._old.thresholds, threshold)))
        intended = {name: (*self._old.intended.get(name, ()), digest) for name, digest in self._new.items()}
        _write(self._output, replace(self._old, thresholds=thresholds, intended={**self._old.intended, **intended}))
        for path, content in tables.items():
            if path.exists():
                if path.read_bytes() == content:
                    continue
                self._set_aside_if_changed(path)
            write_whole(path, content)
        self._finish(thresholds, folders)

    def _finish(self, thresholds: tuple[float, ...], folders: Iterable[Path]) -> None:
        recordings: dict[str, int] = {}
        for folder in folders:
            for path in folder.rglob(f"*{_OURS}"):
                if self._name(path) not in self._new:
                    self._set_aside_if_changed(path)
                    path.unlink(missing_ok=True)
                else:
                    name = path.relative_to(folder).as_posix().removesuffix(_OURS)
                    recordings[name] = self._old.recordings.get(name, self._old.writes)
        imported = {digest: write for digest, write in self._old.imported.items() if digest not in self._not_imported}
        new = Manifest(thresholds, self._new, self._old.writes + 1, recordings, imported)
        _write(self._output, new)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._output).as_posix()

    def _set_aside_if_changed(self, path: Path) -> None:
        digest = _digest(path.read_bytes())
        is_old_version = not (self._old.tables or self._old.intended)
        if is_reviewed(path) if is_old_version else not self._old.is_ours(self._name(path), digest):
            numbers = itertools.count(1)
            names = (path.with_name(f"{path.name.removesuffix(_SUFFIX)}.reviewed-{n}{_SUFFIX}") for n in numbers)
            path.rename(next(aside for aside in names if not aside.exists()))
            if self._old.imported.get(digest) != self._old.writes:
                self._not_imported.add(digest)  # not as it is now, though one like it may have been before


def _write(output: Path, manifest: Manifest) -> None:
    document = {name: dict(sorted(v.items())) if isinstance(v, dict) else v for name, v in asdict(manifest).items()}
    write_whole(output / FILE, (json.dumps(document, indent=1) + "\n").encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
