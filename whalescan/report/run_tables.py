"""Tables about the run itself: recordings with problems, sources of start times, provenance and how to repeat the run."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from whalescan.core import RecordingResult, Status
from whalescan.core.text import count
from whalescan.options import ScoreOptions, TableOptions, WorkOptions, default_of, options_of
from whalescan.report.report_data import ReportData
from whalescan.report.svg import Table

RERUN_COMMAND = "whalescan run --config run.json -o again"
_MAX_ROWS = 200
_MAX_LISTED = 20
_TIME_SOURCES = {
    "format": "file name, by the option time_format",
    "soundtrap-xml": "SoundTrap log",
    "harp": "XWAV header",
    "audiomoth-comment": "AudioMoth comment",
    "name": "file name, which states its time zone",
    "name-zone": "file name, with a token for its time zone",
    "name-timezone": "file name, and the option timezone",
    "name-without-zone": "not known: the file name states no time zone; give the option timezone",
    "clock-unset": "not known: the recorder's clock was not set",
    "none": "not known: no time in the file name or the header; give the option time_format",
}
_DECLARED = {
    name.removesuffix("_s"): (default_of(declaration, name), option.flag)
    for declaration in (ScoreOptions, TableOptions, WorkOptions)
    for name, option in options_of(declaration).items()
}
"""Default value and flag of each option, by its name in ``run.json``."""


def failure_table(data: ReportData) -> Table | None:
    """Return the recordings that failed or were analysed in part; None without any."""
    return _problem_table([row for row in data.files if row.outcome.status in (Status.FAILED, Status.PARTIAL)])


def remark_table(data: ReportData) -> Table | None:
    """Return the other recordings with a remark, most often on their start times; None without any."""
    others = (row for row in data.files if row.outcome.status not in (Status.FAILED, Status.PARTIAL))
    return _problem_table([row for row in others if _problem(row)])


def _problem(row: RecordingResult) -> str:
    return row.outcome.problem or (row.recording.clock_problem if row.recording else "")


def _problem_table(rows: Sequence[RecordingResult]) -> Table | None:
    if not rows:
        return None
    n_more = len(rows) - _MAX_ROWS
    return Table(
        ("Recording", "Status", "Problem"),
        tuple((row.name, row.outcome.status.value, _problem(row)) for row in rows[:_MAX_ROWS]),
        f"{count(n_more, 'more recording')} in files.csv." if n_more > 0 else "",
        is_text=True,
    )


def start_time_table(data: ReportData) -> Table:
    """Return the sources of start times, with the number of recordings of each."""
    sources = Counter(row.time_source for row in data.files)
    rows = ((source, _TIME_SOURCES.get(source, ""), f"{sources[source]:,}") for source in sorted(sources))
    return Table(("Source", "Start time from", "Recordings"), tuple(rows), is_text=True)


def full_command(provenance: Mapping[str, Any]) -> str | None:
    """Return the command with every option that differs from its default; None where it would list too many recordings."""
    recordings, options = provenance.get("recordings", ()), provenance.get("options", {})
    if len(recordings) > _MAX_LISTED:
        return None
    words = [word for name, value in options.items() if not _is_default(name, value) for word in _words(name, value)]
    return shlex.join(["whalescan", "run", *recordings, "-o", "again", *words])


def _is_default(name: str, value: Any) -> bool:
    default, _ = _DECLARED.get(name, (None, ""))
    return bool(value == (list(default) if isinstance(default, tuple) else default))


def _words(name: str, value: Any) -> list[str]:
    _, flag = _DECLARED.get(name, (None, f"--{name.replace('_', '-')}"))
    if isinstance(value, bool):
        return [flag] if value else []
    return [word for item in (value if isinstance(value, list) else [value]) for word in (flag, str(item))]


def provenance_table(provenance: Mapping[str, Any]) -> Table:
    """Return the contents of ``run.json``, one value per row; empty values and lists of objects are left out."""
    rows = tuple(row for row in _provenance_rows(provenance) if row[1])
    return Table(("Entry", "Value"), rows, "Options that are not set are left out.", is_text=True)


def _provenance_rows(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in document.items():
        path = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from _provenance_rows(value, f"{path}: ")
        elif not (isinstance(value, list) and any(isinstance(item, Mapping) for item in value)):
            yield path, _value_text(value)


def _value_text(value: Any) -> str:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return {"None": "", "True": "yes", "False": "no"}.get(str(value), str(value))
    more = f" and {len(value) - _MAX_LISTED:,} more, in run.json" if len(value) > _MAX_LISTED else ""
    return ", ".join(map(str, value[:_MAX_LISTED])) + more
