"""Recordings cut into chunks of columns: the unit of work for Dask, of the journal, and of what one failure can cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from whalescan.audio import timeline
from whalescan.core import ColumnGrid, Recording
from whalescan.detector.model_spec import ModelSpec

CHUNK_S = 160
LONG_CHUNK_S = 900
"""For long surveys: fewer chunks to schedule, each still scored within a minute."""
_LONG_SURVEY_S = 100 * 3600


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive columns of one channel of a recording.

    Attributes:
        first_column: index of the first column, counted from the recording's beginning.
        n_columns: number of columns.
        is_last: whether it holds the last column of the recording.
        following: the recordings that continue the audio, as far as the columns and their context reach.
    """

    recording: Recording
    channel: int
    first_column: int
    n_columns: int
    is_last: bool
    following: tuple[Recording, ...] = ()

    def scored_span(self, columns: ColumnGrid) -> tuple[int, int]:
        """Return begin and end of the recording's own samples that this chunk reports on.

        The spans of all chunks of a recording cover each of its samples exactly once.
        """
        n_samples = self.recording.n_samples(columns.rate_hz)
        end = n_samples if self.is_last else columns.begin_sample(self.first_column + self.n_columns)
        return min(columns.begin_sample(self.first_column), n_samples), min(end, n_samples)

    def read_span(self, columns: ColumnGrid, context_samples: int) -> tuple[int, int]:
        """Return begin and end of the samples that its columns cover, with context on both sides where audio exists."""
        n_samples = sum(recording.n_samples(columns.rate_hz) for recording in (self.recording, *self.following))
        begin = columns.begin_sample(self.first_column) - context_samples
        end = columns.begin_sample(self.first_column + self.n_columns) + context_samples
        return max(begin, 0), min(end, n_samples)


def following_recordings(recording: Recording, followers: Mapping[str, Recording], spec: ModelSpec) -> tuple[Recording, ...]:
    """Return the recordings that continue the audio of one, as far as its columns and their context reach.

    Args:
        recording: the recording.
        followers: the recording that follows without a gap, by the name of the one before it.
        spec: of the model that scores.
    """
    reach_samples = spec.front_end.window_samples + spec.context_samples
    following: list[Recording] = []
    while sum(recording.n_samples(spec.columns.rate_hz) for recording in following) < reach_samples:
        follower = followers.get((following or [recording])[-1].name)
        if follower is None:
            break
        following.append(follower)
    return tuple(following)


@dataclass(frozen=True, slots=True)
class AudioExtent:
    """The samples of a recording and of those that continue it.

    Attributes:
        n_samples: number of them.
        discontinuities: samples of these at which the timestamps jump.
    """

    n_samples: int
    discontinuities: tuple[int, ...]


def audio_extent(recording: Recording, following: Sequence[Recording], rate_hz: int) -> AudioExtent:
    """Return the samples of a recording and of those that continue it, at a rate."""
    begin, found = 0, []
    for part in (recording, *following):
        found += [begin + sample for sample in timeline.discontinuities(part, rate_hz)]
        begin += part.n_samples(rate_hz)
    return AudioExtent(begin, tuple(found))


def n_columns(recording: Recording, following: Sequence[Recording], spec: ModelSpec) -> int:
    """Return the number of columns of a recording.

    Where another recording continues the audio, they go on into it by a window, so that a call across the border is scored
    with the sound of both recordings.
    """
    rate_hz = spec.columns.rate_hz
    n_samples = recording.n_samples(rate_hz)
    reach_samples = audio_extent(recording, following, rate_hz).n_samples
    return spec.columns.n_columns(min(reach_samples, n_samples + spec.front_end.window_samples))


def whole_channel(recording: Recording, channel: int, following: tuple[Recording, ...], spec: ModelSpec) -> Chunk:
    """Return all columns of a channel as one chunk.

    Args:
        recording: the recording.
        channel: 1-based.
        following: as `following_recordings` returns them.
        spec: of the model that scores.
    """
    return Chunk(recording, channel, 0, n_columns(recording, following, spec), is_last=True, following=following)


def columns_per_chunk(columns: ColumnGrid, batch_columns: int, total_s: float = 0.0) -> int:
    """Return the number of columns of a chunk.

    It is a whole number of batches, so that the same columns share a batch however a recording is cut.

    Args:
        columns: the columns.
        batch_columns: columns of a batch.
        total_s: seconds of audio in the whole survey.
    """
    chunk_s = CHUNK_S if total_s < _LONG_SURVEY_S else LONG_CHUNK_S
    return max(1, round(chunk_s * columns.rate_hz / columns.column_samples / batch_columns)) * batch_columns


def split_channel(channel: Chunk, chunk_size: int, finished: Sequence[tuple[int, int]] = ()) -> Iterator[Chunk]:
    """Yield the chunks of a channel, without the columns that are finished.

    Args:
        channel: a `whole_channel`.
        chunk_size: columns of a chunk.
        finished: ranges of columns to leave out, ``(first, past the last)``, ascending.
    """
    total = channel.n_columns
    begins = [0, *(end for _, end in finished)]
    ends = [*(begin for begin, _ in finished), total]
    for begin, end in zip(begins, ends, strict=True):
        for first in range(begin, end, chunk_size):
            past_last = min(first + chunk_size, end)
            yield Chunk(channel.recording, channel.channel, first, past_last - first, past_last == total, channel.following)
