from __future__ import annotations

import csv
import io
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import make_recording
from whalescan.core import Detection, Recording, RecordingResult, UsageError
from whalescan.tables import csvs
from whalescan.tables.formats import FORMATS, KALEIDOSCOPE_COLUMNS, audacity, check_formats, kaleidoscope, parquet
from whalescan.tables.raven import RavenTableOptions, reviewer_path

OPTIONS = RavenTableOptions("whalescan 0.1.0 test")
START = datetime(2019, 12, 31, 23, 59, 30, tzinfo=UTC)


def recording(name: str = "deep/a", channels: int = 1, start_utc: datetime | None = START) -> Recording:
    return make_recording(name, channels=channels, start_utc=start_utc)


def detection(begin_s: float = 12.3, end_s: float = 13.3, **fields: object) -> Detection:
    known = {"channel": 1, "low_hz": 90.0, "high_hz": 200.0, "label": "NARW upcall", "score": 0.9312} | fields
    identity = f"a-{round(begin_s * 1000):09d}"
    return Detection(recording="deep/a", begin_s=begin_s, end_s=end_s, detection_id=identity, **known)  # type: ignore[arg-type]


def results_of(*calls: Detection, of: Recording | None = None) -> list[RecordingResult]:
    return [RecordingResult.of(of or recording(), detections=calls)]


micros = st.integers(0, 99_999_000).map(lambda us: us / 1e6)
detections = st.builds(
    lambda begin, length, low, high, **fields: detection(begin, begin + length, low_hz=low, high_hz=low + high, **fields),
    micros,
    st.integers(1, 5_000_000).map(lambda us: us / 1e6),  # up to 5 s, so that some extend past the end of the recording
    st.integers(0, 4000).map(lambda dhz: dhz / 10),
    st.integers(1, 4000).map(lambda dhz: dhz / 10),
    channel=st.integers(1, 4),
    label=st.sampled_from(["NARW upcall", "gunshot, far", 'so "called"', "tab\there", "line\nbreak", "NA", "Größe"]),
    score=st.none() | st.floats(0, 1),
    review=st.sampled_from(["unreviewed", "yes", "no", "maybe"]),
)
names = st.sampled_from(["a", "deep/a", "deep/er/a,b", 'deep/q"q', "Größe/a b", "=1+1"])
recordings = st.builds(recording, names, st.integers(1, 4), st.none() | st.just(START))
deployments = st.lists(
    st.builds(lambda one, calls: RecordingResult.of(one, detections=calls), recordings, st.lists(detections, max_size=4)),
    max_size=3,
    unique_by=lambda result: result.readable_recording().name,
)


# ---------------------------------------------------------------------------------------------- all


def test_formats_are_checked_before_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    check_formats([])
    check_formats(["audacity", "kaleidoscope"])
    with pytest.raises(UsageError, match=r"'xls'.*audacity, kaleidoscope, parquet"):
        check_formats(["audacity", "xls"])
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)  # as for a library that is not installed
    with pytest.raises(UsageError, match=r"pyarrow.*pip install 'whalescan\[parquet\]'"):
        check_formats(["parquet"])


@given(deployments)
def test_writers_are_deterministic_and_stay_below_the_output_folder(deployment: list[RecordingResult]) -> None:
    for name in ("audacity", "kaleidoscope"):
        files = FORMATS[name](deployment, OPTIONS)
        assert files == FORMATS[name](deployment, OPTIONS)
        for path, content in files.items():
            assert not PurePosixPath(path).is_absolute()
            assert ".." not in PurePosixPath(path).parts
            assert b"\r" not in content


# ---------------------------------------------------------------------------------------------- Audacity


def read_labels(content: bytes) -> list[tuple[float, ...]]:
    """Parse labels as Audacity does: a line that begins with a backslash contains the frequencies of the label before it."""
    labels: list[tuple[float, ...]] = []
    for line in content.decode().split("\n")[:-1]:
        cells = line.split("\t")
        assert len(cells) == 3, line
        if cells[0] == "\\":
            labels[-1] += (float(cells[1]), float(cells[2]))
        else:
            labels.append((float(cells[0]), float(cells[1])))
    return labels


