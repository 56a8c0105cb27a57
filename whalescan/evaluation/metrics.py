"""Metrics of detections and scores at every threshold, with bootstrap confidence intervals. Pure arithmetic on arrays.

A threshold ``t`` selects the detections with a score of at least ``t``. With H true and F false positives among them, C
calls and T analysed hours:

- precision ``H / (H + F)``, recall ``H / C``, F1 ``2 H / (H + F + C)``, their harmonic mean
- false positives per hour ``F / T``
- average precision: the sum, over the true positives, of the precision at the score of each, divided by C. Nothing is
  interpolated, and a call without a detection adds nothing. It equals scikit-learn's ``average_precision_score`` times the
  share of calls with a detection, as scikit-learn only knows what has a score.

Confidence intervals are the 95 % percentile intervals of the bootstrap (Efron 1979). Recordings are resampled with all of
their detections and calls: calls in one recording share ambient noise, whale and ship, so intervals from single calls would
be too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import brier_score_loss

from whalescan.core import IntArray, UsageError

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
PER_HOUR = (0.3, 1.0, 2.0, 4.0, 8.0)
"""False positives per hour at which recall is always given."""
N_BINS = 10
PERCENT = 95
FEW_RECORDINGS = 10
"""With fewer recordings, bootstrap intervals are approximate."""


@dataclass(frozen=True, slots=True)
class DetectionCounts:
    """Detections that are true or false positives, with calls and hours by recording. Use `count_detections` to make one.

    Attributes:
        scores: float64 ``[n_detections]``, descending.
        is_true_positive: bool ``[n_detections]``.
        recording: int64 ``[n_detections]``, index of the recording of each detection.
        n_calls: int64 ``[n_recordings]``.
        hours: float64 ``[n_recordings]``, analysed hours.
    """

    scores: Numbers
    is_true_positive: Flags
    recording: IntArray
    n_calls: IntArray
    hours: Numbers

    def of_recording(self, recording: int) -> DetectionCounts:
        """Return the counts of one recording."""
        chosen, only = self.recording == recording, slice(recording, recording + 1)
        index = np.zeros(chosen.sum(), np.int64)
        return DetectionCounts(
            self.scores[chosen], self.is_true_positive[chosen], index, self.n_calls[only], self.hours[only]
        )


def count_detections(
    scores: npt.ArrayLike, is_true_positive: npt.ArrayLike, recording: npt.ArrayLike, n_calls: IntArray, hours: Numbers
) -> DetectionCounts:
    """Return detections, given in any order, sorted by score, with the calls and hours of each recording."""
    values = np.asarray(scores, np.float64)
    order = np.argsort(-values, kind="stable")
    is_positive, index = np.asarray(is_true_positive, np.bool_), np.asarray(recording, np.int64)
    return DetectionCounts(values[order], is_positive[order], index[order], n_calls, hours)


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Counts and rates at one threshold. A rate with a denominator of 0 is None, as precision without detections."""

    threshold: float
    n_calls: int
    true_positives: int
    false_positives: int
    hours: float

    @property
    def false_negatives(self) -> int:
        """Return the number of calls without a detection."""
        return self.n_calls - self.true_positives

    @property
    def precision(self) -> float | None:
        """Return the share of true positives among the detections."""
        return _share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        """Return the share of calls with a detection."""
        return _share(self.true_positives, self.n_calls)

    @property
    def f1(self) -> float | None:
        """Return the harmonic mean of precision and recall."""
        return _share(2 * self.true_positives, self.true_positives + self.false_positives + self.n_calls)

    @property
    def false_positives_per_hour(self) -> float:
        """Return the false positives per analysed hour."""
        return self.false_positives / self.hours


