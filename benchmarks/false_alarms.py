"""Detections per hour in recordings without calls, at several thresholds."""

from __future__ import annotations

import tempfile
from pathlib import Path

import whalescan
from benchmarks.table import Row
from whalescan.survey.run import detect

THRESHOLDS = (0.5, 0.8, 0.9, 0.95)


def measure(folder: Path) -> list[Row]:
    """Return one row, with a column per threshold."""
    with tempfile.TemporaryDirectory() as out:
        survey = whalescan.scan(folder, out)
        hours = sum(row.outcome.analysed_s for row in survey.files) / 3600
        row: Row = {"recordings": folder.name, "hours": round(hours, 2)}
        for threshold in THRESHOLDS:
            row[f"at {threshold:g}"] = f"{len(detect(Path(out), threshold).detections) / hours:.1f}/h"
    return [row]
