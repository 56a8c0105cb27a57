from __future__ import annotations

import csv
import io
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import crowsetta
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import make_golden as golden
from tests.builders import SHARED, make_recording
from whalescan import Annotation, Detection, Outcome, Recording, Status, TableError, WindowGrid, read_selections
from whalescan.core import (
    ColumnGrid,
    ColumnScores,
    GapKind,
    MissingSpan,
    OutputError,
    RecordingResult,
    WindowScores,
    files,
)
from whalescan.core.text import iso_utc
from whalescan.scores.score_file import ScoreFile, read_scores, score_path, write_scores
from whalescan.tables import csvs, raven
from whalescan.tables.raven import RavenTableOptions

OPTIONS = RavenTableOptions("whalescan 0.1.0 test")


def recording(
    name: str = "buoy_20190101T000000Z",
    duration_s: float = 100.0,
    start_utc: datetime | None = datetime(2019, 1, 1, tzinfo=UTC),
) -> Recording:
    return make_recording(name, duration_s, start_utc=start_utc)


def detection(begin_s: float, end_s: float, name: str = "buoy_20190101T000000Z", score: float = 0.9) -> Detection:
    return Detection(name, 1, begin_s, end_s, 90.0, 200.0, "NARW upcall", score, f"{name}-{round(begin_s * 1000):09d}")


def table(results: list[RecordingResult], options: RavenTableOptions = OPTIONS) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(raven.table_bytes(results, options)), sep="\t", quoting=csv.QUOTE_NONE)


def test_raven_columns() -> None:
    frame = table([RecordingResult.of(recording(), detections=[detection(12.3, 13.3)])])
    assert tuple(frame.columns) == raven.COLUMNS
    row = frame.iloc[0]
    assert row["Begin Time (s)"] == row["File Offset (s)"] == 12.3
    assert row["Begin Date Time (UTC)"] == "2019-01-01T00:00:12.300Z"
    assert (row["Selection"], row["View"], row["Review"]) == (1, "Spectrogram 1", "unreviewed")
    assert (row["Annotation"], row["Tags"]) == ("NARW upcall", "NARW upcall")
    text = raven.table_bytes([RecordingResult.of(recording(), detections=[detection(12, 13)])], OPTIONS).decode()
    assert "\t12.000000\t13.000000\t90.0\t200.0\t" in text, "whole numbers keep their point: crowsetta needs it"
    assert "\r" not in text


@pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")  # crowsetta's own use of pandas
def test_crowsetta_reads_raven_tables(tmp_path: Path) -> None:
    path = tmp_path / "x.selections.txt"
    calls = [detection(12.25, 13.3), detection(78, 79)]
    path.write_bytes(raven.table_bytes([RecordingResult.of(recording(), detections=calls)], OPTIONS))
    boxes = crowsetta.formats.bbox.Raven.from_file(path, annot_col="Annotation").to_bbox()
    assert [(b.onset, b.offset, b.low_freq, b.high_freq, b.label) for b in boxes] == [
        (call.begin_s, call.end_s, 90.0, 200.0, "NARW upcall") for call in calls
    ]


def test_recording_without_detections_has_its_length_in_the_sequence() -> None:
    """BirdNET-Analyzer and Koogu place the detections of the third recording too early."""
    placed = [
        RecordingResult.of(recording("a", 10), detections=[detection(5, 6, "a")]),
        RecordingResult.of(recording("b", 10), sequence_offset_s=10.0),
        RecordingResult.of(recording("c", 10), detections=[detection(1, 2, "c")], sequence_offset_s=20.0),
    ]
    frame = table(placed)
    assert frame["Begin Time (s)"].tolist() == [5, 21]
    assert frame["File Offset (s)"].tolist() == [5, 1]
    assert frame["Selection"].tolist() == [1, 2]


def test_table_without_detections(tmp_path: Path) -> None:
    path = tmp_path / "x.selections.txt"
    path.write_bytes(raven.table_bytes([RecordingResult.of(recording(), detections=[])], OPTIONS))
    assert path.read_text() == "\t".join(raven.COLUMNS) + "\n"
    assert read_selections(path) == []


@pytest.mark.parametrize("name", ["tab\there", 'a"b', "line\nbreak", "=1+1", "Größe", "a b"])
def test_special_characters_in_names(name: str) -> None:
    frame = table([RecordingResult.of(recording(name), detections=[detection(1, 2, name)])])
    assert frame.shape == (1, len(raven.COLUMNS))
    assert frame["Detector"].tolist() == [OPTIONS.detector]


