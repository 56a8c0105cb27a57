"""Detections of an earlier run beside those of a new one."""

from __future__ import annotations

import json
import logging
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import make_golden as golden
from tests.builders import csv_rows, detection_at
from whalescan.core import Detection
from whalescan.detections.detection_changes import Change, DetectionChange, compare_detections
from whalescan.detector.model_spec import find_model
from whalescan.survey.run_comparison import DETECTIONS_COMPARED, EarlierRun, read_earlier_run, write_comparison

DETECTIONS = st.lists(
    st.builds(
        detection_at,
        st.integers(1, 60).map(lambda n: 250 * n),
        st.sampled_from([None, 0.4, 0.9]),
        st.sampled_from(["a", "b"]),
        st.sampled_from([1, 2]),
        st.sampled_from(["upcall", "gunshot"]),
    ),
    max_size=15,
)


def middle_s(one: Detection) -> float:
    return (one.begin_s + one.end_s) / 2


@given(DETECTIONS, DETECTIONS)
def test_each_detection_of_both_runs_is_in_one_row(old: list[Detection], new: list[Detection]) -> None:
    changes = compare_detections(old, new)
    assert Counter(one.old for one in changes if one.old) == Counter(old)
    assert Counter(one.new for one in changes if one.new) == Counter(new)
    for one in changes:
        assert one.change is not None
        if one.old and one.new:
            assert abs(middle_s(one.old) - middle_s(one.new)) <= 1
            kinds = {(side.recording, side.channel, side.label) for side in (one.old, one.new)}
            assert len(kinds) == 1
    order = [(one.either.recording, one.either.begin_s, one.either.channel) for one in changes]
    assert order == sorted(order)


@given(DETECTIONS, DETECTIONS)
def test_no_two_rows_could_be_one(old: list[Detection], new: list[Detection]) -> None:
    changes = compare_detections(old, new)
    lost = [one.old for one in changes if one.change is Change.ONLY_OLD and one.old]
    gained = [one.new for one in changes if one.change is Change.ONLY_NEW and one.new]
    for first in lost:
        for second in gained:
            is_same_kind = (first.recording, first.channel, first.label) == (second.recording, second.channel, second.label)
            assert not is_same_kind or abs(middle_s(first) - middle_s(second)) > 1


@given(DETECTIONS)
def test_same_detections_are_the_same(detections: list[Detection]) -> None:
    unique = list({(one.recording, one.channel, one.label, one.begin_s): one for one in detections}.values())
    assert {one.change for one in compare_detections(unique, unique)} <= {Change.SAME}


def test_nearest_pairs_are_matched_first() -> None:
    old, between, new = detection_at(5000), detection_at(5900), detection_at(6000)
    changes = compare_detections([old, between], [new])
    assert [(one.old, one.new, one.change) for one in changes] == [
        (old, None, Change.ONLY_OLD),
        (between, new, Change.MOVED),
    ]


def test_review_is_that_of_the_new_detection_or_else_of_the_old_one() -> None:
    old, new = replace(detection_at(5000), review="yes"), detection_at(5100)
    assert DetectionChange(old, new).review == "yes"
    assert DetectionChange(old, replace(new, review="no")).review == "no"
    assert DetectionChange(None, new).review == "unreviewed"


# ------------------------------------------------------------------------------------------------ the earlier run


def earlier_run(out: Path, detector: str) -> EarlierRun | None:
    table = out / "deployment.whalescan.sound.selections.txt"
    model = find_model()
    return read_earlier_run(out, out / "detections.csv", table, detector, model)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = shutil.copytree(golden.OUT, tmp_path / "out")
    for name in ("detections.csv", "deployment.whalescan.sound.selections.txt"):
        shutil.copy(golden.EXPECTED / "default" / name, folder / name)
    document = json.loads((folder / "run.json").read_text())
    document["model"]["sha256"] = find_model().sha256
    (folder / "run.json").write_text(json.dumps(document))
    return folder


def test_same_version_and_model_are_not_compared(out: Path, tmp_path: Path) -> None:
    detector = json.loads((out / "run.json").read_text())["detector"]
    assert earlier_run(out, detector) is None
    assert earlier_run(tmp_path / "nothing", detector) is None
    other = earlier_run(out, "whalescan 99.0.0 another")
    assert other is not None
    assert (other.detector, len(other.detections)) == (detector, len(csv_rows((out / "detections.csv").read_bytes())))


def test_another_model_of_the_same_name_is_compared(out: Path) -> None:
    document = json.loads((out / "run.json").read_text())
    document["model"]["sha256"] = "another"
    (out / "run.json").write_text(json.dumps(document))
    assert earlier_run(out, document["detector"]) is not None


def test_run_that_was_interrupted_before_the_tables_is_compared(out: Path) -> None:
    """It has removed run.json; the Raven table tells the detector."""
    detector = json.loads((out / "run.json").read_text())["detector"]
    (out / "run.json").unlink()
    assert earlier_run(out, detector) is None
    other = earlier_run(out, "whalescan 99.0.0 another")
    assert other is not None
    assert other.detector == detector
    (out / "deployment.whalescan.sound.selections.txt").unlink()
    assert earlier_run(out, "whalescan 99.0.0 another") is None


def test_unreadable_detections_are_not_compared_and_the_run_goes_on(out: Path, caplog: pytest.LogCaptureFixture) -> None:
    (out / "detections.csv").write_text("nothing\n1\n")
    with caplog.at_level(logging.WARNING, "whalescan"):
        assert earlier_run(out, "whalescan 99.0.0 another") is None
    assert "not compared" in caplog.text


def test_comparison_says_how_many_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    again, lost, rejected = (
        replace(detection_at(time), review=review) for time, review in ((5000, "yes"), (9000, "maybe"), (15_000, "no"))
    )
    found = [replace(detection_at(5100), review="yes"), lost, detection_at(20_000)]
    with caplog.at_level(logging.INFO, "whalescan"):
        write_comparison(tmp_path, EarlierRun("whalescan 0.6.0 m", (again, lost, rejected)), found, {lost.detection_id})
    assert [row["change"] for row in csv_rows((tmp_path / DETECTIONS_COMPARED).read_bytes())] == [
        "moved",
        "only_old",
        "only_old",
        "only_new",
    ]
    assert "3 detections by whalescan 0.6.0 m: 1 found again, 2 not; 1 new; see" in caplog.text
    assert (
        "3 reviews of these kept: 1 with the new detection, 1 with the earlier detection or added call, 1 in "
        "judgements.sqlite only (rejected, and no longer found)"
    ) in caplog.text
