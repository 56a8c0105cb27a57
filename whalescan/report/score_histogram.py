"""Histograms of scores: of detections, by review, and of all windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from whalescan.core import Detection, IntArray
from whalescan.core.text import count, threshold_text
from whalescan.report.svg import (
    Drawing,
    Figure,
    Scale,
    SvgElement,
    SvgPath,
    SvgText,
    Table,
    axis_end,
    bars,
    bottom_axis,
    left_axis,
    legend,
    px,
    ticks,
)

_WIDTH_PX, _LEFT_PX, _RIGHT_PX, _TOP_PX, _BASE_PX = 900.0, 66.0, 886.0, 70.0, 260.0
_WINDOWS_TOP_PX = 36.0
_N_BINS = 50
_LABELS = {"yes": "confirmed", "maybe": "maybe", "unreviewed": "not reviewed", "no": "rejected"}
"""By review, in the order in which they are stacked."""
_MAX_WINDOW_BINS = 100


def detection_scores_figure(detections: Sequence[Detection], threshold: float) -> Figure:
    """Return the detections by score, stacked by review.

    Args:
        detections: all of a survey.
        threshold: score at which a detection begins.
    """
    title = "Scores of detections"
    scored = [detection for detection in detections if detection.score is not None]
    if not scored:
        return Figure("scores", title, "There is no detection with a score.")
    n_added = len(detections) - len(scored)
    added = f" {count(n_added, 'call')} that only people found {'has' if n_added == 1 else 'have'} no score."
    caption = (
        f"Detections in {_N_BINS} equal parts of the score, by review. Broken line: the threshold, "
        f"{threshold_text(threshold)}.{added if n_added else ''}"
    )
    counts = _counts(scored)
    return Figure("scores", title, caption, _detections_drawing(counts, threshold), _detections_table(counts))


def _counts(scored: Sequence[Detection]) -> dict[str, list[int]]:
    """Return the detections in each part of the score by review, in the order in which they are stacked."""
    counts = Counter(
        (detection.review, min(int((detection.score or 0) * _N_BINS + 1e-9), _N_BINS - 1)) for detection in scored
    )
    return {review: [counts[review, i] for i in range(_N_BINS)] for review in _LABELS}


def _detections_drawing(counts: dict[str, list[int]], threshold: float) -> Drawing:
    totals = [sum(some) for some in zip(*counts.values(), strict=True)]
    x = Scale(0, 1, _LEFT_PX, _RIGHT_PX)
    y = Scale(0, axis_end(max(totals), min_step=1), _BASE_PX, _TOP_PX)
    elements: list[SvgElement] = [*legend(_LEFT_PX, 16, list(_LABELS.items()))]
    elements += left_axis(y, _LEFT_PX, _RIGHT_PX, "detections", ticks(0, y.high, min_step=1))
    below = [0] * _N_BINS
    for review, some in counts.items():
        above = [low + n for low, n in zip(below, some, strict=True)]
        columns = ((_middle_px(i, _N_BINS), y(low), y(high)) for i, (low, high) in enumerate(zip(below, above, strict=True)))
        elements.append(bars(columns, review, _pitch_px(_N_BINS) - 2))
        below = above
    elements += [*_threshold_line(threshold, x, _TOP_PX), *_score_axis(x)]
    parts = ", ".join(f"{sum(some):,} {_LABELS[review]}" for review, some in counts.items() if sum(some))
    description = f"{count(sum(totals), 'detection')}: {parts}."
    return Drawing("Scores of detections", description, _WIDTH_PX, _BASE_PX + 44, tuple(elements))


def _detections_table(counts: dict[str, list[int]]) -> Table:
    rows = tuple(
        (f"{i / _N_BINS:.2f} to {(i + 1) / _N_BINS:.2f}", *(f"{n:,}" for n in some), f"{sum(some):,}")
        for i, some in enumerate(zip(*counts.values(), strict=True))
        if sum(some)
    )
    heads = tuple(label.capitalize() for label in _LABELS.values())
    return Table(("Score", *heads, "All"), rows, "Parts without detections are left out.")


def window_scores_figure(window_counts: IntArray, threshold: float) -> Figure:
    """Return the windows by score, on a logarithmic axis, because nearly all windows have the lowest scores.

    Args:
        window_counts: int64 ``[n]``, number of windows that score in each of n equal parts of 0 to 1.
        threshold: score at which a detection begins.
    """
    counts = _merge_bins(window_counts)
    title = "Scores of all windows"
    if not sum(counts):
        return Figure("windows", title, "No window was scored.")
    caption = (
        f"Every window that was scored, on a logarithmic axis. Broken line: the threshold, {threshold_text(threshold)}."
    )
    rows = tuple((f"{i / len(counts):.2f} to {(i + 1) / len(counts):.2f}", f"{n:,}") for i, n in enumerate(counts))
    return Figure("windows", title, caption, _windows_drawing(counts, threshold), Table(("Score", "Windows"), rows))


def _merge_bins(window_counts: IntArray) -> list[int]:
    """Return the counts in at most `_MAX_WINDOW_BINS` equal parts."""
    factor = -(-len(window_counts) // _MAX_WINDOW_BINS)
    while len(window_counts) % factor:
        factor += 1
    counts: list[int] = np.asarray(window_counts).reshape(-1, factor).sum(axis=1).tolist()
    return counts


def _windows_drawing(counts: Sequence[int], threshold: float) -> Drawing:
    n_decades = len(str(max(counts)))  # 10 to this power is above all counts
    x, y = Scale(0, 1, _LEFT_PX, _RIGHT_PX), Scale(-0.5, n_decades, _BASE_PX, _WINDOWS_TOP_PX)
    step = -(-n_decades // 5)
    elements: list[SvgElement] = []
    for power in range(0, n_decades + 1, step):
        elements.append(SvgPath(f"M{px(_LEFT_PX)} {px(y(power))}H{px(_RIGHT_PX)}", "grid"))
        elements.append(SvgText(_LEFT_PX - 7, y(power) + 4, _power_label(power), "end", "soft"))
    elements.append(SvgText(0, _WINDOWS_TOP_PX - 12, "windows", role="soft"))
    columns = ((_middle_px(i, len(counts)), _BASE_PX, y(float(np.log10(n)))) for i, n in enumerate(counts) if n)
    elements.append(bars(columns, "rate", _pitch_px(len(counts)) - 1))
    elements += [*_threshold_line(threshold, x, _WINDOWS_TOP_PX), *_score_axis(x)]
    return Drawing("Scores of windows", f"{count(sum(counts), 'window')}.", _WIDTH_PX, _BASE_PX + 44, tuple(elements))


def _power_label(power: int) -> str:
    return f"{10**power:,}" if power < 6 else f"{10 ** (power - 6):,} M"


def _threshold_line(threshold: float, scale: Scale, top: float) -> list[SvgElement]:
    x = scale(threshold)
    label = f"threshold {threshold_text(threshold)}"
    return [
        SvgPath(f"M{px(x)} {px(top - 14)}V{px(_BASE_PX)}", "threshold"),
        SvgText(x - 6, top - 6, label, "end") if threshold > 0.5 else SvgText(x + 6, top - 6, label),
    ]


def _score_axis(scale: Scale) -> list[SvgElement]:
    return bottom_axis(scale, _BASE_PX, [(i / 10, f"{i / 10:.1f}") for i in range(11)], "score")


def _pitch_px(n_bins: int) -> float:
    return (_RIGHT_PX - _LEFT_PX) / n_bins


def _middle_px(number: int, n_bins: int) -> float:
    return _LEFT_PX + (number + 0.5) * _pitch_px(n_bins)
