"""Spectrograms for display: an audio excerpt becomes a PNG without axes and boxes, which the caller draws.

The image shows power over the median of each frequency, so that the spectral slope of ambient noise is flat and a faint call
is as dark as a loud one; steady tones fade. The detector's own spectrogram is normalised in the same way.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import fft, ndimage

from whalescan.audio.excerpts import Excerpt
from whalescan.core import BoolArray, FloatArray

_WINDOW_S = 0.128
"""Long windows suit upcalls: the resolution is 8 Hz, and the sweep is still a line."""
_FFT_S = 0.512
"""Length after zero padding, so that frequency bins do not show as steps."""
_SMOOTH_S, _SMOOTH_HZ = 0.03, 3.5
"""Standard deviations of a Gaussian filter, which removes the speckle of noise and keeps lines."""
_WHITE_DB, _BLACK_DB = -1.0, 15.0
"""Power over the median that is white and black; a barely visible call exceeds the median by 6 to 10 dB."""
_N_SHADES = 32
_POWER_FLOOR = np.float32(1e-12)
_Levels = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ImageExtent:
    """Rectangle in time and frequency that an image shows.

    Attributes:
        begin_s, end_s: from the recording's first sample.
        low_hz, high_hz: at its lower and its upper edge.
    """

    begin_s: float
    end_s: float
    low_hz: float
    high_hz: float


@dataclass(frozen=True, slots=True)
class SpectrogramImage:
    """A spectrogram as a PNG in shades of grey, louder is darker."""

    png: bytes
    extent: ImageExtent


def spectrogram_image(
    sound: Excerpt, low_hz: float, high_hz: float, width_px: int = 480, height_px: int = 192
) -> SpectrogramImage:
    """Return the spectrogram of an excerpt.

    Args:
        sound: at least one sample.
        low_hz: lower edge of the band to show.
        high_hz: its upper edge; clipped to half the sample rate.
        width_px: columns of the image.
        height_px: rows of the image.

    Returns:
        A PNG without margins that shows exactly its `ImageExtent`.
    """
    high_hz = min(high_hz, sound.rate_hz / 2)
    low_hz = min(low_hz, high_hz - 1)
    extent = ImageExtent(sound.begin_s, sound.end_s, low_hz, high_hz)
    bins = np.linspace(high_hz, low_hz, height_px) * _FFT_S
    first, last = math.floor(bins[-1]), math.ceil(bins[0])
    levels = _over_median(_decibels(sound.samples, sound.rate_hz, width_px)[first : last + 1], ~sound.is_missing)
    below = np.minimum(bins.astype(int), last - 1) - first
    fraction = (bins - first - below)[:, None]
    interpolated = levels[below] * (1 - fraction) + levels[below + 1] * fraction
    darkness = np.clip((interpolated - _WHITE_DB) / (_BLACK_DB - _WHITE_DB), 0, 1)
    return SpectrogramImage(_png(np.round(255 * (1 - darkness)).astype(np.uint8)), extent)


def _decibels(samples: FloatArray, rate_hz: int, n_columns: int) -> _Levels:
    """Return power in decibels ``[n_bins, n_columns]``, bins from 0 Hz up, columns spread evenly over the samples."""
    n_window, n_fft = round(_WINDOW_S * rate_hz), round(_FFT_S * rate_hz)
    middles = (np.arange(n_columns) + 0.5) * len(samples) / n_columns
    begins = np.round(middles).astype(int)  # in the padded samples, which begin half a window earlier
    padded = np.pad(samples, (n_window // 2, n_window), mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, n_window)[begins]
    taper = np.hanning(n_window + 1)[:-1].astype(np.float32)
    spectrum = fft.rfft(windows * taper, n_fft)
    sigma = _SMOOTH_HZ * n_fft / rate_hz, min(_SMOOTH_S * rate_hz / len(samples), 1) * n_columns
    power = ndimage.gaussian_filter(np.abs(spectrum.T) ** 2, sigma, truncate=3)
    levels: _Levels = 10 * np.log10(power + _POWER_FLOOR)
    return levels


def _over_median(levels: _Levels, is_known: BoolArray) -> _Levels:
    """Return levels over the median of each bin. Missing columns are white and not part of the median.

    Args:
        levels: decibels ``[n_bins, n_columns]``.
        is_known: bool ``[n_samples]``, false where samples are missing.
    """
    n_columns = levels.shape[1]
    is_known_column = is_known[((np.arange(n_columns) + 0.5) * len(is_known) / n_columns).astype(int)]
    if not is_known_column.any():
        return np.full_like(levels, _WHITE_DB)
    over = levels - np.median(levels[:, is_known_column], axis=1, keepdims=True)
    over[:, ~is_known_column] = _WHITE_DB
    return over


def _png(grey: npt.NDArray[np.uint8]) -> bytes:
    """Return an image in few shades of grey as a PNG: half the size of all 256 shades, without a visible difference."""
    step = 256 // _N_SHADES
    image = Image.fromarray(grey // step, "P")
    image.putpalette([255 * shade // (_N_SHADES - 1) for shade in range(_N_SHADES) for _ in range(3)])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
