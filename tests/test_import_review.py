"""Import of Raven tables that analysts edited."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

import whalescan
from tests.builders import LOW_THRESHOLD
from whalescan import Status, TableError, UsageError
from whalescan.cli import review as reviewing
from whalescan.core import Annotation, Detection, Outcome, Recording, RecordingResult
from whalescan.core.files import write_atomically
from whalescan.detections.validations import Validation
from whalescan.options import TableOptions
from whalescan.review.raven.import_review import ImportCounts, ReviewImport, import_review
from whalescan.review.raven.time_axis import box_edges, snapped_edges
from whalescan.scores import validation_store
from whalescan.survey.finished_run import open_finished_run
from whalescan.survey.run import detect
from whalescan.tables import manifest
from whalescan.tables.noaa.pars import PARS_EXAMPLE

DEPLOYMENT = "deployment.whalescan.sound.selections.txt"
Row = dict[str, str]
BLANK = dict.fromkeys(("Begin File", "File Offset (s)", "Begin Path", "Detection ID", "Review", "Score", "Annotation"), "")


def rows_of(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def save(path: Path, rows: list[Row], end: str = "\n") -> Path:
    columns = list(rows[0])
    lines = ["\t".join(columns), *("\t".join(row[column] for column in columns) for row in rows)]
    path.write_bytes("".join(f"{line}{end}" for line in lines).encode())
    return path


def recording_table(out: Path) -> Path:
    """Return the table of the recording with most detections."""
    paths = sorted((out / "selections").iterdir(), key=lambda path: len(rows_of(path)))
    assert len(rows_of(paths[-1])) >= 3
    return paths[-1]


def stored(out: Path) -> dict[str, tuple[str, str]]:
    """Return review and origin of the latest validations by detection ID."""
    validations = validation_store.read_validations(out)
    return {detection_id: (validation.review, validation.origin) for detection_id, validation in validations.items()}


def edited(out: Path, path: Path, edit: Callable[[list[Row]], list[Row] | None], name: str = "") -> ReviewImport:
    """Import a copy of a table with edited rows."""
    rows = rows_of(path)
    rows = edit(rows) or rows
    return import_review(out, [save(out.parent / (name or path.name), rows)])


def review_of(out: Path) -> dict[str, str]:
    found = pd.read_csv(out / "detections.csv")
    return dict(zip(found["detection_id"], found["review"], strict=True))


def test_an_unchanged_table_adds_nothing(out: Path) -> None:
    copies = [save(out.parent / path.name, rows_of(path)) for path in (out / DEPLOYMENT, *(out / "selections").iterdir())]
    imported = import_review(out, copies)
    assert stored(out) == {}
    assert imported.problems == imported.notes == ()
    assert imported.n_tables == 4
    assert imported.exit_code == 0
    assert not (out / validation_store.VALIDATIONS_FILE).exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "review"), [("yes", "yes"), (" YES ", "yes"), ("y", "yes"), ("N", "no"), ("?", "maybe"), ("Maybe", "maybe")]
)
def test_the_review_cell_is_stored(out: Path, cell: str, review: str) -> None:
    def edit(rows: list[Row]) -> None:
        rows[0]["Review"], rows[1]["Review"] = cell, ""

    path = recording_table(out)
    imported = edited(out, path, edit)
    first = rows_of(path)[0]["Detection ID"]
    assert stored(out) == {first: (review, "review")}
    assert {"yes": imported.counts.n_yes, "no": imported.counts.n_no, "maybe": imported.counts.n_maybe}[review] == 1
    assert imported.problems == ()
    assert review_of(out)[first] == review


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["yes", "no", "maybe", "deleted"])
def test_a_review_of_an_heir_applies_to_the_lost_detection(out: Path, cell: str) -> None:
    path = recording_table(out)
    detection_id = rows_of(path)[1]["Detection ID"]
    (heir,) = (call for call in open_finished_run(out).read_detections() if call.detection_id == detection_id)
    lost_id = f"{heir.detection_id[:-9]}{int(heir.detection_id[-9:]) + 100:09d}"  # of a peak 0.1 s later
    lost = replace(heir, detection_id=lost_id, begin_s=heir.begin_s + 0.1, end_s=heir.end_s + 0.1)
    by_other_model = replace(Validation.of_detection(lost, "yes", "review"), reviewer="Ada")
    validation_store.append_validations(out, [by_other_model])
    detect(out)
    before = review_of(out)
    assert before[detection_id] == "yes"
    assert lost.detection_id not in before

    def edit(rows: list[Row]) -> list[Row]:
        if cell == "deleted":
            return [row for row in rows if row["Detection ID"] != detection_id]
        return [row | {"Review": cell} if row["Detection ID"] == detection_id else row for row in rows]

    imported = edited(out, path, edit)
    assert imported.problems == ()
    review = "no" if cell == "deleted" else cell
    assert review_of(out) == before | {detection_id: review}, "the lost one stays hidden"
    assert set(stored(out)) == ({lost.detection_id} if cell == "yes" else {lost.detection_id, detection_id})
    if cell != "yes":
        assert stored(out)[lost.detection_id][0] == "unreviewed"
        assert [validation.reviewer for validation in validation_store.read_earlier_validations(out)[detection_id]] == [
            "Ada"
        ]


def test_a_deleted_row_counts_as_no_and_can_be_restored(out: Path) -> None:
    path = recording_table(out)
    gone = rows_of(path)[1]["Detection ID"]
    imported = edited(out, path, lambda rows: [rows[0], *rows[2:]])
    assert stored(out) == {gone: ("no", "deleted")}
    assert (imported.counts.n_deleted, imported.counts.n_no) == (1, 0)
    back = import_review(out, [save(out.parent / path.name, [row | {"Review": "unreviewed"} for row in rows_of(path)])])
    assert stored(out)[gone] == ("unreviewed", "review")
    assert back.counts.n_restored == 1


def test_an_emptied_table_rejects_all_its_detections(out: Path) -> None:
    path = recording_table(out)
    ids = {row["Detection ID"] for row in rows_of(path)}
    every = {row["Detection ID"] for row in rows_of(out / DEPLOYMENT)}
    header = path.read_text().split("\n", 1)[0]
    (out.parent / path.name).write_text(header + "\n")
    assert import_review(out, [out.parent / path.name]).counts.n_deleted == len(ids)
    assert set(stored(out)) == ids
    (out.parent / DEPLOYMENT).write_text(header + "\r\n")
    import_review(out, [out.parent / DEPLOYMENT])
    assert stored(out) == dict.fromkeys(every, ("no", "deleted"))


def test_double_rows_and_windows_line_ends_are_accepted(out: Path) -> None:
    def edit(rows: list[Row]) -> list[Row]:
        rows[0]["Review"] = "yes"
        return [row | {"View": view} for row in rows for view in ("Waveform 1", "Spectrogram 1")]

    path = recording_table(out)
    rows = edit(rows_of(path))
    imported = import_review(out, [save(out.parent / path.name, rows, "\r\n")])
    assert [entry[0] for entry in stored(out).values()] == ["yes"]
    assert imported.problems == ()
    in_waveforms = [row | {"View": "Waveform 1", "Low Freq (Hz)": "", "High Freq (Hz)": ""} for row in rows_of(path)]
    import_review(out, [save(out.parent / path.name, in_waveforms)])
    assert len(stored(out)) == 1, "a row in a waveform only counts as a row"


@pytest.mark.slow
@pytest.mark.parametrize("offset", ["both", "stale", "sound", "blank"])
@pytest.mark.parametrize("of_deployment", [True, False])
def test_a_moved_box_is_stored_for_both_ways_of_opening_a_table(out: Path, offset: str, of_deployment: bool) -> None:
    path = out / DEPLOYMENT if of_deployment else recording_table(out)
    row = rows_of(path)[-1]
    detection_id, offset_s, begin_s, end_s = row["Detection ID"], *(float(row[k]) for k in list(row)[8:9] + list(row)[3:5])

    def edit(rows: list[Row]) -> None:
        if offset != "sound":
            rows[-1]["Begin Time (s)"], rows[-1]["End Time (s)"] = f"{begin_s - 0.25:.3f}", f"{end_s - 0.25:.3f}"
        if offset in ("both", "sound"):
            rows[-1]["File Offset (s)"] = f"{offset_s - 0.25:.3f}"
        if offset == "blank":
            rows[-1]["File Offset (s)"] = ""

    imported = edited(out, path, edit)
    assert imported.problems == ()
    assert (imported.counts.n_moved, imported.counts.n_deleted) == (1, 0)
    assert stored(out) == {detection_id: ("unreviewed", "moved")}
    moved = validation_store.read_validations(out)[detection_id]
    assert moved.begin_s == pytest.approx(offset_s - 0.25, abs=0.0011)
    assert moved.end_s - moved.begin_s == pytest.approx(end_s - begin_s, abs=0.0021)
    assert (moved.low_hz, moved.score) != (0, None)
    written = pd.read_csv(out / "detections.csv").set_index("detection_id")
    assert written.loc[detection_id, "begin_s"] == pytest.approx(moved.begin_s, abs=1e-6)


def test_contradictory_times_are_a_problem_and_the_review_is_stored(out: Path) -> None:
    def edit(rows: list[Row]) -> None:
        rows[0]["Begin Time (s)"] = f"{float(rows[0]['Begin Time (s)']) + 0.1:.6f}"
        rows[0]["File Offset (s)"] = f"{float(rows[0]['File Offset (s)']) + 0.2:.6f}"
        rows[0]["Review"] = "yes"

    path = recording_table(out)
    imported = edited(out, path, edit)
    assert "File Offset" in imported.problems[0]
    assert imported.exit_code == 3
    assert list(stored(out).values()) == [("yes", "review")]


def test_begin_times_of_other_files_move_nothing(out: Path) -> None:
    """Raven saved a sound selection table with only some of the recordings open."""

    def edit(rows: list[Row]) -> None:
        for row in rows:
            for name in ("Begin Time (s)", "End Time (s)"):
                row[name] = f"{float(row[name]) + 3600:.6f}"

    assert edited(out, out / DEPLOYMENT, edit).problems == ()
    assert stored(out) == {}


def test_changed_frequencies_are_stored_and_rounding_is_not(out: Path) -> None:
    def edit(rows: list[Row]) -> None:
        rows[0]["Low Freq (Hz)"] = "61.5"
        for row in rows[1:]:
            row["Begin Time (s)"], row["File Offset (s)"] = (
                f"{float(row[k]):.3f}" for k in ("Begin Time (s)", "File Offset (s)")
            )

    path = recording_table(out)
    assert edited(out, path, edit).counts.n_moved == 1
    ((detection_id, validation),) = validation_store.read_validations(out).items()
    assert (detection_id, validation.low_hz) == (rows_of(path)[0]["Detection ID"], 61.5)
    again = edited(out, path, list)
    assert (again.counts.n_moved, len(validation_store.read_validations(out))) == (0, 1), "the new table contains the box"


def test_a_box_that_extends_into_the_next_recording_is_kept() -> None:
    """Raven's tables end with their recordings; the rest of the box is kept."""
    recording = Recording("a", Path("a.wav"), "a.wav", 2000, 80_000, 1, 44)
    file = RecordingResult.of(recording, Outcome(Status.DONE, 40.0, 1))
    call = Detection("a", 1, 39.5, 40.625, 90.0, 200.0, "upcall", 0.9, "a-000040062")
    assert snapped_edges(Annotation(39.5, 40.0, 90, 200, "upcall"), 39.5, call, file) == box_edges(call)
    assert snapped_edges(Annotation(39.4, 40.0, 90, 200, "upcall"), 39.4, call, file) == (39.4, 40.625, 90, 200)
    assert snapped_edges(Annotation(39.5, 39.9, 90, 200, "upcall"), 39.5, call, file) == pytest.approx((39.5, 39.9, 90, 200))


