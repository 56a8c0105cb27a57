"""What each window hears: the sound under it, but never both sides of a jump of the clock."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from whalescan.core import BoolArray, FloatArray, IntArray, WindowGrid


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


def is_whole(grid: WindowGrid, heard: IntArray) -> BoolArray:
    """Which windows hear all that lies under them; ``heard`` as `hearing` gives it."""
    whole: BoolArray = heard[:, 1] - heard[:, 0] == grid.window_samples
    return whole


def cut(samples: FloatArray, grid: WindowGrid, heard: IntArray, which: IntArray) -> FloatArray:
    """Some of the windows, ``[len(which), window_samples]``.

    What a window covers but does not hear - behind the end of the sound, beyond a jump - is filled with what it does hear,
    mirrored: no step, no silence, no foreign sound.

    Args:
        samples: the sound; window 0 begins with its first sample.
        grid: places windows in time.
        heard: what windows hear, from window 0 on, as `hearing` gives it.
        which: indices of those that are cut.
    """
    windows = np.empty((len(which), grid.window_samples), np.float32)
    whole = is_whole(grid, heard[which])
    if whole.any():
        windows[whole] = np.lib.stride_tricks.sliding_window_view(samples, grid.window_samples)[heard[which[whole], 0]]
    for i in np.flatnonzero(~whole):
        (begin, end), under = heard[which[i]], grid.begin_sample(int(which[i]))
        windows[i] = np.pad(samples[begin:end], (begin - under, under + grid.window_samples - end), "reflect")
    return windows


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
