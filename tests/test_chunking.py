"""Samples of windows: the same for scoring a chunk and for the whole recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import START, recording_at
from whalescan.audio import timeline
from whalescan.audio.windows import extract_windows, uncovered_spans, window_extents
from whalescan.core import ClockSegment, FloatArray, Recording, WindowGrid
from whalescan.engine import chunking

GRIDS = st.sampled_from([500, 1000, 2000, 2700, 4000]).map(lambda hop: WindowGrid(2000, 4000, hop))
FRAMES = st.integers(100, 60_000)


def with_discontinuities(one: Recording, at: list[int]) -> Recording:
    """Return the recording with a pause of an hour before some frames."""
    segments = [ClockSegment(frame, START + timedelta(hours=i, seconds=frame / 2000)) for i, frame in enumerate([0, *at])]
    return replace(one, clock_segments=tuple(segments) if at else ())


@st.composite
def sequences(draw: st.DrawFn) -> tuple[Recording, tuple[Recording, ...]]:
    """Draw a recording and up to three short ones that continue it, each with or without discontinuities."""
    found = []
    for i in range(draw(st.integers(1, 4))):
        n_frames = draw(FRAMES if i == 0 else st.integers(1, 5000))
        discontinuities = sorted(draw(st.sets(st.integers(1, max(n_frames - 1, 1)), max_size=3)) if n_frames > 1 else [])
        found.append(with_discontinuities(replace(recording_at(i, 1), n_frames=n_frames), discontinuities))
    return found[0], tuple(found[1:])


def extract_all(samples: FloatArray, grid: WindowGrid, n: int, discontinuities: Sequence[int]) -> FloatArray:
    return extract_windows(samples, grid, window_extents(grid, 0, n, len(samples), discontinuities), np.arange(n))


@settings(max_examples=80)
@given(sequences(), GRIDS, st.integers(1, 5))
def test_windows_do_not_depend_on_the_chunk(
    sequence: tuple[Recording, tuple[Recording, ...]], grid: WindowGrid, batch: int
) -> None:
    one, following = sequence
    within = chunking.audio_extent(one, following, grid)
    samples = np.random.default_rng(1).standard_normal(within.n_samples).astype(np.float32)
    n = chunking.n_windows(one, following, grid)
    whole = extract_all(samples[: grid.begin_sample(n - 1) + 4000], grid, n, within.discontinuities)
    for chunk in chunking.split_recording(one, 1, grid, batch, following):
        begin, end = chunk.read_span(grid)
        here = [sample - begin for sample in within.discontinuities if begin < sample < end]
        own = extract_all(samples[begin:end], grid, chunk.n_windows, here)
        np.testing.assert_array_equal(own, whole[chunk.first_window : chunk.first_window + chunk.n_windows])


@settings(max_examples=80)
@given(sequences(), GRIDS)
def test_windows_hold_the_samples_of_their_extents(
    sequence: tuple[Recording, tuple[Recording, ...]], grid: WindowGrid
) -> None:
    one, following = sequence
    within = chunking.audio_extent(one, following, grid)
    n = chunking.n_windows(one, following, grid)
    samples = np.arange(1, within.n_samples + 1, dtype=np.float32)
    extents = window_extents(grid, 0, n, within.n_samples, within.discontinuities)
    for window, (begin, end) in zip(extract_windows(samples, grid, extents, np.arange(n)), extents.tolist(), strict=True):
        assert set(window) == set(samples[begin:end])
        assert not any(begin < sample < end for sample in within.discontinuities)
    covered = np.zeros(within.n_samples, bool)
    for begin, end in extents:
        covered[begin:end] = True
    missing = np.zeros(within.n_samples, bool)
    for begin, end in uncovered_spans(grid, n, within.n_samples, within.discontinuities):
        missing[begin:end] = True
    own = slice(0, one.n_frames)
    if within.discontinuities:
        np.testing.assert_array_equal(missing[own], ~covered[own])
    else:
        assert covered[own].all()


@given(st.sampled_from([2000, 44_100, 48_000, 96_000]), st.lists(st.integers(1, 10**6), max_size=4, unique=True).map(sorted))
def test_missing_span_of_whole_segments_covers_all_their_frames(rate_hz: int, at: list[int]) -> None:
    from whalescan.core import GapKind, MissingSpan

    n_frames = 1_000_003
    segments = tuple(ClockSegment(frame, START + timedelta(hours=i)) for i, frame in enumerate([0, *at]))
    one = replace(recording_at(0, 1), rate_hz=rate_hz, n_frames=n_frames, clock_segments=segments)
    borders = [0, *(-(-frame * 2000 // rate_hz) for frame in at), one.n_samples(2000)]
    if len(set(borders)) < len(borders):
        return  # segments shorter than a sample at the model's rate
    frames = [timeline.frame_span(one, MissingSpan(a, b, GapKind.DROPOUT), 2000) for a, b in pairwise(borders)]
    assert [begin for begin, _ in frames] == [0, *at]
    assert [end for _, end in frames] == [*at, n_frames]
