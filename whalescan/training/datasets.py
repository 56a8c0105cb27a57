"""Training data: sounds from folders of clips, of annotated recordings, and of recordings without calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from whalescan.core import UsageError
from whalescan.detector.model_spec import FrontEndOptions
from whalescan.tables.clip_tables import TABLE_NAME
from whalescan.training.annotated_recordings import AnnotatedFolder, read_annotated_folder
from whalescan.training.backgrounds import read_backgrounds
from whalescan.training.clips import ClipFolder, contradictory_clips, read_clip_folder, with_time_blocks
from whalescan.training.labels import DataOptions, DataProblem, ReadOptions, data_problem_lines
from whalescan.training.sounds import Background, TrainingSounds
from whalescan.training.training_options import TrainData


@dataclass(frozen=True, slots=True)
class Dataset:
    """The sounds that a model is trained on, and the problems of their data.

    Attributes:
        sounds: first clips, in the order of their tables, then parts of recordings, in the order of names, channels and
            times; folders in the given order.
        problems: problems of the data, one line each.
        n_clips, n_recordings, n_without_calls: numbers of clips, annotated recordings and recordings without calls in use.
        n_skipped: number of clips and annotated recordings that could not be used; ``problems`` has the reasons.
        n_uncertain: number of clips and selections that are uncertain or of another class.
        n_unlabelled: number of clips without a label, of those in use.
    """

    sounds: TrainingSounds
    problems: tuple[str, ...] = field(repr=False)
    n_clips: int
    n_recordings: int
    n_without_calls: int
    n_skipped: int
    n_uncertain: int
    n_unlabelled: int

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.sounds.classes


def read_training_sounds(data: TrainData, front_end: FrontEndOptions, quiet: bool = False) -> Dataset:
    """Read folders of clips (``train.csv`` and ``train/``), of recordings with Raven tables, and recordings without calls.

    The same files and options give identical sounds.

    Args:
        data: the folders of either kind, recordings without calls, and the interpretation of labels.
        front_end: rate of the sounds, length of clips, and frames in which levels are measured.
        quiet: show no progress bar.

    Raises:
        UsageError: when a folder cannot be used at all, a class has no call, or there is no sound without a call. The
            message lists everything that prevents training, and all other problems.
    """
    folders, obstacles = _read_folders(data.roots, data.selection)
    classes = data.selection.classes or tuple(sorted({name for folder in folders for name in folder.classes}))
    options = ReadOptions(classes, front_end, data.selection, quiet)
    of_clips = [folder.read(options) for folder in folders if isinstance(folder, ClipFolder)]
    of_recordings = [folder.read(options) for folder in folders if isinstance(folder, AnnotatedFolder)]
    parts = [*of_clips, *of_recordings]
    backgrounds, problems_of_backgrounds = _read_backgrounds(data, options, obstacles)
    clips = tuple(clip for part in of_clips for clip in part.clips)
    contradictory, contradictions = contradictory_clips(clips)
    clips = with_time_blocks([clip for i, clip in enumerate(clips) if i not in contradictory])
    annotated = tuple(sound for part in of_recordings for sound in part.annotated)
    sounds = TrainingSounds(classes, front_end.rate_hz, clips, annotated, backgrounds)
    of_folders = [problem for part in parts for problem in part.problems]
    problems = data_problem_lines([*of_folders, *contradictions, *problems_of_backgrounds])
    obstacles += _missing_sounds(sounds)
    if obstacles:
        raise UsageError(_report(obstacles, problems))
    return Dataset(
        sounds,
        problems,
        n_clips=len(clips),
        n_recordings=sum(part.n_used for part in of_recordings),
        n_without_calls=len({(sound.source, sound.name) for sound in backgrounds}),
        n_skipped=sum(part.n_skipped for part in parts) + len(contradictory),
        n_uncertain=sum(part.n_uncertain for part in parts),
        n_unlabelled=sum(not clip.is_labelled for clip in clips),
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


def _read_backgrounds(
    data: TrainData, options: ReadOptions, obstacles: list[str]
) -> tuple[tuple[Background, ...], tuple[DataProblem, ...]]:
    """Return the recordings without calls and their problems; what prevents reading is added to the obstacles."""
    try:
        return read_backgrounds(data.without_calls, options.front_end, options.quiet)
    except UsageError as error:
        obstacles.append(str(error))
        return (), ()


def _missing_sounds(sounds: TrainingSounds) -> Iterator[str]:
    """Return a message for each kind of sound that training needs and the data lack."""
    if not sounds.classes:
        yield "no example of a call: no clip is labelled 1, and no selection has a label that is certain"
    for name, n in zip(sounds.classes, sounds.calls_per_class, strict=True):
        if n == 0:
            yield f"no example of {name!r}: label some with it, rename a label to it, or leave out the class"
    if not sounds.holds_no_call_somewhere:
        yield (
            "no example without a call: training also needs negative examples; add clips labelled 0, recordings without "
            "calls, or longer recordings"
        )


def _report(obstacles: Sequence[str], problems: Sequence[str]) -> str:
    parts = ["the data cannot be used for training:", *obstacles]
    if problems:
        parts += ["further problems:", *problems]
    return "\n".join(part if part.endswith(":") else f"  {part}" for part in parts)
