"""Where the time of a run went: stages, their own time, the trace and the shares."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from whalescan import TableError
from whalescan.cli import main
from whalescan.core.profiling import Span, is_watched, stage, watching
from whalescan.survey import profile
from whalescan.survey.profile import Profile, shares


def test_a_stage_within_another_is_not_its_own_time() -> None:
    with watching() as spans, stage("outer"):
        time.sleep(0.02)
        for _ in range(2):
            with stage("inner"):
                time.sleep(0.03)
    assert [span.name for span in spans] == ["inner", "inner", "outer"]
    outer = spans[-1]
    assert outer.own_ns == outer.length_ns - spans[0].length_ns - spans[1].length_ns
    assert outer.own_ns >= 0.02e9
    assert all(span.own_ns == span.length_ns >= 0.03e9 for span in spans[:2])


def test_nothing_is_timed_that_nobody_wants_to_know() -> None:
    with watching(is_wanted=False) as spans, stage("a"):
        assert not is_watched()
    with stage("b"):
        assert not is_watched()
    assert spans == []


def test_a_stage_that_fails_is_timed() -> None:
    with watching() as spans, pytest.raises(ValueError, match="no"), stage("a"):
        raise ValueError("no")
    assert [span.name for span in spans] == ["a"]


def test_a_trace_ends_where_a_browser_would_but_the_shares_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "_MOST_SPANS", 3)
    kept = Profile()
    kept.add(Span("glance", i * 10**9, 10**9, 10**9, 1, 2) for i in range(5))
    kept.add([Span("decode", 0, 5 * 10**9, 5 * 10**9, 1, 2)])
    kept.write(tmp_path)
    document = json.loads((tmp_path / "profile.json").read_text())
    assert [event["ts"] for event in document["traceEvents"]] == [0, 1e6, 2e6]
    assert document["otherData"]["stages_s"] == {"glance": 5, "decode": 5}
    assert "glance" in shares(tmp_path)
    assert "50.0%" in shares(tmp_path)


def test_no_profile(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="--profile"):
        shares(tmp_path)


def test_a_run_says_where_its_time_went(sea: Path, tmp_path: Path) -> None:
    command = ["run", str(sea), "-o", str(tmp_path / "out"), "--hop", "1", "-q", "--profile"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "out" / "profile.json").read_text())
    stages = document["otherData"]["stages_s"]
    assert {"plan", "decode", "resample", "spectrogram", "glance", "complexity", "keep", "tables"} <= set(stages)
    assert all(seconds >= 0 for seconds in stages.values())
    events = document["traceEvents"]
    assert {"name", "ph", "ts", "dur", "pid", "tid"} == set(events[0])
    chunks = [event for event in events if event["name"] == "chunk"]
    glances = [event for event in events if event["name"] == "glance"]
    assert len(glances) >= 3, "one a strip, and three recordings have one at least"
    for glance in glances:
        around = [chunk for chunk in chunks if chunk["tid"] == glance["tid"] and _holds(chunk, glance)]
        assert len(around) == 1, "each lies within its chunk, on the same thread"
    assert f"({tmp_path / 'out' / 'profile.json'})" in result.stderr


def _holds(outer: dict[str, float], inner: dict[str, float]) -> bool:
    return outer["ts"] <= inner["ts"] and inner["ts"] + inner["dur"] <= outer["ts"] + outer["dur"]


def test_a_run_that_is_not_timed_leaves_no_profile(sea: Path, tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text("of an earlier run")
    assert CliRunner().invoke(main, ["run", str(sea), "-o", str(tmp_path), "--hop", "2", "-q"]).exit_code == 0
    assert not (tmp_path / "profile.json").exists()
