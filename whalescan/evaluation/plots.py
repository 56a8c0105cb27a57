"""The curves as pictures. matplotlib is imported here alone, and drawn on without its global state."""

from __future__ import annotations

import io
import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator
from sklearn.metrics import roc_curve

from whalescan.evaluation.metrics import PER_HOUR, Calibration, Curve, Flags, Numbers, Point

_BLUE, _ORANGE, _GREY, _INK = "#0072B2", "#D55E00", "#8a8a8a", "#404040"
"""Of the palette that colour-blind people tell apart (Okabe and Ito 2008)."""
_RATES = (0.001, 0.003, 0.01, 0.03, 0.1, *PER_HOUR, 20, 50, 100, 200, 500, 1000)
_SIZE_INCHES = (6.4, 5.2)
_DOTS_PER_INCH = 150


def precision_recall(curve: Curve, point: Point, title: str) -> bytes:
    """Precision over recall; the area under the steps is the average precision."""
    figure, axes = _axes(
        title, "recall: share of the annotated calls that were found", "precision: share of detections that are calls"
    )
    if curve.n_calls:
        detected = curve.hits + curve.false_positives
        recall = np.concatenate([[0], curve.hits / curve.n_calls])
        precision = np.concatenate([curve.hits[:1] / detected[:1], curve.hits / detected]) if len(curve) else np.zeros(1)
        axes.plot(recall, precision, color=_BLUE, drawstyle="steps-pre", clip_on=False)
        if point.recall is not None and point.precision is not None:
            _mark(axes, point.recall, point.precision, f"threshold {point.threshold:g}")
    _unit_square(axes)
    return _png(figure)


def recall_over_false_positives(curve: Curve, point: Point, title: str) -> bytes:
    """Recall over false positives per hour, logarithmic. Where there are none stands at the left edge, named so."""
    figure, axes = _axes(title, "false positives per hour", "recall: share of the annotated calls that were found")
    none = 0.5 / curve.hours
    most = 2 * max([PER_HOUR[-1], 1 / curve.hours, *curve.false_positives / curve.hours])
    if curve.n_calls and len(curve):
        per_hour = np.maximum(curve.false_positives / curve.hours, none)
        axes.plot(per_hour, curve.hits / curve.n_calls, color=_BLUE, drawstyle="steps-post", clip_on=False)
        if point.recall is not None:
            _mark(axes, max(point.false_positives_per_hour, none), point.recall, f"threshold {point.threshold:g}")
    axes.set_xscale("log")
    axes.set_xlim(none, most)
    axes.set_xticks([none, *(rate for rate in _RATES if 1.5 * none < rate <= most)])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: "none" if math.isclose(rate, none) else f"{rate:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0, 1.02)
    return _png(figure)


def receiver_operating(is_call: Flags, scores: Numbers, title: str) -> bytes:
    """Share of calls over share of other clips with a score above each threshold; the area below is the AUC."""
    figure, axes = _axes(title, "share of clips without a call that pass", "share of clips with a call that pass")
    false_rate, true_rate, _ = roc_curve(is_call, scores)
    axes.plot(false_rate, true_rate, color=_BLUE, clip_on=False)
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", linewidth=1)
    _unit_square(axes)
    return _png(figure)


def reliability(calibration: Calibration, title: str, of_what: str) -> bytes:
    """Share that is right over the mean score, bin by bin, with how many lie in each."""
    figure, axes = _axes(title, "mean score", f"share of {of_what}")
    filled = [
        (one.mean_score, one.share, one.n)
        for one in calibration.bins
        if one.mean_score is not None and one.share is not None
    ]
    scores, shares, counts = (list(values) for values in zip(*filled, strict=True))
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", linewidth=1, label="a score that is the share")
    axes.plot(
        scores,
        shares,
        color=_BLUE,
        marker="o",
        clip_on=False,
        label=f"bins of scores, with n; Brier score {calibration.brier:.3f}",
    )
    behind = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8}
    for score, share, n in zip(scores, shares, counts, strict=True):
        place = (7, -11) if share > 0.1 else (0, 8)  # below the line as it rises, but not below the axis
        axes.annotate(f"{n:,}", (score, share), place, textcoords="offset points", fontsize=8, color=_INK, bbox=behind)
    axes.legend(loc="upper left", frameon=False)
    _unit_square(axes)
    return _png(figure)


def _axes(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(visible=True, color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _mark(axes: Axes, x: float, y: float, text: str) -> None:
    axes.plot([x], [y], color=_ORANGE, marker="o", linestyle="none", clip_on=False, zorder=3, label=text)
    axes.legend(loc="lower left" if y > 0.5 else "upper right", frameon=False)


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)


def _png(figure: Figure) -> bytes:
    """The same figure gives the same bytes: no version and no time stands in them."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return file.getvalue()
