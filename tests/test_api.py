"""What a Python program calls, and what it gets back."""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import logging
import pickle
import subprocess
import sys
import types
import typing
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from datetime import timezone as fixed_zone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import soundfile

import whalescan
from tests import make_golden as golden
from tests.builders import LOW_THRESHOLD
from whalescan.tables.frames import BinTable, DetectionTable, FileTable

# ------------------------------------------------------------------------------------------------ the package


def test_importing_the_package_is_quick_and_prints_nothing() -> None:
    late = ("torch", "dask", "distributed", "click", "pandas", "scipy", "matplotlib", "sklearn")
    code = f"import sys, whalescan; sys.exit(', '.join(name for name in {late} if name in sys.modules) or 0)"
    result = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_public_names_are_those_that_are_imported_when_used() -> None:
    assert set(whalescan.__all__) == {*whalescan._MODULES, "__version__"}
    assert whalescan.__all__ == sorted(whalescan.__all__, key=lambda name: (not name[0].isupper(), name))
    for name, module in whalescan._MODULES.items():
        assert getattr(whalescan, name) is getattr(importlib.import_module(module), name)
    assert set(whalescan.__all__) <= set(dir(whalescan))
    with pytest.raises(AttributeError):
        whalescan.no_such_name  # noqa: B018 - the access is the test


def own_classes(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and hint.__module__.startswith("whalescan"):
        yield hint
    for inner in typing.get_args(hint):
        yield from own_classes(inner)


def hints_of(subject: Any) -> dict[str, Any]:
    late = {name: getattr(whalescan, name) for name in whalescan.__all__}
    outside = {"Self": Any, "Client": Any, "tzinfo": Any, "npt": npt, "pd": pd}
    return typing.get_type_hints(subject, localns=late | outside)


def returned_classes() -> dict[type, str]:
    """The classes of this package that a program meets: what functions return, and what is in that; with where."""
    found: dict[type, str] = {}

    def visit(one: type, where: str) -> None:
        if one in found:
            return
        found[one] = where
        if issubclass(one, Exception | enum.Enum):
            return
        for name, hint in hints_of(one).items():
            if not name.startswith("_"):
                for inner in own_classes(hint):
                    visit(inner, f"{one.__name__}.{name}")
        for name, member in vars(one).items():
            function = getattr(member, "fget", None) or getattr(member, "func", None) or getattr(member, "__func__", member)
            if not name.startswith("_") and inspect.isfunction(function):
                for inner in own_classes(hints_of(function).get("return")):
                    visit(inner, f"{one.__name__}.{name}")

    for name in whalescan.__all__:
        public = getattr(whalescan, name)
        if isinstance(public, type):
            visit(public, "whalescan")
        elif isinstance(public, types.FunctionType):
            for one in own_classes(hints_of(public).get("return")):
                visit(one, f"{name}()")
    return found


def test_every_type_that_is_returned_is_public() -> None:
    missing = {one.__qualname__: where for one, where in returned_classes().items() if one.__name__ not in whalescan.__all__}
    assert missing == {}


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (whalescan.UsageError, ValueError),
        (whalescan.ModelError, ValueError),
        (whalescan.TableError, ValueError),
        (whalescan.RecordingError, OSError),
        (whalescan.DiskError, OSError),
        (whalescan.OutputError, OSError),
        (whalescan.ClusterError, RuntimeError),
    ],
)
def test_errors_are_of_the_builtin_kind_too(error: type[whalescan.WhalescanError], builtin: type[Exception]) -> None:
    assert issubclass(error, whalescan.WhalescanError)
    assert issubclass(error, builtin)
    assert str(pickle.loads(pickle.dumps(error("/a/b.wav: what is wrong")))) == "/a/b.wav: what is wrong"


def test_a_usage_error_keeps_its_parameter_on_its_way_between_processes() -> None:
    for error in (whalescan.UsageError("too long", parameter="hop_s"), whalescan.UsageError("invalid hop_s 3: expected 1")):
        assert pickle.loads(pickle.dumps(error)).parameter == "hop_s"
    assert whalescan.UsageError("no recordings given").parameter is None


