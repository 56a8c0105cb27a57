"""Training: a network with ImageNet weights, or of another model, is trained on labelled sound (transfer learning)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from whalescan.core import UsageError
from whalescan.core.files import check_writable
from whalescan.core.text import count
from whalescan.detector.device import choose_device
from whalescan.detector.model_spec import find_model
from whalescan.training import initial_weights
from whalescan.training.datasets import read_training_sounds
from whalescan.training.held_back_parts import hold_back_parts
from whalescan.training.labels import DataOptions
from whalescan.training.sounds import TrainingSounds
from whalescan.training.split import Split, split_sounds
from whalescan.training.training_options import FINE_TUNING, TrainData, TrainingRunOptions, TrainOptions
from whalescan.training.training_report import TrainingResult, amounts_text
from whalescan.training.training_run import TrainingPlan, TrainingRun
from whalescan.training.validation_sounds import validation_sounds


def train(
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    start_from: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    without_calls: Sequence[str | os.PathLike[str]] = (),
    classes: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    uncertain: Sequence[str] = (),
    features: str | None = None,
    validation: Sequence[str] = (),
    validation_share: float | None = None,
    group_by: str = "day",
    steps: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int | None = None,
    threshold: float | None = None,
    false_positives_per_hour: float | None = None,
    keep_anyway: bool = False,
    device: str = "auto",
    restart: bool = False,
    quiet: bool = True,
    report: Callable[[str], None] | None = None,
) -> TrainingResult:
    """Train a model, and write it with its curves, metrics and split.

    A part of the sound is held back from training. The model's calibration, thresholds and operating points come from it.
    With ``start_from``, the initial model and the trained one are compared on it, and the better weights are written. An
    interrupted training is continued by the same call. Options that are None have the value of the recipe, which is
    `FINE_TUNING` with ``start_from``, else the default of `TrainOptions`.

    Args:
        data: a folder, or several: recordings with Raven tables, or clips in the Kaggle layout.
        output: the ``.safetensors`` file to write. ``.curves.png``, ``.metrics.json`` and ``.split.csv`` are written beside
            it.
        start_from: model file whose weights training starts from, or ``default``; None to start from ImageNet.
        weights: safetensors file with ImageNet weights; None to let timm download its own.
        without_calls: folders, files and patterns of recordings without calls.
        classes: classes of the model; empty for all labels that occur.
        rename: classes by the labels that stand for them.
        uncertain: further labels that are neither a call nor the absence of one.
        features: features in the spectrogram image, one of `model_spec.FEATURES`.
        validation: recordings, clips or groups to hold out; empty to hold out a share.
        validation_share: share of the sound that is held out.
        group_by: unit that the split keeps on one side, ``day`` or ``recording``.
        steps: number of steps.
        batch_size: sequences per step.
        learning_rate: highest rate of the schedule.
        seed: random seed.
        threshold: score from which on a peak is a detection; None to choose it by ``false_positives_per_hour``.
        false_positives_per_hour: false positives per hour of held-back sound at the model's threshold, at most.
        keep_anyway: with ``start_from``, write the trained weights even where they are not better.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        restart: ignore an interrupted training and start over.
        quiet: show no progress bar.
        report: called with each message; messages are logged where this is None.

    Raises:
        UsageError: when the data or an option cannot be used; the message lists all problems of the data.
        ModelError: when the initial weights cannot be used, or the loss or a weight becomes infinite or not a number.
        OutputError: when the model cannot be written.
    """
    given: dict[str, Any] = {
        "features": features,
        "threshold": threshold,
        "false_positives_per_hour": false_positives_per_hour,
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "validation_share": validation_share,
        "seed": seed,
        "keep_anyway": keep_anyway,
    }
    recipe = FINE_TUNING if start_from else TrainOptions()
    options = replace(recipe, **{name: value for name, value in given.items() if value is not None})
    roots = [data] if isinstance(data, str | os.PathLike) else data
    train_data = TrainData(
        roots=tuple(map(Path, roots)),
        without_calls=tuple(os.fspath(path) for path in without_calls),
        imagenet=Path(weights) if weights else None,
        start_from=os.fspath(start_from) if start_from else None,
        validation=tuple(validation),
        selection=DataOptions(tuple(classes), tuple((rename or {}).items()), tuple(uncertain), group_by=group_by),
    )
    run = TrainingRunOptions(device, restart, quiet, report or TrainingRunOptions().report)
    return train_model(train_data, Path(output), options, run)


def train_model(
    data: TrainData, output: Path, options: TrainOptions | None = None, run_options: TrainingRunOptions | None = None
) -> TrainingResult:
    """Train, and write a model file, with curves, metrics and split beside it.

    Args:
        data: training data and initial weights.
        output: the ``.safetensors`` file to write. ``.curves.png``, ``.metrics.json`` and ``.split.csv`` are written beside
            it, and until the end a checkpoint, from which the next training with the same data and recipe continues.
        options: the recipe; None for `FINE_TUNING` where training starts from a whalescan model, else the default.
        run_options: options of execution.

    Raises:
        UsageError: when the data cannot be used; the message lists all problems.
        ModelError: when the initial weights cannot be used, or the loss or a weight becomes infinite or not a number.
        OutputError: when the model cannot be written.
    """
    options = options or (FINE_TUNING if data.start_from else TrainOptions())
    run_options = run_options or TrainingRunOptions()
    _check_output(output)
    device = choose_device(run_options.device)
    start = find_model(data.start_from) if data.start_from else None
    if start is not None:
        options = replace(options, network=start.spec.network)
    weights = initial_weights.load_initial_weights(start, data.imagenet, options)
    front_end = initial_weights.front_end_options(start, options)
    dataset = read_training_sounds(data, front_end, run_options.quiet)
    for problem in dataset.problems:
        run_options.report(problem)
    sounds, sides = _split(dataset.sounds, data, options, run_options)
    spec = initial_weights.initial_spec(start, front_end, sounds.classes, options)
    detector = initial_weights.initial_detector(spec, start, weights, options.seed)
    held_back = validation_sounds(sides.held_out, front_end, options.seed)
    plan = TrainingPlan(data, sounds, sides, held_back, dataset.problems, start, spec, options, device)
    training_run = TrainingRun(plan, detector, output, run_options)
    training_run.restore()
    if start is not None and not training_run.losses:
        run_options.report(initial_weights.start_message(start, sounds.classes))
    return training_run.run()


def _check_output(output: Path) -> None:
    if output.suffix != ".safetensors" or output.is_dir():
        raise UsageError(f"invalid output {output}: expected a file whose name ends in .safetensors")
    check_writable(output.parent)


def _split(
    sounds: TrainingSounds, data: TrainData, options: TrainOptions, run_options: TrainingRunOptions
) -> tuple[TrainingSounds, Split]:
    """Return the sounds as they are divided, and both sides, and report their sizes.

    Raises:
        UsageError: when the training side lacks a class, or sound without a call.
    """
    sides = split_sounds(sounds, data.validation, options.validation_share)
    how = ""
    if not sides.held_out.n_calls and options.validation_share and not data.validation:
        sides = hold_back_parts(sounds, options.validation_share)
        sounds = replace(
            sounds,
            annotated=sides.training.annotated + sides.held_out.annotated,
            backgrounds=sides.training.backgrounds + sides.held_out.backgrounds,
        )
        how = " (the last part of each recording, as there are too few days or recordings to hold out whole ones)"
    missing = [name for name, n in zip(sounds.classes, sides.training.calls_per_class, strict=True) if not n]
    if missing or not sides.training.holds_no_call_somewhere:
        what = ", ".join(missing) or "sound without a call"
        raise UsageError(f"no training sound left of {what}: all is held out; hold out less (validation)")
    run_options.report(f"training sound: {amounts_text(sides.training)}")
    if sides.held_out.n_calls:
        run_options.report(f"held back: {amounts_text(sides.held_out)}{how}")
    else:
        n_calls = count(sounds.n_calls, "call")
        run_options.report(
            f"nothing with a call is held back ({n_calls} in all): calibration and operating points are not measured"
        )
    return sounds, sides
