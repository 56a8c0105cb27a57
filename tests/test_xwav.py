"""Clock segments by the ``harp`` chunk of XWAV files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import XwavRawFile, read_recording, utc, write_sound, write_xwav
from tests.test_soundtrap import handler, start_attributes, write_log
from whalescan import RecordingError
from whalescan.core import ClockSegment

RATE_HZ = 2000
N_FRAMES = 20_000
NOISE = (0.1 * np.random.default_rng(5).standard_normal(N_FRAMES)).astype(np.float32)


START = datetime(2010, 7, 16, 12, 11, 25, 500_000)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("version", [0, 1, 2, ord("0"), ord("1"), ord("2")])
def test_start_of_each_raw_file(tmp_path: Path, version: int, channels: int) -> None:
    raws = [
        XwavRawFile(START, 4000),
        XwavRawFile(START + timedelta(seconds=2), 4000),
        XwavRawFile(START + MINUTE, 2000),
        XwavRawFile(START + 2 * MINUTE, 6000),
    ]
    recording = read_recording(write_xwav(tmp_path / "GofMX_MC01_100716_121125.x.wav", raws, version, channels))
    assert (recording.time_source, recording.clock_problem, recording.recorder) == ("harp", "", "GofMX_MC01")
    assert (recording.start_utc, recording.n_frames) == (START.replace(tzinfo=UTC), 16_000)
    begins = [(segment.first_frame, segment.start_utc - START.replace(tzinfo=UTC)) for segment in recording.clock_segments]
    assert begins == [(0, timedelta(0)), (8000, MINUTE), (10_000, 2 * MINUTE)]
    assert recording.utc(10_500 / RATE_HZ) == START.replace(tzinfo=UTC) + 2 * MINUTE + timedelta(seconds=0.25)


seconds = st.integers(1, 5)
pauses_ms = st.one_of(st.integers(0, 3), st.integers(0, 10**7))


@given(parts=st.lists(st.tuples(seconds, pauses_ms), min_size=1, max_size=12), tick_ms=st.integers(0, 999))
@settings(max_examples=60)
def test_raw_file_times_are_kept_within_a_millisecond(tmp_path: Path, parts: list[tuple[int, int]], tick_ms: int) -> None:
    raws, moment = [], START.replace(microsecond=1000 * tick_ms)
    for length, pause_ms in parts:
        raws.append(XwavRawFile(moment, length * RATE_HZ))
        moment += timedelta(seconds=length, milliseconds=pause_ms)
    recording = read_recording(write_xwav(tmp_path / "x.x.wav", raws))
    assert (recording.time_source, recording.clock_problem) == ("harp", "")
    frame = 0
    for raw in raws:
        start_utc = recording.utc(frame / RATE_HZ)
        assert start_utc is not None
        assert abs(start_utc - raw.start.replace(tzinfo=UTC)) <= timedelta(milliseconds=1)
        frame += raw.n_frames
    assert len(recording.clock_segments) != 1, "a continuous clock has no segments"
    n_discontinuities = sum(pause > 1 for _, pause in parts[:-1])
    assert len(recording.clock_segments) >= (n_discontinuities + 1 if n_discontinuities else 0)


def test_continuous_raw_files_have_no_clock_segments(tmp_path: Path) -> None:
    raws = [XwavRawFile(START + timedelta(seconds=2 * i), 4000) for i in range(5)]
    assert read_recording(write_xwav(tmp_path / "x.x.wav", raws)).clock_segments == ()


def test_clock_drift_beyond_a_millisecond_begins_a_segment(tmp_path: Path) -> None:
    raws = [XwavRawFile(START + i * timedelta(seconds=2, milliseconds=1), 4000) for i in range(5)]
    segments = read_recording(write_xwav(tmp_path / "x.x.wav", raws)).clock_segments
    assert [segment.first_frame for segment in segments] == [0, 8000, 16_000]


@pytest.mark.parametrize(
    ("raws", "options", "words"),
    [
        ([], {"n_frames": 4000}, "no raw files"),
        ([XwavRawFile(START, 4000), XwavRawFile(START + MINUTE, 4000)], {"cut": 20}, "2 raw files"),
        ([XwavRawFile(START, 4000)], {"cut": 86}, "0 raw files"),
        ([XwavRawFile(START, 4000)], {"cut": 88}, "version"),
        ([XwavRawFile(START, 4000)], {"version": 7}, "version 7"),
        ([XwavRawFile(START, 4000)], {"n_frames": 3000}, "raw file 1"),
        ([XwavRawFile(START, 4000), XwavRawFile(START + MINUTE, 0), XwavRawFile(START + 2 * MINUTE, 100)], {}, "raw file 2"),
        ([XwavRawFile(START, 4000), XwavRawFile(START + MINUTE, 4000, 500)], {}, "raw file 2"),
        ([XwavRawFile(START, 4000), XwavRawFile(START + MINUTE, 4000, -8000)], {}, "raw file 2"),
        ([XwavRawFile(START, 4000, 2)], {}, "raw file 1"),
        ([XwavRawFile(START, 4000), XwavRawFile(START - MINUTE, 4000)], {}, "raw file 2"),
        ([XwavRawFile(START, 4000), XwavRawFile(START, 4000)], {}, "raw file 2"),
        ([XwavRawFile(START, 4000, month=13)], {}, "raw file 1"),
        ([XwavRawFile(START, 4000, rate_hz=200_000)], {}, "200000 Hz"),
        ([XwavRawFile(datetime(1970, 1, 1), 4000)], {}, "1970"),
    ],
)
def test_invalid_chunk_is_reported_and_the_name_is_used(
    tmp_path: Path, raws: list[XwavRawFile], options: dict[str, Any], words: str
) -> None:
    recording = read_recording(write_xwav(tmp_path / "MC01_100716_121125.x.wav", raws, **options), "UTC")
    assert (recording.start_utc, recording.time_source) == (utc("2010-07-16T12:11:25"), "name-timezone")
    assert words in recording.clock_problem
    assert recording.clock_segments == ()


def test_xwav_cut_short_keeps_the_segments_in_the_file(tmp_path: Path) -> None:
    path = write_xwav(tmp_path / "x.x.wav", [XwavRawFile(START + i * MINUTE, 4000) for i in range(4)])
    path.write_bytes(path.read_bytes()[: -2 * 6000])
    recording = read_recording(path)
    assert "cut short" in recording.problem
    assert recording.clock_problem == ""
    assert [segment.first_frame for segment in recording.clock_segments] == [0, 4000, 8000]
    path.write_bytes(path.read_bytes()[: -2 * 2000])
    assert [segment.first_frame for segment in read_recording(path).clock_segments] == [0, 4000]


def test_1970_in_a_chunk_or_a_log_is_an_unset_clock(tmp_path: Path) -> None:
    path = write_xwav(tmp_path / "x.x.wav", [XwavRawFile(datetime(1970, 1, 1, 0, 0, 5), 4000)])
    assert (read_recording(path).start_utc, read_recording(path).time_source) == (None, "clock-unset")
    path = write_sound(tmp_path / "y.wav", NOISE, RATE_HZ)
    write_log(path, handler(5, **start_attributes("1970-01-01T00:00:05")))
    assert (read_recording(path).start_utc, read_recording(path).time_source) == (None, "clock-unset")


def test_log_has_precedence_over_a_chunk_and_contradictions_are_reported(tmp_path: Path) -> None:
    path = write_xwav(tmp_path / "x.x.wav", [XwavRawFile(START, 4000), XwavRawFile(START + MINUTE, 4000)])
    write_log(path, handler(5, **start_attributes(f"{START:%Y-%m-%dT%H:%M:%S}", 8000)))
    assert (read_recording(path).time_source, read_recording(path).clock_problem) == ("soundtrap-xml", "")
    write_log(path, handler(5, **start_attributes("2010-07-16T12:00:00", 8000)))
    assert read_recording(path).start_utc == utc("2010-07-16T12:00:00.25")
    assert "2010-07-16T12:11:25Z" in read_recording(path).clock_problem
    assert [segment.start_utc for segment in read_recording(path).clock_segments] == [
        utc("2010-07-16T12:00:00.25"),
        utc("2010-07-16T12:01:00.25"),
    ], "segments keep their distance from the start"


@given(cut=st.integers(0, 200), flip=st.integers(0, 200), value=st.integers(0, 255))
@settings(max_examples=150)
def test_damaged_header_gives_a_recording_or_a_recording_error(tmp_path: Path, cut: int, flip: int, value: int) -> None:
    path = write_xwav(tmp_path / "MC01_100716_121125.x.wav", [XwavRawFile(START + i * MINUTE, 4000) for i in range(3)])
    content = bytearray(path.read_bytes())
    content[flip] = value
    path.write_bytes(bytes(content[: len(content) - 100 * cut]))
    try:
        recording = read_recording(path)
    except RecordingError:
        return
    if recording.clock_segments:
        assert recording.clock_segments[0] == ClockSegment(0, recording.start_utc or START)
        assert recording.clock_segments[-1].first_frame < recording.n_frames
