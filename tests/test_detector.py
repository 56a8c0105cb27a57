"""Front end, localisation, network, model file and scorer."""

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
from torch import nn

from whalescan import ModelError, UsageError, load_model
from whalescan.core import FloatArray
from whalescan.detector import complexity, localisation
from whalescan.detector.device import choose_device
from whalescan.detector.frontend import FrontEnd
from whalescan.detector.model_file import load_detector, write_model
from whalescan.detector.model_spec import FEATURES, FORMAT, FrontEndOptions, ModelSpec, describe, find_model, parse_spec
from whalescan.detector.network import Detector, load_imagenet_weights, optimise_for_inference, prepare_for_inference
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
    """Return a window of two seconds: quiet noise and a sound."""
    window = 0.05 * np.random.default_rng(5).standard_normal(4000)
    begin = round(at_s * 2000)
    window[begin : begin + len(sound)] += level * sound
    return window.astype(np.float32)


# Front end


@pytest.mark.slow
@given(gain=st.floats(1e-3, 1e3), features=st.sampled_from(FEATURES))
@settings(max_examples=20)
def test_network_input_does_not_depend_on_gain(gain: float, features: str) -> None:
    window = torch.from_numpy(window_with(np.sin(np.arange(1000)), 0.5))[None]
    frontend = FrontEnd(FrontEndOptions(features=features))
    torch.testing.assert_close(frontend(window * gain), frontend(window), atol=1e-3, rtol=0)


@pytest.mark.parametrize("fill", [0.0, 0.5, 1e-20])
@pytest.mark.parametrize("features", FEATURES)
def test_network_input_of_silence_is_finite(features: str, fill: float) -> None:
    options = FrontEndOptions(features=features)
    picture = FrontEnd(options)(torch.full((2, 4000), fill))
    assert picture.shape == (2, 3, options.n_bins, options.n_frames)
    assert picture.isfinite().all()


def test_unknown_features_are_refused() -> None:
    with pytest.raises(UsageError, match="spectrogram, complexity, both"):
        FrontEndOptions(features="wavelets")


