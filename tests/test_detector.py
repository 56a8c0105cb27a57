"""Front end and network: what their columns depend on, and that optimisation for scoring keeps their results."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from whalescan import ModelError, UsageError
from whalescan.core import FloatArray
from whalescan.detector import complexity
from whalescan.detector.device import choose_device
from whalescan.detector.frontend import FrontEnd
from whalescan.detector.inference import _optimised, prepare_for_inference
from whalescan.detector.model_file import load_detector
from whalescan.detector.model_spec import (
    ARCHITECTURE,
    EXIT_CHANNELS,
    FEATURES,
    MIDDLE_BLOCKS,
    FrontEndOptions,
    ModelSpec,
    NetworkOptions,
    find_model,
)
from whalescan.detector.network import Detector, load_imagenet_weights
from whalescan.training.simulation import upcall

OPTIONS = FrontEndOptions()
SMALL = NetworkOptions(middle_blocks=(), exit_channels=1024)
CPU = torch.device("cpu")
RATE_HZ = OPTIONS.rate_hz


def block_with(sound: np.ndarray, at_s: float, level: float = 1.0) -> FloatArray:
    """Return a block of six seconds: quiet noise and a sound."""
    block = 0.05 * np.random.default_rng(5).standard_normal(6 * RATE_HZ)
    begin = round(at_s * RATE_HZ)
    block[begin : begin + len(sound)] += level * sound
    return block.astype(np.float32)


def white_noise(n_samples: int, seed: int = 1) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((1, n_samples)).astype(np.float32))


# Front end


@given(gain=st.floats(1e-3, 1e3), features=st.sampled_from(FEATURES))
@settings(max_examples=20)
def test_network_input_does_not_depend_on_gain(gain: float, features: str) -> None:
    block = torch.from_numpy(block_with(np.sin(np.arange(1000)), 0.5))[None]
    frontend = FrontEnd(FrontEndOptions(features=features))
    torch.testing.assert_close(frontend(block * gain), frontend(block), atol=1e-3, rtol=0)


@pytest.mark.parametrize("fill", [0.0, 0.5, 1e-20])
@pytest.mark.parametrize("features", FEATURES)
def test_network_input_of_silence_is_finite(features: str, fill: float) -> None:
    options = FrontEndOptions(features=features)
    picture = FrontEnd(options)(torch.full((2, 8000), fill))
    assert picture.shape == (2, 3, options.n_bins, 120)
    assert picture.isfinite().all()


@pytest.mark.parametrize("column_frames", [8, 16])
def test_frames_beyond_whole_columns_are_left_out(column_frames: int) -> None:
    options = FrontEndOptions(column_frames=column_frames)
    n_frames = FrontEnd(options)(white_noise(256 + 64 * (5 * column_frames + 10))).shape[-1]
    assert n_frames == (5 * column_frames + 11) // column_frames * column_frames


def test_unknown_features_and_columns_are_refused() -> None:
    with pytest.raises(UsageError, match="spectrogram, complexity, both"):
        FrontEndOptions(features="wavelets")
    with pytest.raises(UsageError, match="8 or 16"):
        FrontEndOptions(column_frames=12)


def test_order_is_high_in_the_band_of_a_call() -> None:
    call, low_hz, high_hz = upcall(RATE_HZ, np.random.default_rng(2))
    cells = FrontEnd(OPTIONS).normalise(torch.from_numpy(block_with(call, 2.5))[None]).power
    order = complexity.band_complexity(cells, 17, 5).order[0]
    inside = slice(round(low_hz / OPTIONS.bin_hz) - OPTIONS.low_bin, round(high_hz / OPTIONS.bin_hz) - OPTIONS.low_bin)
    assert order[inside].max() > 3 * order[-10:].max()


def test_tonal_lines_fade_and_calls_stay() -> None:
    tone = np.sin(2 * np.pi * 150 * np.arange(6 * RATE_HZ) / RATE_HZ)
    blocks = torch.from_numpy(np.stack([block_with(tone, 0), block_with(tone[:1600], 2.5)]))
    line, call = FrontEnd(OPTIONS).normalise(blocks).power[:, round(150 / OPTIONS.bin_hz) - OPTIONS.low_bin]
    assert line.max() < 2
    assert call.max() > 100


def test_the_background_follows_the_level() -> None:
    """Two seconds after the sea became louder by 40 dB, power over background is what it was before."""
    noise = white_noise(40_000)
    noise[:, 20_000:] *= 100
    cells = FrontEnd(OPTIONS).normalise(noise).power[0]
    at, reach = 20_000 // OPTIONS.frame_hop_samples, OPTIONS.background_frames
    assert cells[:, : at - reach].mean().item() == pytest.approx(cells[:, at + reach :].mean().item(), rel=0.1)


# Network


@pytest.fixture(scope="module")
def detector() -> Detector:
    """The default model's."""
    return load_detector(find_model())


