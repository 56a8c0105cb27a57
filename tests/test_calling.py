"""Calls of a recording, and of recordings that go on in one another."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_timeline import START, recording
from whalescan.audio import timeline
from whalescan.core import Detection, Piece, Recording, WindowGrid, WindowScores
from whalescan.detections.detection_rule import DetectionRule
from whalescan.scores.score_file import ScoreFile, write_scores
from whalescan.scores.scored_detections import carried_on, find_calls
from whalescan.scores.sequences import Scored, call_all

GRID = WindowGrid(2000, 4000, 500)
RULE = DetectionRule(threshold=0.5)
N = 60 * 2000


def score_file(one: Recording, windows: WindowScores) -> ScoreFile:
    jumps = tuple(timeline.jumps(one, GRID.rate_hz))
    return ScoreFile(one, 1, GRID, ("NARW upcall",), windows, one.n_samples(GRID.rate_hz) + 4000, jumps, (), "", "{}")


def scored(rng: np.random.Generator, n_calls: int) -> WindowScores:
    """Scores of a detector that is not sure of itself, and sees boxes roughly where calls are."""
    n = -(-N // GRID.hop_samples)
    scores, boxes = rng.uniform(0, 0.3, n).astype(np.float32), np.full((n, 4), np.nan, np.float32)
    for begin_s in rng.uniform(0, 59, n_calls):
        for window in range(n):
            first_s = window * 0.25
            seen = (min(begin_s + 1, first_s + 2) - max(begin_s, first_s)) * rng.uniform(0.8, 1)
            if seen > max(0.5, scores[window]):
                scores[window] = min(seen, 0.99)
                inside = np.clip([begin_s - first_s, begin_s + 1 - first_s], 0, 2) + rng.normal(0, 0.02, 2)
                boxes[window] = [*np.clip(inside, 0, 2) * 2000, 90, 200]
    return WindowScores(scores[:, None], boxes, np.zeros((n, 4), np.float32))


def part(windows: WindowScores, first: int, last: int) -> WindowScores:
    return WindowScores(windows.scores[first:last], windows.boxes[first:last], windows.complexity[first:last])


def in_parts(windows: WindowScores, borders: list[int], rule: DetectionRule) -> list[Detection]:
    """The calls of a chain of recordings with these borders (in windows), on the axis of the whole."""
    edges = [0, *borders, len(windows.scores)]
    files = [score_file(recording(a / 4, (b - a) / 4), part(windows, a, b)) for a, b in pairwise(edges)]
    found: list[Detection] = []
    before: list[Detection] = []
    for i, (own, first) in enumerate(zip(files, edges, strict=False)):
        calls = list(find_calls(own, rule, files[:i], files[i + 1 :], before))
        assert all(0 <= call.begin_s < own.recording.duration_s for call in calls), "in the recording where it begins"
        found += [replace(c, begin_s=c.begin_s + first / 4, end_s=c.end_s + first / 4) for c in calls]
        before = carried_on(before, calls, own)
    return found


def facts(calls: list[Detection]) -> list[tuple[float, float, float | None]]:
    return [(round(call.begin_s, 6), round(call.end_s, 6), call.score) for call in calls]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 239), max_size=20, unique=True).map(sorted), st.integers(0, 25))
def test_borders_between_recordings_do_not_show(seed: int, borders: list[int], n_calls: int) -> None:
    windows = scored(np.random.default_rng(seed), n_calls)
    whole = replace(recording(0, 60), n_frames=len(windows.scores) * 500)
    alone = list(find_calls(score_file(whole, windows), RULE))
    assert facts(in_parts(windows, borders, RULE)) == facts(alone)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 239), max_size=20, unique=True).map(sorted))
def test_no_call_is_reported_twice_however_short_the_recordings(seed: int, borders: list[int]) -> None:
    calls = in_parts(scored(np.random.default_rng(seed), 20), borders, RULE)
    middles = np.sort([(call.begin_s + call.end_s) / 2 for call in calls])
    assert (np.diff(middles) >= RULE.separation_s - 1e-9).all()


def test_a_call_across_the_border_is_that_of_the_first_recording() -> None:
    windows = scored(np.random.default_rng(1), 0)
    for window in range(108, 124):
        first_s = window * 0.25
        if first_s <= 29.6 and first_s + 2 >= 30.6:
            windows.scores[window] = 0.9
            windows.boxes[window] = [(29.6 - first_s) * 2000, (30.6 - first_s) * 2000, 90, 200]
    (call,) = in_parts(windows, [120], RULE)
    assert (round(call.begin_s, 2), round(call.end_s, 2)) == (29.6, 30.6)
    assert call.recording.endswith("R_0")


def test_no_call_runs_across_a_jump_of_the_clock() -> None:
    from datetime import timedelta

    windows = scored(np.random.default_rng(1), 0)
    windows.scores[:] = 0.9
    windows.boxes[:] = [1000, 3000, 90, 200]
    one = replace(recording(0, 60), pieces=(Piece(0, START), Piece(61_234, START + timedelta(hours=1))))
    calls = list(find_calls(score_file(one, windows), RULE))
    jump_s = 61_234 / 2000
    assert len(calls) > 20
    assert not any(call.begin_s < jump_s < call.end_s for call in calls)


def test_paths_are_of_no_interest() -> None:
    one = recording(0, 60)
    moved = replace(one, path=Path("/elsewhere/x.wav"))
    windows = scored(np.random.default_rng(5), 8)
    assert list(find_calls(score_file(one, windows), RULE)) == list(find_calls(score_file(moved, windows), RULE))


def test_what_is_called_brings_no_second_copy_of_the_recording_unless_the_stored_one_differs(tmp_path: Path) -> None:
    stored = recording(0, 60)
    write_scores(tmp_path, score_file(stored, scored(np.random.default_rng(1), 3)))
    (called,) = call_all(tmp_path, [Scored(stored, (1,))], RULE)
    assert called.recording is stored
    (called,) = call_all(tmp_path, [Scored(replace(stored, identity="another"), (1,))], RULE)
    assert called.recording == stored, "scores are of what was scored"
