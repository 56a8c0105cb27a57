"""Recordings on the UTC clock: successors, gaps, overlaps and discontinuities."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import START, recording_at
from whalescan.audio import timeline
from whalescan.audio.windows import window_extents
from whalescan.core import ClockSegment, GapKind, Recording, WindowGrid, from_ns
from whalescan.core.intervals import true_runs


def successor_names(*recordings: Recording) -> dict[str, str]:
    return {name: successor.name for name, successor in timeline.successors(recordings).items()}


def gaps_s(*recordings: Recording, unreadable_s: tuple[float, ...] = ()) -> list[tuple[float, float, str]]:
    begin_ns = [int((START + timedelta(seconds=s)).timestamp()) * 10**9 for s in unreadable_s]
    gaps = timeline.find_gaps(recordings, begin_ns)
    return [
        ((from_ns(gap.begin_ns) - START).total_seconds(), (from_ns(gap.end_ns) - START).total_seconds(), gap.kind)
        for gap in gaps
    ]


@pytest.mark.parametrize("jitter_s", [-1.9, 0, 1.0, 2.0])
def test_recordings_within_jitter_are_continuous(jitter_s: float) -> None:
    one, other = recording_at(0, 300), recording_at(300 + jitter_s, 300)
    assert successor_names(other, one) == {one.name: other.name}
    assert gaps_s(one, other) == []


@pytest.mark.parametrize("off_s", [-3, 2.1, 100])
def test_recordings_farther_apart_are_not_continuous(off_s: float) -> None:
    assert successor_names(recording_at(0, 300), recording_at(300 + off_s, 300)) == {}
    (gap,) = gaps_s(recording_at(0, 300), recording_at(300 + off_s, 300))
    assert gap == (300, 300 + off_s, "gap") if off_s > 0 else (300 + off_s, 300, "overlap")


def test_successor_has_the_same_recorder_rate_and_channels() -> None:
    one = recording_at(0, 300)
    assert successor_names(one, recording_at(300, 300, recorder="S_")) == {}
    assert successor_names(one, recording_at(300, 300, rate_hz=4000)) == {}
    assert successor_names(one, replace(recording_at(300, 300), channels=2)) == {}


def test_successor_in_another_folder_must_be_unique() -> None:
    one, other = recording_at(0, 300, "day1"), recording_at(300, 300, "day2")
    assert successor_names(one, other) == {one.name: other.name}
    sites = [recording_at(at, 300, site) for site in ("A", "B") for at in (0, 300)]
    assert successor_names(*sites) == {"A/R_0": "A/R_300", "B/R_0": "B/R_300"}
    assert successor_names(recording_at(0, 300, "A"), recording_at(300, 300, "B"), recording_at(300, 300, "C")) == {}, (
        "two candidates"
    )


def test_overlapping_file_does_not_replace_the_successor() -> None:
    one, other = recording_at(0, 20), recording_at(20, 20)
    assert successor_names(one, other, recording_at(5, 3)) == {one.name: other.name}


def test_unreadable_files_before_the_first_and_after_the_last_sample() -> None:
    around = recording_at(1000, 300), recording_at(1300, 300)
    assert gaps_s(*around, unreadable_s=(0, 5000)) == [(0, 300, "unreadable"), (5000, 5300, "unreadable")]


def test_time_of_the_first_frame_of_a_segment() -> None:
    for frame in range(1, 40_000, 7):
        one = replace(
            recording_at(0, 30), clock_segments=(ClockSegment(0, START), ClockSegment(frame, START + timedelta(hours=6)))
        )
        assert one.utc(frame / 2000) == START + timedelta(hours=6)


def test_successors_by_local_time() -> None:
    local = [
        replace(recording_at(at, 9), start_local=START.replace(tzinfo=None) + timedelta(seconds=at), start_utc=None)
        for at in (0, 9)
    ]
    assert len(successor_names(*local)) == 1
    assert gaps_s(*local) == [], "gaps need UTC"
    assert successor_names(local[0], recording_at(9, 9)) == {}, "UTC and local time cannot be compared"


def test_duty_cycle_pauses_are_not_gaps() -> None:
    cycle = [recording_at(900 * i, 300) for i in range(8)]
    assert gaps_s(*cycle) == [(900 * i + 300, 900 * (i + 1), "duty_cycle") for i in range(7)]
    assert (1200, 2700, "gap") in gaps_s(*cycle[:2], *cycle[3:])
    two_files = [recording_at(3600 * i + j, 900) for i in range(5) for j in (0, 900)]
    assert [kind for *_, kind in gaps_s(*two_files)] == ["duty_cycle"] * 4


def test_three_missing_files_of_a_continuous_recorder_are_not_a_duty_cycle() -> None:
    hours = [recording_at(3600 * i, 3600) for i in range(30) if i not in (3, 9, 20)]
    assert [kind for *_, kind in gaps_s(*hours)] == ["gap"] * 3


def test_pause_is_unreadable_where_an_unreadable_file_lies() -> None:
    around = recording_at(0, 300), recording_at(300, 300), recording_at(1200, 300)
    assert gaps_s(*around, unreadable_s=(600,)) == [(600, 900, "unreadable"), (900, 1200, "gap")]
    assert gaps_s(*around, unreadable_s=(600, 900)) == [(600, 900, "unreadable"), (900, 1200, "unreadable")]


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 900)), min_size=1, max_size=12))
def test_gaps_and_overlaps_agree_with_counting_seconds(files: list[tuple[int, int]]) -> None:
    recordings = [recording_at(begin, length, recorder=f"{i}_") for i, (begin, length) in enumerate(files)]
    covered = np.zeros(6000, int)
    for begin, length in files:
        covered[begin : begin + length] += 1
    first, last = min(b for b, _ in files), max(b + n for b, n in files)
    missing, twice = np.zeros(6000, bool), np.zeros(6000, bool)
    for from_s, to_s, kind in gaps_s(*recordings):
        begin, end = int(from_s), int(to_s)
        assert end - begin > timeline.TOLERANCE_S
        (twice if kind == "overlap" else missing)[begin:end] = True
    assert not (missing & (covered > 0)).any()
    assert not (twice & (covered < 2)).any()
    for where, found in ((covered[first:last] == 0, missing[first:last]), (covered[first:last] > 1, twice[first:last])):
        lengths = np.diff(true_runs(where))
        assert lengths[lengths > timeline.TOLERANCE_S].sum() == found.sum()


# ------------------------------------------------------------------------------------------ discontinuities


def test_time_within_a_recording_follows_its_clock_segments() -> None:
    segments = (
        ClockSegment(0, START),
        ClockSegment(20_000, START + timedelta(seconds=900)),
        ClockSegment(40_000, START + timedelta(seconds=911)),
    )
    one = replace(recording_at(0, 30), clock_segments=segments)
    assert one.utc(9) == START + timedelta(seconds=9)
    assert one.utc(10) == START + timedelta(seconds=900)
    assert one.utc(25) == START + timedelta(seconds=916)
    assert [(e - b) / 1e9 for b, e in timeline.recorded_spans(one)] == [10, 10, 10]
    assert timeline.discontinuities(one, 2000) == [20_000], "11 s after 10 s of audio is jitter"
    assert gaps_s(one) == [(10, 900, "gap")]
    assert sum(e - b for b, e in timeline.recorded_spans(one, 5, 39_123, 2000)) == (39_123 - 5) * 500_000


@given(
    st.integers(1, 40).map(lambda n: n * 100),
    st.lists(st.integers(1, 40_000), max_size=6, unique=True).map(sorted),
    st.integers(4000, 40_000),
)
def test_window_extents_do_not_cross_discontinuities(hop: int, discontinuities: list[int], n_samples: int) -> None:
    grid = WindowGrid(2000, 4000, hop)
    discontinuities = [sample for sample in discontinuities if sample < n_samples]
    n = grid.n_windows(n_samples)
    extents = window_extents(grid, n, n_samples, discontinuities)
    for begin, end in extents:
        assert begin < end
        assert not any(begin < sample < end for sample in discontinuities)
    covered = np.zeros(n_samples, bool)
    for begin, end in extents:
        covered[begin:end] = True
    far_apart = all(b - a >= 4000 for a, b in zip([0, *discontinuities], [*discontinuities, n_samples], strict=True))
    assert covered.all() or (discontinuities and not (hop <= 2000 and far_apart))


def test_window_at_a_discontinuity_holds_one_side_only() -> None:
    grid = WindowGrid(2000, 4000, 500)
    extents = window_extents(grid, grid.n_windows(20_000), 20_000, [10_123])
    assert {(begin >= 10_123, end > 10_123) for begin, end in extents.tolist()} == {(False, False), (True, True)}


def test_overlapping_pairs() -> None:
    one, other, third = recording_at(0, 300), recording_at(200, 50, "b"), recording_at(299, 10, "c")
    assert [(a.name, b.name) for a, b in timeline.overlapping_pairs([third, other, one])] == [(one.name, other.name)]
    assert GapKind.OVERLAP in {kind for *_, kind in gaps_s(one, other, third)}
