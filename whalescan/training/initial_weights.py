"""What a training starts from: ImageNet, another whalescan model, or chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import timm
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from whalescan._version import __version__
from whalescan.core import ModelError, UsageError
from whalescan.detector.model_file import load_detector
from whalescan.detector.model_spec import ARCHITECTURE, FrontEndOptions, Model, ModelSpec
from whalescan.detector.network import Detector, start_from_imagenet
from whalescan.training.options import TrainOptions

_HEAD = ("fc.weight", "fc.bias")


def weights(start: Model | None, imagenet: Path | None, options: TrainOptions) -> Mapping[str, Tensor]:
    """Weights by name; none for a random start.

    Raises:
        ModelError: when they cannot be read.
    """
    if start is not None:
        return load_detector(start).network.state_dict()
    if options.random_start:
        return {}
    if imagenet is None:
        # only asked for where no file is given: timm fetches its weights from the network
        return dict(timm.create_model(ARCHITECTURE, pretrained=True).state_dict())
    try:
        return load_file(imagenet)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{imagenet}: no ImageNet weights can be read there ({error})") from error


def front_end(start: Model | None, options: TrainOptions) -> FrontEndOptions:
    """What pictures are: a network that goes on must see what it has seen so far."""
    if start is None:
        return FrontEndOptions(features=options.features) if options.features else FrontEndOptions()
    own = start.spec.front_end
    if options.features and options.features != own.features:
        raise UsageError(f"{start.name} sees {own.features}, not {options.features}; leave --features out")
    return own


def spec(start: Model | None, pictures: FrontEndOptions, classes: tuple[str, ...], options: TrainOptions) -> ModelSpec:
    """The model to be; what is known of a class is kept, by its name."""
    base = start.spec if start else ModelSpec(classes=())
    known = dict(zip(base.classes, zip(base.thresholds, base.calibration, strict=True), strict=True)) if start else {}
    thresholds, calibration = zip(*(known.get(name, (_THRESHOLD, (1.0, 0.0))) for name in classes), strict=True)
    return replace(
        base,
        classes=classes,
        front_end=pictures,
        thresholds=thresholds if options.threshold is None else (options.threshold,) * len(classes),
        calibration=calibration,
        metrics={},
        glance=None,  # what it knew would not hold for another network
        whalescan_version=__version__,
    )


_THRESHOLD = 0.5


def detector(wanted: ModelSpec, start: Model | None, state: Mapping[str, Tensor]) -> Detector:
    """The network with these weights; the head of a class that was not known starts by chance."""
    fresh = Detector(wanted.architecture, wanted.front_end, len(wanted.classes))
    if start is None:
        if state:
            start_from_imagenet(fresh.network, state)
        return fresh
    own = fresh.network.state_dict()
    for name in _HEAD:
        for row, label in enumerate(wanted.classes):
            if label in start.spec.classes:
                own[name][row] = state[name][start.spec.classes.index(label)]
    fresh.network.load_state_dict({**state, **{name: own[name] for name in _HEAD}})
    return fresh


def how_it_starts(start: Model, classes: tuple[str, ...]) -> str:
    """For a person: what is gone on from, and what of the wanted classes it does not know."""
    new = [name for name in classes if name not in start.spec.classes]
    if not new:
        return f"starting from {start.name}"
    return f"starting from {start.name}, which knows {', '.join(start.spec.classes)}; the head for {', '.join(new)} is new"
