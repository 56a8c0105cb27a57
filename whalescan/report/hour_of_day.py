"""Calls against the hour of day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, tzinfo

from whalescan.core import Position
from whalescan.detections.hour_of_day import HourOfDay, by_hour_of_day
from whalescan.detections.presence import Bin
from whalescan.report import axes
from whalescan.report.axes import Scale
from whalescan.report.sun import Sky, skies
from whalescan.report.svg import CROSS, Box, Drawing, Figure, Mark, Path, Table, Text, bars, legend, px
from whalescan.report.text import HOUR_NS, count

_WIDTH_PX, _LEFT_PX, _RIGHT_PX, _TOP_PX, _FOOT_PX = 900.0, 60.0, 890.0, 64.0, 300.0
_BAR_PX, _CAP_PX = 18.0, 3.0
_SKY_PX = 16.0
"""Height of the strip that shows the sky."""
_SHADES = 4
"""Steps in which the background of an hour grows darker with the share of night."""
_HOW = (
    "Calls that were not rejected, over the hours analysed in that hour of the day, on the channel with most of them. "
    "Whiskers: exact 95 % Poisson intervals, as if calls were independent; whales call in bouts, so true ones are wider. A "
    f"whisker that leaves the figure ends without a cap. {CROSS} marks hours of the day without effort. "
)
_NIGHT = (
    "The strip below shows how much of each hour was night (sun more than 6° below the horizon, filled), civil twilight "
    "(striped) and day (empty) on the days with effort; the background is shaded the more, the longer the sun was down."
)
_NO_NIGHT = "Name the recorder's position (--position) to see night and day."


def diel_figures(
    hourly: Sequence[Bin], local_hourly: Sequence[Bin], daily: Sequence[Bin], zone: tzinfo | None, position: Position | None
) -> list[Figure]:
    """Calls per hour against the hour of day in UTC, and in local time where a zone is named.

    Args:
        hourly: full UTC hours.
        local_hourly: full hours of the zone.
        daily: full UTC days.
        zone: for local time; None where nobody named one.
        position: of the recorder; None where nobody said.
    """
    if not hourly:
        return [Figure("diel", "Calls by hour of day", "No recording has a known start, so nothing can be said of hours.")]
    sky = _skies(daily, position, UTC)
    figures = [_figure("diel-utc", "UTC", by_hour_of_day(hourly, UTC), sky, f"{_HOW}{_NO_NIGHT if sky is None else _NIGHT}")]
    if zone is not None and local_hourly:
        caption = f"The same calls and the same effort as above, by the clock of {zone}."
        hours = by_hour_of_day(local_hourly, zone)
        figures.append(_figure("diel-local", f"local time ({zone})", hours, _skies(daily, position, zone), caption))
    return figures


def _skies(daily: Sequence[Bin], position: Position | None, zone: tzinfo) -> tuple[Sky, ...] | None:
    return None if position is None else skies(daily, position, zone)


def _figure(name: str, clock: str, hours: Sequence[HourOfDay], sky: Sequence[Sky] | None, caption: str) -> Figure:
    return Figure(name, f"Calls per hour by hour of day, {clock}", caption, _drawing(clock, hours, sky), _table(hours, sky))


def _drawing(clock: str, hours: Sequence[HourOfDay], sky: Sequence[Sky] | None) -> Drawing:
    y = Scale(0, _highest(hours), _FOOT_PX, _TOP_PX)
    marks: list[Mark] = []
    if sky:
        marks += _background(sky)
    marks += axes.left_axis(y, _LEFT_PX, _RIGHT_PX, "calls per analysed hour")
    marks.append(bars(((_x(one.hour), y(0), y(one.per_hour or 0)) for one in hours), "rate", _BAR_PX))
    marks.append(Path("".join(_whisker(one, y) for one in hours), "whisker"))
    marks += [Text(_x(one.hour), _FOOT_PX - 7, CROSS, "middle", "missing") for one in hours if not one.analysed_ns]
    across = Scale(-0.5, 23.5, _LEFT_PX, _RIGHT_PX)
    named = [(one.hour, f"{one.hour:02d}") for one in hours]
    marks += axes.bottom_axis(across, _FOOT_PX, named, "" if sky else f"hour of day, {clock}")
    if sky:
        marks += _strip(sky)
        middle = (_LEFT_PX + _RIGHT_PX) / 2
        marks.append(Text(middle, _FOOT_PX + 42 + _SKY_PX, f"hour of day, {clock}", "middle", "soft"))
    return Drawing(
        f"Calls per analysed hour by hour of day, {clock}",
        _in_words(hours),
        _WIDTH_PX,
        _FOOT_PX + (50 + _SKY_PX if sky else 42),
        tuple(marks),
    )


def _in_words(hours: Sequence[HourOfDay]) -> str:
    n_calls, analysed_h = sum(one.n_calls for one in hours), sum(one.analysed_ns for one in hours) / HOUR_NS
    rated = [(rate, one.hour) for one in hours if (rate := one.per_hour) is not None]
    if not n_calls or not rated:
        return f"{count(n_calls, 'call')} in {analysed_h:,.2f} analysed hours."
    highest, hour = max(rated, key=lambda pair: pair[0])
    return f"{count(n_calls, 'call')} in {analysed_h:,.2f} analysed hours; most in hour {hour:02d}, {highest:,.3g} an hour."


def _highest(hours: Sequence[HourOfDay]) -> float:
    """The top of the axis: all bars, and whiskers up to twice the highest of them; one of seconds of effort is endless."""
    rate = max((one.per_hour or 0 for one in hours), default=0)
    whisker = max((one.interval[1] for one in hours if one.interval), default=0)
    return axes.ceiling(min(whisker, 2 * rate) or whisker)


def _x(hour: int) -> float:
    return _LEFT_PX + (hour + 0.5) * (_RIGHT_PX - _LEFT_PX) / 24


def _whisker(one: HourOfDay, y: Scale) -> str:
    if one.interval is None:
        return ""
    low, high = one.interval
    x, caps = _x(one.hour), [low] if high > y.high else [low, high]
    upright = f"M{px(x)} {px(y(low))}V{px(y(min(high, y.high)))}"
    return upright + "".join(f"M{px(x - _CAP_PX)} {px(y(cap))}h{px(2 * _CAP_PX)}" for cap in caps)


def _background(sky: Sequence[Sky]) -> list[Mark]:
    """The darker, the longer the sun is down in an hour."""
    pitch = (_RIGHT_PX - _LEFT_PX) / 24
    steps = ((hour, round(_SHADES * one.sun_is_down)) for hour, one in enumerate(sky))
    return [Box(_LEFT_PX + hour * pitch, _TOP_PX, pitch, _FOOT_PX - _TOP_PX, f"dark-{step}") for hour, step in steps if step]


def _strip(sky: Sequence[Sky]) -> list[Mark]:
    """Shares of night and twilight, stacked, hour by hour."""
    pitch, foot = (_RIGHT_PX - _LEFT_PX) / 24, _FOOT_PX + 24 + _SKY_PX
    night = [(_x(hour), foot, foot - _SKY_PX * one.night) for hour, one in enumerate(sky)]
    twilight = [(x, head, head - _SKY_PX * one.twilight) for (x, _, head), one in zip(night, sky, strict=True)]
    return [
        Box(_LEFT_PX, foot - _SKY_PX, _RIGHT_PX - _LEFT_PX, _SKY_PX, "outline"),
        bars(night, "night", pitch - 1),
        bars(twilight, "twilight", pitch - 1),
        Text(_LEFT_PX - 7, foot - 3, "sky", "end", "soft"),
        *legend(_LEFT_PX, 16, [("rate", "calls per analysed hour"), ("night", "night"), ("twilight", "civil twilight")]),
    ]


def _table(hours: Sequence[HourOfDay], sky: Sequence[Sky] | None) -> Table:
    columns = ("Hour", "Calls", "Analysed (h)", "Calls per hour", "95 % from", "95 % to")
    rows = tuple(_row(one) for one in hours)
    if not sky:
        return Table(columns, rows)
    shares = ((f"{100 * one.night:.0f}", f"{100 * one.twilight:.0f}") for one in sky)
    return Table((*columns, "Night (%)", "Twilight (%)"), tuple((*row, *two) for row, two in zip(rows, shares, strict=True)))


def _row(one: HourOfDay) -> tuple[str, ...]:
    effort = f"{one.analysed_ns / HOUR_NS:,.3f}"
    if one.interval is None:
        return f"{one.hour:02d}", f"{one.n_calls:,}", effort, "no effort", "-", "-"
    low, high = one.interval
    return f"{one.hour:02d}", f"{one.n_calls:,}", effort, f"{one.per_hour:,.3f}", f"{low:,.3f}", f"{high:,.3f}"
