"""A survey that whalescan 0.6.0 scored and people reviewed, scored again by this version."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import whalescan
from tests.builders import csv_rows, run_command
from tests.survey_0_6 import FIXTURE, write_sound
from whalescan.scores import validation_store
from whalescan.tables.csvs import COMPARED_COLUMNS

COMPARED = "detections_compared.csv"
OPTIONS = ("--workers", 1, "--threshold", 0.1)
"""At so low a threshold, any model that is worth its name finds the calls."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return shutil.copytree(FIXTURE, tmp_path / "out")


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder after a run of this version, and what the run said."""
    work = tmp_path_factory.mktemp("again")
    write_sound(work / "recordings")
    out = shutil.copytree(FIXTURE, work / "out")
    result = run_command("run", work / "recordings", "-o", out, *OPTIONS)
    assert result.exit_code == 0, result.output
    return out, result.output


@pytest.mark.parametrize(
    "command", [("detect",), ("report",), ("review", "--no-browser")], ids=["detect", "report", "review"]
)
def test_old_scores_are_refused_with_what_to_do(old: Path, command: tuple[str, ...]) -> None:
    before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    result = run_command(command[0], old, *command[1:])
    assert result.exit_code == 2
    assert "made by whalescan 0.7 or older; run the same command again to score it" in result.output
    assert {path: path.read_bytes() for path in old.rglob("*") if path.is_file()} == before


def test_every_validation_is_kept(again: tuple[Path, str]) -> None:
    out, _ = again
    assert validation_store.read_rows_after(out, 0) == validation_store.read_rows_after(FIXTURE, 0)
    before = csv_rows((FIXTURE / "detections.csv").read_bytes())
    after = csv_rows((out / "detections.csv").read_bytes())
    for review in ("yes", "maybe"):
        assert sum(row["review"] == review for row in after) == sum(row["review"] == review for row in before) > 0
    added = next(row for row in before if not row["score"])
    assert added in after


def test_calls_are_found_again_and_keep_their_reviews(again: tuple[Path, str]) -> None:
    out, _ = again
    rows = csv_rows((out / COMPARED).read_bytes())
    found_again = [row for row in rows if row["change"] in ("same", "moved")]
    assert len(found_again) >= 12, "of 15 clear calls"
    reviews = {row["detection_id"]: row["review"] for row in csv_rows((out / "detections.csv").read_bytes())}
    old_reviews = {row["detection_id"]: row["review"] for row in csv_rows((FIXTURE / "detections.csv").read_bytes())}
    near = [row for row in found_again if abs(_middle_s(row, "old") - _middle_s(row, "new")) < 0.5]
    assert len(near) >= 12
    assert all(reviews[row["new_detection_id"]] == old_reviews[row["old_detection_id"]] == row["review"] for row in near)


def _middle_s(row: dict[str, str], run: str) -> float:
    return (float(row[f"{run}_begin_s"]) + float(row[f"{run}_end_s"])) / 2


def test_comparison_has_each_detection_of_both_runs_once(again: tuple[Path, str]) -> None:
    out, _ = again
    rows = csv_rows((out / COMPARED).read_bytes())
    assert tuple(rows[0]) == COMPARED_COLUMNS
    old_ids = [row["old_detection_id"] for row in rows if row["old_detection_id"]]
    new_ids = [row["new_detection_id"] for row in rows if row["new_detection_id"]]
    assert sorted(old_ids) == sorted(row["detection_id"] for row in csv_rows((FIXTURE / "detections.csv").read_bytes()))
    survey = whalescan.open_run(out).survey
    assert sorted(new_ids) == sorted(
        one.detection_id for one in survey.detections if one.detection_id not in survey.kept_ids
    )
    for row in rows:
        sides = bool(row["old_detection_id"]), bool(row["new_detection_id"])
        assert sides == {"only_old": (True, False), "only_new": (False, True)}.get(row["change"], (True, True))


def test_run_says_what_changed(again: tuple[Path, str]) -> None:
    out, said = again
    assert "16 detections by whalescan 0.6.0 narw-xception-3: " in said
    assert str(out / COMPARED) in said
    assert "12 reviews of these kept: " in said


def test_further_run_of_the_same_version_leaves_the_comparison(again: tuple[Path, str]) -> None:
    out, _ = again
    before = (out / COMPARED).read_bytes()
    result = run_command("run", out.parent / "recordings", "-o", out, *OPTIONS)
    assert result.exit_code == 0
    assert "narw-xception-3" not in result.output
    assert (out / COMPARED).read_bytes() == before
