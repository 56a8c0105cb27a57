"""The threshold of a survey: the model's own, the user's, or one for a number of false positives per hour."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

import whalescan
from tests import make_golden as golden
from tests.builders import run_command
from whalescan.core import Detection
from whalescan.core.text import threshold_text
from whalescan.detections.precision_estimates import IntervalEstimate, SurveyEstimate
from whalescan.detections.validations import Validation as Review
from whalescan.detector.model_spec import ModelSpec, Validation, ValidationPoint, find_model
from whalescan.options import TableOptions
from whalescan.scores import validation_store
from whalescan.survey.operating_point import (
    ThresholdOrigin,
    describe_performance,
    describe_sample,
    describe_threshold,
    threshold_for_rate,
)
from whalescan.survey.run_summary import run_summary
from whalescan.survey.settings import choose_threshold

POINTS = (
    ValidationPoint(0.9, 0.5, 0.7, (0.6, 0.8), 0.99),
    ValidationPoint(0.6, 1.0, 0.78, (0.65, 0.88), 0.95),
    ValidationPoint(0.15, 16.0, 0.95, (0.9, 0.98), 0.5),
)
MEASURED = Validation(POINTS, "0.75 h of DCLDE 2013, 49 annotated calls", 0.75, 49)
UPCALL = ("NARW upcall",)


@pytest.mark.parametrize(("rate", "threshold"), [(0.5, 0.9), (0.99, 0.9), (1, 0.6), (15.9, 0.6), (16, 0.15)])
def test_threshold_is_the_lowest_with_so_few_false_positives(rate: float, threshold: float) -> None:
    assert threshold_for_rate([MEASURED], rate, "m") == threshold


@pytest.mark.parametrize("rate", [0, 0.49, 16.1, -1, 1e9])
def test_rate_outside_of_what_was_measured_is_refused_with_the_range(rate: float) -> None:
    with pytest.raises(whalescan.UsageError, match=r"false_positives_per_hour .*: expected 0\.5 to 16,") as caught:
        threshold_for_rate([MEASURED], rate, "m")
    assert caught.value.parameter == "false_positives_per_hour"


@pytest.mark.parametrize("validation", [(), (Validation((), "none", 0, 0),)])
def test_model_without_operating_points_needs_a_threshold(validation: Sequence[Validation]) -> None:
    with pytest.raises(whalescan.UsageError, match="`threshold` instead"):
        threshold_for_rate(validation, 1, "m")


def test_each_class_keeps_to_the_rate() -> None:
    other = replace(MEASURED, points=(ValidationPoint(0.8, 1.0, 0.5, (0.4, 0.6), 0.9),))
    assert threshold_for_rate([MEASURED, other], 1, "m") == 0.8
    with pytest.raises(whalescan.UsageError, match="expected 1 to 1"):
        threshold_for_rate([MEASURED, other], 2, "m")


def test_options_come_before_the_model() -> None:
    model = replace(find_model(), spec=ModelSpec(thresholds=(0.6,), validation=(MEASURED,)))
    assert choose_threshold(model, TableOptions()) == (0.6, ThresholdOrigin.MODEL)
    assert choose_threshold(model, TableOptions(threshold=0.3)) == (0.3, ThresholdOrigin.THRESHOLD)
    assert choose_threshold(model, TableOptions(false_positives_per_hour=0.5)) == (0.9, ThresholdOrigin.FALSE_POSITIVES)


def test_threshold_and_rate_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(whalescan.UsageError, match="exclude each other"):
        whalescan.scan(tmp_path, threshold=0.5, false_positives_per_hour=1)
    result = run_command("run", tmp_path, "-o", tmp_path / "out", "--threshold", 0.5, "--false-positives-per-hour", 1)
    assert result.exit_code == 2
    assert "--threshold and --false-positives-per-hour exclude each other" in result.stderr
    with pytest.raises(whalescan.UsageError, match="false_positives_per_hour"):
        whalescan.scan(tmp_path, false_positives_per_hour=float("nan"))


# ------------------------------------------------------------------------------------------------ what it says


def test_threshold_says_what_it_was_chosen_by() -> None:
    assert describe_threshold(0.62, ThresholdOrigin.MODEL) == "0.62, the model's own."
    assert describe_threshold(0.5, ThresholdOrigin.THRESHOLD) == "0.5, as asked for."
    text = describe_threshold(0.6, ThresholdOrigin.FALSE_POSITIVES, 1.0)
    assert text == "0.6, for at most 1 false positive per hour."


def test_operating_point_says_what_it_finds_and_misses_on_which_sound() -> None:
    (sentence,) = describe_performance(0.6, [MEASURED], UPCALL)
    assert sentence == (
        "On 0.75 h of DCLDE 2013, 49 annotated calls, it finds 78 % of the calls (65 % to 88 %) and misses the others, with "
        "1 false positive per hour; 95 % of its detections are calls. Another site differs."
    )


def test_threshold_between_operating_points_lies_between_their_rates() -> None:
    (sentence,) = describe_performance(0.3, [MEASURED], UPCALL)
    assert "finds 78 % to 95 % of the calls" in sentence
    assert "with 1 to 16 false positives per hour" in sentence


@pytest.mark.parametrize("threshold", [0.1, 0.95])
def test_threshold_outside_of_the_operating_points_claims_nothing(threshold: float) -> None:
    (sentence,) = describe_performance(threshold, [MEASURED], UPCALL)
    assert "was measured at thresholds from 0.15 to 0.9 only" in sentence
    assert "finds" not in sentence


def test_each_class_has_a_sentence_and_those_without_points_none() -> None:
    sentences = list(describe_performance(0.6, [MEASURED, MEASURED], ("NARW upcall", "gunshot")))
    assert [sentence.split(":")[0] for sentence in sentences] == ["NARW upcall", "gunshot"]
    assert list(describe_performance(0.6, [], UPCALL)) == []
    assert list(describe_performance(0.6, [replace(MEASURED, points=())], UPCALL)) == []


def test_reviewed_sample_says_what_holds_here() -> None:
    estimate = SurveyEstimate(
        strata=(),
        precision=IntervalEstimate(0.9, 0.8, 0.95),
        n_true_positives=IntervalEstimate(90, 80, 95),
        false_positives_per_hour=IntervalEstimate(0.5, 0.25, 1.0),
        n_detections=100,
        n_sampled=60,
        n_outside_sample=0,
        covered_share=1.0,
    )
    assert describe_sample(estimate) == (
        "In this survey, by its reviewed sample, 90 % of the detections are calls (80 % to 95 %), with 0.5 false positives "
        "per hour (0.25 to 1); how many calls it misses here, the sample does not tell."
    )
    assert describe_sample(replace(estimate, precision=None)) == ""
    assert describe_sample(replace(estimate, n_sampled=0)) == ""


# ------------------------------------------------------------------------------------------------ a finished run


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """A finished run whose model has operating points."""
    out = shutil.copytree(golden.OUT, tmp_path / "out")
    document = read(out)
    document["model"]["validation"] = [asdict(MEASURED)]
    (out / "run.json").write_text(json.dumps(document))
    return out


def read(out: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / "run.json").read_text())
    return document


def test_detect_chooses_the_threshold_from_the_points_that_the_run_stored(measured: Path) -> None:
    result = run_command("detect", measured, "--false-positives-per-hour", 16)
    assert result.exit_code == 3, result.output
    assert "threshold   0.15, for at most 16 false positives per hour. On 0.75 h of DCLDE 2013" in result.stdout
    document = read(measured)
    assert document["rule"]["threshold"] == 0.15
    assert document["threshold_origin"] == "false_positives_per_hour"
    assert (document["options"]["threshold"], document["options"]["false_positives_per_hour"]) == (None, 16)
    assert "for at most 16 false positives per hour" in (measured / "report.html").read_text(encoding="utf-8")
    assert all(detection.score is None or detection.score >= 0.15 for detection in detections(measured))

    assert run_command("detect", measured, "--threshold", 0.12).exit_code == 3
    document = read(measured)
    assert document["threshold_origin"] == "threshold"
    assert (document["options"]["threshold"], document["options"]["false_positives_per_hour"]) == (0.12, None)


def detections(out: Path) -> Sequence[Detection]:
    return [one for one in whalescan.open_run(out).detections if one.review == "unreviewed"]


def test_detect_again_keeps_the_threshold_and_what_it_was_chosen_by(measured: Path) -> None:
    run_command("detect", measured, "--false-positives-per-hour", 16)
    before = read(measured)
    assert run_command("detect", measured).exit_code == 3
    assert read(measured) == before


def test_detect_refuses_a_rate_outside_of_what_was_measured(measured: Path) -> None:
    result = run_command("detect", measured, "--false-positives-per-hour", 0.1)
    assert result.exit_code == 2
    assert "--false-positives-per-hour 0.1: expected 0.5 to 16" in result.stderr


def test_run_offers_other_rates_to_programs(measured: Path) -> None:
    run = whalescan.open_run(measured)
    assert run.detect(false_positives_per_hour=16) == run.detect(0.15)
    with pytest.raises(whalescan.UsageError, match=r"expected 0\.5 to 16"):
        run.detect(false_positives_per_hour=100)


def test_threshold_on_the_command_line_replaces_the_rate_in_a_file(tmp_path: Path) -> None:
    config = tmp_path / "survey.toml"
    config.write_text('false_positives_per_hour = 1\nrecordings = ["nowhere"]\n')
    result = run_command("run", "--config", config, "-o", tmp_path / "out", "--threshold", 0.5)
    assert "exclude" not in result.stderr
    config.write_text('false_positives_per_hour = 1\nthreshold = 0.5\nrecordings = ["nowhere"]\n')
    assert "exclude" in run_command("run", "--config", config, "-o", tmp_path / "out").stderr


def test_summary_says_the_threshold_of_a_run(measured: Path) -> None:
    run = whalescan.open_run(measured)
    text = " ".join(run_summary(run.survey, measured).split())
    assert f"threshold {threshold_text(run.survey.settings.rule.threshold)}, as asked for. On 0.75 h" in text


def test_summary_says_what_the_reviewed_sample_says_instead(measured: Path) -> None:
    found = whalescan.open_run(measured).detections
    validations = [
        Review.of_detection(one, "no" if i % 4 == 0 else "yes", "review") for i, one in enumerate(found) if one.score
    ]
    validation_store.append_validations(measured, validations)
    text = " ".join(run_summary(whalescan.open_run(measured).survey, measured).split())
    assert "as asked for. In this survey, by its reviewed sample, " in text
    assert "DCLDE" not in text


def test_check_says_the_threshold_of_a_run(simulated_recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whalescan.survey.check.measure_speed", lambda *_: None)
    report = whalescan.check(simulated_recordings, threshold=0.3)
    assert report.threshold[0] == "0.3, as asked for."
    own = find_model().spec.thresholds[0]
    assert whalescan.check(simulated_recordings).threshold[0] == f"{threshold_text(own)}, the model's own."
