from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file
from scipy import signal

from whalescan import ModelError, UsageError, load_model, read_selections
from whalescan.detector.network import Detector
from whalescan.detector.spec import FrontEndOptions
from whalescan.learn import augmentation
from whalescan.learn.augmentation import AugmentationOptions
from whalescan.learn.clips import read_kaggle
from whalescan.learn.simulation import LABEL, SeaOptions, simulate, upcall, write_recordings
from whalescan.learn.training import TrainData, TrainOptions, clip_metrics, train

SMALL = TrainOptions(epochs=1, batch_size=8, average_steps=1, validation_share=0.3)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty clips in the Kaggle layout, half of them with a call."""
    root = tmp_path_factory.mktemp("clips")
    (root / "train").mkdir()
    random = np.random.default_rng(1)
    rows = ["clip_name,label"]
    for i in range(40):
        clip = 0.01 * random.standard_normal(4000)
        if i % 2:
            call, _, _ = upcall(2000, random)
            clip[800 : 800 + len(call)] += 0.05 * call
        soundfile.write(root / "train" / f"train{i}.aiff", clip, 2000)
        rows.append(f"train{i}.aiff,{i % 2}")
    (root / "train.csv").write_text("\n".join(rows))
    return root


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the right shapes; no test needs the real ones."""
    torch.manual_seed(3)
    state = Detector("legacy_xception", FrontEndOptions(), 1).network.state_dict()
    path = tmp_path_factory.mktemp("weights") / "imagenet.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in state.items() if not name.startswith("fc.")}, path)
    return path


def test_training_makes_a_model_and_the_same_seed_makes_the_same_one(
    clips: Path, imagenet: Path, sea: Path, tmp_path: Path
) -> None:
    one, two = (tmp_path / f"{n}.safetensors" for n in "ab")
    data = TrainData(clips, (str(sea),), imagenet)
    metrics = train(data, one, SMALL, quiet=True)
    train(data, two, SMALL, quiet=True)
    assert one.read_bytes() == two.read_bytes()
    model = load_model(one)
    assert model.spec.training["recipe"]["seed"] == SMALL.seed
    assert model.spec.metrics["held-out clips"]["n_clips"] == metrics.n_clips
    assert 0 <= metrics.auc <= 1


def test_the_split_follows_the_clips_content_and_not_their_order(clips: Path, tmp_path: Path) -> None:
    original = read_kaggle(clips, 2000, 4000, quiet=True)
    rows = (clips / "train.csv").read_text().splitlines()
    shuffled = tmp_path / "other"
    (shuffled / "train").mkdir(parents=True)
    for path in (clips / "train").iterdir():
        (shuffled / "train" / path.name).write_bytes(path.read_bytes())
    (shuffled / "train.csv").write_text("\n".join([rows[0], *reversed(rows[1:])]))
    other = read_kaggle(shuffled, 2000, 4000, quiet=True)
    np.testing.assert_array_equal(other.fold[::-1], original.fold)
    assert len(np.unique(original.fold)) == len(original)


