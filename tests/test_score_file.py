"""Score files: what is written is read, later additions are ignored, and files of older versions are refused by name."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import whalescan
from tests.builders import make_recording, run_command
from whalescan import TableError
from whalescan.core import ColumnGrid, ColumnScores, GapKind, MissingSpan, WindowGrid, WindowScores
from whalescan.core.files import write_atomically
from whalescan.scores.score_file import (
    FORMAT,
    ScoreFile,
    read_complexity,
    read_origin,
    read_recording,
    read_scores,
    score_path,
    write_scores,
)

OLD = r"made by whalescan 0\.7 or older; run the same command again to score it"
_random = np.random.default_rng(3)
SCORES = ScoreFile(
    recording=make_recording("b/a", 10),
    channel=2,
    grid=WindowGrid(2000, 4000, 1000),
    classes=("NARW upcall", "moan"),
    windows=WindowScores(_random.random((17, 2), np.float32), _random.random((17, 4), np.float32)),
    column_grid=ColumnGrid(2000, 512),
    columns=ColumnScores(*(_random.random((39, n), np.float32) for n in (2, 4, 4))),
    reach_samples=20_000,
    discontinuities=(7000,),
    missing_spans=(MissingSpan(100, 200, GapKind.DROPOUT),),
    problem="0.1 s of drop-outs",
    fingerprint="f",
)


def arrays(path: Path) -> dict[str, Any]:
    with np.load(path) as file:
        return dict(file)


def rewrite(path: Path, **changes: Any) -> None:
    """Write a score file again, with some arrays replaced or added, and without those that are None."""
    changed = {name: array for name, array in {**arrays(path), **changes}.items() if array is not None}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **changed)
    write_atomically(path, buffer.getvalue())


def make_old(path: Path) -> None:
    """Make a score file one of version 0.7."""
    column_arrays = dict.fromkeys([name for name in arrays(path) if name.startswith("column_")])
    rewrite(path, format=None, **column_arrays, boxes=np.zeros((17, 4), np.float32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_scores(tmp_path, SCORES)
    return score_path(tmp_path, "b/a", 2)


def test_what_is_written_is_read(path: Path) -> None:
    found = read_scores(path)
    for array in ("scores", "complexity"):
        np.testing.assert_array_equal(getattr(found.windows, array), getattr(SCORES.windows, array))
    for array in ("log_odds", "boxes", "complexity"):
        np.testing.assert_array_equal(getattr(found.columns, array), getattr(SCORES.columns, array))
    for name in ("recording", "channel", "grid", "classes", "column_grid", "reach_samples", "discontinuities"):
        assert getattr(found, name) == getattr(SCORES, name), name
    assert (found.missing_spans, found.problem, found.fingerprint) == (SCORES.missing_spans, SCORES.problem, "f")
    assert read_recording(path) == SCORES.recording
    assert read_origin(path).grid == SCORES.grid


def test_the_arrays_of_the_contract_are_there(path: Path) -> None:
    found = arrays(path)
    assert found["scores"].dtype == found["complexity"].dtype == np.float32
    assert (found["scores"].shape, found["complexity"].shape) == ((17, 2), (17, 4))
    assert found["classes"].tolist() == ["NARW upcall", "moan"]
    assert [int(found[name]) for name in ("hop_samples", "window_samples", "rate_hz")] == [1000, 4000, 2000]
    assert (int(found["format"]), int(found["column_samples"])) == (2, 512)
    assert str(found["fingerprint"]) == "f"


def test_arrays_of_later_versions_are_ignored(path: Path) -> None:
    rewrite(path, levels_db=np.zeros(5))
    np.testing.assert_array_equal(read_scores(path).columns.log_odds, SCORES.columns.log_odds)


@pytest.mark.parametrize("read", [read_scores, read_complexity, read_recording, read_origin])
def test_a_file_of_an_older_version_is_refused(path: Path, read: Callable[[Path], object]) -> None:
    make_old(path)
    with pytest.raises(TableError, match=re.escape(f"{path}: ") + OLD):
        read(path)


def test_a_file_of_a_newer_format_is_refused(path: Path) -> None:
    rewrite(path, format=FORMAT + 1)
    with pytest.raises(TableError, match="newer version"):
        read_scores(path)


def test_a_file_of_another_kind_is_refused(path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, noise=np.zeros(3))
    for content in (b"", b"text", buffer.getvalue(), path.read_bytes()[:500]):
        path.write_bytes(content)
        with pytest.raises(TableError, match=r"cannot be read .* delete it and run again"):
            read_scores(path)


@pytest.mark.slow
@pytest.mark.parametrize("is_whole_run_old", [False, True])
def test_the_results_of_an_older_version_are_refused_until_they_are_scored_again(
    simulated_recordings: Path, tmp_path: Path, is_whole_run_old: bool
) -> None:
    wav, out = next(simulated_recordings.glob("*.wav")), tmp_path / "out"
    whalescan.scan(wav, out, hop_s=1.0)
    new = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for scores in (out / "scores").iterdir():
        make_old(scores)
    if is_whole_run_old:
        document = json.loads((out / "run.json").read_bytes())
        del document["columns"]
        (out / "run.json").write_text(json.dumps(document))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for command in ("detect", "report", *(["review"] if is_whole_run_old else [])):
        result = run_command(command, out, "-q")
        assert result.exit_code == 2
        assert re.search(OLD, result.stderr)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert run_command("run", wav, "-o", out, "--hop", 1, "-q").exit_code == 0
    for path in (out / "scores").iterdir():
        assert path.read_bytes() == new[path]


def test_threads_read_the_same_file_at_the_same_time(simulated_recordings: Path, tmp_path: Path) -> None:
    whalescan.scan(next(simulated_recordings.glob("*.wav")), tmp_path)
    path = next((tmp_path / "scores").iterdir())
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(read_complexity, [path] * 400))
    assert all(np.array_equal(complexity, read[0][1]) for _, complexity in read)
