"""Review page without a browser: history, queues, playback, routes, access control and the command."""

from __future__ import annotations

import csv
import http.client
import io
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import whalescan
from tests.builders import LOW_THRESHOLD, detection_at
from whalescan.audio.excerpts import PLAYBACK_RATE_HZ, Excerpt, playback_wav
from whalescan.cli import main
from whalescan.core import ClockSegment, Detection, Recording
from whalescan.detections import sampling
from whalescan.detections.validations import Validation, apply_validations
from whalescan.review.page.app import ReviewDefaults, make_app
from whalescan.review.page.history import PAGE_SOURCE, UNDO_SOURCE, ValidationHistory
from whalescan.review.page.queues import (
    FILTERS_BY_REVIEW,
    ORDERS_BY_SCORE,
    REVIEW_CODES,
    CurrentReviews,
    DetectionArrays,
    QueueOptions,
    QueueOrder,
    ReviewFilter,
)
from whalescan.review.page.security import RequestGuard
from whalescan.review.page.session import ReviewSession
from whalescan.review.raven.import_review import import_review
from whalescan.scores import validation_store
from whalescan.scores.validation_store import StoredValidation
from whalescan.survey.finished_run import open_finished_run
from whalescan.survey.run_folder import exclusive_access
from whalescan.tables.csvs import detections_csv, read_files_csv

NOW = "2026-01-02T03:04:05Z"
REVIEWS = ("yes", "no", "maybe")


# History


@dataclass
class HistoryWithRows:
    """A history with the rows that were stored."""

    rows: list[StoredValidation]
    history: ValidationHistory

    def store(self, *new: Validation) -> None:
        rows = [StoredValidation(len(self.rows) + i, validation) for i, validation in enumerate(new, start=1)]
        self.rows += rows
        self.history.add(rows)

    def review(self, detection: Detection, review: str, reviewer: str) -> None:
        self.store(*self.history.validation_rows(detection, review, reviewer, NOW))

    def undo(self, reviewer: str) -> bool:
        new = self.history.undo_rows(reviewer, NOW)
        self.store(*new)
        return bool(new)

    def review_of(self, detection: Detection, reviewer: str) -> str:
        return self.history.reviews_by_reviewer(detection.detection_id).get(reviewer, "unreviewed")

    def shown(self, detection: Detection) -> Detection | None:
        """Return the detection as tables show it."""
        latest = {row.validation.detection_id: row.validation for row in self.rows}
        shown = apply_validations([detection], latest)
        return next((candidate for candidate in shown if candidate.detection_id == detection.detection_id), None)


def empty_history() -> HistoryWithRows:
    return HistoryWithRows([], ValidationHistory())


DETECTIONS = (detection_at(5000), detection_at(9000))
ACTS = st.lists(
    st.tuples(st.sampled_from("AB"), st.sampled_from((*REVIEWS, "undo")), st.sampled_from(DETECTIONS)), max_size=25
)


@given(ACTS)
def test_the_current_review_is_the_latest_that_was_not_undone(acts: list[tuple[str, str, Detection]]) -> None:
    written = empty_history()
    # the model: a stack from which each reviewer removes their own last entry
    entries: list[tuple[str, Detection, str]] = []
    for reviewer, act, detection in acts:
        if act == "undo":
            own_entries = [entry for entry in entries if entry[0] == reviewer]
            assert written.undo(reviewer) == bool(own_entries)
            if own_entries:
                del entries[len(entries) - 1 - [entry[0] for entry in reversed(entries)].index(reviewer)]
        else:
            of_detection = [entry for entry in entries if entry[1] == detection]
            if not of_detection or of_detection[-1] != (reviewer, detection, act):  # a repeated review adds nothing
                entries.append((reviewer, detection, act))
            written.review(detection, act, reviewer)
        again = ValidationHistory()  # as after a restart of the server
        again.add(written.rows)
        for each in DETECTIONS:
            of_detection = [entry for entry in entries if entry[1] == each]
            own = {entry[0]: entry[2] for entry in of_detection}
            assert (
                written.history.reviews_by_reviewer(each.detection_id) == again.reviews_by_reviewer(each.detection_id) == own
            )
            shown = written.shown(each)
            assert shown is not None
            assert shown == replace(each, review=of_detection[-1][2] if of_detection else "unreviewed")


@given(ACTS, st.sampled_from("AB"), st.sampled_from(REVIEWS), st.sampled_from(DETECTIONS))
def test_an_undone_review_leaves_only_rows(
    acts: list[tuple[str, str, Detection]], reviewer: str, review: str, detection: Detection
) -> None:
    written = empty_history()
    for other_reviewer, act, other_detection in acts:
        if act == "undo":
            written.undo(other_reviewer)
        else:
            written.review(other_detection, act, other_reviewer)
    before = [(written.history.reviews_by_reviewer(each.detection_id), written.shown(each)) for each in DETECTIONS]
    n_rows = len(written.rows)
    written.review(detection, review, reviewer)
    if len(written.rows) > n_rows:
        written.undo(reviewer)
    assert [(written.history.reviews_by_reviewer(each.detection_id), written.shown(each)) for each in DETECTIONS] == before


