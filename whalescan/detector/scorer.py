"""A model on a device, and the scores of windows in batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from whalescan.audio.windows import extract_windows, window_extents
from whalescan.core import FloatArray, WindowGrid, WindowScores
from whalescan.core.profiling import stage
from whalescan.detector import complexity, localisation
from whalescan.detector.device import DeviceQueue, best_dtype, synchronize, synchronize_when_profiling, to_device
from whalescan.detector.model_file import load_detector
from whalescan.detector.model_spec import FrontEndOptions, Model
from whalescan.detector.network import prepare_for_inference

_MIN_BOX_LOGIT = -4.0
"""Windows below this logit get no box. The logit is the network's, before calibration."""


class Scorer:
    """A model on a device. Scores depend on the batch size, not on what else is scored at the time.

    Args:
        model: the model.
        device: where it scores.
        batch_size: windows scored at a time, as far as memory allows.

    Attributes:
        device_queue: access of threads to the device.
        note: what the user should know, such as a batch size that memory did not allow; empty for nothing.
    """

    def __init__(self, model: Model, device: torch.device, batch_size: int) -> None:
        self.spec = model.spec
        self.device = device
        self.batch_size = batch_size
        self.device_queue = DeviceQueue(device)
        self.note = ""
        self._max_windows = batch_size
        self.detector = prepare_for_inference(load_detector(model), device, best_dtype(device))
        self._slope, self._offset = torch.tensor(model.spec.calibration).T
        synchronize(device)  # scoring threads use streams of their own, which do not wait for this one

    def score(
        self,
        samples: FloatArray,
        grid: WindowGrid,
        n_windows: int,
        discontinuities: Sequence[int] = (),
        first_sample: int = 0,
    ) -> WindowScores:
        """Score windows.

        Args:
            samples: float32 ``[n_samples]``; windows that reach beyond the end are filled by reflection.
            grid: distance and length of the windows.
            n_windows: number of windows.
            discontinuities: samples at which the timestamps jump, ascending; a window uses only one side of them.
            first_sample: sample at which the first window begins.
        """
        own = samples[first_sample:]
        own_discontinuities = [sample - first_sample for sample in discontinuities if sample > first_sample]
        extents = window_extents(grid, 0, n_windows, len(own), own_discontinuities)
        scored = []
        with self.device_queue.slot():
            for begin in range(0, n_windows, self.batch_size):
                indices = np.arange(begin, min(begin + self.batch_size, n_windows))
                windows = to_device(extract_windows(own, grid, extents, indices), self.device)
                scored.append(self.score_windows(windows))
        return WindowScores.join(scored)

    def score_windows(self, windows: Tensor) -> WindowScores:
        """Score windows ``[n_windows, window_samples]`` on the device, inside a slot of the queue."""
        return WindowScores.join([self._score_in_memory(batch) for batch in windows.split(self.batch_size)])

    def calibrate(self, logits: Tensor) -> FloatArray:
        """Return the calibrated scores, float32 ``[n_windows, n_classes]``, of logits of this shape."""
        scores: FloatArray = torch.sigmoid(self._slope * logits.cpu() + self._offset).numpy()
        return scores

    def _score_in_memory(self, windows: Tensor) -> WindowScores:
        """Score a batch, in parts where the device's memory is too small for it."""
        try:
            if len(windows) <= self._max_windows:
                return self._score_batch(windows)
        except torch.cuda.OutOfMemoryError:
            if len(windows) == 1:
                raise
            self._max_windows = min(self._max_windows, -(-len(windows) // 2))
            tried = f"{self.batch_size} windows at a time"
            self.note = f"out of memory on {self.device} with {tried}; continued with {self._max_windows}"
            torch.cuda.empty_cache()
        step = self._max_windows  # a part may be too large as well, and reduce it further
        parts = [windows[i : i + step] for i in range(0, len(windows), step)]
        return WindowScores.join([self._score_in_memory(part) for part in parts])

    def _score_batch(self, windows: Tensor) -> WindowScores:
        power, logits, measures = self.classify(windows)
        logits = logits.cpu()
        with stage("boxes"):
            boxes = _boxes(power, logits.amax(dim=1).numpy(), self.spec.front_end)
        return WindowScores(self.calibrate(logits), boxes, measures.cpu().numpy())

    def classify(self, windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return normalised power, logits and complexity of windows, all on the device."""
        options = self.spec.front_end
        with stage("spectrogram"), synchronize_when_profiling(self.device):
            spectrogram = self.detector.frontend.normalise(windows)
            network_input = self.detector.frontend.network_input(spectrogram)
        with stage("network"), synchronize_when_profiling(self.device):
            logits = self.detector.classify(network_input)
        with stage("complexity"), synchronize_when_profiling(self.device):
            measures = complexity.window_complexity(spectrogram.power, options.bin_hz, options.low_bin)
        return spectrogram.power, logits, measures


def _boxes(power: Tensor, logits: FloatArray, options: FrontEndOptions) -> FloatArray:
    boxes = np.full((len(logits), 4), np.nan, np.float32)
    chosen = np.flatnonzero(logits >= _MIN_BOX_LOGIT)
    if chosen.size:
        boxes[chosen] = localisation.trace_boxes(power[chosen].cpu().numpy(), options)
    return boxes
