"""Complexity of spectra and of waveforms, against other programs, against theory, and on sounds whose order is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import permutations
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

from whalescan.detector.complexity import AVERAGED_FRAMES, BAND_HZ, complexity, spectral_series, window_complexity
from whalescan.detector.frontend import FrontEnd
from whalescan.detector.model_spec import FrontEndOptions
from whalescan.detector.ordinal import ordinal_distribution, ordinal_series

OPTIONS = FrontEndOptions()
FRAME, HOP = OPTIONS.fft_samples, OPTIONS.frame_hop_samples
FIRST_BIN, END_BIN = (round(edge_hz / OPTIONS.bin_hz) - OPTIONS.low_bin for edge_hz in BAND_HZ)
Doubles = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@pytest.fixture(scope="module")
def antropy() -> Iterator[ModuleType]:
    """Antropy without numba's compiler: it takes ten seconds at each import, and nothing compared here is compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_DISABLE_JIT", "1")
        import antropy

        yield antropy


def noise(n_windows: int = 2, seed: int = 3) -> Doubles:
    return np.random.default_rng(seed).standard_normal((n_windows, OPTIONS.window_samples))


def contrast_of(windows: Doubles | torch.Tensor) -> torch.Tensor:
    return FrontEnd(OPTIONS).contrast(torch.as_tensor(windows, dtype=torch.float32)).cells


def spectral(windows: Doubles) -> Doubles:
    return spectral_series(contrast_of(windows), OPTIONS.bin_hz, OPTIONS.low_bin).double().numpy()


def ordinal(windows: Doubles) -> Doubles:
    return ordinal_series(torch.from_numpy(windows), FRAME, HOP).double().numpy()


# ---------------------------------------------------------------------------------------------- the four measures


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("n", [24, 64, 129])
def test_divergence_is_that_of_scipy(n: int, dtype: torch.dtype, tolerance: float) -> None:
    """Of scipy's function, which gives the *root* of the divergence; in nats, as the divergence of a delta here must be."""
    peaked = np.random.default_rng(n).gamma(0.1, size=(2, 3, n, 5))
    flat = np.full_like(peaked, 1 / n)
    largest = distance.jensenshannon(np.eye(n)[0], np.full(n, 1 / n)) ** 2
    h, _, c_jsd, _ = complexity(torch.tensor(peaked, dtype=dtype)).unbind(dim=-2)
    np.testing.assert_allclose(
        c_jsd, h.numpy() * distance.jensenshannon(peaked, flat, axis=-2) ** 2 / largest, atol=tolerance
    )


def test_entropy_of_a_spectrum_is_that_of_antropy(antropy: ModuleType) -> None:
    """Antropy's entropy is in bits, over log2 of the number of bins: the same share of the largest as in nats."""
    windows = noise()[:, :256]
    _, power = signal.periodogram(windows, OPTIONS.rate_hz)
    expected = antropy.spectral_entropy(windows, OPTIONS.rate_hz, normalize=True)
    np.testing.assert_allclose(complexity(torch.from_numpy(power[:, :, None]))[:, 0, 0], expected, rtol=1e-12)


def two_levels(n: int, occupied: int, share: float | Doubles) -> torch.Tensor:
    """Columns in which so many bins have this share between them, and the others have the rest."""
    shares = np.atleast_1d(share)
    return torch.from_numpy(
        np.vstack([np.tile(shares / occupied, (occupied, 1)), np.tile((1 - shares) / (n - occupied), (n - occupied, 1))])
    )


