"""Model files: what is written is read again, and what is damaged, or made by an old version, is refused."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save, save_file

from whalescan import ModelError
from whalescan.detector.model_file import load_detector, rewrite_model, write_model
from whalescan.detector.model_spec import (
    ARCHITECTURE,
    FORMAT,
    FrontEndOptions,
    ModelSpec,
    NetworkOptions,
    Validation,
    ValidationPoint,
    describe,
    find_model,
)
from whalescan.detector.network import Detector
from whalescan.detector.scorer import Scorer

SMALL = NetworkOptions(middle_blocks=(), exit_channels=1024)
POINTS = (
    ValidationPoint(0.9, 0.5, 0.7, (0.6, 0.8), 0.99),
    ValidationPoint(0.6, 2.0, 0.8, (0.7, 0.9), 0.9),
    ValidationPoint(0.2, 16.0, 0.95, (0.9, 0.98), 0.5),
)
VALIDATED = Validation(POINTS, "3 recordings, 0.75 h, 49 calls", 0.75, 49)
SPEC = ModelSpec(
    network=SMALL,
    front_end=FrontEndOptions(column_frames=16, features="spectrogram"),
    thresholds=(0.6,),
    calibration=((0.9, 0.1),),
    validation=(VALIDATED,),
    training={"seed": 3},
    metrics={"AUC": 0.98},
    whalescan_version="0.8.0",
)


def small_detector(spec: ModelSpec = SPEC) -> Detector:
    torch.manual_seed(1)
    return Detector(ARCHITECTURE, spec.front_end, spec.network, len(spec.classes)).eval()


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    write_model(path, small_detector(), SPEC)
    return path


def with_description(path: Path, into: Path, **changes: Any) -> Path:
    """Write a copy of a model file with other entries in its description; None removes one."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    fields = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["whalescan"]) | changes
    kept = {name: value for name, value in fields.items() if value is not None}
    into.write_bytes(save(load(content), {"whalescan": json.dumps(kept)}))
    return into


@pytest.mark.slow
def test_a_written_model_gives_nearly_the_same_output(model_path: Path) -> None:
    """Convolutions are stored with 8 bits."""
    blocks = torch.from_numpy(np.random.default_rng(2).standard_normal((2, 12_000)).astype(np.float32))
    model = find_model(model_path)
    with torch.inference_mode():
        torch.testing.assert_close(load_detector(model)(blocks), small_detector()(blocks), atol=0.02, rtol=0.05)


def test_a_model_file_keeps_its_description(model_path: Path) -> None:
    assert find_model(model_path).spec == SPEC


def test_weights_do_not_change_with_the_description(model_path: Path, tmp_path: Path) -> None:
    rewritten = tmp_path / "other.safetensors"
    rewrite_model(rewritten, find_model(model_path), replace(SPEC, thresholds=(0.7,)))
    assert find_model(rewritten).spec.thresholds == (0.7,)
    first, second = (load(path.read_bytes()) for path in (model_path, rewritten))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_description_says_what_the_operating_points_find(model_path: Path) -> None:
    text = describe(find_model(model_path))
    assert "0 of 8 middle blocks, 1024 channels" in text
    assert "512 ms" in text
    assert "NARW upcall: 3 recordings, 0.75 h, 49 calls" in text
    assert "threshold 0.6000: false positives per hour 2, recall 0.80 (0.70 to 0.90), precision 0.90" in text


def test_the_description_of_the_default_model() -> None:
    text = describe(find_model())
    for words in (ARCHITECTURE, "fully convolutional", "NARW upcall", "sha256", "2 s at 2000 Hz", "256 ms"):
        assert words in text


@pytest.mark.parametrize(
    ("per_hour", "threshold"), [(0.1, 0.9), (0.5, 0.9), (1.9, 0.9), (2.0, 0.6), (15.9, 0.6), (100, 0.2)]
)
def test_a_workload_chooses_the_lowest_threshold_that_keeps_to_it(per_hour: float, threshold: float) -> None:
    assert VALIDATED.threshold(per_hour) == threshold


@pytest.mark.parametrize("damage", ["absent", "text", "cut", "flipped header", "weights only", "empty"])
def test_damaged_models_are_refused(tmp_path: Path, model_path: Path, damage: str) -> None:
    path, content = tmp_path / "m.safetensors", model_path.read_bytes()
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


@pytest.mark.parametrize("version", ["0.6.0", "", None])
@pytest.mark.parametrize("number", [1, 2])
def test_models_of_whalescan_0_7_and_older_are_refused(
    tmp_path: Path, model_path: Path, number: int, version: str | None
) -> None:
    old = with_description(
        model_path, tmp_path / "old.safetensors", format=f"whalescan-model/{number}", whalescan_version=version
    )
    with pytest.raises(
        ModelError, match=r"old\.safetensors: made by whalescan .* train it again on the same data"
    ) as caught:
        find_model(old)
    assert f"made by whalescan {version or '0.7 or older'}," in str(caught.value)
    assert "go on with whalescan 0.7" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "whalescan-model/99"}, f"newer than {FORMAT}"),
        ({"network": None}, "its description is damaged"),
        ({"validation": [{"points": [{"threshold": 0.5}]}]}, "its description is damaged"),
        ({"calibration": [0.9]}, "its description is damaged"),
        ({"unknown": 1}, "its description is damaged"),
    ],
)
def test_damaged_descriptions_are_refused(
    tmp_path: Path, model_path: Path, changes: dict[str, object], message: str
) -> None:
    path = with_description(model_path, tmp_path / "m.safetensors", **changes)
    with pytest.raises(ModelError, match=message):
        find_model(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["head.bias", "network.bn1.running_var", "network.block1.skip.weight.scale"])
def test_models_with_nan_or_infinite_weights_are_refused(tmp_path: Path, model_path: Path, name: str, value: float) -> None:
    tensors = load(model_path.read_bytes())
    tensors[name].flatten()[0] = value
    path = with_description(model_path, tmp_path / "m.safetensors")
    header = {"whalescan": _description(path)}
    path.write_bytes(save(tensors, header))
    with pytest.raises(ModelError, match=r"m\.safetensors: weight .* is infinite or not a number"):
        load_detector(find_model(path))


def _description(path: Path) -> str:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    text: str = json.loads(content[8 : 8 + length])["__metadata__"]["whalescan"]
    return text


def test_models_with_nan_weights_are_not_written(tmp_path: Path) -> None:
    detector = small_detector()
    with torch.no_grad():
        detector.head.weight[0, 0] = float("nan")
    with pytest.raises(ModelError, match=r"weight head\.weight is infinite or not a number"):
        write_model(tmp_path / "m.safetensors", detector, SPEC)
    assert not list(tmp_path.iterdir())


def test_weights_of_another_size_are_refused(tmp_path: Path, model_path: Path) -> None:
    network = {"middle_blocks": [4, 11], "exit_channels": 1536}
    path = with_description(model_path, tmp_path / "m.safetensors", network=network)
    with pytest.raises(ModelError, match="its weights are damaged"):
        load_detector(find_model(path))


@pytest.mark.slow
def test_infinite_output_is_an_error(tmp_path: Path) -> None:
    detector = small_detector()
    with torch.no_grad():
        detector.head.weight.fill_(3e38)
    path = tmp_path / "m.safetensors"
    write_model(path, detector, SPEC)
    sound = np.random.default_rng(1).standard_normal(20_000).astype(np.float32)
    with pytest.raises(ModelError, match="output is infinite or not a number on cpu"):
        Scorer(find_model(path), torch.device("cpu"), 32).score(sound, 20)
