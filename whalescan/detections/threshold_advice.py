"""The threshold for a wanted precision, or for so many false calls an hour, from a sample of calls that people judged. Pure.

How likely a call is one is taken to grow with its score, or to stay the same, and nothing else is assumed: isotonic
regression (Barlow et al. 1972) of what people said on the score, each judgement with the weight of the calls that it was
drawn from. So a single mistake among the highest scores does not put a threshold out of reach. Only calls of which nobody
could tell, or was asked, are reckoned with that; the others are what people said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from whalescan.core import BoolArray, Detection, IntArray
from whalescan.detections import stratified_sampling
from whalescan.detections.precision_estimates import Estimated, Tally, false_alarms, interval_of

_STEPS = np.arange(1, 1000) / 1000
"""Thresholds that are tried, beside the lowest score. The edges of strata are among them."""
_AS_SAID = 1e4
"""Thresholds are said to four decimals, and the lowest score is rounded down to them: its call is among those it keeps."""
_FEWEST_ABOVE = 10
"""Judgements above a threshold from which on it is worth naming; fewer where there are no more calls."""
_EXACT = 1e-9

_Numbers = npt.NDArray[np.float64]
_Number = TypeVar("_Number", np.int64, np.float64)


@dataclass(frozen=True, slots=True)
class WantedPrecision:
    """At least this part of the calls is to be one, 0 to 1."""

    precision: float = 0.9

    def lack(self, true: _Numbers, n_calls: IntArray, analysed_hours: float) -> _Numbers:  # noqa: ARG002 - as the other
        """By how much so many true calls of so many fall short of it."""
        return self.precision - true / n_calls


@dataclass(frozen=True, slots=True)
class WantedFalseAlarms:
    """At most so many calls in an analysed hour are to be none."""

    per_hour: float = 1.0

    def lack(self, true: _Numbers, n_calls: IntArray, analysed_hours: float) -> _Numbers:
        """By how much so many true calls of so many fall short of it."""
        return (n_calls - true) / analysed_hours - self.per_hour


@dataclass(frozen=True, slots=True)
class ThresholdInterval:
    """Which thresholds may be the lowest that brings what is wanted, as far as the sample tells.

    From the lowest with which it may be so, to the lowest with which it must be, by the 95 % interval of the precision of
    the calls that each keeps: those that a test would not reject. In 72 simulated surveys of 400 and of 2000 calls, of which
    60 to 350 were judged, it held the right one in 98 of 100 samples on the average, and in 91 at worst. With few judgements
    of many calls it often has no end.

    Attributes:
        high: None where it may be that no threshold brings what is wanted.
    """

    low: float
    high: float | None


@dataclass(frozen=True, slots=True)
class Advice:
    """A threshold, and what it rests on.

    Attributes:
        threshold: score, 0 to 1; ``whalescan detect --threshold`` keeps the calls from there on.
        interval: None where the threshold does not bring what is wanted; of no width where every call is judged.
        precision: of the calls that are kept. The interval does not know that the threshold was chosen by the same sample.
        false_per_hour: of the calls that are kept; None where nothing was analysed.
        n_calls: that are kept.
        n_decided: of these, drawn and judged yes or no.
        analysed_hours: in which they were found.
        may_be_lower: whether a lower threshold might do, too, but nobody has judged enough calls below.
    """

    threshold: float
    interval: ThresholdInterval | None
    precision: Estimated
    false_per_hour: Estimated | None
    n_calls: int
    n_decided: int
    analysed_hours: float
    may_be_lower: bool


class Why(StrEnum):
    """Why there is no threshold to advise."""

    NO_EFFORT = "nothing was analysed, so there is no rate of false calls"
    NOT_JUDGED = "too few calls of the highest scores are judged"
    NOT_REACHED = "no threshold above which enough calls are judged brings that"


@dataclass(frozen=True, slots=True)
class NoAdvice:
    """That there is no threshold to advise.

    Attributes:
        best: the lowest threshold that comes as near as any; None where nothing is known of any.
    """

    why: Why
    best: Advice | None = None


def advise(
    calls: Sequence[Detection], analysed_hours: float, wanted: WantedPrecision | WantedFalseAlarms
) -> Advice | NoAdvice:
    """The lowest threshold, not below the lowest score, that brings what is wanted.

    Only thresholds are tried above which every stratum has calls that were drawn and decided, and all of them together ten.

    Args:
        calls: in any order; of the detector's own all that it finds at its threshold (`strata.found_at`).
        analysed_hours: sound in which they were found.
        wanted: what is wanted.
    """
    if isinstance(wanted, WantedFalseAlarms) and not analysed_hours:
        return NoAdvice(Why.NO_EFFORT)
    steps = _steps(calls)
    tallies = [steps.tally(place) for place in range(len(steps.begins))]
    enough = np.array([_is_enough(tally) for tally in tallies], np.bool_)
    if not enough.any():
        return NoAdvice(Why.NOT_JUDGED)
    n_calls = _from_there(steps.n_calls)
    true = _from_there(steps.n_yes + steps.n_open * steps.likely(steps.n_yes, steps.n_no))
    precisions = {k: interval_of(float(true[k] / n_calls[k]), tallies[k]) for k in np.flatnonzero(enough).tolist()}
    lacks = np.full((3, len(enough)), np.inf)
    bounds = np.array([(one.value, one.low, one.high) for one in precisions.values()]).T
    lacks[:, enough] = wanted.lack(bounds * n_calls[enough], n_calls[enough], analysed_hours)
    place, at_worst, at_best = (_first(lack <= _EXACT) for lack in lacks)
    is_met = place is not None
    if place is None:
        place = int(np.argmax(lacks[0] <= lacks[0].min() + _EXACT))
    advice = Advice(
        threshold=float(steps.begins[place]),
        interval=_interval(steps.begins, at_best, at_worst) if is_met else None,
        precision=precisions[place],
        false_per_hour=false_alarms(precisions[place], int(n_calls[place]), analysed_hours),
        n_calls=int(n_calls[place]),
        n_decided=int(tallies[place].n_decided.sum()),
        analysed_hours=analysed_hours,
        may_be_lower=bool(0 < place == enough.argmax()),
    )
    return advice if is_met else NoAdvice(Why.NOT_REACHED, advice)


def _first(is_so: BoolArray) -> int | None:
    return int(is_so.argmax()) if is_so.any() else None


def _interval(begins: _Numbers, at_best: int | None, at_worst: int | None) -> ThresholdInterval:
    """From the lowest threshold that does if precisions are the highest that they may be, to that if they are the lowest."""
    assert at_best is not None, "what does by its value does by more"
    return ThresholdInterval(float(begins[at_best]), None if at_worst is None else float(begins[at_worst]))


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """Calls by small steps of their scores, ascending, ``[n]`` each; the first is the lowest score.

    Attributes:
        begins: lowest score of the step.
        numbers: of the stratum in which it lies.
        mean_scores: of the calls in it; where there is none, its begin.
        n_calls: in it.
        n_yes, n_no: of these, drawn, and judged so.
    """

    begins: _Numbers
    numbers: IntArray
    mean_scores: _Numbers
    n_calls: IntArray
    n_yes: IntArray
    n_no: IntArray

    @property
    def n_open(self) -> IntArray:
        """Of the calls in it, those that are not known to be one, nor to be none."""
        return self.n_calls - self.n_yes - self.n_no

    def tally(self, place: int) -> Tally:
        """Of the calls from a step on, by stratum."""
        columns = (self.n_calls, self.n_yes, self.n_no)
        counts = [np.bincount(self.numbers[place:], part[place:]).astype(np.int64) for part in columns]
        return Tally(*(count[counts[0] > 0] for count in counts))

    def likely(self, n_yes: IntArray, n_no: IntArray) -> _Numbers:
        """How likely the calls of each step are one: isotonic between the steps that were judged so, level beyond."""
        from scipy.optimize import isotonic_regression  # noqa: PLC0415 - a tenth of a second, mostly for nothing

        n_decided = n_yes + n_no
        drawn = n_decided > 0
        stands_for = np.bincount(self.numbers, self.n_calls) / np.maximum(np.bincount(self.numbers, n_decided), 1)
        weights = (n_decided * stands_for[self.numbers])[drawn]
        rising = isotonic_regression(n_yes[drawn] / n_decided[drawn], weights=weights).x
        return np.interp(self.mean_scores, self.mean_scores[drawn], rising)


def _steps(calls: Sequence[Detection]) -> _Steps:
    order = stratified_sampling.by_stratum(calls)
    scores = np.array([np.nan if call.score is None else call.score for call in calls], np.float64)
    own = scores[~np.isnan(scores)]
    lowest = np.floor(own.min(initial=np.inf) * _AS_SAID + 1e-6) / _AS_SAID
    tried = np.unique(np.append(_STEPS, lowest))
    begins = tried[(tried >= lowest) & (tried <= own.max(initial=-np.inf))]
    drawn = [i for indices in stratified_sampling.drawn(calls, order).values() for i in indices.tolist()]

    def counted(these: _Numbers) -> IntArray:
        return np.bincount(np.searchsorted(begins, these, side="right") - 1, minlength=len(begins))

    n_calls, n_yes, n_no = (
        counted(these)
        for these in (own, *(scores[[i for i in drawn if calls[i].review == verdict]] for verdict in ("yes", "no")))
    )
    sums = np.bincount(np.searchsorted(begins, own, side="right") - 1, own, len(begins))
    means = np.where(n_calls > 0, sums / np.maximum(n_calls, 1), begins)
    numbers = np.array([stratified_sampling.stratum(begin) for begin in begins.tolist()], np.int64)
    return _Steps(begins, numbers, means, n_calls, n_yes, n_no)


def _is_enough(tally: Tally) -> bool:
    """Whether so many judgements of the calls above a threshold are worth anything."""
    n_decided = tally.n_decided
    return bool(n_decided.all() and n_decided.sum() >= min(_FEWEST_ABOVE, tally.n_calls.sum()))


def _from_there(parts: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
    """Sums of each step and all above it, ``[..., n]``."""
    return parts[..., ::-1].cumsum(axis=-1)[..., ::-1]
