"""Where in a window the call is: the box around the energy that stands out of the background.

The network says *that* a window holds a call. A window is 2 s long and a call about 1 s, and windows overlap; so each window
with some score also says where its strongest connected trace lies, and the detections are made of those boxes.
"""

from __future__ import annotations

from functools import reduce

import numpy as np
from scipy import ndimage

from whalescan.core import BoolArray, FloatArray
from whalescan.detector.model_spec import FrontEndOptions

BAND_HZ = (40.0, 450.0)
SMOOTHED_CELLS = (3, 7)
"""Bins and frames over which power is averaged before traces are followed."""
_LEAST_CONTRAST = 2.7
"""A trace is at least 4.3 dB above its bins' medians."""
_SHARE_OF_PEAK = 0.5
"""... and at least half of its peak in decibels."""
_BRIDGED_BINS, _BRIDGED_FRAMES = 3, 7
"""Breaks of a trace that are less wide and long are closed."""
_IN_ONE_WINDOW = np.zeros((3, 3, 3), bool)
_IN_ONE_WINDOW[1] = True
"""Which neighbours belong to a trace: all around it in its own window."""


def call_boxes(contrast: FloatArray, options: FrontEndOptions) -> FloatArray:
    """Box around the strongest trace of each window.

    Args:
        contrast: power over background ``[n_windows, n_bins, n_frames]``.
        options: what the picture's bins and frames are.

    Returns:
        float32 ``[n_windows, 4]``: begin and end in samples from the window's first, low and high edge in Hz; NaN where
        nothing stands out.
    """
    first, last = (round(edge_hz / options.bin_hz) - options.low_bin for edge_hz in BAND_HZ)
    smooth = ndimage.uniform_filter(contrast, (0, *SMOOTHED_CELLS), mode="nearest")[:, first:last]
    level = np.log(smooth + 1e-3)
    # a call near the middle is wholly in the window, and a neighbour's end at the border is not what is asked for
    centred = level * np.hanning(level.shape[2] + 2)[1:-1] ** 0.5
    peak = centred.max(axis=(1, 2), keepdims=True)
    is_trace = _closed(level > np.maximum(np.log(_LEAST_CONTRAST), _SHARE_OF_PEAK * peak))
    label, n_traces = ndimage.label(is_trace, _IN_ONE_WINDOW)
    strength = ndimage.sum_labels(np.maximum(centred, 0), label, np.arange(1, n_traces + 1))
    boxes = np.full((len(contrast), 4), np.nan, np.float32)
    strongest = np.zeros(len(contrast))
    for (window, bins, frames), of_trace in zip(ndimage.find_objects(label), strength, strict=True):
        if of_trace > strongest[window.start]:
            strongest[window.start] = of_trace
            begin, end = (k * options.frame_hop_samples + options.fft_samples / 2 for k in (frames.start, frames.stop - 1))
            edges_hz = ((k + first + options.low_bin) * options.bin_hz for k in (bins.start - 0.5, bins.stop - 0.5))
            boxes[window.start] = begin, end, *edges_hz
    return boxes


def _closed(cells: BoolArray) -> BoolArray:
    """Binary closing by a rectangle, one axis after the other; SciPy's, which takes any shape, is ten times as slow."""
    cells = _slid(np.logical_or, cells, axis=1, n_cells=_BRIDGED_BINS)
    cells = _slid(np.logical_or, cells, axis=2, n_cells=_BRIDGED_FRAMES)
    cells = _slid(np.logical_and, cells, axis=1, n_cells=_BRIDGED_BINS)
    return _slid(np.logical_and, cells, axis=2, n_cells=_BRIDGED_FRAMES)


def _slid(combine: np.ufunc, cells: BoolArray, axis: int, n_cells: int) -> BoolArray:
    """What is made of each cell and its neighbours along an axis; beyond the edges, all is False."""
    around = [(n_cells // 2, n_cells // 2) if i == axis else (0, 0) for i in range(cells.ndim)]
    seen = np.lib.stride_tricks.sliding_window_view(np.pad(cells, around), n_cells, axis)
    slid: BoolArray = reduce(combine, np.moveaxis(seen, -1, 0))
    return slid