@pytest.mark.parametrize("name", [name for name, module in whalescan._MODULES.items() if name.islower()])
def test_none_stands_for_nothing(name: str) -> None:
    for parameter in inspect.signature(getattr(whalescan, name)).parameters.values():
        assert parameter.kind is not parameter.VAR_KEYWORD
        assert parameter.default is parameter.empty or parameter.default not in ("", 0) or parameter.default is False


# ------------------------------------------------------------------------------------------------ scan


def test_results_are_tables_that_give_frames(out: Path) -> None:
    survey = whalescan.open_run(out).survey
    detections, files, hourly = survey.detections.to_frame(), survey.files.to_frame(), survey.hourly.to_frame()
    assert len(detections) == len(survey.detections) > 0
    stored = pd.read_csv(out / "detections.csv")
    assert set(detections.columns) == {*stored.columns, "path"}
    assert list(detections["detection_id"]) == list(stored["detection_id"])
    assert str(detections["start_utc"].dtype) == "datetime64[ns, UTC]"
    first = survey.detections[0]
    recording = next(result.recording for result in survey.files if result.name == first.recording)
    assert recording is not None
    assert detections["start_utc"][0] == pd.Timestamp(recording.utc(first.begin_s))
    assert detections["path"][0] == str(recording.path)
    assert list(files.columns) == list(pd.read_csv(out / "files.csv").columns)
    assert list(hourly.columns) == list(pd.read_csv(out / "hourly.csv").columns)
    assert list(hourly["bin_start_utc"]) == list(pd.to_datetime(pd.read_csv(out / "hourly.csv")["bin_start_utc"]))
    assert hourly["n_detections"].sum() == len(detections)


def test_frames_without_rows_have_the_same_types(out: Path) -> None:
    survey = whalescan.open_run(out).survey
    full: DetectionTable | FileTable | BinTable
    for full in (survey.detections, survey.files, survey.daily):
        empty = full[:0]
        assert type(empty) is type(full)
        assert dict(empty.to_frame().dtypes) == dict(full.to_frame().dtypes)
        assert pickle.loads(pickle.dumps(full)) == full


def test_reprs_are_short(out: Path) -> None:
    run = whalescan.open_run(out)
    for one in (run, run.survey, run.detections, run.files, run.hourly, run.score_track(run.files[0].name)):
        assert len(repr(one)) < 300, repr(one)


def test_text_of_a_public_type_holds_no_array_and_no_long_tuple() -> None:
    long = (
        "Array",
        "NDArray",
        "dict[",
        "tuple[Recording",
        "tuple[Detection",
        "tuple[Presence",
        "tuple[Gap",
        "tuple[Checked",
    )
    for name in whalescan.__all__:
        public = getattr(whalescan, name)
        if dataclasses.is_dataclass(public) and hasattr(public.__repr__, "__wrapped__"):  # made by dataclass
            shown = {field.name: str(field.type) for field in dataclasses.fields(public) if field.repr}
            assert {field for field, kind in shown.items() if any(part in kind for part in long)} <= {"values", "classes"}, (
                name
            )


def test_a_result_knows_when_its_recording_began(out: Path) -> None:
    for result in whalescan.open_run(out).files:
        assert result.recording is not None
        assert result.start_utc == result.recording.start_utc is not None


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("hop_s", "half"),
        ("hop_s", 3.0),
        ("channel", 0),
        ("threshold", "high"),
        ("position", "north"),
        ("position", (100.0, 0.0)),
        ("position", 42.3),
        ("timezone", 5),
        ("formats", "excel"),
        ("raven_root", 7),
        ("recordings", 7),
        ("workers", -1),
        ("batch_size", 0),
    ],
)
def test_an_invalid_option_is_named_and_starts_nothing(
    simulated_recordings: Path, tmp_path: Path, option: str, value: Any
) -> None:
    with pytest.raises(whalescan.UsageError, match=option):
        whalescan.scan(**{"recordings": simulated_recordings, "output": tmp_path / "out", option: value})
    assert not (tmp_path / "out").exists()


