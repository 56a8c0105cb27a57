from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from whalescan import UsageError
from whalescan.audio.start_times import ClockOptions, parse_zone, start_time


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


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
PARTS = {
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
def test_names_that_state_their_zone_are_read_back(convention: str, moment: datetime) -> None:
    pattern, recorder, template = AWARE[convention]
    start = start_time(pattern.format(moment), ClockOptions("America/New_York"))
    assert start.utc == moment.replace(microsecond=0, tzinfo=UTC)
    assert (start.source, start.recorder, start.template) == ("name", recorder, template)
    assert start.local == moment.replace(microsecond=0)


@pytest.mark.parametrize("convention", NAIVE)
@given(moment=moments)
@example(moment=datetime(2020, 2, 29, 23, 59, 59))
@example(moment=datetime(2019, 12, 31, 23, 59, 59))
def test_names_without_a_zone_are_read_back_and_need_one(convention: str, moment: datetime) -> None:
    pattern, recorder, template = NAIVE[convention]
    name, moment = pattern.format(moment), moment.replace(microsecond=0)
    start = start_time(name)
    assert (start.utc, start.source, start.local) == (None, "name-without-zone", moment)
    assert (start.recorder, start.problem) == (recorder, "")
    assert start.template.startswith(template)
    start = start_time(name, ClockOptions("UTC-5"))
    assert (start.utc, start.source) == ((moment + timedelta(hours=5)).replace(tzinfo=UTC), "name-timezone")


@pytest.mark.parametrize("convention", PARTS)
@given(moment=moments)
def test_parts_of_a_second_are_read_but_not_by_raven(convention: str, moment: datetime) -> None:
    pattern, digits, template = PARTS[convention]
    name = pattern.format(moment, ms=moment.microsecond // 1000, us=moment.microsecond)
    unit = 10 ** (6 - digits)
    start = start_time(name, ClockOptions("UTC"))
    assert start.utc == moment.replace(microsecond=moment.microsecond // unit * unit, tzinfo=UTC)
    assert start.template == template


@given(moment=st.datetimes(datetime(2010, 1, 1), datetime(2040, 12, 31)))
def test_audiomoths_once_named_files_by_unix_time(moment: datetime) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    stem = f"{int(moment.timestamp()):08X}"
    assume(not stem.isdecimal())
    for name in (f"{stem}.WAV", f"{stem.lower()}.wav"):
        start = start_time(name)
        assert (start.utc, start.source, start.template) == (moment, "name", "")


@pytest.mark.parametrize(
    "name", ["59123456.wav", "DEADBEEF.wav", "5EC5A158_1.wav", "5EC5A15.wav", "x5EC5A158.wav", "00000ABC.WAV"]
)
def test_what_looks_like_unix_time_but_is_none(name: str) -> None:
    """Only digits may be a serial number, 2088 has not come yet, and a part of a name is no whole one."""
    assert start_time(name, ClockOptions("UTC")).source == "none"


@pytest.mark.parametrize(
    ("name", "moment", "source"),
    [
        ("NOPP6_EST_20090328_000000.aif", "2009-03-28T05:00:00", "name-zone"),
        ("NOPP6_EST_20090728_000000_CH10.wav", "2009-07-28T05:00:00", "name-zone"),  # EST is UTC-5 in summer too
        ("79296_Brunswick03_002K_M06_UTCm5_20170115_153000.aif", "2017-01-15T20:30:00", "name-zone"),
        ("x_UTC_20170115_153000.aif", "2017-01-15T15:30:00", "name-zone"),
        ("x_UTCp9_20170101_033000.aif", "2016-12-31T18:30:00", "name-zone"),
        ("x_EST_20191231_190000.wav", "2020-01-01T00:00:00", "name-zone"),  # the year ends earlier in UTC
        ("x_EST_20200228_190000.wav", "2020-02-29T00:00:00", "name-zone"),  # and this year has such a day
        ("x_20190101_120000-0500.wav", "2019-01-01T17:00:00", "name"),
        ("x_20190101T120000+0530.wav", "2019-01-01T06:30:00", "name"),
        ("x_20190101T120000+0000.wav", "2019-01-01T12:00:00", "name"),
        ("x_EST_20190101T120000Z.wav", "2019-01-01T12:00:00", "name"),  # what stands at the time goes before a token
    ],
)
def test_zones_in_names(name: str, moment: str, source: str) -> None:
    for options in (ClockOptions(), ClockOptions("Asia/Tokyo")):
        start = start_time(name, options)
        assert (start.utc, start.source) == (utc(moment), source)


offsets = st.tuples(st.sampled_from("+-"), st.integers(0, 13), st.sampled_from([0, 30, 45]))


@given(moment=moments, offset=offsets)
@example(moment=datetime(2019, 12, 31, 23, 59, 59), offset=("+", 14, 0))
def test_every_offset_that_a_name_states_is_taken_off(moment: datetime, offset: tuple[str, int, int]) -> None:
    sign, hours, minutes = offset
    east = timedelta(hours=hours, minutes=minutes) * (1 if sign == "+" else -1)
    start = start_time(f"x_{moment:%Y%m%d_%H%M%S}{sign}{hours:02d}{minutes:02d}.wav", ClockOptions("Asia/Tokyo"))
    assert start.utc == moment.replace(microsecond=0, tzinfo=UTC) - east
    assert start.source == "name"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("hello.wav", "none"),
        ("x_20191301_000000Z.wav", "none"),  # there is no month 13
        ("x_20190229_000000Z.wav", "none"),  # nor a 29 February in 2019
        ("671879204.wav", "none"),
        ("671879204123.wav", "none"),
        ("20190101.wav", "none"),  # a day is no time
        ("19700101_000005Z.wav", "clock-unset"),
        ("5678.700101000005.wav", "clock-unset"),
        ("x_1970-01-01T00-00-05.wav", "clock-unset"),
    ],
)
def test_no_guess_where_nothing_is_known(name: str, source: str) -> None:
    start = start_time(name, ClockOptions("UTC"))
    assert (start.utc, start.source, start.local) == (None, source, None)


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("20180101_000000_backup_of_20190101_120000.wav", "2019-01-01T12:00:00"),
        ("x_20190101_101112_131415.wav", "2019-01-01T10:11:12"),  # six more digits are a counter, not a shorter time
        ("121212_190101_000000.wav", "2019-01-01T00:00:00"),  # the serial number is a date, too
    ],
)
def test_the_last_time_in_a_name_counts(name: str, moment: str) -> None:
    assert start_time(name, ClockOptions("UTC")).utc == utc(moment)


