"""Annotations by recording: which selections are calls, and which are ignored in an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from whalescan.core import Annotation, Recording, UsageError
from whalescan.core.text import count, list_some
from whalescan.tables.selections import (
    assign_to_recordings,
    find_tables,
    is_uncertain,
    is_unreviewed_detector_table,
    merge_duplicates,
)


@dataclass(frozen=True, slots=True)
class AnnotationOptions:
    """Selections that are calls. Labels are compared without regard to case.

    Attributes:
        labels: labels of calls; empty for all labels that are not uncertain.
        uncertain: labels of ignored selections, in addition to ``maybe``, ``uncertain``, ``possible``, ``unknown`` and
            labels that end in a question mark.
        ignored: tables of further ignored selections, such as calls that were not annotated.
        channel: 1-based; selections in other channels are not used.
        unannotated_are_empty: recordings without a table have no calls; otherwise they are not used.
    """

    labels: tuple[str, ...] = ()
    uncertain: tuple[str, ...] = ()
    ignored: tuple[Path, ...] = ()
    channel: int = 1
    unannotated_are_empty: bool = False


@dataclass(frozen=True, slots=True)
class AnnotationSet:
    """Annotations of recordings.

    Attributes:
        calls: calls by the name of the recording; recordings without a key are not annotated.
        ignored: ignored selections by the name of the recording.
        notes: what was not used, and why.
    """

    calls: Mapping[str, tuple[Annotation, ...]]
    ignored: Mapping[str, tuple[Annotation, ...]]
    notes: tuple[str, ...] = ()


class _AnnotationUse(Enum):
    CALL = auto()
    IGNORED = auto()
    NOT_A_CALL = auto()


def read_annotations(path: Path, recordings: Sequence[Recording], options: AnnotationOptions) -> AnnotationSet:
    """Read the annotations of recordings from a Raven table, or a folder of tables.

    Tables in a folder with a column ``Detector`` are only used when they are reviewed. There, ``yes`` is a call, ``no`` is
    not, and ``maybe`` and ``unreviewed`` are ignored.

    Raises:
        UsageError: when there are no tables, when they contain no selections of these recordings, or when no selection has
            one of the labels.
    """
    tables, notes = _tables(path)
    placement = assign_to_recordings(tables, recordings)
    notes += [f"not used: {problem}" for problem in placement.problems]
    unannotated = [recording.name for recording in recordings if recording.name not in placement.by_recording]
    if not placement.by_recording and not options.unannotated_are_empty:
        first = f" ({placement.problems[0]})" if placement.problems else ""
        raise UsageError(f"{path}: no tables of any of the {count(len(recordings), 'recording')}{first}")
    annotated = {name: merge_duplicates(selections) for name, selections in placement.by_recording.items()}
    _check_labels(path, annotated, options)
    if unannotated and options.unannotated_are_empty:
        annotated |= dict.fromkeys(unannotated, ())
        notes.append(f"recordings without a table, evaluated as recordings without calls: {list_some(unannotated)}")
    elif unannotated:
        notes.append(
            f"recordings without a table, not used: {list_some(unannotated)} (silent_are_empty evaluates them as recordings "
            "without calls)"
        )
    if n_other := sum(one.channel != options.channel for selections in annotated.values() for one in selections):
        notes.append(f"not used: {count(n_other, 'annotation')} in other channels than {options.channel}")
    ignored_tables = [table for path in options.ignored for table in find_tables(_existing(path))]
    further = assign_to_recordings(ignored_tables, recordings)
    notes += [f"not used: {problem}" for problem in further.problems]
    calls, ignored = {}, {}
    for name, selections in annotated.items():
        uses = [(one, _use(one, options)) for one in selections if one.channel == options.channel]
        calls[name] = tuple(one for one, use in uses if use is _AnnotationUse.CALL)
        uncertain = tuple(one for one, use in uses if use is _AnnotationUse.IGNORED)
        ignored[name] = uncertain + tuple(further.by_recording.get(name, ()))
    return AnnotationSet(calls, ignored, tuple(notes))


def _tables(path: Path) -> tuple[list[Path], list[str]]:
    """Return the tables to read, and notes. A table that is given itself is read even if a detector made it."""
    tables = find_tables(_existing(path))
    if not tables:
        raise UsageError(f"{path}: no Raven tables there; expected tables with Begin Time (s) and End Time (s)")
    if not path.is_dir():
        return tables, []
    unreviewed = [table for table in tables if is_unreviewed_detector_table(table)]
    used = [table for table in tables if table not in unreviewed]
    if not used:
        raise UsageError(
            f"{path}: only unreviewed tables of a detector there; give tables of annotations, or one of these tables itself"
        )
    names = list_some([table.name for table in unreviewed])
    return used, [f"unreviewed tables of a detector, not used: {names}"] if unreviewed else []


def _existing(path: Path) -> Path:
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder; give a Raven table of annotations, or a folder of them")
    return path


def _check_labels(path: Path, annotated: Mapping[str, Sequence[Annotation]], options: AnnotationOptions) -> None:
    found = {one.label for selections in annotated.values() for one in selections}
    wanted = {label.casefold() for label in options.labels}
    if wanted and found and not wanted & {label.casefold() for label in found}:
        raise UsageError(
            f"{path}: no selection is labelled {' or '.join(options.labels)}; the labels are {list_some(sorted(found))}"
        )


def _use(selection: Annotation, options: AnnotationOptions) -> _AnnotationUse:
    """Return the use of a selection in the evaluation. Its review takes precedence over its label."""
    label = selection.label.casefold()
    if selection.review == "no":
        return _AnnotationUse.NOT_A_CALL
    if selection.review in ("maybe", "unreviewed"):
        return _AnnotationUse.IGNORED
    if label in {wanted.casefold() for wanted in options.labels}:
        return _AnnotationUse.CALL
    if is_uncertain(label, options.uncertain):
        return _AnnotationUse.IGNORED
    return _AnnotationUse.NOT_A_CALL if options.labels else _AnnotationUse.CALL
