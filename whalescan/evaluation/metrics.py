"""What hits and false alarms amount to, at every threshold. Pure arithmetic on arrays.

A threshold ``t`` keeps the detections with a score of at least ``t``. With H hits and F false ones among them, C calls and T
hours of listening:

- precision ``H / (H + F)``, recall ``H / C``, F1 ``2 H / (H + F + C)``, the harmonic mean of the two
- false positives per hour ``F / T``
- average precision: the sum, over the hits, of the precision at each hit's own score, divided by C. Nothing is interpolated,
  and a call that was never found adds nothing. That is scikit-learn's ``average_precision_score`` times the share of calls
  found at all: scikit-learn knows only what was scored, and a call that no detection took has no score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import brier_score_loss

from whalescan.core import IntArray

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
PER_HOUR = (0.3, 1.0, 2.0, 4.0, 8.0)
"""False positives per hour at which recall is always given."""
N_BINS = 10


@dataclass(frozen=True, slots=True)
class Tally:
    """All that counts, recording by recording. Made by `tally`, which puts it in order.

    Attributes:
        scores: float64 ``[n_detections]``, descending.
        is_hit: bool ``[n_detections]``.
        recording: int64 ``[n_detections]``, which recording each lies in.
        n_calls: int64 ``[n_recordings]``.
        hours: float64 ``[n_recordings]``, of listening.
    """

    scores: Numbers
    is_hit: Flags
    recording: IntArray
    n_calls: IntArray
    hours: Numbers

    def of(self, recording: int) -> Tally:
        """What counts in one recording."""
        own = self.recording == recording
        only = slice(recording, recording + 1)
        return Tally(self.scores[own], self.is_hit[own], np.zeros(own.sum(), np.int64), self.n_calls[only], self.hours[only])


def tally(
    scores: npt.ArrayLike, is_hit: npt.ArrayLike, recording: npt.ArrayLike, n_calls: IntArray, hours: Numbers
) -> Tally:
    """Detections in any order, with the calls and hours of each recording, in the order of their scores."""
    values = np.asarray(scores, np.float64)
    order = np.argsort(-values, kind="stable")
    return Tally(values[order], np.asarray(is_hit, np.bool_)[order], np.asarray(recording, np.int64)[order], n_calls, hours)


@dataclass(frozen=True, slots=True)
class Point:
    """What one threshold gives. A share of nothing is None, as precision is where nothing was detected."""

    threshold: float
    n_calls: int
    hits: int
    false_positives: int
    hours: float

    @property
    def misses(self) -> int:
        """Calls that no kept detection took."""
        return self.n_calls - self.hits

    @property
    def precision(self) -> float | None:
        """Share of hits among the detections."""
        return _share(self.hits, self.hits + self.false_positives)

    @property
    def recall(self) -> float | None:
        """Share of the calls that were found."""
        return _share(self.hits, self.n_calls)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall."""
        return _share(2 * self.hits, self.hits + self.false_positives + self.n_calls)

    @property
    def false_positives_per_hour(self) -> float:
        """False alarms in an hour of listening."""
        return self.false_positives / self.hours