@pytest.mark.parametrize("column_frames", [8, 16])
@pytest.mark.parametrize("n_classes", [1, 3])
def test_each_column_has_logits_and_a_box(column_frames: int, n_classes: int) -> None:
    options = FrontEndOptions(column_frames=column_frames)
    detector = Detector(ARCHITECTURE, options, SMALL, n_classes).eval()
    with torch.inference_mode():
        logits, boxes = detector(white_noise(20_000).repeat(2, 1))
    n_columns = (20_000 - OPTIONS.fft_samples + OPTIONS.frame_hop_samples) // options.column_samples
    assert logits.shape == (2, n_columns, n_classes)
    assert boxes.shape == (2, n_columns, 4)


@pytest.mark.slow
@pytest.mark.parametrize("column_frames", [8, 16])
@pytest.mark.parametrize("middle_blocks", [(), (4, 11)])
@pytest.mark.parametrize("exit_channels", EXIT_CHANNELS)
def test_a_column_depends_on_the_receptive_frames_around_its_middle(
    column_frames: int, middle_blocks: tuple[int, ...], exit_channels: int
) -> None:
    options, network = FrontEndOptions(column_frames=column_frames), NetworkOptions(middle_blocks, exit_channels)
    torch.manual_seed(1)
    detector = Detector(ARCHITECTURE, options, network, 1).eval()
    network_input = torch.randn(1, 3, options.n_bins, 640, requires_grad=True)
    column = 320 // column_frames
    (gradient,) = torch.autograd.grad(detector.classify(network_input)[0][0, column, 0], network_input)
    frames = torch.nonzero(gradient.abs().sum(dim=(0, 1, 2)))[:, 0]
    middle = options.first_frame + column * column_frames
    reach = network.receptive_frames(column_frames) // 2
    assert (int(frames.min()), int(frames.max())) == (middle - reach, middle + reach)


def test_more_middle_blocks_have_a_larger_receptive_field() -> None:
    sizes = [NetworkOptions(MIDDLE_BLOCKS[:n]).receptive_frames(8) for n in range(9)]
    assert sizes == sorted(set(sizes))
    assert ModelSpec(network=NetworkOptions(MIDDLE_BLOCKS)).context_samples > ModelSpec().context_samples


@pytest.mark.slow
def test_sound_beyond_the_context_changes_nothing(detector: Detector) -> None:
    spec = find_model().spec
    sound, column = white_noise(80_000), 78
    middle = OPTIONS.first_middle_sample + column * OPTIONS.column_samples
    # a column's frames begin before it does, which takes up one column of the context
    reach = spec.context_samples - OPTIONS.column_samples
    near, far = 1000, reach + OPTIONS.first_middle_sample
    changed = {}
    for distance in (near, far):
        changed[distance] = 10 * white_noise(80_000, seed=2)
        changed[distance][:, middle - distance : middle + distance] = sound[:, middle - distance : middle + distance]
    with torch.inference_mode():
        (logits, boxes), of_near, of_far = (detector(block) for block in (sound, changed[near], changed[far]))
    assert torch.equal(of_far[0][:, column], logits[:, column])
    assert torch.equal(of_far[1][:, column], boxes[:, column])
    assert not torch.equal(of_near[0][:, column], logits[:, column])


