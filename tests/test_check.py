from __future__ import annotations

import csv
import io
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import write_sound
from whalescan.audio import start_times
from whalescan.cli import main
from whalescan.core import FloatArray, WindowScores
from whalescan.engine.chunking import Chunk
from whalescan.engine.worker import ScoredChunk
from whalescan.survey import check, check_text
from whalescan.survey.text import hours, kind_of

RATE_HZ = 2000
CLEAN = ("sea/A_20260101T000000Z.wav", "sea/A_20260101T000030Z.wav", "sea/A_20260101T010000Z.flac")
"""Two that are one stretch of sound, and one an hour later."""


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def rows(path: Path) -> dict[str, dict[str, str]]:
    return {row["path"]: row for row in csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))}


def noise(seed: int, seconds: float = 30, rate_hz: int = RATE_HZ) -> FloatArray:
    return (0.05 * np.random.default_rng(seed).standard_normal(round(seconds * rate_hz))).astype(np.float32)


# ------------------------------------------------------------------------------------------------- what may be wrong


@dataclass(frozen=True)
class Trouble:
    """Files with something wrong in them: the one that is to be named, what is to be said of it, and what helps."""

    write: Callable[[Path], object]
    said: str
    remedy: str


def _cut(path: Path) -> None:
    write_sound(path, noise(10))
    path.write_bytes(path.read_bytes()[:60_000])


def _zeros_amid(path: Path) -> None:
    samples = noise(11)
    samples[14 * RATE_HZ : 16 * RATE_HZ] = 0
    write_sound(path, samples)


def _copied(path: Path) -> None:
    shutil.copy(write_sound(path.with_name("a_20260209T000000Z.wav"), noise(12)), path)


def _while_another_runs(path: Path) -> None:
    write_sound(path.with_name("a_20260210T000000Z.wav"), noise(13))
    write_sound(path, noise(14))


