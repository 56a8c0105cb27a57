"""Training examples from folders of recordings with Raven tables: calls, rejected selections, and background."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from whalescan.audio import reading, recordings
from whalescan.core import Annotation, BoolArray, FloatArray, IntArray, Recording, RecordingError, UsageError
from whalescan.tables.selections import assign_to_recordings, find_tables, is_unreviewed_detector_table, merge_duplicates
from whalescan.training.examples import (
    REVIEWS,
    DataOptions,
    DataProblem,
    ExampleLabel,
    Examples,
    ExtractionOptions,
    FolderExamples,
)
from whalescan.training.window_sampling import LabelledSelection, WindowPlacement, place_windows

_UNREADABLE = "recordings that cannot be read, or only in part"
_NOT_ANNOTATED = "recordings without a table"
_MISPLACED = "tables and selections that match no recording"
_LABELS = "labels"
_UNUSED_CALLS = "recordings with calls that are not among the examples"


@dataclass(frozen=True, slots=True)
class AnnotatedFolder:
    """A folder of annotated recordings whose sound is not read yet.

    Attributes:
        root: the folder.
        recordings: each annotated recording with its selections, in the order of names and times.
        n_skipped: number of recordings that cannot be read, or have no table.
        classes: classes of the selections that are calls.
        problems: problems of the recordings and tables.
    """

    root: Path
    recordings: tuple[tuple[Recording, tuple[Annotation, ...]], ...]
    n_skipped: int
    classes: frozenset[str]
    problems: tuple[DataProblem, ...]

    def extract(self, extraction: ExtractionOptions) -> FolderExamples:
        """Read windows around calls and around rejected selections, and windows of background."""
        parts = [Examples.empty(extraction.window_samples, len(extraction.classes))]
        problems = list(self.problems)
        n_uncertain = 0
        for recording, selected in tqdm(self.recordings, "reading recordings", unit="file", disable=extraction.quiet):
            selections = list(_labelled_selections(recording, selected, extraction))
            n_uncertain += sum(s.example_label in (ExampleLabel.UNCERTAIN, ExampleLabel.OTHER_CLASS) for s in selections)
            try:
                examples, further = _extract(recording, selections, extraction)
            except RecordingError as error:
                problems.append(DataProblem(_UNREADABLE, str(error)))
                continue
            problems += further
            if len(examples):
                parts.append(examples)
        n_used = len(parts) - 1
        n_skipped = self.n_skipped + len(self.recordings) - n_used
        return FolderExamples(Examples.concatenate(parts), n_used, n_skipped, n_uncertain, tuple(problems))


def read_annotated_folder(root: Path, options: DataOptions) -> AnnotatedFolder:
    """Read the headers of the recordings and the Raven tables of a folder.

    Raises:
        UsageError: when there are no recordings, or no tables.
    """
    files = recordings.find_recordings([root])
    readable, problems = _read_headers(files)
    tables = [table for table in find_tables(root) if not is_unreviewed_detector_table(table)]
    if not tables:
        raise UsageError(
            f"{root}: recordings, but no Raven selection tables: add a table for each recording (without rows where there "
            "are no calls)"
        )
    placement = assign_to_recordings(tables, readable)
    problems += [DataProblem(_MISPLACED, text) for text in placement.problems]
    annotated = []
    for recording in readable:
        if recording.name in placement.by_recording:
            annotated.append((recording, merge_duplicates(placement.by_recording[recording.name])))
        else:
            text = f"{recording.path}: not used, without a table: add one (without rows where there are no calls)"
            problems.append(DataProblem(_NOT_ANNOTATED, text))
    annotations = [annotation for _, selected in annotated for annotation in selected]
    problems += [DataProblem(_LABELS, f"{root}: {text}") for text in _label_messages(annotations, options)]
    interpreted = [options.interpret(annotation.label, annotation.review) for annotation in annotations]
    classes = frozenset(name for example_label, name in interpreted if example_label == ExampleLabel.CALL)
    return AnnotatedFolder(root, tuple(annotated), len(files) - len(annotated), classes, tuple(problems))


def _read_headers(files: Iterable[recordings.AudioFile]) -> tuple[list[Recording], list[DataProblem]]:
    readable, problems = [], []
    for file in files:
        try:
            recording = recordings.read_header(file)
        except RecordingError as error:
            problems.append(DataProblem(_UNREADABLE, str(error)))
            continue
        readable.append(recording)
        if recording.problem:
            problems.append(DataProblem(_UNREADABLE, f"{recording.path}: {recording.problem}"))
    return readable, problems


def _label_messages(annotations: Iterable[Annotation], options: DataOptions) -> Iterator[str]:
    """Return messages about labels and reviews because of which selections are not used, perhaps by mistake."""
    interpreted = [(*options.interpret(a.label, a.review), a.review.casefold()) for a in annotations]
    other = Counter(name for example_label, name, _ in interpreted if example_label == ExampleLabel.OTHER_CLASS)
    for name, n in sorted(other.items()):
        yield options.unknown_label_message("selection", name, n)
    undecided = Counter(review for _, _, review in interpreted if review not in REVIEWS)
    for review, n in sorted(undecided.items()):
        yield f"selections not used, with the Review {review!r}: {n:,}; expected yes, no or maybe"


def _labelled_selections(
    recording: Recording, annotations: tuple[Annotation, ...], extraction: ExtractionOptions
) -> Iterator[LabelledSelection]:
    n_samples = recording.n_samples(extraction.rate_hz)
    for a in annotations:
        example_label, name = extraction.data_options.interpret(a.label, a.review)
        if example_label in (ExampleLabel.CALL, ExampleLabel.NO_CALL) and not 1 <= a.channel <= recording.channels:
            example_label = ExampleLabel.UNCERTAIN
        begin, end = a.begin_s * extraction.rate_hz, min(a.end_s * extraction.rate_hz, n_samples)
        yield LabelledSelection(begin, end, a.channel, example_label, name)


def _extract(
    recording: Recording, selections: list[LabelledSelection], extraction: ExtractionOptions
) -> tuple[Examples, list[DataProblem]]:
    """Return the examples of one recording, and its problems.

    Raises:
        RecordingError: when it is shorter than a window, or cannot be opened any more.
    """
    n_samples = recording.n_samples(extraction.rate_hz)
    if n_samples < extraction.window_samples:
        window_s = extraction.window_samples / extraction.rate_hz
        raise RecordingError(f"{recording.path}: {recording.duration_s:g} s are shorter than a window of {window_s:g} s")
    placement = place_windows(
        selections, n_samples, extraction, _random_generator(extraction.data_options.seed, recording.name)
    )
    windows, is_readable, problem = _read_windows(recording, placement, extraction)
    problems = []
    if n_unreadable := int((~is_readable).sum()):
        text = f"{recording.path}: {n_unreadable} of {len(is_readable)} windows not used, as they cannot be read ({problem})"
        problems.append(DataProblem(_UNREADABLE, text))
    if absent := sorted({s.channel for s in selections if not 1 <= s.channel <= recording.channels}):
        text = f"{recording.path}: selections in channel {absent[0]} not used, as there are {recording.channels} channels"
        problems.append(DataProblem(_MISPLACED, text))
    calls = {i for i, selection in enumerate(selections) if selection.example_label == ExampleLabel.CALL}
    if unused := calls - set(placement.selection_index[is_readable].tolist()):
        first_s = selections[min(unused)].begin / extraction.rate_hz
        text = (
            f"{recording.path}: {len(unused)} of {len(calls)} calls not used, the first at {first_s:g} s: too close to an "
            "uncertain selection, or to sound that cannot be read"
        )
        problems.append(DataProblem(_UNUSED_CALLS, text))
    begin_s = placement.begins[is_readable] / extraction.rate_hz
    n, group = len(begin_s), _group(recording, extraction.data_options)
    targets = placement.targets[is_readable]
    return Examples(windows[is_readable], targets, (recording.name,) * n, begin_s, (group,) * n), problems


def _random_generator(seed: int, name: str) -> np.random.Generator:
    """Return a generator that depends on the name of the recording, so that other recordings do not change its examples."""
    return np.random.default_rng([seed, *hashlib.sha256(name.encode(errors="backslashreplace")).digest()])


def _group(recording: Recording, options: DataOptions) -> str:
    """Return the day as ``2009-03-28``, or the path below the root with its suffix, which is no day and no hash."""
    begin = recording.start_utc or recording.start_local
    return f"{begin:%Y-%m-%d}" if begin and options.group_by == "day" else recording.relative_path


def _read_windows(
    recording: Recording, placement: WindowPlacement, extraction: ExtractionOptions
) -> tuple[FloatArray, BoolArray, str]:
    """Return the windows ``[n, window_samples]``, bool ``[n]``, true for those that could be read, and the first problem.

    Only the sound around the windows is decoded, in one piece for neighbouring windows: a day at 96 kHz exceeds the memory.
    """
    windows = np.zeros((len(placement.begins), extraction.window_samples), np.float32)
    is_readable, problem = np.ones(len(windows), np.bool_), ""
    for indices in _windows_by_segment(placement, reading.SEGMENT_S * extraction.rate_hz):
        begins = placement.begins[indices]
        first = int(begins[0])
        channel, end = int(placement.channels[indices[0]]), int(begins[-1]) + extraction.window_samples
        sound = reading.read(recording, channel, extraction.rate_hz, first, end)
        for i, begin in zip(indices, begins - first, strict=True):
            span = slice(begin, begin + extraction.window_samples)
            windows[i], is_readable[i] = sound.samples[span], not sound.is_unreadable[span].any()
        problem = problem or next(iter(sound.problems), "")
    return windows, is_readable, problem


def _windows_by_segment(placement: WindowPlacement, segment_samples: int) -> Iterator[IntArray]:
    """Return the indices of the windows that begin in the same segment of the same channel, in their order."""
    if len(placement.begins):
        differs = (np.diff(placement.begins // segment_samples) != 0) | (np.diff(placement.channels) != 0)
        yield from np.split(np.arange(len(placement.begins)), np.flatnonzero(differs) + 1)
