"""From a window of sound to the picture that the network sees.

A picture has three channels, made from one log-power spectrogram:

0. *Contrast*: each bin over its own median in the window. The gain of a recorder cancels exactly, the red slope of the
   sea is flattened, and steady lines - a ship's blade rate, a whine of the electronics - fade: they are the median.
1. *Contrast with lines*: the same over the median of the neighbouring bins, so that steady lines stand out again: what is
   left of a line where it stops is not a call, and only this channel shows why.
2. *Local contrast*: channel 0 over the mean of its neighbours in frequency, in which knocks and clicks, that fill all bins
   at once, fade.

Long analysis windows win on these calls: 128 ms (256 points at 2 kHz) resolve 8 Hz, and a short hop keeps the sweep smooth.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d

from whalescan.detector.spec import FrontEndOptions

N_CHANNELS = 3
_SILENCE = 1e-6
"""A bin's background is at least this part of the window's mean power: half-silent windows must not glare."""
_NEIGHBOURS = 17
"""Bins (133 Hz) over which a background is smoothed to tell a line from the slope, and local contrast is taken."""


class Contrast(NamedTuple):
    """A window's power, split into what moves and what stays.

    Attributes:
        cells: power over the bin's background, float32 ``[n_windows, n_bins, n_frames]``, >= 0.
        lines: log of the bin's background over that of its neighbours, float32 ``[n_windows, n_bins, 1]``.
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

    def contrast(self, windows: Tensor) -> Contrast:
        """Power of each time-frequency cell over its bin's median power in this window."""
        o = self.options
        spectrum = torch.stft(
            windows,
            o.fft_samples,
            hop_length=o.frame_hop_samples,
            window=self.taper,
            center=False,
            return_complex=True,
        )[:, o.low_bin : o.low_bin + o.n_bins]
        power = spectrum.real.square() + spectrum.imag.square()
        quietest = power.mean(dim=(1, 2), keepdim=True) * _SILENCE + torch.finfo(power.dtype).tiny
        background = torch.maximum(power.median(dim=-1, keepdim=True).values, quietest)
        level = background.log()
        return Contrast(power / background, level - _smooth_bins(level))

    def picture(self, contrast: Contrast) -> Tensor:
        """Contrast as the network sees it: logarithmic, bounded, centred."""
        o = self.options
        level = (contrast.cells.clamp(max=o.ceiling) + o.floor).log()
        with_lines = level + contrast.lines.clamp(-3, 3)
        local = level - _smooth_bins(level)
        return (torch.stack([level - 1, with_lines - 1, local], dim=1)) / 4

    def forward(self, windows: Tensor) -> Tensor:
        """Pictures of windows."""
        return self.picture(self.contrast(windows))


def _smooth_bins(level: Tensor) -> Tensor:
    """Mean over neighbouring bins of ``[n_windows, n_bins, n]``."""
    n_windows, n_bins, n = level.shape
    columns = level.transpose(1, 2).reshape(n_windows, n, n_bins)
    smooth = avg_pool1d(columns, _NEIGHBOURS, stride=1, padding=_NEIGHBOURS // 2, count_include_pad=False)
    return smooth.transpose(1, 2)
