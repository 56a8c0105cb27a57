from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import write_sound
from whalescan import RecordingError
from whalescan.audio import headers
from whalescan.audio.recordings import Found, inspect, start_of_unreadable
from whalescan.audio.start_times import ClockOptions
from whalescan.core import Piece, Recording

RATE_HZ = 2000
N_FRAMES = 20_000
NOISE = (0.1 * np.random.default_rng(5).standard_normal(N_FRAMES)).astype(np.float32)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def found(path: Path) -> Found:
    return Found(path.stem, path, path.name)


def look(path: Path, timezone: str = "", time_format: str = "") -> Recording:
    return inspect(found(path), ClockOptions(timezone, time_format))


# --- SoundTrap -------------------------------------------------------------------------------------------------------


def handler(number: int, **facts: str) -> str:
    """A block as SoundTrap Host writes it: one element for each fact."""
    lines = (f'<PROC_EVENT ID="{number}"><WavFileHandler {key}="{value}" /></PROC_EVENT>' for key, value in facts.items())
    return "\n".join(lines)


def config(number: int, suffix: str, rate_hz: int) -> str:
    return (
        f'<CFG Time="2019-01-01T04:59:58" ID="{number}" FTYPE="wav"><FS UNITS="Hz"> {rate_hz} </FS>'
        f'<SUFFIX> {suffix} </SUFFIX><TIMECHK> 0 </TIMECHK><SRC ID="4" /></CFG>'
    )


def write_log(recording: Path, *parts: str) -> Path:
    path = recording.with_name(f"{recording.stem}.log.xml")
    head = '<?xml version="1.0" encoding="us-ascii"?>\n<ST>\n<EVENT><HARDWARE_ID> 5678 </HARDWARE_ID></EVENT>\n'
    path.write_text(head + "\n".join(parts) + "\n</ST>\n")
    return path


def start_facts(start: str = "2019-01-01T05:00:00", n: int | None = N_FRAMES) -> dict[str, str]:
    facts = {
        "OffloaderTimeZone": "(UTC-05:00) Eastern Time (US &amp; Canada)",
        "SamplingStartTimeLocal": "2019-01-01T00:00:00",
        "SamplingStartTimeUTC": start,
        "SamplingStartTimeSubS": "250000 us",
        "CumulativeSamplingGap": "0 us",
    }
    return facts | ({} if n is None else {"SampleCount": str(n)})


@pytest.fixture
def soundtrap(tmp_path: Path) -> Path:
    return write_sound(tmp_path / "5678.190101000000.wav", NOISE, RATE_HZ, subtype="PCM_16")


def test_the_log_beside_a_recording_tells_its_start(soundtrap: Path) -> None:
    write_log(soundtrap, config(5, "wav", RATE_HZ), handler(5, **start_facts()))
    recording = look(soundtrap)
    assert recording.start_utc == utc("2019-01-01T05:00:00.25")
    assert (recording.time_source, recording.clock_problem) == ("soundtrap-xml", "")
    assert (recording.start_local, recording.recorder) == (datetime(2019, 1, 1), "5678")
    assert (recording.pieces, recording.encoding) == ((), "WAV PCM_16")


def test_all_facts_may_stand_in_one_element(soundtrap: Path) -> None:
    facts = " ".join(f'{key}="{value}"' for key, value in start_facts().items())
    write_log(soundtrap, f"<WavFileHandler {facts} />")
    assert look(soundtrap).time_source == "soundtrap-xml"


@pytest.mark.parametrize("timezone", ["UTC", "UTC-5", "America/New_York"])
def test_a_zone_for_names_changes_nothing_where_a_log_knows(soundtrap: Path, timezone: str) -> None:
    write_log(soundtrap, handler(5, **start_facts()))
    recording = look(soundtrap, timezone)
    assert recording.start_utc == utc("2019-01-01T05:00:00.25")
    assert recording.clock_problem == ""


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_block_of_the_recording_is_taken_not_that_of_its_clicks(soundtrap: Path, order: Sequence[int]) -> None:
    blocks = [handler(5, **start_facts()), handler(13, **start_facts("2019-01-01T05:03:00", 777))]
    kinds = [config(5, "wav", RATE_HZ), config(13, "dwv", 576_000)]
    write_log(soundtrap, *(kinds[i] for i in order), *(blocks[i] for i in order))
    assert look(soundtrap).start_utc == utc("2019-01-01T05:00:00.25")


