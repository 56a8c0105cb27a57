"""A network on its way down the gradient: optimiser, schedule, and the running average of its weights that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

_Network = TypeVar("_Network", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class DescentOptions:
    """How a network goes down.

    Attributes:
        learning_rate: highest rate of the one-cycle schedule (Smith 2018).
        warm_up: part of the steps in which the rate rises.
        weight_decay: of AdamW.
        average_steps: steps over which the weights are averaged, at most a ninth of all.
    """

    learning_rate: float
    warm_up: float
    weight_decay: float
    average_steps: int


class Descent(Generic[_Network]):
    """The steps of one training.

    Args:
        network: what learns; it is changed.
        options: how.
        n_steps: how many steps there will be.
    """

    def __init__(self, network: _Network, options: DescentOptions, n_steps: int) -> None:
        self.network = network
        # an average over more steps than a part of the training would mostly be what the network started with
        average_steps = min(options.average_steps, max(n_steps // 9, 1))
        self._averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(1 - 1 / average_steps), use_buffers=True)
        self._optimizer = torch.optim.AdamW(network.parameters(), weight_decay=options.weight_decay)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, options.learning_rate, n_steps, pct_start=options.warm_up
        )

    @property
    def average(self) -> _Network:
        """The network with averaged weights, ready to score."""
        averaged: _Network = self._averaged.module  # type: ignore[assignment]  # it is a copy of the network
        averaged.eval()
        return averaged

    def step(self, loss: Tensor) -> float:
        """Take a step; the loss before it."""
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self._schedule.step()
        self._averaged.update_parameters(self.network)
        return loss.item()

    def state(self) -> dict[str, Tensor]:
        """All that another descent needs to go on as this one would, as named tensors."""
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
        """Go on where the descent that gave this state was."""
        self.network.load_state_dict(_below("network", state))
        self._averaged.load_state_dict(_below("averaged", state))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _below("optimizer", state).items():
            number, _, moment = name.partition(".")
            moments.setdefault(int(number), {})[moment] = value
        for _ in range(int(state["steps"])):  # closed form is not offered, and a step costs microseconds
            self._optimizer.step()  # without gradients: moves nothing
            self._schedule.step()
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})


def _below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}."): value for name, value in state.items() if name.startswith(f"{prefix}.")}
