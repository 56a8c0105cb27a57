"""Localisation of a call in a window: the box around the strongest trace above the background.

The network tells that a window holds a call. A window is 2 s long, a call about 1 s, and windows overlap. So each window
with a high enough score also gets the box of its strongest connected trace, and detections are made of these boxes.
"""

from __future__ import annotations

from functools import reduce

import numpy as np
from scipy import ndimage

from whalescan.core import BoolArray, FloatArray
from whalescan.detector.model_spec import FrontEndOptions

BAND_HZ = (40.0, 450.0)
SMOOTHING_BINS_FRAMES = (3, 7)
"""Bins and frames over which power is averaged before traces are followed."""
_MIN_POWER = 2.7
"""A trace is at least 4.3 dB above its bins' medians ..."""
_MIN_SHARE_OF_PEAK = 0.5
"""... and at least half of its peak in decibels."""
_CLOSED_BINS, _CLOSED_FRAMES = 3, 7
"""Gaps in a trace that are narrower and shorter than this are closed."""
_NEIGHBOURS = np.zeros((3, 3, 3), bool)
_NEIGHBOURS[1] = True
"""Time-frequency bins that connect to one: all eight around it, in the same window."""


def trace_boxes(power: FloatArray, options: FrontEndOptions) -> FloatArray:
    """Return the box around the strongest trace of each window.

    Args:
        power: power over background ``[n_windows, n_bins, n_frames]``.
        options: of the front end that made it.

    Returns:
        float32 ``[n_windows, 4]``: begin and end in samples from the window's first, low and high edge in Hz; NaN where
        no trace stands out.
    """
    first, last = (round(edge_hz / options.bin_hz) - options.low_bin for edge_hz in BAND_HZ)
    smooth = ndimage.uniform_filter(power, (0, *SMOOTHING_BINS_FRAMES), mode="nearest")[:, first:last]
    level = np.log(smooth + 1e-3)
    # a call near the middle lies wholly in the window; the end of a neighbour at the border is not wanted
    weighted = level * np.hanning(level.shape[2] + 2)[1:-1] ** 0.5
    peak = weighted.max(axis=(1, 2), keepdims=True)
    is_trace = close_gaps(level > np.maximum(np.log(_MIN_POWER), _MIN_SHARE_OF_PEAK * peak))
    labels, n_traces = ndimage.label(is_trace, _NEIGHBOURS)
    strengths = ndimage.sum_labels(np.maximum(weighted, 0), labels, np.arange(1, n_traces + 1))
    boxes = np.full((len(power), 4), np.nan, np.float32)
    strongest = np.zeros(len(power))
    for (window, bins, frames), strength in zip(ndimage.find_objects(labels), strengths, strict=True):
        if strength > strongest[window.start]:
            strongest[window.start] = strength
            begin, end = (k * options.frame_hop_samples + options.fft_samples / 2 for k in (frames.start, frames.stop - 1))
            edges_hz = ((k + first + options.low_bin) * options.bin_hz for k in (bins.start - 0.5, bins.stop - 0.5))
            boxes[window.start] = begin, end, *edges_hz
    return boxes


def close_gaps(is_trace: BoolArray) -> BoolArray:
    """Return the binary closing of bool ``[n_windows, n_bins, n_frames]`` by a rectangle, one axis after the other.

    `scipy.ndimage.binary_closing`, which takes any shape, takes ten times as long.
    """
    closed = _sliding_reduce(np.logical_or, is_trace, axis=1, width=_CLOSED_BINS)
    closed = _sliding_reduce(np.logical_or, closed, axis=2, width=_CLOSED_FRAMES)
    closed = _sliding_reduce(np.logical_and, closed, axis=1, width=_CLOSED_BINS)
    return _sliding_reduce(np.logical_and, closed, axis=2, width=_CLOSED_FRAMES)


def _sliding_reduce(combine: np.ufunc, values: BoolArray, axis: int, width: int) -> BoolArray:
    """Return the combination of each value with its neighbours along an axis; False beyond the edges."""
    padding = [(width // 2, width // 2) if i == axis else (0, 0) for i in range(values.ndim)]
    neighbours = np.lib.stride_tricks.sliding_window_view(np.pad(values, padding), width, axis)
    combined: BoolArray = reduce(combine, np.moveaxis(neighbours, -1, 0))
    return combined
