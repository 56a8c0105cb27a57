"""Results of an evaluation: the summary for the terminal, and the files of the output folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from textwrap import fill
from typing import Any

from whalescan._version import __version__
from whalescan.core import Annotation, Recording, plain_text
from whalescan.core.files import csv_bytes, write_atomically
from whalescan.core.text import count, hours
from whalescan.evaluation.clip_evaluation import ClipEvaluation
from whalescan.evaluation.comparison import (
    Evaluation,
    MatchEvent,
    RecordingEvaluation,
    ThresholdRecommendation,
    recall_name,
)
from whalescan.evaluation.matching import RULE, MatchOutcome
from whalescan.evaluation.metrics import (
    PER_HOUR,
    PERCENT,
    BootstrapOptions,
    ConfidenceInterval,
    OperatingPoint,
    ThresholdCurve,
)
from whalescan.tables.raven import COLUMNS as RAVEN_COLUMNS

_POINT_FIELDS = {
    "hits": "true_positives",
    "misses": "false_negatives",
    "false_positives": "false_positives",
    "precision": "precision",
    "recall": "recall",
    "f1": "f1",
    "false_positives_per_hour": "false_positives_per_hour",
}
"""Columns of tables and keys of ``evaluation.json``, with the fields of an operating point."""
CURVE_COLUMNS = ("threshold", "n_detections", *_POINT_FIELDS)
RECORDING_COLUMNS = ("recording", "hours", "n_calls", "average_precision", "threshold", *_POINT_FIELDS)
EVENT_COLUMNS = ("recording", "begin_s", "end_s", "low_hz", "high_hz", "label", "score", "outcome")
ERROR_COLUMNS = (*RAVEN_COLUMNS[:9], "Annotation", "Score", "Detector")
CLIP_COLUMNS = ("clip_name", "label", "score")
_ERROR_NAMES = {MatchOutcome.FALSE_POSITIVE: "false alarm", MatchOutcome.FALSE_NEGATIVE: "missed"}
_INDENT, _WIDTH = 28, 110
_MAX_NOTES = 20
_MAX_RECORDINGS = 10


# ---------------------------------------------------------------------------------------------- summary


def evaluation_summary(evaluation: Evaluation) -> str:
    """Return the main metrics as text for one screen."""
    curve, intervals = evaluation.curve, evaluation.intervals
    best = curve.best_f1()
    recalls = [(f"recall at {f:g} FP/h", _value(curve.recall_at(f), intervals[recall_name(f)])) for f in PER_HOUR]
    brier = _value(evaluation.reliability.brier) if evaluation.reliability else "not defined, scores are not from 0 to 1"
    return "\n".join(
        [
            evaluation.detector,
            fill(f"matching: {RULE.format(tolerance_s=evaluation.options.tolerance_s)}", _WIDTH, subsequent_indent="  "),
            f"{count(len(evaluation.recordings), 'recording')}, {hours(3600 * curve.hours)} analysed, "
            f"{count(curve.n_calls, 'annotated call')}, {_detections(evaluation)}",
            "",
            _line("average precision", _value(curve.average_precision(), intervals["average precision"])),
            *(_line(name, value) for name, value in recalls),
            _line("best F1", _value(best.f1 if best else None, intervals["best F1"]) + _at_threshold(best)),
            _line("Brier score of detections", brier),
            "",
            _line(f"at threshold {evaluation.point.threshold:g}", _point(evaluation.point)),
            *(line for recommendation in evaluation.recommendations for line in _recommendation(recommendation)),
            *_recordings(evaluation),
            *_notes(evaluation.notes),
            *_calibration(evaluation),
        ]
    )


def clip_summary(evaluation: ClipEvaluation) -> str:
    """Return the metrics of labelled clips as text."""
    n_calls = int(evaluation.is_call.sum())
    return "\n".join(
        [
            f"{evaluation.model} on {count(len(evaluation.names), 'clip')}, {n_calls:,} with a call",
            "",
            *(_line(name, _value(value, evaluation.intervals[name])) for name, value in evaluation.values.items()),
            *_notes(evaluation.notes),
        ]
    )


def _detections(evaluation: Evaluation) -> str:
    curve = evaluation.curve
    n = int(curve.true_positives[-1] + curve.false_positives[-1]) if len(curve) else 0
    lowest = f" with a score of at least {evaluation.lowest_score:g}" if evaluation.lowest_score is not None else ""
    return f"{count(n, 'detection')}{lowest}; {evaluation.n_ignored:,} more ignored"


def _line(name: str, value: str) -> str:
    return f"{name:<{_INDENT}}{value}"


def _value(value: float | None, interval: ConfidenceInterval | None = None) -> str:
    text = "not defined" if value is None else f"{value:.3f}"
    return text + (f"   {PERCENT} % [{interval.low:.3f}, {interval.high:.3f}]" if interval else "")


def _at_threshold(point: OperatingPoint | None) -> str:
    return f"   at threshold {point.threshold:.4f}" if point else ""


def _recommendation(recommendation: ThresholdRecommendation) -> Iterator[str]:
    point = recommendation.point
    yield ""
    threshold = f"threshold {point.threshold:g}" if point else "no threshold"
    yield f"for {recommendation.aim}: {threshold} ({recommendation.reason})"
    if point:
        yield _line("", _point(point))


def _point(point: OperatingPoint) -> str:
    named = (("precision", point.precision), ("recall", point.recall), ("F1", point.f1))
    rates = ", ".join(f"{name} {value:.3f}" for name, value in named if value is not None)
    counts = (
        f"{count(point.true_positives, 'true positive')}, {count(point.false_positives, 'false positive')}, "
        f"{count(point.false_negatives, 'false negative')}"
    )
    return counts + (f"; {rates}" if rates else "") + f", {point.false_positives_per_hour:.3g} FP/h"


def _recordings(evaluation: Evaluation) -> Iterator[str]:
    """Return the recordings with the most errors."""
    results = sorted(evaluation.recordings, key=lambda one: -(one.point.false_negatives + one.point.false_positives))
    if len(results) < 2:
        return
    most = f", the {_MAX_RECORDINGS} with the most errors" if len(results) > _MAX_RECORDINGS else ""
    yield ""
    yield f"errors at threshold {evaluation.point.threshold:g}, by recording{most}"
    for result in results[:_MAX_RECORDINGS]:
        false_positives = count(result.point.false_positives, "false positive")
        false_negatives = count(result.point.false_negatives, "false negative")
        calls, analysed = count(result.n_calls, "call"), hours(3600 * result.hours)
        yield f"  {result.recording.name}: {calls} in {analysed}, {false_positives}, {false_negatives}"


def _notes(notes: Sequence[str]) -> list[str]:
    """Return the notes, shortened in the middle: the last ones are about the metrics and always shown."""
    lines = [f"note: {note}" for note in notes]
    if len(lines) > _MAX_NOTES:
        hidden = f"note: {count(len(lines) - _MAX_NOTES, 'more note')}, see evaluation.json in the output folder"
        lines = [*lines[: _MAX_NOTES // 2], hidden, *lines[-_MAX_NOTES // 2 :]]
    return ["", *lines] if lines else []


def _calibration(evaluation: Evaluation) -> Iterator[str]:
    fit = evaluation.calibration
    if fit is not None:
        true_positives = count(fit.n_true_positives, "true positive")
        false_positives = count(fit.n_false_positives, "false positive")
        yield (
            f"{evaluation.calibrated_model}: calibrated on {true_positives} and {false_positives} in "
            f"{hours(3600 * fit.hours)}; its threshold {fit.threshold:g} gives about {fit.expected_per_hour:g} FP/h"
        )


# ---------------------------------------------------------------------------------------------- files


def write_evaluation(folder: Path, evaluation: Evaluation, given: Mapping[str, object]) -> None:
    """Write all files of an evaluation of recordings.

    Args:
        folder: output folder; made if it does not exist.
        evaluation: the evaluation.
        given: options, to be stored in ``evaluation.json``.

    Raises:
        OutputError: when a file cannot be written.
    """
    results = evaluation.recordings
    write_atomically(folder / "evaluation.json", _json(_document(evaluation, given)))
    write_atomically(folder / "curve.csv", csv_bytes(CURVE_COLUMNS, map(_curve_row, evaluation.curve.points())))
    write_atomically(folder / "recordings.csv", csv_bytes(RECORDING_COLUMNS, map(_recording_row, results)))
    rows = (_event_row(result.recording, event) for result in results for event in result.events)
    write_atomically(folder / "events.csv", csv_bytes(EVENT_COLUMNS, rows))
    for result in results:
        path = folder / "errors" / f"{result.recording.name}.errors.selections.txt"
        write_atomically(path, error_table(result, evaluation.detector))
    for name, plot in _plots(evaluation):
        write_atomically(folder / name, plot)


def write_clips(folder: Path, evaluation: ClipEvaluation, given: Mapping[str, object]) -> None:
    """Write all files of an evaluation of clips, as `write` does."""
    from whalescan.evaluation import plots  # importing matplotlib takes a while

    reliability = evaluation.reliability
    n_calls = int(evaluation.is_call.sum())
    document = {
        **_head(given, evaluation.notes, evaluation.bootstrap),
        "model": evaluation.model,
        "threshold": evaluation.threshold,
        "n_clips": len(evaluation.names),
        "n_calls": n_calls,
        "measures": {name: _measure(value, evaluation.intervals[name]) for name, value in evaluation.values.items()},
        "calibration": reliability and asdict(reliability),
    }
    write_atomically(folder / "evaluation.json", _json(document))
    clips = zip(evaluation.names, evaluation.is_call, evaluation.scores, strict=True)
    rows = ((name, str(int(is_call)), f"{score:.6f}") for name, is_call, score in clips)
    write_atomically(folder / "clips.csv", csv_bytes(CLIP_COLUMNS, rows))
    title = f"{evaluation.model}\n{count(len(evaluation.names), 'clip')}, {n_calls:,} with a call"
    roc = plots.receiver_operating(evaluation.is_call, evaluation.scores, f"{title}; AUC {evaluation.values['AUC']:.3f}")
    write_atomically(folder / "receiver_operating.png", roc)
    if reliability:
        write_atomically(folder / "reliability.png", plots.reliability(reliability, title, "clips with a call"))


def _plots(evaluation: Evaluation) -> Iterator[tuple[str, bytes]]:
    from whalescan.evaluation import plots  # importing matplotlib takes a while

    curve, point = evaluation.curve, evaluation.point
    average = curve.average_precision()
    effort = f"{hours(3600 * curve.hours)} of {count(len(evaluation.recordings), 'recording')}"
    title = f"{evaluation.detector}\n{count(curve.n_calls, 'call')} in {effort}"
    full = title if average is None else f"{title}; average precision {average:.3f}"
    yield "precision_recall.png", plots.precision_recall(curve, point, full)
    yield "recall_false_positives.png", plots.recall_over_false_positives(curve, point, full)
    if evaluation.reliability:
        yield "reliability.png", plots.reliability(evaluation.reliability, title, "detections that are calls")


def _document(evaluation: Evaluation, given: Mapping[str, object]) -> dict[str, Any]:
    curve, intervals = evaluation.curve, evaluation.intervals
    best = curve.best_f1()
    return {
        **_head(given, evaluation.notes, evaluation.options.bootstrap),
        "detector": evaluation.detector,
        "rule": RULE.format(tolerance_s=evaluation.options.tolerance_s),
        "tolerance_s": evaluation.options.tolerance_s,
        "lowest_score": evaluation.lowest_score,
        "hours": curve.hours,
        "n_recordings": len(evaluation.recordings),
        "n_calls": curve.n_calls,
        "n_aside": evaluation.n_ignored,
        "average_precision": _measure(curve.average_precision(), intervals["average precision"]),
        "best_f1": _measure(best.f1 if best else None, intervals["best F1"]) | {"point": _point_document(best)},
        "recall_at_false_positives_per_hour": [_recall(evaluation, curve, per_hour) for per_hour in PER_HOUR],
        "at_threshold": _point_document(evaluation.point),
        "advice": [
            {"aim": one.aim, "point": _point_document(one.point), "why": one.reason} for one in evaluation.recommendations
        ],
        "calibration": evaluation.reliability and asdict(evaluation.reliability),
        "recordings": [
            {"name": one.recording.name, "path": str(one.recording.path), "hours": one.hours, "n_calls": one.n_calls}
            for one in evaluation.recordings
        ],
    }


def _head(given: Mapping[str, object], notes: Sequence[str], bootstrap: BootstrapOptions) -> dict[str, Any]:
    resampling = {"n": bootstrap.n_resamples, "seed": bootstrap.seed}
    return {"whalescan": __version__, "given": dict(given), "bootstrap": resampling, "notes": list(notes)}


def _measure(value: float | None, interval: ConfidenceInterval | None) -> dict[str, Any]:
    return {"value": value, "interval_95": [interval.low, interval.high] if interval else None}


def _recall(evaluation: Evaluation, curve: ThresholdCurve, per_hour: float) -> dict[str, Any]:
    point = curve.for_false_positives(per_hour)
    recall = _measure(curve.recall_at(per_hour), evaluation.intervals[recall_name(per_hour)])
    return {"false_positives_per_hour": per_hour, **recall, "threshold": point.threshold if point else None}


def _point_document(point: OperatingPoint | None) -> dict[str, Any] | None:
    if point is None:
        return None
    return {"threshold": point.threshold, **{name: getattr(point, field) for name, field in _POINT_FIELDS.items()}}


def _json(document: dict[str, Any]) -> bytes:
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False, default=str)
    return (text + "\n").encode(errors="backslashreplace")


def _point_cells(point: OperatingPoint) -> Iterator[str]:
    for field in _POINT_FIELDS.values():
        value = getattr(point, field)
        yield "" if value is None else str(value) if isinstance(value, int) else f"{value:.6f}"


def _curve_row(point: OperatingPoint) -> tuple[str, ...]:
    return (repr(point.threshold), str(point.true_positives + point.false_positives), *_point_cells(point))


def _recording_row(result: RecordingEvaluation) -> tuple[str, ...]:
    average = "" if result.average_precision is None else f"{result.average_precision:.6f}"
    return (
        result.recording.name,
        f"{result.hours:.6f}",
        str(result.n_calls),
        average,
        f"{result.point.threshold:g}",
        *_point_cells(result.point),
    )


def _event_row(recording: Recording, event: MatchEvent) -> tuple[str, ...]:
    box, is_detection = event.selection, event.outcome is not MatchOutcome.FALSE_NEGATIVE
    score = f"{box.score:.6f}" if is_detection and box.score is not None else ""
    cells = (f"{box.begin_s:.6f}", f"{box.end_s:.6f}", f"{box.low_hz:.1f}", f"{_high_hz(box, recording):.1f}")
    return (recording.name, *cells, box.label, score, event.outcome.value)


def _high_hz(selection: Annotation, recording: Recording) -> float:
    """Return the high frequency, at most half the sampling rate: tables without frequencies mean all of them."""
    return min(selection.high_hz, recording.rate_hz / 2)


def error_table(result: RecordingEvaluation, detector: str) -> bytes:
    """Return a Raven table of the errors of a recording at the threshold of the evaluation.

    Because of the column ``Detector`` the table is not read as annotations.
    """
    rows = ["\t".join(ERROR_COLUMNS)]
    for event in result.errors():
        box, is_detection = event.selection, event.outcome is MatchOutcome.FALSE_POSITIVE
        cells = (
            str(len(rows)),
            "Spectrogram 1",
            str(box.channel),
            f"{box.begin_s:.6f}",
            f"{box.end_s:.6f}",
            f"{box.low_hz:.1f}",
            f"{_high_hz(box, result.recording):.1f}",
            result.recording.path.name,
            f"{box.begin_s:.6f}",
            _ERROR_NAMES[event.outcome],
            f"{box.score:.4f}" if is_detection and box.score is not None else "",
            detector,
        )
        rows.append("\t".join(plain_text(cell) for cell in cells))
    return ("\n".join(rows) + "\n").encode(errors="backslashreplace")
