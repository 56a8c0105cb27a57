"""A model on a device, and the log-odds of columns in blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from whalescan.core import LOG_ODDS_STEP, MIN_BOX_LOG_ODDS, BoolArray, ColumnScores, FloatArray, ModelError
from whalescan.core.profiling import stage
from whalescan.detector import complexity
from whalescan.detector.batching import MIN_SEGMENT_S, batch_blocks, block_columns, recorded_runs
from whalescan.detector.device import (
    DeviceQueue,
    best_dtype,
    choose_device,
    synchronize,
    synchronize_when_profiling,
    to_device,
)
from whalescan.detector.inference import prepare_for_inference
from whalescan.detector.model_file import load_detector
from whalescan.detector.model_spec import Model
from whalescan.detector.network import BOX_UNITS

_COMPLEXITY_DECIMALS = 4
_HZ_DECIMALS = 1


@dataclass(frozen=True, slots=True)
class _Segment:
    """Columns of a block without a drop-out or a discontinuity between them, and their audio with its context.

    Attributes:
        first_column, n_columns: its columns, counted from the first column that is scored.
        audio: float32 ``[n]``: the context, which is reflected where there is no sound, and the columns.
    """

    first_column: int
    n_columns: int
    audio: FloatArray


class Scorer:
    """A model on a device. Scores depend on the batch size, not on what else is scored at the time.

    Args:
        model: the model.
        device: where it scores.
        batch_size: windows for which there is memory.

    Attributes:
        device_queue: access of threads to the device.
        note: what the user should know, such as a batch size that memory did not allow; empty for nothing.
    """

    def __init__(self, model: Model, device: torch.device, batch_size: int) -> None:
        self.spec = model.spec
        self.device = device
        self.columns = model.spec.columns
        self.device_queue = DeviceQueue(device)
        self.note = ""
        self._name = str(model.path)
        self._batch_size = batch_size
        self._n_blocks = batch_blocks(batch_size, self.columns, model.spec.front_end.window_samples)
        self.detector = prepare_for_inference(load_detector(model), device, best_dtype(device))
        # a column's frames begin before it does, which takes up one column of the context
        self._context_columns = model.spec.context_samples // self.columns.column_samples - 1
        self._slope, self._offset = np.array(model.spec.calibration, np.float64).T
        synchronize(device)  # scoring threads use streams of their own, which do not wait for this one

    def score(
        self,
        samples: FloatArray,
        n_columns: int,
        *,
        is_empty: BoolArray | None = None,
        discontinuities: Sequence[int] = (),
        first_sample: int = 0,
    ) -> ColumnScores:
        """Score columns.

        Args:
            samples: float32 ``[n_samples]``. Before the first column and after the last lie `ModelSpec.context_samples` of
                context, as far as there is sound; what is missing is reflected.
            n_columns: number of columns.
            is_empty: bool ``[n_samples]``, true where nothing could be read or nothing was recorded; None for nowhere.
            discontinuities: samples at which the timestamps jump, ascending.
            first_sample: sample at which the first column begins; it is the first of a batch.

        Returns:
            The columns; NaN where there is no sound, or only `MIN_SEGMENT_S` of it between drop-outs or discontinuities.

        Raises:
            ModelError: when the network's output is infinite or not a number.
        """
        scored = ColumnScores.missing(n_columns, len(self.spec.classes))
        runs = recorded_runs(len(samples), is_empty, discontinuities, round(MIN_SEGMENT_S * self.columns.rate_hz))
        with self.device_queue.slot():
            for batch in self._batches(samples, runs, n_columns, first_sample):
                for _, alike in groupby(batch, key=lambda segment: len(segment.audio)):
                    self._score_into(scored, list(alike))
        return scored

    def _batches(
        self, samples: FloatArray, runs: Sequence[tuple[int, int]], n_columns: int, first_sample: int
    ) -> Iterator[list[_Segment]]:
        """Yield the segments of each batch of blocks."""
        size = block_columns(self.columns)
        for begin in range(0, n_columns, size * self._n_blocks):
            blocks = range(begin, min(begin + size * self._n_blocks, n_columns), size)
            yield [
                segment
                for first in blocks
                for segment in self._segments(samples, runs, first, min(size, n_columns - first), first_sample)
            ]

    def _segments(
        self, samples: FloatArray, runs: Sequence[tuple[int, int]], first: int, n_columns: int, first_sample: int
    ) -> Iterator[_Segment]:
        """Yield the segments of one block."""
        step, context = self.columns.column_samples, self.spec.context_samples
        block_begin = first_sample + first * step
        block_end = block_begin + n_columns * step
        for run_begin, run_end in runs:
            begin, end = max(run_begin, block_begin - context), min(run_end, block_end + context)
            # columns whose middle lies in the run
            own = -(-(run_begin - first_sample - step // 2) // step), -(-(run_end - first_sample - step // 2) // step)
            first_own, end_own = max(own[0], first), min(own[1], first + n_columns)
            if first_own < end_own:
                yield _Segment(
                    first_own, end_own - first_own, self._with_context(samples, begin, end, first_own, end_own, first_sample)
                )

    def _with_context(
        self, samples: FloatArray, begin: int, end: int, first_own: int, end_own: int, first_sample: int
    ) -> FloatArray:
        """Return the audio from ``begin`` to ``end``, reflected at both sides until it holds columns and context."""
        step, n_before, o = self.columns.column_samples, self._context_columns, self.spec.front_end
        shift = first_sample + step // 2 - o.first_middle_sample
        from_sample = shift + first_own * step - n_before * step
        to_sample = shift + end_own * step + n_before * step + o.fft_samples
        used = samples[max(begin, from_sample) : min(end, to_sample)]
        padded: FloatArray = np.pad(used, (max(begin - from_sample, 0), max(to_sample - end, 0)), "reflect")
        return padded

    def _score_into(self, scored: ColumnScores, segments: Sequence[_Segment]) -> None:
        """Score segments of one length, in parts where the device's memory is too small for them."""
        try:
            audio = to_device(np.stack([segment.audio for segment in segments]), self.device)
            logits, boxes, measures = (values.cpu().numpy() for values in self.classify(audio))
        except torch.cuda.OutOfMemoryError:
            if len(segments) == 1:
                raise
            tried = f"{self._batch_size} windows at a time"
            self.note = self.note or f"out of memory on {self.device} with {tried}; continued with fewer"
            torch.cuda.empty_cache()
            half = len(segments) // 2
            self._score_into(scored, segments[:half])
            self._score_into(scored, segments[half:])
            return
        if not (np.isfinite(logits).all() and np.isfinite(boxes).all()):
            raise ModelError(
                f"{self._name}: the network's output is infinite or not a number on {self.device}; fetch the model "
                "again, or use another device"
            )
        for i, segment in enumerate(segments):
            own = slice(segment.first_column, segment.first_column + segment.n_columns)
            used = slice(self._context_columns, self._context_columns + segment.n_columns)
            scored.log_odds[own] = self.calibrate(logits[i, used])
            scored.boxes[own] = boxes_of(boxes[i, used], scored.log_odds[own], self.columns.rate_hz)
            scored.complexity[own] = measures[i, used].round(_COMPLEXITY_DECIMALS)

    def calibrate(self, logits: FloatArray) -> FloatArray:
        """Return calibrated log-odds, in steps of `LOG_ODDS_STEP`, of logits ``[..., n_classes]``."""
        calibrated: FloatArray = (np.round((self._slope * logits + self._offset) / LOG_ODDS_STEP) * LOG_ODDS_STEP).astype(
            np.float32
        )
        return calibrated

    def classify(self, audio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, boxes and complexity of the columns of blocks, all on the device."""
        with stage("spectrogram"), synchronize_when_profiling(self.device):
            spectrogram = self.detector.frontend.normalise(audio)
            network_input = self.detector.frontend.network_input(spectrogram)
        with stage("network"), synchronize_when_profiling(self.device):
            logits, boxes = self.detector.classify(network_input)
        with stage("complexity"), synchronize_when_profiling(self.device):
            measures = complexity.column_complexity(spectrogram.power, self.spec.front_end)
        return logits, boxes, measures


def load_scorer(model: Model, device: str, batch_size: int) -> Scorer:
    """Return a model on a device.

    Raises:
        ModelError: when its weights are damaged.
        UsageError: when the device does not exist.
    """
    return Scorer(model, choose_device(device), batch_size)


def boxes_of(boxes: FloatArray, log_odds: FloatArray, rate_hz: int) -> FloatArray:
    """Return boxes in samples and Hz of boxes in `BOX_UNITS`; NaN where the log-odds are too low for a call.

    Args:
        boxes: float32 ``[n_columns, 4]`` as the network gives them.
        log_odds: float32 ``[n_columns, n_classes]``, calibrated.
        rate_hz: sampling rate.
    """
    seconds_before, seconds_after, low, high = (boxes * np.array(BOX_UNITS, np.float32)).T
    absolute = np.stack(
        [
            np.round(seconds_before * rate_hz),
            np.round(seconds_after * rate_hz),
            low.round(_HZ_DECIMALS),
            high.round(_HZ_DECIMALS),
        ],
        axis=1,
    )
    has_box = log_odds.max(axis=1, keepdims=True) >= MIN_BOX_LOG_ODDS
    return np.where(has_box, absolute, np.nan).astype(np.float32)
