"""Raven tables of ours, as they came back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from whalescan.core import Annotation, TableError
from whalescan.tables.selections import columns, read_selections

_DEPLOYMENT = "deployment.whalescan.sound."
BLANK = frozenset({"", "na", "nan", "none"})
"""What programs write for a blank cell, in lower case."""


@dataclass(frozen=True, slots=True)
class ReviewedTable:
    """A table as it came back; ``rows`` with ids that are blank where nobody knows the call."""

    path: Path
    rows: tuple[Annotation, ...]

    @property
    def scores(self) -> Mapping[str, float | None]:
        """The scores of its calls, by their ids."""
        return {row.detection_id: row.score for row in self.rows if row.detection_id}

    @property
    def is_of_deployment(self) -> bool:
        """Whether its name says that it was written for all recordings."""
        return self.path.name.startswith(_DEPLOYMENT)


def read_table(path: Path) -> ReviewedTable:
    """Read a table that may hold reviews.

    Raises:
        TableError: when it is no Raven table, or has no column for the ids by which calls are known.
    """
    rows = read_selections(path)
    if "detection id" not in columns(path):
        raise TableError(
            f"{path}: has no column Detection ID, by which calls are known; save the table with all its columns"
        )
    return ReviewedTable(
        path, tuple(replace(row, detection_id="") if row.detection_id.casefold() in BLANK else row for row in rows)
    )
