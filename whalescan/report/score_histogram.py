"""How scores are distributed: of calls, by what people said of them, and of windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from whalescan.core import Detection, IntArray
from whalescan.report import axes, text
from whalescan.report.axes import Scale
from whalescan.report.svg import Drawing, Figure, Mark, Path, Table, Text, bars, legend, px
from whalescan.report.text import count

_WIDTH_PX, _LEFT_PX, _RIGHT_PX, _TOP_PX, _FOOT_PX = 900.0, 66.0, 886.0, 70.0, 260.0
_WINDOWS_TOP_PX = 36.0
_N_BINS = 50
_NAMES = {"yes": "confirmed", "maybe": "in doubt", "unreviewed": "not reviewed", "no": "rejected"}
_MOST_WINDOW_BINS = 100


def call_scores_figure(calls: Sequence[Detection], threshold: float) -> Figure:
    """Calls by score, stacked by review."""
    title = "Scores of calls"
    scored = [call for call in calls if call.score is not None]
    if not scored:
        return Figure("scores", title, "There is no call with a score.")
    added = len(calls) - len(scored)
    caption = (
        f"Calls in {_N_BINS} equal parts of the score, by review. Broken line: the threshold, {text.threshold(threshold)}."
        + (f" {count(added, 'call')} that only people saw {'has' if added == 1 else 'have'} no score." if added else "")
    )
    counts = _counts(scored)
    return Figure("scores", title, caption, _calls_drawing(counts, threshold), _calls_table(counts))


def _counts(scored: Sequence[Detection]) -> dict[str, list[int]]:
    """Calls in each part of the score, by review; in the order in which they are stacked."""
    placed = Counter((call.review, min(int((call.score or 0) * _N_BINS + 1e-9), _N_BINS - 1)) for call in scored)
    return {verdict: [placed[verdict, i] for i in range(_N_BINS)] for verdict in _NAMES}


def _calls_drawing(counts: dict[str, list[int]], threshold: float) -> Drawing:
    totals = [sum(some) for some in zip(*counts.values(), strict=True)]
    y = Scale(0, axes.ceiling(max(totals), finest=1), _FOOT_PX, _TOP_PX)
    across = Scale(0, 1, _LEFT_PX, _RIGHT_PX)
    marks: list[Mark] = [*legend(_LEFT_PX, 16, list(_NAMES.items()))]
    marks += axes.left_axis(y, _LEFT_PX, _RIGHT_PX, "calls", axes.ticks(0, y.high, finest=1))
    below = [0] * _N_BINS
    for verdict, some in counts.items():
        above = [one + n for one, n in zip(below, some, strict=True)]
        stacked = enumerate(zip(below, above, strict=True))
        marks.append(bars(((_x(i, _N_BINS), y(low), y(high)) for i, (low, high) in stacked), verdict, _pitch(_N_BINS) - 2))
        below = above
    marks += [*_threshold(threshold, across, _TOP_PX), *_score_axis(across)]
    named = ", ".join(f"{sum(some):,} {_NAMES[verdict]}" for verdict, some in counts.items() if sum(some))
    return Drawing("Scores of calls", f"{count(sum(totals), 'call')}: {named}.", _WIDTH_PX, _FOOT_PX + 44, tuple(marks))


def _calls_table(counts: dict[str, list[int]]) -> Table:
    rows = tuple(
        (f"{i / _N_BINS:.2f} to {(i + 1) / _N_BINS:.2f}", *(f"{n:,}" for n in some), f"{sum(some):,}")
        for i, some in enumerate(zip(*counts.values(), strict=True))
        if sum(some)
    )
    heads = tuple(name.capitalize() for name in _NAMES.values())
    return Table(("Score", *heads, "All"), rows, "Parts without calls are left out.")


def window_scores_figure(window_counts: IntArray, threshold: float) -> Figure:
    """Windows by score, on a logarithmic axis: nearly all of them lie at the left end."""
    counts = _regrouped(window_counts)
    title = "Scores of all windows"
    n_above = f"threshold, {text.threshold(threshold)}"
    caption = f"Every window that was scored, on a logarithmic axis. Broken line: the {n_above}."
    if not sum(counts):
        return Figure("windows", title, "No window was scored.")
    rows = tuple((f"{i / len(counts):.2f} to {(i + 1) / len(counts):.2f}", f"{n:,}") for i, n in enumerate(counts))
    return Figure("windows", title, caption, _windows_drawing(counts, threshold), Table(("Score", "Windows"), rows))


def _regrouped(window_counts: IntArray) -> list[int]:
    """In at most so many equal parts as can be told apart."""
    by = -(-len(window_counts) // _MOST_WINDOW_BINS)
    while len(window_counts) % by:
        by += 1
    counts: list[int] = np.asarray(window_counts).reshape(-1, by).sum(axis=1).tolist()
    return counts


def _windows_drawing(counts: Sequence[int], threshold: float) -> Drawing:
    decades = len(str(max(counts)))  # the lowest power of ten above all
    y, across = Scale(-0.5, decades, _FOOT_PX, _WINDOWS_TOP_PX), Scale(0, 1, _LEFT_PX, _RIGHT_PX)
    step = -(-decades // 5)
    marks: list[Mark] = []
    for power in range(0, decades + 1, step):
        marks.append(Path(f"M{px(_LEFT_PX)} {px(y(power))}H{px(_RIGHT_PX)}", "grid"))
        marks.append(Text(_LEFT_PX - 7, y(power) + 4, _power(power), "end", "soft"))
    marks.append(Text(0, _WINDOWS_TOP_PX - 12, "windows", role="soft"))
    heads = ((i, float(np.log10(n))) for i, n in enumerate(counts) if n)
    marks.append(bars(((_x(i, len(counts)), _FOOT_PX, y(head)) for i, head in heads), "rate", _pitch(len(counts)) - 1))
    marks += [*_threshold(threshold, across, _WINDOWS_TOP_PX), *_score_axis(across)]
    return Drawing("Scores of windows", f"{sum(counts):,} windows.", _WIDTH_PX, _FOOT_PX + 44, tuple(marks))


def _power(power: int) -> str:
    return f"{10**power:,}" if power < 6 else f"{10 ** (power - 6):,} M"


def _threshold(threshold: float, across: Scale, top: float) -> list[Mark]:
    x = across(threshold)
    label = f"threshold {text.threshold(threshold)}"
    return [
        Path(f"M{px(x)} {px(top - 14)}V{px(_FOOT_PX)}", "threshold"),
        Text(x - 6, top - 6, label, "end") if threshold > 0.5 else Text(x + 6, top - 6, label),
    ]


def _score_axis(across: Scale) -> list[Mark]:
    return axes.bottom_axis(across, _FOOT_PX, [(i / 10, f"{i / 10:.1f}") for i in range(11)], "score")


def _pitch(n: int) -> float:
    return (_RIGHT_PX - _LEFT_PX) / n


def _x(place: int, n: int) -> float:
    return _LEFT_PX + (place + 0.5) * _pitch(n)
