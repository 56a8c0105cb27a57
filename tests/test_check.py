from __future__ import annotations

import csv
import io
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import run_command, write_sound
from whalescan.audio import start_times
from whalescan.core import ColumnScores, FloatArray, RecordingResult
from whalescan.detector.model_spec import find_model
from whalescan.engine.chunking import Chunk
from whalescan.engine.worker import ScoredChunk, ScoringTask
from whalescan.survey import check
from whalescan.survey.run_summary import problem_kind

RATE_HZ = 2000
CLEAN = ("simulated/A_20260101T000000Z.wav", "simulated/A_20260101T000030Z.wav", "simulated/A_20260101T010000Z.flac")
"""Two contiguous recordings, and one an hour later."""


def rows(path: Path) -> dict[str, dict[str, str]]:
    return {row["path"]: row for row in csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))}


def noise(seed: int, seconds: float = 30, rate_hz: int = RATE_HZ) -> FloatArray:
    return (0.05 * np.random.default_rng(seed).standard_normal(round(seconds * rate_hz))).astype(np.float32)


# ------------------------------------------------------------------------------------------------- problems


@dataclass(frozen=True)
class Problem:
    """A file with a problem, and words that the problem and its remedy contain."""

    write: Callable[[Path], object]
    words: str
    remedy: str


def _cut(path: Path) -> None:
    write_sound(path, noise(10))
    path.write_bytes(path.read_bytes()[:60_000])


def _with_dropout(path: Path) -> None:
    samples = noise(11)
    samples[14 * RATE_HZ : 16 * RATE_HZ] = 0
    write_sound(path, samples)


def _copied(path: Path) -> None:
    shutil.copy(write_sound(path.with_name("a_20260209T000000Z.wav"), noise(12)), path)


def _overlapping(path: Path) -> None:
    write_sound(path.with_name("a_20260210T000000Z.wav"), noise(13))
    write_sound(path, noise(14))


