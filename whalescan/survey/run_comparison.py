"""An output folder that another version or model scored before: its detections beside the new ones."""

from __future__ import annotations

import csv
import logging
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from whalescan.core import Detection, TableError
from whalescan.core.files import write_atomically
from whalescan.core.text import count
from whalescan.detections.detection_changes import Change, DetectionChange, compare_detections
from whalescan.detections.validations import UNREVIEWED
from whalescan.detector.model_spec import Model
from whalescan.scores.validation_store import VALIDATIONS_FILE
from whalescan.tables.csvs import compared_csv, read_detections_csv
from whalescan.tables.run_json import RUN_JSON, read_run_json

DETECTIONS_COMPARED = "detections_compared.csv"

logger = logging.getLogger("whalescan")


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """What another version or model found in the same recordings.

    Attributes:
        detector: name and version of that detector.
        detections: those in its ``detections.csv``, with their reviews, and with calls that people added.
    """

    detector: str
    detections: tuple[Detection, ...] = field(repr=False)


def read_earlier_run(
    output: Path, detections: Path, deployment_table: Path, detector: str, model: Model
) -> EarlierRun | None:
    """Return the detections that a run is about to replace; None where they are by the same version and model, or absent.

    Args:
        output: folder of the run.
        detections: its table of detections.
        deployment_table: its Raven table, which tells the detector where an interrupted run removed ``run.json``.
        detector: name and version of the detector of the new run.
        model: of the new run.
    """
    if not detections.exists():
        return None
    try:
        document = read_run_json(output) if (output / RUN_JSON).exists() else {}
        before = str(document.get("detector") or _detector_in(deployment_table))
        same_model = document.get("model", {}).get("sha256", model.sha256) == model.sha256
        if not before or (before == detector and same_model):
            return None
        return EarlierRun(before, tuple(read_detections_csv(detections)))
    except TableError as error:
        logger.warning("%s; the earlier detections are not compared with the new ones", error)
        return None


def _detector_in(table: Path) -> str:
    """Return the detector that the first row of a Raven table names; empty where there is none."""
    try:
        with table.open(encoding="utf-8", newline="") as file:
            return next(
                (row.get("Detector") or "" for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)), ""
            )
    except (OSError, ValueError, csv.Error):
        return ""


def write_comparison(output: Path, earlier: EarlierRun, detections: Sequence[Detection], kept_ids: Collection[str]) -> None:
    """Write `DETECTIONS_COMPARED`, and say in the log what changed.

    Args:
        output: folder of the run.
        earlier: what the folder held before.
        detections: of the new run, with reviews.
        kept_ids: IDs of those that are there only because of a validation.
    """
    changes = compare_detections(earlier.detections, [one for one in detections if one.detection_id not in kept_ids])
    write_atomically(output / DETECTIONS_COMPARED, compared_csv(changes))
    for line in (_changes_line(output, earlier, changes), *_reviews_lines(changes, kept_ids)):
        logger.info(line)


def _changes_line(output: Path, earlier: EarlierRun, changes: Sequence[DetectionChange]) -> str:
    n = Counter(one.change for one in changes)
    n_found_again = n[Change.SAME] + n[Change.MOVED]
    return (
        f"{count(len(earlier.detections), 'detection')} by {earlier.detector}: {n_found_again:,} found again, "
        f"{n[Change.ONLY_OLD]:,} not; {n[Change.ONLY_NEW]:,} new; see {output / DETECTIONS_COMPARED}"
    )


def _reviews_lines(changes: Sequence[DetectionChange], kept_ids: Collection[str]) -> list[str]:
    """Return what became of the reviews of earlier detections."""
    reviewed = [one for one in changes if one.old is not None and one.old.review != UNREVIEWED]
    if not reviewed:
        return []
    n_passed_on = sum(one.new is not None and one.new.review != UNREVIEWED for one in reviewed)
    n_kept = sum(one.old is not None and one.old.detection_id in kept_ids for one in reviewed)
    n_rest = len(reviewed) - n_passed_on - n_kept
    return [
        f"{count(len(reviewed), 'review')} of these kept: {n_passed_on:,} with the new detection, {n_kept:,} with the "
        f"earlier detection or added call, {n_rest:,} in {VALIDATIONS_FILE} only (rejected, and no longer found)"
    ]