@pytest.mark.slow
def test_rows_without_an_id_are_added_calls(out: Path) -> None:
    path = out / DEPLOYMENT
    second = pd.read_csv(out / "files.csv").iloc[1]

    def edit(rows: list[Row]) -> list[Row]:
        drawn = rows[0] | BLANK | {"Begin Time (s)": "41.5", "End Time (s)": "42.25"}
        note = {"Begin Path": second["path"], "File Offset (s)": "33.0", "Begin Time (s)": "73.0", "End Time (s)": "74.0"}
        labelled = rows[0] | BLANK | note | {"Annotation": "gunshot", "Review": "maybe"}
        return [*rows, drawn, labelled]

    imported = edited(out, path, edit)
    name = second["recording"]
    assert imported.problems == ()
    assert imported.counts.n_added == 2
    assert stored(out) == {f"{name}-human-000001875": ("yes", "added"), f"{name}-human-000033500": ("maybe", "added")}
    drawn, labelled = validation_store.read_validations(out).values()
    assert (drawn.begin_s, drawn.end_s, drawn.score, drawn.label) == (1.5, 2.25, None, "NARW upcall")
    assert labelled.label == "gunshot"
    again = import_review(out, [out.parent / path.name])
    assert (again.counts.n_added, again.counts.n_yes, len(validation_store.read_validations(out))) == (0, 0, 2)
    assert edited(out, path, list).problems == (), "they are recognised by their IDs"


