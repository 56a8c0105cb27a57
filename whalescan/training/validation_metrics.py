"""How good a network is on examples that it did not learn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, average_precision_score, log_loss, roc_auc_score

from whalescan.core import FloatArray
from whalescan.detector.device import best_dtype
from whalescan.detector.network import Detector

_FEWEST = 20
"""Examples with and without a call each, without which two numbers cannot be fitted."""


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """How well windows with and without a call of one class are told apart; each between 0 and 1.

    Attributes:
        auc: area under the ROC curve.
        accuracy: share of windows on the right side of a score of .5, calibrated on these same windows.
        average_precision: of windows, not of calls in continuous sound.
        n, n_calls: windows, and those of them with a call.
    """

    auc: float
    accuracy: float
    average_precision: float
    n: int
    n_calls: int


@dataclass(frozen=True, slots=True)
class Validation:
    """One epoch, measured on the held-out examples.

    Attributes:
        loss: cross entropy of the uncalibrated scores, mean over classes.
        classes: by class; one that is held out only with or only without calls is not measured, and absent.
        calibration: slope and offset for each class, in their order, fitted on these examples; (1, 0) where they are few.
    """

    loss: float
    classes: dict[str, ClassMetrics]
    calibration: tuple[tuple[float, float], ...]

    @property
    def auc(self) -> float:
        """Mean over the measured classes: what epochs are compared by."""
        return float(np.mean([metrics.auc for metrics in self.classes.values()]))


def logits_of(detector: Detector, windows: FloatArray, device: torch.device, batch_size: int = 64) -> FloatArray:
    """Logits ``[n, n_classes]`` in the arithmetic of a scan."""
    dtype = best_dtype(device)
    with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        parts = [
            detector.classify(detector.frontend(batch.to(device))).cpu()
            for batch in torch.from_numpy(windows).split(batch_size)
        ]
    return torch.cat(parts).numpy()


def validate(targets: FloatArray, logits: FloatArray, classes: tuple[str, ...]) -> Validation | None:
    """Metrics of logits ``[n, n_classes]``; None where no class is held out both with and without calls.

    Accuracy is that of calibrated scores.
    """
    measured: dict[str, ClassMetrics] = {}
    calibration, losses = [], []
    for k, name in enumerate(classes):
        holds_call = targets[:, k] > 0.5
        if holds_call.all() or not holds_call.any():
            calibration.append((1.0, 0.0))
            continue
        slope, offset = platt(holds_call, logits[:, k])
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
    return Validation(float(np.mean(losses)), measured, tuple(calibration)) if measured else None


def platt(is_call: np.ndarray, logits: FloatArray) -> tuple[float, float]:
    """Slope and offset that make ``sigmoid(slope * logit + offset)`` the share of calls (Platt 1999)."""
    fitted = LogisticRegression(C=1e3).fit(logits[:, None], is_call)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
