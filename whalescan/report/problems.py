"""Recordings that failed, and clocks that are not known or doubtful."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from whalescan.core import Status
from whalescan.report.report_data import ReportFacts
from whalescan.report.svg import Table
from whalescan.report.text import count
from whalescan.tables.csvs import FileRow

_MOST_ROWS = 200
_CLOCKS = {
    "format": "the name, by --time-format",
    "soundtrap-xml": "the log of the SoundTrap",
    "harp": "the chunk of an XWAV",
    "audiomoth-comment": "the comment of an AudioMoth",
    "name": "the name, which states its zone",
    "name-zone": "the name, with a token for its zone",
    "name-timezone": "the name, and --timezone",
    "name-without-zone": "not known: the name states no zone; give --timezone",
    "clock-unset": "not known: the clock was not set",
    "none": "not known: nothing tells the time; give --time-format",
}


def failures(facts: ReportFacts) -> Table | None:
    """Recordings of which nothing, or not all, could be analysed; None where all were."""
    return _listed([row for row in facts.files if row.outcome.status in (Status.FAILED, Status.PARTIAL)])


def remarks(facts: ReportFacts) -> Table | None:
    """What else is said of recordings, most of it of their clocks; None where nothing is."""
    others = (row for row in facts.files if row.outcome.status not in (Status.FAILED, Status.PARTIAL))
    return _listed([row for row in others if _problem(row)])


def clocks(facts: ReportFacts) -> Table:
    """How the starts of the recordings are known."""
    sources = Counter(row.recording.time_source if row.recording else row.time_source for row in facts.files)
    rows = ((source, _CLOCKS.get(source, ""), f"{sources[source]:,}") for source in sorted(sources))
    return Table(("Source", "Start known from", "Recordings"), tuple(rows), is_text=True)


def n_without_clock(facts: ReportFacts) -> int:
    """Recordings that are in no hour and no day."""
    return sum(row.recording is not None and row.recording.start_utc is None for row in facts.files)


def _problem(row: FileRow) -> str:
    return row.outcome.problem or (row.recording.clock_problem if row.recording else "")


def _listed(some: list[FileRow]) -> Table | None:
    if not some:
        return None
    more = len(some) - _MOST_ROWS
    return Table(
        ("Recording", "Status", "What was wrong"),
        tuple(_rows(some[:_MOST_ROWS])),
        f"And {count(more, 'more recording')}, in files.csv." if more > 0 else "",
        is_text=True,
    )


def _rows(some: Iterable[FileRow]) -> Iterable[tuple[str, ...]]:
    return ((row.name, row.outcome.status.value, _problem(row)) for row in some)