def _wrong_header_length(path: Path) -> None:
    content = bytearray(write_sound(path, noise(15)).read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = (100).to_bytes(4, "little")
    path.write_bytes(content)


def _one_channel_dead(path: Path) -> None:
    write_sound(path, np.stack([np.zeros(30 * RATE_HZ, np.float32), noise(16)], axis=1))


PROBLEMS = {
    "empty_20260201T000000Z.wav": Problem(lambda path: path.write_bytes(b""), "empty file (0 bytes)", "copy it again"),
    "broken_20260202T000000Z.wav": Problem(lambda path: path.write_bytes(b"RIFFRIFFRIFF"), "not a sound", "copy it again"),
    "cut_20260203T000000Z.wav": Problem(_cut, "cut short", "copy it again"),
    "little_20260204T000000Z.wav": Problem(_wrong_header_length, "the header states 50 samples", "copy it again"),
    "naive_20260205_000000.wav": Problem(lambda path: write_sound(path, noise(1)), "states no time zone", "timezone"),
    "unset_19700101T000000Z.wav": Problem(lambda path: write_sound(path, noise(2)), "clock was not set", "rename it"),
    "nameless.wav": Problem(lambda path: write_sound(path, noise(3)), "start time is unknown", "time"),
    "b_20260208T000000Z.wav": Problem(_copied, "has the same content as", "remove one of them"),
    "b_20260210T000010Z.wav": Problem(_overlapping, "begins before", "correct the clocks"),
    "dead_20260211T000000Z.wav": Problem(lambda path: write_sound(path, 0 * noise(4)), "channel 1 is silent", "hydrophone"),
    "half_20260212T000000Z.wav": Problem(_one_channel_dead, "channel 1 is silent", "to 2"),
    "loud_20260213T000000Z.wav": Problem(
        lambda path: write_sound(path, np.clip(30 * noise(5), -1, 1)), "channel 1 is clipped", "less gain"
    ),
    "offset_20260214T000000Z.wav": Problem(lambda path: write_sound(path, noise(6) + 0.3), "DC offset", "recorder"),
    "drops_20260215T000000Z.wav": Problem(_with_dropout, "channel 1 has drop-outs", "recorder"),
    "slow_20260216T000000Z.wav": Problem(lambda path: write_sound(path, noise(7), 500), "sampled at 500 Hz", "original"),
}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each problem, and one without problems."""
    folder = tmp_path_factory.mktemp("shelf")
    write_sound(folder / CLEAN[0], noise(20))
    write_sound(folder / CLEAN[1], noise(21))
    write_sound(folder / CLEAN[2], noise(22, rate_hz=4000), 4000)
    for name, problem in PROBLEMS.items():
        (folder / name / "in").mkdir(parents=True)
        problem.write(folder / name / "in" / name)
    return folder


@pytest.fixture
def _fixed_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this computer scored a hundred times faster than real time."""
    monkeypatch.setattr(check, "measure_speed", lambda *_: 100.0)


without_measurement = pytest.mark.usefixtures("_fixed_speed")


@without_measurement
def test_folder_without_problems(shelf: Path) -> None:
    result = run_command("check", shelf / "simulated")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = re.sub(r"  +", "  ", result.stdout).splitlines()
    assert "audio  3 recordings, 1.5 minutes" in lines
    assert "formats  WAV PCM_16 (2), FLAC PCM_16 (1)" in lines
    assert "rates  2000 Hz (2), 4000 Hz (1)" in lines
    assert "channels  1" in lines
    assert "start times from names with their time zone" in lines
    assert "  A_20260101T000000Z.wav  2026-01-01 00:00:00 UTC" in lines
    assert "time line  2026-01-01 00:00:00 UTC to 2026-01-01 01:00:30 UTC" in lines
    assert "  1 recording continued by the next without a gap" in lines
    assert "  1 gap, 59 minutes, from 2026-01-01 00:01:00 UTC" in lines
    assert (
        "a run  takes about 1 second on this computer, 100 x real time, measured on the middle of the longest recording"
        in lines
    )
    assert "problems  none; the audio of 3 recordings was sampled" in lines
    assert "<yyyy>" in result.stdout


@pytest.mark.slow
@without_measurement
@pytest.mark.parametrize("name", PROBLEMS)
def test_every_problem_is_shown_with_path_and_remedy(shelf: Path, tmp_path: Path, name: str) -> None:
    problem, path = PROBLEMS[name], shelf / name / "in" / name
    result = run_command("check", shelf / "simulated", shelf / name / "in", "-o", tmp_path / "all.csv")
    assert result.exit_code == 3
    own = [line for line in result.stdout.splitlines() if f" {path}: " in line]
    assert [line for line in own if problem.words in line and problem.remedy in line], result.stdout
    assert {name for name, row in rows(tmp_path / "all.csv").items() if row["problem"]} == {str(path)}


@pytest.mark.slow
@without_measurement
@settings(max_examples=20)
@given(st.sets(st.sampled_from(sorted(PROBLEMS))), st.sets(st.sampled_from(CLEAN), min_size=1))
def test_csv_has_exactly_the_files_with_problems(shelf: Path, names: set[str], clean: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "all.csv")
        result = run_command("check", *(shelf / one for one in clean), *(shelf / name / "in" for name in names), "-o", table)
        found = rows(table)
    given = [*(shelf / one for one in clean), *(path for name in names for path in (shelf / name / "in").iterdir())]
    assert sorted(found) == sorted(map(str, given)), "one row for each file"
    assert result.exit_code == (3 if names else 0)
    for path, row in found.items():
        problem = PROBLEMS.get(Path(path).name)
        assert (problem is not None) == bool(row["problem"])
        assert problem is None or (problem.words in row["problem"] and problem.remedy in row["problem"])


@without_measurement
def test_gaps_overlaps_and_pauses(tmp_path: Path) -> None:
    for minute in range(6):
        write_sound(tmp_path / f"duty_20260301T00{minute:02d}00Z.wav", noise(minute, 20))
    write_sound(tmp_path / "duty_20260301T020000Z.wav", noise(6, 20))
    write_sound(tmp_path / "duty_20260301T020010Z.wav", noise(7, 20))
    result = run_command("check", tmp_path)
    assert result.exit_code == 3, "an overlap is a problem"
    assert "1 gap, 1.9 hours, from 2026-03-01 00:05:20 UTC" in result.stdout
    assert "5 pauses of a duty cycle, 3.3 minutes; the longest, 40 seconds, from 2026-03-01 00:00:20 UTC" in result.stdout
    assert "1 overlap, 10 seconds, from 2026-03-01 02:00:10 UTC" in result.stdout


@without_measurement
def test_unreadable_files_are_not_gaps(tmp_path: Path) -> None:
    for second in (0, 30, 60):
        write_sound(tmp_path / f"x_20260301T00{second // 60:02d}{second % 60:02d}Z.wav", noise(second))
    (tmp_path / "x_20260301T000030Z.wav").write_bytes(b"RIFF")
    result = run_command("check", tmp_path)
    assert "1 unreadable part, 30 seconds" in result.stdout
    assert "gap" not in result.stdout


@without_measurement
def test_problems_of_a_kind_share_a_line(shelf: Path, tmp_path: Path) -> None:
    for name in ("a", "its", "zone", "x y"):
        write_sound(tmp_path / f"{name}.wav", noise(len(name)))
    result = run_command("check", tmp_path)
    assert len(re.findall("start time is unknown", result.stdout)) == 1
    assert "(and 3 more)" in result.stdout
    assert "problems    with 4 recordings:" in result.stdout
    result = run_command("check", *(shelf / name / "in" for name in PROBLEMS))
    assert re.search(r"\.\.\. and \d+ more kinds; --output FILE.csv lists all", result.stdout)


_names = st.text("gjkqz", min_size=1, max_size=9)


@given(_names, _names, st.integers(0, 999))
def test_problem_kind_ignores_names_and_numbers(stem: str, other: str, at_s: int) -> None:
    path = Path(f"/my own survey/{stem}.wav")
    kinds = [
        problem_kind(f"{path}: cannot be read at {at_s} s: it ends; copy it again", path),
        problem_kind(f"{stem}: cannot be read at {at_s} s: it ends; copy it again", path),
        problem_kind(f"begins before /survey/{other}.wav ends; correct the clocks", path),
    ]
    assert kinds == [*["cannot be read at s it ends copy it again"] * 2, "begins before ends correct the clocks"]


def test_every_time_source_is_described() -> None:
    assert set(re.findall(r"^- ``([a-z-]+)``", start_times.__doc__ or "", re.MULTILINE)) == set(check.TIME_SOURCES)


# ------------------------------------------------------------------------------------------------- the table


@without_measurement
def test_csv(shelf: Path, tmp_path: Path) -> None:
    empty = "empty_20260201T000000Z.wav"
    result = run_command("check", shelf / "simulated", shelf / empty / "in", "-o", tmp_path / "out")
    table = tmp_path / "out" / "check.csv"
    assert str(table) in result.stdout
    header = table.read_text(encoding="utf-8").splitlines()[0]
    assert header == (
        "recording,path,start_utc,time_source,sample_rate_hz,channels,format,duration_s,size_bytes,goes_on_in,problem"
    )
    found = rows(table)
    first = found[str(shelf / CLEAN[0])]
    size_bytes = (shelf / CLEAN[0]).stat().st_size
    assert list(first.values())[2:] == [
        "2026-01-01T00:00:00.000Z", "name", "2000", "1", "WAV PCM_16", "30.000000", str(size_bytes), "A_20260101T000030Z", ""
    ]  # fmt: skip
    broken = found[str(shelf / empty / "in" / empty)]
    assert (broken["start_utc"], broken["time_source"]) == ("2026-02-01T00:00:00.000Z", "name")
    assert (broken["sample_rate_hz"], broken["size_bytes"]) == ("", "0")
    again = tmp_path / "again.csv"
    run_command("check", shelf / "simulated", shelf / empty / "in", "-o", again)
    assert again.read_bytes() == table.read_bytes()


@without_measurement
def test_nothing_is_written_without_output(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(shelf / "simulated", tmp_path / "simulated")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    monkeypatch.chdir(tmp_path)
    assert run_command("check", "simulated").exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@without_measurement
def test_absent_channel(shelf: Path) -> None:
    result = run_command("check", shelf / "simulated", "--channel", 2)
    assert result.exit_code == 3
    assert "has no channel 2" in result.stdout
    assert "choose another channel" in result.stdout
    assert "about 0 seconds" in result.stdout


@without_measurement
@pytest.mark.parametrize(("channel", "exit_code"), [("1", 3), ("2", 0), ("all", 3)])
def test_silent_channel_matters_only_if_scored(shelf: Path, channel: str, exit_code: int) -> None:
    result = run_command("check", shelf / "half_20260212T000000Z.wav", "--channel", channel)
    assert result.exit_code == exit_code
    assert ("channel 1 is silent" in result.stdout) == (exit_code == 3)


# ------------------------------------------------------------------------------------------------- options


@without_measurement
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--timezone", "Nowhere/Land"), "Nowhere/Land"),
        (("--time-format", "%H%M"), "--time-format"),
        (("--hop", "3"), "hop"),
        (("--model", "none.safetensors"), "none.safetensors"),
        (("--device", "cuda:77"), "cuda:77"),
        (("--workers", "-1"), "--workers"),
        (("--channel", "x"), "--channel"),
    ],
)
def test_invalid_options(shelf: Path, tmp_path: Path, words: tuple[str, str], message: str) -> None:
    result = run_command("check", shelf / "simulated", "-o", tmp_path / "x.csv", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "x.csv").exists()


