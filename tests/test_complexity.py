"""Complexity of spectra, compared with other packages, with theory, and on known sounds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import ordpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal
from scipy.spatial import distance
from scipy.special import digamma

from whalescan.detector.complexity import (
    BAND_HZ,
    averaged_frames,
    band_complexity,
    column_complexity,
    complexity,
    spectral_series,
)
from whalescan.detector.frontend import FrontEnd
from whalescan.detector.model_spec import FrontEndOptions

OPTIONS = FrontEndOptions()
FRAME, HOP = OPTIONS.fft_samples, OPTIONS.frame_hop_samples
BLOCK_SAMPLES = 8000
REACH = averaged_frames(OPTIONS) // 2
"""Frames before and after a frame that are averaged with it."""
FIRST_BIN, END_BIN = (round(edge_hz / OPTIONS.bin_hz) - OPTIONS.low_bin for edge_hz in BAND_HZ)
Doubles = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@pytest.fixture(scope="module")
def antropy() -> Iterator[ModuleType]:
    """Antropy without numba's compiler, which takes ten seconds at each import and is not needed here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_DISABLE_JIT", "1")
        import antropy

        yield antropy


def noise(n_blocks: int = 2, seed: int = 3) -> Doubles:
    return np.random.default_rng(seed).standard_normal((n_blocks, BLOCK_SAMPLES))


def normalised_power(blocks: Doubles | torch.Tensor) -> torch.Tensor:
    return FrontEnd(OPTIONS).normalise(torch.as_tensor(blocks, dtype=torch.float32)).power


def spectral(blocks: Doubles) -> Doubles:
    return spectral_series(normalised_power(blocks), OPTIONS).double().numpy()


# The four measures


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("n", [24, 64, 129])
def test_divergence_agrees_with_scipy(n: int, dtype: torch.dtype, tolerance: float) -> None:
    """SciPy returns the root of the divergence, in nats."""
    peaked = np.random.default_rng(n).gamma(0.1, size=(2, 3, n, 5))
    flat = np.full_like(peaked, 1 / n)
    largest = distance.jensenshannon(np.eye(n)[0], np.full(n, 1 / n)) ** 2
    h, _, c_jsd, _ = complexity(torch.tensor(peaked, dtype=dtype)).unbind(dim=-2)
    np.testing.assert_allclose(
        c_jsd, h.numpy() * distance.jensenshannon(peaked, flat, axis=-2) ** 2 / largest, atol=tolerance
    )


def test_entropy_agrees_with_antropy(antropy: ModuleType) -> None:
    """Antropy computes in bits and divides by log2 of the number of bins, which gives the same ratio as nats."""
    windows = noise()[:, :256]
    _, power = signal.periodogram(windows, OPTIONS.rate_hz)
    expected = antropy.spectral_entropy(windows, OPTIONS.rate_hz, normalize=True)
    np.testing.assert_allclose(complexity(torch.from_numpy(power[:, :, None]))[:, 0, 0], expected, rtol=1e-12)


def two_levels(n: int, occupied: int, share: float | Doubles) -> torch.Tensor:
    """Return columns in which some bins share a part of the power equally, and the other bins the rest."""
    shares = np.atleast_1d(share)
    return torch.from_numpy(
        np.vstack([np.tile(shares / occupied, (occupied, 1)), np.tile((1 - shares) / (n - occupied), (n - occupied, 1))])
    )


