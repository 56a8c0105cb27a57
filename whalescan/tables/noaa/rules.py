"""Cells of tables for NOAA and their rules, facts that a user states in a TOML file, and how either is refused.

The rules are those of the validators that the tables will meet (NEFSC/READ-PSB-PACM, ``r/R/pars-*.R``, and
jeffwalkernoaa/makaraValidatr), at their strictest; `report_days` adds what rows of days must obey.
"""

from __future__ import annotations

import csv
import io
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from whalescan.core import OutputError, UsageError, from_ns
from whalescan.core.files import csv_bytes

Row = Mapping[str, str]

_PLACEHOLDERS = frozenset({"NA", "N/A", "NULL", "-"})
_SHOWN_PROBLEMS = 12


class Kind(StrEnum):
    """What a cell holds."""

    CODE = "code"
    CODES = "codes"
    TEXT = "text"
    TIMESTAMP = "timestamp"
    FLOAT = "float"
    COUNT = "count"
    BOOL = "bool"
    URL = "url"


_RULES = {
    Kind.CODE: (r"[A-Z0-9_-]+", "is no code", "write capitals, digits, _ and - only"),
    Kind.CODES: (r"[A-Z0-9_-]+(,[A-Z0-9_-]+)*", "is no list of codes", "write codes with a comma and no blank between them"),
    Kind.TEXT: (r"[^\x00-\x1f\x7f]+", "holds a line break or another control character", "write it in one line"),
    Kind.TIMESTAMP: (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "is no moment in UTC", "write it as 2019-01-31T00:00:00Z"),
    Kind.FLOAT: (r"-?\d+(\.\d+)?", "is no plain number", "write digits and a point, without exponent"),
    Kind.COUNT: (r"\d+", "is no count", "write a whole number from 0"),
    Kind.BOOL: (r"TRUE|FALSE", "is neither TRUE nor FALSE", "write one of them in capitals"),
    Kind.URL: (r"https?://\S+", "is no address", "write it with https://"),
}
_TOML_TYPES = {
    Kind.FLOAT: "a number without quotes",
    Kind.BOOL: "true or false, without quotes",
    Kind.CODES: "text in quotes, or a list of such",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, or a field that the user states.

    Attributes:
        low, high: what a number lies between, both included; None where there is no such bound.
        vocabulary: the only codes there are; empty where NOAA may add to them, so that only their pattern is checked.
    """

    name: str
    kind: Kind
    required: bool = False
    low: float | None = None
    high: float | None = None
    vocabulary: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a table.

    Attributes:
        field: the column; empty where it is the file as a whole.
        row: row of data, from 1; None where it is not one row.
        file: the table, where several are looked at.
    """

    field: str
    row: int | None
    what: str
    remedy: str
    file: str = ""

    def __str__(self) -> str:
        place = ", ".join(filter(None, (self.file, "" if self.row is None else f"row {self.row}", self.field)))
        return f"{place}: {self.what}; {self.remedy}" if place else f"{self.what}; {self.remedy}"


def moment_cell(moment_ns: int) -> str:
    """A moment in the only form that every one of NOAA's readers takes; a fraction of a second is left in, and refused."""
    return from_ns(moment_ns).isoformat().replace("+00:00", "Z")


def number_cell(number: float) -> str:
    """A number to the sixth decimal, without exponent and trailing zeros."""
    text = f"{number:.6f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def read_facts(path: Path, option: str, fields: Sequence[Column]) -> dict[str, str]:
    """What the user states in a TOML file, as cells; blank where an optional field is not stated.

    Args:
        path: the file; its keys are the fields' names.
        option: the command line option that named it, for the message.
        fields: those that there are; other keys are mistakes.

    Raises:
        UsageError: when the file cannot be read, or with everything that is wrong in it.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{option} {path}: cannot be read as TOML ({error}); the README shows such a file") from error
    names = [field.name for field in fields]
    strangers = [name for name in document if name not in names]
    problems = [Problem(name, None, "there is no such field", f"the fields are {', '.join(names)}") for name in strangers]
    cells = {}
    for field in fields:
        cell = _stated(document.get(field.name, ""), field.kind)
        if cell is None and field.name in document:
            what = f"{document[field.name]!r} is of the wrong type"
            problems.append(Problem(field.name, None, what, f"give {_TOML_TYPES.get(field.kind, 'text in quotes')}"))
        else:
            cells[field.name] = cell or ""
            problems += _cell_problems(field, None, cell or "")
    if problems:
        raise UsageError(f"{option} {path}: {_listed(problems)}")
    return cells


def _stated(value: Any, kind: Kind) -> str | None:
    """A TOML value as a cell, or None where it is of another type. Text that spans lines becomes one line."""
    match value:
        case bool():
            return str(value).upper() if kind == Kind.BOOL else None
        case int() | float():
            return (str(value) if isinstance(value, int) else number_cell(value)) if kind == Kind.FLOAT else None
        case str():
            return " ".join(value.split()) if kind not in (Kind.FLOAT, Kind.BOOL) else None
        case [*codes] if kind == Kind.CODES and codes and all(isinstance(code, str) for code in codes):
            return ",".join(codes)
    return None


def number_or_none(cell: str) -> float | None:
    """The number in a cell that is known to be one, or None where the cell is blank."""
    return float(cell) if cell else None


def parse_table(
    content: bytes, name: str, file: str, columns: Sequence[Column]
) -> tuple[list[dict[str, str]], list[Problem]]:
    """The rows of a table's bytes, and what is wrong with them before any cell is looked at.

    Args:
        content: the file.
        name: what the file is called.
        file: what NOAA's reader calls it.
        columns: its columns; the required ones must be there, in any order, and no others.
    """
    problems = []
    if name != file:
        problems.append(Problem("", None, f"the file is called {name!r}", f"call it {file}"))
    if content.startswith(b"\xef\xbb\xbf"):
        problems.append(Problem("", None, "the file begins with a byte order mark", "save it as UTF-8 without BOM"))
    try:
        lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except (ValueError, csv.Error) as error:
        return [], [*problems, Problem("", None, f"the file is no CSV in UTF-8 ({error})", "write it again")]
    header = lines[0] if lines else []
    problems += _header_problems(header, columns)
    rows = []
    for index, cells in enumerate(lines[1:], start=1):
        if len(cells) != len(header):
            what = f"{len(cells)} cells under a header of {len(header)}"
            problems.append(Problem("", index, what, "quote the cells that hold a comma"))
        rows.append(dict(zip(header, cells, strict=False)))
    return rows, problems


def _header_problems(header: Sequence[str], columns: Sequence[Column]) -> Iterator[Problem]:
    names = {column.name for column in columns}
    for column in columns:
        if column.required and column.name not in header:
            yield Problem(column.name, None, "the column is missing", "add it under exactly this name")
    for name in dict.fromkeys(header):
        if name not in names:
            alike = name.strip().lower() in names
            yield Problem(
                name, None, "there is no such column", f"call it {name.strip().lower()}" if alike else "leave it out"
            )
        if header.count(name) > 1:
            yield Problem(name, None, "the column is there more than once", "leave one")


def cell_problems(rows: Sequence[Row], columns: Sequence[Column]) -> Iterator[Problem]:
    """Every cell that is missing, of the wrong form, outside its bounds or its vocabulary."""
    if not rows:
        yield Problem("", None, "there is no row", "report recordings whose start times are known; --timezone may tell them")
    for index, row in enumerate(rows, start=1):
        for column in columns:
            yield from _cell_problems(column, index, row.get(column.name, ""))


def _cell_problems(column: Column, index: int | None, cell: str) -> Iterator[Problem]:
    problem = None
    pattern, what, remedy = _RULES[column.kind]
    if not cell:
        if column.required:
            problem = ("is missing", "give it")
    elif cell.strip().upper() in _PLACEHOLDERS:
        problem = (f"{cell!r} stands for nothing", "leave it blank: that is the only way to say that a value is missing")
    elif cell != cell.strip():
        problem = (f"{cell!r} begins or ends with a blank", "take it away")
    elif not re.fullmatch(pattern, cell, re.ASCII) or (column.kind == Kind.TIMESTAMP and moment(cell) is None):
        problem = (f"{cell!r} {what}", remedy)
    elif column.vocabulary and not column.vocabulary.issuperset(cell.split(",") if column.kind == Kind.CODES else [cell]):
        problem = (f"{cell!r} is not in the vocabulary", f"use {', '.join(sorted(column.vocabulary))}")
    elif column.kind in (Kind.FLOAT, Kind.COUNT):
        low, high = column.low, column.high
        if low is not None and float(cell) < low:
            problem = (f"{cell} is below {low:g}", "mind the unit in the column's name")
        elif high is not None and float(cell) > high:
            problem = (f"{cell} is above {high:g}", "mind the unit in the column's name")
    if problem:
        yield Problem(column.name, index, *problem)


def moment(cell: str) -> datetime | None:
    """The moment in a cell; None where it is none of the safe form."""
    if not re.fullmatch(_RULES[Kind.TIMESTAMP][0], cell, re.ASCII):
        return None
    try:
        return datetime.strptime(cell, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:  # 30 February
        return None


def number(cell: str) -> float | None:
    """The number in a cell; None where it is none."""
    return float(cell) if re.fullmatch(_RULES[Kind.FLOAT][0], cell, re.ASCII) else None


def refuse(file: str, problems: Sequence[Problem]) -> None:
    """Raise what is wrong with a table, if anything is.

    Raises:
        OutputError: with the file, the fields and the remedies.
    """
    if problems:
        raise OutputError(f"{file}: was not written, for NOAA would refuse it. {_listed(problems)}")


def refuse_facts(option: str, problems: Sequence[Problem]) -> None:
    """Raise what is wrong with what the user stated, if anything is.

    Raises:
        UsageError: with the fields and the remedies.
    """
    if problems:
        raise UsageError(f"{option}: {_listed(problems)}")


def _listed(problems: Sequence[Problem]) -> str:
    shown = [str(problem) for problem in problems[:_SHOWN_PROBLEMS]]
    more = len(problems) - len(shown)
    return "\n  ".join(
        [f"{len(problems)} problem{'s' * (len(problems) > 1)}:", *shown, *([f"and {more} more"] if more else [])]
    )


def rows_csv(columns: Sequence[Column], rows: Sequence[Row]) -> bytes:
    """Rows as bytes, every column in its order; what a row does not hold is blank."""
    names = [column.name for column in columns]
    return csv_bytes(names, ([row.get(name, "") for name in names] for row in rows))
