from __future__ import annotations

from datetime import UTC, datetime

import pytest

from whalescan import UsageError
from whalescan.sound.clocks import ClockOptions, start_time


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("AMAR123.20190101T000000Z.wav", "2019-01-01T00:00:00"),
        ("AMAR173.4.20190916T061248Z.wav", "2019-09-16T06:12:48"),
        ("SBF1234_20190101T000000.000Z.wav", "2019-01-01T00:00:00"),
        ("icListen_20140913T084017.774Z.wav", "2014-09-13T08:40:17.774"),
        ("SanctSound_SB01_01_671879204_20181101T150000Z.wav", "2018-11-01T15:00:00"),
        ("NOPP6_EST_20090328_000000.aif", "2009-03-28T05:00:00"),
        ("NOPP6_EST_20090728_000000_CH10.wav", "2009-07-28T05:00:00"),  # EST is UTC-5 in summer too
        ("79296_Brunswick03_002K_M06_UTCm5_20170115_153000.aif", "2017-01-15T20:30:00"),
        ("x_20190101_120000-0500.wav", "2019-01-01T17:00:00"),
    ],
)
def test_names_that_state_their_zone(name: str, moment: str) -> None:
    assert start_time(name).utc == utc(moment)


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("x.2014-09-13-08-40-17.wav", "2014-09-13T08:40:17"),
        ("5678.190101000000.wav", "2019-01-01T00:00:00"),
        ("x.20190101000000.wav", "2019-01-01T00:00:00"),
        ("PREFIX_20190101_120000.wav", "2019-01-01T12:00:00"),
        ("PREFIX_0+1_20190101_000000.wav", "2019-01-01T00:00:00"),
        ("PREFIX_20161023$195550.wav", "2016-10-23T19:55:50"),
        ("GofMX_MC01_100716_121125.x.wav", "2010-07-16T12:11:25"),
        ("PAM_20190101_000000_123.wav", "2019-01-01T00:00:00"),
        ("20190101_000000.WAV", "2019-01-01T00:00:00"),
        ("20190101T000000_1234567_2.0dB_2.3V_ver1.wav", "2019-01-01T00:00:00"),
        ("NRS11_20191024_222253.flac", "2019-10-24T22:22:53"),
        ("x-190101-000000.wav", "2019-01-01T00:00:00"),
        ("channelA_2021-10-11_13-11-09.wav", "2021-10-11T13:11:09"),
        ("OO-HYEA2--YDH-2015-12-16T023000.000000.flac", "2015-12-16T02:30:00"),
        ("20200229_235959.wav", "2020-02-29T23:59:59"),
    ],
)
def test_names_without_a_zone_need_one_from_the_user(name: str, moment: str) -> None:
    assert start_time(name).utc is None
    assert start_time(name).source == "name-without-zone"
    assert start_time(name, ClockOptions("UTC")).utc == utc(moment)


def test_noon_is_noon() -> None:
    """PAMGuard once read a 24-hour clock as a 12-hour one, and put noon at midnight."""
    assert start_time("x_20190101_120000Z.wav").utc == utc("2019-01-01T12:00:00")


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("hello.wav", "none"),
        ("x_20191301_000000Z.wav", "none"),  # there is no month 13
        ("x_20190229_000000Z.wav", "none"),  # nor a 29 February in 2019
        ("671879204.wav", "none"),
        ("19700101_000005Z.wav", "clock-unset"),
    ],
)
def test_no_guess_where_nothing_is_known(name: str, source: str) -> None:
    start = start_time(name, ClockOptions("UTC"))
    assert (start.utc, start.source) == (None, source)


def test_an_offset_that_cannot_be_is_no_zone() -> None:
    assert start_time("x_UTC-30_20190101_000000.wav").source == "name-without-zone"


def test_zone_of_the_user_follows_daylight_saving() -> None:
    zone = ClockOptions("America/New_York")
    assert start_time("x_20190101_000000.wav", zone).utc == utc("2019-01-01T05:00:00")
    assert start_time("x_20190701_000000.wav", zone).utc == utc("2019-07-01T04:00:00")
    assert start_time("x_20190701_000000.wav", ClockOptions("UTC-5")).utc == utc("2019-07-01T05:00:00")


def test_a_zone_in_the_name_wins_over_the_users() -> None:
    assert start_time("x_20190101T000000Z.wav", ClockOptions("UTC-5")).utc == utc("2019-01-01T00:00:00")


def test_format_of_the_user() -> None:
    clock = ClockOptions("UTC", "%H%M%S_%Y%m%d")
    assert start_time("buoy_123456_20190102.wav", clock).utc == utc("2019-01-02T12:34:56")
    assert start_time("buoy.wav", clock).utc is None


@pytest.mark.parametrize("text", ["%Q", "%H%M%S", "hello"])
def test_a_format_without_a_date_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="time-format"):
        ClockOptions("UTC", text)


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(UsageError, match="Mars"):
        ClockOptions("Mars/Olympus")
