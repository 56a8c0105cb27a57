"""How often the detector is right, from a sample of its calls that people judged. Pure.

The sample is stratified by score (`strata`), and speaks of the calls of this survey and of no other: where all of them are
judged, nothing is left to be estimated. ``maybe`` counts neither way, as if the call had not been asked about: what is
estimated is how often people who can tell would say ``yes``. Calls that people added were never the detector's.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from whalescan.core import Detection, IntArray
from whalescan.detections import stratified_sampling
from whalescan.detections.validations import VERDICTS

_TAIL = 0.025
"""On either side of a 95 % interval."""
_WHOLE = 1e-6
"""By so much a number of calls may miss a whole one by rounding."""


@dataclass(frozen=True, slots=True)
class Estimated:
    """A value, and where it lies with 95 % confidence: ``low <= value <= high``."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class StratumEstimate:
    """How often the detector is right with calls of like score.

    Attributes:
        low, high: edges of the score, of `strata.EDGES`.
        n_calls: calls in the stratum.
        n_drawn: of these, judged as a random sample: ``n_yes + n_no + n_maybe``.
        precision: part of the calls that are one; None where nobody said yes or no of a drawn one.
    """

    low: float
    high: float
    n_calls: int
    n_drawn: int
    n_yes: int
    n_no: int
    n_maybe: int
    precision: Estimated | None


@dataclass(frozen=True, slots=True)
class Estimates:
    """What a sample says of all calls of a survey.

    Attributes:
        strata: those that have calls, from the lowest scores.
        precision: part of the calls that are one; None unless every stratum has one of its own.
        n_true_calls: how many of the calls are one; None likewise.
        false_per_hour: calls in an analysed hour that are none; None likewise, and where nothing was analysed.
        n_calls: the detector's own.
        n_drawn: of these, judged as a random sample.
        n_chosen: of these, judged, but chosen by people; nothing is estimated from them.
        covered: part of the calls that lie in strata with a precision; 0 where there are no calls.
    """

    strata: tuple[StratumEstimate, ...]
    precision: Estimated | None
    n_true_calls: Estimated | None
    false_per_hour: Estimated | None
    n_calls: int
    n_drawn: int
    n_chosen: int
    covered: float

    @property
    def n_unjudged(self) -> int:
        """Calls of which nobody has said anything."""
        return self.n_calls - self.n_drawn - self.n_chosen


@dataclass(frozen=True, slots=True)
class Tally:
    """Calls and judgements by stratum, int64 ``[n_strata]`` each."""

    n_calls: IntArray
    n_yes: IntArray
    n_no: IntArray

    @property
    def n_decided(self) -> IntArray:
        """Calls of which people could tell."""
        return self.n_yes + self.n_no


def estimate(calls: Sequence[Detection], analysed_hours: float) -> Estimates:
    """Precision by stratum, and of all calls together.

    Each stratum counts by the number of its calls, however few of them were drawn. Its own interval is exact
    (hypergeometric), that of all calls `interval_of`.

    Args:
        calls: in any order; of the detector's own all that it finds at its threshold (`strata.found_at`).
        analysed_hours: sound in which they were found.
    """
    order = stratified_sampling.by_stratum(calls)
    samples = stratified_sampling.drawn(calls, order)
    parts = tuple(_stratum(number, len(order[number]), [calls[i].review for i in samples[number]]) for number in order)
    n_calls, n_drawn = sum(part.n_calls for part in parts), sum(part.n_drawn for part in parts)
    n_judged = sum(call.score is not None and call.review in VERDICTS[:3] for call in calls)
    n_covered = sum(part.n_calls for part in parts if part.precision)
    precision = n_true = false_per_hour = None
    if n_calls and n_covered == n_calls:
        value = sum(part.n_calls * part.precision.value for part in parts if part.precision) / n_calls
        precision = interval_of(value, _tally(parts))
        n_true = Estimated(n_calls * precision.value, n_calls * precision.low, n_calls * precision.high)
        false_per_hour = false_alarms(precision, n_calls, analysed_hours)
    covered = n_covered / n_calls if n_calls else 0.0
    return Estimates(parts, precision, n_true, false_per_hour, n_calls, n_drawn, n_judged - n_drawn, covered)


def _stratum(number: int, n_calls: int, reviews: Sequence[str]) -> StratumEstimate:
    n_yes, n_no, n_maybe = (reviews.count(verdict) for verdict in VERDICTS[:3])
    precision = _exact(n_yes, n_no, n_calls) if n_yes + n_no else None
    low, high = stratified_sampling.EDGES[number : number + 2]
    return StratumEstimate(low, high, n_calls, len(reviews), n_yes, n_no, n_maybe, precision)


