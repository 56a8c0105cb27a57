"""What judgements make of detections, what several say together, and how they are kept."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from whalescan.core import Detection, OutputError, TableError
from whalescan.detections.conflict_resolution import settle
from whalescan.detections.validations import Judgement, added_id, apply, precision
from whalescan.scores import validation_store


def call(middle_ms: int, score: float | None = 0.8, channel: int = 1, label: str = "upcall") -> Detection:
    middle_s = middle_ms / 1000
    kind = "human" if score is None else label
    return Detection(
        "a", channel, middle_s - 0.5, middle_s + 0.5, 90, 200, label, score, f"a.ch{channel}-{kind}-{middle_ms:09d}"
    )


def said(one: Detection, verdict: str, origin: str = "review", source: str = "t.txt") -> Judgement:
    return Judgement.of(one, verdict, origin, source)


def by_id(*judgements: Judgement) -> dict[str, Judgement]:
    return {one.detection_id: one for one in judgements}


CALLS = st.lists(
    st.builds(
        call,
        st.integers(1, 20).map(lambda n: 500 * n),
        st.sampled_from([0.3, 0.6, 0.9]),
        st.sampled_from([1, 2]),
        st.sampled_from(["upcall", "gunshot"]),
    ),
    unique_by=lambda one: one.detection_id,
    max_size=12,
)
JUDGED = st.lists(
    st.builds(
        said,
        st.builds(
            call,
            st.integers(1, 40).map(lambda n: 250 * n),
            st.sampled_from([None, 0.4, 0.7]),
            st.sampled_from([1, 2]),
            st.sampled_from(["upcall", "gunshot"]),
        ),
        st.sampled_from(["yes", "no", "maybe", "unreviewed"]),
        st.sampled_from(["review", "deleted", "moved"]),
    ),
    max_size=12,
).map(lambda some: by_id(*some))


@given(CALLS, JUDGED)
def test_every_yes_and_maybe_is_there_and_nothing_is_lost(calls: list[Detection], judged: dict[str, Judgement]) -> None:
    applied = apply(calls, judged)
    ids = [one.detection_id for one in applied]
    assert len(ids) == len(set(ids))
    assert {one.detection_id for one in calls} <= set(ids), "a judgement rejects a call, it does not remove it"
    for one in applied:
        if one.detection_id in judged:
            assert one.review == judged[one.detection_id].verdict
    for verdict in ("yes", "maybe"):
        assert sum(one.review == verdict for one in applied) == sum(one.verdict == verdict for one in judged.values())
    assert list(applied) == sorted(applied, key=lambda one: (one.begin_s, one.channel))


@given(CALLS, JUDGED, st.randoms(use_true_random=False))
def test_neither_the_order_of_judgements_nor_a_second_time_changes_anything(
    calls: list[Detection], judged: dict[str, Judgement], random: object
) -> None:
    applied = apply(calls, judged)
    shuffled = list(judged.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert apply(calls, dict(shuffled)) == applied
    assert set(apply(applied, judged)) == set(applied)


@given(CALLS, JUDGED)
def test_calls_of_which_nobody_spoke_stay_as_they_are(calls: list[Detection], judged: dict[str, Judgement]) -> None:
    applied = {one.detection_id: one for one in apply(calls, judged)}
    far = [
        one
        for one in calls
        if all(abs(one.begin_s - other.begin_s) >= 1 or one.channel != other.channel for other in judged.values())
    ]
    assert all(applied[one.detection_id] == one for one in far if one.detection_id not in judged)
    assert apply(calls, {}) == tuple(sorted(calls, key=lambda one: (one.begin_s, one.channel)))


def test_a_moved_box_is_the_calls_and_the_score_stays() -> None:
    found = call(5000)
    moved = replace(said(found, "yes", "moved"), begin_s=4.2, end_s=5.4, low_hz=60, high_hz=180)
    (one,) = apply([found], by_id(moved))
    assert (one.begin_s, one.end_s, one.low_hz, one.high_hz, one.review) == (4.2, 5.4, 60, 180, "yes")
    assert (one.score, one.detection_id) == (found.score, found.detection_id)
    reviewed = replace(moved, origin="review")
    assert apply([found], by_id(reviewed)) == (replace(found, review="yes"),), "only who drew a box changes it"


@pytest.mark.parametrize("verdict", ["yes", "no", "maybe"])
def test_what_was_said_of_a_call_holds_for_the_one_that_another_model_finds_there(verdict: str) -> None:
    found, other_channel, far = call(5400), call(5100, channel=2), call(6000)
    applied = apply([found, other_channel, far], by_id(said(call(5000), verdict)))
    assert {one.detection_id: one.review for one in applied} == {
        found.detection_id: verdict,
        other_channel.detection_id: "unreviewed",
        far.detection_id: "unreviewed",
    }
    assert replace(found, review=verdict) in applied


def test_a_neighbour_as_near_as_calls_can_be_is_another_call() -> None:
    lost = call(5000)
    applied = apply([call(6000)], by_id(said(lost, "yes")))
    assert applied == (replace(lost, review="yes"), call(6000))
    judged = apply([call(5400)], by_id(said(lost, "yes"), said(call(5400), "no")))
    assert [one.review for one in judged] == ["yes", "no"], "of that one somebody has spoken already"


def test_an_added_call_stands_beside_what_the_detector_finds() -> None:
    human, found = call(5000, score=None), call(5200)
    assert apply([found], by_id(said(human, "yes", "added"))) == (replace(human, review="yes"), found)
    assert apply([found], by_id(said(human, "no", "deleted"))) == (found,)


@pytest.mark.parametrize(
    ("claims", "verdict", "origin", "conflicts"),
    [
        ([("yes", "review")], "yes", "review", 0),
        ([("yes", "review"), ("no", "review")], "maybe", "review", 1),
        ([("yes", "review"), ("no", "deleted")], "yes", "review", 0),
        ([("unreviewed", "review"), ("no", "deleted")], "no", "deleted", 0),
        ([("unreviewed", "review"), ("maybe", "review")], "maybe", "review", 0),
        ([("unreviewed", "added")], "yes", "added", 0),
        ([("no", "added")], "no", "added", 0),
    ],
)
def test_tables_together(claims: list[tuple[str, str]], verdict: str, origin: str, conflicts: int) -> None:
    one = call(5000, score=None if claims[0][1] == "added" else 0.8)
    for order in (claims, claims[::-1]):
        settled = settle([said(one, *claim, f"{claim[0]}.txt") for claim in order], {})
        assert [(new.verdict, new.origin) for new in settled.new] == [(verdict, origin)]
        assert len(settled.conflicts) == conflicts
        if conflicts:
            assert "yes.txt says yes" in settled.conflicts[0]
            assert "no.txt says no" in settled.conflicts[0]


@pytest.mark.parametrize("before", ["yes", "no", "maybe"])
def test_a_row_that_nobody_judged_changes_no_verdict(before: str) -> None:
    one = call(5000)
    assert settle([said(one, "unreviewed")], by_id(said(one, before))).new == ()
    assert settle([said(one, "unreviewed")], {}).new == ()


def test_a_row_that_is_there_again_takes_a_deletion_back() -> None:
    one, human = call(5000), call(7000, score=None)
    deleted = by_id(said(one, "no", "deleted"), said(human, "no", "deleted"))
    back = settle([said(one, "unreviewed"), said(human, "unreviewed", "added")], deleted).new
    assert [(new.verdict, new.origin) for new in back] == [("unreviewed", "review"), ("yes", "added")]


def test_a_box_outlives_later_verdicts() -> None:
    one = call(5000)
    moved = replace(said(one, "unreviewed", "moved"), begin_s=4.2)
    (judged,) = settle([said(one, "yes")], by_id(moved)).new
    assert (judged.verdict, judged.origin, judged.begin_s) == ("yes", "moved", 4.2)
    elsewhere = replace(moved, begin_s=4.0, source="other.txt")
    settled = settle([moved, elsewhere], {})
    assert settled.new[0].begin_s == 4.2
    assert "t.txt and other.txt hold different boxes" in settled.conflicts[0]


@given(JUDGED, JUDGED)
def test_the_same_tables_twice_add_nothing(claims: dict[str, Judgement], known: dict[str, Judgement]) -> None:
    after = known | by_id(*settle(claims.values(), known).new)
    assert settle(claims.values(), after).new == ()


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 5))
def test_precision_is_wilsons(n_yes: int, n_no: int, n_other: int) -> None:
    reviews = ["yes"] * n_yes + ["no"] * n_no + ["maybe", "unreviewed"] * n_other
    calls = [replace(call(1000 * i), review=review) for i, review in enumerate(reviews)]
    added = [replace(call(7, score=None), review="yes")]
    right = precision(calls + added)
    if n_yes + n_no == 0:
        assert right is None
        return
    assert right is not None
    expected = stats.binomtest(n_yes, n_yes + n_no).proportion_ci(method="wilson")
    assert (right.n_yes, right.n_no) == (n_yes, n_no)
    assert right.value == n_yes / (n_yes + n_no)
    assert math.isclose(right.low, expected.low, abs_tol=1e-9)
    assert math.isclose(right.high, expected.high, abs_tol=1e-9)


def test_ids_of_added_calls() -> None:
    assert added_id("x/a", 1, 12.3456) == "x/a-human-000012346"
    assert added_id("a", 2, 0.0) == "a.ch2-human-000000000"


def test_judgements_are_kept_and_the_latest_stands(tmp_path: Path) -> None:
    one, other = said(call(5000), "yes"), replace(said(call(9000, score=None), "maybe", "added"), reviewer="Ana")
    assert validation_store.read(tmp_path) == {}
    validation_store.append(tmp_path, [])
    assert not (tmp_path / validation_store.JUDGEMENTS).exists()
    validation_store.append(tmp_path, [one, other])
    validation_store.append(tmp_path, [replace(one, verdict="no")])
    assert validation_store.read(tmp_path) == by_id(replace(one, verdict="no"), other)
    assert list(validation_store.read(tmp_path)) == [one.detection_id, other.detection_id]
    assert validation_store.by_recording(tmp_path) == {"a": by_id(replace(one, verdict="no"), other)}
    connection = sqlite3.connect(tmp_path / validation_store.JUDGEMENTS)
    assert connection.execute("SELECT verdict FROM judgements ORDER BY sequence").fetchall() == [
        ("yes",),
        ("maybe",),
        ("no",),
    ]
    connection.close()


def test_all_judgements_are_kept_or_none(tmp_path: Path) -> None:
    validation_store.append(tmp_path, [said(call(5000), "yes")])
    with pytest.raises(TableError):
        validation_store.append(tmp_path, [said(call(7000), "yes"), said(call(8000), "perhaps")])
    assert len(validation_store.read(tmp_path)) == 1


def test_a_damaged_file_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / validation_store.JUDGEMENTS
    path.write_bytes(b"SQLite format 3\0" + b"x" * 4000)
    for attempt in (
        lambda: validation_store.read(tmp_path),
        lambda: validation_store.append(tmp_path, [said(call(1), "yes")]),
    ):
        with pytest.raises(TableError, match=r"judgements\.sqlite.*copy"):
            attempt()
    assert path.read_bytes().startswith(b"SQLite format 3\0xxx")


def test_a_file_of_a_later_version_is_not_touched(tmp_path: Path) -> None:
    validation_store.append(tmp_path, [said(call(5000), "yes")])
    connection = sqlite3.connect(tmp_path / validation_store.JUDGEMENTS)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(TableError, match="later whalescan"):
        validation_store.read(tmp_path)


def test_a_folder_that_is_not_there_is_no_place_for_judgements(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no judgement was taken"):
        validation_store.append(tmp_path / "gone", [said(call(5000), "yes")])
