"""Calibration of a model on annotated recordings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from whalescan import Annotation, Recording, TableError, UsageError, load_model
from whalescan.detector.model_file import rewrite_model
from whalescan.detector.model_spec import DEFAULT_MODEL, ModelSpec
from whalescan.detector.score_calibration import log_odds
from whalescan.evaluation import calibration
from whalescan.evaluation.comparison import Evaluation, EvaluationOptions, compare_detections
from whalescan.evaluation.matching import MatchOutcome
from whalescan.evaluation.metrics import BootstrapOptions
from whalescan.evaluation.sources import AnnotationSet, DetectionSource, RecordingDetections

HOURS = 50
SLOPE, OFFSET = 0.7, -2.0


def evaluation(n: int, seed: int = 1) -> Evaluation:
    """Return an evaluation of detections that are calls with the probability ``sigmoid(SLOPE * logit + OFFSET)``."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, n)
    is_call = random.random(n) < sigmoid(SLOPE * logits + OFFSET)
    recording = Recording("a", Path("a.wav"), "a.wav", 2000, 2000 * 3600 * HOURS, 1, 0)
    detections = [Annotation(10 * i, 10 * i + 1, 50, 350, "x", score=float(sigmoid(odds))) for i, odds in enumerate(logits)]
    calls = tuple(detections[i] for i in np.flatnonzero(is_call))
    source = DetectionSource("x", 0.5, 0.02, (RecordingDetections(recording, HOURS, tuple(detections)),))
    return compare_detections(source, AnnotationSet({"a": calls}, {}), EvaluationOptions(bootstrap=BootstrapOptions(0)))


def sigmoid(x: np.ndarray | float) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.asarray(x))))


def test_fit_recovers_the_calibration() -> None:
    fitted = calibration.fit_calibration(evaluation(4000), per_hour=1)
    assert fitted.slope == pytest.approx(SLOPE, abs=0.1)
    assert fitted.offset == pytest.approx(OFFSET, abs=0.15)
    assert fitted.n_true_positives + fitted.n_false_positives == 4000


@pytest.mark.parametrize("per_hour", [0.2, 1, 5])
def test_threshold_gives_the_wanted_rate(per_hour: float) -> None:
    fitted = calibration.fit_calibration(evaluation(4000), per_hour)
    # other detections from the same distribution
    events = evaluation(4000, seed=2).recordings[0].events
    scores = [event.selection.score for event in events if event.outcome is MatchOutcome.FALSE_POSITIVE]
    calibrated = sigmoid(fitted.slope * log_odds(np.array(scores, np.float64)) + fitted.offset)
    assert (calibrated >= fitted.threshold).sum() / HOURS == pytest.approx(per_hour, rel=0.5)


def test_rates_below_one_in_all_hours_are_extrapolated() -> None:
    thresholds = [calibration.fit_calibration(evaluation(500), per_hour).threshold for per_hour in (1, 0.1, 0.01)]
    assert thresholds == sorted(thresholds)
    assert thresholds[0] < thresholds[-1] < 1


def test_too_few_detections_to_calibrate() -> None:
    with pytest.raises(UsageError, match="too few to calibrate on"):
        calibration.fit_calibration(evaluation(12), 1)


def test_calibration_does_not_change_the_ranking(tmp_path: Path) -> None:
    model, found = load_model(), evaluation(400)
    fitted = calibration.fit_calibration(found, 1)
    path = tmp_path / "own.safetensors"
    rewrite_model(path, model, calibration.calibrated_spec(model.spec, fitted, 0, found))
    own = load_model(path)
    assert own.spec.thresholds == (fitted.threshold,)
    (old_slope, old_offset), (slope, offset) = model.spec.calibration[0], own.spec.calibration[0]
    logit = 1.3
    assert slope * logit + offset == pytest.approx(fitted.slope * (old_slope * logit + old_offset) + fitted.offset)
    assert own.spec.metrics["continuous sound, calibrated on"]["hours"] == HOURS
    with safe_open(model.path, "np") as old, safe_open(path, "np") as new:
        assert sorted(old.keys()) == sorted(new.keys())
        assert all(np.array_equal(old.get_tensor(name), new.get_tensor(name)) for name in old.keys())  # noqa: SIM118


def test_only_one_class_is_calibrated() -> None:
    found = evaluation(400)
    spec = ModelSpec(("a", "b"), thresholds=(0.5, 0.6), calibration=((1, 0), (2, 1)))
    changed = calibration.calibrated_spec(spec, calibration.fit_calibration(found, 1), 1, found)
    assert (changed.thresholds[0], changed.calibration[0]) == (0.5, (1, 0))
    assert changed.thresholds[1] != 0.6


def test_model_of_run(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no finished run"):
        calibration.model_of_run(tmp_path)
    document = {"options": {"model": ""}, "model": {"sha256": load_model().sha256}}
    (tmp_path / "run.json").write_text(json.dumps(document))
    assert calibration.model_of_run(tmp_path).path == DEFAULT_MODEL
    document["model"]["sha256"] = "0" * 64
    (tmp_path / "run.json").write_text(json.dumps(document))
    with pytest.raises(TableError, match="changed since"):
        calibration.model_of_run(tmp_path)
