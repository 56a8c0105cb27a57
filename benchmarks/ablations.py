"""Ablations and sizes: the same short training, each time with one option changed."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest import mock

from benchmarks.stages import gflop_per_second
from benchmarks.table import Row
from whalescan.detector.model_spec import MIDDLE_BLOCKS, UPCALL, FrontEndOptions, NetworkOptions
from whalescan.training import initial_weights
from whalescan.training.sequence_options import SequenceOptions
from whalescan.training.train import train_model
from whalescan.training.training_options import LossOptions, MaskOptions, TrainData, TrainingRunOptions, TrainOptions

SHORT = TrainOptions(steps=1000, validation_steps=1000)


@dataclass(frozen=True, slots=True)
class Variant:
    """One training.

    Attributes:
        options: the recipe.
        front_end: the front end, with the features of the recipe.
    """

    options: TrainOptions = SHORT
    front_end: FrontEndOptions = field(default_factory=FrontEndOptions)


def _features(features: str) -> Variant:
    return Variant(replace(SHORT, features=features), FrontEndOptions(features=features))


def _size(n_middle_blocks: int, exit_channels: int, front_end: FrontEndOptions | None = None) -> Variant:
    """Return a variant with the first and the last middle blocks."""
    first = (n_middle_blocks + 1) // 2
    blocks = MIDDLE_BLOCKS[:first] + MIDDLE_BLOCKS[len(MIDDLE_BLOCKS) - n_middle_blocks + first :]
    return Variant(replace(SHORT, network=NetworkOptions(blocks, exit_channels)), front_end or FrontEndOptions())


RECIPES: Mapping[str, Variant] = {
    "as shipped": Variant(),
    "features: spectrogram": _features("spectrogram"),
    "features: complexity alone": _features("complexity"),
    "random start": Variant(replace(SHORT, random_start=True)),
    "labels not softened": Variant(replace(SHORT, loss=LossOptions(soften=0.0))),
    "no masks": Variant(replace(SHORT, masks=MaskOptions(share=0.0, shift_bins=0))),
    "no added noise": Variant(replace(SHORT, sequences=SequenceOptions(noisy_share=0.0, noisy_clip_share=0.0))),
    "no planted calls": Variant(replace(SHORT, sequences=SequenceOptions(joined_share=0.8, planted_share=0.0))),
}
SIZES: Mapping[str, Variant] = {
    "0 middle blocks, 1024 channels": _size(0, 1024),
    "2 middle blocks, 1024 channels": _size(2, 1024),
    "2 middle blocks, 1536 channels": _size(2, 1536),
    "2 middle blocks, 2048 channels": _size(2, 2048),
    "4 middle blocks, 1536 channels": _size(4, 1536),
    "8 middle blocks, 2048 channels": _size(8, 2048),
    "2 middle blocks, 1536 channels, columns of 0.512 s": _size(2, 1536, FrontEndOptions(column_frames=16)),
    "2 middle blocks, 1536 channels, frames every 20 ms, columns of 0.32 s": _size(
        2, 1536, FrontEndOptions(frame_hop_samples=40, column_frames=16, background_frames=128)
    ),
    "2 middle blocks, 1536 channels, 64 bins": _size(2, 1536, FrontEndOptions(low_bin=2, n_bins=64)),
}


def measure(data: Sequence[Path], imagenet: Path, without_calls: tuple[str, ...], steps: int, only_sizes: bool) -> list[Row]:
    """Return a row per variant, measured on the held-out sound, and print each as soon as it is known.

    Args:
        data: folders of clips, and of recordings with Raven tables.
        imagenet: ImageNet weights.
        without_calls: recordings without calls.
        steps: steps of each training.
        only_sizes: train networks of several sizes, not several recipes.
    """
    rows: list[Row] = []
    for name, variant in (SIZES if only_sizes else RECIPES).items():
        rows.append({"changed": name, "steps": steps} | _train(variant, data, imagenet, without_calls, steps))
        print(rows[-1], flush=True)
    return rows


def _train(variant: Variant, data: Sequence[Path], imagenet: Path, without_calls: tuple[str, ...], steps: int) -> Row:
    options = replace(variant.options, steps=steps, validation_steps=steps)
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(initial_weights, "front_end_options", return_value=variant.front_end),
    ):
        output = Path(folder, "model.safetensors")
        run = TrainingRunOptions(quiet=True, report=lambda _: None)
        trained = train_model(TrainData(tuple(data), without_calls, imagenet), output, options, run)
    metrics = trained.metrics[UPCALL]
    values = {
        "average precision": metrics.average_precision,
        "recall at 1 FP/h": metrics.recall_at_one,
        "AUC of clips": metrics.clips_auc,
        "accuracy of clips": metrics.clips_accuracy,
    }
    row: Row = {name: "" if value is None else round(value, 4) for name, value in values.items()}
    return row | {"GFLOP a second of audio": round(gflop_per_second(variant.front_end, options.network), 3)}