def _header_states_nothing(path: Path) -> None:
    content = bytearray(write_sound(path, noise(15)).read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = (100).to_bytes(4, "little")
    path.write_bytes(content)


def _one_channel_dead(path: Path) -> None:
    write_sound(path, np.stack([np.zeros(30 * RATE_HZ, np.float32), noise(16)], axis=1))


TROUBLES = {
    "empty_20260201T000000Z.wav": Trouble(lambda path: path.write_bytes(b""), "empty file (0 bytes)", "copy it again"),
    "broken_20260202T000000Z.wav": Trouble(lambda path: path.write_bytes(b"RIFFRIFFRIFF"), "not a sound", "copy it again"),
    "cut_20260203T000000Z.wav": Trouble(_cut, "cut short", "copy it again"),
    "little_20260204T000000Z.wav": Trouble(_header_states_nothing, "the header states 50 samples", "copy it again"),
    "naive_20260205_000000.wav": Trouble(lambda path: write_sound(path, noise(1)), "states no time zone", "--timezone"),
    "unset_19700101T000000Z.wav": Trouble(lambda path: write_sound(path, noise(2)), "clock was not set", "rename it"),
    "nameless.wav": Trouble(lambda path: write_sound(path, noise(3)), "nothing tells when it began", "--time-format"),
    "b_20260208T000000Z.wav": Trouble(_copied, "has the same content as", "remove one of them"),
    "b_20260210T000010Z.wav": Trouble(_while_another_runs, "begins while", "mend their clocks"),
    "dead_20260211T000000Z.wav": Trouble(lambda path: write_sound(path, 0 * noise(4)), "channel 1 is silent", "hydrophone"),
    "half_20260212T000000Z.wav": Trouble(_one_channel_dead, "channel 1 is silent", "--channel 2"),
    "loud_20260213T000000Z.wav": Trouble(
        lambda path: write_sound(path, np.clip(30 * noise(5), -1, 1)), "channel 1 is clipped", "less gain"
    ),
    "offset_20260214T000000Z.wav": Trouble(lambda path: write_sound(path, noise(6) + 0.3), "DC offset", "recorder"),
    "drops_20260215T000000Z.wav": Trouble(_zeros_amid, "channel 1 drops out", "look at the recorder"),
    "slow_20260216T000000Z.wav": Trouble(lambda path: write_sound(path, noise(7), 500), "sampled at 500 Hz", "original"),
}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each trouble, and one that is clean."""
    folder = tmp_path_factory.mktemp("shelf")
    write_sound(folder / CLEAN[0], noise(20))
    write_sound(folder / CLEAN[1], noise(21))
    write_sound(folder / CLEAN[2], noise(22, rate_hz=4000), 4000)
    for name, trouble in TROUBLES.items():
        (folder / name / "in").mkdir(parents=True)
        trouble.write(folder / name / "in" / name)
    return folder


@pytest.fixture
def _unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this machine always scored a hundred times faster than real time."""
    monkeypatch.setattr(check, "_measure", lambda *_: 100.0)


quickly = pytest.mark.usefixtures("_unmeasured")


@quickly
def test_a_clean_folder(shelf: Path) -> None:
    result = call("check", shelf / "sea")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = re.sub(r"  +", "  ", result.stdout).splitlines()
    assert "sound  3 recordings, 1.5 minutes" in lines
    assert "formats  WAV PCM_16 (2), FLAC PCM_16 (1)" in lines
    assert "rates  2000 Hz (2), 4000 Hz (1)" in lines
    assert "channels  1" in lines
    assert "clocks  names that state their zone" in lines
    assert "  A_20260101T000000Z.wav  2026-01-01 00:00:00 UTC" in lines
    assert "time line  2026-01-01 00:00:00 UTC to 2026-01-01 01:00:30 UTC" in lines
    assert "  1 recording goes on in the next without a break" in lines
    assert "  1 gap, 59.0 minutes, from 2026-01-01 00:01:00 UTC on" in lines
    assert "a run  will take about 1 second here, 100 x real time, measured on one minute" in lines
    assert "problems  none; the sound of 3 recordings was looked into" in lines
    assert "<yyyy>" in result.stdout


@quickly
@pytest.mark.parametrize("name", TROUBLES)
def test_every_trouble_is_named_with_its_path_and_what_helps(shelf: Path, tmp_path: Path, name: str) -> None:
    trouble, culprit = TROUBLES[name], shelf / name / "in" / name
    result = call("check", shelf / "sea", shelf / name / "in", "-o", tmp_path / "all.csv")
    assert result.exit_code == 3
    own = [line for line in result.stdout.splitlines() if f" {culprit}: " in line]
    assert [line for line in own if trouble.said in line and trouble.remedy in line], result.stdout
    assert {path for path, row in rows(tmp_path / "all.csv").items() if row["problem"]} == {str(culprit)}


@quickly
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.sampled_from(sorted(TROUBLES))), st.sets(st.sampled_from(CLEAN), min_size=1))
def test_any_folder_is_clean_or_each_of_its_troubles_is_in_the_csv(shelf: Path, names: set[str], clean: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "all.csv")
        result = call("check", *(shelf / one for one in clean), *(shelf / name / "in" for name in names), "-o", table)
        found = rows(table)
    given = [*(shelf / one for one in clean), *(path for name in names for path in (shelf / name / "in").iterdir())]
    assert sorted(found) == sorted(map(str, given)), "a row a file"
    assert result.exit_code == (3 if names else 0)
    for path, row in found.items():
        trouble = TROUBLES.get(Path(path).name)
        assert (trouble is not None) == bool(row["problem"])
        assert trouble is None or (trouble.said in row["problem"] and trouble.remedy in row["problem"])


@quickly
def test_gaps_overlaps_and_pauses_are_counted(tmp_path: Path) -> None:
    for minute in range(6):
        write_sound(tmp_path / f"duty_20260301T00{minute:02d}00Z.wav", noise(minute, 20))
    write_sound(tmp_path / "duty_20260301T020000Z.wav", noise(6, 20))
    write_sound(tmp_path / "duty_20260301T020010Z.wav", noise(7, 20))
    result = call("check", tmp_path)
    assert result.exit_code == 3, "what is there twice is worth a look"
    assert "1 gap, 1.9 hours, from 2026-03-01 00:05:20 UTC on" in result.stdout
    assert "5 pauses of a duty cycle, 3.3 minutes; the longest, 40 seconds, from 2026-03-01 00:00:20 UTC on" in result.stdout
    assert "1 overlap, 10 seconds, from 2026-03-01 02:00:10 UTC on" in result.stdout


@quickly
def test_a_time_in_which_a_broken_file_lies_is_no_gap(tmp_path: Path) -> None:
    for second in (0, 30, 60):
        write_sound(tmp_path / f"x_20260301T00{second // 60:02d}{second % 60:02d}Z.wav", noise(second))
    (tmp_path / "x_20260301T000030Z.wav").write_bytes(b"RIFF")
    result = call("check", tmp_path)
    assert "1 stretch that cannot be read, 30 seconds" in result.stdout
    assert "gap" not in result.stdout


