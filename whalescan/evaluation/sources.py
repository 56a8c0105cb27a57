"""What is compared: detections, from the folder of a run or from Raven tables with scores, and annotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path

from whalescan.audio import recordings
from whalescan.core import Annotation, Detection, Recording, RecordingError, RecordingResult, TableError, UsageError
from whalescan.core.text import count, list_some
from whalescan.detections.detection_rule import DetectionRule
from whalescan.detector.model_spec import UPCALL
from whalescan.scores.detect import detect_all
from whalescan.scores.score_file import read_scores, score_path
from whalescan.tables.csvs import read_files_csv
from whalescan.tables.run_json import RUN_JSON, read_run_json
from whalescan.tables.selections import (
    assign_to_recordings,
    find_tables,
    is_uncertain,
    is_unreviewed_detector_table,
    merge_duplicates,
)

_FILES, _SCORES = "files.csv", "scores"
_TABLE_THRESHOLD = 0.5
"""Threshold at which errors are reported for Raven tables."""


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """Selection of the detections to evaluate.

    Attributes:
        channel: 1-based; detections in other channels are not used.
        label: the class; empty for upcalls, or the only class of a model, and for all labels of Raven tables.
        lowest_score: lowest threshold at which detections are made of stored scores, in (0, 1].
        recordings: analysed recordings (folders, files, patterns) of Raven tables.
    """

    channel: int = 1
    label: str = ""
    lowest_score: float = 0.005
    recordings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.lowest_score <= 1:
            raise UsageError(f"invalid lowest {self.lowest_score:g}: expected a value above 0 and at most 1")


@dataclass(frozen=True, slots=True)
class RecordingDetections:
    """Detections in a recording.

    Attributes:
        recording: the recording.
        hours: analysed hours: the duration of the recording without what could not be read; above 0.
        detections: in the order of their times, each with a score.
    """

    recording: Recording
    hours: float
    detections: tuple[Annotation, ...]


@dataclass(frozen=True, slots=True)
class DetectionSource:
    """Detections of a detector in all recordings.

    Attributes:
        detector: name of the detector.
        threshold: threshold of the detector.
        lowest_score: lowest threshold at which detections were made of stored scores; None for Raven tables.
        recordings: recordings in the order of their names.
        notes: what was not used, and why.
    """

    detector: str
    threshold: float
    lowest_score: float | None
    recordings: tuple[RecordingDetections, ...]
    notes: tuple[str, ...] = ()


def read_detection_source(path: Path, options: SourceOptions) -> DetectionSource:
    """Read detections from the output folder of a run with stored scores, from a Raven table, or from a folder of tables.

    Raises:
        UsageError: when there is nothing to evaluate, or an option does not fit.
        TableError: when the results are damaged, or detections have no score.
    """
    if (path / _SCORES).is_dir():
        if options.recordings:
            raise UsageError(f"{path}: the output folder of a run lists its recordings; leave out recordings")
        return _read_run(path, options)
    return _read_tables(path, options)


def _read_run(folder: Path, options: SourceOptions) -> DetectionSource:
    """Return detections at the lowest score: a call that is detected at a higher threshold has the same detection there."""
    detector, rule = _read_rule(folder)
    rule_at_lowest = replace(rule, threshold=options.lowest_score)
    results, analysed, notes = [], [], []
    for row in read_files_csv(folder / _FILES):
        stored = score_path(folder / _SCORES, row.name, options.channel)
        if not stored.exists():
            why = row.outcome.problem or f"has no scores of channel {options.channel}"
            notes.append(f"not used: {row.name}: {why}")
            continue
        try:
            results.append(RecordingResult.of(read_scores(stored).recording, channels=(options.channel,)))
        except TableError as error:
            notes.append(f"not used: {error}")
    for result, (scores,) in detect_all(folder / _SCORES, results, rule_at_lowest):
        recording = scores.recording
        hours = (recording.duration_s - scores.grid.seconds(scores.missing_samples)) / 3600
        if hours <= 0:
            notes.append(f"not used: {recording.name}: nothing of it could be read")
            continue
        analysed.append(RecordingDetections(recording, hours, _of_class(result.detections, scores.classes, options)))
    analysed.sort(key=lambda one: one.recording.name)
    if not analysed:
        why = f" ({notes[0]})" if notes else ""
        raise UsageError(f"{folder}: no recording has scores of channel {options.channel}{why}; choose another channel")
    return DetectionSource(detector, rule.threshold, options.lowest_score, tuple(analysed), tuple(notes))


def _read_rule(folder: Path) -> tuple[str, DetectionRule]:
    """Return the detector of a run, and its detection rule."""
    document = read_run_json(folder)
    try:
        if "separation_s" not in document["rule"]:
            raise TableError(f"{folder / RUN_JSON}: made by whalescan 0.7 or older; run the same command again to score it")
        return document["detector"], DetectionRule.from_dict(document["rule"])
    except TableError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise TableError(f"{folder / RUN_JSON}: no finished run there ({error}); give the `run` command again") from error


def _of_class(detections: Sequence[Detection], classes: Sequence[str], options: SourceOptions) -> tuple[Annotation, ...]:
    """Return the detections of the class as selections."""
    label = options.label or (classes[0] if len(classes) == 1 else UPCALL)
    if label not in classes:
        raise UsageError(f"invalid class {label!r}: expected {' or '.join(classes)}, the classes of the model")
    return tuple(
        Annotation(
            begin_s=detection.begin_s,
            end_s=detection.end_s,
            low_hz=detection.low_hz,
            high_hz=detection.high_hz,
            label=label,
            channel=detection.channel,
            score=detection.score,
            detection_id=detection.detection_id,
        )
        for detection in detections
        if detection.label == label
    )


def _read_tables(path: Path, options: SourceOptions) -> DetectionSource:
    """Return the detections of Raven tables. Most detectors write no table for a recording without detections."""
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder; give the output folder of a run, or Raven tables")
    if not options.recordings:
        raise UsageError(f"{path}: Raven tables do not list all analysed recordings; give these as recordings")
    tables = find_tables(path)
    if not tables:
        raise UsageError(f"{path}: neither the output folder of a run nor Raven tables there")
    readable, notes = _read_headers(options.recordings)
    if not readable:
        raise UsageError(f"{', '.join(options.recordings)}: none of the recordings can be read ({notes[0]})")
    placement = assign_to_recordings(tables, readable)
    notes += [f"not used: {problem}" for problem in placement.problems]
    analysed = []
    for recording in readable:
        detections = [
            one
            for one in merge_duplicates(placement.by_recording.get(recording.name, ()))
            if one.channel == options.channel and options.label in ("", one.label)
        ]
        if unscored := next((one for one in detections if one.score is None), None):
            raise TableError(
                f"{path}: the selection at {unscored.begin_s:g} s of {recording.name} has no Score; each needs one"
            )
        analysed.append(RecordingDetections(recording, recording.duration_s / 3600, tuple(detections)))
    return DetectionSource(path.name, _TABLE_THRESHOLD, None, tuple(analysed), tuple(notes))


def _read_headers(inputs: Sequence[str]) -> tuple[list[Recording], list[str]]:
    """Return the recordings that can be read, and notes about the others."""
    readable, notes = [], []
    for file in recordings.find_recordings(inputs):
        try:
            readable.append(recordings.read_header(file))
        except RecordingError as error:
            notes.append(f"not used: {error}")
    return readable, notes


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