def test_a_second_row_with_the_same_id_is_an_added_call(out: Path) -> None:
    def edit(rows: list[Row]) -> list[Row]:
        copy = dict(rows[0])
        copy["Begin Time (s)"], copy["End Time (s)"] = "38.0", "39.0"
        return [copy, *rows]

    path = recording_table(out)
    imported = edited(out, path, edit)
    assert (imported.counts.n_added, imported.counts.n_moved, imported.counts.n_deleted, imported.problems) == (1, 0, 0, ())
    (added,) = stored(out)
    assert added.endswith("-human-000038500")


def test_an_added_call_is_deleted_only_by_a_table_that_showed_it(out: Path) -> None:
    path = recording_table(out)
    original = save(out.parent / "copy.selections.txt", rows_of(path))

    def edit(rows: list[Row]) -> list[Row]:
        begins = ("37.0", "38.5")
        times = [{"Begin Time (s)": begin, "End Time (s)": f"{float(begin) + 0.5}"} for begin in begins]
        return [*rows, *(rows[0] | BLANK | {"Begin Path": rows[0]["Begin Path"]} | time for time in times)]

    edited(out, path, edit)
    first, last = stored(out)
    old = import_review(out, [original])
    assert stored(out) == dict.fromkeys((first, last), ("yes", "added"))
    assert any("2 added calls" in note for note in old.notes)
    edited(out, path, lambda rows: [row for row in rows if row["Detection ID"] != first])
    assert stored(out) == {first: ("no", "deleted"), last: ("yes", "added")}
    assert first not in review_of(out)