def test_blocks_are_told_apart_by_their_count_or_by_their_suffix(soundtrap: Path) -> None:
    """Two files of one number: a fact that comes again begins the next block."""
    first, second = start_facts("2019-01-01T01:00:00", 999), start_facts()
    write_log(soundtrap, handler(5, **first), handler(5, **second))
    assert look(soundtrap).start_utc == utc("2019-01-01T05:00:00.25")
    first, second = start_facts(n=None), start_facts("2019-01-01T01:00:00", None)
    write_log(soundtrap, config(5, "wav", RATE_HZ), config(6, "dwv", RATE_HZ), handler(6, **second), handler(5, **first))
    assert look(soundtrap).start_utc == utc("2019-01-01T05:00:00.25")
    write_log(soundtrap, handler(6, **second), handler(5, **first))
    assert "2 starts" in look(soundtrap).clock_problem


@pytest.mark.parametrize("n", [0, None, N_FRAMES, N_FRAMES * 24])
def test_a_recording_may_have_been_resampled_since(soundtrap: Path, n: int | None) -> None:
    write_log(soundtrap, config(5, "wav", RATE_HZ * 24 if n == N_FRAMES * 24 else RATE_HZ), handler(5, **start_facts(n=n)))
    assert look(soundtrap).time_source == "soundtrap-xml"


def test_a_recording_cut_short_keeps_its_log(soundtrap: Path) -> None:
    soundtrap.write_bytes(soundtrap.read_bytes()[:-20_000])
    write_log(soundtrap, handler(5, **start_facts()))
    assert look(soundtrap).time_source == "soundtrap-xml"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2019-01-01T05:00:00", "2019-01-01T05:00:00.25"),
        ("2019-01-01T05:00:00Z", "2019-01-01T05:00:00.25"),
        ("2019-01-01 05:00:00 UTC", "2019-01-01T05:00:00.25"),
        ("2019-01-01 00:00:00 EST", "2019-01-01T05:00:00.25"),  # PAMGuard's reader of .sud files writes its own zone
        ("2019-01-01T10:30:00+05:30", "2019-01-01T05:00:00.25"),
        ("2019-01-01T05:00:00.125", "2019-01-01T05:00:00.125"),
    ],
)
def test_the_ways_in_which_logs_write_a_time(soundtrap: Path, text: str, moment: str) -> None:
    write_log(soundtrap, handler(5, **start_facts(text)))
    assert look(soundtrap).start_utc == utc(moment)


@given(moment=st.datetimes(datetime(1971, 1, 1), datetime(2069, 12, 31)), offset=st.integers(-4 * 12, 4 * 14))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_any_local_name_fits_its_log(tmp_path: Path, moment: datetime, offset: int) -> None:
    local = (moment + timedelta(minutes=15 * offset)).replace(microsecond=0)
    path = tmp_path / f"5678.{local:%y%m%d%H%M%S}.wav"
    write_log(path, handler(5, SamplingStartTimeUTC=f"{moment:%Y-%m-%dT%H:%M:%S}"))
    start = start_of_unreadable(found(path))
    if local.year > 1970:
        assert (start.utc, start.problem) == (moment.replace(microsecond=0, tzinfo=UTC), "")


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (["<PROC_EVENT>"], "no XML"),
        (["\x00"], "no XML"),
        (["<nothing/>"], "SamplingStartTimeUTC"),
        ([handler(5, SamplingStopTimeUTC="2019-01-01T05:00:00")], "SamplingStartTimeUTC"),
        ([handler(5, **start_facts("1/2/2019 5:00:00 AM"))], "'1/2/2019 5:00:00 AM' cannot be read"),
        ([handler(5, **start_facts("2019-02-30T05:00:00"))], "cannot be read"),
        ([handler(5, **start_facts("2019-01-01 05:00:00 BST"))], "BST is no zone"),
        ([handler(5, **start_facts("2019-01-01T05:00:00+15:00"))], "no offset"),
        ([handler(5, **start_facts(n=3 * N_FRAMES))], f"{3 * N_FRAMES} samples where this one has {N_FRAMES}"),
        (['<INPUTFILE NAME="D:\\dive\\5678.180707070707.sud" />', handler(5, **start_facts())], "5678.180707070707.sud"),
        ([handler(5, **start_facts("1970-01-01T00:00:07"))], "1970"),
    ],
)
def test_logs_that_are_not_used_are_named_and_the_name_counts(soundtrap: Path, parts: list[str], words: str) -> None:
    log = write_log(soundtrap, *parts)
    recording = look(soundtrap, "UTC-4")
    assert (recording.start_utc, recording.time_source) == (utc("2019-01-01T04:00:00"), "name-timezone")
    assert words in recording.clock_problem
    assert log.name in recording.clock_problem
    assert look(soundtrap).time_source == "name-without-zone"


