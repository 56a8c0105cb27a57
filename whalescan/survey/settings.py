"""Recordings and options of a run, and the model, windows and rules that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from whalescan._version import __version__
from whalescan.audio.start_times import ClockOptions, parse_timezone
from whalescan.core import ModelError, Position, UsageError, WindowGrid
from whalescan.detections.detection_rule import DetectionRule
from whalescan.detections.presence import PresenceRule
from whalescan.detector.batching import BATCH_SIZE
from whalescan.detector.model_spec import UPCALL, Model, Validation, find_model
from whalescan.engine.local_cluster import find_gpus, suggest_batch_size
from whalescan.options import ScoreOptions, TableOptions, WorkOptions
from whalescan.survey.operating_point import ThresholdOrigin, threshold_for_rate
from whalescan.tables.formats import check_formats


@dataclass(frozen=True, slots=True)
class SurveyJob:
    """Recordings, the folder for the results, and the options.

    Attributes:
        inputs: folders, files and patterns.
        output: folder for the results.
    """

    inputs: tuple[str, ...]
    output: Path
    scores: ScoreOptions = field(default_factory=ScoreOptions)
    tables: TableOptions = field(default_factory=TableOptions)
    work: WorkOptions = field(default_factory=WorkOptions)

    @property
    def clock_options(self) -> ClockOptions:
        """Options with which start times are read."""
        return ClockOptions(self.tables.timezone, self.tables.time_format)


@dataclass(frozen=True, slots=True)
class ScoringMethod:
    """The model, its windows, and the rule by which scores become detections.

    Attributes:
        threshold_origin: what the rule's threshold was chosen by.
        batch_size: windows scored at a time.
    """

    model: Model
    grid: WindowGrid
    rule: DetectionRule
    threshold_origin: ThresholdOrigin
    batch_size: int

    @property
    def detector(self) -> str:
        """Name and version of the detector, as tables state it."""
        return f"whalescan {__version__} {self.model.name}"


def scoring_method(job: SurveyJob) -> ScoringMethod:
    """Read the description of the model of a job, and return the method that follows from it and the options.

    Raises:
        UsageError, ModelError: when the options or the model cannot be used.
    """
    model = find_model(job.scores.model)
    if UPCALL not in model.spec.classes and not job.work.any_class:
        classes = ", ".join(model.spec.classes)
        raise ModelError(f"{model.path}: detects {classes}, not {UPCALL}; set `any_class` to use it all the same")
    threshold, origin = choose_threshold(model, job.tables)
    return ScoringMethod(model, model.spec.grid(job.scores.hop_s), DetectionRule(threshold), origin, batch_size(job.work))


def choose_threshold(model: Model, options: TableOptions) -> tuple[float, ThresholdOrigin]:
    """Return the threshold of a run: the user's, that for the user's number of false positives, or the model's own.

    Raises:
        UsageError: when the model has none, or a different one for each class.
    """
    spec = model.spec
    if options.threshold is not None:
        return options.threshold, ThresholdOrigin.THRESHOLD
    if options.false_positives_per_hour is not None:
        threshold = threshold_for_rate(spec.validation, options.false_positives_per_hour, model.name)
        return threshold, ThresholdOrigin.FALSE_POSITIVES
    if len(set(spec.thresholds)) > 1:
        each = ", ".join(f"{name} {own:g}" for name, own in zip(spec.classes, spec.thresholds, strict=True))
        raise UsageError(f"{model.path}: has a threshold for each class ({each}); set one for all with `threshold`")
    return spec.thresholds[0], ThresholdOrigin.MODEL


def batch_size(work: WorkOptions) -> int:
    """Return the number of windows scored at a time: the user's, or one that suits the device if that is on this machine."""
    if work.batch_size is not None:
        return work.batch_size
    return BATCH_SIZE if work.scheduler or work.jobqueue or work.client else suggest_batch_size(find_gpus(work.device))


@dataclass(frozen=True, slots=True)
class OutputSettings:
    """Settings with which tables are made of stored scores.

    Attributes:
        rule: how log-odds become detections.
        threshold_origin: what the rule's threshold was chosen by.
        detector: name and version of the detector; never empty.
        classes: of the model.
        validation: operating points of the model's classes; empty where they were not measured.
        rate_hz: sampling rate at which the model scores.
        band_hz: lowest and highest frequency that the model uses.
        options: the user's options for tables.
    """

    rule: DetectionRule
    threshold_origin: ThresholdOrigin
    detector: str
    classes: tuple[str, ...]
    validation: tuple[Validation, ...]
    rate_hz: int
    band_hz: tuple[float, float]
    options: TableOptions

    @staticmethod
    def of(method: ScoringMethod, options: TableOptions) -> OutputSettings:
        """Return the settings of a run before it starts."""
        spec = method.model.spec
        return OutputSettings(
            rule=method.rule,
            threshold_origin=method.threshold_origin,
            detector=method.detector,
            classes=spec.classes,
            validation=spec.validation,
            rate_hz=method.grid.rate_hz,
            band_hz=spec.front_end.band_hz,
            options=options,
        )

    def check(self) -> None:
        """Check that every table can be made, before hours of work.

        Raises:
            UsageError: when an option is invalid.
        """
        check_formats(self.options.formats)
        if self.options.summary_timezone:
            parse_timezone(self.options.summary_timezone, "summary_timezone")
        if self.options.position:
            Position.parse(self.options.position)
        _ = self.presence_rule

    @property
    def presence_rule(self) -> PresenceRule:
        """Rule for hours and days that are ``DETECTED``."""
        return PresenceRule(self.options.min_validated)

    def is_counted(self, label: str) -> bool:
        """Return whether detections of a class count in hours and days: upcalls, if the model knows them; else all classes.

        Upper and lower case are not distinguished, because reviewers write labels as well.
        """
        counted = (UPCALL,) if UPCALL in self.classes else self.classes
        return label.casefold() in {name.casefold() for name in counted}
