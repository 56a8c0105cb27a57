"""What each window hears: the sound under it, but never both sides of a jump of the clock."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from whalescan.core import FloatArray, IntArray, WindowGrid


def hearing(grid: WindowGrid, first: int, n_windows: int, n_samples: int, jumps: Sequence[int] = ()) -> IntArray:
    """Begin and end of what windows hear, int64 ``[n_windows, 2]``, in the samples in which ``jumps`` are given.

    A window hears all that lies under it; one that straddles a jump only the side on which more of it lies, the later one of
    two equal ones. With a hop of up to half a window, every sample beside a jump is heard.

    Args:
        grid: places windows in time.
        first: index of the first window.
        n_windows: how many.
        n_samples: where the sound ends.
        jumps: samples at which the clock jumps, ascending.
    """
    begins = np.arange(first, first + n_windows, dtype=np.int64) * grid.hop_samples
    heard = np.stack([begins, np.minimum(begins + grid.window_samples, n_samples)], axis=1)
    for jump in jumps:
        straddling = (jump - grid.window_samples) // grid.hop_samples + 1, -(-jump // grid.hop_samples)
        for window in range(max(straddling[0], first), min(straddling[1], first + n_windows)):
            begin = grid.begin_sample(window)
            end = min(begin + grid.window_samples, n_samples)
            borders = jumps[bisect_right(jumps, begin) : bisect_left(jumps, end)]
            heard[window - first] = max(pairwise([begin, *borders, end]), key=lambda side: (side[1] - side[0], side[0]))
    return heard


def cut(samples: FloatArray, grid: WindowGrid, n_windows: int, jumps: Sequence[int] = ()) -> FloatArray:
    """Windows ``[n_windows, window_samples]``, the first of which begins with the first sample; a view, where it can be.

    What a window covers but does not hear - behind the end of the sound, beyond a jump - is filled with what it does hear,
    mirrored: no step, no silence, no foreign sound.
    """
    heard = hearing(grid, 0, n_windows, len(samples), jumps)
    begins = np.arange(n_windows) * grid.hop_samples
    lacking = int(begins[-1]) + grid.window_samples - len(samples)
    every = np.lib.stride_tricks.sliding_window_view(_longer(samples, lacking), grid.window_samples)
    windows: FloatArray = every[:: grid.hop_samples][:n_windows]
    for window in np.flatnonzero((heard[:, 0] > begins) | (heard[:, 1] < begins + grid.window_samples)):
        begin, end = heard[window]
        around = begin - begins[window], begins[window] + grid.window_samples - end
        windows = windows if windows.flags.writeable else windows.copy()
        windows[window] = np.pad(samples[begin:end], around, "reflect")
    return windows


def _longer(samples: FloatArray, lacking: int) -> FloatArray:
    return np.pad(samples, (0, lacking)) if lacking > 0 else samples


def unheard(grid: WindowGrid, n_windows: int, n_samples: int, jumps: Sequence[int]) -> list[tuple[int, int]]:
    """Samples beside jumps that no window hears, as begins and ends: there are some where windows are sparse."""
    if not jumps:
        return []
    reached, found = 0, []
    for begin, end in sorted(hearing(grid, 0, n_windows, n_samples, jumps).tolist()):
        if begin > reached:
            found.append((reached, begin))
        reached = max(reached, end)
    return [*found, (reached, n_samples)] if reached < n_samples else found
