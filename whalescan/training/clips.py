"""Training sound from folders of clips, each labelled as a whole or not at all."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from whalescan.audio import reading
from whalescan.core import FloatArray, RecordingError, UsageError
from whalescan.detector.frontend import FrontEnd
from whalescan.detector.model_spec import UPCALL, FrontEndOptions
from whalescan.tables.clip_tables import TABLE_NAME, ClipRow, ClipSound, ClipTable, read_clip, read_clip_table
from whalescan.training.labels import DataOptions, DataProblem, FolderSounds, Meaning, ReadOptions
from whalescan.training.levels import background_level
from whalescan.training.localisation import trace_boxes
from whalescan.training.sounds import CONTENT_HASH, Call, Clip

TIME_ORDER_NAME = "time_order.csv"
ORDER_COLUMNS = "clip_name", "original_number"
_UNUSABLE = "clips that cannot be used, or not as they are"
_LABELS = "labels"
_CHANGED = "kinds of clips that were changed"
_CONTRADICTORY = "clips with the same sound and different labels"
_MOST_BLOCKS, _LEAST_CLIPS = 24, 20
"""Clips in the order of time are divided into so many blocks, but none of fewer clips."""
_BATCH = 256


@dataclass(frozen=True, slots=True)
class _ListedClip:
    """A clip and the meaning of its label.

    Attributes:
        path: its file.
        meaning: what its label says; None without a label.
        class_name: class of the call; empty for a clip without one.
        group: of the table; empty where it gives none, and the hash of the clip's content is used.
    """

    path: Path
    meaning: Meaning | None
    class_name: str
    group: str

    @property
    def is_used(self) -> bool:
        """Whether the network can be trained on it."""
        return self.meaning in (Meaning.CALL, Meaning.NO_CALL, None)


@dataclass(frozen=True, slots=True)
class ClipFolder:
    """A folder of clips whose sound is not read yet.

    Attributes:
        root: the folder.
        clips: in the order of the tables, without repetitions.
        numbers: number of clips in the order of time, by name; empty where it is not known.
        classes: classes of the clips with a call.
        problems: problems of the tables.
    """

    root: Path
    clips: tuple[_ListedClip, ...]
    numbers: Mapping[str, int]
    classes: frozenset[str]
    problems: tuple[DataProblem, ...]

    def read(self, options: ReadOptions) -> FolderSounds:
        """Read the clips."""
        listed = [clip for clip in self.clips if clip.is_used]
        used: list[_ListedClip] = []
        windows: list[_ClipWindow] = []
        problems = list(self.problems)
        for clip in tqdm(listed, "reading clips", unit="clip", disable=options.quiet):
            try:
                windows.append(_read_window(clip.path, options.front_end))
                used.append(clip)
            except RecordingError as error:
                problems.append(DataProblem(_UNUSABLE, str(error)))
        problems += [DataProblem(_UNUSABLE, window.problem) for window in windows if window.problem]
        changes = Counter(change for window in windows for change in window.changes)
        problems += [DataProblem(_CHANGED, f"{self.root}: clips {change}: {n:,}") for change, n in sorted(changes.items())]
        clips = tuple(self._clip(clip, window, options) for clip, window in zip(used, windows, strict=True))
        clips = _with_traces(clips, options)
        n_uncertain = len(self.clips) - len(listed)
        return FolderSounds(clips, (), len(used), len(listed) - len(used), n_uncertain, tuple(problems))

    def _clip(self, listed: _ListedClip, window: _ClipWindow, options: ReadOptions) -> Clip:
        if listed.meaning is None:
            targets = np.full(len(options.classes), np.nan, np.float32)
        else:
            targets = np.array([listed.class_name == name for name in options.classes], np.float32)
        name = listed.path.name
        # a group of the table says what must stay on one side, so the order of time is not needed
        number = None if listed.group else self.numbers.get(name)
        order = None if number is None else (str(self.root), number)
        samples = window.samples / np.float32(background_level(window.samples, options.front_end))
        return Clip(samples, targets, None, name, listed.group or window.content_hash, order)


def read_clip_folder(root: Path, options: DataOptions) -> ClipFolder:
    """Read the tables of a folder of clips.

    ``train.csv`` lists the clips in the folder ``train``; any further ``NAME.csv`` those in the folder ``NAME``. A label is
    0, 1 (an upcall), the name of a class, or blank where nobody knows. The optional column ``group`` names what a split
    keeps on one side, such as the day of the recording. ``time_order.csv``, with the columns ``clip_name`` and
    ``original_number``, states the order of clips in time, where it is known.

    Raises:
        UsageError: when a table cannot be read, or lacks a column.
    """
    problems: list[DataProblem] = []
    clips: dict[_ListedClip, None] = {}
    for path in _table_paths(root):
        table = read_clip_table(path)
        of_table = {
            _ListedClip(path.with_suffix("") / row.name, *_interpret(row, options), row.group): None for row in table.rows
        }
        clips |= of_table
        problems += _label_problems(table, list(of_table), options)
    classes = frozenset(clip.class_name for clip in clips if clip.meaning == Meaning.CALL)
    return ClipFolder(root, tuple(clips), _read_time_order(root / TIME_ORDER_NAME), classes, tuple(problems))


def _table_paths(root: Path) -> list[Path]:
    """Return ``train.csv``, and the other tables beside which there is a folder of their name."""
    others = (path for path in sorted(root.glob("*.csv")) if path.name not in (TABLE_NAME, TIME_ORDER_NAME))
    return [root / TABLE_NAME, *(path for path in others if path.with_suffix("").is_dir())]


def _interpret(row: ClipRow, options: DataOptions) -> tuple[Meaning | None, str]:
    """Return the meaning of a label, and its class, which is empty for 0; None for a blank label that is not renamed."""
    if row.label in dict(options.renamed) or (row.number is None and row.label):
        return options.interpret(row.label)
    if not row.label:
        return None, ""
    if row.number == 0:
        return Meaning.NO_CALL, ""
    return options.interpret(UPCALL) if row.number == 1 else (Meaning.OTHER_CLASS, row.label)


def _label_problems(table: ClipTable, clips: Sequence[_ListedClip], options: DataOptions) -> list[DataProblem]:
    texts = []
    if table.n_repeated:
        texts.append(f"repeated rows, ignored: {table.n_repeated:,}")
    other = Counter(clip.class_name for clip in clips if clip.meaning == Meaning.OTHER_CLASS)
    texts += [options.unknown_label_message("clip", name, n) for name, n in sorted(other.items())]
    return [DataProblem(_LABELS, f"{table.path}: {text}") for text in texts]


def _read_time_order(path: Path) -> dict[str, int]:
    """Return the number of each clip in the order of time; empty without such a table.

    Raises:
        UsageError: when the file cannot be read, or is not such a table.
    """
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [tuple(row[name] or "" for name in ORDER_COLUMNS) for row in csv.DictReader(file)]
        return {name.strip(): int(number) for name, number in rows if number.strip()}
    except (OSError, KeyError, ValueError) as error:
        columns = " and ".join(ORDER_COLUMNS)
        raise UsageError(f"{path}: not a table with the columns {columns}, a whole number: {error}; correct it") from error


@dataclass(frozen=True, slots=True)
class _ClipWindow:
    """The window of a clip.

    Attributes:
        samples: float32 ``[window_samples]``.
        content_hash: hash of the samples that were used.
        changes: how the clip was changed to a window, as words that follow "clips".
        problem: problem of a file that can be used nevertheless; empty without one.
    """

    samples: FloatArray
    content_hash: str
    changes: tuple[str, ...]
    problem: str


def _read_window(path: Path, front_end: FrontEndOptions) -> _ClipWindow:
    """Return a window of a clip: the middle of a longer clip; a shorter clip is extended with its mirrored end.

    Raises:
        RecordingError: when the clip is absent, unreadable, damaged, or shorter than half a window.
    """
    rate_hz, window_samples = front_end.rate_hz, front_end.window_samples
    clip = read_clip(path, rate_hz, at_most_samples=window_samples)
    recording, samples = clip.recording, clip.samples
    n_samples, window_s = recording.n_samples(rate_hz), window_samples / rate_hz
    if 2 * n_samples < window_samples:
        raise RecordingError(f"{path}: {recording.duration_s:g} s are less than half of a window of {window_s:g} s")
    changes = []
    if recording.rate_hz != rate_hz:
        changes.append(f"resampled from {recording.rate_hz} Hz to {rate_hz} Hz")
    if recording.channels > 1:
        changes.append(f"with {recording.channels} channels, of which the first was used")
    if n_samples > window_samples:
        changes.append(f"longer than {window_s:g} s, of which the middle was used")
    if n_samples < window_samples:
        changes.append(f"shorter than {window_s:g} s, extended with their mirrored end")
        samples = np.pad(samples, (0, window_samples - n_samples), "reflect")
    problem = f"{path}: {recording.problem}" if recording.problem else ""
    return _ClipWindow(samples, _content_hash(_samples_of_file(clip, front_end)), tuple(changes), problem)


def _samples_of_file(clip: ClipSound, front_end: FrontEndOptions) -> FloatArray:
    """Return the samples of the window at the rate of the file, so that the hash does not depend on the resampler."""
    recording = clip.recording
    if recording.rate_hz == front_end.rate_hz:
        return clip.samples
    begin, end = (
        at * recording.rate_hz // front_end.rate_hz
        for at in (clip.begin_sample, clip.begin_sample + front_end.window_samples)
    )
    return reading.read(recording, 1, recording.rate_hz, begin, end).samples


def _content_hash(samples: FloatArray) -> str:
    """Return 16 hexadecimal digits.

    Samples are hashed as 16-bit integers where these are exact, as in the Kaggle clips, else as they are: rounded to 16
    bits, all quiet clips of other formats would be equal.
    """
    scaled = samples * np.float32(32768)
    rounded = np.clip(np.rint(scaled), -32768, 32767)
    content = rounded.astype("<i2") if np.array_equal(rounded, scaled) else samples.astype("<f4")
    return hashlib.sha256(content.tobytes()).hexdigest()[:16]


def _with_traces(clips: tuple[Clip, ...], options: ReadOptions) -> tuple[Clip, ...]:
    """Return the clips with the strongest trace of those that hold a call of one class."""
    front_end = FrontEnd(options.front_end)
    with_trace = list(clips)
    indices = [i for i, clip in enumerate(clips) if clip.holds_call]
    for first in range(0, len(indices), _BATCH):
        batch = indices[first : first + _BATCH]
        with torch.inference_mode():
            power = front_end.normalise(torch.from_numpy(np.stack([clips[i].samples for i in batch]))).power
        for i, box in zip(batch, trace_boxes(power.numpy(), options.front_end).tolist(), strict=True):
            if np.isfinite(box).all():
                begin, end, low_hz, high_hz = box
                call = Call(begin, end, low_hz, high_hz, int(clips[i].targets.argmax()))
                with_trace[i] = replace(clips[i], call=call)
    return tuple(with_trace)


def contradictory_clips(clips: Sequence[Clip]) -> tuple[frozenset[int], tuple[DataProblem, ...]]:
    """Return the indices of clips with the same sound and different labels, and a problem for each such set.

    Only clips whose group is the hash of their content are compared; those without a label contradict nothing.
    """
    by_content: dict[str, list[int]] = defaultdict(list)
    for i, clip in enumerate(clips):
        if CONTENT_HASH.fullmatch(clip.group) and clip.is_labelled:
            by_content[clip.group].append(i)
    contradictory: list[int] = []
    problems = []
    for indices in by_content.values():
        if any((clips[i].targets != clips[indices[0]].targets).any() for i in indices):
            contradictory += indices
            names = " and ".join(clips[i].name for i in indices)
            text = f"{names} have the same sound but different labels, and were not used: correct {TABLE_NAME}"
            problems.append(DataProblem(_CONTRADICTORY, text))
    return frozenset(contradictory), tuple(problems)


def with_time_blocks(clips: Sequence[Clip]) -> tuple[Clip, ...]:
    """Return the clips with blocks of time as groups, where their order in time is known."""
    by_folder: dict[str, list[tuple[int, str, int]]] = defaultdict(list)
    for i, clip in enumerate(clips):
        if clip.order is not None:
            folder, number = clip.order
            by_folder[folder].append((number, clip.name, i))
    grouped = list(clips)
    for folder, numbered in by_folder.items():
        n_blocks = max(1, min(_MOST_BLOCKS, len(numbered) // _LEAST_CLIPS))
        for rank, (_, _, i) in enumerate(sorted(numbered)):
            block = rank * n_blocks // len(numbered) + 1
            grouped[i] = replace(clips[i], group=f"{Path(folder).name} block {block} of {n_blocks}")
    return tuple(grouped)
