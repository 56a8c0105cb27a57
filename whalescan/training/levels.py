"""The level of a sound's background, by which sounds of different recorders are made alike."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import fft

from whalescan.core import FloatArray
from whalescan.detector.complexity import BAND_HZ
from whalescan.detector.model_spec import FrontEndOptions

_MOST_FRAMES = 60
"""Frames that the level of a longer sound is measured in, about: as many as a clip has."""


def frame_power(samples: FloatArray, options: FrontEndOptions, bins: slice, step: int = 1) -> FloatArray:
    """Return the power of the frames of one or more sounds.

    Args:
        samples: float32 ``[..., n]``, at least one frame.
        options: length and distance of the front end's frames.
        bins: of ``fft_samples // 2 + 1`` frequency bins.
        step: take each so-manieth frame.

    Returns:
        float32 ``[..., n_frames, n_bins]``.
    """
    frames = np.lib.stride_tricks.sliding_window_view(samples, options.fft_samples, axis=-1)
    frames = frames[..., :: options.frame_hop_samples * step, :]
    spectrum = fft.rfft(frames * _taper(options.fft_samples))[..., bins]
    power: FloatArray = np.square(spectrum.real) + np.square(spectrum.imag)
    return power


def background_level(samples: FloatArray, options: FrontEndOptions) -> float:
    """Return the root of the median power, over the frames of a sound, in the band of calls (`complexity.BAND_HZ`).

    It is 1 for silence, and for a sound shorter than a frame.

    Args:
        samples: float32 ``[n]``.
        options: the front end's frames and rate.
    """
    if len(samples) < options.fft_samples:
        return 1.0
    n_frames = 1 + (len(samples) - options.fft_samples) // options.frame_hop_samples
    band = slice(*(round(edge_hz / options.bin_hz) for edge_hz in BAND_HZ))
    power = frame_power(samples, options, band, max(1, n_frames // _MOST_FRAMES))
    level = float(np.sqrt(np.median(power.mean(axis=1))))
    return level if level > 0 and np.isfinite(level) else 1.0


@cache
def _taper(n: int) -> FloatArray:
    return np.hanning(n + 1)[:-1].astype(np.float32)