def _exact(n_yes: int, n_no: int, n_calls: int) -> Estimated:
    """Precision of a stratum; its interval holds every number of true calls with which what was drawn is no rare chance."""
    from scipy.stats import hypergeom  # noqa: PLC0415 - takes a fifth of a second, and most runs have no judgements

    n = n_yes + n_no
    possible = range(n_yes, n_calls - n_no + 1)
    low = bisect.bisect_left(possible, True, key=lambda true: bool(hypergeom.sf(n_yes - 1, n_calls, true, n) > _TAIL))
    beyond = bisect.bisect_left(possible, True, key=lambda true: bool(hypergeom.cdf(n_yes, n_calls, true, n) <= _TAIL))
    value = n_yes / n
    return Estimated(value, min(value, possible[low] / n_calls), max(value, possible[beyond - 1] / n_calls))


def _tally(parts: Sequence[StratumEstimate]) -> Tally:
    columns = np.array([(part.n_calls, part.n_yes, part.n_no) for part in parts], np.int64).reshape(-1, 3)
    return Tally(*columns.T)


def interval_of(value: float, tally: Tally) -> Estimated:
    """95 % interval of a stratified estimate of precision.

    As of a simple random sample (Clopper & Pearson 1934) of the size that would be as uncertain (Korn & Graubard 1998).
    That uncertainty is taken from judgements to which half a ``yes`` and half a ``no`` are added in each stratum: three
    calls of three are no proof that a stratum is free of mistakes. A stratum judged whole adds none. The interval is widened
    to whole calls, but not beyond what the judged ones exclude. In 120 simulated surveys, from one draw a stratum to 30, it
    held the truth in 98 % of the samples on the average, and in 90 % at worst.

    Args:
        value: the estimate.
        tally: strata with at least one call that is decided, which together are all calls that the estimate speaks of.
    """
    n_calls = int(tally.n_calls.sum())
    n_effective = _effective_size(tally, tally.n_decided)
    low, high = value, value
    if math.isfinite(n_effective):
        yes, no = n_effective * value, n_effective * (1 - value)
        low = float(betaincinv(yes, no + 1, _TAIL)) if yes > _WHOLE else 0.0
        high = float(betaincinv(yes + 1, no, 1 - _TAIL)) if no > _WHOLE else 1.0
    low = max(math.floor(n_calls * low + _WHOLE), int(tally.n_yes.sum())) / n_calls
    high = min(math.ceil(n_calls * high - _WHOLE), n_calls - int(tally.n_no.sum())) / n_calls
    return Estimated(value, min(low, value), max(high, value))


def _effective_size(tally: Tally, n_decided: IntArray) -> float:
    """Size of the simple random sample that would be as uncertain as one with so many decided calls in each stratum."""
    weights = tally.n_calls / tally.n_calls.sum()
    precisions = (tally.n_yes + 0.5) / (tally.n_decided + 1)
    unseen = (tally.n_calls - n_decided) / np.maximum(tally.n_calls - 1, 1)
    variance = float((weights**2 * unseen * precisions * (1 - precisions) / n_decided).sum())
    together = float((weights * precisions).sum())
    return together * (1 - together) / variance if variance else math.inf


def false_alarms(precision: Estimated, n_calls: int, analysed_hours: float) -> Estimated | None:
    """Calls in an hour that are none, by the precision of so many; None where nothing was analysed."""
    if not analysed_hours:
        return None
    rate = n_calls / analysed_hours
    return Estimated(rate * (1 - precision.value), rate * (1 - precision.high), rate * (1 - precision.low))


def n_to_judge(estimates: Estimates, half_width: float = 0.05) -> int:
    """How many more calls, in `strata.sample_order`, bring the precision's interval to about plus or minus ``half_width``.

    Calls that people have judged already, but chose, are among them where they are next in that order. Reckoned with the
    precisions known so far, and with one half where nothing is known, which is the most that it takes.
    """
    tally = _tally(estimates.strata)

    def decided(rounds: int) -> IntArray:
        return np.minimum(tally.n_calls, np.maximum(tally.n_decided, rounds))

    def suffices(rounds: int) -> bool:
        n_effective = _effective_size(tally, decided(rounds))
        return math.isinf(n_effective) or _half_width(tally, n_effective) <= half_width

    rounds = bisect.bisect_left(range(1, max(tally.n_calls, default=0)), True, key=suffices) + 1
    return int((decided(rounds) - tally.n_decided).sum())


def _half_width(tally: Tally, n_effective: float) -> float:
    """Half of the interval around the precision known so far."""
    value = float((tally.n_calls * (tally.n_yes + 0.5) / (tally.n_decided + 1)).sum() / tally.n_calls.sum())
    yes, no = n_effective * value, n_effective * (1 - value)
    return float(betaincinv(yes + 1, no, 1 - _TAIL) - betaincinv(yes, no + 1, _TAIL)) / 2
