"""What may happen to a call at sea without its being another call. Each function takes and returns a batch of tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from whalescan.core import FloatArray
from whalescan.detector.frontend import FrontEnd
from whalescan.detector.model_spec import FrontEndOptions


@dataclass(frozen=True, slots=True)
class AugmentationOptions:
    """How strongly training examples are varied.

    Attributes:
        sea_share: part of the windows that other recordings' sound is mixed into. None by default: it makes a detector
            readier to take faint fragments for calls (the model card has the figures).
        sea_snr_db: range of the trace's power over that sound's, both inside the trace's box.
        noise_share: part of the windows that gets white noise.
        noise_snr_db: the same for that.
        shift_s, shift_bins: largest shift in time and frequency, both ways.
        mask_s, mask_bins: widest mask of SpecAugment (Park 2019) in time and frequency.
        n_masks: masks of each kind.
        mixup_alpha: parameter of mixup's Beta distribution (Zhang 2018).
    """

    sea_share: float = 0.0
    sea_snr_db: tuple[float, float] = (3.0, 20.0)
    noise_share: float = 0.4
    noise_snr_db: tuple[float, float] = (-6.0, 20.0)
    shift_s: float = 0.3
    shift_bins: int = 1
    mask_s: float = 0.2
    mask_bins: int = 8
    n_masks: int = 2
    mixup_alpha: float = 0.3


def inside(boxes: FloatArray, options: FrontEndOptions) -> Tensor:
    """Cells ``[n, n_bins, n_frames]``: 1 where the middle lies in a box ``[n, 4]`` (samples, samples, Hz, Hz), else 0."""
    begin, end, low_hz, high_hz = torch.from_numpy(boxes).T[:, :, None, None]
    middle = torch.arange(options.n_frames) * options.frame_hop_samples + options.fft_samples / 2
    bin_hz = ((torch.arange(options.n_bins) + options.low_bin) * options.bin_hz)[:, None]
    within: Tensor = (begin <= middle) & (middle <= end) & (low_hz <= bin_hz) & (bin_hz <= high_hz)
    return within.float()


def mix_in(
    windows: Tensor, sea: Tensor, within: Tensor, frontend: FrontEnd, options: AugmentationOptions, random: Generator
) -> Tensor:
    """Add other recordings' sound to a share of the windows, as loud as leaves their labels true.

    A call under louder noise is still labelled a call, and a network that is told so learns that noise is calls. So the
    noise is measured where it matters: in the box of the window's strongest trace.

    Args:
        windows: float32 ``[n, window_samples]``.
        sea: as many windows of other sound.
        within: ``[n, n_bins, n_frames]``, 1 inside the box of each window's strongest trace, as `inside` gives it.
        frontend: makes the spectrograms in which power is measured.
        options: share and range of SNR.
        random: draws.
    """
    return _add(windows, sea, within, frontend, options.sea_share, options.sea_snr_db, random)


def add_noise(
    windows: Tensor, within: Tensor, frontend: FrontEnd, options: AugmentationOptions, random: Generator
) -> Tensor:
    """Add white noise to a share of the windows, measured as in `mix_in`."""
    noise = torch.randn(windows.shape, generator=random).to(windows.device)
    return _add(windows, noise, within, frontend, options.noise_share, options.noise_snr_db, random)


def _add(
    windows: Tensor,
    noise: Tensor,
    within: Tensor,
    frontend: FrontEnd,
    share: float,
    range_db: tuple[float, float],
    random: Generator,
) -> Tensor:
    n, (low_db, high_db) = len(windows), range_db
    snr_db = (low_db + (high_db - low_db) * torch.rand(n, generator=random)).to(windows.device)
    chosen = (torch.rand(n, generator=random) < share).to(windows.device)
    trace, other = ((frontend.power(sound) * within).sum(dim=(1, 2)) for sound in (windows, noise))
    # silence in the box would have to be made infinitely loud
    gain = torch.where(other > 0, trace / other * 10 ** (-snr_db / 10), 0).sqrt()
    return torch.where(chosen[:, None], windows + gain[:, None] * noise, windows)


def shift(pictures: Tensor, frame_s: float, options: AugmentationOptions, random: Generator) -> Tensor:
    """Roll each picture ``[n, 3, n_bins, n_frames]``, with a frame every ``frame_s``, in time and frequency.

    A bin's median over the window does not change when the window is rolled, so a rolled picture is the picture of the
    rolled sound, without the click that a cut in the sound would make.
    """
    furthest, rolled = round(options.shift_s / frame_s), []
    for picture in pictures:
        frames = int(torch.randint(-furthest, furthest + 1, (), generator=random))
        bins = int(torch.randint(-options.shift_bins, options.shift_bins + 1, (), generator=random))
        rolled.append(picture.roll((bins, frames), dims=(1, 2)))
    return torch.stack(rolled)


def mask(pictures: Tensor, frame_s: float, options: AugmentationOptions, random: Generator) -> Tensor:
    """SpecAugment: set random stripes in time and frequency to the picture's mean."""
    n, _, n_bins, n_frames = pictures.shape
    hidden = torch.zeros(n, 1, n_bins, n_frames, dtype=torch.bool)
    for _ in range(options.n_masks):
        hidden |= _stripes(n, n_frames, round(options.mask_s / frame_s), random)[:, None, None, :]
        hidden |= _stripes(n, n_bins, options.mask_bins, random)[:, None, :, None]
    return torch.where(hidden.to(pictures.device), pictures.mean(dim=(2, 3), keepdim=True), pictures)


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
    other = torch.randperm(n, generator=random).to(pictures.device)
    share = share.to(pictures.device)
    blend = share[:, None, None, None]
    mixed = blend * pictures + (1 - blend) * pictures[other]
    return mixed, share[:, None] * targets + (1 - share[:, None]) * targets[other]