def test_a_log_that_defines_entities_is_not_read(soundtrap: Path) -> None:
    log = soundtrap.with_name(f"{soundtrap.stem}.log.xml")
    log.write_text('<?xml version="1.0"?><!DOCTYPE ST [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><ST>&b;</ST>')
    assert "entities" in look(soundtrap).clock_problem


def test_a_log_that_cannot_be_opened_is_named(soundtrap: Path) -> None:
    soundtrap.with_name(f"{soundtrap.stem}.log.xml").mkdir()
    recording = look(soundtrap)
    assert "cannot be read" in recording.clock_problem
    assert recording.time_source == "name-without-zone"


def test_names_that_were_given_a_prefix_still_belong_to_their_log(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "siteA_5678.190101000000.wav", NOISE, RATE_HZ)
    write_log(path, '<INPUTFILE NAME="5678.190101000000.sud" />', handler(5, **start_facts()))
    assert look(path).clock_problem == ""


def test_a_name_that_no_zone_explains_contradicts_its_log(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "5678.190101000700.wav", NOISE, RATE_HZ)
    write_log(path, handler(5, **start_facts()))
    recording = look(path)
    assert (recording.start_utc, recording.time_source) == (utc("2019-01-01T05:00:00.25"), "soundtrap-xml")
    for word in ("5678.190101000700.log.xml", "2019-01-01T05:00:00Z", "2019-01-01T00:07:00", "--time-format"):
        assert word in recording.clock_problem


@pytest.mark.parametrize(
    ("name", "is_contradicted"),
    [
        ("x_20190101T050001Z.wav", False),
        ("x_20190101T050003Z.wav", True),
        ("x_20190101T060000Z.wav", True),  # a name with a zone has no other
        ("x_EST_20190101_010000.wav", True),
        ("x_20190101T060000.wav", False),
        ("x_20190101T190000.wav", False),
        ("x_20190101T191500.wav", True),  # no zone is more than 14 hours away
    ],
)
def test_what_contradicts_a_log(tmp_path: Path, name: str, is_contradicted: bool) -> None:
    path = write_sound(tmp_path / name, NOISE, RATE_HZ)
    write_log(path, handler(5, **start_facts()))
    recording = look(path)
    assert recording.time_source == "soundtrap-xml"
    assert bool(recording.clock_problem) == is_contradicted


def test_the_users_format_goes_before_a_log(soundtrap: Path) -> None:
    write_log(soundtrap, handler(5, **start_facts()))
    recording = look(soundtrap, "UTC", "%y%m%d%H%M%S")
    assert (recording.start_utc, recording.time_source) == (utc("2019-01-01T00:00:00"), "format")
    assert "2019-01-01T05:00:00Z" in recording.clock_problem, "the user's zone moves it by five hours"
    assert look(soundtrap, "UTC-5", "%y%m%d%H%M%S").clock_problem == ""


