"""Noise of several colours, made once and cut from at random."""

from __future__ import annotations

import numpy as np

from whalescan.core import FloatArray
from whalescan.detector.model_spec import FrontEndOptions
from whalescan.training.levels import background_level

_N_NOISES, _LOWEST_HZ = 64, 20.0


class NoiseBank:
    """Noises at level 1.

    Args:
        n_samples: length of each noise.
        white_share: share of white noise.
        steepest: the amplitude of other noise falls by a power of frequency from 0 to this.
        front_end: measures levels.
        random: random generator; the same state gives the same noises.
    """

    def __init__(
        self, n_samples: int, white_share: float, steepest: float, front_end: FrontEndOptions, random: np.random.Generator
    ) -> None:
        hz = np.maximum(np.fft.rfftfreq(n_samples, 1 / front_end.rate_hz), _LOWEST_HZ)
        self._noises: list[FloatArray] = []
        for _ in range(_N_NOISES):
            power = 0.0 if random.random() < white_share else random.uniform(0, steepest)
            spectrum = random.standard_normal((2, len(hz))) / hz**power
            noise = np.fft.irfft(spectrum[0] + 1j * spectrum[1], n_samples).astype(np.float32)
            self._noises.append(noise / np.float32(background_level(noise, front_end)))

    def cut(self, n: int, random: np.random.Generator) -> FloatArray:
        """Return a part of one of the noises, float32 ``[n]``."""
        noise = self._noises[int(random.integers(len(self._noises)))]
        begin = int(random.integers(0, len(noise) - n + 1))
        return noise[begin : begin + n].copy()