def test_what_python_says_otherwise_than_the_command_line(simulated_recordings: Path, tmp_path: Path) -> None:
    survey = whalescan.scan(
        next(simulated_recordings.glob("*.wav")),
        tmp_path,
        hop_s=2,
        channel=1,
        formats="audacity",
        position=(42.3, -70.2),
        timezone=ZoneInfo("America/New_York"),
        summary_timezone=fixed_zone(timedelta(hours=-5)),
    )
    options = survey.settings.options
    assert (options.formats, options.position) == (("audacity",), "42.3,-70.2")
    assert (options.timezone, options.summary_timezone) == ("America/New_York", "UTC-05:00")
    assert len(survey.local_hourly) == len(survey.hourly) == 1


def test_the_hop_changes_no_detection(simulated_recordings: Path, out: Path) -> None:
    before, n_windows = whalescan.open_run(out).detections, len(whalescan.open_run(out).score_track("SIM_20260401T000000Z"))
    after = whalescan.scan(simulated_recordings, out, hop_s=0.25, threshold=LOW_THRESHOLD)
    assert len(before) > 0
    assert after.detections == before
    assert len(whalescan.open_run(out).score_track("SIM_20260401T000000Z")) > 3 * n_windows


def test_the_former_name_of_hop_s_warns(tmp_path: Path) -> None:
    with pytest.raises(whalescan.UsageError), pytest.warns(DeprecationWarning, match="hop_s"):
        whalescan.scan(tmp_path / "nowhere", hop=1.0)


def test_the_former_names_of_effort_and_settings_warn(finished_output: Path) -> None:
    survey = whalescan.open_run(finished_output).survey
    with pytest.warns(DeprecationWarning, match="effort"):
        assert survey.accounts is survey.effort
    with pytest.warns(DeprecationWarning, match="settings"):
        assert survey.views is survey.settings


