"""Times in file names, by the conventions of recorders or by a format that the user gives.

Recorders write times in many ways (AMAR, SoundTrap, MARU, Song Meter, AudioMoth, icListen, HARP, PAMGuard, DMON, ...). The
last date-like group of a name is used, since serial numbers come first. A group with a four-digit year has precedence over
a group with a two-digit year that shares digits with it: six digits behind a time are more often a counter than a time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

_DATE = r"(?P<year>(?:19|20)\d\d)(?P<d>[-_]?)(?P<month>\d\d)(?P=d)(?P<day>\d\d)"
_COMPACT_DATE = r"(?P<year>(?:19|20)\d\d)(?P<month>\d\d)(?P<day>\d\d)"
_SHORT_DATE = r"(?P<year>\d\d)(?P<month>\d\d)(?P<day>\d\d)"
_TIME = r"(?P<hour>\d\d)(?P<t>[-_:]?)(?P<minute>\d\d)(?P=t)(?P<second>\d\d)"
_BARE_TIME = r"(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)"
_MS = r"(?:[.](?P<fraction>\d{1,6})|_(?P<last>\d{3})(?=[.]|$))?"
_US = r"(?:_(?P<fraction>\d{6})(?=[.]|$))?"
_ZONE = r"(?P<zone>Z|[+-](?:(?:0\d|1[0-3]):?(?:00|30|45)|14:?00))?"
_PATTERNS = tuple(
    re.compile(rf"(?<!\d)(?=(?P<all>{pattern})(?!\d))")  # lookahead: finds groups that share digits
    for pattern in (
        rf"{_DATE}[T_$ -]{_TIME}{_MS}{_ZONE}",  # 20190101T000000Z, 2014-09-13-08-40-17, PAM_20190101_000000_123
        rf"{_COMPACT_DATE}{_BARE_TIME}{_US}{_ZONE}",  # 20190101000000, DMON 20190101000000_123456
        rf"{_SHORT_DATE}[-_]{_BARE_TIME}{_ZONE}",  # HARP 100716_121125
        rf"{_SHORT_DATE}{_BARE_TIME}{_ZONE}",  # SoundTrap 190101000000
    )
)
_FIRST_SHORT_YEAR = 70
"""Two-digit years are 1970 to 2069: a clock that was never set shows 1970."""

_UNIX_NAME = re.compile(r"(?=.*[A-F])[0-9A-F]{8}", re.IGNORECASE)
_UNIX_YEARS = range(2010, 2041)

FIXED_ZONES = {"UTC": 0, "GMT": 0, "EST": -5, "EDT": -4, "CST": -6, "MST": -7, "PST": -8, "PDT": -7, "AST": -4}
"""Hours from UTC of zones in file names: the same all year."""
_ZONE_TOKEN = re.compile(r"(?<![A-Za-z])(?:UTC(?P<sign>[mp+-])(?P<hours>\d{1,2})|(?P<name>[A-Z]{3}))(?![A-Za-z0-9])")
MAX_OFFSET_H = 14

_RAVEN_CODES = {"month": "<ll>", "day": "<dd>", "hour": "<hh>", "minute": "<MM>", "second": "<ss>"}
_RAVEN_DIRECTIVES = {"Y": "<yyyy>", "y": "<yy>", "m": "<ll>", "d": "<dd>", "H": "<hh>", "M": "<MM>", "S": "<ss>", "%": "%"}
_RAVEN_REQUIRED = ("<yy", "<ll>", "<dd>", "<hh>", "<MM>", "<ss>")
_SINGLE_DIGIT = r"(?<!\d)\d(?!\d)"
"""``strptime`` accepts one digit for two; within a longer number that would turn other numbers into dates."""
_DIRECTIVES = {
    "Y": r"\d{4}",
    "y": r"\d\d",
    "m": rf"(?:1[0-2]|0[1-9]|{_SINGLE_DIGIT})",
    "d": rf"(?:3[01]|[12]\d|0[1-9]|{_SINGLE_DIGIT})",
    "j": r"(?:36[0-6]|3[0-5]\d|[12]\d\d|0[1-9]\d|00[1-9]|[1-9]\d|[1-9])",
    "H": rf"(?:2[0-3]|[01]\d|{_SINGLE_DIGIT})",
    "I": rf"(?:1[0-2]|0[1-9]|{_SINGLE_DIGIT})",
    "M": rf"(?:[0-5]\d|{_SINGLE_DIGIT})",
    "S": rf"(?:6[01]|[0-5]\d|{_SINGLE_DIGIT})",
    "f": r"\d{1,6}",
    "z": r"(?:Z|[+-]\d\d:?[0-5]\d(?::?[0-5]\d)?)",
    "%": "%",
    **dict.fromkeys("aAbBpZ", r"[^\W\d_]+"),
    **dict.fromkeys("GUVWuw", r"\d{1,4}"),
}


@dataclass(frozen=True, slots=True)
class NameTime:
    """A time in a file name.

    Attributes:
        local: without a zone.
        zone: the zone behind the time; None where there is none.
        prefix: the name before the time, without the separator.
        raven_template: Raven's template for names of this kind, such as ``_<yyyy><ll><dd>_<hh><MM><ss>.``; empty where Raven
            has none. Raven reads no fractions of a second, so it ends before them (knowledge base, "Real Clock Times").
    """

    local: datetime
    zone: tzinfo | None
    prefix: str
    raven_template: str


def find_time(name: str) -> NameTime | None:
    """Return the time in a file name (without folders) by the conventions of recorders; None where there is none."""
    if time := _hex_unix_time(name):
        return time
    found = [(match, moment) for pattern in _PATTERNS for match in pattern.finditer(name) if (moment := _as_datetime(match))]
    with_full_year = [match.span("all") for match, _ in found if len(match["year"]) == 4]
    found = [
        (match, moment)
        for match, moment in found
        if len(match["year"]) == 4 or not any(_overlap(match.span("all"), other) for other in with_full_year)
    ]
    if not found:
        return None
    match, moment = max(found, key=lambda pair: (pair[0].end("all"), -pair[0].start("all")))
    zone = parse_offset(match["zone"]) if match["zone"] else None
    return NameTime(moment, zone, _prefix(name, match.start("all")), _template_of_match(name, match))


def find_time_by_format(name: str, time_format: str) -> NameTime | None:
    """Return the time in the last and longest part of a file name that fits a ``strptime`` format; None where none does.

    Parts inside a longer number are used only where there is no other.
    """
    fitting = []
    for match in _format_pattern(time_format).finditer(name):
        begin, end = match.span("all")
        try:
            moment = datetime.strptime(name[begin:end], time_format)
        except ValueError:
            continue
        is_separate = not (_splits_number(name, begin) or _splits_number(name, end))
        fitting.append((is_separate, end, -begin, moment))
    if not fitting:
        return None
    _, end, minus_begin, moment = max(fitting)
    begin = -minus_begin
    template = _template_of_format(time_format, name[max(begin - 1, 0) : begin], name[end : end + 1])
    return NameTime(moment.replace(tzinfo=None), moment.tzinfo, _prefix(name, begin), template)


def zone_token(name: str) -> tzinfo | None:
    """Return the zone of the last token such as ``EST`` (UTC-5 all year), ``UTC`` or ``UTCm5`` in a name, or None."""
    for match in reversed(list(_ZONE_TOKEN.finditer(name))):
        if match["hours"] and int(match["hours"]) <= MAX_OFFSET_H:
            return timezone(timedelta(hours=int(match["hours"]) * (-1 if match["sign"] in "m-" else 1)))
        if not match["hours"] and match["name"] in FIXED_ZONES:
            return timezone(timedelta(hours=FIXED_ZONES[match["name"]]))
    return None


def parse_offset(text: str) -> tzinfo:
    """Return the time zone of ``Z``, ``+0530`` or ``-05:00``.

    Raises:
        ValueError: for more than 14 hours.
    """
    if text == "Z":
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    if minutes > MAX_OFFSET_H * 60:
        raise ValueError(f"invalid offset {text}: expected at most {MAX_OFFSET_H} hours from UTC")
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _hex_unix_time(name: str) -> NameTime | None:
    """Return the time in a name of an early AudioMoth, seconds since 1970 in hexadecimal: ``5EC5A158.WAV``.

    The whole stem must be eight digits with a letter among them, and the year plausible. A stem without a letter may be a
    serial number; the comment in the header gives the time of such a file.
    """
    stem = name.rpartition(".")[0] or name
    if not _UNIX_NAME.fullmatch(stem):
        return None
    moment = datetime.fromtimestamp(int(stem, 16), UTC)
    return NameTime(moment.replace(tzinfo=None), UTC, "", "") if moment.year in _UNIX_YEARS else None


def _as_datetime(match: re.Match[str]) -> datetime | None:
    fields = match.groupdict()
    year = int(fields["year"])
    if len(fields["year"]) == 2:
        year += 1900 if year >= _FIRST_SHORT_YEAR else 2000
    fraction = fields.get("fraction") or fields.get("last") or "0"
    month, day, hour, minute, second = (int(fields[name]) for name in _RAVEN_CODES)
    try:
        return datetime(year, month, day, hour, minute, second, int(fraction.ljust(6, "0")))
    except ValueError:
        return None


def _overlap(first: tuple[int, int], second: tuple[int, int]) -> bool:
    return first[0] < second[1] and second[0] < first[1]


def _splits_number(name: str, position: int) -> bool:
    return 0 < position < len(name) and name[position - 1 : position + 1].isdecimal()


def _prefix(name: str, begin: int) -> str:
    return name[:begin].rstrip(" ._-$")


def _template_of_match(name: str, match: re.Match[str]) -> str:
    """Return a match with Raven's codes for its digits, between the characters before and behind it that locate it."""
    begin, position = match.span("all")[0], match.start("month")
    template = (
        name[max(begin - 1, 0) : begin]
        + ("<yyyy>" if len(match["year"]) == 4 else "<yy>")
        + name[match.end("year") : position]
    )
    for field, code in _RAVEN_CODES.items():
        template += name[position : match.start(field)] + code
        position = match.end(field)
    fields = match.groupdict()
    has_fraction = fields.get("fraction") or fields.get("last")
    return template + name[position : position + 1 if has_fraction else match.end("all") + 1]


def _template_of_format(time_format: str, before: str, behind: str) -> str:
    """Return Raven's template for a ``strptime`` format, between two characters; empty where Raven cannot express it."""
    template = before
    for part in re.findall(r"%.|[^%]+", time_format, re.DOTALL):
        if part == "%f":
            behind = ""
            break
        if part[0] == "%" and part[1:] not in _RAVEN_DIRECTIVES:
            return ""
        template += _RAVEN_DIRECTIVES[part[1]] if part[0] == "%" else part
    return template + behind if all(code in template for code in _RAVEN_REQUIRED) else ""


@lru_cache(maxsize=8)
def _format_pattern(time_format: str) -> re.Pattern[str]:
    """Return a pattern that finds where to try ``strptime``, which cannot search; unknown directives match any text."""
    parts = []
    for part in re.findall(r"%.|\s+|[^%\s]+|%", time_format, re.DOTALL):
        if part.isspace():
            parts.append(r"\s+")
        else:
            parts.append(_DIRECTIVES.get(part[1], ".+?") if part[0] == "%" and len(part) == 2 else re.escape(part))
    return re.compile(rf"(?=(?P<all>{''.join(parts)}))", re.IGNORECASE)