@pytest.mark.parametrize(
    ("n", "square", "tone_share", "divergence", "equal_bins"),
    [(24, 0.222, 0.73, 0.354, 6), (64, 0.213, 0.715, 0.397, 12), (129, 0.206, 0.71, 0.428, 20)],
)
def test_largest_complexities_are_those_of_theory(
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


@pytest.mark.parametrize(
    ("n", "variation", "bins", "of_equal_bins"), [(24, 0.326, 5, 0.317), (64, 0.398, 11, 0.395), (129, 0.441, 18, 0.440)]
)
def test_variation_is_largest_when_the_other_bins_are_not_quite_empty(
    n: int, variation: float, bins: int, of_equal_bins: float
) -> None:
    best = torch.stack([complexity(two_levels(n, m, np.linspace(0.5, 1, 1001)))[3].max() for m in range(1, n // 2)])
    assert best.max() == pytest.approx(variation, abs=6e-4)
    assert best.argmax() + 1 == bins
    empty = [math.log(m) / math.log(n) * (1 - m / n) ** 2 for m in range(1, n)]
    assert max(empty) == pytest.approx(of_equal_bins, abs=6e-4)
    np.testing.assert_allclose([complexity(two_levels(n, m, 1.0))[3, 0] for m in range(1, n)], empty, atol=1e-12)


def test_divergence_reaches_ordpys_edge_of_the_plane_and_stays_below_it() -> None:
    """The edge (Martin, Plastino, Rosso 2006) is a curve; ordpy gives points on it, and straight lines run just inside."""
    entropies, edge = ordpy.maximum_complexity_entropy(dx=4, m=20).T
    h, _, c_jsd, _ = complexity(two_levels(24, 6, np.linspace(0.25, 1, 500)))
    assert c_jsd.max() == pytest.approx(edge.max(), abs=1e-4)
    assert (c_jsd.numpy() <= np.interp(h, entropies, edge) + 2e-4).all()


largest_of_24 = {"H": 1.0, "C_SQ": 0.2225, "C_JSD": 0.3542, "C_TV": 0.3258}


@given(
    st.lists(st.just(0.0) | st.floats(1e-6, 1e6), min_size=24, max_size=24), st.sampled_from([torch.float32, torch.float64])
)
@settings(deadline=None)
def test_measures_stay_between_nothing_and_their_maxima(values: list[float], dtype: torch.dtype) -> None:
    measures = complexity(torch.tensor(values, dtype=dtype)[:, None])[:, 0]
    assert (measures >= 0).all()
    assert (measures <= torch.tensor(list(largest_of_24.values()))).all()
    assert (measures[1:] <= measures[0]).all(), "a disequilibrium is at most 1"


@pytest.mark.parametrize("n", [2, 24, 64, 129])
def test_one_bin_has_neither_entropy_nor_complexity_and_flat_has_all_the_entropy(n: int) -> None:
    np.testing.assert_allclose(complexity(7 * torch.eye(n)), np.zeros((4, n)), atol=1e-6)
    np.testing.assert_allclose(complexity(torch.full((n, 3), 7.0)).T, [[1, 0, 0, 0]] * 3, atol=1e-6)


@given(exponent=st.integers(-60, 60))
def test_gain_does_not_show_in_complexity(exponent: int) -> None:
    power = torch.from_numpy(noise()[:, :640].reshape(2, 64, 10) ** 2).float()
    assert torch.equal(complexity(power * 2.0**exponent), complexity(power))


@pytest.mark.parametrize(
    ("averaged", "c_sq", "c_jsd", "c_tv"),
    [(1, 0.0136, 0.1444, 0.1206), (4, 0.0037, 0.0442, 0.0368), (16, 0.00095, 0.0116, 0.0097)],
)
def test_white_noise_has_the_complexity_that_so_many_averaged_frames_leave(
    averaged: int, c_sq: float, c_jsd: float, c_tv: float
) -> None:
    """64 bins, all but the first and last of 130 samples, are independent and exponential.

    Their shares after averaging k frames follow a Dirichlet distribution, whose mean entropy is known.
    """
    samples = np.random.default_rng(1).standard_normal((4000, averaged, 130))
    power = (np.abs(np.fft.rfft(samples)[..., 1:-1]) ** 2).mean(axis=1)
    h = (digamma(64 * averaged + 1) - digamma(averaged + 1)) / math.log(64)
    np.testing.assert_allclose(complexity(torch.from_numpy(power.T)).mean(dim=1), [h, c_sq, c_jsd, c_tv], rtol=0.01)


# ---------------------------------------------------------------------------------------------- spectra


def test_a_frame_is_averaged_with_its_neighbours_as_far_as_there_are_any() -> None:
    cells = contrast_of(noise())
    series = spectral_series(cells, OPTIONS.bin_hz, OPTIONS.low_bin)
    assert (series.shape, series.dtype) == ((2, 4, OPTIONS.n_frames), torch.float32)
    band, reach = cells[:, FIRST_BIN:END_BIN].double(), AVERAGED_FRAMES // 2
    around = [band[..., max(i - reach, 0) : i + reach + 1].mean(dim=-1) for i in range(OPTIONS.n_frames)]
    torch.testing.assert_close(series.double(), complexity(torch.stack(around, dim=-1)), atol=2e-6, rtol=0)


def test_a_window_is_the_mean_of_frames_that_share_none_of_what_is_averaged() -> None:
    cells = contrast_of(noise())
    middles = slice(AVERAGED_FRAMES // 2, None, AVERAGED_FRAMES)
    apart = spectral_series(cells, OPTIONS.bin_hz, OPTIONS.low_bin)[..., middles]
    torch.testing.assert_close(window_complexity(cells, OPTIONS.bin_hz, OPTIONS.low_bin), apart.mean(dim=-1))


def test_only_the_band_counts() -> None:
    cells = contrast_of(noise())
    outside = cells.clone()
    outside[:, :FIRST_BIN] *= 100
    outside[:, END_BIN:] *= 100
    inside = cells.clone()
    inside[:, END_BIN - 1] *= 100
    series, of_outside, of_inside = (spectral_series(c, OPTIONS.bin_hz, OPTIONS.low_bin) for c in (cells, outside, inside))
    assert torch.equal(of_outside, series)
    assert (of_inside[:, 0] < series[:, 0]).all()


@given(gain=st.floats(1e-3, 1e3))
@settings(max_examples=20, deadline=None)
def test_gain_does_not_show_in_spectra(gain: float) -> None:
    np.testing.assert_allclose(spectral(gain * noise(1)), spectral(noise(1)), atol=1e-5)


# ---------------------------------------------------------------------------------------------- ordinal patterns


@pytest.mark.parametrize("levels", [None, 3], ids=["distinct", "ties"])
@pytest.mark.parametrize(("order", "delay"), [(2, 1), (3, 7), (4, 4), (4, 1), (5, 3)])
def test_shares_of_patterns_are_those_of_ordpy(order: int, delay: int, levels: int | None) -> None:
    """Ordpy leaves out patterns that it does not see unless told otherwise, and names a pattern by the order that sorts it.

    Here a pattern is named by the ranks of its samples, which is the inverse of that permutation.
    """
    window = noise(1)[0, :300] if levels is None else np.random.default_rng(4).integers(levels, size=300).astype(float)
    shares = ordinal_distribution(torch.from_numpy(window)[None], 100, 33, order, delay)[0]
    assert shares.shape == (math.factorial(order), 7)
    for i, frame in enumerate(shares.T):
        patterns, expected = ordpy.ordinal_distribution(
            window[33 * i : 33 * i + 100], dx=order, taux=delay, return_missing=True
        )
        by_ranks = dict(zip((tuple(np.argsort(pattern)) for pattern in patterns), expected, strict=True))
        np.testing.assert_allclose(frame, [by_ranks[ranks] for ranks in permutations(range(order))], atol=1e-7)


@pytest.mark.parametrize("order", [3, 4, 5])
def test_entropy_and_divergence_of_frames_are_those_of_antropy_and_ordpy(antropy: ModuleType, order: int) -> None:
    """Both normalise by log(order!), seen patterns or not: antropy in bits, ordpy in nats; ordpy's complexity is C_JSD."""
    window = noise(1)[0] + 2 * np.sin(np.arange(OPTIONS.window_samples) ** 2 / 1e4)
    series = ordinal_series(torch.from_numpy(window)[None], FRAME, HOP, order)[0]
    frames = np.lib.stride_tricks.sliding_window_view(window, FRAME)[::HOP]
    assert series.shape == (4, len(frames))
    of_ordpy = np.array([ordpy.complexity_entropy(frame, dx=order, taux=4) for frame in frames])
    of_antropy = [antropy.perm_entropy(frame, order=order, delay=4, normalize=True) for frame in frames]
    np.testing.assert_allclose(series[[0, 2]].T, of_ordpy, atol=2e-6)
    np.testing.assert_allclose(series[0], of_antropy, atol=2e-6)


def test_frames_are_those_of_the_front_end() -> None:
    windows = noise()
    assert ordinal(windows).shape == spectral(windows).shape == (2, 4, OPTIONS.n_frames)
    silent_end = np.where(np.arange(OPTIONS.window_samples) < 2000, windows, 0)
    heard = contrast_of(silent_end).sum(dim=1).numpy() > 0
    ordered = ordinal(silent_end)[:, 0] == 0
    np.testing.assert_array_equal(ordered, ~heard)


def test_what_only_rises_stands_still_or_falls_has_one_pattern() -> None:
    rise = torch.arange(1000.0)
    shares = ordinal_distribution(torch.stack([rise, 0 * rise, -rise]), FRAME, HOP)
    assert (shares[:2, 0] == 1).all()
    assert (shares[2, -1] == 1).all()
    np.testing.assert_allclose(complexity(shares), 0, atol=1e-6)


def test_patterns_are_in_the_order_of_their_ranks_and_all_equally_often_are_no_order() -> None:
    """Vectors that share no samples: with a delay of 24, the first 24 begin before the second sample of any."""
    each_once = torch.tensor(list(permutations(range(4)))).T.reshape(1, 96)
    assert torch.equal(ordinal_distribution(each_once, 73, 1, delay=24)[0], torch.eye(24))
    np.testing.assert_allclose(ordinal_series(each_once, 96, 1, delay=24)[0, :, 0], [1, 0, 0, 0], atol=1e-6)


@pytest.mark.parametrize(
    "transform", [lambda x: 3 * x - 7, lambda x: x**3, np.arctan, np.exp], ids=["line", "cube", "arctan", "exp"]
)
def test_a_rising_transform_of_the_samples_changes_nothing(transform: Callable[[Doubles], Doubles]) -> None:
    levels = np.random.default_rng(2).permutation(OPTIONS.window_samples)[None] / 1000 - 2
    transformed = transform(levels)
    assert len(np.unique(transformed)) == OPTIONS.window_samples, "rounding made no ties"
    np.testing.assert_array_equal(ordinal(transformed), ordinal(levels))


def test_upside_down_each_pattern_becomes_its_mirror_image() -> None:
    windows = torch.from_numpy(noise())
    upside_down = ordinal_distribution(-windows, FRAME, HOP)
    assert torch.equal(upside_down.flip(1), ordinal_distribution(windows, FRAME, HOP))


@given(st.lists(st.integers(-3, 3), min_size=60, max_size=60), st.integers(2, 4), st.integers(1, 5))
@settings(deadline=None)
def test_shares_sum_to_one_and_measures_lie_between_zero_and_one(samples: list[int], order: int, delay: int) -> None:
    windows = torch.tensor([samples], dtype=torch.float32)
    shares = ordinal_distribution(windows, 20, 8, order, delay)
    np.testing.assert_allclose(shares.sum(dim=1), 1, atol=1e-6)
    series = ordinal_series(windows, 20, 8, order, delay)
    assert ((series >= 0) & (series <= 1)).all()
    assert (series[:, 1:] <= series[:, :1]).all()


def test_white_noise_has_the_ordinal_complexity_that_244_vectors_leave() -> None:
    np.testing.assert_allclose(ordinal(noise(30)).mean(axis=(0, 2))[[0, 2]], [0.987, 0.018], atol=1e-3)


@pytest.mark.parametrize(("order", "delay"), [(1, 1), (4, 86), (0, 4)])
def test_a_vector_without_a_pattern_or_longer_than_a_frame_is_refused(order: int, delay: int) -> None:
    with pytest.raises(ValueError, match=f"no pattern of order {order} and delay {delay}"):
        ordinal_distribution(torch.zeros(1, 4000), FRAME, HOP, order, delay)


# ---------------------------------------------------------------------------------------------- sounds

BEGIN, END = 1500, 2700
"""Samples between which a sound is heard: 0.6 s, less than half of a window, so that it does not become background."""


def tone() -> Doubles:
    return np.sin(2 * np.pi * 150 * np.arange(END - BEGIN) / OPTIONS.rate_hz)


def upsweep() -> Doubles:
    return signal.chirp(np.arange(END - BEGIN) / OPTIONS.rate_hz, 100, (END - BEGIN) / OPTIONS.rate_hz, 200)


def frames_with(sound: Doubles, reach_frames: int) -> tuple[Doubles, np.ndarray, np.ndarray]:
    """Windows of noise and the sound; which frames, with neighbours, lie wholly in the sound; which know nothing of it."""
    windows = noise()
    windows[:, BEGIN:END] += 2 * sound
    begins = HOP * np.arange(OPTIONS.n_frames)
    first, last = begins - HOP * reach_frames, begins + HOP * reach_frames + FRAME
    return windows, (first >= BEGIN) & (last <= END), (last <= BEGIN) | (first >= END)


@pytest.mark.parametrize("sound", [tone(), upsweep()], ids=["tone", "upsweep"])
@pytest.mark.parametrize(
    ("measure", "reach_frames"), [(spectral, AVERAGED_FRAMES // 2), (ordinal, 0)], ids=["spectral", "ordinal"]
)
def test_order_appears_where_a_sound_is_heard_and_nowhere_else(
    sound: Doubles, measure: Callable[[Doubles], Doubles], reach_frames: int
) -> None:
    windows, during, away = frames_with(sound, reach_frames)
    assert during.mean() > 0.08
    assert away.mean() > 0.3
    h, *complexities = measure(windows).swapaxes(0, 1)
    assert h[:, during].max() < h[:, away].min()
    for c in complexities:
        assert c[:, during].min() > c[:, away].max()


def test_ordinal_measures_of_frames_without_the_sound_do_not_change() -> None:
    windows, during, away = frames_with(tone(), 0)
    changed = (ordinal(windows) != ordinal(noise())).any(axis=(0, 1))
    assert changed[during].all()
    assert not changed[away].any()
