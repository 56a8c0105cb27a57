"""Comparison of reviewed tables with a run: recordings, thresholds, successive versions, and the manifest."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import detection_at, make_recording
from whalescan.core import Annotation, Detection, Outcome, Recording, RecordingResult, Status, TableError
from whalescan.detections.conflict_resolution import combine_successive, resolve_conflicts
from whalescan.detections.validations import Validation
from whalescan.review.raven.compare import ReviewedTable, compare_table
from whalescan.review.raven.deletions import relevant_thresholds
from whalescan.review.raven.run_snapshot import RunSnapshot
from whalescan.tables import manifest
from whalescan.tables.selections import RecordingFinder

THRESHOLDS = (0.5, 0.3, 0.7)
DEPLOYMENT = Path("/back/deployment.whalescan.sound.selections.txt")


def sea_recording(name: str, seconds: int = 100) -> Recording:
    return make_recording(name, seconds, folder="/survey")


def snapshot(
    calls: list[Detection],
    recordings: list[Recording],
    thresholds: frozenset[float] | None = None,
    validations: dict[str, Validation] | None = None,
    first_write: dict[str, int] | None = None,
) -> RunSnapshot:
    files, offset_s = [], 0.0
    for one in recordings:
        files.append(RecordingResult.of(one, Outcome(Status.DONE, one.duration_s, 0), sequence_offset_s=offset_s))
        offset_s += one.duration_s
    found = {t: {c.detection_id: c for c in calls if (c.score or 0) >= t} for t in thresholds or frozenset(THRESHOLDS)}
    return RunSnapshot(files, THRESHOLDS, found, validations or {}, "upcall", first_write or {})


def row(of: Detection, offset_s: float = 0.0, review: str = "unreviewed") -> Annotation:
    path = f"D:\\sea\\{of.recording}.wav"
    assert of.score is not None
    times = offset_s + of.begin_s, offset_s + of.end_s
    return Annotation(*times, 90, 200, "upcall", 1, path, of.begin_s, round(of.score, 4), review, of.detection_id)


CALLS = st.lists(
    st.builds(
        detection_at,
        st.integers(1, 40).map(lambda n: 1000 * n),
        st.integers(3000, 9999).map(lambda n: n / 1e4 + (3e-5 if n % 2 else -3e-5)),
        st.sampled_from("abc"),
    ),
    unique_by=lambda one: one.detection_id,
    min_size=1,
    max_size=10,
)


@given(CALLS, st.data())
def test_relevant_thresholds_give_the_result_of_all_thresholds(calls: list[Detection], data: st.DataObject) -> None:
    threshold = data.draw(st.sampled_from(THRESHOLDS))
    shown = [one for one in sorted(calls, key=lambda one: (one.recording, one.begin_s)) if (one.score or 0) >= threshold]
    kept = [one for one in shown if data.draw(st.booleans())]
    reviews = st.sampled_from(["yes", "no", "maybe"])
    validations = {
        c.detection_id: Validation.of_detection(c, data.draw(reviews), "review") for c in calls if data.draw(st.booleans())
    }
    table = ReviewedTable(DEPLOYMENT, tuple(row(one, 100.0 * "abc".index(one.recording)) for one in kept))
    relevant = relevant_thresholds([table.scores], THRESHOLDS, validations)
    recordings = [sea_recording(name) for name in "abc"]
    few, every = (compare_table(table, snapshot(calls, recordings, some, validations)) for some in (relevant, None))
    assert few.notes == every.notes
    assert few.problems == every.problems == ()
    assert {(one.detection_id, one.review, one.origin) for one in few.entries} == {
        (one.detection_id, one.review, one.origin) for one in every.entries
    }
    deleted = {one.detection_id for one in few.entries if one.origin == "deleted"}
    assert deleted <= {one.detection_id for one in shown} - {one.detection_id for one in kept}


def test_relevant_thresholds() -> None:
    assert relevant_thresholds([{"a-1": 0.61, "a-2": 0.3}], [0.3], {}) == {0.3}
    (lower,) = relevant_thresholds([{"a-1": 0.61, "a-2": 0.25}], [0.3], {})
    assert 0.2499 < lower < 0.24995, "0.24995 is printed as 0.25"
    assert relevant_thresholds([{"a-1": 0.61}, {}], [0.3], {}) == {0.3}
    assert relevant_thresholds([{"a-1": 0.61}], [0.3, 0.5, 0.7], {}) == {0.3, 0.5}
    assert relevant_thresholds([{"a-1": None}], [0.3, 0.5, 0.7], {}) == {0.3, 0.5, 0.7}


NAMES = st.lists(st.sampled_from(["a", "A", "a.b", "b", "x/a", "y/a", "x/a.b", "y/A", "x/y/a"]), unique=True)


@given(NAMES, st.sampled_from(["a", "A", "a.b", "b"]), st.sampled_from(["", "x/", "s/", "/survey/x/", "Q:\\s\\y\\", "y/"]))
def test_a_recording_is_found_by_the_longest_common_end_of_paths(names: list[str], name: str, folder: str) -> None:
    wanted = f"{folder}{name}.wav".lower().replace("\\", "/").split("/")[::-1]

    def shared(one: str) -> int:
        own = f"/survey/{one}.wav".lower().split("/")[::-1]
        return next((i for i, (a, b) in enumerate(zip(wanted, own, strict=False)) if a != b), min(len(wanted), len(own)))

    fitting = [one for one in names if shared(one)]
    best = [one for one in fitting if shared(one) == max(map(shared, fitting))]
    found = RecordingFinder(map(sea_recording, names)).by_sound(f"{folder}{name}.wav")
    assert (found and found.name) == (best[0] if len(best) == 1 else None)
    assert RecordingFinder(map(sea_recording, names)).by_sound(".") is None


@given(NAMES, st.sampled_from(["a", "a.b", "b", "c"]), st.sampled_from(["/survey", "/survey/x", "/other"]))
def test_a_recording_is_found_by_the_name_of_its_table(names: list[str], name: str, folder: str) -> None:
    table = Path(folder, f"{name}.whalescan.selections.txt")
    paths = {one: sea_recording(one).path for one in names}
    fitting = [one for one in names if table.name.startswith(f"{paths[one].stem}.")]
    longest = [one for one in fitting if len(paths[one].stem) == max(len(paths[other].stem) for other in fitting)]
    best = [one for one in longest if paths[one].parent == table.parent] or longest
    found = RecordingFinder(map(sea_recording, names)).by_table_name(table)
    assert (found and found.name) == (best[0] if len(best) == 1 else None)
    own = snapshot([], [sea_recording(one) for one in names]).recording_of_table(table, frozenset())
    alike = [one for one in names if table.name.startswith(f"{one.rsplit('/', 1)[-1]}.whalescan.")]
    beside = [one for one in alike if f"{folder}/".endswith(f"/{one.rpartition('/')[0] or '.'}/")]
    assert own == (alike[0] if len(alike) == 1 else beside[0] if len(beside) == 1 else None)


@given(st.lists(st.integers(0, 3), max_size=6), st.integers(-2, 40).map(lambda n: n / 2))
def test_a_time_in_the_sequence_lies_in_one_recording(lengths: list[int], begin_s: float) -> None:
    recordings = [sea_recording(f"r{i}", seconds) for i, seconds in enumerate(lengths)]
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    expected = next((f"r{i}" for i, end in enumerate(ends) if end - lengths[i] <= begin_s < end), None)
    found = snapshot([], recordings).result_at(begin_s)
    assert (found and found.name) == expected


def test_recordings_added_later_follow_the_sequence_of_an_earlier_write() -> None:
    now = snapshot(
        [], [sea_recording("a", 10), sea_recording("b", 20), sea_recording("c", 30)], first_write={"a": 2, "c": 1}
    )
    offsets = {write: {file.name: file.sequence_offset_s for file in now.as_of_write(write).results} for write in (0, 1, 2)}
    assert offsets == {0: {"b": 0, "a": 20, "c": 30}, 1: {"b": 0, "c": 20, "a": 50}, 2: {"a": 0, "b": 10, "c": 30}}


def test_the_time_for_a_table_does_not_grow_with_the_run() -> None:
    """With a hundred times as many recordings, a linear search would take a hundred times as long."""

    def median_s(n: int) -> float:
        recordings = [sea_recording(f"site{i % 7}/r{i:05d}") for i in range(n)]
        calls = [detection_at(10_000 * k, 0.8, one.name) for one in recordings for k in (1, 2)]
        folder = snapshot(calls, recordings)
        took = []
        for of in recordings[:11]:
            drawn = Annotation(50, 51, 90, 200, "upcall", sound=str(of.path))
            path = Path(f"/back/{of.name}.whalescan.selections.txt")
            table = ReviewedTable(path, (row(detection_at(10_000, 0.8, of.name), review="yes"), drawn))
            begin = time.process_time()
            assert len(compare_table(table, folder).entries) == 3
            took.append(time.process_time() - begin)
        return sorted(took[1:])[5]

    assert median_s(10_000) < 20 * median_s(100)


ENTRIES = st.lists(
    st.lists(
        st.builds(
            lambda of, review, moved: (
                replace(Validation.of_detection(of, review, "moved"), begin_s=of.begin_s - moved)
                if moved
                else Validation.of_detection(of, review, "review")
            ),
            st.sampled_from([detection_at(5000, 0.8), detection_at(9000, 0.8)]),
            st.sampled_from(["yes", "no", "maybe", "unreviewed"]),
            st.sampled_from([0.0, 0.25, 0.5]),
        ),
        unique_by=lambda one: one.detection_id,
        max_size=2,
    ),
    min_size=1,
    max_size=4,
)


@given(ENTRIES)
def test_the_last_review_and_the_last_box_of_successive_tables_count(tables: list[list[Validation]]) -> None:
    resolution = resolve_conflicts(combine_successive(tables, {}), {})
    assert resolution.conflicts == ()
    new = {one.detection_id: one for one in resolution.new}
    for detection_id in {one.detection_id for entries in tables for one in entries}:
        entries_of_id = [one for entries in tables for one in entries if one.detection_id == detection_id]
        reviews = [one.review for one in entries_of_id if one.review != "unreviewed"]
        boxes = [one.begin_s for one in entries_of_id if one.origin == "moved"]
        if not reviews and not boxes:
            assert detection_id not in new
            continue
        assert new[detection_id].review == (reviews[-1] if reviews else "unreviewed")
        assert new[detection_id].begin_s == (boxes[-1] if boxes else entries_of_id[0].begin_s)


def test_a_later_review_undoes_a_deletion() -> None:
    of = detection_at(5000, 0.8)
    gone, there = Validation.of_detection(of, "no", "deleted"), Validation.of_detection(of, "unreviewed", "review")
    assert combine_successive([[gone], [there]], {}) == (gone,)
    assert combine_successive([[gone], [replace(there, review="yes")]], {}) == (replace(there, review="yes"),)
    assert combine_successive([[replace(there, review="yes")], [gone]], {}) == (gone,)


def test_versions_of_a_table_are_grouped_in_order() -> None:
    names = [f"a.reviewed-{n}.selections.txt" for n in (10, 9)]
    given_paths = [Path("/x/a.selections.txt"), *(Path("/x", name) for name in names), Path("/y/a.selections.txt")]
    assert manifest.group_versions(given_paths) == [
        [Path("/x", names[1]), Path("/x", names[0]), Path("/x/a.selections.txt")],
        [Path("/y/a.selections.txt")],
    ]


def test_the_manifest_records_writes_and_imports(tmp_path: Path) -> None:
    def write(*names: str) -> manifest.TableManifest:
        folder = tmp_path / "selections"
        tables = {folder / f"{name}.whalescan.selections.txt": b"table\n" for name in names}
        manifest.TableWriter(tmp_path).write(tables, 0.5, folder)
        return manifest.read_manifest(tmp_path)

    assert write("b").recordings == {"b": 0}
    manifest.record_imported(tmp_path, ["d1"])
    known = write("a/c", "b")
    assert (known.recordings, known.writes, known.imported) == ({"a/c": 1, "b": 0}, 2, {"d1": 1})
    assert write("a/c").recordings == {"a/c": 1}
    assert write("a/c", "b").recordings == {"a/c": 1, "b": 3}, "a table in between did not contain it"
    document = json.loads((tmp_path / manifest.MANIFEST_FILE).read_text())
    (tmp_path / manifest.MANIFEST_FILE).write_text(json.dumps({name: document[name] for name in ("thresholds", "tables")}))
    assert manifest.read_manifest(tmp_path).tables == known.tables, "manifests of earlier versions have no recordings"


@pytest.mark.parametrize(
    "content", ["", "[1]", "3", "{}", '{"thresholds": "high", "tables": {}}', '{"thresholds": [0.5], "tables": [1]}']
)
def test_a_damaged_manifest_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / manifest.MANIFEST_FILE).write_text(content)
    with pytest.raises(TableError, match=r"\.tables\.json: damaged"):
        manifest.read_manifest(tmp_path)
