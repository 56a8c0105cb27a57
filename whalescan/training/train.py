"""Transfer learning: a network that knows pictures, or calls already, learns to hear from labelled sound."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from whalescan.core import FloatArray, UsageError
from whalescan.core.files import check_writable, write_whole
from whalescan.detector.device import choose_device
from whalescan.detector.model_file import write_model
from whalescan.detector.model_spec import FrontEndOptions, ModelSpec, find_model
from whalescan.detector.network import Detector
from whalescan.training import initial_weights, training_report
from whalescan.training.checkpoint import checkpoint_path, read_checkpoint, write_checkpoint
from whalescan.training.datasets import Gathered, gather, read_without_calls
from whalescan.training.examples import Examples
from whalescan.training.options import FINE_TUNING, TrainData, TrainOptions, TrainWork
from whalescan.training.split import Split, split, split_csv
from whalescan.training.trainer import Learner, Lessons, traces
from whalescan.training.training_report import Epoch, Trained
from whalescan.training.validation_metrics import Validation, logits_of, validate


def train(data: TrainData, output: Path, options: TrainOptions | None = None, work: TrainWork | None = None) -> Trained:
    """Train, and keep the best epoch as a model file, with its curves, metrics and split beside it.

    Args:
        data: what is learnt from.
        output: the ``.safetensors`` file to write. Beside it come ``.curves.png``, ``.metrics.json`` and ``.split.csv``; and
            until the end a file with which a training that was killed goes on when it is started again.
        options: the recipe; by default that for a model from ImageNet, or, for one from another model, `FINE_TUNING`.
        work: how the work is done.

    Raises:
        UsageError: names everything that is wrong with the data, where they cannot be learnt from.
        ModelError: when the weights to start from cannot be used.
    """
    options = options or (FINE_TUNING if data.start_from else TrainOptions())
    work = work or TrainWork()
    _check_output(output)
    device = choose_device(work.device)
    start = find_model(data.start_from) if data.start_from else None
    weights = initial_weights.weights(start, data.imagenet, options)
    front_end = initial_weights.front_end(start, options)
    gathered, sea = _read(data, front_end, work)
    divided = split(gathered.examples, options.validation_share, data.validation)
    _check_split(gathered, divided, work)
    torch.manual_seed(options.seed)
    spec = initial_weights.spec(start, front_end, gathered.classes, options)
    detector = initial_weights.detector(spec, start, weights)
    course = _Course(gathered, divided, sea, detector, options, device, output, work)
    course.resume_or_start()
    if start is not None and not course.epochs:
        work.say(initial_weights.how_it_starts(start, gathered.classes))
    training = training_report.provenance(data, options, gathered, len(course.lessons.windows), len(sea), start)
    trained = course.run(
        replace(spec, training=training), keeps_scores=start is not None and start.spec.classes == spec.classes
    )
    checkpoint_path(output).unlink(missing_ok=True)
    return trained


def _check_output(output: Path) -> None:
    if output.suffix != ".safetensors" or output.is_dir():
        raise UsageError(f"{output}: a model is a file whose name ends in .safetensors; give such a name")
    check_writable(output.parent)


def _check_split(gathered: Gathered, divided: Split, work: TrainWork) -> None:
    """Say what is on which side; a side to learn from that lacks a class stops it."""
    targets = gathered.examples.targets[divided.learning]
    absent = [name for name, column in zip(gathered.classes, targets.T, strict=True) if not column.any()]
    if absent or targets.any(axis=1).all():
        lacking = ", ".join(absent) or "windows without any call"
        raise UsageError(f"nothing is left to learn {lacking} from, as all of it is held out; hold out less (--validation)")
    n_held_out = int(divided.validating.sum())
    why = (
        ""
        if n_held_out
        else "; nothing can be validated, unless calls of another day, or --group-by recording, can be spared"
    )
    work.say(f"{int(divided.learning.sum())} examples to learn from, {n_held_out} held out{why}")


class _Course:
    """A training from its first epoch, or the one after the last that was finished, to its end."""

    def __init__(
        self,
        gathered: Gathered,
        divided: Split,
        sea: FloatArray,
        detector: Detector,
        options: TrainOptions,
        device: torch.device,
        output: Path,
        work: TrainWork,
    ) -> None:
        learning, self.held_out = (gathered.examples.where(side) for side in (divided.learning, divided.validating))
        self.gathered, self.options, self.device, self.output, self.work = gathered, options, device, output, work
        self.labels = torch.from_numpy(learning.targets)
        boxes = traces(detector, learning.windows)
        self.lessons = Lessons(learning.windows, learning.targets, boxes, sea)
        self.learner = Learner(detector, options, len(learning), device)
        self.epochs: list[Epoch] = []
        self.divided = divided
        self.fingerprint = _fingerprint(self.lessons, self.held_out, gathered.classes, detector, options)

    def resume_or_start(self) -> None:
        """Take up what a training of the same data and recipe left unfinished."""
        path = checkpoint_path(self.output)
        left = None if self.work.restart else read_checkpoint(path, self.fingerprint)
        if left is None and path.exists():
            self.work.say(f"{path}: of other data or another recipe, or not wanted; training starts anew")
        if left is not None:
            state, targets, story = left
            self.learner.restore(state)
            self.lessons = replace(self.lessons, targets=targets.numpy())
            self._mine()
            self.epochs = [Epoch.from_dict(fields) for fields in story]
            self.work.say(f"{self.output}: goes on after epoch {len(self.epochs)} of an unfinished training")

    def run(self, spec: ModelSpec, keeps_scores: bool) -> Trained:
        """The epochs that are left.

        Args:
            spec: of the model to be.
            keeps_scores: the calibration of ``spec`` stays: it was made for the open sea, which a few examples are not.
        """
        while len(self.epochs) < self.options.epochs and not self._enough():
            number = len(self.epochs) + 1
            validation = self._epoch(number)
            self.work.say(str(self.epochs[-1]))
            if training_report.best(self.epochs).number == number:
                calibration = validation.calibration if validation and not keeps_scores else spec.calibration
                metrics = {"held-out examples": asdict(validation) | {"epoch": number}} if validation else {}
                write_model(self.output, self.learner.average, replace(spec, calibration=calibration, metrics=metrics))
                sides = split_csv(self.gathered.examples, self.divided, self.gathered.classes)
                write_whole(training_report.beside(self.output, ".split.csv"), sides)
            self._soften(number)
            self._mine()
            story = [asdict(epoch) for epoch in self.epochs]
            targets = torch.from_numpy(self.lessons.targets)
            write_checkpoint(checkpoint_path(self.output), self.fingerprint, self.learner.state(), targets, story)
        trained = Trained(self.output, self.gathered, tuple(self.epochs), len(self.lessons.windows), len(self.held_out))
        training_report.write(trained, spec)
        return trained

    def _enough(self) -> bool:
        patience = self.options.patience
        return bool(patience and self.epochs) and len(self.epochs) - training_report.best(self.epochs).number >= patience

    def _epoch(self, number: int) -> Validation | None:
        steps = self.learner.learn(self.lessons, frozen=number <= self.options.frozen_epochs)
        title = f"epoch {number}/{self.options.epochs}"
        losses = list(tqdm(steps, title, self.learner.n_batches, unit="batch", disable=self.work.quiet))
        validation = None
        if len(self.held_out):
            logits = logits_of(self.learner.average, self.held_out.windows, self.device)
            validation = validate(self.held_out.targets, logits, self.gathered.classes)
        self.epochs.append(Epoch(number, sum(losses) / len(losses), validation))
        return validation

    def _soften(self, number: int) -> None:
        """Let the average say what it thinks of the labels that it learns from."""
        share = self.options.soften
        if share and self.options.soften_after_epoch <= number < self.options.epochs:
            thought = torch.from_numpy(logits_of(self.learner.average, self.lessons.windows, self.device)).sigmoid()
            self.lessons = replace(self.lessons, targets=((1 - share) * self.labels + share * thought).numpy())

    def _mine(self) -> None:
        """Let the average say which windows without calls it takes for calls most."""
        if self.options.hard_share and len(self.lessons.sea):
            likeness = logits_of(self.learner.average, self.lessons.sea, self.device).max(axis=1)
            hardest = np.argsort(-likeness, kind="stable")[: -(-len(likeness) // 10)]
            self.lessons = replace(self.lessons, hard=hardest)


def _read(data: TrainData, front_end: FrontEndOptions, work: TrainWork) -> tuple[Gathered, FloatArray]:
    """Examples and windows without calls; everything wrong with them is said at once."""
    rate_hz, window_samples = front_end.rate_hz, front_end.window_samples
    gathered = gather(data.roots, data.selection, rate_hz, window_samples, work.quiet)
    problems, sea = list(gathered.problems), np.zeros((0, window_samples), np.float32)
    if data.without_calls:
        without = read_without_calls(data.without_calls, rate_hz, window_samples, hop_samples=rate_hz // 2)
        problems += without.problems
        sea = without.windows
    for problem in problems:
        work.say(problem)
    counts = gathered.examples.targets.sum(axis=0)
    classes = ", ".join(f"{int(n)} {name}" for name, n in zip(gathered.classes, counts, strict=True))
    work.say(f"{len(gathered.examples)} examples ({classes}), {len(sea)} windows of recordings without calls")
    return gathered, sea


def _fingerprint(
    lessons: Lessons, held_out: Examples, classes: tuple[str, ...], detector: Detector, options: TrainOptions
) -> str:
    """Of all that the course depends on: sound, labels, split, recipe, and the weights that it starts from."""
    digest = hashlib.sha256(json.dumps([asdict(options), classes], sort_keys=True).encode())
    for array in (lessons.windows, lessons.targets, lessons.sea, held_out.windows, held_out.targets):
        digest.update(np.ascontiguousarray(array).tobytes())
    for weights in detector.network.state_dict().values():
        digest.update(weights.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
