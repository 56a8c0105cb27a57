"""How much of each hour of the day is night, where the recorder was and while it recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta, tzinfo

from astral import Observer
from astral.sun import elevation

from whalescan.core import Position, from_ns
from whalescan.detections.presence import Bin

SUNSET_DEGREES = -0.833
"""Height of the sun's middle when its upper edge touches the horizon, with refraction in standard air."""
TWILIGHT_DEGREES = -6.0
"""Civil twilight ends here."""
_STEP = timedelta(minutes=10)
_MOST_DAYS = 92
"""Days looked at, evenly spaced: on neighbouring days of a year the sun sets at the same time to within minutes."""


@dataclass(frozen=True, slots=True)
class Sky:
    """Shares of an hour of the day, over the days of a survey; each 0 to 1, the rest is day.

    Attributes:
        twilight: the sun is below the horizon by at most 6 degrees.
        night: it is lower than that.
    """

    twilight: float
    night: float

    @property
    def sun_is_down(self) -> float:
        """Share between sunset and sunrise."""
        return self.twilight + self.night


def skies(daily: Sequence[Bin], position: Position, zone: tzinfo) -> tuple[Sky, ...]:
    """The sky of the 24 hours of the day, on the days with effort; on all days where none has any.

    The height of the sun is asked for every ten minutes, and no sunrise is looked for: in a polar night there is none.

    Args:
        daily: full UTC days; at least one.
        position: of the recorder.
        zone: whose clock says which hour it is.
    """
    observer = Observer(position.latitude, position.longitude)
    n, n_twilight, n_night = [0] * 24, [0] * 24, [0] * 24
    for begin_ns in _days(daily):
        for i in range(144):
            moment = from_ns(begin_ns) + (i + 0.5) * _STEP
            degrees, hour = elevation(observer, moment, with_refraction=False), moment.astimezone(zone).hour
            n[hour] += 1
            n_night[hour] += degrees < TWILIGHT_DEGREES
            n_twilight[hour] += TWILIGHT_DEGREES <= degrees < SUNSET_DEGREES
    # An hour that a single day skips, where daylight saving begins, was never looked at.
    return tuple(
        Sky(twilight / (all_ or 1), night / (all_ or 1))
        for all_, twilight, night in zip(n, n_twilight, n_night, strict=True)
    )


def _days(daily: Sequence[Bin]) -> list[int]:
    begins_ns = [one.begin_ns for one in daily if one.analysed_ns] or [one.begin_ns for one in daily]
    n = min(len(begins_ns), _MOST_DAYS)
    return [begins_ns[i * len(begins_ns) // n] for i in range(n)]
