"""Options of training: data (`TrainData`), recipe (`TrainOptions`, changes the model), execution (`TrainingRunOptions`)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from whalescan.core import UsageError
from whalescan.training.augmentation import AugmentationOptions
from whalescan.training.examples import DataOptions

_STORED_NAMES = {"background_share": "sea_share", "background_snr_db": "sea_snr_db"}
"""Keys of the recipe in model files and checkpoints, where they differ from the names of the options."""


@dataclass(frozen=True, slots=True)
class TrainData:
    """Training data and initial weights.

    Attributes:
        roots: folders of clips in the Kaggle layout (``train.csv``, ``train/``) and of recordings with Raven tables.
        without_calls: folders, files and patterns of recordings without calls.
        imagenet: safetensors file with ImageNet weights under timm's names; None to let timm download its own.
        start_from: whalescan model whose weights training starts from; None to start from ImageNet.
        validation: recordings, clips or groups to hold out; empty to hold out a share of all.
        selection: interpretation of labels, and amount of background.
    """

    roots: tuple[Path, ...]
    without_calls: tuple[str, ...] = ()
    imagenet: Path | None = None
    start_from: str | None = None
    validation: tuple[str, ...] = ()
    selection: DataOptions = field(default_factory=DataOptions)


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """The recipe: everything that changes the model.

    Attributes:
        features: features in the spectrogram image, one of `model_spec.FEATURES`; empty for those of ``start_from``, or the
            default.
        threshold: score at which a detection begins; None for that of ``start_from``, or 0.5.
        epochs: largest number of passes over the examples.
        frozen_epochs: number of first epochs in which only the head is trained.
        patience: epochs without improvement after which training stops; 0 for never.
        batch_size: examples per step.
        least_batches: smallest number of steps per epoch; few examples are used several times.
        learning_rate: highest rate of the one-cycle schedule (Smith 2018).
        warm_up: share of the steps in which the rate increases.
        weight_decay: weight decay of AdamW.
        average_steps: steps over which the weights are averaged, at most a ninth of all steps. The averaged network is
            validated and written.
        keep_statistics: BatchNorm keeps its initial statistics, as suits a small number of examples.
        random_start: start from random weights, to measure the gain from ImageNet.
        soften: share of a target that comes from the prediction of the averaged network. Some labels are wrong, and a
            network memorises these last (Arpit 2017; Huang 2020, self-adaptive training).
        soften_after_epoch: first epoch at the end of which targets are softened.
        validation_share: share of the examples that is held out.
        without_calls_per_batch: windows of recordings without calls that are added to each batch, where there are any.
        hard_share: share of these that is sampled from the tenth with the highest scores of the averaged network, determined
            after each epoch.
        seed: random seed.
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
            raise UsageError(f"invalid epochs {self.epochs}: expected at least 1")
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise UsageError(f"invalid threshold {self.threshold:g}: expected a value above 0 and at most 1")
        if not 0 < self.learning_rate < 1:
            raise UsageError(f"invalid learning_rate {self.learning_rate:g}: expected a value between 0 and 1, such as 1e-4")
        if not 0 <= self.hard_share <= 1:
            raise UsageError(f"invalid hard_share {self.hard_share:g}: expected a value from 0 to 1")
        if not 0 <= self.validation_share < 1:
            raise UsageError(f"invalid validation_share {self.validation_share:g}: expected a value from 0 to below 1")
        if self.batch_size < 2:
            raise UsageError(f"invalid batch_size {self.batch_size}: expected at least 2")

    def recipe(self) -> dict[str, Any]:
        """Return the options as they are stored in model files and checkpoints."""
        recipe = asdict(self)
        stored = {_STORED_NAMES.get(name, name): value for name, value in recipe["augmentation"].items()}
        return recipe | {"augmentation": stored}


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
"""Recipe to fine-tune a whalescan model with few examples: low learning rate, few epochs, early stopping."""


@dataclass(frozen=True, slots=True)
class TrainingRunOptions:
    """Options of execution. They do not change the model, except for rounding differences between devices.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        restart: ignore an interrupted training and start over.
        quiet: show no progress bar.
        report: called with each message: data problems, sizes, and the metrics of each epoch. Logged by default.
    """

    device: str = "auto"
    restart: bool = False
    quiet: bool = False
    report: Callable[[str], None] = logging.getLogger("whalescan").info
