"""The threshold of a survey: the user's, the model's own, or one for a number of false positives per hour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import pairwise

from whalescan.core import UsageError
from whalescan.core.text import decimal, quantity, threshold_text
from whalescan.detections.precision_estimates import SurveyEstimate
from whalescan.detector.model_spec import Validation, ValidationPoint

_SAME_THRESHOLD = 5e-5
"""Thresholds that differ by no more are the same: half of the last decimal of scores in tables."""


class ThresholdOrigin(StrEnum):
    """What a threshold was chosen by; ``run.json`` states it."""

    MODEL = "model"
    """The default of the model."""
    THRESHOLD = "threshold"
    """The option ``threshold``."""
    FALSE_POSITIVES = "false_positives_per_hour"
    """The option ``false_positives_per_hour``, by the operating points of the model."""


def threshold_for_rate(validation: Sequence[Validation], false_positives_per_hour: float, model: str) -> float:
    """Return the lowest threshold at which each class had at most so many false positives per hour on validation sound.

    Args:
        validation: operating points of the model's classes.
        false_positives_per_hour: the largest number.
        model: its name, for messages.

    Raises:
        UsageError: where the model has no operating points, or none with so few or so many false positives.
    """
    if not validation or not all(measured.points for measured in validation):
        raise UsageError(
            f"{model}: has no operating points, which `false_positives_per_hour` chooses from; set `threshold` instead",
            parameter="false_positives_per_hour",
        )
    rates = [[point.false_positives_per_hour for point in measured.points] for measured in validation]
    low, high = max(map(min, rates)), min(map(max, rates))
    if not low <= false_positives_per_hour <= high:
        raise UsageError(
            f"invalid false_positives_per_hour {false_positives_per_hour:g}: expected {decimal(low, 4)} to "
            f"{decimal(high, 4)}, the range in which {model} was measured",
            parameter="false_positives_per_hour",
        )
    return max(measured.threshold(false_positives_per_hour) for measured in validation)


def describe_threshold(threshold: float, origin: ThresholdOrigin, false_positives_per_hour: float | None = None) -> str:
    """Return a threshold and what it was chosen by: ``0.62, the model's own``.

    Args:
        threshold: of the detections.
        origin: what it was chosen by.
        false_positives_per_hour: the number by which it was chosen, if it was.
    """
    reasons = {
        ThresholdOrigin.MODEL: "the model's own",
        ThresholdOrigin.THRESHOLD: "as asked for",
        ThresholdOrigin.FALSE_POSITIVES: f"for at most {_rate(false_positives_per_hour or 0)}",
    }
    return f"{threshold_text(threshold)}, {reasons[origin]}."


def describe_performance(threshold: float, validation: Sequence[Validation], classes: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each class: what a threshold finds and misses on the sound on which the model was measured.

    Args:
        threshold: of the detections.
        validation: operating points of the model's classes; nothing is yielded for those without.
        classes: of the model.
    """
    for label, measured in zip(classes, validation, strict=False):
        found = _performance(threshold, measured)
        if found:
            of_class = f"{label}: " if len(classes) > 1 else ""
            yield f"{of_class}On {measured.sound.rstrip('.')}, it {found}. Another site differs."


def describe_sample(estimate: SurveyEstimate) -> str:
    """Return what a survey's own reviewed sample says of the threshold; empty where it says nothing yet."""
    precision, rate = estimate.precision, estimate.false_positives_per_hour
    if precision is None or rate is None or not estimate.n_sampled:
        return ""
    return (
        f"In this survey, by its reviewed sample, {_percent(precision.value)} of the detections are calls "
        f"({_percent(precision.low)} to {_percent(precision.high)}), with {_rate(rate.value)} ({decimal(rate.low, 2)} to "
        f"{decimal(rate.high, 2)}); how many calls it misses here, the sample does not tell."
    )


def _performance(threshold: float, measured: Validation) -> str:
    """Return what a threshold finds: at an operating point, between two of them, or nothing where it was not measured."""
    points = sorted(measured.points, key=lambda point: point.threshold)
    for point in points:
        if abs(point.threshold - threshold) <= _SAME_THRESHOLD:
            return _point(point)
    for lower, higher in pairwise(points):
        if lower.threshold < threshold < higher.threshold:
            return (
                f"finds {_percent(higher.recall)} to {_percent(lower.recall)} of the calls and misses the others, with "
                f"{decimal(higher.false_positives_per_hour, 2)} to {_rate(lower.false_positives_per_hour)}"
            )
    if not points:
        return ""
    low, high = threshold_text(points[0].threshold), threshold_text(points[-1].threshold)
    return f"was measured at thresholds from {low} to {high} only"


def _point(point: ValidationPoint) -> str:
    low, high = point.recall_interval
    return (
        f"finds {_percent(point.recall)} of the calls ({_percent(low)} to {_percent(high)}) and misses the others, with "
        f"{_rate(point.false_positives_per_hour)}; {_percent(point.precision)} of its detections are calls"
    )


def _rate(per_hour: float) -> str:
    return f"{quantity(per_hour, 'false positive', 2)} per hour"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
