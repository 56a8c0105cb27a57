"""Training: recipe, steps, checkpoints, initial weights, fine-tuning, and what bad input gets."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from whalescan import ModelError, OutputError, UsageError, load_model
from whalescan.cli import main
from whalescan.core import Annotation
from whalescan.core.files import write_atomically
from whalescan.detector.model_file import load_detector, write_model
from whalescan.detector.model_spec import ARCHITECTURE, UPCALL, FrontEndOptions, NetworkOptions
from whalescan.detector.network import Detector
from whalescan.tables.raven import annotation_bytes
from whalescan.training import checkpoints, initial_weights, training_run
from whalescan.training.checkpoints import checkpoint_path, read_checkpoint
from whalescan.training.labels import DataOptions
from whalescan.training.sequence_options import SequenceOptions
from whalescan.training.simulation import upcall
from whalescan.training.train import train, train_model
from whalescan.training.trainer import Trainer, masked
from whalescan.training.training_options import (
    FINE_TUNING,
    LossOptions,
    MaskOptions,
    TrainData,
    TrainingRunOptions,
    TrainOptions,
)

NETWORK = NetworkOptions(middle_blocks=(), exit_channels=1024)
SHORT = SequenceOptions(length_s=6.4)
SMALL = TrainOptions(
    network=NETWORK, steps=4, batch_size=2, average_steps=1, validation_steps=100, validation_share=0.3, sequences=SHORT
)
SMALL_FINE_TUNING = replace(FINE_TUNING, steps=2, batch_size=2, average_steps=1, sequences=SHORT)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums are the same in each training only with one number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def quiet(report: Callable[[str], None] = print) -> TrainingRunOptions:
    return TrainingRunOptions("cpu", quiet=True, report=report, checkpoint_steps=2)


def write_clips(root: Path, labels: list[str], seed: int = 1) -> Path:
    """Write clips in the Kaggle layout; those labelled 1 hold a loud call."""
    (root / "train").mkdir(parents=True)
    random = np.random.default_rng(seed)
    rows = ["clip_name,label"]
    for i, label in enumerate(labels):
        clip = 0.01 * random.standard_normal(4000)
        if label == "1":
            call, _, _ = upcall(2000, random)
            clip[800 : 800 + len(call)] += 0.05 * call
        soundfile.write(root / "train" / f"train{i}.aiff", clip, 2000)
        rows.append(f"train{i}.aiff,{label}")
    (root / "train.csv").write_text("\n".join(rows))
    return root


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty clips, half of them with a call."""
    return write_clips(tmp_path_factory.mktemp("clips") / "clips", ["0", "1"] * 20)


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the right shapes; no test needs the real ones."""
    torch.manual_seed(3)
    state = Detector(ARCHITECTURE, FrontEndOptions(), NETWORK, 1).network.state_dict()
    path = tmp_path_factory.mktemp("weights") / "imagenet.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return path


@pytest.fixture(scope="module")
def trained_model(clips: Path, imagenet: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of four steps, with the files beside it."""
    path = tmp_path_factory.mktemp("trained") / "model.safetensors"
    train_model(TrainData((clips,), imagenet=imagenet), path, SMALL, quiet())
    return path


# ---------------------------------------------------------------------------------------------- interruptions


def interrupted_at(step: int, error: BaseException) -> Callable[..., float]:
    """Return a method for `Trainer.step` that raises at a step, counted from 0."""
    take_step = Trainer.step

    def step_or_raise(self: Trainer, *args: object) -> float:
        if self.n_steps == step:
            raise error
        return take_step(self, *args)  # type: ignore[arg-type]

    return step_or_raise


