"""The ``harp`` chunk of an XWAV: when each part of it was recorded.

A HARP writes raw files of some seconds each, and Triton joins many to an XWAV, also over the pauses of a duty cycle: samples
that lie side by side may have been recorded minutes apart. The chunk says of each raw file where its bytes begin and when it
was recorded, in UTC. Its layout: Triton's ``rdxwavhd.m``. ``write_length`` counts disk sectors there and is of no use here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from whalescan.audio.headers import HeaderClaim
from whalescan.core import Piece, RecordingError

_HEAD_BYTES = 56
_COUNT_AT = 36
_ENTRY = struct.Struct("<6BH4I8x")
_BYTES_A_CHANNEL = 4
_VERSIONS = {0: 0, 1: 1, 2: 2, ord("0"): 0, ord("1"): 1, ord("2"): 2}
"""Some of Triton's writers put the digit's letter where others put the number."""
_FIRST_SHORT_YEAR = 70
_TOLERANCE = timedelta(milliseconds=1)
"""Raw files state their time to the millisecond."""
_REMEDY = "give the time in the name by --time-format, or write the file anew with Triton"


@dataclass(frozen=True, slots=True)
class _RawFile:
    start_utc: datetime
    begin_byte: int
    n_bytes: int
    rate_hz: int


def pieces(claim: HeaderClaim, rate_hz: int, channels: int, n_frames: int) -> tuple[Piece, ...]:
    """Where the clock of an XWAV begins anew: at its first sample, and wherever a raw file's time is not what the clock
    would show, running on from the piece before, within 1 ms.

    Args:
        claim: of the header, with the ``harp`` chunk.
        rate_hz: of the ``fmt`` chunk.
        channels: of the ``fmt`` chunk.
        n_frames: samples per channel that are there; pieces beyond the end of a file cut short are left out.

    Raises:
        RecordingError: when the chunk is cut short, or contradicts itself or the file.
    """
    found: list[Piece] = []
    end = claim.layout.offset_bytes
    last_byte = end + max(claim.declared_bytes, claim.available_bytes)
    previous: _RawFile | None = None
    for number, raw in enumerate(_raw_files(claim.harp or b"", channels), start=1):
        if raw.rate_hz != rate_hz:
            raise _broken(f"raw file {number} was sampled at {raw.rate_hz} Hz, the file at {rate_hz} Hz")
        if raw.n_bytes == 0 or raw.n_bytes % claim.block_bytes:
            raise _broken(f"raw file {number} has {raw.n_bytes} bytes, not a whole number of samples")
        if raw.begin_byte != end:
            raise _broken(f"raw file {number} begins at byte {raw.begin_byte}, where byte {end} is its turn")
        end += raw.n_bytes
        if end > last_byte:
            raise _broken(f"raw file {number} ends at byte {end}, the sound at byte {last_byte}")
        if previous and raw.start_utc <= previous.start_utc:
            raise _broken(
                f"raw file {number} was recorded at {raw.start_utc:%Y-%m-%dT%H:%M:%S.%f}Z, not after the one before"
            )
        previous = raw
        frame = (raw.begin_byte - claim.layout.offset_bytes) // claim.block_bytes
        if frame < n_frames and not (found and _runs_on(found[-1], frame, raw.start_utc, rate_hz)):
            found.append(Piece(frame, raw.start_utc))
    return tuple(found)


def _runs_on(piece: Piece, frame: int, start_utc: datetime, rate_hz: int) -> bool:
    running = piece.start_utc + timedelta(seconds=(frame - piece.first_frame) / rate_hz)
    return abs(start_utc - running) <= _TOLERANCE


def _raw_files(chunk: bytes, channels: int) -> Iterator[_RawFile]:
    version = _VERSIONS.get(chunk[0]) if chunk else None
    if version is None:
        raise _broken(f"version {chunk[0] if chunk else 'missing'} is not known, only 0, 1 and 2")
    extra = _BYTES_A_CHANNEL * channels if version == 2 else 0  # clock rates in the head, clock errors in each entry
    first, step = _HEAD_BYTES + extra, _ENTRY.size + extra
    count = struct.unpack_from("<H", chunk, _COUNT_AT)[0] if len(chunk) >= first else 0
    if len(chunk) < first + count * step:
        raise _broken(f"has {len(chunk)} bytes where {count} raw files need {first + count * step}")
    if count == 0:
        raise _broken(f"lists no raw files in its {len(chunk)} bytes")
    for i in range(count):
        year, month, day, hour, minute, second, ms, begin, n_bytes, _, rate_hz = _ENTRY.unpack_from(chunk, first + i * step)
        year += 1900 if year >= _FIRST_SHORT_YEAR else 2000
        try:
            start_utc = datetime(year, month, day, hour, minute, second, ms * 1000, tzinfo=UTC)
        except ValueError as error:
            raise _broken(f"raw file {i + 1} has no valid time ({error})") from error
        yield _RawFile(start_utc, begin, n_bytes, rate_hz)


def _broken(what: str) -> RecordingError:
    return RecordingError(f"its harp chunk is not used: {what}; {_REMEDY}")
