"""Effort, gaps and presence of a deployment with a known timeline, compared with independent counts."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import whalescan
from tests.builders import LOW_THRESHOLD, XwavRawFile, write_sound, write_xwav
from whalescan import Detection, Status
from whalescan.engine import chunking
from whalescan.options import TableOptions
from whalescan.survey.run import detect
from whalescan.training.simulation import SimulationOptions, write_recordings

pytestmark = pytest.mark.slow

RATE = 2000
Deployment = tuple[Path, Path, list[tuple[datetime, float, float]]]
"""Recordings, results, and the begin, recorded and analysed seconds of each file."""


def at(text: str) -> datetime:
    """Return a time of the deployment from its day (30, 31, 1, 2) and time of day."""
    day, time = text.split(" ")
    month = "2026-12" if int(day) >= 30 else "2027-01"
    return datetime.fromisoformat(f"{month}-{int(day):02d}T{time}").replace(tzinfo=UTC)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """The recordings, the folder of a run, and (begin, recorded seconds, analysed seconds) of every readable file.

    A recorder in UTC with files that go on across midnight and the year's end, jitter, a pause, a drop-out, a dead stretch,
    a damaged file and a copy; then, a day later, another one that names its files by EST, 20 s in every 60.
    """
    folder, out = tmp_path_factory.mktemp("deployment"), tmp_path_factory.mktemp("deployment-out")
    source = tmp_path_factory.mktemp("source")
    list(write_recordings(source, 1, SimulationOptions(minutes=6, calls_per_hour=300, snr_db=(8, 12), ships=False, seed=5)))
    simulated_recordings, _ = soundfile.read(next(source.glob("*.wav")), dtype="int16")
    truth: list[tuple[datetime, float, float]] = []

    def write(
        name: str, begin: datetime, seconds: float, first_s: float = 0, lost: tuple[float, float] | None = None
    ) -> Path:
        samples = simulated_recordings[round(first_s * RATE) :][: round(seconds * RATE)].copy()
        if lost:
            samples[round(lost[0] * RATE) : round(lost[1] * RATE)] = 0
        truth.append((begin, len(samples) / RATE, len(samples) / RATE - (lost[1] - lost[0] if lost else 0)))
        return write_sound(folder / name, samples, RATE)

    write("a/AMAR7.20261231T235930Z.wav", at("31 23:59:30"), 30, 0)
    write("b/AMAR7.20270101T000000Z.wav", at("1 00:00:00"), 45.5, 30)
    write("b/AMAR7.20270101T000045Z.wav", at("1 00:00:45"), 14.75, 75.5)  # 0.5 s of jitter
    write("b/AMAR7.20270101T005950Z.wav", at("1 00:59:50"), 20, 90, lost=(4, 9.25))
    write("b/AMAR7.20270101T010010Z.wav", at("1 01:00:10"), 20, 0, lost=(0, 20))
    write("b/AMAR7.20270101T020000Z.wav", at("1 02:00:00"), 30, 0)
    shutil.copy(folder / "b/AMAR7.20270101T020000Z.wav", folder / "b/copy_AMAR7.20270101T020000Z.wav")
    truth.append(truth[-1])
    (folder / "b/AMAR7.20270101T030000Z.wav").write_bytes(b"RIFF")
    for minute in range(5):
        local = at("2 10:00:00") + timedelta(minutes=minute)
        write(f"c/NOPP_EST_{local:%Y%m%d_%H%M%S}.wav", local + timedelta(hours=5), 20, 20 * minute)
    whalescan.scan(folder, out, hop_s=0.5, threshold=LOW_THRESHOLD)
    return folder, out, truth


def read(out: Path, name: str) -> pd.DataFrame:
    times = [column for column in pd.read_csv(out / name, nrows=0).columns if column.endswith("_utc")]
    return pd.read_csv(out / name, parse_dates=times)


def test_every_second_is_analysed_or_missing(deployment: Deployment) -> None:
    _, out, truth = deployment
    files = read(out, "files.csv").dropna(subset="sample_rate_hz").sort_values(["start_utc", "recording"])
    expected = sorted(truth)
    assert files["start_utc"].tolist() == [begin for begin, *_ in expected]
    np.testing.assert_allclose(files["duration_s"], [recorded for _, recorded, _ in expected])
    np.testing.assert_allclose(files["analysed_s"], [analysed for *_, analysed in expected])
    status = dict(files[["recording", "status"]].to_numpy())
    assert status["b/AMAR7.20270101T005950Z"] == Status.PARTIAL
    assert status["b/AMAR7.20270101T010010Z"] == Status.FAILED
    assert set(files.loc[files["analysed_s"] == files["duration_s"], "status"]) == {Status.DONE}
    broken = read(out, "files.csv").set_index("recording").loc["b/AMAR7.20270101T030000Z"]
    assert (broken["status"], broken["start_utc"], broken["size_bytes"]) == ("failed", at("1 03:00:00"), 4)


@pytest.mark.parametrize(("table", "unit"), [("hourly.csv", timedelta(hours=1)), ("daily.csv", timedelta(days=1))])
def test_hours_and_days_equal_an_independent_count(deployment: Deployment, table: str, unit: timedelta) -> None:
    """The independent count has steps of 10 ms, of which every border of the deployment is a multiple."""
    _, out, truth = deployment
    bins, calls = read(out, table), read(out, "detections.csv")
    begin = at("31 23:00:00") if unit < timedelta(days=1) else at("31 00:00:00")
    assert bins["bin_start_utc"].tolist() == [begin + i * unit for i in range(len(bins))]
    assert bins["bin_end_utc"].iloc[-1] >= at("2 15:04:20") > bins["bin_start_utc"].iloc[-1]
    recorded, analysed = (np.zeros(round(len(bins) * unit.total_seconds() * 100), bool) for _ in range(2))
    losses = {at("1 00:59:50"): (4, 9.25), at("1 01:00:10"): (0, 20)}
    for start, seconds, _ in truth:
        first = round((start - begin).total_seconds() * 100)
        recorded[first : first + round(seconds * 100)] = True
        own = np.ones(round(seconds * 100), bool)
        if start in losses:
            own[round(losses[start][0] * 100) : round(losses[start][1] * 100)] = False
        analysed[first : first + len(own)] |= own
    steps = round(unit.total_seconds() * 100)
    np.testing.assert_allclose(bins["recorded_s"], recorded.reshape(-1, steps).sum(axis=1) / 100, atol=1e-6)
    np.testing.assert_allclose(bins["analysed_s"], analysed.reshape(-1, steps).sum(axis=1) / 100, atol=1e-6)
    counts = [
        int(calls["start_utc"].between(a, b, inclusive="left").sum())
        for a, b in zip(bins.iloc[:, 0], bins.iloc[:, 1], strict=True)
    ]
    assert bins["n_detections"].tolist() == counts
    assert sum(counts) == len(calls) > 5
    for (_, row), n in zip(bins.iterrows(), counts, strict=True):
        if row["analysed_s"] == 0:
            assert row["result"] == "NOT_AVAILABLE"
            assert pd.isna(row["detections_per_hour"])
        else:
            assert row["result"] == ("POSSIBLY_DETECTED" if n else "NOT_DETECTED")
            assert row["detections_per_hour"] == pytest.approx(n / row["analysed_s"] * 3600, abs=1e-3)


def test_gaps(deployment: Deployment) -> None:
    _, out, _ = deployment
    gaps = [(row.start_utc, row.end_utc, row.kind) for row in read(out, "gaps.csv").itertuples()]
    assert gaps == [
        (at("1 00:00:59.75"), at("1 00:59:50"), "gap"),
        (at("1 00:59:54"), at("1 00:59:59.25"), "dropout"),
        (at("1 01:00:10"), at("1 01:00:30"), "dropout"),
        (at("1 01:00:30"), at("1 02:00:00"), "gap"),
        (at("1 02:00:00"), at("1 02:00:30"), "overlap"),
        (at("1 02:00:30"), at("1 03:00:00"), "gap"),
        (at("1 03:00:00"), at("1 03:00:20"), "unreadable"),
        (at("1 03:00:20"), at("2 15:00:00"), "gap"),
        *((at(f"2 15:0{m}:20"), at(f"2 15:0{m + 1}:00"), "duty_cycle") for m in range(4)),
    ]
    assert (read(out, "gaps.csv")["seconds"] > 0).all()


def test_contiguous_files_have_the_detections_of_one_file(deployment: Deployment, tmp_path: Path) -> None:
    """Across midnight, a year's end, another folder, and half a second of jitter."""
    folder, out, _ = deployment
    parts = [folder / "a/AMAR7.20261231T235930Z.wav", *sorted((folder / "b").glob("AMAR7.20270101T0000*.wav"))]
    assert len(parts) == 3
    write_sound(tmp_path / "whole.wav", np.concatenate([soundfile.read(p, dtype="int16")[0] for p in parts]), RATE)
    whole = whalescan.scan(tmp_path / "whole.wav", hop_s=0.5, threshold=LOW_THRESHOLD).detections
    begins_s = {"a/AMAR7.20261231T235930Z": 0, "b/AMAR7.20270101T000000Z": 30, "b/AMAR7.20270101T000045Z": 75.5}
    parts_calls = [
        replace(call, begin_s=call.begin_s + begins_s[call.recording], end_s=call.end_s + begins_s[call.recording])
        for call in whalescan.open_run(out).detections
        if call.recording in begins_s
    ]
    check_same_calls(parts_calls, whole)