def test_a_format_without_a_zone_is_helped_by_a_log_that_shows_the_same_clock(soundtrap: Path) -> None:
    write_log(soundtrap, handler(5, **start_facts()))
    recording = look(soundtrap, time_format="%y%m%d%H%M%S")
    assert (recording.time_source, recording.clock_problem) == ("soundtrap-xml", "")
    write_log(soundtrap, handler(5, **start_facts("2019-01-01T05:07:00")))
    recording = look(soundtrap, time_format="%y%m%d%H%M%S")
    assert (recording.start_utc, recording.time_source) == (None, "name-without-zone")
    assert "2019-01-01T05:07:00Z" in recording.clock_problem
    assert look(soundtrap, time_format="%Y-%m-%d").time_source == "soundtrap-xml", "a format that fits nowhere says nothing"


def test_a_recording_that_cannot_be_read_has_a_clock(soundtrap: Path) -> None:
    soundtrap.write_bytes(b"")
    write_log(soundtrap, handler(5, **start_facts()))
    with pytest.raises(RecordingError):
        look(soundtrap)
    assert start_of_unreadable(found(soundtrap)).utc == utc("2019-01-01T05:00:00.25")
    gone = soundtrap.with_name("x_20190101T000000Z.wav")
    assert start_of_unreadable(found(gone)).source == "name"
    assert start_of_unreadable(found(soundtrap.with_name("y" * 250 + ".wav"))).source == "none"


# --- HARP ------------------------------------------------------------------------------------------------------------


@dataclass
class Raw:
    """A raw file of an XWAV: when, how many samples, and what is to be wrong with it."""

    start: datetime
    n_frames: int
    shift_bytes: int = 0
    rate_hz: int = RATE_HZ
    month: int | None = None


