"""Validations applied to detections, conflicts between them, and their store."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import detection_at
from whalescan.core import Detection, OutputError, TableError
from whalescan.detections.conflict_resolution import resolve_conflicts
from whalescan.detections.precision_estimates import reviewed_precision
from whalescan.detections.validations import Validation, added_id, apply_validations
from whalescan.scores import validation_store


def validation_of(detection: Detection, review: str, origin: str = "review", source: str = "t.txt") -> Validation:
    return Validation.of_detection(detection, review, origin, source)


def by_id(*validations: Validation) -> dict[str, Validation]:
    return {one.detection_id: one for one in validations}


DETECTIONS = st.lists(
    st.builds(
        detection_at,
        st.integers(1, 20).map(lambda n: 500 * n),
        st.sampled_from([0.3, 0.6, 0.9]),
        st.just("a"),
        st.sampled_from([1, 2]),
        st.sampled_from(["upcall", "gunshot"]),
    ),
    unique_by=lambda one: one.detection_id,
    max_size=12,
)
VALIDATIONS = st.lists(
    st.builds(
        validation_of,
        st.builds(
            detection_at,
            st.integers(1, 40).map(lambda n: 250 * n),
            st.sampled_from([None, 0.4, 0.7]),
            st.just("a"),
            st.sampled_from([1, 2]),
            st.sampled_from(["upcall", "gunshot"]),
        ),
        st.sampled_from(["yes", "no", "maybe", "unreviewed"]),
        st.sampled_from(["review", "deleted", "moved"]),
    ),
    max_size=12,
).map(lambda some: by_id(*some))


@given(DETECTIONS, VALIDATIONS)
def test_every_yes_and_maybe_is_kept(detections: list[Detection], validations: dict[str, Validation]) -> None:
    applied = apply_validations(detections, validations)
    ids = [one.detection_id for one in applied]
    assert len(ids) == len(set(ids))
    assert {one.detection_id for one in detections} <= set(ids), "a review rejects a detection, it does not remove it"
    for one in applied:
        if one.detection_id in validations:
            assert one.review == validations[one.detection_id].review
    for review in ("yes", "maybe"):
        assert sum(one.review == review for one in applied) == sum(one.review == review for one in validations.values())
    assert list(applied) == sorted(applied, key=lambda one: (one.begin_s, one.channel))


@given(DETECTIONS, VALIDATIONS, st.randoms(use_true_random=False))
def test_applying_is_idempotent_and_order_independent(
    detections: list[Detection], validations: dict[str, Validation], random: object
) -> None:
    applied = apply_validations(detections, validations)
    shuffled = list(validations.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert apply_validations(detections, dict(shuffled)) == applied
    assert set(apply_validations(applied, validations)) == set(applied)


@given(DETECTIONS, VALIDATIONS)
def test_unvalidated_detections_stay_unchanged(detections: list[Detection], validations: dict[str, Validation]) -> None:
    applied = {one.detection_id: one for one in apply_validations(detections, validations)}
    far = [
        one
        for one in detections
        if all(abs(one.begin_s - other.begin_s) >= 1 or one.channel != other.channel for other in validations.values())
    ]
    assert all(applied[one.detection_id] == one for one in far if one.detection_id not in validations)
    assert apply_validations(detections, {}) == tuple(sorted(detections, key=lambda one: (one.begin_s, one.channel)))


def test_moved_box_is_applied_and_the_score_stays() -> None:
    found = detection_at(5000)
    moved = replace(validation_of(found, "yes", "moved"), begin_s=4.2, end_s=5.4, low_hz=60, high_hz=180)
    (one,) = apply_validations([found], by_id(moved))
    assert (one.begin_s, one.end_s, one.low_hz, one.high_hz, one.review) == (4.2, 5.4, 60, 180, "yes")
    assert (one.score, one.detection_id) == (found.score, found.detection_id)
    reviewed = replace(moved, origin="review")
    assert apply_validations([found], by_id(reviewed)) == (replace(found, review="yes"),), (
        "only a drawn box replaces that of the detection"
    )


@pytest.mark.parametrize("review", ["yes", "no", "maybe"])
def test_validation_carries_over_to_the_nearest_detection(review: str) -> None:
    found, other_channel, far = detection_at(5400), detection_at(5100, channel=2), detection_at(6000)
    applied = apply_validations([found, other_channel, far], by_id(validation_of(detection_at(5000), review)))
    assert {one.detection_id: one.review for one in applied} == {
        found.detection_id: review,
        other_channel.detection_id: "unreviewed",
        far.detection_id: "unreviewed",
    }
    assert replace(found, review=review) in applied


def test_validation_does_not_carry_over_to_a_neighbour() -> None:
    lost = detection_at(5000)
    applied = apply_validations([detection_at(6000)], by_id(validation_of(lost, "yes")))
    assert applied == (replace(lost, review="yes"), detection_at(6000))
    applied = apply_validations(
        [detection_at(5400)], by_id(validation_of(lost, "yes"), validation_of(detection_at(5400), "no"))
    )
    assert [one.review for one in applied] == ["yes", "no"], "the second has a validation of its own"


def test_added_call_is_kept_beside_detections() -> None:
    added, found = detection_at(5000, score=None), detection_at(5200)
    assert apply_validations([found], by_id(validation_of(added, "yes", "added"))) == (replace(added, review="yes"), found)
    assert apply_validations([found], by_id(validation_of(added, "no", "deleted"))) == (found,)


@pytest.mark.parametrize(
    ("entries", "review", "origin", "n_conflicts"),
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
def test_conflicting_entries_are_resolved(
    entries: list[tuple[str, str]], review: str, origin: str, n_conflicts: int
) -> None:
    one = detection_at(5000, score=None if entries[0][1] == "added" else 0.8)
    for order in (entries, entries[::-1]):
        resolved = resolve_conflicts([validation_of(one, *entry, f"{entry[0]}.txt") for entry in order], {})
        assert [(new.review, new.origin) for new in resolved.new] == [(review, origin)]
        assert len(resolved.conflicts) == n_conflicts
        if n_conflicts:
            assert all(name in resolved.conflicts[0] for name in ("yes.txt", "no.txt"))


@pytest.mark.parametrize("before", ["yes", "no", "maybe"])
def test_unreviewed_row_changes_no_review(before: str) -> None:
    one = detection_at(5000)
    assert resolve_conflicts([validation_of(one, "unreviewed")], by_id(validation_of(one, before))).new == ()
    assert resolve_conflicts([validation_of(one, "unreviewed")], {}).new == ()


def test_restored_row_undoes_a_deletion() -> None:
    one, added = detection_at(5000), detection_at(7000, score=None)
    deleted = by_id(validation_of(one, "no", "deleted"), validation_of(added, "no", "deleted"))
    restored = resolve_conflicts(
        [validation_of(one, "unreviewed"), validation_of(added, "unreviewed", "added")], deleted
    ).new
    assert [(new.review, new.origin) for new in restored] == [("unreviewed", "review"), ("yes", "added")]


def test_box_outlives_later_reviews() -> None:
    one = detection_at(5000)
    moved = replace(validation_of(one, "unreviewed", "moved"), begin_s=4.2)
    (resolved,) = resolve_conflicts([validation_of(one, "yes")], by_id(moved)).new
    assert (resolved.review, resolved.origin, resolved.begin_s) == ("yes", "moved", 4.2)
    elsewhere = replace(moved, begin_s=4.0, source="other.txt")
    conflicting = resolve_conflicts([moved, elsewhere], {})
    assert conflicting.new[0].begin_s == 4.2
    assert len(conflicting.conflicts) == 1
    assert all(name in conflicting.conflicts[0] for name in ("t.txt", "other.txt"))


@given(VALIDATIONS, VALIDATIONS)
def test_resolving_the_same_entries_again_adds_nothing(entries: dict[str, Validation], known: dict[str, Validation]) -> None:
    after = known | by_id(*resolve_conflicts(entries.values(), known).new)
    assert resolve_conflicts(entries.values(), after).new == ()


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 5))
def test_reviewed_precision_has_the_wilson_interval(n_yes: int, n_no: int, n_other: int) -> None:
    reviews = ["yes"] * n_yes + ["no"] * n_no + ["maybe", "unreviewed"] * n_other
    detections = [replace(detection_at(1000 * i), review=review) for i, review in enumerate(reviews)]
    added = [replace(detection_at(7, score=None), review="yes")]
    precision = reviewed_precision(detections + added)
    n = n_yes + n_no
    if n == 0:
        assert precision is None
        return
    assert precision is not None
    assert (precision.n_yes, precision.n_no) == (n_yes, n_no)
    assert precision.value == n_yes / n
    z = 1.959963984540054  # Wilson (1927), equation of the score interval
    centre = (n_yes + z**2 / 2) / (n + z**2)
    half_width = z / (n + z**2) * math.sqrt(n_yes * n_no / n + z**2 / 4)
    assert math.isclose(precision.low, centre - half_width, abs_tol=1e-9)
    assert math.isclose(precision.high, centre + half_width, abs_tol=1e-9)


def test_ids_of_added_calls() -> None:
    assert added_id("x/a", 1, 12.3456) == "x/a-human-000012346"
    assert added_id("a", 2, 0.0) == "a.ch2-human-000000000"


def test_validations_are_kept_and_the_latest_counts(tmp_path: Path) -> None:
    one, other = (
        validation_of(detection_at(5000), "yes"),
        replace(validation_of(detection_at(9000, score=None), "maybe", "added"), reviewer="Ana"),
    )
    assert validation_store.read_validations(tmp_path) == {}
    validation_store.append_validations(tmp_path, [])
    assert not (tmp_path / validation_store.VALIDATIONS_FILE).exists()
    validation_store.append_validations(tmp_path, [one, other])
    validation_store.append_validations(tmp_path, [replace(one, review="no")])
    assert validation_store.read_validations(tmp_path) == by_id(replace(one, review="no"), other)
    assert list(validation_store.read_validations(tmp_path)) == [one.detection_id, other.detection_id]
    assert validation_store.validations_by_recording(tmp_path) == {"a": by_id(replace(one, review="no"), other)}
    connection = sqlite3.connect(tmp_path / validation_store.VALIDATIONS_FILE)
    assert connection.execute("SELECT verdict FROM judgements ORDER BY sequence").fetchall() == [
        ("yes",),
        ("maybe",),
        ("no",),
    ]
    connection.close()


def test_validations_are_stored_all_or_none(tmp_path: Path) -> None:
    validation_store.append_validations(tmp_path, [validation_of(detection_at(5000), "yes")])
    with pytest.raises(TableError):
        validation_store.append_validations(
            tmp_path, [validation_of(detection_at(7000), "yes"), validation_of(detection_at(8000), "perhaps")]
        )
    assert len(validation_store.read_validations(tmp_path)) == 1


def test_damaged_store_is_reported_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / validation_store.VALIDATIONS_FILE
    path.write_bytes(b"SQLite format 3\0" + b"x" * 4000)
    for attempt in (
        lambda: validation_store.read_validations(tmp_path),
        lambda: validation_store.append_validations(tmp_path, [validation_of(detection_at(1), "yes")]),
    ):
        with pytest.raises(TableError, match=r"judgements\.sqlite"):
            attempt()
    assert path.read_bytes().startswith(b"SQLite format 3\0xxx")


def test_store_of_a_later_version_is_refused(tmp_path: Path) -> None:
    validation_store.append_validations(tmp_path, [validation_of(detection_at(5000), "yes")])
    connection = sqlite3.connect(tmp_path / validation_store.VALIDATIONS_FILE)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(TableError, match=r"judgements\.sqlite.*later"):
        validation_store.read_validations(tmp_path)


def test_store_in_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="gone"):
        validation_store.append_validations(tmp_path / "gone", [validation_of(detection_at(5000), "yes")])
