"""Turn window scores into detections, by arithmetic on arrays alone.

1. Hysteresis: a run of windows begins where scores reach the threshold and extends while they stay above a lower one.
2. Runs that are closer than a gap are joined, and runs that are too short are dropped.
3. A run may hold several detections. The highest peak gives the first one, with the time-frequency box of its window. Every
   window that covers this box is explained by it; the highest unexplained peak gives the next. Windows that are no peak give
   none, because a window that holds a part of a call scores too.
4. The box of a detection is the median of the boxes of the windows around its peak, so a 1 s call has a box of about 1 s.

Peaks are taken from high to low, and a lower peak never changes a higher one. A detection at one threshold is therefore
found at every lower threshold, with the same box and the same ID.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from whalescan.core import BoolArray, FloatArray, IntArray, WindowGrid, invalid
from whalescan.core.intervals import true_runs


@dataclass(frozen=True, slots=True)
class DetectionRule:
    """Rule by which scores become detections.

    Attributes:
        threshold: lowest score at which a run begins; above 0, at most 1.
        low_ratio: a run extends while scores are at least this share of the threshold.
        gap_s: runs with less than this between them are joined.
        min_duration_s: shortest run, counted in hops.
        separation_s: detections whose midpoints are closer than this are one detection.
        default_band_hz: lower and upper edge of the box where the window has no trace.
    """

    threshold: float = 0.5
    low_ratio: float = 0.5
    gap_s: float = 0.5
    min_duration_s: float = 0.0
    separation_s: float = 1.0
    default_band_hz: tuple[float, float] = (50.0, 350.0)

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise invalid("threshold", self.threshold, "a value above 0 and at most 1")

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> DetectionRule:
        """Return the rule that `dataclasses.asdict` gave these fields, also after a round trip through JSON."""
        return DetectionRule(**{**fields, "default_band_hz": tuple(fields["default_band_hz"])})


@dataclass(frozen=True, slots=True)
class WindowTrack:
    """Consecutive windows, their boxes, and the span of samples that they cover.

    The distance between windows may vary: two recordings that follow each other have a grid each.

    Attributes:
        grid: length and nominal distance of the windows.
        window_begins: int64 ``[n_windows]``, ascending: first sample of each window, on the axis of the detections.
        boxes: float32 ``[n_windows, 4]``, the box of each window as in `WindowScores`.
        begin_sample, end_sample: begin and end of the span; boxes are clipped to it.
    """

    grid: WindowGrid
    window_begins: IntArray
    boxes: FloatArray
    begin_sample: int
    end_sample: int

    @staticmethod
    def regular(boxes: FloatArray, grid: WindowGrid, n_samples: int) -> WindowTrack:
        """Return the windows of one recording of ``n_samples``."""
        return WindowTrack(grid, np.arange(len(boxes), dtype=np.int64) * grid.hop_samples, boxes, 0, n_samples)


@dataclass(frozen=True, slots=True)
class SampleDetection:
    """Detection on the sample axis of a recording, ``[begin_sample, end_sample)`` at the model's rate."""

    begin_sample: int
    end_sample: int
    low_hz: float
    high_hz: float
    score: float

    @property
    def middle_sample(self) -> float:
        """Midpoint between begin and end."""
        return (self.begin_sample + self.end_sample) / 2


_EXPLAINED_SHARE = 0.7
"""A window that covers at least this share of a detection's box is explained by that detection."""
_PEAK_RADIUS_S = 0.5
"""A window is a peak where no window within this distance scores higher."""
_AGREEING_RATIO = 0.5
"""Windows that score at least this share of the peak take part in the median box."""
_MIN_TRACE_S, _FALLBACK_BOX_S = 0.3, 1.0
"""Traces shorter than the first are not used as boxes; a box of the second length takes their place."""


