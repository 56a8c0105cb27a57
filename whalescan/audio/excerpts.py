"""Excerpts: short parts of recordings for display, and as WAV files for clip folders and for playback in a browser."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from scipy import ndimage
from scipy.io import wavfile

from whalescan.audio import reading
from whalescan.core import BoolArray, FloatArray, Recording, RecordingError

PLAYBACK_RATE_HZ = 24_000
"""Every browser plays this rate, and nothing that is played lies above its Nyquist frequency."""
_FILTER_ORDER = 4
_PADDING_SAMPLES = 2000
"""Samples reflected at both ends, so that a filter does not ring there."""
_FADE_S = 0.01
"""Of playback; audio that begins at once clicks."""
_PEAK = 0.9

_Samples = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Samples of a part of a recording.

    Attributes:
        samples: float32 ``[n]`` at ``rate_hz``, full scale is 1.
        is_missing: bool ``[n]``, true where nothing could be read and in drop-outs.
        rate_hz: of the samples, not of the recording.
        begin_sample: index of the first, at this rate from the beginning of the recording.
    """

    samples: FloatArray
    is_missing: BoolArray
    rate_hz: int
    begin_sample: int

    @property
    def begin_s(self) -> float:
        """Offset of the first sample from the beginning of the recording."""
        return self.begin_sample / self.rate_hz

    @property
    def end_s(self) -> float:
        """Offset of the end; past the end of the recording where the excerpt continues in the next one."""
        return (self.begin_sample + len(self.samples)) / self.rate_hz


def read_excerpt(
    recording: Recording, channel: int, begin_s: float, end_s: float, rate_hz: int, following: Sequence[Recording] = ()
) -> Excerpt:
    """Read the part of a recording between two times; shorter where the recording begins later or ends earlier.

    Args:
        recording: the recording; ``begin_s`` and ``end_s`` count from its first sample.
        channel: counted from 1.
        begin_s: may lie before the first sample.
        end_s: may lie behind the last.
        rate_hz: rate of the samples returned.
        following: recordings that continue this one.

    Raises:
        RecordingError: when the file no longer exists, or holds nothing of this time.
    """
    available = sum(one.n_samples(rate_hz) for one in (recording, *following))
    begin = max(math.floor(begin_s * rate_hz), 0)
    end = min(math.ceil(end_s * rate_hz), available)
    if not begin < end or begin >= recording.n_samples(rate_hz):
        raise RecordingError(f"{recording.path}: holds nothing from {begin_s:.1f} to {end_s:.1f} s; has it been replaced?")
    segment = reading.read(recording, channel, rate_hz, begin, end, following)
    return Excerpt(segment.samples, segment.is_unreadable | segment.is_dropout, rate_hz, begin)


# ------------------------------------------------------------------------------------------------ WAV files


def lossless_wav(samples: FloatArray, rate_hz: int) -> bytes:
    """Return a WAV file of one channel, in as few bits as keep the samples.

    16 bits where these hold every sample exactly, as for excerpts of 16-bit recordings; else 24 bits, the finest that
    recorders write; else, for samples beyond full scale, 32-bit floating point.

    Args:
        samples: float32 ``[n]``, full scale is 1.
        rate_hz: of the samples.
    """
    buffer = io.BytesIO()
    for bits in (16, 24):
        scale = 2.0 ** (bits - 1)
        scaled = samples.astype(np.float64) * scale
        rounded = np.rint(scaled)
        fits = not len(samples) or (rounded.min() >= -scale and rounded.max() < scale)
        if fits and (bits == 24 or np.array_equal(rounded, scaled)):
            # integers, aligned to the most significant bit: libsndfile would scale floating point by 2 ** 15 - 1
            integers = rounded.astype(np.int32) << (32 - bits)
            soundfile.write(buffer, integers, rate_hz, format="WAV", subtype=f"PCM_{bits}")
            return buffer.getvalue()
    wavfile.write(buffer, rate_hz, samples.astype(np.float32))  # libsndfile would add the date
    return buffer.getvalue()


def playback_wav(excerpt: Excerpt, speed: float, low_hz: float, high_hz: float) -> bytes:
    """Return an excerpt as a 16-bit WAV file that plays it faster, with all frequencies higher by the same factor.

    Frequencies outside the band are removed by a Butterworth filter, run forwards and backwards so that nothing moves in
    time. The peak is the same for every excerpt. Missing samples are silent.

    Args:
        excerpt: at least one sample.
        speed: 1 is the original speed; 4 turns 100 Hz into 400 Hz, and four seconds into one.
        low_hz: lower edge of the band, before the change of speed; 0 for none.
        high_hz: upper edge likewise; the Nyquist frequency of the excerpt or more for none.
    """
    filtered = _band_pass(excerpt.samples.astype(np.float64), excerpt.rate_hz, low_hz, high_hz)
    n_fade = max(_FADE_S * speed * excerpt.rate_hz, 1.0)
    played = soxr.resample(filtered * _fade_gains(~excerpt.is_missing, n_fade), excerpt.rate_hz * speed, PLAYBACK_RATE_HZ)
    peak = float(np.abs(played).max(initial=0.0))
    if peak > 0:
        played *= _PEAK / peak
    buffer = io.BytesIO()
    soundfile.write(buffer, played, PLAYBACK_RATE_HZ, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def _band_pass(samples: _Samples, rate_hz: int, low_hz: float, high_hz: float) -> _Samples:
    """Filter float64 samples ``[n]``; an edge outside 0 Hz to the Nyquist frequency is not filtered."""
    from scipy import signal  # noqa: PLC0415 - takes half a second, and only playback needs it

    nyquist_hz = rate_hz / 2
    filters = []
    if 0 < low_hz < nyquist_hz:
        filters.append(signal.butter(_FILTER_ORDER, low_hz, "highpass", fs=rate_hz, output="sos"))
    if 0 < high_hz < nyquist_hz:
        filters.append(signal.butter(_FILTER_ORDER, high_hz, "lowpass", fs=rate_hz, output="sos"))
    for sections in filters:
        samples = signal.sosfiltfilt(sections, samples, padlen=min(_PADDING_SAMPLES, len(samples) - 1))
    return samples


def _fade_gains(is_present: BoolArray, n_fade: float) -> FloatArray:
    """Return gains, float32 ``[n]``: 1, falling to 0 within ``n_fade`` samples at both ends and beside missing samples."""
    distance = ndimage.distance_transform_edt(np.pad(is_present, 1))[1:-1]
    return np.clip((distance - 1) / n_fade, 0, 1).astype(np.float32)
