"""Calls against the hour of day, by effort. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import tzinfo

from scipy.special import gammaincinv

from whalescan.core import from_ns
from whalescan.detections.presence import Bin

_HOUR_NS = 3600 * 10**9


@dataclass(frozen=True, slots=True)
class HourOfDay:
    """An hour of the day, over all days of a survey.

    Attributes:
        hour: 0 to 23, as the clock shows it.
        n_calls: calls that begin in it and were not rejected, each time on the channel that has most of them.
        analysed_ns: time in it that was analysed.
    """

    hour: int
    n_calls: int
    analysed_ns: int

    @property
    def per_hour(self) -> float | None:
        """Calls in an analysed hour; None, and not 0, where nothing was analysed."""
        return self.n_calls * _HOUR_NS / self.analysed_ns if self.analysed_ns else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of `per_hour`: the exact one of a Poisson count (Garwood 1936).

        It takes calls as independent of each other. Whales call in bouts, so the true one is wider.
        """
        if not self.analysed_ns:
            return None
        low, high = poisson_interval(self.n_calls)
        return low * _HOUR_NS / self.analysed_ns, high * _HOUR_NS / self.analysed_ns


def poisson_interval(n: int) -> tuple[float, float]:
    """95 % interval of the expectation behind a Poisson count."""
    return (float(gammaincinv(n, 0.025)) if n else 0.0), float(gammaincinv(n + 1, 0.975))


def by_hour_of_day(hourly: Iterable[Bin], zone: tzinfo) -> tuple[HourOfDay, ...]:
    """The 24 hours of the day.

    Args:
        hourly: full hours of the zone.
        zone: whose clock says which hour it is. Where it is set back, an hour happens twice in a day, and counts twice.
    """
    n_calls, analysed_ns = [0] * 24, [0] * 24
    for one in hourly:
        hour = from_ns(one.begin_ns).astimezone(zone).hour
        n_calls[hour] += one.n_detections
        analysed_ns[hour] += one.analysed_ns
    return tuple(HourOfDay(*facts) for facts in zip(range(24), n_calls, analysed_ns, strict=True))
