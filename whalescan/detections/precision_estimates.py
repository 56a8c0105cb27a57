"""Precision of the detector, estimated from a sample of its detections that people reviewed. Pure arithmetic.

The sample is stratified by score (`sampling`) and represents the detections of this survey only: where all of them are
reviewed, nothing is left to estimate. ``maybe`` counts neither as right nor as wrong, as if the detection had not been
sampled: the estimate is of how often reviewers who can tell would say ``yes``. Calls that people added are not detections of
the detector and are not counted.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from whalescan.core import Detection, IntArray
from whalescan.detections import sampling
from whalescan.detections.validations import REVIEWS

_TAIL = 0.025
"""Probability on either side of a 95 % interval."""
_ROUNDING = 1e-6
"""Tolerance for rounding when a number of detections is made whole."""


@dataclass(frozen=True, slots=True)
class ReviewedPrecision:
    """Share of confirmed detections among those that people decided.

    Attributes:
        n_yes, n_no: confirmed and rejected detections; ``maybe`` counts as neither.
        value: ``n_yes / (n_yes + n_no)``.
        low, high: 95 % score interval (Wilson 1927), as if the reviewed detections were a simple random sample.
    """

    n_yes: int
    n_no: int
    value: float
    low: float
    high: float


def reviewed_precision(detections: Iterable[Detection]) -> ReviewedPrecision | None:
    """Return the precision of the detector's reviewed detections; None where none is confirmed or rejected."""
    reviews = [detection.review for detection in detections if detection.score is not None]
    n_yes, n_no = reviews.count("yes"), reviews.count("no")
    n = n_yes + n_no
    if n == 0:
        return None
    from scipy.stats import binomtest  # noqa: PLC0415 - takes a fifth of a second, and most runs have no reviews

    interval = binomtest(n_yes, n).proportion_ci(method="wilson")
    return ReviewedPrecision(n_yes, n_no, n_yes / n, float(interval.low), float(interval.high))


