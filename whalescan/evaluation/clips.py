"""How well a model tells clips with a call from clips without one."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
import soxr
from sklearn.metrics import accuracy_score, average_precision_score, brier_score_loss, roc_auc_score
from tqdm import tqdm

from whalescan.audio.windows import cut, hearing
from whalescan.core import FloatArray, UsageError, WindowGrid
from whalescan.detector.model_spec import UPCALL, Model, find_model
from whalescan.evaluation import bootstrap, metrics
from whalescan.evaluation.bootstrap import Draws, Interval
from whalescan.evaluation.metrics import Calibration, Flags, Numbers
from whalescan.evaluation.wording import some_of
from whalescan.options import ScoreOptions

TABLE, FOLDER = "train.csv", "train"
HELD_OUT = "validation"
_LABELS = {"0": False, "1": True}
_CLIPS_AT_A_TIME = 256
_BATCH_SIZE = 32


@dataclass(frozen=True, slots=True)
class ClipOptions:
    """Which clips are scored, and how they are judged.

    Attributes:
        only: a table with the column ``clip_name``; where it has a column ``side`` too, only its ``validation`` rows count.
        channel: 1-based.
        label: the class; empty for the model's first.
        threshold: score from which a clip is taken to hold a call; None for the model's own.
        draws: of the bootstrap.
    """

    only: Path | None = None
    channel: int = 1
    label: str = ""
    threshold: float | None = None
    draws: Draws = field(default_factory=Draws)


@dataclass(frozen=True, slots=True)
class ClipEvaluation:
    """How well clips are told apart.

    Attributes:
        names: of the clips, in the order of the table.
        is_call: bool ``[n_clips]``, as they are labelled.
        scores: float64 ``[n_clips]``; of a clip longer than a window the highest of its windows.
        threshold: the model's, or the one that was asked for.
        values: the measures by their names; thresholds stand in the names.
        intervals: of the same measures, over clips.
        notes: what was left out and what to keep in mind.
    """

    model: str
    names: tuple[str, ...]
    is_call: Flags
    scores: Numbers
    threshold: float
    values: dict[str, float]
    intervals: dict[str, Interval | None]
    calibration: Calibration | None
    draws: Draws
    notes: tuple[str, ...]


def evaluate_clips(model_path: Path, root: Path, options: ClipOptions) -> ClipEvaluation:
    """Score the clips of a folder with a model, and compare with their labels.

    Raises:
        UsageError: when the folder is not in the layout of the Kaggle whale challenge (``train.csv`` with ``clip_name`` and
            ``label``, the sound in ``train/``), no clip can be read, or only one of the labels is left.
        ModelError: when the model cannot be used.
    """
    model = find_model(model_path)
    column = _column(model, options.label)
    labelled, notes = _labelled(root, options.only)
    names, scores, problems = _score(model, column, root, list(labelled), options.channel)
    if problems:
        notes.append(f"left out, as they cannot be read: {some_of(problems)}")
    is_call = np.array([labelled[name] for name in names], np.bool_)
    if len(set(is_call.tolist())) < 2:
        first = f" ({problems[0]})" if problems else ""
        raise UsageError(f"{root}: of {len(names)} clips that can be used, none or all hold a call; both are needed{first}")
    threshold = model.spec.thresholds[column] if options.threshold is None else options.threshold
    wanted = _measures(threshold)
    return ClipEvaluation(
        model=model.name,
        names=tuple(names),
        is_call=is_call,
        scores=scores,
        threshold=threshold,
        values={name: measure(is_call, scores) for name, measure in wanted.items()},
        intervals=bootstrap.over_clips(is_call, scores, wanted, options.draws),
        calibration=metrics.calibration(scores, is_call),
        draws=options.draws,
        notes=tuple(notes),
    )


def _measures(threshold: float) -> dict[str, Callable[[Flags, Numbers], float]]:
    """Name and function of each measure."""

    def accuracy(at: float) -> Callable[[Flags, Numbers], float]:
        return lambda is_call, scores: float(accuracy_score(is_call, scores >= at))

    return {
        "AUC": lambda is_call, scores: float(roc_auc_score(is_call, scores)),
        "average precision": lambda is_call, scores: float(average_precision_score(is_call, scores)),
        **{f"accuracy at {at:g}": accuracy(at) for at in sorted({0.5, threshold})},
        "Brier score": lambda is_call, scores: float(brier_score_loss(is_call, scores)),
    }


def _column(model: Model, label: str) -> int:
    if label and label not in model.spec.classes:
        raise UsageError(f"--class {label!r} is none of the model's; it knows {', '.join(model.spec.classes)}")
    if not label and UPCALL not in model.spec.classes:
        known = ", ".join(model.spec.classes)
        raise UsageError(
            f"{model.path}: knows {known}, not {UPCALL}; say with --class which of them the clips are labelled by"
        )
    return model.spec.classes.index(label or UPCALL)


def _labelled(root: Path, only: Path | None) -> tuple[dict[str, bool], list[str]]:
    """Whether each clip holds a call, and what was left out."""
    table = root / TABLE
    try:
        labelled = {row["clip_name"]: _LABELS[row["label"]] for row in _rows(table)}
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise UsageError(f"{table}: not a table with the columns clip_name and label (0 or 1): {error}") from error
    if only is None:
        return labelled, [
            "every clip of the folder counts; if the model was taught on some of them, say which to use (--clips)"
        ]
    try:
        wanted = [row["clip_name"] for row in _rows(only) if row.get("side", HELD_OUT) == HELD_OUT]
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise UsageError(f"{only}: not a table with the column clip_name: {error}") from error
    chosen = {name: labelled[name] for name in wanted if name in labelled}
    if not chosen:
        raise UsageError(f"{only}: none of its {len(wanted)} clips is in {table}")
    absent = [name for name in dict.fromkeys(wanted) if name not in labelled]
    return chosen, [f"left out, as {TABLE} does not have them: {some_of(absent)}"] if absent else []


def _rows(table: Path) -> Iterator[dict[str, str]]:
    with table.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


def _score(
    model: Model, column: int, root: Path, names: Sequence[str], channel: int
) -> tuple[list[str], Numbers, list[str]]:
    """Clips that can be read, their scores, and what is wrong with the others."""
    from whalescan.detector.device import choose_device  # torch takes seconds to import
    from whalescan.detector.scorer import Scorer  # torch takes seconds to import

    grid = model.spec.grid(ScoreOptions.hop_s)
    side_by_side = WindowGrid(grid.rate_hz, grid.window_samples, grid.window_samples)
    scorer = Scorer(model, choose_device("auto"), _BATCH_SIZE)
    scored: list[str] = []
    scores: list[float] = []
    problems: list[str] = []
    with tqdm(total=len(names), desc="scoring clips", unit="clip", disable=None) as progress:
        for begin in range(0, len(names), _CLIPS_AT_A_TIME):
            clips, some = [], names[begin : begin + _CLIPS_AT_A_TIME]
            for name in some:
                try:
                    clips.append(clip_windows(read_clip(root / FOLDER / name, channel, grid.rate_hz), grid))
                    scored.append(name)
                except (OSError, soundfile.SoundFileError, ValueError) as error:
                    problems.append(f"{name}: {error}")
            if clips:
                windows = np.concatenate(clips)
                found = scorer.score(windows.ravel(), side_by_side, len(windows)).scores[:, column]
                ends = np.cumsum([len(clip) for clip in clips])
                scores += [float(own.max()) for own in np.split(found, ends[:-1])]
            progress.update(len(some))
    return scored, np.array(scores, np.float64), problems


def read_clip(path: Path, channel: int, rate_hz: int) -> FloatArray:
    """Samples ``[n]`` of a clip at the model's rate.

    Raises:
        OSError, SoundFileError, ValueError: when there are none to be had.
    """
    samples, own_rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    if channel > samples.shape[1]:
        raise ValueError(f"has no channel {channel}")
    if len(samples) == 0 or not np.isfinite(samples).all():
        raise ValueError("holds no sound, or samples that are no finite numbers")
    clip: FloatArray = np.ascontiguousarray(samples[:, channel - 1])
    return clip if own_rate_hz == rate_hz else soxr.resample(clip, own_rate_hz, rate_hz)


def clip_windows(samples: FloatArray, grid: WindowGrid) -> FloatArray:
    """Windows ``[n_windows, window_samples]`` of a clip; what the last one lacks is filled with its mirrored sound."""
    n = grid.n_windows(len(samples))
    return cut(samples, grid, hearing(grid, 0, n, len(samples)), np.arange(n))
