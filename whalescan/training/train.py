"""Training: a network with ImageNet weights, or of another model, is trained on labelled sound (transfer learning)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from tqdm import tqdm

from whalescan.core import FloatArray, UsageError
from whalescan.core.files import check_writable, write_atomically
from whalescan.core.text import count
from whalescan.detector.device import choose_device
from whalescan.detector.model_file import write_model
from whalescan.detector.model_spec import FrontEndOptions, ModelSpec, find_model
from whalescan.detector.network import Detector
from whalescan.training import initial_weights, training_report
from whalescan.training.datasets import Dataset, read_dataset, read_negative_windows
from whalescan.training.examples import DataOptions, Examples
from whalescan.training.split import Split, split, split_csv
from whalescan.training.trainer import (
    Trainer,
    TrainingSet,
    checkpoint_path,
    read_checkpoint,
    strongest_boxes,
    write_checkpoint,
)
from whalescan.training.training_options import FINE_TUNING, TrainData, TrainingRunOptions, TrainOptions
from whalescan.training.training_report import Epoch, HeldOutMetrics, TrainingResult, logits_of, measure_held_out

_Value = TypeVar("_Value")


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
    epochs: int | None = None,
    frozen_epochs: int | None = None,
    patience: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    hard_share: float | None = None,
    seed: int | None = None,
    threshold: float | None = None,
    device: str = "auto",
    restart: bool = False,
    quiet: bool = True,
    report: Callable[[str], None] | None = None,
) -> TrainingResult:
    """Train a model, and write it with its curves, metrics and split.

    An interrupted training is continued by the same call. Options that are None have the value of the recipe, which is
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
        validation_share: share of the examples that is held out.
        group_by: unit that the split keeps on one side, ``day`` or ``recording``.
        epochs: largest number of passes over the examples.
        frozen_epochs: number of first epochs in which only the head is trained.
        patience: epochs without improvement after which training stops; 0 for never.
        batch_size: examples per step.
        learning_rate: highest rate of the schedule.
        hard_share: share of the negatives of a batch that is sampled from those with the highest scores.
        seed: random seed.
        threshold: score at which a detection begins.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        restart: ignore an interrupted training and start over.
        quiet: show no progress bar.
        report: called with each message; messages are logged where this is None.

    Raises:
        UsageError: when the data or an option cannot be used; the message lists all problems of the data.
        ModelError: when the initial weights cannot be used.
        OutputError: when the model cannot be written.
    """
    recipe = FINE_TUNING if start_from else TrainOptions()
    options = replace(
        recipe,
        features=_or_default(features, recipe.features),
        threshold=_or_default(threshold, recipe.threshold),
        epochs=_or_default(epochs, recipe.epochs),
        frozen_epochs=_or_default(frozen_epochs, recipe.frozen_epochs),
        patience=_or_default(patience, recipe.patience),
        batch_size=_or_default(batch_size, recipe.batch_size),
        learning_rate=_or_default(learning_rate, recipe.learning_rate),
        hard_share=_or_default(hard_share, recipe.hard_share),
        validation_share=_or_default(validation_share, recipe.validation_share),
        seed=_or_default(seed, recipe.seed),
    )
    selection = DataOptions(
        tuple(classes), tuple((rename or {}).items()), tuple(uncertain), group_by=group_by, seed=options.seed
    )
    roots = [data] if isinstance(data, str | os.PathLike) else data
    train_data = TrainData(
        roots=tuple(map(Path, roots)),
        without_calls=tuple(os.fspath(path) for path in without_calls),
        imagenet=Path(weights) if weights else None,
        start_from=os.fspath(start_from) if start_from else None,
        validation=tuple(validation),
        selection=selection,
    )
    run = TrainingRunOptions(device, restart, quiet, report or TrainingRunOptions().report)
    return train_model(train_data, Path(output), options, run)


def _or_default(value: _Value | None, default: _Value) -> _Value:
    return default if value is None else value


def train_model(
    data: TrainData, output: Path, options: TrainOptions | None = None, run_options: TrainingRunOptions | None = None
) -> TrainingResult:
    """Train, and write the best epoch as a model file, with curves, metrics and split beside it.

    Args:
        data: training data and initial weights.
        output: the ``.safetensors`` file to write. ``.curves.png``, ``.metrics.json`` and ``.split.csv`` are written beside
            it, and until the end a checkpoint, from which the next training with the same data and recipe continues.
        options: the recipe; None for `FINE_TUNING` where training starts from a whalescan model, else the default.
        run_options: options of execution.

    Raises:
        UsageError: when the data cannot be used; the message lists all problems.
        ModelError: when the initial weights cannot be used.
        OutputError: when the model cannot be written.
    """
    options = options or (FINE_TUNING if data.start_from else TrainOptions())
    run_options = run_options or TrainingRunOptions()
    _check_output(output)
    device = choose_device(run_options.device)
    start = find_model(data.start_from) if data.start_from else None
    weights = initial_weights.load_initial_weights(start, data.imagenet, options)
    front_end = initial_weights.front_end_options(start, options)
    dataset, negatives = _read_data(data, front_end, run_options)
    sides = split(dataset.examples, options.validation_share, data.validation)
    _check_split(dataset, sides, run_options)
    torch.manual_seed(options.seed)
    spec = initial_weights.initial_spec(start, front_end, dataset.classes, options)
    detector = initial_weights.initial_detector(spec, start, weights)
    training_run = _TrainingRun(dataset, sides, negatives, detector, options, device, output, run_options)
    training_run.restore_checkpoint()
    if start is not None and not training_run.epochs:
        run_options.report(initial_weights.start_message(start, dataset.classes))
    n_training = len(training_run.training_set.windows)
    training = training_report.provenance(data, options, dataset, n_training, len(negatives), start)
    result = training_run.run(
        replace(spec, training=training), keeps_calibration=start is not None and start.spec.classes == spec.classes
    )
    checkpoint_path(output).unlink(missing_ok=True)
    return result


def _check_output(output: Path) -> None:
    if output.suffix != ".safetensors" or output.is_dir():
        raise UsageError(f"invalid output {output}: expected a file whose name ends in .safetensors")
    check_writable(output.parent)


def _check_split(dataset: Dataset, sides: Split, run_options: TrainingRunOptions) -> None:
    """Report the sizes of both sides.

    Raises:
        UsageError: when the training side lacks a class, or examples without a call.
    """
    targets = dataset.examples.targets[sides.training]
    missing = [name for name, column in zip(dataset.classes, targets.T, strict=True) if not column.any()]
    if missing or targets.any(axis=1).all():
        what = ", ".join(missing) or "windows without a call"
        raise UsageError(f"no training examples left of {what}: all are held out; hold out less (validation)")
    n_held_out = int(sides.held_out.sum())
    hint = "" if n_held_out else "; validation needs calls of another day, or group_by recording"
    run_options.report(f"{count(int(sides.training.sum()), 'training example')}, {n_held_out:,} held out{hint}")


class _TrainingRun:
    """A training, from its first epoch or from a checkpoint, to its end."""

    def __init__(
        self,
        dataset: Dataset,
        sides: Split,
        negatives: FloatArray,
        detector: Detector,
        options: TrainOptions,
        device: torch.device,
        output: Path,
        run_options: TrainingRunOptions,
    ) -> None:
        training, self.held_out = (dataset.examples.select(side) for side in (sides.training, sides.held_out))
        self.dataset, self.split, self.options, self.device = dataset, sides, options, device
        self.output, self.run_options = output, run_options
        self.original_targets = torch.from_numpy(training.targets)
        boxes = strongest_boxes(detector, training.windows)
        self.training_set = TrainingSet(training.windows, training.targets, boxes, negatives)
        self.trainer = Trainer(detector, options, len(training), device)
        self.epochs: list[Epoch] = []
        self.fingerprint = _fingerprint(self.training_set, self.held_out, dataset.classes, detector, options)

    def restore_checkpoint(self) -> None:
        """Restore the state of an interrupted training with the same data and recipe, if there is one."""
        path = checkpoint_path(self.output)
        checkpoint = None if self.run_options.restart else read_checkpoint(path, self.fingerprint)
        if checkpoint is None and path.exists():
            why = "restart was requested" if self.run_options.restart else "it is of other data or another recipe"
            self.run_options.report(f"{path}: not used, as {why}; training starts over")
        if checkpoint is not None:
            state, targets, epochs = checkpoint
            self.trainer.restore(state)
            self.training_set = replace(self.training_set, targets=targets.numpy())
            self._find_hard_negatives()
            self.epochs = [Epoch.from_dict(fields) for fields in epochs]
            self.run_options.report(f"{self.output}: resumes after epoch {len(self.epochs)} of an interrupted training")

    def run(self, spec: ModelSpec, keeps_calibration: bool) -> TrainingResult:
        """Run the remaining epochs.

        Args:
            spec: description of the new model.
            keeps_calibration: keep the calibration of ``spec``, which was fitted on continuous recordings; the examples are
                too few to fit another.
        """
        while len(self.epochs) < self.options.epochs and not self._is_finished():
            number = len(self.epochs) + 1
            metrics = self._run_epoch(number)
            self.run_options.report(str(self.epochs[-1]))
            if training_report.best_epoch(self.epochs).number == number:
                calibration = metrics.calibration if metrics and not keeps_calibration else spec.calibration
                stored = {"held-out examples": asdict(metrics) | {"epoch": number}} if metrics else {}
                write_model(self.output, self.trainer.average, replace(spec, calibration=calibration, metrics=stored))
                table = split_csv(self.dataset.examples, self.split, self.dataset.classes)
                write_atomically(training_report.path_beside(self.output, ".split.csv"), table)
            self._soften_labels(number)
            self._find_hard_negatives()
            epochs = [asdict(epoch) for epoch in self.epochs]
            targets = torch.from_numpy(self.training_set.targets)
            write_checkpoint(checkpoint_path(self.output), self.fingerprint, self.trainer.state(), targets, epochs)
        n_training, n_held_out = len(self.training_set.windows), len(self.held_out)
        result = TrainingResult(self.output, self.dataset, tuple(self.epochs), n_training, n_held_out)
        training_report.write_training_report(result, spec)
        return result

    def _is_finished(self) -> bool:
        patience = self.options.patience
        if not patience or not self.epochs:
            return False
        return len(self.epochs) - training_report.best_epoch(self.epochs).number >= patience

    def _run_epoch(self, number: int) -> HeldOutMetrics | None:
        steps = self.trainer.run_epoch(self.training_set, frozen=number <= self.options.frozen_epochs)
        title = f"epoch {number}/{self.options.epochs}"
        losses = list(tqdm(steps, title, self.trainer.n_batches, unit="batch", disable=self.run_options.quiet))
        metrics = None
        if len(self.held_out):
            logits = logits_of(self.trainer.average, self.held_out.windows, self.device)
            metrics = measure_held_out(self.held_out.targets, logits, self.dataset.classes)
        self.epochs.append(Epoch(number, sum(losses) / len(losses), metrics))
        return metrics

    def _soften_labels(self, number: int) -> None:
        """Replace a share of the targets by predictions of the averaged network."""
        share = self.options.soften
        if share and self.options.soften_after_epoch <= number < self.options.epochs:
            predicted = torch.from_numpy(logits_of(self.trainer.average, self.training_set.windows, self.device)).sigmoid()
            targets = (1 - share) * self.original_targets + share * predicted
            self.training_set = replace(self.training_set, targets=targets.numpy())

    def _find_hard_negatives(self) -> None:
        """Determine the tenth of the negatives with the highest scores of the averaged network."""
        if self.options.hard_share and len(self.training_set.negatives):
            logits = logits_of(self.trainer.average, self.training_set.negatives, self.device).max(axis=1)
            hardest = np.argsort(-logits, kind="stable")[: -(-len(logits) // 10)]
            self.training_set = replace(self.training_set, hard_negatives=hardest)


def _read_data(data: TrainData, front_end: FrontEndOptions, run_options: TrainingRunOptions) -> tuple[Dataset, FloatArray]:
    """Return the examples and the negatives ``[m, window_samples]``, and report all problems of the data."""
    rate_hz, window_samples = front_end.rate_hz, front_end.window_samples
    dataset = read_dataset(data.roots, data.selection, rate_hz, window_samples, run_options.quiet)
    problems, negatives = list(dataset.problems), np.zeros((0, window_samples), np.float32)
    if data.without_calls:
        without_calls = read_negative_windows(data.without_calls, rate_hz, window_samples, hop_samples=rate_hz // 2)
        problems += without_calls.problems
        negatives = without_calls.windows
    for problem in problems:
        run_options.report(problem)
    n_per_class = dataset.examples.targets.sum(axis=0)
    classes = ", ".join(f"{int(n)} {name}" for name, n in zip(dataset.classes, n_per_class, strict=True))
    examples, windows = count(len(dataset.examples), "example"), count(len(negatives), "window")
    run_options.report(f"{examples} ({classes}), {windows} of recordings without calls")
    return dataset, negatives


def _fingerprint(
    training_set: TrainingSet, held_out: Examples, classes: tuple[str, ...], detector: Detector, options: TrainOptions
) -> str:
    """Return a hash of everything that the result depends on: sound, labels, split, recipe and initial weights."""
    digest = hashlib.sha256(json.dumps([options.recipe(), classes], sort_keys=True).encode())
    arrays = training_set.windows, training_set.targets, training_set.negatives, held_out.windows, held_out.targets
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    for weights in detector.network.state_dict().values():
        digest.update(weights.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
