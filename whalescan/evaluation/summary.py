"""What an evaluation says, for a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import fill

from whalescan.evaluation.bootstrap import PERCENT, Interval
from whalescan.evaluation.clips import ClipEvaluation
from whalescan.evaluation.evaluate import Advice, Evaluation, recall_name
from whalescan.evaluation.matching import RULE
from whalescan.evaluation.metrics import PER_HOUR, Point
from whalescan.evaluation.wording import count, in_hours

_INDENT, _WIDTH = 28, 110
_NOTES = 20


def summary(found: Evaluation) -> str:
    """Everything of importance on one screen."""
    curve = found.curve
    best = curve.best_f1()
    return "\n".join(
        [
            found.detector,
            fill(f"matching: {RULE.format(tolerance_s=found.options.tolerance_s)}", _WIDTH, subsequent_indent="  "),
            f"{count(len(found.recordings), 'recording')}, {in_hours(curve.hours)} of listening, "
            f"{count(curve.n_calls, 'annotated call')}, {_detections(found)}",
            "",
            _line("average precision", _value(curve.average_precision(), found.intervals["average precision"])),
            *(_line(f"recall at {f:g} FP/h", _value(curve.recall_at(f), found.intervals[recall_name(f)])) for f in PER_HOUR),
            _line("best F1", _value(best.f1 if best else None, found.intervals["best F1"]) + _at(best)),
            _line(
                "Brier score of detections", _value(found.calibration.brier) if found.calibration else "scores are no shares"
            ),
            "",
            _line(f"at threshold {found.point.threshold:g}", _point(found.point)),
            *(line for one in found.advice for line in _advice(one)),
            *_recordings(found),
            *_notes(found.notes),
        ]
    )


def clip_summary(found: ClipEvaluation) -> str:
    """Everything of importance about labelled clips."""
    with_call = int(found.is_call.sum())
    return "\n".join(
        [
            f"{found.model} on {count(len(found.names), 'clip')}, {with_call:,} with a call",
            "",
            *(_line(name, _value(value, found.intervals[name])) for name, value in found.values.items()),
            *_notes(found.notes),
        ]
    )


def _detections(found: Evaluation) -> str:
    counting = int(found.curve.hits[-1] + found.curve.false_positives[-1]) if len(found.curve) else 0
    lowest = f" with a score of at least {found.lowest:g}" if found.lowest is not None else ""
    return f"{count(counting, 'detection')}{lowest}; {found.n_aside:,} more set aside"


def _line(name: str, value: str) -> str:
    return f"{name:<{_INDENT}}{value}"


def _value(value: float | None, interval: Interval | None = None) -> str:
    shown = "not defined" if value is None else f"{value:.3f}"
    return shown + (f"   {PERCENT} % [{interval.low:.3f}, {interval.high:.3f}]" if interval else "")


def _at(point: Point | None) -> str:
    return f"   at threshold {point.threshold:.4f}" if point else ""


def _advice(given: Advice) -> Iterator[str]:
    threshold = f"threshold {given.point.threshold:g}" if given.point else "no threshold"
    yield ""
    yield f"for {given.aim}: {threshold} ({given.why})"
    if given.point:
        yield _line("", _point(given.point))


def _point(point: Point) -> str:
    rates = (("precision", point.precision), ("recall", point.recall), ("F1", point.f1))
    shares = ", ".join(f"{name} {value:.3f}" for name, value in rates if value is not None)
    counts = f"{count(point.hits, 'hit')}, {point.misses:,} missed, {point.false_positives:,} false"
    return f"{counts}" + (f"; {shares}" if shares else "") + f", {point.false_positives_per_hour:.3g} FP/h"


def _recordings(found: Evaluation) -> Iterator[str]:
    """The recordings with the most errors: where to look first."""
    if len(found.recordings) < 2:
        return
    shown = sorted(found.recordings, key=lambda one: -(one.point.misses + one.point.false_positives))[:10]
    yield ""
    most = ", the 10 with the most" if len(found.recordings) > 10 else ""
    yield f"errors at threshold {found.point.threshold:g}, by recording{most}"
    for one in shown:
        yield (
            f"  {one.recording.name}: {count(one.n_calls, 'call')} in {in_hours(one.hours)}, "
            f"{one.point.misses:,} missed, {one.point.false_positives:,} false"
        )


def _notes(notes: Sequence[str]) -> list[str]:
    """The last ones are about the numbers, and are always shown."""
    lines = [f"note: {note}" for note in notes]
    if len(lines) > _NOTES:
        hidden = f"note: {count(len(lines) - _NOTES, 'more note')}, see evaluation.json (--output)"
        lines = [*lines[: _NOTES // 2], hidden, *lines[-_NOTES // 2 :]]
    return ["", *lines] if lines else []
