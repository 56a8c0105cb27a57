"""What a detector finds in held-back sound: detections matched with calls, clips, and metrics of each class."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from whalescan.audio.reading import find_dropouts
from whalescan.core import LOG_ODDS_STEP, BoolArray, ColumnGrid, ColumnScores, FloatArray, IntArray
from whalescan.detections.detection_rule import ColumnTrack, DetectionRule, find_detections
from whalescan.detector.batching import BATCH_SIZE
from whalescan.detector.model_file import write_model
from whalescan.detector.model_spec import ModelSpec, find_model
from whalescan.detector.network import Detector
from whalescan.detector.pooling import EDGE_SAMPLES, N_COLUMNS_OF_A_CALL, scores_of
from whalescan.detector.score_calibration import fit_platt
from whalescan.detector.scorer import Scorer, load_scorer
from whalescan.evaluation.matching import MatchOutcome, match
from whalescan.evaluation.metrics import DetectionCounts, Numbers, count_detections, threshold_curve
from whalescan.training.validation_sounds import ContinuousSound, ValidationSounds

_TOLERANCE_S = 1.0
_AROUND_UNCERTAIN_S = 0.5
_LOWEST_SCORE = 1e-4
_FEWEST = 10
"""Smallest number of true positives, and of false positives, to which a calibration is fitted."""
_CLIPS_AT_A_TIME = 64
_NOTHING = -30.0
"""Log-odds of a clip that is not scored."""
_BLOCK_S = 30.0
_N_RESAMPLES = 200
"""Length of the blocks of sound that are resampled, and number of resamples."""


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """Metrics of one class on held-back sound; None where the sound does not allow them.

    Attributes:
        average_precision: of detections in continuous sound, matched one-to-one with the calls within 1 s.
        recall_at_one: share of the calls that are found with at most one false positive per hour.
        n_calls: calls in the continuous sound.
        hours: hours of it.
        clips_auc: area under the ROC curve of clips with and without a call.
        clips_accuracy: share of the clips that the best threshold classifies correctly.
        n_clips: number of labelled clips.
    """

    average_precision: float | None
    recall_at_one: float | None
    n_calls: int
    hours: float
    clips_auc: float | None
    clips_accuracy: float | None
    n_clips: int

    def __str__(self) -> str:
        named = (
            ("average precision", self.average_precision),
            ("recall at 1 false positive per hour", self.recall_at_one),
            ("AUC of clips", self.clips_auc),
            ("accuracy of clips", self.clips_accuracy),
        )
        return ", ".join(f"{name} {value:.3f}" for name, value in named if value is not None) or "no calls to find"


@dataclass(frozen=True, slots=True, repr=False)
class ClassMeasurement:
    """What a detector found of one class in the held-back sound.

    Attributes:
        counts: its detections, with uncalibrated log-odds as scores; by blocks of sound instead of recordings.
        clip_log_odds: float64 ``[n_clips]``, uncalibrated.
        clip_is_call: bool ``[n_clips]``.
    """

    counts: DetectionCounts
    clip_log_odds: Numbers
    clip_is_call: BoolArray

    @property
    def metrics(self) -> ClassMetrics:
        """Return the metrics."""
        curve = threshold_curve(self.counts)
        auc = accuracy = None
        if len(set(self.clip_is_call.tolist())) == 2:
            auc = float(roc_auc_score(self.clip_is_call, self.clip_log_odds))
            accuracy = _best_accuracy(self.clip_log_odds, self.clip_is_call)
        return ClassMetrics(
            average_precision=curve.average_precision(),
            recall_at_one=curve.recall_at(1.0) if curve.hours else None,
            n_calls=curve.n_calls,
            hours=curve.hours,
            clips_auc=auc,
            clips_accuracy=accuracy,
            n_clips=len(self.clip_is_call),
        )

    def calibrated_counts(self, slope: float, offset: float) -> DetectionCounts:
        """Return the detections with calibrated scores, rounded as those of a run."""
        log_odds = np.round((slope * self.counts.scores + offset) / LOG_ODDS_STEP) * LOG_ODDS_STEP
        return replace(self.counts, scores=scores_of(log_odds).astype(np.float64).round(4))

    def calibration(self) -> tuple[float, float] | None:
        """Return slope and offset with which scores are the share of calls among detections; None where they are too few."""
        is_call = self.counts.is_true_positive
        if min(is_call.sum(), (~is_call).sum()) < _FEWEST:
            return None
        slope, offset = fit_platt(self.counts.scores, is_call)
        return (slope, offset) if slope > 0 else None


def _best_accuracy(log_odds: Numbers, is_call: BoolArray) -> float:
    """Return the share of the clips that are classified correctly at the best threshold."""
    order = np.argsort(-log_odds, kind="stable")
    is_last = np.append(np.diff(log_odds[order]) != 0, True)
    gained = np.cumsum(np.where(is_call[order], 1, -1))[is_last]
    n_without = int((~is_call).sum())
    return float((n_without + max(int(gained.max()), 0)) / len(is_call))


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a detector found in the held-back sound.

    Attributes:
        sounds: the sound.
        classes: by the name of the class.
    """

    sounds: ValidationSounds = field(repr=False)
    classes: dict[str, ClassMeasurement] = field(repr=False)

    @property
    def metrics(self) -> dict[str, ClassMetrics]:
        """Return the metrics by the name of the class."""
        return {name: measured.metrics for name, measured in self.classes.items()}


