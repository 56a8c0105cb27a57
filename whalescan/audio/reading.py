"""Any stretch of a recording at the model's rate, whoever asks and wherever it begins.

A recording is resampled in segments on a fixed grid of whole seconds, each with a margin that is cut off again. So every
sample has one value, whichever chunk it is read for, and memory does not grow with the length of a recording. With the
margin the result agrees with resampling the whole recording at once within 2e-6 of full scale.

What cannot be decoded, and samples that are no numbers, become silence that is named: the sound before and after keeps its
place in time. So do drop-outs, which recorders fill with zeros: a second of exact zeros is no sea.
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
from whalescan.core.profiling import stage

SEGMENT_S = 30
MARGIN_S = 1
DROPOUT_S = 1
"""Exact zeros for this long are what a recorder writes where it has lost sound. The margin is as long, so that each segment
sees whether a run of zeros at its border is."""
_BLOCK_S = 1
"""What is decoded at a time, and what is lost around a place that cannot be decoded."""

if TYPE_CHECKING:
    from typing_extensions import Buffer


@dataclass(frozen=True, slots=True)
class Sound:
    """Samples of one channel at the model's rate.

    Attributes:
        samples: float32 ``[n]``, full scale is 1; silence where nothing could be read.
        lost: bool ``[n]``, true where nothing could be read.
        silent: bool ``[n]``, true in drop-outs; nowhere where ``lost`` is.
        problems: what was wrong, each with its place, in the order of places.
    """

    samples: FloatArray
    lost: BoolArray
    silent: BoolArray
    problems: tuple[str, ...] = ()

    @staticmethod
    def join(parts: Sequence[Sound]) -> Sound:
        """Sounds that follow one another as one."""
        return Sound(
            np.concatenate([part.samples for part in parts]),
            np.concatenate([part.lost for part in parts]),
            np.concatenate([part.silent for part in parts]),
            tuple(itertools.chain.from_iterable(part.problems for part in parts)),
        )


def read(recording: Recording, channel: int, rate_hz: int, begin: int, end: int, after: Sequence[Recording] = ()) -> Sound:
    """Samples ``begin`` to ``end`` (at ``rate_hz``, from the recording's first) of a 1-based channel.

    Args:
        recording: what is read, up to its end.
        channel: counted from 1.
        rate_hz: what the sound is resampled to.
        begin: first sample, inside the recording.
        end: sample behind the last.
        after: recordings in which the sound goes on, where ``end`` lies past the recording's own.

    Raises:
        RecordingError: when the file is not there any more.
        DiskError: when it cannot be opened now.
    """
    own_end = recording.n_samples(rate_hz)
    parts = [_read_own(recording, channel, rate_hz, begin, min(end, own_end))]
    for following in after:
        if (end := end - own_end) <= 0:
            break
        own_end = following.n_samples(rate_hz)
        parts.append(replace(_read_own(following, channel, rate_hz, 0, min(end, own_end)), problems=()))  # its own to name
    return Sound.join(parts)


def _read_own(recording: Recording, channel: int, rate_hz: int, begin: int, end: int) -> Sound:
    segment_samples = SEGMENT_S * rate_hz
    nothing = np.zeros(0, np.bool_)
    parts = [Sound(np.zeros(0, np.float32), nothing, nothing)]
    for index in range(begin // segment_samples, -(-end // segment_samples)):
        first = index * segment_samples
        segment = _read_segment(recording, channel, rate_hz, index)
        cut = slice(max(begin - first, 0), end - first)
        parts.append(Sound(segment.samples[cut], segment.lost[cut], segment.silent[cut], segment.problems))
    return Sound.join(parts)


def _read_segment(recording: Recording, channel: int, rate_hz: int, index: int) -> Sound:
    """One segment of the fixed grid, resampled with its margins, and cut to its own seconds."""
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
        own = slice(skip, skip + n)
        return Sound(native.samples[own], native.lost[own], native.silent[own], native.problems)
    with stage("resample"):
        resampled = soxr.resample(native.samples, recording.rate_hz, rate_hz)[skip : skip + n]
    samples = np.zeros(n, np.float32)  # soxr rounds the length, the grid rounds it up
    samples[: len(resampled)] = resampled
    nearest = np.minimum((np.arange(skip, skip + n) * recording.rate_hz) // rate_hz, len(native.lost) - 1)
    lost = native.lost[nearest]
    samples[lost] = 0
    return Sound(samples, lost, native.silent[nearest], native.problems)


def _decode(recording: Recording, channel: int, begin: int, end: int) -> Sound:
    """Frames ``begin`` to ``end`` at the recording's own rate; where something is wrong with them, as much as can be had."""
    try:
        with open_at(recording, begin) as file:
            samples = _next(file, end - begin, channel)
    except soundfile.LibsndfileError:
        samples = np.zeros(0, np.float32)
    if len(samples) < end - begin:
        samples, lost, problems = _decode_blocks(recording, channel, begin, end)
    else:
        lost, problems = np.zeros(end - begin, np.bool_), []
    broken = ~np.isfinite(samples)
    if broken.any():
        at_s = (begin + int(broken.argmax())) / recording.rate_hz
        problems.append(f"at {at_s:.1f} s: samples that are no finite numbers")
        samples[broken] = 0
        lost |= broken
    return Sound(samples, lost, dropouts(samples, recording.rate_hz) & ~lost, tuple(problems))


def _decode_blocks(recording: Recording, channel: int, begin: int, end: int) -> tuple[FloatArray, BoolArray, list[str]]:
    """The same block by block, so that damage costs its block only: samples, which of them are lost, and why."""
    samples, lost = np.zeros(end - begin, np.float32), np.zeros(end - begin, np.bool_)
    problems: list[str] = []
    file = None
    try:
        for first, last in _blocks(begin, end, _BLOCK_S * recording.rate_hz):
            own = slice(first - begin, last - begin)
            try:
                file = file or open_at(recording, first)
                block = _next(file, last - first, channel)
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
    return samples, lost, problems


def _next(file: soundfile.SoundFile, n_frames: int, channel: int) -> FloatArray:
    """The next frames of a channel, or as many as there are."""
    samples: FloatArray = np.ascontiguousarray(file.read(n_frames, dtype="float32", always_2d=True)[:, channel - 1])
    return samples


def dropouts(samples: FloatArray, rate_hz: int) -> BoolArray:
    """Where samples are part of a run of exact zeros of `DROPOUT_S` or more."""
    found = np.zeros(len(samples), np.bool_)
    looked_at = samples[:: max(DROPOUT_S * rate_hz // 2, 1)] == 0  # of such a run, two neighbours of these at least
    if not (looked_at[1:] & looked_at[:-1]).any():
        return found
    zero = np.concatenate([[False], samples == 0, [False]])
    edges = np.flatnonzero(zero[1:] != zero[:-1])
    for begin, end in edges.reshape(-1, 2)[np.diff(edges.reshape(-1, 2)).ravel() >= DROPOUT_S * rate_hz]:
        found[begin:end] = True
    return found


def _blocks(begin: int, end: int, length: int) -> Iterator[tuple[int, int]]:
    for first in range(begin, end, length):
        yield first, min(first + length, end)


def open_at(recording: Recording, frame: int) -> soundfile.SoundFile:
    """The recording's file, positioned at a frame.

    Raises:
        RecordingError: when it is not there any more.
        DiskError: when it cannot be opened now.
        soundfile.LibsndfileError: when it is damaged.
    """
    path = recording.path
    try:
        if not path.is_file():
            raise RecordingError(f"{path}: is not there any more; bring it back and give the same command again")
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
    except PermissionError as error:
        raise RecordingError(f"{path}: cannot be opened any more ({error.strerror}); give the same command again") from error
    except OSError as error:
        raise DiskError(f"{path}: cannot be opened now ({error.strerror or error}); give the same command again") from error
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
