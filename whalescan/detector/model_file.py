"""Weights of model files: reading and writing.

Convolutions of the network are stored as int8 with one float scale per output channel (``<name>`` and ``<name>.scale``), a
quarter of float32's size for no measurable loss; everything else is stored as float32. Nothing is ever unpickled.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from whalescan.core import ModelError
from whalescan.core.files import write_atomically
from whalescan.detector.frontend import FrontEnd
from whalescan.detector.model_spec import FORMAT, Model, ModelSpec
from whalescan.detector.network import Detector

_META = torch.device("meta")
"""Device on which networks are created whose weights come from a file; elsewhere random weights take a third of the time."""


def load_detector(model: Model) -> Detector:
    """Return the detector of a model with its weights, in float32 on the CPU, in evaluation mode.

    Raises:
        ModelError: when the weights are damaged or do not fit the architecture that the file names.
    """
    spec = model.spec
    with _META:
        detector = Detector(spec.architecture, spec.front_end, spec.network, len(spec.classes))
    detector.frontend = FrontEnd(spec.front_end)
    try:
        weights = _unpack(load(model.path.read_bytes()))
        detector.load_state_dict(weights, assign=True)
        detector.to(memory_format=torch.channels_last)
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        raise ModelError(f"{model.path}: its weights are damaged, or not those of {spec.architecture} ({error})") from error
    check_finite(weights, str(model.path))
    return detector.eval()


def check_finite(weights: Mapping[str, Tensor], what: str) -> None:
    """Check that no weight is infinite or NaN.

    Raises:
        ModelError: where one is.
    """
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{what}: weight {name} is infinite or not a number; fetch the file again, or train anew")


def write_model(path: Path, detector: Detector, spec: ModelSpec) -> None:
    """Write a model file atomically.

    Raises:
        ModelError: where a weight is infinite or NaN.
        OutputError: when it cannot be written.
    """
    check_finite(detector.state_dict(), str(path))
    _write(path, _pack(detector), spec)


def _pack(module: nn.Module) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, tensor in module.state_dict().items():
        values = tensor.detach().cpu().contiguous()
        if name.endswith("num_batches_tracked"):
            continue
        if values.ndim == 4 and name.startswith("network."):
            tensors[name], tensors[f"{name}.scale"] = _to_int8(values)
        else:
            tensors[name] = values.float()
    return tensors


def rewrite_model(path: Path, model: Model, spec: ModelSpec) -> None:
    """Write the unchanged weights of a model with another description of the same network."""
    _write(path, load(model.path.read_bytes()), spec)


def _write(path: Path, tensors: dict[str, Tensor], spec: ModelSpec) -> None:
    written = {"format": FORMAT, **dataclasses.asdict(spec)}
    metadata = {"whalescan": json.dumps(written, sort_keys=True)}
    write_atomically(path, save(tensors, metadata))


def _to_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    scale = weight.abs().amax(dim=(1, 2, 3)).clamp(min=1e-12) / 127
    return (weight / scale[:, None, None, None]).round().to(torch.int8), scale.float()


def _unpack(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    weights = {}
    for name, tensor in stored.items():
        if name.endswith(".scale"):
            continue
        if tensor.dtype == torch.int8:
            weights[name] = tensor.float() * stored[f"{name}.scale"][:, None, None, None]
        else:
            weights[name] = tensor.clone()  # a copy, not a view of the file's bytes
        if name.endswith("running_var"):
            weights[name.replace("running_var", "num_batches_tracked")] = torch.tensor(0)
    return weights
