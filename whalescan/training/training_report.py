"""Results of a training: its progress, and the files beside the model with curves and metrics."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from whalescan.core.files import write_atomically
from whalescan.core.text import count
from whalescan.detector.model_spec import ModelSpec
from whalescan.training.measurement import ClassMetrics
from whalescan.training.sounds import TrainingSounds

if TYPE_CHECKING:
    from whalescan.training.training_run import TrainingPlan

_CURVES = {"average_precision": "o-", "recall_at_one": "^:", "clips_auc": "s--", "clips_accuracy": "x--"}
"""Metrics of a class that are plotted, and how."""
_SMOOTHED_STEPS = 50
"""Losses are plotted as means over so many steps, or fewer in a short training."""


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """Loss and metrics after some steps.

    Attributes:
        step: number of steps taken.
        loss: mean since the validation before, on masked spectrograms and softened labels.
        classes: metrics on held-back sound by class; empty where nothing is held back.
    """

    step: int
    loss: float
    classes: dict[str, ClassMetrics]

    def __str__(self) -> str:
        text = f"step {self.step:,}: loss {self.loss:.4f}"
        if not self.classes:
            return text
        return f"{text}; held back: {'; '.join(f'{name}: {metrics}' for name, metrics in self.classes.items())}"

    @staticmethod
    def from_dict(fields: dict[str, Any]) -> TrainingProgress:
        """Return the progress from the dictionary of `dataclasses.asdict`."""
        classes = {name: ClassMetrics(**metrics) for name, metrics in fields["classes"].items()}
        return TrainingProgress(fields["step"], fields["loss"], classes)


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A finished training.

    Attributes:
        model: the model file.
        progress: loss and metrics during the training; the last is that of the trained network.
        losses: loss of each step.
        before: metrics of the initial model by class; empty where training did not start from one, or nothing was held back.
        keeps_start: whether the model has the weights of the initial model, as the trained ones are not better.
        problems: problems of the data, one line each.
    """

    model: Path
    progress: tuple[TrainingProgress, ...] = field(repr=False)
    losses: tuple[float, ...] = field(repr=False)
    before: dict[str, ClassMetrics] = field(repr=False)
    keeps_start: bool
    problems: tuple[str, ...] = field(repr=False)

    @property
    def metrics(self) -> dict[str, ClassMetrics]:
        """Metrics of the weights in the model file by class; empty where nothing was held back."""
        return self.before if self.keeps_start else self.progress[-1].classes

    def to_frame(self) -> pd.DataFrame:
        """Return a row per validation: step, loss, and the metrics of each class."""
        rows = []
        for one in self.progress:
            row: dict[str, Any] = {"step": one.step, "loss": one.loss}
            for name, metrics in one.classes.items():
                row |= {f"{name}: {what}": getattr(metrics, what) for what in _CURVES}
            rows.append(row)
        return pd.DataFrame(rows)


def path_beside(output: Path, suffix: str) -> Path:
    """Return the path of a file beside a model: ``model.curves.png`` for ``model.safetensors`` and ``.curves.png``."""
    return output.with_name(output.name.removesuffix(".safetensors") + suffix)


def provenance(plan: TrainingPlan) -> dict[str, Any]:
    """Return the provenance that is stored in the model file, with names of folders but not their paths."""
    training, held_out = plan.sides
    started_from = plan.start.name if plan.start else "random" if plan.options.random_start else "ImageNet"
    return {
        "data": [root.name for root in plan.data.roots],
        "without_calls": [Path(text).name for text in plan.data.without_calls],
        "training sound": amounts(training),
        "held-back sound": amounts(held_out),
        "started_from": started_from,
        "recipe": plan.options.recipe(),
        "torch": torch.__version__,
    }


def amounts(sounds: TrainingSounds) -> dict[str, Any]:
    """Return numbers and lengths of sounds."""
    return {
        "n_clips": len(sounds.clips),
        "n_clips_with_call": sum(clip.holds_call for clip in sounds.clips),
        "n_clips_without_label": sum(not clip.is_labelled for clip in sounds.clips),
        "n_annotated_recordings": len({sound.name for sound in sounds.annotated}),
        "annotated_hours": round(sounds.annotated_s / 3600, 4),
        "n_annotated_calls": sum(len(sound.calls) for sound in sounds.annotated),
        "n_recordings_without_calls": len({sound.name for sound in sounds.backgrounds}),
        "hours_without_calls": round(sounds.background_s / 3600, 4),
    }


def amounts_text(sounds: TrainingSounds) -> str:
    """Return numbers and lengths of sounds as text."""
    of = amounts(sounds)
    parts = []
    if of["n_clips"]:
        parts.append(f"{count(of['n_clips'], 'clip')} ({of['n_clips_with_call']:,} with a call)")
    if of["n_annotated_recordings"]:
        parts.append(
            f"{of['annotated_hours']:.2f} h of {count(of['n_annotated_recordings'], 'annotated recording')} with "
            f"{count(of['n_annotated_calls'], 'call')}"
        )
    if of["n_recordings_without_calls"]:
        recordings = count(of["n_recordings_without_calls"], "recording")
        parts.append(f"{of['hours_without_calls']:.2f} h of {recordings} without calls")
    return ", ".join(parts) or "nothing"


def write_training_report(result: TrainingResult, spec: ModelSpec) -> None:
    """Write ``.metrics.json`` and ``.curves.png`` beside the model."""
    metrics = {
        "model": result.model.name,
        "classes": spec.classes,
        "keeps_start": result.keeps_start,
        "validated": bool(result.metrics),
        "before": {name: asdict(one) for name, one in result.before.items()},
        "progress": [asdict(one) for one in result.progress],
        "losses": result.losses,
        "validation": [asdict(one) for one in spec.validation],
        "problems": result.problems,
        "training": spec.training,
    }
    write_atomically(path_beside(result.model, ".metrics.json"), (json.dumps(metrics, indent=2) + "\n").encode())
    image = io.BytesIO()
    _curves(result).savefig(image, dpi=120, format="png")
    write_atomically(path_beside(result.model, ".curves.png"), image.getvalue())


def _curves(result: TrainingResult) -> Figure:
    figure = Figure(figsize=(9, 4), layout="constrained")
    loss_axes, metric_axes = figure.subplots(1, 2)
    width = max(1, min(_SMOOTHED_STEPS, len(result.losses) // 20))
    n = len(result.losses) // width
    loss_axes.plot(width * (np.arange(n) + 1), np.reshape(result.losses[: n * width], (n, width)).mean(axis=1))
    loss_axes.set(xlabel="step", ylabel="loss", title="loss on the training sound")
    measured = [one for one in result.progress if one.classes]
    if result.before:
        measured = [TrainingProgress(0, float("nan"), result.before), *measured]
    for name in measured[-1].classes if measured else ():
        for metric, line in _CURVES.items():
            values = [(one.step, getattr(one.classes[name], metric)) for one in measured if name in one.classes]
            known = [(step, value) for step, value in values if value is not None]
            if known:
                metric_axes.plot(*zip(*known, strict=True), line, label=f"{name}: {metric.replace('_', ' ')}")
    metric_axes.set(xlabel="step", title="held-back sound" if measured else "nothing is held back")
    if measured:
        metric_axes.legend(fontsize="small")
    for axes in (loss_axes, metric_axes):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    return figure
