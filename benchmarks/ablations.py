"""What each part of the recipe brings: the same short training with one part changed at a time."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.table import Row
from whalescan.detector.model_spec import UPCALL
from whalescan.training.augmentation import AugmentationOptions
from whalescan.training.options import TrainData, TrainOptions, TrainWork
from whalescan.training.train import train

SHORT = TrainOptions(epochs=2, average_steps=100)
PLAIN = AugmentationOptions(sea_share=0, noise_share=0, shift_s=0, shift_bins=0, mask_s=0, mask_bins=0, mixup_alpha=1e-3)
CHANGES = {
    "as shipped": SHORT,
    "features: spectrogram": replace(SHORT, features="spectrogram"),
    "features: complexity alone": replace(SHORT, features="complexity"),
    "random start": replace(SHORT, random_start=True),
    "no augmentation": replace(SHORT, augmentation=PLAIN),
}


def measure(clips: Path, imagenet: Path, without_calls: tuple[str, ...]) -> list[Row]:
    """A row for each change, on the held-out clips; each prints as soon as it is there."""
    rows: list[Row] = []
    for name, options in CHANGES.items():
        with tempfile.TemporaryDirectory() as folder:
            data = TrainData((clips,), without_calls, imagenet)
            trained = train(data, Path(folder, "model.safetensors"), options, TrainWork(quiet=True))
        last = trained.epochs[-1].validation
        assert last is not None
        metrics = last.classes[UPCALL]
        row: Row = {"changed": name, "epochs": options.epochs, "AUC": round(metrics.auc, 4)}
        rows.append(row | {"accuracy": round(metrics.accuracy, 4), "average precision": round(metrics.average_precision, 4)})
        print(rows[-1], flush=True)
    return rows
