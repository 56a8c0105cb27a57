"""Validation of a model on held-back sound: what is held back, operating points, thresholds, comparison."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whalescan.detector.model_file import write_model
from whalescan.detector.model_spec import ARCHITECTURE, FrontEndOptions, ModelSpec, NetworkOptions, find_model
from whalescan.detector.network import Detector
from whalescan.evaluation.metrics import DetectionCounts, count_detections, threshold_curve
from whalescan.evaluation.operating_points import extrapolated_threshold, measured_threshold, validate, wilson_interval
from whalescan.training import validation_sounds as validation_sounds_module
from whalescan.training.held_back_parts import hold_back_parts
from whalescan.training.measurement import ClassMeasurement, Measurement, measure, probability_of_gain
from whalescan.training.sounds import AnnotatedSound, Background, Call, Clip, TrainingSounds
from whalescan.training.validation import ThresholdAim, with_validation
from whalescan.training.validation_sounds import ValidationSounds, validation_sounds

FRONT_END = FrontEndOptions()
NO_SPANS = np.zeros((0, 2), np.int64)
UPCALLS = ("upcall",)


def noise(seconds: float, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(round(2000 * seconds)).astype(np.float32)


def annotated(seconds: float, calls_at_s: tuple[float, ...] = (), name: str = "a") -> AnnotatedSound:
    calls = tuple(Call(2000 * at_s, 2000 * at_s + 2000, 100, 200, 0) for at_s in calls_at_s)
    return AnnotatedSound(noise(seconds), calls, NO_SPANS, NO_SPANS, name, name, 0.0)


def clip(target: float, name: str = "c") -> Clip:
    return Clip(noise(2), np.array([target], np.float32), None, name, name)


# ---------------------------------------------------------------------------------------------- what is held back


def test_much_annotated_sound_is_used_alone() -> None:
    calls = tuple(float(at_s) for at_s in range(10, 1800, 60))
    held_out = TrainingSounds(UPCALLS, 2000, (clip(1),), (annotated(1801, calls),), (Background(noise(60), 1.0, "b"),))
    found = validation_sounds(held_out, FRONT_END, 1)
    assert [sound.name for sound in found.continuous] == ["a"]
    assert found.description == "0.5 hours of 1 held-back recording with 30 annotated calls"


def test_calls_of_clips_are_planted_where_few_are_annotated() -> None:
    background = Background(noise(120), 1.0, "b")
    held_out = TrainingSounds(UPCALLS, 2000, (clip(1), clip(0), clip(np.nan)), (annotated(30, (10,)),), (background,))
    found = validation_sounds(held_out, FRONT_END, 1)
    planted = found.continuous[1]
    assert len(planted.calls) > 8
    assert (np.diff([call.middle for call in planted.calls]) >= 3 * 2000).all()
    assert not np.array_equal(planted.samples, background.samples)
    assert np.array_equal(background.samples, noise(120)), "the background itself is not changed"
    assert f"{len(planted.calls)} calls of held-back clips were planted" in found.description
    assert len(found.clips) == 2, "those with a label"
    again = validation_sounds(held_out, FRONT_END, 1)
    assert np.array_equal(again.continuous[1].samples, planted.samples)


def test_clips_alone_are_joined() -> None:
    held_out = TrainingSounds(UPCALLS, 2000, tuple(clip(i % 2, str(i)) for i in range(10)))
    found = validation_sounds(held_out, FRONT_END, 1)
    (sound,) = found.continuous
    assert len(sound.calls) == 5
    assert len(sound.samples) == 10 * 3800 + 200
    assert "joined" in found.description
    assert found.n_calls == 5


def test_sound_without_calls_counts_false_positives_only() -> None:
    found = validation_sounds(TrainingSounds(UPCALLS, 2000, (), (), (Background(noise(60), 1.0, "b"),)), FRONT_END, 1)
    assert (found.n_calls, len(found.continuous)) == (0, 1)
    assert not validation_sounds(TrainingSounds(UPCALLS, 2000), FRONT_END, 1)


def test_the_last_part_of_a_recording_is_held_back() -> None:
    sound = replace(annotated(60, (5, 15, 25, 35, 45)), uncertain=np.array([[50 * 2000, 52 * 2000]]))
    sounds = TrainingSounds(UPCALLS, 2000, (), (sound, annotated(60, name="silent")), (Background(noise(100), 1.0, "b"),))
    parts = hold_back_parts(sounds, 0.3)
    assert (parts.training.n_calls, parts.held_out.n_calls) == (3, 2)
    held = parts.held_out.annotated[0]
    assert np.array_equal(np.concatenate([parts.training.annotated[0].samples, held.samples]), sound.samples)
    assert held.begin_s + held.calls[0].begin / 2000 == 35
    assert (held.uncertain[0] / 2000 + held.begin_s).tolist() == [50, 52]
    assert held.begin_s - 26 == pytest.approx(35 - held.begin_s, abs=0.01), "in the middle between two calls"
    assert len(parts.held_out.backgrounds[0].samples) == 30 * 2000


@pytest.mark.parametrize("calls_at_s", [(), (20.0,), (20.0, 21.5)])
def test_nothing_is_held_back_where_calls_are_too_few_or_too_close(calls_at_s: tuple[float, ...]) -> None:
    sounds = TrainingSounds(UPCALLS, 2000, (), (annotated(60, calls_at_s),))
    parts = hold_back_parts(sounds, 0.3)
    assert parts.training == sounds
    assert not parts.held_out.annotated


# ---------------------------------------------------------------------------------------------- operating points

scored = st.lists(st.tuples(st.floats(0, 1).map(lambda x: round(x, 4)), st.booleans()), max_size=60)


def counts_of(found: list[tuple[float, bool]], n_calls: int, n_hours: float) -> DetectionCounts:
    scores, is_true = zip(*found, strict=True) if found else ((), ())
    return count_detections(scores, is_true, [0] * len(found), np.array([n_calls]), np.array([n_hours]))


@given(scored, st.floats(0.1, 5), st.sampled_from([0.3, 1.0, 4.0]))
def test_a_measured_threshold_keeps_the_rate_and_loses_no_call(
    found: list[tuple[float, bool]], n_hours: float, per_hour: float
) -> None:
    counts = counts_of(found, 60, n_hours)
    threshold = measured_threshold(counts, per_hour)
    curve = threshold_curve(counts)
    if threshold is None:
        assert per_hour * n_hours < 1 or not found or curve.for_false_positives(per_hour) is None
        return
    at = curve.at(threshold)
    assert at.false_positives_per_hour <= per_hour * (1 + 1e-9)
    assert at.recall == curve.recall_at(per_hour)
    assert round(threshold, 4) == threshold


def test_operating_points_as_far_as_the_hours_allow() -> None:
    random = np.random.default_rng(1)
    found = [(round(float(score), 4), True) for score in random.beta(6, 2, 40)]
    found += [(round(float(score), 4), False) for score in random.beta(1, 6, 300)]
    validation = validate(counts_of(found, 50, 0.75), "0.75 hours")
    assert [point.false_positives_per_hour for point in validation.points] == [2, 4, 8, 16], "1 an hour is 0.75 in all"
    recalls = [point.recall for point in validation.points]
    assert recalls == sorted(recalls)
    for point in validation.points:
        low, high = point.recall_interval
        assert low < point.recall < high
    assert (validation.n_calls, validation.hours, validation.sound) == (50, 0.75, "0.75 hours")
    assert validate(counts_of([(0.5, False)] * 9, 0, 5), "x").points == (), "without calls there is no recall"


def test_extrapolation_of_the_rate_of_false_positives() -> None:
    levels = []
    for seed in range(50):  # log-odds: exponential above -6; 1,000 an hour
        scores = 1 / (1 + np.exp(6 - np.random.default_rng(seed).exponential(1.0, 200)))
        threshold = extrapolated_threshold(counts_of([(float(score), False) for score in scores], 0, 0.2), 1.0)
        assert threshold is not None
        levels.append(np.log(threshold / (1 - threshold)))
    assert np.mean(levels) == pytest.approx(-6 + np.log(1000), abs=0.5)
    assert extrapolated_threshold(counts_of([(0.5, False)] * 5, 0, 0.2), 1.0) is None


def test_wilson_interval() -> None:
    assert wilson_interval(8, 10) == pytest.approx((0.490, 0.943), abs=1e-3)
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(5, 5)[1] == 1.0


# ---------------------------------------------------------------------------------------------- thresholds, comparison

NOTHING = ValidationSounds(UPCALLS, 2000, (), (), "some sound")


def measurement(found: list[tuple[float, bool, int]], n_calls: list[int], hours_each: float = 0.5) -> Measurement:
    """Return a measurement of detections: log-odds, whether it is a call, block."""
    scores, is_true, block = zip(*found, strict=True)
    counts = count_detections(scores, is_true, block, np.array(n_calls), np.full(len(n_calls), hours_each))
    return Measurement(NOTHING, {"upcall": ClassMeasurement(counts, np.zeros(0), np.zeros(0, np.bool_))})


def many(seed: int, shift: float = 0.0, n_blocks: int = 6) -> Measurement:
    random = np.random.default_rng(seed)
    found = [(float(x) + shift, True, i % n_blocks) for i, x in enumerate(random.normal(0, 1, 60))]
    found += [(float(x), False, i % n_blocks) for i, x in enumerate(random.normal(-4, 2, 400))]
    return measurement(found, [11] * n_blocks)


def test_calibration_threshold_and_points_are_made_anew() -> None:
    spec = ModelSpec(UPCALLS, thresholds=(0.9,), calibration=((3.0, 1.0),))
    validated, messages = with_validation(spec, many(1), ThresholdAim(None, 1.0))
    (slope, _), (threshold,) = validated.calibration[0], validated.thresholds
    assert slope > 0
    assert slope != 3.0
    (validation,) = validated.validation
    assert threshold == validation.threshold(1.0)
    assert "for at most 1 false positive per hour" in messages[0]
    given_, _ = with_validation(spec, many(1), ThresholdAim(0.25, 1.0))
    assert given_.thresholds == (0.25,)


@pytest.mark.parametrize("keeps_weights", [True, False])
def test_little_sound_moves_a_threshold_only_where_it_must(keeps_weights: bool) -> None:
    spec = ModelSpec(UPCALLS, thresholds=(0.5,))
    quiet = [(-4.0 - i / 10, False, 0) for i in range(20)] + [(3.0, True, 0)]
    validated, messages = with_validation(spec, measurement(quiet, [1], 0.1), ThresholdAim(None, 1.0, keeps_weights))
    assert validated.calibration == spec.calibration, "one call is too little to calibrate on"
    assert ("unchanged" in messages[0]) == keeps_weights
    loud = [(float(x), False, 0) for x in np.linspace(-3, 4, 20)] + [(3.0, True, 0)]
    validated, messages = with_validation(spec, measurement(loud, [1], 0.1), ThresholdAim(None, 1.0, keeps_weights))
    assert "extrapolated" in messages[0]
    assert validated.thresholds[0] > 0.9


def test_unchanged_thresholds_follow_a_new_calibration() -> None:
    spec = ModelSpec(UPCALLS, thresholds=(0.5,), calibration=((1.0, -1.0),))
    found = [(2.0 + i / 10, True, 0) for i in range(12)] + [(-3.0 - i / 10, False, 0) for i in range(12)]
    validated, _ = with_validation(spec, measurement(found, [12], 0.1), ThresholdAim(None, 1.0, keeps_weights=True))
    slope, offset = validated.calibration[0]
    (threshold,) = validated.thresholds
    assert np.log(threshold / (1 - threshold)) == pytest.approx(slope * 1.0 + offset, abs=0.02), "logit 1 has score 0.5"


def test_gains_that_may_be_chance() -> None:
    better = probability_of_gain(many(1), many(1, shift=2.0), UPCALLS, 1)
    assert better > 0.95
    assert probability_of_gain(many(1), many(1), UPCALLS, 1) == 0
    assert probability_of_gain(many(1, shift=2.0), many(1), UPCALLS, 1) < 0.05


def test_metrics_of_clips() -> None:
    counts = count_detections((), (), (), np.zeros(0, np.int64), np.zeros(0))
    measured = ClassMeasurement(counts, np.array([2.0, -1.0, 1.0, -2.0]), np.array([True, True, False, False]))
    metrics = measured.metrics
    assert (metrics.clips_auc, metrics.clips_accuracy, metrics.average_precision) == (0.75, 0.75, None)
    assert "AUC of clips 0.750" in str(metrics)
    nothing = ClassMeasurement(counts, np.zeros(0), np.zeros(0, np.bool_))
    assert str(nothing.metrics) == "no calls to find"


def test_about_an_hour_of_sound_without_calls_is_used() -> None:
    assert validation_sounds_module._longest_part([100, 500, 900], 2000) == 900
    assert validation_sounds_module._longest_part([100, 500, 900], 900) == 400, "100, 400 and 400"
    assert validation_sounds_module._longest_part([], 900) == 0


@pytest.mark.slow
def test_clips_have_the_scores_of_their_windows(tmp_path: Path) -> None:
    """They are scored many at a time, and yet as if nothing surrounded them."""
    torch.manual_seed(1)
    network = NetworkOptions(middle_blocks=(), exit_channels=1024)
    detector = Detector(ARCHITECTURE, FRONT_END, network, 1)
    torch.nn.init.normal_(detector.head.weight, std=0.3)
    spec = ModelSpec(UPCALLS, network=network)
    write_model(tmp_path / "m.safetensors", detector, spec)
    clips = tuple(replace(clip(i % 2), samples=noise(2, seed=i)) for i in range(5))
    held_out = TrainingSounds(UPCALLS, 2000, clips, (annotated(30, (10.0, 20.0)),))
    measured = measure(detector, spec, validation_sounds(held_out, FRONT_END, 1), "cpu").classes["upcall"]
    model = find_model(tmp_path / "m.safetensors")
    expected = [model.score(one.samples, 2000, device="cpu").scores[0, 0] for one in clips]
    assert 1 / (1 + np.exp(-measured.clip_log_odds)) == pytest.approx(expected, abs=0.01)
    assert np.std(expected) > 0.02
    assert measured.clip_is_call.tolist() == [False, True, False, True, False]
    assert measured.counts.n_calls.tolist() == [2]
    assert measured.counts.hours.sum() == pytest.approx(30 / 3600, rel=0.02)
