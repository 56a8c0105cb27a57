"""How much a measure would move with other recordings: bootstrap (Efron 1979), 95 % between percentiles.

Recordings are drawn with replacement, as many as there are, each with all that lies in it: calls of one recording share
their sea, their whale and their ship, so calls drawn one by one would make the intervals too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from whalescan.core import IntArray
from whalescan.evaluation.metrics import Curve, Flags, Numbers, Tally, curve

PERCENT = 95
FEW_RECORDINGS = 10
"""With fewer, what could have been drawn is hardly known, and neither is the interval."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a measure lies in 95 of 100 draws."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Draws:
    """How to draw: how often, and from which seed."""

    n: int = 1000
    seed: int = 1


def over_recordings(
    counted: Tally, measures: Mapping[str, Callable[[Curve], float | None]], draws: Draws
) -> dict[str, Interval | None]:
    """An interval for each measure; None with fewer than two recordings, or where a measure is not defined."""
    n_recordings = len(counted.hours)
    if n_recordings < 2 or draws.n == 0:
        return dict.fromkeys(measures)
    random = np.random.default_rng(draws.seed)
    times: IntArray = random.multinomial(n_recordings, np.full(n_recordings, 1 / n_recordings), draws.n)
    drawn = [{name: measure(one) for name, measure in measures.items()} for one in (curve(counted, row) for row in times)]
    return {name: _interval(values[name] for values in drawn) for name in measures}


def over_clips(
    is_call: Flags, scores: Numbers, measures: Mapping[str, Callable[[Flags, Numbers], float]], draws: Draws
) -> dict[str, Interval | None]:
    """An interval for each measure of labelled clips, which are drawn one by one; None without draws."""
    random = np.random.default_rng(draws.seed)
    drawn = []
    for _ in range(draws.n):
        chosen = random.integers(0, len(scores), len(scores))
        if len(set(is_call[chosen].tolist())) == 2:  # a draw of one kind tells nothing apart
            drawn.append({name: measure(is_call[chosen], scores[chosen]) for name, measure in measures.items()})
    return {name: _interval(values[name] for values in drawn) for name in measures}


def _interval(values: Iterable[float | None]) -> Interval | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, high = np.percentile(known, [(100 - PERCENT) / 2, (100 + PERCENT) / 2])
    return Interval(float(low), float(high))
