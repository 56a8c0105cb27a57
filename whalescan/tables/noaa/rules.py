"""Cells of NOAA's tables: their rules, metadata that a user states in a TOML file, and error messages for both.

The rules are the strictest combination of those of NOAA's validators (NEFSC/READ-PSB-PACM, ``r/R/pars-*.R``, and
jeffwalkernoaa/makaraValidatr). `days` contains the rules of rows.
"""

from __future__ import annotations

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
from whalescan.core.text import count

Row = Mapping[str, str]

_PLACEHOLDERS = frozenset({"NA", "N/A", "NULL", "-"})
_SHOWN_PROBLEMS = 12


class CellType(StrEnum):
    """Type of a cell."""

    CODE = "code"
    CODES = "codes"
    TEXT = "text"
    TIMESTAMP = "timestamp"
    FLOAT = "float"
    COUNT = "count"
    BOOL = "bool"
    URL = "url"


_CELL_RULES = {
    CellType.CODE: (r"[A-Z0-9_-]+", "is not a code", "use only capitals, digits, _ and -"),
    CellType.CODES: (r"[A-Z0-9_-]+(,[A-Z0-9_-]+)*", "is not a list of codes", "separate codes by commas without blanks"),
    CellType.TEXT: (r"[^\x00-\x1f\x7f]+", "contains a control character", "write it on one line"),
    CellType.TIMESTAMP: (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "is not a UTC timestamp", "write it as 2019-01-31T00:00:00Z"),
    CellType.FLOAT: (r"-?\d+(\.\d+)?", "is not a decimal number", "use digits and a decimal point, without exponent"),
    CellType.COUNT: (r"\d+", "is not a count", "write a whole number of at least 0"),
    CellType.BOOL: (r"TRUE|FALSE", "is not a truth value", "write TRUE or FALSE"),
    CellType.URL: (r"https?://\S+", "is not a URL", "begin it with https://"),
}
_TOML_TYPES = {
    CellType.FLOAT: "a number without quotes",
    CellType.BOOL: "true or false, without quotes",
    CellType.CODES: "text in quotes, or a list of texts in quotes",
}


@dataclass(frozen=True, slots=True)
class NoaaColumn:
    """A column of a table, or a field of the metadata.

    Attributes:
        name: name of the column.
        cell_type: type of its cells.
        required: whether cells must not be blank.
        low, high: range of a number, both ends included; None for no limit.
        vocabulary: the valid codes; empty where NOAA may add codes, so that only their pattern is checked.
    """

    name: str
    cell_type: CellType
    required: bool = False
    low: float | None = None
    high: float | None = None
    vocabulary: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TableProblem:
    """A violation of a rule in a table or in metadata.

    Attributes:
        field: the column; empty for the table as a whole.
        row: row of data, from 1; None for the table as a whole.
        text: what is wrong.
        remedy: how to correct it.
        file: name of the table, where there are several.
    """

    field: str
    row: int | None
    text: str
    remedy: str
    file: str = ""

    def __str__(self) -> str:
        place = ", ".join(filter(None, (self.file, "" if self.row is None else f"row {self.row}", self.field)))
        return f"{place}: {self.text}; {self.remedy}" if place else f"{self.text}; {self.remedy}"


def timestamp_cell(moment_ns: int) -> str:
    """Return a timestamp in the form that all of NOAA's readers accept; a fraction of a second stays, and is invalid."""
    return from_ns(moment_ns).isoformat().replace("+00:00", "Z")