@pytest.mark.slow
def test_interrupted_training_gives_the_same_model(
    clips: Path, imagenet: Path, trained_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: list[str] = []
    data, output = TrainData((clips,), imagenet=imagenet), tmp_path / "model.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted_at(3, KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            train_model(data, output, SMALL, quiet(messages.append))
    assert "2 of 4 steps are kept" in messages[-1]
    assert not output.exists()
    result = train_model(data, output, SMALL, quiet(messages.append))
    assert sum("resumes after step 2" in line for line in messages) == 1
    assert output.read_bytes() == trained_model.read_bytes()
    assert len(result.losses) == 4
    assert not checkpoint_path(output).exists()


def _train_until_killed(data: TrainData, output: Path) -> None:
    torch.set_num_threads(1)
    train_model(data, output, replace(SMALL, steps=10_000), quiet())


@pytest.mark.slow
def test_killed_training_leaves_a_whole_checkpoint(clips: Path, imagenet: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.safetensors"
    data = TrainData((clips,), imagenet=imagenet)
    process = multiprocessing.get_context("spawn").Process(target=_train_until_killed, args=(data, output))
    process.start()
    assert process.pid is not None
    while not checkpoint_path(output).exists() and process.is_alive():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not output.exists()
    messages: list[str] = []
    run_options = quiet(messages.append)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "step", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train_model(data, output, replace(SMALL, steps=10_000), run_options)
    assert any("resumes after step" in line for line in messages)


@pytest.mark.slow
def test_full_disk_keeps_the_last_checkpoint(
    clips: Path, imagenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def until_full(path: Path, content: bytes) -> None:
        if written:
            raise OutputError(f"{path}: cannot be written (No space left on device)")
        written.append(path)
        write_atomically(path, content)

    monkeypatch.setattr(checkpoints, "write_atomically", until_full)
    messages: list[str] = []
    output = tmp_path / "model.safetensors"
    with pytest.raises(OutputError, match="No space left"):
        train_model(TrainData((clips,), imagenet=imagenet), output, SMALL, quiet(messages.append))
    assert "2 of 4 steps are kept" in messages[-1]
    assert written == [checkpoint_path(output)]
    assert checkpoint_path(output).is_file()


def test_unusable_checkpoints(trained_model: Path, tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path / "absent", "x") is None
    assert read_checkpoint(trained_model, "x") is None
    (tmp_path / "damaged").write_bytes(b"hello")
    assert read_checkpoint(tmp_path / "damaged", "x") is None


# ---------------------------------------------------------------------------------------------- the model and its files


@pytest.mark.slow
def test_files_beside_the_model(trained_model: Path) -> None:
    metrics = json.loads(trained_model.with_suffix(".metrics.json").read_text())
    model = load_model(trained_model)
    assert [one["step"] for one in metrics["progress"]] == [4]
    assert len(metrics["losses"]) == 4
    assert metrics["validated"]
    assert model.spec.network == NETWORK
    assert model.spec.training["recipe"]["seed"] == SMALL.seed
    stored = model.spec.metrics["held-back sound"]
    assert stored["classes"] == metrics["progress"][-1]["classes"]
    assert "joined held-back clips" in stored["sound"]
    (validation,) = model.spec.validation
    assert validation.sound == stored["sound"]
    assert 0 < validation.hours < 0.02
    with trained_model.with_suffix(".split.csv").open() as file:
        sides = [row["side"] for row in csv.DictReader(file)]
    assert len(sides) == 40
    assert sides.count("training") == model.spec.training["training sound"]["n_clips"]
    assert trained_model.with_suffix(".curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_train_with_plain_arguments(
    clips: Path, trained_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_run, "_not_better", lambda *_: "worse")
    messages: list[str] = []
    output = tmp_path / "m.safetensors"
    result = train(
        str(clips),
        output,
        start_from=trained_model,
        steps=1,
        batch_size=2,
        validation_share=0.3,
        threshold=0.25,
        keep_anyway=True,
        device="cpu",
        report=messages.append,
    )
    frame = result.to_frame()
    assert frame["step"].tolist() == [1]
    assert {"loss", f"{UPCALL}: average_precision", f"{UPCALL}: clips_auc"} <= set(frame.columns)
    assert any(message.startswith("step 1: loss") for message in messages)
    assert any("worse; the trained weights are written anyway" in message for message in messages)
    assert not result.keeps_start
    spec = load_model(output).spec
    assert spec.thresholds == (0.25,)
    assert (spec.training["recipe"]["batch_size"], spec.training["started_from"]) == (2, "model")


def test_options_of_the_command_line() -> None:
    text = CliRunner().invoke(main, ["train", "--help"]).output
    for option in ("--steps", "--false-positives-per-hour", "--keep-anyway", "--learning-rate"):
        assert option in text
    for option in ("--epochs", "--patience", "--hard-share", "--frozen-epochs", "middle"):
        assert option not in text
    assert CliRunner().invoke(main, ["train-glance", "--help"]).exit_code == 2


# ---------------------------------------------------------------------------------------------- fine-tuning


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return load_detector(load_model(path)).state_dict()


def is_same(one: Path, other: Path) -> bool:
    before, after = weights_of(one), weights_of(other)
    return all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)


@pytest.mark.slow
def test_weights_that_are_not_better_are_not_kept(
    clips: Path, trained_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: list[str] = []
    data = TrainData((clips,), start_from=str(trained_model))
    monkeypatch.setattr(training_run, "probability_of_gain", lambda *_: 0.5)
    output = tmp_path / "own.safetensors"
    result = train_model(data, output, SMALL_FINE_TUNING, quiet(messages.append))
    assert result.keeps_start
    assert result.metrics == result.before
    assert is_same(output, trained_model)
    text = "\n".join(messages)
    assert f"{UPCALL}, before: " in text
    assert f"{UPCALL}, after: " in text
    assert "the weights of model are kept" in text
    spec = load_model(output).spec
    assert spec.validation
    assert set(spec.metrics["held-back sound"]) == {"sound", "classes", "before training", "after training"}


@pytest.mark.slow
def test_trained_weights_are_written_where_they_are_better(
    clips: Path, trained_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = TrainData((clips,), start_from=str(trained_model))
    monkeypatch.setattr(training_run, "_not_better", lambda *_: "")
    better = tmp_path / "better.safetensors"
    assert not train_model(data, better, SMALL_FINE_TUNING, quiet()).keeps_start
    assert not is_same(better, trained_model)
    before, after = weights_of(trained_model), weights_of(better)
    statistics = [name for name in before if name.endswith("running_mean")]
    assert all(torch.equal(before[name], after[name]) for name in statistics)


def write_annotated(folder: Path, calls_at_s: list[float], label: str = "moan", length_s: int = 60) -> Path:
    """Write a recording with tones, and its table."""
    random = np.random.default_rng(5)
    sound = 0.02 * random.standard_normal(2000 * length_s)
    calls = []
    for at_s in calls_at_s:
        tone = np.sin(2 * np.pi * 300 * np.arange(2000) / 2000) * np.hanning(2000)
        begin = round(at_s * 2000)
        sound[begin : begin + 2000] += 0.3 * tone
        calls.append(Annotation(at_s, at_s + 1, 250, 350, label))
    folder.mkdir()
    soundfile.write(folder / "a.wav", sound, 2000)
    (folder / "a.selections.txt").write_bytes(annotation_bytes(calls))
    return folder


@pytest.mark.slow
def test_one_recording_of_another_class(trained_model: Path, tmp_path: Path) -> None:
    """Its last part is held back; a class that the initial model lacks cannot be compared with it."""
    folder = write_annotated(tmp_path / "own", [8, 16, 24, 32, 40, 48])
    messages: list[str] = []
    output = tmp_path / "moan.safetensors"
    data = TrainData((folder,), start_from=str(trained_model))
    result = train_model(data, output, SMALL_FINE_TUNING, quiet(messages.append))
    text = "\n".join(messages)
    assert "the head for moan is new" in text
    assert "the last part of each recording" in text
    assert not result.keeps_start
    assert result.metrics["moan"].n_calls == 2
    assert load_model(output).spec.classes == ("moan",)


@pytest.mark.slow
def test_too_few_calls_to_hold_one_back(trained_model: Path, tmp_path: Path) -> None:
    folder = write_annotated(tmp_path / "own", [20], UPCALL)
    messages: list[str] = []
    output = tmp_path / "own.safetensors"
    result = train_model(
        TrainData((folder,), start_from=str(trained_model)), output, SMALL_FINE_TUNING, quiet(messages.append)
    )
    assert result.keeps_start
    assert any("nothing with a call is held back (1 call in all)" in line for line in messages)
    assert any("no call is held back" in line for line in messages)
    assert is_same(output, trained_model)


# ---------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(("labels", "lacking"), [(["1"] * 6, "without a call"), (["0"] * 6, "call")])
def test_clips_of_one_kind(labels: list[str], lacking: str, imagenet: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=lacking):
        train_model(
            TrainData((write_clips(tmp_path / "clips", labels),), imagenet=imagenet),
            tmp_path / "m.safetensors",
            SMALL,
            quiet(),
        )


def test_all_calls_held_out(clips: Path, imagenet: Path, tmp_path: Path) -> None:
    calls = tuple(f"train{i}.aiff" for i in range(1, 40, 2))
    data = TrainData((clips,), imagenet=imagenet, validation=calls)
    with pytest.raises(UsageError, match="held out"):
        train_model(data, tmp_path / "m.safetensors", SMALL, quiet())


@pytest.mark.parametrize("name", ["model.pt", "folder.safetensors"])
def test_invalid_output(clips: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(UsageError, match=r"ends in \.safetensors"):
        train_model(TrainData((clips,)), tmp_path / name)


def test_unreadable_weights(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"hello")
    for name in ("w.safetensors", "absent.safetensors"):
        with pytest.raises(ModelError, match=name):
            train_model(TrainData((clips,), imagenet=tmp_path / name), tmp_path / "m.safetensors", SMALL)


def test_features_of_the_initial_model_stay(trained_model: Path) -> None:
    with pytest.raises(UsageError, match="invalid features"):
        initial_weights.front_end_options(load_model(trained_model), replace(SMALL, features="complexity"))
    own = initial_weights.front_end_options(None, replace(SMALL, features="complexity"))
    assert own.features == "complexity"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0),
        ("batch_size", 1),
        ("validation_share", 1.0),
        ("learning_rate", 0.0),
        ("threshold", 0.0),
        ("false_positives_per_hour", 0.0),
        ("validation_steps", 0),
    ],
)
def test_invalid_recipes(field: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"invalid {field} {value}"):
        replace(TrainOptions(), **{field: value})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="invalid soften"):
        LossOptions(soften=2)


def test_options_after_the_last_step_keep_the_checkpoint() -> None:
    """Another threshold, for instance, continues an interrupted training."""
    other = replace(SMALL, threshold=0.3, false_positives_per_hour=2, keep_anyway=True)
    assert other.training_recipe() == SMALL.training_recipe()
    assert replace(SMALL, seed=1).training_recipe() != SMALL.training_recipe()


# ---------------------------------------------------------------------------------------------- initial weights, steps


def test_initial_head_threshold_and_calibration_by_class(trained_model: Path, tmp_path: Path) -> None:
    model = load_model(trained_model)
    two = replace(model.spec, classes=("b", "a"), thresholds=(0.3, 0.7), calibration=((2.0, 1.0), (3.0, 2.0)))
    torch.manual_seed(2)
    path = tmp_path / "two.safetensors"
    write_model(path, Detector(two.architecture, two.front_end, two.network, 2), two)
    start = load_model(path)
    state = initial_weights.load_initial_weights(start, None, SMALL)
    spec = initial_weights.initial_spec(start, two.front_end, ("a", "b", "new"), SMALL)
    assert (spec.thresholds, spec.calibration) == ((0.7, 0.3, 0.5), ((3.0, 2.0), (2.0, 1.0), (1.0, 0.0)))
    assert spec.validation == ()
    head = initial_weights.initial_detector(spec, start, state, seed=1).state_dict()["head.weight"]
    torch.testing.assert_close(head[:2], state["head.weight"][[1, 0]], atol=0, rtol=0)


def sequence_sampler(folder: Path) -> Callable[[int, int], list]:  # type: ignore[type-arg]
    from whalescan.training.datasets import read_training_sounds
    from whalescan.training.sequences import SequenceSampler

    data = TrainData((folder,), selection=DataOptions())
    sounds = read_training_sounds(data, FrontEndOptions(), quiet=True).sounds
    return SequenceSampler(sounds, FrontEndOptions(), SHORT, 1).sample


@pytest.mark.parametrize("what", ["loss", "weight"])
def test_numbers_that_are_not_finite_end_the_training(clips: Path, what: str) -> None:
    torch.manual_seed(1)
    detector = Detector(ARCHITECTURE, FrontEndOptions(), NETWORK, 1)
    trainer = Trainer(detector, SMALL, torch.device("cpu"))
    sequences = sequence_sampler(clips)(0, 2)
    before = detector.head.weight.detach().clone()
    if what == "loss":
        sequences = [replace(one, samples=np.full_like(one.samples, np.inf)) for one in sequences]
    else:
        detector.box_head.weight.register_hook(lambda gradient: torch.full_like(gradient, float("nan")))
    with pytest.raises(ModelError, match=r"ended at step 1: .*learning_rate"):
        trainer.step(sequences)
    assert torch.equal(detector.head.weight, before) == (what == "loss")


def test_masks_hide_a_part_and_shifts_keep_every_value() -> None:
    spectrograms = torch.randn(16, 3, 48, 200, generator=torch.Generator().manual_seed(1))
    hidden = masked(spectrograms, 31.25, MaskOptions(share=1.0, shift_bins=0), np.random.default_rng(1))
    assert 0 < (hidden != spectrograms).float().mean() < 0.4
    shifted = masked(spectrograms, 31.25, MaskOptions(share=0.0), np.random.default_rng(3))
    torch.testing.assert_close(shifted.flatten(1).sort().values, spectrograms.flatten(1).sort().values)
    again = masked(spectrograms, 31.25, MaskOptions(share=1.0, shift_bins=0), np.random.default_rng(1))
    assert torch.equal(hidden, again)
