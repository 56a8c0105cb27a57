"""Start times by file names and by comments of AudioMoths."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.builders import read_recording, utc
from whalescan import UsageError
from whalescan.audio.start_times import ClockOptions, parse_timezone, start_time_from_name

RATE_HZ = 2000
NOISE = (0.1 * np.random.default_rng(5).standard_normal(20_000)).astype(np.float32)

AWARE = {
    "AMAR": ("AMAR123.{:%Y%m%dT%H%M%S}Z.wav", "AMAR123", ".<yyyy><ll><dd>T<hh><MM><ss>Z."),
    "AMAR with a channel": ("AMAR173.4.{:%Y%m%dT%H%M%S}Z.wav", "AMAR173.4", ".<yyyy><ll><dd>T<hh><MM><ss>Z."),
    "SBF": ("SBF1234_{:%Y%m%dT%H%M%S}.000Z.wav", "SBF1234", "_<yyyy><ll><dd>T<hh><MM><ss>."),
    "SanctSound": (
        "SanctSound_SB01_01_671879204_{:%Y%m%dT%H%M%S}Z.wav",
        "SanctSound_SB01_01_671879204",
        "_<yyyy><ll><dd>T<hh><MM><ss>Z.",
    ),
}
NAIVE = {
    "old AMAR": ("x.{:%Y-%m-%d-%H-%M-%S}.wav", "x", ".<yyyy>-<ll>-<dd>-<hh>-<MM>-<ss>."),
    "SoundTrap": ("5678.{:%y%m%d%H%M%S}.wav", "5678", ".<yy><ll><dd><hh><MM><ss>."),
    "SoundTrap whose number is as long as a time": ("671879204123.{:%y%m%d%H%M%S}.wav", "671879204123", ".<yy>"),
    "SoundTrap, NOAA": ("x.{:%Y%m%d%H%M%S}.wav", "x", ".<yyyy><ll><dd><hh><MM><ss>."),
    "AutoBuoy": ("NOPP6_{:%Y%m%d_%H%M%S}_CH10.aif", "NOPP6", "_<yyyy><ll><dd>_<hh><MM><ss>_"),
    "Song Meter": ("PREFIX_{:%Y%m%d_%H%M%S}.wav", "PREFIX", "_<yyyy><ll><dd>_<hh><MM><ss>."),
    "Song Meter 3": ("PREFIX_0+1_{:%Y%m%d_%H%M%S}.wav", "PREFIX_0+1", "_<yyyy><ll><dd>_<hh><MM><ss>."),
    "Song Meter with GPS": ("PREFIX_{:%Y%m%d$%H%M%S}.wav", "PREFIX", "_<yyyy><ll><dd>$<hh><MM><ss>."),
    "HARP": ("GofMX_MC01_{:%y%m%d_%H%M%S}.x.wav", "GofMX_MC01", "_<yy><ll><dd>_<hh><MM><ss>."),
    "HARP with a serial number": ("MC01_121212_{:%y%m%d_%H%M%S}.x.wav", "MC01_121212", "_<yy><ll><dd>_<hh><MM><ss>."),
    "PAMGuard without parts": ("PAM_{:%Y%m%d_%H%M%S}.wav", "PAM", "_<yyyy><ll><dd>_<hh><MM><ss>."),
    "AudioMoth": ("{:%Y%m%d_%H%M%S}.WAV", "", "<yyyy><ll><dd>_<hh><MM><ss>."),
    "Loggerhead": ("{:%Y%m%dT%H%M%S}_1234567_2.0dB_2.3V_ver1.wav", "", "<yyyy><ll><dd>T<hh><MM><ss>_"),
    "NRS": ("NRS11_{:%Y%m%d_%H%M%S}.flac", "NRS11", "_<yyyy><ll><dd>_<hh><MM><ss>."),
    "PMEL": ("x-{:%y%m%d-%H%M%S}.wav", "x", "-<yy><ll><dd>-<hh><MM><ss>."),
    "RTSys": ("channelA_{:%Y-%m-%d_%H-%M-%S}.wav", "channelA", "_<yyyy>-<ll>-<dd>_<hh>-<MM>-<ss>."),
}
FRACTIONS = {
    "icListen": ("icListen_{:%Y%m%dT%H%M%S}.{ms:03d}Z.wav", 3, "_<yyyy><ll><dd>T<hh><MM><ss>."),
    "PAMGuard": ("PAM_{:%Y%m%d_%H%M%S}_{ms:03d}.wav", 3, "_<yyyy><ll><dd>_<hh><MM><ss>_"),
    "DMON": ("x_{:%Y%m%d%H%M%S}_{us:06d}.wav", 6, "_<yyyy><ll><dd><hh><MM><ss>_"),
    "OOI": ("OO-HYEA2--YDH-{:%Y-%m-%dT%H%M%S}.{us:06d}.flac", 6, "-<yyyy>-<ll>-<dd>T<hh><MM><ss>."),
}

moments = st.datetimes(datetime(1971, 1, 1), datetime(2069, 12, 31, 23, 59, 59, 999_999))


@pytest.mark.parametrize("convention", AWARE)
@given(moment=moments)
@example(moment=datetime(2020, 2, 29, 23, 59, 59))
@example(moment=datetime(2019, 1, 1, 12, 0, 0))
def test_names_with_a_zone(convention: str, moment: datetime) -> None:
    pattern, recorder, template = AWARE[convention]
    start = start_time_from_name(pattern.format(moment), ClockOptions("America/New_York"))
    assert start.utc == moment.replace(microsecond=0, tzinfo=UTC)
    assert (start.source, start.recorder, start.raven_template) == ("name", recorder, template)
    assert start.local == moment.replace(microsecond=0)


@pytest.mark.slow
@pytest.mark.parametrize("convention", NAIVE)
@given(moment=moments)
@example(moment=datetime(2020, 2, 29, 23, 59, 59))
@example(moment=datetime(2019, 12, 31, 23, 59, 59))
def test_names_without_a_zone_need_a_timezone(convention: str, moment: datetime) -> None:
    pattern, recorder, template = NAIVE[convention]
    name, moment = pattern.format(moment), moment.replace(microsecond=0)
    start = start_time_from_name(name)
    assert (start.utc, start.source, start.local) == (None, "name-without-zone", moment)
    assert (start.recorder, start.problem) == (recorder, "")
    assert start.raven_template.startswith(template)
    start = start_time_from_name(name, ClockOptions("UTC-5"))
    assert (start.utc, start.source) == ((moment + timedelta(hours=5)).replace(tzinfo=UTC), "name-timezone")


@pytest.mark.parametrize("convention", FRACTIONS)
@given(moment=moments)
def test_fractions_of_a_second_are_not_in_the_raven_template(convention: str, moment: datetime) -> None:
    pattern, digits, template = FRACTIONS[convention]
    name = pattern.format(moment, ms=moment.microsecond // 1000, us=moment.microsecond)
    unit = 10 ** (6 - digits)
    start = start_time_from_name(name, ClockOptions("UTC"))
    assert start.utc == moment.replace(microsecond=moment.microsecond // unit * unit, tzinfo=UTC)
    assert start.raven_template == template


@given(moment=st.datetimes(datetime(2010, 1, 1), datetime(2040, 12, 31)))
def test_hexadecimal_unix_time_of_early_audiomoths(moment: datetime) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    stem = f"{int(moment.timestamp()):08X}"
    assume(not stem.isdecimal())
    for name in (f"{stem}.WAV", f"{stem.lower()}.wav"):
        start = start_time_from_name(name)
        assert (start.utc, start.source, start.raven_template) == (moment, "name", "")


@pytest.mark.parametrize(
    "name", ["59123456.wav", "DEADBEEF.wav", "5EC5A158_1.wav", "5EC5A15.wav", "x5EC5A158.wav", "00000ABC.WAV"]
)
def test_names_that_are_not_unix_time(name: str) -> None:
    """Only decimal digits (a serial number), a year beyond 2040, and stems that are not eight digits."""
    assert start_time_from_name(name, ClockOptions("UTC")).source == "none"


@pytest.mark.parametrize(
    ("name", "moment", "source"),
    [
        ("NOPP6_EST_20090328_000000.aif", "2009-03-28T05:00:00", "name-zone"),
        ("NOPP6_EST_20090728_000000_CH10.wav", "2009-07-28T05:00:00", "name-zone"),  # EST is UTC-5 in summer, too
        ("79296_Brunswick03_002K_M06_UTCm5_20170115_153000.aif", "2017-01-15T20:30:00", "name-zone"),
        ("x_UTC_20170115_153000.aif", "2017-01-15T15:30:00", "name-zone"),
        ("x_UTCp9_20170101_033000.aif", "2016-12-31T18:30:00", "name-zone"),
        ("x_EST_20191231_190000.wav", "2020-01-01T00:00:00", "name-zone"),  # another year in UTC
        ("x_EST_20200228_190000.wav", "2020-02-29T00:00:00", "name-zone"),  # a leap year
        ("x_20190101_120000-0500.wav", "2019-01-01T17:00:00", "name"),
        ("x_20190101T120000+0530.wav", "2019-01-01T06:30:00", "name"),
        ("x_20190101T120000+0000.wav", "2019-01-01T12:00:00", "name"),
        ("x_EST_20190101T120000Z.wav", "2019-01-01T12:00:00", "name"),  # the zone at the time has precedence over a token
    ],
)
def test_zone_in_a_name_has_precedence_over_timezone(name: str, moment: str, source: str) -> None:
    for options in (ClockOptions(), ClockOptions("Asia/Tokyo")):
        start = start_time_from_name(name, options)
        assert (start.utc, start.source) == (utc(moment), source)


offsets = st.tuples(st.sampled_from("+-"), st.integers(0, 13), st.sampled_from([0, 30, 45]))


@given(moment=moments, offset=offsets)
@example(moment=datetime(2019, 12, 31, 23, 59, 59), offset=("+", 14, 0))
def test_offset_in_a_name_is_subtracted(moment: datetime, offset: tuple[str, int, int]) -> None:
    sign, hours, minutes = offset
    east = timedelta(hours=hours, minutes=minutes) * (1 if sign == "+" else -1)
    start = start_time_from_name(f"x_{moment:%Y%m%d_%H%M%S}{sign}{hours:02d}{minutes:02d}.wav", ClockOptions("Asia/Tokyo"))
    assert start.utc == moment.replace(microsecond=0, tzinfo=UTC) - east
    assert start.source == "name"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("hello.wav", "none"),
        ("x_20191301_000000Z.wav", "none"),  # month 13
        ("x_20190229_000000Z.wav", "none"),  # 29 February in 2019
        ("671879204.wav", "none"),
        ("671879204123.wav", "none"),
        ("20190101.wav", "none"),  # a date without a time
        ("19700101_000005Z.wav", "clock-unset"),
        ("5678.700101000005.wav", "clock-unset"),
        ("x_1970-01-01T00-00-05.wav", "clock-unset"),
    ],
)
def test_no_start_without_a_valid_time(name: str, source: str) -> None:
    start = start_time_from_name(name, ClockOptions("UTC"))
    assert (start.utc, start.source, start.local) == (None, source, None)


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("20180101_000000_backup_of_20190101_120000.wav", "2019-01-01T12:00:00"),
        ("x_20190101_101112_131415.wav", "2019-01-01T10:11:12"),  # the last six digits are a counter
        ("121212_190101_000000.wav", "2019-01-01T00:00:00"),  # the serial number could be a date
    ],
)
def test_last_time_in_a_name_is_used(name: str, moment: str) -> None:
    assert start_time_from_name(name, ClockOptions("UTC")).utc == utc(moment)


@given(text=st.text(st.sampled_from("0123456789_-.TZ$+ AEST"), max_size=40))
def test_any_name_gives_a_start_or_a_reason(text: str) -> None:
    start = start_time_from_name(text, ClockOptions("America/New_York"))
    assert (start.utc is None) == (start.source in ("none", "clock-unset", "name-without-zone"))
    start_time_from_name(text, ClockOptions("UTC", "%Y%m%d_%H%M%S"))


@pytest.mark.parametrize("name", ["x_UTC-30_20190101_000000.wav", "x_20190101_000000-1430.wav", "x_XYZ_20190101_000000.wav"])
def test_impossible_offset_is_not_a_zone(name: str) -> None:
    assert start_time_from_name(name).source == "name-without-zone"


def test_timezone_follows_daylight_saving_time() -> None:
    zone = ClockOptions("America/New_York")
    assert start_time_from_name("x_20190101_000000.wav", zone).utc == utc("2019-01-01T05:00:00")
    assert start_time_from_name("x_20190701_000000.wav", zone).utc == utc("2019-07-01T04:00:00")
    assert start_time_from_name("x_20190701_000000.wav", ClockOptions("UTC-5")).utc == utc("2019-07-01T05:00:00")


def test_local_time_that_does_not_exist_is_standard_time() -> None:
    start = start_time_from_name("x_20190310_023000.wav", ClockOptions("America/New_York"))
    assert start.utc == utc("2019-03-10T07:30:00"), "as in standard time"
    assert "UTC-5" in start.problem
    assert start_time_from_name("x_20190310_023000.wav", ClockOptions("America/St_Johns")).problem != ""
    assert "UTC-3:30" in start_time_from_name("x_20190310_023000.wav", ClockOptions("America/St_Johns")).problem
    assert start_time_from_name("x_20190310_023000.wav", ClockOptions("UTC-5")).problem == ""


def test_local_time_that_occurs_twice_is_the_earlier_one() -> None:
    start = start_time_from_name("x_20191103_013000.wav", ClockOptions("America/New_York"))
    assert start.utc == utc("2019-11-03T05:30:00")
    assert "UTC-5" in start.problem


@pytest.mark.parametrize("hour", ["20190310_015959", "20190310_030000", "20191103_005959", "20191103_020000"])
def test_local_times_beside_a_clock_change_are_unambiguous(hour: str) -> None:
    assert start_time_from_name(f"x_{hour}.wav", ClockOptions("America/New_York")).problem == ""


@given(moment=moments)
@example(moment=datetime(2020, 2, 29, 12, 0, 0))
def test_time_format(moment: datetime) -> None:
    """uAural puts the time before the date, unlike all known conventions."""
    moment = moment.replace(microsecond=0)
    clock = ClockOptions("UTC", "%H%M%S_%Y%m%d")
    start = start_time_from_name(f"buoy_{moment:%H%M%S_%Y%m%d}.wav", clock)
    assert (start.utc, start.source, start.recorder) == (moment.replace(tzinfo=UTC), "format", "buoy")
    assert start.raven_template == "_<hh><MM><ss>_<yyyy><ll><dd>."


@pytest.mark.parametrize(
    ("time_format", "name", "moment"),
    [
        ("%d.%m.%Y %H-%M-%S", "Boje 1.2.2019 3-04-05.wav", "2019-02-01T03:04:05"),
        ("%Y%j%H%M%S", "x2019365235959.wav", "2019-12-31T23:59:59"),
        ("%y%m%d%H%M", "1234567.1901011230.wav", "2019-01-01T12:30:00"),
        ("%d%b%Y_%H%M", "x_01FEB2019_1230_a.wav", "2019-02-01T12:30:00"),
        ("%Y%m%d_%I%M%S%p", "x_20190101_123000am.wav", "2019-01-01T00:30:00"),
        ("%Y%m%d_%H%M%S", "x_20190101_1234567.wav", "2019-01-01T12:34:56"),  # followed by a counter
        ("%Y%m%d_%H%M%S", "20180101_000000_20190101_123456_99.wav", "2019-01-01T12:34:56"),
        ("%y%m%d", "190101_2012319.wav", "2019-01-01T00:00:00"),  # a separate number has precedence over part of one
        ("day%j%%_%Y", "day032%_2019.wav", "2019-02-01T00:00:00"),
        ("%Y%m%dT%H%M%S%z", "x_20190101T000000+0100.wav", "2018-12-31T23:00:00"),
    ],
)
def test_time_format_is_searched_in_the_name(time_format: str, name: str, moment: str) -> None:
    start = start_time_from_name(name, ClockOptions("UTC", time_format))
    assert (start.utc, start.source) == (utc(moment), "format")


def test_conventions_are_used_where_the_time_format_does_not_match() -> None:
    clock = ClockOptions("UTC", "%H%M%S_%Y%m%d")
    assert start_time_from_name("x_20190101T000000Z.wav", clock).source == "name"
    assert start_time_from_name("buoy.wav", clock).source == "none"


def test_raven_template_of_a_time_format() -> None:
    assert (
        start_time_from_name("x_20190101_000000.123.wav", ClockOptions("", "%Y%m%d_%H%M%S.%f")).raven_template
        == "_<yyyy><ll><dd>_<hh><MM><ss>."
    )
    assert start_time_from_name("x_01FEB2019_123000.wav", ClockOptions("", "%d%b%Y_%H%M%S")).raven_template == ""
    assert start_time_from_name("x_20190101.wav", ClockOptions("", "%Y%m%d")).raven_template == ""


def test_time_format_that_does_not_match_is_reported() -> None:
    start = start_time_from_name("x_20190101T000000Z.wav", ClockOptions("", "%d%m%Y-%H%M"))
    assert start.utc == utc("2019-01-01T00:00:00")
    assert "%d%m%Y-%H%M" in start.problem


def test_time_format_does_not_match_inside_other_numbers() -> None:
    assert start_time_from_name("5678.20190110T000000Z.wav", ClockOptions("UTC", "%y%m%d%H%M%S")).source == "name"


@pytest.mark.parametrize("text", ["%Q", "%H%M%S", "hello", "%Y%m%d%"])
def test_time_format_without_a_date_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="time_format") as error:
        ClockOptions("UTC", text)
    assert error.value.parameter == "time_format"


@pytest.mark.parametrize("zone", ["Mars/Olympus", "UTC-15", "../etc/passwd", "/etc/localtime", "EST5"])
def test_unknown_timezone_is_refused(zone: str) -> None:
    with pytest.raises(UsageError) as error:
        ClockOptions(zone)
    assert error.value.parameter == "timezone"


@pytest.mark.parametrize(
    ("text", "hours"), [("UTC", 0), ("Z", 0), ("UTC-5", -5), ("UTC-0500", -5), ("-05:00", -5), ("UTC+5:30", 5.5)]
)
def test_parse_timezone(text: str, hours: float) -> None:
    assert datetime(2019, 7, 1, tzinfo=parse_timezone(text)).utcoffset() == timedelta(hours=hours)


# --- AudioMoth comments


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
def test_audiomoth_comment_states_the_zone(tmp_path: Path, zone: str, moment: str) -> None:
    comment = (
        f"Recorded at 23:59:58 29/02/2020 ({zone}) by AudioMoth 24F319055FDF4A5B at medium gain while battery was 4.2V."
    )
    path = write_audiomoth(tmp_path / "20200229_235958.WAV", comment, b"INAM" + struct.pack("<I", 3) + b"abc\0")
    recording = read_recording(path, "Asia/Tokyo")
    assert (recording.start_utc, recording.time_source) == (utc(moment), "audiomoth-comment")
    assert (recording.clock_problem, recording.start_local) == ("", datetime(2020, 2, 29, 23, 59, 58))


def test_audiomoth_comment_for_a_name_of_decimal_digits(tmp_path: Path) -> None:
    moment = datetime.fromtimestamp(0x59123456, UTC)
    comment = f"Recorded at {moment:%H:%M:%S %d/%m/%Y} (UTC) by AudioMoth 24F319055FDF4A5B at gain setting 2"
    path = write_audiomoth(tmp_path / "59123456.WAV", comment)
    assert (read_recording(path).start_utc, read_recording(path).time_source) == (moment, "audiomoth-comment")


@pytest.mark.parametrize(
    "comment",
    [
        "",
        "Recorded at 23:59:58 29/02/2020 by AudioMoth 1 at gain",
        "Recorded at 23:59:58 30/02/2020 (UTC) by AudioMoth",
        "whales",
    ],
)
def test_comments_without_a_time(tmp_path: Path, comment: str) -> None:
    path = write_audiomoth(tmp_path / "20200229_235958.WAV", comment)
    assert read_recording(path).time_source == "name-without-zone"
