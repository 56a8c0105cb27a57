"""Training: recipe, checkpoints, initial weights, held-out metrics, augmentation."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

from tests.tiny_network import ARCHITECTURE, use_tiny_network
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
from whalescan.training.datasets import DataOptions, read_dataset
from whalescan.training.simulation import upcall
from whalescan.training.train import train, train_model
from whalescan.training.trainer import Trainer, TrainingSet, checkpoint_path, read_checkpoint, strongest_boxes
from whalescan.training.training_options import FINE_TUNING, TrainData, TrainingRunOptions, TrainOptions
from whalescan.training.training_report import ClassMetrics, Epoch, HeldOutMetrics, best_epoch, logits_of, measure_held_out

SMALL = TrainOptions(epochs=1, batch_size=8, least_batches=2, average_steps=1, validation_share=0.3)
CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def _tiny_network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        use_tiny_network(patch)
        yield


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
    state = Detector(ARCHITECTURE, FrontEndOptions(), 1).network.state_dict()
    path = tmp_path_factory.mktemp("weights") / "imagenet.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in state.items() if not name.startswith("fc.")}, path)
    return path


@pytest.fixture(scope="module")
def trained_model(clips: Path, imagenet: Path, simulated_recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two epochs, with the files beside it."""
    path = tmp_path_factory.mktemp("trained_model") / "model.safetensors"
    train_model(
        TrainData((clips,), (str(simulated_recordings),), imagenet), path, TWO_EPOCHS, TrainingRunOptions(quiet=True)
    )
    return path


TWO_EPOCHS = replace(SMALL, epochs=2, soften_after_epoch=1)


@pytest.mark.slow
def test_interrupted_training_gives_the_same_model(
    clips: Path, imagenet: Path, simulated_recordings: Path, trained_model: Path, tmp_path: Path
) -> None:
    messages: list[str] = []

    def interrupt_second_epoch(line: str) -> None:
        messages.append(line)
        if line.startswith("epoch 2"):
            raise KeyboardInterrupt

    data, output = TrainData((clips,), (str(simulated_recordings),), imagenet), tmp_path / "model.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_model(data, output, TWO_EPOCHS, TrainingRunOptions(quiet=True, report=interrupt_second_epoch))
    assert checkpoint_path(output).exists()
    train_model(data, output, TWO_EPOCHS, TrainingRunOptions(quiet=True, report=messages.append))
    assert sum("resumes after epoch 1" in line for line in messages) == 1
    assert output.read_bytes() == trained_model.read_bytes()
    assert not checkpoint_path(output).exists()


def test_unusable_checkpoints(trained_model: Path, tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path / "absent", "x") is None
    assert read_checkpoint(trained_model, "x") is None
    (tmp_path / "damaged").write_bytes(b"hello")
    assert read_checkpoint(tmp_path / "damaged", "x") is None


def test_files_beside_the_model(trained_model: Path) -> None:
    metrics = json.loads(trained_model.with_suffix(".metrics.json").read_text())
    model = load_model(trained_model)
    assert [epoch["number"] for epoch in metrics["epochs"]] == [1, 2]
    assert model.spec.metrics["held-out examples"]["epoch"] == metrics["kept_epoch"]
    assert model.spec.training["recipe"]["seed"] == SMALL.seed
    with trained_model.with_suffix(".split.csv").open() as file:
        sides = [row["side"] for row in csv.DictReader(file)]
    assert (sides.count("training"), sides.count("validation")) == (metrics["n_learning"], metrics["n_held_out"])
    assert len(sides) == 40
    assert trained_model.with_suffix(".curves.png").read_bytes().startswith(b"\x89PNG")


