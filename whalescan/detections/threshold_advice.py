"""Threshold for a target precision or false positive rate, from a sample of reviewed detections. Pure arithmetic.

The probability that a detection is a true positive is assumed not to decrease with its score, and nothing else is assumed:
it is the isotonic regression (Barlow et al. 1972) of the reviews on the score, each review weighted by the detections that
it was sampled from. A single false positive among the highest scores therefore does not put a threshold out of reach. The
regression is used only for detections that are not decided; the others count as reviewed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from whalescan.core import BoolArray, Detection, IntArray
from whalescan.detections import sampling
from whalescan.detections.precision_estimates import (
    IntervalEstimate,
    StratumCounts,
    false_positive_rate,
    stratified_interval,
)

_THRESHOLDS = np.arange(1, 1000) / 1000
"""Thresholds to try, beside the lowest score. The edges of the strata are among them."""
_DECIMALS_SCALE = 1e4
"""Thresholds are printed to four decimals; the lowest score is rounded down to them, so that it keeps its detection."""
_MIN_DECIDED = 10
"""Decided detections that a threshold needs above it, or all, where there are fewer detections."""
_TOLERANCE = 1e-9

_Numbers = npt.NDArray[np.float64]
_Number = TypeVar("_Number", np.int64, np.float64)


@dataclass(frozen=True, slots=True)
class PrecisionTarget:
    """Target: at least this share of the detections are true positives; 0 to 1."""

    precision: float = 0.9

    def shortfall(self, n_true: _Numbers, n_detections: IntArray, analysed_hours: float) -> _Numbers:  # noqa: ARG002
        """Return by how much the target is missed; negative where it is exceeded."""
        return self.precision - n_true / n_detections


@dataclass(frozen=True, slots=True)
class FalsePositiveTarget:
    """Target: at most so many false positives per analysed hour."""

    per_hour: float = 1.0

    def shortfall(self, n_true: _Numbers, n_detections: IntArray, analysed_hours: float) -> _Numbers:
        """Return by how much the target is missed; negative where it is exceeded."""
        return (n_detections - n_true) / analysed_hours - self.per_hour


@dataclass(frozen=True, slots=True)
class ThresholdInterval:
    """95 % confidence interval of the lowest threshold that meets a target.

    It holds the thresholds that the 95 % intervals of precision do not rule out: from the lowest that may meet the target to
    the lowest that must. In 72 simulated surveys of 400 and of 2000 detections, of which 60 to 350 were reviewed, it held
    the true threshold in 98 % of the samples on average, and in 91 % at worst. With few reviews of many detections it often
    has no upper end.

    Attributes:
        high: None where possibly no threshold meets the target.
    """

    low: float
    high: float | None


@dataclass(frozen=True, slots=True)
class ThresholdAdvice:
    """A threshold with the estimates that support it.

    Attributes:
        threshold: score, 0 to 1; ``whalescan detect --threshold`` keeps the detections from there up.
        interval: None where the threshold does not meet the target; of zero width where every detection is reviewed.
        precision: of the detections that are kept. Its interval ignores that the same sample chose the threshold.
        false_positives_per_hour: of the detections that are kept; None where nothing was analysed.
        n_detections: detections that are kept.
        n_decided: of these, sampled and confirmed or rejected.
        analysed_hours: hours of sound in which they were found.
        may_be_lower: whether a lower threshold may meet the target, too, but too few detections below are reviewed.
    """

    threshold: float
    interval: ThresholdInterval | None
    precision: IntervalEstimate
    false_positives_per_hour: IntervalEstimate | None
    n_detections: int
    n_decided: int
    analysed_hours: float
    may_be_lower: bool


class NoThresholdReason(StrEnum):
    """Reason why no threshold is advised, as a clause for messages."""

    NO_EFFORT = "nothing was analysed, so there is no false positive rate"
    TOO_FEW_REVIEWED = "too few of the detections with the highest scores are reviewed"
    NOT_REACHED = "no threshold with enough reviewed detections above it meets this target"


@dataclass(frozen=True, slots=True)
class NoThreshold:
    """Result where no threshold is advised.

    Attributes:
        nearest: the lowest threshold that comes nearest to the target; None where none can be estimated.
    """

    reason: NoThresholdReason
    nearest: ThresholdAdvice | None = None


def advise_threshold(
    detections: Sequence[Detection], analysed_hours: float, target: PrecisionTarget | FalsePositiveTarget
) -> ThresholdAdvice | NoThreshold:
    """Return the lowest threshold, not below the lowest score, that meets a target.

    Only thresholds are tried above which every stratum has sampled and decided detections, and all strata together ten.

    Args:
        detections: in any order; of the detector's own, all that it finds at its threshold (`detections_at_threshold`).
        analysed_hours: hours of sound in which they were found.
        target: target precision or false positive rate.
    """
    if isinstance(target, FalsePositiveTarget) and not analysed_hours:
        return NoThreshold(NoThresholdReason.NO_EFFORT)
    steps = _score_steps(detections)
    counts = [steps.counts_above(step) for step in range(len(steps.begins))]
    is_tried = np.array([_is_enough(some) for some in counts], np.bool_)
    if not is_tried.any():
        return NoThreshold(NoThresholdReason.TOO_FEW_REVIEWED)
    n_detections = _reverse_cumsum(steps.n_detections)
    n_true = _reverse_cumsum(steps.n_yes + steps.n_undecided * steps.probabilities(steps.n_yes, steps.n_no))
    precisions = {
        step: stratified_interval(float(n_true[step] / n_detections[step]), counts[step])
        for step in np.flatnonzero(is_tried).tolist()
    }
    shortfalls = np.full((3, len(is_tried)), np.inf)
    bounds = np.array([(precision.value, precision.low, precision.high) for precision in precisions.values()]).T
    shortfalls[:, is_tried] = target.shortfall(bounds * n_detections[is_tried], n_detections[is_tried], analysed_hours)
    expected, at_worst, at_best = (_first_true(shortfall <= _TOLERANCE) for shortfall in shortfalls)
    step = int(np.argmax(shortfalls[0] <= shortfalls[0].min() + _TOLERANCE)) if expected is None else expected
    advice = ThresholdAdvice(
        threshold=float(steps.begins[step]),
        interval=None if expected is None else _threshold_interval(steps.begins, at_best, at_worst),
        precision=precisions[step],
        false_positives_per_hour=false_positive_rate(precisions[step], int(n_detections[step]), analysed_hours),
        n_detections=int(n_detections[step]),
        n_decided=int(counts[step].n_decided.sum()),
        analysed_hours=analysed_hours,
        may_be_lower=bool(0 < step == is_tried.argmax()),
    )
    return NoThreshold(NoThresholdReason.NOT_REACHED, advice) if expected is None else advice


def _first_true(values: BoolArray) -> int | None:
    return int(values.argmax()) if values.any() else None


def _threshold_interval(begins: _Numbers, at_best: int | None, at_worst: int | None) -> ThresholdInterval:
    """Return the interval from the lowest threshold at the highest precisions to that at the lowest precisions."""
    assert at_best is not None, "a threshold that meets the target by its estimate meets it by the upper bound"
    return ThresholdInterval(float(begins[at_best]), None if at_worst is None else float(begins[at_worst]))


@dataclass(frozen=True, slots=True, eq=False)
class _ScoreSteps:
    """Detections by small steps of their scores, ascending, ``[n_steps]`` each; the first begins at the lowest score.

    Attributes:
        begins: lowest score of each step.
        strata: number of the stratum in which it lies.
        mean_scores: mean score of its detections; its begin where it has none.
        n_detections: detections in it.
        n_yes, n_no: of these, sampled and confirmed or rejected.
    """

    begins: _Numbers
    strata: IntArray
    mean_scores: _Numbers
    n_detections: IntArray
    n_yes: IntArray
    n_no: IntArray

    @property
    def n_undecided(self) -> IntArray:
        """Detections that are neither confirmed nor rejected in the sample."""
        return self.n_detections - self.n_yes - self.n_no

    def counts_above(self, step: int) -> StratumCounts:
        """Return the counts by stratum of the detections from a step up."""
        columns = (self.n_detections, self.n_yes, self.n_no)
        counts = [np.bincount(self.strata[step:], column[step:]).astype(np.int64) for column in columns]
        return StratumCounts(*(count[counts[0] > 0] for count in counts))

    def probabilities(self, n_yes: IntArray, n_no: IntArray) -> _Numbers:
        """Return the probability of a true positive in each step.

        It is isotonic, interpolated between the steps with decided detections, and constant beyond them.
        """
        from scipy.optimize import isotonic_regression  # noqa: PLC0415 - takes a tenth of a second, and most runs need none

        n_decided = n_yes + n_no
        is_decided = n_decided > 0
        weights = np.bincount(self.strata, self.n_detections) / np.maximum(np.bincount(self.strata, n_decided), 1)
        step_weights = (n_decided * weights[self.strata])[is_decided]
        isotonic = isotonic_regression(n_yes[is_decided] / n_decided[is_decided], weights=step_weights).x
        return np.interp(self.mean_scores, self.mean_scores[is_decided], isotonic)


def _score_steps(detections: Sequence[Detection]) -> _ScoreSteps:
    order = sampling.indices_by_stratum(detections)
    scores = np.array([np.nan if detection.score is None else detection.score for detection in detections], np.float64)
    own_scores = scores[~np.isnan(scores)]
    lowest = np.floor(own_scores.min(initial=np.inf) * _DECIMALS_SCALE + 1e-6) / _DECIMALS_SCALE
    thresholds = np.unique(np.append(_THRESHOLDS, lowest))
    begins = thresholds[(thresholds >= lowest) & (thresholds <= own_scores.max(initial=-np.inf))]
    sampled = [i for indices in sampling.reviewed_sample(detections, order).values() for i in indices.tolist()]

    def count_by_step(some: _Numbers) -> IntArray:
        return np.bincount(np.searchsorted(begins, some, side="right") - 1, minlength=len(begins))

    n_detections, n_yes, n_no = (
        count_by_step(some)
        for some in (
            own_scores,
            *(scores[[i for i in sampled if detections[i].review == review]] for review in ("yes", "no")),
        )
    )
    sums = np.bincount(np.searchsorted(begins, own_scores, side="right") - 1, own_scores, len(begins))
    mean_scores = np.where(n_detections > 0, sums / np.maximum(n_detections, 1), begins)
    strata = np.array([sampling.stratum_of(begin) for begin in begins.tolist()], np.int64)
    return _ScoreSteps(begins, strata, mean_scores, n_detections, n_yes, n_no)


def _is_enough(counts: StratumCounts) -> bool:
    """Return whether the detections above a threshold have enough reviews for an estimate."""
    n_decided = counts.n_decided
    return bool(n_decided.all() and n_decided.sum() >= min(_MIN_DECIDED, counts.n_detections.sum()))


def _reverse_cumsum(values: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
    """Return the sums of each value and all after it, ``[..., n]``."""
    return values[..., ::-1].cumsum(axis=-1)[..., ::-1]
