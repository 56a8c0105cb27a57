"""Training steps: batches with augmentation, the optimiser, and the average of the weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from whalescan.core import FloatArray, IntArray
from whalescan.core.files import write_atomically
from whalescan.detector.device import best_dtype
from whalescan.detector.localisation import trace_boxes
from whalescan.detector.network import Detector
from whalescan.training import augmentation
from whalescan.training.training_options import TrainOptions

_Network = TypeVar("_Network", bound=nn.Module)
_DEFAULT_BOX = (1000.0, 3000.0, 80.0, 250.0)
"""Box of a typical call, in samples and Hz, for windows without a distinct trace."""


@dataclass(frozen=True, slots=True)
class OptimiserOptions:
    """Options of the optimiser.

    Attributes:
        learning_rate: highest rate of the one-cycle schedule (Smith 2018).
        warm_up: share of the steps in which the rate increases.
        weight_decay: weight decay of AdamW.
        average_steps: steps over which the weights are averaged, at most a ninth of all steps.
    """

    learning_rate: float
    warm_up: float
    weight_decay: float
    average_steps: int


class AveragingOptimiser(Generic[_Network]):
    """AdamW with a one-cycle schedule and an exponential moving average of the weights.

    Args:
        network: the network to train; it is changed.
        options: rates, and length of the average.
        n_steps: number of steps of the whole training.
    """

    def __init__(self, network: _Network, options: OptimiserOptions, n_steps: int) -> None:
        self.network = network
        # a longer average would mostly consist of the initial weights
        average_steps = min(options.average_steps, max(n_steps // 9, 1))
        self._averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(1 - 1 / average_steps), use_buffers=True)
        self._optimizer = torch.optim.AdamW(network.parameters(), weight_decay=options.weight_decay)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, options.learning_rate, n_steps, pct_start=options.warm_up
        )

    @property
    def average(self) -> _Network:
        """Return the network with averaged weights, in evaluation mode."""
        averaged: _Network = self._averaged.module  # type: ignore[assignment]  # it is a copy of the network
        averaged.eval()
        return averaged

    def step(self, loss: Tensor) -> float:
        """Take a step, and return the loss before it."""
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self._schedule.step()
        self._averaged.update_parameters(self.network)
        return loss.item()

    def state(self) -> dict[str, Tensor]:
        """Return the state as named tensors, from which `restore` continues identically."""
        moments = {
            f"optimizer.{i}.{name}": value
            for i, values in self._optimizer.state_dict()["state"].items()
            for name, value in values.items()
        }
        networks = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        averages = {f"averaged.{name}": value for name, value in self._averaged.state_dict().items()}
        steps = {"steps": torch.tensor(self._schedule.last_epoch)}
        return {name: value.detach().clone() for name, value in (networks | averages | moments | steps).items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state that `state` returned."""
        self.network.load_state_dict(_with_prefix("network", state))
        self._averaged.load_state_dict(_with_prefix("averaged", state))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _with_prefix("optimizer", state).items():
            number, _, moment = name.partition(".")
            moments.setdefault(int(number), {})[moment] = value
        for _ in range(int(state["steps"])):  # the schedule has no closed form, and a step takes microseconds
            self._optimizer.step()  # changes nothing, as there are no gradients
            self._schedule.step()
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})


