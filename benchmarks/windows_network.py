"""The network of `plain` and `opensoundscape`: timm's Xception on spectrograms of separate windows, as peers run networks.

Its weights are random, which changes nothing about its speed.
"""

from __future__ import annotations

import timm
import torch
from torch import Tensor, nn

RATE_HZ, WINDOW_SAMPLES = 2000, 4000
N_BINS, N_FRAMES = 64, 94
LOW_BIN, FFT_SAMPLES, FRAME_HOP_SAMPLES = 2, 256, 40
BAND_HZ = (LOW_BIN * RATE_HZ / FFT_SAMPLES, (LOW_BIN + N_BINS) * RATE_HZ / FFT_SAMPLES)
_FLOOR = 0.05


def make_network() -> nn.Module:
    """Return the network, from images float32 ``[n_windows, 3, N_BINS, N_FRAMES]`` to a logit each, in evaluation mode."""
    network: nn.Module = timm.create_model("legacy_xception", num_classes=1, in_chans=3).eval()
    return network


class WindowsNetwork(nn.Module):
    """The network with its spectrogram: windows float32 ``[n_windows, 4000]`` to scores ``[n_windows]``."""

    taper: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.network = make_network()
        self.register_buffer("taper", torch.hann_window(FFT_SAMPLES))

    def forward(self, windows: Tensor) -> Tensor:
        """Return the scores of windows."""
        spectrum = torch.stft(windows, FFT_SAMPLES, FRAME_HOP_SAMPLES, window=self.taper, center=False, return_complex=True)[
            :, LOW_BIN : LOW_BIN + N_BINS
        ]
        power = spectrum.real.square() + spectrum.imag.square()
        level = (power / power.median(dim=-1, keepdim=True).values.clamp(min=1e-20) + _FLOOR).log()
        logits: Tensor = self.network(level[:, None].expand(-1, 3, -1, -1))
        return logits[:, 0].sigmoid()
