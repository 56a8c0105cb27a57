"""Recordings, and what the detector says of their windows."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from whalescan.core.time import Piece, to_ns

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_NS = 10**9
_ROUNDING = 1e-4
"""Part of a sample by which seconds may fall short of the sample that they mean."""


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
