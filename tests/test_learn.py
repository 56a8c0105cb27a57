from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

from whalescan import ModelError, UsageError, load_model
from whalescan.core import Annotation, FloatArray
from whalescan.detector.frontend import FrontEnd
from whalescan.detector.model_file import load_detector, write_model
from whalescan.detector.model_spec import UPCALL, FrontEndOptions
from whalescan.detector.network import Detector
from whalescan.tables.raven import annotation_bytes
from whalescan.training import augmentation, initial_weights
from whalescan.training import train as training
from whalescan.training.augmentation import AugmentationOptions
from whalescan.training.checkpoint import checkpoint_path, read_checkpoint
from whalescan.training.datasets import DataOptions, gather
from whalescan.training.options import FINE_TUNING, TrainData, TrainOptions, TrainWork
from whalescan.training.simulation import upcall
from whalescan.training.train import train
from whalescan.training.trainer import Learner, Lessons, traces
from whalescan.training.training_report import Epoch, best
from whalescan.training.validation_metrics import ClassMetrics, Validation, logits_of, validate

SMALL = TrainOptions(epochs=1, batch_size=8, least_batches=2, average_steps=1, validation_share=0.3)
CPU = torch.device("cpu")


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


@pytest.fixture(scope="module")
def taught(clips: Path, imagenet: Path, sea: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two epochs, with all that lies beside it."""
    path = tmp_path_factory.mktemp("taught") / "model.safetensors"
    train(TrainData((clips,), (str(sea),), imagenet), path, TWO_EPOCHS, TrainWork(quiet=True))
    return path


TWO_EPOCHS = replace(SMALL, epochs=2, soften_after_epoch=1)


def test_the_same_seed_makes_the_same_model_also_after_a_kill(
    clips: Path, imagenet: Path, sea: Path, taught: Path, tmp_path: Path
) -> None:
    said: list[str] = []

    def kill_in_the_second_epoch(line: str) -> None:
        said.append(line)
        if line.startswith("epoch 2"):
            raise KeyboardInterrupt

    data, output = TrainData((clips,), (str(sea),), imagenet), tmp_path / "model.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(data, output, TWO_EPOCHS, TrainWork(quiet=True, say=kill_in_the_second_epoch))
    assert checkpoint_path(output).exists()
    train(data, output, TWO_EPOCHS, TrainWork(quiet=True, say=said.append))
    assert sum("goes on after epoch 1" in line for line in said) == 1
    assert output.read_bytes() == taught.read_bytes()
    assert not checkpoint_path(output).exists()


def test_another_recipe_does_not_go_on_where_this_one_stopped(taught: Path, tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path / "absent", "x") is None
    assert read_checkpoint(taught, "x") is None
    (tmp_path / "damaged").write_bytes(b"hello")
    assert read_checkpoint(tmp_path / "damaged", "x") is None


def test_what_lies_beside_a_model(taught: Path) -> None:
    metrics = json.loads(taught.with_suffix(".metrics.json").read_text())
    model = load_model(taught)
    assert [epoch["number"] for epoch in metrics["epochs"]] == [1, 2]
    assert model.spec.metrics["held-out examples"]["epoch"] == metrics["kept_epoch"]
    assert model.spec.training["recipe"]["seed"] == SMALL.seed
    with taught.with_suffix(".split.csv").open() as file:
        sides = [row["side"] for row in csv.DictReader(file)]
    assert (sides.count("training"), sides.count("validation")) == (metrics["n_learning"], metrics["n_held_out"])
    assert len(sides) == 40
    assert taught.with_suffix(".curves.png").read_bytes().startswith(b"\x89PNG")


def test_going_on_from_a_model_moves_the_head_first(clips: Path, taught: Path, tmp_path: Path) -> None:
    output = tmp_path / "own.safetensors"
    options = replace(FINE_TUNING, epochs=1, frozen_epochs=1, average_steps=1, least_batches=3)
    said: list[str] = []
    train(TrainData((clips,), start_from=str(taught)), output, options, TrainWork(quiet=True, say=said.append))
    before, after = (load_detector(load_model(path)).network.state_dict() for path in (taught, output))
    moved = {name for name in before if not torch.allclose(before[name], after[name], atol=1e-6)}
    assert moved
    assert moved <= {"fc.weight", "fc.bias"}, "neither the body's weights nor its statistics"
    assert load_model(output).spec.training["started_from"] == taught.stem
    assert "starting from model" in said
    assert load_model(output).spec.calibration == load_model(taught).spec.calibration, (
        "made for the sea, not for a few clips"
    )


def test_going_on_with_other_classes_is_said(sea: Path, taught: Path, tmp_path: Path) -> None:
    said: list[str] = []
    data = TrainData((sea,), start_from=str(taught), selection=DataOptions(renamed=(("NARW upcall", "moan"),)))
    options = replace(FINE_TUNING, epochs=1, least_batches=3)
    trained = train(data, tmp_path / "moan.safetensors", options, TrainWork(quiet=True, say=said.append))
    assert load_model(tmp_path / "moan.safetensors").spec.classes == ("moan",)
    assert any(f"knows {UPCALL}; the head for moan is new" in line for line in said)
    assert trained.kept.validation is None, "three recordings of one day are one group, and nothing can be held out"
    assert not json.loads((tmp_path / "moan.metrics.json").read_text())["validated"]


def test_what_is_known_of_a_class_is_kept_by_its_name(taught: Path, tmp_path: Path) -> None:
    model = load_model(taught)
    two = replace(model.spec, classes=("b", "a"), thresholds=(0.3, 0.7), calibration=((2.0, 1.0), (3.0, 2.0)))
    torch.manual_seed(2)
    path = tmp_path / "two.safetensors"
    write_model(path, Detector(two.architecture, two.front_end, 2), two)
    start = load_model(path)
    state = initial_weights.weights(start, None, SMALL)
    spec = initial_weights.spec(start, two.front_end, ("a", "b", "new"), SMALL)
    assert (spec.thresholds, spec.calibration) == ((0.7, 0.3, 0.5), ((3.0, 2.0), (2.0, 1.0), (1.0, 0.0)))
    head = initial_weights.detector(spec, start, state).network.state_dict()["fc.weight"]
    torch.testing.assert_close(head[:2], state["fc.weight"][[1, 0]], atol=0, rtol=0)


def test_a_few_calls_of_a_new_kind_are_learnt_in_a_minute(taught: Path, tmp_path: Path) -> None:
    """Three moans: many passes, an average that is not mostly the start, and no crash of the schedule."""
    random = np.random.default_rng(5)
    sound = 0.02 * random.standard_normal(2000 * 60)
    calls = []
    for at_s in (10, 25, 40):
        tone = np.sin(2 * np.pi * 300 * np.arange(2000) / 2000) * np.hanning(2000)
        sound[at_s * 2000 : (at_s + 1) * 2000] += 0.3 * tone
        calls.append(Annotation(at_s, at_s + 1, 250, 350, "moan"))
    folder = tmp_path / "own"
    folder.mkdir()
    soundfile.write(folder / "a.wav", sound, 2000)
    (folder / "a.selections.txt").write_bytes(annotation_bytes(calls))
    output = tmp_path / "moan.safetensors"
    options = replace(FINE_TUNING, epochs=5, learning_rate=1e-3)
    train(TrainData((folder,), start_from=str(taught)), output, options, TrainWork(quiet=True))
    examples = gather((folder,), DataOptions(), 2000, 4000, quiet=True).examples
    logits = logits_of(load_detector(load_model(output)), examples.windows, CPU)[:, 0]
    assert logits[examples.holds_call].min() > logits[~examples.holds_call].max()


def test_the_hardest_windows_without_calls_are_drawn(clips: Path, imagenet: Path, sea: Path, tmp_path: Path) -> None:
    data = TrainData((clips,), (str(sea),), imagenet)
    plain, hard = tmp_path / "plain.safetensors", tmp_path / "hard.safetensors"
    for path, share in ((plain, 0.0), (hard, 1.0)):
        train(data, path, replace(TWO_EPOCHS, hard_share=share), TrainWork(quiet=True))
    losses = [json.loads(path.with_suffix(".metrics.json").read_text())["epochs"] for path in (plain, hard)]
    assert losses[0][0]["loss"] == losses[1][0]["loss"], "nobody has looked before the first epoch"
    assert losses[0][1]["loss"] != losses[1][1]["loss"]


def test_a_side_that_lacks_a_class_stops_training(clips: Path, tmp_path: Path) -> None:
    calls = tuple(f"train{i}.aiff" for i in range(1, 40, 2))
    with pytest.raises(UsageError, match="nothing is left to learn NARW upcall from"):
        train(TrainData((clips,), start_from="default", validation=calls), tmp_path / "m.safetensors")


@pytest.mark.parametrize("name", ["model.pt", "folder.safetensors"])
def test_an_output_that_is_no_model_is_refused_at_once(clips: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(UsageError, match=r"ends in \.safetensors"):
        train(TrainData((clips,)), tmp_path / name)


def test_a_model_keeps_its_own_pictures(clips: Path, taught: Path, tmp_path: Path) -> None:
    data = TrainData((clips,), start_from=str(taught))
    with pytest.raises(UsageError, match="leave --features out"):
        train(data, tmp_path / "m.safetensors", replace(SMALL, features="complexity"))


@pytest.mark.parametrize("features", ["spectrogram", "complexity"])
def test_each_kind_of_picture_can_be_learnt_from(features: str, clips: Path, imagenet: Path, tmp_path: Path) -> None:
    output = tmp_path / "m.safetensors"
    train(TrainData((clips,), imagenet=imagenet), output, replace(SMALL, features=features), TrainWork(quiet=True))
    assert load_model(output).spec.front_end.features == features


def test_training_stops_when_it_no_longer_helps(
    clips: Path, imagenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aucs = iter([0.7, 0.9, 0.8, 0.85, 0.99])

    def declining(*_: object) -> Validation:
        return Validation(0.5, {UPCALL: ClassMetrics(next(aucs), 0.5, 0.5, 10, 5)}, ((1.0, 0.0),))

    monkeypatch.setattr(training, "validate", declining)
    options = replace(SMALL, epochs=9, patience=2)
    trained = train(TrainData((clips,), imagenet=imagenet), tmp_path / "m.safetensors", options, TrainWork(quiet=True))
    assert (len(trained.epochs), trained.kept.number) == (4, 2)


def test_the_best_epoch_is_the_surest_of_equals() -> None:
    def epoch(number: int, auc: float, loss: float) -> Epoch:
        return Epoch(number, 0.1, Validation(loss, {UPCALL: ClassMetrics(auc, 0.5, 0.5, 10, 5)}, ((1.0, 0.0),)))

    assert best([epoch(1, 0.7, 0.1), epoch(2, 1, 0.5), epoch(3, 1, 0.2), epoch(4, 1, 0.2)]).number == 3
    assert best([Epoch(1, 0.2, None), Epoch(2, 0.3, None)]).number == 2


def test_weights_that_are_none(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"hello")
    for name in ("w.safetensors", "absent.safetensors"):
        with pytest.raises(ModelError, match=name):
            train(TrainData((clips,), imagenet=tmp_path / name), tmp_path / "m.safetensors", SMALL)


def test_recipes_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="at least one epoch"):
        TrainOptions(epochs=0)
    with pytest.raises(UsageError, match="nothing to learn from"):
        TrainOptions(validation_share=1.0)
    with pytest.raises(UsageError, match="at least 2"):
        TrainOptions(batch_size=1)


# ---------------------------------------------------------------------------------------------- validation


def test_metrics_of_a_perfect_and_of_a_reversed_detector() -> None:
    targets = np.array([[0, 1], [0, 1], [1, 1], [1, 1]], np.float32)
    logits = np.array([[-2, 1], [-1, 2], [1, 3], [2, 4]], np.float32)
    perfect = validate(targets, logits, ("a", "b"))
    assert perfect is not None
    assert [*perfect.classes] == ["a"], "b is never absent"
    measured = perfect.classes["a"]
    assert (measured.auc, measured.accuracy, measured.n_calls) == (1, 1, 2)
    assert perfect.calibration[1] == (1.0, 0.0)
    reversed_ = validate(targets, -logits, ("a", "b"))
    assert reversed_ is not None
    assert reversed_.auc == 0
    assert validate(targets[:, 1:], logits[:, 1:], ("b",)) is None


# ---------------------------------------------------------------------------------------------- learner


def test_labels_are_softened_towards_what_the_network_thinks(clips: Path, imagenet: Path, tmp_path: Path) -> None:
    hard = tmp_path / "hard.safetensors"
    soft = tmp_path / "soft.safetensors"
    data = TrainData((clips,), imagenet=imagenet)
    train(data, hard, replace(TWO_EPOCHS, soften=0.0), TrainWork(quiet=True))
    train(data, soft, TWO_EPOCHS, TrainWork(quiet=True))
    losses = [json.loads(path.with_suffix(".metrics.json").read_text())["epochs"] for path in (hard, soft)]
    assert losses[0][0]["loss"] == losses[1][0]["loss"], "the first epoch is the same"
    assert losses[0][1]["loss"] != losses[1][1]["loss"]


def test_softened_labels_lie_between_the_labels_and_what_the_network_thinks(
    clips: Path, imagenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sure(_: Detector, windows: FloatArray, __: torch.device) -> FloatArray:
        return np.full((len(windows), 1), 30, np.float32)  # a call, each of them

    def kill_in_the_second_epoch(line: str) -> None:
        if line.startswith("epoch 2"):
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "logits_of", sure)
    output = tmp_path / "m.safetensors"
    options = replace(TWO_EPOCHS, soften=0.25)
    with pytest.raises(KeyboardInterrupt):
        train(TrainData((clips,), imagenet=imagenet), output, options, TrainWork(quiet=True, say=kill_in_the_second_epoch))
    targets = load_file(checkpoint_path(output))["targets"]
    assert sorted(set(targets.flatten().tolist())) == [0.25, 1.0], "0 is believed by three quarters, 1 wholly"


def test_only_the_hardest_windows_are_drawn_where_these_are_wanted() -> None:
    learner = Learner(Detector("legacy_xception", FrontEndOptions(), 1), SMALL, 8, CPU)
    sea = np.arange(10, dtype=np.float32)[:, None].repeat(4000, axis=1)
    drawn = learner._draw(sea, 50, among=np.array([3, 7]))[:, 0]
    assert set(drawn.tolist()) == {3.0, 7.0}
    assert len(set(learner._draw(sea, 50)[:, 0].tolist())) > 5


def test_a_frozen_body_does_not_move() -> None:
    torch.manual_seed(1)
    detector = Detector("legacy_xception", FrontEndOptions(), 1)
    before = {name: tensor.clone() for name, tensor in detector.network.state_dict().items()}
    windows = np.random.default_rng(1).standard_normal((8, 4000)).astype(np.float32)
    lessons = Lessons(windows, np.eye(8, 1, dtype=np.float32), traces(detector, windows), windows[:0])
    learner = Learner(detector, replace(SMALL, epochs=2, batch_size=4), 8, CPU)
    assert len(list(learner.learn(lessons, frozen=True))) == 2
    moved = {name for name, tensor in detector.network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"fc.weight", "fc.bias"}
    list(learner.learn(lessons, frozen=False))
    assert not torch.equal(detector.network.state_dict()["conv1.weight"], before["conv1.weight"])


# ---------------------------------------------------------------------------------------------- augmentation


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(1)


BOX = np.array([[1000, 3000, 100, 200]], np.float32)


def in_box_db(frontend: FrontEnd, signal: torch.Tensor, noise: torch.Tensor) -> FloatArray:
    within = augmentation.inside(np.repeat(BOX, len(signal), axis=0), frontend.options)
    powers = [(frontend.power(sound) * within).sum(dim=(1, 2)) for sound in (signal, noise)]
    return (10 * (powers[0] / powers[1]).log10()).numpy()


@pytest.mark.parametrize("kind", ["sea", "white"])
def test_noise_has_the_snr_that_was_asked_for_where_the_call_is(kind: str, random: torch.Generator) -> None:
    frontend = FrontEnd(FrontEndOptions())
    windows, sea = torch.randn(2, 32, 4000, generator=random)
    within = augmentation.inside(np.repeat(BOX, 32, axis=0), frontend.options)
    if kind == "sea":
        options = AugmentationOptions(sea_share=1.0, sea_snr_db=(6, 6))
        noisy = augmentation.mix_in(windows, sea, within, frontend, options, random)
        none = augmentation.mix_in(windows, sea, within, frontend, AugmentationOptions(sea_share=0.0), random)
    else:
        options = AugmentationOptions(noise_share=1.0, noise_snr_db=(6, 6))
        noisy = augmentation.add_noise(windows, within, frontend, options, random)
        none = augmentation.add_noise(windows, within, frontend, AugmentationOptions(noise_share=0.0), random)
    np.testing.assert_allclose(in_box_db(frontend, windows, noisy - windows), 6, atol=0.01)
    torch.testing.assert_close(none, windows, atol=0, rtol=0)


def test_silence_cannot_be_mixed_in(random: torch.Generator) -> None:
    frontend = FrontEnd(FrontEndOptions())
    windows = torch.randn(4, 4000, generator=random)
    within = augmentation.inside(np.repeat(BOX, 4, axis=0), frontend.options)
    options = AugmentationOptions(sea_share=1.0)
    mixed = augmentation.mix_in(windows, torch.zeros(4, 4000), within, frontend, options, random)
    torch.testing.assert_close(mixed, windows, atol=0, rtol=0)


def test_shift_moves_and_keeps_every_value(random: torch.Generator) -> None:
    pictures = torch.randn(4, 3, 8, 50, generator=random)
    shifted = augmentation.shift(pictures, 0.02, AugmentationOptions(shift_s=0.1, shift_bins=1), random)
    torch.testing.assert_close(shifted.flatten(1).sort().values, pictures.flatten(1).sort().values)
    assert not torch.equal(shifted, pictures)


def test_masks_hide_stripes_only(random: torch.Generator) -> None:
    pictures = torch.randn(16, 3, 64, 94, generator=random)
    masked = augmentation.mask(pictures, 0.02, AugmentationOptions(), random)
    hidden = (masked != pictures).float().mean()
    assert 0 < hidden < 0.4


def test_mixup_mixes_pictures_and_targets_alike(random: torch.Generator) -> None:
    targets = torch.tensor([[0.0], [1.0]] * 8)
    pictures = targets[:, :, None, None].expand(16, 3, 4, 4).clone()
    mixed, mixed_targets = augmentation.mixup(pictures, targets, AugmentationOptions(mixup_alpha=1.0), random)
    torch.testing.assert_close(mixed[:, 0, 0, 0], mixed_targets[:, 0])
    assert ((mixed_targets > 0.01) & (mixed_targets < 0.99)).any()
