"""Evaluation of a model on labelled clips: how well it separates clips with a call from clips without one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, average_precision_score, brier_score_loss, roc_auc_score
from tqdm import tqdm

from whalescan.core import RecordingError, UsageError
from whalescan.core.text import count, list_some
from whalescan.detector.batching import MIN_SEGMENT_S
from whalescan.detector.model_spec import UPCALL, Model, find_model
from whalescan.evaluation import metrics
from whalescan.evaluation.metrics import BootstrapOptions, ConfidenceInterval, Flags, Numbers, Reliability
from whalescan.options import ScoreOptions
from whalescan.tables.clip_tables import HELD_OUT, SOUND_FOLDER, TABLE_NAME, ClipRow, read_clip, read_clip_table


@dataclass(frozen=True, slots=True)
class ClipEvaluationOptions:
    """Options of an evaluation on clips.

    Attributes:
        clip_list: table with the column ``clip_name``, whose clips are used; with a column ``side``, only those on the side
            ``validation``. None to use all clips.
        channel: 1-based.
        label: the class; empty for upcalls.
        threshold: score from which a clip is classified as a call; None for the threshold of the model.
        bootstrap: options of the bootstrap.
    """

    clip_list: Path | None = None
    channel: int = 1
    label: str = ""
    threshold: float | None = None
    bootstrap: BootstrapOptions = field(default_factory=BootstrapOptions)


@dataclass(frozen=True, slots=True)
class ClipEvaluation:
    """Evaluation of a model on labelled clips.

    Attributes:
        model: name of the model.
        names: clips, in the order of the table.
        is_call: bool ``[n_clips]``, labels.
        scores: float64 ``[n_clips]``; for a clip longer than a window the highest score of its windows.
        threshold: threshold of the accuracy.
        values: metrics by name; names of accuracies contain the threshold.
        intervals: confidence intervals of the same metrics; None without resamples.
        reliability: reliability of the scores.
        bootstrap: options of the bootstrap.
        notes: what was not used, and limits of the metrics.
    """

    model: str
    names: tuple[str, ...] = field(repr=False)
    is_call: Flags = field(repr=False)
    scores: Numbers = field(repr=False)
    threshold: float
    values: dict[str, float]
    intervals: dict[str, ConfidenceInterval | None] = field(repr=False)
    reliability: Reliability | None = field(repr=False)
    bootstrap: BootstrapOptions = field(repr=False)
    notes: tuple[str, ...] = field(repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Return a row per clip: clip_name, is_call and score."""
        return pd.DataFrame({"clip_name": self.names, "is_call": self.is_call, "score": self.scores})


def score_clips(model_path: Path, root: Path, options: ClipEvaluationOptions, quiet: bool = False) -> ClipEvaluation:
    """Score the clips of a folder with a model, and compare the scores with their labels.

    Args:
        model_path: the model file.
        root: folder with ``train.csv`` (``clip_name``, and ``label``: 0, 1, or the name of a class) and the clips in
            ``train/``.
        options: options of the evaluation.
        quiet: show no progress bar.

    Raises:
        UsageError: when the folder has another layout, no clip can be read, or all or none of the clips have a call.
        ModelError: when the model cannot be used.
    """
    model = find_model(model_path)
    column = _class_column(model, options.label)
    labels, notes = _read_labels(root, options.clip_list, model, column)
    names, scores, problems = _score(model, column, root, list(labels), options.channel, quiet)
    if problems:
        notes.append(f"not used: {list_some(problems)}")
    is_call = np.array([labels[name] for name in names], np.bool_)
    if len(set(is_call.tolist())) < 2:
        why = f" ({notes[-1]})" if notes else ""
        raise UsageError(
            f"{root}: clips with and without a call are needed, but {int(is_call.sum())} of "
            f"{count(len(names), 'usable clip')} hold a call{why}"
        )
    threshold = model.spec.thresholds[column] if options.threshold is None else options.threshold
    measures = _measures(threshold)
    return ClipEvaluation(
        model=model.name,
        names=tuple(names),
        is_call=is_call,
        scores=scores,
        threshold=threshold,
        values={name: measure(is_call, scores) for name, measure in measures.items()},
        intervals=metrics.clip_intervals(is_call, scores, measures, options.bootstrap),
        reliability=metrics.measure_reliability(scores, is_call),
        bootstrap=options.bootstrap,
        notes=tuple(notes),
    )


