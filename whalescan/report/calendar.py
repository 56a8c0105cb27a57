"""The presence calendar: a row a month, a cell a day."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from itertools import groupby

from whalescan.core import from_ns
from whalescan.detections.presence import Bin, Result
from whalescan.report.svg import Box, Drawing, Figure, Mark, Path, Table, Text, px
from whalescan.report.text import HOUR_NS, count, day, score

_LEFT_PX, _TOP_PX, _CELL_PX, _PITCH_PX = 84.0, 62.0, 24.0, 26.0
_EFFORT_PX = 3.0
_MOST_MONTHS = 36
_MOST_ROWS = 400
_ROLES = {
    Result.DETECTED: "detected",
    Result.POSSIBLY_DETECTED: "possibly",
    Result.NOT_DETECTED: "not-detected",
    Result.NOT_AVAILABLE: "not-available",
}
_STEPS = (10, 30, 100)
"""From so many calls on, a day is a shade darker."""
Month = tuple[int, int]


def calendar_figure(daily: Sequence[Bin], rule: str) -> Figure:
    """Presence on each UTC day.

    Args:
        daily: full UTC days, in the order of time.
        rule: the sentence that says what the results mean.
    """
    title = "Presence by day"
    if not daily:
        return Figure("calendar", title, "No recording has a known start, so nothing can be said of days.")
    caption = (
        "Each cell is a UTC day with its number of calls, rejected ones left out. Filled, bold: DETECTED. Tinted, the more "
        "calls the stronger: POSSIBLY_DETECTED. Ring: NOT_DETECTED. Stroke: NOT_AVAILABLE. The bar at a cell's foot is "
        f"the share of the day that was analysed. {rule}"
    )
    return Figure("calendar", title, caption, _drawing(daily), _table(daily))


def _drawing(daily: Sequence[Bin]) -> Drawing:
    months = {month: list(days) for month, days in groupby(daily, key=_month)}
    rows = _rows(months)
    marks: list[Mark] = [*_legend()]
    marks += [Text(_middle_px(number), _TOP_PX - 8, str(number), "middle", "soft") for number in range(1, 32)]
    for place, row in enumerate(rows):
        y = _TOP_PX + place * _PITCH_PX
        if isinstance(row, str):
            marks.append(Text(_LEFT_PX, y + 17, row, role="soft"))
        else:
            marks.append(Text(_LEFT_PX - 10, y + 17, f"{calendar.month_abbr[row[1]]} {row[0]}", "end"))
            marks += [mark for one in months[row] for mark in _cell(one, y)]
    named = ", ".join(
        f"{count(n, 'day')} {result}" for result in Result if (n := sum(one.result == result for one in daily))
    )
    return Drawing(
        "Presence calendar",
        f"{day(daily[0].begin_ns)} to {day(daily[-1].begin_ns)}: {named}.",
        _LEFT_PX + 31 * _PITCH_PX + 4,
        _TOP_PX + len(rows) * _PITCH_PX + 4,
        tuple(marks),
    )


def _rows(months: dict[Month, list[Bin]]) -> list[Month | str]:
    """Months to show, and a word for those left out: a wrong clock can put years without a recording between two."""
    rows: list[Month | str] = []
    n_shown = 0
    for is_empty, group in groupby(
        months, key=lambda month: not any(one.recorded_ns or one.n_detections for one in months[month])
    ):
        some = list(group)
        if is_empty and len(some) > 1:
            rows.append(f"{count(len(some), 'month')} without recordings")
            continue
        shown = some[: _MOST_MONTHS - n_shown]
        n_shown += len(shown)
        rows += shown
        if len(shown) < len(some):
            return [*rows, "Later months stand in daily.csv."]
    return rows


def _month(one: Bin) -> Month:
    begin = from_ns(one.begin_ns)
    return begin.year, begin.month


def _middle_px(day_of_month: int) -> float:
    return _LEFT_PX + (day_of_month - 1) * _PITCH_PX + _CELL_PX / 2


def _cell(one: Bin, y: float) -> list[Mark]:
    """A day: its look, its number, its effort."""
    begin = from_ns(one.begin_ns)
    middle = _middle_px(begin.day)
    share = one.analysed_ns / (one.end_ns - one.begin_ns)
    tip = f"{begin:%Y-%m-%d}: {one.result}, {count(one.n_detections, 'call')}, {24 * share:.1f} h analysed"
    marks = _look(one.result, one.n_detections, middle, y, tip)
    if share:
        foot = y + _CELL_PX - _EFFORT_PX
        marks.append(Box(middle - _CELL_PX / 2, foot, _CELL_PX * share, _EFFORT_PX, f"effort on-{_ROLES[one.result]}"))
    return marks


def _look(result: Result, n_calls: int, middle: float, y: float, tip: str) -> list[Mark]:
    """A cell without its effort. No two results differ by colour alone."""
    role, centre = _ROLES[result], y + (_CELL_PX - _EFFORT_PX) / 2
    shade = f" shade-{sum(n_calls >= step for step in _STEPS)}" if result is Result.POSSIBLY_DETECTED else ""
    marks: list[Mark] = [Box(middle - _CELL_PX / 2, y, _CELL_PX, _CELL_PX, f"cell {role}{shade}", tip)]
    if result is Result.NOT_DETECTED:
        marks.append(Path(f"M{px(middle - 3)} {px(centre)}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0", "ring"))
    elif result is Result.NOT_AVAILABLE:
        marks.append(Path(f"M{px(middle - 4)} {px(centre + 5)}L{px(middle + 4)} {px(centre - 3)}", "stroke"))
    else:
        marks.append(Text(middle, centre + 4, _short(n_calls), "middle", f"number on-{role}"))
    return marks


def _short(n: int) -> str:
    """A number in at most four characters, up to a million."""
    if n < 1000:
        return str(n)
    return f"{n / 1000:.1f}k" if n < 9950 else f"{n / 1000:.0f}k"


def _legend() -> list[Mark]:
    marks: list[Mark] = []
    x = _LEFT_PX
    for result, n_calls in zip(Result, (12, 4, 0, 0), strict=True):
        marks += _look(result, n_calls, x + _CELL_PX / 2, 6, "")
        marks.append(Text(x + _CELL_PX + 8, 22, result.value))
        x += 76 + 7.6 * len(result.value)
    return marks


def _table(daily: Sequence[Bin]) -> Table:
    """The days with recordings or calls."""
    days = [one for one in daily if one.recorded_ns or one.n_detections]
    left_out = f"The first {_MOST_ROWS:,} days; all {len(daily):,} stand in daily.csv." if len(days) > _MOST_ROWS else ""
    return Table(
        ("Day (UTC)", "Result", "Calls", "Confirmed", "Highest score", "Recorded (h)", "Analysed (h)"),
        tuple(
            (
                day(one.begin_ns),
                one.result.value,
                f"{one.n_detections:,}",
                f"{one.n_validated:,}",
                "-" if one.max_score is None else score(one.max_score),
                f"{one.recorded_ns / HOUR_NS:.2f}",
                f"{one.analysed_ns / HOUR_NS:.2f}",
            )
            for one in days[:_MOST_ROWS]
        ),
        left_out or ("Days without recordings are left out." if len(days) < len(daily) else ""),
    )
