"""Detections per hour in sound without calls, at several thresholds."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

import whalescan
from benchmarks.table import Row
from whalescan.survey.run import detect

THRESHOLDS = (0.2, 0.5, 0.8, 0.95)
"""Beside the model's own."""
WHITE_NOISE_RMS = 0.02
"""Of full scale, as in the evaluation of the predecessor."""


def measure(folders: Sequence[Path], white_noise_hours: int, model: str) -> list[Row]:
    """Return a row per folder, with a column per threshold, and one for white noise.

    Args:
        folders: recordings without calls.
        white_noise_hours: hours of white noise; 0 for none.
        model: name or path of the model.
    """
    rows = [_row(folder.name, folder, model) for folder in folders]
    if white_noise_hours:
        with tempfile.TemporaryDirectory() as folder:
            random = np.random.default_rng(1)
            for hour in range(white_noise_hours):
                noise = WHITE_NOISE_RMS * random.standard_normal(3600 * 2000)
                soundfile.write(Path(folder, f"noise{hour:03d}.wav"), noise, 2000)
            rows.append(_row("white noise", Path(folder), model))
    return rows


def _row(name: str, folder: Path, model: str) -> Row:
    own = whalescan.load_model(model).spec.thresholds[0]
    with tempfile.TemporaryDirectory() as out:
        survey = whalescan.scan(folder, out, model="" if model == "default" else model)
        hours = sum(row.outcome.analysed_s for row in survey.files) / 3600
        row: Row = {"recordings": name, "hours": round(hours, 2)}
        for title, threshold in {"the model's own threshold": own, **{f"{value:g}": value for value in THRESHOLDS}}.items():
            row[f"at {title}"] = f"{len(detect(Path(out), threshold).detections) / hours:.1f}/h"
    return row
