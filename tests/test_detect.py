"""Detections of a recording, and of contiguous recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import START, recording_at
from whalescan.audio import timeline
from whalescan.core import (
    LOG_ODDS_STEP,
    ClockSegment,
    ColumnGrid,
    ColumnScores,
    Detection,
    Recording,
    RecordingResult,
    WindowGrid,
    WindowScores,
)
from whalescan.detections.detection_rule import DetectionRule
from whalescan.detector.pooling import pool_windows
from whalescan.scores.detect import LocatedDetection, detect_all, detect_in_channel, shift_to_next
from whalescan.scores.score_file import ScoreFile, write_scores

GRID = WindowGrid(2000, 4000, 500)
COLUMNS = ColumnGrid(2000, 512)
RULE = DetectionRule(threshold=0.5)
N_COLUMNS = 240
N_SAMPLES = N_COLUMNS * 512
COLUMN_S = 0.256
REACH = 4000


def score_file(one: Recording, columns: ColumnScores, grid: WindowGrid = GRID) -> ScoreFile:
    n_samples = one.n_samples(2000)
    n_windows, discontinuities = grid.n_windows(n_samples), tuple(timeline.discontinuities(one, 2000))
    windows = pool_windows(columns, COLUMNS, grid, n_windows, n_samples, discontinuities)
    return ScoreFile(
        one, 1, grid, ("NARW upcall",), windows, COLUMNS, columns, n_samples + REACH, discontinuities, (), "", "{}"
    )


def no_calls(n_columns: int = N_COLUMNS) -> ColumnScores:
    boxes = np.tile(np.array([-1000, 1000, 90, 200], np.float32), (n_columns, 1))
    return ColumnScores(np.full((n_columns, 1), -8, np.float32), boxes, np.zeros((n_columns, 4), np.float32))


def scored(rng: np.random.Generator, n_calls: int) -> ColumnScores:
    """Return the columns of a noisy detector, with boxes roughly where calls are."""
    columns = no_calls()
    middles_s = (np.arange(N_COLUMNS) + 0.5) * COLUMN_S
    columns.log_odds[:, 0] = rng.normal(-4, 1, N_COLUMNS)
    for middle_s in rng.uniform(0, N_COLUMNS * COLUMN_S, n_calls):
        own = rng.uniform(0, 8) - 30 * (middles_s - middle_s) ** 2
        is_higher = own > columns.log_odds[:, 0]
        columns.log_odds[is_higher, 0] = own[is_higher]
        begins = (middle_s - 0.5 - middles_s[is_higher]) * 2000 + rng.normal(0, 40, is_higher.sum())
        columns.boxes[is_higher, :2] = np.stack([begins, begins + 2000], axis=1).round()
    return replace(columns, log_odds=(columns.log_odds / LOG_ODDS_STEP).round() * np.float32(LOG_ODDS_STEP))


def part(columns: ColumnScores, first: int, last: int) -> ColumnScores:
    return ColumnScores(columns.log_odds[first:last], columns.boxes[first:last], columns.complexity[first:last])


def detect_in_files(files: Sequence[ScoreFile], rule: DetectionRule = RULE) -> list[Detection]:
    """Return the detections of contiguous recordings, with times from the first sample of the first."""
    found: list[Detection] = []
    earlier: list[LocatedDetection] = []
    begin_s = 0.0
    for i, own in enumerate(files):
        located = list(detect_in_channel(own, rule, files[:i], files[i + 1 :], earlier))
        assert all(0 <= one.detection.begin_s < own.recording.duration_s for one in located), (
            "each belongs to the recording in which it begins"
        )
        found += [
            replace(one.detection, begin_s=one.detection.begin_s + begin_s, end_s=one.detection.end_s + begin_s)
            for one in located
        ]
        earlier = shift_to_next(earlier, located, own)
        begin_s += own.recording.duration_s
    return found


def detect_in_parts(columns: ColumnScores, borders: list[int], rule: DetectionRule = RULE) -> list[Detection]:
    """Return the detections of contiguous recordings with these borders (in columns), whose columns reach on by a window."""
    edges = [0, *borders, len(columns)]
    files = [
        score_file(recording_at(a * COLUMN_S, (b - a) * COLUMN_S), part(columns, a, b + round(REACH / 512)))
        for a, b in pairwise(edges)
    ]
    return detect_in_files(files, rule)


def detect_alone(scores: ScoreFile) -> list[Detection]:
    return [located.detection for located in detect_in_channel(scores, RULE)]


def facts(calls: list[Detection]) -> list[tuple[float, float, float | None]]:
    return [(round(call.begin_s, 6), round(call.end_s, 6), call.score) for call in calls]


some_borders = st.lists(st.integers(1, N_COLUMNS - 1), max_size=20, unique=True).map(sorted)


@settings(max_examples=60)
@given(st.integers(0, 10**6), some_borders, st.integers(0, 25))
def test_borders_between_recordings_change_no_detection(seed: int, borders: list[int], n_calls: int) -> None:
    columns = scored(np.random.default_rng(seed), n_calls)
    alone = detect_alone(score_file(recording_at(0, N_COLUMNS * COLUMN_S), columns))
    assert facts(detect_in_parts(columns, borders)) == facts(alone)


def uneven_files(seed: int, lengths: list[int]) -> list[ScoreFile]:
    """Contiguous recordings of any lengths, each with a noise of its own, so that columns beside a border differ."""
    rng = np.random.default_rng(seed)
    files, begin = [], 0
    for length in lengths:
        one = recording_at(begin / 2000, length / 2000)
        columns = part(scored(rng, 20), 0, COLUMNS.n_columns(length + REACH))
        files.append(score_file(one, columns))
        begin += length
    return files


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.lists(st.integers(200, 30_000), min_size=1, max_size=10))
def test_no_detection_is_repeated_in_recordings_of_any_length(seed: int, lengths: list[int]) -> None:
    files = uneven_files(seed, lengths)
    located: list[LocatedDetection] = []
    peaks_s: list[float] = []
    begin_s = 0.0
    for i, own in enumerate(files):
        found = list(detect_in_channel(own, RULE, files[:i], files[i + 1 :], located))
        peaks_s += [begin_s + one.peak_s for one in found]
        located = shift_to_next(located, found, own)
        begin_s += own.recording.n_frames / 2000
    assert (np.diff(np.sort(peaks_s)) >= RULE.separation_s - 1e-9).all()


def with_call(columns: ColumnScores, column: int, log_odds: float = 3.0) -> ColumnScores:
    columns.log_odds[column] = log_odds
    columns.log_odds[[column - 1, column + 1]] = log_odds - 2
    return columns


def test_call_at_a_border_is_scored_by_the_columns_that_reach_across_it() -> None:
    """The following recording knows only the end of the call; its columns there are not used."""
    first, second = with_call(no_calls(128), 121), with_call(no_calls(120), 2, 2.0)  # the border is at column 120.3
    files = [
        score_file(recording_at(0, 30.8), first),
        score_file(recording_at(30.8, 30), second),
    ]
    (call,) = detect_in_files(files)
    assert call.begin_s == pytest.approx(121.5 * COLUMN_S - 0.5, abs=1e-3)
    assert call.score == pytest.approx(0.9526)
    assert call.recording.endswith("R_30.8") == (call.begin_s >= 30.8)


def test_columns_that_reach_into_a_recording_that_was_unreadable_then_do_not_hide_its_own() -> None:
    first, second = no_calls(128), with_call(no_calls(120), 3)
    first.log_odds[120:] = np.nan
    (call,) = detect_in_files([score_file(recording_at(0, 30.8), first), score_file(recording_at(30.8, 30), second)])
    assert call.begin_s == pytest.approx(30.8 + 3.5 * COLUMN_S - 0.5, abs=1e-3)


def test_columns_that_reach_beyond_the_last_recording_give_no_detection() -> None:
    assert detect_alone(score_file(recording_at(0, 30.8), with_call(no_calls(128), 125))) == []


def test_detection_across_a_border_belongs_to_the_recording_in_which_it_begins() -> None:
    columns = with_call(no_calls(), 120)
    (call,) = detect_in_parts(columns, [120])
    assert (round(call.begin_s, 3), round(call.end_s, 3)) == (120.5 * COLUMN_S - 0.5, 120.5 * COLUMN_S + 0.5)
    assert call.recording.endswith("R_0")
    assert call.detection_id == "a/R_0-000030848"


def test_id_states_the_time_of_the_peak() -> None:
    columns = with_call(no_calls(), 40)
    columns.boxes[40, :2] = -400, 1400
    columns.log_odds[41] = columns.log_odds[40]
    (call,) = detect_alone(score_file(recording_at(0, N_COLUMNS * COLUMN_S), columns))
    assert call.detection_id == f"a/R_0-{(41 * 256):09d}"
    assert call.begin_s == pytest.approx(40.5 * COLUMN_S - 0.2)


def test_no_detection_crosses_a_timestamp_discontinuity() -> None:
    columns = no_calls()
    columns.log_odds[::4] = 3
    discontinuity = 61_234
    one = replace(
        recording_at(0, N_COLUMNS * COLUMN_S),
        clock_segments=(ClockSegment(0, START), ClockSegment(discontinuity, START + timedelta(hours=1))),
    )
    calls = detect_alone(score_file(one, columns))
    assert len(calls) == N_COLUMNS // 4
    assert not any(call.begin_s < discontinuity / 2000 < call.end_s for call in calls)


@given(st.integers(0, 10**6), st.sampled_from([125, 500, 1000, 4000]))
@settings(max_examples=20)
def test_detections_do_not_depend_on_the_hop_of_windows(seed: int, hop_samples: int) -> None:
    columns = scored(np.random.default_rng(seed), 10)
    one = recording_at(0, N_COLUMNS * COLUMN_S)
    other_hop = score_file(one, columns, WindowGrid(2000, 4000, hop_samples))
    assert detect_alone(other_hop) == detect_alone(score_file(one, columns))


def test_detections_do_not_depend_on_paths() -> None:
    one = recording_at(0, N_COLUMNS * COLUMN_S)
    moved = replace(one, path=Path("/elsewhere/x.wav"))
    columns = scored(np.random.default_rng(5), 8)
    assert detect_alone(score_file(one, columns)) == detect_alone(score_file(moved, columns))


def test_each_class_has_detections_of_its_own() -> None:
    columns = no_calls()
    columns = replace(columns, log_odds=np.repeat(columns.log_odds, 2, axis=1))
    columns.log_odds[40, 0] = columns.log_odds[41, 1] = 3
    two = replace(
        score_file(recording_at(0, N_COLUMNS * COLUMN_S), no_calls()),
        classes=("NARW upcall", "humpback"),
        columns=columns,
        windows=WindowScores(np.zeros((1, 2), np.float32), np.zeros((1, 4), np.float32)),
    )
    assert [(call.label, call.detection_id) for call in detect_alone(two)] == [
        ("NARW upcall", "a/R_0-000010368"),
        ("humpback", "a/R_0-humpback-000010624"),
    ]


def test_result_uses_the_given_recording_unless_the_stored_one_differs(tmp_path: Path) -> None:
    stored = recording_at(0, N_COLUMNS * COLUMN_S)
    write_scores(tmp_path, score_file(stored, scored(np.random.default_rng(1), 3)))
    ((result, _),) = detect_all(tmp_path, [RecordingResult.of(stored, channels=(1,))], RULE)
    assert result.recording is stored
    changed = replace(stored, identity="another")
    ((result, _),) = detect_all(tmp_path, [RecordingResult.of(changed, channels=(1,))], RULE)
    assert result.recording == stored, "the scores belong to the stored one"
