"""Checkpoints: the state of an interrupted training and the metrics of its epochs, in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from whalescan.core.files import write_atomically

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