@without_measurement
def test_timezone_of_names_without_one(shelf: Path) -> None:
    naive = shelf / "naive_20260205_000000.wav" / "in"
    assert "2026-02-05 00:00:00 by its name, time zone unknown" in run_command("check", naive).stdout
    result = run_command("check", naive, "--timezone", "UTC-5")
    assert result.exit_code == 0
    assert "2026-02-05 05:00:00 UTC" in result.stdout


@without_measurement
def test_one_file_of_options_serves_run_and_check(shelf: Path, tmp_path: Path) -> None:
    config = tmp_path / "survey.toml"
    config.write_text(
        f'recordings = "{(shelf / "naive_20260205_000000.wav").as_posix()}"\nthreshold = 0.9\nraven-root = "D:/"\n'
        'format = "audacity"\nany_class = true\nmin_validated = 1\nchannel = 1\ntimezone = "UTC"\nmodel = ""\n'
    )
    result = run_command("check", "--config", config)
    assert result.exit_code == 0, result.output
    assert "2026-02-05 00:00:00 UTC" in result.stdout
    assert "2026-02-05 01:00:00 UTC" in run_command("check", "--config", config, "--timezone", "UTC-1").stdout

    config.write_text('treshold = 0.9\nrecordings = ["x"]\n')
    result = run_command("check", "--config", config)
    assert result.exit_code == 2
    assert "'treshold'" in result.stderr
    assert "check --help" in result.stderr


