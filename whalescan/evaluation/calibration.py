"""A model whose scores mean something in continuous sound: calibrated on it, with a threshold for a rate of false alarms.

Clips are half calls, an ocean is a hundredth. So after training a score says little about how often it is right at sea; what
detections in annotated recordings turned out to be says it. Two numbers are fitted to them, which changes no ranking.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from whalescan._version import __version__
from whalescan.core import TableError, UsageError
from whalescan.detector.model_spec import DEFAULT_MODEL, Model, ModelSpec, find_model
from whalescan.evaluation.evaluate import Evaluation
from whalescan.evaluation.matching import Verdict
from whalescan.evaluation.metrics import PER_HOUR

_FEWEST = 10
"""Hits, and false alarms, without which two numbers cannot be fitted."""
_CERTAIN = 1e-6


@dataclass(frozen=True, slots=True)
class Calibrating:
    """What was fitted.

    Attributes:
        slope, offset: ``sigmoid(slope * logit + offset)`` of an old score is the share of calls among its detections.
        threshold: new score above which false alarms are expected as often as was asked for.
        expected_per_hour: that rate.
        n_hits, n_false, hours: what it was fitted on.
    """

    slope: float
    offset: float
    threshold: float
    expected_per_hour: float
    n_hits: int
    n_false: int
    hours: float


def fit(found: Evaluation, per_hour: float) -> Calibrating:
    """Fit calibration and threshold to the detections of an evaluation.

    The threshold comes from the fall-off of the false alarms: above a high score they thin out exponentially in log-odds
    (peaks over a threshold, Pickands 1975, with a shape of 0), so that a rate can be read off below one in all the hours.

    Raises:
        UsageError: when there are too few hits or false alarms, or the rate is none.
    """
    if not 0 < per_hour < math.inf:
        raise UsageError(f"a threshold for {per_hour:g} false positives per hour cannot be chosen; give a rate above 0")
    events = [event for result in found.recordings for event in result.events]
    odds = {
        verdict: _log_odds([e.selection.score for e in events if e.verdict is verdict and e.selection.score is not None])
        for verdict in (Verdict.HIT, Verdict.FALSE)
    }
    hits, false = odds[Verdict.HIT], odds[Verdict.FALSE]
    if min(len(hits), len(false)) < _FEWEST:
        raise UsageError(
            f"{len(hits)} hits and {len(false)} false alarms are too few to calibrate on; give more annotated recordings"
        )
    fitted = LogisticRegression(C=1e3).fit(
        np.concatenate([hits, false])[:, None], np.repeat([1, 0], [len(hits), len(false)])
    )
    slope, offset = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if slope <= 0:
        raise UsageError(
            "higher scores are no likelier to be calls here; this model cannot be calibrated on these recordings"
        )
    edge = _tail_level(false, per_hour, found.curve.hours)
    threshold = 1 / (1 + math.exp(-(slope * edge + offset)))
    return Calibrating(slope, offset, _rounded_up(threshold), per_hour, len(hits), len(false), found.curve.hours)


def recalibrated(spec: ModelSpec, fitted: Calibrating, column: int, found: Evaluation) -> ModelSpec:
    """The model with new meaning of one class's scores."""
    slope, offset = spec.calibration[column]
    pairs, thresholds = list(spec.calibration), list(spec.thresholds)
    pairs[column] = (fitted.slope * slope, fitted.slope * offset + fitted.offset)
    thresholds[column] = fitted.threshold
    metrics = spec.metrics | {"continuous sound, calibrated on": _about(found, fitted)}
    return replace(
        spec, calibration=tuple(pairs), thresholds=tuple(thresholds), metrics=metrics, whalescan_version=__version__
    )


def _about(found: Evaluation, fitted: Calibrating) -> dict[str, Any]:
    """What stands in the model of how good it was before; ranks, and what follows from them, are still the same."""
    return {
        "recordings": [result.recording.name for result in found.recordings],
        "hours": round(found.curve.hours, 3),
        "n_calls": found.curve.n_calls,
        "average_precision": found.curve.average_precision(),
        "recall_at_false_positives_per_hour": {f"{f:g}": found.curve.recall_at(f) for f in PER_HOUR},
        "fitted": asdict(fitted),
    }


def model_of(run: Path) -> Model:
    """The model that a run was made with.

    Raises:
        TableError: when the folder is no run, or the model file is another one by now.
    """
    path = run / "run.json"
    try:
        document = json.loads(path.read_bytes())
        file, sha256 = document["options"]["model"] or DEFAULT_MODEL, document["model"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TableError(f"{path}: no finished run there ({error}); give the folder that `run` wrote") from error
    model = find_model(file)
    if model.sha256 != sha256:
        raise TableError(f"{model.path}: not the file that {run} was made with; give the `run` command again")
    return model


def _log_odds(scores: Sequence[float]) -> npt.NDArray[np.float64]:
    clipped = np.clip(np.array(scores, np.float64), _CERTAIN, 1 - _CERTAIN)
    return np.log(clipped / (1 - clipped))


def _rounded_up(threshold: float) -> float:
    """To four decimals, as tables print scores, and inside (0, 1): a threshold that finds nothing is none."""
    return min(max(math.ceil(threshold * 1e4), 1), 9999) / 1e4


def _tail_level(false: npt.NDArray[np.float64], per_hour: float, hours: float) -> float:
    """Log-odds above which ``per_hour`` false alarms are expected."""
    descending = np.sort(false)[::-1]
    # the tail begins where it holds twice what is wanted, but not so high that too few lie in it
    n = min(max(_FEWEST, round(2 * per_hour * hours)), len(descending) - 1)
    start = descending[n]
    mean_excess = float(np.mean(descending[:n] - start))
    return float(start + mean_excess * math.log(max(n / (per_hour * hours), 1.0)))