def check_same_calls(some: Iterable[Detection], others: Iterable[Detection]) -> None:
    """Check that each clear detection is among the others. Columns begin with each file, so scores differ a little."""
    some, others = list(some), list(others)
    for these, those in ((some, others), (others, some)):
        clear = [one for one in these if one.score and one.score >= 0.5]
        assert len(clear) > 1
        for one in clear:
            middle_s = (one.begin_s + one.end_s) / 2
            near = [other for other in those if abs((other.begin_s + other.end_s) / 2 - middle_s) < 0.3]
            assert len(near) == 1, one


def test_order_of_input_and_interruptions_change_no_byte(deployment: Deployment, tmp_path: Path) -> None:
    folder, out, _ = deployment
    whalescan.scan(sorted(folder.iterdir(), reverse=True), tmp_path / "other", hop_s=0.5, threshold=LOW_THRESHOLD)
    assert (tmp_path / "other/gaps.csv").read_bytes() == (out / "gaps.csv").read_bytes()
    assert (tmp_path / "other/daily.csv").read_bytes() == (out / "daily.csv").read_bytes()


def test_local_tables_have_the_same_effort(deployment: Deployment, tmp_path: Path) -> None:
    _, out, _ = deployment
    shutil.copytree(out, tmp_path / "out")
    detect(tmp_path / "out", options=TableOptions(summary_timezone="America/New_York"))
    local, utc = pd.read_csv(tmp_path / "out/daily.local.csv"), pd.read_csv(out / "daily.csv")
    assert local["bin_start_local"].iloc[0] == "2026-12-31T00:00:00-05:00"
    assert local["analysed_s"].sum() == pytest.approx(utc["analysed_s"].sum())
    assert local["n_detections"].sum() == utc["n_detections"].sum()
    assert (tmp_path / "out/daily.csv").read_bytes() == (out / "daily.csv").read_bytes()
    hourly = pd.read_csv(tmp_path / "out/hourly.local.csv")
    assert hourly["recorded_s"].sum() == pytest.approx(utc["recorded_s"].sum())


