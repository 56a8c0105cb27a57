"""What the model finds in annotated recordings, at several hops."""

from __future__ import annotations

import tempfile
from pathlib import Path

import whalescan
from benchmarks.table import Row
from whalescan.evaluation.annotations import TruthOptions, read_truth
from whalescan.evaluation.evaluate import EvaluateOptions, evaluate
from whalescan.evaluation.scored_sources import SourceOptions, read_source

HOPS_S = (0.25, 0.5, 1.0)
FALSE_ALARMS_PER_HOUR = (2, 8)


def measure(folder: Path, aside: tuple[Path, ...] = ()) -> list[Row]:
    """Rows of the table: recordings in ``folder`` with Raven tables beside them, without the selections in ``aside``."""
    rows: list[Row] = []
    for hop_s in HOPS_S:
        with tempfile.TemporaryDirectory() as out:
            whalescan.scan(folder, out, hop=hop_s)
            source = read_source(Path(out), SourceOptions())
        truth = read_truth(folder, [heard.recording for heard in source.heard], TruthOptions(aside=aside))
        curve = evaluate(source, truth, EvaluateOptions()).curve
        average = curve.average_precision()
        row: Row = {"hop": f"{hop_s:g} s", "calls": curve.n_calls, "hours": round(curve.hours, 2)}
        row["average precision"] = "" if average is None else round(average, 3)
        for per_hour in FALSE_ALARMS_PER_HOUR:
            point = curve.for_false_positives(per_hour)
            recall = point.recall if point else None
            row[f"recall at {per_hour} FP/h"] = "" if recall is None else round(recall, 2)
            row[f"threshold for {per_hour} FP/h"] = "" if point is None else round(point.threshold, 3)
        rows.append(row)
    return rows
