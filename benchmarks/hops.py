"""What a hop finds and costs: average precision and recall on annotated recordings, at several hops.

Detections and annotations match one to one where their middles lie within 1 s. Needs a folder with recordings and, beside
each, ``<recording>.selections.txt``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import whalescan
from benchmarks.table import Row
from whalescan.survey.run import detect

HOPS_S = (0.25, 0.5, 1.0)
LOWEST = 0.02
TOLERANCE_S = 1.0
FALSE_ALARMS_PER_HOUR = (2, 8)


def measure(folder: Path) -> list[Row]:
    """Rows of the table."""
    rows: list[Row] = []
    for hop_s in HOPS_S:
        with tempfile.TemporaryDirectory() as out:
            whalescan.scan(folder, out, hop=hop_s)
            survey = detect(Path(out), LOWEST)
        hours = sum(row.outcome.analysed_s for row in survey.files) / 3600
        hits, scores, n_calls = match(survey, folder)
        found, wrong = np.cumsum(hits), np.cumsum(~hits)
        precision = found / (found + wrong)
        row: Row = {
            "hop": f"{hop_s:g} s",
            "calls": n_calls,
            "hours": round(hours, 2),
            "average precision": round(float(precision[hits].sum() / n_calls), 3),
        }
        for rate in FALSE_ALARMS_PER_HOUR:
            allowed = wrong <= rate * hours
            row[f"recall at {rate} FP/h"] = round(float(found[allowed].max(initial=0) / n_calls), 2)
            row[f"threshold for {rate} FP/h"] = round(float(scores[allowed].min(initial=1)), 3)
        rows.append(row)
    return rows


def match(survey: whalescan.Survey, folder: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Whether each detection, the highest first, is a call; its score; and the number of calls."""
    free = {
        row.name: [(a.begin_s + a.end_s) / 2 for a in whalescan.read_selections(folder / f"{row.name}.selections.txt")]
        for row in survey.files
    }
    n_calls = sum(map(len, free.values()))
    ordered = sorted(survey.detections, key=lambda call: -call.score)
    hits = []
    for call in ordered:
        middle_s, middles_s = (call.begin_s + call.end_s) / 2, free[call.recording]
        near = [m for m in middles_s if abs(m - middle_s) <= TOLERANCE_S]
        hits.append(bool(near))
        if near:
            middles_s.remove(min(near, key=lambda m: abs(m - middle_s)))
    return np.array(hits, bool), np.array([call.score for call in ordered]), n_calls
