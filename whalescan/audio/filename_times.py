"""Times in file names: the conventions of the recorders, and formats that the user gives.

Recorders write times in many ways (AMAR, SoundTrap, MARU, Song Meter, AudioMoth, icListen, HARP, PAMGuard, DMON, ...). The
last date-like group of a name counts, since serial numbers come first. A group with a year of four digits goes before one
with two that it shares digits with: the six digits behind a time are more often a counter than another time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

from whalescan.core import UsageError

_DATE = r"(?P<year>(?:19|20)\d\d)(?P<d>[-_]?)(?P<month>\d\d)(?P=d)(?P<day>\d\d)"
_COMPACT_DATE = r"(?P<year>(?:19|20)\d\d)(?P<month>\d\d)(?P<day>\d\d)"
_SHORT_DATE = r"(?P<year>\d\d)(?P<month>\d\d)(?P<day>\d\d)"
_TIME = r"(?P<hour>\d\d)(?P<t>[-_:]?)(?P<minute>\d\d)(?P=t)(?P<second>\d\d)"
_BARE_TIME = r"(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)"
_MS = r"(?:[.](?P<fraction>\d{1,6})|_(?P<last>\d{3})(?=[.]|$))?"
_US = r"(?:_(?P<fraction>\d{6})(?=[.]|$))?"
_ZONE = r"(?P<zone>Z|[+-](?:(?:0\d|1[0-3]):?(?:00|30|45)|14:?00))?"
_PATTERNS = tuple(
    re.compile(rf"(?<!\d)(?=(?P<all>{pattern})(?!\d))")  # looking ahead: groups that share digits are all found
    for pattern in (
        rf"{_DATE}[T_$ -]{_TIME}{_MS}{_ZONE}",  # 20190101T000000Z, 2014-09-13-08-40-17, PAM_20190101_000000_123
        rf"{_COMPACT_DATE}{_BARE_TIME}{_US}{_ZONE}",  # 20190101000000, DMON 20190101000000_123456
        rf"{_SHORT_DATE}[-_]{_BARE_TIME}{_ZONE}",  # HARP 100716_121125
        rf"{_SHORT_DATE}{_BARE_TIME}{_ZONE}",  # SoundTrap 190101000000
    )
)
_FIRST_SHORT_YEAR = 70
"""A year of two digits is one of 1970 to 2069: what a clock shows that was not set is 1970."""

_UNIX_NAME = re.compile(r"(?=.*[A-F])[0-9A-F]{8}", re.IGNORECASE)
_UNIX_YEARS = range(2010, 2041)

FIXED_ZONES = {"UTC": 0, "GMT": 0, "EST": -5, "EDT": -4, "CST": -6, "MST": -7, "PST": -8, "PDT": -7, "AST": -4}
"""Hours from UTC of the zones that recorders' files name: the same all year."""
_ZONE_TOKEN = re.compile(r"(?<![A-Za-z])(?:UTC(?P<sign>[mp+-])(?P<hours>\d{1,2})|(?P<name>[A-Z]{3}))(?![A-Za-z0-9])")
LARGEST_OFFSET_H = 14

_RAVEN = {"month": "<ll>", "day": "<dd>", "hour": "<hh>", "minute": "<MM>", "second": "<ss>"}
_RAVEN_DIRECTIVES = {"Y": "<yyyy>", "y": "<yy>", "m": "<ll>", "d": "<dd>", "H": "<hh>", "M": "<MM>", "S": "<ss>", "%": "%"}
_RAVEN_NEEDS = ("<yy", "<ll>", "<dd>", "<hh>", "<MM>", "<ss>")
_ALONE = r"(?<!\d)\d(?!\d)"
"""``strptime`` takes one digit for two; in a row of digits that would cut other numbers to dates."""
_DIRECTIVES = {
    "Y": r"\d{4}",
    "y": r"\d\d",
    "m": rf"(?:1[0-2]|0[1-9]|{_ALONE})",
    "d": rf"(?:3[01]|[12]\d|0[1-9]|{_ALONE})",
    "j": r"(?:36[0-6]|3[0-5]\d|[12]\d\d|0[1-9]\d|00[1-9]|[1-9]\d|[1-9])",
    "H": rf"(?:2[0-3]|[01]\d|{_ALONE})",
    "I": rf"(?:1[0-2]|0[1-9]|{_ALONE})",
    "M": rf"(?:[0-5]\d|{_ALONE})",
    "S": rf"(?:6[01]|[0-5]\d|{_ALONE})",
    "f": r"\d{1,6}",
    "z": r"(?:Z|[+-]\d\d:?[0-5]\d(?::?[0-5]\d)?)",
    "%": "%",
    **dict.fromkeys("aAbBpZ", r"[^\W\d_]+"),
    **dict.fromkeys("GUVWuw", r"\d{1,4}"),
}


@dataclass(frozen=True, slots=True)
class Shown:
    """What the clock in a file's name shows.

    Attributes:
        local: without a zone.
        zone: the one that stands behind the time; None where none does.
        before: the name before the time, without the signs that part them.
        template: Raven's template for names of this kind, such as ``_<yyyy><ll><dd>_<hh><MM><ss>.``; empty where Raven has
            none. It knows no parts of a second and so ends before them (knowledge base, "Real Clock Times").
    """

    local: datetime
    zone: tzinfo | None
    before: str
    template: str