def test_a_second_import_changes_nothing(out: Path) -> None:
    def edit(rows: list[Row]) -> list[Row]:
        rows[0]["Review"] = "no"
        rows[1]["End Time (s)"] = f"{float(rows[1]['End Time (s)']) + 0.3:.6f}"
        return [*rows[:2], rows[0] | BLANK | {"Begin Time (s)": "100", "End Time (s)": "101"}]

    edited(out, out / DEPLOYMENT, edit)
    before = validation_store.read_validations(out)
    tables = {p: p.read_bytes() for p in out.rglob("*.whalescan*.txt")}
    again = import_review(out, [out.parent / DEPLOYMENT], "Ana")
    assert validation_store.read_validations(out) == before
    assert (
        again.counts.n_yes
        == again.counts.n_no
        == again.counts.n_deleted
        == again.counts.n_added
        == again.counts.n_moved
        == 0
    )
    assert {p: p.read_bytes() for p in out.rglob("*.whalescan*.txt")} == tables


def test_a_later_review_replaces_an_earlier_one(out: Path) -> None:
    path = recording_table(out)
    first = rows_of(path)[0]["Detection ID"]
    original = save(out.parent / "older.selections.txt", rows_of(path))
    edited(out, path, lambda rows: rows[0].update(Review="yes"))
    import_review(out, [original])
    assert stored(out) == {first: ("yes", "review")}
    edited(out, path, lambda rows: rows[0].update(Review="no"))
    assert stored(out) == {first: ("no", "review")}


def test_contradictory_tables_give_maybe(out: Path) -> None:
    path = recording_table(out)
    yes, no = rows_of(path), rows_of(path)
    yes[0]["Review"], no[0]["Review"] = "yes", "no"
    tables = [save(out.parent / f"{name}.selections.txt", rows) for name, rows in (("yes", yes), ("no", no))]
    imported = import_review(out, tables)
    assert list(stored(out).values()) == [("maybe", "review")]
    assert "yes.selections.txt says yes" in imported.problems[0]
    assert imported.exit_code == 3


