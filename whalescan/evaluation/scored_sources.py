"""What a detector said, and how long it listened: the folder of a run, or anybody's Raven tables with scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from whalescan.audio import recordings
from whalescan.core import Annotation, Recording, RecordingError, TableError, UsageError
from whalescan.detections.detection_rule import DetectionRule
from whalescan.detector.model_spec import UPCALL
from whalescan.scores.score_file import read_scores, score_path
from whalescan.scores.sequences import Called, Scored, call_all
from whalescan.tables.csvs import listed_files
from whalescan.tables.selections import find_tables, once, place

_RUN, _FILES, _SCORES = "run.json", "files.csv", "scores"
_TABLE_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What is taken from a detector's results.

    Attributes:
        channel: 1-based; what was found on others is left out.
        label: the class; empty for the model's first, and for all that tables hold.
        lowest: score down to which detections are made of stored scores; in (0, 1].
        recordings: what the detector listened to, where only its tables are given: folders, files, patterns.
    """

    channel: int = 1
    label: str = ""
    lowest: float = 0.005
    recordings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Heard:
    """What a detector found in a recording.

    Attributes:
        hours: of listening: the recording's length without what could not be read; above 0.
        detections: in the order of their times, each with a score.
    """

    recording: Recording
    hours: float
    detections: tuple[Annotation, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A detector and all that it heard.

    Attributes:
        detector: its name.
        threshold: what it opens a detection at, when nobody says otherwise.
        lowest: score below which it was not asked; None where its tables hold what they hold.
        heard: recordings in the order of their names.
        notes: what was left out, and why.
    """

    detector: str
    threshold: float
    lowest: float | None
    heard: tuple[Heard, ...]
    notes: tuple[str, ...] = ()


def read_source(path: Path, options: SourceOptions) -> Source:
    """What a detector found: the OUT folder of `run` with its stored scores, a Raven table, or a folder of tables.

    Raises:
        UsageError: when there is nothing to evaluate, or an option does not fit.
        TableError: when the results are damaged, or detections have no score.
    """
    if (path / _SCORES).is_dir():
        if options.recordings:
            raise UsageError(f"{path}: a run knows its recordings and their hours; leave out --recordings")
        return _read_run(path, options)
    return _read_tables(path, options)


def _read_run(folder: Path, options: SourceOptions) -> Source:
    """Detections at the lowest threshold: a call is found there as it is found at any higher one."""
    detector, rule = _rule(folder / _RUN)
    at_lowest = replace(rule, threshold=options.lowest)
    entries, heard, notes = [], [], []
    for row in listed_files(folder / _FILES):
        stored = score_path(folder / _SCORES, row.name, options.channel)
        if not stored.exists():
            why = row.outcome.problem or f"has no scores of channel {options.channel}"
            notes.append(f"left out: {row.name}: {why}")
            continue
        try:
            entries.append(Scored(read_scores(stored).recording, (options.channel,)))
        except TableError as error:
            notes.append(f"left out: {error}")
    for called in call_all(folder / _SCORES, entries, at_lowest):
        (scores,), recording = called.scores, called.recording
        hours = (recording.duration_s - scores.grid.seconds(scores.lost_samples)) / 3600
        if hours <= 0:
            notes.append(f"left out: {recording.name}: none of it could be read")
            continue
        heard.append(Heard(recording, hours, _calls(called, options)))
    heard.sort(key=lambda one: one.recording.name)
    if not heard:
        why = f" ({notes[0]})" if notes else ""
        raise UsageError(f"{folder}: no recording there has scores of channel {options.channel}{why}; see --channel")
    return Source(detector, rule.threshold, options.lowest, tuple(heard), tuple(notes))


def _rule(path: Path) -> tuple[str, DetectionRule]:
    """The detector of a run, and how its scores became calls."""
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
        return document["detector"], DetectionRule.from_dict(document["rule"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TableError(f"{path}: no finished run there ({error}); give the `run` command again") from error


def _calls(called: Called, options: SourceOptions) -> tuple[Annotation, ...]:
    """The calls of the class, as selections."""
    classes = called.scores[0].classes
    label = options.label or (classes[0] if len(classes) == 1 else UPCALL)
    if label not in classes:
        raise UsageError(f"--class {label!r} is none of the model's; it knows {', '.join(classes)}")
    return tuple(
        Annotation(
            begin_s=call.begin_s,
            end_s=call.end_s,
            low_hz=call.low_hz,
            high_hz=call.high_hz,
            label=label,
            channel=call.channel,
            score=call.score,
            detection_id=call.detection_id,
        )
        for call in called.calls
        if call.label == label
    )


def _read_tables(path: Path, options: SourceOptions) -> Source:
    """A recording of which no table speaks was listened to as well: most detectors write no row where they found nothing."""
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder; give the folder of a run, a Raven table, or a folder of them")
    if not options.recordings:
        raise UsageError(f"{path}: tables do not say how long was listened; name the sound with --recordings")
    tables = find_tables(path)
    if not tables:
        raise UsageError(f"{path}: neither the folder of a run nor Raven tables there")
    listened, notes = _inspect(options.recordings)
    if not listened:
        raise UsageError(f"--recordings: none of them can be read ({notes[0]})")
    placement = place(tables, listened)
    notes += [f"left out: {problem}" for problem in placement.problems]
    heard = []
    for recording in listened:
        found = [
            one
            for one in once(placement.by_recording.get(recording.name, ()))
            if one.channel == options.channel and options.label in ("", one.label)
        ]
        if without := next((one for one in found if one.score is None), None):
            raise TableError(
                f"{path}: the selection at {without.begin_s:g} s of {recording.name} has no Score; each needs one"
            )
        heard.append(Heard(recording, recording.duration_s / 3600, tuple(found)))
    return Source(path.name, _TABLE_THRESHOLD, None, tuple(heard), tuple(notes))


def _inspect(inputs: Sequence[str]) -> tuple[list[Recording], list[str]]:
    """Recordings that can be read, and what is said of the others."""
    readable, notes = [], []
    for found in recordings.find(inputs):
        try:
            readable.append(recordings.inspect(found))
        except RecordingError as error:
            notes.append(f"left out: {error}")
    return readable, notes
