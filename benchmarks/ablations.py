"""Ablations: the same short training, each time with one option changed."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.table import Row
from whalescan.detector.model_spec import UPCALL
from whalescan.training.augmentation import AugmentationOptions
from whalescan.training.train import train_model
from whalescan.training.training_options import TrainData, TrainingRunOptions, TrainOptions

SHORT = TrainOptions(epochs=2, average_steps=100)
NO_AUGMENTATION = AugmentationOptions(
    background_share=0, noise_share=0, shift_s=0, shift_bins=0, mask_s=0, mask_bins=0, mixup_alpha=1e-3
)
CHANGES = {
    "as shipped": SHORT,
    "features: spectrogram": replace(SHORT, features="spectrogram"),
    "features: complexity alone": replace(SHORT, features="complexity"),
    "random start": replace(SHORT, random_start=True),
    "no augmentation": replace(SHORT, augmentation=NO_AUGMENTATION),
}


def measure(clips: Path, imagenet: Path, without_calls: tuple[str, ...]) -> list[Row]:
    """Return a row per change, measured on the held-out clips, and print each as soon as it is known."""
    rows: list[Row] = []
    for name, options in CHANGES.items():
        with tempfile.TemporaryDirectory() as folder:
            data = TrainData((clips,), without_calls, imagenet)
            trained = train_model(data, Path(folder, "model.safetensors"), options, TrainingRunOptions(quiet=True))
        last = trained.epochs[-1].validation
        assert last is not None
        metrics = last.classes[UPCALL]
        row: Row = {"changed": name, "epochs": options.epochs, "AUC": round(metrics.auc, 4)}
        rows.append(row | {"accuracy": round(metrics.accuracy, 4), "average precision": round(metrics.average_precision, 4)})
        print(rows[-1], flush=True)
    return rows