def test_fine_tuning_trains_the_head_first(clips: Path, trained_model: Path, tmp_path: Path) -> None:
    output = tmp_path / "own.safetensors"
    options = replace(FINE_TUNING, epochs=1, frozen_epochs=1, average_steps=1, least_batches=3)
    messages: list[str] = []
    train_model(
        TrainData((clips,), start_from=str(trained_model)),
        output,
        options,
        TrainingRunOptions(quiet=True, report=messages.append),
    )
    before, after = (load_detector(load_model(path)).network.state_dict() for path in (trained_model, output))
    moved = {name for name in before if not torch.allclose(before[name], after[name], atol=1e-6)}
    assert moved
    assert moved <= {"fc.weight", "fc.bias"}, "neither the weights of the body nor its statistics"
    assert load_model(output).spec.training["started_from"] == trained_model.stem
    assert "starting from model" in messages
    assert load_model(output).spec.calibration == load_model(trained_model).spec.calibration, (
        "fitted on continuous recordings, not on a few clips"
    )


@pytest.mark.slow
def test_fine_tuning_with_other_classes(simulated_recordings: Path, trained_model: Path, tmp_path: Path) -> None:
    messages: list[str] = []
    data = TrainData(
        (simulated_recordings,), start_from=str(trained_model), selection=DataOptions(renamed=(("NARW upcall", "moan"),))
    )
    options = replace(FINE_TUNING, epochs=1, least_batches=3)
    trained = train_model(
        data, tmp_path / "moan.safetensors", options, TrainingRunOptions(quiet=True, report=messages.append)
    )
    assert load_model(tmp_path / "moan.safetensors").spec.classes == ("moan",)
    assert any("the head for moan is new" in line for line in messages)
    assert trained.kept.validation is None, "three recordings of one day are one group, and nothing can be held out"
    assert not json.loads((tmp_path / "moan.metrics.json").read_text())["validated"]


def test_train_with_plain_arguments(clips: Path, imagenet: Path, tmp_path: Path) -> None:
    messages: list[str] = []
    options = {"epochs": 1, "batch_size": 2, "validation_share": 0.3}
    result = train(str(clips), tmp_path / "m.safetensors", weights=imagenet, report=messages.append, **options)  # type: ignore[arg-type]
    frame = result.to_frame()
    assert frame["epoch"].tolist() == [1]
    assert {"loss", "held_out_loss", f"{UPCALL}: auc"} <= set(frame.columns)
    assert any(message.startswith("epoch 1") for message in messages)
    recipe = load_model(result.model).spec.training["recipe"]
    assert (recipe["batch_size"], recipe["augmentation"]["sea_share"]) == (2, 0.0), "keys of the format stay"


def test_initial_head_threshold_and_calibration_by_class(trained_model: Path, tmp_path: Path) -> None:
    model = load_model(trained_model)
    two = replace(model.spec, classes=("b", "a"), thresholds=(0.3, 0.7), calibration=((2.0, 1.0), (3.0, 2.0)))
    torch.manual_seed(2)
    path = tmp_path / "two.safetensors"
    write_model(path, Detector(two.architecture, two.front_end, 2), two)
    start = load_model(path)
    state = initial_weights.load_initial_weights(start, None, SMALL)
    spec = initial_weights.initial_spec(start, two.front_end, ("a", "b", "new"), SMALL)
    assert (spec.thresholds, spec.calibration) == ((0.7, 0.3, 0.5), ((3.0, 2.0), (2.0, 1.0), (1.0, 0.0)))
    head = initial_weights.initial_detector(spec, start, state).network.state_dict()["fc.weight"]
    torch.testing.assert_close(head[:2], state["fc.weight"][[1, 0]], atol=0, rtol=0)


@pytest.mark.slow
def test_fine_tuning_on_three_calls(trained_model: Path, tmp_path: Path) -> None:
    """Train on three calls: several passes per epoch, and an average that mostly consists of trained weights."""
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
    train_model(TrainData((folder,), start_from=str(trained_model)), output, options, TrainingRunOptions(quiet=True))
    examples = read_dataset((folder,), DataOptions(), 2000, 4000, quiet=True).examples
    logits = logits_of(load_detector(load_model(output)), examples.windows, CPU)[:, 0]
    assert logits[examples.holds_call].min() > logits[~examples.holds_call].max()


