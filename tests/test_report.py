"""The report of a run: written with the tables, and again after validations."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import whalescan
from tests.builders import LOW_THRESHOLD
from whalescan import UsageError
from whalescan.cli import main
from whalescan.core import Position
from whalescan.detections.sampling import sample_order
from whalescan.detections.threshold_advice import NoThresholdReason
from whalescan.detections.validations import Validation
from whalescan.scores import validation_store
from whalescan.survey.finished_run import open_finished_run
from whalescan.survey.run import detect
from whalescan.survey.run_summary import run_summary


def review_in_order(out: Path, n: int) -> int:
    """Review the first ``n`` of the sample, rejecting every fourth, and return the number of confirmed ones."""
    detections = open_finished_run(out).read_detections()
    selected = [detections[i] for i in sample_order(detections)[:n].tolist()]
    validations = [
        Validation.of_detection(detection, "no" if i % 4 == 3 else "yes", "review") for i, detection in enumerate(selected)
    ]
    validation_store.append_validations(out, validations)
    return sum(one.review == "yes" for one in validations)


def test_run_writes_a_report_of_its_detections(out: Path) -> None:
    page = (out / "report.html").read_text(encoding="utf-8")
    detections = open_finished_run(out).read_detections()
    assert all(detection.detection_id in page for detection in detections[:1])
    assert f"found {len(detections)} detections" in re.sub(r"\s+", " ", page)
    assert page.count("data:image/png;base64,") == min(len(detections), 36)
    assert "http://" not in page
    assert "https://" not in page


def test_summary_names_the_report_and_the_review_command(out: Path) -> None:
    result = run_summary(detect(out), out)
    assert f"report      {out / 'report.html'}\n" in result
    assert result.endswith(f"whalescan review {out}")
    assert "whalescan review" not in run_summary(detect(out, threshold=1.0), out)


def test_report_follows_validations(out: Path) -> None:
    n_detections = len(open_finished_run(out).read_detections())
    n_yes = review_in_order(out, n_detections)
    result = CliRunner().invoke(main, ["report", str(out), "--precision", "0.5", "--false-per-hour", "1e9"])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == str(out / "report.html")
    precision = f"{n_yes / n_detections:.2f}"
    assert f"precision {precision} ({precision}-{precision})" in result.stdout
    assert re.sub(r"\s+", " ", result.stdout).count(" whalescan detect ") == 2
    page = re.sub(r"\s+", " ", (out / "report.html").read_text(encoding="utf-8"))
    assert f"Reviewers confirmed {n_yes}, rejected {n_detections - n_yes}" in page
    assert "is-no" in page
    assert (out / "detections.csv").read_text().count(",no\n") == n_detections - n_yes
    assert sum(int(line.split(",")[5]) for line in (out / "hourly.csv").read_text().splitlines()[1:]) == n_yes


def test_small_sample_gives_no_threshold(out: Path) -> None:
    review_in_order(out, 1)
    result = CliRunner().invoke(main, ["report", str(out), "--precision", "0.9"])
    assert result.exit_code == 0
    assert NoThresholdReason.TOO_FEW_REVIEWED in result.stdout
    assert re.search(r"--sample \d+", result.stdout)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--precision", "1.5"], "precision"),
        (["--false-per-hour", "0"], "per-hour"),
        (["--false-per-hour", "nan"], "per-hour"),
        (["--false-per-hour", "inf"], "per-hour"),
        (["--position", "north"], "position"),
        (["--position", "142,-70"], "position"),
        (["--summary-timezone", "Mars"], "Mars"),
    ],
)
def test_invalid_options_are_refused_before_writing(out: Path, options: list[str], word: str) -> None:
    before = (out / "report.html").stat().st_mtime_ns
    result = CliRunner().invoke(main, ["report", str(out), *options])
    assert result.exit_code == 2
    assert word in result.stderr
    assert (out / "report.html").stat().st_mtime_ns == before


def test_position_is_kept_until_it_is_removed(out: Path) -> None:
    assert CliRunner().invoke(main, ["report", str(out), "--position", "42.4,-70.3"]).exit_code == 0
    assert json.loads((out / "run.json").read_text())["options"]["position"] == "42.4,-70.3"
    detect(out)
    assert "civil twilight" in (out / "report.html").read_text(encoding="utf-8")
    detect(out, options=replace(open_finished_run(out).record.tables, position=""))
    assert "civil twilight" not in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["42.4,-70.3", " 42.4 , -70.3 ", "-90,180"])
def test_positions_are_degrees_north_and_east(text: str) -> None:
    latitude, longitude = text.split(",")
    assert Position.parse(text) == Position(float(latitude), float(longitude))


@pytest.mark.parametrize("text", ["42.4", "42.4,-70.3,0", "nan,0", "91,0", "0,181", "42° N, 70° W"])
def test_invalid_positions_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Position.parse(text)


@pytest.mark.slow
def test_report_without_recordings_names_their_paths(simulated_recordings: Path, tmp_path: Path) -> None:
    there = shutil.copytree(simulated_recordings, tmp_path / "there")
    whalescan.scan(there, tmp_path / "out", hop_s=1.0, threshold=LOW_THRESHOLD)
    shutil.rmtree(there)
    assert CliRunner().invoke(main, ["report", str(tmp_path / "out")]).exit_code == 0
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "data:image/png" not in page
    assert "no longer exists" in page or "cannot be read" in page


def test_report_of_a_survey_without_detections(simulated_recordings: Path, tmp_path: Path) -> None:
    whalescan.scan(simulated_recordings, tmp_path, hop_s=1.0, threshold=1.0)
    assert "Provenance" in (tmp_path / "report.html").read_text(encoding="utf-8")
    result = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert result.exit_code == 0
    assert "whalescan review" not in result.stdout