@pytest.mark.slow
def test_a_detection_that_the_table_never_showed_is_not_deleted(out: Path) -> None:
    """The table was written at a high threshold, and later ones at a lower threshold."""
    scores = sorted(float(row["Score"]) for row in rows_of(out / DEPLOYMENT))
    high = (scores[3] + scores[4]) / 2
    detect(out, high)
    kept = save(out.parent / DEPLOYMENT, rows_of(out / DEPLOYMENT))
    assert len(rows_of(kept)) == len(scores) - 4
    low = detect(out, LOW_THRESHOLD).detections
    gone = rows_of(kept)[0]["Detection ID"]
    save(kept, rows_of(kept)[1:])
    imported = import_review(out, [kept])
    assert stored(out) == {gone: ("no", "deleted")}
    assert any("4 unreviewed detections" in note and f"{high:g}" in note for note in imported.notes)
    lowest = min(low, key=lambda call: call.score or 0).detection_id
    second = sorted(low, key=lambda call: call.score or 0)[1].detection_id
    edited(out, out / DEPLOYMENT, lambda rows: [row for row in rows if row["Detection ID"] != second])
    assert stored(out) == {gone: ("no", "deleted"), second: ("no", "deleted")}, "this one shows the low ones, too"
    assert review_of(out)[lowest] == "unreviewed"


def test_a_review_applies_at_every_threshold(out: Path) -> None:
    scores = {row["Detection ID"]: float(row["Score"]) for row in rows_of(out / DEPLOYMENT)}
    lowest, second, *_, highest = sorted(scores, key=scores.__getitem__)
    edited(
        out,
        out / DEPLOYMENT,
        lambda rows: [
            row | {"Review": "yes"} if row["Detection ID"] == lowest else row
            for row in rows
            if row["Detection ID"] != second
        ],
    )
    assert stored(out) == {lowest: ("yes", "review"), second: ("no", "deleted")}
    above = {call.detection_id: call.review for call in detect(out, scores[highest] - 1e-4).detections}
    assert above.keys() >= {lowest, highest}
    assert above[lowest] == "yes"
    assert second not in above
    edited(out, out / DEPLOYMENT, lambda rows: [row for row in rows if row["Detection ID"] == lowest])
    assert set(stored(out)) >= {lowest, second, highest}
    assert len(stored(out)) < len(scores), "a detection shown at any threshold does not determine the table's"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Review": "perhaps"}, "'perhaps'"),
        ({"Begin Time (s)": "5000", "End Time (s)": "5001", "File Offset (s)": ""}, "does not lie within the 40 s"),
        ({"Low Freq (Hz)": "400", "High Freq (Hz)": "300"}, "edges of 400 and 300 Hz"),
        ({"Detection ID": "", "Begin Path": "C:\\gone.wav", "Begin File": "gone.wav"}, "lies in C:\\gone.wav"),
        ({"Detection ID": "", "Begin Time (s)": "3", "File Offset (s)": "7", "End Time (s)": "4"}, "File Offset"),
    ],
)
def test_invalid_rows_are_problems_and_the_others_are_imported(out: Path, change: Row, words: str) -> None:
    def edit(rows: list[Row]) -> list[Row]:
        rows[1]["Review"] = "yes"
        bad = rows[0] | change | {"Selection": "99"}
        return [rows[0], bad, *rows[1:]] if "Detection ID" in change else [bad, *rows[1:]]

    path = recording_table(out)
    imported = edited(out, path, edit)
    assert len(imported.problems) == 1
    assert re.search(f"{re.escape(path.name)}.*selection at .*{re.escape(words)}", imported.problems[0])
    assert stored(out) == {rows_of(path)[1]["Detection ID"]: ("yes", "review")}


def test_tables_of_other_runs_are_rejected(out: Path) -> None:
    path = recording_table(out)
    rows = rows_of(path)
    good = save(out.parent / "good.selections.txt", [row | {"Review": "yes"} for row in rows])
    strange = save(out.parent / "strange.txt", [row | {"Detection ID": f"b-{i:09d}"} for i, row in enumerate(rows)])
    nameless = save(out.parent / "nameless.txt", [{k: v for k, v in row.items() if k != "Detection ID"} for row in rows])
    with pytest.raises(TableError, match=rf"strange\.txt: .* {len(rows)} .* b-000000000"):
        import_review(out, [good, strange])
    with pytest.raises(TableError, match="no column Detection ID"):
        import_review(out, [good, nameless])
    with pytest.raises(TableError, match=r"gone\.txt"):
        import_review(out, [good, out / "gone.txt"])
    with pytest.raises(TableError, match=r"run\.json"):
        import_review(out.parent, [good])
    with pytest.raises(UsageError, match="no Raven tables"):
        import_review(out, [])
    assert stored(out) == {}


