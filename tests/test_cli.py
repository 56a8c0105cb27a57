from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

import whalescan
from tests import make_golden as golden
from tests.builders import run_command
from whalescan.cli import main
from whalescan.cli.options import quiet_option


@pytest.fixture(scope="module")
def wav(simulated_recordings: Path) -> Path:
    return next(simulated_recordings.glob("*.wav"))


@pytest.mark.slow
def test_run_detect_and_run_again_from_run_json(wav: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run_command("run", wav, "-o", out, "--hop", 1, "--threshold", 0.99)
    assert result.exit_code == 0, result.output
    assert "1 recording, 40 seconds, 40 seconds analysed" in result.stdout
    assert max(len(line) for line in result.stdout.splitlines() if str(tmp_path) not in line) <= 100
    assert "deployment.whalescan.sound.selections.txt" in result.stdout
    first = (out / "detections.csv").read_bytes()

    again = tmp_path / "again"
    assert run_command("run", "--config", out / "run.json", "-o", again, "-q").exit_code == 0
    assert (again / "detections.csv").read_bytes() == first

    result = run_command("detect", out, "--threshold", 0.02)
    assert result.exit_code == 0, result.output
    assert len((out / "detections.csv").read_bytes()) > len(first)
    assert json.loads((out / "run.json").read_text())["rule"]["threshold"] == 0.02


def test_options_from_a_file_and_the_command_line_wins(wav: Path, tmp_path: Path) -> None:
    config = tmp_path / "survey.toml"
    config.write_text(f'recordings = ["{wav.as_posix()}"]\nhop = 2.0\nraven-root = "D:/survey"\nthreshold = 0.9\n')
    assert run_command("run", "--config", config, "-o", tmp_path / "out", "-q", "--threshold", 0.8).exit_code == 0
    options = json.loads((tmp_path / "out" / "run.json").read_text())["options"]
    assert (options["hop"], options["raven_root"], options["threshold"]) == (2.0, "D:/survey", 0.8)


def test_a_bad_recording_is_named_and_the_exit_code_is_3(wav: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.wav").write_bytes(wav.read_bytes())
    (tmp_path / "in" / "bad.wav").write_bytes(b"")
    result = run_command("run", tmp_path / "in", "-o", tmp_path / "out", "--hop", 2)
    assert result.exit_code == 3
    assert "bad.wav" in result.stderr
    assert "0 bytes" in result.stderr


@pytest.mark.slow
def test_a_clock_without_a_zone_is_a_loud_warning(wav: Path, tmp_path: Path) -> None:
    (tmp_path / "x_20190101_000000.wav").write_bytes(wav.read_bytes())
    result = run_command("run", tmp_path / "x_20190101_000000.wav", "-o", tmp_path / "out", "--hop", 2)
    assert result.exit_code == 0
    assert "--timezone" in result.stderr
    result = run_command("run", tmp_path / "x_20190101_000000.wav", "-o", tmp_path / "o2", "--hop", 2, "--timezone", "UTC")
    assert "--timezone" not in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "nowhere", "-o", "{out}"), "nowhere"),
        (("run", "-o", "{out}"), "no recordings given"),
        (("run", "{wav}"), "--output"),
        (("run", "", "-o", "{out}"), "empty name"),
        (("run", "{wav}", "-o", "{out}", "--hop", "3"), "hop"),
        (("run", "{wav}", "-o", "{out}", "--hop", "nan"), "hop"),
        (("run", "{wav}", "-o", "{out}", "--timezone", "UTC-99"), "UTC"),
        (("run", "{wav}", "-o", "{out}", "--time-format", "%H%M"), "time-format"),
        (("simulate", "-o", "{out}", "--minutes", "0"), "--minutes"),
        (("run", "{wav}", "-o", "{out}", "--channel", "x"), "channel"),
        (("run", "{wav}", "-o", "{out}", "--threshold", "2"), "threshold"),
        (("run", "{wav}", "-o", "{out}", "--timezone", "Nowhere/Land"), "Nowhere/Land"),
        (("run", "{wav}", "-o", "{out}", "--model", "none.safetensors"), "none.safetensors"),
        (("run", "{wav}", "-o", "{out}", "--device", "cuda:77"), "cuda:77"),
        (("run", "{wav}", "-o", "{out}", "--config", "none.toml"), "none.toml"),
        (("run", "{wav}", "-o", "{out}", "--hops", "1"), "--hops"),
        (("detect", "{out}"), "run.json"),
        (("model", "none.safetensors"), "none.safetensors"),
    ],
)
def test_usage_errors_start_nothing_and_exit_with_2(words: tuple[str, ...], message: str, wav: Path, tmp_path: Path) -> None:
    result = run_command(*(word.format(wav=wav, out=tmp_path / "out") for word in words))
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def options_of(out: Path) -> dict[str, object]:
    options: dict[str, object] = json.loads((out / "run.json").read_text())["options"]
    return options


