"""Plots of an evaluation as PNG. matplotlib is imported only here, and used without its global state."""

from __future__ import annotations

import io
import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator
from sklearn.metrics import roc_curve

from whalescan.evaluation.metrics import PER_HOUR, Flags, Numbers, OperatingPoint, Reliability, ThresholdCurve

_BLUE, _ORANGE, _GREY, _INK = "#0072B2", "#D55E00", "#8a8a8a", "#404040"
"""Colours from a palette for colour-blind people (Okabe and Ito 2008)."""
_RATES = (0.001, 0.003, 0.01, 0.03, 0.1, *PER_HOUR, 20, 50, 100, 200, 500, 1000)
_RECALL = "recall: share of annotated calls with a detection"
_SIZE_INCHES = (6.4, 5.2)
_DOTS_PER_INCH = 150


def precision_recall(curve: ThresholdCurve, point: OperatingPoint, title: str) -> bytes:
    """Return precision over recall; the area under the steps is the average precision."""
    figure, axes = _axes(title, _RECALL, "precision: share of detections that are calls")
    if curve.n_calls:
        detected = curve.true_positives + curve.false_positives
        recall = np.concatenate([[0], curve.true_positives / curve.n_calls])
        precision = (
            np.concatenate([curve.true_positives[:1] / detected[:1], curve.true_positives / detected])
            if len(curve)
            else np.zeros(1)
        )
        axes.plot(recall, precision, color=_BLUE, drawstyle="steps-pre", clip_on=False)
        if point.recall is not None and point.precision is not None:
            _mark(axes, point.recall, point.precision, f"threshold {point.threshold:g}")
    _unit_square(axes)
    return _png(figure)


def recall_over_false_positives(curve: ThresholdCurve, point: OperatingPoint, title: str) -> bytes:
    """Return recall over false positives per hour, on a logarithmic axis. The left edge means no false positives."""
    figure, axes = _axes(title, "false positives per hour", _RECALL)
    left_edge = 0.5 / curve.hours
    most = 2 * max([PER_HOUR[-1], 1 / curve.hours, *curve.false_positives / curve.hours])
    if curve.n_calls and len(curve):
        per_hour = np.maximum(curve.false_positives / curve.hours, left_edge)
        axes.plot(per_hour, curve.true_positives / curve.n_calls, color=_BLUE, drawstyle="steps-post", clip_on=False)
        if point.recall is not None:
            _mark(axes, max(point.false_positives_per_hour, left_edge), point.recall, f"threshold {point.threshold:g}")
    axes.set_xscale("log")
    axes.set_xlim(left_edge, most)
    axes.set_xticks([left_edge, *(rate for rate in _RATES if 1.5 * left_edge < rate <= most)])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: "none" if math.isclose(rate, left_edge) else f"{rate:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0, 1.02)
    return _png(figure)


def receiver_operating(is_call: Flags, scores: Numbers, title: str) -> bytes:
    """Return the receiver operating characteristic (ROC) of clips; the area below is the AUC."""
    figure, axes = _axes(title, "false positive rate: clips without a call", "true positive rate: clips with a call")
    false_rate, true_rate, _ = roc_curve(is_call, scores)
    axes.plot(false_rate, true_rate, color=_BLUE, clip_on=False)
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", linewidth=1)
    _unit_square(axes)
    return _png(figure)


def reliability(measured: Reliability, title: str, of_what: str) -> bytes:
    """Return the share that is correct over the mean score in bins, with the number of scores in each."""
    figure, axes = _axes(title, "mean score", f"share of {of_what}")
    points = [
        (score_bin.mean_score, score_bin.share, score_bin.n)
        for score_bin in measured.bins
        if score_bin.mean_score is not None and score_bin.share is not None
    ]
    scores, shares, counts = (list(values) for values in zip(*points, strict=True))
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", linewidth=1, label="share equal to the score")
    axes.plot(
        scores,
        shares,
        color=_BLUE,
        marker="o",
        clip_on=False,
        label=f"bins of scores, with n; Brier score {measured.brier:.3f}",
    )
    label_box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8}
    for score, share, n in zip(scores, shares, counts, strict=True):
        offset = (7, -11) if share > 0.1 else (0, 8)  # below the rising line, but not below the axis
        axes.annotate(f"{n:,}", (score, share), offset, textcoords="offset points", fontsize=8, color=_INK, bbox=label_box)
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
    """Return the figure as PNG without version and time, so that the same figure gives the same bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return file.getvalue()
