r"""How ordered a sound is: normalised spectral entropy and three statistical complexities.

Let :math:`p_i` be the share of bin :math:`i` in the power of :math:`N` bins, :math:`u = 1/N` the uniform distribution:

===========  =================================================  ==========================================================
H            :math:`-\frac{1}{\ln N} \sum p_i \ln p_i`           entropy (Shannon 1948), 0 (one tone) to 1 (flat)
C_SQ         :math:`H \sum (p_i - u)^2`                         López-Ruiz, Mancini, Calbet 1995
C_JSD        :math:`H\, Q_0\, JSD(p, u)`                        Martin, Plastino, Rosso 2006; :math:`Q_0` makes the largest
                                                                divergence (a single tone) 1
C_TV         :math:`H\, (\tfrac12 \sum |p_i - u|)^2`            Berlin, Galyaev, Lysenko 2023 (Sensors 23:2133)
===========  =================================================  ==========================================================

All lie within 0..1. They are taken on power over the background, so that the reference for "no order" is flat: on raw power
the red slope of the sea would be the signal.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

NAMES = ("H", "C_SQ", "C_JSD", "C_TV")
BAND_HZ = (50.0, 350.0)
AVERAGED_FRAMES = 15
"""Frames averaged before the shares are taken (about 0.3 s of sound): one periodogram frame alone is too rough."""


def complexity(distribution: Tensor) -> Tensor:
    """H, C_SQ, C_JSD and C_TV of distributions along the second last axis.

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


def window_complexity(contrast: Tensor, bin_hz: float, low_bin: int) -> Tensor:
    """Means of the four measures over a window.

    Args:
        contrast: power over background ``[n_windows, n_bins, n_frames]``, as `FrontEnd.contrast` gives it.
        bin_hz: width of a bin.
        low_bin: number of the first bin.

    Returns:
        float32 ``[n_windows, 4]`` in the order of `NAMES`.
    """
    first, last = (round(edge_hz / bin_hz) - low_bin for edge_hz in BAND_HZ)
    band = contrast[:, max(first, 0) : last]
    averaged = torch.nn.functional.avg_pool1d(band, AVERAGED_FRAMES, AVERAGED_FRAMES)
    return complexity(averaged).mean(dim=-1)


def _shannon(p: Tensor) -> Tensor:
    """Entropy in nats along the second last axis; 0 log 0 = 0."""
    entropy: Tensor = torch.special.entr(p).sum(dim=-2)
    return entropy