def find(name: str) -> Shown | None:
    """The time in a file name (without folders) by the conventions of the recorders."""
    if shown := _unix_time(name):
        return shown
    found = [(m, moment) for pattern in _PATTERNS for m in pattern.finditer(name) if (moment := _as_datetime(m))]
    full = [m.span("all") for m, _ in found if len(m["year"]) == 4]
    found = [
        (m, moment) for m, moment in found if len(m["year"]) == 4 or not any(_share(m.span("all"), own) for own in full)
    ]
    if not found:
        return None
    match, moment = max(found, key=lambda pair: (pair[0].end("all"), -pair[0].start("all")))
    zone = fixed_zone(match["zone"]) if match["zone"] else None
    return Shown(moment, zone, _before(name, match.start("all")), _template(name, match))


def find_by_format(name: str, time_format: str) -> Shown | None:
    """The last and longest part of a file name that fits a ``strptime`` format, if possible not inside a longer number."""
    fitting = []
    for match in _format_pattern(time_format).finditer(name):
        begin, end = match.span("all")
        try:
            moment = datetime.strptime(name[begin:end], time_format)
        except ValueError:
            continue
        is_whole = not (_is_inside_a_number(name, begin) or _is_inside_a_number(name, end))
        fitting.append((is_whole, end, -begin, moment))
    if not fitting:
        return None
    _, end, minus_begin, moment = max(fitting)
    begin = -minus_begin
    template = _template_of_format(time_format, name[max(begin - 1, 0) : begin], name[end : end + 1])
    return Shown(moment.replace(tzinfo=None), moment.tzinfo, _before(name, begin), template)


def zone_token(name: str) -> tzinfo | None:
    """``EST`` (UTC-5 all year), ``UTC``, ``UTCm5``: the last one in the name."""
    for match in reversed(list(_ZONE_TOKEN.finditer(name))):
        if match["hours"] and int(match["hours"]) <= LARGEST_OFFSET_H:
            return timezone(timedelta(hours=int(match["hours"]) * (-1 if match["sign"] in "m-" else 1)))
        if not match["hours"] and match["name"] in FIXED_ZONES:
            return timezone(timedelta(hours=FIXED_ZONES[match["name"]]))
    return None


def fixed_zone(text: str) -> tzinfo:
    """``Z``, ``+0530`` or ``-05:00`` as a time zone.

    Raises:
        UsageError: where it is more than 14 hours.
    """
    if text == "Z":
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    if minutes > LARGEST_OFFSET_H * 60:
        raise UsageError(f"{text} is no offset from UTC; the largest is {LARGEST_OFFSET_H} hours")
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _unix_time(name: str) -> Shown | None:
    """AudioMoths once named files by the seconds since 1970, in hex: ``5EC5A158.WAV``.

    Only a whole stem counts, with a letter among its eight digits (else it may be a serial number; the comment in the header
    tells the time of those, too) and of a plausible year.
    """
    stem = name.rpartition(".")[0] or name
    if not _UNIX_NAME.fullmatch(stem):
        return None
    moment = datetime.fromtimestamp(int(stem, 16), UTC)
    return Shown(moment.replace(tzinfo=None), UTC, "", "") if moment.year in _UNIX_YEARS else None


def _as_datetime(match: re.Match[str]) -> datetime | None:
    fields = match.groupdict()
    year = int(fields["year"])
    if len(fields["year"]) == 2:
        year += 1900 if year >= _FIRST_SHORT_YEAR else 2000
    fraction = fields.get("fraction") or fields.get("last") or "0"
    month, day, hour, minute, second = (int(fields[name]) for name in _RAVEN)
    try:
        return datetime(year, month, day, hour, minute, second, int(fraction.ljust(6, "0")))
    except ValueError:
        return None


def _share(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _is_inside_a_number(name: str, position: int) -> bool:
    return 0 < position < len(name) and name[position - 1 : position + 1].isdecimal()


def _before(name: str, begin: int) -> str:
    return name[:begin].rstrip(" ._-$")


def _template(name: str, match: re.Match[str]) -> str:
    """A match with codes for its digits, between the signs before and behind it that tell Raven where it lies."""
    begin, position = match.span("all")[0], match.start("month")
    template = (
        name[max(begin - 1, 0) : begin]
        + ("<yyyy>" if len(match["year"]) == 4 else "<yy>")
        + name[match.end("year") : position]
    )
    for field, code in _RAVEN.items():
        template += name[position : match.start(field)] + code
        position = match.end(field)
    fields = match.groupdict()
    has_parts = fields.get("fraction") or fields.get("last")
    return template + name[position : position + 1 if has_parts else match.end("all") + 1]


def _template_of_format(time_format: str, before: str, behind: str) -> str:
    template = before
    for part in re.findall(r"%.|[^%]+", time_format, re.DOTALL):
        if part == "%f":
            behind = ""
            break
        if part[0] == "%" and part[1:] not in _RAVEN_DIRECTIVES:
            return ""
        template += _RAVEN_DIRECTIVES[part[1]] if part[0] == "%" else part
    return template + behind if all(code in template for code in _RAVEN_NEEDS) else ""


@lru_cache(maxsize=8)
def _format_pattern(time_format: str) -> re.Pattern[str]:
    """Where in a name to ask ``strptime``, which knows no searching; directives not named here match any text."""
    parts = []
    for part in re.findall(r"%.|\s+|[^%\s]+|%", time_format, re.DOTALL):
        if part.isspace():
            parts.append(r"\s+")
        else:
            parts.append(_DIRECTIVES.get(part[1], ".+?") if part[0] == "%" and len(part) == 2 else re.escape(part))
    return re.compile(rf"(?=(?P<all>{''.join(parts)}))", re.IGNORECASE)
