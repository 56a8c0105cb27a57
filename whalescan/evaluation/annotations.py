"""What is known to be there: annotations by recording, and which of them count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from whalescan.core import Annotation, Recording, UsageError
from whalescan.evaluation.wording import count, some_of
from whalescan.tables.selections import find_tables, is_only_a_detectors, is_uncertain, once, place


@dataclass(frozen=True, slots=True)
class TruthOptions:
    """Which selections are calls. Labels are compared without regard to case.

    Attributes:
        labels: those of the class; empty for all that are not uncertain.
        uncertain: those that count neither way, beside ``maybe``, ``uncertain``, ``possible``, ``unknown`` and ``...?``.
        aside: tables of further selections that count neither way, as calls that the annotators left out.
        channel: 1-based; selections on others are left out.
        silent_are_empty: a recording that no table speaks of holds no calls, instead of being left out.
    """

    labels: tuple[str, ...] = ()
    uncertain: tuple[str, ...] = ()
    aside: tuple[Path, ...] = ()
    channel: int = 1
    silent_are_empty: bool = False


@dataclass(frozen=True, slots=True)
class Truth:
    """What was annotated.

    Attributes:
        calls: by recording; a recording that is not a key was not annotated.
        aside: by recording, the selections that count neither way.
        notes: what was left out, and why.
    """

    calls: Mapping[str, tuple[Annotation, ...]]
    aside: Mapping[str, tuple[Annotation, ...]]
    notes: tuple[str, ...] = ()


class _Standing(Enum):
    CALL = auto()
    ASIDE = auto()
    NEITHER = auto()


def read_truth(path: Path, recordings: Sequence[Recording], options: TruthOptions) -> Truth:
    """Annotations of these recordings, from a Raven table or a folder of them.

    Tables in a folder that say by which ``Detector`` they were made are passed over, unless somebody has judged calls in
    them. In these, ``yes`` is a call, ``no`` is none, and ``maybe`` and ``unreviewed`` count neither way.

    Raises:
        UsageError: when there are no tables, none of them speaks of any of the recordings, or no selection has a label
            that was asked for.
    """
    tables, notes = _tables(path)
    placement = place(tables, recordings)
    notes += [f"left out: {problem}" for problem in placement.problems]
    unknown = [recording.name for recording in recordings if recording.name not in placement.by_recording]
    if not placement.by_recording and not options.silent_are_empty:
        first = f" ({placement.problems[0]})" if placement.problems else ""
        raise UsageError(f"{path}: no table there speaks of any of the {len(recordings)} recordings{first}")
    annotated = {name: once(found) for name, found in placement.by_recording.items()}
    _check_labels(path, annotated, options)
    if unknown and options.silent_are_empty:
        annotated |= dict.fromkeys(unknown, ())
        notes.append(f"taken to hold no calls, as no table speaks of them: {some_of(unknown)}")
    elif unknown:
        notes.append(f"left out, as no table speaks of them: {some_of(unknown)} (--silent-are-empty, if they hold no calls)")
    if other := sum(one.channel != options.channel for found in annotated.values() for one in found):
        notes.append(f"left out: {count(other, 'annotation')} on other channels than {options.channel} (--channel)")
    further = place([table for given in options.aside for table in find_tables(_there(given))], recordings)
    notes += [f"--aside, left out: {problem}" for problem in further.problems]
    calls, aside = {}, {}
    for name, found in annotated.items():
        standing = [(one, _standing(one, options)) for one in found if one.channel == options.channel]
        calls[name] = tuple(one for one, what in standing if what is _Standing.CALL)
        uncertain = tuple(one for one, what in standing if what is _Standing.ASIDE)
        aside[name] = uncertain + tuple(further.by_recording.get(name, ()))
    return Truth(calls, aside, tuple(notes))


def _tables(path: Path) -> tuple[list[Path], list[str]]:
    """The tables to read; a table that is named is read whoever made it."""
    found = find_tables(_there(path))
    if not found:
        raise UsageError(f"{path}: no Raven tables there; annotations are tables with Begin Time (s) and End Time (s)")
    if not path.is_dir():
        return found, []
    passed_over = [table for table in found if is_only_a_detectors(table)]
    notes = (
        [f"passed over, as a detector made them: {some_of([table.name for table in passed_over])}"] if passed_over else []
    )
    people = [table for table in found if table not in passed_over]
    if not people:
        raise UsageError(f"{path}: only tables of a detector there, in which nobody has judged calls; name one to use it")
    return people, notes


def _there(path: Path) -> Path:
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder; give a Raven table of annotations, or a folder of them")
    return path


def _check_labels(path: Path, annotated: Mapping[str, Sequence[Annotation]], options: TruthOptions) -> None:
    there = {one.label for found in annotated.values() for one in found}
    wanted = {label.casefold() for label in options.labels}
    if wanted and there and not wanted & {label.casefold() for label in there}:
        raise UsageError(f"{path}: no selection is labelled {', '.join(options.labels)}; there are {some_of(sorted(there))}")


def _standing(selection: Annotation, options: TruthOptions) -> _Standing:
    """Whether a selection is a call. What a reviewer said of it goes before its label."""
    label = selection.label.casefold()
    if selection.review == "no":
        return _Standing.NEITHER
    if selection.review in ("maybe", "unreviewed"):
        return _Standing.ASIDE
    if label in {wanted.casefold() for wanted in options.labels}:
        return _Standing.CALL
    if is_uncertain(label, options.uncertain):
        return _Standing.ASIDE
    return _Standing.NEITHER if options.labels else _Standing.CALL
