"""Selection tables: reading, the recording of each selection, and problems."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import make_recording
from whalescan.core import Annotation
from whalescan.tables import raven, selections

HEADER = "Selection\tBegin Time (s)\tEnd Time (s)\tBegin File\tFile Offset (s)\tBegin Path\tAnnotation\n"


def write(path: Path, *rows: str) -> Path:
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return path


def test_a_deployment_table_is_assigned_to_its_recordings(tmp_path: Path) -> None:
    table = write(
        tmp_path / "all.txt", "1\t112.5\t113.5\tb.wav\t12.5\tD:\\x\\b.wav\tcall", "2\t5\t6\ta.wav\t5\tD:\\x\\a.wav\tcall"
    )
    assigned = selections.assign_to_recordings([table], [make_recording("a"), make_recording("b")])
    assert assigned.problems == ()
    assert {name: [(a.begin_s, a.end_s) for a in found] for name, found in assigned.by_recording.items()} == {
        "a": [(5, 6)],
        "b": [(12.5, 13.5)],
    }


def test_folders_distinguish_recordings_of_one_name(tmp_path: Path) -> None:
    table = write(tmp_path / "all.txt", "1\t5\t6\ta.wav\t5\tD:\\survey\\site2\\a.wav\tcall")
    assigned = selections.assign_to_recordings([table], [make_recording("site1/a"), make_recording("site2/a")])
    assert list(assigned.by_recording) == ["site2/a"]


def test_the_table_name_gives_the_recording_where_no_column_does(tmp_path: Path) -> None:
    path = tmp_path / "a.b.Table.1.selections.txt"
    path.write_bytes(raven.annotation_bytes([]))
    assigned = selections.assign_to_recordings([path], [make_recording("a"), make_recording("a.b"), make_recording("c")])
    assert assigned.by_recording == {"a.b": ()}, "annotated and empty; the others were not annotated"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("1\t5\t6\tgone.wav\t5\t\tcall", "gone.wav"),
        ("1\t99\t101\ta.wav\t99\t\tcall", "within the 100 s of a.wav"),
        ("1\t5\t6\t\t\t\tcall", "names no sound file"),
        ("1\tfive\t6\ta.wav\t5\t\tcall", "line 2"),
    ],
)
def test_unassigned_selections_are_problems(tmp_path: Path, row: str, words: str) -> None:
    bad = write(tmp_path / "bad.txt", row)
    good = write(tmp_path / "good.txt", "1\t1\t2\ta.wav\t1\t\tcall")
    assigned = selections.assign_to_recordings([bad, good], [make_recording("a")])
    assert [a.begin_s for a in assigned.by_recording["a"]] == [1]
    assert len(assigned.problems) == 1
    assert words in assigned.problems[0]


def test_times_in_a_sequence_of_files_are_no_offsets(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("Begin Time (s)\tEnd Time (s)\tBegin File\n50\t51\ta.wav\n50\t51\tb.wav\n")
    assigned = selections.assign_to_recordings([path], [make_recording("a"), make_recording("b")])
    assert assigned.by_recording == {}
    assert all("File Offset (s)" in problem for problem in assigned.problems)


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
def test_duplicates_are_merged_with_their_reviews(reviews: list[str], kept: str) -> None:
    copies = [Annotation(5, 6, 90, 200, "call", review=review) for review in reviews]
    other = Annotation(5, 6, 90, 200, "song")
    assert selections.merge_duplicates([*copies, other]) == (Annotation(5, 6, 90, 200, "call", review=kept), other)


def test_unreadable_tables_are_problems(tmp_path: Path) -> None:
    (tmp_path / "a.selections.txt").write_text("Start\tStop\n1\t2\n")
    (tmp_path / "b.selections.txt").write_bytes(HEADER.encode() + b"1\t5\t6\tb.wav\t5\t\tr\xe9petition\n")
    write(tmp_path / "gone.selections.txt")
    assigned = selections.assign_to_recordings(selections.find_tables(tmp_path), [make_recording("a"), make_recording("b")])
    assert assigned.by_recording == {}
    wrong, latin, gone = assigned.problems
    assert "a.selections.txt" in wrong
    assert "b.selections.txt" in latin
    assert "gone.selections.txt" in gone


def test_a_table_may_contain_two_numberings(tmp_path: Path) -> None:
    rows = ("1\t5\t6\ta.wav\t5\t\tcall", "2\t7\t8\ta.wav\t7\t\tcall", "1\t15\t16\ta.wav\t15\t\tcall")
    assert len(selections.read_selections(write(tmp_path / "x.txt", *rows))) == 3


@pytest.mark.parametrize(
    ("label", "further", "uncertain"),
    [("call", (), False), ("Call?", (), True), ("MAYBE", (), True), ("song", ("Song",), True), ("", (), False)],
)
def test_uncertain_labels(label: str, further: tuple[str, ...], uncertain: bool) -> None:
    assert selections.is_uncertain(label, further) is uncertain


def test_a_detector_table_is_unreviewed_until_it_contains_a_review(tmp_path: Path) -> None:
    header = HEADER.replace("\n", "\tReview\tDetector\n")
    path = tmp_path / "x.txt"
    path.write_text(header + "1\t5\t6\ta.wav\t5\t\tcall\tunreviewed\twhalescan\n")
    assert selections.is_unreviewed_detector_table(path)
    path.write_text(header + "1\t5\t6\ta.wav\t5\t\tcall\tYes\twhalescan\n")
    assert not selections.is_unreviewed_detector_table(path)
    assert selections.read_selections(path)[0].review == "yes"


def test_tables_are_found_among_other_text_files(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    table = write(tmp_path / "deep" / "a.txt")
    (tmp_path / "readme.txt").write_text("no table")
    (tmp_path / "clip.txt").write_bytes(b"\xff\xfe\x00")
    assert selections.find_tables(tmp_path) == [table]
    assert selections.find_tables(table) == [table]