@dataclass(frozen=True, slots=True)
class ThresholdCurve:
    """Counts at every threshold at which they change.

    Attributes:
        thresholds: float64 ``[n]``, the distinct scores, descending.
        true_positives, false_positives: int64 ``[n]``, with a score of at least the threshold.
        n_calls: number of annotated calls.
        hours: analysed hours, above 0.
    """

    thresholds: Numbers = field(repr=False)
    true_positives: IntArray = field(repr=False)
    false_positives: IntArray = field(repr=False)
    n_calls: int
    hours: float

    def __len__(self) -> int:
        return len(self.thresholds)

    def points(self) -> list[OperatingPoint]:
        """Return the operating point of each threshold."""
        return [self._point(i) for i in range(len(self))]

    def to_frame(self) -> pd.DataFrame:
        """Return a row per threshold with counts and rates."""
        names = ("threshold", "true_positives", "false_negatives", "false_positives", "precision", "recall", "f1")
        columns = (*names, "false_positives_per_hour")
        return pd.DataFrame([{name: getattr(point, name) for name in columns} for point in self.points()], columns=columns)

    def at(self, threshold: float) -> OperatingPoint:
        """Return the operating point of a threshold."""
        n = int(np.count_nonzero(self.thresholds >= threshold))
        true_positives, false_positives = (
            (int(self.true_positives[n - 1]), int(self.false_positives[n - 1])) if n else (0, 0)
        )
        return OperatingPoint(threshold, self.n_calls, true_positives, false_positives, self.hours)

    def average_precision(self) -> float | None:
        """Return the mean precision over all calls, see above; None without calls."""
        if self.n_calls == 0:
            return None
        precision = self.true_positives / np.maximum(self.true_positives + self.false_positives, 1)
        return float(np.sum(np.diff(self.true_positives, prepend=0) * precision)) / self.n_calls

    def best_f1(self) -> OperatingPoint | None:
        """Return the highest threshold with the highest F1; None without calls or without detections."""
        if self.n_calls == 0 or len(self) == 0:
            return None
        f1 = 2 * self.true_positives / (self.true_positives + self.false_positives + self.n_calls)
        return self._point(int(np.argmax(f1)))

    def recall_at(self, per_hour: float) -> float | None:
        """Return the highest recall with at most so many false positives per hour; None without calls."""
        if self.n_calls == 0:
            return None
        n = self._n_with_rate(per_hour)
        return float(self.true_positives[n - 1]) / self.n_calls if n else 0.0

    def for_false_positives(self, per_hour: float) -> OperatingPoint | None:
        """Return the lowest threshold with at most so many false positives per hour; None if no threshold has.

        All numbers between two scores are equivalent; the one with the fewest decimals is returned.
        """
        n = self._n_with_rate(per_hour)
        return self._point(n - 1, short=True) if n else None

    def for_precision(self, precision: float) -> OperatingPoint | None:
        """Return the lowest threshold with at least this precision; None if no threshold has. Higher ones may have less."""
        reached = np.flatnonzero(self.true_positives >= precision * (self.true_positives + self.false_positives))
        return self._point(int(reached[-1]), short=True) if len(reached) else None

    def _n_with_rate(self, per_hour: float) -> int:
        """Return the number of thresholds with at most so many false positives per hour, which are the highest ones."""
        return int(np.searchsorted(self.false_positives / self.hours, per_hour, side="right"))

    def _point(self, i: int, short: bool = False) -> OperatingPoint:
        threshold = float(self.thresholds[i])
        if short:
            threshold = fewest_decimals(float(self.thresholds[i + 1]) if i + 1 < len(self) else -math.inf, threshold)
        true_positives, false_positives = int(self.true_positives[i]), int(self.false_positives[i])
        return OperatingPoint(threshold, self.n_calls, true_positives, false_positives, self.hours)


def threshold_curve(counts: DetectionCounts, weights: IntArray | None = None) -> ThresholdCurve:
    """Return true and false positives at every threshold.

    Args:
        counts: detections, calls and hours.
        weights: int64 ``[n_recordings]``, how often each recording is counted; None to count each once.
    """
    weights = np.ones_like(counts.n_calls) if weights is None else weights
    weight = weights[counts.recording]
    # detections with equal scores have one threshold
    is_last = np.append(np.diff(counts.scores) != 0, True)[: len(counts.scores)]
    return ThresholdCurve(
        thresholds=counts.scores[is_last],
        true_positives=np.cumsum(weight * counts.is_true_positive)[is_last],
        false_positives=np.cumsum(weight * ~counts.is_true_positive)[is_last],
        n_calls=int(weights @ counts.n_calls),
        hours=float(weights @ counts.hours),
    )


