"""Recordings on the clock: what goes on in what, what is missing, what is there twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalescan.audio import gaps, timeline
from whalescan.audio.windows import cut, hearing, unheard
from whalescan.core import GapKind, Piece, Recording, WindowGrid, from_ns

START = datetime(2026, 3, 1, tzinfo=UTC)


def recording(begin_s: float, length_s: float, folder: str = "a", recorder: str = "R_", rate_hz: int = 2000) -> Recording:
    name = f"{folder}/{recorder}{begin_s:g}"
    return Recording(
        name=name,
        path=Path("/sea") / f"{name}.wav",
        relative=f"{name}.wav",
        rate_hz=rate_hz,
        n_frames=round(length_s * rate_hz),
        channels=1,
        size_bytes=1,
        start_utc=START + timedelta(seconds=begin_s),
        time_source="name",
        recorder=recorder,
    )


def joined(*recordings: Recording) -> dict[str, str]:
    return {name: after.name for name, after in timeline.followers(recordings).items()}


def kinds(*recordings: Recording, unreadable_s: tuple[float, ...] = ()) -> list[tuple[float, float, str]]:
    begin_ns = [int((START + timedelta(seconds=s)).timestamp()) * 10**9 for s in unreadable_s]
    found = gaps.find(recordings, begin_ns)
    return [
        ((from_ns(g.begin_ns) - START).total_seconds(), (from_ns(g.end_ns) - START).total_seconds(), g.kind) for g in found
    ]


@pytest.mark.parametrize("jitter_s", [-1.9, 0, 1.0, 2.0])
def test_recordings_that_follow_within_jitter_are_one_stretch(jitter_s: float) -> None:
    one, other = recording(0, 300), recording(300 + jitter_s, 300)
    assert joined(other, one) == {one.name: other.name}
    assert kinds(one, other) == []


@pytest.mark.parametrize("off_s", [-3, 2.1, 100])
def test_recordings_that_are_farther_apart_are_not(off_s: float) -> None:
    assert joined(recording(0, 300), recording(300 + off_s, 300)) == {}
    (gap,) = kinds(recording(0, 300), recording(300 + off_s, 300))
    assert gap == (300, 300 + off_s, "gap") if off_s > 0 else (300 + off_s, 300, "overlap")


def test_another_recorder_rate_or_number_of_channels_is_another_sound() -> None:
    one = recording(0, 300)
    assert joined(one, recording(300, 300, recorder="S_")) == {}
    assert joined(one, recording(300, 300, rate_hz=4000)) == {}
    assert joined(one, replace(recording(300, 300), channels=2)) == {}


def test_a_folder_a_day_does_not_break_the_sound_but_two_sites_do_not_mix() -> None:
    one, other = recording(0, 300, "day1"), recording(300, 300, "day2")
    assert joined(one, other) == {one.name: other.name}
    sites = [recording(at, 300, site) for site in ("A", "B") for at in (0, 300)]
    assert joined(*sites) == {"A/R_0": "A/R_300", "B/R_0": "B/R_300"}
    assert joined(recording(0, 300, "A"), recording(300, 300, "B"), recording(300, 300, "C")) == {}, "either may be meant"


def test_a_file_that_overlaps_does_not_break_the_stretch() -> None:
    one, other = recording(0, 20), recording(20, 20)
    assert joined(one, other, recording(5, 3)) == {one.name: other.name}


def test_unreadable_files_beyond_the_first_and_the_last_sample_are_named() -> None:
    around = recording(1000, 300), recording(1300, 300)
    assert kinds(*around, unreadable_s=(0, 5000)) == [(0, 300, "unreadable"), (5000, 5300, "unreadable")]


def test_a_call_that_begins_with_a_piece_is_on_its_clock() -> None:
    for frame in range(1, 40_000, 7):
        one = replace(recording(0, 30), pieces=(Piece(0, START), Piece(frame, START + timedelta(hours=6))))
        assert one.utc(frame / 2000) == START + timedelta(hours=6)


def test_names_without_a_zone_still_tell_what_follows() -> None:
    local = [
        replace(recording(at, 9), start_local=START.replace(tzinfo=None) + timedelta(seconds=at), start_utc=None)
        for at in (0, 9)
    ]
    assert len(joined(*local)) == 1
    assert kinds(*local) == [], "but no UTC, no gaps"
    assert joined(local[0], recording(9, 9)) == {}, "a clock with and one without a zone cannot be compared"


def test_a_duty_cycle_is_no_gap_and_a_missing_file_in_it_is() -> None:
    cycle = [recording(900 * i, 300) for i in range(8)]
    assert kinds(*cycle) == [(900 * i + 300, 900 * (i + 1), "duty_cycle") for i in range(7)]
    assert (1200, 2700, "gap") in kinds(*cycle[:2], *cycle[3:])
    two_files = [recording(3600 * i + j, 900) for i in range(5) for j in (0, 900)]
    assert [kind for *_, kind in kinds(*two_files)] == ["duty_cycle"] * 4


def test_three_lost_files_of_a_continuous_recorder_are_no_duty_cycle() -> None:
    hours = [recording(3600 * i, 3600) for i in range(30) if i not in (3, 9, 20)]
    assert [kind for *_, kind in kinds(*hours)] == ["gap"] * 3


def test_a_hole_in_which_an_unreadable_file_lies_is_unreadable_as_far_as_it_goes() -> None:
    around = recording(0, 300), recording(300, 300), recording(1200, 300)
    assert kinds(*around, unreadable_s=(600,)) == [(600, 900, "unreadable"), (900, 1200, "gap")]
    assert kinds(*around, unreadable_s=(600, 900)) == [(600, 900, "unreadable"), (900, 1200, "unreadable")]


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 900)), min_size=1, max_size=12))
def test_gaps_and_overlaps_are_those_of_a_count_by_the_second(files: list[tuple[int, int]]) -> None:
    recordings = [recording(begin, length, recorder=f"{i}_") for i, (begin, length) in enumerate(files)]
    covered = np.zeros(6000, int)
    for begin, length in files:
        covered[begin : begin + length] += 1
    first, last = min(b for b, _ in files), max(b + n for b, n in files)
    missing, twice = np.zeros(6000, bool), np.zeros(6000, bool)
    for from_s, to_s, kind in kinds(*recordings):
        begin, end = int(from_s), int(to_s)
        assert end - begin > timeline.TOLERANCE_S
        (twice if kind == "overlap" else missing)[begin:end] = True
    assert not (missing & (covered > 0)).any()
    assert not (twice & (covered < 2)).any()
    for where, found in ((covered[first:last] == 0, missing[first:last]), (covered[first:last] > 1, twice[first:last])):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], where, [False]]).astype(int)))
        long = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > timeline.TOLERANCE_S]
        assert sum(b - a for a, b in long) == found.sum()


# ------------------------------------------------------------------------------------------ jumps within a recording


def test_time_within_a_recording_follows_its_pieces() -> None:
    pieces = Piece(0, START), Piece(20_000, START + timedelta(seconds=900)), Piece(40_000, START + timedelta(seconds=911))
    one = replace(recording(0, 30), pieces=pieces)
    assert one.utc(9) == START + timedelta(seconds=9)
    assert one.utc(10) == START + timedelta(seconds=900)
    assert one.utc(25) == START + timedelta(seconds=916)
    assert [(e - b) / 1e9 for b, e in timeline.spans(one)] == [10, 10, 10]
    assert timeline.jumps(one, 2000) == [20_000], "11 s after 10 s of sound is jitter"
    assert kinds(one) == [(10, 900, "gap")]
    assert sum(e - b for b, e in timeline.spans(one, 5, 39_123, 2000)) == (39_123 - 5) * 500_000


@given(
    st.integers(1, 40).map(lambda n: n * 100),
    st.lists(st.integers(1, 40_000), max_size=6, unique=True).map(sorted),
    st.integers(4000, 40_000),
)
def test_no_window_hears_both_sides_of_a_jump_and_every_sample_is_accounted_for(
    hop: int, jumps: list[int], n_samples: int
) -> None:
    grid = WindowGrid(2000, 4000, hop)
    jumps = [jump for jump in jumps if jump < n_samples]
    n = grid.n_windows(n_samples)
    heard = hearing(grid, 0, n, n_samples, jumps)
    for begin, end in heard:
        assert begin < end
        assert not any(begin < jump < end for jump in jumps)
    covered = np.zeros(n_samples, bool)
    for begin, end in heard:
        covered[begin:end] = True
    missing = unheard(grid, n, n_samples, jumps)
    assert sum(b - a for a, b in missing) == (~covered).sum() if jumps else not missing
    far_apart = all(b - a >= 4000 for a, b in zip([0, *jumps], [*jumps, n_samples], strict=True))
    if hop <= 2000 and far_apart:
        assert missing == []


def test_a_window_beside_a_jump_holds_only_its_own_side() -> None:
    grid = WindowGrid(2000, 4000, 500)
    samples = np.concatenate([np.full(10_123, 1.0), np.full(9877, 2.0)]).astype(np.float32)
    n = grid.n_windows(20_000)
    windows = cut(samples, grid, hearing(grid, 0, n, 20_000, [10_123]), np.arange(n))
    assert {tuple(np.unique(window)) for window in windows} == {(1.0,), (2.0,)}


def test_overlapping_pairs_are_named() -> None:
    one, other, third = recording(0, 300), recording(200, 50, "b"), recording(299, 10, "c")
    assert [(a.name, b.name) for a, b in timeline.overlapping([third, other, one])] == [(one.name, other.name)]
    assert GapKind.OVERLAP in {kind for *_, kind in kinds(one, other, third)}
