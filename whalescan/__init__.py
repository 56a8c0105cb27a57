"""whalescan: right whale calls in hydrophone recordings, from sound files to Raven tables and survey summaries.

    import whalescan

    survey = whalescan.scan("recordings/", "out/")
    for detection in survey.detections:
        print(detection.recording, detection.begin_s, detection.score)

    model = whalescan.load_model()
    track = model.score(samples, rate_hz)  # from a numpy array

    run = whalescan.open_run("out/")
    run.detections.to_frame()  # a pandas frame

Importing this package is quick: torch, Dask and pandas are imported when they are needed. Messages go to the log
``whalescan``.
"""

import importlib
import logging
from typing import TYPE_CHECKING, Any

from whalescan._version import __version__

if TYPE_CHECKING:
    from whalescan.api import check, load_model, open_run, scan
    from whalescan.audio.start_times import ClockOptions
    from whalescan.core import (
        Annotation,
        ClockSegment,
        ClusterError,
        ColumnGrid,
        ColumnScores,
        Detection,
        DiskError,
        Gap,
        GapKind,
        MissingSpan,
        ModelError,
        Outcome,
        OutputError,
        PcmLayout,
        Position,
        Recording,
        RecordingError,
        RecordingResult,
        ScoreTrack,
        Status,
        TableError,
        UsageError,
        WhalescanError,
        WindowGrid,
        WindowScores,
    )
    from whalescan.detections.detection_rule import DetectionRule
    from whalescan.detections.presence import Presence, PresenceBin, PresenceRule
    from whalescan.detector.model_spec import FrontEndOptions, Model, ModelSpec, NetworkOptions, Validation, ValidationPoint
    from whalescan.evaluation.calibration import CalibrationFit
    from whalescan.evaluation.clip_evaluation import ClipEvaluation
    from whalescan.evaluation.comparison import (
        Evaluation,
        EvaluationOptions,
        MatchEvent,
        RecordingEvaluation,
        ThresholdRecommendation,
    )
    from whalescan.evaluation.evaluate import evaluate, evaluate_clips
    from whalescan.evaluation.matching import MatchOutcome
    from whalescan.evaluation.metrics import (
        BootstrapOptions,
        ConfidenceInterval,
        OperatingPoint,
        Reliability,
        ScoreBin,
        ThresholdCurve,
    )
    from whalescan.options import TableOptions
    from whalescan.review.raven.import_review import ImportCounts, ReviewImport, import_review
    from whalescan.survey.check import CheckedFile, CheckReport
    from whalescan.survey.finished_run import Run
    from whalescan.survey.operating_point import ThresholdOrigin
    from whalescan.survey.outputs import Survey
    from whalescan.survey.settings import OutputSettings
    from whalescan.survey.survey_effort import SurveyEffort
    from whalescan.tables.frames import BinTable, DetectionTable, FileTable
    from whalescan.tables.selections import read_selections
    from whalescan.training.measurement import ClassMetrics
    from whalescan.training.train import train
    from whalescan.training.training_report import TrainingProgress, TrainingResult

__all__ = [
    "Annotation",
    "BinTable",
    "BootstrapOptions",
    "CalibrationFit",
    "CheckReport",
    "CheckedFile",
    "ClassMetrics",
    "ClipEvaluation",
    "ClockOptions",
    "ClockSegment",
    "ClusterError",
    "ColumnGrid",
    "ColumnScores",
    "ConfidenceInterval",
    "Detection",
    "DetectionRule",
    "DetectionTable",
    "DiskError",
    "Evaluation",
    "EvaluationOptions",
    "FileTable",
    "FrontEndOptions",
    "Gap",
    "GapKind",
    "ImportCounts",
    "MatchEvent",
    "MatchOutcome",
    "MissingSpan",
    "Model",
    "ModelError",
    "ModelSpec",
    "NetworkOptions",
    "OperatingPoint",
    "Outcome",
    "OutputError",
    "OutputSettings",
    "PcmLayout",
    "Position",
    "Presence",
    "PresenceBin",
    "PresenceRule",
    "Recording",
    "RecordingError",
    "RecordingEvaluation",
    "RecordingResult",
    "Reliability",
    "ReviewImport",
    "Run",
    "ScoreBin",
    "ScoreTrack",
    "Status",
    "Survey",
    "SurveyEffort",
    "TableError",
    "TableOptions",
    "ThresholdCurve",
    "ThresholdOrigin",
    "ThresholdRecommendation",
    "TrainingProgress",
    "TrainingResult",
    "UsageError",
    "Validation",
    "ValidationPoint",
    "WhalescanError",
    "WindowGrid",
    "WindowScores",
    "__version__",
    "check",
    "evaluate",
    "evaluate_clips",
    "import_review",
    "load_model",
    "open_run",
    "read_selections",
    "scan",
    "train",
]