def test_audacity_labels() -> None:
    files = audacity(results_of(detection(12.3, 13.3)), OPTIONS)
    assert files == {"audacity/deep/a.labels.txt": b"12.300000\t13.300000\tNARW upcall 0.93\n\\\t90.000000\t200.000000\n"}


@given(deployments)
def test_audacity_labels_can_be_read_back(deployment: list[RecordingResult]) -> None:
    files = audacity(deployment, OPTIONS)
    assert len(files) == len(deployment), "an empty file says that a recording was listened to"
    for place in deployment:
        read = read_labels(files[f"audacity/{place.readable_recording().name}.labels.txt"])
        expected = [(c.begin_s, min(c.end_s, 100.0), c.low_hz, c.high_hz) for c in place.detections]
        np.testing.assert_allclose(np.reshape(read, (-1, 4)), np.reshape(expected, (-1, 4)), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "channels", "text"),
    [
        (detection(score=None, review="yes"), 1, "NARW upcall yes"),
        (detection(review="maybe"), 1, "NARW upcall 0.93 maybe"),
        (detection(channel=2), 2, "NARW upcall 0.93 channel 2"),
        (detection(label="up\tcall\nnew"), 1, "up call new 0.93"),
    ],
)
def test_a_label_contains_the_known_parts(call: Detection, channels: int, text: str) -> None:
    (content,) = audacity(results_of(call, of=recording(channels=channels)), OPTIONS).values()
    assert content.decode().split("\n")[0].split("\t")[2] == text


# ---------------------------------------------------------------------------------------------- Kaleidoscope


def rows(deployment: list[RecordingResult], options: RavenTableOptions = OPTIONS) -> list[dict[str, str]]:
    (content,) = kaleidoscope(deployment, options).values()
    reader = csv.DictReader(io.StringIO(content.decode(), newline=""))
    assert tuple(reader.fieldnames or ()) == KALEIDOSCOPE_COLUMNS
    return list(reader)


def test_kaleidoscope_row() -> None:
    assert rows(results_of(detection(45, 46.5, channel=2))) == [
        {
            "INDIR": "/survey",
            "FOLDER": "deep",
            "IN FILE": "a.wav",
            "CHANNEL": "1",  # the right one: it counts from 0
            "OFFSET": "45.000000",
            "DURATION": "1.500000",
            "Fmin": "90.0",
            "Fmean": "145.0",
            "Fmax": "200.0",
            "DATE": "2019-12-31",  # of the recording's start, though the call lies in the next year
            "TIME": "23:59:30",
            "HOUR": "23",
            "TOP1MATCH": "NARW upcall",
            "TOP1DIST": "0.9312",
            "AUTO ID": "NARW upcall",
            "MANUAL ID": "",
            "DETECTION ID": "a-000045000",
        }
    ]


@given(deployments)
def test_kaleidoscope_rows_lie_in_their_recordings(deployment: list[RecordingResult]) -> None:
    expected = [(place.readable_recording(), call) for place in deployment for call in place.detections]
    for row, (one, call) in zip(rows(deployment), expected, strict=True):
        offset_s, duration_s = float(row["OFFSET"]), float(row["DURATION"])
        assert abs(offset_s - call.begin_s) < 1e-6
        assert abs(offset_s + duration_s - min(call.end_s, 100.0)) < 2e-6
        assert (row["CHANNEL"], row["AUTO ID"]) == (str(call.channel - 1), call.label)
        assert (row["TOP1DIST"] == "") == (call.score is None)
        assert bool(row["DATE"]) == bool(row["TIME"]) == bool(row["HOUR"]) == (one.start_utc is not None)
        assert Path(row["INDIR"], row["FOLDER"], row["IN FILE"]) == one.path


