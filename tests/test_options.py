"""Options are declared once; the command line, the Python signature and run.json agree with the declaration."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import whalescan
from tests import make_golden as golden
from whalescan.cli import main
from whalescan.cli.group import with_flags
from whalescan.cli.options import flag_of
from whalescan.options import (
    Changes,
    Option,
    ScoreOptions,
    TableOptions,
    WorkOptions,
    default_of,
    options_of,
    position_text,
    zone_text,
)
from whalescan.survey.provenance import read_run_record

DECLARATIONS = (ScoreOptions, TableOptions, WorkOptions)
ONLY_ON_THE_COMMAND_LINE = {"performance_report", "profile", "verbose"}
NOT_OPTIONS = {"recordings", "output", "client", "hop", "exact"}
DECLARED = {name: (declaration, option) for declaration in DECLARATIONS for name, option in options_of(declaration).items()}


def options_by_flag(command: str) -> Mapping[str, click.Option]:
    return {flag_of(one): one for one in main.commands[command].params if isinstance(one, click.Option)}


def meant(default: object) -> object:
    """What stands for nothing is None in Python."""
    return None if isinstance(default, str | int) and not isinstance(default, bool) and not default else default


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_run_has_every_declared_option_with_its_default_and_help(name: str) -> None:
    declaration, option = DECLARED[name]
    found = options_by_flag("run")[option.flag]
    assert found.help == option.help
    default = default_of(declaration, name)
    assert (found.default if default is not None and default != () else default) == default
    if option.default_text:
        assert found.show_default == option.default_text


@pytest.mark.parametrize("declaration", DECLARATIONS)
def test_each_declaration_changes_one_thing(declaration: type) -> None:
    changes = {ScoreOptions: Changes.SCORES, TableOptions: Changes.TABLES, WorkOptions: Changes.NEITHER}
    assert {option.changes for option in options_of(declaration).values()} == {changes[declaration]}


def test_scan_takes_the_declared_options_with_their_defaults() -> None:
    parameters = inspect.signature(whalescan.scan).parameters
    assert set(parameters) - NOT_OPTIONS == set(DECLARED) - ONLY_ON_THE_COMMAND_LINE
    for name, (declaration, _) in DECLARED.items():
        if name in parameters and name not in ("channel", "quiet"):  # a number may be one; a library prints nothing unasked
            assert parameters[name].default == meant(default_of(declaration, name)), name
    assert str(parameters["channel"].default) == default_of(ScoreOptions, "channel")


def test_scan_is_documented_as_declared() -> None:
    text = re.sub(r"\s+", " ", whalescan.scan.__doc__ or "")
    for name in set(DECLARED) - ONLY_ON_THE_COMMAND_LINE:
        assert f" {name}: {DECLARED[name][1].help}" in text, name


@pytest.mark.parametrize("name", sorted(main.commands))
def test_help_shows_every_default(name: str) -> None:
    for option in options_by_flag(name).values():
        is_shown = option.is_flag or option.required or option.hidden or bool(option.show_default)
        assert is_shown or flag_of(option) == "--output", option.opts


@pytest.mark.parametrize("name", sorted(set(main.commands) - {"model"}))
def test_every_command_that_prints_can_be_quiet(name: str) -> None:
    assert options_by_flag(name)["--quiet"].opts == ["--quiet", "-q"] or "-q" in options_by_flag(name)["--quiet"].opts


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_has_an_example(name: str) -> None:
    assert f"Example: whalescan {name}" in (main.commands[name].help or "")


def test_one_name_for_one_thing() -> None:
    seeds = [command for command in main.commands if "--seed" in options_by_flag(command)]
    assert {"clips", "evaluate", "simulate", "train"} <= set(seeds)
    for command in ("evaluate", "report"):
        assert "--false-positives-per-hour" in options_by_flag(command)


def test_training_options_agree_with_the_command_line() -> None:
    from whalescan.training.training_options import FINE_TUNING, TrainOptions

    found = options_by_flag("train")
    for name in ("steps", "batch_size", "learning_rate", "validation_share", "false_positives_per_hour", "seed"):
        default, tuned = getattr(TrainOptions(), name), getattr(FINE_TUNING, name)
        texts = [f"{value:g}" if isinstance(value, float) else str(value) for value in (default, tuned)]
        shown = texts[0] if default == tuned else "; with --from: ".join(texts)
        assert found[f"--{name.replace('_', '-')}"].show_default == shown, name
    assert {option.name for option in found.values()} <= {*inspect.signature(whalescan.train).parameters, "output"}


def test_evaluation_options_agree_with_the_command_line() -> None:
    parameters = inspect.signature(whalescan.evaluate).parameters
    of_clips = inspect.signature(whalescan.evaluate_clips).parameters
    for option in options_by_flag("evaluate").values():
        assert option.name in {*parameters, *of_clips}
        if option.name in ("channel", "bootstrap", "seed", "tolerance_s", "lowest"):
            assert option.show_default == str(parameters[option.name].default), option.name


def test_options_of_an_older_run_are_read() -> None:
    document = json.loads((golden.OUT / "run.json").read_bytes())
    record = read_run_record(golden.OUT)
    for name, value in {**vars(record.scores), **vars(record.tables)}.items():
        stored = document["options"][name.removesuffix("_s")]
        assert value == (tuple(stored) if isinstance(stored, list) else stored), name


def test_the_run_json_of_an_older_run_is_a_config(tmp_path: Path) -> None:
    words = ["run", "--config", str(golden.OUT / "run.json"), "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "/survey/recordings" in result.stderr, "its options are accepted; its recordings are not here"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("invalid hop_s 3.0: expected a value above 0", "invalid --hop 3.0: expected a value above 0"),
        ("invalid position 'x': expected a pair", "invalid --position 'x': expected a pair"),
        ("`scheduler` and `jobqueue` exclude each other", "--scheduler and --jobqueue exclude each other"),
        ("/data/hop_s/a.wav: the position is wrong", "/data/hop_s/a.wav: the position is wrong"),
        ("the batch_size is too large", "the --batch-size is too large"),
    ],
)
def test_the_command_line_names_its_own_options(text: str, shown: str) -> None:
    assert with_flags(text, main.commands["run"]) == shown


INVALID: list[tuple[type, dict[str, Any], str]] = [
    (ScoreOptions, {"hop_s": "half"}, "hop_s"),
    (ScoreOptions, {"hop_s": float("nan")}, "hop_s"),
    (ScoreOptions, {"channel": "0"}, "channel"),
    (TableOptions, {"threshold": "high"}, "threshold"),
    (TableOptions, {"min_validated": 1.5}, "min_validated"),
    (WorkOptions, {"batch_size": 0}, "batch_size"),
    (WorkOptions, {"workers": -1}, "workers"),
    (WorkOptions, {"jobqueue": "condor", "workers": 1}, "jobqueue"),
    (WorkOptions, {"jobqueue": "slurm"}, "workers"),
    (WorkOptions, {"jobqueue": "slurm", "workers": 1, "scheduler": "tcp://a:1"}, "jobqueue"),
]


@pytest.mark.parametrize(("declaration", "values", "parameter"), INVALID)
def test_an_invalid_value_is_refused_by_its_name(declaration: type, values: dict[str, Any], parameter: str) -> None:
    with pytest.raises(whalescan.UsageError) as caught:
        declaration(**values)
    assert caught.value.parameter == parameter


def test_formats_may_be_one_name() -> None:
    assert TableOptions(formats="parquet").formats == ("parquet",)  # type: ignore[arg-type]
    assert TableOptions(formats=("audacity", "", "audacity")).formats == ("audacity",)


def test_texts_of_positions_and_zones() -> None:
    assert position_text((42.3, -70)) == position_text(whalescan.Position(42.3, -70.0)) == "42.3,-70.0"
    assert zone_text("timezone", None) == ""
    for value in ((1, 2, 3), 5, ("a", "b")):
        with pytest.raises(whalescan.UsageError) as caught:
            position_text(value)  # type: ignore[arg-type]
        assert caught.value.parameter == "position"


def test_an_option_is_complete() -> None:
    assert options_of(ScoreOptions)["hop_s"] == Option(
        "Seconds between the beginnings of windows.", Changes.SCORES, "--hop", metavar="SECONDS"
    )
