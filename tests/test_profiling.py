"""Timing of a run: stages, their own time, the trace and the shares."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from whalescan import TableError
from whalescan.cli import main
from whalescan.core import profiling
from whalescan.core.profiling import Profile, StageTiming, collect_stages, is_collecting, stage, stage_shares


def test_own_time_excludes_nested_stages() -> None:
    with collect_stages() as timings, stage("outer"):
        time.sleep(0.02)
        for _ in range(2):
            with stage("inner"):
                time.sleep(0.03)
    assert [timing.name for timing in timings] == ["inner", "inner", "outer"]
    outer = timings[-1]
    assert outer.own_ns == outer.length_ns - timings[0].length_ns - timings[1].length_ns
    assert outer.own_ns >= 0.02e9
    assert all(timing.own_ns == timing.length_ns >= 0.03e9 for timing in timings[:2])


def test_stages_are_collected_only_where_enabled() -> None:
    with collect_stages(is_enabled=False) as timings, stage("a"):
        assert not is_collecting()
    with stage("b"):
        assert not is_collecting()
    assert timings == []


def test_failing_stage_is_timed() -> None:
    with collect_stages() as timings, pytest.raises(ValueError, match="no"), stage("a"):
        raise ValueError("no")
    assert [timing.name for timing in timings] == ["a"]


def test_the_trace_is_limited_and_the_shares_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "MAX_SPANS", 3)
    collected = Profile()
    collected.add(StageTiming("network", i * 10**9, 10**9, 10**9, 1, 2) for i in range(5))
    collected.add([StageTiming("decode", 0, 5 * 10**9, 5 * 10**9, 1, 2)])
    collected.write(tmp_path)
    document = json.loads((tmp_path / "profile.json").read_text())
    assert [event["ts"] for event in document["traceEvents"]] == [0, 1e6, 2e6]
    assert document["otherData"]["stages_s"] == {"network": 5, "decode": 5}
    assert "network" in stage_shares(tmp_path)
    assert "50.0%" in stage_shares(tmp_path)


def test_a_run_without_a_profile_has_no_shares(tmp_path: Path) -> None:
    with pytest.raises(TableError):
        stage_shares(tmp_path)


@pytest.mark.slow
def test_a_profiled_run_writes_its_stages(simulated_recordings: Path, tmp_path: Path) -> None:
    command = ["run", str(simulated_recordings), "-o", str(tmp_path / "out"), "--hop", "1", "-q", "--profile"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "out" / "profile.json").read_text())
    stages = document["otherData"]["stages_s"]
    assert {"plan", "decode", "resample", "spectrogram", "network", "complexity", "keep", "tables"} <= set(stages)
    assert all(seconds >= 0 for seconds in stages.values())
    events = document["traceEvents"]
    assert {"name", "ph", "ts", "dur", "pid", "tid"} == set(events[0])
    chunks = [event for event in events if event["name"] == "chunk"]
    networks = [event for event in events if event["name"] == "network"]
    assert len(networks) >= 3, "one per block, and at least one per recording"
    for network in networks:
        around = [chunk for chunk in chunks if chunk["tid"] == network["tid"] and _holds(chunk, network)]
        assert len(around) == 1, "each lies within one chunk, on the same thread"
    assert f"({tmp_path / 'out' / 'profile.json'})" in result.stderr


def _holds(outer: dict[str, float], inner: dict[str, float]) -> bool:
    return outer["ts"] <= inner["ts"] and inner["ts"] + inner["dur"] <= outer["ts"] + outer["dur"]


def test_a_run_without_profiling_removes_an_earlier_profile(simulated_recordings: Path, tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text("of an earlier run")
    assert (
        CliRunner().invoke(main, ["run", str(simulated_recordings), "-o", str(tmp_path), "--hop", "2", "-q"]).exit_code == 0
    )
    assert not (tmp_path / "profile.json").exists()
