"""Numbers, lengths of time and lists as text for people, with one rule for rounding and one for plurals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from whalescan.core.time import from_ns

_UNITS = (("second", 1, 0), ("minute", 60, 1), ("hour", 3600, 1))
"""Name, length in seconds and decimals of the units of `duration`."""


def count(n: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 detection``, ``1,000 detections``.

    Args:
        n: the number.
        noun: in the singular.
        plural: of the noun; empty where an ``s`` makes it.
    """
    return f"{n:,} {noun if n == 1 else plural or f'{noun}s'}"


def decimal(value: float, places: int) -> str:
    """Return a number with at most so many decimals, halves rounded away from zero: ``1.3`` for 1.25, ``1,234.5``, ``2``."""
    text = f"{_rounded(value, places):,f}"
    if places > 0:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _rounded(value: float, places: int) -> Decimal:
    return Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def quantity(value: float, unit: str, places: int) -> str:
    """Return a number with its unit: ``1 hour``, ``1.3 hours``, ``2 hours``."""
    text = decimal(value, places)
    return f"{text} {unit}{'' if text == '1' else 's'}"


def hours(seconds: float) -> str:
    """Return a length of time in hours: ``0.25 hours``, ``1 hour``, ``1,234.5 hours``; two decimals below ten hours."""
    return quantity(seconds / 3600, "hour", 2 if seconds < 36000 else 1)


def duration(seconds: float) -> str:
    """Return a length of time in the unit that suits it: ``36 seconds``, ``15 minutes``, ``1,234.5 hours``."""
    for name, length_s, places in _UNITS[:-1]:
        if _rounded(seconds / length_s, places) < 60:
            return quantity(seconds / length_s, name, places)
    name, length_s, places = _UNITS[-1]
    return quantity(seconds / length_s, name, places)


def list_some(names: Sequence[str], limit: int = 10) -> str:
    """Return names as a list: ``a``, ``a and b``, ``a, b and c``, and behind the limit ``a, b and 3 more``."""
    if len(names) > limit:
        return f"{', '.join(names[:limit])} and {len(names) - limit:,} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def percent(part: float, whole: float) -> str:
    """Return a share in percent, to one decimal. Only nothing is ``0.0 %`` and only everything is ``100.0 %``."""
    if not whole:
        return "-"
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "< 0.1 %"
    return "> 99.9 %" if 99.9 < share < 100 else f"{share:.1f} %"


def utc_date(moment_ns: int) -> str:
    """Return the UTC date of a moment in nanoseconds since 1970 UTC: ``2023-11-05``."""
    return f"{from_ns(moment_ns):%Y-%m-%d}"


def utc_time(moment_utc: datetime | None) -> str:
    """Return a moment in UTC, rounded down to a tenth of a second; ``time unknown`` for None."""
    if moment_utc is None:
        return "time unknown"
    return f"{moment_utc:%Y-%m-%d %H:%M:%S}.{moment_utc.microsecond // 100_000} UTC"


def recording_offset(seconds: float) -> str:
    """Return an offset in a recording as ``h:mm:ss.s``, rounded down."""
    tenths = math.floor(10 * seconds + 1e-6)
    return f"{tenths // 36000}:{tenths // 600 % 60:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"


def threshold_text(threshold: float) -> str:
    """Return a threshold to the four decimals of the tables, so that it can be entered again."""
    return f"{threshold:.4f}".rstrip("0").rstrip(".")


def score_text(score: float | None) -> str:
    """Return a score to three decimals; ``no score`` for a call that only a person found."""
    return "no score" if score is None else f"{score:.3f}"


_NOT_PLAIN = str.maketrans({"\t": " ", "\n": " ", "\r": " ", '"': "'"})


def plain_text(text: str) -> str:
    """Return a text without characters that end a cell or a row of a tab-separated table, which knows no quoting."""
    return text.translate(_NOT_PLAIN)


def iso_utc(moment: datetime | None) -> str:
    """Return ``YYYY-MM-DDTHH:MM:SS.mmmZ``, rounded to the nearest millisecond; blank where the moment is not known."""
    if moment is None:
        return ""
    rounded = moment.astimezone(UTC) + timedelta(microseconds=500)
    return f"{rounded:%Y-%m-%dT%H:%M:%S}.{rounded.microsecond // 1000:03d}Z"