def test_unknown_start_time() -> None:
    frame = table([RecordingResult.of(recording(start_utc=None), detections=[detection(1, 2)])])
    assert frame["Begin Date Time (UTC)"].tolist() == ["unknown"]


@pytest.mark.parametrize(
    ("root", "path"),
    [
        ("", str(Path("/survey/deep/a.wav"))),
        ("D:\\survey\\", "D:\\survey\\deep\\a.wav"),
        ("D:", "D:\\deep\\a.wav"),
        ("\\\\server\\share", "\\\\server\\share\\deep\\a.wav"),
        ("/Volumes/survey/", "/Volumes/survey/deep/a.wav"),
    ],
)
def test_raven_root(root: str, path: str) -> None:
    one = Recording("deep/a", Path("/survey/deep/a.wav"), "deep/a.wav", 2000, 20_000, 1, 44)
    frame = table([RecordingResult.of(one, detections=[detection(1, 2)])], RavenTableOptions("x", root))
    assert frame["Begin Path"].tolist() == [path]
    assert raven.list_file_bytes([one], RavenTableOptions("x", root)).decode() == f"{path}\n"


times = st.integers(0, 10**9).map(lambda us: us / 1e6)


@given(st.lists(st.tuples(times, times, st.floats(0, 400), st.floats(401, 1000)), max_size=5))
def test_annotations_are_read_as_written(boxes: list[tuple[float, float, float, float]]) -> None:
    annotations = [
        Annotation(min(a, b), max(a, b) + 0.001, round(low, 1), round(high, 1), "NARW upcall") for a, b, low, high in boxes
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.txt")
        path.write_bytes(raven.annotation_bytes(annotations))
        read = read_selections(path)
    assert [a.label for a in read] == [a.label for a in annotations]
    fields = ("begin_s", "end_s", "low_hz", "high_hz")
    np.testing.assert_allclose(
        [[getattr(a, f) for f in fields] for a in read], [[getattr(a, f) for f in fields] for a in annotations], atol=1e-6
    )


HEADER = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tAnnotation\n"


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + HEADER + "1\tSpectrogram 1\t1\t5\t6\t90\t200\tupcall\n",
        (HEADER + "1\tSpectrogram 1\t1\t5.0\t6.0\t90.0\t200.0\tupcall\n").replace("\n", "\r\n"),
        HEADER + "1\tWaveform 1\t1\t5\t6\t90\t200\tupcall\n1\tSpectrogram 1\t1\t5\t6\t90\t200\tupcall\n\n",
        HEADER + "1\tSpectrogram 1\t\t5\t6\t90\t200\tupcall",
    ],
)
def test_tables_saved_by_other_programs(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.txt"
    path.write_text(text, encoding="utf-8", newline="")
    assert read_selections(path) == [Annotation(5, 6, 90, 200, "upcall")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no Raven selection table"),
        ("a,b,c\n1,2,3\n", "no Raven selection table"),
        (HEADER + "1\tSpectrogram 1\t1\tfive\t6\t90\t200\tupcall\n", "line 2"),
        (HEADER + "1\tSpectrogram 1\t1\t7\t6\t90\t200\tupcall\n", "line 2"),
    ],
)
def test_invalid_tables(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "x.txt"
    path.write_text(text)
    with pytest.raises(TableError, match=words):
        read_selections(path)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the example tables are not part of the project")
def test_example_tables() -> None:
    tables = sorted((SHARED / "examples" / "raven" / "edge").glob("*.selections.txt"))
    assert tables
    for path in tables:
        assert 12 <= read_selections(path)[0].begin_s <= 12.5


# ---------------------------------------------------------------------------------------------- CSVs


def test_detections_csv() -> None:
    frame = pd.read_csv(
        io.BytesIO(csvs.detections_csv([RecordingResult.of(recording(), detections=[detection(12.3, 13.3)])]))
    )
    assert tuple(frame.columns) == csvs.DETECTION_COLUMNS
    assert frame["start_utc"].tolist() == ["2019-01-01T00:00:12.300Z"]
    assert len(pd.read_csv(io.BytesIO(csvs.detections_csv([])))) == 0, "BirdNET-Analyzer fails where nothing was found"


def test_files_csv_is_read_as_written(tmp_path: Path) -> None:
    rows = [
        RecordingResult.of(recording("a,b"), Outcome(Status.PARTIAL, 50.0, 3, 'says "x", at 5 s')),
        RecordingResult("c", Path("/survey/c.wav"), None, Outcome(Status.FAILED, 0.0, 0, "empty"), sequence_offset_s=100.0),
    ]
    path = tmp_path / "files.csv"
    path.write_bytes(csvs.files_csv(rows))
    first, second = csvs.read_files_csv(path)
    assert (first.name, first.outcome, second) == (rows[0].name, rows[0].outcome, rows[1])
    assert first.recording is not None
    assert first.recording.duration_s == 100
    with pytest.raises(TableError, match="nowhere"):
        csvs.read_files_csv(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2019, 12, 31, 23, 59, 59, 999_600, tzinfo=UTC), "2020-01-01T00:00:00.000Z"),
        (datetime(2020, 2, 29, 1, 2, 3, 4_499, tzinfo=UTC), "2020-02-29T01:02:03.004Z"),
        (None, ""),
    ],
)
def test_times_are_utc_to_the_millisecond(moment: datetime | None, text: str) -> None:
    assert iso_utc(moment) == text


