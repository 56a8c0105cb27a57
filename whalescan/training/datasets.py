"""What a model is taught with: folders of clips and of annotated recordings, gathered and looked through before training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from whalescan.audio import reading, recordings
from whalescan.core import FloatArray, RecordingError, UsageError
from whalescan.training import annotated_recordings, labelled_clips
from whalescan.training.annotated_recordings import AnnotatedFolder
from whalescan.training.examples import CutPlan, DataOptions, Examples, Problem, problem_lines
from whalescan.training.labelled_clips import ClipFolder

__all__ = ["DataOptions", "Gathered", "WithoutCalls", "gather", "read_without_calls"]
_UNREADABLE = "recordings without calls that cannot be used, or not wholly"


@dataclass(frozen=True, slots=True)
class Gathered:
    """All that can be learnt from, and all that was wrong.

    Attributes:
        examples: clips in the order of their tables, windows of recordings in the order of names, channels and times; folder
            by folder as they were given, clips first.
        classes: columns of the targets.
        problems: what was wrong with the data, one line each.
        n_clips, n_recordings: that gave examples.
        n_skipped: clips and recordings that could not be used; ``problems`` says why.
        n_uncertain: clips and selections that are neither call nor not.
    """

    examples: Examples
    classes: tuple[str, ...]
    problems: tuple[str, ...]
    n_clips: int
    n_recordings: int
    n_skipped: int
    n_uncertain: int


def gather(roots: Sequence[Path], options: DataOptions, rate_hz: int, window_samples: int, quiet: bool = False) -> Gathered:
    """Cut examples from folders of clips (``train.csv`` and ``train/``) and of recordings with Raven tables, in any mixture.

    The same files and options give the same examples, bit by bit.

    Args:
        roots: the folders.
        options: how labels are understood, and how much is taken beside the calls.
        rate_hz: sampling rate of the windows.
        window_samples: length of a window.
        quiet: no progress bar.

    Raises:
        UsageError: when a folder cannot be used at all, a class has no example, or nothing is without a call. The text is
            the whole report: what stops training, and all else that is wrong.
    """
    folders, stops = _look(roots, options)
    classes = options.classes or tuple(sorted({name for folder in folders for name in folder.classes}))
    plan = CutPlan(classes, rate_hz, window_samples, options, quiet)
    of_clips = [folder.cut(plan) for folder in folders if isinstance(folder, ClipFolder)]
    of_recordings = [folder.cut(plan) for folder in folders if isinstance(folder, AnnotatedFolder)]
    none = Examples.none(window_samples, len(classes))
    read = _join([cutting.examples for cutting in of_clips], none)
    wrong, contradictions = labelled_clips.contradictory(read)
    examples = _join([read.where(~wrong), *(cutting.examples for cutting in of_recordings)], none)
    cuttings = [*of_clips, *of_recordings]
    problems = problem_lines([*(problem for cutting in cuttings for problem in cutting.problems), *contradictions])
    stops += _what_is_missing(examples, classes)
    if stops:
        raise UsageError(_report(stops, problems))
    n_wrong = int(wrong.sum())
    return Gathered(
        examples,
        classes,
        problems,
        n_clips=len(read) - n_wrong,
        n_recordings=sum(cutting.n_used for cutting in of_recordings),
        n_skipped=sum(cutting.n_skipped for cutting in cuttings) + n_wrong,
        n_uncertain=sum(cutting.n_uncertain for cutting in cuttings),
    )


def _look(roots: Sequence[Path], options: DataOptions) -> tuple[list[ClipFolder | AnnotatedFolder], list[str]]:
    """The folders that can be used, each once, and what is wrong with the others."""
    folders: list[ClipFolder | AnnotatedFolder] = []
    stops = []
    for root in dict.fromkeys(root.absolute() for root in roots):
        try:
            if root.is_file():
                raise UsageError(f"{root}: a file; give the folder in which it lies")
            holds_clips = (root / labelled_clips.TABLE).is_file()
            folders.append(labelled_clips.look(root, options) if holds_clips else annotated_recordings.look(root, options))
        except UsageError as error:
            stops.append(str(error))
    return folders, stops


def _join(parts: Sequence[Examples], none: Examples) -> Examples:
    return Examples.join([part for part in parts if len(part)] or [none])


def _what_is_missing(examples: Examples, classes: Sequence[str]) -> Iterator[str]:
    """What a detector cannot be taught without."""
    if not classes:
        yield "no call: no clip is labelled 1, and no selection has a label that is certain"
    for name, n in zip(classes, examples.targets.sum(axis=0), strict=True):
        if n == 0:
            yield f"no example of {name!r}; label some so, rename a label to it, or do without the class"
    if examples.holds_call.all():
        yield "no example without a call; add clips labelled 0, or recordings in which not everything is a call"


def _report(stops: Sequence[str], problems: Sequence[str]) -> str:
    parts = ["nothing can be learnt from these data as they are:", *stops]
    if problems:
        parts += ["also found:", *problems]
    return "\n".join(part if part.endswith(":") else f"  {part}" for part in parts)


@dataclass(frozen=True, slots=True)
class WithoutCalls:
    """Windows in which nothing is a call.

    Attributes:
        windows: float32 ``[n, window_samples]``.
        names: the recording of each.
        problems: recordings that could not be used, or not wholly, one line each.
    """

    windows: FloatArray
    names: tuple[str, ...]
    problems: tuple[str, ...]


def read_without_calls(inputs: Sequence[str], rate_hz: int, window_samples: int, hop_samples: int) -> WithoutCalls:
    """Windows of recordings in which nothing is a call: humpback song, ships, fish.

    Args:
        inputs: folders, files and patterns.
        rate_hz: sampling rate of the windows.
        window_samples: length of a window.
        hop_samples: distance between the beginnings of neighbouring windows.

    Raises:
        UsageError: when an input is absent or holds no recording, or when no recording gives a window; names them all.
    """
    parts: list[FloatArray] = []
    names: list[str] = []
    problems: list[Problem] = []
    for found in recordings.find(inputs):
        try:
            recording = recordings.inspect(found)
            sound = reading.read(recording, 1, rate_hz, 0, recording.n_samples(rate_hz))
        except RecordingError as error:
            problems.append(Problem(_UNREADABLE, str(error)))
            continue
        if problem := recording.problem or next(iter(sound.problems), ""):
            problems.append(Problem(_UNREADABLE, f"{recording.path}: {problem}"))
        if len(sound.samples) < window_samples:
            text = (
                f"{recording.path}: {recording.duration_s:g} s are shorter than a window of {window_samples / rate_hz:g} s"
            )
            problems.append(Problem(_UNREADABLE, text))
            continue
        windows = np.lib.stride_tricks.sliding_window_view(sound.samples, window_samples)[::hop_samples]
        lost = np.lib.stride_tricks.sliding_window_view(sound.lost, window_samples)[::hop_samples]
        parts.append(windows[~lost.any(axis=1)])
        names += [recording.name] * len(parts[-1])
    lines = problem_lines(problems)
    if not names:
        raise UsageError("\n  ".join([f"{', '.join(inputs)}: no recording there gives a window:", *lines]))
    return WithoutCalls(np.concatenate(parts), tuple(names), lines)
