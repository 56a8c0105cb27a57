"""The network while it learns: one step down the gradient, and all that must be kept to go on after a kill."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from whalescan.core import FloatArray, IntArray
from whalescan.detector.device import best_dtype
from whalescan.detector.localisation import call_boxes
from whalescan.detector.network import Detector
from whalescan.training import augmentation
from whalescan.training.optimiser import Descent, DescentOptions
from whalescan.training.options import TrainOptions

_UNSEEN_BOX = (1000.0, 3000.0, 80.0, 250.0)
"""Where a call would be in a window in which no trace stands out: samples and Hz."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """What one pass goes through.

    Attributes:
        windows: float32 ``[n, window_samples]``.
        targets: float32 ``[n, n_classes]``, 0 to 1.
        traces: float32 ``[n, 4]``, box around each window's strongest trace, as `evidence.call_boxes` gives them.
        sea: float32 ``[m, window_samples]``, windows without calls; may be empty.
        hard: positions of those among them that were taken for calls most; empty before anybody has looked.
    """

    windows: FloatArray
    targets: FloatArray
    traces: FloatArray
    sea: FloatArray
    hard: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))


def traces(detector: Detector, windows: FloatArray, batch_size: int = 64) -> FloatArray:
    """Box around the strongest trace of each window, ``[n, 4]``; never NaN."""
    boxes = []
    with torch.inference_mode():
        for batch in torch.from_numpy(windows).split(batch_size):
            cells = detector.frontend.contrast(batch).cells.numpy()
            boxes.append(call_boxes(cells, detector.frontend.options))
    found = np.concatenate(boxes)
    return np.where(np.isnan(found), np.array(_UNSEEN_BOX, np.float32), found)


class Learner:
    """A detector while it learns."""

    def __init__(self, detector: Detector, options: TrainOptions, n_examples: int, device: torch.device) -> None:
        self.options = options
        self.device = device
        self.batch_size = min(options.batch_size, n_examples)
        self.n_batches = max(n_examples // self.batch_size, options.least_batches)
        self.random = torch.Generator().manual_seed(options.seed)
        self.detector = detector.to(device)
        course = DescentOptions(options.learning_rate, options.warm_up, options.weight_decay, options.average_steps)
        self._descent = Descent(self.detector, course, options.epochs * self.n_batches)
        self.dtype = best_dtype(device)

    @property
    def average(self) -> Detector:
        """The detector with averaged weights, ready to score."""
        return self._descent.average

    def learn(self, lessons: Lessons, frozen: bool) -> Iterator[float]:
        """One pass in random order, or several where examples are few; a last part of a batch is left out.

        Gives the loss of each step before it is taken.
        """
        for name, parameter in self.detector.network.named_parameters():
            parameter.requires_grad_(not frozen or name.startswith("fc."))
        n, needed = len(lessons.windows), self.n_batches * self.batch_size
        passes = [torch.randperm(n, generator=self.random).numpy() for _ in range(-(-needed // n))]
        order = np.concatenate(passes)
        for i in range(self.n_batches):
            chosen = order[i * self.batch_size : (i + 1) * self.batch_size]
            with torch.no_grad():
                pictures, targets = self._pictures(lessons, chosen)
            yield self._step(pictures, targets, frozen)

    def _pictures(self, lessons: Lessons, chosen: np.ndarray) -> tuple[Tensor, Tensor]:
        """Varied pictures and targets of a batch, joined by windows without a call."""
        varied, frontend = self.options.augmentation, self.detector.frontend
        windows, targets = (
            torch.from_numpy(values[chosen]).to(self.device) for values in (lessons.windows, lessons.targets)
        )
        within = augmentation.inside(lessons.traces[chosen], frontend.options).to(self.device)
        if len(lessons.sea):
            windows = augmentation.mix_in(
                windows, self._draw(lessons.sea, len(chosen)), within, frontend, varied, self.random
            )
        windows = augmentation.add_noise(windows, within, frontend, varied, self.random)
        if len(lessons.sea) and self.options.without_calls_per_batch:
            n_hard = round(self.options.hard_share * self.options.without_calls_per_batch) if len(lessons.hard) else 0
            silent = self._draw(lessons.sea, self.options.without_calls_per_batch - n_hard)
            if n_hard:
                silent = torch.cat([silent, self._draw(lessons.sea, n_hard, among=lessons.hard)])
            windows = torch.cat([windows, silent])
            targets = torch.cat([targets, targets.new_zeros(len(silent), targets.shape[1])])
        frame_s = frontend.options.frame_hop_samples / frontend.options.rate_hz
        pictures = augmentation.shift(frontend(windows), frame_s, varied, self.random)
        pictures = augmentation.mask(pictures, frame_s, varied, self.random)
        return augmentation.mixup(pictures, targets, varied, self.random)

    def _draw(self, sea: FloatArray, n: int, among: IntArray | None = None) -> Tensor:
        """Windows ``[n, window_samples]``, drawn from all or from those at some positions."""
        drawn = torch.randint(len(sea) if among is None else len(among), (n,), generator=self.random).numpy()
        return torch.from_numpy(sea[drawn if among is None else among[drawn]]).to(self.device)

    def _step(self, pictures: Tensor, targets: Tensor, frozen: bool) -> float:
        self.detector.train()
        if frozen or self.options.keep_statistics:
            for module in self.detector.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            logits = self.detector.classify(pictures)
        loss = binary_cross_entropy_with_logits(logits, targets)
        return self._descent.step(loss)

    def state(self) -> dict[str, Tensor]:
        """All that another learner needs to go on as this one would, as named tensors."""
        return self._descent.state() | {"random": self.random.get_state()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on where the learner that gave this state was."""
        self._descent.restore(state)
        self.random.set_state(state["random"].cpu())