# ---------------------------------------------------------------------------------------------- files


def test_scores_are_read_as_written(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    windows = WindowScores(*(random.random((5, n)).astype(np.float32) for n in (1, 4)))
    columns = ColumnScores(*(random.random((7, n)).astype(np.float32) for n in (1, 4, 4)))
    losses = MissingSpan(0, 3, GapKind.UNREADABLE), MissingSpan(9, 13, GapKind.DROPOUT)
    scores = ScoreFile(
        recording=recording("deep/a"),
        channel=2,
        grid=WindowGrid(2000, 4000, 500),
        classes=("NARW upcall",),
        windows=windows,
        column_grid=ColumnGrid(2000, 512),
        columns=columns,
        reach_samples=20,
        discontinuities=(7,),
        missing_spans=losses,
        problem="at 5 s",
        fingerprint="{}",
    )
    write_scores(tmp_path, scores)
    read = read_scores(score_path(tmp_path, "deep/a", 2))
    assert (read.recording, read.channel, read.grid, read.classes) == (scores.recording, 2, scores.grid, scores.classes)
    assert (read.reach_samples, read.discontinuities) == (20, (7,))
    assert (read.missing_spans, read.missing_samples, read.problem, read.fingerprint) == (losses, 7, "at 5 s", "{}")
    assert read.column_grid == scores.column_grid
    np.testing.assert_array_equal(read.windows.scores, windows.scores)
    np.testing.assert_array_equal(read.columns.log_odds, columns.log_odds)
    np.testing.assert_array_equal(read.columns.boxes, columns.boxes)
    np.testing.assert_array_equal(read.columns.complexity, columns.complexity)
    with np.load(score_path(tmp_path, "deep/a", 2), allow_pickle=False) as file:
        assert {"scores", "classes", "hop_samples", "window_samples", "rate_hz", "complexity"} <= set(file)


def test_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.csv"
    files.write_atomically(path, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match=r"x\.csv.*No space left"):
        files.write_atomically(path, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["x.csv"]
    assert path.read_bytes() == b"old"


def test_arrays_of_a_later_version_are_ignored(tmp_path: Path) -> None:
    path = next((golden.OUT / "scores").glob("*.npz"))
    with np.load(path, allow_pickle=False) as file:
        np.savez(tmp_path / path.name, **dict(file), levels=np.zeros(3))
    np.testing.assert_array_equal(read_scores(tmp_path / path.name).windows.scores, read_scores(path).windows.scores)


@pytest.mark.parametrize(("changed", "message"), [({}, "0.7 or older"), ({"format": 3}, "newer version")])
def test_scores_of_other_versions_are_refused(tmp_path: Path, changed: dict[str, int], message: str) -> None:
    path = next((golden.OUT / "scores").glob("*.npz"))
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: array for name, array in file.items() if name != "format"}
    np.savez(tmp_path / path.name, **arrays | {name: np.array(value) for name, value in changed.items()})
    with pytest.raises(TableError, match=rf"{path.name}.*{message}"):
        read_scores(tmp_path / path.name)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"hello"])
def test_invalid_score_files(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(damage)
    with pytest.raises(TableError, match=r"x\.npz"):
        read_scores(tmp_path / "x.npz")
