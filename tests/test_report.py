"""The report of a run: written with every table, and again when people have judged."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import whalescan
from whalescan import UsageError
from whalescan.cli import main
from whalescan.core import Position
from whalescan.detections.stratified_sampling import sample_order
from whalescan.detections.validations import Judgement
from whalescan.scores import validation_store
from whalescan.survey.finished_run import open_run
from whalescan.survey.run import detect
from whalescan.survey.summary import summary


def judge_in_order(out: Path, n: int) -> int:
    """Judge the beginning of the sample: every fourth call is none. How many are one comes back."""
    calls = open_run(out).calls()
    chosen = [calls[i] for i in sample_order(calls)[:n].tolist()]
    said = [Judgement.of(call, "no" if i % 4 == 3 else "yes", "review") for i, call in enumerate(chosen)]
    validation_store.append(out, said)
    return sum(one.verdict == "yes" for one in said)


def test_a_run_ends_with_a_report_of_its_calls(out: Path) -> None:
    page = (out / "report.html").read_text(encoding="utf-8")
    calls = open_run(out).calls()
    assert all(call.detection_id in page for call in calls[:1])
    assert f"found {len(calls)} calls" in re.sub(r"\s+", " ", page)
    assert page.count("data:image/png;base64,") == min(len(calls), 36)
    assert "http://" not in page
    assert "https://" not in page


def test_a_summary_says_where_the_report_is_and_how_to_judge(out: Path) -> None:
    said = summary(detect(out), out)
    assert f"report      {out / 'report.html'}\n" in said
    assert said.endswith(f"whalescan review {out}")
    assert "whalescan review" not in summary(detect(out, threshold=1.0), out)


def test_the_report_follows_what_people_judged(out: Path) -> None:
    n_calls = len(open_run(out).calls())
    n_yes = judge_in_order(out, n_calls)
    said = CliRunner().invoke(main, ["report", str(out), "--precision", "0.5", "--false-per-hour", "1e9"])
    assert said.exit_code == 0, said.output
    assert said.stdout.splitlines()[0] == str(out / "report.html")
    assert f"precision {n_yes / n_calls:.2f} ({n_yes / n_calls:.2f}-{n_yes / n_calls:.2f})" in said.stdout  # all are judged
    assert re.sub(r"\s+", " ", said.stdout).count(" whalescan detect ") == 2
    page = re.sub(r"\s+", " ", (out / "report.html").read_text(encoding="utf-8"))
    assert f"People confirmed {n_yes} of them, rejected {n_calls - n_yes}" in page
    assert "Rejected by people" in page
    assert (out / "detections.csv").read_text().count(",no\n") == n_calls - n_yes
    assert sum(int(line.split(",")[5]) for line in (out / "hourly.csv").read_text().splitlines()[1:]) == n_yes


def test_a_sample_that_is_too_small_promises_nothing(out: Path) -> None:
    judge_in_order(out, 1)
    said = CliRunner().invoke(main, ["report", str(out), "--precision", "0.9"])
    assert said.exit_code == 0
    assert "too few calls of the highest scores are judged" in said.stdout
    assert re.search(r"judge \d+ more of the sample", said.stdout)


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (["--precision", "1.5"], "above 0 and at most 1"),
        (["--false-per-hour", "0"], "give one above 0"),
        (["--false-per-hour", "nan"], "give one above 0"),
        (["--false-per-hour", "inf"], "give one above 0"),
        (["--position", "north"], "such as 42.3,-70.2"),
        (["--position", "142,-70"], "latitude comes first"),
        (["--summary-timezone", "Mars"], "Mars"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(out: Path, options: list[str], remedy: str) -> None:
    before = (out / "report.html").stat().st_mtime_ns
    said = CliRunner().invoke(main, ["report", str(out), *options])
    assert said.exit_code == 2
    assert remedy in said.stderr
    assert (out / "report.html").stat().st_mtime_ns == before


def test_a_position_is_kept_until_it_is_taken_back(out: Path) -> None:
    assert CliRunner().invoke(main, ["report", str(out), "--position", "42.4,-70.3"]).exit_code == 0
    assert json.loads((out / "run.json").read_text())["options"]["position"] == "42.4,-70.3"
    detect(out)
    assert "civil twilight" in (out / "report.html").read_text(encoding="utf-8")
    detect(out, options=replace(open_run(out).kept.tables, position=""))
    assert "civil twilight" not in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["42.4,-70.3", " 42.4 , -70.3 ", "-90,180"])
def test_positions_are_degrees_north_and_east(text: str) -> None:
    latitude, longitude = text.split(",")
    assert Position.parse(text) == Position(float(latitude), float(longitude))


@pytest.mark.parametrize("text", ["42.4", "42.4,-70.3,0", "nan,0", "91,0", "0,181", "42° N, 70° W"])
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Position.parse(text)


def test_a_report_without_recordings_says_where_they_were(sea: Path, tmp_path: Path) -> None:
    there = shutil.copytree(sea, tmp_path / "there")
    whalescan.scan(there, tmp_path / "out", hop=1.0, threshold=0.3)
    shutil.rmtree(there)
    assert CliRunner().invoke(main, ["report", str(tmp_path / "out")]).exit_code == 0
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "data:image/png" not in page
    assert "is not there any more" in page or "cannot be read" in page


def test_the_report_of_a_survey_without_calls_is_whole(sea: Path, tmp_path: Path) -> None:
    whalescan.scan(sea, tmp_path, hop=1.0, threshold=1.0)
    assert "Provenance" in (tmp_path / "report.html").read_text(encoding="utf-8")
    said = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert "the detector found no call, so there is nothing to judge" in said.stdout