@given(text=st.text(st.sampled_from("0123456789_-.TZ$+ AEST"), max_size=40))
def test_no_name_is_too_strange(text: str) -> None:
    start = start_time(text, ClockOptions("America/New_York"))
    assert (start.utc is None) == (start.source in ("none", "clock-unset", "name-without-zone"))
    start_time(text, ClockOptions("UTC", "%Y%m%d_%H%M%S"))


@pytest.mark.parametrize("name", ["x_UTC-30_20190101_000000.wav", "x_20190101_000000-1430.wav", "x_XYZ_20190101_000000.wav"])
def test_an_offset_that_cannot_be_is_no_zone(name: str) -> None:
    assert start_time(name).source == "name-without-zone"


def test_zone_of_the_user_follows_daylight_saving() -> None:
    zone = ClockOptions("America/New_York")
    assert start_time("x_20190101_000000.wav", zone).utc == utc("2019-01-01T05:00:00")
    assert start_time("x_20190701_000000.wav", zone).utc == utc("2019-07-01T04:00:00")
    assert start_time("x_20190701_000000.wav", ClockOptions("UTC-5")).utc == utc("2019-07-01T05:00:00")


def test_a_time_that_does_not_exist_proves_that_the_recorder_keeps_standard_time() -> None:
    start = start_time("x_20190310_023000.wav", ClockOptions("America/New_York"))
    assert start.utc == utc("2019-03-10T07:30:00"), "as in standard time"
    assert "does not exist" in start.problem
    assert "--timezone UTC-5" in start.problem
    assert start_time("x_20190310_023000.wav", ClockOptions("America/St_Johns")).problem.endswith("standard time")
    assert "UTC-3:30" in start_time("x_20190310_023000.wav", ClockOptions("America/St_Johns")).problem
    assert start_time("x_20190310_023000.wav", ClockOptions("UTC-5")).problem == ""


def test_an_hour_that_is_there_twice_is_taken_for_the_earlier_and_named() -> None:
    start = start_time("x_20191103_013000.wav", ClockOptions("America/New_York"))
    assert start.utc == utc("2019-11-03T05:30:00")
    assert "twice" in start.problem
    assert "--timezone UTC-5" in start.problem


@pytest.mark.parametrize("hour", ["20190310_015959", "20190310_030000", "20191103_005959", "20191103_020000"])
def test_times_beside_a_change_are_no_problem(hour: str) -> None:
    assert start_time(f"x_{hour}.wav", ClockOptions("America/New_York")).problem == ""