def test_an_undo_restores_the_rows_of_others_unchanged() -> None:
    detection, written = detection_at(), empty_history()
    moved = replace(
        Validation.of_detection(detection, "yes", "moved", "b.txt"),
        begin_s=4.0,
        reviewer="B",
        validated_utc="2025-01-01T00:00:00Z",
    )
    written.store(moved)
    written.review(detection, "no", "A")
    assert written.undo("A")
    assert [row.validation.source for row in written.rows] == ["b.txt", PAGE_SOURCE, UNDO_SOURCE, "b.txt"]
    assert written.rows[-1].validation == moved
    assert not written.undo("A")
    assert not written.undo("B"), "a review from a table cannot be undone on the page"


def test_a_review_keeps_the_origin_and_the_box_that_a_person_drew() -> None:
    found, added = detection_at(5000), detection_at(9000, score=None)
    for detection, origin in ((found, "moved"), (added, "added")):
        written = empty_history()
        drawn = replace(Validation.of_detection(detection, "yes", origin), begin_s=detection.begin_s - 0.25, low_hz=61.5)
        written.store(drawn)
        assert written.history.with_reviewed_box(detection).low_hz == 61.5
        written.review(detection, "maybe", "A")
        last = written.rows[-1].validation
        assert (last.origin, last.begin_s, last.low_hz, last.reviewer) == (origin, detection.begin_s - 0.25, 61.5, "A")
        written.store(replace(last, review="no", origin="deleted", source="t.txt", reviewer=""))
        written.review(detection, "yes", "A")
        last = written.rows[-1].validation
        assert (last.origin, last.low_hz) == (origin, 61.5), "it was deleted in between"
    written = empty_history()
    written.store(Validation.of_detection(found, "no", "deleted"))
    written.review(found, "yes", "A")
    assert written.rows[-1].validation.origin == "review"


def test_a_table_by_the_same_reviewer_ends_what_can_be_undone() -> None:
    detection, other, written = detection_at(5000), detection_at(9000), empty_history()
    written.review(other, "no", "A")
    written.review(detection, "yes", "A")
    written.store(replace(Validation.of_detection(detection, "no", "review", "t.txt"), reviewer="A"))
    assert written.undo("A")
    assert (written.review_of(detection, "A"), written.review_of(other, "A")) == ("no", "unreviewed")
    written.review(detection, "yes", "A")
    assert written.undo("A")
    assert written.review_of(detection, "A") == "no"
    assert written.rows[-1].validation.review == "no"


def test_a_row_is_added_with_knowledge_of_all_rows_before_it(tmp_path: Path) -> None:
    validation = Validation.of_detection(detection_at(), "yes", "review")
    known: list[tuple[int, int]] = []

    def write(name: str) -> None:
        last = 0
        for _ in range(25):
            sequence = last

            def decide(rows: Any, sequence: int = sequence) -> list[Validation]:
                known.append((rows[-1].sequence if rows else sequence, len(known)))
                return [replace(validation, reviewer=name)]

            last = validation_store.append_decided(tmp_path, last, decide)[-1].sequence

    threads = [threading.Thread(target=write, args=(name,)) for name in "ABCD"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sequence for sequence, _ in sorted(known, key=lambda pair: pair[1])] == list(range(100))
    rows = validation_store.read_rows_after(tmp_path, 0)
    assert [row.sequence for row in rows] == list(range(1, 101))
    assert validation_store.read_rows_after(tmp_path, 97) == rows[97:]
    assert validation_store.read_rows_after(tmp_path / "nowhere", 0) == []


# Queues

MANY = tuple(
    replace(
        detection_at(1000 * (i + 1), round(float(score), 4), f"r{i % 3}", label="upcall" if i % 4 else "gunshot"),
        review=review,
    )
    for i, (score, review) in enumerate(
        zip(
            np.random.default_rng(5).uniform(0.5, 1, 300),
            ["unreviewed", "yes", "no", "maybe", "unreviewed"] * 60,
            strict=True,
        )
    )
)
CURRENT = np.array([REVIEW_CODES[detection.review] for detection in MANY], np.int8)
BY_ANNA = np.where(np.arange(300) % 7 == 0, REVIEW_CODES["yes"], REVIEW_CODES["unreviewed"])
BY_BEN = np.where(
    np.arange(300) % 21 == 0,
    REVIEW_CODES["no"],
    np.where(np.arange(300) % 2 == 0, REVIEW_CODES["yes"], REVIEW_CODES["unreviewed"]),
)
CURRENT_REVIEWS = CurrentReviews(CURRENT, {"Anna": BY_ANNA, "Ben": BY_BEN})
ARRAYS = DetectionArrays(MANY, {}, 0.6)
OPTIONS = st.builds(
    QueueOptions,
    st.sampled_from(QueueOrder),
    st.sampled_from(ReviewFilter),
    st.one_of(st.none(), st.floats(0.5, 1)),
    st.one_of(st.none(), st.floats(0.5, 1)),
    st.sampled_from(["", "R1", "nowhere"]),
    st.sampled_from(["", "upcall", "gunshot", "no such class"]),
    st.sampled_from([None, "Anna", "nobody"]),
    st.one_of(st.none(), st.integers(1, 40)),
)


