"""Operating points of a class: thresholds for rates of false positives, with what they find and miss."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from whalescan.detector.model_spec import Validation, ValidationPoint
from whalescan.detector.score_calibration import log_odds
from whalescan.evaluation.metrics import DetectionCounts, Numbers, threshold_curve

RATES_PER_HOUR = (0.3, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Rates of false positives for which operating points are made, as far as the hours allow."""
_DECIMALS = 4
_LEAST_IN_TAIL = 10
"""Smallest number of false positives from which a rate is extrapolated."""
_Z = float(norm.ppf(0.975))


def validate(counts: DetectionCounts, sound: str) -> Validation:
    """Return the operating points that the hours of the sound allow.

    A rate has a point when at least one false positive is allowed in all hours. There are none without calls, as recall is
    not defined then.

    Args:
        counts: detections with calibrated scores, calls and hours.
        sound: one line about the sound.
    """
    curve = threshold_curve(counts)
    points = []
    for per_hour in RATES_PER_HOUR if curve.n_calls else ():
        threshold = measured_threshold(counts, per_hour)
        if threshold is None:
            continue
        at = curve.at(threshold)
        if at.precision is not None and at.recall is not None:
            interval = wilson_interval(at.true_positives, at.n_calls)
            points.append(ValidationPoint(threshold, per_hour, at.recall, interval, at.precision))
    return Validation(tuple(points), sound, round(curve.hours, 4), curve.n_calls)


def measured_threshold(counts: DetectionCounts, per_hour: float) -> float | None:
    """Return a threshold with at most so many false positives an hour; None where not even one is allowed in all hours.

    It lies between the highest false positive that is not allowed and the next higher detection, in the middle of their
    log-odds: a lower one would have more false positives, a higher one might miss calls.
    """
    hours = float(counts.hours.sum())
    n_allowed = math.floor(per_hour * hours + 1e-9)
    if n_allowed < 1 or not len(counts.scores):
        return None
    false_positives = counts.scores[~counts.is_true_positive]
    if len(false_positives) <= n_allowed:
        return _within(0.0, float(counts.scores[-1]))
    refused = float(false_positives[n_allowed])
    higher = counts.scores[counts.scores > refused]
    return _within(refused, float(higher[-1])) if len(higher) else None


def _within(below: float, top: float) -> float:
    """Return a threshold in ``(below, top]`` with the decimals of scores: the middle in log-odds where there is room."""
    if below <= 0:
        return top
    middle = float(expit(log_odds([below, top]).mean()))
    threshold = round(middle, _DECIMALS)
    return threshold if below < threshold <= top else top


def extrapolated_threshold(counts: DetectionCounts, per_hour: float) -> float | None:
    """Return a threshold for a rate below one false positive in all hours; None with too few false positives.

    Above a high score, the log-odds of false positives are exponentially distributed (peaks over threshold, Pickands 1975,
    with shape 0).
    """
    false_positives = log_odds(counts.scores[~counts.is_true_positive])
    if len(false_positives) < _LEAST_IN_TAIL:
        return None
    level = tail_level(false_positives, per_hour, float(counts.hours.sum()))
    return float(min(max(math.ceil(expit(level) * 10**_DECIMALS), 1), 10**_DECIMALS - 1) / 10**_DECIMALS)


def tail_level(false_positives: Numbers, per_hour: float, hours: float) -> float:
    """Return the log-odds above which ``per_hour`` false positives are expected.

    Args:
        false_positives: log-odds, at least two.
        per_hour: the rate.
        hours: hours in which they were found.
    """
    descending = np.sort(false_positives)[::-1]
    # the tail has twice as many false positives as wanted, and at least as many as a fit needs
    n = min(max(_LEAST_IN_TAIL, round(2 * per_hour * hours)), len(descending) - 1)
    start = descending[n]
    mean_excess = float(np.mean(descending[:n] - start))
    return float(start + mean_excess * math.log(max(n / (per_hour * hours), 1.0)))


def wilson_interval(n_found: int, n: int) -> tuple[float, float]:
    """Return the limits of the 95 % confidence interval of a share (Wilson 1927); 0 and 1 where ``n`` is 0."""
    if n == 0:
        return 0.0, 1.0
    share, z2 = n_found / n, _Z**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(centre - half, 0.0), min(centre + half, 1.0)
