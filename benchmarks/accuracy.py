"""What a hop finds and costs: average precision and recall on annotated recordings, at several hops.

Detections and annotations match one to one where their middles lie within 1 s. Needs a folder with recordings and, beside
each, ``<recording>.selections.txt``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import whalescan
from whalescan.survey.run import detect

HOPS_S = (0.25, 0.5, 1.0)
LOWEST = 0.02
TOLERANCE_S = 1.0


def measure(folder: Path) -> list[dict[str, object]]:
    """Rows of the table."""
    rows: list[dict[str, object]] = []
    for hop_s in HOPS_S:
        with tempfile.TemporaryDirectory() as out:
            whalescan.scan(folder, out, hop=hop_s)
            survey = detect(Path(out), LOWEST)
        hours = sum(row.outcome.analysed_s for row in survey.files) / 3600
        hits, n_calls = match(survey, folder)
        precision, recall = curve(hits, n_calls)
        wrong = np.cumsum(~hits)
        rows.append(
            {
                "what": f"hop {hop_s:g} s, {n_calls} calls in {hours:.2f} h",
                "average precision": round(float((precision * hits).sum() / n_calls), 3),
                **{f"recall at {r:g} FP/h": round(float(recall[wrong <= r * hours].max(initial=0)), 2) for r in (2, 8)},
            }
        )
    return rows


def match(survey: whalescan.Survey, folder: Path) -> tuple[np.ndarray, int]:
    """Whether each detection, the highest first, is a call; and the number of calls."""
    free = {
        row.name: [(a.begin_s + a.end_s) / 2 for a in whalescan.read_selections(folder / f"{row.name}.selections.txt")]
        for row in survey.files
    }
    n_calls = sum(map(len, free.values()))
    hits = []
    for call in sorted(survey.detections, key=lambda c: -c.score):
        middle_s, middles_s = (call.begin_s + call.end_s) / 2, free[call.recording]
        nearest = min(middles_s, key=lambda m: abs(m - middle_s), default=None)
        hits.append(nearest is not None and abs(nearest - middle_s) <= TOLERANCE_S)
        if hits[-1] and nearest is not None:
            middles_s.remove(nearest)
    return np.array(hits, bool), n_calls


def curve(hits: np.ndarray, n_calls: int) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall down to each detection."""
    found = np.cumsum(hits)
    return found / np.arange(1, len(hits) + 1), found / n_calls
