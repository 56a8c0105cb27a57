"""Recall and precision in annotated recordings, at several hops."""

from __future__ import annotations

import tempfile
from pathlib import Path

import whalescan
from benchmarks.table import Row
from whalescan.evaluation.comparison import EvaluationOptions, compare_detections
from whalescan.evaluation.sources import AnnotationOptions, SourceOptions, read_annotations, read_detection_source

HOPS_S = (0.25, 0.5, 1.0)
FALSE_POSITIVES_PER_HOUR = (2, 8)


def measure(folder: Path, ignored: tuple[Path, ...] = ()) -> list[Row]:
    """Return the rows of the table.

    Args:
        folder: recordings with Raven tables beside them.
        ignored: Raven tables of selections to ignore.
    """
    rows: list[Row] = []
    for hop_s in HOPS_S:
        with tempfile.TemporaryDirectory() as out:
            whalescan.scan(folder, out, hop_s=hop_s)
            source = read_detection_source(Path(out), SourceOptions())
        recordings = [scored.recording for scored in source.recordings]
        annotations = read_annotations(folder, recordings, AnnotationOptions(ignored=ignored))
        curve = compare_detections(source, annotations, EvaluationOptions()).curve
        average = curve.average_precision()
        row: Row = {"hop": f"{hop_s:g} s", "calls": curve.n_calls, "hours": round(curve.hours, 2)}
        row["average precision"] = "" if average is None else round(average, 3)
        for per_hour in FALSE_POSITIVES_PER_HOUR:
            point = curve.for_false_positives(per_hour)
            recall = point.recall if point else None
            row[f"recall at {per_hour} FP/h"] = "" if recall is None else round(recall, 2)
            row[f"threshold for {per_hour} FP/h"] = "" if point is None else round(point.threshold, 3)
        rows.append(row)
    return rows
