"""The nouns and the errors. Every floor of the house speaks in these words.

Time is an integer sample index at the model's rate until it is printed; `WindowGrid` is the only place where an index
becomes seconds.

Errors::

    WhalescanError
     +- UsageError       options that cannot be, inputs that are not there          exit status 2
     +- RecordingError   a recording that cannot be read, or only in part           recorded, the run goes on
     +- ModelError       a model file that is none, is damaged, or does not fit     exit status 2
     +- TableError       a table that is not what it claims to be                   exit status 2
     +- OutputError      results that cannot be written                             exit status 1
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


class WhalescanError(Exception):
    """Base of all errors of this package. The text names the file, the place in it, and the remedy."""


class UsageError(WhalescanError):
    """Options or inputs with which nothing can be started."""


class RecordingError(WhalescanError):
    """A recording that cannot be read."""


class ModelError(WhalescanError):
    """A model file that is none, is damaged, or does not fit the task."""


class TableError(WhalescanError):
    """A table that is not what it claims to be."""


class OutputError(WhalescanError):
    """Results that cannot be written."""


_NOT_PLAIN = str.maketrans({"\t": " ", "\n": " ", "\r": " ", '"': "'"})


def plain_text(text: str) -> str:
    """Text without what ends a cell or a row in a tab-separated table, which knows no quoting."""
    return text.translate(_NOT_PLAIN)


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """Windows of equal length at equal distances, counted from a recording's first sample.

    Attributes:
        rate_hz: samples a second, of the model and not of the recording.
        window_samples: length of a window.
        hop_samples: distance between the beginnings of neighbouring windows.
    """

    rate_hz: int
    window_samples: int
    hop_samples: int

    def __post_init__(self) -> None:
        if not 0 < self.hop_samples <= self.window_samples:
            raise UsageError(
                f"a hop of {self.hop_samples / self.rate_hz:g} s does not fit windows of "
                f"{self.window_samples / self.rate_hz:g} s; choose one above 0 and at most that long"
            )

    def n_windows(self, n_samples: int) -> int:
        """Windows needed so that each of ``n_samples`` lies in at least one; the last may reach past the end."""
        if n_samples <= 0:
            return 0
        return 1 + max(0, -(-(n_samples - self.window_samples) // self.hop_samples))

    def begin_sample(self, window: int) -> int:
        """First sample of a window."""
        return window * self.hop_samples

    def seconds(self, sample: float) -> float:
        """Seconds from the recording's first sample."""
        return sample / self.rate_hz


@dataclass(frozen=True, slots=True)
class PcmLayout:
    """Where plain samples lie in a file whose header does not say it rightly.

    Attributes:
        offset_bytes: position of the first sample.
        subtype, endian: as soundfile names them, e.g. ``PCM_16`` and ``LITTLE``.
    """

    offset_bytes: int
    subtype: str
    endian: str


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NS = 10**9
_ROUNDING = 1e-4
"""Part of a sample by which seconds may fall short of the sample that they mean."""


def to_ns(moment: datetime) -> int:
    """An aware moment as nanoseconds since 1970, UTC: what moments are counted and compared in."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def from_ns(moment_ns: int) -> datetime:
    """Nanoseconds since 1970 as an aware moment, to the microsecond below."""
    return _EPOCH + timedelta(microseconds=moment_ns // 1000)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a recording from which on the clock runs with the samples.

    Attributes:
        first_frame: where it begins, in samples of the recording from its first.
        start_utc: when that sample was recorded (aware, UTC).
    """

    first_frame: int
    start_utc: datetime


