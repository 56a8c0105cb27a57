"""Tables that analysts edited in Raven come back."""

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
from whalescan import Status, TableError, UsageError
from whalescan.cli import import_review as reviewing
from whalescan.core import Annotation, Detection, Outcome, Recording
from whalescan.core.files import write_whole
from whalescan.detections.validations import Judgement
from whalescan.options import TableOptions
from whalescan.review.raven.import_review import Counts, Imported, import_review
from whalescan.review.raven.time_axis import edges, snapped
from whalescan.scores import validation_store
from whalescan.survey.finished_run import open_run
from whalescan.survey.run import detect
from whalescan.tables import manifest
from whalescan.tables.csvs import FileRow
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
    """The recording's table that holds most calls."""
    paths = sorted((out / "selections").iterdir(), key=lambda path: len(rows_of(path)))
    assert len(rows_of(paths[-1])) >= 3
    return paths[-1]


def said(out: Path) -> dict[str, tuple[str, str]]:
    return {identity: (one.verdict, one.origin) for identity, one in validation_store.read(out).items()}


def edited(out: Path, path: Path, edit: Callable[[list[Row]], list[Row] | None], name: str = "") -> Imported:
    """What comes of a table after an edit of its rows, saved beside the folder."""
    rows = rows_of(path)
    rows = edit(rows) or rows
    return import_review(out, [save(out.parent / (name or path.name), rows)])


def review_of(out: Path) -> dict[str, str]:
    found = pd.read_csv(out / "detections.csv")
    return dict(zip(found["detection_id"], found["review"], strict=True))


def test_a_table_that_nobody_edited_says_nothing(out: Path) -> None:
    copies = [save(out.parent / path.name, rows_of(path)) for path in (out / DEPLOYMENT, *(out / "selections").iterdir())]
    imported = import_review(out, copies)
    assert said(out) == {}
    assert imported.problems == imported.notes == ()
    assert imported.tables == 4
    assert imported.exit_code == 0
    assert not (out / validation_store.JUDGEMENTS).exists()


@pytest.mark.parametrize(
    ("cell", "verdict"), [("yes", "yes"), (" YES ", "yes"), ("y", "yes"), ("N", "no"), ("?", "maybe"), ("Maybe", "maybe")]
)
def test_the_review_cell_is_the_verdict(out: Path, cell: str, verdict: str) -> None:
    def edit(rows: list[Row]) -> None:
        rows[0]["Review"], rows[1]["Review"] = cell, ""

    path = recording_table(out)
    imported = edited(out, path, edit)
    first = rows_of(path)[0]["Detection ID"]
    assert said(out) == {first: (verdict, "review")}
    assert {"yes": imported.counts.n_yes, "no": imported.counts.n_no, "maybe": imported.counts.n_maybe}[verdict] == 1
    assert imported.problems == ()
    assert review_of(out)[first] == verdict


@pytest.mark.parametrize("cell", ["yes", "no", "maybe", "deleted"])
def test_who_judges_the_heir_of_a_lost_call_judges_both(out: Path, cell: str) -> None:
    path = recording_table(out)
    identity = rows_of(path)[1]["Detection ID"]
    (heir,) = (call for call in open_run(out).calls() if call.detection_id == identity)
    lost = replace(heir, detection_id=f"{heir.detection_id}9", begin_s=heir.begin_s + 0.1, end_s=heir.end_s + 0.1)
    validation_store.append(out, [replace(Judgement.of(lost, "yes", "review"), reviewer="Ada")])  # another model found that
    detect(out)
    before = review_of(out)
    assert before[identity] == "yes"
    assert lost.detection_id not in before

    def edit(rows: list[Row]) -> list[Row]:
        if cell == "deleted":
            return [row for row in rows if row["Detection ID"] != identity]
        return [row | {"Review": cell} if row["Detection ID"] == identity else row for row in rows]

    imported = edited(out, path, edit)
    assert imported.problems == ()
    verdict = "no" if cell == "deleted" else cell
    assert review_of(out) == before | {identity: verdict}, "and the lost one does not come back"
    assert set(said(out)) == ({lost.detection_id} if cell == "yes" else {lost.detection_id, identity})
    if cell != "yes":
        assert said(out)[lost.detection_id][0] == "unreviewed"
        assert [one.reviewer for one in validation_store.earlier(out)[identity]] == ["Ada"]


