"""What an evaluation leaves in its folder: numbers for programs, rows to look errors up, tables for Raven, pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from whalescan._version import __version__
from whalescan.core import Annotation, Recording, plain_text
from whalescan.core.files import csv_bytes, write_whole
from whalescan.evaluation.bootstrap import Draws, Interval
from whalescan.evaluation.clips import ClipEvaluation
from whalescan.evaluation.evaluate import Evaluation, Event, RecordingResult, recall_name
from whalescan.evaluation.matching import RULE, Verdict
from whalescan.evaluation.metrics import PER_HOUR, Curve, Point
from whalescan.evaluation.wording import count, in_hours
from whalescan.tables.raven import COLUMNS as RAVEN_COLUMNS

POINT_COLUMNS = ("hits", "misses", "false_positives", "precision", "recall", "f1", "false_positives_per_hour")
CURVE_COLUMNS = ("threshold", "n_detections", *POINT_COLUMNS)
RECORDING_COLUMNS = ("recording", "hours", "n_calls", "average_precision", "threshold", *POINT_COLUMNS)
EVENT_COLUMNS = ("recording", "begin_s", "end_s", "low_hz", "high_hz", "label", "score", "outcome")
ERROR_COLUMNS = (*RAVEN_COLUMNS[:9], "Annotation", "Score", "Detector")
CLIP_COLUMNS = ("clip_name", "label", "score")
_ERROR_NAMES = {Verdict.FALSE: "false alarm", Verdict.MISSED: "missed"}


def write(folder: Path, found: Evaluation, given: Mapping[str, object]) -> None:
    """Write every file of an evaluation of recordings.

    Args:
        folder: where to; made where it is not there.
        found: the evaluation.
        given: what the user asked for, to stand in ``evaluation.json``.

    Raises:
        OutputError: when they cannot be written.
    """
    write_whole(folder / "evaluation.json", _json(_document(found, given)))
    write_whole(folder / "curve.csv", csv_bytes(CURVE_COLUMNS, map(_curve_row, found.curve.points())))
    write_whole(folder / "recordings.csv", csv_bytes(RECORDING_COLUMNS, map(_recording_row, found.recordings)))
    rows = (_event_row(one.recording, event) for one in found.recordings for event in one.events)
    write_whole(folder / "events.csv", csv_bytes(EVENT_COLUMNS, rows))
    for one in found.recordings:
        write_whole(folder / "errors" / f"{one.recording.name}.errors.selections.txt", error_table(one, found.detector))
    for name, picture in _pictures(found):
        write_whole(folder / name, picture)


def write_clips(folder: Path, found: ClipEvaluation, given: Mapping[str, object]) -> None:
    """Write every file of an evaluation of clips, as `write` does."""
    from whalescan.evaluation import plots  # matplotlib takes its time

    document = {
        **_head(given, found.notes, found.draws),
        "model": found.model,
        "threshold": found.threshold,
        "n_clips": len(found.names),
        "n_calls": int(found.is_call.sum()),
        "measures": {name: _measure(value, found.intervals[name]) for name, value in found.values.items()},
        "calibration": found.calibration and asdict(found.calibration),
    }
    write_whole(folder / "evaluation.json", _json(document))
    clips = zip(found.names, found.is_call, found.scores, strict=True)
    write_whole(folder / "clips.csv", csv_bytes(CLIP_COLUMNS, ((n, str(int(c)), f"{s:.6f}") for n, c, s in clips)))
    title = f"{found.model}\n{count(len(found.names), 'clip')}, {int(found.is_call.sum()):,} with a call"
    auc = f"{title}; AUC {found.values['AUC']:.3f}"
    write_whole(folder / "receiver_operating.png", plots.receiver_operating(found.is_call, found.scores, auc))
    if found.calibration:
        write_whole(folder / "reliability.png", plots.reliability(found.calibration, title, "clips with a call"))


def _pictures(found: Evaluation) -> Iterator[tuple[str, bytes]]:
    from whalescan.evaluation import plots  # matplotlib takes its time

    curve, point = found.curve, found.point
    average = curve.average_precision()
    effort = f"{in_hours(curve.hours)} of {count(len(found.recordings), 'recording')}"
    title = f"{found.detector}\n{count(curve.n_calls, 'call')} in {effort}"
    full = title if average is None else f"{title}; average precision {average:.3f}"
    yield "precision_recall.png", plots.precision_recall(curve, point, full)
    yield "recall_false_positives.png", plots.recall_over_false_positives(curve, point, full)
    if found.calibration:
        yield "reliability.png", plots.reliability(found.calibration, title, "detections that are calls")


def _document(found: Evaluation, given: Mapping[str, object]) -> dict[str, Any]:
    curve = found.curve
    best = curve.best_f1()
    return {
        **_head(given, found.notes, found.options.draws),
        "detector": found.detector,
        "rule": RULE.format(tolerance_s=found.options.tolerance_s),
        "tolerance_s": found.options.tolerance_s,
        "lowest_score": found.lowest,
        "hours": curve.hours,
        "n_recordings": len(found.recordings),
        "n_calls": curve.n_calls,
        "n_aside": found.n_aside,
        "average_precision": _measure(curve.average_precision(), found.intervals["average precision"]),
        "best_f1": _measure(best.f1 if best else None, found.intervals["best F1"]) | {"point": _point(best)},
        "recall_at_false_positives_per_hour": [_recall(found, curve, per_hour) for per_hour in PER_HOUR],
        "at_threshold": _point(found.point),
        "advice": [{"aim": one.aim, "point": _point(one.point), "why": one.why} for one in found.advice],
        "calibration": found.calibration and asdict(found.calibration),
        "recordings": [
            {"name": one.recording.name, "path": str(one.recording.path), "hours": one.hours, "n_calls": one.n_calls}
            for one in found.recordings
        ],
    }


def _head(given: Mapping[str, object], notes: Sequence[str], draws: Draws) -> dict[str, Any]:
    return {"whalescan": __version__, "given": dict(given), "bootstrap": asdict(draws), "notes": list(notes)}


def _measure(value: float | None, interval: Interval | None) -> dict[str, Any]:
    return {"value": value, "interval_95": [interval.low, interval.high] if interval else None}


def _recall(found: Evaluation, curve: Curve, per_hour: float) -> dict[str, Any]:
    point = curve.for_false_positives(per_hour)
    recall = _measure(curve.recall_at(per_hour), found.intervals[recall_name(per_hour)])
    return {"false_positives_per_hour": per_hour, **recall, "threshold": point.threshold if point else None}


def _point(point: Point | None) -> dict[str, Any] | None:
    return {"threshold": point.threshold, **{name: getattr(point, name) for name in POINT_COLUMNS}} if point else None


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n").encode(
        errors="backslashreplace"
    )


def _cells(point: Point) -> Iterator[str]:
    for name in POINT_COLUMNS:
        value = getattr(point, name)
        yield "" if value is None else str(value) if isinstance(value, int) else f"{value:.6f}"


def _curve_row(point: Point) -> tuple[str, ...]:
    return (repr(point.threshold), str(point.hits + point.false_positives), *_cells(point))


def _recording_row(one: RecordingResult) -> tuple[str, ...]:
    average = "" if one.average_precision is None else f"{one.average_precision:.6f}"
    return (
        one.recording.name,
        f"{one.hours:.6f}",
        str(one.n_calls),
        average,
        f"{one.point.threshold:g}",
        *_cells(one.point),
    )


def _event_row(recording: Recording, event: Event) -> tuple[str, ...]:
    one = event.selection
    score = "" if one.score is None or event.verdict is Verdict.MISSED else f"{one.score:.6f}"
    box = (f"{one.begin_s:.6f}", f"{one.end_s:.6f}", f"{one.low_hz:.1f}", f"{_high_hz(one, recording):.1f}")
    return (recording.name, *box, one.label, score, event.verdict.value)


def _high_hz(selection: Annotation, recording: Recording) -> float:
    """A table that gives no frequencies means all of them."""
    return min(selection.high_hz, recording.rate_hz / 2)


def error_table(one: RecordingResult, detector: str) -> bytes:
    """False alarms and missed calls of a recording at the chosen threshold, as Raven opens them.

    The column ``Detector`` keeps the table from being taken for annotations.
    """
    rows = ["\t".join(ERROR_COLUMNS)]
    for event in one.errors():
        it = event.selection
        cells = (
            str(len(rows)),
            "Spectrogram 1",
            str(it.channel),
            f"{it.begin_s:.6f}",
            f"{it.end_s:.6f}",
            f"{it.low_hz:.1f}",
            f"{_high_hz(it, one.recording):.1f}",
            one.recording.path.name,
            f"{it.begin_s:.6f}",
            _ERROR_NAMES[event.verdict],
            f"{it.score:.4f}" if event.verdict is Verdict.FALSE and it.score is not None else "",
            detector,
        )
        rows.append("\t".join(plain_text(cell) for cell in cells))
    return ("\n".join(rows) + "\n").encode(errors="backslashreplace")
