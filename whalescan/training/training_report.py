"""Results of a training: metrics on held-out examples, epochs, and the files beside the model with curves and metrics."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from sklearn.metrics import accuracy_score, average_precision_score, log_loss, roc_auc_score

from whalescan.core import FloatArray
from whalescan.core.files import write_atomically
from whalescan.detector.device import best_dtype
from whalescan.detector.model_spec import Model, ModelSpec
from whalescan.detector.network import Detector
from whalescan.detector.score_calibration import fit_platt
from whalescan.training.datasets import Dataset
from whalescan.training.training_options import TrainData, TrainOptions

_FEWEST = 20
"""Smallest number of examples with, and without, a call, from which a calibration is fitted."""


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """Metrics of one class, from 0 to 1, for windows with and without a call.

    Attributes:
        auc: area under the ROC curve.
        accuracy: share of windows that a score of 0.5 classifies correctly, with scores calibrated on the same windows.
        average_precision: average precision of windows, not of calls in continuous recordings.
        n, n_calls: numbers of windows, and of windows with a call.
    """

    auc: float
    accuracy: float
    average_precision: float
    n: int
    n_calls: int


@dataclass(frozen=True, slots=True)
class HeldOutMetrics:
    """Metrics of one epoch on the held-out examples.

    Attributes:
        loss: cross entropy of the uncalibrated scores, mean over classes.
        classes: metrics by class, without classes for which all or none of the held-out windows have a call.
        calibration: slope and offset of each class, in the order of the classes, fitted on these examples; (1, 0) where the
            examples are too few.
    """

    loss: float
    classes: dict[str, ClassMetrics]
    calibration: tuple[tuple[float, float], ...]

    @property
    def auc(self) -> float:
        """Return the mean AUC of the classes, by which epochs are compared."""
        return float(np.mean([metrics.auc for metrics in self.classes.values()]))


def logits_of(detector: Detector, windows: FloatArray, device: torch.device, batch_size: int = 64) -> FloatArray:
    """Return logits ``[n, n_classes]``, computed in the precision in which recordings are scored."""
    dtype = best_dtype(device)
    with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        parts = [
            detector.classify(detector.frontend(batch.to(device))).cpu()
            for batch in torch.from_numpy(windows).split(batch_size)
        ]
    return torch.cat(parts).numpy()


def measure_held_out(targets: FloatArray, logits: FloatArray, classes: tuple[str, ...]) -> HeldOutMetrics | None:
    """Return metrics of logits ``[n, n_classes]``; None where no class is held out both with and without calls."""
    measured: dict[str, ClassMetrics] = {}
    calibration, losses = [], []
    for k, name in enumerate(classes):
        holds_call = targets[:, k] > 0.5
        if holds_call.all() or not holds_call.any():
            calibration.append((1.0, 0.0))
            continue
        slope, offset = fit_platt(logits[:, k], holds_call)
        enough = min(holds_call.sum(), (~holds_call).sum()) >= _FEWEST and slope > 0
        slope, offset = (slope, offset) if enough else (1.0, 0.0)
        calibration.append((slope, offset))
        losses.append(log_loss(holds_call, 1 / (1 + np.exp(-logits[:, k].astype(np.float64))), labels=[False, True]))
        measured[name] = ClassMetrics(
            auc=float(roc_auc_score(holds_call, logits[:, k])),
            accuracy=float(accuracy_score(holds_call, slope * logits[:, k] + offset > 0)),
            average_precision=float(average_precision_score(holds_call, logits[:, k])),
            n=len(targets),
            n_calls=int(holds_call.sum()),
        )
    return HeldOutMetrics(float(np.mean(losses)), measured, tuple(calibration)) if measured else None


_CURVES = {"auc": "o-", "accuracy": "s--", "average_precision": "^:"}
"""Metrics of a class that are plotted, and how."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """Losses and metrics of one epoch.

    Attributes:
        number: counted from 1.
        loss: mean over the steps, on augmented examples and softened targets.
        validation: metrics of the held-out examples; None where none are held out.
    """

    number: int
    loss: float
    validation: HeldOutMetrics | None

    def __str__(self) -> str:
        text = f"epoch {self.number}: loss {self.loss:.4f}"
        if self.validation is None:
            return text
        measured = (
            f"{name}: AUC {m.auc:.4f}, accuracy {m.accuracy:.4f}, average precision {m.average_precision:.4f}"
            for name, m in self.validation.classes.items()
        )
        return f"{text}; held out: {'; '.join(measured)}"

    @staticmethod
    def from_dict(fields: dict[str, Any]) -> Epoch:
        """Return an epoch from the dictionary of `dataclasses.asdict`."""
        stored = fields["validation"]
        validation = None
        if stored is not None:
            classes = {name: ClassMetrics(**metrics) for name, metrics in stored["classes"].items()}
            calibration = tuple((slope, offset) for slope, offset in stored["calibration"])
            validation = HeldOutMetrics(stored["loss"], classes, calibration)
        return Epoch(fields["number"], fields["loss"], validation)


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A finished training.

    Attributes:
        model: the model file.
        dataset: training and held-out examples.
        epochs: all epochs; the model has the weights of the best one.
        n_training, n_held_out: numbers of examples.
    """

    model: Path
    dataset: Dataset = field(repr=False)
    epochs: tuple[Epoch, ...] = field(repr=False)
    n_training: int
    n_held_out: int

    @property
    def kept(self) -> Epoch:
        """Return the epoch whose weights are in the model."""
        return best_epoch(self.epochs)

    def to_frame(self) -> pd.DataFrame:
        """Return a row per epoch: epoch, loss, held_out_loss, and AUC, accuracy and average precision of each class."""
        rows = []
        for epoch in self.epochs:
            row: dict[str, Any] = {"epoch": epoch.number, "loss": epoch.loss}
            if epoch.validation is not None:
                row["held_out_loss"] = epoch.validation.loss
                for name, metrics in epoch.validation.classes.items():
                    row |= {f"{name}: {what}": getattr(metrics, what) for what in _CURVES}
            rows.append(row)
        return pd.DataFrame(rows)


