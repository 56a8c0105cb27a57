"""Which samples each window uses: those in its extent, without the far side of a timestamp discontinuity."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from whalescan.core import IntArray, WindowGrid


def window_extents(grid: WindowGrid, n_windows: int, n_samples: int, discontinuities: Sequence[int] = ()) -> IntArray:
    """Return begin and end of the samples that each window uses: int64 ``[n_windows, 2]``.

    A window uses all samples below it. One that straddles a discontinuity uses only the side with more samples, the later
    one of two equal sides. With a hop of up to half a window, every sample beside a discontinuity lies in some extent.

    Args:
        grid: the windows.
        n_windows: number of windows.
        n_samples: length of the audio.
        discontinuities: samples where the timestamps jump, ascending.
    """
    begins = np.arange(n_windows, dtype=np.int64) * grid.hop_samples
    extents = np.stack([begins, np.minimum(begins + grid.window_samples, n_samples)], axis=1)
    for sample in discontinuities:
        straddling = (sample - grid.window_samples) // grid.hop_samples + 1, -(-sample // grid.hop_samples)
        for window in range(max(straddling[0], 0), min(straddling[1], n_windows)):
            begin = grid.begin_sample(window)
            end = min(begin + grid.window_samples, n_samples)
            borders = discontinuities[bisect_right(discontinuities, begin) : bisect_left(discontinuities, end)]
            sides = pairwise([begin, *borders, end])
            extents[window] = max(sides, key=lambda side: (side[1] - side[0], side[0]))
    return extents
