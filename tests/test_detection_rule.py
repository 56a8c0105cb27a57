"""Peaks of log-odds become detections."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from whalescan import UsageError
from whalescan.core import ColumnGrid, FloatArray
from whalescan.detections.detection_rule import ColumnTrack, DetectionRule, SampleDetection, find_detections
from whalescan.detector.pooling import scores_of

GRID = ColumnGrid(2000, 512)
N_COLUMNS = 100
N_SAMPLES = N_COLUMNS * 512
WITHOUT_BOXES = np.full((N_COLUMNS, 4), np.nan, np.float32)
COLUMN_S = 0.256


def detections_of(
    log_odds: np.typing.NDArray[np.floating],
    boxes: FloatArray = WITHOUT_BOXES,
    n_samples: int = N_SAMPLES,
    threshold: float = 0.5,
    separation_s: float = 0.7,
) -> list[SampleDetection]:
    track = ColumnTrack.regular(np.asarray(log_odds, np.float32), boxes[: len(log_odds)], GRID, n_samples)
    return find_detections(track, DetectionRule(threshold, separation_s))


def calls_at(*calls_s: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    """Log-odds and boxes of a detector for calls of 1 s at (middle_s, log-odds): a parabola around each middle."""
    middles_s = (np.arange(N_COLUMNS) + 0.5) * COLUMN_S
    log_odds, boxes = np.full(N_COLUMNS, -8, np.float32), WITHOUT_BOXES.copy()
    for middle_s, height in calls_s:
        own = height - 30 * (middles_s - middle_s) ** 2
        is_higher = own > log_odds
        log_odds = np.where(is_higher, own, log_odds).astype(np.float32)
        begins = (middle_s - 0.5 - middles_s) * 2000
        boxes[is_higher] = np.stack([begins, begins + 2000, np.full(N_COLUMNS, 90), np.full(N_COLUMNS, 200)], axis=1)[
            is_higher
        ]
    return log_odds, boxes


def test_detection_is_where_the_call_is() -> None:
    (detection,) = detections_of(*calls_at((12.8, 2.0)))
    assert detection.peak_sample / 2000 == pytest.approx(12.8, abs=1e-3)
    assert (detection.begin_sample / 2000, detection.end_sample / 2000) == pytest.approx((12.3, 13.3), abs=1e-3)
    assert (detection.low_hz, detection.high_hz) == (90, 200)
    highest = float(calls_at((12.8, 2.0))[0].max())
    assert detection.score == round(float(scores_of(highest)), 4), "the score is that of the peak's column"


@pytest.mark.parametrize("offset_s", np.arange(0, COLUMN_S, 0.016).round(3).tolist())
def test_one_call_is_one_detection_and_two_calls_a_second_apart_are_two(offset_s: float) -> None:
    log_odds, boxes = calls_at((10 + offset_s, 4.0), (20 + offset_s, 5.0), (21 + offset_s, 3.0))
    times = [detection.peak_sample / 2000 for detection in detections_of(log_odds, boxes)]
    assert times == pytest.approx([10 + offset_s, 20 + offset_s, 21 + offset_s], abs=0.01)


def test_peaks_closer_than_the_separation_are_one_detection_with_the_higher_score() -> None:
    log_odds = np.full(40, -8.0)
    log_odds[[20, 22]] = 3, 4  # 0.512 s apart
    (detection,) = detections_of(log_odds)
    assert detection.peak_sample == 22.5 * 512
    assert len(detections_of(log_odds, separation_s=0.5)) == 2


def test_first_of_equal_neighbours_is_the_peak() -> None:
    log_odds = np.full(40, -8.0)
    log_odds[10:15] = 3.0
    (detection,) = detections_of(log_odds, separation_s=0.0)
    assert detection.peak_sample == 11 * 512, "between its middle and that of the equal one after it"


def test_peak_beside_a_missing_column_stays_in_its_middle() -> None:
    log_odds = np.array([-5, 1, 3, np.nan, np.nan, 2, 1, -5], np.float32)
    assert [detection.peak_sample for detection in detections_of(log_odds)] == [2.5 * 512, 5.5 * 512]
    at_the_ends = np.array([3, 1, -5, -5, -5, 2], np.float32)
    assert [detection.peak_sample for detection in detections_of(at_the_ends)] == [0.5 * 512, 5.5 * 512]


def test_peak_between_columns_at_unequal_distances_stays_in_its_middle() -> None:
    middles = np.array([256, 768, 1280, 1500, 2012], np.float64)
    track = ColumnTrack(2000, middles, np.array([0, 1, 4, 3, 0], np.float32), WITHOUT_BOXES[:5], 0, 2268)
    (detection,) = find_detections(track, DetectionRule())
    assert detection.peak_sample == 1280


@pytest.mark.parametrize(
    "box",
    [
        (np.nan, np.nan, 90, 200),
        (-100, 400, 90, 200),  # a quarter of a second
        (800, -800, 90, 200),
        (200_000, 202_000, 90, 200),  # outside of the recording
    ],
)
def test_box_that_is_no_span_of_a_call_becomes_the_second_around_the_peak(box: tuple[float, ...]) -> None:
    log_odds, boxes = calls_at((12.8, 2.0))
    boxes[:] = box
    (detection,) = detections_of(log_odds, boxes)
    assert (detection.begin_sample / 2000, detection.end_sample / 2000) == pytest.approx((12.3, 13.3), abs=1e-3)
    assert (detection.low_hz, detection.high_hz) == (90, 200)


@pytest.mark.parametrize("band", [(np.nan, np.nan), (200, 90), (120, 120), (-40, -10)])
def test_box_without_a_band_has_the_default_band(band: tuple[float, float]) -> None:
    log_odds, boxes = calls_at((12.8, 2.0))
    boxes[:, 2:] = band
    (detection,) = detections_of(log_odds, boxes)
    assert (detection.low_hz, detection.high_hz) == DetectionRule().default_band_hz


def test_box_does_not_reach_below_0_hz() -> None:
    log_odds, boxes = calls_at((12.8, 2.0))
    boxes[:, 2] = -20
    assert detections_of(log_odds, boxes)[0].low_hz == 0


def test_no_columns_give_no_detections() -> None:
    assert detections_of(np.zeros(0)) == []
    assert detections_of(np.full(20, np.nan)) == []


any_log_odds = arrays(
    np.float32, N_COLUMNS, elements=st.one_of(st.integers(-640, 640).map(lambda step: step / 64), st.just(float("nan")))
)
any_boxes = arrays(np.float32, (N_COLUMNS, 4), elements=st.floats(-3000, 3000, width=32))


@given(any_log_odds, any_boxes, st.floats(0.05, 0.95), st.floats(0, 2))
def test_detections_reach_the_threshold_and_lie_in_the_recording_and_apart(
    log_odds: FloatArray, boxes: FloatArray, threshold: float, separation_s: float
) -> None:
    n_samples = N_SAMPLES - 200
    found = detections_of(log_odds, boxes, n_samples, threshold=threshold, separation_s=separation_s)
    assert all(threshold <= detection.score <= 1 for detection in found)
    assert all(0 <= detection.begin_sample < detection.end_sample <= n_samples for detection in found)
    assert all(detection.end_sample - detection.begin_sample >= 600 for detection in found)
    assert all(0 <= detection.low_hz < detection.high_hz for detection in found)
    times = [detection.peak_sample for detection in found]
    assert all(second - first >= separation_s * 2000 for first, second in pairwise(times))


@given(any_log_odds, st.floats(0.05, 0.95))
def test_highest_column_gives_a_detection_with_its_score(log_odds: FloatArray, threshold: float) -> None:
    scores = scores_of(log_odds[~np.isnan(log_odds)]).astype(np.float64).round(4)
    highest = scores.max(initial=0)
    found = detections_of(log_odds, threshold=threshold)
    assert max((detection.score for detection in found), default=0) == (highest if highest >= threshold else 0)


@given(any_log_odds, any_boxes)
def test_detections_are_the_same_at_every_lower_threshold(log_odds: FloatArray, boxes: FloatArray) -> None:
    at = {threshold: detections_of(log_odds, boxes, threshold=threshold) for threshold in (0.8, 0.5, 0.3)}
    assert at[0.8] == [detection for detection in at[0.5] if detection.score >= 0.8]
    assert at[0.5] == [detection for detection in at[0.3] if detection.score >= 0.5]


@given(any_log_odds, st.integers(-640, 640))
def test_lower_columns_never_change_a_higher_detection(log_odds: FloatArray, step: int) -> None:
    """The neighbours of a peak tell its time, and nothing else."""
    lowest = step / 64
    without = np.where(log_odds >= lowest, log_odds, np.nan)
    threshold = max(float(scores_of(lowest)) + 1e-4, 0.05)
    rule = DetectionRule(threshold, separation_s=0.2)  # less than a column, so that the times do not matter
    track, thinned = (ColumnTrack.regular(one, WITHOUT_BOXES, GRID, N_SAMPLES) for one in (log_odds, without))
    found, found_thinned = find_detections(track, rule), find_detections(thinned, rule)
    assert [detection.score for detection in found] == [detection.score for detection in found_thinned]


@given(any_log_odds)
def test_peak_is_at_most_half_a_column_from_a_column_with_its_score(log_odds: FloatArray) -> None:
    scores = scores_of(log_odds).astype(np.float64).round(4)
    for detection in detections_of(log_odds, threshold=0.05):
        nearest = np.flatnonzero(np.abs((np.arange(N_COLUMNS) + 0.5) * 512 - detection.peak_sample) <= 256 + 1e-6)
        assert detection.score in scores[nearest]


@given(any_log_odds, any_boxes, st.integers(0, 10**6))
def test_time_that_passes_before_shifts_all_detections(log_odds: FloatArray, boxes: FloatArray, shift: int) -> None:
    track = ColumnTrack.regular(log_odds, boxes, GRID, N_SAMPLES)
    later = ColumnTrack(2000, track.middles + shift, log_odds, boxes, shift, N_SAMPLES + shift)
    for now, then in zip(find_detections(track, DetectionRule()), find_detections(later, DetectionRule()), strict=True):
        assert then.peak_sample - shift == pytest.approx(now.peak_sample, abs=1e-6)
        assert (then.low_hz, then.high_hz, then.score) == (now.low_hz, now.high_hz, now.score)


@pytest.mark.parametrize("n_samples", [1000, 1400, 2500, 4000])
def test_box_at_the_end_of_a_recording_is_no_sliver(n_samples: int) -> None:
    n = GRID.n_columns(n_samples)
    log_odds = np.full(n, -5.0)
    log_odds[-1] = 3
    boxes = np.tile(np.array([150, 2000, 90, 200], np.float32), (n, 1))
    (detection,) = detections_of(log_odds, boxes, n_samples)
    assert 0 <= detection.begin_sample < detection.end_sample <= n_samples
    assert detection.end_sample - detection.begin_sample >= 600


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.1])
def test_invalid_thresholds(threshold: float) -> None:
    with pytest.raises(UsageError, match="threshold"):
        DetectionRule(threshold=threshold)


def test_rule_is_read_from_the_fields_that_a_run_stored() -> None:
    assert DetectionRule.from_dict({"threshold": 0.4, "separation_s": 0.7, "default_band_hz": [50.0, 350.0]}) == (
        DetectionRule(0.4, 0.7, (50.0, 350.0))
    )