def test_deleted_rows_are_no_and_other_recordings_are_left_alone(out: Path) -> None:
    path = recording_table(out)
    gone = rows_of(path)[1]["Detection ID"]
    imported = edited(out, path, lambda rows: [rows[0], *rows[2:]])
    assert said(out) == {gone: ("no", "deleted")}
    assert (imported.counts.n_deleted, imported.counts.n_no) == (1, 0)
    back = import_review(out, [save(out.parent / path.name, [row | {"Review": "unreviewed"} for row in rows_of(path)])])
    assert said(out)[gone] == ("unreviewed", "review")
    assert back.counts.n_taken_back == 1


def test_an_emptied_table_of_a_recording_rejects_its_calls_and_that_of_the_deployment_all(out: Path) -> None:
    path = recording_table(out)
    ids = {row["Detection ID"] for row in rows_of(path)}
    every = {row["Detection ID"] for row in rows_of(out / DEPLOYMENT)}
    header = path.read_text().split("\n", 1)[0]
    (out.parent / path.name).write_text(header + "\n")
    assert import_review(out, [out.parent / path.name]).counts.n_deleted == len(ids)
    assert set(said(out)) == ids
    (out.parent / DEPLOYMENT).write_text(header + "\r\n")
    import_review(out, [out.parent / DEPLOYMENT])
    assert said(out) == dict.fromkeys(every, ("no", "deleted"))


def test_raven_doubles_rows_and_ends_lines_as_windows_does(out: Path) -> None:
    def edit(rows: list[Row]) -> list[Row]:
        rows[0]["Review"] = "yes"
        return [row | {"View": view} for row in rows for view in ("Waveform 1", "Spectrogram 1")]

    path = recording_table(out)
    rows = edit(rows_of(path))
    imported = import_review(out, [save(out.parent / path.name, rows, "\r\n")])
    assert [one[0] for one in said(out).values()] == ["yes"]
    assert imported.problems == ()
    in_waveforms = [row | {"View": "Waveform 1", "Low Freq (Hz)": "", "High Freq (Hz)": ""} for row in rows_of(path)]
    import_review(out, [save(out.parent / path.name, in_waveforms)])
    assert len(said(out)) == 1, "a row in a waveform only is a row that is there"


@pytest.mark.parametrize("offset", ["both", "stale", "sound", "blank"])
@pytest.mark.parametrize("of_deployment", [True, False])
def test_a_moved_box_is_found_whichever_way_raven_opened_the_table(out: Path, offset: str, of_deployment: bool) -> None:
    path = out / DEPLOYMENT if of_deployment else recording_table(out)
    row = rows_of(path)[-1]
    identity, offset_s, begin_s, end_s = row["Detection ID"], *(float(row[k]) for k in list(row)[8:9] + list(row)[3:5])

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
    assert said(out) == {identity: ("unreviewed", "moved")}
    moved = validation_store.read(out)[identity]
    assert moved.begin_s == pytest.approx(offset_s - 0.25, abs=0.0011)
    assert moved.end_s - moved.begin_s == pytest.approx(end_s - begin_s, abs=0.0021)
    assert (moved.low_hz, moved.score) != (0, None)
    written = pd.read_csv(out / "detections.csv").set_index("detection_id")
    assert written.loc[identity, "begin_s"] == pytest.approx(moved.begin_s, abs=1e-6)


def test_times_that_contradict_each_other_are_named_and_the_verdict_is_taken(out: Path) -> None:
    def edit(rows: list[Row]) -> None:
        rows[0]["Begin Time (s)"] = f"{float(rows[0]['Begin Time (s)']) + 0.1:.6f}"
        rows[0]["File Offset (s)"] = f"{float(rows[0]['File Offset (s)']) + 0.2:.6f}"
        rows[0]["Review"] = "yes"

    path = recording_table(out)
    imported = edited(out, path, edit)
    assert "make them agree" in imported.problems[0]
    assert imported.exit_code == 3
    assert list(said(out).values()) == [("yes", "review")]


def test_begin_times_of_other_sounds_are_no_moves(out: Path) -> None:
    """A sound selection table that Raven saved with only some of the recordings open."""

    def edit(rows: list[Row]) -> None:
        for row in rows:
            for name in ("Begin Time (s)", "End Time (s)"):
                row[name] = f"{float(row[name]) + 3600:.6f}"

    assert edited(out, out / DEPLOYMENT, edit).problems == ()
    assert said(out) == {}


