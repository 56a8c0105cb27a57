"""Metrics of a network on held-out examples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import accuracy_score, average_precision_score, log_loss, roc_auc_score

from whalescan.core import FloatArray
from whalescan.detector.device import best_dtype
from whalescan.detector.network import Detector
from whalescan.detector.score_calibration import fit_platt

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
