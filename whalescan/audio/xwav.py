"""The ``harp`` chunk of an XWAV, which states when each raw file in it was recorded.

A HARP writes raw files of some seconds each, and Triton joins many of them to an XWAV, also across the pauses of a duty
cycle: adjacent samples may have been recorded minutes apart. The chunk states for each raw file where its bytes begin and
when it was recorded, in UTC. Layout: Triton's ``rdxwavhd.m``; its ``write_length`` counts disk sectors and is not used.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from whalescan.audio.headers import ContainerHeader
from whalescan.core import ClockSegment, RecordingError

_HEAD_BYTES = 56
_COUNT_AT = 36
_ENTRY = struct.Struct("<6BH4I8x")
_BYTES_PER_CHANNEL = 4
_VERSIONS = {0: 0, 1: 1, 2: 2, ord("0"): 0, ord("1"): 1, ord("2"): 2}
"""Some of Triton's writers store the character of the digit, others the number."""
_FIRST_SHORT_YEAR = 70
_TOLERANCE = timedelta(milliseconds=1)
"""The resolution of the times of raw files."""
_REMEDY = "set time_format to read the time in the name, or write the file again with Triton"


@dataclass(frozen=True, slots=True)
class _RawFile:
    """An entry of the chunk."""

    start_utc: datetime
    begin_byte: int
    n_bytes: int
    rate_hz: int


def read_clock_segments(container: ContainerHeader, rate_hz: int, channels: int, n_frames: int) -> tuple[ClockSegment, ...]:
    """Return the clock segments of an XWAV.

    One begins at the first sample, and at each raw file whose time differs from that of the segment before, extrapolated, by
    more than 1 ms.

    Args:
        container: the header with the ``harp`` chunk.
        rate_hz: of the ``fmt`` chunk.
        channels: of the ``fmt`` chunk.
        n_frames: samples per channel in the file; segments beyond the end of a file cut short are omitted.

    Raises:
        RecordingError: when the chunk is cut short, or contradicts itself or the file.
    """
    segments: list[ClockSegment] = []
    end = container.layout.offset_bytes
    last_byte = end + max(container.declared_bytes, container.available_bytes)
    previous: _RawFile | None = None
    for number, raw in enumerate(_parse_raw_files(container.harp_chunk or b"", channels), start=1):
        if raw.rate_hz != rate_hz:
            raise _harp_error(f"raw file {number} was sampled at {raw.rate_hz} Hz, the file at {rate_hz} Hz")
        if raw.n_bytes == 0 or raw.n_bytes % container.block_bytes:
            raise _harp_error(f"raw file {number} has {raw.n_bytes} bytes, not a whole number of samples")
        if raw.begin_byte != end:
            raise _harp_error(f"raw file {number} begins at byte {raw.begin_byte} instead of byte {end}")
        end += raw.n_bytes
        if end > last_byte:
            raise _harp_error(f"raw file {number} ends at byte {end}, the samples at byte {last_byte}")
        if previous and raw.start_utc <= previous.start_utc:
            raise _harp_error(
                f"raw file {number} was recorded at {raw.start_utc:%Y-%m-%dT%H:%M:%S.%f}Z, not after the one before"
            )
        previous = raw
        frame = (raw.begin_byte - container.layout.offset_bytes) // container.block_bytes
        if frame < n_frames and not (segments and _continues(segments[-1], frame, raw.start_utc, rate_hz)):
            segments.append(ClockSegment(frame, raw.start_utc))
    return tuple(segments)


def _continues(segment: ClockSegment, frame: int, start_utc: datetime, rate_hz: int) -> bool:
    """Return whether a frame recorded at ``start_utc`` continues a segment."""
    expected_utc = segment.start_utc + timedelta(seconds=(frame - segment.first_frame) / rate_hz)
    return abs(start_utc - expected_utc) <= _TOLERANCE


def _parse_raw_files(chunk: bytes, channels: int) -> Iterator[_RawFile]:
    version = _VERSIONS.get(chunk[0]) if chunk else None
    if version is None:
        raise _harp_error(f"unknown version {chunk[0] if chunk else '(missing)'}: expected 0, 1 or 2")
    extra = _BYTES_PER_CHANNEL * channels if version == 2 else 0  # clock rates in the head, clock errors in the entries
    first, step = _HEAD_BYTES + extra, _ENTRY.size + extra
    count = struct.unpack_from("<H", chunk, _COUNT_AT)[0] if len(chunk) >= first else 0
    if len(chunk) < first + count * step:
        raise _harp_error(f"has {len(chunk)} bytes, but {count} raw files need {first + count * step}")
    if count == 0:
        raise _harp_error(f"lists no raw files in its {len(chunk)} bytes")
    for i in range(count):
        year, month, day, hour, minute, second, ms, begin, n_bytes, _, rate_hz = _ENTRY.unpack_from(chunk, first + i * step)
        year += 1900 if year >= _FIRST_SHORT_YEAR else 2000
        try:
            start_utc = datetime(year, month, day, hour, minute, second, ms * 1000, tzinfo=UTC)
        except ValueError as error:
            raise _harp_error(f"raw file {i + 1} has an invalid time ({error})") from error
        yield _RawFile(start_utc, begin, n_bytes, rate_hz)


def _harp_error(reason: str) -> RecordingError:
    return RecordingError(f"its harp chunk is not used: {reason}; {_REMEDY}")