_NAMES = {
    "whalescan.api": (
        "check",
        "load_model",
        "open_run",
        "scan",
    ),
    "whalescan.audio.start_times": ("ClockOptions",),
    "whalescan.core": (
        "Annotation",
        "ClockSegment",
        "ClusterError",
        "ColumnGrid",
        "ColumnScores",
        "Detection",
        "DiskError",
        "Gap",
        "GapKind",
        "MissingSpan",
        "ModelError",
        "Outcome",
        "OutputError",
        "PcmLayout",
        "Position",
        "Recording",
        "RecordingError",
        "RecordingResult",
        "ScoreTrack",
        "Status",
        "TableError",
        "UsageError",
        "WhalescanError",
        "WindowGrid",
        "WindowScores",
    ),
    "whalescan.detections.detection_rule": ("DetectionRule",),
    "whalescan.detections.presence": (
        "Presence",
        "PresenceBin",
        "PresenceRule",
    ),
    "whalescan.detector.model_spec": (
        "FrontEndOptions",
        "Model",
        "ModelSpec",
        "NetworkOptions",
        "Validation",
        "ValidationPoint",
    ),
    "whalescan.evaluation.calibration": ("CalibrationFit",),
    "whalescan.evaluation.clip_evaluation": ("ClipEvaluation",),
    "whalescan.evaluation.comparison": (
        "Evaluation",
        "EvaluationOptions",
        "MatchEvent",
        "RecordingEvaluation",
        "ThresholdRecommendation",
    ),
    "whalescan.evaluation.evaluate": (
        "evaluate",
        "evaluate_clips",
    ),
    "whalescan.evaluation.matching": ("MatchOutcome",),
    "whalescan.evaluation.metrics": (
        "BootstrapOptions",
        "ConfidenceInterval",
        "OperatingPoint",
        "Reliability",
        "ScoreBin",
        "ThresholdCurve",
    ),
    "whalescan.options": ("TableOptions",),
    "whalescan.review.raven.import_review": (
        "ImportCounts",
        "ReviewImport",
        "import_review",
    ),
    "whalescan.survey.check": (
        "CheckReport",
        "CheckedFile",
    ),
    "whalescan.survey.finished_run": ("Run",),
    "whalescan.survey.operating_point": ("ThresholdOrigin",),
    "whalescan.survey.outputs": ("Survey",),
    "whalescan.survey.settings": ("OutputSettings",),
    "whalescan.survey.survey_effort": ("SurveyEffort",),
    "whalescan.tables.frames": (
        "BinTable",
        "DetectionTable",
        "FileTable",
    ),
    "whalescan.tables.selections": ("read_selections",),
    "whalescan.training.measurement": ("ClassMetrics",),
    "whalescan.training.train": ("train",),
    "whalescan.training.training_report": (
        "TrainingProgress",
        "TrainingResult",
    ),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}

logging.getLogger("whalescan").addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """Import a public name when it is used first."""
    if name not in _MODULES:
        raise AttributeError(f"module 'whalescan' has no attribute {name!r}")
    found = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the public names, also those that have not been imported yet."""
    return sorted({*globals(), *__all__})