def _measures(threshold: float) -> dict[str, Callable[[Flags, Numbers], float]]:
    """Return the functions of the metrics by their names."""

    def accuracy(at: float) -> Callable[[Flags, Numbers], float]:
        return lambda is_call, scores: float(accuracy_score(is_call, scores >= at))

    return {
        "AUC": lambda is_call, scores: float(roc_auc_score(is_call, scores)),
        "average precision": lambda is_call, scores: float(average_precision_score(is_call, scores)),
        **{f"accuracy at {at:g}": accuracy(at) for at in sorted({0.5, threshold})},
        "Brier score": lambda is_call, scores: float(brier_score_loss(is_call, scores)),
    }


def _class_column(model: Model, label: str) -> int:
    classes = " or ".join(model.spec.classes)
    if label and label not in model.spec.classes:
        raise UsageError(f"invalid class {label!r}: expected {classes}, the classes of the model")
    if not label and UPCALL not in model.spec.classes:
        raise UsageError(f"{model.path}: has no class {UPCALL}; choose the class of the clips, {classes}")
    return model.spec.classes.index(label or UPCALL)


def _read_labels(root: Path, clip_list: Path | None, model: Model, column: int) -> tuple[dict[str, bool], list[str]]:
    """Return whether each clip holds a call of the class, and notes about clips that are not used."""
    rows = read_clip_table(root / TABLE_NAME).rows
    labels: dict[str, bool] = {}
    unknown: Counter[str] = Counter()
    for row in rows:
        holds_call = _holds_call(row, model, column)
        if holds_call is None:
            unknown[row.label] += 1
        else:
            labels[row.name] = holds_call
    classes = " or ".join(model.spec.classes)
    notes = [
        f"not used, labelled {label!r}: {count(n, 'clip')}; expected 0, 1 or {classes}"
        for label, n in sorted(unknown.items())
    ]
    if clip_list is None:
        notes.append("all clips of the folder are used; if the model was trained on some of them, give a list of the others")
        return labels, notes
    listed = read_clip_table(clip_list, required=("clip_name",)).rows
    wanted = list(dict.fromkeys(row.name for row in listed if row.side in (None, HELD_OUT)))
    chosen = {name: labels[name] for name in wanted if name in labels}
    if not chosen:
        raise UsageError(
            f"{clip_list}: none of its {count(len(wanted), 'clip')} is in {root / TABLE_NAME} with a known label"
        )
    known = {row.name for row in rows}
    if absent := [name for name in wanted if name not in known]:
        notes.append(f"not used, as {TABLE_NAME} does not list them: {list_some(absent)}")
    return chosen, notes


def _holds_call(row: ClipRow, model: Model, column: int) -> bool | None:
    """Return whether a clip holds a call of the class; None where its label is unknown or uncertain."""
    if row.label == model.spec.classes[column]:
        return True
    if row.label in model.spec.classes:
        return False
    return {0.0: False, 1.0: True}.get(row.number) if row.number is not None else None


def _score(
    model: Model, column: int, root: Path, names: Sequence[str], channel: int, quiet: bool
) -> tuple[list[str], Numbers, list[str]]:
    """Return the clips that can be read, their scores, and a message for each of the others.

    Each clip is scored alone, as `Model.score` does.
    """
    rate_hz = model.spec.front_end.rate_hz
    scored: list[str] = []
    scores: list[float] = []
    problems: list[str] = []
    for name in tqdm(names, desc="scoring clips", unit="clip", disable=True if quiet else None):
        try:
            samples = read_clip(root / SOUND_FOLDER / name, rate_hz, channel).samples
        except RecordingError as error:
            problems.append(str(error))
            continue
        of_windows = model.score(samples, rate_hz, hop_s=ScoreOptions.hop_s).scores[:, column]
        if np.isnan(of_windows).all():
            problems.append(f"{root / SOUND_FOLDER / name}: digital silence, or shorter than {MIN_SEGMENT_S:g} s")
            continue
        scored.append(name)
        scores.append(float(np.nanmax(of_windows)))
    return scored, np.array(scores, np.float64), problems
