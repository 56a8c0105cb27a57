"""Numbers and lists as people write them."""

from __future__ import annotations

from collections.abc import Sequence

_NAMED = 10


def count(n: int, noun: str) -> str:
    """``1 call``, ``1,000 calls``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def some_of(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def in_hours(hours: float) -> str:
    """``0.5 hours``, ``1,234 hours``."""
    return f"{hours:,.0f} hours" if hours >= 100 else f"{hours:.3g} hours"