def _with_prefix(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix and a dot, under the rest of their names."""
    return {name.removeprefix(f"{prefix}."): value for name, value in state.items() if name.startswith(f"{prefix}.")}


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """The data of one epoch.

    Attributes:
        windows: float32 ``[n, window_samples]``.
        targets: float32 ``[n, n_classes]``, 0 to 1.
        boxes: float32 ``[n, 4]``, box around the strongest trace of each window, from `strongest_boxes`.
        negatives: float32 ``[m, window_samples]``, windows of recordings without calls; may be empty.
        hard_negatives: int64, indices of the negatives with the highest scores; empty before they are determined.
    """

    windows: FloatArray
    targets: FloatArray
    boxes: FloatArray
    negatives: FloatArray
    hard_negatives: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))


def strongest_boxes(detector: Detector, windows: FloatArray, batch_size: int = 64) -> FloatArray:
    """Return the box around the strongest trace of each window, float32 ``[n, 4]``, as `localisation.trace_boxes`.

    Windows without a distinct trace get a default box.
    """
    boxes = []
    with torch.inference_mode():
        for batch in torch.from_numpy(windows).split(batch_size):
            power = detector.frontend.normalise(batch).power.numpy()
            boxes.append(trace_boxes(power, detector.frontend.options))
    found = np.concatenate(boxes)
    return np.where(np.isnan(found), np.array(_DEFAULT_BOX, np.float32), found)


class Trainer:
    """Training of a detector, epoch by epoch.

    Args:
        detector: the detector to train; it is changed.
        options: the recipe.
        n_examples: number of training examples.
        device: device on which the detector is trained.
    """

    def __init__(self, detector: Detector, options: TrainOptions, n_examples: int, device: torch.device) -> None:
        self.options = options
        self.device = device
        self.batch_size = min(options.batch_size, n_examples)
        self.n_batches = max(n_examples // self.batch_size, options.least_batches)
        self.random = torch.Generator().manual_seed(options.seed)
        self.detector = detector.to(device)
        rates = OptimiserOptions(options.learning_rate, options.warm_up, options.weight_decay, options.average_steps)
        self._optimiser = AveragingOptimiser(self.detector, rates, options.epochs * self.n_batches)
        self.dtype = best_dtype(device)

    @property
    def average(self) -> Detector:
        """Return the detector with averaged weights, in evaluation mode."""
        return self._optimiser.average

    def run_epoch(self, training_set: TrainingSet, frozen: bool) -> Iterator[float]:
        """Train for one epoch: a pass in random order, or several where examples are few. The last partial batch is dropped.

        Args:
            training_set: the data.
            frozen: train the head only.

        Yields:
            The loss of each step, before it is taken.
        """
        for name, parameter in self.detector.network.named_parameters():
            parameter.requires_grad_(not frozen or name.startswith("fc."))
        n, n_needed = len(training_set.windows), self.n_batches * self.batch_size
        passes = [torch.randperm(n, generator=self.random).numpy() for _ in range(-(-n_needed // n))]
        order = np.concatenate(passes)
        for i in range(self.n_batches):
            indices = order[i * self.batch_size : (i + 1) * self.batch_size]
            with torch.no_grad():
                spectrograms, targets = self._augmented_batch(training_set, indices)
            yield self._step(spectrograms, targets, frozen)

    def _augmented_batch(self, training_set: TrainingSet, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return augmented spectrograms and targets of some examples, with negatives added."""
        options, frontend, negatives = self.options.augmentation, self.detector.frontend, training_set.negatives
        windows, targets = (
            torch.from_numpy(values[indices]).to(self.device) for values in (training_set.windows, training_set.targets)
        )
        in_box = augmentation.box_mask(training_set.boxes[indices], frontend.options).to(self.device)
        if len(negatives):
            background = self.sample_windows(negatives, len(indices))
            windows = augmentation.add_background(windows, background, in_box, frontend, options, self.random)
        windows = augmentation.add_noise(windows, in_box, frontend, options, self.random)
        if len(negatives) and self.options.without_calls_per_batch:
            added = self._sample_negatives(training_set)
            windows = torch.cat([windows, added])
            targets = torch.cat([targets, targets.new_zeros(len(added), targets.shape[1])])
        frame_s = frontend.options.frame_hop_samples / frontend.options.rate_hz
        spectrograms = augmentation.shift(frontend(windows), frame_s, options, self.random)
        spectrograms = augmentation.mask(spectrograms, frame_s, options, self.random)
        return augmentation.mixup(spectrograms, targets, options, self.random)

    def _sample_negatives(self, training_set: TrainingSet) -> Tensor:
        """Return the negatives of a batch: some of all, and some of the hard ones, once these are determined."""
        n, hard = self.options.without_calls_per_batch, training_set.hard_negatives
        n_hard = round(self.options.hard_share * n) if len(hard) else 0
        sampled = self.sample_windows(training_set.negatives, n - n_hard)
        if not n_hard:
            return sampled
        return torch.cat([sampled, self.sample_windows(training_set.negatives, n_hard, among=hard)])

    def sample_windows(self, windows: FloatArray, n: int, among: IntArray | None = None) -> Tensor:
        """Return random windows ``[n, window_samples]``, of all or of some indices."""
        sampled = torch.randint(len(windows) if among is None else len(among), (n,), generator=self.random).numpy()
        return torch.from_numpy(windows[sampled if among is None else among[sampled]]).to(self.device)

    def _step(self, spectrograms: Tensor, targets: Tensor, frozen: bool) -> float:
        self.detector.train()
        if frozen or self.options.keep_statistics:
            for module in self.detector.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            logits = self.detector.classify(spectrograms)
        loss = binary_cross_entropy_with_logits(logits, targets)
        return self._optimiser.step(loss)

    def state(self) -> dict[str, Tensor]:
        """Return the state as named tensors, from which `restore` continues identically."""
        return self._optimiser.state() | {"random": self.random.get_state()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state that `state` returned."""
        self._optimiser.restore(state)
        self.random.set_state(state["random"].cpu())


SUFFIX = ".unfinished"
_STATE, _TARGETS = "state.", "targets"


def checkpoint_path(output: Path) -> Path:
    """Return the path of the checkpoint of a training that writes ``output``."""
    return output.with_name(output.name + SUFFIX)


def write_checkpoint(path: Path, fingerprint: str, state: Mapping[str, Tensor], targets: Tensor, progress: Any) -> None:
    """Write a checkpoint atomically.

    Args:
        path: the file.
        fingerprint: hash of data, recipe and initial weights; a training with another hash does not use the checkpoint.
        state: state of the trainer, from `Trainer.state`.
        targets: current targets of the examples.
        progress: metrics of the finished epochs, or another value that JSON can hold.

    Raises:
        OutputError: when the file cannot be written.
    """
    tensors = {f"{_STATE}{name}": tensor.contiguous() for name, tensor in state.items()} | {_TARGETS: targets}
    write_atomically(path, save(tensors, {"fingerprint": fingerprint, "story": json.dumps(progress)}))


def read_checkpoint(path: Path, fingerprint: str) -> tuple[dict[str, Tensor], Tensor, Any] | None:
    """Return state, targets and progress; None without a readable checkpoint of the same data, recipe and weights."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("fingerprint") != fingerprint:
                return None
            names = [name for name in file.keys() if name.startswith(_STATE)]  # noqa: SIM118 - not a dict
            state = {name.removeprefix(_STATE): file.get_tensor(name) for name in names}
            return state, file.get_tensor(_TARGETS), json.loads(metadata["story"])
    except (OSError, SafetensorError, KeyError, ValueError):
        return None  # absent or damaged: training starts over
