"""Training data: examples from folders of clips and of annotated recordings, and windows of recordings without calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from whalescan.audio import reading, recordings
from whalescan.core import FloatArray, RecordingError, UsageError
from whalescan.tables.clip_tables import TABLE_NAME
from whalescan.training.annotated_recordings import AnnotatedFolder, read_annotated_folder
from whalescan.training.clip_examples import ClipFolder, contradictory_clips, read_clip_folder
from whalescan.training.examples import DataOptions, DataProblem, Examples, ExtractionOptions, data_problem_lines

__all__ = ["DataOptions", "Dataset", "NegativeWindows", "read_dataset", "read_negative_windows"]
_UNREADABLE = "recordings without calls that cannot be used, or only in part"


@dataclass(frozen=True, slots=True)
class Dataset:
    """Training examples, and the problems of their data.

    Attributes:
        examples: first clips, in the order of their tables, then windows of recordings, in the order of names, channels and
            times; folders in the given order.
        classes: columns of the targets.
        problems: problems of the data, one line each.
        n_clips, n_recordings: numbers of clips and recordings with examples.
        n_skipped: number of clips and recordings that could not be used; ``problems`` has the reasons.
        n_uncertain: number of clips and selections that are uncertain or of another class.
    """

    examples: Examples = field(repr=False)
    classes: tuple[str, ...]
    problems: tuple[str, ...] = field(repr=False)
    n_clips: int
    n_recordings: int
    n_skipped: int
    n_uncertain: int


def read_dataset(
    roots: Sequence[Path], options: DataOptions, rate_hz: int, window_samples: int, quiet: bool = False
) -> Dataset:
    """Extract examples from folders of clips (``train.csv`` and ``train/``) and folders of recordings with Raven tables.

    The same files and options give identical examples.

    Args:
        roots: the folders, of either kind.
        options: interpretation of labels, and amount of background.
        rate_hz: sampling rate of the windows.
        window_samples: length of a window.
        quiet: show no progress bar.

    Raises:
        UsageError: when a folder cannot be used at all, a class has no example, or there are no examples without a call. The
            message lists everything that prevents training, and all other problems.
    """
    folders, obstacles = _read_folders(roots, options)
    classes = options.classes or tuple(sorted({name for folder in folders for name in folder.classes}))
    extraction = ExtractionOptions(classes, rate_hz, window_samples, options, quiet)
    of_clips = [folder.extract(extraction) for folder in folders if isinstance(folder, ClipFolder)]
    of_recordings = [folder.extract(extraction) for folder in folders if isinstance(folder, AnnotatedFolder)]
    empty = Examples.empty(window_samples, len(classes))
    clips = _concatenate([part.examples for part in of_clips], empty)
    is_contradictory, contradictions = contradictory_clips(clips)
    examples = _concatenate([clips.select(~is_contradictory), *(part.examples for part in of_recordings)], empty)
    parts = [*of_clips, *of_recordings]
    problems = data_problem_lines([*(problem for part in parts for problem in part.problems), *contradictions])
    obstacles += _missing_examples(examples, classes)
    if obstacles:
        raise UsageError(_report(obstacles, problems))
    n_contradictory = int(is_contradictory.sum())
    return Dataset(
        examples,
        classes,
        problems,
        n_clips=len(clips) - n_contradictory,
        n_recordings=sum(part.n_used for part in of_recordings),
        n_skipped=sum(part.n_skipped for part in parts) + n_contradictory,
        n_uncertain=sum(part.n_uncertain for part in parts),
    )


def _read_folders(roots: Sequence[Path], options: DataOptions) -> tuple[list[ClipFolder | AnnotatedFolder], list[str]]:
    """Return the folders that can be used, without repetitions, and a message for each of the others."""
    folders: list[ClipFolder | AnnotatedFolder] = []
    obstacles = []
    for root in dict.fromkeys(root.absolute() for root in roots):
        try:
            if root.is_file():
                raise UsageError(f"{root}: a file, not a folder: give the folder that contains it")
            is_clip_folder = (root / TABLE_NAME).is_file()
            folders.append(read_clip_folder(root, options) if is_clip_folder else read_annotated_folder(root, options))
        except UsageError as error:
            obstacles.append(str(error))
    return folders, obstacles


def _concatenate(parts: Sequence[Examples], empty: Examples) -> Examples:
    return Examples.concatenate([part for part in parts if len(part)] or [empty])


def _missing_examples(examples: Examples, classes: Sequence[str]) -> Iterator[str]:
    """Return a message for each kind of example that training needs and the data lack."""
    if not classes:
        yield "no example of a call: no clip is labelled 1, and no selection has a label that is certain"
    for name, n in zip(classes, examples.targets.sum(axis=0), strict=True):
        if n == 0:
            yield f"no example of {name!r}: label some with it, rename a label to it, or leave out the class"
    if examples.holds_call.all():
        yield (
            "no example without a call: training also needs negative examples; add clips labelled 0, recordings without "
            "calls, or longer recordings"
        )


def _report(obstacles: Sequence[str], problems: Sequence[str]) -> str:
    parts = ["the data cannot be used for training:", *obstacles]
    if problems:
        parts += ["further problems:", *problems]
    return "\n".join(part if part.endswith(":") else f"  {part}" for part in parts)


@dataclass(frozen=True, slots=True)
class NegativeWindows:
    """Windows of recordings without calls.

    Attributes:
        windows: float32 ``[n, window_samples]``.
        names: recording of each window.
        problems: recordings that could not be used, or only in part, one line each.
    """

    windows: FloatArray
    names: tuple[str, ...]
    problems: tuple[str, ...]


def read_negative_windows(inputs: Sequence[str], rate_hz: int, window_samples: int, hop_samples: int) -> NegativeWindows:
    """Read the windows of recordings without calls, such as humpback song, ships or fish.

    Args:
        inputs: folders, files and patterns.
        rate_hz: sampling rate of the windows.
        window_samples: length of a window.
        hop_samples: distance between the begins of consecutive windows.

    Raises:
        UsageError: when an input is absent or contains no recording, or when no recording has a complete window.
    """
    parts: list[FloatArray] = []
    names: list[str] = []
    problems: list[DataProblem] = []
    for found in recordings.find_recordings(inputs):
        try:
            recording = recordings.read_header(found)
            sound = reading.read(recording, 1, rate_hz, 0, recording.n_samples(rate_hz))
        except RecordingError as error:
            problems.append(DataProblem(_UNREADABLE, str(error)))
            continue
        if problem := recording.problem or next(iter(sound.problems), ""):
            problems.append(DataProblem(_UNREADABLE, f"{recording.path}: {problem}"))
        if len(sound.samples) < window_samples:
            text = (
                f"{recording.path}: {recording.duration_s:g} s are shorter than a window of {window_samples / rate_hz:g} s"
            )
            problems.append(DataProblem(_UNREADABLE, text))
            continue
        windows = np.lib.stride_tricks.sliding_window_view(sound.samples, window_samples)[::hop_samples]
        lost = np.lib.stride_tricks.sliding_window_view(sound.is_unreadable, window_samples)[::hop_samples]
        parts.append(windows[~lost.any(axis=1)])
        names += [recording.name] * len(parts[-1])
    lines = data_problem_lines(problems)
    if not names:
        raise UsageError("\n  ".join([f"{', '.join(inputs)}: no recording has a complete, readable window:", *lines]))
    return NegativeWindows(np.concatenate(parts), tuple(names), lines)
