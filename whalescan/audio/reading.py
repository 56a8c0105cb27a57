"""Read any span of a recording, resampled to the model's rate.

A recording is resampled in segments on a fixed grid of whole seconds, each with a margin that is removed afterwards. Every
sample therefore has one value, whichever chunk it is read for, and memory does not grow with the length of a recording. With
the margin the result agrees with resampling the whole recording at once within 2e-6 of full scale.

What cannot be decoded, and samples that are not finite, become silence and are marked: audio before and after keeps its
place in time. Drop-outs, which recorders fill with zeros, are marked, too: natural sound never contains a second of exact
zeros.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr

from whalescan.core import BoolArray, DiskError, FloatArray, Recording, RecordingError
from whalescan.core.intervals import true_runs
from whalescan.core.profiling import stage

SEGMENT_S = 30
MARGIN_S = 1
DROPOUT_S = 1
"""Shortest run of exact zeros that counts as a drop-out of the recorder. It is not longer than the margin, so that each
segment shows whether a run of zeros at its border is one."""
_DECODED_S = 1
"""Length that is decoded at a time in a damaged file, and that is lost where decoding fails."""

if TYPE_CHECKING:
    from typing_extensions import Buffer


@dataclass(frozen=True, slots=True)
class AudioSegment:
    """Consecutive samples of one channel.

    Attributes:
        samples: float32 ``[n]``, full scale is 1; silence where nothing could be read.
        is_unreadable: bool ``[n]``, true where nothing could be read.
        is_dropout: bool ``[n]``, true in drop-outs; false where ``is_unreadable`` is true.
        problems: what could not be read and why, each with its place, in order of time.
    """

    samples: FloatArray
    is_unreadable: BoolArray
    is_dropout: BoolArray
    problems: tuple[str, ...] = ()

    @staticmethod
    def join(parts: Sequence[AudioSegment]) -> AudioSegment:
        """Return consecutive segments as one."""
        return AudioSegment(
            np.concatenate([part.samples for part in parts]),
            np.concatenate([part.is_unreadable for part in parts]),
            np.concatenate([part.is_dropout for part in parts]),
            tuple(itertools.chain.from_iterable(part.problems for part in parts)),
        )

    def crop(self, begin: int, end: int) -> AudioSegment:
        """Return samples ``[begin, end)``, with all problems."""
        return replace(
            self,
            samples=self.samples[begin:end],
            is_unreadable=self.is_unreadable[begin:end],
            is_dropout=self.is_dropout[begin:end],
        )


def read(
    recording: Recording, channel: int, rate_hz: int, begin: int, end: int, following: Sequence[Recording] = ()
) -> AudioSegment:
    """Read samples ``[begin, end)`` of a channel, resampled to ``rate_hz``.

    Args:
        recording: the recording in which the span begins.
        channel: counted from 1.
        rate_hz: rate of the samples returned.
        begin: first sample at ``rate_hz``, inside the recording.
        end: sample behind the last.
        following: recordings that continue this one, for an ``end`` past its own.

    Raises:
        RecordingError: when the file no longer exists.
        DiskError: when it cannot be opened at present.
    """
    own_end = recording.n_samples(rate_hz)
    parts = [_read_one_recording(recording, channel, rate_hz, begin, min(end, own_end))]
    for continuation in following:
        if (end := end - own_end) <= 0:
            break
        own_end = continuation.n_samples(rate_hz)
        part = _read_one_recording(continuation, channel, rate_hz, 0, min(end, own_end))
        parts.append(replace(part, problems=()))  # reported where the continuation itself is read
    return AudioSegment.join(parts)


def _read_one_recording(recording: Recording, channel: int, rate_hz: int, begin: int, end: int) -> AudioSegment:
    segment_samples = SEGMENT_S * rate_hz
    parts = [AudioSegment(np.zeros(0, np.float32), np.zeros(0, np.bool_), np.zeros(0, np.bool_))]
    for index in range(begin // segment_samples, -(-end // segment_samples)):
        first = index * segment_samples
        parts.append(_read_grid_segment(recording, channel, rate_hz, index).crop(max(begin - first, 0), end - first))
    return AudioSegment.join(parts)


def _read_grid_segment(recording: Recording, channel: int, rate_hz: int, index: int) -> AudioSegment:
    """Read one segment of the fixed grid, resample it with its margins, and remove these."""
    begin_s, end_s = index * SEGMENT_S, (index + 1) * SEGMENT_S
    n_frames = recording.n_frames
    from_s = max(begin_s - MARGIN_S, 0)
    with stage("decode"):
        native = _decode(
            recording, channel, from_s * recording.rate_hz, min((end_s + MARGIN_S) * recording.rate_hz, n_frames)
        )
    last = min(end_s * rate_hz, recording.n_samples(rate_hz))
    skip, n = (begin_s - from_s) * rate_hz, last - begin_s * rate_hz
    if rate_hz == recording.rate_hz:
        return native.crop(skip, skip + n)
    with stage("resample"):
        resampled = soxr.resample(native.samples, recording.rate_hz, rate_hz)[skip : skip + n]
    samples = np.zeros(n, np.float32)  # soxr rounds the length to the nearest, the grid rounds it up
    samples[: len(resampled)] = resampled
    nearest = np.minimum((np.arange(skip, skip + n) * recording.rate_hz) // rate_hz, len(native.samples) - 1)
    is_unreadable = native.is_unreadable[nearest]
    samples[is_unreadable] = 0
    return AudioSegment(samples, is_unreadable, native.is_dropout[nearest], native.problems)


def _decode(recording: Recording, channel: int, begin: int, end: int) -> AudioSegment:
    """Decode frames ``[begin, end)`` at the recording's own rate; of a damaged file, as much as can be read."""
    try:
        with open_at_frame(recording, begin) as file:
            samples = _read_frames(file, end - begin, channel)
    except soundfile.LibsndfileError:
        samples = np.zeros(0, np.float32)
    if len(samples) < end - begin:
        samples, is_unreadable, problems = _decode_piecewise(recording, channel, begin, end)
    else:
        is_unreadable, problems = np.zeros(end - begin, np.bool_), []
    not_finite = ~np.isfinite(samples)
    if not_finite.any():
        at_s = (begin + int(not_finite.argmax())) / recording.rate_hz
        problems.append(f"at {at_s:.1f} s: samples that are not finite numbers")
        samples[not_finite] = 0
        is_unreadable |= not_finite
    is_dropout = find_dropouts(samples, recording.rate_hz) & ~is_unreadable
    return AudioSegment(samples, is_unreadable, is_dropout, tuple(problems))