@dataclass(frozen=True, slots=True)
class Recording:
    """A sound file and its place in time.

    Attributes:
        name: path below the folder that was given, with ``/``, without suffix; unique within a run.
        path: where it is.
        relative: path below the folder that was given, with ``/`` and with suffix.
        rate_hz: sampling rate of the file.
        n_frames: samples per channel that the file holds, whatever its header says.
        channels: number of channels.
        size_bytes: length of the file.
        start_utc: when its first sample was recorded (aware, UTC), or None where that is not known.
        time_source: how ``start_utc`` is known, or why not; `sound.clocks` lists what it may be.
        pieces: where the clock jumps within the file, as in an XWAV of a duty cycle; the first begins with the recording.
            Empty where the clock runs through.
        start_local: what the clock in the file's name shows, without a zone; None where the name shows none.
        recorder: the name before its time, which tells the files of one recorder from another's.
        clock_problem: what speaks against the clock, and what helps; empty where nothing does.
        encoding: container and samples, such as ``WAV PCM_16``.
        identity: changes when the file's content does: a hash of its ends, its length and the time of its last change.
        problem: what is wrong with the file although it can be read; empty where nothing is.
        layout: how to read past a header that is wrong; None where the header can be trusted.
    """

    name: str
    path: Path
    relative: str
    rate_hz: int
    n_frames: int
    channels: int
    size_bytes: int
    start_utc: datetime | None = None
    time_source: str = "none"
    pieces: tuple[Piece, ...] = ()
    start_local: datetime | None = None
    recorder: str = ""
    clock_problem: str = ""
    encoding: str = ""
    identity: str = ""
    problem: str = ""
    layout: PcmLayout | None = None

    @property
    def duration_s(self) -> float:
        """True length: frames over rate."""
        return self.n_frames / self.rate_hz

    def n_samples(self, rate_hz: int) -> int:
        """Length in samples at another rate, rounded up: the last instant of sound counts."""
        return -(-self.n_frames * rate_hz // self.rate_hz)

    def utc(self, offset_s: float) -> datetime | None:
        """Clock time at an offset from the first sample."""
        if self.start_utc is None:
            return None
        piece = self.piece_at(math.floor(offset_s * self.rate_hz + _ROUNDING))
        return piece.start_utc + timedelta(seconds=offset_s - piece.first_frame / self.rate_hz)

    def utc_ns(self, sample: int, rate_hz: int) -> int | None:
        """Clock time of a sample at some rate, in nanoseconds since 1970."""
        if self.start_utc is None:
            return None
        piece = self.piece_at(sample * self.rate_hz // rate_hz)
        since = sample * self.rate_hz - piece.first_frame * rate_hz
        return to_ns(piece.start_utc) + since * _NS // (rate_hz * self.rate_hz)

    def piece_at(self, frame: int) -> Piece:
        """The piece in which a sample of the recording's own lies; only of a recording with a known start."""
        if not self.pieces:
            assert self.start_utc is not None
            return Piece(0, self.start_utc)
        return self.pieces[max(bisect.bisect(self.pieces, frame, key=lambda piece: piece.first_frame) - 1, 0)]


@dataclass(frozen=True, slots=True)
class WindowScores:
    """What the detector says of each window.

    Attributes:
        scores: float32 ``[n_windows, n_classes]``, 0 to 1.
        boxes: float32 ``[n_windows, 4]``: begin and end of the call in samples from the window's first, low and high edge
            in Hz; NaN where the window holds none.
        complexity: float32 ``[n_windows, 4]``: H, C_SQ, C_JSD, C_TV.
    """

    scores: FloatArray
    boxes: FloatArray
    complexity: FloatArray

    @staticmethod
    def join(parts: list[WindowScores]) -> WindowScores:
        """Consecutive windows as one."""
        return WindowScores(
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.complexity for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class Detection:
    """A call that the detector, or a reviewer, found: a box in time and frequency with a score.

    Attributes:
        recording: name of the recording in which the call begins.
        channel: 1-based, as Raven counts.
        begin_s, end_s: from the recording's first sample; ``0 <= begin_s < end_s``. The end lies past the recording's own
            where the call runs on into the next one.
        low_hz, high_hz: edges of the box.
        label: the class.
        score: of the highest window, 0 to 1; None for a call that only a reviewer saw.
        detection_id: the same call gets the same id in every table and in every run.
        review: ``yes``, ``no``, ``maybe`` or ``unreviewed``.
    """

    recording: str
    channel: int
    begin_s: float
    end_s: float
    low_hz: float
    high_hz: float
    label: str
    score: float | None
    detection_id: str
    review: str = "unreviewed"


@dataclass(frozen=True, slots=True)
class Annotation:
    """A selection of a Raven table, drawn by a person or by a detector.

    Attributes:
        begin_s, end_s: as the table counts them: from the first sample of a recording, or of a sequence of recordings.
        sound: path or name of the sound file that the table states; empty where it states none.
        file_offset_s: seconds from that file's first sample; None where the table does not say.
        score: None where nobody gave one.
        review: ``yes``, ``no``, ``maybe`` or ``unreviewed``; empty where the table has no such column.
    """

    begin_s: float
    end_s: float
    low_hz: float
    high_hz: float
    label: str
    channel: int = 1
    sound: str = ""
    file_offset_s: float | None = None
    score: float | None = None
    review: str = ""
    detection_id: str = ""


class GapKind(StrEnum):
    """Why a stretch of time is not part of the effort, or not twice."""

    GAP = "gap"
    OVERLAP = "overlap"
    DUTY_CYCLE = "duty_cycle"
    UNREADABLE = "unreadable"
    DROPOUT = "dropout"


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of time, half open, in nanoseconds since 1970 UTC.

    Attributes:
        kind: ``gap`` and ``duty_cycle``: nothing was recorded; ``overlap``: recorded more than once; ``unreadable``:
            recorded, but not to be had; ``dropout``: the recorder wrote zeros.
    """

    begin_ns: int
    end_ns: int
    kind: GapKind


@dataclass(frozen=True, slots=True)
class Loss:
    """A part of a recording that was not analysed, in samples at the model's rate from its first, half open.

    Attributes:
        kind: ``unreadable`` or ``dropout``.
    """

    begin_sample: int
    end_sample: int
    kind: GapKind

    @property
    def n_samples(self) -> int:
        """Its length."""
        return self.end_sample - self.begin_sample


class Status(StrEnum):
    """How a recording ended."""

    DONE = "done"
    PARTIAL = "partial"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recording.

    Attributes:
        status: done, partial (some of its sound could not be read), failed (none could) or skipped (not asked for).
        analysed_s: seconds of sound that were readable and lie in a scored window.
        n_detections: calls found, all channels together.
        problem: what was wrong, where, and what helps; empty where nothing was.
    """

    status: Status
    analysed_s: float
    n_detections: int
    problem: str = ""
