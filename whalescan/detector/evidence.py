"""Where in a window the call is: the box around the energy that stands out of the background.

The network says *that* a window holds a call. A window is 2 s long and a call about 1 s, and windows overlap; so each window
with some score also says where its strongest connected trace lies, and the detections are made of those boxes.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from whalescan.core import FloatArray
from whalescan.detector.spec import FrontEndOptions

BAND_HZ = (40.0, 450.0)
SMOOTHED_CELLS = (3, 7)
"""Bins and frames over which power is averaged before traces are followed."""
_LEAST_CONTRAST = 2.7
"""A trace is at least 4.3 dB above its bins' medians."""
_SHARE_OF_PEAK = 0.5
"""... and at least half of its peak in decibels."""
_BRIDGED_FRAMES = 7
"""Breaks of a trace up to this long are closed."""


def call_box(contrast: FloatArray, options: FrontEndOptions) -> FloatArray:
    """Box around a window's strongest trace.

    Args:
        contrast: power over background ``[n_bins, n_frames]`` of one window.
        options: what the picture's bins and frames are.

    Returns:
        float32 ``[4]``: begin and end in samples from the window's first, low and high edge in Hz; NaN where nothing
        stands out.
    """
    nothing = np.full(4, np.nan, np.float32)
    bin_hz, low_bin = options.bin_hz, options.low_bin
    first, last = (round(edge_hz / bin_hz) - low_bin for edge_hz in BAND_HZ)
    level = np.log(ndimage.uniform_filter(contrast, SMOOTHED_CELLS, mode="nearest")[first:last] + 1e-3)
    # a call near the middle is wholly in the window, and a neighbour's end at the border is not what is asked for
    centred = level * np.hanning(level.shape[1] + 2)[1:-1] ** 0.5
    least = max(float(np.log(_LEAST_CONTRAST)), _SHARE_OF_PEAK * float(centred.max()))
    traces = ndimage.binary_closing(level > least, np.ones((3, _BRIDGED_FRAMES), bool))
    label, n_traces = ndimage.label(traces, np.ones((3, 3), bool))
    if n_traces == 0:
        return nothing
    strength = ndimage.sum_labels(np.maximum(centred, 0), label, np.arange(1, n_traces + 1))
    bins, frames = ndimage.find_objects(label)[int(np.argmax(strength))]
    begin, end = (k * options.frame_hop_samples + options.fft_samples / 2 for k in (frames.start, frames.stop - 1))
    low_hz, high_hz = ((k + first + low_bin) * bin_hz for k in (bins.start - 0.5, bins.stop - 0.5))
    return np.array([begin, end, low_hz, high_hz], np.float32)