@pytest.mark.slow
def test_detect_keeps_earlier_options_and_an_empty_text_clears_one(wav: Path, tmp_path: Path) -> None:
    words = ("--format", "audacity", "--format", "kaleidoscope", "--format", "audacity", "--raven-root", "D:/survey")
    assert run_command("run", wav, "-o", tmp_path, "--hop", 2, "-q", "--summary-timezone", "UTC-5", *words).exit_code == 0
    given = {"formats": ["audacity", "kaleidoscope"], "raven_root": "D:/survey", "summary_timezone": "UTC-5"}
    assert given.items() <= options_of(tmp_path).items()

    assert run_command("detect", tmp_path, "--min-validated", 1).exit_code == 0
    assert (given | {"min_validated": 1}).items() <= options_of(tmp_path).items()
    assert run_command("detect", tmp_path, "--format", "", "--raven-root", "", "--summary-timezone", "").exit_code == 0
    cleared = {"formats": [], "raven_root": "", "summary_timezone": "", "min_validated": 1}
    assert cleared.items() <= options_of(tmp_path).items()
    assert run_command("detect", tmp_path, "--format", "kaleidoscope").exit_code == 0
    assert options_of(tmp_path)["formats"] == ["kaleidoscope"]
    assert run_command("detect", tmp_path, "--format", "csv").exit_code == 2
    assert options_of(tmp_path)["formats"] == ["kaleidoscope"]

    again = ("run", "--config", tmp_path / "run.json", "-o", tmp_path / "again", "-q")
    assert run_command(*again).exit_code == 0
    assert options_of(tmp_path / "again")["formats"] == ["kaleidoscope"]
    assert run_command(*again, "--format", "").exit_code == 0
    assert options_of(tmp_path / "again")["formats"] == []


def test_a_config_file_with_a_misspelt_option(wav: Path, tmp_path: Path) -> None:
    config = tmp_path / "survey.toml"
    config.write_text("treshold = 0.9\n")
    result = run_command("run", wav, "-o", tmp_path / "out", "--config", config)
    assert result.exit_code == 2
    assert "'treshold'" in result.stderr
    assert "run --help" in result.stderr


@pytest.mark.parametrize("text", ["[1]", "3", '{"options": {}}'])
def test_config_files_that_are_something_else(tmp_path: Path, text: str) -> None:
    config = tmp_path / "x.json"
    config.write_text(text)
    assert run_command("run", "-o", tmp_path / "out", "--config", config).exit_code == 2


