"""Front end: audio to the network's input, for single windows and for blocks of any length.

The network's input has three channels, as ImageNet's networks expect. All are made from one power spectrogram, normalised by
the background: each bin's own median in the window, or in the seconds around each frame of a block. The gain of a recorder
cancels exactly, the slope of ambient noise is flattened, and tonal lines (blade rates of ships, noise of electronics) fade,
because they are the median. `FrontEndOptions.features` names the channels:

``spectrogram``
    *Normalised power*, logarithmic. *Normalised power with tonal lines*: the same over the median of the neighbouring bins,
    so that tonal lines remain: where a line stops, the rest of it is not a call, and only this channel shows why.
    *Local power*: normalised power over its neighbours in frequency, in which knocks and clicks, which fill all bins, fade.
``complexity``
    *Order* (1 - H) and *C_SQ* of the band of 133 Hz around each time-frequency bin: 64 time series of complexity each. The
    *time series* of H, C_SQ, C_JSD and C_TV of the whole call band, each repeated over a quarter of the bins.
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
"""A bin's background is at least this share of the window's mean power, so that half-silent windows stay bounded."""
_SMOOTHING_BINS = 17
"""Bins (133 Hz) over which a background is smoothed, and for local power and order."""
_ORDER_FRAMES = 7
"""Frames averaged before the order of a band is computed."""
_BACKGROUND_FRAMES = 128
"""Frames of a block (2.56 s) whose median is a frame's background: about as many as a window has."""
COLUMN_FRAMES = 16
"""Frames of a block from one median to the next, between which it is interpolated; also from one column of the first
stage's output to the next."""
_MEDIAN_STEP = 4
"""The median is taken of every fourth of these frames: neighbours share most of their samples."""
_SERIES_SCALE = (2.0, 8.0, 4.0, 4.0)
"""Factors that bring H, C_SQ, C_JSD and C_TV to similar ranges."""


class NormalisedSpectrogram(NamedTuple):
    """The power of windows or blocks, split into what changes and what is steady.

    Attributes:
        power: power over the bin's background, float32 ``[n_windows, n_bins, n_frames]``, >= 0.
        tonal_lines: log of the bin's background over that of its neighbours, float32 ``[n_windows, n_bins, 1]`` for windows
            and ``[n_blocks, n_bins, n_frames]`` for blocks.
    """

    power: Tensor
    tonal_lines: Tensor


class FrontEnd(nn.Module):
    """Transform of windows into the network's input.

    Shape:
        - windows: float32 ``[n_windows, window_samples]``, any scale
        - network input: float32 ``[n_windows, 3, n_bins, n_frames]``, about -1 to 1.5
    """

    taper: Tensor

    def __init__(self, options: FrontEndOptions) -> None:
        super().__init__()
        self.options = options
        self.register_buffer("taper", torch.hann_window(options.fft_samples), persistent=False)

    def power(self, windows: Tensor) -> Tensor:
        """Return the power of each time-frequency bin, float32 ``[n_windows, n_bins, n_frames]``."""
        o = self.options
        spectrum = torch.stft(
            windows,
            o.fft_samples,
            hop_length=o.frame_hop_samples,
            window=self.taper,
            center=False,
            return_complex=True,
        )[:, o.low_bin : o.low_bin + o.n_bins]
        return spectrum.real.square() + spectrum.imag.square()

    def normalise(self, windows: Tensor) -> NormalisedSpectrogram:
        """Return the power of windows over each bin's median power in its window."""
        power = self.power(windows)
        background = _bounded(power.median(dim=-1, keepdim=True).values, power)
        level = background.log()
        return NormalisedSpectrogram(power / background, level - mean_over_bins(level, _SMOOTHING_BINS))

    def normalise_blocks(self, blocks: Tensor) -> NormalisedSpectrogram:
        """Return the power of blocks ``[n_blocks, block_samples]`` over each bin's median power in the seconds around it.

        Blocks have at least 64 frames; those beyond a whole number of `COLUMN_FRAMES` are left out.
        """
        power = self.power(blocks)
        power = power[..., : power.shape[-1] // COLUMN_FRAMES * COLUMN_FRAMES]
        margin = (_BACKGROUND_FRAMES - COLUMN_FRAMES) // 2
        reflected = pad(power, (margin, margin), mode="reflect")
        frames = reflected.unfold(-1, _BACKGROUND_FRAMES, COLUMN_FRAMES)[..., ::_MEDIAN_STEP]
        steps = _bounded(frames.median(dim=-1).values, power).log()
        level = interpolate(steps, scale_factor=COLUMN_FRAMES, mode="linear")
        return NormalisedSpectrogram(power / level.exp(), level - mean_over_bins(level, _SMOOTHING_BINS))

    def network_input(self, spectrogram: NormalisedSpectrogram) -> Tensor:
        """Return the three channels of a spectrogram: logarithmic, bounded, centred."""
        o = self.options
        if o.features == "complexity":
            return self._complexity_input(spectrogram)
        level = (spectrogram.power.clamp(max=o.ceiling) + o.floor).log()
        with_lines = level + spectrogram.tonal_lines.clamp(-3, 3)
        if o.features == "both":
            order = complexity.band_complexity(spectrogram.power, _SMOOTHING_BINS, _ORDER_FRAMES).order
            third = _rescaled(order, 2)
        else:
            third = (level - mean_over_bins(level, _SMOOTHING_BINS)) / 4
        return torch.stack([(level - 1) / 4, (with_lines - 1) / 4, third], dim=1)

    def _complexity_input(self, spectrogram: NormalisedSpectrogram) -> Tensor:
        o = self.options
        bands = complexity.band_complexity(spectrogram.power, _SMOOTHING_BINS, _ORDER_FRAMES)
        series = complexity.spectral_series(spectrogram.power, o.bin_hz, o.low_bin)
        scaled = _rescaled(series, series.new_tensor(_SERIES_SCALE)[:, None])
        stripes = scaled.repeat_interleave(-(-o.n_bins // len(_SERIES_SCALE)), dim=1)[:, : o.n_bins]
        return torch.stack([_rescaled(bands.order, 2), _rescaled(bands.squared, 10), stripes], dim=1)

    def forward(self, windows: Tensor) -> Tensor:
        """Return the network's input of windows."""
        return self.network_input(self.normalise(windows))


def _bounded(background: Tensor, power: Tensor) -> Tensor:
    """Return a background that is above 0, also in silence."""
    return torch.maximum(background, power.mean(dim=(1, 2), keepdim=True) * _MIN_BACKGROUND + torch.finfo(power.dtype).tiny)


def _rescaled(measure: Tensor, scale: Tensor | float) -> Tensor:
    """Return a measure of 0..1 in about the range of the levels."""
    return measure * scale - 0.5
