"""Labelled clips, in the layout of the Kaggle whale challenge, as examples: ``train.csv`` and ``train/``."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from whalescan.audio import reading, recordings
from whalescan.core import BoolArray, FloatArray, RecordingError, UsageError
from whalescan.detector.model_spec import UPCALL
from whalescan.training.examples import CONTENT, CutPlan, Cutting, DataOptions, Examples, Problem, Verdict

TABLE = "train.csv"
_FOLDER = "train"
_UNUSABLE = "clips that cannot be used, or not as they are"
_LABELS = "labels"
_CHANGED = "kinds of clips that were changed"
_CONTRADICTORY = "clips with the same sound and different labels"


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the table.

    Attributes:
        group: what is held out together; empty where the table does not say, and the clip's own content tells.
    """

    name: str
    verdict: Verdict
    label: str
    group: str


@dataclass(frozen=True, slots=True)
class ClipFolder:
    """Clips that a table lists, not yet read.

    Attributes:
        root: the folder.
        rows: clips that the table lists, in its order, each once.
        classes: of the clips that hold a call.
        problems: what was wrong so far.
    """

    root: Path
    rows: tuple[_Row, ...]
    classes: frozenset[str]
    problems: tuple[Problem, ...]

    def cut(self, plan: CutPlan) -> Cutting:
        """Read the clips, one window of each."""
        wanted = [row for row in self.rows if row.verdict in (Verdict.CALL, Verdict.NO_CALL)]
        used: list[_Row] = []
        clips: list[_Clip] = []
        problems = list(self.problems)
        for row in tqdm(wanted, "reading clips", unit="clip", disable=plan.quiet):
            try:
                clips.append(_read(self.root / _FOLDER / row.name, plan))
                used.append(row)
            except RecordingError as error:
                problems.append(Problem(_UNUSABLE, str(error)))
        problems += [Problem(_UNUSABLE, clip.problem) for clip in clips if clip.problem]
        changes = Counter(change for clip in clips for change in clip.changes)
        problems += [Problem(_CHANGED, f"{self.root}: {n} clips {change}") for change, n in sorted(changes.items())]
        targets = np.array([[row.label == name for name in plan.classes] for row in used], np.float32)
        examples = Examples(
            np.array([clip.window for clip in clips], np.float32).reshape(-1, plan.window_samples),
            targets.reshape(len(used), len(plan.classes)),
            tuple(row.name for row in used),
            np.zeros(len(used)),
            tuple(row.group or clip.group for row, clip in zip(used, clips, strict=True)),
        )
        n_uncertain = len(self.rows) - len(wanted)
        return Cutting(examples, len(used), len(wanted) - len(used), n_uncertain, tuple(problems))


def look(root: Path, options: DataOptions) -> ClipFolder:
    """Read a folder's table of clips: ``clip_name``, and ``label``: 0, 1 (an upcall), or the name of a class.

    A column ``group``, where there is one, says what is held out together, such as the day on which clips were recorded.

    Raises:
        UsageError: when it is no such table.
    """
    table = root / TABLE
    try:
        listed = pd.read_csv(table, dtype=str, keep_default_na=False, encoding="utf-8-sig").fillna("")
        told = [listed[name].str.strip() for name in ("clip_name", "label")]
        told.append(listed["group"].str.strip() if "group" in listed else told[0].map(lambda _: ""))
        entries = list(zip(*told, strict=True))
    except (OSError, KeyError, ValueError) as error:
        raise UsageError(f"{table}: not a table with the columns clip_name and label (0 or 1): {error}") from error
    rows = tuple(_Row(name, *_judge(label, options), group) for name, label, group in dict.fromkeys(entries))
    problems = []
    if n_twice := len(entries) - len(rows):
        problems.append(Problem(_LABELS, f"{table}: {n_twice} rows stand there twice and were used once"))
    foreign = Counter(row.label for row in rows if row.verdict == Verdict.FOREIGN)
    problems += [Problem(_LABELS, f"{table}: {options.foreign('clips', name, n)}") for name, n in sorted(foreign.items())]
    classes = frozenset(row.label for row in rows if row.verdict == Verdict.CALL)
    return ClipFolder(root, rows, classes, tuple(problems))


