"""Tables that came back against a folder: whatever is looked up is what a search would find, in the same time."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalescan.core import Annotation, Detection, Outcome, Recording, Status, TableError
from whalescan.detections.conflict_resolution import in_turn, settle
from whalescan.detections.validations import Judgement
from whalescan.review.raven.compare import compare
from whalescan.review.raven.deletions import thresholds_that_matter
from whalescan.review.raven.reviewed_table import ReviewedTable
from whalescan.review.raven.run_snapshot import Held
from whalescan.tables import manifest
from whalescan.tables.csvs import FileRow
from whalescan.tables.recording_names import Named

THRESHOLDS = (0.5, 0.3, 0.7)
DEPLOYMENT = Path("/back/deployment.whalescan.sound.selections.txt")


def recording(name: str, seconds: int = 100) -> Recording:
    return Recording(name, Path(f"/sea/{name}.wav"), f"{name}.wav", 2000, 2000 * seconds, 1, 44)


def call(name: str, middle_s: float, score: float) -> Detection:
    return Detection(
        name, 1, middle_s - 0.5, middle_s + 0.5, 90.0, 200.0, "upcall", score, f"{name}-{round(1000 * middle_s):09d}"
    )


def held(
    calls: list[Detection],
    recordings: list[Recording],
    thresholds: frozenset[float] | None = None,
    judged: dict[str, Judgement] | None = None,
    since: dict[str, int] | None = None,
) -> Held:
    files, offset_s = [], 0.0
    for one in recordings:
        files.append(FileRow(one.name, one.path, one, Outcome(Status.DONE, one.duration_s, 0), offset_s))
        offset_s += one.duration_s
    found = {t: {c.detection_id: c for c in calls if (c.score or 0) >= t} for t in thresholds or frozenset(THRESHOLDS)}
    return Held(files, THRESHOLDS, found, judged or {}, "upcall", since or {})


def row(of: Detection, offset_s: float = 0.0, review: str = "unreviewed") -> Annotation:
    path = f"D:\\sea\\{of.recording}.wav"
    assert of.score is not None
    times = offset_s + of.begin_s, offset_s + of.end_s
    return Annotation(*times, 90, 200, "upcall", 1, path, of.begin_s, round(of.score, 4), review, of.detection_id)


CALLS = st.lists(
    st.builds(
        call,
        st.sampled_from("abc"),
        st.integers(1, 40).map(float),
        st.integers(3000, 9999).map(lambda n: n / 1e4 + (3e-5 if n % 2 else -3e-5)),
    ),
    unique_by=lambda one: one.detection_id,
    min_size=1,
    max_size=10,
)


@given(CALLS, st.data())
def test_what_matters_of_the_thresholds_says_what_all_of_them_say(calls: list[Detection], data: st.DataObject) -> None:
    threshold = data.draw(st.sampled_from(THRESHOLDS))
    shown = [one for one in sorted(calls, key=lambda one: (one.recording, one.begin_s)) if (one.score or 0) >= threshold]
    kept = [one for one in shown if data.draw(st.booleans())]
    verdicts = st.sampled_from(["yes", "no", "maybe"])
    judged = {c.detection_id: Judgement.of(c, data.draw(verdicts), "review") for c in calls if data.draw(st.booleans())}
    table = ReviewedTable(DEPLOYMENT, tuple(row(one, 100.0 * "abc".index(one.recording)) for one in kept))
    matter = thresholds_that_matter([table.scores], THRESHOLDS, judged)
    recordings = [recording(name) for name in "abc"]
    few, every = (compare(table, held(calls, recordings, some, judged)) for some in (matter, None))
    assert few.notes == every.notes
    assert few.problems == every.problems == ()
    assert {(one.detection_id, one.verdict, one.origin) for one in few.claims} == {
        (one.detection_id, one.verdict, one.origin) for one in every.claims
    }
    deleted = {one.detection_id for one in few.claims if one.origin == "deleted"}
    assert deleted <= {one.detection_id for one in shown} - {one.detection_id for one in kept}


def test_one_threshold_is_one_look_at_the_scores() -> None:
    assert thresholds_that_matter([{"a-1": 0.61, "a-2": 0.3}], [0.3], {}) == {0.3}
    (lower,) = thresholds_that_matter([{"a-1": 0.61, "a-2": 0.25}], [0.3], {})
    assert 0.2499 < lower < 0.24995, "0.24995 is printed as 0.25"
    assert thresholds_that_matter([{"a-1": 0.61}, {}], [0.3], {}) == {0.3}
    assert thresholds_that_matter([{"a-1": 0.61}], [0.3, 0.5, 0.7], {}) == {0.3, 0.5}
    assert thresholds_that_matter([{"a-1": None}], [0.3, 0.5, 0.7], {}) == {0.3, 0.5, 0.7}


NAMES = st.lists(st.sampled_from(["a", "A", "a.b", "b", "x/a", "y/a", "x/a.b", "y/A", "x/y/a"]), unique=True)


@given(NAMES, st.sampled_from(["a", "A", "a.b", "b"]), st.sampled_from(["", "x/", "sea/", "/sea/x/", "Q:\\sea\\y\\", "y/"]))
def test_a_recording_is_found_by_the_longest_end_of_its_path(names: list[str], name: str, folder: str) -> None:
    wanted = f"{folder}{name}.wav".lower().replace("\\", "/").split("/")[::-1]

    def shared(one: str) -> int:
        own = f"/sea/{one}.wav".lower().split("/")[::-1]
        return next((i for i, (a, b) in enumerate(zip(wanted, own, strict=False)) if a != b), min(len(wanted), len(own)))

    fitting = [one for one in names if shared(one)]
    best = [one for one in fitting if shared(one) == max(map(shared, fitting))]
    found = Named(map(recording, names)).by_sound(f"{folder}{name}.wav")
    assert (found and found.name) == (best[0] if len(best) == 1 else None)
    assert Named(map(recording, names)).by_sound(".") is None


@given(NAMES, st.sampled_from(["a", "a.b", "b", "c"]), st.sampled_from(["/sea", "/sea/x", "/other"]))
def test_a_recording_is_found_by_its_tables_name(names: list[str], name: str, folder: str) -> None:
    table = Path(folder, f"{name}.whalescan.selections.txt")
    paths = {one: recording(one).path for one in names}
    fitting = [one for one in names if table.name.startswith(f"{paths[one].stem}.")]
    longest = [one for one in fitting if len(paths[one].stem) == max(len(paths[other].stem) for other in fitting)]
    best = [one for one in longest if paths[one].parent == table.parent] or longest
    found = Named(map(recording, names)).by_table_name(table)
    assert (found and found.name) == (best[0] if len(best) == 1 else None)
    own = held([], [recording(one) for one in names]).written_for(table, frozenset())
    alike = [one for one in names if table.name.startswith(f"{one.rsplit('/', 1)[-1]}.whalescan.")]
    beside = [one for one in alike if f"{folder}/".endswith(f"/{one.rpartition('/')[0] or '.'}/")]
    assert own == (alike[0] if len(alike) == 1 else beside[0] if len(beside) == 1 else None)


@given(st.lists(st.integers(0, 3), max_size=6), st.integers(-2, 40).map(lambda n: n / 2))
def test_a_time_along_the_sequence_lies_in_one_recording(lengths: list[int], begin_s: float) -> None:
    recordings = [recording(f"r{i}", seconds) for i, seconds in enumerate(lengths)]
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    expected = next((f"r{i}" for i, end in enumerate(ends) if end - lengths[i] <= begin_s < end), None)
    found = held([], recordings).at(begin_s)
    assert (found and found.name) == expected


def test_a_sequence_of_earlier_writes_has_later_recordings_behind_it() -> None:
    now = held([], [recording("a", 10), recording("b", 20), recording("c", 30)], since={"a": 2, "c": 1})
    offsets = {write: {file.name: file.sequence_offset_s for file in now.as_of(write).files} for write in (0, 1, 2)}
    assert offsets == {0: {"b": 0, "a": 20, "c": 30}, 1: {"b": 0, "c": 20, "a": 50}, 2: {"a": 0, "b": 10, "c": 30}}


def test_a_table_takes_no_longer_in_a_large_folder() -> None:
    """The median of ten looks; with a hundred times as many recordings, searching would take a hundred times as long."""

    def median_s(n: int) -> float:
        recordings = [recording(f"site{i % 7}/r{i:05d}") for i in range(n)]
        calls = [call(one.name, 10.0 * k, 0.8) for one in recordings for k in (1, 2)]
        folder = held(calls, recordings)
        took = []
        for of in recordings[:11]:
            drawn = Annotation(50, 51, 90, 200, "upcall", sound=str(of.path))
            path = Path(f"/back/{of.name}.whalescan.selections.txt")
            table = ReviewedTable(path, (row(call(of.name, 10.0, 0.8), review="yes"), drawn))
            begin = time.perf_counter()
            assert len(compare(table, folder).claims) == 3
            took.append(time.perf_counter() - begin)
        return sorted(took[1:])[5]

    assert median_s(10_000) < 20 * median_s(100)


CLAIMS = st.lists(
    st.lists(
        st.builds(
            lambda of, verdict, moved: (
                replace(Judgement.of(of, verdict, "moved"), begin_s=of.begin_s - moved)
                if moved
                else Judgement.of(of, verdict, "review")
            ),
            st.sampled_from([call("a", 5.0, 0.8), call("a", 9.0, 0.8)]),
            st.sampled_from(["yes", "no", "maybe", "unreviewed"]),
            st.sampled_from([0.0, 0.25, 0.5]),
        ),
        unique_by=lambda one: one.detection_id,
        max_size=2,
    ),
    min_size=1,
    max_size=4,
)


@given(CLAIMS)
def test_of_tables_in_turn_the_last_word_and_the_last_box_count(tables: list[list[Judgement]]) -> None:
    settled = settle(in_turn(tables, {}), {})
    assert settled.conflicts == ()
    new = {one.detection_id: one for one in settled.new}
    for identity in {one.detection_id for claims in tables for one in claims}:
        said = [one for claims in tables for one in claims if one.detection_id == identity]
        verdicts = [one.verdict for one in said if one.verdict != "unreviewed"]
        boxes = [one.begin_s for one in said if one.origin == "moved"]
        if not verdicts and not boxes:
            assert identity not in new
            continue
        assert new[identity].verdict == (verdicts[-1] if verdicts else "unreviewed")
        assert new[identity].begin_s == (boxes[-1] if boxes else said[0].begin_s)


def test_a_later_row_without_a_verdict_takes_no_deletion_back_and_one_with_it_does() -> None:
    of = call("a", 5.0, 0.8)
    gone, there = Judgement.of(of, "no", "deleted"), Judgement.of(of, "unreviewed", "review")
    assert in_turn([[gone], [there]], {}) == (gone,)
    assert in_turn([[gone], [replace(there, verdict="yes")]], {}) == (replace(there, verdict="yes"),)
    assert in_turn([[replace(there, verdict="yes")], [gone]], {}) == (gone,)


def test_tables_that_were_set_aside_come_in_the_order_in_which_they_were() -> None:
    names = [f"a.reviewed-{n}.selections.txt" for n in (10, 9)]
    given_paths = [Path("/x/a.selections.txt"), *(Path("/x", name) for name in names), Path("/y/a.selections.txt")]
    assert manifest.in_turn(given_paths) == [
        [Path("/x", names[1]), Path("/x", names[0]), Path("/x/a.selections.txt")],
        [Path("/y/a.selections.txt")],
    ]


def test_what_was_written_and_taken_is_known_in_the_next_writes(tmp_path: Path) -> None:
    def write(*names: str) -> manifest.Manifest:
        folder = tmp_path / "selections"
        tables = {folder / f"{name}.whalescan.selections.txt": b"table\n" for name in names}
        manifest.Tables(tmp_path).write(tables, 0.5, folder)
        return manifest.read(tmp_path)

    assert write("b").recordings == {"b": 0}
    manifest.note_imported(tmp_path, ["d1"])
    known = write("a/c", "b")
    assert (known.recordings, known.writes, known.imported) == ({"a/c": 1, "b": 0}, 2, {"d1": 1})
    assert write("a/c").recordings == {"a/c": 1}
    assert write("a/c", "b").recordings == {"a/c": 1, "b": 3}, "a table between did not show it"
    document = json.loads((tmp_path / manifest.FILE).read_text())
    (tmp_path / manifest.FILE).write_text(json.dumps({name: document[name] for name in ("thresholds", "tables")}))
    assert manifest.read(tmp_path).tables == known.tables, "as it was written before recordings were noted"


@pytest.mark.parametrize(
    "content", ["", "[1]", "3", "{}", '{"thresholds": "high", "tables": {}}', '{"thresholds": [0.5], "tables": [1]}']
)
def test_a_damaged_list_of_tables_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / manifest.FILE).write_text(content)
    with pytest.raises(TableError, match=r"\.tables\.json: damaged"):
        manifest.read(tmp_path)
