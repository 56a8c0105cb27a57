"""Training examples from folders of labelled clips: one window per clip."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from whalescan.audio import reading
from whalescan.core import BoolArray, FloatArray, RecordingError
from whalescan.detector.model_spec import UPCALL
from whalescan.tables.clip_tables import SOUND_FOLDER, TABLE_NAME, ClipRow, ClipSound, read_clip, read_clip_table
from whalescan.training.examples import (
    CONTENT_HASH,
    DataOptions,
    DataProblem,
    ExampleLabel,
    Examples,
    ExtractionOptions,
    FolderExamples,
)

_UNUSABLE = "clips that cannot be used, or not as they are"
_LABELS = "labels"
_CHANGED = "kinds of clips that were changed"
_CONTRADICTORY = "clips with the same sound and different labels"


@dataclass(frozen=True, slots=True)
class _LabelledClip:
    """A clip and the meaning of its label.

    Attributes:
        group: of the table; empty where it gives none, and the hash of the clip's content is used.
    """

    name: str
    example_label: ExampleLabel
    class_name: str
    group: str


@dataclass(frozen=True, slots=True)
class ClipFolder:
    """A folder of labelled clips whose sound is not read yet.

    Attributes:
        root: the folder.
        clips: in the order of the table, without repetitions.
        classes: classes of the clips with a call.
        problems: problems of the table.
    """

    root: Path
    clips: tuple[_LabelledClip, ...]
    classes: frozenset[str]
    problems: tuple[DataProblem, ...]

    def extract(self, extraction: ExtractionOptions) -> FolderExamples:
        """Read the clips and return one window of each."""
        certain = [clip for clip in self.clips if clip.example_label in (ExampleLabel.CALL, ExampleLabel.NO_CALL)]
        used: list[_LabelledClip] = []
        windows: list[_ClipWindow] = []
        problems = list(self.problems)
        for clip in tqdm(certain, "reading clips", unit="clip", disable=extraction.quiet):
            try:
                windows.append(_read_window(self.root / SOUND_FOLDER / clip.name, extraction))
                used.append(clip)
            except RecordingError as error:
                problems.append(DataProblem(_UNUSABLE, str(error)))
        problems += [DataProblem(_UNUSABLE, window.problem) for window in windows if window.problem]
        changes = Counter(change for window in windows for change in window.changes)
        problems += [DataProblem(_CHANGED, f"{self.root}: clips {change}: {n:,}") for change, n in sorted(changes.items())]
        targets = np.array([[clip.class_name == name for name in extraction.classes] for clip in used], np.float32)
        examples = Examples(
            np.array([window.samples for window in windows], np.float32).reshape(-1, extraction.window_samples),
            targets.reshape(len(used), len(extraction.classes)),
            tuple(clip.name for clip in used),
            np.zeros(len(used)),
            tuple(clip.group or window.content_hash for clip, window in zip(used, windows, strict=True)),
        )
        n_uncertain = len(self.clips) - len(certain)
        return FolderExamples(examples, len(used), len(certain) - len(used), n_uncertain, tuple(problems))


def read_clip_folder(root: Path, options: DataOptions) -> ClipFolder:
    """Read the table of a folder of clips. A label is 0, 1 (an upcall), or the name of a class.

    The optional column ``group`` names what a split keeps on one side, such as the day of the recording.

    Raises:
        UsageError: when the folder has no such table.
    """
    table = read_clip_table(root / TABLE_NAME)
    rows = dict.fromkeys((row.name, *_interpret(row, options), row.group) for row in table.rows)
    clips = tuple(_LabelledClip(*row) for row in rows)
    problems = []
    if table.n_repeated:
        problems.append(DataProblem(_LABELS, f"{table.path}: repeated rows, ignored: {table.n_repeated:,}"))
    other = Counter(clip.class_name for clip in clips if clip.example_label == ExampleLabel.OTHER_CLASS)
    problems += [
        DataProblem(_LABELS, f"{table.path}: {options.unknown_label_message('clip', name, n)}")
        for name, n in sorted(other.items())
    ]
    classes = frozenset(clip.class_name for clip in clips if clip.example_label == ExampleLabel.CALL)
    return ClipFolder(root, clips, classes, tuple(problems))


def _interpret(row: ClipRow, options: DataOptions) -> tuple[ExampleLabel, str]:
    """Return the meaning of a label, and its class, which is empty for 0."""
    if row.label in dict(options.renamed) or row.number is None:
        return options.interpret(row.label)
    if row.number == 0:
        return ExampleLabel.NO_CALL, ""
    return options.interpret(UPCALL) if row.number == 1 else (ExampleLabel.OTHER_CLASS, row.label)


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


def _read_window(path: Path, extraction: ExtractionOptions) -> _ClipWindow:
    """Return a window of a clip: the middle of a longer clip; a shorter clip is extended with its mirrored end.

    Raises:
        RecordingError: when the clip is absent, unreadable, damaged, or shorter than half a window.
    """
    rate_hz, window_samples = extraction.rate_hz, extraction.window_samples
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
    return _ClipWindow(samples, _content_hash(_samples_of_file(clip, extraction)), tuple(changes), problem)


def _samples_of_file(clip: ClipSound, extraction: ExtractionOptions) -> FloatArray:
    """Return the samples of the window at the rate of the file, so that the hash does not depend on the resampler."""
    recording = clip.recording
    if recording.rate_hz == extraction.rate_hz:
        return clip.samples
    begin, end = (
        at * recording.rate_hz // extraction.rate_hz
        for at in (clip.begin_sample, clip.begin_sample + extraction.window_samples)
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


def contradictory_clips(examples: Examples) -> tuple[BoolArray, tuple[DataProblem, ...]]:
    """Return bool ``[n]``, true for clips with the same sound and different labels, and a problem for each such set.

    Only clips whose group is the hash of their content are compared.
    """
    by_content: dict[str, list[int]] = defaultdict(list)
    for i, group in enumerate(examples.groups):
        if CONTENT_HASH.fullmatch(group):
            by_content[group].append(i)
    is_contradictory = np.zeros(len(examples), np.bool_)
    problems = []
    for indices in by_content.values():
        if (examples.targets[indices] != examples.targets[indices[0]]).any():
            is_contradictory[indices] = True
            names = " and ".join(examples.names[i] for i in indices)
            text = f"{names} have the same sound but different labels, and were not used: correct {TABLE_NAME}"
            problems.append(DataProblem(_CONTRADICTORY, text))
    return is_contradictory, tuple(problems)