def test_an_empty_table_of_unknown_name_is_a_problem(out: Path) -> None:
    empty = out.parent / "mine.selections.txt"
    empty.write_text(recording_table(out).read_text().split("\n", 1)[0])
    assert str(empty) in import_review(out, [empty]).problems[0]
    assert stored(out) == {}


def test_the_command_reports_counts_and_precision(out: Path) -> None:
    path = recording_table(out)
    rows = rows_of(path)
    rows[0]["Review"], rows[1]["Review"] = "yes", "no"
    table = save(out.parent / path.name, rows)
    done = CliRunner().invoke(reviewing.import_review, [str(out), str(table), "--reviewer", "Ana"])
    assert done.exit_code == 0, done.output
    assert "1 yes, 1 no, 0 maybe; 0 deleted, 0 added, 0 moved" in done.output
    assert "0.500 (95 % interval 0.095 to 0.905)" in done.output
    assert {validation.reviewer for validation in validation_store.read_validations(out).values()} == {"Ana"}
    rows[2]["Review"] = "pehraps"
    assert CliRunner().invoke(reviewing.import_review, [str(out), str(save(table, rows))]).exit_code == 3


def review(path: Path, **reviews: str) -> Path:
    """Write reviews into rows of a table, by their numbers: ``_0="yes"``."""
    rows = rows_of(path)
    for name, cell in reviews.items():
        rows[int(name[1:])]["Review"] = cell
    return save(path, rows, "\r\n")  # as Raven saves it, so not as it was written


def kept_versions(out: Path) -> list[str]:
    return sorted(path.name.split(".reviewed-")[1] for path in out.rglob("*.reviewed-*"))


@pytest.mark.slow
def test_kept_versions_undo_no_later_review(out: Path) -> None:
    path = recording_table(out)
    first, second, *_ = (row["Detection ID"] for row in rows_of(path))
    save(path, [rows_of(path)[0] | {"Review": "yes"}, *rows_of(path)[2:]])
    import_review(out, [path])
    assert stored(out) == {first: ("yes", "review"), second: ("no", "deleted")}
    review(path, _0="no", _1="maybe")
    import_review(out, [path])
    later = {first: ("no", "review"), second: ("maybe", "review")}
    assert stored(out) == later
    assert len(kept_versions(out)) == 2
    for folder in (out / "selections", out):
        again = import_review(out, [folder])
        assert stored(out) == later
        assert (again.problems, again.notes, again.n_tables) == ((), (), 0)
    named = import_review(out, sorted(out.rglob("*.reviewed-*")))
    assert (stored(out), named.n_tables, len(named.notes)) == (later, 0, 1)
    assert ".reviewed-1.selections.txt" in named.notes[0]
    assert len(import_review(out, sorted(out.rglob("*.reviewed-1.*"))).notes) == 1


@pytest.mark.slow
def test_of_successive_versions_the_last_review_counts(out: Path) -> None:
    path = recording_table(out)
    first, second, third, *_ = (row["Detection ID"] for row in rows_of(path))
    review(path, _0="yes", _1="maybe")
    save(path, [row for row in rows_of(path) if row["Detection ID"] != third])
    detect(out)  # the changed table is renamed
    review(path, _0="no")
    detect(out)
    review(path, _1="yes")
    assert kept_versions(out) == ["1.selections.txt", "2.selections.txt"]
    imported = import_review(out, [out / "selections"])
    assert stored(out) == {first: ("no", "review"), second: ("yes", "review"), third: ("no", "deleted")}
    assert (imported.problems, imported.n_tables) == ((), 3)