@pytest.mark.parametrize(
    ("root", "name", "indir", "folder"),
    [
        ("", "deep/er/a", "/survey", "deep/er"),
        ("", "a", "/survey", ""),
        ("D:\\survey\\", "deep/er/a", "D:\\survey", "deep\\er"),
        ("D:", "a", "D:", ""),
        ("\\\\server\\share", "deep/a", "\\\\server\\share", "deep"),
        ("/", "deep/a", "/", "deep"),
        ("/Volumes/survey/", "deep/a", "/Volumes/survey", "deep"),
    ],
)
def test_folders_for_the_reviewers_computer(root: str, name: str, indir: str, folder: str) -> None:
    one = recording(name)
    (row,) = rows(results_of(detection(), of=one), RavenTableOptions("x", root))
    assert (row["INDIR"], row["FOLDER"]) == (indir, folder)
    separator = "\\" if "\\" in reviewer_path(one, root) else "/"
    parts = [part for part in (indir.rstrip(separator), folder, row["IN FILE"]) if part or root == "/"]
    assert separator.join(parts) == reviewer_path(one, root)


def test_a_recording_name_with_a_folder_prefix() -> None:
    """With equal names in two input folders, a recording's name begins with its folder's."""
    one = replace(recording("a"), relative_path="other/a.wav")
    (row,) = rows(results_of(detection(), of=one))
    assert (row["INDIR"], row["FOLDER"], row["IN FILE"]) == ("/survey", "", "a.wav")


@pytest.mark.parametrize(
    ("review", "manual"),
    [("unreviewed", ""), ("yes", "NARW upcall"), ("no", "not NARW upcall"), ("maybe", "maybe NARW upcall")],
)
def test_the_manual_id_is_the_review(review: str, manual: str) -> None:
    assert rows(results_of(detection(review=review)))[0]["MANUAL ID"] == manual


def test_without_detections_there_is_only_a_header() -> None:
    assert rows(results_of()) == rows([]) == []


# ---------------------------------------------------------------------------------------------- Parquet


def test_parquet_without_pyarrow_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.csv", None)
    with pytest.raises(UsageError, match="pip install"):
        parquet(results_of(detection()), OPTIONS)


@pytest.mark.slow
@settings(max_examples=50)
@given(deployments)
def test_parquet_equals_the_csv(deployment: list[RecordingResult]) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is an extra: whalescan[parquet]")
    (content,) = parquet(deployment, OPTIONS).values()
    assert content == parquet(deployment, OPTIONS)["detections.parquet"], "the same calls, the same bytes"
    frame = pd.read_parquet(io.BytesIO(content))
    table = csvs.detections_csv(deployment).decode()
    expected = list(csv.DictReader(io.StringIO(table, newline="")))
    assert tuple(frame.columns) == csvs.DETECTION_COLUMNS
    assert len(frame) == len(expected)
    for column in ("detection_id", "recording", "label", "review"):
        assert frame[column].tolist() == [row[column] for row in expected]
    assert frame["channel"].tolist() == [int(row["channel"]) for row in expected]
    for column in ("begin_s", "end_s", "low_hz", "high_hz", "score"):
        numbers = np.array([float(row[column] or "nan") for row in expected])
        np.testing.assert_array_equal(frame[column], numbers)
    for column in ("start_utc", "end_utc"):
        moments = [datetime.fromisoformat(row[column]) if row[column] else None for row in expected]
        assert [None if pd.isna(moment) else moment.to_pydatetime() for moment in frame[column]] == moments


@pytest.mark.parametrize("calls", [[], [detection()], [detection(score=None)]])
def test_parquet_types_do_not_depend_on_the_detections(calls: list[Detection]) -> None:
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is an extra: whalescan[parquet]")
    check_formats(["parquet"])
    content = parquet(results_of(*calls, of=recording(start_utc=None)), OPTIONS)["detections.parquet"]
    schema = pytest.importorskip("pyarrow.parquet").read_table(io.BytesIO(content)).schema
    assert {name: str(schema.field(name).type) for name in schema.names} == {
        **dict.fromkeys(("detection_id", "recording", "label", "review"), str(arrow.string())),
        **dict.fromkeys(("begin_s", "end_s", "low_hz", "high_hz", "score"), str(arrow.float64())),
        **dict.fromkeys(("start_utc", "end_utc"), str(arrow.timestamp("ms", tz="UTC"))),
        "channel": str(arrow.int64()),
    }
