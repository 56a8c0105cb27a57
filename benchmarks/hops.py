"""What the hop changes: the windows of annotated calls, and the size of score files. Detections do not change."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import whalescan
from benchmarks.table import Row
from whalescan.core import Annotation
from whalescan.evaluation.sources import AnnotationOptions, SourceOptions, read_annotations, read_detection_source
from whalescan.scores.score_file import ScoreFile, read_scores

HOPS_S = (0.25, 0.5, 1.0, 2.0)


def measure(folder: Path, ignored: tuple[Path, ...] = ()) -> list[Row]:
    """Return a row per hop.

    Args:
        folder: recordings with Raven tables beside them.
        ignored: Raven tables of selections to ignore.
    """
    rows: list[Row] = []
    threshold = whalescan.load_model().spec.thresholds[0]
    for hop_s in HOPS_S:
        with tempfile.TemporaryDirectory() as out:
            survey = whalescan.scan(folder, out, hop_s=hop_s)
            recordings = [scored.recording for scored in read_detection_source(Path(out), SourceOptions()).recordings]
            annotations = read_annotations(folder, recordings, AnnotationOptions(ignored=ignored))
            paths = {recording.name: Path(out, "scores", f"{recording.name}.npz") for recording in recordings}
            highest = [
                _highest(read_scores(paths[name]), call) for name, calls in annotations.calls.items() for call in calls
            ]
            n_bytes = sum(path.stat().st_size for path in paths.values())
        hours = sum(recording.duration_s for recording in recordings) / 3600
        rows.append(
            {
                "hop": f"{hop_s:g} s",
                "detections": len(survey.detections),
                "calls": len(highest),
                "calls with a window above the threshold": f"{np.mean(np.array(highest) >= threshold):.0%}",
                "score files, kB an hour": round(n_bytes / hours / 1000),
            }
        )
    return rows


def _highest(scores: ScoreFile, call: Annotation) -> float:
    """Return the highest score of the windows that hold the middle of a call."""
    grid, middle = scores.grid, (call.begin_s + call.end_s) / 2 * scores.grid.rate_hz
    last = min(int(middle // grid.hop_samples), len(scores.windows.scores) - 1)
    first = min(max(int(np.ceil((middle - grid.window_samples) / grid.hop_samples)), 0), last)
    return float(np.nanmax(scores.windows.scores[first : last + 1, 0], initial=0))
