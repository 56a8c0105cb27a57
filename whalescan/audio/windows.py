"""Which samples each window uses: those in its extent, without the far side of a timestamp discontinuity."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from whalescan.core import BoolArray, FloatArray, IntArray, WindowGrid
from whalescan.core.intervals import subtract


def window_extents(
    grid: WindowGrid, first_window: int, n_windows: int, n_samples: int, discontinuities: Sequence[int] = ()
) -> IntArray:
    """Return begin and end of the samples that each window uses: int64 ``[n_windows, 2]``.

    A window uses all samples below it. One that straddles a discontinuity uses only the side with more samples, the later
    one of two equal sides. With a hop of up to half a window, every sample beside a discontinuity lies in some extent.

    Args:
        grid: the windows.
        first_window: index of the first window.
        n_windows: number of windows.
        n_samples: length of the audio.
        discontinuities: samples where the timestamps jump, ascending; counted like the samples returned.
    """
    begins = np.arange(first_window, first_window + n_windows, dtype=np.int64) * grid.hop_samples
    extents = np.stack([begins, np.minimum(begins + grid.window_samples, n_samples)], axis=1)
    for sample in discontinuities:
        straddling = (sample - grid.window_samples) // grid.hop_samples + 1, -(-sample // grid.hop_samples)
        for window in range(max(straddling[0], first_window), min(straddling[1], first_window + n_windows)):
            begin = grid.begin_sample(window)
            end = min(begin + grid.window_samples, n_samples)
            borders = discontinuities[bisect_right(discontinuities, begin) : bisect_left(discontinuities, end)]
            sides = pairwise([begin, *borders, end])
            extents[window - first_window] = max(sides, key=lambda side: (side[1] - side[0], side[0]))
    return extents


def is_complete(grid: WindowGrid, extents: IntArray) -> BoolArray:
    """Return which windows use all samples below them: bool ``[n_windows]``.

    Args:
        grid: the windows.
        extents: as `window_extents` returns them.
    """
    complete: BoolArray = extents[:, 1] - extents[:, 0] == grid.window_samples
    return complete


def extract_windows(samples: FloatArray, grid: WindowGrid, extents: IntArray, indices: IntArray) -> FloatArray:
    """Return the samples of some windows: float32 ``[len(indices), window_samples]``.

    The part of a window outside its extent (behind the end of the audio, beyond a discontinuity) is filled by reflecting the
    samples of the extent: no step, no silence, no sound of another time.

    Args:
        samples: float32 ``[n_samples]``; window 0 begins with the first.
        grid: the windows.
        extents: int64 ``[n_windows, 2]`` from window 0 on, as `window_extents` returns them.
        indices: int64, the windows to extract.
    """
    windows = np.empty((len(indices), grid.window_samples), np.float32)
    complete = is_complete(grid, extents[indices])
    if complete.any():
        views = np.lib.stride_tricks.sliding_window_view(samples, grid.window_samples)
        windows[complete] = views[extents[indices[complete], 0]]
    for i in np.flatnonzero(~complete):
        (begin, end), window_begin = extents[indices[i]], grid.begin_sample(int(indices[i]))
        padding = begin - window_begin, window_begin + grid.window_samples - end
        windows[i] = np.pad(samples[begin:end], padding, "reflect")
    return windows


def windows_without_audio(
    grid: WindowGrid, n_windows: int, is_empty: BoolArray, discontinuities: Sequence[int] = ()
) -> BoolArray:
    """Return which windows use only samples without audio: bool ``[n_windows]``.

    Args:
        grid: the windows; window 0 begins with the first sample.
        n_windows: number of windows.
        is_empty: bool ``[n_samples]``, samples that are unreadable or in a drop-out.
        discontinuities: samples where the timestamps jump, ascending.
    """
    n_recorded = np.concatenate([[0], np.cumsum(~is_empty)])
    begins, ends = window_extents(grid, 0, n_windows, len(is_empty), discontinuities).T
    without_audio: BoolArray = n_recorded[ends] == n_recorded[begins]
    return without_audio


def uncovered_spans(
    grid: WindowGrid, n_windows: int, n_samples: int, discontinuities: Sequence[int]
) -> list[tuple[int, int]]:
    """Return the samples beside discontinuities that no window uses, as ``(begin, end)``; some exist where hops are long.

    Args:
        grid: the windows.
        n_windows: number of windows.
        n_samples: length of the audio.
        discontinuities: samples where the timestamps jump, ascending.
    """
    if not discontinuities:
        return []
    extents = window_extents(grid, 0, n_windows, n_samples, discontinuities)
    uncovered = subtract(np.array([[0, n_samples]], np.int64), extents)
    return [(begin, end) for begin, end in uncovered.tolist()]
