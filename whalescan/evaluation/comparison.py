"""Comparison of detections with annotations: matches in each recording, and metrics of all recordings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from whalescan.core import Annotation, Recording, UsageError
from whalescan.core.text import hours, quantity
from whalescan.evaluation import metrics
from whalescan.evaluation.matching import MatchOutcome, match
from whalescan.evaluation.metrics import (
    FEW_RECORDINGS,
    PER_HOUR,
    BootstrapOptions,
    ConfidenceInterval,
    DetectionCounts,
    OperatingPoint,
    Reliability,
    ThresholdCurve,
)
from whalescan.evaluation.sources import AnnotationSet, DetectionSource, RecordingDetections

if TYPE_CHECKING:
    from whalescan.evaluation.calibration import CalibrationFit


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """Options of a comparison.

    Attributes:
        tolerance_s: largest distance between the middles of a detection and a call that match.
        threshold: threshold at which recordings and errors are reported; None for that of the detector.
        false_positives_per_hour: recommend a threshold with at most each of these rates.
        precision: recommend a threshold with at least each of these precisions.
        bootstrap: options of the bootstrap.
    """

    tolerance_s: float = 1.0
    threshold: float | None = None
    false_positives_per_hour: tuple[float, ...] = ()
    precision: tuple[float, ...] = ()
    bootstrap: BootstrapOptions = field(default_factory=BootstrapOptions)

    def __post_init__(self) -> None:
        if self.tolerance_s < 0:
            raise UsageError(f"invalid tolerance_s {self.tolerance_s:g}: expected at least 0")
        for per_hour in self.false_positives_per_hour:
            if per_hour < 0:
                raise UsageError(f"invalid false_positives_per_hour {per_hour:g}: expected at least 0")
        for precision in self.precision:
            if not 0 < precision <= 1:
                raise UsageError(f"invalid precision {precision:g}: expected a value above 0 and at most 1")


@dataclass(frozen=True, slots=True)
class MatchEvent:
    """A detection with its outcome, or a call without a detection.

    Attributes:
        selection: the detection; for a false negative the annotated call.
        outcome: true positive, false positive, false negative, or ignored.
        matched_call: the annotated call of a true positive; None for others.
    """

    selection: Annotation
    outcome: MatchOutcome
    matched_call: Annotation | None = None


@dataclass(frozen=True, slots=True)
class RecordingEvaluation:
    """Evaluation of one recording.

    Attributes:
        recording: the recording.
        hours: analysed hours.
        events: detections and false negatives in the order of their times. A call is a false negative here where no
            detection matches it, whatever its score.
        n_calls: number of annotated calls.
        average_precision: None without calls.
        point: counts and rates at the threshold of the evaluation.
    """

    recording: Recording
    hours: float
    events: tuple[MatchEvent, ...] = field(repr=False)
    n_calls: int
    average_precision: float | None
    point: OperatingPoint

    def errors(self) -> list[MatchEvent]:
        """Return false positives and false negatives at the threshold of the evaluation, in the order of their times."""
        errors = []
        for event in self.events:
            is_detected = event.selection.score is not None and event.selection.score >= self.point.threshold
            is_false_positive = event.outcome is MatchOutcome.FALSE_POSITIVE and is_detected
            if event.outcome is MatchOutcome.FALSE_NEGATIVE or is_false_positive:
                errors.append(MatchEvent(event.selection, event.outcome))
            elif event.matched_call is not None and not is_detected:
                errors.append(MatchEvent(event.matched_call, MatchOutcome.FALSE_NEGATIVE))
        return sorted(errors, key=lambda event: event.selection.begin_s)


@dataclass(frozen=True, slots=True)
class ThresholdRecommendation:
    """A recommended threshold.

    Attributes:
        aim: the target, such as ``precision of at least 0.9``.
        point: the lowest threshold that reaches the target, with its counts and rates; None where none does.
        reason: remark on the threshold, or the reason why there is none.
    """

    aim: str
    point: OperatingPoint | None
    reason: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Evaluation of a detector on annotated recordings.

    Attributes:
        detector: name of the detector.
        lowest_score: lowest threshold at which detections were made of stored scores; None for Raven tables.
        options: options of the comparison.
        recordings: evaluation of each recording.
        curve: counts at every threshold.
        point: counts and rates at the threshold of the evaluation.
        intervals: confidence intervals by the names of `MEASURES` and `recall_name`; None where undefined.
        reliability: reliability of the scores of true and false positives; None where scores are not between 0 and 1.
        recommendations: recommended thresholds.
        n_ignored: number of ignored detections.
        notes: what was not used, and limits of the metrics.
        calibration: calibration that was fitted; None without one.
        calibrated_model: model file with this calibration.
    """

    detector: str
    lowest_score: float | None
    options: EvaluationOptions = field(repr=False)
    recordings: tuple[RecordingEvaluation, ...] = field(repr=False)
    curve: ThresholdCurve = field(repr=False)
    point: OperatingPoint
    intervals: dict[str, ConfidenceInterval | None] = field(repr=False)
    reliability: Reliability | None = field(repr=False)
    recommendations: tuple[ThresholdRecommendation, ...] = field(repr=False)
    n_ignored: int
    notes: tuple[str, ...] = field(repr=False)
    calibration: CalibrationFit | None = None
    calibrated_model: Path | None = None

    def to_frame(self) -> pd.DataFrame:
        """Return a row per detection and false negative: recording, path, box, label, score and outcome."""
        rows = [
            {
                "recording": result.recording.name,
                "path": result.recording.path,
                "begin_s": event.selection.begin_s,
                "end_s": event.selection.end_s,
                "low_hz": event.selection.low_hz,
                "high_hz": min(event.selection.high_hz, result.recording.rate_hz / 2),
                "label": event.selection.label,
                "score": None if event.outcome is MatchOutcome.FALSE_NEGATIVE else event.selection.score,
                "outcome": event.outcome.value,
            }
            for result in self.recordings
            for event in result.events
        ]
        return pd.DataFrame(rows, columns=FRAME_COLUMNS)


