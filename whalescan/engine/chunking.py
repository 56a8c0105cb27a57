"""Recordings cut into chunks of windows: the unit of work for Dask, of the journal, and of what one failure can cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from whalescan.audio import timeline
from whalescan.core import Recording, WindowGrid

CHUNK_S = 160
LONG_CHUNK_S = 900
"""For long surveys: fewer chunks to schedule, each still scored within a minute."""
_LONG_SURVEY_S = 100 * 3600


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive windows of one channel of a recording.

    Attributes:
        first_window: index of the first window, counted from the recording's beginning.
        n_windows: number of windows.
        is_last: whether it holds the last window of the recording.
        following: the recordings that continue the audio, as far as the windows reach.
    """

    recording: Recording
    channel: int
    first_window: int
    n_windows: int
    is_last: bool
    following: tuple[Recording, ...] = ()

    def scored_span(self, grid: WindowGrid) -> tuple[int, int]:
        """Return begin and end of the samples that this chunk reports on.

        The spans of all chunks of a recording cover each of its samples exactly once.
        """
        end = self.recording.n_samples(grid.rate_hz)
        if not self.is_last:
            end = grid.begin_sample(self.first_window + self.n_windows)
        return grid.begin_sample(self.first_window), end

    def read_span(self, grid: WindowGrid, margin_samples: int = 0) -> tuple[int, int]:
        """Return begin and end of the samples that its windows cover, with a margin on both sides where audio exists."""
        last = self.first_window + self.n_windows - 1
        n_samples = sum(recording.n_samples(grid.rate_hz) for recording in (self.recording, *self.following))
        begin = grid.begin_sample(self.first_window) - margin_samples
        end = grid.begin_sample(last) + grid.window_samples + margin_samples
        return max(begin, 0), min(end, n_samples)


def following_recordings(
    recording: Recording, followers: Mapping[str, Recording], grid: WindowGrid
) -> tuple[Recording, ...]:
    """Return the recordings that continue the audio of one, as far as its windows reach.

    Args:
        recording: the recording.
        followers: the recording that follows without a gap, by the name of the one before it.
        grid: the windows.
    """
    following: list[Recording] = []
    while sum(recording.n_samples(grid.rate_hz) for recording in following) < grid.window_samples:
        follower = followers.get((following or [recording])[-1].name)
        if follower is None:
            break
        following.append(follower)
    return tuple(following)


@dataclass(frozen=True, slots=True)
class AudioExtent:
    """The samples that the windows of a recording can reach.

    Attributes:
        n_samples: samples of the recording and of those that continue it.
        discontinuities: samples of these at which the timestamps jump.
    """

    n_samples: int
    discontinuities: tuple[int, ...]


def audio_extent(recording: Recording, following: Sequence[Recording], grid: WindowGrid) -> AudioExtent:
    """Return the samples that the windows of a recording can reach."""
    begin, found = 0, []
    for part in (recording, *following):
        found += [begin + sample for sample in timeline.discontinuities(part, grid.rate_hz)]
        begin += part.n_samples(grid.rate_hz)
    return AudioExtent(begin, tuple(found))


def n_windows(recording: Recording, following: Sequence[Recording], grid: WindowGrid) -> int:
    """Return the number of windows of a recording.

    Where another recording continues the audio, a window begins at every hop up to the end, so that calls across the border
    are covered.
    """
    n_samples = recording.n_samples(grid.rate_hz)
    return -(-n_samples // grid.hop_samples) if following else grid.n_windows(n_samples)


def windows_per_chunk(grid: WindowGrid, batch_windows: int, total_s: float = 0.0) -> int:
    """Return the number of windows of a chunk.

    It is a whole number of batches, so that the same windows share a batch however a recording is cut.

    Args:
        grid: the windows.
        batch_windows: windows of a batch.
        total_s: seconds of audio in the whole survey.
    """
    chunk_s = CHUNK_S if total_s < _LONG_SURVEY_S else LONG_CHUNK_S
    return max(1, round(chunk_s * grid.rate_hz / grid.hop_samples / batch_windows)) * batch_windows


def split_recording(
    recording: Recording,
    channel: int,
    grid: WindowGrid,
    chunk_size: int,
    following: tuple[Recording, ...] = (),
    finished: Sequence[tuple[int, int]] = (),
) -> Iterator[Chunk]:
    """Yield the chunks of a channel, without the windows that are finished.

    Args:
        recording: the recording.
        channel: 1-based.
        grid: the windows.
        chunk_size: windows of a chunk.
        following: the recordings that continue the audio.
        finished: ranges of windows to leave out, ``(first, past the last)``, ascending.
    """
    total = n_windows(recording, following, grid)
    begins = [0, *(end for _, end in finished)]
    ends = [*(begin for begin, _ in finished), total]
    for begin, end in zip(begins, ends, strict=True):
        for first in range(begin, end, chunk_size):
            past_last = min(first + chunk_size, end)
            yield Chunk(recording, channel, first, past_last - first, past_last == total, following)
