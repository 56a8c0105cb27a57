"""Figures of detections by hour of the day, with the darkness at the recorder's position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta, tzinfo

from astral import Observer
from astral.sun import elevation

from whalescan.core import Position, from_ns
from whalescan.core.text import count
from whalescan.detections.detection_rates import HourOfDayRate, hour_of_day_rates
from whalescan.detections.presence import PresenceBin
from whalescan.report.svg import (
    CROSS,
    Drawing,
    Figure,
    Scale,
    SvgElement,
    SvgPath,
    SvgRect,
    SvgText,
    Table,
    axis_end,
    bars,
    bottom_axis,
    left_axis,
    legend,
    px,
)

SUNSET_DEGREES = -0.833
"""Elevation of the sun's centre when its upper edge touches the horizon, with refraction in a standard atmosphere."""
TWILIGHT_DEGREES = -6.0
"""Elevation at which civil twilight ends."""
_ELEVATION_STEP = timedelta(minutes=10)
_MAX_DAYS = 92
"""Days for which elevations are computed, evenly spaced: sunset differs by minutes between neighbouring days."""
_HOUR_NS = 3600 * 10**9
_WIDTH_PX, _LEFT_PX, _RIGHT_PX, _TOP_PX, _BASE_PX = 900.0, 60.0, 890.0, 64.0, 300.0
_BAR_PX, _CAP_PX = 18.0, 3.0
_SKY_PX = 16.0
"""Height of the strip that shows darkness."""
_N_SHADES = 4
"""Steps in which the background of an hour darkens with the share of night."""
_CAPTION = (
    "Detections that were not rejected, per hour analysed in that hour of the day, on the channel with most of them. "
    "Whiskers: exact 95 % Poisson intervals, as if detections were independent; whales call in bouts, so true intervals are "
    "wider. A whisker that leaves the figure ends without a cap. "
    f"{CROSS} marks hours of the day without effort. "
)
_DARKNESS_CAPTION = (
    "The strip below shows how much of each hour was night (sun more than 6° below the horizon, filled), civil twilight "
    "(striped) and day (empty) on the days with effort; the background is darker, the longer the sun was down."
)
_NO_POSITION = "Give the position of the recorder (option position) to see night and day."


@dataclass(frozen=True, slots=True)
class DarknessShares:
    """Shares of twilight and night in an hour of the day, over the days of a survey; 0 to 1 each, the rest is day.

    Attributes:
        twilight: the sun is below the horizon by at most 6 degrees.
        night: it is lower than that.
    """

    twilight: float
    night: float

    @property
    def dark(self) -> float:
        """Share between sunset and sunrise."""
        return self.twilight + self.night


def darkness_by_hour(daily: Sequence[PresenceBin], position: Position, zone: tzinfo) -> tuple[DarknessShares, ...]:
    """Return the darkness of the 24 hours of the day, on the days with effort; on all days where none has effort.

    It is counted from the sun's elevation every ten minutes. Times of sunrise are not used, because a polar night has none.

    Args:
        daily: full UTC days; at least one.
        position: of the recorder.
        zone: time zone of the hours.
    """
    observer = Observer(position.latitude, position.longitude)
    n_moments, n_twilight, n_night = [0] * 24, [0] * 24, [0] * 24
    for begin_ns in _sampled_days(daily):
        for i in range(144):
            moment = from_ns(begin_ns) + (i + 0.5) * _ELEVATION_STEP
            degrees, hour = elevation(observer, moment, with_refraction=False), moment.astimezone(zone).hour
            n_moments[hour] += 1
            n_night[hour] += degrees < TWILIGHT_DEGREES
            n_twilight[hour] += TWILIGHT_DEGREES <= degrees < SUNSET_DEGREES
    # A survey of one day can lack an hour, where daylight saving time begins.
    return tuple(
        DarknessShares(twilight / (n or 1), night / (n or 1))
        for n, twilight, night in zip(n_moments, n_twilight, n_night, strict=True)
    )