FRAME_COLUMNS = ("recording", "path", "begin_s", "end_s", "low_hz", "high_hz", "label", "score", "outcome")

MEASURES: dict[str, Callable[[ThresholdCurve], float | None]] = {
    "average precision": ThresholdCurve.average_precision,
    "best F1": lambda curve: best.f1 if (best := curve.best_f1()) else None,
}


def recall_name(per_hour: float) -> str:
    """Return the name of the recall at a number of false positives per hour, in `Evaluation.intervals`."""
    return f"recall at {per_hour:g} false positives per hour"


def compare_detections(source: DetectionSource, annotations: AnnotationSet, options: EvaluationOptions) -> Evaluation:
    """Compare detections with annotations in the recordings that were both analysed and annotated.

    Raises:
        UsageError: when there are no such recordings, or the threshold is below the lowest score of the source.
    """
    threshold = source.threshold if options.threshold is None else options.threshold
    if source.lowest_score is not None and threshold < source.lowest_score:
        raise UsageError(
            f"invalid threshold {threshold:g}: expected at least the lowest score, {source.lowest_score:g} (lowest)"
        )
    common = [analysed for analysed in source.recordings if analysed.recording.name in annotations.calls]
    if not common:
        raise UsageError(
            "no recording was both analysed and annotated: check that detections and annotations are of the same recordings"
        )
    events = [_events(analysed, annotations, options.tolerance_s) for analysed in common]
    counts = _count(common, events, annotations)
    curve = metrics.threshold_curve(counts)
    measures = MEASURES | {recall_name(f): partial(_recall_at, per_hour=f) for f in PER_HOUR}
    results = tuple(
        _evaluate_recording(analysed, events[i], counts.of_recording(i), threshold) for i, analysed in enumerate(common)
    )
    return Evaluation(
        detector=source.detector,
        lowest_score=source.lowest_score,
        options=options,
        recordings=results,
        curve=curve,
        point=curve.at(threshold),
        intervals=metrics.recording_intervals(counts, measures, options.bootstrap),
        reliability=metrics.measure_reliability(counts.scores, counts.is_true_positive),
        recommendations=(
            *_for_false_positives(curve, options.false_positives_per_hour),
            *_for_precision(curve, options.precision),
        ),
        n_ignored=sum(event.outcome is MatchOutcome.IGNORED for of_recording in events for event in of_recording),
        notes=(*source.notes, *annotations.notes, *_limits(curve, len(common), source.lowest_score, options)),
    )


def _events(analysed: RecordingDetections, annotations: AnnotationSet, tolerance_s: float) -> tuple[MatchEvent, ...]:
    """Return every detection with its outcome, and every call without a detection, in the order of their times."""
    name, detections = analysed.recording.name, analysed.detections
    calls, ignored = annotations.calls[name], annotations.ignored.get(name, ())
    scores = [detection.score for detection in detections if detection.score is not None]
    matching = match(_middles_s(detections), scores, _middles_s(calls), _middles_s(ignored), tolerance_s)
    matched = zip(detections, matching.outcomes, matching.matched_calls, strict=True)
    events = [MatchEvent(detection, outcome, None if i is None else calls[i]) for detection, outcome, i in matched]
    events += [MatchEvent(calls[i], MatchOutcome.FALSE_NEGATIVE) for i in matching.false_negatives]
    return tuple(sorted(events, key=lambda event: (event.selection.begin_s, event.selection.end_s)))


