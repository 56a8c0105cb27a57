"""Which recording a selection lies in, and what is said of those that lie nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from whalescan.core import Annotation, Recording
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


@pytest.mark.parametrize(
    ("reviews", "kept"),
    [
        (["unreviewed", "yes"], "yes"),
        (["", "unreviewed"], ""),
        (["no", "yes"], "maybe"),
        (["no", "unreviewed", "no"], "no"),
        (["unreviewed", "unreviewed"], "unreviewed"),
    ],
)
def test_copies_of_a_selection_are_one_and_a_judgement_is_not_lost(reviews: list[str], kept: str) -> None:
    copies = [Annotation(5, 6, 90, 200, "call", review=review) for review in reviews]
    other = Annotation(5, 6, 90, 200, "song")
    assert selections.once([*copies, other]) == (Annotation(5, 6, 90, 200, "call", review=kept), other)


def test_tables_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.selections.txt").write_text("Start\tStop\n1\t2\n")
    (tmp_path / "b.selections.txt").write_bytes(HEADER.encode() + b"1\t5\t6\tb.wav\t5\t\tr\xe9petition\n")
    write(tmp_path / "gone.selections.txt")
    placement = selections.place(selections.find_tables(tmp_path), [recording("a.wav"), recording("b.wav")])
    assert placement.by_recording == {}
    wrong, latin, gone = placement.problems
    assert "a.selections.txt: no Raven selection table" in wrong
    assert "b.selections.txt: cannot be read" in latin
    assert "gone.selections.txt: no selections, and named after none" in gone


def test_rows_of_two_tables_in_one_are_all_there(tmp_path: Path) -> None:
    rows = ("1\t5\t6\ta.wav\t5\t\tcall", "2\t7\t8\ta.wav\t7\t\tcall", "1\t15\t16\ta.wav\t15\t\tcall")
    assert len(selections.read_selections(write(tmp_path / "x.txt", *rows))) == 3


@pytest.mark.parametrize(
    ("label", "further", "uncertain"),
    [("call", (), False), ("Call?", (), True), ("MAYBE", (), True), ("song", ("Song",), True), ("", (), False)],
)
def test_labels_that_say_neither_call_nor_not(label: str, further: tuple[str, ...], uncertain: bool) -> None:
    assert selections.is_uncertain(label, further) is uncertain


def test_a_detectors_table_is_no_annotation_until_somebody_has_judged(tmp_path: Path) -> None:
    header = HEADER.replace("\n", "\tReview\tDetector\n")
    path = tmp_path / "x.txt"
    path.write_text(header + "1\t5\t6\ta.wav\t5\t\tcall\tunreviewed\twhalescan\n")
    assert selections.is_only_a_detectors(path)
    path.write_text(header + "1\t5\t6\ta.wav\t5\t\tcall\tYes\twhalescan\n")
    assert not selections.is_only_a_detectors(path)
    assert selections.read_selections(path)[0].review == "yes"


def test_tables_are_found_among_other_texts(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    table = write(tmp_path / "deep" / "a.txt")
    (tmp_path / "readme.txt").write_text("no table")
    (tmp_path / "clip.txt").write_bytes(b"\xff\xfe\x00")
    assert selections.find_tables(tmp_path) == [table]
    assert selections.find_tables(table) == [table]
