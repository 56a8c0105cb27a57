"""whalescan: right whale calls in hydrophone recordings, from sound files to Raven tables and survey summaries.

    import whalescan

    survey = whalescan.scan("recordings/", "out/")
    for call in survey.detections:
        print(call.recording, call.begin_s, call.score)

Importing this package does not import torch.
"""

from whalescan._version import __version__
from whalescan.api import load_model, scan
from whalescan.core import (
    Annotation,
    ClusterError,
    Detection,
    ModelError,
    Outcome,
    OutputError,
    Recording,
    RecordingError,
    Status,
    TableError,
    UsageError,
    WhalescanError,
    WindowGrid,
)
from whalescan.detector.model_spec import Model, ModelSpec
from whalescan.survey.outputs import Survey
from whalescan.tables.selections import read_selections

__all__ = [
    "Annotation",
    "ClusterError",
    "Detection",
    "Model",
    "ModelError",
    "ModelSpec",
    "Outcome",
    "OutputError",
    "Recording",
    "RecordingError",
    "Status",
    "Survey",
    "TableError",
    "UsageError",
    "WhalescanError",
    "WindowGrid",
    "__version__",
    "load_model",
    "read_selections",
    "scan",
]
