"""What a worker makes of a chunk: scores of its columns, and what of it was not analysed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

import whalescan
from tests.builders import START, read_recording, write_sound
from tests.fake_scorer import use_fake_scorer
from whalescan.core import ClockSegment, ColumnScores, FloatArray, GapKind, MissingSpan, Recording
from whalescan.detector.model_spec import find_model
from whalescan.engine.chunking import whole_channel
from whalescan.engine.worker import ScoredChunk, ScoringTask, score_chunk

COLUMN = 512


def sound(n_columns: int, seed: int = 1) -> FloatArray:
    return (0.1 * np.random.default_rng(seed).standard_normal(COLUMN * n_columns)).astype(np.float32)


def score(recording: Recording) -> ScoredChunk:
    """Score all of a recording as one chunk."""
    model = find_model()
    return score_chunk(whole_channel(recording, 1, (), model.spec), ScoringTask(model, "cpu", 4))


def score_sound(path: Path, samples: FloatArray, discontinuities: tuple[int, ...] = ()) -> ScoredChunk:
    """Write samples to a file whose timestamps jump by an hour at some of them, and score it."""
    recording = read_recording(write_sound(path, samples, subtype="FLOAT"))
    segments = tuple(
        ClockSegment(frame, START + timedelta(hours=i, seconds=frame / 2000))
        for i, frame in enumerate((0, *discontinuities))
    )
    return score(replace(recording, clock_segments=segments if discontinuities else ()))


def assert_equal(one: ColumnScores, other: ColumnScores) -> None:
    np.testing.assert_array_equal(one.log_odds, other.log_odds)
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.complexity, other.complexity)


def columns(scored: ScoredChunk, begin: int, end: int) -> ColumnScores:
    found = scored.columns
    return ColumnScores(found.log_odds[begin:end], found.boxes[begin:end], found.complexity[begin:end])


@pytest.mark.slow
def test_no_column_uses_sound_beyond_a_discontinuity(tmp_path: Path) -> None:
    samples = sound(60)
    scored = score_sound(tmp_path / "x.wav", samples, (COLUMN * 25,))
    assert_equal(columns(scored, 0, 25), score_sound(tmp_path / "first.wav", samples[: COLUMN * 25]).columns)
    assert_equal(columns(scored, 25, 60), score_sound(tmp_path / "second.wav", samples[COLUMN * 25 :]).columns)
    assert scored.missing_spans == ()


@pytest.mark.slow
def test_no_column_uses_sound_beyond_a_dropout(tmp_path: Path) -> None:
    samples = sound(60)
    samples[COLUMN * 25 : COLUMN * 30] = 0
    scored = score_sound(tmp_path / "x.wav", samples)
    assert_equal(columns(scored, 0, 25), score_sound(tmp_path / "first.wav", samples[: COLUMN * 25]).columns)
    assert np.isnan(scored.columns.log_odds[25:30]).all()
    assert_equal(columns(scored, 30, 60), score_sound(tmp_path / "second.wav", samples[COLUMN * 30 :]).columns)
    assert scored.missing_spans == (MissingSpan(COLUMN * 25, COLUMN * 30, GapKind.DROPOUT),)
    assert scored.n_short_samples == 0


def test_short_segments_are_not_scored_and_count_as_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_scorer(monkeypatch)
    samples = sound(60)
    samples[10_000:20_000] = 0
    samples[14_000:14_600] = 0.1  # between two drop-outs
    scored = score_sound(tmp_path / "x.wav", samples, (9_100, 25_000, 25_999))
    assert scored.missing_spans == (
        MissingSpan(9_100, 10_000, GapKind.UNREADABLE),
        MissingSpan(14_000, 14_600, GapKind.UNREADABLE),
        MissingSpan(25_000, 25_999, GapKind.UNREADABLE),
        MissingSpan(10_000, 14_000, GapKind.DROPOUT),
        MissingSpan(14_600, 20_000, GapKind.DROPOUT),
    )
    assert scored.n_short_samples == 900 + 600 + 999
    middles = COLUMN * (np.arange(60) + 0.5)
    is_missing = ((middles >= 9_100) & (middles < 20_000)) | ((middles >= 25_000) & (middles < 25_999))
    np.testing.assert_array_equal(np.isnan(scored.columns.log_odds[:, 0]), is_missing)


def test_short_segments_are_a_problem_of_the_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_scorer(monkeypatch)
    samples = sound(100)
    samples[10_000:20_000] = 0
    samples[14_000:14_600] = 0.1
    write_sound(tmp_path / "x.wav", samples, subtype="FLOAT")
    (row,) = whalescan.scan(tmp_path / "x.wav", tmp_path / "out", batch_size=4).files
    assert row.outcome.problem == (
        "0.30 s in segments shorter than 0.5 s were not scored; 4.7 s of drop-outs (nothing but zeros), from 5.0 s on"
    )
    assert row.outcome.analysed_s == pytest.approx(COLUMN * 100 / 2000 - 5)


def test_silence_is_not_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whalescan.engine.worker.cached_scorer", lambda *_: pytest.fail("the model was loaded"))
    scored = score_sound(tmp_path / "x.wav", 0 * sound(60))
    assert np.isnan(scored.columns.log_odds).all()
    assert scored.missing_spans == (MissingSpan(0, COLUMN * 60, GapKind.DROPOUT),)
