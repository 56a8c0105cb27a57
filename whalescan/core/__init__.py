"""The types that all other packages share, and the errors."""

from whalescan.core.detection import Annotation, Detection, Outcome, Status
from whalescan.core.errors import (
    ClusterError,
    DiskError,
    ModelError,
    OutputError,
    RecordingError,
    TableError,
    UsageError,
    WhalescanError,
    invalid,
)
from whalescan.core.recording import BoolArray, FloatArray, IntArray, PcmLayout, Position, Recording, WindowScores
from whalescan.core.result import PENDING, RecordingResult
from whalescan.core.score_track import ScoreTrack
from whalescan.core.text import plain_text
from whalescan.core.time import ClockSegment, Gap, GapKind, MissingSpan, WindowGrid, from_ns, to_ns

__all__ = [
    "PENDING",
    "Annotation",
    "BoolArray",
    "ClockSegment",
    "ClusterError",
    "Detection",
    "DiskError",
    "FloatArray",
    "Gap",
    "GapKind",
    "IntArray",
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
    "from_ns",
    "invalid",
    "plain_text",
    "to_ns",
]
