"""What is learnt from (`TrainData`), how (`TrainOptions`, all of which changes the model), and the work (`TrainWork`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from whalescan.core import UsageError
from whalescan.training.augmentation import AugmentationOptions
from whalescan.training.examples import DataOptions


@dataclass(frozen=True, slots=True)
class TrainData:
    """What is learnt from.

    Attributes:
        roots: folders of clips in the Kaggle layout (``train.csv``, ``train/``) and of recordings with Raven tables.
        without_calls: folders, files and patterns of recordings in which nothing is a call.
        imagenet: safetensors file with ImageNet weights under timm's names; timm's own are fetched where this is None.
        start_from: a whalescan model to go on from, instead of ImageNet.
        validation: recordings, clips or groups that are held out; empty for a share of all.
        selection: what of the roots is an example of what.
    """

    roots: tuple[Path, ...]
    without_calls: tuple[str, ...] = ()
    imagenet: Path | None = None
    start_from: str | None = None
    validation: tuple[str, ...] = ()
    selection: DataOptions = field(default_factory=DataOptions)


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """The recipe.

    Attributes:
        features: what pictures are made of, one of `spec.FEATURES`; empty for that of the model gone on from, or the
            default.
        threshold: score that opens a detection; None for that of the model gone on from, or 0.5.
        epochs: passes over the examples, at most.
        frozen_epochs: of these, the first ones in which only the head learns.
        patience: epochs without a better one after which training stops; 0 for never.
        batch_size: examples a step.
        least_batches: steps an epoch, at least; where examples are few they are gone through several times.
        learning_rate: highest rate of the one-cycle schedule (Smith 2018).
        warm_up: part of the steps in which the rate rises.
        weight_decay: of AdamW.
        average_steps: steps over which the weights are averaged, at most a ninth of all; the average is what is validated
            and kept.
        keep_statistics: BatchNorm keeps the statistics that it starts with; right where examples are few.
        random_start: start from random weights; only to measure what ImageNet brings.
        soften: part of a target that is what the averaged network says of the example, once it has learnt the plain ones.
            Some labels are wrong, and a network learns those last, by heart (Arpit 2017; Huang 2020, self-adaptive
            training).
        soften_after_epoch: the first epoch at whose end targets are softened.
        validation_share: part of the examples that is never trained on.
        without_calls_per_batch: windows of recordings without calls that join each batch, where there are any.
        hard_share: part of these that is drawn from the tenth that the averaged network takes for calls most, looked for
            anew after each epoch.
        seed: of everything that is drawn.
    """

    features: str = ""
    threshold: float | None = None
    epochs: int = 10
    frozen_epochs: int = 0
    patience: int = 0
    batch_size: int = 48
    least_batches: int = 20
    learning_rate: float = 5e-4
    warm_up: float = 0.2
    weight_decay: float = 1e-2
    average_steps: int = 200
    keep_statistics: bool = False
    random_start: bool = False
    soften: float = 0.5
    soften_after_epoch: int = 3
    validation_share: float = 0.1
    without_calls_per_batch: int = 6
    hard_share: float = 0.0
    seed: int = 20090328
    augmentation: AugmentationOptions = field(default_factory=AugmentationOptions)

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise UsageError("training needs at least one epoch; raise --epochs")
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise UsageError(f"a threshold of {self.threshold:g} lets everything or nothing through; choose one in (0, 1]")
        if not 0 < self.learning_rate < 1:
            raise UsageError(f"--learning-rate {self.learning_rate:g} teaches nothing; choose one above 0, such as 1e-4")
        if not 0 <= self.hard_share <= 1:
            raise UsageError(f"--hard-share {self.hard_share:g} is no share; choose one from 0 to 1")
        if not 0 <= self.validation_share < 1:
            raise UsageError(f"--validation-share {self.validation_share:g} leaves nothing to learn from; give less than 1")
        if self.batch_size < 2:
            raise UsageError("a batch needs at least 2 examples; raise --batch-size")


FINE_TUNING = TrainOptions(
    epochs=12,
    frozen_epochs=2,
    patience=4,
    batch_size=16,
    learning_rate=1e-4,
    average_steps=30,
    keep_statistics=True,
    soften=0.0,
    hard_share=0.5,
)
"""A few examples of one's own, from a model that knows the call already: gentle, short, and stopped when it is enough."""


@dataclass(frozen=True, slots=True)
class TrainWork:
    """How the work is done; nothing of it changes what is learnt, beyond the last bits on another device.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        restart: start anew, whatever was left unfinished.
        quiet: no progress bar.
        say: is told what a person should know before training starts, and after each epoch.
    """

    device: str = "auto"
    restart: bool = False
    quiet: bool = False
    say: Callable[[str], None] = lambda _: None