@pytest.mark.slow
def test_hard_negatives_change_the_second_epoch(
    clips: Path, imagenet: Path, simulated_recordings: Path, tmp_path: Path
) -> None:
    data = TrainData((clips,), (str(simulated_recordings),), imagenet)
    plain, hard = tmp_path / "plain.safetensors", tmp_path / "hard.safetensors"
    for path, share in ((plain, 0.0), (hard, 1.0)):
        train_model(data, path, replace(TWO_EPOCHS, hard_share=share), TrainingRunOptions(quiet=True))
    losses = [json.loads(path.with_suffix(".metrics.json").read_text())["epochs"] for path in (plain, hard)]
    assert losses[0][0]["loss"] == losses[1][0]["loss"], "hard negatives are determined after the first epoch"
    assert losses[0][1]["loss"] != losses[1][1]["loss"]


@pytest.mark.slow
def test_no_training_examples_of_a_class(clips: Path, tmp_path: Path) -> None:
    calls = tuple(f"train{i}.aiff" for i in range(1, 40, 2))
    with pytest.raises(UsageError, match="no training examples left of NARW upcall"):
        train_model(TrainData((clips,), start_from="default", validation=calls), tmp_path / "m.safetensors")


@pytest.mark.parametrize("name", ["model.pt", "folder.safetensors"])
def test_invalid_output(clips: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(UsageError, match=r"ends in \.safetensors"):
        train_model(TrainData((clips,)), tmp_path / name)


def test_features_of_the_initial_model_stay(clips: Path, trained_model: Path, tmp_path: Path) -> None:
    data = TrainData((clips,), start_from=str(trained_model))
    with pytest.raises(UsageError, match="invalid features"):
        train_model(data, tmp_path / "m.safetensors", replace(SMALL, features="complexity"))


@pytest.mark.parametrize("features", ["spectrogram", "complexity"])
def test_training_with_each_kind_of_features(features: str, clips: Path, imagenet: Path, tmp_path: Path) -> None:
    output = tmp_path / "m.safetensors"
    train_model(
        TrainData((clips,), imagenet=imagenet), output, replace(SMALL, features=features), TrainingRunOptions(quiet=True)
    )
    assert load_model(output).spec.front_end.features == features


@pytest.mark.slow
def test_early_stopping(clips: Path, imagenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aucs = iter([0.7, 0.9, 0.8, 0.85, 0.99])

    def declining(*_: object) -> HeldOutMetrics:
        return HeldOutMetrics(0.5, {UPCALL: ClassMetrics(next(aucs), 0.5, 0.5, 10, 5)}, ((1.0, 0.0),))

    monkeypatch.setattr(training, "measure_held_out", declining)
    options = replace(SMALL, epochs=9, patience=2)
    trained = train_model(
        TrainData((clips,), imagenet=imagenet), tmp_path / "m.safetensors", options, TrainingRunOptions(quiet=True)
    )
    assert (len(trained.epochs), trained.kept.number) == (4, 2)


def test_best_epoch() -> None:
    def epoch(number: int, auc: float, loss: float) -> Epoch:
        return Epoch(number, 0.1, HeldOutMetrics(loss, {UPCALL: ClassMetrics(auc, 0.5, 0.5, 10, 5)}, ((1.0, 0.0),)))

    assert best_epoch([epoch(1, 0.7, 0.1), epoch(2, 1, 0.5), epoch(3, 1, 0.2), epoch(4, 1, 0.2)]).number == 3
    assert best_epoch([Epoch(1, 0.2, None), Epoch(2, 0.3, None)]).number == 2


def test_unreadable_weights(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"hello")
    for name in ("w.safetensors", "absent.safetensors"):
        with pytest.raises(ModelError, match=name):
            train_model(TrainData((clips,), imagenet=tmp_path / name), tmp_path / "m.safetensors", SMALL)


def test_invalid_recipes() -> None:
    with pytest.raises(UsageError, match="epochs 0"):
        TrainOptions(epochs=0)
    with pytest.raises(UsageError, match=r"validation_share 1"):
        TrainOptions(validation_share=1.0)
    with pytest.raises(UsageError, match="batch_size 1"):
        TrainOptions(batch_size=1)


# ---------------------------------------------------------------------------------------------- validation


def test_held_out_metrics() -> None:
    targets = np.array([[0, 1], [0, 1], [1, 1], [1, 1]], np.float32)
    logits = np.array([[-2, 1], [-1, 2], [1, 3], [2, 4]], np.float32)
    perfect = measure_held_out(targets, logits, ("a", "b"))
    assert perfect is not None
    assert [*perfect.classes] == ["a"], "b is never absent"
    measured = perfect.classes["a"]
    assert (measured.auc, measured.accuracy, measured.n_calls) == (1, 1, 2)
    assert perfect.calibration[1] == (1.0, 0.0)
    reversed_ = measure_held_out(targets, -logits, ("a", "b"))
    assert reversed_ is not None
    assert reversed_.auc == 0
    assert measure_held_out(targets[:, 1:], logits[:, 1:], ("b",)) is None


# ---------------------------------------------------------------------------------------------- trainer


@pytest.mark.slow
def test_softened_labels_change_the_second_epoch(clips: Path, imagenet: Path, tmp_path: Path) -> None:
    hard = tmp_path / "hard.safetensors"
    soft = tmp_path / "soft.safetensors"
    data = TrainData((clips,), imagenet=imagenet)
    train_model(data, hard, replace(TWO_EPOCHS, soften=0.0), TrainingRunOptions(quiet=True))
    train_model(data, soft, TWO_EPOCHS, TrainingRunOptions(quiet=True))
    losses = [json.loads(path.with_suffix(".metrics.json").read_text())["epochs"] for path in (hard, soft)]
    assert losses[0][0]["loss"] == losses[1][0]["loss"], "the first epoch is the same"
    assert losses[0][1]["loss"] != losses[1][1]["loss"]


@pytest.mark.slow
def test_softened_labels_lie_between_labels_and_predictions(
    clips: Path, imagenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sure(_: Detector, windows: FloatArray, __: torch.device) -> FloatArray:
        return np.full((len(windows), 1), 30, np.float32)  # a call, each of them

    def interrupt_second_epoch(line: str) -> None:
        if line.startswith("epoch 2"):
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "logits_of", sure)
    output = tmp_path / "m.safetensors"
    options = replace(TWO_EPOCHS, soften=0.25)
    with pytest.raises(KeyboardInterrupt):
        train_model(
            TrainData((clips,), imagenet=imagenet),
            output,
            options,
            TrainingRunOptions(quiet=True, report=interrupt_second_epoch),
        )
    targets = load_file(checkpoint_path(output))["targets"]
    assert sorted(set(targets.flatten().tolist())) == [0.25, 1.0], "0.25 for 0, as a quarter comes from the prediction"


def test_samples_of_hard_negatives() -> None:
    trainer = Trainer(Detector(ARCHITECTURE, FrontEndOptions(), 1), SMALL, 8, CPU)
    negatives = np.arange(10, dtype=np.float32)[:, None].repeat(4000, axis=1)
    sampled = trainer.sample_windows(negatives, 50, among=np.array([3, 7]))[:, 0]
    assert set(sampled.tolist()) == {3.0, 7.0}
    assert len(set(trainer.sample_windows(negatives, 50)[:, 0].tolist())) > 5


def test_frozen_weights_do_not_change() -> None:
    torch.manual_seed(1)
    detector = Detector(ARCHITECTURE, FrontEndOptions(), 1)
    before = {name: tensor.clone() for name, tensor in detector.network.state_dict().items()}
    windows = np.random.default_rng(1).standard_normal((8, 4000)).astype(np.float32)
    training_set = TrainingSet(windows, np.eye(8, 1, dtype=np.float32), strongest_boxes(detector, windows), windows[:0])
    trainer = Trainer(detector, replace(SMALL, epochs=2, batch_size=4), 8, CPU)
    assert len(list(trainer.run_epoch(training_set, frozen=True))) == 2
    moved = {name for name, tensor in detector.network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"fc.weight", "fc.bias"}
    list(trainer.run_epoch(training_set, frozen=False))
    assert not torch.equal(detector.network.state_dict()["conv1.weight"], before["conv1.weight"])


# ---------------------------------------------------------------------------------------------- augmentation


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(1)


BOX = np.array([[1000, 3000, 100, 200]], np.float32)


def snr_in_box_db(frontend: FrontEnd, signal: torch.Tensor, noise: torch.Tensor) -> FloatArray:
    within = augmentation.box_mask(np.repeat(BOX, len(signal), axis=0), frontend.options)
    powers = [(frontend.power(sound) * within).sum(dim=(1, 2)) for sound in (signal, noise)]
    return (10 * (powers[0] / powers[1]).log10()).numpy()


@pytest.mark.parametrize("kind", ["background", "white"])
def test_noise_has_the_wanted_snr_in_the_box(kind: str, random: torch.Generator) -> None:
    frontend = FrontEnd(FrontEndOptions())
    windows, background = torch.randn(2, 32, 4000, generator=random)
    in_box = augmentation.box_mask(np.repeat(BOX, 32, axis=0), frontend.options)
    if kind == "background":
        options = AugmentationOptions(background_share=1.0, background_snr_db=(6, 6))
        noisy = augmentation.add_background(windows, background, in_box, frontend, options, random)
        unchanged = augmentation.add_background(
            windows, background, in_box, frontend, AugmentationOptions(background_share=0.0), random
        )
    else:
        options = AugmentationOptions(noise_share=1.0, noise_snr_db=(6, 6))
        noisy = augmentation.add_noise(windows, in_box, frontend, options, random)
        unchanged = augmentation.add_noise(windows, in_box, frontend, AugmentationOptions(noise_share=0.0), random)
    np.testing.assert_allclose(snr_in_box_db(frontend, windows, noisy - windows), 6, atol=0.01)
    torch.testing.assert_close(unchanged, windows, atol=0, rtol=0)


def test_silence_is_not_added(random: torch.Generator) -> None:
    frontend = FrontEnd(FrontEndOptions())
    windows = torch.randn(4, 4000, generator=random)
    in_box = augmentation.box_mask(np.repeat(BOX, 4, axis=0), frontend.options)
    options = AugmentationOptions(background_share=1.0)
    mixed = augmentation.add_background(windows, torch.zeros(4, 4000), in_box, frontend, options, random)
    torch.testing.assert_close(mixed, windows, atol=0, rtol=0)


def test_shift_keeps_every_value(random: torch.Generator) -> None:
    spectrograms = torch.randn(4, 3, 8, 50, generator=random)
    shifted = augmentation.shift(spectrograms, 0.02, AugmentationOptions(shift_s=0.1, shift_bins=1), random)
    torch.testing.assert_close(shifted.flatten(1).sort().values, spectrograms.flatten(1).sort().values)
    assert not torch.equal(shifted, spectrograms)


def test_masks(random: torch.Generator) -> None:
    spectrograms = torch.randn(16, 3, 64, 94, generator=random)
    masked = augmentation.mask(spectrograms, 0.02, AugmentationOptions(), random)
    hidden = (masked != spectrograms).float().mean()
    assert 0 < hidden < 0.4


def test_mixup_of_spectrograms_and_targets(random: torch.Generator) -> None:
    targets = torch.tensor([[0.0], [1.0]] * 8)
    spectrograms = targets[:, :, None, None].expand(16, 3, 4, 4).clone()
    mixed, mixed_targets = augmentation.mixup(spectrograms, targets, AugmentationOptions(mixup_alpha=1.0), random)
    torch.testing.assert_close(mixed[:, 0, 0, 0], mixed_targets[:, 0])
    assert ((mixed_targets > 0.01) & (mixed_targets < 0.99)).any()
