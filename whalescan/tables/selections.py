"""Raven selection tables as people save them, and which recording each selection lies in."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from whalescan.core import Annotation, Recording, TableError
from whalescan.tables.recording_names import Named

_COLUMNS = {
    "begin time (s)": "begin",
    "end time (s)": "end",
    "low freq (hz)": "low",
    "low frequency (hz)": "low",
    "high freq (hz)": "high",
    "high frequency (hz)": "high",
    "channel": "channel",
    "view": "view",
    "selection": "selection",
    "begin file": "file",
    "begin path": "path",
    "file offset (s)": "offset",
    "score": "score",
    "review": "review",
    "detection id": "id",
}
_LABELS = ("annotation", "tags", "sound type", "common name", "label", "class")
_TABLES = frozenset({".txt", ".tsv"})
_TABLE_NAME = ".selections.txt"
_PAST_THE_END_S = 0.1
"""A selection may end this much after its recording: Raven rounds, and people drag boxes to the border."""


def read_selections(path: str | Path) -> list[Annotation]:
    """Selections of a Raven table, as whalescan or a person saved it.

    Byte order marks, CRLF, blank cells and Raven's doubled rows (one for the waveform, one for the spectrogram) are taken in
    stride; a table without rows is an empty list.

    Raises:
        TableError: when the file is no Raven table, or a time or frequency in it is no number; names the line.
    """
    path = Path(path)
    header, rows = _rows(path)
    at = {_COLUMNS[cell]: i for i, cell in reversed(list(enumerate(header))) if cell in _COLUMNS}
    if absent := {"begin", "end"} - at.keys():
        names = " and ".join(f"{name.title()} Time (s)" for name in sorted(absent))
        raise TableError(f"{path}: no Raven selection table, its first line has no column {names} (tab-separated)")
    label_at = next((header.index(name) for name in _LABELS if name in header), None)
    filled = [(line, row, _cells(row, at)) for line, row in enumerate(rows, start=2) if any(cell.strip() for cell in row)]
    in_spectrograms = {_same(cells) for _, _, cells in filled if not _is_in_waveform(cells)}
    annotations, seen = [], set()
    for line, row, cells in filled:
        same = _same(cells)
        if (_is_in_waveform(cells) and same in in_spectrograms) or (cells.get("selection") and same in seen):
            continue
        seen.add(same)
        label = row[label_at].strip() if label_at is not None and label_at < len(row) else ""
        annotations.append(_annotation(path, line, cells, label))
    return annotations


def columns(path: Path) -> frozenset[str]:
    """The columns of a table, in lower case.

    Raises:
        TableError: when the file cannot be read.
    """
    return frozenset(_rows(path)[0])


UNCERTAIN = frozenset({"maybe", "uncertain", "possible", "unknown"})
"""Labels, in any case, that say neither call nor not; so does whatever ends in a question mark."""


def is_uncertain(label: str, further: Iterable[str] = ()) -> bool:
    """Whether a label says neither call nor not, by these rules or as one of further labels, in any case."""
    folded = label.casefold()
    return folded.endswith("?") or folded in UNCERTAIN | {one.casefold() for one in further}


def is_selection_table(path: Path) -> bool:
    """Whether a file's first line has a Raven table's columns, or its name says that it is one."""
    if path.name.lower().endswith(_TABLE_NAME):
        return True
    if path.suffix.lower() not in _TABLES:
        return False
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = {cell.strip().lower() for cell in file.readline(10_000).split("\t")}
    except (OSError, UnicodeDecodeError):
        return False
    return {"begin time (s)", "end time (s)"} <= header


def is_only_a_detectors(path: Path) -> bool:
    """Whether a table says which ``Detector`` made it, and nobody has judged calls in it: then nobody annotated anything."""
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    header = text.split("\n", 1)[0].split("\t")
    return "detector" in (cell.strip().lower() for cell in header) and not is_reviewed(path)


def is_reviewed(path: Path) -> bool:
    """Whether somebody has judged calls in a table of ours: a ``Review`` other than ``unreviewed``."""
    rows = csv.reader(
        path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE
    )
    header = next(rows, [])
    if "Review" not in header:
        return False
    at = header.index("Review")
    return any(len(row) > at and row[at].strip() not in ("", "unreviewed") for row in rows)


def _rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header in lower case, and the rows below it."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: cannot be read as a table ({error})") from error
    rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return ([cell.strip().lower() for cell in rows[0]], rows[1:]) if rows else ([], [])


def _cells(row: Sequence[str], at: Mapping[str, int]) -> dict[str, str]:
    """The cells that we know, by our names; blank where the row is short."""
    return {name: row[i].strip() if i < len(row) else "" for name, i in at.items()}


def _is_in_waveform(cells: Mapping[str, str]) -> bool:
    return cells.get("view", "").startswith("Waveform")


def _same(cells: Mapping[str, str]) -> tuple[str, ...]:
    """Equal for the rows in which Raven shows one selection."""
    return cells.get("selection", ""), cells["begin"], cells["end"], cells.get("channel", "")


def _whole_number(text: str) -> int:
    """A whole number, also as programs write it that know no blank one: 1.0."""
    number = float(text)
    if not number.is_integer():
        raise ValueError(f"{text!r} is no whole number")
    return int(number)


def _annotation(path: Path, line: int, cells: Mapping[str, str], label: str) -> Annotation:
    try:
        begin_s, end_s = float(cells["begin"]), float(cells["end"])
        low_hz, high_hz = float(cells.get("low") or 0), float(cells.get("high") or "inf")
        channel = _whole_number(cells.get("channel") or "1")
        offset_s = float(cells["offset"]) if cells.get("offset") else None
        score = float(cells["score"]) if cells.get("score") else None
    except ValueError as error:
        raise TableError(f"{path}, line {line}: {error}; mend the cell or delete the row") from error
    if not begin_s < end_s:
        raise TableError(f"{path}, line {line}: ends at {end_s} s, before it begins at {begin_s} s")
    sound = cells.get("path") or cells.get("file", "")
    review, identity = cells.get("review", "").casefold(), cells.get("id", "")
    return Annotation(begin_s, end_s, low_hz, high_hz, label, channel, sound, offset_s, score, review, identity)


@dataclass(frozen=True, slots=True)
class Placement:
    """Selections by recording.

    Attributes:
        by_recording: for the name of each recording that a table speaks of, its selections in time order, with times from
            that recording's first sample. A table without rows says that its recording holds nothing; a recording that is
            not a key was not annotated.
        problems: what could not be placed, each naming the table, the selection and the remedy.
    """

    by_recording: Mapping[str, tuple[Annotation, ...]]
    problems: tuple[str, ...]


def find_tables(path: Path) -> list[Path]:
    """A table, or all Raven tables in a folder and its subfolders."""
    if path.is_dir():
        return sorted(table for table in path.rglob("*") if is_selection_table(table))
    return [path]


def place(tables: Iterable[Path], recordings: Sequence[Recording]) -> Placement:
    """Find the recording of each selection.

    A table that names sound files (``Begin Path``, ``Begin File``) is believed, and its ``File Offset (s)`` gives the time.
    Another one belongs to the recording whose name its own name begins with: ``a.Table.1.selections.txt`` to ``a.wav``.
    Nothing that goes wrong stops the others.
    """
    named = Named(recordings)
    placed: dict[str, list[Annotation]] = {}
    problems: list[str] = []
    for table in tables:
        try:
            selections = read_selections(table)
        except TableError as error:
            problems.append(str(error))
            continue
        own = named.by_table_name(table)
        if not selections and own is None:
            problems.append(
                f"{table}: no selections, and named after none of the recordings; it says nothing of any of them"
            )
        elif own is not None and not selections:
            placed.setdefault(own.name, [])
        one_sound = len({selection.sound for selection in selections}) == 1
        for selection in selections:
            recording = named.by_sound(selection.sound) if selection.sound else own
            here = _from_its_recording(selection, recording, one_sound)
            if isinstance(here, str):
                problems.append(f"{table}: the selection at {selection.begin_s:g} s {here}")
            elif recording is not None:
                placed.setdefault(recording.name, []).append(here)
    in_order = {name: tuple(sorted(found, key=lambda a: (a.begin_s, a.end_s))) for name, found in placed.items()}
    return Placement(in_order, tuple(problems))


def _from_its_recording(selection: Annotation, recording: Recording | None, one_sound: bool) -> Annotation | str:
    """The selection with times from its recording's first sample, or what is wrong with it."""
    if recording is None:
        lies = f"lies in {selection.sound}, which is not" if selection.sound else "names no sound file, and none is"
        return f"{lies} among the recordings; give that recording, or rename the table"
    if selection.sound and selection.file_offset_s is None and not one_sound:
        return "counts from the first of several files; save the table with the column File Offset (s)"
    shift_s = 0.0 if selection.file_offset_s is None else selection.file_offset_s - selection.begin_s
    here = replace(selection, begin_s=selection.begin_s + shift_s, end_s=selection.end_s + shift_s)
    if not 0 <= here.begin_s < recording.duration_s or here.end_s > recording.duration_s + _PAST_THE_END_S:
        return f"does not lie within the {recording.duration_s:g} s of {recording.path.name}; mend its times"
    return here


def once(selections: Iterable[Annotation]) -> tuple[Annotation, ...]:
    """Each selection once, although a table of the deployment and one of the recording may both hold it; equal to the ms.

    A copy that nobody reviewed gives way to one that somebody did; where two reviewers disagree, nobody knows.
    """
    copies: dict[tuple[float, float, int, str], list[Annotation]] = defaultdict(list)
    for one in selections:
        copies[round(one.begin_s, 3), round(one.end_s, 3), one.channel, one.label].append(one)
    kept = []
    for same in copies.values():
        said = list(dict.fromkeys(one.review for one in same if one.review != "unreviewed"))
        agreed = {review or "yes" for review in said}  # whoever drew a selection says that it is there
        review = "unreviewed" if not said else said[0] if len(agreed) == 1 else "maybe"
        kept.append(replace(same[0], review=review))
    return tuple(sorted(kept, key=lambda one: (one.begin_s, one.end_s, one.channel, one.label)))
