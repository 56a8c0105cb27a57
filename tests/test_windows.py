"""What windows hear, whoever asks: the same for scoring, for counting and for calling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_timeline import START, recording
from whalescan.audio import timeline
from whalescan.audio.windows import cut, hearing, unheard
from whalescan.core import FloatArray, Piece, Recording, WindowGrid
from whalescan.engine import chunking

GRIDS = st.sampled_from([500, 1000, 2000, 2700, 4000]).map(lambda hop: WindowGrid(2000, 4000, hop))
FRAMES = st.integers(100, 60_000)


def with_jumps(one: Recording, at: list[int]) -> Recording:
    """The recording with an hour's pause at some samples."""
    pieces = [Piece(frame, START + timedelta(hours=i, seconds=frame / 2000)) for i, frame in enumerate([0, *at])]
    return replace(one, pieces=tuple(pieces) if at else ())


@st.composite
def chains(draw: st.DrawFn) -> tuple[Recording, tuple[Recording, ...]]:
    """A recording, perhaps with jumps, and up to three short ones in which it goes on, perhaps with jumps too."""
    found = []
    for i in range(draw(st.integers(1, 4))):
        n_frames = draw(FRAMES if i == 0 else st.integers(1, 5000))
        jumps = sorted(draw(st.sets(st.integers(1, max(n_frames - 1, 1)), max_size=3)) if n_frames > 1 else [])
        found.append(with_jumps(replace(recording(i, 1), n_frames=n_frames), jumps))
    return found[0], tuple(found[1:])


def all_windows(sound: FloatArray, grid: WindowGrid, n: int, jumps: Sequence[int]) -> FloatArray:
    return cut(sound, grid, hearing(grid, 0, n, len(sound), jumps), np.arange(n))


@settings(max_examples=80, deadline=None)
@given(chains(), GRIDS, st.integers(1, 5))
def test_chunks_hear_what_the_whole_recording_hears(
    chain: tuple[Recording, tuple[Recording, ...]], grid: WindowGrid, batch: int
) -> None:
    one, after = chain
    within = chunking.reach(one, after, grid)
    sound = np.random.default_rng(1).standard_normal(within.n_samples).astype(np.float32)
    n = chunking.n_windows(one, after, grid)
    whole = all_windows(sound[: grid.begin_sample(n - 1) + 4000], grid, n, within.jumps)
    for chunk in chunking.chunks(one, 1, grid, batch, after):
        begin, end = chunk.needed_samples(grid)
        here = [jump - begin for jump in within.jumps if begin < jump < end]
        own = all_windows(sound[begin:end], grid, chunk.n_windows, here)
        np.testing.assert_array_equal(own, whole[chunk.first_window : chunk.first_window + chunk.n_windows])


@settings(max_examples=80, deadline=None)
@given(chains(), GRIDS)
def test_each_window_holds_what_it_hears_and_nothing_else(
    chain: tuple[Recording, tuple[Recording, ...]], grid: WindowGrid
) -> None:
    one, after = chain
    within = chunking.reach(one, after, grid)
    n = chunking.n_windows(one, after, grid)
    sound = np.arange(1, within.n_samples + 1, dtype=np.float32)
    heard = hearing(grid, 0, n, within.n_samples, within.jumps)
    for window, (begin, end) in zip(cut(sound, grid, heard, np.arange(n)), heard.tolist(), strict=True):
        assert set(window) == set(sound[begin:end])
        assert not any(begin < jump < end for jump in within.jumps)
    covered = np.zeros(within.n_samples, bool)
    for begin, end in heard:
        covered[begin:end] = True
    missing = np.zeros(within.n_samples, bool)
    for begin, end in unheard(grid, n, within.n_samples, within.jumps):
        missing[begin:end] = True
    own = slice(0, one.n_frames)
    if within.jumps:
        np.testing.assert_array_equal(missing[own], ~covered[own])
    else:
        assert covered[own].all()


@given(st.sampled_from([2000, 44_100, 48_000, 96_000]), st.lists(st.integers(1, 10**6), max_size=4, unique=True).map(sorted))
def test_a_loss_of_whole_pieces_leaves_no_sliver(rate_hz: int, at: list[int]) -> None:
    from whalescan.core import GapKind, Loss

    n_frames = 1_000_003
    pieces = tuple(Piece(frame, START + timedelta(hours=i)) for i, frame in enumerate([0, *at]))
    one = replace(recording(0, 1), rate_hz=rate_hz, n_frames=n_frames, pieces=pieces)
    borders = [0, *(-(-frame * 2000 // rate_hz) for frame in at), one.n_samples(2000)]
    if len(set(borders)) < len(borders):
        return  # pieces shorter than a sample of the model's
    frames = [timeline.frames(one, Loss(a, b, GapKind.DROPOUT), 2000) for a, b in pairwise(borders)]
    assert [begin for begin, _ in frames] == [0, *at]
    assert [end for _, end in frames] == [*at, n_frames]