@quickly
def test_alike_problems_are_one_line_and_many_kinds_are_cut_off(shelf: Path, tmp_path: Path) -> None:
    for name in ("a", "its", "zone", "x y"):
        write_sound(tmp_path / f"{name}.wav", noise(len(name)))
    result = call("check", tmp_path)
    assert len(re.findall("nothing tells", result.stdout)) == 1
    assert "(and 3 more such)" in result.stdout
    assert "problems    with 4 recordings:" in result.stdout
    result = call("check", *(shelf / name / "in" for name in TROUBLES))
    assert re.search(r"\.\.\. and \d+ more kinds; --output FILE.csv lists all", result.stdout)


_names = st.text("gjkqz", min_size=1, max_size=9)


@given(_names, _names, st.integers(0, 999))
def test_problems_are_of_a_kind_whatever_files_are_called(stem: str, other: str, at_s: int) -> None:
    path = Path(f"/my own survey/{stem}.wav")
    kinds = [
        kind_of(f"{path}: cannot be read at {at_s} s: it ends; copy it again", path),
        kind_of(f"{stem}: cannot be read at {at_s} s: it ends; copy it again", path),
        kind_of(f"begins while /survey/{other}.wav still runs; mend their clocks", path),
    ]
    assert kinds == [*["cannot be read at s it ends copy it again"] * 2, "begins while still runs mend their clocks"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 seconds"), (1.2, "1 second"), (36, "36 seconds"), (90, "1.5 minutes"), (3600 * 1234.5, "1,234.5 hours")],
)
def test_lengths_of_time(seconds: float, text: str) -> None:
    assert hours(seconds) == text


def test_every_way_to_know_a_clock_has_its_words() -> None:
    assert set(re.findall(r"^- ``([a-z-]+)``", start_times.__doc__ or "", re.MULTILINE)) == set(check_text._SOURCES)


# ------------------------------------------------------------------------------------------------- the table


@quickly
def test_the_csv_has_the_facts_of_every_file(shelf: Path, tmp_path: Path) -> None:
    empty = "empty_20260201T000000Z.wav"
    result = call("check", shelf / "sea", shelf / empty / "in", "-o", tmp_path / "out")
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
    call("check", shelf / "sea", shelf / empty / "in", "-o", again)
    assert again.read_bytes() == table.read_bytes()


