"""Judgements on disk: ``judgements.sqlite`` in the folder of a run. Rows are added and never changed, so nothing is lost.

A program that writes one judgement at a time, and one that writes thousands, share the file: each `append` is one
transaction, on the disk when it returns.
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
from whalescan.detections.validations import ORIGINS, VERDICTS, Judgement

JUDGEMENTS = "judgements.sqlite"
_VERSION = 1
_WAIT_S = 30.0
"""For another program that writes."""
_COLUMNS = ", ".join(field.name for field in fields(Judgement))
_SCHEMA = (
    f"""
    CREATE TABLE judgements (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        detection_id TEXT NOT NULL,
        verdict TEXT NOT NULL CHECK (verdict IN {VERDICTS}),
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


class Row(NamedTuple):
    """A judgement with its place in the file, counted from 1 in the order in which they came."""

    sequence: int
    judgement: Judgement


def append(output: Path, judgements: Sequence[Judgement]) -> None:
    """Add judgements, all or none of them; no file is made for none.

    Raises:
        TableError: when the file is damaged, or of a later whalescan.
        OutputError: when it cannot be written; nothing was added.
    """
    if judgements:
        with _writing(output / JUDGEMENTS) as connection:
            _insert(connection, judgements)


def extend(output: Path, sequence: int, decide: Callable[[Sequence[Row]], Sequence[Judgement]]) -> list[Row]:
    """Add what is decided knowing all that was said before: nobody else adds anything in between.

    Args:
        output: folder of the run.
        sequence: what came up to there is known already.
        decide: gets the rows behind it and returns what to add; all of that is added, or none.

    Returns:
        Every row behind ``sequence``, the new ones too.

    Raises:
        TableError, OutputError: as `append`.
    """
    with _writing(output / JUDGEMENTS) as connection:
        _insert(connection, decide(_rows(connection, sequence)))
        return _rows(connection, sequence)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[sqlite3.Connection]:
    """One transaction of the only one who writes, on the disk at its end; undone where it ends with an error."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            if not _is_ours(connection, path):
                for statement in _SCHEMA:
                    connection.execute(statement)
            yield connection
            connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        raise OutputError(
            f"{path}: cannot be written ({error}); close what else uses it or make room, and give the same command again: "
            "no judgement was taken"
        ) from error
    except sqlite3.DatabaseError as error:
        raise _damaged(path, error) from error


def _insert(connection: sqlite3.Connection, judgements: Sequence[Judgement]) -> None:
    marks = ", ".join("?" * len(fields(Judgement)))
    rows = map(astuple, judgements)
    connection.executemany(f"INSERT INTO judgements ({_COLUMNS}) VALUES ({marks})", rows)  # noqa: S608 - our names


def read(output: Path) -> dict[str, Judgement]:
    """The latest judgement of each id, in the order in which the ids came; empty where nobody judged anything.

    Raises:
        TableError: when the file is damaged, or of a later whalescan.
    """
    return {one.detection_id: one for one in _all(output)}


def earlier(output: Path) -> dict[str, list[Judgement]]:
    """What was said of each id before its latest judgement, the oldest first; ids that were judged once are not in it.

    Raises:
        TableError: when the file is damaged, or of a later whalescan.
    """
    said: dict[str, list[Judgement]] = defaultdict(list)
    for one in _all(output):
        said[one.detection_id].append(one)
    return {identity: ones[:-1] for identity, ones in said.items() if len(ones) > 1}


def _all(output: Path) -> list[Judgement]:
    """Every judgement in the order in which they came."""
    return [row.judgement for row in since(output, 0)]


def since(output: Path, sequence: int) -> list[Row]:
    """The rows behind one, in the order in which they came; behind 0, all of them.

    Raises:
        TableError: when the file is damaged, or of a later whalescan, or another program does not let go of it.
    """
    path = output / JUDGEMENTS
    if not path.exists():
        return []
    try:  # a journal that an interrupted program left is only rolled back by who may write
        uri = f"{path.absolute().as_uri()}?mode=rw"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_WAIT_S, isolation_level=None)) as connection:
            return _rows(connection, sequence) if _is_ours(connection, path) else []
    except sqlite3.OperationalError as error:
        raise TableError(f"{path}: cannot be read now ({error}); close what else uses it, and try again") from error
    except sqlite3.DatabaseError as error:
        raise _damaged(path, error) from error


def _rows(connection: sqlite3.Connection, sequence: int) -> list[Row]:
    query = f"SELECT sequence, {_COLUMNS} FROM judgements WHERE sequence > ? ORDER BY sequence"  # noqa: S608 - our names
    return [Row(number, Judgement(*said)) for number, *said in connection.execute(query, (sequence,))]


def by_recording(output: Path) -> dict[str, dict[str, Judgement]]:
    """What `read` gives, by the name of the recording, then by the id of the call."""
    parted: dict[str, dict[str, Judgement]] = defaultdict(dict)
    for identity, judgement in read(output).items():
        parted[judgement.recording][identity] = judgement
    return dict(parted)


def _is_ours(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the tables are made already."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise TableError(f"{path}: written by a later whalescan (format {version}, not {_VERSION}); install that one")
    return bool(version)


def _damaged(path: Path, error: sqlite3.Error) -> TableError:
    return TableError(
        f"{path}: no judgements can be read there ({error}); put a copy of it back, or move it away and import the reviewed "
        "tables again"
    )