@given(OPTIONS)
def test_a_queue_has_the_detections_and_the_order_of_its_options(options: QueueOptions) -> None:
    indices = ARRAYS.select(options, CURRENT_REVIEWS, "Anna").tolist()
    assert len(set(indices)) == len(indices)
    if options.order is QueueOrder.SAMPLE:
        first = sampling.sample_order(sampling.detections_at_threshold(MANY, 0.6))[: options.sample_size]
        own = [i for i, detection in enumerate(MANY) if (detection.score or 0) >= 0.6]
        pool = [own[i] for i in first]
        assert indices == [i for i in pool if i in indices]
    else:
        pool = list(range(300))
        scores = [MANY[i].score or 0 for i in indices]
        keys = {
            QueueOrder.HIGHEST: [-score for score in scores],
            QueueOrder.LOWEST: scores,
            QueueOrder.THRESHOLD: [abs(score - 0.6) for score in scores],
        }.get(options.order, list(map(float, indices)))
        assert keys == sorted(keys)
    assert set(indices) == {i for i in pool if is_wanted(i, options)}


def is_wanted(i: int, options: QueueOptions) -> bool:
    detection = MANY[i]
    assert detection.score is not None
    by_anna, by_ben = BY_ANNA[i] != REVIEW_CODES["unreviewed"], BY_BEN[i] != REVIEW_CODES["unreviewed"]
    shown = {
        ReviewFilter.ALL: True,
        ReviewFilter.MINE: by_anna,
        ReviewFilter.NOT_BY_ME: not by_anna,
        ReviewFilter.DISAGREED: by_anna and by_ben and BY_ANNA[i] != BY_BEN[i],
    }.get(options.review_filter, detection.review == options.review_filter.value)
    in_range = (options.lowest_score is None or detection.score >= options.lowest_score - 6e-5) and (
        options.highest_score is None or detection.score <= options.highest_score + 6e-5
    )
    is_there = options.recording.casefold() in detection.recording and options.label in ("", detection.label)
    return bool(
        shown and in_range and is_there and (options.reviewed_by is None or (options.reviewed_by == "Anna" and by_anna))
    )


def test_detections_without_a_time_or_a_score_come_last(out: Path) -> None:
    run = open_finished_run(out)
    name = next(iter(run.recordings_by_name))
    calls = (
        detection_at(9000, 0.9),
        detection_at(8000, None),
        replace(detection_at(7000, 0.7), recording=name),
        replace(detection_at(6000, 0.8), recording=name),
    )
    catalog = DetectionArrays(calls, run.recordings_by_name, 0.5)
    nothing = CurrentReviews(np.full(4, REVIEW_CODES["unreviewed"]), {})
    assert catalog.select(QueueOptions(QueueOrder.TIME), nothing, "A").tolist() == [3, 2, 0, 1]
    assert catalog.select(QueueOptions(QueueOrder.HIGHEST), nothing, "A").tolist() == [0, 3, 2, 1]
    assert catalog.select(QueueOptions(QueueOrder.LOWEST), nothing, "A").tolist() == [2, 3, 0, 1]
    assert sorted(catalog.select(QueueOptions(QueueOrder.SAMPLE), nothing, "A").tolist()) == [0, 2, 3]


def test_the_order_by_time_follows_the_clock_segments_of_a_duty_cycle() -> None:
    start_utc = datetime(2026, 1, 1, tzinfo=UTC)
    segments = (ClockSegment(0, start_utc), ClockSegment(75 * 2000, start_utc + timedelta(hours=1)))
    cycled = Recording("a", Path("a.x.wav"), "a.x.wav", 2000, 150 * 2000, 1, 0, start_utc, "harp", clock_segments=segments)
    between = Recording("b", Path("b.wav"), "b.wav", 2000, 60 * 2000, 1, 0, start_utc + timedelta(minutes=30), "name")
    detections = (detection_at(70_000), detection_at(80_000), detection_at(10_000, recording="b"))
    arrays = DetectionArrays(detections, {"a": cycled, "b": between}, 0.5)
    reviews = CurrentReviews(np.full(3, REVIEW_CODES["unreviewed"]), {})
    assert arrays.select(QueueOptions(QueueOrder.TIME), reviews, "A").tolist() == [0, 2, 1]


# Playback


def tone(hz: float, seconds: float = 8.0, rate_hz: int = 2000) -> Excerpt:
    samples = np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz).astype(np.float32)
    return Excerpt(samples, np.zeros(len(samples), np.bool_), rate_hz, 0)


def played(wav: bytes) -> tuple[np.ndarray[Any, np.dtype[np.float64]], int]:
    samples, rate_hz = soundfile.read(io.BytesIO(wav))
    return samples, rate_hz


@pytest.mark.parametrize("speed", [1, 2, 4, 8, 10])
def test_playback_multiplies_frequencies_by_the_speed(speed: float) -> None:
    samples, rate_hz = played(playback_wav(tone(100), speed, 0, 1000))
    assert len(samples) / rate_hz == pytest.approx(8 / speed, abs=0.001)
    peak_hz = np.argmax(np.abs(np.fft.rfft(samples))) * rate_hz / len(samples)
    assert peak_hz == pytest.approx(100 * speed, rel=0.005)
    assert 0.85 < np.abs(samples).max() < 0.95


