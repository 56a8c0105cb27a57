"""Turn the log-odds of columns into detections, by arithmetic on arrays alone.

1. A peak is a column whose score reaches the threshold and whose log-odds no neighbour exceeds. Of neighbours with equal
   log-odds the first is the peak.
2. The time of a peak is that of the vertex of the parabola through its own log-odds and those of its two neighbours, at most
   half a column from the column's middle.
3. Peaks are taken from high to low. One that is closer than a separation to a peak taken before is left out (non-maximum
   suppression). A call raises several columns, so it gives one detection; two calls a second apart give two.
4. The box of a detection is that of its peak's column, clipped to the recorded sound. Where the column has none, it is the
   second around the peak and a default band.

A lower peak never changes a higher one. A detection at one threshold is therefore found at every lower threshold, with the
same box and the same ID.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from whalescan.core import BoolArray, ColumnGrid, FloatArray, invalid
from whalescan.detector.pooling import scores_of

SCORE_DECIMALS = 4
_MIN_BOX_S, _FALLBACK_BOX_S = 0.3, 1.0
"""Shorter boxes than the first are not used; one of the second length takes their place."""

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DetectionRule:
    """Rule by which log-odds become detections.

    Attributes:
        threshold: lowest score of a detection; above 0, at most 1.
        separation_s: smallest distance between two detections of a class.
        default_band_hz: lower and upper edge of the box where the network gives none.
    """

    threshold: float = 0.5
    separation_s: float = 0.7
    default_band_hz: tuple[float, float] = (50.0, 350.0)

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise invalid("threshold", self.threshold, "a value above 0 and at most 1")

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> DetectionRule:
        """Return the rule that `dataclasses.asdict` gave these fields, also after a round trip through JSON."""
        return DetectionRule(fields["threshold"], fields["separation_s"], tuple(fields["default_band_hz"]))


@dataclass(frozen=True, slots=True, eq=False)
class ColumnTrack:
    """Columns of one class in the order of time, and the span of sound that they lie in.

    The distance between columns may vary: two recordings that follow each other have a grid each.

    Attributes:
        rate_hz: samples per second of the time axis.
        middles: float64 ``[n_columns]``, ascending: the sample in the middle of each column.
        log_odds: float32 ``[n_columns]``, calibrated; NaN where nothing was recorded.
        boxes: float32 ``[n_columns, 4]``, as in `ColumnScores`.
        begin_sample, end_sample: begin and end of the span; boxes are clipped to it.
    """

    rate_hz: int
    middles: _Floats
    log_odds: FloatArray
    boxes: FloatArray
    begin_sample: int
    end_sample: int

    @staticmethod
    def regular(log_odds: FloatArray, boxes: FloatArray, grid: ColumnGrid, n_samples: int) -> ColumnTrack:
        """Return the columns of one recording of ``n_samples``."""
        middles = (np.arange(len(log_odds), dtype=np.float64) + 0.5) * grid.column_samples
        return ColumnTrack(grid.rate_hz, middles, log_odds, boxes, 0, n_samples)


@dataclass(frozen=True, slots=True)
class SampleDetection:
    """Detection on the sample axis of a recording, ``[begin_sample, end_sample)`` at the model's rate.

    Attributes:
        peak_sample: time of the peak of the log-odds, which identifies the detection.
        score: 0 to 1, with `SCORE_DECIMALS`.
    """

    peak_sample: float
    begin_sample: int
    end_sample: int
    low_hz: float
    high_hz: float
    score: float


def find_detections(track: ColumnTrack, rule: DetectionRule) -> list[SampleDetection]:
    """Return the detections of one class, in the order of their peaks.

    Args:
        track: the columns.
        rule: threshold, separation and default band.
    """
    scores = scores_of(track.log_odds).astype(np.float64).round(SCORE_DECIMALS)
    peaks = np.flatnonzero(_is_peak(track.log_odds) & (scores >= rule.threshold))
    times = _peak_times(track, peaks)
    highest_first = np.argsort(-track.log_odds[peaks], kind="stable")
    kept = _separated(times, highest_first, rule.separation_s * track.rate_hz)
    boxes = _boxes(track, peaks[kept], times[kept], rule)
    return [
        SampleDetection(time, math.floor(begin), math.ceil(end), low_hz, high_hz, score)
        for time, (begin, end, low_hz, high_hz), score in zip(
            times[kept].tolist(), boxes.tolist(), scores[peaks[kept]].tolist(), strict=True
        )
    ]


def _is_peak(log_odds: FloatArray) -> BoolArray:
    """Return where no neighbour is higher, nor the one before as high: bool ``[n_columns]``."""
    padded = np.pad(np.nan_to_num(log_odds, nan=-np.inf), 1, constant_values=-np.inf)
    is_peak: BoolArray = (padded[1:-1] > padded[:-2]) & (padded[1:-1] >= padded[2:])
    return is_peak


def _peak_times(track: ColumnTrack, peaks: npt.NDArray[np.intp]) -> _Floats:
    """Return the times of peaks in samples, float64 ``[n_peaks]``, between columns where both neighbours are as far away."""
    last = max(len(track.middles) - 1, 0)
    before, after = np.maximum(peaks - 1, 0), np.minimum(peaks + 1, last)
    middles, log_odds = track.middles, track.log_odds.astype(np.float64)
    step = middles[after] - middles[peaks]
    is_between = (before < peaks) & (after > peaks) & (middles[peaks] - middles[before] == step)
    slope, curvature = log_odds[before] - log_odds[after], log_odds[before] - 2 * log_odds[peaks] + log_odds[after]
    is_curved = is_between & (curvature < 0)  # not where a neighbour is missing
    shift = np.divide(slope, 2 * curvature, out=np.zeros(len(peaks)), where=is_curved)
    return np.clip(middles[peaks] + shift * step, track.begin_sample, track.end_sample)


def _separated(times: _Floats, highest_first: npt.NDArray[np.intp], separation: float) -> npt.NDArray[np.intp]:
    """Return the indices of peaks, ascending, without those closer than ``separation`` to a higher one that is returned."""
    kept_in: dict[int, list[float]] = defaultdict(list)  # times by the cell, one separation long, that they lie in
    kept: list[int] = []
    for peak in highest_first.tolist():
        time = float(times[peak])
        cell = int(time // separation) if separation > 0 else 0
        near = (other for around in (cell - 1, cell, cell + 1) for other in kept_in.get(around, ()))
        if all(abs(time - other) >= separation for other in near):
            kept_in[cell].append(time)
            kept.append(peak)
    return np.array(sorted(kept), np.intp)


def _boxes(track: ColumnTrack, peaks: npt.NDArray[np.intp], times: _Floats, rule: DetectionRule) -> _Floats:
    """Return begin and end in samples, and low and high edge in Hz, of the detections of peaks: float64 ``[n_peaks, 4]``."""
    own = track.boxes[peaks].astype(np.float64)
    spans = np.clip(own[:, :2] + track.middles[peaks, None], track.begin_sample, track.end_sample)
    half = _FALLBACK_BOX_S * track.rate_hz / 2
    around = np.clip(np.stack([times - half, times + half], axis=1), track.begin_sample, track.end_sample)
    has_span = spans[:, 1] - spans[:, 0] >= _MIN_BOX_S * track.rate_hz  # not where they are NaN
    has_band = own[:, 3] > np.maximum(own[:, 2], 0)
    bands = np.where(has_band[:, None], own[:, 2:].clip(min=0), rule.default_band_hz)
    return np.concatenate([np.where(has_span[:, None], spans, around), bands], axis=1)
