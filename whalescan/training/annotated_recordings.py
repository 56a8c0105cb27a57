"""Folders of recordings with Raven tables, as examples: what people selected, what they rejected, and what lies between."""

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
from whalescan.tables.selections import find_tables, is_only_a_detectors, once, place
from whalescan.training.examples import REVIEWS, CutPlan, Cutting, DataOptions, Examples, Problem, Verdict
from whalescan.training.window_sampling import Places, Selected, lay

_UNREADABLE = "recordings that cannot be read, or not wholly"
_NOT_ANNOTATED = "recordings without a table"
_MISPLACED = "tables and selections that fit nowhere"
_LABELS = "labels"
_LOST = "recordings with calls that are not among the examples"


@dataclass(frozen=True, slots=True)
class AnnotatedFolder:
    """Recordings that tables speak of, looked at but not yet read.

    Attributes:
        root: the folder.
        annotated: each recording with its selections, in the order of their names and times.
        n_skipped: recordings that cannot be read or that no table speaks of.
        classes: of the selections that are calls.
        problems: what was wrong so far.
    """

    root: Path
    annotated: tuple[tuple[Recording, tuple[Annotation, ...]], ...]
    n_skipped: int
    classes: frozenset[str]
    problems: tuple[Problem, ...]

    def cut(self, plan: CutPlan) -> Cutting:
        """Read the windows around calls and rejected selections, and background from between."""
        parts = [Examples.none(plan.window_samples, len(plan.classes))]
        problems = list(self.problems)
        n_uncertain = 0
        for recording, selected in tqdm(self.annotated, "reading recordings", unit="file", disable=plan.quiet):
            selections = list(_judged(recording, selected, plan))
            n_uncertain += sum(s.verdict in (Verdict.UNCERTAIN, Verdict.FOREIGN) for s in selections)
            try:
                examples, found = _cut(recording, selections, plan)
            except RecordingError as error:
                problems.append(Problem(_UNREADABLE, str(error)))
                continue
            problems += found
            if len(examples):
                parts.append(examples)
        n_used = len(parts) - 1
        n_skipped = self.n_skipped + len(self.annotated) - n_used
        return Cutting(Examples.join(parts), n_used, n_skipped, n_uncertain, tuple(problems))


def look(root: Path, options: DataOptions) -> AnnotatedFolder:
    """Read the headers of a folder's recordings, and its tables.

    Raises:
        UsageError: when there are no recordings, or no tables.
    """
    found = recordings.find([root])
    inspected, problems = _inspect(found)
    tables = [table for table in find_tables(root) if not is_only_a_detectors(table)]
    if not tables:
        raise UsageError(
            f"{root}: recordings, but no Raven selection table, so nothing says what they hold; put tables beside them "
            "(one without rows where there are no calls)"
        )
    placement = place(tables, inspected)
    problems += [Problem(_MISPLACED, text) for text in placement.problems]
    annotated = []
    for recording in inspected:
        if recording.name in placement.by_recording:
            annotated.append((recording, once(placement.by_recording[recording.name])))
        else:
            text = f"{recording.path}: not used, no table speaks of it; give it one (without rows where there are no calls)"
            problems.append(Problem(_NOT_ANNOTATED, text))
    every = [annotation for _, selected in annotated for annotation in selected]
    problems += [Problem(_LABELS, f"{root}: {text}") for text in _not_understood(every, options)]
    judged = [options.judge(annotation.label, annotation.review) for annotation in every]
    classes = frozenset(name for verdict, name in judged if verdict == Verdict.CALL)
    return AnnotatedFolder(root, tuple(annotated), len(found) - len(annotated), classes, tuple(problems))


def _inspect(found: Iterable[recordings.Found]) -> tuple[list[Recording], list[Problem]]:
    inspected, problems = [], []
    for one in found:
        try:
            recording = recordings.inspect(one)
        except RecordingError as error:
            problems.append(Problem(_UNREADABLE, str(error)))
            continue
        inspected.append(recording)
        if recording.problem:
            problems.append(Problem(_UNREADABLE, f"{recording.path}: {recording.problem}"))
    return inspected, problems


def _not_understood(annotations: Iterable[Annotation], options: DataOptions) -> Iterator[str]:
    """What labels and reviews leave selections unused that somebody may have meant to be used."""
    judged = [(*options.judge(a.label, a.review), a.review.casefold()) for a in annotations]
    foreign = Counter(name for verdict, name, _ in judged if verdict == Verdict.FOREIGN)
    for name, n in sorted(foreign.items()):
        yield options.foreign("selections", name, n)
    undecided = Counter(review for _, _, review in judged if review not in REVIEWS)
    for review, n in sorted(undecided.items()):
        yield f"{n} selections with the Review {review!r} were used neither way; make it yes, no or maybe"