def test_edges_in_hertz_are_moved_and_rounding_is_not(out: Path) -> None:
    def edit(rows: list[Row]) -> None:
        rows[0]["Low Freq (Hz)"] = "61.5"
        for row in rows[1:]:
            row["Begin Time (s)"], row["File Offset (s)"] = (
                f"{float(row[k]):.3f}" for k in ("Begin Time (s)", "File Offset (s)")
            )

    path = recording_table(out)
    assert edited(out, path, edit).counts.n_moved == 1
    ((one, judgement),) = validation_store.read(out).items()
    assert (one, judgement.low_hz) == (rows_of(path)[0]["Detection ID"], 61.5)
    again = edited(out, path, list)
    assert (again.counts.n_moved, len(validation_store.read(out))) == (0, 1), "the table that was written anew holds the box"


def test_a_call_that_runs_on_into_the_next_recording_is_not_moved_by_raven() -> None:
    """Raven's tables end with their recordings; what was cut off there is not lost."""
    recording = Recording("a", Path("a.wav"), "a.wav", 2000, 80_000, 1, 44)
    file = FileRow("a", recording.path, recording, Outcome(Status.DONE, 40.0, 1))
    call = Detection("a", 1, 39.5, 40.625, 90.0, 200.0, "upcall", 0.9, "a-000040062")
    assert snapped(Annotation(39.5, 40.0, 90, 200, "upcall"), 39.5, call, file) == edges(call)
    assert snapped(Annotation(39.4, 40.0, 90, 200, "upcall"), 39.4, call, file) == (39.4, 40.625, 90, 200)
    assert snapped(Annotation(39.5, 39.9, 90, 200, "upcall"), 39.5, call, file) == pytest.approx((39.5, 39.9, 90, 200))


def test_added_rows_are_calls_that_only_a_person_saw(out: Path) -> None:
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
    assert said(out) == {f"{name}-human-000001875": ("yes", "added"), f"{name}-human-000033500": ("maybe", "added")}
    drawn, labelled = validation_store.read(out).values()
    assert (drawn.begin_s, drawn.end_s, drawn.score, drawn.label) == (1.5, 2.25, None, "NARW upcall")
    assert labelled.label == "gunshot"
    again = import_review(out, [out.parent / path.name])
    assert (again.counts.n_added, again.counts.n_yes, len(validation_store.read(out))) == (0, 0, 2)
    assert edited(out, path, list).problems == (), "and by their ids they are known again"


def test_a_second_row_of_an_id_elsewhere_is_an_added_call(out: Path) -> None:
    def edit(rows: list[Row]) -> list[Row]:
        copy = dict(rows[0])
        copy["Begin Time (s)"], copy["End Time (s)"] = "38.0", "39.0"
        return [copy, *rows]

    path = recording_table(out)
    imported = edited(out, path, edit)
    assert (imported.counts.n_added, imported.counts.n_moved, imported.counts.n_deleted, imported.problems) == (1, 0, 0, ())
    (added,) = said(out)
    assert added.endswith("-human-000038500")


def test_an_added_call_is_withdrawn_only_by_a_table_that_showed_it(out: Path) -> None:
    path = recording_table(out)
    original = save(out.parent / "copy.selections.txt", rows_of(path))

    def edit(rows: list[Row]) -> list[Row]:
        begins = ("37.0", "38.5")
        times = [{"Begin Time (s)": begin, "End Time (s)": f"{float(begin) + 0.5}"} for begin in begins]
        return [*rows, *(rows[0] | BLANK | {"Begin Path": rows[0]["Begin Path"]} | one for one in times)]

    edited(out, path, edit)
    first, last = said(out)
    old = import_review(out, [original])
    assert said(out) == dict.fromkeys((first, last), ("yes", "added"))
    assert any("2 calls that people added" in note for note in old.notes)
    edited(out, path, lambda rows: [row for row in rows if row["Detection ID"] != first])
    assert said(out) == {first: ("no", "deleted"), last: ("yes", "added")}
    assert first not in review_of(out)