def write_xwav(
    path: Path,
    raws: Sequence[Raw],
    version: int = 1,
    channels: int = 1,
    cut: int = 0,
    n_frames: int | None = None,
    samples: bytes = b"",
) -> Path:
    """An XWAV as Triton writes it: RIFF with fmt, harp and data."""
    is_v2 = version in (2, ord("2"))
    more = 4 * channels if is_v2 else 0
    block = 2 * channels
    n_frames = sum(raw.n_frames for raw in raws) if n_frames is None else n_frames
    begin = 12 + 24 + 8 + 56 + more + len(raws) * (32 + more) - cut + 8
    harp = struct.pack(
        "<B10s4s4s8sB8sHiih",
        version,
        b"V2.01A",
        b"DL37",
        b"CINM",
        b"SOCAL",
        1,
        b"12345678",
        len(raws),
        -11712345,
        3212345,
        900,
    )
    harp += struct.pack(f"<{channels}f", *[0.5] * channels) if is_v2 else b""
    harp += bytes(8)
    position = begin
    for raw in raws:
        t, n_bytes = raw.start, raw.n_frames * block
        clock = (t.year % 100, raw.month or t.month, t.day, t.hour, t.minute, t.second, t.microsecond // 1000)
        harp += struct.pack("<6BH4IB7x", *clock, position + raw.shift_bytes, n_bytes, 60_000, raw.rate_hz, 1)
        harp += struct.pack(f"<{channels}f", *[1e9] * channels) if is_v2 else b""
        position += n_bytes
    harp = harp[: len(harp) - cut]
    fmt = struct.pack("<HHIIHH", 1, channels, RATE_HZ, RATE_HZ * block, block, 16)
    data = samples or bytes(range(1, 251)) * (n_frames * block // 250 + 1)
    chunks = b"".join(
        name + struct.pack("<I", len(body)) + body
        for name, body in ((b"fmt ", fmt), (b"harp", harp), (b"data", data[: n_frames * block]))
    )
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    return path


START = datetime(2010, 7, 16, 12, 11, 25, 500_000)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("version", [0, 1, 2, ord("0"), ord("1"), ord("2")])
def test_the_harp_chunk_tells_when_each_raw_file_was_recorded(tmp_path: Path, version: int, channels: int) -> None:
    raws = [
        Raw(START, 4000),
        Raw(START + timedelta(seconds=2), 4000),
        Raw(START + MINUTE, 2000),
        Raw(START + 2 * MINUTE, 6000),
    ]
    recording = look(write_xwav(tmp_path / "GofMX_MC01_100716_121125.x.wav", raws, version, channels))
    assert (recording.time_source, recording.clock_problem, recording.recorder) == ("harp", "", "GofMX_MC01")
    assert (recording.start_utc, recording.n_frames) == (START.replace(tzinfo=UTC), 16_000)
    begins = [(piece.first_frame, piece.start_utc - START.replace(tzinfo=UTC)) for piece in recording.pieces]
    assert begins == [(0, timedelta(0)), (8000, MINUTE), (10_000, 2 * MINUTE)]
    assert recording.utc(10_500 / RATE_HZ) == START.replace(tzinfo=UTC) + 2 * MINUTE + timedelta(seconds=0.25)


seconds = st.integers(1, 5)
pauses_ms = st.one_of(st.integers(0, 3), st.integers(0, 10**7))


@given(parts=st.lists(st.tuples(seconds, pauses_ms), min_size=1, max_size=12), tick_ms=st.integers(0, 999))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_every_raw_file_is_where_the_clock_says_within_a_millisecond(
    tmp_path: Path, parts: list[tuple[int, int]], tick_ms: int
) -> None:
    raws, moment = [], START.replace(microsecond=1000 * tick_ms)
    for length, pause_ms in parts:
        raws.append(Raw(moment, length * RATE_HZ))
        moment += timedelta(seconds=length, milliseconds=pause_ms)
    recording = look(write_xwav(tmp_path / "x.x.wav", raws))
    assert (recording.time_source, recording.clock_problem) == ("harp", "")
    frame = 0
    for raw in raws:
        told = recording.utc(frame / RATE_HZ)
        assert told is not None
        assert abs(told - raw.start.replace(tzinfo=UTC)) <= timedelta(milliseconds=1)
        frame += raw.n_frames
    assert len(recording.pieces) != 1, "a clock that runs through has no pieces"
    jumps = sum(pause > 1 for _, pause in parts[:-1])
    assert len(recording.pieces) >= (jumps + 1 if jumps else 0)


def test_a_clock_that_runs_through_has_no_pieces(tmp_path: Path) -> None:
    raws = [Raw(START + timedelta(seconds=2 * i), 4000) for i in range(5)]
    assert look(write_xwav(tmp_path / "x.x.wav", raws)).pieces == ()


def test_a_drift_makes_a_piece_when_it_has_grown_to_more_than_a_millisecond(tmp_path: Path) -> None:
    raws = [Raw(START + i * timedelta(seconds=2, milliseconds=1), 4000) for i in range(5)]
    pieces = look(write_xwav(tmp_path / "x.x.wav", raws)).pieces
    assert [piece.first_frame for piece in pieces] == [0, 8000, 16_000]


@pytest.mark.parametrize(
    ("raws", "options", "words"),
    [
        ([], {"n_frames": 4000}, "lists no raw files"),
        ([Raw(START, 4000), Raw(START + MINUTE, 4000)], {"cut": 20}, "bytes where 2 raw files need"),
        ([Raw(START, 4000)], {"cut": 86}, "bytes where 0 raw files need"),
        ([Raw(START, 4000)], {"cut": 88}, "version missing"),
        ([Raw(START, 4000)], {"version": 7}, "version 7"),
        ([Raw(START, 4000)], {"n_frames": 3000}, "ends at byte"),
        ([Raw(START, 4000), Raw(START + MINUTE, 0), Raw(START + 2 * MINUTE, 100)], {}, "raw file 2 has 0 bytes"),
        ([Raw(START, 4000), Raw(START + MINUTE, 4000, 500)], {}, "raw file 2 begins at byte"),
        ([Raw(START, 4000), Raw(START + MINUTE, 4000, -8000)], {}, "raw file 2 begins at byte"),
        ([Raw(START, 4000, 2)], {}, "raw file 1 begins at byte"),
        ([Raw(START, 4000), Raw(START - MINUTE, 4000)], {}, "not after the one before"),
        ([Raw(START, 4000), Raw(START, 4000)], {}, "not after the one before"),
        ([Raw(START, 4000, month=13)], {}, "no valid time"),
        ([Raw(START, 4000, rate_hz=200_000)], {}, "200000 Hz, the file at 2000 Hz"),
        ([Raw(datetime(1970, 1, 1), 4000)], {}, "1970"),
    ],
)
def test_chunks_that_are_not_used_are_named_and_the_name_counts(
    tmp_path: Path, raws: list[Raw], options: dict[str, Any], words: str
) -> None:
    recording = look(write_xwav(tmp_path / "MC01_100716_121125.x.wav", raws, **options), "UTC")
    assert (recording.start_utc, recording.time_source) == (utc("2010-07-16T12:11:25"), "name-timezone")
    assert words in recording.clock_problem
    assert recording.pieces == ()


def test_an_xwav_cut_short_keeps_the_pieces_that_are_there(tmp_path: Path) -> None:
    path = write_xwav(tmp_path / "x.x.wav", [Raw(START + i * MINUTE, 4000) for i in range(4)])
    path.write_bytes(path.read_bytes()[: -2 * 6000])
    recording = look(path)
    assert "cut short" in recording.problem
    assert recording.clock_problem == ""
    assert [piece.first_frame for piece in recording.pieces] == [0, 4000, 8000]
    path.write_bytes(path.read_bytes()[: -2 * 2000])
    assert [piece.first_frame for piece in look(path).pieces] == [0, 4000]


def test_clocks_of_1970_are_unset_wherever_they_stand(tmp_path: Path) -> None:
    path = write_xwav(tmp_path / "x.x.wav", [Raw(datetime(1970, 1, 1, 0, 0, 5), 4000)])
    assert (look(path).start_utc, look(path).time_source) == (None, "clock-unset")
    path = write_sound(tmp_path / "y.wav", NOISE, RATE_HZ)
    write_log(path, handler(5, **start_facts("1970-01-01T00:00:05")))
    assert (look(path).start_utc, look(path).time_source) == (None, "clock-unset")


def test_a_log_goes_before_a_chunk_and_a_contradiction_between_them_is_named(tmp_path: Path) -> None:
    path = write_xwav(tmp_path / "x.x.wav", [Raw(START, 4000), Raw(START + MINUTE, 4000)])
    write_log(path, handler(5, **start_facts(f"{START:%Y-%m-%dT%H:%M:%S}", 8000)))
    assert (look(path).time_source, look(path).clock_problem) == ("soundtrap-xml", "")
    write_log(path, handler(5, **start_facts("2010-07-16T12:00:00", 8000)))
    assert look(path).start_utc == utc("2010-07-16T12:00:00.25")
    assert "harp chunk says 2010-07-16T12:11:25Z" in look(path).clock_problem
    assert [piece.start_utc for piece in look(path).pieces] == [
        utc("2010-07-16T12:00:00.25"),
        utc("2010-07-16T12:01:00.25"),
    ], "the clock jumps within the file whoever is believed"


# --- AudioMoth -------------------------------------------------------------------------------------------------------


def write_audiomoth(path: Path, comment: str, before: bytes = b"") -> Path:
    text = comment.encode().ljust(384, b"\0")
    artist = b"AudioMoth 24F319055FDF4A5B".ljust(32, b"\0")
    info = (
        b"INFO" + before + b"ICMT" + struct.pack("<I", len(text)) + text + b"IART" + struct.pack("<I", len(artist)) + artist
    )
    data = (NOISE * 32767).astype("<i2").tobytes()
    fmt = struct.pack("<HHIIHH", 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
    chunks = b"".join(
        name + struct.pack("<I", len(body)) + body for name, body in ((b"fmt ", fmt), (b"LIST", info), (b"data", data))
    )
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    return path


@pytest.mark.parametrize(
    ("zone", "moment"),
    [
        ("UTC", "2020-02-29T23:59:58"),
        ("UTC-5", "2020-03-01T04:59:58"),
        ("UTC+10", "2020-02-29T13:59:58"),
        ("UTC+5:30", "2020-02-29T18:29:58"),
        ("UTC-0:30", "2020-03-01T00:29:58"),
    ],
)
def test_the_comment_of_an_audiomoth_tells_the_zone_of_its_name(tmp_path: Path, zone: str, moment: str) -> None:
    comment = (
        f"Recorded at 23:59:58 29/02/2020 ({zone}) by AudioMoth 24F319055FDF4A5B at medium gain while battery was 4.2V."
    )
    path = write_audiomoth(tmp_path / "20200229_235958.WAV", comment, b"INAM" + struct.pack("<I", 3) + b"abc\0")
    recording = look(path, "Asia/Tokyo")
    assert (recording.start_utc, recording.time_source) == (utc(moment), "audiomoth-comment")
    assert (recording.clock_problem, recording.start_local) == ("", datetime(2020, 2, 29, 23, 59, 58))


def test_the_comment_helps_names_in_hex_that_are_all_digits(tmp_path: Path) -> None:
    moment = datetime.fromtimestamp(0x59123456, UTC)
    comment = f"Recorded at {moment:%H:%M:%S %d/%m/%Y} (UTC) by AudioMoth 24F319055FDF4A5B at gain setting 2"
    path = write_audiomoth(tmp_path / "59123456.WAV", comment)
    assert (look(path).start_utc, look(path).time_source) == (moment, "audiomoth-comment")


@pytest.mark.parametrize(
    "comment",
    [
        "",
        "Recorded at 23:59:58 29/02/2020 by AudioMoth 1 at gain",
        "Recorded at 23:59:58 30/02/2020 (UTC) by AudioMoth",
        "whales",
    ],
)
def test_comments_that_tell_no_time(tmp_path: Path, comment: str) -> None:
    path = write_audiomoth(tmp_path / "20200229_235958.WAV", comment)
    assert look(path).time_source == "name-without-zone"


# --- headers ---------------------------------------------------------------------------------------------------------


@given(cut=st.integers(0, 200), flip=st.integers(0, 200), value=st.integers(0, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
def test_a_damaged_header_is_read_or_refused_but_never_breaks_a_survey(
    tmp_path: Path, cut: int, flip: int, value: int
) -> None:
    path = write_xwav(tmp_path / "MC01_100716_121125.x.wav", [Raw(START + i * MINUTE, 4000) for i in range(3)])
    content = bytearray(path.read_bytes())
    content[flip] = value
    path.write_bytes(bytes(content[: len(content) - 100 * cut]))
    try:
        recording = look(path)
    except RecordingError:
        return
    if recording.pieces:
        assert recording.pieces[0] == Piece(0, recording.start_utc or START)
        assert recording.pieces[-1].first_frame < recording.n_frames


@pytest.mark.parametrize(("suffix", "encoding"), [("wav", "WAV PCM_16"), ("flac", "FLAC PCM_16"), ("aiff", "AIFF PCM_16")])
def test_headers_are_read_without_the_sound_behind_them(
    tmp_path: Path, suffix: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A survey of 100,000 recordings is planned in minutes only if each costs a few thousand bytes."""
    path = write_sound(tmp_path / f"x_20190101T000000Z.{suffix}", np.tile(NOISE, 20), RATE_HZ, subtype="PCM_16")
    counts: list[int] = []
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode="r": _Counted(opened(self, mode), counts))
    recording = look(path)
    assert (recording.encoding, recording.time_source) == (encoding, "name")
    assert recording.size_bytes > 400_000
    assert 0 < sum(counts) < 20_000


class _Counted:
    """A file that writes down how much of it was read."""

    def __init__(self, file: IO[Any], counts: list[int]) -> None:
        self._file, self._counts = file, counts

    def __enter__(self) -> _Counted:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def read(self, n: int = -1) -> bytes:
        content: bytes = self._file.read(n)
        self._counts.append(len(content))
        return content


def test_examining_a_file_that_is_no_sound() -> None:
    assert headers.examine(io.BytesIO(b""), 0) is None
    assert headers.examine(io.BytesIO(b"RIFF\0\0\0\0WAVELIST\xff\xff\xff\xffINFOICMT\xff\xff\xff\xffabc"), 31) is None