@quickly
def test_nothing_is_written_without_output(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(shelf / "sea", tmp_path / "sea")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    monkeypatch.chdir(tmp_path)
    assert call("check", "sea").exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@quickly
def test_a_channel_that_is_not_there(shelf: Path) -> None:
    result = call("check", shelf / "sea", "--channel", 2)
    assert result.exit_code == 3
    assert "has no channel 2" in result.stdout
    assert "give another --channel" in result.stdout
    assert "about 0 seconds" in result.stdout


@quickly
@pytest.mark.parametrize(("channel", "exit_code"), [("1", 3), ("2", 0), ("all", 3)])
def test_a_dead_channel_matters_where_it_is_used(shelf: Path, channel: str, exit_code: int) -> None:
    result = call("check", shelf / "half_20260212T000000Z.wav", "--channel", channel)
    assert result.exit_code == exit_code
    assert ("give --channel 2" in result.stdout) == (exit_code == 3)


# ------------------------------------------------------------------------------------------------- options


@quickly
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
def test_mistakes_in_the_command(shelf: Path, tmp_path: Path, words: tuple[str, str], message: str) -> None:
    result = call("check", shelf / "sea", "-o", tmp_path / "x.csv", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "x.csv").exists()


@quickly
def test_a_zone_is_all_that_naive_names_need(shelf: Path) -> None:
    naive = shelf / "naive_20260205_000000.wav" / "in"
    assert "2026-02-05 00:00:00 by its name, zone unknown" in call("check", naive).stdout
    result = call("check", naive, "--timezone", "UTC-5")
    assert result.exit_code == 0
    assert "2026-02-05 05:00:00 UTC" in result.stdout


@quickly
def test_one_file_of_options_serves_run_and_check(shelf: Path, tmp_path: Path) -> None:
    config = tmp_path / "survey.toml"
    config.write_text(
        f'recordings = "{(shelf / "naive_20260205_000000.wav").as_posix()}"\nthreshold = 0.9\nraven-root = "D:/"\n'
        'format = "audacity"\nany_class = true\nmin_validated = 1\nchannel = 1\ntimezone = "UTC"\nmodel = ""\n'
    )
    result = call("check", "--config", config)
    assert result.exit_code == 0, result.output
    assert "2026-02-05 00:00:00 UTC" in result.stdout
    assert "2026-02-05 01:00:00 UTC" in call("check", "--config", config, "--timezone", "UTC-1").stdout

    config.write_text('treshold = 0.9\nrecordings = ["x"]\n')
    result = call("check", "--config", config)
    assert result.exit_code == 2
    assert "'treshold'" in result.stderr
    assert "check --help" in result.stderr


# ------------------------------------------------------------------------------------------------- the time it will take


def test_the_run_json_of_a_run_and_a_measurement_in_earnest(sea: Path, tmp_path: Path) -> None:
    (wav,) = sea.glob("*.wav")
    assert call("run", wav, "-o", tmp_path / "out", "--hop", 2, "-q").exit_code == 0
    result = call("check", "--config", tmp_path / "out" / "run.json")
    assert result.exit_code == 0, result.output
    assert "1 recording, 40 seconds" in result.stdout
    measured = re.search(r"will take about (\d+) seconds? here, ([\d,]+) x real time", result.stdout)
    assert measured
    speed = float(measured[2].replace(",", ""))
    assert speed > 1
    assert float(measured[1]) == pytest.approx(40 / speed, abs=0.6)


@quickly
@pytest.mark.parametrize(("channel", "times"), [("all", 2), ("1", 1), ("2", 1)])
def test_the_time_counts_every_channel_that_is_scored_and_nothing_else(tmp_path: Path, channel: str, times: int) -> None:
    for day in (1, 2):
        write_sound(tmp_path / f"x_2026010{day}T000000Z.wav", np.stack([noise(day, 600), noise(day + 2, 600)], axis=1))
    (tmp_path / "x_20260103T000000Z.wav").write_bytes(b"")
    result = call("check", tmp_path, "--channel", channel)
    assert f"about {12 * times} seconds here, 100 x real time" in result.stdout


@settings(max_examples=20, deadline=None)
@given(st.floats(1, 400), st.floats(1, 400), st.sampled_from([0.25, 1.0, 2.0]))
def test_the_minute_is_the_middle_of_the_longest(one_s: float, other_s: float, hop_s: float) -> None:
    chunks: list[Chunk] = []

    def note(chunk: Chunk, _: object) -> ScoredChunk:
        chunks.append(chunk)
        nothing = np.zeros((chunk.n_windows, 4), np.float32)
        return ScoredChunk(chunk, WindowScores(nothing[:, :1], nothing, nothing), (), ())

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for day, seconds in enumerate((one_s, other_s), start=1):
            write_sound(Path(folder, f"x_2026010{day}T000000Z.wav"), np.full(round(seconds * RATE_HZ), 0.1, np.float32))
        patch.setattr(check, "score_chunk", note)
        result = call("check", folder, "--hop", hop_s, "--workers", 3)
    assert "x real time" in result.stdout
    assert len(chunks) == 4, "one to load the model, and one for each worker"
    (chunk,) = set(chunks)
    longest_s = chunk.recording.duration_s
    assert longest_s == max(round(one_s * RATE_HZ), round(other_s * RATE_HZ)) / RATE_HZ
    begin_s, end_s = chunk.first_window * hop_s, (chunk.first_window + chunk.n_windows - 1) * hop_s + 2
    assert chunk.n_windows * hop_s <= 60
    assert end_s - begin_s >= min(longest_s, 60)
    assert (begin_s + end_s) / 2 == pytest.approx(longest_s / 2, abs=2)
    assert chunk.is_last == (end_s >= longest_s)


def test_silence_and_what_vanishes_cannot_be_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_sound(tmp_path / "x_20260101T000000Z.wav", np.zeros(90 * RATE_HZ))
    result = call("check", tmp_path)
    assert result.exit_code == 3
    assert "could not be measured" in result.stdout
    assert "real time" not in result.stdout

    soundfile.write(path, noise(1, 90), RATE_HZ)
    looks = check._looks

    def look_and_unplug(*words: object) -> object:
        found = looks(*words)  # type: ignore[arg-type]
        path.unlink()
        return found

    monkeypatch.setattr(check, "_looks", look_and_unplug)
    result = call("check", tmp_path)
    assert "could not be measured" in result.stdout
    assert "2026-01-01 00:00:00 UTC" in result.stdout


def test_nothing_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"")
    result = call("check", tmp_path)
    assert result.exit_code == 3
    assert "sound       1 recording, 0 seconds" in result.stdout
    assert "could not be measured" in result.stdout
