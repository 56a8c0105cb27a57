"""Any stretch of a recording at the model's rate, whoever asks and wherever it begins.

A recording is resampled in segments on a fixed grid of whole seconds, each with a margin that is cut off again. So every
sample has one value, whichever chunk it is read for, and memory does not grow with the length of a recording. With the
margin the result agrees with resampling the whole recording at once within 2e-6 of full scale.

What cannot be decoded, and samples that are no numbers, become silence that is named: the sound before and after keeps its
place in time.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from whalescan.core import FloatArray, Recording, RecordingError

SEGMENT_S = 30
MARGIN_S = 1
_BLOCK_S = 1
"""What is decoded at a time, and what is lost around a place that cannot be decoded."""

if TYPE_CHECKING:
    from typing_extensions import Buffer

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Sound:
    """Samples of one channel at the model's rate.

    Attributes:
        samples: float32 ``[n]``, full scale is 1; silence where nothing could be read.
        lost: bool ``[n]``, true where nothing could be read.
        problem: the first thing that was wrong, with its place; empty where nothing was.
    """

    samples: FloatArray
    lost: BoolArray
    problem: str = ""


def read(recording: Recording, channel: int, rate_hz: int, begin: int, end: int) -> Sound:
    """Samples ``begin`` to ``end`` (at ``rate_hz``, from the recording's first) of a 1-based channel.

    Raises:
        RecordingError: when the file cannot be opened any more.
    """
    end = min(end, recording.n_samples(rate_hz))
    segment_samples = SEGMENT_S * rate_hz
    parts, problem = [], ""
    for index in range(begin // segment_samples, -(-end // segment_samples)):
        first = index * segment_samples
        segment = _read_segment(recording, channel, rate_hz, index)
        cut = slice(max(begin - first, 0), end - first)
        parts.append((segment.samples[cut], segment.lost[cut]))
        problem = problem or segment.problem
    if not parts:
        return Sound(np.zeros(0, np.float32), np.zeros(0, np.bool_))
    samples, lost = zip(*parts, strict=True)
    return Sound(np.concatenate(samples), np.concatenate(lost), problem)


def _read_segment(recording: Recording, channel: int, rate_hz: int, index: int) -> Sound:
    """One segment of the fixed grid, resampled with its margins, and cut to its own seconds."""
    begin_s, end_s = index * SEGMENT_S, (index + 1) * SEGMENT_S
    n_frames = recording.n_frames
    margin_s = MARGIN_S if rate_hz != recording.rate_hz else 0
    from_s = max(begin_s - margin_s, 0)
    native = _decode(recording, channel, from_s * recording.rate_hz, min((end_s + margin_s) * recording.rate_hz, n_frames))
    last = min(end_s * rate_hz, recording.n_samples(rate_hz))
    skip, n = (begin_s - from_s) * rate_hz, last - begin_s * rate_hz
    if rate_hz == recording.rate_hz:
        return native
    resampled = soxr.resample(native.samples, recording.rate_hz, rate_hz)[skip : skip + n]
    samples = np.zeros(n, np.float32)  # soxr rounds the length, the grid rounds it up
    samples[: len(resampled)] = resampled
    nearest = (np.arange(skip, skip + n) * recording.rate_hz) // rate_hz
    lost = native.lost[np.minimum(nearest, len(native.lost) - 1)]
    samples[lost] = 0
    return Sound(samples, lost, native.problem)


def _decode(recording: Recording, channel: int, begin: int, end: int) -> Sound:
    """Frames ``begin`` to ``end`` at the recording's own rate, block by block, so that damage costs its block only."""
    samples, lost = np.zeros(end - begin, np.float32), np.zeros(end - begin, np.bool_)
    problems: list[str] = []
    file = None
    try:
        for first, last in _blocks(begin, end, _BLOCK_S * recording.rate_hz):
            own = slice(first - begin, last - begin)
            try:
                file = file or _open(recording, first)
                block = file.read(last - first, dtype="float32", always_2d=True)[:, channel - 1]
            except soundfile.LibsndfileError as error:
                # the decoder has lost its way; a fresh one finds the frame after the damage
                problems.append(f"at {first / recording.rate_hz:.0f} s: {error.error_string.strip().rstrip('.')}")
                lost[own] = True
                if file is not None:
                    file.close()
                file = None
                continue
            samples[own][: len(block)] = block
            if len(block) < last - first:
                problems.append(f"ends at {(first + len(block)) / recording.rate_hz:.1f} s")
                lost[own][len(block) :] = True
    finally:
        if file is not None:
            file.close()
    broken = ~np.isfinite(samples)
    if broken.any():
        at_s = (begin + int(broken.argmax())) / recording.rate_hz
        problems.append(f"at {at_s:.1f} s: samples that are no finite numbers")
        samples[broken] = 0
    return Sound(samples, lost | broken, problems[0] if problems else "")


def _blocks(begin: int, end: int, length: int) -> Iterator[tuple[int, int]]:
    for first in range(begin, end, length):
        yield first, min(first + length, end)


def _open(recording: Recording, frame: int) -> soundfile.SoundFile:
    """The recording's file, positioned at a frame."""
    path = recording.path
    if not path.is_file():
        raise RecordingError(f"{path}: is not there any more; bring it back and give the same command again")
    try:
        if recording.layout is None:
            file = soundfile.SoundFile(path)
        else:
            file = soundfile.SoundFile(
                _From(path, recording.layout.offset_bytes),
                format="RAW",
                samplerate=recording.rate_hz,
                channels=recording.channels,
                subtype=recording.layout.subtype,
                endian=recording.layout.endian,
            )
    except OSError as error:
        raise RecordingError(f"{path}: cannot be opened any more ({error.strerror or error})") from error
    try:
        file.seek(frame)
    except soundfile.LibsndfileError:
        file.close()
        raise
    return file


class _From(io.RawIOBase):
    """A file without its first bytes, for libsndfile's headerless mode."""

    def __init__(self, path: Path, offset_bytes: int) -> None:
        self._file = path.open("rb")
        self._offset_bytes = offset_bytes
        self.seek(0)

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET:
            position += self._offset_bytes
        return self._file.seek(position, whence) - self._offset_bytes

    def tell(self) -> int:
        return self._file.tell() - self._offset_bytes

    def readinto(self, buffer: Buffer) -> int:
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()
