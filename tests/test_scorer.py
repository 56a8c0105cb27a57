"""Scores of columns: what is scored, and that blocks, chunks, batches and gain do not change them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whalescan.core import LOG_ODDS_STEP, MIN_BOX_LOG_ODDS, ColumnGrid, ColumnScores, FloatArray
from whalescan.core.intervals import true_runs
from whalescan.detector import batching
from whalescan.detector.batching import MIN_SEGMENT_S, batch_blocks, block_columns, recorded_runs
from whalescan.detector.model_spec import find_model
from whalescan.detector.scorer import Scorer, boxes_of
from whalescan.training.simulation import SimulationOptions, simulate_soundscape, upcall

CPU = torch.device("cpu")
SPEC = find_model().spec
GRID = SPEC.columns
STEP = GRID.column_samples
CONTEXT = SPEC.context_samples
MIN_SAMPLES = round(MIN_SEGMENT_S * GRID.rate_hz)
TOLERANCE = 0.13
"""Largest difference of log-odds where the same samples are scored in blocks of other lengths or numbers."""
FIELDS = ("log_odds", "boxes", "complexity")


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    """The default model."""
    return Scorer(find_model(), CPU, 32)


@pytest.fixture(scope="module")
def sound() -> FloatArray:
    """A minute with calls."""
    options = SimulationOptions(minutes=1, calls_per_hour=600, snr_db=(6, 12), seed=4)
    return simulate_soundscape(GRID.rate_hz, options).samples.astype(np.float32)


@pytest.fixture
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let blocks be 10 s; return their number of columns."""
    monkeypatch.setattr(batching, "BLOCK_S", 10)
    return block_columns(GRID)


def equal(first: ColumnScores, second: ColumnScores) -> bool:
    return all(np.array_equal(getattr(first, name), getattr(second, name), equal_nan=True) for name in FIELDS)


def part(columns: ColumnScores, which: slice) -> ColumnScores:
    return ColumnScores(*(getattr(columns, name)[which] for name in FIELDS))


def score(scorer: Scorer, sound: FloatArray, **options: object) -> ColumnScores:
    return scorer.score(sound, GRID.n_columns(len(sound)), **options)  # type: ignore[arg-type]  # as the caller gives them


# What is scored


@pytest.mark.slow
def test_each_column_has_log_odds_complexity_and_a_box_where_a_call_is_possible(scorer: Scorer, sound: FloatArray) -> None:
    scored = score(scorer, sound)
    n = GRID.n_columns(len(sound))
    assert (scored.log_odds.shape, scored.boxes.shape, scored.complexity.shape) == ((n, 1), (n, 4), (n, 4))
    assert np.isfinite(scored.log_odds).all()
    np.testing.assert_array_equal(scored.log_odds % LOG_ODDS_STEP, 0)
    assert ((scored.complexity >= 0) & (scored.complexity <= 1)).all()
    has_box = np.isfinite(scored.boxes).all(axis=1)
    np.testing.assert_array_equal(has_box, scored.log_odds[:, 0] >= MIN_BOX_LOG_ODDS)


def test_columns_have_boxes_in_samples_and_hz_where_any_class_may_have_a_call() -> None:
    network_boxes = np.tile(np.array([-1.0, 1.5, 1.0, 2.004], np.float32), (4, 1))
    log_odds = np.array([[-9, -9], [-9, MIN_BOX_LOG_ODDS], [3, -9], [np.nan, np.nan]], np.float32)
    boxes = boxes_of(network_boxes, log_odds, GRID.rate_hz)
    assert boxes.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(boxes).all(axis=1), [True, False, False, True])
    np.testing.assert_allclose(boxes[1:3], [[-1000, 1500, 100.0, 200.4]] * 2, rtol=1e-6)


@pytest.mark.slow
def test_the_default_model_detects_a_clear_call(scorer: Scorer) -> None:
    call, low_hz, high_hz = upcall(GRID.rate_hz, np.random.default_rng(3))
    noise = (0.05 * np.random.default_rng(5).standard_normal(20_000)).astype(np.float32)
    begin = 9000
    with_call = noise.copy()
    with_call[begin : begin + len(call)] += (0.3 * call).astype(np.float32)
    threshold = np.log(SPEC.thresholds[0] / (1 - SPEC.thresholds[0]))
    scored = score(scorer, with_call)
    peak = int(scored.log_odds[:, 0].argmax())
    assert scored.log_odds[peak, 0] > threshold > score(scorer, noise).log_odds.max()
    assert GRID.middle_sample(peak) == pytest.approx(begin + len(call) / 2, abs=STEP)
    box_begin, box_end, box_low_hz, box_high_hz = scored.boxes[peak]
    assert GRID.middle_sample(peak) + box_begin == pytest.approx(begin, abs=0.4 * GRID.rate_hz)
    assert GRID.middle_sample(peak) + box_end == pytest.approx(begin + len(call), abs=0.4 * GRID.rate_hz)
    assert box_low_hz == pytest.approx(low_hz, abs=60)
    assert box_high_hz == pytest.approx(high_hz, abs=60)


