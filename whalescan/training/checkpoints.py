"""Checkpoints: the state of a training that was interrupted, from which it continues with the same result."""

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


def checkpoint_path(output: Path) -> Path:
    """Return the path of the checkpoint of a training that writes ``output``."""
    return output.with_name(output.name + SUFFIX)


def write_checkpoint(path: Path, fingerprint: str, state: Mapping[str, Tensor], progress: Any) -> None:
    """Write a checkpoint atomically: the one before stays until this one is whole.

    Args:
        path: the file.
        fingerprint: hash of sound, recipe and initial weights; a training with another hash does not use the checkpoint.
        state: state of the trainer, from `Trainer.state`.
        progress: losses and metrics so far, or another value that JSON can hold.

    Raises:
        OutputError: when the file cannot be written.
    """
    tensors = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
    write_atomically(path, save(tensors, {"fingerprint": fingerprint, "progress": json.dumps(progress)}))


def read_checkpoint(path: Path, fingerprint: str) -> tuple[dict[str, Tensor], Any] | None:
    """Return state and progress; None without a readable checkpoint of the same sound, recipe and weights."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("fingerprint") != fingerprint:
                return None
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            return state, json.loads(metadata["progress"])
    except (OSError, SafetensorError, KeyError, ValueError):
        return None  # absent or damaged: training starts over