def _judge(label: str, options: DataOptions) -> tuple[Verdict, str]:
    """What a cell of the column ``label`` says, and the class; no class for 0."""
    if label in dict(options.renamed):
        return options.judge(label)
    try:
        number = float(label)
    except ValueError:
        return options.judge(label)
    if number == 0:
        return Verdict.NO_CALL, ""
    # another number than 0 and 1 is no name that anybody would give to a class
    return options.judge(UPCALL) if number == 1 else (Verdict.FOREIGN, label)


@dataclass(frozen=True, slots=True)
class _Clip:
    """A clip's window.

    Attributes:
        window: float32 ``[window_samples]``.
        group: of the sound that was used; the same sound has the same.
        changes: what was done to make it a window, as words that follow "37 clips".
        problem: what is wrong with the file although it can be used; empty where nothing is.
    """

    window: FloatArray
    group: str
    changes: tuple[str, ...]
    problem: str


def _read(path: Path, plan: CutPlan) -> _Clip:
    """One window of a clip: its middle where it is longer, filled with its mirrored end where it is a little shorter.

    Raises:
        RecordingError: when it is absent, unreadable, damaged, or shorter than half a window.
    """
    if not path.is_file():
        raise RecordingError(f"{path}: {TABLE} lists it, but it is not there; bring it back or delete its row")
    recording = recordings.inspect(recordings.Found(path.name, path, path.name))
    rate_hz, window_samples = plan.rate_hz, plan.window_samples
    n_samples, window_s = recording.n_samples(rate_hz), window_samples / rate_hz
    if 2 * n_samples < window_samples:
        raise RecordingError(f"{path}: its {recording.duration_s:g} s are less than half of a window of {window_s:g} s")
    begin = max(n_samples - window_samples, 0) // 2
    sound = reading.read(recording, 1, rate_hz, begin, begin + window_samples)
    if sound.lost.any():
        raise RecordingError(f"{path}: damaged ({sound.problems[0]}); copy it again or delete its row")
    own, changes = sound.samples, []
    if recording.rate_hz != rate_hz:
        changes.append(f"at {recording.rate_hz} Hz were resampled to {rate_hz} Hz")
        first, last = (at * recording.rate_hz // rate_hz for at in (begin, begin + window_samples))
        own = reading.read(recording, 1, recording.rate_hz, first, last).samples
    if recording.channels > 1:
        changes.append(f"have {recording.channels} channels, of which the first was used")
    if n_samples > window_samples:
        changes.append(f"are longer than {window_s:g} s, their middle was used")
    window = sound.samples
    if n_samples < window_samples:
        changes.append(f"are shorter than {window_s:g} s and were filled with their own sound, mirrored")
        window = np.pad(window, (0, window_samples - n_samples), "reflect")
    problem = f"{path}: {recording.problem}" if recording.problem else ""
    return _Clip(window, _content(own), tuple(changes), problem)


def _content(samples: FloatArray) -> str:
    """16 hex digits of the sound at the file's own rate, so that it does not depend on how anybody resamples.

    Of the samples in 16 bit where these are exact, as in the Kaggle clips; else of the samples themselves: rounded, quiet
    clips of other formats would all look like silence.
    """
    scaled = samples * np.float32(32768)
    rounded = np.clip(np.rint(scaled), -32768, 32767)
    content = rounded.astype("<i2") if np.array_equal(rounded, scaled) else samples.astype("<f4")
    return hashlib.sha256(content.tobytes()).hexdigest()[:16]


def contradictory(examples: Examples) -> tuple[BoolArray, tuple[Problem, ...]]:
    """Which clips ``[n]`` sound the same and are labelled differently, and their names; of these none can be believed.

    Only those whose groups are their contents are compared.
    """
    alike: dict[str, list[int]] = defaultdict(list)
    for i, group in enumerate(examples.groups):
        if CONTENT.fullmatch(group):
            alike[group].append(i)
    wrong = np.zeros(len(examples), np.bool_)
    problems = []
    for same in alike.values():
        if (examples.targets[same] != examples.targets[same[0]]).any():
            wrong[same] = True
            names = " and ".join(examples.names[i] for i in same)
            text = f"{names} hold the same sound but have different labels; left out, mend {TABLE}"
            problems.append(Problem(_CONTRADICTORY, text))
    return wrong, tuple(problems)
