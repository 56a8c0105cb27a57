"""Raven selection tables as programs and people save them: reading, and the recording in which each selection lies."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath

from whalescan.core import Annotation, Recording, TableError

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
_LABEL_COLUMNS = ("annotation", "tags", "sound type", "common name", "label", "class")
_TABLE_EXTENSIONS = frozenset({".txt", ".tsv"})
_TABLE_SUFFIX = ".selections.txt"
_LONGEST_HEADER = 10_000
_END_TOLERANCE_S = 0.1
"""How far a selection may extend past the end of its recording: Raven rounds times, and analysts drag boxes there."""

UNCERTAIN_LABELS = frozenset({"maybe", "uncertain", "possible", "unknown"})
"""Labels, in any case, of selections that are neither calls nor background; so is a label that ends in a question mark."""


@dataclass(frozen=True, slots=True)
class SelectionTable:
    """A Raven selection table.

    Attributes:
        columns: names of the columns, in lower case.
        selections: its selections in the order of the rows.
    """

    columns: frozenset[str]
    selections: tuple[Annotation, ...]


def read_selections(path: str | Path) -> list[Annotation]:
    """Read the selections of a Raven table; see `read_selection_table`."""
    return list(read_selection_table(path).selections)


def read_selection_table(path: str | Path) -> SelectionTable:
    """Read a Raven table that whalescan, Raven or another program saved.

    Byte order marks, CRLF, blank cells and Raven's double rows (one for the waveform, one for the spectrogram) are accepted.
    A table without rows has no selections.

    Raises:
        TableError: when the file is no Raven table, or a time or frequency is no number; names the line.
    """
    path = Path(path)
    header, rows = _read_cells(path)
    indices = {_COLUMNS[name]: i for i, name in reversed(list(enumerate(header))) if name in _COLUMNS}
    if missing := {"begin", "end"} - indices.keys():
        names = " and ".join(f"{name.title()} Time (s)" for name in sorted(missing))
        raise TableError(f"{path}: no Raven selection table, its first line has no column {names} (tab-separated)")
    label_index = next((header.index(name) for name in _LABEL_COLUMNS if name in header), None)
    filled = [
        (line, row, _named_cells(row, indices))
        for line, row in enumerate(rows, start=2)
        if any(cell.strip() for cell in row)
    ]
    in_spectrograms = {_selection_key(cells) for _, _, cells in filled if not _is_in_waveform(cells)}
    selections, keys = [], set()
    for line, row, cells in filled:
        key = _selection_key(cells)
        if (_is_in_waveform(cells) and key in in_spectrograms) or (cells.get("selection") and key in keys):
            continue
        keys.add(key)
        label = row[label_index].strip() if label_index is not None and label_index < len(row) else ""
        selections.append(_parse_selection(path, line, cells, label))
    return SelectionTable(frozenset(header), tuple(selections))


def _read_cells(path: Path, errors: str = "strict") -> tuple[list[str], list[list[str]]]:
    """Return the column names in lower case, and the cells of the rows; the only parser of these tables."""
    try:
        lines = path.read_text(encoding="utf-8-sig", errors=errors).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: cannot be read as a table ({error})") from error
    rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return ([name.strip().lower() for name in rows[0]], rows[1:]) if rows else ([], [])


def _named_cells(row: Sequence[str], indices: Mapping[str, int]) -> dict[str, str]:
    """Return the cells of the known columns; blank where the row is short."""
    return {name: row[i].strip() if i < len(row) else "" for name, i in indices.items()}


def _is_in_waveform(cells: Mapping[str, str]) -> bool:
    return cells.get("view", "").startswith("Waveform")


def _selection_key(cells: Mapping[str, str]) -> tuple[str, ...]:
    """Return a key that is equal for the rows that show one selection in several views."""
    return cells.get("selection", ""), cells["begin"], cells["end"], cells.get("channel", "")


def _parse_integer(text: str) -> int:
    """Return a whole number, also one written as 1.0."""
    number = float(text)
    if not number.is_integer():
        raise ValueError(f"invalid whole number {text!r}")
    return int(number)


def _parse_selection(path: Path, line: int, cells: Mapping[str, str], label: str) -> Annotation:
    try:
        begin_s, end_s = float(cells["begin"]), float(cells["end"])
        low_hz, high_hz = float(cells.get("low") or 0), float(cells.get("high") or "inf")
        channel = _parse_integer(cells.get("channel") or "1")
        offset_s = float(cells["offset"]) if cells.get("offset") else None
        score = float(cells["score"]) if cells.get("score") else None
    except ValueError as error:
        raise TableError(f"{path}, line {line}: {error}; correct the cell or delete the row") from error
    if not begin_s < end_s:
        raise TableError(f"{path}, line {line}: ends at {end_s} s, before it begins at {begin_s} s; correct its times")
    sound = cells.get("path") or cells.get("file", "")
    review, detection_id = cells.get("review", "").casefold(), cells.get("id", "")
    return Annotation(begin_s, end_s, low_hz, high_hz, label, channel, sound, offset_s, score, review, detection_id)


def is_uncertain(label: str, further: Iterable[str] = ()) -> bool:
    """Return whether a label means neither call nor background.

    Args:
        label: in any case.
        further: uncertain labels beside `UNCERTAIN_LABELS`, in any case.
    """
    folded = label.casefold()
    return folded.endswith("?") or folded in UNCERTAIN_LABELS | {other.casefold() for other in further}


def is_selection_table(path: Path) -> bool:
    """Return whether a file is a Raven table, by its name or by the columns in its first line."""
    if path.name.lower().endswith(_TABLE_SUFFIX):
        return True
    if path.suffix.lower() not in _TABLE_EXTENSIONS:
        return False
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = {name.strip().lower() for name in file.readline(_LONGEST_HEADER).split("\t")}
    except (OSError, UnicodeDecodeError):
        return False
    return {"begin time (s)", "end time (s)"} <= header


def is_unreviewed_detector_table(path: Path) -> bool:
    """Return whether a table was written by a detector (column ``Detector``) and contains no reviews."""
    return "detector" in _read_cells(path, errors="replace")[0] and not is_reviewed(path)


def is_reviewed(path: Path) -> bool:
    """Return whether a table contains a ``Review`` other than ``unreviewed``."""
    header, rows = _read_cells(path, errors="replace")
    if "review" not in header:
        return False
    index = header.index("review")
    return any(len(row) > index and row[index].strip() not in ("", "unreviewed") for row in rows)


def find_tables(path: Path) -> list[Path]:
    """Return all Raven tables in a folder and its subfolders, or the path itself where it is no folder."""
    if path.is_dir():
        return sorted(table for table in path.rglob("*") if is_selection_table(table))
    return [path]


class RecordingFinder:
    """Recordings by the names that tables, and the file names of tables, give them. The lookup does not slow down with many.

    Args:
        recordings: those to find.
    """

    def __init__(self, recordings: Iterable[Recording]) -> None:
        self._by_file_name: dict[str, list[Recording]] = defaultdict(list)
        self._by_stem: dict[str, list[Recording]] = defaultdict(list)
        for recording in recordings:
            self._by_file_name[recording.path.name.lower()].append(recording)
            self._by_stem[recording.path.stem].append(recording)

    def by_sound(self, sound: str) -> Recording | None:
        """Return the recording whose path has the longest common end with a path in a table (of any operating system).

        Returns:
            None where no file name matches, or where several recordings match equally.
        """
        parts = [part.lower() for part in reversed(PureWindowsPath(sound).parts)]
        by_n_common: dict[int, list[Recording]] = {}
        for recording in self._by_file_name.get(parts[0], ()) if parts else ():
            own_parts = [part.lower() for part in reversed(recording.path.parts)]
            differing = (i for i, (a, b) in enumerate(zip(parts, own_parts, strict=False)) if a != b)
            by_n_common.setdefault(next(differing, min(len(parts), len(own_parts))), []).append(recording)
        best = by_n_common[max(by_n_common)] if by_n_common else []
        return best[0] if len(best) == 1 else None

    def by_table_name(self, table: Path) -> Recording | None:
        """Return the recording with the longest name that begins the table's name, preferably one in the same folder.

        Returns:
            None where no name matches, or where several recordings match equally.
        """
        best = next((self._by_stem[stem] for stem in name_prefixes(table.name, ".") if stem in self._by_stem), [])
        in_same_folder = [recording for recording in best if recording.path.parent == table.absolute().parent]
        return (in_same_folder or best)[0] if len(in_same_folder or best) == 1 else None


def name_prefixes(name: str, separator: str) -> Iterator[str]:
    """Yield the parts of a name before each occurrence of a separator, the longest first."""
    return (name[:i] for i in range(len(name) - 1, 0, -1) if name.startswith(separator, i))


@dataclass(frozen=True, slots=True)
class SelectionsByRecording:
    """Selections of several tables by recording.

    Attributes:
        by_recording: for the name of each recording that a table refers to, its selections ordered by time, with times from
            the start of that recording. An empty table states that its recording contains nothing; a recording that is no
            key was not annotated.
        problems: selections that belong to no recording, each with the table, the selection and the remedy.
    """

    by_recording: Mapping[str, tuple[Annotation, ...]]
    problems: tuple[str, ...]


def assign_to_recordings(tables: Iterable[Path], recordings: Sequence[Recording]) -> SelectionsByRecording:
    """Find the recording of each selection.

    In a table that names sound files (``Begin Path``, ``Begin File``), these determine the recording, and
    ``File Offset (s)`` the time. Any other table belongs to the recording whose name its own name begins with:
    ``a.Table.1.selections.txt`` to ``a.wav``. A problem in one table does not affect the others.
    """
    finder = RecordingFinder(recordings)
    assigned: dict[str, list[Annotation]] = {}
    problems: list[str] = []
    for table in tables:
        try:
            selections = read_selections(table)
        except TableError as error:
            problems.append(str(error))
            continue
        by_table_name = finder.by_table_name(table)
        if not selections and by_table_name is None:
            problems.append(
                f"{table}: has no selections, and its name matches none of the recordings; rename it after its recording"
            )
        elif by_table_name is not None and not selections:
            assigned.setdefault(by_table_name.name, [])
        has_one_sound = len({selection.sound for selection in selections}) == 1
        for selection in selections:
            recording = finder.by_sound(selection.sound) if selection.sound else by_table_name
            in_recording = _in_recording(selection, recording, has_one_sound)
            if isinstance(in_recording, str):
                problems.append(f"{table}: the selection at {selection.begin_s:g} s {in_recording}")
            elif recording is not None:
                assigned.setdefault(recording.name, []).append(in_recording)
    by_recording = {
        name: tuple(sorted(selections, key=lambda selection: (selection.begin_s, selection.end_s)))
        for name, selections in assigned.items()
    }
    return SelectionsByRecording(by_recording, tuple(problems))


def _in_recording(selection: Annotation, recording: Recording | None, has_one_sound: bool) -> Annotation | str:
    """Return the selection with times from the start of its recording, or a problem."""
    if recording is None:
        place = f"lies in {selection.sound}, which is not" if selection.sound else "names no sound file, and no match is"
        return f"{place} among the recordings; add that recording, or rename the table"
    if selection.sound and selection.file_offset_s is None and not has_one_sound:
        return "counts from the start of several files; save the table with the column File Offset (s)"
    shift_s = 0.0 if selection.file_offset_s is None else selection.file_offset_s - selection.begin_s
    shifted = replace(selection, begin_s=selection.begin_s + shift_s, end_s=selection.end_s + shift_s)
    if not 0 <= shifted.begin_s < recording.duration_s or shifted.end_s > recording.duration_s + _END_TOLERANCE_S:
        return f"does not lie within the {recording.duration_s:g} s of {recording.path.name}; correct its times"
    return shifted


def merge_duplicates(selections: Iterable[Annotation]) -> tuple[Annotation, ...]:
    """Return each selection once, where a table of the deployment and one of the recording both contain it.

    Duplicates have the same channel, label and times in whole milliseconds. An unreviewed copy yields to a reviewed one;
    copies with different reviews become ``maybe``.
    """
    copies: dict[tuple[float, float, int, str], list[Annotation]] = defaultdict(list)
    for selection in selections:
        key = round(selection.begin_s, 3), round(selection.end_s, 3), selection.channel, selection.label
        copies[key].append(selection)
    merged = []
    for duplicates in copies.values():
        reviews = list(dict.fromkeys(copy.review for copy in duplicates if copy.review != "unreviewed"))
        distinct = {review or "yes" for review in reviews}  # a selection without a Review column is a call
        review = "unreviewed" if not reviews else reviews[0] if len(distinct) == 1 else "maybe"
        merged.append(replace(duplicates[0], review=review))
    return tuple(
        sorted(merged, key=lambda selection: (selection.begin_s, selection.end_s, selection.channel, selection.label))
    )