def _sampled_days(daily: Sequence[PresenceBin]) -> list[int]:
    begins_ns = [day.begin_ns for day in daily if day.analysed_ns] or [day.begin_ns for day in daily]
    n = min(len(begins_ns), _MAX_DAYS)
    return [begins_ns[i * len(begins_ns) // n] for i in range(n)]


def hour_of_day_figures(
    hourly: Sequence[PresenceBin],
    local_hourly: Sequence[PresenceBin],
    daily: Sequence[PresenceBin],
    zone: tzinfo | None,
    position: Position | None,
) -> list[Figure]:
    """Return detections per hour by hour of the day in UTC, and in local time where a time zone is given.

    Args:
        hourly: full UTC hours.
        local_hourly: full hours of the time zone.
        daily: full UTC days.
        zone: time zone of local time; None where it is not given.
        position: of the recorder; None where it is not given.
    """
    if not hourly:
        caption = "No recording has a known start time, so rates by hour of day are not known."
        return [Figure("diel", "Detections by hour of day", caption)]
    darkness = _darkness(daily, position, UTC)
    caption = f"{_CAPTION}{_NO_POSITION if darkness is None else _DARKNESS_CAPTION}"
    figures = [_figure("diel-utc", "UTC", hour_of_day_rates(hourly, UTC), darkness, caption)]
    if zone is not None and local_hourly:
        caption = f"The same detections and effort as above, by the clock of {zone}."
        rates = hour_of_day_rates(local_hourly, zone)
        figures.append(_figure("diel-local", f"local time ({zone})", rates, _darkness(daily, position, zone), caption))
    return figures


def _darkness(daily: Sequence[PresenceBin], position: Position | None, zone: tzinfo) -> tuple[DarknessShares, ...] | None:
    return None if position is None else darkness_by_hour(daily, position, zone)


def _figure(
    name: str, clock: str, rates: Sequence[HourOfDayRate], darkness: Sequence[DarknessShares] | None, caption: str
) -> Figure:
    title = f"Detections per hour by hour of day, {clock}"
    return Figure(name, title, caption, _drawing(clock, rates, darkness), _table(rates, darkness))


def _drawing(clock: str, rates: Sequence[HourOfDayRate], darkness: Sequence[DarknessShares] | None) -> Drawing:
    y = Scale(0, _axis_end(rates), _BASE_PX, _TOP_PX)
    elements: list[SvgElement] = []
    if darkness:
        elements += _background(darkness)
    elements += left_axis(y, _LEFT_PX, _RIGHT_PX, "detections per analysed hour")
    elements.append(bars(((_x(rate.hour), y(0), y(rate.detections_per_hour or 0)) for rate in rates), "rate", _BAR_PX))
    elements.append(SvgPath("".join(_whisker(rate, y) for rate in rates), "whisker"))
    for rate in rates:
        if not rate.analysed_ns:
            elements.append(SvgText(_x(rate.hour), _BASE_PX - 7, CROSS, "middle", "missing"))
    hours = [(rate.hour, f"{rate.hour:02d}") for rate in rates]
    label = f"hour of day, {clock}"
    elements += bottom_axis(Scale(-0.5, 23.5, _LEFT_PX, _RIGHT_PX), _BASE_PX, hours, "" if darkness else label)
    if darkness:
        elements += _darkness_strip(darkness)
        elements.append(SvgText((_LEFT_PX + _RIGHT_PX) / 2, _BASE_PX + 42 + _SKY_PX, label, "middle", "soft"))
    return Drawing(
        f"Detections per analysed hour by hour of day, {clock}",
        _description(rates),
        _WIDTH_PX,
        _BASE_PX + (50 + _SKY_PX if darkness else 42),
        tuple(elements),
    )


def _description(rates: Sequence[HourOfDayRate]) -> str:
    n_detections, analysed_h = sum(rate.n_detections for rate in rates), sum(rate.analysed_ns for rate in rates) / _HOUR_NS
    total = f"{count(n_detections, 'detection')} in {analysed_h:,.2f} analysed hours"
    known = [(per_hour, rate.hour) for rate in rates if (per_hour := rate.detections_per_hour) is not None]
    if not n_detections or not known:
        return f"{total}."
    highest, hour = max(known, key=lambda pair: pair[0])
    return f"{total}; most in hour {hour:02d}, {highest:,.3g} per hour."


def _axis_end(rates: Sequence[HourOfDayRate]) -> float:
    """Return the end of the axis: all bars, and whiskers up to twice the highest bar, because some are very long."""
    highest_bar = max((rate.detections_per_hour or 0 for rate in rates), default=0)
    highest_whisker = max((rate.interval[1] for rate in rates if rate.interval), default=0)
    return axis_end(min(highest_whisker, 2 * highest_bar) or highest_whisker)


def _x(hour: int) -> float:
    return _LEFT_PX + (hour + 0.5) * (_RIGHT_PX - _LEFT_PX) / 24


def _whisker(rate: HourOfDayRate, y: Scale) -> str:
    if rate.interval is None:
        return ""
    low, high = rate.interval
    x, caps = _x(rate.hour), [low] if high > y.high else [low, high]
    upright = f"M{px(x)} {px(y(low))}V{px(y(min(high, y.high)))}"
    return upright + "".join(f"M{px(x - _CAP_PX)} {px(y(cap))}h{px(2 * _CAP_PX)}" for cap in caps)


def _background(darkness: Sequence[DarknessShares]) -> list[SvgElement]:
    """Return a background that is darker, the longer the sun is down in an hour."""
    pitch = (_RIGHT_PX - _LEFT_PX) / 24
    steps = ((hour, round(_N_SHADES * shares.dark)) for hour, shares in enumerate(darkness))
    return [
        SvgRect(_LEFT_PX + hour * pitch, _TOP_PX, pitch, _BASE_PX - _TOP_PX, f"dark-{step}") for hour, step in steps if step
    ]


def _darkness_strip(darkness: Sequence[DarknessShares]) -> list[SvgElement]:
    """Return the shares of night and twilight, stacked, for each hour."""
    pitch, base = (_RIGHT_PX - _LEFT_PX) / 24, _BASE_PX + 24 + _SKY_PX
    night = [(_x(hour), base, base - _SKY_PX * shares.night) for hour, shares in enumerate(darkness)]
    twilight = [(x, top, top - _SKY_PX * shares.twilight) for (x, _, top), shares in zip(night, darkness, strict=True)]
    entries = [("rate", "detections per analysed hour"), ("night", "night"), ("twilight", "civil twilight")]
    return [
        SvgRect(_LEFT_PX, base - _SKY_PX, _RIGHT_PX - _LEFT_PX, _SKY_PX, "outline"),
        bars(night, "night", pitch - 1),
        bars(twilight, "twilight", pitch - 1),
        SvgText(_LEFT_PX - 7, base - 3, "sky", "end", "soft"),
        *legend(_LEFT_PX, 16, entries),
    ]


def _table(rates: Sequence[HourOfDayRate], darkness: Sequence[DarknessShares] | None) -> Table:
    columns = ("Hour", "Detections", "Analysed (h)", "Detections per hour", "95 % from", "95 % to")
    rows = tuple(_row(rate) for rate in rates)
    if not darkness:
        return Table(columns, rows)
    cells = ((f"{100 * shares.night:.0f}", f"{100 * shares.twilight:.0f}") for shares in darkness)
    return Table(
        (*columns, "Night (%)", "Twilight (%)"), tuple((*row, *some) for row, some in zip(rows, cells, strict=True))
    )


def _row(rate: HourOfDayRate) -> tuple[str, ...]:
    hour, number, effort = f"{rate.hour:02d}", f"{rate.n_detections:,}", f"{rate.analysed_ns / _HOUR_NS:,.3f}"
    if rate.interval is None:
        return hour, number, effort, "no effort", "-", "-"
    low, high = rate.interval
    return hour, number, effort, f"{rate.detections_per_hour:,.3f}", f"{low:,.3f}", f"{high:,.3f}"
