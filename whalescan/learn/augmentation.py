"""What may happen to a call at sea without its being another call. Each function takes and returns a batch of tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True, slots=True)
class AugmentationOptions:
    """How strongly training examples are varied.

    Attributes:
        noise_share: part of the windows that gets white noise.
        noise_snr_db: range of the window's power over the noise's.
        shift_frames: largest shift in time, both ways.
        shift_bins: largest shift in frequency, both ways.
        mask_frames, mask_bins: widest mask of SpecAugment (Park 2019) in time and frequency.
        n_masks: masks of each kind.
        mixup_alpha: parameter of mixup's Beta distribution (Zhang 2018).
    """

    noise_share: float = 0.4
    noise_snr_db: tuple[float, float] = (5.0, 25.0)
    shift_frames: int = 24
    shift_bins: int = 1
    mask_frames: int = 16
    mask_bins: int = 8
    n_masks: int = 2
    mixup_alpha: float = 0.3


def add_noise(windows: Tensor, options: AugmentationOptions, random: Generator) -> Tensor:
    """White noise at a drawn SNR on a share of the windows ``[n, window_samples]``."""
    n = len(windows)
    low_db, high_db = options.noise_snr_db
    snr_db = low_db + (high_db - low_db) * torch.rand(n, 1, generator=random)
    noisy = torch.rand(n, 1, generator=random) < options.noise_share
    rms = windows.square().mean(dim=1, keepdim=True).sqrt()
    noise = torch.randn(windows.shape, generator=random) * rms * 10 ** (-snr_db / 20)
    return torch.where(noisy, windows + noise, windows)


def shift(pictures: Tensor, options: AugmentationOptions, random: Generator) -> Tensor:
    """Roll each picture ``[n, 3, bins, frames]`` in time and frequency.

    A bin's median over the window does not change when the window is rolled, so a rolled picture is the picture of the
    rolled sound, without the click that a cut in the sound would make.
    """
    rolled = []
    for picture in pictures:
        frames = int(torch.randint(-options.shift_frames, options.shift_frames + 1, (), generator=random))
        bins = int(torch.randint(-options.shift_bins, options.shift_bins + 1, (), generator=random))
        rolled.append(picture.roll((bins, frames), dims=(1, 2)))
    return torch.stack(rolled)


def mask(pictures: Tensor, options: AugmentationOptions, random: Generator) -> Tensor:
    """SpecAugment: set random stripes in time and frequency to the picture's mean."""
    n, _, n_bins, n_frames = pictures.shape
    hidden = torch.zeros(n, 1, n_bins, n_frames, dtype=torch.bool)
    for _ in range(options.n_masks):
        hidden |= _stripes(n, n_frames, options.mask_frames, random)[:, None, None, :]
        hidden |= _stripes(n, n_bins, options.mask_bins, random)[:, None, :, None]
    return torch.where(hidden, pictures.mean(dim=(2, 3), keepdim=True), pictures)


def _stripes(n: int, length: int, widest: int, random: Generator) -> Tensor:
    width = torch.randint(0, widest + 1, (n, 1), generator=random)
    begin = (torch.rand(n, 1, generator=random) * (length - width)).long()
    position = torch.arange(length)
    return (position >= begin) & (position < begin + width)


def mixup(pictures: Tensor, targets: Tensor, options: AugmentationOptions, random: Generator) -> tuple[Tensor, Tensor]:
    """Blend each example with another one, picture and target alike."""
    n = len(pictures)
    # Beta(a, a) from two gammas, which is what a seeded torch generator offers
    gammas = torch._standard_gamma(torch.full((2, n), options.mixup_alpha), generator=random)
    share = gammas[0] / gammas.sum(dim=0).clamp(min=1e-30)
    share = torch.maximum(share, 1 - share)
    other = torch.randperm(n, generator=random)
    blend = share[:, None, None, None]
    mixed = blend * pictures + (1 - blend) * pictures[other]
    return mixed, share[:, None] * targets + (1 - share[:, None]) * targets[other]