@pytest.mark.slow
@pytest.mark.parametrize("n_samples", [MIN_SAMPLES, 1999, 3999, 4001, 13_000])
def test_short_recordings_are_scored(scorer: Scorer, sound: FloatArray, n_samples: int) -> None:
    assert np.isfinite(score(scorer, sound[:n_samples]).log_odds).all()


@pytest.mark.parametrize("n_samples", [1, 2, 255, MIN_SAMPLES - 1])
def test_recordings_too_short_for_a_call_are_not_scored(scorer: Scorer, sound: FloatArray, n_samples: int) -> None:
    scored = score(scorer, sound[:n_samples])
    assert equal(scored, ColumnScores.missing(GRID.n_columns(n_samples), 1))


@pytest.mark.slow
def test_only_columns_in_drop_outs_are_missing(scorer: Scorer, sound: FloatArray) -> None:
    is_empty = np.zeros(len(sound), np.bool_)
    is_empty[40_000:50_000] = is_empty[50_999:60_000] = True  # what lies between is too short
    quiet = np.where(is_empty, 0, sound).astype(np.float32)
    scored = score(scorer, quiet, is_empty=is_empty)
    middles = GRID.middle_sample(np.arange(len(scored)))  # type: ignore[arg-type]  # of all columns at a time
    is_missing = (middles >= 40_000) & (middles < 60_000)
    np.testing.assert_array_equal(np.isnan(scored.log_odds[:, 0]), is_missing)
    np.testing.assert_array_equal(np.isnan(scored.complexity).all(axis=1), is_missing)
    assert np.isnan(scored.boxes[is_missing]).all()


@pytest.mark.slow
def test_what_the_samples_of_a_drop_out_are_changes_nothing(scorer: Scorer, sound: FloatArray) -> None:
    is_empty = np.zeros(len(sound), np.bool_)
    is_empty[40_000:50_000] = True
    loud = np.where(is_empty, 100, sound).astype(np.float32)
    silent = np.where(is_empty, 0, sound).astype(np.float32)
    assert equal(score(scorer, loud, is_empty=is_empty), score(scorer, silent, is_empty=is_empty))


@pytest.mark.slow
def test_silence_scores_low(scorer: Scorer) -> None:
    """Samples of 0 that the caller does not call empty."""
    scored = score(scorer, np.zeros(40_000, np.float32))
    assert (scored.log_odds < 0).all()


