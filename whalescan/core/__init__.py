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
from whalescan.core.recording import BoolArray, FloatArray, IntArray, PcmLayout, Position, Recording
from whalescan.core.result import PENDING, RecordingResult
from whalescan.core.score_track import LOG_ODDS_STEP, MIN_BOX_LOG_ODDS, ColumnScores, ScoreTrack, WindowScores
from whalescan.core.text import plain_text
from whalescan.core.time import ClockSegment, ColumnGrid, Gap, GapKind, MissingSpan, WindowGrid, from_ns, to_ns

__all__ = [
    "LOG_ODDS_STEP",
    "MIN_BOX_LOG_ODDS",
    "PENDING",
    "Annotation",
    "BoolArray",
    "ClockSegment",
    "ClusterError",
    "ColumnGrid",
    "ColumnScores",
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
