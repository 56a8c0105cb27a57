"""Manifest of the Raven tables that a run wrote, by which tables that analysts changed are known and never overwritten.

``OUT/.tables.json`` holds the hash of each table as it was last written, all thresholds at which tables were written, the
write in which each recording first appeared, and the hashes of the tables that `import-review` imported.
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
from whalescan.core.files import write_atomically
from whalescan.tables.selections import is_reviewed

MANIFEST_FILE = ".tables.json"
_SUFFIX = ".selections.txt"
_OWN_SUFFIX = f".whalescan{_SUFFIX}"
_KEPT_VERSION = re.compile(rf"(?P<table>.+)\.reviewed-(?P<number>[0-9]+){re.escape(_SUFFIX)}")
"""Name of a changed table that was renamed before a new one took its place."""


@dataclass(frozen=True, slots=True)
class TableManifest:
    """Tables that were written to an output folder, and imported from it. The field names are the keys of the JSON file.

    Attributes:
        thresholds: all thresholds at which tables were written, the oldest first, each once.
        tables: hash of each table as it was written, by its path below the folder, with ``/``.
        writes: how many times the tables were written.
        recordings: for each recording that has a table, the number of the write, from 0, in which it first had one.
        imported: hash of each imported table, with the number of writes at that time.
        intended: hashes of each table that writes have begun to write; cleared when a write ends.
    """

    thresholds: tuple[float, ...] = ()
    tables: Mapping[str, str] = field(default_factory=dict)
    writes: int = 0
    recordings: Mapping[str, int] = field(default_factory=dict)
    imported: Mapping[str, int] = field(default_factory=dict)
    intended: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def is_as_written(self, name: str, digest: str) -> bool:
        """Return whether a table is as it was written, also by a write that was interrupted."""
        return digest == self.tables.get(name) or digest in self.intended.get(name, ())

    def is_known(self, output: Path, table: Path) -> bool:
        """Return whether a table contains nothing new: one of the folder, unchanged since it was written or imported.

        A table at its original path that differs from what was written is always new, even if an equal one was imported.
        """
        path, folder = table.resolve(), output.resolve()
        if not path.is_relative_to(folder):
            return False
        name, digest = path.relative_to(folder).as_posix(), table_digest(path)
        is_at_original_path = name in self.tables or name in self.intended
        return self.is_as_written(name, digest) if is_at_original_path else digest in self.imported


def read_manifest(output: Path) -> TableManifest:
    """Read the manifest of an output folder; empty where there is none.

    Raises:
        TableError: when the file is damaged.
    """
    path = output / MANIFEST_FILE
    try:
        document = dict(json.loads(path.read_bytes()))
        return TableManifest(
            tuple(float(threshold) for threshold in document["thresholds"]),
            {str(name): str(digest) for name, digest in dict(document["tables"]).items()},
            int(document.get("writes", 0)),
            {str(name): int(write) for name, write in dict(document.get("recordings", {})).items()},
            {str(digest): int(write) for digest, write in dict(document.get("imported", {})).items()},
            {str(name): tuple(map(str, digests)) for name, digests in dict(document.get("intended", {})).items()},
        )
    except FileNotFoundError:
        return TableManifest()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TableError(
            f"{path}: damaged ({error}); restore it from a backup, or delete it after copying the tables that were changed"
        ) from error


def table_digest(table: Path) -> str:
    """Return the hash of a table.

    Raises:
        TableError: when it cannot be read.
    """
    try:
        return _digest(table.read_bytes())
    except OSError as error:
        raise TableError(f"{table}: cannot be read as a table ({error})") from error


def record_imported(output: Path, digests: Iterable[str]) -> None:
    """Record that tables with these hashes were imported.

    Raises:
        TableError: when the manifest is damaged.
        OutputError: when it cannot be written.
    """
    manifest = read_manifest(output)
    _write_manifest(output, replace(manifest, imported={**manifest.imported, **dict.fromkeys(digests, manifest.writes)}))


def group_versions(tables: Iterable[Path]) -> list[list[Path]]:
    """Group the successive versions of each table: kept versions first, the oldest first, then the table itself."""
    groups: dict[Path, list[tuple[float, Path]]] = {}
    for path in tables:
        kept = _KEPT_VERSION.fullmatch(path.name)
        table = path.absolute().with_name(f"{kept['table']}{_SUFFIX}") if kept else path.absolute()
        groups.setdefault(table, []).append((int(kept["number"]) if kept else float("inf"), path))
    return [[path for _, path in sorted(group)] for group in groups.values()]


class TableWriter:
    """Writer of a run's Raven tables; renames a table that somebody changed before it writes a new one.

    Args:
        output: output folder of the run.
    """

    def __init__(self, output: Path) -> None:
        self._output = output
        self._old = read_manifest(output)
        self._new_digests: dict[str, str] = {}
        self._not_imported: set[str] = set()

    def write(self, tables: Mapping[Path, bytes], threshold: float, *folders: Path) -> None:
        """Write tables, and remove other tables from some folders.

        The manifest is written first: after an interruption, a new table is not mistaken for a changed one.

        Args:
            tables: contents by path.
            threshold: detection threshold of the tables.
            folders: folders that keep no other tables.
        """
        self._new_digests = {self._name(path): _digest(content) for path, content in tables.items()}
        thresholds = tuple(dict.fromkeys((*self._old.thresholds, threshold)))
        new_intended = {name: (*self._old.intended.get(name, ()), digest) for name, digest in self._new_digests.items()}
        intended = {**self._old.intended, **new_intended}
        _write_manifest(self._output, replace(self._old, thresholds=thresholds, intended=intended))
        for path, content in tables.items():
            if path.exists():
                if path.read_bytes() == content:
                    continue
                self._keep_if_changed(path)
            write_atomically(path, content)
        self._finish(thresholds, folders)

    def _finish(self, thresholds: tuple[float, ...], folders: Iterable[Path]) -> None:
        recordings: dict[str, int] = {}
        for folder in folders:
            for path in folder.rglob(f"*{_OWN_SUFFIX}"):
                if self._name(path) not in self._new_digests:
                    self._keep_if_changed(path)
                    path.unlink(missing_ok=True)
                else:
                    name = path.relative_to(folder).as_posix().removesuffix(_OWN_SUFFIX)
                    recordings[name] = self._old.recordings.get(name, self._old.writes)
        imported = {digest: write for digest, write in self._old.imported.items() if digest not in self._not_imported}
        new = TableManifest(thresholds, self._new_digests, self._old.writes + 1, recordings, imported)
        _write_manifest(self._output, new)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._output).as_posix()

    def _keep_if_changed(self, path: Path) -> None:
        """Rename a table that somebody changed; without a manifest, one that contains reviews."""
        digest = _digest(path.read_bytes())
        has_manifest = bool(self._old.tables or self._old.intended)
        if not self._old.is_as_written(self._name(path), digest) if has_manifest else is_reviewed(path):
            numbers = itertools.count(1)
            names = (path.with_name(f"{path.name.removesuffix(_SUFFIX)}.reviewed-{n}{_SUFFIX}") for n in numbers)
            path.rename(next(name for name in names if not name.exists()))
            if self._old.imported.get(digest) != self._old.writes:
                self._not_imported.add(digest)  # an equal table that was imported before does not count


def _write_manifest(output: Path, manifest: TableManifest) -> None:
    document = {
        name: dict(sorted(value.items())) if isinstance(value, dict) else value for name, value in asdict(manifest).items()
    }
    write_atomically(output / MANIFEST_FILE, (json.dumps(document, indent=1) + "\n").encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
