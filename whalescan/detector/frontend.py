"""Front end: audio to the network's input, for blocks of any length.

The network's input has three channels, as ImageNet's networks expect. All are made from one power spectrogram, normalised by
the background: each bin's own median in the seconds around each frame. The gain of a recorder cancels exactly, the slope of
ambient noise is flattened, and tonal lines (blade rates of ships, noise of electronics) fade, because they are the median.
`FrontEndOptions.features` names the channels:

``spectrogram``
    *Normalised power*, logarithmic. *Normalised power with tonal lines*: the same over the median of the neighbouring bins,
    so that tonal lines remain: where a line stops, the rest of it is not a call, and only this channel shows why.
    *Local power*: normalised power over its neighbours in frequency, in which knocks and clicks, which fill all bins, fade.
``complexity``
    *Order* (1 - H) and *C_SQ* of the band of 133 Hz around each time-frequency bin: a time series of complexity for each
    bin. The *time series* of H, C_SQ, C_JSD and C_TV of the whole call band, each repeated over a quarter of the bins.
``both``
    Normalised power, normalised power with tonal lines, and order.

Long analysis frames suit these calls: 128 ms (256 points at 2 kHz) resolve 8 Hz, and a short hop keeps the sweep smooth.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from whalescan.detector import complexity
from whalescan.detector.complexity import mean_over_bins
from whalescan.detector.model_spec import FrontEndOptions

N_CHANNELS = 3
_MIN_BACKGROUND = 1e-6
"""A bin's background is at least this share of the mean power around it, so that half-silent audio stays bounded."""
_SMOOTHING_BINS = 17
"""Bins (133 Hz) over which a background is smoothed, and for local power and order."""
_ORDER_S = 0.16
"""Seconds averaged before the order of a band is computed."""
_MEDIAN_STEP_S = 0.064
"""The median is taken of frames this far apart: neighbours share most of their samples."""
_SERIES_SCALE = (2.0, 8.0, 4.0, 4.0)
"""Factors that bring H, C_SQ, C_JSD and C_TV to similar ranges."""


class NormalisedSpectrogram(NamedTuple):
    """The power of blocks, split into what changes and what is steady.

    Attributes:
        power: power over the bin's background, float32 ``[n_blocks, n_bins, n_frames]``, >= 0.
        tonal_lines: log of the bin's background over that of its neighbours, float32, of the same shape.
    """

    power: Tensor
    tonal_lines: Tensor


class FrontEnd(nn.Module):
    """Transform of blocks of audio into the network's input.

    Shape:
        - blocks: float32 ``[n_blocks, block_samples]``, any scale, of at least `FrontEndOptions.background_frames` frames
        - network input: float32 ``[n_blocks, 3, n_bins, n_frames]``, about -1 to 1.5; frames beyond a whole number of
          columns are left out
    """

    taper: Tensor

    def __init__(self, options: FrontEndOptions) -> None:
        super().__init__()
        self.options = options
        self._order_frames = _odd(_ORDER_S * options.rate_hz / options.frame_hop_samples)
        self._median_step = max(1, round(_MEDIAN_STEP_S * options.rate_hz / options.frame_hop_samples))
        self.register_buffer("taper", torch.hann_window(options.fft_samples), persistent=False)

    def power(self, blocks: Tensor) -> Tensor:
        """Return the power of each time-frequency bin, float32 ``[n_blocks, n_bins, n_frames]``."""
        o = self.options
        spectrum = torch.stft(
            blocks,
            o.fft_samples,
            hop_length=o.frame_hop_samples,
            window=self.taper,
            center=False,
            return_complex=True,
        )[:, o.low_bin : o.low_bin + o.n_bins]
        return spectrum.real.square() + spectrum.imag.square()

    def normalise(self, blocks: Tensor) -> NormalisedSpectrogram:
        """Return the power of blocks over each bin's median power in the seconds around it."""
        o = self.options
        power = self.power(blocks)
        power = power[..., : power.shape[-1] // o.column_frames * o.column_frames]
        margin = (o.background_frames - o.column_frames) // 2
        reflected = pad(power, (margin, margin), mode="reflect")
        frames = reflected.unfold(-1, o.background_frames, o.column_frames)[..., :: self._median_step]
        least = frames.mean(dim=(1, 3))[:, None] * _MIN_BACKGROUND + torch.finfo(power.dtype).tiny
        steps = torch.maximum(frames.median(dim=-1).values, least).log()
        level = interpolate(steps, scale_factor=o.column_frames, mode="linear")
        return NormalisedSpectrogram(power / level.exp(), level - mean_over_bins(level, _SMOOTHING_BINS))

    def network_input(self, spectrogram: NormalisedSpectrogram) -> Tensor:
        """Return the three channels of a spectrogram: logarithmic, bounded, centred."""
        o = self.options
        if o.features == "complexity":
            return self._complexity_input(spectrogram)
        level = (spectrogram.power.clamp(max=o.ceiling) + o.floor).log()
        with_lines = level + spectrogram.tonal_lines.clamp(-3, 3)
        if o.features == "both":
            order = complexity.band_complexity(spectrogram.power, _SMOOTHING_BINS, self._order_frames).order
            third = _rescaled(order, 2)
        else:
            third = (level - mean_over_bins(level, _SMOOTHING_BINS)) / 4
        return torch.stack([(level - 1) / 4, (with_lines - 1) / 4, third], dim=1)

    def _complexity_input(self, spectrogram: NormalisedSpectrogram) -> Tensor:
        o = self.options
        bands = complexity.band_complexity(spectrogram.power, _SMOOTHING_BINS, self._order_frames)
        series = complexity.spectral_series(spectrogram.power, o)
        scaled = _rescaled(series, series.new_tensor(_SERIES_SCALE)[:, None])
        stripes = scaled.repeat_interleave(-(-o.n_bins // len(_SERIES_SCALE)), dim=1)[:, : o.n_bins]
        return torch.stack([_rescaled(bands.order, 2), _rescaled(bands.squared, 10), stripes], dim=1)

    def forward(self, blocks: Tensor) -> Tensor:
        """Return the network's input of blocks."""
        return self.network_input(self.normalise(blocks))


def _odd(frames: float) -> int:
    """Return the nearest odd number of frames, so that a mean has a middle."""
    return 2 * round((frames - 1) / 2) + 1


def _rescaled(measure: Tensor, scale: Tensor | float) -> Tensor:
    """Return a measure of 0..1 in about the range of the levels."""
    return measure * scale - 0.5
