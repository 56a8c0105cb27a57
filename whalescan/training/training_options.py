"""Options of training: data (`TrainData`), recipe (`TrainOptions`, changes the model), execution (`TrainingRunOptions`)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from whalescan.core import invalid
from whalescan.detector.model_spec import NetworkOptions
from whalescan.training.labels import DataOptions
from whalescan.training.sequence_options import SequenceOptions


@dataclass(frozen=True, slots=True)
class TrainData:
    """Training data and initial weights.

    Attributes:
        roots: folders of clips in the Kaggle layout (``train.csv``, ``train/``) and of recordings with Raven tables.
        without_calls: folders, files and patterns of recordings without calls.
        imagenet: safetensors file with ImageNet weights under timm's names; None to let timm download its own.
        start_from: whalescan model whose weights training starts from; None to start from ImageNet.
        validation: recordings, clips or groups to hold out; empty to hold out a share of all.
        selection: interpretation of labels.
    """

    roots: tuple[Path, ...]
    without_calls: tuple[str, ...] = ()
    imagenet: Path | None = None
    start_from: str | None = None
    validation: tuple[str, ...] = ()
    selection: DataOptions = field(default_factory=DataOptions)


@dataclass(frozen=True, slots=True)
class LossOptions:
    """Weights of the parts of the loss, and how labels are softened.

    Attributes:
        soften: share of the target of a clip that comes from the averaged network. Some labels are wrong, and a network
            memorises these last (Arpit 2017; Huang 2020, self-adaptive training). Clips without a label take their whole
            target from it.
        soften_after: share of the steps after which targets are softened.
        sharpness: weight of the columns of a call's clip that are far from its peak, which should hold no call.
        no_call_weight: weight of the columns without calls.
        box_weight: weight of the boxes.
        keep_weight: weight of the difference from the initial model's scores, on columns without a label; only where
            training starts from a whalescan model.
    """

    soften: float = 0.5
    soften_after: float = 0.25
    sharpness: float = 0.25
    no_call_weight: float = 0.5
    box_weight: float = 0.4
    keep_weight: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.soften <= 1:
            raise invalid("soften", self.soften, "a value from 0 to 1")
        if not 0 <= self.soften_after <= 1:
            raise invalid("soften_after", self.soften_after, "a value from 0 to 1")


@dataclass(frozen=True, slots=True)
class MaskOptions:
    """Masks and shifts of spectrograms (SpecAugment, Park 2019).

    Attributes:
        share: share of the batches that are masked.
        n_time_masks: time masks in each spectrogram.
        time_mask_s: longest time mask.
        frequency_mask_bins: widest frequency mask.
        shift_bins: largest shift in frequency.
    """

    share: float = 0.5
    n_time_masks: int = 4
    time_mask_s: float = 0.22
    frequency_mask_bins: int = 8
    shift_bins: int = 1


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """The recipe: everything that changes the model.

    Attributes:
        features: features in the spectrogram image, one of `model_spec.FEATURES`; empty for those of ``start_from``, or the
            default.
        network: which parts of an Xception the network has; with ``start_from`` it is the initial model's.
        threshold: score from which on a peak is a detection; None to choose it by ``false_positives_per_hour``.
        false_positives_per_hour: false positives on the held-back sound at the model's own threshold, at most.
        keep_anyway: write the trained weights, even where they are not better than those of ``start_from``.
        steps: number of steps.
        batch_size: sequences per step.
        learning_rate: highest rate of the one-cycle schedule (Smith 2018).
        warm_up: share of the steps in which the rate increases.
        weight_decay: weight decay of AdamW.
        average_steps: steps over which the weights are averaged, at most a ninth of all steps. The averaged network is
            validated and written.
        keep_statistics: BatchNorm keeps its initial statistics, as suits a small number of examples.
        random_start: start from random weights, to measure the gain from ImageNet.
        loss, masks, sequences: options of the loss, of the masks, and of the sequences that are made of the sound.
        validation_share: share of the sound that is held out.
        validation_steps: steps from one validation to the next.
        seed: random seed.
    """

    features: str = ""
    network: NetworkOptions = field(default_factory=NetworkOptions)
    threshold: float | None = None
    false_positives_per_hour: float = 1.0
    keep_anyway: bool = False
    steps: int = 5000
    batch_size: int = 8
    learning_rate: float = 6e-4
    warm_up: float = 0.15
    weight_decay: float = 1e-2
    average_steps: int = 100
    keep_statistics: bool = False
    random_start: bool = False
    loss: LossOptions = LossOptions()
    masks: MaskOptions = MaskOptions()
    sequences: SequenceOptions = field(default_factory=SequenceOptions)
    validation_share: float = 0.1
    validation_steps: int = 1000
    seed: int = 20090328

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise invalid("steps", self.steps, "at least 1")
        if self.batch_size < 2:
            raise invalid("batch_size", self.batch_size, "at least 2")
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise invalid("threshold", self.threshold, "a value above 0 and at most 1")
        if not 0 < self.false_positives_per_hour < float("inf"):
            raise invalid("false_positives_per_hour", self.false_positives_per_hour, "a value above 0")
        if not 0 < self.learning_rate < 1:
            raise invalid("learning_rate", self.learning_rate, "a value between 0 and 1, such as 1e-4")
        if not 0 <= self.validation_share < 1:
            raise invalid("validation_share", self.validation_share, "a value from 0 to below 1")
        if self.validation_steps < 1:
            raise invalid("validation_steps", self.validation_steps, "at least 1")

    def recipe(self) -> dict[str, Any]:
        """Return the options as they are stored in model files."""
        return asdict(self)

    def training_recipe(self) -> dict[str, Any]:
        """Return the options that change the weights; the others are used after the last step."""
        afterwards = ("threshold", "false_positives_per_hour", "keep_anyway")
        return {name: value for name, value in asdict(self).items() if name not in afterwards}


FINE_TUNING = TrainOptions(
    steps=300,
    learning_rate=1e-4,
    average_steps=30,
    keep_statistics=True,
    loss=LossOptions(soften=0.0, soften_after=0.0, keep_weight=0.5),
    validation_share=0.3,
    validation_steps=100,
)
"""Recipe to fine-tune a whalescan model with few examples: low learning rate, few steps, statistics of BatchNorm kept."""


@dataclass(frozen=True, slots=True)
class TrainingRunOptions:
    """Options of execution. They do not change the model, except for rounding differences between devices.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        restart: ignore an interrupted training and start over.
        quiet: show no progress bar.
        report: called with each message: data problems, sizes, and results. Logged by default.
        checkpoint_steps: steps from one checkpoint to the next.
    """

    device: str = "auto"
    restart: bool = False
    quiet: bool = False
    report: Callable[[str], None] = logging.getLogger("whalescan").info
    checkpoint_steps: int = 50
