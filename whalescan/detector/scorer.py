"""Windows of sound to scores, in batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from whalescan.audio.windows import cut, hearing
from whalescan.core import FloatArray, WindowGrid, WindowScores
from whalescan.core.profiling import stage
from whalescan.detector import complexity, localisation
from whalescan.detector.device import Turns, arrive, be_repeatable, best_dtype, settle, settled
from whalescan.detector.model_file import load_detector
from whalescan.detector.model_spec import FrontEndOptions, Model
from whalescan.detector.network import prepare_for_scanning

_BOX_LOGIT = -4.0
"""Windows below this logit are not asked where their call is. Calibration, which gives scores meaning, has no part in it."""


class Scorer:
    """A model on a device. Scores depend on the batch's size, not on who else is scoring.

    Attributes:
        batch_size: windows that are scored at a time, where they fit.
        turns: of threads that score with it, and of what looks before it.
        note: what was not as it was asked for; empty where nothing was.
    """

    def __init__(self, model: Model, device: torch.device, batch_size: int) -> None:
        self.spec = model.spec
        self.device = device
        self.batch_size = batch_size
        self.turns = Turns(device)
        self.note = ""
        self._most = batch_size
        be_repeatable(device)
        self._detector = prepare_for_scanning(load_detector(model), device, best_dtype(device))
        self._slope, self._offset = torch.tensor(model.spec.calibration).T
        settle(device)  # threads have streams of their own, and will not wait for this one

    def score(
        self, samples: FloatArray, grid: WindowGrid, n_windows: int, jumps: Sequence[int] = (), first: int = 0
    ) -> WindowScores:
        """Score ``n_windows`` windows.

        Args:
            samples: float32 ``[n]``; windows that reach past the end are filled with the mirrored sound.
            grid: distance and length of the windows.
            n_windows: how many.
            jumps: samples at which the clock jumps; a window hears one side of them only.
            first: sample at which the first window begins.
        """
        own = samples[first:]
        heard = hearing(grid, 0, n_windows, len(own), [jump - first for jump in jumps if jump > first])
        scored = []
        with self.turns.working():
            for begin in range(0, n_windows, self.batch_size):
                which = np.arange(begin, min(begin + self.batch_size, n_windows))
                scored.append(self.look(arrive(cut(own, grid, heard, which), self.device)))
        return WindowScores.join(scored)

    def look(self, windows: Tensor) -> WindowScores:
        """Score windows ``[n_windows, window_samples]`` that are on the device, each on its own; in a turn."""
        return WindowScores.join([self._fit(batch) for batch in windows.split(self.batch_size)])

    def calibrated(self, logits: Tensor) -> FloatArray:
        """Scores of logits ``[n_windows, n_classes]``."""
        scores: FloatArray = torch.sigmoid(self._slope * logits.cpu() + self._offset).numpy()
        return scores

    def _fit(self, windows: Tensor) -> WindowScores:
        """Score a batch, in parts where the device's memory does not hold it whole."""
        try:
            if len(windows) <= self._most:
                return self._score(windows)
        except torch.cuda.OutOfMemoryError:
            if len(windows) == 1:
                raise
            self._most = min(self._most, -(-len(windows) // 2))
            self.note = f"out of memory on {self.device} with {self.batch_size} windows at a time: went on with {self._most}"
            torch.cuda.empty_cache()
        step = self._most  # a part may turn out to be too large, too
        return WindowScores.join([self._fit(windows[i : i + step]) for i in range(0, len(windows), step)])

    def _score(self, windows: Tensor) -> WindowScores:
        cells, logits, measures = self._judge(windows)
        logits = logits.cpu()
        with stage("boxes"):
            boxes = _boxes(cells, logits.amax(dim=1).numpy(), self.spec.front_end)
        return WindowScores(self.calibrated(logits), boxes, measures.cpu().numpy())

    def _judge(self, windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Contrast, logits and complexity of windows; all of it on the device."""
        options = self.spec.front_end
        with stage("spectrogram"), settled(self.device):
            contrast = self._detector.frontend.contrast(windows)
            pictures = self._detector.frontend.picture(contrast)
        with stage("network"), settled(self.device):
            logits = self._detector.classify(pictures)
        with stage("complexity"), settled(self.device):
            measures = complexity.window_complexity(contrast.cells, options.bin_hz, options.low_bin)
        return contrast.cells, logits, measures


def _boxes(contrast: Tensor, logits: FloatArray, options: FrontEndOptions) -> FloatArray:
    boxes = np.full((len(logits), 4), np.nan, np.float32)
    chosen = np.flatnonzero(logits >= _BOX_LOGIT)
    if chosen.size:
        boxes[chosen] = localisation.call_boxes(contrast[chosen].cpu().numpy(), options)
    return boxes
