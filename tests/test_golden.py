"""The program writes the same bytes as the version that made the golden files, see ``tests/make_golden.py``."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests import make_golden as golden
from tests.builders import run_command

SCORE_TOLERANCE = 0.01
"""From the scores of the arithmetic that this processor has.

The golden file holds the scores in bfloat16 and those in float32. On this sound the two differ by up to 0.0093, on others by
up to 0.0131. The difference is largest where a score is neither near 0 nor near 1.
"""


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """The stored part of a run, to be changed."""
    return shutil.copytree(golden.OUT, tmp_path / "out")


def without_version(content: bytes) -> str:
    """The version of the program is the one thing that may differ."""
    return re.sub(r"whalescan \d+\.\d+\S*", "whalescan VERSION", content.decode())


def check_same(found: dict[str, bytes], expected: Path) -> None:
    names = sorted(path.relative_to(expected).as_posix() for path in expected.rglob("*") if path.is_file())
    assert sorted(found) == names
    for name in names:
        assert without_version(found[name]) == without_version((expected / name).read_bytes()), name


@pytest.mark.parametrize("name", list(golden.DETECT))
def test_tables_of_stored_scores(stored: Path, name: str) -> None:
    result = run_command("detect", stored, *golden.DETECT[name])
    assert result.exit_code == 3, result.output  # broken recordings are among them
    check_same(golden.tables(stored), golden.EXPECTED / name)


def test_tables_after_a_review_in_raven(stored: Path) -> None:
    assert run_command("detect", stored, *golden.DETECT["default"]).exit_code == 3
    result = run_command("import-review", stored, golden.REVIEWED, "--reviewer", "Ben")
    assert result.exit_code == 0, result.output
    said = "1 yes, 1 no, 1 maybe; 1 deleted, 1 added, 1 moved"
    assert said in result.stdout
    check_same(golden.tables(stored), golden.EXPECTED / "reviewed")


def test_evaluation_of_stored_scores(tmp_path: Path) -> None:
    result = run_command("evaluate", golden.OUT, golden.ANNOTATIONS, "-o", tmp_path, *golden.EVALUATE)
    assert result.exit_code == 0, result.output
    expected = golden.EXPECTED / "evaluation"
    for name in golden.EVALUATION_TABLES:
        assert without_version((tmp_path / name).read_bytes()) == without_version((expected / name).read_bytes()), name
    numbers = json.loads((expected / "numbers.json").read_bytes())
    assert golden.numbers(tmp_path / "evaluation.json") == pytest.approx(numbers, rel=1e-9)


def test_scores_of_the_model_in_the_package(tmp_path: Path) -> None:
    assert run_command("simulate", "-o", tmp_path / "sound", *golden.MODEL_SOUND).exit_code == 0
    result = run_command("run", tmp_path / "sound", "-o", tmp_path / "out", *golden.MODEL_RUN)
    assert result.exit_code == 0, result.output
    (path,) = (tmp_path / "out" / "scores").glob("*.npz")
    with np.load(path, allow_pickle=False) as found, np.load(golden.MODEL_SCORES, allow_pickle=False) as expected:
        apart = [np.abs(found["scores"] - expected[name]).max() for name in ("scores", "scores_float32")]
        assert min(apart) <= SCORE_TOLERANCE
        np.testing.assert_allclose(found["complexity"], expected["complexity"], rtol=0, atol=1e-3)
