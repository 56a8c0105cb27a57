"""From sound to the picture that a network sees: of a window, or of a strip of sound that is as long as one likes.

A picture has three channels, as ImageNet's networks want them. All are made from one power spectrogram, over each bin's
own median in the window, or in the seconds around each frame of a strip: the gain of a recorder cancels exactly, the red
slope of the sea is flattened, and steady lines - a ship's blade rate, a whine of the electronics - fade, since they are the
median. `FrontEndOptions.features` names the channels:

``spectrogram``
    *Contrast*, the logarithm of that. *Contrast with lines*: the same over the median of the neighbouring bins, so that
    steady lines stand out again: what is left of a line where it stops is not a call, and only this channel shows why.
    *Local contrast*: contrast over its neighbours in frequency, in which knocks and clicks, that fill all bins, fade.
``complexity``
    *Order* (1 - H) and *C_SQ* of the band of 133 Hz around each cell: 64 time series of complexity each, one a band. And the
    *time series* of H, C_SQ, C_JSD and C_TV of the whole call band, each a stripe as high as a quarter of the picture.
``both``
    Contrast, contrast with lines, and order.

Long analysis windows win on these calls: 128 ms (256 points at 2 kHz) resolve 8 Hz, and a short hop keeps the sweep smooth.
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
_SILENCE = 1e-6
"""A bin's background is at least this part of the window's mean power: half-silent windows must not glare."""
_NEIGHBOURS = 17
"""Bins (133 Hz) over which a background is smoothed to tell lines from the slope, and local contrast and order are taken."""
_ORDER_FRAMES = 7
"""Frames whose mean the order of a band is taken of."""
_BACKGROUND_FRAMES = 128
"""Frames of a strip (2.56 s) whose median is a frame's background: about as many as a window has."""
COLUMN_FRAMES = 16
"""Frames of a strip from one median to the next, between which it is interpolated; and from one column of what a network
makes of strips to the next."""
_EVERY = 4
"""Of these frames, the median is taken of one in so many: neighbours share most of their sound, and add little but time."""
_SERIES_SCALE = (2.0, 8.0, 4.0, 4.0)
"""What brings H, C_SQ, C_JSD and C_TV to about the same range, so that none drowns."""


class Contrast(NamedTuple):
    """The power of a window or strip, split into what moves and what stays.

    Attributes:
        cells: power over the bin's background, float32 ``[n_windows, n_bins, n_frames]``, >= 0.
        lines: log of the bin's background over that of its neighbours, float32 ``[n_windows, n_bins, 1]`` for windows and
            ``[n_strips, n_bins, n_frames]`` for strips.
    """

    cells: Tensor
    lines: Tensor


class FrontEnd(nn.Module):
    """Windows of sound to pictures.

    Shape:
        - windows: float32 ``[n_windows, window_samples]``, any scale
        - pictures: float32 ``[n_windows, 3, n_bins, n_frames]``, about -1 to 1.5
    """

    taper: Tensor

    def __init__(self, options: FrontEndOptions) -> None:
        super().__init__()
        self.options = options
        self.register_buffer("taper", torch.hann_window(options.fft_samples), persistent=False)

    def power(self, windows: Tensor) -> Tensor:
        """Power of each time-frequency cell, float32 ``[n_windows, n_bins, n_frames]``."""
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

    def contrast(self, windows: Tensor) -> Contrast:
        """Power of each time-frequency cell over its bin's median power in this window."""
        power = self.power(windows)
        background = _audible(power.median(dim=-1, keepdim=True).values, power)
        level = background.log()
        return Contrast(power / background, level - mean_over_bins(level, _NEIGHBOURS))

    def contrast_along(self, strips: Tensor) -> Contrast:
        """Power of each cell of strips ``[n_strips, strip_samples]`` over its bin's median power in the seconds around it.

        Strips hold at least 64 frames; of the last, those that lack to a whole number of `COLUMN_FRAMES` are left out.
        """
        power = self.power(strips)
        power = power[..., : power.shape[-1] // COLUMN_FRAMES * COLUMN_FRAMES]
        around = (_BACKGROUND_FRAMES - COLUMN_FRAMES) // 2
        mirrored = pad(power, (around, around), mode="reflect")
        seen = mirrored.unfold(-1, _BACKGROUND_FRAMES, COLUMN_FRAMES)[..., ::_EVERY]
        steps = _audible(seen.median(dim=-1).values, power).log()
        level = interpolate(steps, scale_factor=COLUMN_FRAMES, mode="linear")
        return Contrast(power / level.exp(), level - mean_over_bins(level, _NEIGHBOURS))

    def picture(self, contrast: Contrast) -> Tensor:
        """Contrast as the network sees it: logarithmic, bounded, centred."""
        o = self.options
        if o.features == "complexity":
            return self._complexity_picture(contrast)
        level = (contrast.cells.clamp(max=o.ceiling) + o.floor).log()
        with_lines = level + contrast.lines.clamp(-3, 3)
        if o.features == "both":
            third = _centred(complexity.of_bands(contrast.cells, _NEIGHBOURS, _ORDER_FRAMES).order, 2)
        else:
            third = (level - mean_over_bins(level, _NEIGHBOURS)) / 4
        return torch.stack([(level - 1) / 4, (with_lines - 1) / 4, third], dim=1)

    def _complexity_picture(self, contrast: Contrast) -> Tensor:
        o = self.options
        bands = complexity.of_bands(contrast.cells, _NEIGHBOURS, _ORDER_FRAMES)
        series = complexity.spectral_series(contrast.cells, o.bin_hz, o.low_bin)
        scaled = _centred(series, series.new_tensor(_SERIES_SCALE)[:, None])
        stripes = scaled.repeat_interleave(-(-o.n_bins // len(_SERIES_SCALE)), dim=1)[:, : o.n_bins]
        return torch.stack([_centred(bands.order, 2), _centred(bands.squared, 10), stripes], dim=1)

    def forward(self, windows: Tensor) -> Tensor:
        """Pictures of windows."""
        return self.picture(self.contrast(windows))


def _audible(background: Tensor, power: Tensor) -> Tensor:
    """A background that is not quite silent, so that nothing is divided by nothing."""
    return torch.maximum(background, power.mean(dim=(1, 2), keepdim=True) * _SILENCE + torch.finfo(power.dtype).tiny)


def _centred(measure: Tensor, scale: Tensor | float) -> Tensor:
    """A measure of 0..1 in about the range that levels have."""
    return measure * scale - 0.5