def test_clips_that_cannot_be_used_are_named_before_training(clips: Path, tmp_path: Path) -> None:
    root = tmp_path / "bad"
    (root / "train").mkdir(parents=True)
    soundfile.write(root / "train" / "short.aiff", np.zeros(100), 2000)
    soundfile.write(root / "train" / "fast.aiff", np.zeros(4000), 4000)
    (root / "train.csv").write_text("clip_name,label\nshort.aiff,1\nfast.aiff,0\nabsent.aiff,1\n")
    with pytest.raises(UsageError) as error:
        read_kaggle(root, 2000, 4000, quiet=True)
    assert all(name in str(error.value) for name in ("short.aiff", "fast.aiff", "absent.aiff", "3 of 3"))
    (root / "train.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="clip_name"):
        read_kaggle(root, 2000, 4000, quiet=True)
    one_kind = tmp_path / "one"
    (one_kind / "train").mkdir(parents=True)
    (one_kind / "train" / "train1.aiff").write_bytes((clips / "train" / "train1.aiff").read_bytes())
    (one_kind / "train.csv").write_text("clip_name,label\ntrain1.aiff,1\n")
    with pytest.raises(UsageError, match="only one of the labels"):
        read_kaggle(one_kind, 2000, 4000, quiet=True)


def test_weights_that_are_none(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"hello")
    for name in ("w.safetensors", "absent.safetensors"):
        with pytest.raises(ModelError, match=name):
            train(TrainData(clips, (), tmp_path / name), tmp_path / "m.safetensors", SMALL, quiet=True)


def test_metrics_of_a_perfect_and_of_a_reversed_detector() -> None:
    labels = np.array([0, 0, 1, 1])
    logits = np.array([-2, -1, 1, 2], np.float32)
    assert (clip_metrics(labels, logits).auc, clip_metrics(labels, logits).accuracy) == (1, 1)
    assert (clip_metrics(labels, -logits).auc, clip_metrics(labels, -logits).accuracy) == (0, 0)


# ---------------------------------------------------------------------------------------------- augmentation


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_noise_has_the_snr_that_was_asked_for(random: torch.Generator) -> None:
    windows = torch.randn(64, 4000, generator=random)
    noisy = augmentation.add_noise(windows, AugmentationOptions(noise_share=1.0, noise_snr_db=(10, 10)), random)
    assert (noisy - windows).square().mean() == pytest.approx(0.1, rel=0.02)
    untouched = augmentation.add_noise(windows, AugmentationOptions(noise_share=0.0), random)
    torch.testing.assert_close(untouched, windows, atol=0, rtol=0)


def test_shift_moves_and_keeps_every_value(random: torch.Generator) -> None:
    pictures = torch.randn(4, 3, 8, 50, generator=random)
    shifted = augmentation.shift(pictures, AugmentationOptions(shift_frames=5, shift_bins=1), random)
    torch.testing.assert_close(shifted.flatten(1).sort().values, pictures.flatten(1).sort().values)


def test_masks_hide_stripes_only(random: torch.Generator) -> None:
    pictures = torch.randn(16, 3, 64, 150, generator=random)
    masked = augmentation.mask(pictures, AugmentationOptions(), random)
    hidden = (masked != pictures).float().mean()
    assert 0 < hidden < 0.4


def test_mixup_mixes_pictures_and_targets_alike(random: torch.Generator) -> None:
    targets = torch.tensor([[0.0], [1.0]] * 8)
    pictures = targets[:, :, None, None].expand(16, 3, 4, 4).clone()
    mixed, mixed_targets = augmentation.mixup(pictures, targets, AugmentationOptions(mixup_alpha=1.0), random)
    torch.testing.assert_close(mixed[:, 0, 0, 0], mixed_targets[:, 0])
    assert ((mixed_targets > 0.01) & (mixed_targets < 0.99)).any()


# ---------------------------------------------------------------------------------------------- simulation


def test_the_same_seed_makes_the_same_sea() -> None:
    options = SeaOptions(minutes=0.5, calls_per_hour=300)
    one, same, other = simulate(2000, options), simulate(2000, options), simulate(2000, options, index=1)
    np.testing.assert_array_equal(one.samples, same.samples)
    assert one.calls == same.calls
    assert other.calls != one.calls


@pytest.mark.parametrize("rate", [2000, 4000])
def test_calls_are_where_the_truth_says(rate: int) -> None:
    options = SeaOptions(minutes=2, calls_per_hour=200, snr_db=(15, 15), ships=False, humpbacks=False, knocks=False)
    scene = simulate(rate, options)
    band = signal.butter(4, (60, 350), "bandpass", fs=rate, output="sos")
    power = signal.sosfiltfilt(band, scene.samples) ** 2
    assert len(scene.calls) >= 3
    for call in scene.calls:
        inside = power[round(call.begin_s * rate) : round(call.end_s * rate)].mean()
        assert inside > 4 * np.median(power), "15 dB stand out"
        assert 60 < call.low_hz < call.high_hz < 350
        assert 0.5 < call.end_s - call.begin_s < 1.5


def test_no_calls_and_full_scale() -> None:
    scene = simulate(2000, SeaOptions(minutes=1, calls_per_hour=0))
    assert scene.calls == ()
    assert np.abs(scene.samples).max() <= 1


def test_recordings_with_their_truth(tmp_path: Path) -> None:
    written = list(write_recordings(tmp_path, 3, SeaOptions(minutes=0.25, calls_per_hour=600)))
    assert [path.suffix for path, _ in written] == [".wav", ".flac", ".aiff"]
    for path, n_calls in written:
        truth = read_selections(path.with_suffix(".selections.txt"))
        assert len(truth) == n_calls
        assert all(call.label == LABEL for call in truth)
        assert soundfile.info(path).duration == 15
