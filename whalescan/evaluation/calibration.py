"""Calibration of a model on annotated recordings, with operating points and a threshold for a rate of false positives.

A model is calibrated on the sound that was held back from its training. On other recordings, calls are rarer or more common,
and scores over- or underestimate the share of calls. Two parameters are fitted to the detections of an evaluation; they do
not change the ranking.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from whalescan._version import __version__
from whalescan.core import TableError, UsageError
from whalescan.core.text import count, hours
from whalescan.detector.model_spec import DEFAULT_MODEL, Model, ModelSpec, Validation, find_model
from whalescan.detector.pooling import scores_of
from whalescan.detector.score_calibration import fit_platt, log_odds
from whalescan.evaluation.comparison import Evaluation
from whalescan.evaluation.matching import MatchOutcome
from whalescan.evaluation.metrics import PER_HOUR, DetectionCounts, count_detections
from whalescan.evaluation.operating_points import extrapolated_threshold, measured_threshold, validate
from whalescan.tables.run_json import RUN_JSON, read_run_json

_FEWEST = 10
"""Smallest number of true positives, and of false positives, to which a calibration is fitted."""


@dataclass(frozen=True, slots=True)
class CalibrationFit:
    """A fitted calibration.

    Attributes:
        slope, offset: ``sigmoid(slope * logit + offset)`` of an old score is the share of true positives.
        threshold: new score above which false positives are expected at the wanted rate.
        expected_per_hour: the wanted rate of false positives.
        n_true_positives, n_false_positives, hours: the detections to which it was fitted, and the analysed hours.
    """

    slope: float
    offset: float
    threshold: float
    expected_per_hour: float
    n_true_positives: int
    n_false_positives: int
    hours: float


def fit_calibration(evaluation: Evaluation, per_hour: float) -> CalibrationFit:
    """Fit calibration and threshold to the detections of an evaluation.

    A threshold for a rate below one false positive in all hours is extrapolated (`operating_points`).

    Args:
        evaluation: the evaluation.
        per_hour: wanted rate of false positives.

    Raises:
        UsageError: when there are too few true or false positives, or the rate is invalid.
    """
    if not 0 < per_hour < math.inf:
        raise UsageError(f"invalid false_positives_per_hour {per_hour:g}: expected a value above 0 to calibrate a model")
    true_positives, false_positives = (
        log_odds(_scores(evaluation, outcome)) for outcome in (MatchOutcome.TRUE_POSITIVE, MatchOutcome.FALSE_POSITIVE)
    )
    n_true, n_false = len(true_positives), len(false_positives)
    if min(n_true, n_false) < _FEWEST:
        raise UsageError(
            f"{n_true} true and {n_false} false positives are too few to calibrate on: at least {_FEWEST} of each are "
            "needed; add annotated recordings"
        )
    is_call = np.repeat([True, False], [n_true, n_false])
    slope, offset = fit_platt(np.concatenate([true_positives, false_positives]), is_call)
    if slope <= 0:
        raise UsageError(
            "the model cannot be calibrated on these recordings: detections with higher scores are not correct more often"
        )
    counts = _calibrated_counts(evaluation, slope, offset)
    threshold = measured_threshold(counts, per_hour) or extrapolated_threshold(counts, per_hour)
    assert threshold is not None  # there are enough false positives
    return CalibrationFit(slope, offset, threshold, per_hour, n_true, n_false, evaluation.curve.hours)


def _calibrated_counts(evaluation: Evaluation, slope: float, offset: float) -> DetectionCounts:
    """Return detections with calibrated scores, calls and hours by recording."""
    counted = [
        (event.selection.score, event.outcome is MatchOutcome.TRUE_POSITIVE, i)
        for i, result in enumerate(evaluation.recordings)
        for event in result.events
        if event.outcome in (MatchOutcome.TRUE_POSITIVE, MatchOutcome.FALSE_POSITIVE)
    ]
    scores, is_true_positive, recording = zip(*counted, strict=True)
    calibrated = scores_of(slope * log_odds(scores) + offset)
    n_calls = np.array([result.n_calls for result in evaluation.recordings], np.int64)
    analysed_hours = np.array([result.hours for result in evaluation.recordings])
    return count_detections(calibrated.astype(np.float64).round(4), is_true_positive, recording, n_calls, analysed_hours)


def _scores(evaluation: Evaluation, outcome: MatchOutcome) -> list[float]:
    events = (event for result in evaluation.recordings for event in result.events)
    return [e.selection.score for e in events if e.outcome is outcome and e.selection.score is not None]


def calibrated_spec(spec: ModelSpec, fit: CalibrationFit, column: int, evaluation: Evaluation) -> ModelSpec:
    """Return the description of the model with the calibration, threshold and operating points of one class."""
    slope, offset = spec.calibration[column]
    pairs, thresholds = list(spec.calibration), list(spec.thresholds)
    pairs[column] = (fit.slope * slope, fit.slope * offset + fit.offset)
    thresholds[column] = fit.threshold
    metrics = spec.metrics | {"continuous sound, calibrated on": _stored_metrics(evaluation, fit)}
    counts = _calibrated_counts(evaluation, fit.slope, fit.offset)
    n_recordings = count(len(evaluation.recordings), "recording")
    sound = f"{hours(3600 * fit.hours)} of {n_recordings} with {count(evaluation.curve.n_calls, 'annotated call')}"
    validations = list(spec.validation) or [Validation((), "not measured", 0.0, 0) for _ in spec.classes]
    validations[column] = validate(counts, sound)
    return replace(
        spec,
        calibration=tuple(pairs),
        thresholds=tuple(thresholds),
        validation=tuple(validations),
        metrics=metrics,
        whalescan_version=__version__,
    )


def _stored_metrics(evaluation: Evaluation, fit: CalibrationFit) -> dict[str, Any]:
    """Return the metrics for the model file. Calibration changes no ranking, so they hold for the calibrated model, too."""
    curve = evaluation.curve
    return {
        "recordings": [result.recording.name for result in evaluation.recordings],
        "hours": round(curve.hours, 3),
        "n_calls": curve.n_calls,
        "average_precision": curve.average_precision(),
        "recall_at_false_positives_per_hour": {f"{f:g}": curve.recall_at(f) for f in PER_HOUR},
        "fitted": {
            "slope": fit.slope,
            "offset": fit.offset,
            "threshold": fit.threshold,
            "expected_per_hour": fit.expected_per_hour,
            "n_hits": fit.n_true_positives,
            "n_false": fit.n_false_positives,
            "hours": fit.hours,
        },
    }


def model_of_run(run: Path) -> Model:
    """Return the model of a run.

    Raises:
        TableError: when the folder is not an output folder of a run, or the model file has changed since.
    """
    document = read_run_json(run)
    try:
        file, sha256 = document["options"]["model"] or DEFAULT_MODEL, document["model"]["sha256"]
    except (KeyError, TypeError) as error:
        raise TableError(f"{run / RUN_JSON}: no finished run there ({error}); give the output folder of a run") from error
    model = find_model(file)
    if model.sha256 != sha256:
        raise TableError(f"{model.path}: changed since {run} was made with it; give the `run` command again")
    return model
