"""Localisation of the call in a clip: the box around the strongest trace above the background.

A label says that a clip holds a call, but not where. The box of its strongest connected trace says that. From it the network
learns to find boxes, and by it calls are cut out and planted elsewhere.
"""

from __future__ import annotations

from functools import reduce

import numpy as np
from scipy import ndimage

from whalescan.core import BoolArray, FloatArray
from whalescan.detector.model_spec import FrontEndOptions

BAND_HZ = (40.0, 450.0)
_SMOOTHING_BINS, _SMOOTHING_S = 3, 0.14
"""Bins and seconds over which power is averaged before traces are followed."""
_MIN_POWER = 2.7
"""A trace is at least 4.3 dB above its bins' medians ..."""
_MIN_SHARE_OF_PEAK = 0.5
"""... and at least half of its peak in decibels."""
_CLOSED_BINS, _CLOSED_S = 3, 0.14
"""Gaps in a trace that are narrower and shorter than this are closed."""
_NEIGHBOURS = np.zeros((3, 3, 3), bool)
_NEIGHBOURS[1] = True
"""Time-frequency bins that connect to one: all eight around it, in the same clip."""


def trace_boxes(power: FloatArray, options: FrontEndOptions) -> FloatArray:
    """Return the box around the strongest trace of each clip.

    Args:
        power: power over background, float32 ``[n_clips, n_bins, n_frames]``, from `FrontEnd.normalise`.
        options: of the front end that made it.

    Returns:
        float32 ``[n_clips, 4]``: begin and end in samples from the clip's first, low and high edge in Hz; NaN where no trace
        stands out.
    """
    first, last = (round(edge_hz / options.bin_hz) - options.low_bin for edge_hz in BAND_HZ)
    smoothing = 0, _SMOOTHING_BINS, _odd_frames(_SMOOTHING_S, options)
    smooth = ndimage.uniform_filter(power, smoothing, mode="nearest")[:, first:last]
    level = np.log(smooth + 1e-3)
    # a call near the middle lies wholly in the clip; the end of a neighbour at the border is not wanted
    weighted = level * np.hanning(level.shape[2] + 2)[1:-1] ** 0.5
    peak = weighted.max(axis=(1, 2), keepdims=True)
    is_loud = level > np.maximum(np.log(_MIN_POWER), _MIN_SHARE_OF_PEAK * peak)
    labels, n_traces = ndimage.label(close_gaps(is_loud, _CLOSED_BINS, _odd_frames(_CLOSED_S, options)), _NEIGHBOURS)
    strengths = ndimage.sum_labels(np.maximum(weighted, 0), labels, np.arange(1, n_traces + 1))
    boxes = np.full((len(power), 4), np.nan, np.float32)
    strongest = np.zeros(len(power))
    for (clip, bins, frames), strength in zip(ndimage.find_objects(labels), strengths, strict=True):
        if strength > strongest[clip.start]:
            strongest[clip.start] = strength
            begin, end = (k * options.frame_hop_samples + options.fft_samples / 2 for k in (frames.start, frames.stop - 1))
            edges_hz = ((k + first + options.low_bin) * options.bin_hz for k in (bins.start - 0.5, bins.stop - 0.5))
            boxes[clip.start] = begin, end, *edges_hz
    return boxes


def _odd_frames(seconds: float, options: FrontEndOptions) -> int:
    """Return the odd number of frames nearest to a time, at least 1, so that a filter has a middle."""
    return 2 * max(0, round((seconds * options.rate_hz / options.frame_hop_samples - 1) / 2)) + 1


def close_gaps(is_trace: BoolArray, n_bins: int, n_frames: int) -> BoolArray:
    """Return the binary closing of bool ``[n_clips, n_bins, n_frames]`` by a rectangle, one axis after the other.

    `scipy.ndimage.binary_closing`, which takes any shape, takes ten times as long.
    """
    closed = _sliding_reduce(np.logical_or, is_trace, axis=1, width=n_bins)
    closed = _sliding_reduce(np.logical_or, closed, axis=2, width=n_frames)
    closed = _sliding_reduce(np.logical_and, closed, axis=1, width=n_bins)
    return _sliding_reduce(np.logical_and, closed, axis=2, width=n_frames)


def _sliding_reduce(combine: np.ufunc, values: BoolArray, axis: int, width: int) -> BoolArray:
    """Return the combination of each value with its neighbours along an axis; False beyond the edges."""
    padding = [(width // 2, width // 2) if i == axis else (0, 0) for i in range(values.ndim)]
    neighbours = np.lib.stride_tricks.sliding_window_view(np.pad(values, padding), width, axis)
    combined: BoolArray = reduce(combine, np.moveaxis(neighbours, -1, 0))
    return combined
