"""Continuous sound to teach a glance with, made of recordings and clips; nobody need have labelled any of it.

Clips are joined, long recordings are cut. Calls are planted into some of that, and noise is added to some: calls are rare at
sea, and faint ones are what a glance would miss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from whalescan.core import FloatArray
from whalescan.detector.complexity import BAND_HZ
from whalescan.detector.frontend import FrontEnd

_FADE_S = 0.1
"""Sounds that are joined go over into one another for this long."""
_CALL_FADE_S = 0.2
_PLANTED_DB = (-6.0, 9.0)
"""A planted call's background over that of the sound it comes into; the call itself is louder."""
_NOISE_DB = (-12.0, 3.0)
"""Noise that is added, over the background."""
_STEEPEST = 1.2
"""Noise falls by a power of frequency from 0 (white) to this."""
_CALLS_APART_S = (1.75, 5.0)
_TIMES_JOINED = 2
_LOWEST_HZ = 20.0


@dataclass(frozen=True, slots=True)
class Sounds:
    """What tracks are made of.

    Attributes:
        recordings: float32 ``[n]`` each, of any length and scale.
        calls: float32 ``[n_calls, window_samples]``, windows around calls, to be planted; may be empty.
    """

    recordings: Sequence[FloatArray]
    calls: FloatArray


def soundtracks(sounds: Sounds, n_samples: int, frontend: FrontEnd, random: np.random.Generator) -> FloatArray:
    """Tracks ``[n_tracks, n_samples]``, their backgrounds of about one level; none where the sounds do not fill one.

    Args:
        sounds: what they are made of.
        n_samples: length of a track.
        frontend: measures levels.
        random: draws; the same generator makes the same tracks.
    """
    levelled = [sound / _level(sound, frontend) for sound in sounds.recordings if len(sound) >= frontend.options.fft_samples]
    rate_hz = frontend.options.rate_hz
    short = [sound for sound in levelled if len(sound) < n_samples]
    cuts = [sound[i : i + n_samples] for sound in levelled for i in range(0, len(sound) - n_samples + 1, n_samples // 2)]
    plain = [*_joined(short, n_samples, rate_hz, random), *cuts]
    if not plain:
        return np.zeros((0, n_samples), np.float32)
    beds = cuts or plain
    more = len(plain) // 2
    calls = np.stack([call / _level(call, frontend) for call in sounds.calls]) if len(sounds.calls) else sounds.calls
    planted = [_plant(beds[random.integers(len(beds))], calls, rate_hz, random) for _ in range(more if len(calls) else 0)]
    noisy = [_with_noise(plain[random.integers(len(plain))], frontend, random) for _ in range(more)]
    return np.stack([*plain, *planted, *noisy]).astype(np.float32)


def _joined(short: Sequence[FloatArray], n_samples: int, rate_hz: int, random: np.random.Generator) -> list[FloatArray]:
    """Short sounds one after the other, each `_TIMES_JOINED` times; what is left over does not fill one, and is left out."""
    fade = round(_FADE_S * rate_hz)
    rising = (np.sin(np.linspace(0, np.pi / 2, fade)) ** 2).astype(np.float32)
    tracks, track, end = [], np.zeros(n_samples, np.float32), 0
    order = np.concatenate([random.permutation(len(short)) for _ in range(_TIMES_JOINED)]) if short else ()
    for i in order:
        sound = short[i].copy()
        if end:
            end -= fade
            sound[:fade] *= rising
            track[end : end + fade] *= rising[::-1]
        own = sound[: n_samples - end]
        track[end : end + len(own)] += own
        end += len(own)
        if end == n_samples:
            tracks.append(track)
            track, end = np.zeros(n_samples, np.float32), 0
    return tracks


def _plant(bed: FloatArray, calls: FloatArray, rate_hz: int, random: np.random.Generator) -> FloatArray:
    """The same sound with calls in it, a few seconds from one another."""
    track, window = bed.copy(), calls.shape[1]
    ramp = np.minimum(np.arange(window), np.arange(window)[::-1]) / (_CALL_FADE_S * rate_hz)
    at = int(random.integers(rate_hz))
    while at + window <= len(track):
        gain = 10 ** (random.uniform(*_PLANTED_DB) / 20)
        track[at : at + window] += (gain * np.minimum(ramp, 1) * calls[random.integers(len(calls))]).astype(np.float32)
        at += round(random.uniform(*_CALLS_APART_S) * rate_hz)
    return track


def _with_noise(bed: FloatArray, frontend: FrontEnd, random: np.random.Generator) -> FloatArray:
    """The same sound under noise of some colour."""
    n = len(bed)
    hz = np.fft.rfftfreq(n, 1 / frontend.options.rate_hz)
    spectrum = random.standard_normal((2, len(hz))) / np.maximum(hz, _LOWEST_HZ) ** random.uniform(0, _STEEPEST)
    noise = np.fft.irfft(spectrum[0] + 1j * spectrum[1], n).astype(np.float32)
    noisy: FloatArray = bed + noise / _level(noise, frontend) * np.float32(10 ** (random.uniform(*_NOISE_DB) / 20))
    return noisy


def _level(sound: FloatArray, frontend: FrontEnd) -> np.float32:
    """Of the background: root of the median over the frames of the power in the call band; 1 for silence."""
    o = frontend.options
    first, last = (round(edge_hz / o.bin_hz) - o.low_bin for edge_hz in BAND_HZ)
    with torch.inference_mode():
        power = frontend.power(torch.from_numpy(sound)[None])[0, first:last].mean(dim=0)
    level = power.median().sqrt().item()
    return np.float32(level if level > 0 else 1.0)