def best_epoch(epochs: Sequence[Epoch]) -> Epoch:
    """Return the epoch with the highest AUC of the held-out examples, else the last epoch.

    Of equal epochs it is the one with the lowest loss: few held-out examples soon reach an AUC of 1, while the loss still
    improves.
    """
    measured = [(epoch.validation.auc, -epoch.validation.loss, -epoch.number, epoch) for epoch in epochs if epoch.validation]
    return max(measured)[-1] if measured else epochs[-1]


def path_beside(output: Path, suffix: str) -> Path:
    """Return the path of a file beside a model: ``model.curves.png`` for ``model.safetensors`` and ``.curves.png``."""
    return output.with_name(output.name.removesuffix(".safetensors") + suffix)


def provenance(
    data: TrainData, options: TrainOptions, dataset: Dataset, n_training: int, n_negatives: int, start: Model | None
) -> dict[str, Any]:
    """Return the provenance that is stored in the model file, with names of folders but not their paths."""
    return {
        "data": [root.name for root in data.roots],
        "n_examples": n_training,
        "n_clips": dataset.n_clips,
        "n_recordings": dataset.n_recordings,
        "without_calls": [Path(text).name for text in data.without_calls],
        "n_windows_without_calls": n_negatives,
        "started_from": start.name if start else "random" if options.random_start else "ImageNet",
        "recipe": options.recipe(),
        "torch": torch.__version__,
    }


def write_training_report(result: TrainingResult, spec: ModelSpec) -> None:
    """Write ``.metrics.json`` and ``.curves.png`` beside the model."""
    metrics = {
        "model": result.model.name,
        "classes": spec.classes,
        "kept_epoch": result.kept.number,
        "validated": result.kept.validation is not None,
        "n_learning": result.n_training,
        "n_held_out": result.n_held_out,
        "epochs": [asdict(epoch) for epoch in result.epochs],
        "problems": result.dataset.problems,
        "training": spec.training,
    }
    write_atomically(path_beside(result.model, ".metrics.json"), (json.dumps(metrics, indent=2) + "\n").encode())
    image = io.BytesIO()
    _curves(result).savefig(image, dpi=120, format="png")
    write_atomically(path_beside(result.model, ".curves.png"), image.getvalue())


def _curves(result: TrainingResult) -> Figure:
    figure = Figure(figsize=(9, 4), layout="constrained")
    loss_axes, metric_axes = figure.subplots(1, 2)
    numbers = [epoch.number for epoch in result.epochs]
    measured = [(epoch.number, epoch.validation) for epoch in result.epochs if epoch.validation]
    loss_axes.plot(
        numbers, [epoch.loss for epoch in result.epochs], "o-", label=f"training ({result.n_training}), augmented"
    )
    if measured:
        loss_axes.plot(
            [n for n, _ in measured], [v.loss for _, v in measured], "s--", label=f"held out ({result.n_held_out})"
        )
    loss_axes.set(xlabel="epoch", ylabel="cross entropy", title="loss")
    for name in measured[0][1].classes if measured else ():
        for metric, line in _CURVES.items():
            values = [getattr(v.classes[name], metric) for _, v in measured]
            metric_axes.plot([n for n, _ in measured], values, line, label=f"{name}: {metric.replace('_', ' ')}")
    metric_axes.set(xlabel="epoch", title="held-out examples" if measured else "no held-out examples")
    for axes in (loss_axes, metric_axes):
        axes.axvline(result.kept.number, color="0.7", zorder=0, label="kept")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    return figure
