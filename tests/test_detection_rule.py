from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from whalescan import UsageError, WindowGrid
from whalescan.core import FloatArray
from whalescan.detections import detection_rule
from whalescan.detections.detection_rule import DetectionRule, SampleDetection, WindowTrack, hysteresis_runs

GRID = WindowGrid(2000, 4000, 500)
N_SAMPLES = 120_000
N_WINDOWS = GRID.n_windows(N_SAMPLES)


def find_regular(
    scores: FloatArray, boxes: FloatArray, grid: WindowGrid, n_samples: int, rule: DetectionRule
) -> list[SampleDetection]:
    return detection_rule.find_detections(scores, WindowTrack.regular(boxes, grid, n_samples), rule)


def perfect_detector(*detections: tuple[float, float, float], grid: WindowGrid = GRID) -> tuple[FloatArray, FloatArray]:
    """Scores and boxes of a perfect detector, for calls of (begin_s, end_s, score)."""
    n = grid.n_windows(N_SAMPLES)
    scores, boxes = np.full(n, 0.01, np.float32), np.full((n, 4), np.nan, np.float32)
    for window in range(n):
        first_s = window * grid.hop_samples / 2000
        for begin_s, end_s, score in detections:
            seen = (min(end_s, first_s + 2) - max(begin_s, first_s)) / (end_s - begin_s)
            if seen > 0.6 and score * seen > scores[window]:
                scores[window] = score * seen
                inside = max(begin_s - first_s, 0), min(end_s - first_s, 2)
                boxes[window] = [inside[0] * 2000, inside[1] * 2000, 90, 200]
    return scores, boxes


@pytest.mark.parametrize("hop_s", [0.25, 0.5, 1.0])
def test_detection_is_where_the_call_is(hop_s: float) -> None:
    grid = WindowGrid(2000, 4000, round(hop_s * 2000))
    (detection,) = find_regular(*perfect_detector((12.3, 13.3, 0.9), grid=grid), grid, N_SAMPLES, DetectionRule())
    assert detection.begin_sample / 2000 == pytest.approx(12.3, abs=0.05)
    assert detection.end_sample / 2000 == pytest.approx(13.3, abs=0.05)
    assert (detection.low_hz, detection.high_hz) == (90, 200)
    assert detection.score == pytest.approx(0.9, abs=0.3 if hop_s == 1.0 else 1e-6)


def test_two_calls_in_one_run_are_two_detections() -> None:
    """Plain thresholding would give one long detection, or two that overlap."""
    detections = find_regular(
        *perfect_detector((20, 21, 0.9), (21.8, 22.7, 0.8), (30, 31, 0.7)), GRID, N_SAMPLES, DetectionRule()
    )
    assert [round(detection.begin_sample / 2000, 1) for detection in detections] == [20, 21.8, 30]
    assert detections[0].end_sample <= detections[1].begin_sample


def test_one_call_is_one_detection_at_any_offset() -> None:
    for begin_s in np.arange(5, 6, 0.01):
        assert len(find_regular(*perfect_detector((begin_s, begin_s + 1.1, 0.95)), GRID, N_SAMPLES, DetectionRule())) == 1


def test_window_without_a_trace_gives_its_middle_second() -> None:
    scores, boxes = np.zeros(N_WINDOWS, np.float32), np.full((N_WINDOWS, 4), np.nan, np.float32)
    scores[40] = 0.8
    (detection,) = find_regular(scores, boxes, GRID, N_SAMPLES, DetectionRule())
    assert (detection.begin_sample, detection.end_sample) == (40 * 500 + 1000, 40 * 500 + 3000)


any_scores = arrays(np.float32, N_WINDOWS, elements=st.floats(0, 1, width=32))


@given(any_scores, st.floats(0.05, 0.95))
def test_every_detection_is_above_the_threshold_and_inside_the_recording(scores: FloatArray, threshold: float) -> None:
    boxes = np.full((N_WINDOWS, 4), np.nan, np.float32)
    detections = find_regular(scores, boxes, GRID, N_SAMPLES, DetectionRule(threshold=threshold))
    assert all(detection.score >= np.float32(threshold) for detection in detections)
    assert all(0 <= detection.begin_sample < detection.end_sample <= N_SAMPLES for detection in detections)
    assert bool(detections) == bool((scores >= threshold).any())
    middles = sorted(detection.middle_sample for detection in detections)
    assert all(b - a >= 1000 for a, b in pairwise(middles))


any_boxes = arrays(np.float32, (N_WINDOWS, 2), elements=st.floats(0, 2600, width=32)).map(
    lambda ends: np.concatenate([ends[:, :1], ends[:, :1] + ends[:, 1:] / 2, np.full_like(ends, [90, 200])], axis=1)
)


@given(any_scores, any_boxes)
def test_detections_are_the_same_at_every_lower_threshold(scores: FloatArray, boxes: FloatArray) -> None:
    at = {t: find_regular(scores, boxes, GRID, N_SAMPLES, DetectionRule(threshold=t)) for t in (0.8, 0.5, 0.3)}
    assert set(at[0.8]) <= set(at[0.5]) <= set(at[0.3])


@pytest.mark.parametrize("n_samples", [1, 600, 2500, 4000])
def test_box_in_the_padding_is_not_a_sliver_at_the_end(n_samples: int) -> None:
    scores, boxes = np.full(1, 0.9, np.float32), np.array([[2400, 3800, 90, 200]], np.float32)
    (detection,) = find_regular(scores, boxes, GRID, n_samples, DetectionRule())
    assert 0 <= detection.begin_sample < detection.end_sample <= n_samples
    assert detection.end_sample - detection.begin_sample >= min(600, n_samples)


def test_hysteresis_gap_and_shortest_run() -> None:
    scores = np.zeros(60, np.float32)
    scores[5:10] = 0.3
    scores[7] = 0.6  # reaches the threshold, and extends to [5, 10)
    scores[20:25] = 0.3  # never reaches the threshold
    scores[30], scores[32] = 0.7, 0.7  # one hop between them
    assert hysteresis_runs(scores, GRID, DetectionRule(gap_s=0.0)) == [(5, 10), (30, 31), (32, 33)]
    assert hysteresis_runs(scores, GRID, DetectionRule(gap_s=0.5)) == [(5, 10), (30, 33)]
    assert hysteresis_runs(scores, GRID, DetectionRule(gap_s=0.5, min_duration_s=1.0)) == [(5, 10)]


def test_windows_without_sound_give_no_detection() -> None:
    scores, boxes = perfect_detector((12.3, 13.3, 0.9))
    scores[100:] = np.nan
    assert len(find_regular(scores, boxes, GRID, N_SAMPLES, DetectionRule())) == 1


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.1])
def test_invalid_thresholds(threshold: float) -> None:
    with pytest.raises(UsageError, match="threshold"):
        DetectionRule(threshold=threshold)