def number_cell(number: float) -> str:
    """Return a number with up to six decimals, without exponent and trailing zeros."""
    text = f"{number:.6f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def read_metadata(path: Path, parameter: str, fields: Sequence[NoaaColumn]) -> dict[str, str]:
    """Read metadata from a TOML file, as cells; blank where an optional field is absent.

    Args:
        path: the file; its keys are the names of the fields.
        parameter: name of the parameter with this path, for error messages.
        fields: the valid fields.

    Raises:
        UsageError: when the file cannot be read, or with all its problems.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{parameter} {path}: cannot be read as TOML ({error}); the documentation of reports to NOAA has an example"
        ) from error
    names = [field.name for field in fields]
    unknown = [name for name in document if name not in names]
    problems = [TableProblem(name, None, "unknown field", f"valid fields are {', '.join(names)}") for name in unknown]
    cells = {}
    for field in fields:
        cell = _cell_from_toml(document.get(field.name, ""), field.cell_type)
        if cell is None and field.name in document:
            text = f"{document[field.name]!r} has the wrong type"
            problems.append(
                TableProblem(field.name, None, text, f"write {_TOML_TYPES.get(field.cell_type, 'text in quotes')}")
            )
        else:
            cells[field.name] = cell or ""
            problems += _cell_problems(field, None, cell or "")
    if problems:
        raise UsageError(f"{parameter} {path}: {_problem_list(problems)}")
    return cells


def _cell_from_toml(value: Any, kind: CellType) -> str | None:
    """Return a TOML value as a cell, or None where its type is wrong. Text of several lines becomes one line."""
    match value:
        case bool():
            return str(value).upper() if kind == CellType.BOOL else None
        case int() | float():
            return (str(value) if isinstance(value, int) else number_cell(value)) if kind == CellType.FLOAT else None
        case str():
            return " ".join(value.split()) if kind not in (CellType.FLOAT, CellType.BOOL) else None
        case [*codes] if kind == CellType.CODES and codes and all(isinstance(code, str) for code in codes):
            return ",".join(codes)
    return None


def optional_number(cell: str) -> float | None:
    """Return the number in a valid cell, or None where the cell is blank."""
    return float(cell) if cell else None


def cell_problems(rows: Sequence[Row], columns: Sequence[NoaaColumn]) -> Iterator[TableProblem]:
    """Yield cells that are missing, malformed, outside their range or not in their vocabulary."""
    if not rows:
        yield TableProblem(
            "",
            None,
            "the table has no rows",
            "report recordings with known start times; `timezone` may be needed to read them",
        )
    for index, row in enumerate(rows, start=1):
        for column in columns:
            yield from _cell_problems(column, index, row.get(column.name, ""))


def _cell_problems(column: NoaaColumn, index: int | None, cell: str) -> Iterator[TableProblem]:
    problem = None
    pattern, rule_text, rule_remedy = _CELL_RULES[column.cell_type]
    if not cell:
        if column.required:
            problem = ("is missing", "add it")
    elif cell.strip().upper() in _PLACEHOLDERS:
        problem = (f"{cell!r} is a placeholder", "leave a missing value blank")
    elif cell != cell.strip():
        problem = (f"{cell!r} begins or ends with a blank", "remove the blank")
    elif not re.fullmatch(pattern, cell, re.ASCII) or (
        column.cell_type == CellType.TIMESTAMP and parse_timestamp(cell) is None
    ):
        problem = (f"{cell!r} {rule_text}", rule_remedy)
    elif column.vocabulary and not column.vocabulary.issuperset(
        cell.split(",") if column.cell_type == CellType.CODES else [cell]
    ):
        problem = (f"{cell!r} is not in the vocabulary", f"use {', '.join(sorted(column.vocabulary))}")
    elif column.cell_type in (CellType.FLOAT, CellType.COUNT):
        low, high = column.low, column.high
        if low is not None and float(cell) < low:
            problem = (f"{cell} is below {low:g}", "check the unit in the column's name")
        elif high is not None and float(cell) > high:
            problem = (f"{cell} is above {high:g}", "check the unit in the column's name")
    if problem:
        yield TableProblem(column.name, index, *problem)


def parse_timestamp(cell: str) -> datetime | None:
    """Return the time in a cell, or None where it is malformed."""
    if not re.fullmatch(_CELL_RULES[CellType.TIMESTAMP][0], cell, re.ASCII):
        return None
    try:
        return datetime.strptime(cell, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:  # 30 February
        return None


def parse_number(cell: str) -> float | None:
    """Return the number in a cell, or None where it is malformed."""
    return float(cell) if re.fullmatch(_CELL_RULES[CellType.FLOAT][0], cell, re.ASCII) else None


def raise_table_problems(file: str, problems: Sequence[TableProblem]) -> None:
    """Raise an error for the problems of a table, if there are any.

    Raises:
        OutputError: names the file, the fields and the remedies.
    """
    if problems:
        raise OutputError(f"{file}: not written, since NOAA would reject it. {_problem_list(problems)}")


def raise_metadata_problems(parameter: str, problems: Sequence[TableProblem]) -> None:
    """Raise an error for the problems of metadata, if there are any.

    Raises:
        UsageError: names the fields and the remedies.
    """
    if problems:
        raise UsageError(f"{parameter}: {_problem_list(problems)}")


def _problem_list(problems: Sequence[TableProblem]) -> str:
    shown = [str(problem) for problem in problems[:_SHOWN_PROBLEMS]]
    more = len(problems) - len(shown)
    return "\n  ".join([f"{count(len(problems), 'problem')}:", *shown, *([f"and {more} more"] if more else [])])


def rows_csv(columns: Sequence[NoaaColumn], rows: Sequence[Row]) -> bytes:
    """Return rows as a CSV file with all columns in their order; absent cells are blank."""
    names = [column.name for column in columns]
    return csv_bytes(names, ([row.get(name, "") for name in names] for row in rows))
