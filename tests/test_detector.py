from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from scipy import ndimage, stats
from scipy.spatial import distance

from whalescan import ModelError, UsageError, load_model
from whalescan.core import FloatArray
from whalescan.detector import complexity, localisation
from whalescan.detector.device import choose_device
from whalescan.detector.frontend import FrontEnd
from whalescan.detector.model_file import load_detector, write_model
from whalescan.detector.model_spec import FEATURES, FORMAT, FrontEndOptions, ModelSpec, describe, find_model, parse_spec
from whalescan.detector.network import Detector, prepare_for_scanning, start_from_imagenet
from whalescan.detector.scorer import Scorer
from whalescan.training.simulation import upcall

OPTIONS = FrontEndOptions()
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("model") / "random.safetensors"
    write_model(path, Detector("legacy_xception", OPTIONS, 1), ModelSpec())
    return path


def window_with(sound: np.ndarray, at_s: float, level: float = 1.0) -> FloatArray:
    """Two seconds of quiet noise with a sound in it."""
    window = 0.05 * np.random.default_rng(5).standard_normal(4000)
    begin = round(at_s * 2000)
    window[begin : begin + len(sound)] += level * sound
    return window.astype(np.float32)


# ---------------------------------------------------------------------------------------------- front end


@given(gain=st.floats(1e-3, 1e3), features=st.sampled_from(FEATURES))
@settings(max_examples=20, deadline=None)
def test_gain_does_not_show_in_a_picture(gain: float, features: str) -> None:
    window = torch.from_numpy(window_with(np.sin(np.arange(1000)), 0.5))[None]
    frontend = FrontEnd(FrontEndOptions(features=features))
    torch.testing.assert_close(frontend(window * gain), frontend(window), atol=1e-3, rtol=0)


@pytest.mark.parametrize("fill", [0.0, 0.5, 1e-20])
@pytest.mark.parametrize("features", FEATURES)
def test_silence_gives_a_finite_picture(features: str, fill: float) -> None:
    options = FrontEndOptions(features=features)
    picture = FrontEnd(options)(torch.full((2, 4000), fill))
    assert picture.shape == (2, 3, options.n_bins, options.n_frames)
    assert picture.isfinite().all()


def test_features_that_are_none() -> None:
    with pytest.raises(UsageError, match="spectrogram, complexity, both"):
        FrontEndOptions(features="wavelets")


