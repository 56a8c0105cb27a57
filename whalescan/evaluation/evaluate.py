"""Entry points: evaluate detections on annotated recordings, or a model on labelled clips, and write the results."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from whalescan.core.files import check_writable
from whalescan.detector.model_spec import UPCALL, Model
from whalescan.evaluation import calibration, evaluation_report
from whalescan.evaluation.clip_evaluation import ClipEvaluation, ClipEvaluationOptions, score_clips
from whalescan.evaluation.comparison import Evaluation, EvaluationOptions, compare_detections
from whalescan.evaluation.metrics import BootstrapOptions
from whalescan.evaluation.sources import AnnotationOptions, SourceOptions, read_annotations, read_detection_source

_CALIBRATION_PER_HOUR = 1.0
_AnyPath = str | os.PathLike[str]


def evaluate(
    detections: _AnyPath,
    annotations: _AnyPath,
    output: _AnyPath | None = None,
    *,
    recordings: Sequence[_AnyPath] = (),
    threshold: float | None = None,
    class_name: str | None = None,
    channel: int = 1,
    tolerance_s: float = 1.0,
    label: Sequence[str] = (),
    uncertain: Sequence[str] = (),
    aside: Sequence[_AnyPath] = (),
    silent_are_empty: bool = False,
    lowest: float = 0.005,
    false_positives_per_hour: Sequence[float] = (),
    precision: Sequence[float] = (),
    calibrate: _AnyPath | None = None,
    bootstrap: int = 1000,
    seed: int = 1,
) -> Evaluation:
    """Compare detections with annotations, and write the results.

    Args:
        detections: output folder of a run, a Raven table with scores, or a folder of such tables.
        annotations: Raven table of annotations, or a folder of them.
        output: folder for metrics, tables and plots; None to write nothing.
        recordings: analysed recordings (folders, files, patterns), where the detections are Raven tables.
        threshold: threshold at which errors are reported; None for that of the run, and 0.5 for Raven tables.
        class_name: class of a model with several classes; None for upcalls.
        channel: channel, 1-based.
        tolerance_s: largest distance between the middles of a detection and a call that match.
        label: labels of calls; empty for all labels that are not uncertain.
        uncertain: further labels of ignored annotations.
        aside: Raven tables of further ignored annotations.
        silent_are_empty: evaluate recordings without annotations as recordings without calls.
        lowest: lowest score at which detections of a run are evaluated.
        false_positives_per_hour: recommend a threshold with at most each of these rates.
        precision: recommend a threshold with at least each of these precisions.
        calibrate: file for the model of the run, calibrated on these recordings, with a threshold for the first of the rates
            of false positives (1 per hour where none is given); None not to calibrate.
        bootstrap: number of resamples for confidence intervals; 0 for no intervals.
        seed: random seed of the bootstrap.

    Raises:
        UsageError, TableError: when there is nothing to compare, too little to calibrate on, or an option is invalid.
        OutputError: when the results cannot be written.
    """
    given: dict[str, object] = {
        "detections": detections,
        "annotations": annotations,
        "output": output,
        "threshold": threshold,
        "class_name": class_name or "",
        "channel": channel,
        "bootstrap": bootstrap,
        "seed": seed,
        "recordings": recordings,
        "tolerance": tolerance_s,
        "label": label,
        "uncertain": uncertain,
        "aside": aside,
        "silent_are_empty": silent_are_empty,
        "lowest": lowest,
        "false_positives_per_hour": false_positives_per_hour,
        "precision": precision,
        "calibrate": calibrate,
    }
    resampling = BootstrapOptions(bootstrap, seed)
    options = EvaluationOptions(tolerance_s, threshold, tuple(false_positives_per_hour), tuple(precision), resampling)
    source_options = SourceOptions(channel, class_name or "", lowest, tuple(os.fspath(path) for path in recordings))
    ignored = tuple(Path(path) for path in aside)
    annotation_options = AnnotationOptions(tuple(label), tuple(uncertain), ignored, channel, silent_are_empty)
    model = calibration.model_of_run(Path(detections)) if calibrate else None
    if output is not None:
        check_writable(Path(output))
    source = read_detection_source(Path(detections), source_options)
    analysed = [one.recording for one in source.recordings]
    evaluation = compare_detections(source, read_annotations(Path(annotations), analysed, annotation_options), options)
    if output is not None:
        evaluation_report.write_evaluation(Path(output), evaluation, given)
    if model is None or calibrate is None:
        return evaluation
    return _calibrate(model, evaluation, class_name or "", Path(calibrate))


def _calibrate(model: Model, evaluation: Evaluation, class_name: str, output: Path) -> Evaluation:
    """Write the calibrated model, and return the evaluation with the calibration."""
    from whalescan.detector.model_file import rewrite_model  # importing torch takes seconds

    rates = evaluation.options.false_positives_per_hour
    fit = calibration.fit_calibration(evaluation, rates[0] if rates else _CALIBRATION_PER_HOUR)
    column = model.spec.classes.index(class_name or UPCALL) if len(model.spec.classes) > 1 else 0
    rewrite_model(output, model, calibration.calibrated_spec(model.spec, fit, column, evaluation))
    return replace(evaluation, calibration=fit, calibrated_model=output)


def evaluate_clips(
    model: _AnyPath,
    folder: _AnyPath,
    output: _AnyPath | None = None,
    *,
    threshold: float | None = None,
    class_name: str | None = None,
    channel: int = 1,
    clips: _AnyPath | None = None,
    bootstrap: int = 1000,
    seed: int = 1,
    quiet: bool = True,
) -> ClipEvaluation:
    """Score labelled clips with a model, compare the scores with the labels, and write the results.

    Args:
        model: model file.
        folder: folder of labelled clips, as `train` reads it and ``clips --for-training`` writes it.
        output: folder for metrics, tables and plots; None to write nothing.
        threshold: score from which a clip is classified as a call; None for the threshold of the model.
        class_name: class of a model with several classes; None for upcalls.
        channel: channel, 1-based.
        clips: table of the clips to use, such as the ``.split.csv`` of a training; None to use all.
        bootstrap: number of resamples for confidence intervals; 0 for no intervals.
        seed: random seed of the bootstrap.
        quiet: show no progress bar.

    Raises:
        UsageError, ModelError: when the model, the clips or an option cannot be used.
        OutputError: when the results cannot be written.
    """
    given: dict[str, object] = {
        "detections": model,
        "annotations": folder,
        "output": output,
        "threshold": threshold,
        "class_name": class_name or "",
        "channel": channel,
        "bootstrap": bootstrap,
        "seed": seed,
        "clips": clips,
    }
    clip_list = Path(clips) if clips else None
    options = ClipEvaluationOptions(clip_list, channel, class_name or "", threshold, BootstrapOptions(bootstrap, seed))
    if output is not None:
        check_writable(Path(output))
    evaluation = score_clips(Path(model), Path(folder), options, quiet)
    if output is not None:
        evaluation_report.write_clips(Path(output), evaluation, given)
    return evaluation