# ------------------------------------------------------------------------------------------ a duty cycle within a file


@pytest.fixture(scope="module")
def harp(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[XwavRawFile]]:
    """An XWAV with calls and three raw files, with pauses between them at positions off the grid."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("harp")
    list(
        write_recordings(source, 1, SimulationOptions(minutes=1.5, calls_per_hour=500, snr_db=(8, 12), ships=False, seed=9))
    )
    simulated_recordings, _ = soundfile.read(next(source.glob("*.wav")), dtype="int16")
    begin = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    lengths, pauses = (61_234, 55_555, 63_211), (0, 400, 4000)
    raws, elapsed_s = [], 0.0
    for length, pause_s in zip(lengths, pauses, strict=True):
        elapsed_s = round(elapsed_s + pause_s, 3)
        raws.append(XwavRawFile(begin + timedelta(seconds=elapsed_s), length))
        elapsed_s += length / RATE
    write_xwav(folder / "SOCAL_261231_235900.x.wav", raws, samples=simulated_recordings[: sum(lengths)].tobytes())
    return folder, raws


@pytest.mark.parametrize("hop", [0.25, 1.0, 2.0])
def test_pauses_within_an_xwav(harp: tuple[Path, list[XwavRawFile]], tmp_path: Path, hop: float) -> None:
    folder, raws = harp
    survey = whalescan.scan(folder, tmp_path, hop_s=hop, threshold=LOW_THRESHOLD)
    (file,) = survey.files
    gaps, daily = read(tmp_path, "gaps.csv"), read(tmp_path, "daily.csv")
    duration_s = sum(raw.n_frames for raw in raws) / RATE
    assert daily["recorded_s"].sum() == pytest.approx(duration_s, abs=1e-5)
    assert daily["analysed_s"].sum() == pytest.approx(file.outcome.analysed_s, abs=1e-5)
    assert gaps.loc[gaps["kind"] == "gap", "seconds"].tolist() == pytest.approx([400, 4000], abs=0.002)
    assert file.outcome.analysed_s == pytest.approx(duration_s, abs=1e-5)
    assert survey.exit_code == 0
    edges_s = np.cumsum([0, *(raw.n_frames for raw in raws)]) / RATE
    assert len(survey.detections) > 2
    for call, row in zip(survey.detections, read(tmp_path, "detections.csv").itertuples(), strict=True):
        piece = int(np.searchsorted(edges_s, call.begin_s, side="right")) - 1
        assert call.end_s <= edges_s[piece + 1]
        expected = raws[piece].start + timedelta(seconds=call.begin_s - edges_s[piece])
        assert abs(row.start_utc - expected) <= timedelta(milliseconds=1.5)


def test_scores_of_a_segment_do_not_depend_on_its_neighbours(harp: tuple[Path, list[XwavRawFile]], tmp_path: Path) -> None:
    """The windows within the first segment, and those across its end, have the scores of the segment alone."""
    folder, raws = harp
    (path,) = folder.iterdir()
    whalescan.scan(folder, tmp_path / "whole", hop_s=0.5)
    samples, _ = soundfile.read(path, frames=raws[0].n_frames, dtype="int16")
    write_sound(tmp_path / "alone/x.wav", samples, RATE)
    whalescan.scan(tmp_path / "alone", tmp_path / "out", hop_s=0.5)
    with np.load(tmp_path / "whole/scores" / f"{path.stem}.npz") as whole, np.load(tmp_path / "out/scores/x.npz") as alone:
        n = len(alone["scores"])
        np.testing.assert_allclose(whole["scores"][: n - 1], alone["scores"][: n - 1], atol=0.01)


def test_chunks_change_no_byte_at_discontinuities_and_borders(
    harp: tuple[Path, list[XwavRawFile]], deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    shutil.copytree(harp[0], folder / "harp")
    for name in ("a", "b"):
        shutil.copytree(deployment[0] / name, folder / name)
    whalescan.scan(folder, tmp_path / "one", hop_s=0.5, threshold=LOW_THRESHOLD, batch_size=4)
    for chunk_s in (4, 17):
        monkeypatch.setattr(chunking, "CHUNK_S", chunk_s)
        other = tmp_path / f"{chunk_s}"
        whalescan.scan(folder, other, hop_s=0.5, threshold=LOW_THRESHOLD, batch_size=4)
        for path in (tmp_path / "one").rglob("*"):
            if path.suffix in (".csv", ".txt"):
                assert path.read_bytes() == (other / path.relative_to(tmp_path / "one")).read_bytes(), path


def test_many_short_files_have_the_detections_of_one(simulated_recordings: Path, tmp_path: Path) -> None:
    samples, _ = soundfile.read(next(simulated_recordings.glob("*.wav")), dtype="int16")
    begin = datetime(2027, 1, 1, tzinfo=UTC)
    for first in range(0, len(samples), 1000):
        moment = begin + timedelta(seconds=first / RATE)
        write_sound(
            tmp_path / f"in/x_{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z.wav", samples[first:][:1000], RATE
        )
    survey = whalescan.scan(tmp_path / "in", hop_s=0.25, threshold=LOW_THRESHOLD)
    whole = whalescan.scan(next(simulated_recordings.glob("*.wav")), hop_s=0.25, threshold=LOW_THRESHOLD).detections
    begins_s = {file.name: (file.start_utc - begin).total_seconds() for file in survey.files if file.start_utc is not None}
    calls = [
        replace(call, begin_s=call.begin_s + begins_s[call.recording], end_s=call.end_s + begins_s[call.recording])
        for call in survey.detections
    ]
    check_same_calls(calls, whole)


def test_unreadable_channel_does_not_reduce_the_effort_of_the_other(simulated_recordings: Path, tmp_path: Path) -> None:
    samples, _ = soundfile.read(next(simulated_recordings.glob("*.wav")), dtype="int16")
    both = np.stack([samples, np.zeros_like(samples)], axis=1)
    write_sound(tmp_path / "in/x_20270101T000000Z.wav", both, RATE)
    write_sound(tmp_path / "in/y_20270101T010000Z.wav", samples, RATE)
    survey = whalescan.scan(tmp_path / "in", tmp_path / "all", hop_s=0.5, channel="all", threshold=LOW_THRESHOLD)
    assert [row.outcome.status for row in survey.files] == [Status.PARTIAL, Status.DONE]
    assert "channel 2" in survey.files[0].outcome.problem
    hours = read(tmp_path / "all", "hourly.csv")
    assert hours["analysed_s"].tolist() == hours["recorded_s"].tolist() == [40, 40]
    assert hours["detections_per_hour"].iloc[0] == hours["detections_per_hour"].iloc[1] > 0
    whalescan.scan(tmp_path / "in", tmp_path / "second", hop_s=0.5, channel=2)
    assert read(tmp_path / "second", "hourly.csv")["analysed_s"].tolist() == [0, 0]
    gaps = read(tmp_path / "second", "gaps.csv").set_index("kind")["seconds"]
    assert (gaps["dropout"], gaps["unreadable"]) == (40, 40)


def test_detect_after_a_run_changes_no_byte(deployment: Deployment, tmp_path: Path) -> None:
    _, out, _ = deployment
    shutil.copytree(out, tmp_path / "out")
    detect(tmp_path / "out")
    for path in out.rglob("*"):
        if path.suffix in (".csv", ".txt"):
            assert path.read_bytes() == (tmp_path / "out" / path.relative_to(out)).read_bytes(), path