@pytest.mark.parametrize("middle", [0, 3, 20, 63])
def test_complexity_of_bands_is_that_of_each_band(middle: int) -> None:
    power = torch.from_numpy(np.random.default_rng(4).exponential(size=(3, 64, 12)) ** 2).float()
    bands = complexity.of_bands(power, n_bins=17, n_frames=1)
    one = complexity.complexity(power[:, max(middle - 8, 0) : middle + 9])
    torch.testing.assert_close(bands.order[:, middle], 1 - one[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(bands.squared[:, middle], one[:, 1], atol=1e-5, rtol=0)


def test_order_shows_where_the_call_is() -> None:
    call, low_hz, high_hz = upcall(2000, np.random.default_rng(2))
    frontend = FrontEnd(OPTIONS)
    cells = frontend.contrast(torch.from_numpy(window_with(call, 0.5))[None]).cells
    order = complexity.of_bands(cells, 17, 7).order[0]
    inside = slice(round(low_hz / OPTIONS.bin_hz) - OPTIONS.low_bin, round(high_hz / OPTIONS.bin_hz) - OPTIONS.low_bin)
    assert order[inside].max() > 3 * order[-10:].max()


def test_a_steady_line_fades_and_a_call_stays() -> None:
    time_s = np.arange(4000) / 2000
    frontend = FrontEnd(OPTIONS)
    line = frontend.contrast(torch.from_numpy(window_with(np.sin(2 * np.pi * 150 * time_s), 0))[None]).cells
    call = frontend.contrast(torch.from_numpy(window_with(np.sin(2 * np.pi * 150 * time_s[:1600]), 0.6))[None]).cells
    bin_150 = round(150 / OPTIONS.bin_hz) - OPTIONS.low_bin
    assert line[0, bin_150].max() < 2
    assert call[0, bin_150].max() > 100


# ---------------------------------------------------------------------------------------------- complexity

distributions = st.lists(st.floats(0, 1e3), min_size=24, max_size=24).filter(lambda p: sum(p) > 1e-3)


@given(distributions)
@settings(deadline=None)
def test_complexity_agrees_with_scipys_entropy_and_divergence(values: list[float]) -> None:
    p = np.array(values) / sum(values)
    n, flat = len(p), np.full(len(p), 1 / len(p))
    h = stats.entropy(p) / np.log(n)
    delta = np.eye(n)[0]
    most = distance.jensenshannon(delta, flat) ** 2
    expected = [
        h,
        h * ((p - flat) ** 2).sum(),
        h * distance.jensenshannon(p, flat) ** 2 / most,
        h * (np.abs(p - flat).sum() / 2) ** 2,
    ]
    measured = complexity.complexity(torch.tensor(values, dtype=torch.float64)[:, None])[:, 0]
    np.testing.assert_allclose(measured, expected, atol=1e-9)


@pytest.mark.parametrize(("n", "square", "divergence", "variation"), [(24, 0.222, 0.354, 0.326), (64, 0.213, 0.397, 0.398)])
def test_largest_complexities(n: int, square: float, divergence: float, variation: float) -> None:
    """The largest values of two-level distributions: m bins share what the others do not have."""
    columns = [
        np.concatenate([np.full(m, share / m), np.full(n - m, (1 - share) / (n - m))])
        for m in range(1, n)
        for share in np.linspace(0, 1, 401)
    ]
    largest = complexity.complexity(torch.tensor(np.array(columns).T)).amax(dim=1)
    np.testing.assert_allclose(largest[1:], [square, divergence, variation], atol=1e-3)
    assert largest[0] == pytest.approx(1)


def test_order_and_disorder() -> None:
    tone, flat = torch.eye(64)[:, :1], torch.ones(64, 1)
    np.testing.assert_allclose(complexity.complexity(tone)[:, 0], [0, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(complexity.complexity(flat)[:, 0], [1, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(complexity.complexity(0 * flat)[:, 0], [1, 0, 0, 0], atol=1e-6)


def test_a_call_is_more_ordered_than_the_sea() -> None:
    call, _, _ = upcall(2000, np.random.default_rng(1))
    frontend = FrontEnd(OPTIONS)
    cells = frontend.contrast(torch.from_numpy(np.stack([window_with(call, 0.5), window_with(0 * call, 0.5)]))).cells
    with_call, without = complexity.window_complexity(cells, OPTIONS.bin_hz, OPTIONS.low_bin).numpy()
    assert with_call[0] < without[0], "less entropy"
    assert (with_call[1:] > without[1:]).all(), "more complexity"


# ---------------------------------------------------------------------------------------------- evidence


@pytest.mark.parametrize("seed", range(5))
def test_the_box_is_the_call_and_not_the_window(seed: int) -> None:
    call, low_hz, high_hz = upcall(2000, np.random.default_rng(seed))
    window = window_with(call, 0.5, 0.1)
    cells = FrontEnd(OPTIONS).contrast(torch.from_numpy(window)[None]).cells.numpy()
    ((begin, end, box_low_hz, box_high_hz),) = localisation.call_boxes(cells, OPTIONS)
    assert begin / 2000 == pytest.approx(0.5, abs=0.2)
    assert end / 2000 == pytest.approx(0.5 + len(call) / 2000, abs=0.2)
    assert box_low_hz == pytest.approx(low_hz, abs=30)
    assert box_high_hz == pytest.approx(high_hz, abs=40)


def test_no_box_in_noise_that_is_quiet() -> None:
    assert np.isnan(localisation.call_boxes(np.ones((3, OPTIONS.n_bins, OPTIONS.n_frames), np.float32), OPTIONS)).all()


def test_a_box_does_not_know_the_windows_beside_it(noise: FloatArray) -> None:
    call, _, _ = upcall(2000, np.random.default_rng(1))
    windows = [window_with(call, at_s, loud) for at_s, loud in ((0.1, 1), (0.5, 0.1), (0.9, 1), (0.3, 0.03))]
    windows += list(noise[:20_000].reshape(5, 4000))
    cells = FrontEnd(OPTIONS).contrast(torch.from_numpy(np.stack(windows))).cells.numpy()
    alone = np.concatenate([localisation.call_boxes(window[None], OPTIONS) for window in cells])
    assert np.array_equal(localisation.call_boxes(cells, OPTIONS), alone, equal_nan=True)
    assert np.isfinite(alone).all(axis=1).any()


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1))
def test_traces_are_closed_as_scipy_closes_them(seed: int, share: float) -> None:
    cells = np.random.default_rng(seed).random((2, 9, 17)) < share
    assert np.array_equal(localisation._closed(cells), ndimage.binary_closing(cells, np.ones((1, 3, 7), bool)))


# ---------------------------------------------------------------------------------------------- network and file


def test_a_model_file_repeats_the_scores(random_model: Path, noise: FloatArray) -> None:
    model = find_model(random_model)
    torch.manual_seed(1)
    original = Detector("legacy_xception", OPTIONS, 1).eval()
    windows = torch.from_numpy(noise[:16_000].reshape(4, 4000))
    with torch.inference_mode():
        torch.testing.assert_close(load_detector(model)(windows), original(windows), atol=0.02, rtol=0.05)
    assert model.spec == ModelSpec()


def test_folding_changes_nothing_but_speed(random_model: Path, noise: FloatArray) -> None:
    model = find_model(random_model)
    windows = torch.from_numpy(noise[:16_000].reshape(4, 4000))
    with torch.inference_mode():
        folded = prepare_for_scanning(load_detector(model), CPU, torch.float32)
        torch.testing.assert_close(folded(windows), load_detector(model)(windows), atol=1e-4, rtol=1e-4)
        bf16 = prepare_for_scanning(load_detector(model), CPU, torch.bfloat16)
        torch.testing.assert_close(bf16(windows), load_detector(model)(windows), atol=0.05, rtol=0.05)


def test_the_default_model_hears_a_plain_call() -> None:
    call, _, _ = upcall(2000, np.random.default_rng(3))
    windows = np.concatenate([window_with(call, 0.5, 0.3), window_with(0 * call, 0.5)])
    scorer = Scorer(load_model(), CPU, 32)
    with_call, without = scorer.score(windows, load_model().spec.grid(2.0), 2).scores[:, 0]
    assert with_call > load_model().spec.thresholds[0] > without


def test_the_default_model_says_what_it_is() -> None:
    text = describe(load_model())
    for words in ("legacy_xception", "NARW upcall", "sha256", "held-out examples", "2 s at 2000 Hz"):
        assert words in text


@pytest.mark.parametrize("spoil", ["absent", "text", "cut", "flipped header", "weights only", "empty"])
def test_models_that_are_none(tmp_path: Path, random_model: Path, spoil: str) -> None:
    path, content = tmp_path / "m.safetensors", random_model.read_bytes()
    if spoil == "weights only":
        save_file({"a": torch.zeros(2)}, path)
    elif spoil != "absent":
        spoilt = {"text": b"hello", "cut": content[:-100], "flipped header": content[:8] + b"x" + content[9:], "empty": b""}
        path.write_bytes(spoilt[spoil])
    with pytest.raises(ModelError, match=r"m\.safetensors"):
        find_model(path)


def test_weights_of_something_else() -> None:
    with pytest.raises(ModelError, match="no weights of this network"):
        start_from_imagenet(Detector("legacy_xception", OPTIONS, 1).network, {"conv1.weight": torch.zeros(32, 3, 3, 3)})
    with pytest.raises(ModelError, match="no network"):
        Detector("no_such_network", OPTIONS, 1)


# ---------------------------------------------------------------------------------------------- scoring


@pytest.fixture(scope="module")
def scorer(random_model: Path) -> Scorer:
    return Scorer(find_model(random_model), CPU, 4)


def test_scores_are_one_a_window(scorer: Scorer, noise: FloatArray) -> None:
    grid = scorer.spec.grid(0.5)
    scored = scorer.score(noise, grid, grid.n_windows(len(noise)))
    n = grid.n_windows(len(noise))
    assert (scored.scores.shape, scored.boxes.shape, scored.complexity.shape) == ((n, 1), (n, 4), (n, 4))
    assert ((scored.scores >= 0) & (scored.scores <= 1)).all()


@pytest.mark.parametrize("n_samples", [1, 2, 255, 1999, 3999, 4001])
def test_recordings_shorter_than_a_window_and_just_longer(scorer: Scorer, noise: FloatArray, n_samples: int) -> None:
    grid = scorer.spec.grid(0.5)
    scored = scorer.score(noise[:n_samples], grid, grid.n_windows(n_samples))
    assert np.isfinite(scored.scores).all()


def test_batch_size_moves_scores_by_less_than_a_hundredth(scorer: Scorer, random_model: Path, noise: FloatArray) -> None:
    grid = scorer.spec.grid(0.5)
    other = Scorer(find_model(random_model), CPU, 16).score(noise, grid, 17).scores
    np.testing.assert_allclose(scorer.score(noise, grid, 17).scores, other, atol=0.01)


def test_the_number_of_torch_threads_outside_is_left_alone(scorer: Scorer, noise: FloatArray) -> None:
    before = torch.get_num_threads()
    scorer.score(noise, scorer.spec.grid(2.0), 5)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("name", ["tpu", "cuda:99", "gpu", "meta"])
def test_devices_that_are_not_there(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        choose_device(name)


def test_auto_finds_a_device() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_models_of_the_first_version_are_understood() -> None:
    old = dataclasses.asdict(ModelSpec()) | {"format": FORMAT, "calibration": [0.9, 0.1], "front_end": {"low_bin": 3}}
    spec = parse_spec(Path("old.safetensors"), json.dumps(old))
    assert (spec.front_end.features, spec.front_end.low_bin) == ("spectrogram", 3)
    assert spec.calibration == ((0.9, 0.1),)
