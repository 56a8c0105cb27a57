"""A training from its first step, or from a checkpoint, to the model file and the report beside it."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from whalescan.core import OutputError
from whalescan.core.files import write_atomically
from whalescan.detector.model_file import write_model
from whalescan.detector.model_spec import Model, ModelSpec
from whalescan.detector.network import Detector
from whalescan.training import training_report
from whalescan.training.checkpoints import checkpoint_path, read_checkpoint, write_checkpoint
from whalescan.training.measurement import Measurement, mean_average_precision, measure, probability_of_gain
from whalescan.training.sequences import SequenceSampler
from whalescan.training.sounds import TrainingSounds
from whalescan.training.split import Split, split_csv
from whalescan.training.trainer import Trainer
from whalescan.training.training_options import TrainData, TrainingRunOptions, TrainOptions
from whalescan.training.training_report import TrainingProgress, TrainingResult
from whalescan.training.validation import ThresholdAim, with_validation
from whalescan.training.validation_sounds import ValidationSounds

_LEAST_PROBABILITY = 0.8
"""Share of the resamples of the held-back sound in which trained weights must be better than the initial ones."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What is trained, and on what.

    Attributes:
        data: where the sound came from.
        sounds: all sounds.
        sides: training side and held-out side.
        validation: sound of the held-out side.
        problems: problems of the data, one line each.
        start: model that training starts from; None for ImageNet or random weights.
        spec: description of the new model.
        options: the recipe.
        device: device to train on.
    """

    data: TrainData
    sounds: TrainingSounds
    sides: Split
    validation: ValidationSounds
    problems: tuple[str, ...]
    start: Model | None
    spec: ModelSpec
    options: TrainOptions
    device: torch.device

    @property
    def is_known(self) -> list[bool] | None:
        """Whether the initial model has each class; None without one."""
        if self.start is None:
            return None
        return [name in self.start.spec.classes for name in self.spec.classes]


class TrainingRun:
    """A training.

    Args:
        plan: what is trained, and on what.
        detector: with its initial weights; it is changed.
        output: the model file to write.
        run_options: options of execution.
    """

    def __init__(self, plan: TrainingPlan, detector: Detector, output: Path, run_options: TrainingRunOptions) -> None:
        self.plan, self.output, self.run_options = plan, output, run_options
        self.fingerprint = _fingerprint(plan, detector)
        self.initial = copy.deepcopy(detector) if plan.start else None
        self.trainer = Trainer(detector, plan.options, plan.device, plan.is_known)
        self.sampler = SequenceSampler(
            plan.sides.training, detector.frontend.options, plan.options.sequences, plan.options.seed
        )
        self.losses: list[float] = []
        self.progress: list[TrainingProgress] = []
        self._n_kept = 0

    def restore(self) -> None:
        """Restore the state of an interrupted training with the same sound and recipe, if there is one."""
        path = checkpoint_path(self.output)
        checkpoint = None if self.run_options.restart else read_checkpoint(path, self.fingerprint)
        if checkpoint is None and path.exists():
            why = "restart was requested" if self.run_options.restart else "it is of other sound or another recipe"
            self.run_options.report(f"{path}: not used, as {why}; training starts over")
        if checkpoint is not None:
            state, progress = checkpoint
            self.trainer.restore(state)
            self.losses = progress["losses"]
            self.progress = [TrainingProgress.from_dict(fields) for fields in progress["progress"]]
            self._n_kept = self.trainer.n_steps
            self.run_options.report(f"{self.output}: resumes after step {self._n_kept:,} of an interrupted training")

    def run(self) -> TrainingResult:
        """Take the remaining steps, and write the model and what belongs beside it.

        Raises:
            ModelError: where the loss or a weight is infinite or not a number.
            OutputError: when a checkpoint or the model cannot be written; the last checkpoint is kept.
        """
        options = self.plan.options
        try:
            with tqdm(total=options.steps, initial=self.trainer.n_steps, unit="step", disable=self.run_options.quiet) as bar:
                while self.trainer.n_steps < options.steps:
                    self._validate_if_due()
                    self._step()
                    bar.update()
                    bar.set_postfix_str(f"loss {np.mean(self.losses[-50:]):.3f}")
            result = self._finish()
        except (KeyboardInterrupt, OutputError):
            self.run_options.report(self._kept_text())
            raise
        checkpoint_path(self.output).unlink(missing_ok=True)
        return result

    def _step(self) -> None:
        step, options = self.trainer.n_steps, self.plan.options
        self.losses.append(self.trainer.step(self.sampler.sample(step, options.batch_size)))
        if (step + 1) % self.run_options.checkpoint_steps == 0 or step + 1 == options.steps:
            progress = {"losses": self.losses, "progress": [asdict(one) for one in self.progress]}
            write_checkpoint(checkpoint_path(self.output), self.fingerprint, self.trainer.state(), progress)
            self._n_kept = step + 1

    def _kept_text(self) -> str:
        path = checkpoint_path(self.output)
        if not self._n_kept:
            return f"{self.output}: the training ended before its first checkpoint; nothing of it is kept"
        return (
            f"{self.output}: the training ended early; {self._n_kept:,} of {self.plan.options.steps:,} steps are kept in "
            f"{path}. Give the same command again to continue"
        )

    def _validate_if_due(self) -> None:
        """Validate the averaged network, where that is due and was not done before."""
        n = self.trainer.n_steps
        is_due = n > 0 and n % self.plan.options.validation_steps == 0
        if is_due and not any(one.step == n for one in self.progress) and self.plan.validation:
            self._note(self._measure(self.trainer.average))

    def _measure(self, detector: Detector) -> Measurement:
        return measure(detector, self.plan.spec, self.plan.validation, self.run_options.device)

    def _note(self, measurement: Measurement | None) -> None:
        """Add losses and metrics of the present step to the progress, and report them."""
        since = self.progress[-1].step if self.progress else 0
        metrics = measurement.metrics if measurement else {}
        self.progress.append(TrainingProgress(self.trainer.n_steps, float(np.mean(self.losses[since:])), metrics))
        self.run_options.report(str(self.progress[-1]))

    def _finish(self) -> TrainingResult:
        """Measure the trained network, compare it with the initial model, and write the better one."""
        plan, trained = self.plan, self.trainer.average
        after = self._measure(trained) if plan.validation else None
        self._note(after)
        before = self._measure(self.initial) if self.initial and plan.validation else None
        keeps_start = self._keeps_start(before, after)
        detector, measured = (self.initial, before) if keeps_start and self.initial else (trained, after)
        spec = replace(plan.spec, training=training_report.provenance(plan))
        if measured is not None:
            aim = ThresholdAim(plan.options.threshold, plan.options.false_positives_per_hour, keeps_start)
            spec, messages = with_validation(spec, measured, aim)
            spec = replace(spec, metrics=_stored_metrics(measured, before, after))
            for message in messages:
                self.run_options.report(message)
        result = TrainingResult(
            self.output,
            tuple(self.progress),
            tuple(self.losses),
            before.metrics if before else {},
            keeps_start,
            plan.problems,
        )
        write_atomically(training_report.path_beside(self.output, ".split.csv"), split_csv(plan.sounds, plan.sides))
        training_report.write_training_report(result, spec)
        write_model(self.output, detector, spec)
        return result

    def _keeps_start(self, before: Measurement | None, after: Measurement | None) -> bool:
        """Return whether the weights of the initial model are written, and report why."""
        plan, start = self.plan, self.plan.start
        if start is None:
            return False
        for line in _side_by_side(before, after, plan):
            self.run_options.report(line)
        if not all(plan.is_known or ()):
            return False  # it does not have all classes
        reason = _not_better(before, after, plan)
        if not reason:
            return False
        if plan.options.keep_anyway:
            self.run_options.report(f"{reason}; the trained weights are written anyway (keep_anyway)")
            return False
        self.run_options.report(f"{reason}: the weights of {start.name} are kept (keep_anyway writes the trained ones)")
        return True


def _not_better(before: Measurement | None, after: Measurement | None, plan: TrainingPlan) -> str:
    """Return why the trained weights are not taken for better than the initial ones; empty where they are."""
    classes = plan.spec.classes
    old, new = (mean_average_precision(one, classes) if one else None for one in (before, after))
    if before is None or after is None or old is None or new is None:
        return "no call is held back, by which to tell whether the trained weights are better"
    if new <= old:
        return "the trained weights are not better on the held-back sound"
    probability = probability_of_gain(before, after, classes, plan.options.seed)
    if probability < _LEAST_PROBABILITY:
        return (
            f"the trained weights are better in {probability:.0%} of the resamples of the held-back sound, less than "
            f"{_LEAST_PROBABILITY:.0%}: that may be chance"
        )
    return ""


def _side_by_side(before: Measurement | None, after: Measurement | None, plan: TrainingPlan) -> Iterator[str]:
    """Return the metrics of the initial model and of the trained network, by class."""
    if before is None or after is None:
        return
    if plan.validation.description:
        yield f"held back: {plan.validation.description}"
    for name, is_known in zip(plan.spec.classes, plan.is_known or (), strict=False):
        if is_known:
            yield f"{name}, before: {before.metrics[name]}"
        yield f"{name}, after: {after.metrics[name]}"


def _stored_metrics(measured: Measurement, before: Measurement | None, after: Measurement | None) -> dict[str, Any]:
    """Return the metrics for the model file."""

    def classes(measurement: Measurement) -> dict[str, Any]:
        return {name: asdict(metrics) for name, metrics in measurement.metrics.items()}

    stored: dict[str, Any] = {"sound": measured.sounds.description, "classes": classes(measured)}
    if before is not None and after is not None:
        stored |= {"before training": classes(before), "after training": classes(after)}
    return {"held-back sound": stored}


def _fingerprint(plan: TrainingPlan, detector: Detector) -> str:
    """Return a hash of everything that the result depends on: sound, labels, split, recipe and initial weights."""
    digest = hashlib.sha256(json.dumps([plan.options.training_recipe(), plan.spec.classes], sort_keys=True).encode())
    for sounds in plan.sides:
        for clip in sounds.clips:
            digest.update(clip.samples.tobytes() + clip.targets.tobytes())
        for sound in sounds.annotated:
            digest.update(repr(sound.calls).encode() + sound.uncertain.tobytes() + sound.rejected.tobytes())
            digest.update(np.ascontiguousarray(sound.samples).tobytes())
        for background in sounds.backgrounds:
            digest.update(repr(background.weight).encode() + np.ascontiguousarray(background.samples).tobytes())
    for weights in detector.state_dict().values():
        digest.update(weights.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