@pytest.mark.slow
def test_where_a_block_begins_does_not_change_its_columns(detector: Detector) -> None:
    sound, first, n = white_noise(80_000), 40, 60
    margin = find_model().spec.context_samples // OPTIONS.column_samples - 1
    with torch.inference_mode():
        logits, boxes = detector(sound)
        cut_logits, cut_boxes = detector(sound[:, first * OPTIONS.column_samples :])
    inner = slice(first + margin, first + n)
    torch.testing.assert_close(cut_logits[:, margin:n], logits[:, inner], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(cut_boxes[:, margin:n], boxes[:, inner], atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("exit_channels", EXIT_CHANNELS)
def test_every_size_can_be_trained(exit_channels: int) -> None:
    detector = Detector(ARCHITECTURE, OPTIONS, NetworkOptions((4,), exit_channels), 1).train()
    logits, boxes = detector(white_noise(2 * 8000).reshape(2, 8000))
    (logits.sum() + boxes.sum()).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in detector.parameters())


def test_unusable_architectures_and_sizes_are_refused() -> None:
    with pytest.raises(ModelError, match="no_such_network"):
        Detector("no_such_network", OPTIONS, SMALL, 1)
    with pytest.raises(ModelError, match="not an Xception"):
        Detector("resnet18", OPTIONS, SMALL, 1)
    with pytest.raises(UsageError, match="from 4 to 11"):
        NetworkOptions(middle_blocks=(3,))
    with pytest.raises(UsageError, match="1024, 1536, 2048"):
        NetworkOptions(exit_channels=512)


def test_weights_of_another_network_are_refused() -> None:
    network = Detector(ARCHITECTURE, OPTIONS, SMALL, 1).network
    with pytest.raises(ModelError, match="do not fit"):
        load_imagenet_weights(network, {"conv1.weight": torch.zeros(32, 3, 3, 3)})


# Optimisation


def randomise_batch_norms(network: nn.Module) -> None:
    """Set statistics and weights as training would leave them; those before training change nothing."""
    torch.manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)


@pytest.mark.slow
@pytest.mark.parametrize("exit_channels", EXIT_CHANNELS)
def test_networks_without_batch_norm_give_the_same_results(exit_channels: int) -> None:
    torch.manual_seed(1)
    detector = Detector(ARCHITECTURE, OPTIONS, NetworkOptions((4, 11), exit_channels), 1)
    randomise_batch_norms(detector.network)
    blocks = white_noise(2 * 12_000).reshape(2, 12_000)
    with torch.inference_mode():
        expected = detector.eval()(blocks)
        folded = prepare_for_inference(detector, CPU, torch.float32)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
        torch.testing.assert_close(folded(blocks), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_bfloat16_gives_nearly_the_same_results() -> None:
    blocks = white_noise(2 * 12_000).reshape(2, 12_000)
    with torch.inference_mode():
        expected = load_detector(find_model())(blocks)
        in_bfloat16 = prepare_for_inference(load_detector(find_model()), CPU, torch.bfloat16)
        torch.testing.assert_close(in_bfloat16(blocks), expected, atol=0.25, rtol=0.02)


@pytest.mark.parametrize("inplace", [True, False])
def test_relu_of_bits_equals_relu_of_numbers(inplace: bool) -> None:
    all_numbers = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    numbers = all_numbers[~all_numbers.isnan()].repeat(2)[: 2**16 - 2**9].reshape(4, 8, 16, -1)
    for features in (numbers, numbers.to(memory_format=torch.channels_last), numbers[:, :, ::2]):
        (optimised,) = _optimised(nn.Sequential(nn.ReLU(inplace)), CPU, torch.bfloat16).children()
        assert not isinstance(optimised, nn.ReLU)
        copy = features.clone(memory_format=torch.preserve_format)
        assert torch.equal(optimised(copy), torch.relu(features))
        assert torch.equal(copy, torch.relu(features) if inplace else features)


def test_matrix_products_equal_convolutions() -> None:
    network = nn.Sequential(nn.Conv2d(300, 40, 1), nn.BatchNorm2d(40), nn.Conv2d(40, 7, 1, stride=2)).eval()
    features = torch.randn(3, 300, 4, 6).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = network(features)
        optimised = _optimised(network, CPU, torch.float32)
        torch.testing.assert_close(optimised(features), expected, atol=1e-4, rtol=1e-4)
    is_convolution = [isinstance(module, nn.Conv2d) for module in optimised.children()]
    assert is_convolution == [False, False, True], "products replace only wide layers"
    assert not any(isinstance(module, nn.BatchNorm2d) for module in optimised.modules())


# Devices


@pytest.mark.parametrize("name", ["tpu", "cuda:99", "gpu", "meta"])
def test_unknown_devices_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        choose_device(name)


def test_auto_chooses_a_gpu_where_there_is_one() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@given(hop_s=st.floats(0.001, 2.0))
def test_hops_are_rounded_to_whole_samples(hop_s: float) -> None:
    assert ModelSpec().grid(hop_s).hop_samples == max(round(hop_s * RATE_HZ), 1)
