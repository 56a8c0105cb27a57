"""Presence calendar: a row per month, a cell per UTC day."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from itertools import groupby

from whalescan.core import from_ns
from whalescan.core.text import count, score_text, utc_date
from whalescan.detections.presence import Presence, PresenceBin
from whalescan.report.svg import Drawing, Figure, SvgElement, SvgPath, SvgRect, SvgText, Table, px

_HOUR_NS = 3600 * 10**9
_LEFT_PX, _TOP_PX, _CELL_PX, _PITCH_PX = 84.0, 62.0, 24.0, 26.0
_EFFORT_PX = 3.0
_MAX_MONTHS = 36
_MAX_ROWS = 400
_ROLES = {
    Presence.DETECTED: "detected",
    Presence.POSSIBLY_DETECTED: "possibly",
    Presence.NOT_DETECTED: "not-detected",
    Presence.NOT_AVAILABLE: "not-available",
}
_SHADE_STEPS = (10, 30, 100)
"""Numbers of detections from which a day is a shade darker."""
Month = tuple[int, int]


def calendar_figure(daily: Sequence[PresenceBin], rule: str) -> Figure:
    """Return presence on each UTC day.

    Args:
        daily: full UTC days, sorted by time.
        rule: description of the rule for presence.
    """
    title = "Presence by day"
    if not daily:
        return Figure("calendar", title, "No recording has a known start time, so presence by day is not known.")
    caption = (
        "Each cell is a UTC day with its number of detections, without rejected ones. Filled, bold: DETECTED. Tinted, "
        "darker with more detections: POSSIBLY_DETECTED. Ring: NOT_DETECTED. Stroke: NOT_AVAILABLE. The bar at the bottom "
        f"of a cell is the analysed share of the day. {rule}"
    )
    return Figure("calendar", title, caption, _drawing(daily), _table(daily))


def _drawing(daily: Sequence[PresenceBin]) -> Drawing:
    months = {month: list(days) for month, days in groupby(daily, key=_month)}
    rows = _rows(months)
    elements: list[SvgElement] = [*_legend()]
    elements += [SvgText(_middle_px(number), _TOP_PX - 8, str(number), "middle", "soft") for number in range(1, 32)]
    for number, row in enumerate(rows):
        y = _TOP_PX + number * _PITCH_PX
        if isinstance(row, str):
            elements.append(SvgText(_LEFT_PX, y + 17, row, role="soft"))
        else:
            elements.append(SvgText(_LEFT_PX - 10, y + 17, f"{calendar.month_abbr[row[1]]} {row[0]}", "end"))
            elements += [element for day in months[row] for element in _cell(day, y)]
    counts = ", ".join(
        f"{count(n, 'day')} {result}" for result in Presence if (n := sum(day.result == result for day in daily))
    )
    return Drawing(
        "Presence calendar",
        f"{utc_date(daily[0].begin_ns)} to {utc_date(daily[-1].begin_ns)}: {counts}.",
        _LEFT_PX + 31 * _PITCH_PX + 4,
        _TOP_PX + len(rows) * _PITCH_PX + 4,
        tuple(elements),
    )


def _rows(months: dict[Month, list[PresenceBin]]) -> list[Month | str]:
    """Return the months to show, and a note for those left out: a wrong clock can put empty years between recordings."""
    rows: list[Month | str] = []
    n_shown = 0
    for is_empty, group in groupby(
        months, key=lambda month: not any(day.recorded_ns or day.n_detections for day in months[month])
    ):
        some = list(group)
        if is_empty and len(some) > 1:
            rows.append(f"{count(len(some), 'month')} without recordings")
            continue
        shown = some[: _MAX_MONTHS - n_shown]
        n_shown += len(shown)
        rows += shown
        if len(shown) < len(some):
            return [*rows, "Later months are in daily.csv."]
    return rows


def _month(day: PresenceBin) -> Month:
    begin = from_ns(day.begin_ns)
    return begin.year, begin.month


def _middle_px(day_of_month: int) -> float:
    return _LEFT_PX + (day_of_month - 1) * _PITCH_PX + _CELL_PX / 2


def _cell(day: PresenceBin, y: float) -> list[SvgElement]:
    """Return a day: its presence, its number of detections and its effort."""
    begin = from_ns(day.begin_ns)
    middle = _middle_px(begin.day)
    share = day.analysed_ns / (day.end_ns - day.begin_ns)
    tip = f"{begin:%Y-%m-%d}: {day.result}, {count(day.n_detections, 'detection')}, {24 * share:.1f} h analysed"
    elements = _presence_cell(day.result, day.n_detections, middle, y, tip)
    if share:
        bar_y = y + _CELL_PX - _EFFORT_PX
        role = f"effort on-{_ROLES[day.result]}"
        elements.append(SvgRect(middle - _CELL_PX / 2, bar_y, _CELL_PX * share, _EFFORT_PX, role))
    return elements


def _presence_cell(result: Presence, n_detections: int, middle: float, y: float, tip: str) -> list[SvgElement]:
    """Return a cell without its effort. No two results differ by colour alone."""
    role, centre = _ROLES[result], y + (_CELL_PX - _EFFORT_PX) / 2
    n_steps = sum(n_detections >= step for step in _SHADE_STEPS)
    shade = f" shade-{n_steps}" if result is Presence.POSSIBLY_DETECTED else ""
    elements: list[SvgElement] = [SvgRect(middle - _CELL_PX / 2, y, _CELL_PX, _CELL_PX, f"cell {role}{shade}", tip)]
    if result is Presence.NOT_DETECTED:
        elements.append(SvgPath(f"M{px(middle - 3)} {px(centre)}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0", "ring"))
    elif result is Presence.NOT_AVAILABLE:
        elements.append(SvgPath(f"M{px(middle - 4)} {px(centre + 5)}L{px(middle + 4)} {px(centre - 3)}", "stroke"))
    else:
        elements.append(SvgText(middle, centre + 4, _short_number(n_detections), "middle", f"number on-{role}"))
    return elements


def _short_number(n: int) -> str:
    """Return a number below a million in at most four characters."""
    if n < 1000:
        return str(n)
    return f"{n / 1000:.1f}k" if n < 9950 else f"{n / 1000:.0f}k"


def _legend() -> list[SvgElement]:
    elements: list[SvgElement] = []
    x = _LEFT_PX
    for result, n_detections in zip(Presence, (12, 4, 0, 0), strict=True):
        elements += _presence_cell(result, n_detections, x + _CELL_PX / 2, 6, "")
        elements.append(SvgText(x + _CELL_PX + 8, 22, result.value))
        x += 76 + 7.6 * len(result.value)
    return elements


def _table(daily: Sequence[PresenceBin]) -> Table:
    """Return the days with recordings or detections."""
    days = [day for day in daily if day.recorded_ns or day.n_detections]
    truncated = f"The first {_MAX_ROWS:,} days; all {len(daily):,} are in daily.csv." if len(days) > _MAX_ROWS else ""
    return Table(
        ("Day (UTC)", "Presence", "Detections", "Confirmed", "Highest score", "Recorded (h)", "Analysed (h)"),
        tuple(
            (
                utc_date(day.begin_ns),
                day.result.value,
                f"{day.n_detections:,}",
                f"{day.n_validated:,}",
                "-" if day.max_score is None else score_text(day.max_score),
                f"{day.recorded_ns / _HOUR_NS:.2f}",
                f"{day.analysed_ns / _HOUR_NS:.2f}",
            )
            for day in days[:_MAX_ROWS]
        ),
        truncated or ("Days without recordings are left out." if len(days) < len(daily) else ""),
    )