@dataclass(frozen=True, slots=True)
class IntervalEstimate:
    """A value with its 95 % confidence interval: ``low <= value <= high``."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class StratumEstimate:
    """Precision of the detections of one stratum of scores.

    Attributes:
        low_score, high_score: edges of the stratum, from `sampling.STRATUM_EDGES`.
        n_detections: detections in the stratum.
        n_sampled: of these, reviewed as a random sample: ``n_yes + n_no + n_maybe``.
        precision: share of true positives; None where no sampled detection is confirmed or rejected.
    """

    low_score: float
    high_score: float
    n_detections: int
    n_sampled: int
    n_yes: int
    n_no: int
    n_maybe: int
    precision: IntervalEstimate | None


@dataclass(frozen=True, slots=True)
class SurveyEstimate:
    """Estimates for all detections of a survey, from the reviewed sample.

    Attributes:
        strata: strata that have detections, from the lowest scores.
        precision: share of true positives; None unless every stratum has a precision.
        n_true_positives: number of true positives; None likewise.
        false_positives_per_hour: false positives per analysed hour; None likewise, and where nothing was analysed.
        n_detections: the detector's own detections.
        n_sampled: of these, reviewed as a random sample.
        n_outside_sample: of these, reviewed outside the sample; they are not used.
        covered_share: share of the detections that lie in strata with a precision; 0 where there are no detections.
    """

    strata: tuple[StratumEstimate, ...]
    precision: IntervalEstimate | None
    n_true_positives: IntervalEstimate | None
    false_positives_per_hour: IntervalEstimate | None
    n_detections: int
    n_sampled: int
    n_outside_sample: int
    covered_share: float

    @property
    def n_unreviewed(self) -> int:
        """Detections that are not reviewed."""
        return self.n_detections - self.n_sampled - self.n_outside_sample


@dataclass(frozen=True, slots=True)
class StratumCounts:
    """Detections and their sampled reviews by stratum, int64 ``[n_strata]`` each."""

    n_detections: IntArray
    n_yes: IntArray
    n_no: IntArray

    @property
    def n_decided(self) -> IntArray:
        """Detections that reviewers confirmed or rejected."""
        return self.n_yes + self.n_no


def estimate_precision(detections: Sequence[Detection], analysed_hours: float) -> SurveyEstimate:
    """Return the precision by stratum and of all detections together.

    Each stratum is weighted by its number of detections. The interval of a stratum is exact (hypergeometric), that of all
    detections is `stratified_interval`.

    Args:
        detections: in any order; of the detector's own, all that it finds at its threshold (`detections_at_threshold`).
        analysed_hours: hours of sound in which they were found.
    """
    order = sampling.indices_by_stratum(detections)
    samples = sampling.reviewed_sample(detections, order)
    strata = tuple(
        _stratum_estimate(number, len(order[number]), [detections[i].review for i in samples[number]]) for number in order
    )
    n_detections, n_sampled = sum(stratum.n_detections for stratum in strata), sum(stratum.n_sampled for stratum in strata)
    n_reviewed = sum(detection.score is not None and detection.review in REVIEWS[:3] for detection in detections)
    n_covered = sum(stratum.n_detections for stratum in strata if stratum.precision)
    precision = n_true_positives = false_positives_per_hour = None
    if n_detections and n_covered == n_detections:
        value = sum(stratum.n_detections * stratum.precision.value for stratum in strata if stratum.precision) / n_detections
        precision = stratified_interval(value, _counts(strata))
        n_true_positives = IntervalEstimate(
            n_detections * precision.value, n_detections * precision.low, n_detections * precision.high
        )
        false_positives_per_hour = false_positive_rate(precision, n_detections, analysed_hours)
    return SurveyEstimate(
        strata=strata,
        precision=precision,
        n_true_positives=n_true_positives,
        false_positives_per_hour=false_positives_per_hour,
        n_detections=n_detections,
        n_sampled=n_sampled,
        n_outside_sample=n_reviewed - n_sampled,
        covered_share=n_covered / n_detections if n_detections else 0.0,
    )


def _stratum_estimate(number: int, n_detections: int, reviews: Sequence[str]) -> StratumEstimate:
    n_yes, n_no, n_maybe = (reviews.count(review) for review in REVIEWS[:3])
    precision = _hypergeometric_estimate(n_yes, n_no, n_detections) if n_yes + n_no else None
    low, high = sampling.STRATUM_EDGES[number : number + 2]
    return StratumEstimate(low, high, n_detections, len(reviews), n_yes, n_no, n_maybe, precision)


def _hypergeometric_estimate(n_yes: int, n_no: int, n_detections: int) -> IntervalEstimate:
    """Return the precision of a stratum with its exact interval.

    The interval holds every number of true positives for which neither tail probability of the sample is below 2.5 %.
    """
    from scipy.stats import hypergeom  # noqa: PLC0415 - takes a fifth of a second, and most runs have no reviews

    n = n_yes + n_no
    possible = range(n_yes, n_detections - n_no + 1)
    first = bisect.bisect_left(
        possible, True, key=lambda n_true: bool(hypergeom.sf(n_yes - 1, n_detections, n_true, n) > _TAIL)
    )
    end = bisect.bisect_left(possible, True, key=lambda n_true: bool(hypergeom.cdf(n_yes, n_detections, n_true, n) <= _TAIL))
    value = n_yes / n
    low, high = possible[first] / n_detections, possible[end - 1] / n_detections
    return IntervalEstimate(value, min(value, low), max(value, high))


def _counts(strata: Sequence[StratumEstimate]) -> StratumCounts:
    columns = np.array([(stratum.n_detections, stratum.n_yes, stratum.n_no) for stratum in strata], np.int64).reshape(-1, 3)
    return StratumCounts(*columns.T)


def stratified_interval(value: float, counts: StratumCounts) -> IntervalEstimate:
    """Return the 95 % interval of a stratified estimate of precision.

    It is the interval of a simple random sample (Clopper & Pearson 1934) whose size gives the same variance (Korn & Graubard
    1998). The variance is computed from reviews to which half a ``yes`` and half a ``no`` are added in each stratum, because
    three true positives of three do not prove that a stratum has no false positives. A stratum that is reviewed whole adds
    no variance. The interval is widened to whole detections, but not beyond what the reviewed ones exclude. In 120 simulated
    surveys, with 1 to 30 reviews per stratum, it held the true value in 98 % of the samples on average, and in 90 % at
    worst.

    Args:
        value: the estimate.
        counts: strata with at least one decided detection each, which together hold all detections of the estimate.
    """
    n_detections = int(counts.n_detections.sum())
    n_effective = _effective_sample_size(counts, counts.n_decided)
    low, high = value, value
    if math.isfinite(n_effective):
        yes, no = n_effective * value, n_effective * (1 - value)
        low = float(betaincinv(yes, no + 1, _TAIL)) if yes > _ROUNDING else 0.0
        high = float(betaincinv(yes + 1, no, 1 - _TAIL)) if no > _ROUNDING else 1.0
    low = max(math.floor(n_detections * low + _ROUNDING), int(counts.n_yes.sum())) / n_detections
    high = min(math.ceil(n_detections * high - _ROUNDING), n_detections - int(counts.n_no.sum())) / n_detections
    return IntervalEstimate(value, min(low, value), max(high, value))


def _effective_sample_size(counts: StratumCounts, n_decided: IntArray) -> float:
    """Return the size of the simple random sample with the variance of ``n_decided`` decided detections per stratum."""
    weights = counts.n_detections / counts.n_detections.sum()
    precisions = (counts.n_yes + 0.5) / (counts.n_decided + 1)
    finite_population = (counts.n_detections - n_decided) / np.maximum(counts.n_detections - 1, 1)
    variance = float((weights**2 * finite_population * precisions * (1 - precisions) / n_decided).sum())
    overall = float((weights * precisions).sum())
    return overall * (1 - overall) / variance if variance else math.inf


def false_positive_rate(precision: IntervalEstimate, n_detections: int, analysed_hours: float) -> IntervalEstimate | None:
    """Return the false positives per analysed hour, given a precision; None where nothing was analysed."""
    if not analysed_hours:
        return None
    rate = n_detections / analysed_hours
    return IntervalEstimate(rate * (1 - precision.value), rate * (1 - precision.high), rate * (1 - precision.low))


def n_to_review(estimate: SurveyEstimate, half_width: float = 0.05) -> int:
    """Return how many more detections to review, in `sampling.sample_order`, for a precision to about ± ``half_width``.

    Detections reviewed outside the sample are counted where they are next in that order. The number is computed from the
    precisions known so far, and from one half where none is known, which needs the most reviews.
    """
    counts = _counts(estimate.strata)

    def n_decided(rounds: int) -> IntArray:
        return np.minimum(counts.n_detections, np.maximum(counts.n_decided, rounds))

    def is_enough(rounds: int) -> bool:
        n_effective = _effective_sample_size(counts, n_decided(rounds))
        return math.isinf(n_effective) or _half_width(counts, n_effective) <= half_width

    rounds = bisect.bisect_left(range(1, max(counts.n_detections, default=0)), True, key=is_enough) + 1
    return int((n_decided(rounds) - counts.n_decided).sum())


def _half_width(counts: StratumCounts, n_effective: float) -> float:
    """Return half the width of the interval around the precision known so far."""
    n_true = counts.n_detections * (counts.n_yes + 0.5) / (counts.n_decided + 1)
    value = float(n_true.sum() / counts.n_detections.sum())
    yes, no = n_effective * value, n_effective * (1 - value)
    return float(betaincinv(yes + 1, no, 1 - _TAIL) - betaincinv(yes, no + 1, _TAIL)) / 2
