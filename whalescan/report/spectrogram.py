"""Spectrograms for people: sound goes in, a PNG comes out. Axes and boxes are drawn over it by whoever shows it.

A picture shows power over each frequency's own median in it, so that the red slope of the sea is flat and a faint call is
as dark as a loud one; what steady tones there are fades. That is what the detector looks at, too.
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
from whalescan.core import FloatArray

_WINDOW_S = 0.128
"""Long windows win on upcalls: 8 Hz are told apart, and the sweep is still a line."""
_FFT_S = 0.512
"""Padded to this, so that bins are no steps."""
_SMOOTH_S, _SMOOTH_HZ = 0.03, 3.5
"""Standard deviations of a Gauss filter, which takes the speckle out of noise and leaves the lines."""
_QUIET_DB, _LOUD_DB = -1.0, 15.0
"""Power over the median, white and black; a call just worth a look stands out by 6 to 10 dB."""
_SHADES = 32
_SILENCE = np.float32(1e-12)
_Levels = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Frame:
    """What a picture shows: a rectangle in time and frequency.

    Attributes:
        begin_s, end_s: from the recording's first sample.
        low_hz, high_hz: at its lower and its upper edge.
    """

    begin_s: float
    end_s: float
    low_hz: float
    high_hz: float


@dataclass(frozen=True, slots=True)
class Picture:
    """A spectrogram as a PNG in shades of grey, the louder the darker."""

    png: bytes
    frame: Frame


def picture(sound: Excerpt, low_hz: float, high_hz: float, width_px: int = 480, height_px: int = 192) -> Picture:
    """The spectrogram of an excerpt.

    Args:
        sound: at least some samples.
        low_hz: lower edge of the band to show.
        high_hz: its upper edge; what lies above half the rate of the samples is left out.
        width_px: columns of the picture.
        height_px: its rows.

    Returns:
        A PNG that says exactly what its `Frame` says: no margins.
    """
    high_hz = min(high_hz, sound.rate_hz / 2)
    low_hz = min(low_hz, high_hz - 1)
    frame = Frame(sound.begin_s, sound.end_s, low_hz, high_hz)
    bins = np.linspace(high_hz, low_hz, height_px) * _FFT_S
    first, last = math.floor(bins[-1]), math.ceil(bins[0])
    levels = _over_median(_decibels(sound.samples, sound.rate_hz, width_px)[first : last + 1], ~sound.missing)
    below = np.minimum(bins.astype(int), last - 1) - first
    part = (bins - first - below)[:, None]
    shown = levels[below] * (1 - part) + levels[below + 1] * part
    grey = np.clip((shown - _QUIET_DB) / (_LOUD_DB - _QUIET_DB), 0, 1)
    return Picture(_png(np.round(255 * (1 - grey)).astype(np.uint8)), frame)


def _decibels(samples: FloatArray, rate_hz: int, n_columns: int) -> _Levels:
    """Power in decibels ``[n_bins, n_columns]``, the columns' middles spread evenly over the samples; bins from 0 Hz up."""
    n_window, n_fft = round(_WINDOW_S * rate_hz), round(_FFT_S * rate_hz)
    middles = (np.arange(n_columns) + 0.5) * len(samples) / n_columns
    begins = np.round(middles).astype(int)  # in the padded samples, which begin half a window earlier
    padded = np.pad(samples, (n_window // 2, n_window), mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, n_window)[begins]
    taper = np.hanning(n_window + 1)[:-1].astype(np.float32)
    spectrum = fft.rfft(windows * taper, n_fft)
    sigma = _SMOOTH_HZ * n_fft / rate_hz, min(_SMOOTH_S * rate_hz / len(samples), 1) * n_columns
    power = ndimage.gaussian_filter(np.abs(spectrum.T) ** 2, sigma, truncate=3)
    levels: _Levels = 10 * np.log10(power + _SILENCE)
    return levels


def _over_median(levels: _Levels, known: npt.NDArray[np.bool_]) -> _Levels:
    """Levels over the median of each bin; what is missing is as quiet as it looks, and no part of the median."""
    n_columns = levels.shape[1]
    is_known = known[((np.arange(n_columns) + 0.5) * len(known) / n_columns).astype(int)]
    if not is_known.any():
        return np.full_like(levels, _QUIET_DB)
    over = levels - np.median(levels[:, is_known], axis=1, keepdims=True)
    over[:, ~is_known] = _QUIET_DB
    return over


def _png(grey: npt.NDArray[np.uint8]) -> bytes:
    """Some shades of grey as a PNG: half the size of all 256, and nobody sees the difference in noise."""
    step = 256 // _SHADES
    image = Image.fromarray(grey // step, "P")
    image.putpalette([255 * shade // (_SHADES - 1) for shade in range(_SHADES) for _ in range(3)])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
