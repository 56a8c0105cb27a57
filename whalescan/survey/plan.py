"""Recordings cut into chunks of windows: the unit of Dask's work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from whalescan.core import Recording, WindowGrid

CHUNK_S = 240


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive windows of one channel of a recording.

    Attributes:
        first_window: index of the first window, counted from the recording's beginning.
        n_windows: number of windows.
        is_last: whether the recording ends with it.
    """

    recording: Recording
    channel: int
    first_window: int
    n_windows: int
    is_last: bool

    def own_samples(self, grid: WindowGrid) -> tuple[int, int]:
        """The samples that this chunk answers for, begin and end: the chunks of a recording share all its samples."""
        end = self.recording.n_samples(grid.rate_hz)
        if not self.is_last:
            end = grid.begin_sample(self.first_window + self.n_windows)
        return grid.begin_sample(self.first_window), end

    def needed_samples(self, grid: WindowGrid) -> tuple[int, int]:
        """The samples that its windows cover, begin and end."""
        last = self.first_window + self.n_windows - 1
        end = min(grid.begin_sample(last) + grid.window_samples, self.recording.n_samples(grid.rate_hz))
        return grid.begin_sample(self.first_window), end


def chunks(
    recording: Recording, channel: int, grid: WindowGrid, batch_size: int, chunk_s: float | None = None
) -> Iterator[Chunk]:
    """Chunks of about ``chunk_s`` (`CHUNK_S` where None), each a whole number of batches.

    So windows meet in the same batches however a recording is cut, and a score cannot depend on it.
    """
    n_windows = grid.n_windows(recording.n_samples(grid.rate_hz))
    batches = max(1, round((chunk_s or CHUNK_S) * grid.rate_hz / grid.hop_samples / batch_size))
    step = batches * batch_size
    for first in range(0, n_windows, step):
        last = min(first + step, n_windows)
        yield Chunk(recording, channel, first, last - first, last == n_windows)
