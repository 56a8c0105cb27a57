"""Recordings cut into chunks of windows: the unit of Dask's work, of the journal, and of what an accident costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from whalescan.audio import timeline
from whalescan.core import Recording, WindowGrid

CHUNK_S = 160
LONG_CHUNK_S = 900
"""Of a survey: fewer chunks to hand out, and each still done within a minute."""
_SURVEY_S = 100 * 3600


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive windows of one channel of a recording.

    Attributes:
        first_window: index of the first window, counted from the recording's beginning.
        n_windows: number of windows.
        is_last: whether the recording ends with it.
        after: the recordings in which the sound goes on, as far as windows reach.
    """

    recording: Recording
    channel: int
    first_window: int
    n_windows: int
    is_last: bool
    after: tuple[Recording, ...] = ()

    def own_samples(self, grid: WindowGrid) -> tuple[int, int]:
        """The samples that this chunk answers for, begin and end: the chunks of a recording share all its samples."""
        end = self.recording.n_samples(grid.rate_hz)
        if not self.is_last:
            end = grid.begin_sample(self.first_window + self.n_windows)
        return grid.begin_sample(self.first_window), end

    def needed_samples(self, grid: WindowGrid, margin_samples: int = 0) -> tuple[int, int]:
        """The samples that its windows cover, with a margin where there is sound: begin and end."""
        last = self.first_window + self.n_windows - 1
        n_samples = sum(recording.n_samples(grid.rate_hz) for recording in (self.recording, *self.after))
        begin = grid.begin_sample(self.first_window) - margin_samples
        end = grid.begin_sample(last) + grid.window_samples + margin_samples
        return max(begin, 0), min(end, n_samples)


def following(recording: Recording, followers: Mapping[str, Recording], grid: WindowGrid) -> tuple[Recording, ...]:
    """The recordings in which the sound of one goes on, as far as its windows reach."""
    found: list[Recording] = []
    while sum(one.n_samples(grid.rate_hz) for one in found) < grid.window_samples:
        after = followers.get((found or [recording])[-1].name)
        if after is None:
            break
        found.append(after)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Reach:
    """What the windows of a recording can hear.

    Attributes:
        n_samples: its own, and those of the recordings in which its sound goes on.
        jumps: at which of them the clock jumps.
    """

    n_samples: int
    jumps: tuple[int, ...]


def reach(recording: Recording, after: Sequence[Recording], grid: WindowGrid) -> Reach:
    """How far the windows of a recording can hear."""
    begin, found = 0, []
    for one in (recording, *after):
        found += [begin + jump for jump in timeline.jumps(one, grid.rate_hz)]
        begin += one.n_samples(grid.rate_hz)
    return Reach(begin, tuple(found))


def n_windows(recording: Recording, after: Sequence[Recording], grid: WindowGrid) -> int:
    """Windows of a recording: where the sound goes on, one begins at every hop up to its end, to see the border whole."""
    n_samples = recording.n_samples(grid.rate_hz)
    return -(-n_samples // grid.hop_samples) if after else grid.n_windows(n_samples)


def chunk_windows(grid: WindowGrid, together: int, total_s: float = 0.0) -> int:
    """Windows of a chunk: a whole number of batches, so that windows meet in the same ones however a recording is cut.

    Args:
        grid: distance of the windows.
        together: windows of a batch.
        total_s: seconds of sound in the whole survey.
    """
    chunk_s = CHUNK_S if total_s < _SURVEY_S else LONG_CHUNK_S
    return max(1, round(chunk_s * grid.rate_hz / grid.hop_samples / together)) * together


def chunks(
    recording: Recording,
    channel: int,
    grid: WindowGrid,
    step: int,
    after: tuple[Recording, ...] = (),
    kept: Sequence[tuple[int, int]] = (),
) -> Iterator[Chunk]:
    """Chunks of ``step`` windows, but for those that are ``kept``: first window and last behind, in their order."""
    total = n_windows(recording, after, grid)
    ends = [0, *(end for _, end in kept)]
    begins = [*(begin for begin, _ in kept), total]
    for begin, end in zip(ends, begins, strict=True):
        for first in range(begin, end, step):
            last = min(first + step, end)
            yield Chunk(recording, channel, first, last - first, last == total, after)