@dataclass(frozen=True, slots=True)
class Curve:
    """Every threshold at which something changes.

    Attributes:
        thresholds: float64 ``[n]``, the distinct scores, descending.
        hits, false_positives: int64 ``[n]``, with a score of at least the threshold.
        n_calls: annotated calls.
        hours: of listening, above 0.
    """

    thresholds: Numbers
    hits: IntArray
    false_positives: IntArray
    n_calls: int
    hours: float

    def __len__(self) -> int:
        return len(self.thresholds)

    def points(self) -> list[Point]:
        """Each threshold with what it gives."""
        return [self._point(i) for i in range(len(self))]

    def at(self, threshold: float) -> Point:
        """What a threshold gives."""
        kept = int(np.count_nonzero(self.thresholds >= threshold))
        hits, false_positives = (int(self.hits[kept - 1]), int(self.false_positives[kept - 1])) if kept else (0, 0)
        return Point(threshold, self.n_calls, hits, false_positives, self.hours)

    def average_precision(self) -> float | None:
        """Mean precision over all calls, see above; hits of one score share its precision. None without calls."""
        if self.n_calls == 0:
            return None
        precision = self.hits / np.maximum(self.hits + self.false_positives, 1)
        return float(np.sum(np.diff(self.hits, prepend=0) * precision)) / self.n_calls

    def best_f1(self) -> Point | None:
        """The threshold with the highest F1, the highest such threshold; None without calls or without detections."""
        if self.n_calls == 0 or len(self) == 0:
            return None
        return self._point(int(np.argmax(2 * self.hits / (self.hits + self.false_positives + self.n_calls))))

    def recall_at(self, per_hour: float) -> float | None:
        """Highest recall with at most so many false positives per hour; 0 where already the surest are too many."""
        if self.n_calls == 0:
            return None
        allowed = self._allowed(per_hour)
        return float(self.hits[allowed - 1]) / self.n_calls if allowed else 0.0

    def for_false_positives(self, per_hour: float) -> Point | None:
        """The lowest threshold with at most so many false positives per hour, as every higher one has; None if none has.

        Any number above the next lower score would do; given is the one with the fewest decimals.
        """
        allowed = self._allowed(per_hour)
        return self._point(allowed - 1, short=True) if allowed else None

    def for_precision(self, precision: float) -> Point | None:
        """The lowest threshold with at least this precision; None if there is none. A higher threshold may have less."""
        enough = np.flatnonzero(self.hits >= precision * (self.hits + self.false_positives))
        return self._point(int(enough[-1]), short=True) if len(enough) else None

    def _allowed(self, per_hour: float) -> int:
        """How many thresholds, from the highest down, keep to so many false positives per hour."""
        return int(np.searchsorted(self.false_positives / self.hours, per_hour, side="right"))

    def _point(self, i: int, short: bool = False) -> Point:
        threshold = float(self.thresholds[i])
        if short:
            threshold = _fewest_decimals(float(self.thresholds[i + 1]) if i + 1 < len(self) else -math.inf, threshold)
        return Point(threshold, self.n_calls, int(self.hits[i]), int(self.false_positives[i]), self.hours)


def curve(counted: Tally, times: IntArray | None = None) -> Curve:
    """Hits and false positives at every threshold.

    Args:
        counted: what counts.
        times: int64 ``[n_recordings]``, how often each recording counts; once where this is None.
    """
    times = np.ones_like(counted.n_calls) if times is None else times
    weight = times[counted.recording]
    is_last = np.append(np.diff(counted.scores) != 0, True)[: len(counted.scores)]  # equal scores pass a threshold together
    return Curve(
        thresholds=counted.scores[is_last],
        hits=np.cumsum(weight * counted.is_hit)[is_last],
        false_positives=np.cumsum(weight * ~counted.is_hit)[is_last],
        n_calls=int(times @ counted.n_calls),
        hours=float(times @ counted.hours),
    )


@dataclass(frozen=True, slots=True)
class Bin:
    """Scores that are nearly alike, and how often they were right.

    Attributes:
        low, high: edges; the bin holds ``low < score <= high``, the first one 0 too.
        n: how many scores.
        mean_score: None where there are none.
        share: of hits, or of calls; None where there are none.
    """

    low: float
    high: float
    n: int
    mean_score: float | None
    share: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether a score is the share of those that are right: the mean squared difference (Brier 1950), and bin by bin."""

    brier: float
    bins: tuple[Bin, ...]


def calibration(scores: Numbers, is_right: Flags) -> Calibration | None:
    """Compare scores with what they claim; None where there are none, or where they are no shares of 1.

    The bins are those of scikit-learn's ``calibration_curve``, which does not say how many lie in each.
    """
    if len(scores) == 0 or scores.min() < 0 or scores.max() > 1:
        return None
    edges = np.linspace(0, 1, N_BINS + 1)
    place = np.searchsorted(edges[1:-1], scores)
    n, total, right = (np.bincount(place, weights, N_BINS) for weights in (None, scores, is_right.astype(np.float64)))
    bins = tuple(
        Bin(i / N_BINS, (i + 1) / N_BINS, int(n[i]), _share(total[i], n[i]), _share(right[i], n[i])) for i in range(N_BINS)
    )
    return Calibration(float(brier_score_loss(is_right.astype(np.int64), scores, pos_label=1)), bins)


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _fewest_decimals(below: float, top: float) -> float:
    """The number in ``(below, top]`` with the fewest decimals, at least two."""
    for decimals in range(2, 9):
        rounded = math.floor(top * 10.0**decimals) / 10.0**decimals
        if below < rounded <= top:
            return rounded
    return top