@pytest.mark.parametrize(
    ("n", "square", "tone_share", "divergence", "equal_bins"),
    [(24, 0.222, 0.73, 0.354, 6), (64, 0.213, 0.715, 0.397, 12), (129, 0.206, 0.71, 0.428, 20)],
)
def test_largest_complexities_agree_with_theory(
    n: int, square: float, tone_share: float, divergence: float, equal_bins: int
) -> None:
    """C_SQ is largest when one bin dominates, C_JSD when some bins are equal and the others empty."""
    shares = np.linspace(1 / n, 1, 2001)
    of_tone = complexity(two_levels(n, 1, shares))[1]
    assert of_tone.max() == pytest.approx(square, abs=6e-4)
    assert shares[of_tone.argmax()] == pytest.approx(tone_share, abs=0.006)

    of_equal_bins = torch.stack([complexity(two_levels(n, m, 1.0))[2, 0] for m in range(1, n)])
    assert of_equal_bins.max() == pytest.approx(divergence, abs=6e-4)
    assert of_equal_bins.argmax() + 1 == equal_bins


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "variation", "bins", "of_equal_bins"), [(24, 0.326, 5, 0.317), (64, 0.398, 11, 0.395), (129, 0.441, 18, 0.440)]
)
def test_variation_is_largest_where_the_other_bins_are_almost_empty(
    n: int, variation: float, bins: int, of_equal_bins: float
) -> None:
    best = torch.stack([complexity(two_levels(n, m, np.linspace(0.5, 1, 1001)))[3].max() for m in range(1, n // 2)])
    assert best.max() == pytest.approx(variation, abs=6e-4)
    assert best.argmax() + 1 == bins
    empty = [math.log(m) / math.log(n) * (1 - m / n) ** 2 for m in range(1, n)]
    assert max(empty) == pytest.approx(of_equal_bins, abs=6e-4)
    np.testing.assert_allclose([complexity(two_levels(n, m, 1.0))[3, 0] for m in range(1, n)], empty, atol=1e-12)


def test_divergence_reaches_but_does_not_cross_the_maximum_of_ordpy() -> None:
    """The maximum (Martin, Plastino, Rosso 2006) is a curve; lines between the points of ordpy lie just inside."""
    entropies, edge = ordpy.maximum_complexity_entropy(dx=4, m=20).T
    h, _, c_jsd, _ = complexity(two_levels(24, 6, np.linspace(0.25, 1, 500)))
    assert c_jsd.max() == pytest.approx(edge.max(), abs=1e-4)
    assert (c_jsd.numpy() <= np.interp(h, entropies, edge) + 2e-4).all()


largest_of_24 = {"H": 1.0, "C_SQ": 0.2225, "C_JSD": 0.3542, "C_TV": 0.3258}


@given(
    st.lists(st.just(0.0) | st.floats(1e-6, 1e6), min_size=24, max_size=24), st.sampled_from([torch.float32, torch.float64])
)
def test_measures_lie_between_zero_and_their_maxima(values: list[float], dtype: torch.dtype) -> None:
    measures = complexity(torch.tensor(values, dtype=dtype)[:, None])[:, 0]
    assert (measures >= 0).all()
    assert (measures <= torch.tensor(list(largest_of_24.values()))).all()
    assert (measures[1:] <= measures[0]).all(), "a disequilibrium is at most 1"


@pytest.mark.parametrize("n", [2, 24, 64, 129])
def test_a_single_bin_has_no_entropy_and_a_flat_spectrum_has_all(n: int) -> None:
    np.testing.assert_allclose(complexity(7 * torch.eye(n)), np.zeros((4, n)), atol=1e-6)
    np.testing.assert_allclose(complexity(torch.full((n, 3), 7.0)).T, [[1, 0, 0, 0]] * 3, atol=1e-6)


@given(exponent=st.integers(-60, 60))
def test_complexity_does_not_depend_on_gain(exponent: int) -> None:
    power = torch.from_numpy(noise()[:, :640].reshape(2, 64, 10) ** 2).float()
    assert torch.equal(complexity(power * 2.0**exponent), complexity(power))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("averaged", "c_sq", "c_jsd", "c_tv"),
    [(1, 0.0136, 0.1444, 0.1206), (4, 0.0037, 0.0442, 0.0368), (16, 0.00095, 0.0116, 0.0097)],
)
def test_complexity_of_white_noise_after_averaging(averaged: int, c_sq: float, c_jsd: float, c_tv: float) -> None:
    """64 bins, all but the first and last of 130 samples, are independent and exponential.

    Their shares after averaging k frames follow a Dirichlet distribution, whose mean entropy is known.
    """
    samples = np.random.default_rng(1).standard_normal((4000, averaged, 130))
    power = (np.abs(np.fft.rfft(samples)[..., 1:-1]) ** 2).mean(axis=1)
    h = (digamma(64 * averaged + 1) - digamma(averaged + 1)) / math.log(64)
    np.testing.assert_allclose(complexity(torch.from_numpy(power.T)).mean(dim=1), [h, c_sq, c_jsd, c_tv], rtol=0.01)


# Spectra


def mean_spectrum(cells: torch.Tensor, frame: int) -> torch.Tensor:
    """Return the mean of the call band around a frame, of the frames that exist: ``[n_blocks, n_bins]``."""
    band = cells[:, FIRST_BIN:END_BIN].double()
    return band[..., max(frame - REACH, 0) : frame + REACH + 1].mean(dim=-1)


def test_frames_are_averaged_with_the_neighbours_that_exist() -> None:
    cells = normalised_power(noise())
    series = spectral_series(cells, OPTIONS)
    assert (series.shape, series.dtype) == ((2, 4, cells.shape[-1]), torch.float32)
    around = [mean_spectrum(cells, frame) for frame in range(cells.shape[-1])]
    torch.testing.assert_close(series.double(), complexity(torch.stack(around, dim=-1)), atol=2e-6, rtol=0)


@pytest.mark.parametrize("column_frames", [8, 16])
def test_complexity_of_a_column_is_that_around_its_middle(column_frames: int) -> None:
    options = FrontEndOptions(column_frames=column_frames)
    cells = normalised_power(noise())
    of_columns = column_complexity(cells, options)
    middles = [options.first_frame + k * column_frames for k in range(cells.shape[-1] // column_frames)]
    assert (of_columns.shape, of_columns.dtype) == ((2, len(middles), 4), torch.float32)
    expected = complexity(torch.stack([mean_spectrum(cells, middle) for middle in middles], dim=-1))
    torch.testing.assert_close(of_columns.double(), expected.transpose(1, 2), atol=2e-6, rtol=0)


@pytest.mark.parametrize("middle", [0, 3, 20, 47])
def test_complexity_of_bands_is_that_of_each_band(middle: int) -> None:
    power = torch.from_numpy(np.random.default_rng(4).exponential(size=(3, 48, 12)) ** 2).float()
    bands = band_complexity(power, n_bins=17, n_frames=1)
    alone = complexity(power[:, max(middle - 8, 0) : middle + 9])
    torch.testing.assert_close(bands.order[:, middle], 1 - alone[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(bands.squared[:, middle], alone[:, 1], atol=1e-5, rtol=0)


def test_only_the_call_band_is_used() -> None:
    cells = normalised_power(noise())
    outside = cells.clone()
    outside[:, :FIRST_BIN] *= 100
    outside[:, END_BIN:] *= 100
    inside = cells.clone()
    inside[:, END_BIN - 1] *= 100
    series, of_outside, of_inside = (spectral_series(c, OPTIONS) for c in (cells, outside, inside))
    assert torch.equal(of_outside, series)
    assert (of_inside[:, 0] < series[:, 0]).all()


@given(gain=st.floats(1e-3, 1e3))
@settings(max_examples=20)
def test_spectral_series_does_not_depend_on_gain(gain: float) -> None:
    np.testing.assert_allclose(spectral(gain * noise(1)), spectral(noise(1)), atol=1e-5)


# Sounds

BEGIN, END = 3500, 5100
"""Samples of a sound: 0.8 s, less than half of a background, so that it does not become one."""


def tone() -> Doubles:
    return np.sin(2 * np.pi * 150 * np.arange(END - BEGIN) / OPTIONS.rate_hz)


def upsweep() -> Doubles:
    return signal.chirp(np.arange(END - BEGIN) / OPTIONS.rate_hz, 100, (END - BEGIN) / OPTIONS.rate_hz, 200)


def frames_with(sound: Doubles) -> tuple[Doubles, np.ndarray, np.ndarray]:
    """Return blocks of noise with a sound, the frames wholly inside it, and those wholly outside, neighbours included."""
    blocks = noise()
    blocks[:, BEGIN:END] += 2 * sound
    begins = HOP * np.arange(normalised_power(blocks).shape[-1])
    first, last = begins - HOP * REACH, begins + HOP * REACH + FRAME
    return blocks, (first >= BEGIN) & (last <= END), (last <= BEGIN) | (first >= END)


@pytest.mark.parametrize("sound", [tone(), upsweep()], ids=["tone", "upsweep"])
def test_complexity_is_high_only_during_a_sound(sound: Doubles) -> None:
    blocks, during, away = frames_with(sound)
    assert during.sum() > 5
    assert away.mean() > 0.3
    h, *complexities = spectral(blocks).swapaxes(0, 1)
    assert h[:, during].max() < h[:, away].min()
    for c in complexities:
        assert c[:, during].min() > c[:, away].max()