@dataclass(frozen=True, slots=True)
class ScoreBin:
    """A range of scores, and the share of them that is correct.

    Attributes:
        low, high: edges; the bin holds ``low < score <= high``, the first bin also 0.
        n: number of scores.
        mean_score: None in an empty bin.
        share: share of true positives, or of clips with a call; None in an empty bin.
    """

    low: float
    high: float
    n: int
    mean_score: float | None
    share: float | None


@dataclass(frozen=True, slots=True)
class Reliability:
    """Agreement of scores with the share that is correct: the Brier score (Brier 1950), and the share in bins."""

    brier: float
    bins: tuple[ScoreBin, ...]


def measure_reliability(scores: Numbers, is_correct: Flags) -> Reliability | None:
    """Return the reliability of scores; None without scores, or where they are not between 0 and 1.

    The bins are those of scikit-learn's ``calibration_curve``, which does not return the number of scores in each.
    """
    if len(scores) == 0 or scores.min() < 0 or scores.max() > 1:
        return None
    edges = np.linspace(0, 1, N_BINS + 1)
    index = np.searchsorted(edges[1:-1], scores)
    n, total, correct = (np.bincount(index, weights, N_BINS) for weights in (None, scores, is_correct.astype(np.float64)))
    bins = tuple(
        ScoreBin(i / N_BINS, (i + 1) / N_BINS, int(n[i]), _share(total[i], n[i]), _share(correct[i], n[i]))
        for i in range(N_BINS)
    )
    return Reliability(float(brier_score_loss(is_correct.astype(np.int64), scores, pos_label=1)), bins)


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def fewest_decimals(below: float, top: float) -> float:
    """Return the number in ``(below, top]`` with the fewest decimals, at least two."""
    for decimals in range(2, 9):
        rounded = math.floor(top * 10.0**decimals) / 10.0**decimals
        if below < rounded <= top:
            return rounded
    return top


@dataclass(frozen=True, slots=True)
class ConfidenceInterval:
    """The 95 % confidence interval of a metric."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class BootstrapOptions:
    """Number of resamples, 0 for no intervals, and random seed."""

    n_resamples: int = 1000
    seed: int = 1

    def __post_init__(self) -> None:
        if self.n_resamples < 0:
            raise UsageError(f"invalid bootstrap {self.n_resamples}: expected a number of resamples of at least 0")
        if self.seed < 0:
            raise UsageError(f"invalid seed {self.seed}: expected at least 0")


def recording_intervals(
    counts: DetectionCounts, measures: Mapping[str, Callable[[ThresholdCurve], float | None]], options: BootstrapOptions
) -> dict[str, ConfidenceInterval | None]:
    """Return the interval of each metric over recordings; None with fewer than two recordings, or where it is undefined."""
    n_recordings = len(counts.hours)
    if n_recordings < 2 or options.n_resamples == 0:
        return dict.fromkeys(measures)
    random = np.random.default_rng(options.seed)
    weights: IntArray = random.multinomial(n_recordings, np.full(n_recordings, 1 / n_recordings), options.n_resamples)
    curves = (threshold_curve(counts, row) for row in weights)
    resampled = [{name: measure(curve) for name, measure in measures.items()} for curve in curves]
    return {name: _interval(values[name] for values in resampled) for name in measures}


def clip_intervals(
    is_call: Flags, scores: Numbers, measures: Mapping[str, Callable[[Flags, Numbers], float]], options: BootstrapOptions
) -> dict[str, ConfidenceInterval | None]:
    """Return the interval of each metric over labelled clips, which are resampled individually; None without resamples."""
    random = np.random.default_rng(options.seed)
    resampled = []
    for _ in range(options.n_resamples):
        chosen = random.integers(0, len(scores), len(scores))
        if len(set(is_call[chosen].tolist())) == 2:  # the metrics need clips of both kinds
            resampled.append({name: measure(is_call[chosen], scores[chosen]) for name, measure in measures.items()})
    return {name: _interval(values[name] for values in resampled) for name in measures}


def _interval(values: Iterable[float | None]) -> ConfidenceInterval | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, high = np.percentile(known, [(100 - PERCENT) / 2, (100 + PERCENT) / 2])
    return ConfidenceInterval(float(low), float(high))