def _middles_s(selections: Sequence[Annotation]) -> list[float]:
    return [(selection.begin_s + selection.end_s) / 2 for selection in selections]


def _count(
    analysed: Sequence[RecordingDetections], events: Sequence[Sequence[MatchEvent]], annotations: AnnotationSet
) -> DetectionCounts:
    """Return true and false positives, calls and hours, without ignored detections."""
    counted = [
        (event.selection.score, event.outcome is MatchOutcome.TRUE_POSITIVE, i)
        for i, of_recording in enumerate(events)
        for event in of_recording
        if event.outcome in (MatchOutcome.TRUE_POSITIVE, MatchOutcome.FALSE_POSITIVE)
    ]
    scores, is_true_positive, recording = zip(*counted, strict=True) if counted else ((), (), ())
    n_calls = np.array([len(annotations.calls[one.recording.name]) for one in analysed], np.int64)
    analysed_hours = np.array([one.hours for one in analysed])
    return metrics.count_detections(scores, is_true_positive, recording, n_calls, analysed_hours)


def _evaluate_recording(
    analysed: RecordingDetections, events: tuple[MatchEvent, ...], counts: DetectionCounts, threshold: float
) -> RecordingEvaluation:
    curve = metrics.threshold_curve(counts)
    return RecordingEvaluation(
        analysed.recording, analysed.hours, events, curve.n_calls, curve.average_precision(), curve.at(threshold)
    )


def _recall_at(curve: ThresholdCurve, per_hour: float) -> float | None:
    return curve.recall_at(per_hour)


def _for_false_positives(curve: ThresholdCurve, aims: Sequence[float]) -> list[ThresholdRecommendation]:
    recommendations = []
    for per_hour in aims:
        point = curve.for_false_positives(per_hour)
        reason = "reached at every higher threshold, too"
        if len(curve) == 0:
            reason = "there are no detections"
        elif point is None:
            highest = curve.at(float(curve.thresholds[0]))
            reason = (
                f"the highest score, {highest.threshold:.4f}, already has {highest.false_positives_per_hour:.3g} per hour"
            )
        elif point.threshold <= curve.thresholds[-1]:
            reason = "reached at every threshold of the evaluation"
        recommendations.append(
            ThresholdRecommendation(f"at most {quantity(per_hour, 'false positive', 4)} per hour", point, reason)
        )
    return recommendations


def _for_precision(curve: ThresholdCurve, aims: Sequence[float]) -> list[ThresholdRecommendation]:
    recommendations = []
    for precision in aims:
        point = curve.for_precision(precision)
        precisions = [(one.threshold, one.precision or 0.0) for one in curve.points()]
        reason = "the lowest threshold that reaches it; higher ones may not, see curve.csv"
        if not precisions:
            reason = "there are no detections"
        elif point is None:
            reason = f"the highest precision at any threshold is {max(reached for _, reached in precisions):.3f}"
        elif all(reached >= precision for threshold, reached in precisions if threshold >= point.threshold):
            reason = "reached at every higher threshold, too"
        recommendations.append(ThresholdRecommendation(f"precision of at least {precision:g}", point, reason))
    return recommendations


def _limits(curve: ThresholdCurve, n_recordings: int, lowest_score: float | None, options: EvaluationOptions) -> list[str]:
    """Return notes on the limits of the metrics."""
    notes = []
    if curve.n_calls == 0:
        notes.append(
            "no calls are annotated: recall and average precision are not defined, only false positives are counted"
        )
    if min(PER_HOUR + options.false_positives_per_hour) * curve.hours < 1:
        notes.append(
            f"one false positive in {hours(3600 * curve.hours)} is a rate of {1 / curve.hours:.2g} per hour: rates below it "
            "are those without any false positive"
        )
    if lowest_score is None and len(curve):
        notes.append(f"the tables have no scores below {curve.thresholds[-1]:.4g}, so lower thresholds are not evaluated")
    if n_recordings < 2:
        notes.append("confidence intervals need at least two recordings")
    elif options.bootstrap.n_resamples and n_recordings < FEW_RECORDINGS:
        notes.append(f"confidence intervals from {n_recordings} recordings are approximate, and usually too narrow")
    return notes