@pytest.mark.slow
def test_a_repeated_review_is_new(out: Path) -> None:
    path = recording_table(out)
    first, untouched = rows_of(path)[0]["Detection ID"], rows_of(path)
    for review in ("yes", "no"):
        save(path, [untouched[0] | {"Review": review}, *untouched[1:]], "\r\n")
        import_review(out, [path])
    save(path, [untouched[0] | {"Review": "yes"}, *untouched[1:]], "\r\n")  # equal to the first one
    detect(out)
    assert stored(out) == {first: ("no", "review")}
    import_review(out, [out / "selections"])
    assert stored(out) == {first: ("yes", "review")}


def test_an_unchanged_table_undoes_no_review_from_elsewhere(out: Path) -> None:
    path = recording_table(out)
    first = rows_of(path)[0]["Detection ID"]
    review(path, _0="yes")
    import_review(out, [path])
    (known,) = validation_store.read_validations(out).values()
    validation_store.append_validations(out, [replace(known, review="no", source="review page")])
    import_review(out, [out])
    assert stored(out) == {first: ("no", "review")}


def test_reviews_are_kept_without_a_manifest(out: Path) -> None:
    (out / manifest.MANIFEST_FILE).unlink()
    path = recording_table(out)
    review(path, _0="yes")
    assert import_review(out, [path]).counts.n_yes == 1
    assert len(kept_versions(out)) == 1, "only the changed one"


@pytest.mark.slow
@pytest.mark.parametrize("added", [0, -1])
def test_a_recording_added_after_a_table_is_not_missing_in_it(
    simulated_recordings: Path, tmp_path: Path, added: int
) -> None:
    """After the others, and before them, where it shifts all times."""
    folder, out = tmp_path / "simulated", tmp_path / "out"
    sounds = sorted(path for path in simulated_recordings.iterdir() if path.suffix != ".txt")
    late = sounds.pop(added)
    folder.mkdir()
    for path in sounds:
        shutil.copy(path, folder)
    whalescan.scan(folder, out, hop_s=1.0, threshold=LOW_THRESHOLD)
    early = rows_of(out / DEPLOYMENT)
    shutil.copy(late, folder)
    whalescan.scan(folder, out, hop_s=1.0, threshold=LOW_THRESHOLD)
    every = {row["Detection ID"] for row in rows_of(out / DEPLOYMENT)}
    shown = {row["Detection ID"] for row in early}
    assert len(every - shown) >= 2
    table = save(tmp_path / DEPLOYMENT, [early[0] | {"Review": "yes"}, *early[2:]])
    imported = import_review(out, [table])
    gone = early[1]["Detection ID"]
    assert stored(out) == {early[0]["Detection ID"]: ("yes", "review"), gone: ("no", "deleted")}
    assert imported.problems == ()
    (note,) = imported.notes
    assert f"{len(every - shown)} detections" in note
    table.write_text("\t".join(early[0]) + "\n")
    import_review(out, [table])
    assert stored(out).keys() == shown, "an emptied table of the first write"
    now = rows_of(out / DEPLOYMENT)
    kept = next(row for row in now if row["Detection ID"] not in shown)
    import_review(out, [save(table, [kept])])
    assert stored(out).keys() == every - {kept["Detection ID"]}, "this one shows the later recording"


def high(out: Path) -> float:
    """Return a threshold that some detections do not reach."""
    scores = sorted(float(row["Score"]) for row in rows_of(out / DEPLOYMENT))
    return (scores[3] + scores[4]) / 2


