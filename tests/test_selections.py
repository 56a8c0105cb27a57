"""Which recording a selection lies in, and what is said of those that lie nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from whalescan.core import Recording
from whalescan.tables import raven, selections

HEADER = "Selection\tBegin Time (s)\tEnd Time (s)\tBegin File\tFile Offset (s)\tBegin Path\tAnnotation\n"


def recording(relative: str, duration_s: int = 100) -> Recording:
    path = Path("/survey", relative)
    return Recording(relative.rsplit(".", 1)[0], path, relative, 2000, 2000 * duration_s, 1, 44)


def write(path: Path, *rows: str) -> Path:
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return path


def test_a_deployments_table_lands_in_its_recordings(tmp_path: Path) -> None:
    table = write(
        tmp_path / "all.txt", "1\t112.5\t113.5\tb.wav\t12.5\tD:\\x\\b.wav\tcall", "2\t5\t6\ta.wav\t5\tD:\\x\\a.wav\tcall"
    )
    placement = selections.place([table], [recording("a.wav"), recording("b.wav")])
    assert placement.problems == ()
    assert {name: [(a.begin_s, a.end_s) for a in found] for name, found in placement.by_recording.items()} == {
        "a": [(5, 6)],
        "b": [(12.5, 13.5)],
    }


def test_recordings_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    table = write(tmp_path / "all.txt", "1\t5\t6\ta.wav\t5\tD:\\survey\\site2\\a.wav\tcall")
    placement = selections.place([table], [recording("site1/a.wav"), recording("site2/a.wav")])
    assert list(placement.by_recording) == ["site2/a"]


def test_the_tables_name_says_the_recording_where_no_column_does(tmp_path: Path) -> None:
    path = tmp_path / "a.b.Table.1.selections.txt"
    path.write_bytes(raven.annotation_bytes([]))
    placement = selections.place([path], [recording("a.wav"), recording("a.b.wav"), recording("c.wav")])
    assert placement.by_recording == {"a.b": ()}, "annotated, and silent; the others were not annotated"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("1\t5\t6\tgone.wav\t5\t\tcall", "lies in gone.wav, which is not among the recordings"),
        ("1\t99\t101\ta.wav\t99\t\tcall", "does not lie within the 100 s of a.wav"),
        ("1\t5\t6\t\t\t\tcall", "names no sound file"),
        ("1\tfive\t6\ta.wav\t5\t\tcall", "line 2"),
    ],
)
def test_what_lies_nowhere_is_named_and_stops_nothing(tmp_path: Path, row: str, words: str) -> None:
    bad = write(tmp_path / "bad.txt", row)
    good = write(tmp_path / "good.txt", "1\t1\t2\ta.wav\t1\t\tcall")
    placement = selections.place([bad, good], [recording("a.wav")])
    assert [a.begin_s for a in placement.by_recording["a"]] == [1]
    assert len(placement.problems) == 1
    assert words in placement.problems[0]


def test_times_along_a_sequence_of_files_are_not_taken_for_offsets(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("Begin Time (s)\tEnd Time (s)\tBegin File\n50\t51\ta.wav\n50\t51\tb.wav\n")
    placement = selections.place([path], [recording("a.wav"), recording("b.wav")])
    assert placement.by_recording == {}
    assert all("File Offset (s)" in problem for problem in placement.problems)


def test_tables_are_found_among_other_texts(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    table = write(tmp_path / "deep" / "a.txt")
    (tmp_path / "readme.txt").write_text("no table")
    (tmp_path / "clip.txt").write_bytes(b"\xff\xfe\x00")
    assert selections.find_tables(tmp_path) == [table]
    assert selections.find_tables(table) == [table]
