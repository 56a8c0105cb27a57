"""Validations on disk: ``judgements.sqlite`` in the output folder of a run. Rows are only ever added.

The review page adds one row at a time, `import-review` adds thousands; both share the file. Each write is one transaction,
which is on disk when the function returns.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import NamedTuple

from whalescan.core import OutputError, TableError
from whalescan.detections.validations import ORIGINS, REVIEWS, Validation

VALIDATIONS_FILE = "judgements.sqlite"
_VERSION = 1
LOCK_TIMEOUT_S = 30.0
"""How long to wait for another program that holds the lock."""
_COLUMNS = (
    "detection_id, verdict, origin, recording, channel, begin_s, end_s, low_hz, high_hz, label, score, source, judged_utc, "
    "reviewer"
)
"""The columns in the order of the fields of `Validation`. Their names never change, so that old files stay readable."""
_SCHEMA = (
    f"""
    CREATE TABLE judgements (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        detection_id TEXT NOT NULL,
        verdict TEXT NOT NULL CHECK (verdict IN {REVIEWS}),
        origin TEXT NOT NULL CHECK (origin IN {ORIGINS}),
        recording TEXT NOT NULL,
        channel INTEGER NOT NULL,
        begin_s REAL NOT NULL,
        end_s REAL NOT NULL,
        low_hz REAL NOT NULL,
        high_hz REAL NOT NULL,
        label TEXT NOT NULL,
        score REAL,
        source TEXT NOT NULL,
        judged_utc TEXT NOT NULL,
        reviewer TEXT NOT NULL
    )""",
    "CREATE INDEX judgements_by_id ON judgements (detection_id, sequence)",
    f"PRAGMA user_version = {_VERSION}",
)


class StoredValidation(NamedTuple):
    """A validation with its row number in the file, from 1 in the order in which rows were added."""

    sequence: int
    validation: Validation


def append_validations(output: Path, validations: Sequence[Validation]) -> None:
    """Add validations in one transaction. No file is created for an empty sequence.

    Raises:
        TableError: when the file is damaged, or was written by a later version.
        OutputError: when it cannot be written; nothing was added.
    """
    if validations:
        with _write_transaction(output / VALIDATIONS_FILE) as connection:
            _insert(connection, validations)


def append_decided(
    output: Path, sequence: int, decide: Callable[[Sequence[StoredValidation]], Sequence[Validation]]
) -> list[StoredValidation]:
    """Add validations that depend on those already stored; no other program can add rows in between.

    Args:
        output: folder of the run.
        sequence: number of the last row that the caller has read.
        decide: receives the later rows and returns the validations to add; all are added, or none.

    Returns:
        Every row after ``sequence``, including the new ones.

    Raises:
        TableError, OutputError: as `append_validations`.
    """
    with _write_transaction(output / VALIDATIONS_FILE) as connection:
        _insert(connection, decide(_select_after(connection, sequence)))
        return _select_after(connection, sequence)


@contextlib.contextmanager
def _write_transaction(path: Path) -> Iterator[sqlite3.Connection]:
    """Open an exclusive transaction, committed at the end of the block and rolled back by an error."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=LOCK_TIMEOUT_S, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            if not _has_schema(connection, path):
                for statement in _SCHEMA:
                    connection.execute(statement)
            yield connection
            connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        raise OutputError(
            f"{path}: cannot be written ({error}); no validation was stored. Close other programs that use the file or free "
            "disk space, then run the same command again"
        ) from error
    except sqlite3.DatabaseError as error:
        raise _damaged_error(path, error) from error


def _insert(connection: sqlite3.Connection, validations: Sequence[Validation]) -> None:
    placeholders = ", ".join("?" * len(fields(Validation)))
    rows = map(astuple, validations)
    statement = f"INSERT INTO judgements ({_COLUMNS}) VALUES ({placeholders})"  # noqa: S608 - constant names
    connection.executemany(statement, rows)


def read_validations(output: Path) -> dict[str, Validation]:
    """Return the latest validation by detection ID, IDs in the order of their first rows; empty without a file.

    Raises:
        TableError: when the file is damaged, or was written by a later version.
    """
    return {validation.detection_id: validation for validation in _read_all(output)}


def read_earlier_validations(output: Path) -> dict[str, list[Validation]]:
    """Return all validations but the latest by detection ID, the oldest first, for IDs that have more than one.

    Raises:
        TableError: when the file is damaged, or was written by a later version.
    """
    by_id: dict[str, list[Validation]] = defaultdict(list)
    for validation in _read_all(output):
        by_id[validation.detection_id].append(validation)
    return {detection_id: validations[:-1] for detection_id, validations in by_id.items() if len(validations) > 1}


def _read_all(output: Path) -> list[Validation]:
    return [row.validation for row in read_rows_after(output, 0)]


def read_rows_after(output: Path, sequence: int) -> list[StoredValidation]:
    """Return the rows after one row number, in the order in which they were added; after 0, all of them.

    Raises:
        TableError: when the file is damaged, was written by a later version, or is locked by another program.
    """
    path = output / VALIDATIONS_FILE
    if not path.exists():
        return []
    try:  # mode=rw: only a writer can roll back the journal that an interrupted program left
        uri = f"{path.absolute().as_uri()}?mode=rw"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=LOCK_TIMEOUT_S, isolation_level=None)) as connection:
            return _select_after(connection, sequence) if _has_schema(connection, path) else []
    except sqlite3.OperationalError as error:
        raise TableError(
            f"{path}: cannot be read now ({error}); close other programs that use it, then try again"
        ) from error
    except sqlite3.DatabaseError as error:
        raise _damaged_error(path, error) from error


def _select_after(connection: sqlite3.Connection, sequence: int) -> list[StoredValidation]:
    query = f"SELECT sequence, {_COLUMNS} FROM judgements WHERE sequence > ? ORDER BY sequence"  # noqa: S608 - constant names
    return [StoredValidation(number, Validation(*cells)) for number, *cells in connection.execute(query, (sequence,))]


def validations_by_recording(output: Path) -> dict[str, dict[str, Validation]]:
    """Return the latest validations by recording name, then by detection ID; errors as in `read_validations`."""
    by_recording: dict[str, dict[str, Validation]] = defaultdict(dict)
    for detection_id, validation in read_validations(output).items():
        by_recording[validation.recording][detection_id] = validation
    return dict(by_recording)


def _has_schema(connection: sqlite3.Connection, path: Path) -> bool:
    """Return whether the tables were created, or raise TableError for those of a later version."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise TableError(
            f"{path}: written by a later whalescan (format {version}, this version reads up to {_VERSION}); update whalescan"
        )
    return bool(version)


def _damaged_error(path: Path, error: sqlite3.Error) -> TableError:
    return TableError(
        f"{path}: validations cannot be read ({error}); restore the file from a backup, or move it away and import the "
        "reviewed tables again"
    )
