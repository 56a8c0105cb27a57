"""Initial weights of a training: from ImageNet, from a whalescan model, or random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from whalescan._version import __version__
from whalescan.core import ModelError, invalid
from whalescan.detector.model_file import check_finite, load_detector
from whalescan.detector.model_spec import ARCHITECTURE, FrontEndOptions, Model, ModelSpec
from whalescan.detector.network import Detector, load_imagenet_weights
from whalescan.training.training_options import TrainOptions

_HEAD = ("head.weight", "head.bias")
_DEFAULT_THRESHOLD = 0.5


def load_initial_weights(start: Model | None, imagenet: Path | None, options: TrainOptions) -> Mapping[str, Tensor]:
    """Return the weights by name: those of the whole detector with ``start``, else of the network; empty for a random start.

    Raises:
        ModelError: when the weights cannot be read, or one is infinite or not a number.
    """
    if start is not None:
        return load_detector(start).state_dict()
    if options.random_start:
        return {}
    if imagenet is None:
        # timm downloads these weights
        return dict(timm.create_model(ARCHITECTURE, pretrained=True).state_dict())
    try:
        weights = load_file(imagenet)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{imagenet}: cannot be read as ImageNet weights ({error}); expected a safetensors file with timm's names"
        ) from error
    check_finite(weights, str(imagenet))
    return weights


def front_end_options(start: Model | None, options: TrainOptions) -> FrontEndOptions:
    """Return the options of the front end: those of the initial model, as its network was trained with them."""
    if start is None:
        return FrontEndOptions(features=options.features) if options.features else FrontEndOptions()
    trained = start.spec.front_end
    if options.features and options.features != trained.features:
        raise invalid(
            "features", options.features, f"{trained.features}, with which {start.name} was trained; leave features out"
        )
    return trained


def initial_spec(
    start: Model | None, front_end: FrontEndOptions, classes: tuple[str, ...], options: TrainOptions
) -> ModelSpec:
    """Return the description of the new model, with thresholds and calibration of the classes of the initial model."""
    base = start.spec if start else ModelSpec(classes=(), network=options.network)
    known = dict(zip(base.classes, zip(base.thresholds, base.calibration, strict=True), strict=True)) if start else {}
    thresholds, calibration = zip(*(known.get(name, (_DEFAULT_THRESHOLD, (1.0, 0.0))) for name in classes), strict=True)
    return replace(
        base,
        classes=classes,
        front_end=front_end,
        thresholds=thresholds if options.threshold is None else (options.threshold,) * len(classes),
        calibration=calibration,
        validation=(),  # of another network
        metrics={},
        whalescan_version=__version__,
    )


def initial_detector(spec: ModelSpec, start: Model | None, weights: Mapping[str, Tensor], seed: int) -> Detector:
    """Return a detector with these weights. The head of a class that the initial model lacks has random weights."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        detector = Detector(spec.architecture, spec.front_end, spec.network, len(spec.classes))
    if start is None:
        if weights:
            load_imagenet_weights(detector.network, weights)
        return detector
    head = detector.state_dict()
    for name in _HEAD:
        for row, label in enumerate(spec.classes):
            if label in start.spec.classes:
                head[name][row] = weights[name][start.spec.classes.index(label)]
    detector.load_state_dict({**weights, **{name: head[name] for name in _HEAD}})
    return detector


def start_message(start: Model, classes: tuple[str, ...]) -> str:
    """Return a message with the initial model, and the classes that it lacks."""
    new = [name for name in classes if name not in start.spec.classes]
    if not new:
        return f"starting from {start.name}"
    classes_of_start = ", ".join(start.spec.classes)
    return f"starting from {start.name} (classes {classes_of_start}); the head for {', '.join(new)} is new"
