"""What is to be done, as the user said it, and what follows from it once the model has been looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from whalescan._version import __version__
from whalescan.core import ModelError, UsageError, WindowGrid
from whalescan.detections.detection_rule import DetectionRule
from whalescan.detector.batching import BATCH_SIZE
from whalescan.detector.model_spec import UPCALL, Model, find_model
from whalescan.engine.gpus import gpus_for, suited_batch_size
from whalescan.options import ScoreOptions, TableOptions, WorkOptions


@dataclass(frozen=True, slots=True)
class Job:
    """Recordings, a place for the results, and the options.

    Attributes:
        inputs: folders, files and patterns.
        output: folder for the results.
    """

    inputs: tuple[str, ...]
    output: Path
    scores: ScoreOptions = field(default_factory=ScoreOptions)
    tables: TableOptions = field(default_factory=TableOptions)
    work: WorkOptions = field(default_factory=WorkOptions)


@dataclass(frozen=True, slots=True)
class Method:
    """The model, its windows, and the rule that makes calls of its scores.

    Attributes:
        batch_size: windows scored at a time.
    """

    model: Model
    grid: WindowGrid
    rule: DetectionRule
    batch_size: int

    @property
    def detector(self) -> str:
        """What tables call the finder of their calls."""
        return f"whalescan {__version__} {self.model.name}"


def method(job: Job) -> Method:
    """Look at the model that a job asks for.

    Raises:
        UsageError, ModelError: where the options or the model cannot be used.
    """
    model = find_model(job.scores.model)
    if UPCALL not in model.spec.classes and not job.work.any_class:
        known = ", ".join(model.spec.classes)
        raise ModelError(f"{model.path}: knows {known}, not {UPCALL}; say --any-class if that is what you look for")
    if job.tables.threshold is None and len(set(model.spec.thresholds)) > 1:
        each = ", ".join(f"{name} {own:g}" for name, own in zip(model.spec.classes, model.spec.thresholds, strict=True))
        raise UsageError(f"{model.path}: has a threshold for each class ({each}); say one for all with --threshold")
    threshold = model.spec.thresholds[0] if job.tables.threshold is None else job.tables.threshold
    return Method(model, model.spec.grid(job.scores.hop_s), DetectionRule(threshold=threshold), batch_size(job.work))


def batch_size(work: WorkOptions) -> int:
    """Windows scored at a time: what the user says, or what suits the device, where that is on this machine."""
    if work.batch_size is not None:
        return work.batch_size
    return BATCH_SIZE if work.scheduler or work.jobqueue else suited_batch_size(gpus_for(work.device))