def test_detect_names_failed_recordings_too(wav: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.wav").write_bytes(wav.read_bytes())
    (tmp_path / "in" / "bad.wav").write_bytes(b"")
    run_command("run", tmp_path / "in", "-o", tmp_path / "out", "--hop", 2)
    result = run_command("detect", tmp_path / "out")
    assert result.exit_code == 3
    assert "bad.wav" in result.stderr


def test_an_interrupted_run_says_how_to_resume(wav: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("whalescan.survey.run.score_all", interrupt)
    result = run_command("run", wav, "-o", tmp_path, "--hop", 2)
    assert result.exit_code == 130
    assert "same command" in result.stderr
    assert run_command("detect", tmp_path).exit_code == 2, "there is no finished run"


def test_an_output_that_is_a_file_is_fatal(wav: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    result = run_command("run", wav, "-o", tmp_path / "file", "--hop", 2)
    assert result.exit_code == 1


def test_model_describes_the_model() -> None:
    result = run_command("model")
    assert result.exit_code == 0
    assert whalescan.load_model().sha256 in result.stdout


def test_help_groups_every_command() -> None:
    result = run_command("--help")
    assert all(f"  {name} " in result.stdout for name in main.commands)


@pytest.mark.parametrize("name", sorted(main.commands))
def test_short_help_fits_one_line_of_a_narrow_terminal(name: str) -> None:
    (line,) = (line for line in run_command("--help").stdout.splitlines() if line.startswith(f"  {name} "))
    assert line.endswith(".")
    assert not line.endswith("...")
    assert len(line) < 80


@pytest.mark.slow
def test_importing_the_command_line_does_not_import_torch() -> None:
    code = "import sys, whalescan, whalescan.cli; sys.exit('torch' in sys.modules or 'distributed' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert subprocess.run([sys.executable, "-m", "whalescan", "--version"], check=False).returncode == 0


def test_messages_name_the_options_of_the_command_line(wav: Path, tmp_path: Path) -> None:
    result = run_command("run", wav, "-o", tmp_path / "out", "--hop", 3)
    assert "--hop 3" in result.stderr
    assert "hop_s" not in result.stderr


def test_the_library_speaks_through_its_log() -> None:
    logger = logging.getLogger("whalescan")
    before = (logger.level, list(logger.handlers))

    @click.command("speak", cls=click.Command)
    @quiet_option()
    def speak(quiet: bool) -> None:
        logger.info("for those who like to see it")
        logger.warning("the batch_size is large%s", " and quiet" if quiet else "")

    main.add_command(speak)
    try:
        loud, quiet = run_command("speak"), run_command("speak", "-q")
    finally:
        del main.commands["speak"]
    assert loud.stderr == "for those who like to see it\nwhalescan: the batch_size is large\n"
    assert quiet.stderr == "whalescan: the batch_size is large and quiet\n"
    assert (logger.level, list(logger.handlers)) == before


def test_the_old_name_of_an_option_of_report_warns(out: Path) -> None:
    old = run_command("report", out, "--false-per-hour", 5)
    new = run_command("report", out, "--false-positives-per-hour", 5)
    assert old.exit_code == new.exit_code == 0
    assert "--false-positives-per-hour" in old.stderr
    assert (new.stderr, new.stdout) == ("", old.stdout)


def test_an_option_that_does_nothing_any_more_warns(tmp_path: Path) -> None:
    for words in (("run", "-o", tmp_path / "out"), ("check",)):
        result = run_command(*words, tmp_path / "nowhere", "--exact")
        assert "--exact does nothing any more" in result.stderr
        assert "--exact" not in run_command(words[0], "--help").stdout


@pytest.mark.parametrize("words", [("detect",), ("report",), ("import-review", golden.REVIEWED)])
def test_quiet_commands_print_nothing(words: tuple[object, ...], tmp_path: Path) -> None:
    out = shutil.copytree(golden.OUT, tmp_path / "out")
    assert run_command("detect", out, "-q").stdout == ""
    assert run_command(words[0], out, *words[1:], "-q").stdout == ""


def test_train_hands_over_the_options_that_were_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def train(*paths: object, **options: object) -> None:
        asked.update(options, paths=paths)
        raise whalescan.UsageError("invalid learning_rate 2.0: expected a value between 0 and 1")

    monkeypatch.setattr("whalescan.training.train.train", train)
    options = ("--from", "default", "--rename", "up=NARW upcall", "--class", "NARW upcall", "--steps", 2, "--seed", 0, "-q")
    result = run_command("train", tmp_path, "-o", tmp_path / "m.safetensors", *options)
    assert result.exit_code == 2
    assert "--learning-rate 2.0" in result.stderr
    assert asked == {
        "paths": ((tmp_path,), tmp_path / "m.safetensors"),
        "start_from": "default",
        "rename": {"up": "NARW upcall"},
        "classes": ("NARW upcall",),
        "steps": 2,
        "seed": 0,
        "device": "auto",
        "restart": False,
        "quiet": True,
    }
    assert run_command("train", tmp_path, "-o", "m.safetensors", "--rename", "up").exit_code == 2
