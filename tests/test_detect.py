"""Detections of a recording, and of contiguous recordings."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import START, recording_at
from whalescan.audio import timeline
from whalescan.core import ClockSegment, Detection, Recording, RecordingResult, WindowGrid, WindowScores
from whalescan.detections.detection_rule import DetectionRule
from whalescan.scores.detect import detect_all, detect_in_channel, shift_to_next
from whalescan.scores.score_file import ScoreFile, write_scores

GRID = WindowGrid(2000, 4000, 500)
RULE = DetectionRule(threshold=0.5)
N = 60 * 2000


def score_file(one: Recording, windows: WindowScores) -> ScoreFile:
    discontinuities = tuple(timeline.discontinuities(one, GRID.rate_hz))
    return ScoreFile(
        one, 1, GRID, ("NARW upcall",), windows, one.n_samples(GRID.rate_hz) + 4000, discontinuities, (), "", "{}"
    )


def scored(rng: np.random.Generator, n_calls: int) -> WindowScores:
    """Return scores of a noisy detector, with boxes roughly where calls are."""
    n = -(-N // GRID.hop_samples)
    scores, boxes = rng.uniform(0, 0.3, n).astype(np.float32), np.full((n, 4), np.nan, np.float32)
    for begin_s in rng.uniform(0, 59, n_calls):
        for window in range(n):
            first_s = window * 0.25
            overlap_s = (min(begin_s + 1, first_s + 2) - max(begin_s, first_s)) * rng.uniform(0.8, 1)
            if overlap_s > max(0.5, scores[window]):
                scores[window] = min(overlap_s, 0.99)
                inside = np.clip([begin_s - first_s, begin_s + 1 - first_s], 0, 2) + rng.normal(0, 0.02, 2)
                boxes[window] = [*np.clip(inside, 0, 2) * 2000, 90, 200]
    return WindowScores(scores[:, None], boxes, np.zeros((n, 4), np.float32))


def part(windows: WindowScores, first: int, last: int) -> WindowScores:
    return WindowScores(windows.scores[first:last], windows.boxes[first:last], windows.complexity[first:last])


def detect_in_parts(windows: WindowScores, borders: list[int], rule: DetectionRule) -> list[Detection]:
    """Return the detections of contiguous recordings with these borders (in windows), from the first sample of all."""
    edges = [0, *borders, len(windows.scores)]
    files = [score_file(recording_at(a / 4, (b - a) / 4), part(windows, a, b)) for a, b in pairwise(edges)]
    found: list[Detection] = []
    earlier: list[Detection] = []
    for i, (own, first) in enumerate(zip(files, edges, strict=False)):
        calls = list(detect_in_channel(own, rule, files[:i], files[i + 1 :], earlier))
        assert all(0 <= call.begin_s < own.recording.duration_s for call in calls), (
            "each belongs to the recording in which it begins"
        )
        found += [replace(c, begin_s=c.begin_s + first / 4, end_s=c.end_s + first / 4) for c in calls]
        earlier = shift_to_next(earlier, calls, own)
    return found


def facts(calls: list[Detection]) -> list[tuple[float, float, float | None]]:
    return [(round(call.begin_s, 6), round(call.end_s, 6), call.score) for call in calls]


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 239), max_size=20, unique=True).map(sorted), st.integers(0, 25))
def test_borders_between_recordings_change_no_detection(seed: int, borders: list[int], n_calls: int) -> None:
    windows = scored(np.random.default_rng(seed), n_calls)
    whole = replace(recording_at(0, 60), n_frames=len(windows.scores) * 500)
    alone = list(detect_in_channel(score_file(whole, windows), RULE))
    assert facts(detect_in_parts(windows, borders, RULE)) == facts(alone)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 239), max_size=20, unique=True).map(sorted))
def test_no_detection_is_repeated_in_short_recordings(seed: int, borders: list[int]) -> None:
    calls = detect_in_parts(scored(np.random.default_rng(seed), 20), borders, RULE)
    middles = np.sort([(call.begin_s + call.end_s) / 2 for call in calls])
    assert (np.diff(middles) >= RULE.separation_s - 1e-9).all()


def test_detection_across_a_border_belongs_to_the_first_recording() -> None:
    windows = scored(np.random.default_rng(1), 0)
    for window in range(108, 124):
        first_s = window * 0.25
        if first_s <= 29.6 and first_s + 2 >= 30.6:
            windows.scores[window] = 0.9
            windows.boxes[window] = [(29.6 - first_s) * 2000, (30.6 - first_s) * 2000, 90, 200]
    (call,) = detect_in_parts(windows, [120], RULE)
    assert (round(call.begin_s, 2), round(call.end_s, 2)) == (29.6, 30.6)
    assert call.recording.endswith("R_0")


def test_no_detection_crosses_a_timestamp_discontinuity() -> None:
    windows = scored(np.random.default_rng(1), 0)
    windows.scores[:] = 0.9
    windows.boxes[:] = [1000, 3000, 90, 200]
    one = replace(
        recording_at(0, 60), clock_segments=(ClockSegment(0, START), ClockSegment(61_234, START + timedelta(hours=1)))
    )
    calls = list(detect_in_channel(score_file(one, windows), RULE))
    discontinuity_s = 61_234 / 2000
    assert len(calls) > 20
    assert not any(call.begin_s < discontinuity_s < call.end_s for call in calls)


def test_detections_do_not_depend_on_paths() -> None:
    one = recording_at(0, 60)
    moved = replace(one, path=Path("/elsewhere/x.wav"))
    windows = scored(np.random.default_rng(5), 8)
    assert list(detect_in_channel(score_file(one, windows), RULE)) == list(
        detect_in_channel(score_file(moved, windows), RULE)
    )


def test_result_uses_the_given_recording_unless_the_stored_one_differs(tmp_path: Path) -> None:
    stored = recording_at(0, 60)
    write_scores(tmp_path, score_file(stored, scored(np.random.default_rng(1), 3)))
    ((result, _),) = detect_all(tmp_path, [RecordingResult.of(stored, channels=(1,))], RULE)
    assert result.recording is stored
    changed = replace(stored, identity="another")
    ((result, _),) = detect_all(tmp_path, [RecordingResult.of(changed, channels=(1,))], RULE)
    assert result.recording == stored, "the scores belong to the stored one"
