"""Training steps: masked spectrograms, the optimiser, and the average of the weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from whalescan.core import ModelError
from whalescan.detector.device import best_dtype
from whalescan.detector.network import Detector
from whalescan.training.losses import SequenceLoss, batch_targets
from whalescan.training.sounds import TrainingSequence
from whalescan.training.training_options import MaskOptions, TrainOptions

_Network = TypeVar("_Network", bound=nn.Module)


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

    @property
    def n_steps(self) -> int:
        """Return the number of steps that were taken."""
        return self._schedule.last_epoch

    def step(self, loss: Tensor) -> float:
        """Take a step, and return the loss before it.

        Raises:
            ModelError: where the loss is infinite or not a number, and nothing is changed; where a weight is so after the
                step.
        """
        value = loss.item()
        if not np.isfinite(value):
            raise _diverged(self.n_steps + 1, f"the loss is {value}")
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self._schedule.step()
        if not torch.stack([torch.isfinite(weight).all() for weight in self.network.parameters()]).all():
            raise _diverged(self.n_steps, "a weight is infinite or not a number")
        self._averaged.update_parameters(self.network)
        return value

    def state(self) -> dict[str, Tensor]:
        """Return the state as named tensors, from which `restore` continues identically."""
        moments = {
            f"optimizer.{i}.{name}": value
            for i, values in self._optimizer.state_dict()["state"].items()
            for name, value in values.items()
        }
        networks = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        averages = {f"averaged.{name}": value for name, value in self._averaged.state_dict().items()}
        steps = {"steps": torch.tensor(self.n_steps)}
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


def _diverged(step: int, what: str) -> ModelError:
    return ModelError(
        f"the training ended at step {step:,}: {what}; no model was written. Use a lower learning_rate, or look for sound "
        "with infinite or absurdly high samples"
    )


def _with_prefix(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix and a dot, under the rest of their names."""
    return {name.removeprefix(f"{prefix}."): value for name, value in state.items() if name.startswith(f"{prefix}.")}


class Trainer:
    """Training of a detector, step by step. A step depends on its number and the state before it, and on nothing else.

    Args:
        detector: the detector to train; it is changed.
        options: the recipe.
        device: device on which the detector is trained.
        is_known: bool for each class, those of the initial model; None where there is none.
    """

    def __init__(
        self, detector: Detector, options: TrainOptions, device: torch.device, is_known: Sequence[bool] | None = None
    ) -> None:
        self.options = options
        self.device = device
        self.detector = detector.to(device)
        front_end = detector.frontend.options
        known = torch.tensor(is_known, device=device) if is_known is not None else None
        self._initial = None
        if known is not None and known.any() and options.loss.keep_weight:
            self._initial = copy.deepcopy(detector).eval().requires_grad_(False)
        self._loss = SequenceLoss(options.loss, front_end.column_samples / front_end.rate_hz, known)
        rates = OptimiserOptions(options.learning_rate, options.warm_up, options.weight_decay, options.average_steps)
        self._optimiser = AveragingOptimiser(self.detector, rates, options.steps)
        # float32 on a processor: bfloat16 was not measured there
        self._dtype = best_dtype(device) if device.type == "cuda" else torch.float32

    @property
    def average(self) -> Detector:
        """Return the detector with averaged weights, in evaluation mode."""
        return self._optimiser.average

    @property
    def n_steps(self) -> int:
        """Return the number of steps that were taken."""
        return self._optimiser.n_steps

    def step(self, sequences: Sequence[TrainingSequence]) -> float:
        """Take a step, and return the loss before it.

        Raises:
            ModelError: where the loss or a weight is infinite or not a number.
        """
        samples = torch.from_numpy(np.stack([sequence.samples for sequence in sequences])).to(self.device)
        with torch.no_grad():
            network_input = self._masked(self.detector.frontend(samples))
        self._prepare()
        averaged = initial = None
        with torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32):
            logits, boxes = self.detector.classify(network_input)
            with torch.no_grad():
                if self.n_steps >= self.options.loss.soften_after * self.options.steps:
                    averaged = self.average.classify(network_input)[0].float()
                if self._initial is not None:
                    initial = self._initial.classify(network_input)[0].float()
        labels = batch_targets(sequences, self.detector.frontend.options, logits.shape[1], logits.shape[2]).to(self.device)
        return self._optimiser.step(self._loss(logits.float(), boxes.float(), labels, averaged, initial))

    def _prepare(self) -> None:
        """Set the detector to training mode."""
        self.detector.train()
        if self.options.keep_statistics:
            for module in self.detector.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    def _masked(self, network_input: Tensor) -> Tensor:
        """Return spectrograms with masks, of the present step."""
        front_end = self.detector.frontend.options
        frames_per_s = front_end.rate_hz / front_end.frame_hop_samples
        random = np.random.default_rng([self.options.seed, self.n_steps])
        return masked(network_input, frames_per_s, self.options.masks, random)

    def state(self) -> dict[str, Tensor]:
        """Return the state as named tensors, from which `restore` continues identically."""
        return self._optimiser.state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state that `state` returned."""
        self._optimiser.restore(state)


def masked(network_input: Tensor, frames_per_s: float, options: MaskOptions, random: np.random.Generator) -> Tensor:
    """Return spectrograms, some of them with masks, and all shifted in frequency.

    Masks hold the mean of their channel.

    Args:
        network_input: ``[n, n_channels, n_bins, n_frames]``.
        frames_per_s: frames in a second.
        options: numbers and sizes of the masks, and the largest shift.
        random: generator.
    """
    n_bins, n_frames = network_input.shape[2:]
    if random.random() < options.share:
        network_input = network_input.clone()
        means = network_input.mean(dim=(2, 3), keepdim=True)
        for spectrogram, mean in zip(network_input, means, strict=True):
            for _ in range(options.n_time_masks):
                begin, end = _mask_span(n_frames, int(options.time_mask_s * frames_per_s), random)
                spectrogram[:, :, begin:end] = mean
            begin, end = _mask_span(n_bins, options.frequency_mask_bins, random)
            spectrogram[:, begin:end] = mean
    shift = int(random.integers(-options.shift_bins, options.shift_bins + 1))
    return network_input.roll(shift, 2) if shift else network_input


def _mask_span(n: int, longest: int, random: np.random.Generator) -> tuple[int, int]:
    width = int(random.integers(0, min(longest, n - 1) + 1))
    begin = int(random.integers(0, n - width))
    return begin, begin + width
