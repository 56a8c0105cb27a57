"""Scores that mean something in continuous sound."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from whalescan import Annotation, Recording, TableError, UsageError, load_model
from whalescan.detector.model_file import rewrite_model
from whalescan.detector.model_spec import DEFAULT_MODEL, ModelSpec
from whalescan.evaluation import calibration as recalibrate
from whalescan.evaluation.annotations import Truth
from whalescan.evaluation.bootstrap import Draws
from whalescan.evaluation.evaluate import EvaluateOptions, Evaluation, evaluate
from whalescan.evaluation.scored_sources import Heard, Source

HOURS = 50
SLOPE, OFFSET = 0.7, -2.0


def evaluation(n: int, seed: int = 1) -> Evaluation:
    """Detections whose chance of being a call is ``sigmoid(SLOPE * logit + OFFSET)``, ten seconds apart."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, n)
    is_call = random.random(n) < sigmoid(SLOPE * logits + OFFSET)
    recording = Recording("a", Path("a.wav"), "a.wav", 2000, 2000 * 3600 * HOURS, 1, 0)
    found = [Annotation(10 * i, 10 * i + 1, 50, 350, "x", score=float(sigmoid(odds))) for i, odds in enumerate(logits)]
    calls = tuple(found[i] for i in np.flatnonzero(is_call))
    source = Source("x", 0.5, 0.02, (Heard(recording, HOURS, tuple(found)),))
    return evaluate(source, Truth({"a": calls}, {}), EvaluateOptions(draws=Draws(0)))


def sigmoid(x: np.ndarray | float) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.asarray(x))))


def test_what_was_put_in_is_fitted() -> None:
    fitted = recalibrate.fit(evaluation(4000), per_hour=1)
    assert fitted.slope == pytest.approx(SLOPE, abs=0.1)
    assert fitted.offset == pytest.approx(OFFSET, abs=0.15)
    assert fitted.n_hits + fitted.n_false == 4000


@pytest.mark.parametrize("per_hour", [0.2, 1, 5])
def test_the_threshold_lets_about_as_many_through_as_was_asked_for(per_hour: float) -> None:
    fitted = recalibrate.fit(evaluation(4000), per_hour)
    # the same sea at another time
    later = evaluation(4000, seed=2)
    false = [e.selection.score for e in later.recordings[0].events if e.verdict == "false"]
    new = sigmoid(fitted.slope * np.log(np.array(false) / (1 - np.array(false))) + fitted.offset)
    assert (new >= fitted.threshold).sum() / HOURS == pytest.approx(per_hour, rel=0.5)


def test_a_rate_below_one_in_all_the_hours_is_read_off_the_tail() -> None:
    thresholds = [recalibrate.fit(evaluation(500), per_hour).threshold for per_hour in (1, 0.1, 0.01)]
    assert thresholds == sorted(thresholds)
    assert thresholds[0] < thresholds[-1] < 1


def test_too_little_to_calibrate_on() -> None:
    with pytest.raises(UsageError, match="too few to calibrate on"):
        recalibrate.fit(evaluation(12), 1)


def test_a_calibrated_model_ranks_as_before(tmp_path: Path) -> None:
    model, found = load_model(), evaluation(400)
    fitted = recalibrate.fit(found, 1)
    path = tmp_path / "own.safetensors"
    rewrite_model(path, model, recalibrate.recalibrated(model.spec, fitted, 0, found))
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
    changed = recalibrate.recalibrated(spec, recalibrate.fit(found, 1), 1, found)
    assert (changed.thresholds[0], changed.calibration[0]) == (0.5, (1, 0))
    assert changed.thresholds[1] != 0.6


def test_the_model_must_be_the_one_of_the_run(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no finished run"):
        recalibrate.model_of(tmp_path)
    document = {"options": {"model": ""}, "model": {"sha256": load_model().sha256}}
    (tmp_path / "run.json").write_text(json.dumps(document))
    assert recalibrate.model_of(tmp_path).path == DEFAULT_MODEL
    document["model"]["sha256"] = "0" * 64
    (tmp_path / "run.json").write_text(json.dumps(document))
    with pytest.raises(TableError, match="not the file"):
        recalibrate.model_of(tmp_path)
