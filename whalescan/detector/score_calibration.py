"""Calibration of scores: log-odds, and the two parameters that turn them into the share of calls (Platt 1999)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

_SMALLEST = 1e-6
"""Scores are clipped to this distance from 0 and 1, where log-odds are infinite."""


def log_odds(scores: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return ``log(score / (1 - score))`` of scores in [0, 1]."""
    clipped = np.clip(np.asarray(scores, np.float64), _SMALLEST, 1 - _SMALLEST)
    return np.log(clipped / (1 - clipped))


def fit_platt(logits: npt.NDArray[np.floating], is_call: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Return the slope and the offset with which ``sigmoid(slope * logit + offset)`` is the share of calls.

    Args:
        logits: ``[n]``, uncalibrated.
        is_call: bool ``[n]``, with at least one of each value.
    """
    fitted = LogisticRegression(C=1e3).fit(logits[:, None], is_call)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
