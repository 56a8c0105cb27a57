"""Numbers, shares and times as a page says them."""

from __future__ import annotations

import math
from datetime import datetime

from whalescan.core import from_ns

HOUR_NS = 3600 * 10**9


def count(n: int, noun: str) -> str:
    """A number with its noun: ``1 call``, ``1,000 calls``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def hours(seconds: float) -> str:
    """``1,234.5 hours``; what is shorter than ten of them, to a hundredth."""
    return f"{seconds / 3600:,.{2 if seconds < 36000 else 1}f} hours"


def percent(part: float, whole: float) -> str:
    """A share; 0 and 100 % are said only of nothing and of everything."""
    if not whole:
        return "-"
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "< 0.1 %"
    return "> 99.9 %" if 99.9 < share < 100 else f"{share:.1f} %"


def day(moment_ns: int) -> str:
    """A date in UTC."""
    return f"{from_ns(moment_ns):%Y-%m-%d}"


def moment(when_utc: datetime | None) -> str:
    """A moment in UTC to a tenth of a second, rounded down; says so where it is not known."""
    return "time unknown" if when_utc is None else f"{when_utc:%Y-%m-%d %H:%M:%S}.{when_utc.microsecond // 100_000} UTC"


def offset(seconds: float) -> str:
    """A place in a recording as ``h:mm:ss.s``, rounded down."""
    tenths = math.floor(10 * seconds + 1e-6)
    return f"{tenths // 36000}:{tenths // 600 % 60:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"


def threshold(value: float) -> str:
    """A threshold to the four decimals of the tables, so that it can be given back."""
    return f"{value:.4f}".rstrip("0").rstrip(".")


def score(value: float | None) -> str:
    """A score to three decimals; says so where a person alone saw the call."""
    return "none" if value is None else f"{value:.3f}"
