"""Recordings, and the position of their recorder."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from whalescan.core.errors import invalid
from whalescan.core.time import ClockSegment, to_ns

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_NS = 10**9
_ROUNDING = 1e-4
"""Largest rounding error, in samples, of a time in seconds that denotes a sample."""


@dataclass(frozen=True, slots=True)
class PcmLayout:
    """Place of the samples in a file whose header is wrong.

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
        path: path of the file.
        relative_path: path below the folder that was given, with ``/`` and with suffix.
        rate_hz: sampling rate of the file.
        n_frames: samples per channel that the file really holds.
        channels: number of channels.
        size_bytes: length of the file.
        start_utc: time of its first sample (aware, UTC); None where that is not known.
        time_source: source of ``start_utc``, or the reason why it is not known; `audio.start_times` lists the sources.
        clock_segments: segments between timestamp discontinuities, as in an XWAV with a duty cycle; the first begins with
            the recording. Empty where there is no discontinuity.
        start_local: clock time in the file's name, without a zone; None where the name has none.
        recorder: the part of the name before its time, which distinguishes recorders.
        clock_problem: a problem of the clock, with its remedy; empty where there is none.
        encoding: container and samples, such as ``WAV PCM_16``.
        identity: hash of the file's ends, length and time of modification; changes when its content does.
        problem: a defect of the file although it can be read; empty where there is none.
        layout: place of the samples where the header is wrong; None where it is right.
    """

    name: str
    path: Path
    relative_path: str
    rate_hz: int
    n_frames: int
    channels: int
    size_bytes: int
    start_utc: datetime | None = None
    time_source: str = "none"
    clock_segments: tuple[ClockSegment, ...] = field(default=(), repr=False)
    start_local: datetime | None = None
    recorder: str = ""
    clock_problem: str = ""
    encoding: str = ""
    identity: str = ""
    problem: str = ""
    layout: PcmLayout | None = None

    @property
    def duration_s(self) -> float:
        """Duration: frames divided by the rate."""
        return self.n_frames / self.rate_hz

    def n_samples(self, rate_hz: int) -> int:
        """Return the length in samples at another rate, rounded up, so that no sound is lost at the end."""
        return -(-self.n_frames * rate_hz // self.rate_hz)

    def utc(self, offset_s: float) -> datetime | None:
        """Return the UTC time at an offset from the first sample; None where the start is not known."""
        if self.start_utc is None:
            return None
        segment = self.clock_segment_at(math.floor(offset_s * self.rate_hz + _ROUNDING))
        return segment.start_utc + timedelta(seconds=offset_s - segment.first_frame / self.rate_hz)

    def utc_ns(self, sample: int, rate_hz: int) -> int | None:
        """Return the UTC time of a sample at some rate, in nanoseconds since 1970; None where the start is not known."""
        if self.start_utc is None:
            return None
        segment = self.clock_segment_at(sample * self.rate_hz // rate_hz)
        elapsed = sample * self.rate_hz - segment.first_frame * rate_hz
        return to_ns(segment.start_utc) + elapsed * _NS // (rate_hz * self.rate_hz)

    def clock_segment_at(self, frame: int) -> ClockSegment:
        """Return the clock segment of a frame; only for a recording with a known start."""
        if not self.clock_segments:
            assert self.start_utc is not None
            return ClockSegment(0, self.start_utc)
        return self.clock_segments[
            max(bisect.bisect(self.clock_segments, frame, key=lambda segment: segment.first_frame) - 1, 0)
        ]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a recorder is.

    Attributes:
        latitude: degrees north, -90 to 90.
        longitude: degrees east, -180 to 180; the Atlantic coast of America is negative.
    """

    latitude: float
    longitude: float

    @staticmethod
    def parse(text: str) -> Position:
        """Return the position in ``LATITUDE,LONGITUDE``, decimal degrees such as ``42.3,-70.2``.

        Raises:
            UsageError: when the text is anything else.
        """
        try:
            latitude, longitude = (float(part) for part in text.split(","))
        except ValueError as error:
            raise invalid("position", text, "LATITUDE,LONGITUDE in decimal degrees, such as 42.3,-70.2") from error
        if not (abs(latitude) <= 90 and abs(longitude) <= 180):
            raise invalid("position", text, "latitude -90 to 90 first, then longitude -180 to 180, west negative")
        return Position(latitude, longitude)