def test_playback_removes_frequencies_outside_the_band_without_delay() -> None:
    both = replace(tone(100), samples=tone(100).samples + 3 * tone(600).samples)
    samples, rate_hz = played(playback_wav(both, 4, 30, 350))
    spectrum = np.abs(np.fft.rfft(samples))
    at = {hz: spectrum[round(4 * hz * len(samples) / rate_hz)] for hz in (100, 600)}
    assert at[600] < 0.005 * at[100]
    alone_, _ = played(playback_wav(tone(100), 4, 0, 1000))
    middle = slice(len(samples) // 4, 3 * len(samples) // 4)
    assert np.corrcoef(samples[middle], alone_[middle])[0, 1] > 0.9999


@given(st.integers(1, 3000), st.integers(0, 2**31), st.sampled_from([0.0, 30.0]), st.sampled_from([350.0, 1000.0]))
def test_playback_clips_nothing_and_keeps_missing_parts_silent(n: int, seed: int, low_hz: float, high_hz: float) -> None:
    random = np.random.default_rng(seed)
    missing = np.zeros(n, np.bool_)
    missing[n // 3 : n // 2] = True
    heard = Excerpt(random.standard_normal(n).astype(np.float32) * ~missing, missing, 2000, 0)
    samples, rate_hz = played(playback_wav(heard, 1, low_hz, high_hz))
    assert np.abs(samples).max(initial=0) <= 0.9 + 1e-4
    assert len(samples) == pytest.approx(n * 12, abs=1)
    silent = samples[(n // 3 + 40) * 12 : max(n // 2 - 40, 0) * 12]
    assert np.abs(silent).max(initial=0) < 5e-3, "except for ringing of the resampler"
    assert rate_hz == PLAYBACK_RATE_HZ


# Routes


class PageClient:
    """The requests that the page makes."""

    def __init__(self, out: Path, blind: bool = False, reviewer: str = "Anna") -> None:
        self.session = ReviewSession(open_finished_run(out), blind)
        self.ended = threading.Event()
        self.guard = RequestGuard()
        app = make_app(self.session, ReviewDefaults(), self.guard, self.ended.set)
        self.client: FlaskClient = app.test_client()
        self.reviewer = reviewer

    def get(self, path: str, status: int = 200) -> Any:
        response = self.client.get(f"/{self.guard.token}/{path}")
        assert response.status_code == status, response.text
        return response.json if response.is_json else response

    def post(self, path: str, status: int = 200, **body: Any) -> Any:
        response = self.client.post(f"/{self.guard.token}/{path}", json={"reviewer": self.reviewer, **body})
        assert response.status_code == status, response.text
        return response.json

    def items(self, **options: Any) -> list[dict[str, Any]]:
        queue = self.post("queues", **{"order": "recording", "review_filter": "all", **options})
        found: list[dict[str, Any]] = self.get(f"queues/{queue['name']}?from=0&count=50")["items"]
        assert len(found) == queue["n_detections"]
        return found

    def review(self, index: int, review: str) -> dict[str, Any]:
        item: dict[str, Any] = self.post("reviews", index=index, review=review)["item"]
        return item


def view(item: dict[str, Any], **more: Any) -> str:
    parameters = {"begin": item["begin_s"] - 2, "end": item["end_s"] + 2, "low": 0, "high": 500, **more}
    return "&".join(f"{name}={value}" for name, value in parameters.items())


def test_a_review_is_stored_before_its_response(out: Path) -> None:
    page = PageClient(out)
    first, second, *_ = page.items()
    assert page.review(first["index"], "yes")["review"] == "yes"
    (row,) = validation_store.read_rows_after(out, 0)
    validation = row.validation
    stored = (validation.detection_id, validation.review, validation.origin, validation.source, validation.reviewer)
    assert stored == (first["detection_id"], "yes", "review", "whalescan review", "Anna")
    assert len(validation.validated_utc) == len(NOW)
    page.review(first["index"], "yes")
    assert len(validation_store.read_rows_after(out, 0)) == 1, "a repeated review adds nothing"
    page.review(second["index"], "no")
    assert page.post("undo")["detection_id"] == second["detection_id"]
    assert page.post("undo")["item"]["index"] == first["index"]
    assert page.post("undo") == {"detection_id": None, "item": None}
    assert {validation.review for validation in validation_store.read_validations(out).values()} == {"unreviewed"}


def test_two_servers_and_an_import_keep_each_others_reviews(out: Path) -> None:
    anna, ben = PageClient(out), PageClient(out, reviewer="Ben")
    first, second, third, *_ = anna.items()
    anna.review(first["index"], "yes")
    assert ben.review(first["index"], "no")["other_reviews"] == {"Anna": "yes"}
    table = out.parent / "deployment.whalescan.sound.selections.txt"
    table.write_text((out / table.name).read_text().replace("unreviewed", "maybe"))
    import_review(out, [table], "Carl")
    with_others = ben.get(f"detections/{first['index']}?reviewer=Ben")["item"]
    assert (with_others["review"], with_others["other_reviews"]) == ("no", {"Anna": "yes", "Carl": "maybe"})
    assert [item["index"] for item in anna.items(review_filter="disagreed")] == [first["index"]]
    assert anna.items(review_filter="unreviewed") == []
    ben.review(second["index"], "yes")
    assert ben.post("undo")["item"]["review"] == "unreviewed"
    latest = validation_store.read_validations(out)
    assert (latest[second["detection_id"]].reviewer, latest[second["detection_id"]].review) == ("Carl", "maybe")
    ben.post("undo")
    assert latest[third["detection_id"]].review == "maybe"
    assert validation_store.read_validations(out)[first["detection_id"]].reviewer == "Carl", (
        "his review is later than Anna's"
    )


def test_a_review_can_be_undone_after_a_restart(out: Path) -> None:
    first, second, *_ = (page := PageClient(out)).items()
    page.review(first["index"], "yes")
    page.review(second["index"], "no")
    page.review(second["index"], "maybe")
    again = PageClient(out)
    assert [again.post("undo")["item"]["review"] for _ in range(2)] == ["no", "unreviewed"]
    assert again.post("undo")["detection_id"] == first["detection_id"]


@pytest.mark.parametrize("reviewer", ["Anna", "Ben"])
def test_a_review_of_an_heir_does_not_restore_the_lost_detection(out: Path, reviewer: str) -> None:
    first = open_finished_run(out).read_detections()[0]
    lost = replace(first, detection_id="of another model", begin_s=first.begin_s + 0.3, end_s=first.end_s + 0.3)
    validation = replace(Validation.of_detection(lost, "yes", "review", PAGE_SOURCE), reviewer="Anna", validated_utc=NOW)
    validation_store.append_validations(out, [validation])

    def shown() -> list[tuple[str, str]]:
        return [
            (detection.detection_id, detection.review)
            for detection in open_finished_run(out).read_detections()
            if detection.review != "unreviewed"
        ]

    for restarts in (False, True):
        page = PageClient(out, reviewer=reviewer)
        assert shown() == [(first.detection_id, "yes")]
        page.review(0, "no")
        assert shown() == [(first.detection_id, "no")]
        assert page.session.review_counts_since_start() == {"yes": 0, "no": 1, "maybe": 0, "unreviewed": 0}
        page = PageClient(out, reviewer=reviewer) if restarts else page
        page.post("undo")
        assert shown() == [(first.detection_id, "yes")]
    stands = validation_store.read_validations(out)[first.detection_id]
    assert (stands.reviewer, stands.review) == ("Anna", "yes")
    assert PageClient(out).post("undo") == {"detection_id": None, "item": None}, "a carried-over review cannot be undone"


def test_a_review_that_was_undone_in_between_is_not_carried_over(out: Path) -> None:
    first = open_finished_run(out).read_detections()[0]
    validation = Validation.of_detection(replace(first, detection_id="of another model"), "yes", "review")
    validation_store.append_validations(out, [validation])
    page = PageClient(out)
    validation_store.append_validations(out, [replace(validation, review="unreviewed")])
    page.review(0, "maybe")
    assert len(validation_store.read_rows_after(out, 0)) == 3
    assert page.post("undo")["item"]["review"] == "unreviewed"
    assert {detection.review for detection in open_finished_run(out).read_detections()} == {"unreviewed"}


def test_other_reviews_appear_after_a_review_or_on_request(out: Path) -> None:
    first, *_ = (anna := PageClient(out)).items()
    PageClient(out, reviewer="Ben").review(first["index"], "no")
    assert anna.items()[0]["other_reviews"] == {}
    assert anna.get(f"detections/{first['index']}?reviewer=Anna")["item"]["other_reviews"] == {"Ben": "no"}
    assert anna.review(first["index"], "yes")["other_reviews"] == {"Ben": "no"}


def test_a_blind_reviewer_gets_neither_scores_nor_other_reviews(out: Path) -> None:
    PageClient(out, reviewer="Ben").review(0, "no")
    page = PageClient(out, blind=True)
    survey = page.get("survey")
    assert (survey["threshold"], survey["reviewers"]) == (None, [])
    assert not ORDERS_BY_SCORE & set(survey["orders"])
    assert not FILTERS_BY_REVIEW & set(survey["review_filters"])
    items = [*page.items(), page.get("detections/0?reviewer=Anna")["item"]]
    assert {(item["is_revealed"], item["score"], str(item["other_reviews"])) for item in items} == {(False, None, "{}")}
    revealing: list[dict[str, Any]] = [
        *({"order": order} for order in ORDERS_BY_SCORE),
        *({"review_filter": options} for options in FILTERS_BY_REVIEW),
        {"lowest_score": 0.5},
    ]
    for options in revealing:
        page.post("queues", 400, **{"order": "time", **options})
    item = page.review(0, "yes")
    assert (item["is_revealed"], item["other_reviews"]) == (True, {"Ben": "no"})
    assert item["score"] >= LOW_THRESHOLD


def test_a_sample_resumes_and_gives_the_precision_at_its_end(out: Path) -> None:
    page = PageClient(out, blind=True)
    n_detections = page.get("survey")["n_detections"]
    queue = page.post("queues", order="sample", review_filter="unreviewed", sample_size=n_detections)
    path = f"queues/{queue['name']}"
    items = page.get(f"{path}?count=50")["items"]
    assert [item["index"] for item in items] == sampling.sample_order(page.session.detections.detections).tolist()
    for item in items[1:]:
        page.review(item["index"], "no")
    assert page.get(f"{path}/next-unreviewed?after=3")["position"] == 0, "skipped ones come back"
    assert page.get(f"{path}/progress?estimate")["estimate"] is None, "hidden until the end of a blind review"
    assert len(page.items(order="sample", review_filter="unreviewed", sample_size=n_detections)) == 1
    page.review(items[0]["index"], "yes")
    assert page.get(f"{path}/next-unreviewed")["position"] is None
    progress = page.get(f"{path}/progress?estimate")
    assert progress["counts"] == {"yes": 1, "no": n_detections - 1, "maybe": 0, "unreviewed": 0}
    precision = progress["estimate"]["precision"]
    assert precision["value"] == precision["low"] == precision["high"] == pytest.approx(1 / n_detections), (
        "all were reviewed"
    )


def test_a_queue_stays_the_same_during_its_review(out: Path) -> None:
    page = PageClient(out)
    queue = page.post("queues", order="highest", review_filter="unreviewed")
    before = [item["index"] for item in page.get(f"queues/{queue['name']}?count=50")["items"]]
    for number in before[:3]:
        page.review(number, "yes")
    items = page.get(f"queues/{queue['name']}?count=50")["items"]
    assert [item["index"] for item in items] == before
    assert [item["position"] for item in items] == list(range(len(before)))
    assert [item["review"] for item in items][:4] == ["yes", "yes", "yes", "unreviewed"]


def test_spectrograms_and_audio_state_their_span(out: Path) -> None:
    page = PageClient(out)
    item = page.items()[-1]
    response = page.get(f"detections/{item['index']}/spectrogram?{view(item, width=320, height=100)}")
    image = Image.open(io.BytesIO(response.data))
    assert (image.format, image.size) == ("PNG", (320, 100))
    begin_s, end_s = map(float, response.headers["Whalescan-Span"].split())
    assert begin_s == pytest.approx(item["begin_s"] - 2, abs=0.001)
    sound = page.get(f"detections/{item['index']}/audio?{view(item, speed=4)}")
    assert soundfile.info(io.BytesIO(sound.data)).duration == pytest.approx((end_s - begin_s) / 4, abs=0.001)
    early = page.get(f"detections/0/spectrogram?{view({'begin_s': -3, 'end_s': 1})}")
    assert early.headers["Whalescan-Span"].startswith("0.000000 "), "nothing is before the start of the recording"


@pytest.mark.parametrize(
    "path",
    [
        "detections/0/spectrogram?begin=0&end=0",
        "detections/0/spectrogram?begin=0&end=1e9",
        "detections/0/spectrogram?begin=nan&end=5",
        "detections/0/spectrogram?begin=0&end=5&low=300&high=200",
        "detections/0/spectrogram?begin=0&end=5&low=0.1&high=0.9",
        "detections/0/audio?begin=0&end=5&high=1e-9",
        "detections/0/audio?begin=0&end=5&speed=1000",
        "detections/0/audio?begin=x&end=5",
        "detections/0?reviewer=",
    ],
)
def test_invalid_requests_are_rejected_with_a_reason(out: Path, path: str) -> None:
    assert PageClient(out).get(path, 400)["error"]


def test_the_narrowest_bands_are_drawn_and_played(out: Path) -> None:
    page = PageClient(out)
    for band in ("low=0&high=1", "low=1e-300&high=400", "low=999&high=1e11", "low=5000&high=6000"):
        for kind in ("spectrogram", "audio"):
            assert page.get(f"detections/0/{kind}?begin=0&end=5&{band}").data


@pytest.mark.parametrize(
    "options", ['{"sample_size": 1e999}', '{"lowest_score": 1%s}' % ("0" * 400), '{"order": []}', '{"highest_score": {}}']
)
def test_invalid_queue_options_are_rejected(out: Path, options: str) -> None:
    page = PageClient(out)
    body = options.replace("{", '{"reviewer": "Anna", ', 1)
    response = page.client.post(f"/{page.guard.token}/queues", data=body, content_type="application/json")
    assert response.status_code == 400
    assert "invalid queue options" in str(response.json)


def test_a_negative_count_gives_no_items(out: Path) -> None:
    page = PageClient(out)
    name = page.post("queues", order="recording", review_filter="all")["name"]
    assert page.get(f"queues/{name}?count=-3")["items"] == []


@pytest.mark.parametrize(
    "path",
    [
        "detections/999",
        "detections/999/spectrogram?begin=0&end=5",
        "detections/-1",
        "queues/none",
        "review.py",
        "detections",
    ],
)
def test_unknown_paths_are_not_found(out: Path, path: str) -> None:
    assert PageClient(out).get(f"{path}", 404)["error"]


def test_invalid_reviews_are_not_stored(out: Path) -> None:
    page = PageClient(out)
    for body in ({"index": 0, "review": "perhaps"}, {"index": "0", "review": "yes"}, {"review": "yes"}):
        page.post("reviews", 400, **body)
    page.post("reviews", 404, index=10**6, review="yes")
    for name in ("", " ", "x" * 61, "a\nb", None):
        page.post("reviews", 400, index=0, review="yes", reviewer=name or "")
    assert not (out / validation_store.VALIDATIONS_FILE).exists()


@pytest.mark.slow
def test_a_missing_recording_is_named_and_its_detections_can_be_reviewed(simulated_recordings: Path, tmp_path: Path) -> None:
    shutil.copytree(simulated_recordings, tmp_path / "simulated")
    whalescan.scan(tmp_path / "simulated", tmp_path / "out", hop_s=1.0, threshold=LOW_THRESHOLD)
    (tmp_path / "simulated").rename(tmp_path / "elsewhere")
    page = PageClient(tmp_path / "out")
    item = page.items()[0]
    for kind in ("spectrogram", "audio"):
        assert item["recording"] in page.get(f"detections/0/{kind}?{view(item)}", 409)["error"]
    assert page.review(0, "maybe")["review"] == "maybe"
    (tmp_path / "elsewhere").rename(tmp_path / "simulated")
    assert page.get(f"detections/0/spectrogram?{view(item)}").status_code == 200


# Access control


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8080", "localhost", "localhost:5000"])
def test_names_of_this_machine_are_accepted_at_any_port(out: Path, host: str) -> None:
    page = PageClient(out)
    assert page.client.get(f"/{page.guard.token}/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil@127.0.0.1", "192.168.0.2", "127.0.0.1:x", "[::1]", ""]
)
def test_other_host_names_are_rejected(out: Path, host: str) -> None:
    page = PageClient(out)
    assert page.client.get(f"/{page.guard.token}/", headers={"Host": host}).status_code == 400


def test_every_path_needs_the_token(out: Path) -> None:
    page = PageClient(out)
    wrong = page.guard.token[:-1] + ("A" if page.guard.token[-1] != "A" else "B")
    for path in ("/", f"/{wrong}/", f"/{wrong}/survey", "/survey", "/review.js", "/favicon.ico"):
        assert page.client.get(path).status_code == 404, path
    assert RequestGuard().token != RequestGuard().token
    assert len(RequestGuard().token) >= 32


def test_requests_from_other_pages_are_rejected(out: Path) -> None:
    page = PageClient(out)
    path, body = f"/{page.guard.token}/reviews", {"index": 0, "review": "yes", "reviewer": "Anna"}
    for origin in ("http://evil.example", "null", "https://localhost", "http://localhost:1"):
        assert page.client.post(path, json=body, headers={"Origin": origin}).status_code == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert page.client.post(path, data=json.dumps(body), content_type=kind).status_code == 415
    assert page.client.post(path, data="[]", content_type="application/json").status_code == 400
    assert page.client.get(path).status_code == 405
    assert not (out / validation_store.VALIDATIONS_FILE).exists()
    assert page.client.post(path, json=body, headers={"Origin": "http://localhost"}).status_code == 200


def test_every_response_has_the_security_headers(out: Path) -> None:
    page = PageClient(out)
    for path in ("", "review.js", "survey", "nothing", f"detections/0/spectrogram?{view(page.items()[0])}"):
        headers = page.client.get(f"/{page.guard.token}/{path}").headers
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Access-Control-Allow-Origin" not in headers


# The command


@contextmanager
def reviewing(out: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """Start the command in a process, and yield it with its port and token."""
    command = [sys.executable, "-m", "whalescan", "review", str(out), "--no-browser", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:"), process.communicate()
            port, token = address.removeprefix("http://127.0.0.1:").strip("/").split("/")
            yield process, int(port), token
        finally:
            process.kill()


def request(port: int, path: str, document: dict[str, Any] | None = None) -> tuple[int, Any]:
    """Send one request over a real socket, with the path unchanged."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=240)
    connection.putrequest("POST" if document is not None else "GET", path, skip_host=False)
    body = json.dumps(document).encode() if document is not None else b""
    if document is not None:
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, json.loads(content) if content.startswith(b"{") else content


@pytest.mark.slow
def test_a_killed_server_loses_no_review(out: Path) -> None:
    with reviewing(out, "--reviewer", "Anna") as (process, port, token):
        n_detections = request(port, f"/{token}/survey")[1]["n_detections"]
        for index in range(n_detections):
            review = REVIEWS[index % 3]
            assert request(port, f"/{token}/reviews", {"index": index, "review": review, "reviewer": "Ben"})[0] == 200
        process.kill()
        process.wait()
    rows = validation_store.read_rows_after(out, 0)
    assert [row.validation.review for row in rows] == [REVIEWS[i % 3] for i in range(n_detections)]
    assert {row.validation.reviewer for row in rows} == {"Anna"}, "the name given to the command takes precedence"


@pytest.mark.slow
def test_path_traversal_reaches_no_file(out: Path) -> None:
    (out / "secret.txt").write_text("secret")
    with reviewing(out) as (_, port, token):
        for trick in (
            "../survey",
            "../../secret.txt",
            "%2e%2e/%2e%2e/secret.txt",
            "..%2f..%2fsecret.txt",
            "detections/../../secret.txt",
            f"detections/{out}/secret.txt/spectrogram",
            "detections/..%2f..%2fsecret.txt/audio?begin=0&end=1",
            "//etc/passwd",
            f"/{token}/survey",
            "static/../review.py",
        ):
            status, content = request(port, f"/{token}/{trick}")
            assert status in (308, 400, 403, 404), trick
            assert b"secret" not in (content if isinstance(content, bytes) else b""), trick
        assert request(port, "/../../etc/passwd")[0] == 404
        assert request(port, f"/x/../{token}/survey")[0] == 404


@pytest.mark.slow
@pytest.mark.parametrize("by_page", [False, True])
def test_the_end_of_a_review_updates_all_tables(out: Path, by_page: bool) -> None:
    with reviewing(out) as (process, port, token):
        for index, review in enumerate(("yes", "yes", "no")):
            request(port, f"/{token}/reviews", {"index": index, "review": review, "reviewer": "Anna"})
        if by_page:
            assert request(port, f"/{token}/finish", {})[0] == 200
        else:
            process.send_signal(signal.SIGINT)
        output, notes = process.communicate(timeout=240)
    assert process.returncode == 0
    assert "2 yes, 1 no, 0 maybe" in notes
    assert "precision" in output, "the precision estimate follows"
    with (out / "detections.csv").open() as file:
        assert [row["review"] for row in csv.DictReader(file)][:3] == ["yes", "yes", "no"]


@pytest.mark.slow
def test_reviews_are_kept_while_another_process_writes_the_tables(out: Path) -> None:
    with exclusive_access(out), reviewing(out) as (process, port, token):
        request(port, f"/{token}/reviews", {"index": 0, "review": "yes", "reviewer": "Anna"})
        request(port, f"/{token}/finish", {})
        _, notes = process.communicate(timeout=240)
    assert process.returncode == 0
    assert "is writing there" in notes
    assert f"`whalescan detect {out}`" in notes
    assert len(validation_store.read_validations(out)) == 1


def test_invalid_arguments_are_reported_at_once(out: Path, tmp_path: Path) -> None:
    for options, reason in (
        ([str(tmp_path / "nowhere")], "no finished run"),
        ([str(out), "--sample", "5", "--order", "time"], "leave out --order"),
        ([str(out), "--blind", "--order", "highest"], "hides scores"),
        ([str(out), "--reviewer", "x" * 61], "1 to 60 characters"),
    ):
        result = CliRunner().invoke(main, ["review", *options, "--no-browser"])
        assert result.exit_code == 2
        assert reason in result.output


@pytest.mark.slow
def test_a_port_in_use_is_named(out: Path) -> None:
    with reviewing(out) as (_, port, _):
        result = CliRunner().invoke(main, ["review", str(out), "--no-browser", "--port", str(port)])
    assert result.exit_code == 2
    assert f"port {port}" in result.output


def test_a_damaged_validation_file_is_named_on_the_page(out: Path) -> None:
    page = PageClient(out)
    (out / validation_store.VALIDATIONS_FILE).write_bytes(b"no database at all, and longer than its header" * 40)
    assert validation_store.VALIDATIONS_FILE in page.post("reviews", 500, index=0, review="yes")["error"]
    (out / validation_store.VALIDATIONS_FILE).unlink()
    with sqlite3.connect(out / validation_store.VALIDATIONS_FILE) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert "later whalescan" in page.post("reviews", 500, index=0, review="yes")["error"]


def test_a_locked_validation_file_is_not_reported_as_damaged(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = PageClient(out)
    page.review(0, "yes")
    monkeypatch.setattr(validation_store, "LOCK_TIMEOUT_S", 0.05)
    with closing(sqlite3.connect(out / validation_store.VALIDATIONS_FILE, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "cannot be read now" in page.get("detections/0?reviewer=Anna", 500)["error"]
        assert "no validation was stored" in page.post("reviews", 500, index=1, review="yes")["error"]
    assert page.review(1, "no")["review"] == "no"


# Many detections


def test_a_run_without_detections_can_be_opened(out: Path) -> None:
    (out / "detections.csv").write_bytes(detections_csv([]))
    page = PageClient(out)
    assert page.get("survey")["n_detections"] == 0
    queue = page.post("queues", order="sample", review_filter="unreviewed", sample_size=5)
    assert queue["n_detections"] == 0
    assert page.get(f"queues/{queue['name']}/progress?estimate")["estimate"]["precision"] is None


@pytest.mark.slow
def test_200_000_detections_are_fast(out: Path, record_property: Callable[[str, object], None]) -> None:
    files = read_files_csv(out / "files.csv")
    random = np.random.default_rng(2)
    placed = []
    for file in files:
        assert file.recording is not None
        begins = np.sort(random.uniform(1, file.recording.duration_s - 3, 200_001 // len(files)))
        scores = np.round(random.uniform(0.31, 1, len(begins)), 4)
        calls = [
            Detection(file.name, 1, begin, begin + 0.8, 90, 200, "NARW upcall", score, f"{file.name}-{i:09d}")
            for i, (begin, score) in enumerate(zip(begins.tolist(), scores.tolist(), strict=True))
        ]
        placed.append(replace(file, detections=tuple(calls)))
    (out / "detections.csv").write_bytes(detections_csv(placed))
    run = open_finished_run(out)
    began = time.process_time()
    run.read_detections()
    reading_s = time.process_time() - began
    began = time.process_time()
    page = PageClient(out)
    assert time.process_time() - began < reading_s + 60, "2.5 s where nothing else runs"
    took_s: dict[str, list[float]] = {"queue": [], "response": []}

    def timed(kind: str, path: str, **body: Any) -> Any:
        began = time.process_time()
        response = page.post(path, **body) if body else page.get(path)
        took_s[kind].append(time.process_time() - began)
        return response

    for order in QueueOrder:
        queue = timed("queue", "queues", order=order, review_filter="unreviewed", recording="0")
    for position in range(20):
        (item, *_) = timed("response", f"queues/{queue['name']}?from={position}&count=4")["items"]
        timed("response", "reviews", index=item["index"], review="yes")
        timed("response", f"queues/{queue['name']}/progress")
    record_property("ms", {kind: (1000 * float(np.median(times)), 1000 * max(times)) for kind, times in took_s.items()})
    assert np.median(took_s["queue"]) < 3, "0.1 s where nothing else runs"
    assert np.median(took_s["response"]) < 0.5, "0.02 s where nothing else runs"
