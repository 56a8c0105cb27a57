"""How well the default model tells clips apart that it was not taught on, as it was trained and as it scans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from benchmarks.table import Row
from whalescan import load_model
from whalescan.detector.modelfile import load_detector
from whalescan.detector.scoring import Scorer
from whalescan.learn.clips import read_kaggle
from whalescan.learn.training import clip_logits, clip_metrics


def measure(folder: Path) -> list[Row]:
    """Rows of the table; ``folder`` holds ``train.csv`` and ``train/``."""
    model = load_model()
    spec = model.spec
    clips = read_kaggle(folder, spec.front_end.rate_hz, spec.front_end.window_samples)
    held_out = clips.where(clips.fold < spec.training["recipe"]["validation_share"])
    slope, offset = spec.calibration
    exact = slope * clip_logits(load_detector(model), held_out.windows) + offset
    scorer = Scorer(model, torch.device("cpu"), 32)
    scores = scorer.score(
        held_out.windows.ravel(), spec.grid(spec.front_end.window_samples / spec.front_end.rate_hz), len(held_out)
    )
    scanned = np.log(scores.scores[:, 0] / (1 - scores.scores[:, 0]))
    rows: list[Row] = []
    for name, logits in (("float32", exact), ("as in a scan", scanned)):
        metrics = clip_metrics(held_out.labels, logits)
        rows.append(
            {
                "arithmetic": name,
                "held-out clips": metrics.n_clips,
                "AUC": round(metrics.auc, 4),
                "accuracy": round(metrics.accuracy, 4),
                "average precision": round(metrics.average_precision, 4),
            }
        )
    return rows
