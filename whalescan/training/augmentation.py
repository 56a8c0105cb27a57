"""Augmentation of batches of training examples: background, white noise, shift, masks, mixup."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from whalescan.core import FloatArray
from whalescan.detector.frontend import FrontEnd
from whalescan.detector.model_spec import FrontEndOptions


@dataclass(frozen=True, slots=True)
class AugmentationOptions:
    """Strength of the augmentation.

    Attributes:
        background_share: share of the windows to which sound of recordings without calls is added. 0 by default: a detector
            trained with added background detects faint fragments as calls more often (figures in the model card).
        background_snr_db: range of the ratio of the call's power to the power of the background, both inside the call's box.
        noise_share: share of the windows to which white noise is added.
        noise_snr_db: range of the ratio of the call's power to the power of the white noise, measured in the same way.
        shift_s, shift_bins: largest shift in time and frequency, in both directions.
        mask_s, mask_bins: largest width of a mask of SpecAugment (Park 2019) in time and frequency.
        n_masks: number of masks in time, and as many in frequency.
        mixup_alpha: parameter of the Beta distribution of mixup (Zhang 2018).
    """

    background_share: float = 0.0
    background_snr_db: tuple[float, float] = (3.0, 20.0)
    noise_share: float = 0.4
    noise_snr_db: tuple[float, float] = (-6.0, 20.0)
    shift_s: float = 0.3
    shift_bins: int = 1
    mask_s: float = 0.2
    mask_bins: int = 8
    n_masks: int = 2
    mixup_alpha: float = 0.3


def box_mask(boxes: FloatArray, options: FrontEndOptions) -> Tensor:
    """Return ``[n, n_bins, n_frames]``: 1 for time-frequency bins with their centre in the box ``[n, 4]``, else 0.

    A box is begin and end in samples, low and high frequency in Hz.
    """
    begin, end, low_hz, high_hz = torch.from_numpy(boxes).T[:, :, None, None]
    middle = torch.arange(options.n_frames) * options.frame_hop_samples + options.fft_samples / 2
    bin_hz = ((torch.arange(options.n_bins) + options.low_bin) * options.bin_hz)[:, None]
    within: Tensor = (begin <= middle) & (middle <= end) & (low_hz <= bin_hz) & (bin_hz <= high_hz)
    return within.float()


def add_background(
    windows: Tensor, background: Tensor, in_box: Tensor, frontend: FrontEnd, options: AugmentationOptions, random: Generator
) -> Tensor:
    """Return the windows with background added to a share of them, at a signal-to-noise ratio that keeps the label correct.

    A call that background masks would still be labelled as a call, and the network would learn to detect background.
    Therefore both powers are measured inside the box of the strongest trace of the window.

    Args:
        windows: float32 ``[n, window_samples]``.
        background: float32 ``[n, window_samples]``, sound without calls.
        in_box: ``[n, n_bins, n_frames]``, 1 inside the box of the strongest trace of each window, from `box_mask`.
        frontend: computes the spectrograms in which power is measured.
        options: share of the windows and range of signal-to-noise ratios.
        random: random generator.
    """
    return _add_at_snr(windows, background, in_box, frontend, options.background_share, options.background_snr_db, random)


def add_noise(
    windows: Tensor, in_box: Tensor, frontend: FrontEnd, options: AugmentationOptions, random: Generator
) -> Tensor:
    """Return the windows with white noise added to a share of them; power is measured as in `add_background`."""
    noise = torch.randn(windows.shape, generator=random).to(windows.device)
    return _add_at_snr(windows, noise, in_box, frontend, options.noise_share, options.noise_snr_db, random)


def _add_at_snr(
    windows: Tensor,
    noise: Tensor,
    in_box: Tensor,
    frontend: FrontEnd,
    share: float,
    range_db: tuple[float, float],
    random: Generator,
) -> Tensor:
    n, (low_db, high_db) = len(windows), range_db
    snr_db = (low_db + (high_db - low_db) * torch.rand(n, generator=random)).to(windows.device)
    chosen = (torch.rand(n, generator=random) < share).to(windows.device)
    signal_power, noise_power = ((frontend.power(sound) * in_box).sum(dim=(1, 2)) for sound in (windows, noise))
    # digital silence has no power, and no gain gives it the wanted ratio
    gain = torch.where(noise_power > 0, signal_power / noise_power * 10 ** (-snr_db / 10), 0).sqrt()
    return torch.where(chosen[:, None], windows + gain[:, None] * noise, windows)


def shift(spectrograms: Tensor, frame_s: float, options: AugmentationOptions, random: Generator) -> Tensor:
    """Return each spectrogram ``[n, 3, n_bins, n_frames]``, with a frame every ``frame_s``, rolled in time and frequency.

    The median of a frequency bin over the window does not change, so this equals the spectrogram of the rolled samples,
    without the click that rolling the samples would cause.
    """
    furthest, rolled = round(options.shift_s / frame_s), []
    for spectrogram in spectrograms:
        frames = int(torch.randint(-furthest, furthest + 1, (), generator=random))
        bins = int(torch.randint(-options.shift_bins, options.shift_bins + 1, (), generator=random))
        rolled.append(spectrogram.roll((bins, frames), dims=(1, 2)))
    return torch.stack(rolled)


def mask(spectrograms: Tensor, frame_s: float, options: AugmentationOptions, random: Generator) -> Tensor:
    """Return spectrograms in which random stripes in time and frequency are set to the mean (SpecAugment)."""
    n, _, n_bins, n_frames = spectrograms.shape
    hidden = torch.zeros(n, 1, n_bins, n_frames, dtype=torch.bool)
    for _ in range(options.n_masks):
        hidden |= _stripes(n, n_frames, round(options.mask_s / frame_s), random)[:, None, None, :]
        hidden |= _stripes(n, n_bins, options.mask_bins, random)[:, None, :, None]
    return torch.where(hidden.to(spectrograms.device), spectrograms.mean(dim=(2, 3), keepdim=True), spectrograms)


def _stripes(n: int, length: int, widest: int, random: Generator) -> Tensor:
    """Return bool ``[n, length]``, true in one random run of 0 to ``widest`` positions per row."""
    width = torch.randint(0, widest + 1, (n, 1), generator=random)
    begin = (torch.rand(n, 1, generator=random) * (length - width)).long()
    position = torch.arange(length)
    return (position >= begin) & (position < begin + width)


def mixup(spectrograms: Tensor, targets: Tensor, options: AugmentationOptions, random: Generator) -> tuple[Tensor, Tensor]:
    """Return each example blended with another one, spectrogram and target in the same proportion (Zhang 2018)."""
    n = len(spectrograms)
    # Beta(a, a) is made of two gamma variables: torch has no Beta distribution that takes a generator
    gammas = torch._standard_gamma(torch.full((2, n), options.mixup_alpha), generator=random)
    share = gammas[0] / gammas.sum(dim=0).clamp(min=1e-30)
    share = torch.maximum(share, 1 - share)
    other = torch.randperm(n, generator=random).to(spectrograms.device)
    share = share.to(spectrograms.device)
    blend = share[:, None, None, None]
    mixed = blend * spectrograms + (1 - blend) * spectrograms[other]
    return mixed, share[:, None] * targets + (1 - share[:, None]) * targets[other]