def test_the_same_tables_twice_change_nothing_more(out: Path) -> None:
    def edit(rows: list[Row]) -> list[Row]:
        rows[0]["Review"] = "no"
        rows[1]["End Time (s)"] = f"{float(rows[1]['End Time (s)']) + 0.3:.6f}"
        return [*rows[:2], rows[0] | BLANK | {"Begin Time (s)": "100", "End Time (s)": "101"}]

    edited(out, out / DEPLOYMENT, edit)
    before = validation_store.read(out)
    tables = {p: p.read_bytes() for p in out.rglob("*.whalescan*.txt")}
    again = import_review(out, [out.parent / DEPLOYMENT], "Ana")
    assert validation_store.read(out) == before
    assert (
        again.counts.n_yes
        == again.counts.n_no
        == again.counts.n_deleted
        == again.counts.n_added
        == again.counts.n_moved
        == 0
    )
    assert {p: p.read_bytes() for p in out.rglob("*.whalescan*.txt")} == tables


def test_an_unreviewed_row_overrides_nothing_and_a_later_verdict_does(out: Path) -> None:
    path = recording_table(out)
    first = rows_of(path)[0]["Detection ID"]
    original = save(out.parent / "older.selections.txt", rows_of(path))
    edited(out, path, lambda rows: rows[0].update(Review="yes"))
    import_review(out, [original])
    assert said(out) == {first: ("yes", "review")}
    edited(out, path, lambda rows: rows[0].update(Review="no"))
    assert said(out) == {first: ("no", "review")}


def test_tables_that_contradict_each_other_leave_it_open(out: Path) -> None:
    path = recording_table(out)
    yes, no = rows_of(path), rows_of(path)
    yes[0]["Review"], no[0]["Review"] = "yes", "no"
    tables = [save(out.parent / f"{name}.selections.txt", rows) for name, rows in (("yes", yes), ("no", no))]
    imported = import_review(out, tables)
    assert list(said(out).values()) == [("maybe", "review")]
    assert "yes.selections.txt says yes" in imported.problems[0]
    assert imported.exit_code == 3


def test_a_call_that_the_table_never_showed_is_not_deleted(out: Path) -> None:
    """The table was written at a high threshold; then tables were written at a lower one, which shows more."""
    scores = sorted(float(row["Score"]) for row in rows_of(out / DEPLOYMENT))
    high = (scores[3] + scores[4]) / 2
    detect(out, high)
    kept = save(out.parent / DEPLOYMENT, rows_of(out / DEPLOYMENT))
    assert len(rows_of(kept)) == len(scores) - 4
    low = detect(out, 0.3).detections
    gone = rows_of(kept)[0]["Detection ID"]
    save(kept, rows_of(kept)[1:])
    imported = import_review(out, [kept])
    assert said(out) == {gone: ("no", "deleted")}
    assert any(f"4 calls that score below {high:g}" in note for note in imported.notes)
    lowest = min(low, key=lambda call: call.score or 0).detection_id
    second = sorted(low, key=lambda call: call.score or 0)[1].detection_id
    edited(out, out / DEPLOYMENT, lambda rows: [row for row in rows if row["Detection ID"] != second])
    assert said(out) == {gone: ("no", "deleted"), second: ("no", "deleted")}, "this one shows the low ones, too"
    assert review_of(out)[lowest] == "unreviewed"


def test_a_verdict_outlives_the_threshold_at_which_the_call_was_found(out: Path) -> None:
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
    assert said(out) == {lowest: ("yes", "review"), second: ("no", "deleted")}
    above = {call.detection_id: call.review for call in detect(out, scores[highest] - 1e-4).detections}
    assert above.keys() >= {lowest, highest}
    assert above[lowest] == "yes"
    assert second not in above
    edited(out, out / DEPLOYMENT, lambda rows: [row for row in rows if row["Detection ID"] == lowest])
    assert set(said(out)) >= {lowest, second, highest}
    assert len(said(out)) < len(scores), "a call that is shown at any threshold does not tell the table's"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Review": "perhaps"}, "says 'perhaps' in Review"),
        ({"Begin Time (s)": "5000", "End Time (s)": "5001", "File Offset (s)": ""}, "does not lie within the 40 s"),
        ({"Low Freq (Hz)": "400", "High Freq (Hz)": "300"}, "edges of 400 and 300 Hz"),
        ({"Detection ID": "", "Begin Path": "C:\\gone.wav", "Begin File": "gone.wav"}, "lies in C:\\gone.wav"),
        ({"Detection ID": "", "Begin Time (s)": "3", "File Offset (s)": "7", "End Time (s)": "4"}, "make them agree"),
    ],
)
def test_rows_that_cannot_be_taken_are_named_and_the_others_are_taken(out: Path, change: Row, words: str) -> None:
    def edit(rows: list[Row]) -> list[Row]:
        rows[1]["Review"] = "yes"
        bad = rows[0] | change | {"Selection": "99"}
        return [rows[0], bad, *rows[1:]] if "Detection ID" in change else [bad, *rows[1:]]

    path = recording_table(out)
    imported = edited(out, path, edit)
    assert len(imported.problems) == 1
    assert re.search(f"{re.escape(path.name)}.*selection at .*{re.escape(words)}", imported.problems[0])
    assert said(out) == {rows_of(path)[1]["Detection ID"]: ("yes", "review")}


