"""Transfer learning: a network that knows pictures, or calls already, learns to hear from labelled sound."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from tqdm import tqdm

from whalescan._version import __version__
from whalescan.core import FloatArray, ModelError, UsageError
from whalescan.detector.modelfile import load_detector, write_model
from whalescan.detector.network import Detector, start_from_imagenet
from whalescan.detector.scoring import choose_device
from whalescan.detector.spec import FrontEndOptions, Model, ModelSpec, find_model
from whalescan.learn import records
from whalescan.learn.checkpoint import checkpoint_path, read_checkpoint, write_checkpoint
from whalescan.learn.learner import Learner, Lessons, traces
from whalescan.learn.options import FINE_TUNING, TrainData, TrainOptions, TrainWork
from whalescan.learn.records import Epoch, Trained
from whalescan.learn.sources import Gathered, gather, read_without_calls
from whalescan.learn.split import Split, split, split_csv
from whalescan.learn.validation import Validation, logits_of, validate
from whalescan.tables.files import check_writable, write_whole


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
    check_writable(output.parent)
    device = choose_device(work.device)
    start = find_model(data.start_from) if data.start_from else None
    spec = _spec(start, options)
    gathered, sea = _read(data, spec.front_end, work)
    divided = split(gathered.examples, options.validation_share, data.validation)
    write_whole(records.beside(output, ".split.csv"), split_csv(gathered.examples, divided, gathered.classes))
    torch.manual_seed(options.seed)
    detector = _detector(spec, start, gathered.classes, data, options, work)
    course = _Course(gathered, divided, sea, detector, options, device, output, work)
    course.resume_or_start()
    taught = replace(
        spec,
        classes=gathered.classes,
        thresholds=spec.thresholds[:1] * len(gathered.classes),
        calibration=spec.calibration if spec.classes == gathered.classes else ((1.0, 0.0),) * len(gathered.classes),
        training=records.provenance(data, options, gathered, len(course.lessons.windows), len(sea), start),
    )
    trained = course.run(taught)
    checkpoint_path(output).unlink(missing_ok=True)
    return trained


def _spec(start: Model | None, options: TrainOptions) -> ModelSpec:
    """Front end and threshold of the model to be: those of the one gone on from, unless the recipe says otherwise."""
    spec = start.spec if start else ModelSpec()
    if start and options.features and options.features != spec.front_end.features:
        raise UsageError(f"{start.name} sees {spec.front_end.features}, not {options.features}; leave --features out")
    front_end = replace(spec.front_end, features=options.features or spec.front_end.features)
    threshold = spec.thresholds[0] if options.threshold is None else options.threshold
    return replace(spec, front_end=front_end, thresholds=(threshold,), metrics={}, whalescan_version=__version__)


def _detector(
    spec: ModelSpec, start: Model | None, classes: tuple[str, ...], data: TrainData, options: TrainOptions, work: TrainWork
) -> Detector:
    """The network with the weights that it starts from; a head that knew other classes starts anew."""
    detector = Detector(spec.architecture, spec.front_end, len(classes))
    if start is not None:
        known = start.spec.classes
        anew = "" if known == classes else f", which knows {', '.join(known)}; the head for {', '.join(classes)} is new"
        work.say(f"starting from {start.name}{anew}")
        weights = load_detector(start).network.state_dict()
        kept = {name: tensor for name, tensor in weights.items() if known == classes or not name.startswith("fc.")}
        detector.network.load_state_dict(kept, strict=known == classes)
    elif not options.random_start:
        start_from_imagenet(detector.network, _imagenet_weights(data.imagenet, spec.architecture))
    return detector


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
        self.fingerprint = _fingerprint(self.lessons, detector, options)

    def resume_or_start(self) -> None:
        """Take up what a training of the same data and recipe left unfinished."""
        left = None if self.work.restart else read_checkpoint(checkpoint_path(self.output), self.fingerprint)
        if left is not None:
            state, targets, story = left
            self.learner.restore(state)
            self.lessons = replace(self.lessons, targets=targets.numpy())
            self.epochs = [Epoch.from_dict(fields) for fields in story]
            self.work.say(f"{self.output}: goes on after epoch {len(self.epochs)} of an unfinished training")

    def run(self, spec: ModelSpec) -> Trained:
        """The epochs that are left."""
        while len(self.epochs) < self.options.epochs and not self._enough():
            number = len(self.epochs) + 1
            validation = self._epoch(number)
            self.work.say(str(self.epochs[-1]))
            if records.best(self.epochs).number == number:
                calibration = validation.calibration if validation else spec.calibration
                metrics = {"held-out examples": asdict(validation) | {"epoch": number}} if validation else {}
                write_model(self.output, self.learner.average, replace(spec, calibration=calibration, metrics=metrics))
            self._soften(number)
            story = [asdict(epoch) for epoch in self.epochs]
            targets = torch.from_numpy(self.lessons.targets)
            write_checkpoint(checkpoint_path(self.output), self.fingerprint, self.learner.state(), targets, story)
        trained = Trained(self.output, self.gathered, tuple(self.epochs), len(self.lessons.windows), len(self.held_out))
        records.write(trained, spec)
        return trained

    def _enough(self) -> bool:
        patience = self.options.patience
        return bool(patience and self.epochs) and len(self.epochs) - records.best(self.epochs).number >= patience

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


def _read(data: TrainData, front_end: FrontEndOptions, work: TrainWork) -> tuple[Gathered, FloatArray]:
    """Examples and windows without calls; everything wrong with them is said at once."""
    rate_hz, window_samples = front_end.rate_hz, front_end.window_samples
    gathered = gather(data.roots, data.selection, rate_hz, window_samples, work.quiet)
    problems, sea = list(gathered.problems), torch.zeros(0, window_samples).numpy()
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


def _imagenet_weights(path: Path | None, architecture: str) -> Mapping[str, Tensor]:
    if path is None:
        # only asked for where no file is given: timm fetches its weights from the network
        network = timm.create_model(architecture, pretrained=True)
        return dict(network.state_dict())
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: no ImageNet weights can be read there ({error})") from error


def _fingerprint(lessons: Lessons, detector: Detector, options: TrainOptions) -> str:
    """Of all that the course depends on: sound, labels, recipe, and the weights that it starts from."""
    digest = hashlib.sha256(json.dumps(asdict(options), sort_keys=True).encode())
    for array in (lessons.windows, lessons.targets, lessons.sea):
        digest.update(array.tobytes())
    for weights in detector.network.state_dict().values():
        digest.update(weights.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
