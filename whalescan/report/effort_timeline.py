"""Figure of effort and gaps over the survey's time, with detections on the same axis."""

from __future__ import annotations

from collections.abc import Sequence

from whalescan.core import from_ns
from whalescan.core.text import count, percent
from whalescan.detections.detection_rates import SurveyTimeline, survey_timeline
from whalescan.report.report_data import ReportData
from whalescan.report.svg import (
    Drawing,
    Figure,
    Scale,
    SvgElement,
    SvgPath,
    Table,
    axis_end,
    bars,
    bottom_axis,
    left_axis,
    legend,
    px,
    ticks,
    time_ticks,
)

_HOUR_NS = 3600 * 10**9
_WIDTH_PX, _LEFT_PX, _RIGHT_PX = 900.0, 60.0, 866.0
_EFFORT_TOP_PX, _EFFORT_BASE_PX, _OVERLAP_PX = 70.0, 190.0, 194.0
_RATE_TOP_PX, _RATE_BASE_PX = 240.0, 350.0
_MAX_BINS = 122
_MAX_BAR_PX = 60.0
_LABELS = {
    "analysed": "analysed",
    "dropout": "drop-out",
    "unreadable": "unreadable",
    "duty_cycle": "duty cycle",
    "gap": "gap",
}


def timeline_figure(data: ReportData) -> Figure:
    """Return effort and gaps over the survey's time, with detections per analysed hour below."""
    title = "Effort, gaps and detections"
    if not data.hourly:
        return Figure("timeline", title, "No recording has a known start time, so there is no time line.")
    timeline = survey_timeline(data.hourly, data.recorded, data.analysed, data.gaps, _MAX_BINS)
    length = _length_text(timeline.bin_length_ns)
    caption = (
        f"Each column is {length}. Above: analysed time and gaps; empty is before or after the survey. A mark below a "
        "column means that time was recorded more than once; it counts once. Below: detections that were not rejected, per "
        "analysed hour, on the channel with most of them; dots mark columns without effort."
    )
    return Figure("timeline", title, caption, _drawing(timeline, length), _table(timeline))


def _length_text(length_ns: int) -> str:
    length_h = length_ns // _HOUR_NS
    return count(length_h // 24, "day") if length_h % 24 == 0 else count(length_h, "hour")


def _drawing(timeline: SurveyTimeline, length: str) -> Drawing:
    begin_ns, end_ns = int(timeline.edges_ns[0]), int(timeline.edges_ns[-1])
    x = Scale(begin_ns, end_ns, _LEFT_PX, _RIGHT_PX)
    middles = [x(int(edge_ns) + timeline.bin_length_ns / 2) for edge_ns in timeline.edges_ns[:-1]]
    pitch = (_RIGHT_PX - _LEFT_PX) / len(middles)
    width = min(pitch - (1 if pitch > 4 else 0), _MAX_BAR_PX)
    elements: list[SvgElement] = [*legend(_LEFT_PX, 16, [*_LABELS.items(), ("overlap", "recorded twice")])]
    effort_y = Scale(0, 100, _EFFORT_BASE_PX, _EFFORT_TOP_PX)
    elements += left_axis(effort_y, _LEFT_PX, _RIGHT_PX, "% of time", [0, 50, 100])
    elements += _effort(timeline, middles, width)
    overlaps = zip(middles, timeline.overlap_ns.tolist(), strict=True)
    elements.append(
        bars(((middle, _OVERLAP_PX + 6, _OVERLAP_PX) for middle, overlap_ns in overlaps if overlap_ns), "overlap", width)
    )
    elements += _rates(timeline, middles, width)
    elements += bottom_axis(x, _RATE_BASE_PX, time_ticks(begin_ns, end_ns), "UTC")
    description = _description(timeline, length)
    return Drawing("Effort and detections over time", description, _WIDTH_PX, _RATE_BASE_PX + 44, tuple(elements))


def _effort(timeline: SurveyTimeline, middles: Sequence[float], width: float) -> list[SvgElement]:
    """Return the shares of each column, stacked."""
    y = Scale(0, timeline.bin_length_ns, _EFFORT_BASE_PX, _EFFORT_TOP_PX)
    below = [0] * len(middles)
    elements: list[SvgElement] = []
    for name in _LABELS:
        above = [low_ns + ns for low_ns, ns in zip(below, timeline.durations_ns[name].tolist(), strict=True)]
        columns = ((x, y(low_ns), y(high_ns)) for x, low_ns, high_ns in zip(middles, below, above, strict=True))
        elements.append(bars(columns, name, width))
        below = above
    return elements


def _rates(timeline: SurveyTimeline, middles: Sequence[float], width: float) -> list[SvgElement]:
    rates = list(zip(middles, timeline.detections_per_hour, strict=True))
    highest = max((rate or 0 for _, rate in rates), default=0)
    y = Scale(0, axis_end(highest, 4), _RATE_BASE_PX, _RATE_TOP_PX)
    elements = left_axis(y, _LEFT_PX, _RIGHT_PX, "detections per analysed hour", ticks(0, y.high, 4))
    elements.append(bars(((x, y(0), y(rate or 0)) for x, rate in rates), "rate", width))
    no_effort = "".join(f"M{px(x - width / 2)} {px(_RATE_BASE_PX - 3)}h{px(width)}" for x, rate in rates if rate is None)
    return [*elements, SvgPath(no_effort, "idle")]


def _description(timeline: SurveyTimeline, length: str) -> str:
    total_ns = timeline.bin_length_ns * len(timeline.n_detections)
    shares = ", ".join(
        f"{label} {percent(ns, total_ns)}"
        for name, label in _LABELS.items()
        if (ns := int(timeline.durations_ns[name].sum()))
    )
    columns = f"{count(len(timeline.n_detections), 'column')} of {length}"
    return f"{columns}; of all their time: {shares}; {count(int(timeline.n_detections.sum()), 'detection')}."


def _table(timeline: SurveyTimeline) -> Table:
    heads = ("Analysed (h)", "Drop-out (h)", "Unreadable (h)", "Duty cycle (h)", "Gap (h)", "Recorded twice (h)")
    times = [timeline.recorded_ns, *(timeline.durations_ns[name] for name in _LABELS), timeline.overlap_ns]
    rows = (
        (
            f"{from_ns(int(timeline.edges_ns[i])):%Y-%m-%d %H:%M}",
            *(f"{int(ns[i]) / _HOUR_NS:,.3f}" for ns in times),
            f"{int(timeline.n_detections[i]):,}",
            "no effort" if rate is None else f"{rate:,.3f}",
        )
        for i, rate in enumerate(timeline.detections_per_hour)
    )
    return Table(("From (UTC)", "Recorded (h)", *heads, "Detections", "Detections per hour"), tuple(rows))