@pytest.mark.slow
def test_sound_beyond_a_discontinuity_changes_nothing(scorer: Scorer, sound: FloatArray) -> None:
    jump = 60_100
    other = sound.copy()
    other[jump:] = 10 * sound[: len(sound) - jump]
    scored, changed = (score(scorer, samples, discontinuities=(jump,)) for samples in (sound, other))
    before = slice(0, -(-(jump - STEP // 2) // STEP))
    assert equal(part(scored, before), part(changed, before))
    assert not equal(scored, changed)


@pytest.mark.slow
def test_both_sides_of_a_discontinuity_score_as_recordings_of_their_own(scorer: Scorer, sound: FloatArray) -> None:
    jump = 60 * STEP
    scored = score(scorer, sound, discontinuities=(jump,))
    own = ColumnScores.join([scorer.score(sound[:jump], 60), score(scorer, sound[jump:])])
    assert equal(scored, own)


# What scores do not depend on


@pytest.mark.slow
@pytest.mark.parametrize("gain", [1e-3, 64.0, 1000.0])
def test_gain_changes_log_odds_by_less_than_a_tenth(scorer: Scorer, sound: FloatArray, gain: float) -> None:
    louder = score(scorer, (gain * sound).astype(np.float32))
    np.testing.assert_allclose(louder.log_odds, score(scorer, sound).log_odds, atol=TOLERANCE)


@pytest.mark.slow
def test_borders_of_blocks_do_not_show(scorer: Scorer, sound: FloatArray, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = score(scorer, sound)
    monkeypatch.setattr(batching, "BLOCK_S", 10)
    assert len(whole) > 5 * block_columns(GRID)
    np.testing.assert_allclose(score(scorer, sound).log_odds, whole.log_odds, atol=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("n_blocks", [1, 2, 4])
def test_chunks_with_their_context_give_the_bytes_of_the_whole_recording(
    scorer: Scorer, sound: FloatArray, short_blocks: int, n_blocks: int
) -> None:
    whole = score(scorer, sound, discontinuities=(47_123,))
    n, parts = len(whole), []
    for first in range(0, n, n_blocks * short_blocks):
        n_own = min(n_blocks * short_blocks, n - first)
        begin = max(first * STEP - CONTEXT, 0)
        samples = sound[begin : (first + n_own) * STEP + CONTEXT]
        inside = [47_123 - begin] if 0 < 47_123 - begin < len(samples) else []
        parts.append(scorer.score(samples, n_own, discontinuities=inside, first_sample=first * STEP - begin))
    assert equal(ColumnScores.join(parts), whole)


@pytest.mark.slow
def test_recordings_of_other_lengths_share_the_columns_far_from_their_ends(scorer: Scorer, sound: FloatArray) -> None:
    cut = 150
    shorter, longer = scorer.score(sound[: cut * STEP], cut), score(scorer, sound)
    inner = slice(0, cut - CONTEXT // STEP)
    np.testing.assert_allclose(shorter.log_odds[inner], longer.log_odds[inner], atol=TOLERANCE)


@pytest.mark.slow
def test_batch_size_moves_log_odds_by_less_than_a_tenth(scorer: Scorer, sound: FloatArray, short_blocks: int) -> None:
    several = Scorer(find_model(), CPU, 3 * short_blocks * STEP // SPEC.front_end.window_samples)
    np.testing.assert_allclose(score(several, sound).log_odds, score(scorer, sound).log_odds, atol=TOLERANCE)


@pytest.mark.slow
def test_batches_too_large_for_memory_are_scored_in_parts(
    sound: FloatArray, short_blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = Scorer(find_model(), CPU, 30)
    sound = sound[: 5 * short_blocks * STEP]
    whole = score(scorer, sound)
    classify, tried = scorer.classify, []

    def classify_few(audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        tried.append(len(audio))
        if len(audio) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return classify(audio)

    def classify_none(_audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(scorer, "classify", classify_few)
    parts = score(scorer, sound)
    assert max(tried) > 2
    assert "out of memory on cpu with 30 windows" in scorer.note
    np.testing.assert_allclose(parts.log_odds, whole.log_odds, atol=TOLERANCE)
    monkeypatch.setattr(scorer, "classify", classify_none)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        scorer.score(sound, short_blocks)


def test_scoring_restores_the_number_of_torch_threads(scorer: Scorer, noise: FloatArray) -> None:
    before = torch.get_num_threads()
    score(scorer, noise)
    assert torch.get_num_threads() == before


# Blocks


@given(column_samples=st.integers(64, 2048), batch_size=st.integers(1, 5000))
def test_blocks_are_as_long_as_they_shall_be_and_batches_fit(column_samples: int, batch_size: int) -> None:
    grid = ColumnGrid(2000, column_samples)
    block = block_columns(grid) * column_samples
    assert abs(block - batching.BLOCK_S * 2000) <= column_samples / 2
    n_blocks = batch_blocks(batch_size, grid, 4000)
    assert n_blocks >= 1
    assert n_blocks == 1 or n_blocks * block <= batch_size * 4000
    assert (n_blocks + 1) * block > batch_size * 4000


@given(
    lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=8),
    begins_empty=st.booleans(),
    cuts=st.lists(st.integers(1, 20_000), max_size=4),
)
def test_runs_hold_all_sound_but_short_pieces(lengths: list[int], begins_empty: bool, cuts: list[int]) -> None:
    is_empty = np.concatenate([np.full(n, (i % 2 == 0) == begins_empty) for i, n in enumerate(lengths)])
    jumps = sorted(set(cuts))
    runs = recorded_runs(len(is_empty), is_empty, jumps, MIN_SAMPLES)
    assert all(end - begin >= MIN_SAMPLES for begin, end in runs)
    assert not any(is_empty[begin:end].any() for begin, end in runs)
    assert not any(begin < jump < end for begin, end in runs for jump in jumps)
    rest = ~is_empty
    for begin, end in runs:
        rest[begin:end] = False
    for begin, end in true_runs(rest).tolist():
        borders = [begin, *(jump for jump in jumps if begin < jump < end), end]
        assert all(b - a < MIN_SAMPLES for a, b in pairwise(borders))