@pytest.mark.parametrize("middle", [0, 3, 20, 63])
def test_band_complexity_equals_complexity_of_each_band(middle: int) -> None:
    power = torch.from_numpy(np.random.default_rng(4).exponential(size=(3, 64, 12)) ** 2).float()
    bands = complexity.band_complexity(power, n_bins=17, n_frames=1)
    one = complexity.complexity(power[:, max(middle - 8, 0) : middle + 9])
    torch.testing.assert_close(bands.order[:, middle], 1 - one[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(bands.squared[:, middle], one[:, 1], atol=1e-5, rtol=0)


def test_order_is_high_in_the_band_of_a_call() -> None:
    call, low_hz, high_hz = upcall(2000, np.random.default_rng(2))
    frontend = FrontEnd(OPTIONS)
    cells = frontend.normalise(torch.from_numpy(window_with(call, 0.5))[None]).power
    order = complexity.band_complexity(cells, 17, 7).order[0]
    inside = slice(round(low_hz / OPTIONS.bin_hz) - OPTIONS.low_bin, round(high_hz / OPTIONS.bin_hz) - OPTIONS.low_bin)
    assert order[inside].max() > 3 * order[-10:].max()


def test_tonal_lines_fade_and_calls_stay() -> None:
    time_s = np.arange(4000) / 2000
    frontend = FrontEnd(OPTIONS)
    line = frontend.normalise(torch.from_numpy(window_with(np.sin(2 * np.pi * 150 * time_s), 0))[None]).power
    call = frontend.normalise(torch.from_numpy(window_with(np.sin(2 * np.pi * 150 * time_s[:1600]), 0.6))[None]).power
    bin_150 = round(150 / OPTIONS.bin_hz) - OPTIONS.low_bin
    assert line[0, bin_150].max() < 2
    assert call[0, bin_150].max() > 100


# Complexity

distributions = st.lists(st.floats(0, 1e3), min_size=24, max_size=24).filter(lambda p: sum(p) > 1e-3)


@given(distributions)
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


def test_complexity_of_a_tone_and_of_flat_spectra() -> None:
    tone, flat = torch.eye(64)[:, :1], torch.ones(64, 1)
    np.testing.assert_allclose(complexity.complexity(tone)[:, 0], [0, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(complexity.complexity(flat)[:, 0], [1, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(complexity.complexity(0 * flat)[:, 0], [1, 0, 0, 0], atol=1e-6)


def test_a_call_is_more_complex_than_noise() -> None:
    call, _, _ = upcall(2000, np.random.default_rng(1))
    frontend = FrontEnd(OPTIONS)
    cells = frontend.normalise(torch.from_numpy(np.stack([window_with(call, 0.5), window_with(0 * call, 0.5)]))).power
    with_call, without = complexity.window_complexity(cells, OPTIONS.bin_hz, OPTIONS.low_bin).numpy()
    assert with_call[0] < without[0], "less entropy"
    assert (with_call[1:] > without[1:]).all(), "more complexity"


# Evidence


@pytest.mark.parametrize("seed", range(5))
def test_the_box_surrounds_the_call(seed: int) -> None:
    call, low_hz, high_hz = upcall(2000, np.random.default_rng(seed))
    window = window_with(call, 0.5, 0.1)
    cells = FrontEnd(OPTIONS).normalise(torch.from_numpy(window)[None]).power.numpy()
    ((begin, end, box_low_hz, box_high_hz),) = localisation.trace_boxes(cells, OPTIONS)
    assert begin / 2000 == pytest.approx(0.5, abs=0.2)
    assert end / 2000 == pytest.approx(0.5 + len(call) / 2000, abs=0.2)
    assert box_low_hz == pytest.approx(low_hz, abs=30)
    assert box_high_hz == pytest.approx(high_hz, abs=40)


def test_flat_power_has_no_box() -> None:
    assert np.isnan(localisation.trace_boxes(np.ones((3, OPTIONS.n_bins, OPTIONS.n_frames), np.float32), OPTIONS)).all()


def test_boxes_do_not_depend_on_other_windows(noise: FloatArray) -> None:
    call, _, _ = upcall(2000, np.random.default_rng(1))
    windows = [window_with(call, at_s, loud) for at_s, loud in ((0.1, 1), (0.5, 0.1), (0.9, 1), (0.3, 0.03))]
    windows += list(noise[:20_000].reshape(5, 4000))
    cells = FrontEnd(OPTIONS).normalise(torch.from_numpy(np.stack(windows))).power.numpy()
    alone = np.concatenate([localisation.trace_boxes(window[None], OPTIONS) for window in cells])
    assert np.array_equal(localisation.trace_boxes(cells, OPTIONS), alone, equal_nan=True)
    assert np.isfinite(alone).all(axis=1).any()


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1))
def test_close_gaps_agrees_with_scipy(seed: int, share: float) -> None:
    cells = np.random.default_rng(seed).random((2, 9, 17)) < share
    assert np.array_equal(localisation.close_gaps(cells), ndimage.binary_closing(cells, np.ones((1, 3, 7), bool)))


# Network and file


@pytest.mark.slow
def test_a_written_model_gives_the_same_scores(random_model: Path, noise: FloatArray) -> None:
    model = find_model(random_model)
    torch.manual_seed(1)
    original = Detector("legacy_xception", OPTIONS, 1).eval()
    windows = torch.from_numpy(noise[:16_000].reshape(4, 4000))
    with torch.inference_mode():
        torch.testing.assert_close(load_detector(model)(windows), original(windows), atol=0.02, rtol=0.05)
    assert model.spec == ModelSpec()


@pytest.mark.slow
def test_optimised_networks_give_the_same_scores(random_model: Path, noise: FloatArray) -> None:
    model = find_model(random_model)
    windows = torch.from_numpy(noise[:16_000].reshape(4, 4000))
    with torch.inference_mode():
        folded = prepare_for_inference(load_detector(model), CPU, torch.float32)
        torch.testing.assert_close(folded(windows), load_detector(model)(windows), atol=1e-4, rtol=1e-4)
        bf16 = prepare_for_inference(load_detector(model), CPU, torch.bfloat16)
        torch.testing.assert_close(bf16(windows), load_detector(model)(windows), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("inplace", [True, False])
def test_relu_of_bits_equals_relu_of_numbers(inplace: bool) -> None:
    all_numbers = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    numbers = all_numbers[~all_numbers.isnan()].repeat(2)[: 2**16 - 2**9].reshape(4, 8, 16, -1)
    for features in (numbers, numbers.to(memory_format=torch.channels_last), numbers[:, :, ::2]):
        (optimised,) = optimise_for_inference(nn.Sequential(nn.ReLU(inplace)), CPU, torch.bfloat16).children()
        assert not isinstance(optimised, nn.ReLU)
        copy = features.clone(memory_format=torch.preserve_format)
        assert torch.equal(optimised(copy), torch.relu(features))
        assert torch.equal(copy, torch.relu(features) if inplace else features)


def test_matrix_products_equal_convolutions() -> None:
    network = nn.Sequential(nn.Conv2d(300, 40, 1), nn.BatchNorm2d(40), nn.Conv2d(40, 7, 1, stride=2)).eval()
    features = torch.randn(3, 300, 4, 6).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = network(features)
        optimised = optimise_for_inference(network, CPU, torch.float32)
        torch.testing.assert_close(optimised(features), expected, atol=1e-4, rtol=1e-4)
    is_convolution = [isinstance(module, nn.Conv2d) for module in optimised.children()]
    assert is_convolution == [False, False, True], "products replace only wide layers"
    assert not any(isinstance(module, nn.BatchNorm2d) for module in optimised.modules())


@pytest.mark.slow
def test_the_default_model_detects_a_clear_call() -> None:
    call, _, _ = upcall(2000, np.random.default_rng(3))
    windows = np.concatenate([window_with(call, 0.5, 0.3), window_with(0 * call, 0.5)])
    scorer = Scorer(load_model(), CPU, 32)
    with_call, without = scorer.score(windows, load_model().spec.grid(2.0), 2).scores[:, 0]
    assert with_call > load_model().spec.thresholds[0] > without


def test_the_description_of_the_default_model() -> None:
    text = describe(load_model())
    for words in ("legacy_xception", "NARW upcall", "sha256", "held-out examples", "2 s at 2000 Hz"):
        assert words in text


@pytest.mark.parametrize("damage", ["absent", "text", "cut", "flipped header", "weights only", "empty"])
def test_damaged_models_are_refused(tmp_path: Path, random_model: Path, damage: str) -> None:
    path, content = tmp_path / "m.safetensors", random_model.read_bytes()
    if damage == "weights only":
        save_file({"a": torch.zeros(2)}, path)
    elif damage != "absent":
        damaged_files = {
            "text": b"hello",
            "cut": content[:-100],
            "flipped header": content[:8] + b"x" + content[9:],
            "empty": b"",
        }
        path.write_bytes(damaged_files[damage])
    with pytest.raises(ModelError, match=r"m\.safetensors"):
        find_model(path)


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(ModelError, match="do not fit"):
        load_imagenet_weights(Detector("legacy_xception", OPTIONS, 1).network, {"conv1.weight": torch.zeros(32, 3, 3, 3)})
    with pytest.raises(ModelError, match="no_such_network"):
        Detector("no_such_network", OPTIONS, 1)


# Scoring


@pytest.fixture(scope="module")
def scorer(random_model: Path) -> Scorer:
    return Scorer(find_model(random_model), CPU, 4)


@pytest.mark.slow
def test_each_window_has_scores(scorer: Scorer, noise: FloatArray) -> None:
    grid = scorer.spec.grid(0.5)
    scored = scorer.score(noise, grid, grid.n_windows(len(noise)))
    n = grid.n_windows(len(noise))
    assert (scored.scores.shape, scored.boxes.shape, scored.complexity.shape) == ((n, 1), (n, 4), (n, 4))
    assert ((scored.scores >= 0) & (scored.scores <= 1)).all()


@pytest.mark.slow
@pytest.mark.parametrize("n_samples", [1, 2, 255, 1999, 3999, 4001])
def test_short_recordings_are_scored(scorer: Scorer, noise: FloatArray, n_samples: int) -> None:
    grid = scorer.spec.grid(0.5)
    scored = scorer.score(noise[:n_samples], grid, grid.n_windows(n_samples))
    assert np.isfinite(scored.scores).all()


@pytest.mark.slow
def test_batch_size_moves_scores_by_less_than_a_hundredth(scorer: Scorer, random_model: Path, noise: FloatArray) -> None:
    grid = scorer.spec.grid(0.5)
    other = Scorer(find_model(random_model), CPU, 16).score(noise, grid, 17).scores
    np.testing.assert_allclose(scorer.score(noise, grid, 17).scores, other, atol=0.01)


@pytest.mark.slow
def test_batches_too_large_for_memory_are_scored_in_parts(
    random_model: Path, noise: FloatArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = Scorer(find_model(random_model), CPU, 16)
    grid = scorer.spec.grid(0.5)
    whole = scorer.score(noise, grid, 17)
    classify, tried = scorer.classify, []

    def classify_few(windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        tried.append(len(windows))
        if len(windows) > 5:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return classify(windows)

    def classify_none(_windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(scorer, "classify", classify_few)
    parts = scorer.score(noise, grid, 17)
    assert tried == [16, 8, 4, 4, 4, 4, 1], "halved until it fits, and not tried whole again"
    assert "out of memory on cpu with 16 windows" in scorer.note
    np.testing.assert_allclose(parts.scores, whole.scores, atol=0.01)
    monkeypatch.setattr(scorer, "classify", classify_none)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        scorer.score(noise, grid, 1)


def test_scoring_restores_the_number_of_torch_threads(scorer: Scorer, noise: FloatArray) -> None:
    before = torch.get_num_threads()
    scorer.score(noise, scorer.spec.grid(2.0), 5)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("name", ["tpu", "cuda:99", "gpu", "meta"])
def test_unknown_devices_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        choose_device(name)


def test_auto_chooses_a_gpu_where_there_is_one() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_models_of_whalescan_0_1_are_read() -> None:
    old = dataclasses.asdict(ModelSpec()) | {"format": FORMAT, "calibration": [0.9, 0.1], "front_end": {"low_bin": 3}}
    spec = parse_spec(Path("old.safetensors"), json.dumps(old))
    assert (spec.front_end.features, spec.front_end.low_bin) == ("spectrogram", 3)
    assert spec.calibration == ((0.9, 0.1),)