def measure(detector: Detector, spec: ModelSpec, sounds: ValidationSounds, device: str) -> Measurement:
    """Score the held-back sound as a run would, with the weights as a model file stores them.

    Args:
        detector: the detector.
        spec: its description; its calibration is not used.
        sounds: the sound.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    """
    with tempfile.TemporaryDirectory(prefix="whalescan-") as folder:
        path = Path(folder) / "model.safetensors"
        write_model(path, detector, replace(spec, calibration=((1.0, 0.0),) * len(spec.classes)))
        scorer = load_scorer(find_model(path), device, BATCH_SIZE)
    return _measure(scorer, sounds)


def _measure(scorer: Scorer, sounds: ValidationSounds) -> Measurement:
    scored = [_columns(scorer, sound.samples) for sound in sounds.continuous]
    clip_log_odds = _clip_log_odds(scorer, [clip.samples for clip in sounds.clips])
    blocks = _Blocks.of(sounds)
    step = scorer.columns.column_samples
    hours_of_block = np.zeros(blocks.n, np.float64)
    for i, columns in enumerate(scored):
        is_scored = np.isfinite(columns.log_odds[:, 0])
        middles = (np.flatnonzero(is_scored) + 0.5) * step
        np.add.at(hours_of_block, blocks.at(i, middles), step / sounds.rate_hz / 3600)
    classes = {}
    for k, name in enumerate(sounds.classes):
        found: list[tuple[float, bool, int]] = []
        n_calls = np.zeros(blocks.n, np.int64)
        for i, (sound, columns) in enumerate(zip(sounds.continuous, scored, strict=True)):
            outcomes = _outcomes(sound, columns, k, scorer.columns)
            found += [(one.log_odds, one.is_true_positive, int(blocks.at(i, one.sample))) for one in outcomes]
            middles = np.array([call.middle for call in sound.calls if call.class_index == k], np.float64)
            np.add.at(n_calls, blocks.at(i, middles), 1)
        scores, is_true_positive, block = zip(*found, strict=True) if found else ((), (), ())
        counts = count_detections(scores, is_true_positive, block, n_calls, hours_of_block)
        is_call = np.array([clip.targets[k] > 0.5 for clip in sounds.clips], np.bool_)
        classes[name] = ClassMeasurement(counts, clip_log_odds[:, k], is_call)
    return Measurement(sounds, classes)


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Blocks of the continuous sounds, which are resampled to see whether a difference is more than chance.

    Attributes:
        first: int64 ``[n_sounds + 1]``, number of the first block of each sound.
        block_samples: length of a block.
    """

    first: IntArray
    block_samples: int

    @staticmethod
    def of(sounds: ValidationSounds) -> _Blocks:
        block_samples = round(_BLOCK_S * sounds.rate_hz)
        n = [max(-(-len(sound.samples) // block_samples), 1) for sound in sounds.continuous]
        return _Blocks(np.concatenate([[0], np.cumsum(n)]).astype(np.int64), block_samples)

    @property
    def n(self) -> int:
        return int(self.first[-1])

    def at(self, sound: int, samples: npt.ArrayLike) -> IntArray:
        """Return the blocks of samples of a sound, each in the last block at the latest."""
        own = (np.asarray(samples, np.float64) // self.block_samples).astype(np.int64)
        blocks: IntArray = np.minimum(self.first[sound] + own, self.first[sound + 1] - 1)
        return blocks


def _columns(scorer: Scorer, samples: FloatArray) -> ColumnScores:
    is_dropout = find_dropouts(samples, scorer.columns.rate_hz)
    return scorer.score(samples, scorer.columns.n_columns(len(samples)), is_empty=is_dropout)


def _clip_log_odds(scorer: Scorer, clips: Sequence[FloatArray]) -> Numbers:
    """Return the pooled log-odds of clips, float64 ``[n_clips, n_classes]``, as those of a window that nothing surrounds.

    Clips are scored several at a time, apart from one another: each begins with a column, after a drop-out.
    """
    step = scorer.columns.column_samples
    pooled = []
    for first in range(0, len(clips), _CLIPS_AT_A_TIME):
        part = clips[first : first + _CLIPS_AT_A_TIME]
        starts = np.cumsum([0, *(-(-len(clip) // step) * step for clip in part)])
        samples, is_empty = np.zeros(starts[-1], np.float32), np.ones(starts[-1], np.bool_)
        for begin, clip in zip(starts, part, strict=False):
            samples[begin : begin + len(clip)] = clip
            is_empty[begin : begin + len(clip)] = False
        borders = starts[1:-1].tolist()
        columns = scorer.score(samples, int(starts[-1]) // step, is_empty=is_empty, discontinuities=borders)
        for begin, clip in zip(starts, part, strict=False):
            own = columns.log_odds[begin // step : begin // step + scorer.columns.n_columns(len(clip))]
            middles = (np.arange(len(own)) + 0.5) * step
            is_inside = (middles >= EDGE_SAMPLES) & (middles < len(clip) - EDGE_SAMPLES)
            inside = np.nan_to_num(own[is_inside].astype(np.float64), nan=_NOTHING)
            pooled.append(np.logaddexp.reduce(inside, axis=0, initial=_NOTHING) - math.log(N_COLUMNS_OF_A_CALL))
    return np.array(pooled, np.float64).reshape(len(clips), len(scorer.spec.classes))


class _Outcome(NamedTuple):
    """A detection: the log-odds and the sample of its peak, and whether it is a call."""

    log_odds: float
    sample: float
    is_true_positive: bool


def _outcomes(sound: ContinuousSound, columns: ColumnScores, k: int, grid: ColumnGrid) -> list[_Outcome]:
    """Return the detections of a class, without false positives in uncertain spans."""
    track = ColumnTrack.regular(columns.log_odds[:, k], columns.boxes, grid, len(sound.samples))
    detections = find_detections(track, DetectionRule(threshold=_LOWEST_SCORE))
    peaks_s = [detection.peak_sample / grid.rate_hz for detection in detections]
    # a peak lies at most half a column from the middle of its column
    nearest = [int(detection.peak_sample / grid.column_samples) for detection in detections]
    log_odds = [float(np.nanmax(track.log_odds[max(i - 1, 0) : i + 2])) for i in nearest]
    calls_s = [call.middle / grid.rate_hz for call in sound.calls if call.class_index == k]
    matching = match(peaks_s, log_odds, calls_s, (), _TOLERANCE_S)
    return [
        _Outcome(value, peak_s * grid.rate_hz, outcome is MatchOutcome.TRUE_POSITIVE)
        for value, outcome, peak_s in zip(log_odds, matching.outcomes, peaks_s, strict=True)
        if outcome is MatchOutcome.TRUE_POSITIVE or not _is_uncertain(sound, peak_s * grid.rate_hz, grid.rate_hz)
    ]


def _is_uncertain(sound: ContinuousSound, sample: float, rate_hz: int) -> bool:
    around = _AROUND_UNCERTAIN_S * rate_hz
    return bool(np.any((sound.uncertain[:, 0] - around <= sample) & (sample < sound.uncertain[:, 1] + around)))


def mean_average_precision(measurement: Measurement, classes: Sequence[str]) -> float | None:
    """Return the mean over the classes that have calls; None where none has."""
    values = [measurement.classes[name].metrics.average_precision for name in classes]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def probability_of_gain(before: Measurement, after: Measurement, classes: Sequence[str], seed: int) -> float:
    """Return the share of resamples of the held-back sound in which the mean average precision is higher ``after``.

    Both measurements are of the same sound. Its blocks are resampled with replacement (paired bootstrap).

    Args:
        before: measurement of one detector.
        after: measurement of another one.
        classes: classes whose mean is compared.
        seed: random seed.
    """
    n_blocks = len(before.classes[classes[0]].counts.hours)
    random = np.random.default_rng([seed, 2])
    weights = random.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), _N_RESAMPLES).astype(np.int64)
    gains = []
    for row in weights:
        pairs = [
            [threshold_curve(measured.classes[name].counts, row).average_precision() for measured in (before, after)]
            for name in classes
        ]
        differences = [new - old for old, new in pairs if old is not None and new is not None]
        if differences:
            gains.append(float(np.mean(differences)))
    return float(np.mean(np.array(gains) > 0)) if gains else 0.0
