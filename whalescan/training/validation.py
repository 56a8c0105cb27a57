"""Validation of a model on held-back sound: its calibration, thresholds and operating points."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scipy.special import expit
from scipy.stats import poisson

from whalescan.core.text import hours, threshold_text
from whalescan.detector.model_spec import ModelSpec
from whalescan.detector.score_calibration import log_odds
from whalescan.evaluation.metrics import DetectionCounts, threshold_curve
from whalescan.evaluation.operating_points import extrapolated_threshold, measured_threshold, validate
from whalescan.training.measurement import Measurement

_LEAST_EXTRAPOLATED = 0.05
"""A rate of false positives is extrapolated where at least so many of them are expected in all hours."""
_UNLIKELY = 0.02
"""Probability of the false positives at an old threshold, below which it does not give the wanted rate."""


@dataclass(frozen=True, slots=True)
class ThresholdAim:
    """How the threshold of a class is chosen.

    Attributes:
        given: threshold of all classes; None to choose it by ``per_hour``.
        per_hour: false positives per hour of held-back sound, at most.
        keeps_weights: whether the weights are those that the description's calibration and threshold were made for.
    """

    given: float | None
    per_hour: float
    keeps_weights: bool = False


def with_validation(spec: ModelSpec, measurement: Measurement, aim: ThresholdAim) -> tuple[ModelSpec, tuple[str, ...]]:
    """Return a model's description with calibration, operating points and thresholds, and a message for each class.

    Args:
        spec: the description; its calibration and thresholds stay where the sound is too little for others.
        measurement: what was found in the held-back sound.
        aim: how thresholds are chosen.
    """
    calibration, thresholds, validations, messages = [], [], [], []
    for name, old, old_threshold in zip(spec.classes, spec.calibration, spec.thresholds, strict=True):
        measured = measurement.classes[name]
        slope, offset = measured.calibration() or old
        counts = measured.calibrated_counts(slope, offset)
        # the same threshold on the new scale
        logit = (float(log_odds(old_threshold)) - old[1]) / old[0]
        same = round(min(max(float(expit(slope * logit + offset)), 1e-4), 1.0), 4)
        chosen, how = _choose_threshold(counts, same if aim.keeps_weights else old_threshold, aim)
        calibration.append((slope, offset))
        thresholds.append(chosen)
        validations.append(validate(counts, measurement.sounds.description))
        messages.append(f"{name}: threshold {threshold_text(chosen)}, {how}{_at(counts, chosen)}")
    described = replace(spec, calibration=tuple(calibration), thresholds=tuple(thresholds), validation=tuple(validations))
    return described, tuple(messages)


def _choose_threshold(counts: DetectionCounts, old: float, aim: ThresholdAim) -> tuple[float, str]:
    """Return the threshold of a class, and where it comes from."""
    if aim.given is not None:
        return aim.given, "as given"
    n_hours = float(counts.hours.sum())
    wanted = f"{aim.per_hour:g} false positive{'' if aim.per_hour == 1 else 's'} per hour"
    if (measured := measured_threshold(counts, aim.per_hour)) is not None:
        return measured, f"for at most {wanted}"
    expected = aim.per_hour * n_hours
    n_found = int((~counts.is_true_positive & (counts.scores >= old)).sum())
    is_unlikely = poisson.sf(n_found - 1, expected) < _UNLIKELY if n_hours else False
    if expected >= _LEAST_EXTRAPOLATED and (is_unlikely or not aim.keeps_weights):
        extrapolated = extrapolated_threshold(counts, aim.per_hour)
        if extrapolated is not None:
            return extrapolated, f"extrapolated to {wanted} from {hours(3600 * n_hours)} of held-back sound"
    return old, f"unchanged: {hours(3600 * n_hours)} of held-back sound are too little for {wanted}"


def _at(counts: DetectionCounts, threshold: float) -> str:
    if not counts.n_calls.sum() or not counts.hours.sum():
        return ""
    point = threshold_curve(counts).at(threshold)
    return f": {point.true_positives:,} of {point.n_calls:,} calls found, {point.false_positives:,} false positives"