def _decode_piecewise(recording: Recording, channel: int, begin: int, end: int) -> tuple[FloatArray, BoolArray, list[str]]:
    """Decode frames second by second, so that damage costs its own second only.

    Returns:
        float32 samples ``[end - begin]``, which of them are unreadable, and why.
    """
    samples, is_unreadable = np.zeros(end - begin, np.float32), np.zeros(end - begin, np.bool_)
    problems: list[str] = []
    file = None
    try:
        for first, last in _spans_of_length(begin, end, _DECODED_S * recording.rate_hz):
            span = slice(first - begin, last - begin)
            try:
                file = file or open_at_frame(recording, first)
                decoded = _read_frames(file, last - first, channel)
            except soundfile.LibsndfileError as error:
                # after an error the decoder has lost its position; a new one finds the next frame after the damage
                problems.append(f"at {first / recording.rate_hz:.0f} s: {error.error_string.strip().rstrip('.')}")
                is_unreadable[span] = True
                if file is not None:
                    file.close()
                file = None
                continue
            samples[span][: len(decoded)] = decoded
            if len(decoded) < last - first:
                problems.append(f"ends at {(first + len(decoded)) / recording.rate_hz:.1f} s")
                is_unreadable[span][len(decoded) :] = True
    finally:
        if file is not None:
            file.close()
    return samples, is_unreadable, problems


def _read_frames(file: soundfile.SoundFile, n_frames: int, channel: int) -> FloatArray:
    """Read the next frames of a channel, or as many as are left."""
    samples: FloatArray = np.ascontiguousarray(file.read(n_frames, dtype="float32", always_2d=True)[:, channel - 1])
    return samples


def find_dropouts(samples: FloatArray, rate_hz: int) -> BoolArray:
    """Return which samples lie in a run of exact zeros of `DROPOUT_S` or more: bool ``[n]``."""
    is_dropout = np.zeros(len(samples), np.bool_)
    sparse = samples[:: max(DROPOUT_S * rate_hz // 2, 1)] == 0  # a drop-out holds at least two neighbours of these
    if not (sparse[1:] & sparse[:-1]).any():
        return is_dropout
    runs = true_runs(samples == 0)
    for begin, end in runs[runs[:, 1] - runs[:, 0] >= DROPOUT_S * rate_hz].tolist():
        is_dropout[begin:end] = True
    return is_dropout


def _spans_of_length(begin: int, end: int, length: int) -> Iterator[tuple[int, int]]:
    for first in range(begin, end, length):
        yield first, min(first + length, end)


def open_at_frame(recording: Recording, frame: int) -> soundfile.SoundFile:
    """Open the file of a recording, positioned at a frame.

    Raises:
        RecordingError: when it no longer exists, or may not be read.
        DiskError: when it cannot be opened at present.
        soundfile.LibsndfileError: when it is damaged.
    """
    path = recording.path
    try:
        if not path.is_file():
            raise FileNotFoundError
        file = _open(recording)
    except FileNotFoundError as error:
        raise RecordingError(f"{path}: no longer exists; restore it and run the same command again") from error
    except PermissionError as error:
        raise RecordingError(
            f"{path}: cannot be read ({error.strerror}); check its permissions and run the same command again"
        ) from error
    except OSError as error:
        raise DiskError(
            f"{path}: cannot be opened at present ({error.strerror or error}); run the same command again"
        ) from error
    try:
        file.seek(frame)
    except soundfile.LibsndfileError:
        file.close()
        raise
    return file


def _open(recording: Recording) -> soundfile.SoundFile:
    if recording.layout is None:
        return soundfile.SoundFile(recording.path)
    return soundfile.SoundFile(
        _OffsetFile(recording.path, recording.layout.offset_bytes),
        format="RAW",
        samplerate=recording.rate_hz,
        channels=recording.channels,
        subtype=recording.layout.subtype,
        endian=recording.layout.endian,
    )


class _OffsetFile(io.RawIOBase):
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
