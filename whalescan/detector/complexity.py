r"""Complexity of a spectrum: normalised spectral entropy and three statistical complexities.

Let :math:`p_i` be the share of bin :math:`i` in the power of :math:`N` bins, :math:`u = 1/N` the uniform distribution:

===========  =================================================  ==========================================================
H            :math:`-\frac{1}{\ln N} \sum p_i \ln p_i`           entropy (Shannon 1948), 0 (one tone) to 1 (flat)
C_SQ         :math:`H \sum (p_i - u)^2`                         López-Ruiz, Mancini, Calbet 1995
C_JSD        :math:`H\, Q_0\, JSD(p, u)`                        Martin, Plastino, Rosso 2006; :math:`Q_0` makes the largest
                                                                divergence (a single tone) 1
C_TV         :math:`H\, (\tfrac12 \sum |p_i - u|)^2`            Berlin, Galyaev, Lysenko 2023 (Sensors 23:2133)
===========  =================================================  ==========================================================

All lie within 0..1. They are computed from power over the background, so that the reference for "no order" is flat: in raw
power, the slope of ambient noise would be the signal. C_SQ is largest for a narrow tone, C_JSD and C_TV for energy in about
a sixth of the bins (sweeps, harmonics), so they are used together.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, pad

from whalescan.detector.model_spec import FrontEndOptions

NAMES = ("H", "C_SQ", "C_JSD", "C_TV")
BAND_HZ = (50.0, 350.0)
AVERAGED_S = 0.4
"""Seconds of frames averaged before the shares are computed, because a single periodogram frame is too rough.

