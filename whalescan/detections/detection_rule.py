"""From window scores to calls. Pure arithmetic on arrays: no file, no clock, no model.

1. Hysteresis: a run of windows opens at the high threshold and extends while scores stay above the low one.
2. Runs closer than a gap become one, and runs that are too short are dropped.
3. A run may hold several calls. The highest peak names the first, by the box of energy that its window saw; every window
   that covers this box is explained by it, and the highest peak that is not names the next. A slope names none, since a
   window that sees a part of a call scores too.
4. The box is settled by the median of the boxes that the windows around it saw: a 1 s call gives a box of about 1 s.

Peaks are taken from high to low, and a lower one never changes what a higher one named. So a call that is found at some
threshold is found at every lower one, with the same box and the same id.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from whalescan.core import FloatArray, IntArray, UsageError, WindowGrid


@dataclass(frozen=True, slots=True)
class DetectionRule:
    """How scores become calls.

    Attributes:
        threshold: score at which a run opens; 0 to 1.
        low_ratio: a run extends down to this part of the threshold.
        gap_s: runs with less than this between them are one.
        min_duration_s: shortest run, counted in hops.
        separation_s: calls whose middles are closer than this are one.
        default_band_hz: edges of the box where no trace stands out.
    """

    threshold: float = 0.5
    low_ratio: float = 0.5
    gap_s: float = 0.5
    min_duration_s: float = 0.0
    separation_s: float = 1.0
    default_band_hz: tuple[float, float] = (50.0, 350.0)

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise UsageError(f"a threshold of {self.threshold:g} lets everything or nothing through; choose one in (0, 1]")

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> DetectionRule:
        """From what `dataclasses.asdict` made of one, also after it went through JSON."""
        return DetectionRule(**{**fields, "default_band_hz": tuple(fields["default_band_hz"])})


@dataclass(frozen=True, slots=True)
class Track:
    """Windows in a row and the stretch of sound that they look at.

    They need not be equally far from one another everywhere: two recordings that go on in one another have a grid each.

    Attributes:
        grid: length and usual distance of the windows.
        begins: int64 ``[n_windows]``, ascending: first sample of each window, on the axis on which calls are wanted.
        boxes: float32 ``[n_windows, 4]``, each window's box as in `WindowScores`.
        begin_sample, end_sample: where the stretch begins and ends; no box reaches out of it.
    """

    grid: WindowGrid
    begins: IntArray
    boxes: FloatArray
    begin_sample: int
    end_sample: int

    @staticmethod
    def regular(boxes: FloatArray, grid: WindowGrid, n_samples: int) -> Track:
        """The windows of one recording of ``n_samples``."""
        return Track(grid, np.arange(len(boxes), dtype=np.int64) * grid.hop_samples, boxes, 0, n_samples)


@dataclass(frozen=True, slots=True)
class Call:
    """A call on a recording's own axis: samples at the model's rate, half open."""

    begin_sample: int
    end_sample: int
    low_hz: float
    high_hz: float
    score: float

    @property
    def middle_sample(self) -> float:
        """Half way between begin and end."""
        return (self.begin_sample + self.end_sample) / 2


_EXPLAINED = 0.7
"""A window that covers this part of a call's box owes its score to that call."""
_PEAK_S = 0.5
"""A window is a peak when none this near to it scores higher."""
_AGREEING = 0.5
"""Windows with at least this part of the highest window's score have a say in the box."""
_SHORTEST_S, _FALLBACK_S = 0.3, 1.0
"""A trace shorter than the first is no call's; a box of the second length then stands for the call."""


