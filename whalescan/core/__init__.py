"""The nouns and the errors. Every floor of the house speaks in these words."""

from whalescan.core.detection import Annotation, Detection, Outcome, Status, plain_text
from whalescan.core.errors import (
    ClusterError,
    DiskError,
    ModelError,
    OutputError,
    RecordingError,
    TableError,
    UsageError,
    WhalescanError,
)
from whalescan.core.position import Position
from whalescan.core.recording import BoolArray, FloatArray, IntArray, PcmLayout, Recording, WindowScores
from whalescan.core.time import Gap, GapKind, Loss, Piece, WindowGrid, from_ns, to_ns

__all__ = [
    "Annotation",
    "BoolArray",
    "ClusterError",
    "Detection",
    "DiskError",
    "FloatArray",
    "Gap",
    "GapKind",
    "IntArray",
    "Loss",
    "ModelError",
    "Outcome",
    "OutputError",
    "PcmLayout",
    "Piece",
    "Position",
    "Recording",
    "RecordingError",
    "Status",
    "TableError",
    "UsageError",
    "WhalescanError",
    "WindowGrid",
    "WindowScores",
    "from_ns",
    "plain_text",
    "to_ns",
]
