"""Training that was killed goes on: the learner's state, and what the epochs so far were like, in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

SUFFIX = ".unfinished"
_STATE, _TARGETS = "state.", "targets"


def checkpoint_path(output: Path) -> Path:
    """Where the state of a training that is to end in ``output`` lies until then."""
    return output.with_name(output.name + SUFFIX)


def write_checkpoint(path: Path, fingerprint: str, state: Mapping[str, Tensor], targets: Tensor, story: Any) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: the file.
        fingerprint: of data and recipe; a training with another one starts anew.
        state: what `Learner.state` gave.
        targets: what is learnt, softened as it is by now.
        story: what became of the epochs so far; anything that JSON holds.
    """
    tensors = {f"{_STATE}{name}": tensor.contiguous() for name, tensor in state.items()} | {_TARGETS: targets}
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, partial, {"fingerprint": fingerprint, "story": json.dumps(story)})
    partial.replace(path)


def read_checkpoint(path: Path, fingerprint: str) -> tuple[dict[str, Tensor], Tensor, Any] | None:
    """State, targets and story of an unfinished training; None where there is none of the same data and recipe."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("fingerprint") != fingerprint:
                return None
            names = [name for name in file.keys() if name.startswith(_STATE)]  # noqa: SIM118 - not a dict
            state = {name.removeprefix(_STATE): file.get_tensor(name) for name in names}
            return state, file.get_tensor(_TARGETS), json.loads(metadata["story"])
    except (OSError, SafetensorError, KeyError, ValueError):
        return None  # absent or damaged: the training starts anew, which is what is wanted