def find(scores: FloatArray, track: Track, rule: DetectionRule) -> list[Call]:
    """Calls of one class, in the order of their beginnings.

    Args:
        scores: float32 ``[n_windows]``; NaN where a window holds no sound.
        track: the windows, and what they saw.
        rule: thresholds and distances.
    """
    grid = track.grid
    scores = np.nan_to_num(scores, nan=0.0)
    in_run = np.zeros(len(scores), np.bool_)
    for first, last in runs(scores, grid, rule):
        in_run[first : last + 1] = True
    candidates = np.flatnonzero(in_run & (scores >= rule.threshold) & _peaks(scores, grid))
    highest_first = candidates[np.argsort(-scores[candidates], kind="stable")]
    absolute = _absolute_boxes(track, rule)
    calls: dict[int, list[Call]] = defaultdict(list)  # by the window's length of time in which their middles lie
    for window in highest_first.tolist():
        begin = int(track.begins[window])
        end = begin + grid.window_samples
        if any(_covers(begin, end, other) for other in _near(calls, begin + grid.window_samples / 2, grid)):
            continue
        call = _settle(scores, absolute, track, window)
        middle, least = call.middle_sample, rule.separation_s * grid.rate_hz
        if all(abs(middle - other.middle_sample) >= least for other in _near(calls, middle, grid)):
            calls[int(middle // grid.window_samples)].append(call)
    found = itertools.chain.from_iterable(calls.values())
    return sorted(found, key=lambda call: (call.begin_sample, call.end_sample))


def _near(calls: Mapping[int, list[Call]], sample: float, grid: WindowGrid) -> list[Call]:
    """Calls whose middles may lie within a window's length of a sample."""
    here = int(sample // grid.window_samples)
    return [call for there in (here - 1, here, here + 1) for call in calls.get(there, ())]


def runs(scores: FloatArray, grid: WindowGrid, rule: DetectionRule) -> list[tuple[int, int]]:
    """First and last window (inclusive) of each run that hysteresis finds, gaps bridged, short ones dropped."""
    above = np.concatenate([[False], scores >= rule.threshold * rule.low_ratio, [False]])
    edges = np.flatnonzero(np.diff(above.astype(np.int8)))
    spans = list(zip(edges[::2].tolist(), (edges[1::2] - 1).tolist(), strict=True))
    opened = [span for span in spans if scores[span[0] : span[1] + 1].max() >= rule.threshold]
    merged: list[tuple[int, int]] = []
    for first, last in opened:
        if merged and (first - merged[-1][1] - 1) * grid.hop_samples < rule.gap_s * grid.rate_hz:
            merged[-1] = (merged[-1][0], last)
        else:
            merged.append((first, last))
    shortest = rule.min_duration_s * grid.rate_hz
    return [(first, last) for first, last in merged if (last - first + 1) * grid.hop_samples >= shortest]


def _absolute_boxes(track: Track, rule: DetectionRule) -> FloatArray:
    """Boxes ``[n_windows, 4]`` on the track's axis, inside its stretch of sound.

    Where a window saw no trace, or none that lies there, the middle second of its sound stands for the call.
    """
    grid, boxes = track.grid, track.boxes
    seen = np.clip(boxes[:, :2] + track.begins[:, None].astype(np.float64), track.begin_sample, track.end_sample)
    begins = np.maximum(track.begins, track.begin_sample).astype(np.float64)
    ends = np.minimum(track.begins + grid.window_samples, track.end_sample)
    half = np.minimum(_FALLBACK_S * grid.rate_hz, ends - begins) / 2
    middle = (begins + ends) / 2
    low_hz, high_hz = np.broadcast_to(np.array(rule.default_band_hz)[:, None], (2, len(boxes)))
    fallback = np.stack([middle - half, middle + half, low_hz, high_hz], axis=1)
    is_call = seen[:, 1] - seen[:, 0] >= _SHORTEST_S * grid.rate_hz
    return np.where(is_call[:, None], np.concatenate([seen, boxes[:, 2:]], axis=1), fallback)


def _covers(begin: int, end: int, call: Call) -> bool:
    """Whether a window owes its score to a call, since it covers most of it."""
    covered = min(end, call.end_sample) - max(begin, call.begin_sample)
    return covered >= _EXPLAINED * (call.end_sample - call.begin_sample)


def _peaks(scores: FloatArray, grid: WindowGrid) -> npt.NDArray[np.bool_]:
    """Windows that no near one outdoes."""
    reach = max(1, round(_PEAK_S * grid.rate_hz / grid.hop_samples))
    peaks: npt.NDArray[np.bool_] = scores >= ndimage.maximum_filter1d(scores, 2 * reach + 1, mode="nearest")
    return peaks


def _settle(scores: FloatArray, boxes: FloatArray, track: Track, best: int) -> Call:
    """The call that a window saw, its box agreed upon with the windows around it that saw the same."""
    reach = track.grid.window_samples // track.grid.hop_samples
    near: IntArray = np.arange(max(best - reach, 0), min(best + reach + 1, len(scores)))
    begin, end = boxes[best, :2]
    middles = boxes[near, :2].mean(axis=1)
    begins = track.begins[near]
    same = np.abs(middles - (begin + end) / 2) < (end - begin) / 2
    whole = (begins <= begin) & (begins + track.grid.window_samples >= end)
    agreeing = near[same & whole & (scores[near] >= _AGREEING * scores[best])]
    agreed = np.median(boxes[agreeing], axis=0)
    return Call(
        begin_sample=math.floor(agreed[0]),
        end_sample=math.ceil(agreed[1]),
        low_hz=float(agreed[2]),
        high_hz=float(agreed[3]),
        score=float(scores[best]),
    )
