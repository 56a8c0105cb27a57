"""Windows of sound to scores, in batches."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from whalescan.core import FloatArray, UsageError, WindowGrid, WindowScores
from whalescan.core.stages import is_watched, stage
from whalescan.detector import complexity, evidence
from whalescan.detector.modelfile import load_detector
from whalescan.detector.network import best_dtype, prepare_for_scanning
from whalescan.detector.spec import FrontEndOptions, Model
from whalescan.sound.windows import cut

_BOX_LOGIT = -4.0
"""Windows below this logit are not asked where their call is. Calibration, which gives scores meaning, has no part in it."""


class Scorer:
    """A model on a device. Scores depend on the batch's size, not on who else is scoring.

    Attributes:
        batch_size: windows that are scored at a time, where they fit.
        note: what was not as it was asked for; empty where nothing was.
    """

    def __init__(self, model: Model, device: torch.device, batch_size: int) -> None:
        self.spec = model.spec
        self.device = device
        self.batch_size = batch_size
        self.note = ""
        self._most = batch_size
        self._detector = prepare_for_scanning(load_detector(model), device, best_dtype(device))
        self._slope, self._offset = torch.tensor(model.spec.calibration, device=device).T

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
        windows = cut(samples[first:], grid, n_windows, [jump - first for jump in jumps if jump > first])
        with torch.inference_mode(), one_thread:
            return self.look(windows)

    def look(self, windows: FloatArray) -> WindowScores:
        """Score windows ``[n_windows, window_samples]``, each on its own; in inference mode, and on one thread."""
        batches = range(0, len(windows), self.batch_size)
        return WindowScores.join([self._fit(windows[i : i + self.batch_size]) for i in batches])

    def calibrated(self, logits: Tensor) -> FloatArray:
        """Scores of logits ``[n_windows, n_classes]``."""
        scores: FloatArray = torch.sigmoid(self._slope * logits.to(self.device) + self._offset).cpu().numpy()
        return scores

    def _fit(self, windows: FloatArray) -> WindowScores:
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

    def _score(self, windows: FloatArray) -> WindowScores:
        options = self.spec.front_end
        with stage("spectrogram"), settled(self.device):
            contrast = self._detector.frontend.contrast(torch.from_numpy(windows.copy()).to(self.device))
            pictures = self._detector.frontend.picture(contrast)
        with stage("network"), settled(self.device):
            logits = self._detector.classify(pictures)
        with stage("complexity"), settled(self.device):
            measures = complexity.window_complexity(contrast.cells, options.bin_hz, options.low_bin).cpu().numpy()
        with stage("boxes"):
            boxes = _boxes(contrast.cells, logits.amax(dim=1).cpu().numpy(), options)
        return WindowScores(self.calibrated(logits), boxes, measures)


def _boxes(contrast: Tensor, logits: FloatArray, options: FrontEndOptions) -> FloatArray:
    boxes = np.full((len(logits), 4), np.nan, np.float32)
    chosen = np.flatnonzero(logits >= _BOX_LOGIT)
    if chosen.size:
        boxes[chosen] = evidence.call_boxes(contrast[chosen].cpu().numpy(), options)
    return boxes


class _OneThread:
    """One torch thread a scoring task, while any task is scoring; tasks run beside each other instead.

    So the arithmetic, and with it every bit of a score, is the same for any number of workers.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_scoring = 0
        self._threads_outside = 1

    def __enter__(self) -> None:
        with self._lock:
            if self._n_scoring == 0:
                self._threads_outside = torch.get_num_threads()
            self._n_scoring += 1
        torch.set_num_threads(1)  # each thread has a setting of its own, so each one sets it

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._n_scoring -= 1
            if self._n_scoring == 0:
                torch.set_num_threads(self._threads_outside)


one_thread = _OneThread()


@contextmanager
def settled(device: torch.device) -> Iterator[None]:
    """What is begun on a device in the block is done when it ends, where somebody times it."""
    yield
    if device.type == "cuda" and is_watched():
        torch.cuda.synchronize(device)


def choose_device(name: str) -> torch.device:
    """``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UsageError: for a name that is none, or a GPU that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device {name!r} is no device; use auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"--device {name!r} is not supported; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"--device {name}: torch sees {torch.cuda.device_count()} GPUs here; use cpu or auto")
    return device