def test_after_an_interrupted_write_no_table_counts_as_changed(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted when half of the tables are written, at another threshold; the next write renames nothing."""
    written: list[Path] = []

    def killed(path: Path, content: bytes) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path)
        write_atomically(path, content)

    monkeypatch.setattr(manifest, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        detect(out, high(out))
    monkeypatch.undo()
    assert len(written) == 3, "the manifest, and two tables"
    detect(out, LOW_THRESHOLD)
    assert not list(out.rglob("*.reviewed-*"))
    assert import_review(out, [out / "selections"]).counts == ImportCounts()


@pytest.mark.slow
def test_a_row_reviewed_before_does_not_determine_the_threshold(out: Path) -> None:
    """A detection confirmed at a low threshold stays in tables at a high one; a ``no`` there deletes no others."""
    weak = min(rows_of(out / DEPLOYMENT), key=lambda row: float(row["Score"]))

    def set_review(review: str) -> Callable[[list[Row]], None]:
        def edit(rows: list[Row]) -> None:
            next(row for row in rows if row["Detection ID"] == weak["Detection ID"])["Review"] = review

        return edit

    edited(out, out / DEPLOYMENT, set_review("yes"))
    detect(out, high(out))
    for _ in range(2):
        table = out.parent / f"second-{DEPLOYMENT}"
        rows = rows_of(out / DEPLOYMENT) if not table.exists() else rows_of(table)
        set_review("no")(rows)
        assert import_review(out, [save(table, rows)]).counts.n_deleted == 0


def test_an_impossible_report_is_an_error_before_anything_is_stored(out: Path, tmp_path: Path) -> None:
    facts = tmp_path / "pars.toml"
    facts.write_text(PARS_EXAMPLE)
    detect(out, options=TableOptions(pars=str(facts)))
    facts.unlink()
    with pytest.raises(UsageError, match=r"whalescan detect .* --pars ''"):
        edited(out, recording_table(out), lambda rows: rows[0].update(Review="yes"))
    assert validation_store.read_validations(out) == {}


@pytest.mark.slow
def test_a_box_with_one_changed_column_stays_after_a_second_import(out: Path) -> None:
    path = recording_table(out)
    note = {"Begin Time (s)": "17.0", "End Time (s)": "18.0", "Low Freq (Hz)": "60", "High Freq (Hz)": "200", "Channel": "1"}
    edited(out, path, lambda rows: [*rows, rows[0] | BLANK | note])

    def drag(rows: list[Row]) -> None:
        (drawn,) = (row for row in rows if row["Score"] == "")
        drawn["Begin Time (s)"], drawn["End Time (s)"] = "19.0", "20.0"

    assert edited(out, path, drag).counts.n_moved == 1
    table = out.parent / path.name
    for _ in range(2):
        assert import_review(out, [table]).counts.n_moved == 0
        assert [validation.begin_s for validation in validation_store.read_validations(out).values()] == [19.0]


@pytest.mark.slow
def test_tables_with_different_boxes_move_a_detection_once(out: Path) -> None:
    path = recording_table(out)
    tables = []
    for name, by_s in (("a", 0.2), ("b", 0.5)):
        rows = rows_of(path)
        for column in ("Begin Time (s)", "File Offset (s)", "End Time (s)"):
            rows[0][column] = f"{float(rows[0][column]) + by_s:.6f}"
        (out.parent / name).mkdir()
        tables.append(save(out.parent / name / path.name, rows))
    first = import_review(out, tables)
    assert "hold different boxes" in first.problems[0]
    assert first.counts.n_moved == 1
    before = validation_store.read_validations(out)
    assert before[rows[0]["Detection ID"]].begin_s == pytest.approx(float(rows[0]["Begin Time (s)"]) - 0.3, abs=0.002)
    for _ in range(2):
        assert import_review(out, tables).counts.n_moved == 0
        assert validation_store.read_validations(out) == before


@pytest.mark.slow
def test_a_moved_and_deleted_detection_is_restored_with_its_box(out: Path) -> None:
    path = recording_table(out)
    detection_id = rows_of(path)[0]["Detection ID"]

    def move(rows: list[Row]) -> None:
        rows[0]["Low Freq (Hz)"] = "61.5"

    edited(out, path, move)
    edited(out, path, lambda rows: rows[1:])
    assert stored(out) == {detection_id: ("no", "deleted")}

    def confirm(rows: list[Row]) -> None:
        rows[0]["Review"] = "yes"

    edited(out, path, confirm)
    assert stored(out) == {detection_id: ("yes", "moved")}
    assert validation_store.read_validations(out)[detection_id].low_hz == 61.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("label", "taken", "n_notes"), [("", "NARW upcall", 0), ("narw UpCall", "NARW upcall", 0), ("moan", "moan", 1)]
)
def test_the_label_of_an_added_call(out: Path, label: str, taken: str, n_notes: int) -> None:
    note = {"Begin Time (s)": "17.0", "End Time (s)": "18.0", "Low Freq (Hz)": "60", "High Freq (Hz)": "200", "Channel": "1"}
    path = recording_table(out)
    imported = edited(out, path, lambda rows: [*rows, rows[0] | BLANK | note | {"Annotation": label}])
    assert [validation.label for validation in validation_store.read_validations(out).values()] == [taken]
    assert len([line for line in imported.notes if "not counted in hours and days" in line]) == n_notes