# ------------------------------------------------------------------------------------------------- duration of a run


@pytest.mark.slow
def test_measured_speed_with_the_options_of_a_run(simulated_recordings: Path, tmp_path: Path) -> None:
    (wav,) = simulated_recordings.glob("*.wav")
    assert run_command("run", wav, "-o", tmp_path / "out", "--hop", 2, "-q").exit_code == 0
    result = run_command("check", "--config", tmp_path / "out" / "run.json")
    assert result.exit_code == 0, result.output
    assert "1 recording, 40 seconds" in result.stdout
    measured = re.search(r"takes about (\d+) seconds? on this computer, ([\d,]+) x real time", result.stdout)
    assert measured
    speed = float(measured[2].replace(",", ""))
    assert speed > 1
    assert float(measured[1]) == pytest.approx(40 / speed, abs=0.6)


@without_measurement
@pytest.mark.parametrize(("channel", "times"), [("all", 2), ("1", 1), ("2", 1)])
def test_duration_of_all_scored_channels(tmp_path: Path, channel: str, times: int) -> None:
    for day in (1, 2):
        write_sound(tmp_path / f"x_2026010{day}T000000Z.wav", np.stack([noise(day, 600), noise(day + 2, 600)], axis=1))
    (tmp_path / "x_20260103T000000Z.wav").write_bytes(b"")
    result = run_command("check", tmp_path, "--channel", channel)
    assert f"about {12 * times} seconds on this computer, 100 x real time" in result.stdout


@pytest.mark.slow
@settings(max_examples=20)
@given(st.floats(1, 900), st.floats(1, 900))
def test_speed_is_measured_in_the_middle_of_the_longest(one_s: float, other_s: float) -> None:
    chunks: list[Chunk] = []

    def note(chunk: Chunk, _: object) -> ScoredChunk:
        chunks.append(chunk)
        nothing = np.zeros((chunk.n_columns, 4), np.float32)
        return ScoredChunk(chunk, ColumnScores(nothing[:, :1], nothing, nothing), (), 0, ())

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for day, seconds in enumerate((one_s, other_s), start=1):
            write_sound(Path(folder, f"x_2026010{day}T000000Z.wav"), np.full(round(seconds * RATE_HZ), 0.1, np.float32))
        patch.setattr(check, "score_chunk", note)
        result = run_command("check", folder, "--workers", 3)
    assert "x real time" in result.stdout
    assert len(chunks) == 4, "one to load the model, and one for each worker"
    (chunk,) = set(chunks)
    longest_s = chunk.recording.duration_s
    assert longest_s == max(round(one_s * RATE_HZ), round(other_s * RATE_HZ)) / RATE_HZ
    begin_s, end_s = (sample / 2000 for sample in chunk.scored_span(find_model().spec.columns))
    assert begin_s % 160 == 0, "it is a block"
    assert end_s - begin_s == pytest.approx(min(longest_s, 160), abs=0.2)
    assert begin_s <= longest_s / 2 <= end_s
    assert chunk.is_last == (end_s >= longest_s)


def test_speed_of_silence_and_of_a_vanished_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_sound(tmp_path / "x_20260101T000000Z.wav", np.zeros(90 * RATE_HZ))
    result = run_command("check", tmp_path)
    assert result.exit_code == 3
    assert "not measured" in result.stdout
    assert "real time" not in result.stdout

    soundfile.write(path, noise(1, 90), RATE_HZ)
    measure_speed = check.measure_speed

    def unplug_and_measure(to_score: Sequence[RecordingResult], task: ScoringTask, n_workers: int) -> float | None:
        path.unlink()
        return measure_speed(to_score, task, n_workers)

    monkeypatch.setattr(check, "measure_speed", unplug_and_measure)
    result = run_command("check", tmp_path)
    assert "not measured" in result.stdout
    assert "2026-01-01 00:00:00 UTC" in result.stdout


def test_no_readable_file(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"")
    result = run_command("check", tmp_path)
    assert result.exit_code == 3
    assert "audio       1 recording, 0 seconds" in result.stdout
    assert "not measured" in result.stdout