@given(moment=moments)
@example(moment=datetime(2020, 2, 29, 12, 0, 0))
def test_format_of_the_user(moment: datetime) -> None:
    """uAural puts the time before the date, which no convention here does."""
    moment = moment.replace(microsecond=0)
    clock = ClockOptions("UTC", "%H%M%S_%Y%m%d")
    start = start_time(f"buoy_{moment:%H%M%S_%Y%m%d}.wav", clock)
    assert (start.utc, start.source, start.recorder) == (moment.replace(tzinfo=UTC), "format", "buoy")
    assert start.template == "_<hh><MM><ss>_<yyyy><ll><dd>."


@pytest.mark.parametrize(
    ("time_format", "name", "moment"),
    [
        ("%d.%m.%Y %H-%M-%S", "Boje 1.2.2019 3-04-05.wav", "2019-02-01T03:04:05"),
        ("%Y%j%H%M%S", "x2019365235959.wav", "2019-12-31T23:59:59"),
        ("%y%m%d%H%M", "1234567.1901011230.wav", "2019-01-01T12:30:00"),
        ("%d%b%Y_%H%M", "x_01FEB2019_1230_a.wav", "2019-02-01T12:30:00"),
        ("%Y%m%d_%I%M%S%p", "x_20190101_123000am.wav", "2019-01-01T00:30:00"),
        ("%Y%m%d_%H%M%S", "x_20190101_1234567.wav", "2019-01-01T12:34:56"),  # glued to a counter
        ("%Y%m%d_%H%M%S", "20180101_000000_20190101_123456_99.wav", "2019-01-01T12:34:56"),
        ("%y%m%d", "190101_2012319.wav", "2019-01-01T00:00:00"),  # a whole number rather than a part of one
        ("day%j%%_%Y", "day032%_2019.wav", "2019-02-01T00:00:00"),
        ("%Y%m%dT%H%M%S%z", "x_20190101T000000+0100.wav", "2018-12-31T23:00:00"),
    ],
)
def test_formats_are_searched_for(time_format: str, name: str, moment: str) -> None:
    start = start_time(name, ClockOptions("UTC", time_format))
    assert (start.utc, start.source) == (utc(moment), "format")


def test_where_the_format_does_not_match_the_name_is_read_as_without_it() -> None:
    clock = ClockOptions("UTC", "%H%M%S_%Y%m%d")
    assert start_time("x_20190101T000000Z.wav", clock).source == "name"
    assert start_time("buoy.wav", clock).source == "none"


def test_raven_reads_no_parts_of_a_second_and_no_names_of_months() -> None:
    assert (
        start_time("x_20190101_000000.123.wav", ClockOptions("", "%Y%m%d_%H%M%S.%f")).template
        == "_<yyyy><ll><dd>_<hh><MM><ss>."
    )
    assert start_time("x_01FEB2019_123000.wav", ClockOptions("", "%d%b%Y_%H%M%S")).template == ""
    assert start_time("x_20190101.wav", ClockOptions("", "%Y%m%d")).template == ""


def test_a_format_that_does_not_fit_is_named_and_the_name_is_read_as_it_is() -> None:
    start = start_time("x_20190101T000000Z.wav", ClockOptions("", "%d%m%Y-%H%M"))
    assert start.utc == utc("2019-01-01T00:00:00")
    assert "--time-format '%d%m%Y-%H%M' does not fit its name" in start.problem


def test_a_format_cuts_no_date_out_of_other_numbers() -> None:
    assert start_time("5678.20190110T000000Z.wav", ClockOptions("UTC", "%y%m%d%H%M%S")).source == "name"


@pytest.mark.parametrize("text", ["%Q", "%H%M%S", "hello", "%Y%m%d%"])
def test_a_format_without_a_date_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="time-format"):
        ClockOptions("UTC", text)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "UTC-15", "../etc/passwd", "/etc/localtime", "EST5"])
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(UsageError):
        ClockOptions(zone)


@pytest.mark.parametrize(
    ("text", "hours"), [("UTC", 0), ("Z", 0), ("UTC-5", -5), ("UTC-0500", -5), ("-05:00", -5), ("UTC+5:30", 5.5)]
)
def test_zones(text: str, hours: float) -> None:
    assert datetime(2019, 7, 1, tzinfo=parse_zone(text)).utcoffset() == timedelta(hours=hours)
