"""Calibration of a model on annotated recordings, with a threshold for a rate of false positives.

Half of the clips of a training contain a call, but only a hundredth of a recording. So after training, scores
overestimate the probability of a call. Two parameters are fitted to the detections of an evaluation; they do not change the
ranking.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from whalescan._version import __version__
from whalescan.core import TableError, UsageError
from whalescan.detector.model_spec import DEFAULT_MODEL, Model, ModelSpec, find_model
from whalescan.detector.score_calibration import fit_platt, log_odds
from whalescan.evaluation.comparison import Evaluation
from whalescan.evaluation.matching import MatchOutcome
from whalescan.evaluation.metrics import PER_HOUR
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

    The threshold comes from the distribution of the false positives: above a high score, their log-odds are exponentially
    distributed (peaks over threshold, Pickands 1975, with shape 0). So rates below one false positive in all hours can be
    extrapolated.

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
    edge = _tail_level(false_positives, per_hour, evaluation.curve.hours)
    threshold = 1 / (1 + math.exp(-(slope * edge + offset)))
    return CalibrationFit(slope, offset, _rounded_up(threshold), per_hour, n_true, n_false, evaluation.curve.hours)


def _scores(evaluation: Evaluation, outcome: MatchOutcome) -> list[float]:
    events = (event for result in evaluation.recordings for event in result.events)
    return [e.selection.score for e in events if e.outcome is outcome and e.selection.score is not None]


def calibrated_spec(spec: ModelSpec, fit: CalibrationFit, column: int, evaluation: Evaluation) -> ModelSpec:
    """Return the description of the model with the calibration and threshold of one class."""
    slope, offset = spec.calibration[column]
    pairs, thresholds = list(spec.calibration), list(spec.thresholds)
    pairs[column] = (fit.slope * slope, fit.slope * offset + fit.offset)
    thresholds[column] = fit.threshold
    metrics = spec.metrics | {"continuous sound, calibrated on": _stored_metrics(evaluation, fit)}
    return replace(
        spec, calibration=tuple(pairs), thresholds=tuple(thresholds), metrics=metrics, whalescan_version=__version__
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


def _rounded_up(threshold: float) -> float:
    """Return a threshold with four decimals, as tables have, strictly between 0 and 1."""
    return min(max(math.ceil(threshold * 1e4), 1), 9999) / 1e4


def _tail_level(false_positives: npt.NDArray[np.float64], per_hour: float, hours: float) -> float:
    """Return the log-odds above which ``per_hour`` false positives are expected."""
    descending = np.sort(false_positives)[::-1]
    # the tail has twice as many false positives as wanted, and at least as many as a fit needs
    n = min(max(_FEWEST, round(2 * per_hour * hours)), len(descending) - 1)
    start = descending[n]
    mean_excess = float(np.mean(descending[:n] - start))
    return float(start + mean_excess * math.log(max(n / (per_hour * hours), 1.0)))
