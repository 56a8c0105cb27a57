"""Sound to listen to: a whale's low voice, played faster so that any loudspeaker gives it back."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from scipy import ndimage, signal

from whalescan.audio.excerpts import Excerpt
from whalescan.core import FloatArray

PLAYED_HZ = 24_000
"""Rate of what is played: every browser takes it, and nothing that is played lies above its half."""
_ORDER = 4
_PADDED = 2000
"""Samples by which sound is mirrored at its ends, so that a filter does not ring there."""
_FADE_S = 0.01
"""Of what is played; a sound that begins at once clicks."""
_PEAK = 0.9


def wav_bytes(sound: Excerpt, speed: float, low_hz: float, high_hz: float) -> bytes:
    """An excerpt as a 16-bit WAV that plays it faster, all frequencies higher by as much.

    What lies outside the band is taken away by a Butterworth filter run forth and back, which moves nothing in time. The
    loudest moment is as loud in every excerpt. What is missing is silent.

    Args:
        sound: at least one sample.
        speed: 1 for as it was; 4 makes 100 Hz 400 Hz, and four seconds one.
        low_hz: lower edge of the band, in frequencies as they were recorded; 0 for none.
        high_hz: upper edge likewise; half the rate of the samples or more for none.
    """
    banded = _banded(sound.samples.astype(np.float64), sound.rate_hz, low_hz, high_hz)
    n_fade = max(_FADE_S * speed * sound.rate_hz, 1.0)
    played = soxr.resample(banded * _fades(~sound.missing, n_fade), sound.rate_hz * speed, PLAYED_HZ)
    peak = float(np.abs(played).max(initial=0.0))
    if peak > 0:
        played *= _PEAK / peak
    buffer = io.BytesIO()
    soundfile.write(buffer, played, PLAYED_HZ, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def _banded(samples: npt.NDArray[np.float64], rate_hz: int, low_hz: float, high_hz: float) -> npt.NDArray[np.float64]:
    """What lies in the band; an edge at the end of what there is needs no filter."""
    nyquist_hz = rate_hz / 2
    filters = []
    if 0 < low_hz < nyquist_hz:
        filters.append(signal.butter(_ORDER, low_hz, "highpass", fs=rate_hz, output="sos"))
    if 0 < high_hz < nyquist_hz:
        filters.append(signal.butter(_ORDER, high_hz, "lowpass", fs=rate_hz, output="sos"))
    for sections in filters:
        samples = signal.sosfiltfilt(sections, samples, padlen=min(_PADDED, len(samples) - 1))
    return samples


def _fades(known: npt.NDArray[np.bool_], n_fade: float) -> FloatArray:
    """What samples are multiplied with: 1, and down to 0 at both ends and wherever sound is missing."""
    away = ndimage.distance_transform_edt(np.pad(known, 1))[1:-1]
    return np.clip((away - 1) / n_fade, 0, 1).astype(np.float32)