def test_what_is_no_table_of_this_folder_is_refused_and_nothing_is_taken(out: Path) -> None:
    path = recording_table(out)
    rows = rows_of(path)
    good = save(out.parent / "good.selections.txt", [row | {"Review": "yes"} for row in rows])
    strange = save(out.parent / "strange.txt", [row | {"Detection ID": f"b-{i:09d}"} for i, row in enumerate(rows)])
    nameless = save(out.parent / "nameless.txt", [{k: v for k, v in row.items() if k != "Detection ID"} for row in rows])
    with pytest.raises(TableError, match=rf"strange\.txt: {len(rows)} of its calls .* first is b-000000000; import"):
        import_review(out, [good, strange])
    with pytest.raises(TableError, match="no column Detection ID"):
        import_review(out, [good, nameless])
    with pytest.raises(TableError, match=r"gone\.txt"):
        import_review(out, [good, out / "gone.txt"])
    with pytest.raises(TableError, match=r"run\.json"):
        import_review(out.parent, [good])
    with pytest.raises(UsageError, match="no Raven tables"):
        import_review(out, [])
    assert said(out) == {}


def test_a_table_without_calls_and_without_a_name_says_nothing(out: Path) -> None:
    empty = out.parent / "mine.selections.txt"
    empty.write_text(recording_table(out).read_text().split("\n", 1)[0])
    assert "no row of it names a call" in import_review(out, [empty]).problems[0]
    assert said(out) == {}


def test_the_command_says_what_was_taken_and_how_often_the_detector_was_right(out: Path) -> None:
    path = recording_table(out)
    rows = rows_of(path)
    rows[0]["Review"], rows[1]["Review"] = "yes", "no"
    table = save(out.parent / path.name, rows)
    done = CliRunner().invoke(reviewing.import_review, [str(out), str(table), "--reviewer", "Ana"])
    assert done.exit_code == 0, done.output
    assert "1 table, new in them: 1 yes, 1 no, 0 maybe; 0 deleted, 0 added, 0 moved" in done.output
    assert "precision so far: 0.500 (95 % interval 0.095 to 0.905), 1 yes and 1 no" in done.output
    assert {one.reviewer for one in validation_store.read(out).values()} == {"Ana"}
    rows[2]["Review"] = "pehraps"
    assert CliRunner().invoke(reviewing.import_review, [str(out), str(save(table, rows))]).exit_code == 3


def review(path: Path, **reviews: str) -> Path:
    """Write verdicts into the first rows of a table, by their numbers: ``_0="yes"``."""
    rows = rows_of(path)
    for name, said_of in reviews.items():
        rows[int(name[1:])]["Review"] = said_of
    return save(path, rows, "\r\n")  # as Raven saves it, so not as it was written


def asides(out: Path) -> list[str]:
    return sorted(path.name.split(".reviewed-")[1] for path in out.rglob("*.reviewed-*"))


def test_tables_that_were_set_aside_undo_nothing_that_was_said_later(out: Path) -> None:
    path = recording_table(out)
    first, second, *_ = (row["Detection ID"] for row in rows_of(path))
    save(path, [rows_of(path)[0] | {"Review": "yes"}, *rows_of(path)[2:]])
    import_review(out, [path])
    assert said(out) == {first: ("yes", "review"), second: ("no", "deleted")}
    review(path, _0="no", _1="maybe")
    import_review(out, [path])
    later = {first: ("no", "review"), second: ("maybe", "review")}
    assert said(out) == later
    assert len(asides(out)) == 2
    for folder in (out / "selections", out):
        again = import_review(out, [folder])
        assert said(out) == later
        assert (again.problems, again.notes, again.tables) == ((), (), 0)
    named = import_review(out, sorted(out.rglob("*.reviewed-*")))
    assert (said(out), named.tables, len(named.notes)) == (later, 0, 1)
    assert "1 more are as they were written, or were imported before" in named.notes[0]
    assert "reviewed-1.selections.txt is as it was" in import_review(out, sorted(out.rglob("*.reviewed-1.*"))).notes[0]