White noise in 64 bins has H 0.90 and C_JSD 0.14 in one frame, 0.97 and 0.04 in the mean of 4 independent ones. The
overlapping Hann frames of 0.4 s smooth as much as about 5 independent ones (Welch 1967).
"""


def averaged_frames(options: FrontEndOptions) -> int:
    """Return the number of frames in `AVERAGED_S`, odd, so that a mean has a middle."""
    return 2 * round((AVERAGED_S * options.rate_hz / options.frame_hop_samples - 1) / 2) + 1


def complexity(distribution: Tensor) -> Tensor:
    """Return H, C_SQ, C_JSD and C_TV of distributions along the second last axis.

    Args:
        distribution: ``[..., n_bins, n]``, not negative; it need not sum to 1. All-zero columns count as flat.

    Returns:
        ``[..., 4, n]``, each between 0 and 1.
    """
    n = distribution.shape[-2]
    total = distribution.sum(dim=-2, keepdim=True)
    flat = 1 / n
    p = torch.where(total > 0, distribution / total.clamp(min=torch.finfo(distribution.dtype).tiny), flat)
    entropy = _shannon(p) / math.log(n)
    squared = (p - flat).square().sum(dim=-2)
    # JSD of a single tone, which is the largest: the reciprocal of Q0
    largest = math.log(2) - ((n + 1) / n * math.log(n + 1) - math.log(n)) / 2
    divergence = (_shannon((p + flat) / 2) - _shannon(p) / 2 - math.log(n) / 2) / largest
    variation = ((p - flat).abs().sum(dim=-2) / 2).square()
    return torch.stack([entropy, entropy * squared, entropy * divergence, entropy * variation], dim=-2).clamp(0, 1)


def spectral_series(power: Tensor, options: FrontEndOptions) -> Tensor:
    """Return the four measures of the spectrum around each frame.

    The spectrum is the mean of `AVERAGED_S` around each frame; at the edges, of the frames that exist.

    Args:
        power: power over background ``[n_blocks, n_bins, n_frames]``, as `FrontEnd.normalise` returns it.
        options: of the front end that made it.

    Returns:
        float32 ``[n_blocks, 4, n_frames]`` in the order of `NAMES`, each between 0 and 1.
    """
    width = averaged_frames(options)
    # zero padding at the edges lowers the means, but not the shares of the bins
    return complexity(avg_pool1d(_band(power, options), width, stride=1, padding=width // 2))


_SILENCE = 1e-15
"""Power over background up to which a band counts as silent; its square would be indistinguishable from 0."""


class BandComplexity(NamedTuple):
    """Complexity of the band around each time-frequency bin: float32 ``[n_blocks, n_bins, n_frames]``, 0 to 1.

    Attributes:
        order: 1 - H: 0 where the band is flat, 1 where it is a single tone.
        squared: C_SQ.
    """

    order: Tensor
    squared: Tensor


def band_complexity(power: Tensor, n_bins: int, n_frames: int) -> BandComplexity:
    r"""Return order and C_SQ of the band of ``n_bins`` around each time-frequency bin.

    With :math:`m` the mean of a band's :math:`N` bins :math:`E_i`, the formulas above become
    :math:`H = 1 + (\ln m - \overline{E \ln E} / m) / \ln N` and :math:`D = (\overline{E^2} / m^2 - 1) / N`: three moving
    averages, however wide the band. The absolute differences in the other two measures cannot be computed in this way.

    Args:
        power: power over background ``[n_blocks, n_bins, n_frames]``.
        n_bins: width of a band, odd; at the edges, bands hold the bins that exist.
        n_frames: frames that are averaged first, odd.
    """
    averaged = avg_pool1d(power, n_frames, 1, n_frames // 2, count_include_pad=False)
    mean = mean_over_bins(averaged, n_bins)
    mean = torch.where(mean > _SILENCE, mean, 1)  # silence has no shares, and counts as flat
    n = mean_over_bins(torch.ones_like(averaged[:1]), n_bins, count_include_pad=True) * n_bins
    entropy = (1 + (mean.log() + mean_over_bins(torch.special.entr(averaged), n_bins) / mean) / n.log()).clamp(0, 1)
    distance = ((mean_over_bins(averaged.square(), n_bins) / mean.square() - 1) / n).clamp(0, 1)
    return BandComplexity(1 - entropy, entropy * distance)


def mean_over_bins(values: Tensor, n_bins: int, count_include_pad: bool = False) -> Tensor:
    """Return the moving average along the bins of ``[n_blocks, n_bins, n_frames]``; at the edges, of those that exist."""
    n_blocks, all_bins, n_frames = values.shape
    columns = values.transpose(1, 2).reshape(n_blocks, n_frames, all_bins)
    smooth = avg_pool1d(columns, n_bins, 1, n_bins // 2, count_include_pad=count_include_pad)
    return smooth.transpose(1, 2)


def column_complexity(power: Tensor, options: FrontEndOptions) -> Tensor:
    """Return the four measures of the spectrum around the middle of each column, the mean of `AVERAGED_S`.

    Args:
        power: power over background ``[n_blocks, n_bins, n_frames]``, as `FrontEnd.normalise` returns it.
        options: of the front end that made it.

    Returns:
        float32 ``[n_blocks, n_columns, 4]`` in the order of `NAMES`.
    """
    width = averaged_frames(options)
    around = pad(_band(power, options), (width // 2, width // 2))[..., options.first_frame :]
    averaged = avg_pool1d(around, width, options.column_frames, ceil_mode=True, count_include_pad=False)
    return complexity(averaged[..., : power.shape[-1] // options.column_frames]).transpose(1, 2)


def _band(power: Tensor, options: FrontEndOptions) -> Tensor:
    """Return the bins of `BAND_HZ`."""
    first, last = (round(edge_hz / options.bin_hz) - options.low_bin for edge_hz in BAND_HZ)
    return power[:, max(first, 0) : last]


def _shannon(p: Tensor) -> Tensor:
    """Return the entropy in nats along the second last axis; 0 log 0 = 0."""
    entropy: Tensor = torch.special.entr(p).sum(dim=-2)
    return entropy
