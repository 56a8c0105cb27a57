"""Effort and gaps over the survey's time, and calls on the same axis."""

from __future__ import annotations

from collections.abc import Sequence

from whalescan.core import from_ns
from whalescan.detections.time_columns import Columns, columns
from whalescan.report import axes
from whalescan.report.axes import Scale
from whalescan.report.report_data import ReportFacts
from whalescan.report.svg import Drawing, Figure, Mark, Path, Table, bars, legend, px
from whalescan.report.text import HOUR_NS, count, percent

_WIDTH_PX, _LEFT_PX, _RIGHT_PX = 900.0, 60.0, 866.0
_TOP_PX, _MIDDLE_PX, _OVERLAP_PX = 70.0, 190.0, 194.0
_CALLS_TOP_PX, _FOOT_PX = 240.0, 350.0
_MOST_COLUMNS = 122
_WIDEST_PX = 60.0
_SHARES = {
    "analysed": "analysed",
    "dropout": "drop-out",
    "unreadable": "unreadable",
    "duty_cycle": "duty cycle",
    "gap": "gap",
}


def timeline_figure(facts: ReportFacts) -> Figure:
    """What became of the survey's time, and calls per analysed hour below."""
    title = "Effort, gaps and calls"
    if not facts.hourly:
        return Figure("timeline", title, "No recording has a known start, so there is no time line.")
    parts = columns(facts.hourly, facts.recorded, facts.analysed, facts.gaps, _MOST_COLUMNS)
    length = _length(parts.length_ns)
    caption = (
        f"Each column is {length}. Above: what became of its time; empty is before or after the survey. A mark below says "
        "that time was recorded more than once; it counts once. Below: calls that were not rejected in an analysed hour, on "
        "the channel with most of them; dots mark columns without effort."
    )
    return Figure("timeline", title, caption, _drawing(parts, length), _table(parts))


def _length(length_ns: int) -> str:
    length_h = length_ns // HOUR_NS
    return count(length_h // 24, "day") if length_h % 24 == 0 else count(length_h, "hour")


def _drawing(parts: Columns, length: str) -> Drawing:
    x = Scale(int(parts.edges_ns[0]), int(parts.edges_ns[-1]), _LEFT_PX, _RIGHT_PX)
    middles = [x(int(begin) + parts.length_ns / 2) for begin in parts.edges_ns[:-1]]
    pitch = (_RIGHT_PX - _LEFT_PX) / len(middles)
    width = min(pitch - (1 if pitch > 4 else 0), _WIDEST_PX)
    marks: list[Mark] = [*legend(_LEFT_PX, 16, [*_SHARES.items(), ("overlap", "recorded twice")])]
    marks += axes.left_axis(Scale(0, 100, _MIDDLE_PX, _TOP_PX), _LEFT_PX, _RIGHT_PX, "% of time", [0, 50, 100])
    marks += _stacked(parts, middles, width)
    once = ((at, _OVERLAP_PX + 6, _OVERLAP_PX) for at, ns in zip(middles, parts.overlap_ns.tolist(), strict=True) if ns)
    marks.append(bars(once, "overlap", width))
    marks += _rates(parts, middles, width)
    marks += axes.bottom_axis(x, _FOOT_PX, axes.time_ticks(int(parts.edges_ns[0]), int(parts.edges_ns[-1])), "UTC")
    return Drawing("Effort and calls over time", _in_words(parts, length), _WIDTH_PX, _FOOT_PX + 44, tuple(marks))


def _stacked(parts: Columns, middles: Sequence[float], width: float) -> list[Mark]:
    """Shares of each column, one above the other."""
    y = Scale(0, parts.length_ns, _MIDDLE_PX, _TOP_PX)
    below = [0] * len(middles)
    marks: list[Mark] = []
    for name in _SHARES:
        above = [one + ns for one, ns in zip(below, parts.shares_ns[name].tolist(), strict=True)]
        marks.append(bars(((at, y(low), y(high)) for at, low, high in zip(middles, below, above, strict=True)), name, width))
        below = above
    return marks


def _rates(parts: Columns, middles: Sequence[float], width: float) -> list[Mark]:
    rates = list(zip(middles, parts.calls_per_hour, strict=True))
    y = Scale(0, axes.ceiling(max((rate or 0 for _, rate in rates), default=0), 4), _FOOT_PX, _CALLS_TOP_PX)
    marks = axes.left_axis(y, _LEFT_PX, _RIGHT_PX, "calls per analysed hour", axes.ticks(0, y.high, 4))
    marks.append(bars(((at, y(0), y(rate or 0)) for at, rate in rates), "rate", width))
    idle = "".join(f"M{px(at - width / 2)} {px(_FOOT_PX - 3)}h{px(width)}" for at, rate in rates if rate is None)
    return [*marks, Path(idle, "idle")]


def _in_words(parts: Columns, length: str) -> str:
    whole_ns = parts.length_ns * len(parts.n_calls)
    shares = ", ".join(
        f"{name} {percent(ns, whole_ns)}" for key, name in _SHARES.items() if (ns := int(parts.shares_ns[key].sum()))
    )
    cut = f"{count(len(parts.n_calls), 'column')} of {length}"
    return f"{cut}; of all their time: {shares}; {count(int(parts.n_calls.sum()), 'call')}."


def _table(parts: Columns) -> Table:
    named = (*_SHARES, "overlap")
    heads = ("Analysed (h)", "Drop-out (h)", "Unreadable (h)", "Duty cycle (h)", "Gap (h)", "Recorded twice (h)")
    times = [parts.recorded_ns, *(parts.overlap_ns if name == "overlap" else parts.shares_ns[name] for name in named)]
    rates = parts.calls_per_hour
    rows = (
        (
            f"{from_ns(int(parts.edges_ns[i])):%Y-%m-%d %H:%M}",
            *(f"{int(ns[i]) / HOUR_NS:,.3f}" for ns in times),
            f"{int(parts.n_calls[i]):,}",
            "no effort" if rates[i] is None else f"{rates[i]:,.3f}",
        )
        for i in range(len(rates))
    )
    return Table(("From (UTC)", "Recorded (h)", *heads, "Calls", "Calls per hour"), tuple(rows))