def test_a_scan_prints_nothing_and_changes_no_log(
    simulated_recordings: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    level, handlers = logging.getLogger("whalescan").level, list(logging.getLogger("whalescan").handlers)
    with caplog.at_level(logging.INFO, "whalescan"):
        whalescan.scan(next(simulated_recordings.glob("*.wav")), hop_s=2.0)
    assert capfd.readouterr() == ("", "")
    assert (logging.getLogger("whalescan").level, logging.getLogger("whalescan").handlers) == (level, handlers)


def test_a_client_scores_and_stays_open(simulated_recordings: Path) -> None:
    from distributed import Client, LocalCluster

    recording = next(simulated_recordings.glob("*.wav"))
    expected = whalescan.scan(recording, hop_s=1.0)
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        survey = whalescan.scan(recording, hop_s=1.0, client=client)
        assert client.status == "running"
    assert survey.detections == expected.detections


# ------------------------------------------------------------------------------------------------ a finished run


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    import shutil

    return shutil.copytree(golden.OUT, tmp_path / "out")


def snapshot(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def test_other_detections_leave_the_folder_as_it_is(stored: Path) -> None:
    before = snapshot(stored)
    run = whalescan.open_run(stored)
    assert (run.files, run.hourly, run.daily) == (run.survey.files, run.survey.hourly, run.survey.daily)
    more, fewer = run.detect(0.05), run.detect(threshold=0.95)
    for invalid in ("high", 2.0, float("nan")):
        with pytest.raises(whalescan.UsageError, match="threshold"):
            run.detect(invalid)  # type: ignore[arg-type]
    assert len(more) > len(run.detections) > len(fewer)
    assert snapshot(stored) == before


def test_detections_that_are_written_are_those_of_the_command(stored: Path) -> None:
    run = whalescan.open_run(stored)
    detections = run.detect(0.05, write=True)
    assert detections == run.detections
    listed = pd.read_csv(stored / "detections.csv")
    assert list(listed["detection_id"]) == list(detections.to_frame()["detection_id"])
    assert whalescan.open_run(stored).survey.settings.rule.threshold == 0.05


def test_the_report_is_written_again(stored: Path) -> None:
    report = whalescan.open_run(stored).report(position=(42.3, -70.2), summary_timezone="America/New_York")
    assert report == stored / "report.html"
    assert report.stat().st_size > 0
    assert (stored / "hourly.local.csv").exists()
    assert whalescan.open_run(stored).survey.settings.options.position == "42.3,-70.2"


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(whalescan.TableError, match=r"run\.json"):
        whalescan.open_run(tmp_path)


def test_reviewed_tables_are_imported(stored: Path) -> None:
    whalescan.open_run(stored).detect(write=True)
    imported = whalescan.import_review(stored, [golden.REVIEWED], "Ben")
    assert imported.counts.n_yes == 1
    assert sum(detection.review == "yes" for detection in whalescan.open_run(stored).detections) >= 1


def test_recordings_are_checked(simulated_recordings: Path) -> None:
    report = whalescan.check(simulated_recordings, hop_s=1.0, timezone=UTC)
    assert len(report.files) == 3
    assert report.exit_code == 0


# ------------------------------------------------------------------------------------------------ a model


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_an_array_gets_the_scores_of_its_recording(simulated_recordings: Path, tmp_path: Path, suffix: str) -> None:
    path = next(simulated_recordings.glob(f"*{suffix}"))  # at 2 and at 4 kHz
    whalescan.scan(path, tmp_path, hop_s=0.5)
    expected = whalescan.open_run(tmp_path).score_track(path.stem)
    samples, rate_hz = soundfile.read(path)
    track = whalescan.load_model().score(samples, rate_hz, hop_s=0.5)
    assert (track.grid, track.classes) == (expected.grid, expected.classes)
    np.testing.assert_allclose(track.scores, expected.scores, atol=0.01)
    np.testing.assert_allclose(track.complexity, expected.complexity, atol=1e-3)
    frame = track.to_frame()
    assert list(frame.columns) == ["begin_s", "end_s", "NARW upcall", "H", "C_SQ", "C_JSD", "C_TV"]
    assert frame["begin_s"].tolist() == track.begin_s.tolist() == [0.5 * i for i in range(len(track))]


def test_whole_numbers_are_scaled_as_in_a_file(noise: npt.NDArray[np.float32]) -> None:
    model = whalescan.load_model()
    whole = np.round(noise * 2**15).astype(np.int16)
    same = model.score(whole / 2**15, 2000, hop_s=2.0)
    np.testing.assert_array_equal(model.score(whole, 2000, hop_s=2.0).scores, same.scores)


def test_silence_and_nothing_have_no_scores() -> None:
    model = whalescan.load_model()
    assert len(model.score(np.zeros(0), 2000)) == 0
    assert np.isnan(model.score(np.zeros(9000), 2000).scores).all()


@pytest.mark.parametrize(
    ("samples", "rate_hz", "options", "parameter"),
    [
        (np.zeros((2, 4000)), 2000, {}, "samples"),
        (np.array([0.0, np.nan]), 2000, {}, "samples"),
        (np.zeros(4000, np.bool_), 2000, {}, "samples"),
        (["a"], 2000, {}, "samples"),
        (np.zeros(4000), 0, {}, "rate_hz"),
        (np.zeros(4000), "2 kHz", {}, "rate_hz"),
        (np.zeros(4000), 2000, {"hop_s": "half"}, "hop_s"),
        (np.zeros(4000), 2000, {"hop_s": 5}, "hop_s"),
    ],
)
def test_samples_that_cannot_be_scored(samples: Any, rate_hz: Any, options: dict[str, Any], parameter: str) -> None:
    with pytest.raises(whalescan.UsageError) as caught:
        whalescan.load_model().score(samples, rate_hz, **options)
    assert caught.value.parameter == parameter


# ------------------------------------------------------------------------------------------------ detection table


def test_a_detection_without_a_clock_has_no_time() -> None:
    detection = whalescan.Detection("a", 1, 1.0, 2.0, 90.0, 200.0, "NARW upcall", None, "a-1")
    start = datetime(2026, 3, 1, tzinfo=UTC)
    recording = whalescan.Recording("a", Path("/survey/a.wav"), "a.wav", 2000, 20_000, 1, 1)
    frame = DetectionTable([detection], {"a": recording}).to_frame()
    assert frame["start_utc"].isna().all()
    assert frame["score"].isna().all()
    known = DetectionTable([detection], {"a": dataclasses.replace(recording, start_utc=start)}).to_frame()
    assert known["end_utc"][0] == start + timedelta(seconds=2)