def find_detections(scores: FloatArray, track: WindowTrack, rule: DetectionRule) -> list[SampleDetection]:
    """Return the detections of one class, sorted by begin.

    Args:
        scores: float32 ``[n_windows]``; NaN where a window holds no sound.
        track: the windows and their boxes.
        rule: thresholds and distances.
    """
    grid = track.grid
    scores = np.nan_to_num(scores, nan=0.0)
    in_run = np.zeros(len(scores), np.bool_)
    for begin, end in hysteresis_runs(scores, grid, rule):
        in_run[begin:end] = True
    candidates = np.flatnonzero(in_run & (scores >= rule.threshold) & _is_peak(scores, grid))
    highest_first = candidates[np.argsort(-scores[candidates], kind="stable")]
    boxes = _absolute_boxes(track, rule)
    detections: dict[int, list[SampleDetection]] = defaultdict(list)  # by the cell, one window long, of their midpoint
    for window in highest_first.tolist():
        begin = int(track.window_begins[window])
        end = begin + grid.window_samples
        if any(_explains(other, begin, end) for other in _near(detections, begin + grid.window_samples / 2, grid)):
            continue
        detection = _with_median_box(scores, boxes, track, window)
        middle, min_distance = detection.middle_sample, rule.separation_s * grid.rate_hz
        if all(abs(middle - other.middle_sample) >= min_distance for other in _near(detections, middle, grid)):
            detections[int(middle // grid.window_samples)].append(detection)
    return sorted(
        itertools.chain.from_iterable(detections.values()),
        key=lambda detection: (detection.begin_sample, detection.end_sample),
    )


def _near(detections: Mapping[int, list[SampleDetection]], sample: float, grid: WindowGrid) -> list[SampleDetection]:
    """Return a superset of the detections whose midpoints lie within one window length of a sample."""
    cell = int(sample // grid.window_samples)
    return [detection for near in (cell - 1, cell, cell + 1) for detection in detections.get(near, ())]


def hysteresis_runs(scores: FloatArray, grid: WindowGrid, rule: DetectionRule) -> list[tuple[int, int]]:
    """Return the runs ``[begin, end)`` of windows that hysteresis finds, gaps bridged and short runs dropped.

    Args:
        scores: float32 ``[n_windows]`` without NaN.
        grid: length and distance of the windows.
        rule: thresholds, gap and shortest run.
    """
    joined: list[tuple[int, int]] = []
    for begin, end in true_runs(scores >= rule.threshold * rule.low_ratio).tolist():
        if scores[begin:end].max() < rule.threshold:
            continue
        if joined and (begin - joined[-1][1]) * grid.hop_samples < rule.gap_s * grid.rate_hz:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((begin, end))
    shortest = rule.min_duration_s * grid.rate_hz
    return [(begin, end) for begin, end in joined if (end - begin) * grid.hop_samples >= shortest]


def _absolute_boxes(track: WindowTrack, rule: DetectionRule) -> FloatArray:
    """Return the boxes ``[n_windows, 4]`` on the track's axis, clipped to its span.

    Where a window has no trace within the span, the box is the middle second of the window's part of the span.
    """
    grid, boxes = track.grid, track.boxes
    traces = np.clip(boxes[:, :2] + track.window_begins[:, None].astype(np.float64), track.begin_sample, track.end_sample)
    begins = np.maximum(track.window_begins, track.begin_sample).astype(np.float64)
    ends = np.minimum(track.window_begins + grid.window_samples, track.end_sample)
    half = np.minimum(_FALLBACK_BOX_S * grid.rate_hz, ends - begins) / 2
    middle = (begins + ends) / 2
    low_hz, high_hz = np.broadcast_to(np.array(rule.default_band_hz)[:, None], (2, len(boxes)))
    fallback = np.stack([middle - half, middle + half, low_hz, high_hz], axis=1)
    has_trace = traces[:, 1] - traces[:, 0] >= _MIN_TRACE_S * grid.rate_hz
    return np.where(has_trace[:, None], np.concatenate([traces, boxes[:, 2:]], axis=1), fallback)


def _explains(detection: SampleDetection, begin: int, end: int) -> bool:
    """Return whether a window covers so much of a detection that its score is explained by it."""
    covered = min(end, detection.end_sample) - max(begin, detection.begin_sample)
    return covered >= _EXPLAINED_SHARE * (detection.end_sample - detection.begin_sample)


def _is_peak(scores: FloatArray, grid: WindowGrid) -> BoolArray:
    """Return where no window within `_PEAK_RADIUS_S` scores higher: bool ``[n_windows]``."""
    radius = max(1, round(_PEAK_RADIUS_S * grid.rate_hz / grid.hop_samples))
    is_peak: BoolArray = scores >= ndimage.maximum_filter1d(scores, 2 * radius + 1, mode="nearest")
    return is_peak


def _with_median_box(scores: FloatArray, boxes: FloatArray, track: WindowTrack, peak: int) -> SampleDetection:
    """Return the detection of a peak. Its box is the median over the windows that hold the same box and score alike."""
    radius = track.grid.window_samples // track.grid.hop_samples
    near: IntArray = np.arange(max(peak - radius, 0), min(peak + radius + 1, len(scores)))
    begin, end = boxes[peak, :2]
    middles = boxes[near, :2].mean(axis=1)
    begins = track.window_begins[near]
    is_same = np.abs(middles - (begin + end) / 2) < (end - begin) / 2
    is_whole = (begins <= begin) & (begins + track.grid.window_samples >= end)
    agreeing = near[is_same & is_whole & (scores[near] >= _AGREEING_RATIO * scores[peak])]
    median = np.median(boxes[agreeing], axis=0)
    return SampleDetection(
        begin_sample=math.floor(median[0]),
        end_sample=math.ceil(median[1]),
        low_hz=float(median[2]),
        high_hz=float(median[3]),
        score=float(scores[peak]),
    )