def test_of_tables_that_were_set_aside_unseen_the_last_word_counts(out: Path) -> None:
    path = recording_table(out)
    first, second, third, *_ = (row["Detection ID"] for row in rows_of(path))
    review(path, _0="yes", _1="maybe")
    save(path, [row for row in rows_of(path) if row["Detection ID"] != third])
    detect(out)  # which knows of neither, and sets it aside
    review(path, _0="no")
    detect(out)
    review(path, _1="yes")
    assert asides(out) == ["1.selections.txt", "2.selections.txt"]
    imported = import_review(out, [out / "selections"])
    assert said(out) == {first: ("no", "review"), second: ("yes", "review"), third: ("no", "deleted")}
    assert (imported.problems, imported.tables) == ((), 3)


def test_a_verdict_that_comes_back_word_for_word_is_news(out: Path) -> None:
    path = recording_table(out)
    first, untouched = rows_of(path)[0]["Detection ID"], rows_of(path)
    for verdict in ("yes", "no"):
        save(path, [untouched[0] | {"Review": verdict}, *untouched[1:]], "\r\n")
        import_review(out, [path])
    save(path, [untouched[0] | {"Review": "yes"}, *untouched[1:]], "\r\n")  # byte for byte the first one
    detect(out)
    assert said(out) == {first: ("no", "review")}
    import_review(out, [out / "selections"])
    assert said(out) == {first: ("yes", "review")}


def test_a_table_as_it_was_written_does_not_undo_what_was_said_elsewhere_since(out: Path) -> None:
    path = recording_table(out)
    first = rows_of(path)[0]["Detection ID"]
    review(path, _0="yes")
    import_review(out, [path])
    (known,) = validation_store.read(out).values()
    validation_store.append(out, [replace(known, verdict="no", source="review page")])
    import_review(out, [out])
    assert said(out) == {first: ("no", "review")}


def test_what_was_imported_is_kept_where_nothing_was_written_by_this_version(out: Path) -> None:
    (out / manifest.FILE).unlink()
    path = recording_table(out)
    review(path, _0="yes")
    assert import_review(out, [path]).counts.n_yes == 1
    assert len(asides(out)) == 1, "only the one that was changed"


@pytest.mark.parametrize("added", [0, -1])
def test_a_recording_that_came_after_a_table_is_not_missing_in_it(sea: Path, tmp_path: Path, added: int) -> None:
    """Behind the others, and before them, where it shifts the times of all."""
    folder, out = tmp_path / "sea", tmp_path / "out"
    sounds = sorted(path for path in sea.iterdir() if path.suffix != ".txt")
    late = sounds.pop(added)
    folder.mkdir()
    for path in sounds:
        shutil.copy(path, folder)
    whalescan.scan(folder, out, hop=1.0, threshold=0.3)
    early = rows_of(out / DEPLOYMENT)
    shutil.copy(late, folder)
    whalescan.scan(folder, out, hop=1.0, threshold=0.3)
    every = {row["Detection ID"] for row in rows_of(out / DEPLOYMENT)}
    shown = {row["Detection ID"] for row in early}
    assert len(every - shown) >= 2
    table = save(tmp_path / DEPLOYMENT, [early[0] | {"Review": "yes"}, *early[2:]])
    imported = import_review(out, [table])
    gone = early[1]["Detection ID"]
    assert said(out) == {early[0]["Detection ID"]: ("yes", "review"), gone: ("no", "deleted")}
    assert imported.problems == ()
    (note,) = imported.notes
    assert f"before 1 of the recordings came, of which it names none; their {len(every - shown)} calls" in note
    table.write_text("\t".join(early[0]) + "\n")
    import_review(out, [table])
    assert said(out).keys() == shown, "an emptied table of the first write"
    now = rows_of(out / DEPLOYMENT)
    kept = next(row for row in now if row["Detection ID"] not in shown)
    import_review(out, [save(table, [kept])])
    assert said(out).keys() == every - {kept["Detection ID"]}, "this one shows the late recording"


