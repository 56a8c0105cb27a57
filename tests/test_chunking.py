"""Chunks: the same columns, whatever the size of the chunks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import START, recording_at
from tests.fake_scorer import FakeScorer
from whalescan.audio import timeline
from whalescan.core import ClockSegment, ColumnScores, GapKind, MissingSpan, Recording
from whalescan.detector.model_spec import ModelSpec
from whalescan.engine import chunking

SPEC = ModelSpec()

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


@settings(max_examples=80)
@given(sequences(), st.integers(1, 40), st.lists(st.tuples(st.integers(0, 60_000), st.integers(1, 5000)), max_size=3))
def test_columns_do_not_depend_on_the_chunk(
    sequence: tuple[Recording, tuple[Recording, ...]], chunk_size: int, empty: list[tuple[int, int]]
) -> None:
    one, following = sequence
    within = chunking.audio_extent(one, following, 2000)
    samples = np.random.default_rng(1).standard_normal(within.n_samples).astype(np.float32)
    is_empty = np.zeros(within.n_samples, np.bool_)
    for begin, length in empty:
        is_empty[begin : begin + length] = True
    channel = chunking.whole_channel(one, 1, following, SPEC)
    parts = []
    for chunk in [channel, *chunking.split_channel(channel, chunk_size)]:
        begin, end = chunk.read_span(SPEC.columns, SPEC.context_samples)
        parts.append(
            FakeScorer("a").score(
                samples[begin:end],
                chunk.n_columns,
                is_empty=is_empty[begin:end],
                discontinuities=[sample - begin for sample in within.discontinuities if begin < sample < end],
                first_sample=SPEC.columns.begin_sample(chunk.first_column) - begin,
            )
        )
    whole, joined = parts[0], ColumnScores.join(parts[1:])
    np.testing.assert_array_equal(joined.log_odds, whole.log_odds)
    np.testing.assert_array_equal(joined.boxes, whole.boxes)


@settings(max_examples=80)
@given(sequences(), st.integers(1, 40))
def test_chunks_report_on_each_sample_once(sequence: tuple[Recording, tuple[Recording, ...]], chunk_size: int) -> None:
    one, following = sequence
    n_all = sum(recording.n_frames for recording in sequence[1]) + one.n_frames
    channel = chunking.whole_channel(one, 1, following, SPEC)
    chunks = list(chunking.split_channel(channel, chunk_size))
    assert [chunk.is_last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    spans = [chunk.scored_span(SPEC.columns) for chunk in chunks]
    assert (spans[0][0], spans[-1][1]) == (0, one.n_frames)
    assert all(end == begin for (_, end), (begin, _) in pairwise(spans))
    for chunk, (own_begin, own_end) in zip(chunks, spans, strict=True):
        begin, end = chunk.read_span(SPEC.columns, SPEC.context_samples)
        assert 0 <= begin <= own_begin <= own_end <= end <= n_all


@given(sequences())
def test_columns_go_on_into_the_next_recording_by_a_window(sequence: tuple[Recording, tuple[Recording, ...]]) -> None:
    one, following = sequence
    n_following = sum(recording.n_frames for recording in following)
    n = chunking.n_columns(one, following, SPEC)
    reach = one.n_frames + min(n_following, 4000)
    assert n == 1 or SPEC.columns.middle_sample(n - 1) < reach <= SPEC.columns.middle_sample(n)


def test_following_recordings_reach_as_far_as_the_context() -> None:
    followers = {f"a/R_{i}": replace(recording_at(i + 1, 2.5), n_frames=5000) for i in range(9)}
    found = chunking.following_recordings(recording_at(0, 1), followers, SPEC)
    assert len(found) == -(-(4000 + SPEC.context_samples) // 5000)


@given(st.sampled_from([2000, 44_100, 48_000, 96_000]), st.lists(st.integers(1, 10**6), max_size=4, unique=True).map(sorted))
def test_missing_span_of_whole_segments_covers_all_their_frames(rate_hz: int, at: list[int]) -> None:
    n_frames = 1_000_003
    segments = tuple(ClockSegment(frame, START + timedelta(hours=i)) for i, frame in enumerate([0, *at]))
    one = replace(recording_at(0, 1), rate_hz=rate_hz, n_frames=n_frames, clock_segments=segments)
    borders = [0, *(-(-frame * 2000 // rate_hz) for frame in at), one.n_samples(2000)]
    if len(set(borders)) < len(borders):
        return  # segments shorter than a sample at the model's rate
    frames = [timeline.frame_span(one, MissingSpan(a, b, GapKind.DROPOUT), 2000) for a, b in pairwise(borders)]
    assert [begin for begin, _ in frames] == [0, *at]
    assert [end for _, end in frames] == [*at, n_frames]
