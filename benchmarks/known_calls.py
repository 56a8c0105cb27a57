"""Sound with known calls for benchmarks: held-out clips, calls cut from them, backgrounds, and what a model finds in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.table import Row
from whalescan.core import FloatArray
from whalescan.detections.detection_rule import ColumnTrack, DetectionRule, find_detections
from whalescan.detector.model_file import load_detector
from whalescan.detector.model_spec import UPCALL, Model
from whalescan.evaluation.metrics import ThresholdCurve, threshold_curve
from whalescan.training.datasets import read_training_sounds
from whalescan.training.measurement import ClassMeasurement, measure
from whalescan.training.sounds import Background, Clip, TrainingSounds
from whalescan.training.split import split_sounds
from whalescan.training.training_options import TrainData
from whalescan.training.validation_sounds import ValidationSounds

SHARE = 0.1
"""Held out where the model's recipe does not say how much."""
_MARGIN_S, _FADE_S = 0.15, 0.1
"""Sound before and after the trace of a call that is cut, and the length of its fades."""


def held_out_sounds(clips: Path, without_calls: Sequence[str], model: Model) -> TrainingSounds:
    """Return the clips and the recordings without calls that a training of this model would hold out.

    Args:
        clips: folder with ``train.csv`` and ``train/``.
        without_calls: folders, files and patterns of recordings without calls.
        model: its recipe says which share.
    """
    data = TrainData((clips,), tuple(without_calls))
    sounds = read_training_sounds(data, model.spec.front_end, quiet=True).sounds
    share = model.spec.training.get("recipe", {}).get("validation_share", SHARE)
    return split_sounds(sounds, (), share or SHARE).held_out


def measure_model(model: Model, sounds: ValidationSounds) -> ClassMeasurement:
    """Return what a model finds of upcalls in sound with known calls."""
    return measure(load_detector(model), model.spec, sounds, "auto").classes[UPCALL]


def curve_of(model: Model, measured: ClassMeasurement) -> ThresholdCurve:
    """Return precision and recall at every threshold, with the model's calibrated scores."""
    return threshold_curve(measured.calibrated_counts(*model.spec.calibration[0]))


def event_row(model: Model, measured: ClassMeasurement) -> Row:
    """Return average precision, recall at false positives per hour, and the model's own threshold."""
    curve = curve_of(model, measured)
    own = curve.at(model.spec.thresholds[0])
    return {
        "calls": curve.n_calls,
        "hours": round(curve.hours, 2),
        "average precision": _rounded(curve.average_precision()),
        **{f"recall at {n} FP/h": _rounded(curve.recall_at(n)) for n in (1.0, 4.0)},
        "threshold": own.threshold,
        "recall": _rounded(own.recall),
        "precision": _rounded(own.precision),
        "FP/h": round(own.false_positives_per_hour, 2),
    }


def _rounded(value: float | None) -> object:
    return "" if value is None else round(value, 3)


@dataclass(frozen=True, slots=True)
class CutCall:
    """A call cut from a clip, faded in and out.

    Attributes:
        samples: float32 ``[n]``; the clip's background has level 1.
        middle: sample in the middle of the call.
    """

    samples: FloatArray
    middle: float


def cut_calls(clips: Sequence[Clip], rate_hz: int) -> list[CutCall]:
    """Return the calls of clips whose trace stands out."""
    margin, fade = round(_MARGIN_S * rate_hz), round(_FADE_S * rate_hz)
    calls = []
    for clip in clips:
        if clip.call is None:
            continue
        begin, end = max(int(clip.call.begin) - margin, 0), min(int(clip.call.end) + margin, len(clip.samples))
        ramp = np.minimum(np.arange(end - begin), np.arange(end - begin)[::-1]) / fade
        samples = (clip.samples[begin:end] * np.minimum(ramp, 1)).astype(np.float32)
        calls.append(CutCall(samples, clip.call.middle - begin))
    return calls


def tiled(backgrounds: Sequence[Background], n_samples: int) -> FloatArray:
    """Return recordings without calls one after the other, as often as ``n_samples`` need."""
    joined = np.concatenate([background.samples for background in backgrounds])
    return np.resize(joined, n_samples).astype(np.float32)


def add(samples: FloatArray, call: CutCall, middle: float, gain_db: float) -> None:
    """Add a call to a sound, its middle at a sample."""
    begin = round(middle - call.middle)
    samples[begin : begin + len(call.samples)] += np.float32(10 ** (gain_db / 20)) * call.samples


def peaks_s(model: Model, samples: FloatArray, threshold: float | None = None) -> list[float]:
    """Return the times of the detections in a sound, at a threshold or the model's own."""
    rate_hz = model.spec.front_end.rate_hz
    columns = model.score(samples, rate_hz, hop_s=2.0).columns
    track = ColumnTrack.regular(columns.log_odds[:, 0], columns.boxes, model.spec.columns, len(samples))
    rule = DetectionRule(threshold=model.spec.thresholds[0] if threshold is None else threshold)
    return [found.peak_sample / rate_hz for found in find_detections(track, rule)]