def _judged(recording: Recording, annotations: tuple[Annotation, ...], plan: CutPlan) -> Iterator[Selected]:
    n_samples = recording.n_samples(plan.rate_hz)
    for a in annotations:
        verdict, name = plan.options.judge(a.label, a.review)
        if verdict in (Verdict.CALL, Verdict.NO_CALL) and not 1 <= a.channel <= recording.channels:
            verdict = Verdict.UNCERTAIN
        yield Selected(a.begin_s * plan.rate_hz, min(a.end_s * plan.rate_hz, n_samples), a.channel, verdict, name)


def _cut(recording: Recording, selections: list[Selected], plan: CutPlan) -> tuple[Examples, list[Problem]]:
    """Examples of one recording.

    Raises:
        RecordingError: when it is shorter than a window, or cannot be opened any more.
    """
    n_samples = recording.n_samples(plan.rate_hz)
    if n_samples < plan.window_samples:
        window_s = plan.window_samples / plan.rate_hz
        raise RecordingError(f"{recording.path}: {recording.duration_s:g} s are shorter than a window of {window_s:g} s")
    places = lay(selections, n_samples, plan, _random(plan.options.seed, recording.name))
    windows, whole, problem = _read(recording, places, plan)
    problems = []
    if n_lost := int((~whole).sum()):
        text = f"{recording.path}: {n_lost} of {len(whole)} windows cannot be read and were left out ({problem})"
        problems.append(Problem(_UNREADABLE, text))
    if beyond := sorted({s.channel for s in selections if not 1 <= s.channel <= recording.channels}):
        text = f"{recording.path}: selections in channel {beyond[0]} of {recording.channels} were used neither way"
        problems.append(Problem(_MISPLACED, text))
    calls = {i for i, selection in enumerate(selections) if selection.verdict == Verdict.CALL}
    if left_out := calls - set(places.shown[whole].tolist()):
        first_s = selections[min(left_out)].begin / plan.rate_hz
        text = (
            f"{recording.path}: {len(left_out)} of {len(calls)} calls, the first at {first_s:g} s, are not used: too close "
            "to an uncertain selection, or to sound that cannot be read"
        )
        problems.append(Problem(_LOST, text))
    begin_s = places.begins[whole] / plan.rate_hz
    n, group = len(begin_s), _group(recording, plan.options)
    return Examples(windows[whole], places.targets[whole], (recording.name,) * n, begin_s, (group,) * n), problems


def _random(seed: int, name: str) -> np.random.Generator:
    """A generator of its own for each recording, so that others coming or going change nothing in it."""
    return np.random.default_rng([seed, *hashlib.sha256(name.encode(errors="backslashreplace")).digest()])


def _group(recording: Recording, options: DataOptions) -> str:
    """``2009-03-28``, or the path below the root with its suffix, which no day and no clip's hash looks like."""
    begin = recording.start_utc or recording.start_local
    return f"{begin:%Y-%m-%d}" if begin and options.group_by == "day" else recording.relative


def _read(recording: Recording, places: Places, plan: CutPlan) -> tuple[FloatArray, BoolArray, str]:
    """The windows ``[n, window_samples]``, which of them could be read wholly, and why others could not.

    Only the sound around the windows is decoded, and not twice for neighbours: a day at 96 kHz does not fit into memory.
    """
    windows = np.zeros((len(places.begins), plan.window_samples), np.float32)
    whole, problem = np.ones(len(windows), np.bool_), ""
    for near in _neighbours(places, reading.SEGMENT_S * plan.rate_hz):
        begins = places.begins[near]
        first = int(begins[0])
        channel, end = int(places.channels[near[0]]), int(begins[-1]) + plan.window_samples
        sound = reading.read(recording, channel, plan.rate_hz, first, end)
        for i, at in zip(near, begins - first, strict=True):
            own = slice(at, at + plan.window_samples)
            windows[i], whole[i] = sound.samples[own], not sound.lost[own].any()
        problem = problem or next(iter(sound.problems), "")
    return windows, whole, problem


def _neighbours(places: Places, segment_samples: int) -> Iterator[IntArray]:
    """Indices of the windows that begin in the same segment of the same channel, in their order."""
    if len(places.begins):
        apart = (np.diff(places.begins // segment_samples) != 0) | (np.diff(places.channels) != 0)
        yield from np.split(np.arange(len(places.begins)), np.flatnonzero(apart) + 1)
