"""What a user asks for: read, judge, write, and say what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from whalescan.core.files import check_writable
from whalescan.detector.model_spec import UPCALL, Model
from whalescan.evaluation import calibration, outputs
from whalescan.evaluation.annotations import TruthOptions, read_truth
from whalescan.evaluation.clips import ClipOptions, evaluate_clips
from whalescan.evaluation.evaluate import EvaluateOptions, Evaluation, evaluate
from whalescan.evaluation.scored_sources import SourceOptions, read_source
from whalescan.evaluation.summary import clip_summary, summary

_PER_HOUR = 1.0


@dataclass(frozen=True, slots=True)
class Asked:
    """The question, as it was put.

    Attributes:
        detections: the folder of a run, tables, or a model file.
        annotations: tables, or a folder of labelled clips.
        output: folder for the results; None where only the summary is wanted.
        given: every option, to stand in ``evaluation.json``.
    """

    detections: Path
    annotations: Path
    output: Path | None
    given: Mapping[str, object]


def judge_recordings(
    asked: Asked, source: SourceOptions, truth: TruthOptions, options: EvaluateOptions, calibrated: Path | None = None
) -> str:
    """Compare detections with annotations, write the results, and return the summary.

    With a path for it, the model of the run is written anew, calibrated on these recordings, with a threshold for the first
    of the wanted rates of false positives (1 an hour where none is named).

    Raises:
        UsageError, TableError: when there is nothing that can be compared, or too little to calibrate on.
        OutputError: when the results cannot be written.
    """
    model = calibration.model_of(asked.detections) if calibrated else None
    if asked.output is not None:
        check_writable(asked.output)
    said = read_source(asked.detections, source)
    known = read_truth(asked.annotations, [heard.recording for heard in said.heard], truth)
    found = evaluate(said, known, options)
    if asked.output is not None:
        outputs.write(asked.output, found, asked.given)
    if model is None or calibrated is None:
        return summary(found)
    return f"{summary(found)}\n{_calibrate(model, found, source.label, options, calibrated)}"


def _calibrate(model: Model, found: Evaluation, label: str, options: EvaluateOptions, output: Path) -> str:
    """Write the model with new meaning of its scores, and say what they mean."""
    from whalescan.detector.model_file import rewrite_model  # torch takes seconds to import

    fitted = calibration.fit(found, options.per_hour[0] if options.per_hour else _PER_HOUR)
    column = model.spec.classes.index(label or UPCALL) if len(model.spec.classes) > 1 else 0
    rewrite_model(output, model, calibration.recalibrated(model.spec, fitted, column, found))
    return (
        f"{output}: calibrated on {fitted.n_hits} hits and {fitted.n_false} false alarms in {fitted.hours:.2f} hours; its "
        f"threshold {fitted.threshold:g} lets about {fitted.expected_per_hour:g} false alarms an hour through"
    )


def judge_clips(asked: Asked, options: ClipOptions) -> str:
    """Score clips with a model and compare with their labels, write the results, and return the summary.

    Raises:
        UsageError, ModelError: when the model or the clips cannot be used.
        OutputError: when the results cannot be written.
    """
    if asked.output is not None:
        check_writable(asked.output)
    found = evaluate_clips(asked.detections, asked.annotations, options)
    if asked.output is not None:
        outputs.write_clips(asked.output, found, asked.given)
    return clip_summary(found)
