"""When a recording began, as its name tells it.

Recorders write times in many ways (AMAR, SoundTrap, MARU, Song Meter, AudioMoth, icListen, HARP, PAMGuard, ...). The last
date-like group of a name counts, since serial numbers come first. A name that states its zone is trusted; one that does
not needs `--timezone`, because a local time that silently becomes UTC moves calls across midnight.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from whalescan.core import UsageError

_DATE = r"(?P<year>(?:19|20)\d\d)(?P<d>[-_]?)(?P<month>\d\d)(?P=d)(?P<day>\d\d)"
_SHORT_DATE = r"(?P<year>\d\d)(?P<month>\d\d)(?P<day>\d\d)"
_TIME = r"(?P<hour>\d\d)(?P<t>[-_:]?)(?P<minute>\d\d)(?P=t)(?P<second>\d\d)(?:[.](?P<fraction>\d{1,6}))?"
_BARE_TIME = r"(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)"
_ZONE = r"(?P<zone>Z|[+-](?:0\d|1[0-4])(?:00|30|45))?"
_PATTERNS = tuple(
    re.compile(rf"(?<!\d){pattern}(?!\d)")
    for pattern in (
        rf"{_DATE}[T_$ -]{_TIME}{_ZONE}",  # 20190101T000000Z, 20190101_000000, 2014-09-13-08-40-17, 2015-12-16T023000.000000
        rf"{_DATE.replace('(?P<d>[-_]?)', '(?P<d>)')}{_BARE_TIME}{_ZONE}",  # 20190101000000
        rf"{_SHORT_DATE}[-_]{_BARE_TIME}{_ZONE}",  # HARP 100716_121125
        rf"{_SHORT_DATE}{_BARE_TIME}{_ZONE}",  # SoundTrap 190101000000
    )
)
_FIXED_ZONES = {"UTC": 0, "GMT": 0, "EST": -5, "EDT": -4, "CST": -6, "MST": -7, "PST": -8, "PDT": -7, "AST": -4}
_ZONE_TOKEN = re.compile(r"(?<![A-Za-z])(?:UTC(?P<sign>[mp+-])(?P<hours>\d{1,2})|(?P<name>[A-Z]{3}))(?![A-Za-z0-9])")
_UNSET_YEAR = 1970
_LARGEST_OFFSET_H = 14


@dataclass(frozen=True, slots=True)
class ClockOptions:
    """What the user knows about the recorders' clocks.

    Attributes:
        timezone: zone of names that do not state one: an IANA name, ``UTC``, ``UTC-5``, or empty where it is not known.
        time_format: ``strptime`` format searched for in the file name; empty for the known conventions.
    """

    timezone: str = ""
    time_format: str = ""

    def __post_init__(self) -> None:
        if self.timezone:
            parse_zone(self.timezone)
        if self.time_format and not _states_a_date(self.time_format):
            raise UsageError(
                f"--time-format {self.time_format!r} has no year, month and day that strptime knows; try '%Y%m%d_%H%M%S'"
            )


@dataclass(frozen=True, slots=True)
class StartTime:
    """When a recording began, and how that is known.

    Attributes:
        utc: aware, in UTC; None where it is not known.
        source: ``name`` (it states its zone), ``name-zone`` (by a token such as EST), ``name-timezone`` (the user gave it),
            ``format`` (by the user's format), ``name-without-zone``, ``clock-unset`` or ``none``.
    """

    utc: datetime | None
    source: str


def start_time(name: str, options: ClockOptions | None = None) -> StartTime:
    """When the recording of this file name (without folders) began."""
    options = options or ClockOptions()
    local, stated = _search_format(name, options.time_format) if options.time_format else _search_patterns(name)
    if local is None:
        return StartTime(None, "none")
    if local.year == _UNSET_YEAR:
        return StartTime(None, "clock-unset")
    given = parse_zone(options.timezone) if options.timezone else None
    known = ((stated, "name"), (_zone_token(name), "name-zone"), (given, "name-timezone"))
    for zone, source in known:
        if zone is not None:
            return StartTime(local.replace(tzinfo=zone).astimezone(UTC), "format" if options.time_format else source)
    return StartTime(None, "name-without-zone")


def parse_zone(text: str) -> tzinfo:
    """An IANA name, ``UTC``, ``UTC-5``, ``UTC-0500`` or ``-05:00`` as a time zone."""
    offset = re.fullmatch(r"(?:UTC|GMT)?([+-])(\d{1,2}):?(\d\d)?", text.strip())
    if offset:
        return _fixed_zone(f"{offset[1]}{int(offset[2]):02d}{offset[3] or '00'}")
    try:
        return UTC if text.strip().upper() in ("Z", "UTC") else ZoneInfo(text.strip())
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(f"--timezone {text!r} is no time zone; use a name such as America/New_York, or UTC-5") from error


def _states_a_date(time_format: str) -> bool:
    """Whether a day in the past survives being written and read in a strptime format."""
    day = datetime(2011, 12, 13, 14, 15, 16, tzinfo=UTC)
    try:
        return datetime.strptime(day.strftime(time_format), time_format).date() == day.date()
    except ValueError:
        return False


def _search_patterns(name: str) -> tuple[datetime | None, tzinfo | None]:
    """The last date-like group of a name, and the zone that it states."""
    found = [(match, moment) for p in _PATTERNS for match in p.finditer(name) if (moment := _as_datetime(match))]
    if not found:
        return None, None
    match, moment = max(found, key=lambda pair: (pair[0].end(), -pair[0].start()))
    return moment, _fixed_zone(match["zone"]) if match["zone"] else None


def _search_format(name: str, time_format: str) -> tuple[datetime | None, tzinfo | None]:
    """The last and longest part of a name that fits a strptime format, and the zone that it states."""
    for end in range(len(name), 0, -1):
        for begin in range(end):
            try:
                moment = datetime.strptime(name[begin:end], time_format)
            except ValueError:
                continue
            return moment.replace(tzinfo=None), moment.tzinfo
    return None, None


def _as_datetime(match: re.Match[str]) -> datetime | None:
    fields = match.groupdict()
    year = int(fields["year"])
    try:
        return datetime(
            year if year > 99 else 2000 + year,
            int(fields["month"]),
            int(fields["day"]),
            int(fields["hour"]),
            int(fields["minute"]),
            int(fields["second"]),
            int((fields.get("fraction") or "0").ljust(6, "0")),
        )
    except ValueError:
        return None


def _fixed_zone(text: str) -> tzinfo:
    if text == "Z":
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[3:5])
    if minutes > _LARGEST_OFFSET_H * 60:
        raise UsageError(f"{text} is no offset from UTC; the largest is {_LARGEST_OFFSET_H} hours")
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _zone_token(name: str) -> tzinfo | None:
    """``EST`` (UTC-5 all year), ``UTC``, ``UTCm5``: the last one in the name."""
    for match in reversed(list(_ZONE_TOKEN.finditer(name))):
        if match["hours"] and int(match["hours"]) <= _LARGEST_OFFSET_H:
            return timezone(timedelta(hours=int(match["hours"]) * (-1 if match["sign"] in "m-" else 1)))
        if not match["hours"] and match["name"] in _FIXED_ZONES:
            return timezone(timedelta(hours=_FIXED_ZONES[match["name"]]))
    return None