def high(out: Path) -> float:
    """A threshold that some calls do not reach."""
    scores = sorted(float(row["Score"]) for row in rows_of(out / DEPLOYMENT))
    return (scores[3] + scores[4]) / 2


def test_a_write_that_was_killed_leaves_no_table_that_looks_changed(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed when half of the tables are written, at another threshold; what follows sets nothing aside."""
    written: list[Path] = []

    def killed(path: Path, content: bytes) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path)
        write_whole(path, content)

    monkeypatch.setattr(manifest, "write_whole", killed)
    with pytest.raises(KeyboardInterrupt):
        detect(out, high(out))
    monkeypatch.undo()
    assert len(written) == 3, "what is intended, and two tables"
    detect(out, 0.3)
    assert not list(out.rglob("*.reviewed-*"))
    assert import_review(out, [out / "selections"]).counts == Counts()


def test_a_row_judged_before_tells_nothing_of_the_threshold(out: Path) -> None:
    """A call confirmed at a low threshold stays in tables at a high one; a `no` for it there deletes no others."""
    weak = min(rows_of(out / DEPLOYMENT), key=lambda row: float(row["Score"]))

    def judge(verdict: str) -> Callable[[list[Row]], None]:
        def edit(rows: list[Row]) -> None:
            next(row for row in rows if row["Detection ID"] == weak["Detection ID"])["Review"] = verdict

        return edit

    edited(out, out / DEPLOYMENT, judge("yes"))
    detect(out, high(out))
    for _ in range(2):
        table = out.parent / f"second-{DEPLOYMENT}"
        rows = rows_of(out / DEPLOYMENT) if not table.exists() else rows_of(table)
        judge("no")(rows)
        assert import_review(out, [save(table, rows)]).counts.n_deleted == 0


def test_a_report_that_cannot_be_made_is_known_before_anything_is_stored(out: Path, tmp_path: Path) -> None:
    facts = tmp_path / "pars.toml"
    facts.write_text(PARS_EXAMPLE)
    detect(out, options=TableOptions(pars=str(facts)))
    facts.unlink()
    with pytest.raises(UsageError, match=r"whalescan detect .* --pars ''"):
        edited(out, recording_table(out), lambda rows: rows[0].update(Review="yes"))
    assert validation_store.read(out) == {}


def test_a_box_of_which_one_column_was_dragged_stays_where_the_first_import_put_it(out: Path) -> None:
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
        assert [one.begin_s for one in validation_store.read(out).values()] == [19.0]


def test_tables_with_different_boxes_move_a_call_once(out: Path) -> None:
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
    before = validation_store.read(out)
    assert before[rows[0]["Detection ID"]].begin_s == pytest.approx(float(rows[0]["Begin Time (s)"]) - 0.3, abs=0.002)
    for _ in range(2):
        assert import_review(out, tables).counts.n_moved == 0
        assert validation_store.read(out) == before


def test_a_moved_call_that_was_deleted_comes_back_in_its_box(out: Path) -> None:
    path = recording_table(out)
    identity = rows_of(path)[0]["Detection ID"]

    def move(rows: list[Row]) -> None:
        rows[0]["Low Freq (Hz)"] = "61.5"

    edited(out, path, move)
    edited(out, path, lambda rows: rows[1:])
    assert said(out) == {identity: ("no", "deleted")}

    def confirm(rows: list[Row]) -> None:
        rows[0]["Review"] = "yes"

    edited(out, path, confirm)
    assert said(out) == {identity: ("yes", "moved")}
    assert validation_store.read(out)[identity].low_hz == 61.5


@pytest.mark.parametrize(
    ("label", "taken", "n_notes"), [("", "NARW upcall", 0), ("narw UpCall", "NARW upcall", 0), ("moan", "moan", 1)]
)
def test_an_added_call_is_of_a_class_or_of_what_a_person_says(out: Path, label: str, taken: str, n_notes: int) -> None:
    note = {"Begin Time (s)": "17.0", "End Time (s)": "18.0", "Low Freq (Hz)": "60", "High Freq (Hz)": "200", "Channel": "1"}
    path = recording_table(out)
    imported = edited(out, path, lambda rows: [*rows, rows[0] | BLANK | note | {"Annotation": label}])
    assert [one.label for one in validation_store.read(out).values()] == [taken]
    assert len([line for line in imported.notes if "do not count in hours and days" in line]) == n_notes
