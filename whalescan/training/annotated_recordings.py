"""Training sound from folders of recordings with Raven tables: parts with their calls, uncertain and rejected spans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from whalescan.audio import recordings
from whalescan.core import Annotation, IntArray, Recording, RecordingError, UsageError
from whalescan.tables.selections import assign_to_recordings, find_tables, is_unreviewed_detector_table, merge_duplicates
from whalescan.training.labels import REVIEWS, DataOptions, DataProblem, FolderSounds, Meaning, ReadOptions
from whalescan.training.levels import background_level
from whalescan.training.recording_parts import RecordingPart, read_parts
from whalescan.training.sounds import AnnotatedSound, Call

_UNREADABLE = "recordings that cannot be read, or only in part"
_NOT_ANNOTATED = "recordings without a table"
_MISPLACED = "tables and selections that match no recording"
_LABELS = "labels"
_UNUSED_CALLS = "recordings with calls that are not used"
_COMPLETE = 0.9
"""Share of a call that must be readable."""


@dataclass(frozen=True, slots=True)
class _Selection:
    """A selection and the meaning of its label.

    Attributes:
        begin, end: in samples from the begin of the recording; fractions are possible.
        low_hz, high_hz: its frequency range; NaN where it says nothing.
        channel: 1-based.
        meaning: what its label says.
        name: class of the call.
    """

    begin: float
    end: float
    low_hz: float
    high_hz: float
    channel: int
    meaning: Meaning
    name: str

    def overlaps(self, begin: float, end: float) -> bool:
        """Return whether it shares sound with a span."""
        return self.begin < end and begin < self.end


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

    def read(self, options: ReadOptions) -> FolderSounds:
        """Read the sound around the selections of each recording, and a bounded amount of other sound."""
        sounds: list[AnnotatedSound] = []
        problems = list(self.problems)
        n_uncertain = n_used = 0
        knows_bands = len({(a.low_hz, a.high_hz) for _, selected in self.recordings for a in selected}) > 1
        for recording, selected in tqdm(self.recordings, "reading recordings", unit="file", disable=options.quiet):
            selections = list(_interpreted(recording, selected, options, knows_bands))
            n_uncertain += sum(s.meaning in (Meaning.UNCERTAIN, Meaning.OTHER_CLASS) for s in selections)
            try:
                parts, further = _read_recording(recording, selections, options)
            except RecordingError as error:
                problems.append(DataProblem(_UNREADABLE, str(error)))
                continue
            problems += further
            sounds += parts
            n_used += bool(parts)
        n_skipped = self.n_skipped + len(self.recordings) - n_used
        return FolderSounds((), tuple(sounds), n_used, n_skipped, n_uncertain, tuple(problems))


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
    classes = frozenset(name for meaning, name in interpreted if meaning == Meaning.CALL)
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
    other = Counter(name for meaning, name, _ in interpreted if meaning == Meaning.OTHER_CLASS)
    for name, n in sorted(other.items()):
        yield options.unknown_label_message("selection", name, n)
    undecided = Counter(review for _, _, review in interpreted if review not in REVIEWS)
    for review, n in sorted(undecided.items()):
        yield f"selections not used, with the Review {review!r}: {n:,}; expected yes, no or maybe"


def _interpreted(
    recording: Recording, annotations: Sequence[Annotation], options: ReadOptions, knows_bands: bool
) -> Iterator[_Selection]:
    """Return selections with their meaning.

    Args:
        recording: their recording.
        annotations: as read from tables.
        options: rate, and interpretation of labels.
        knows_bands: whether frequencies of selections say anything: a band that all of them share is only a setting.
    """
    n_samples = recording.n_samples(options.rate_hz)
    for a in annotations:
        meaning, name = options.data.interpret(a.label, a.review)
        if meaning in (Meaning.CALL, Meaning.NO_CALL) and not 1 <= a.channel <= recording.channels:
            meaning = Meaning.UNCERTAIN
        has_band = knows_bands and 0 < a.low_hz < a.high_hz < np.inf
        low_hz, high_hz = (a.low_hz, a.high_hz) if has_band else (np.nan, np.nan)
        begin, end = a.begin_s * options.rate_hz, min(a.end_s * options.rate_hz, n_samples)
        yield _Selection(begin, end, low_hz, high_hz, a.channel, meaning, name)


def _read_recording(
    recording: Recording, selections: list[_Selection], options: ReadOptions
) -> tuple[list[AnnotatedSound], list[DataProblem]]:
    """Return the parts of one recording in each channel with calls, or in the first one, and its problems.

    Raises:
        RecordingError: when it is shorter than a window, or cannot be opened any more.
    """
    rate_hz = options.rate_hz
    if recording.n_samples(rate_hz) < options.front_end.window_samples:
        raise RecordingError(
            f"{recording.path}: {recording.duration_s:g} s are shorter than a window of {options.window_s:g} s"
        )
    calls = [s for s in selections if s.meaning == Meaning.CALL]
    events = [(s.begin / rate_hz, s.end / rate_hz) for s in selections if s.meaning in (Meaning.CALL, Meaning.NO_CALL)]
    sounds: list[AnnotatedSound] = []
    problems: list[DataProblem] = []
    used: set[_Selection] = set()
    for channel in sorted({call.channel for call in calls}) or [1]:
        read = read_parts(recording, channel, rate_hz, options.window_s, events)
        if read.problem:
            text = f"{recording.path}: {read.missing_s:.1f} of {read.read_s:.1f} s not used, as they cannot be read"
            problems.append(DataProblem(_UNREADABLE, f"{text} ({read.problem})"))
        for part in read.parts:
            complete = [call for call in calls if call.channel == channel and _is_complete(call, part)]
            used.update(complete)
            sounds.append(_annotated_sound(recording, part, channel, complete, selections, options))
    if absent := sorted({s.channel for s in selections if not 1 <= s.channel <= recording.channels}):
        text = f"{recording.path}: selections in channel {absent[0]} not used, as there are {recording.channels} channels"
        problems.append(DataProblem(_MISPLACED, text))
    if unused := [call for call in calls if call not in used]:
        first_s = unused[0].begin / rate_hz
        text = (
            f"{recording.path}: {len(unused)} of {len(calls)} calls not used, the first at {first_s:g} s: in or beside "
            "sound that cannot be read"
        )
        problems.append(DataProblem(_UNUSED_CALLS, text))
    return sounds, problems


def _is_complete(call: _Selection, part: RecordingPart) -> bool:
    """Return whether a call lies in a part, but for little of it."""
    inside = min(call.end, part.end) - max(call.begin, part.begin)
    return inside >= _COMPLETE * (call.end - call.begin)


def _annotated_sound(
    recording: Recording,
    part: RecordingPart,
    channel: int,
    calls: Sequence[_Selection],
    selections: Sequence[_Selection],
    options: ReadOptions,
) -> AnnotatedSound:
    """Return a part with its calls.

    Calls of another channel are uncertain here: hydrophones of one recording receive the same calls, at other levels.
    """
    level = background_level(part.samples, options.front_end)
    n = len(part.samples)
    own = tuple(
        Call(
            max(call.begin - part.begin, 0.0),
            min(call.end - part.begin, float(n)),
            call.low_hz,
            call.high_hz,
            options.classes.index(call.name),
        )
        for call in calls
    )
    inside = [s for s in selections if s.overlaps(part.begin, part.end)]
    uncertain = [s for s in inside if s.meaning != Meaning.NO_CALL and s not in calls]
    rejected = [s for s in inside if s.meaning == Meaning.NO_CALL]
    return AnnotatedSound(
        part.samples / np.float32(level),
        own,
        _spans(uncertain, part),
        _spans(rejected, part),
        recording.name,
        _group(recording, options.data),
        part.begin / options.rate_hz,
        channel,
    )


def _spans(selections: Sequence[_Selection], part: RecordingPart) -> IntArray:
    """Return the spans of selections within a part, int64 ``[n, 2]``, rounded outwards."""
    edges = np.array([(np.floor(s.begin), np.ceil(s.end)) for s in selections], np.float64).reshape(-1, 2) - part.begin
    spans: IntArray = edges.clip(0, len(part.samples)).astype(np.int64)
    return spans


def _group(recording: Recording, options: DataOptions) -> str:
    """Return the day as ``2009-03-28``, or the path below the root with its suffix, which is no day and no hash."""
    begin = recording.start_utc or recording.start_local
    return f"{begin:%Y-%m-%d}" if begin and options.group_by == "day" else recording.relative_path
