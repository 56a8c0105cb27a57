"""Scores of windows, pooled from columns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalescan.audio.windows import window_extents
from whalescan.core import ColumnGrid, ColumnScores, WindowGrid, WindowScores
from whalescan.detector.pooling import EDGE_SAMPLES, pool_windows, scores_of

RATE_HZ, COLUMN, WINDOW = 2000, 512, 4000
COLUMNS = ColumnGrid(RATE_HZ, COLUMN)
LENGTHS = st.integers(1, 40_000)
HOPS = st.integers(200, WINDOW)
SEEDS = st.integers(0, 2**32 - 1)


def random_columns(n_samples: int, seed: int, n_classes: int = 1, missing: float = 0.0) -> ColumnScores:
    random = np.random.default_rng(seed)
    n = COLUMNS.n_columns(n_samples)
    log_odds = random.normal(-2, 4, (n, n_classes)).astype(np.float32)
    complexity = random.random((n, 4)).astype(np.float32)
    is_missing = random.random(n) < missing
    log_odds[is_missing] = complexity[is_missing] = np.nan
    return ColumnScores(log_odds, np.full((n, 4), np.nan, np.float32), complexity)


def pool(columns: ColumnScores, n_samples: int, hop: int, discontinuities: tuple[int, ...] = ()) -> WindowScores:
    grid = WindowGrid(RATE_HZ, WINDOW, hop)
    return pool_windows(columns, COLUMNS, grid, grid.n_windows(n_samples), n_samples, discontinuities)


def columns_of(begin: int, end: int, n_columns: int) -> list[int]:
    """Return the columns that a window of these samples is pooled from, or the first one after its begin."""
    middles = [COLUMNS.middle_sample(column) for column in range(n_columns)]
    inside = [k for k, middle in enumerate(middles) if begin + EDGE_SAMPLES <= middle < end - EDGE_SAMPLES]
    after = next((k for k, middle in enumerate(middles) if middle >= begin + EDGE_SAMPLES), n_columns - 1)
    return inside or [after]


@given(n_samples=LENGTHS, hop=HOPS, seed=SEEDS, cuts=st.lists(st.integers(1, 39_999), max_size=3))
def test_windows_are_pooled_from_the_columns_within(n_samples: int, hop: int, seed: int, cuts: list[int]) -> None:
    columns = random_columns(n_samples, seed, n_classes=2, missing=0.2)
    jumps = tuple(sorted({cut for cut in cuts if cut < n_samples}))
    pooled = pool(columns, n_samples, hop, jumps)
    extents = window_extents(WindowGrid(RATE_HZ, WINDOW, hop), len(pooled.scores), n_samples, jumps)
    for (begin, end), scores, complexity in zip(extents.tolist(), pooled.scores, pooled.complexity, strict=True):
        own = columns_of(begin, end, len(columns))
        recorded = [k for k in own if not np.isnan(columns.log_odds[k, 0])]
        if not recorded:
            assert np.isnan(scores).all()
            assert np.isnan(complexity).all()
            continue
        odds = np.exp(columns.log_odds[recorded].astype(np.float64)).sum(axis=0) / 2
        np.testing.assert_allclose(scores, odds / (1 + odds), atol=1e-4)
        np.testing.assert_allclose(complexity, columns.complexity[recorded].mean(axis=0), atol=1e-4)


@given(n_samples=st.integers(WINDOW, 40_000), hop=HOPS, seed=SEEDS, rise=st.floats(0.5, 10))
def test_a_higher_column_never_lowers_a_window(n_samples: int, hop: int, seed: int, rise: float) -> None:
    columns = random_columns(n_samples, seed)
    before = pool(columns, n_samples, hop).scores
    column = seed % len(columns)
    columns.log_odds[column] += rise
    after = pool(columns, n_samples, hop).scores
    assert (after >= before).all()


@given(n_samples=LENGTHS, hop=HOPS, seed=SEEDS)
def test_a_window_scores_between_half_the_odds_of_its_highest_column_and_four_times_them(
    n_samples: int, hop: int, seed: int
) -> None:
    """A window of 2 s has up to 8 columns."""
    columns = random_columns(n_samples, seed)
    pooled = pool(columns, n_samples, hop).scores[:, 0].astype(np.float64)
    extents = window_extents(WindowGrid(RATE_HZ, WINDOW, hop), len(pooled), n_samples)
    highest = np.array([columns.log_odds[columns_of(b, e, len(columns)), 0].max() for b, e in extents.tolist()])
    assert (pooled >= scores_of(highest - np.log(2)) - 1e-4).all()
    assert (pooled <= scores_of(highest + np.log(4)) + 1e-4).all()


@given(n_samples=st.integers(WINDOW, 40_000), factor=st.integers(2, 4), seed=SEEDS)
def test_the_hop_only_chooses_which_windows_there_are(n_samples: int, factor: int, seed: int) -> None:
    columns = random_columns(n_samples, seed)
    coarse, fine = pool(columns, n_samples, 500 * factor), pool(columns, n_samples, 500)
    complete = (n_samples - WINDOW) // (500 * factor) + 1
    np.testing.assert_array_equal(coarse.scores[:complete], fine.scores[::factor][:complete])


@given(seed=SEEDS, jump=st.integers(4100, 15_900))
def test_columns_beyond_a_discontinuity_have_no_part(seed: int, jump: int) -> None:
    columns = random_columns(20_000, seed)
    pooled = pool(columns, 20_000, 500, (jump,))
    extents = window_extents(WindowGrid(RATE_HZ, WINDOW, 500), len(pooled.scores), 20_000, (jump,))
    columns.log_odds[-(-(jump - COLUMN // 2) // COLUMN) :] += 5
    changed = pool(columns, 20_000, 500, (jump,)).scores
    is_before = extents[:, 1] <= jump
    np.testing.assert_array_equal(changed[is_before], pooled.scores[is_before])
    assert (changed[~is_before] > pooled.scores[~is_before]).any()


def test_a_call_that_raises_two_columns_has_their_score() -> None:
    columns = random_columns(20_000, 1)
    columns.log_odds[:] = -20
    columns.log_odds[18:20] = 1.5
    scores = pool(columns, 20_000, WINDOW).scores[:, 0]
    assert scores.max() == pytest.approx(scores_of([1.5])[0])


def test_there_are_no_windows_without_samples() -> None:
    pooled = pool(ColumnScores.missing(0, 2), 0, 500)
    assert (pooled.scores.shape, pooled.complexity.shape) == ((0, 2), (0, 4))


@given(st.lists(st.floats(-50, 50), min_size=1))
def test_scores_lie_between_0_and_1_and_keep_the_order(log_odds: list[float]) -> None:
    scores = scores_of(sorted(log_odds))
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (np.diff(scores) >= 0).all()
    assert np.isnan(scores_of([np.nan])).all()
