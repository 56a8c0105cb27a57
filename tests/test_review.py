"""Judging: what is stored, what is chosen, who may ask. The page itself is looked at in test_review_browser.py."""

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
from whalescan.audio import playback
from whalescan.audio.excerpts import Excerpt
from whalescan.cli import main
from whalescan.core import Detection
from whalescan.detections import stratified_sampling
from whalescan.detections.validations import Judgement, apply
from whalescan.review.page.app import Wishes, make_app
from whalescan.review.page.history import SOURCE, TAKEN_BACK, Ledger
from whalescan.review.page.queues import CODES, TELLING_ORDERS, TELLING_SHOWS, Catalog, Choice, Order, Said, Show
from whalescan.review.page.security import Guard
from whalescan.review.page.session import Desk
from whalescan.review.raven.import_review import import_review
from whalescan.scores import validation_store
from whalescan.scores.validation_store import Row
from whalescan.survey.finished_run import open_run
from whalescan.survey.lock import alone
from whalescan.tables.csvs import detections_csv, listed_files

NOW = "2026-01-02T03:04:05Z"
VERDICTS = ("yes", "no", "maybe")


def call(middle_ms: int = 5000, score: float | None = 0.8, recording: str = "a", label: str = "upcall") -> Detection:
    middle_s = middle_ms / 1000
    kind = "human-" if score is None else ""
    identity = f"{recording}-{kind}{middle_ms:09d}"
    return Detection(recording, 1, middle_s - 0.5, middle_s + 0.5, 90, 200, label, score, identity)


# The ledger


@dataclass
class Book:
    """A file of judgements as a list, and the ledger that reads it."""

    rows: list[Row]
    ledger: Ledger

    def store(self, *new: Judgement) -> None:
        rows = [Row(len(self.rows) + i, one) for i, one in enumerate(new, start=1)]
        self.rows += rows
        self.ledger.add(rows)

    def judge(self, one: Detection, verdict: str, reviewer: str) -> None:
        self.store(*self.ledger.judging(one, verdict, reviewer, NOW))

    def take_back(self, reviewer: str) -> bool:
        new = self.ledger.taking_back(reviewer, NOW)
        self.store(*new)
        return bool(new)

    def verdict(self, one: Detection, reviewer: str) -> str:
        return self.ledger.verdicts(one.detection_id).get(reviewer, "unreviewed")

    def shown(self, one: Detection) -> Detection | None:
        """What tables make of it."""
        latest = {row.judgement.detection_id: row.judgement for row in self.rows}
        return next((call for call in apply([one], latest) if call.detection_id == one.detection_id), None)


def book() -> Book:
    return Book([], Ledger())


CALLS = (call(5000), call(9000))
ACTS = st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from((*VERDICTS, "back")), st.sampled_from(CALLS)), max_size=25)


@given(ACTS)
def test_what_stands_is_the_last_thing_said_that_was_not_taken_back(acts: list[tuple[str, str, Detection]]) -> None:
    written = book()
    said: list[tuple[str, Detection, str]] = []  # the model: a pile from which each takes what they laid there last
    for reviewer, act, one in acts:
        if act == "back":
            mine = [thing for thing in said if thing[0] == reviewer]
            assert written.take_back(reviewer) == bool(mine)
            if mine:
                del said[len(said) - 1 - [thing[0] for thing in reversed(said)].index(reviewer)]
        else:
            of_call = [thing for thing in said if thing[1] == one]
            if not of_call or of_call[-1] != (reviewer, one, act):  # to say it twice is to say it once
                said.append((reviewer, one, act))
            written.judge(one, act, reviewer)
        again = Ledger()  # another server, or this one after a restart
        again.add(written.rows)
        for each in CALLS:
            of_call = [thing for thing in said if thing[1] == each]
            own = {thing[0]: thing[2] for thing in of_call}
            assert written.ledger.verdicts(each.detection_id) == again.verdicts(each.detection_id) == own
            shown = written.shown(each)
            assert shown is not None
            assert shown == replace(each, review=of_call[-1][2] if of_call else "unreviewed")


@given(ACTS, st.sampled_from("AB"), st.sampled_from(VERDICTS), st.sampled_from(CALLS))
def test_a_judgement_that_is_taken_back_leaves_no_trace_but_rows(
    acts: list[tuple[str, str, Detection]], reviewer: str, verdict: str, one: Detection
) -> None:
    written = book()
    for who, act, what in acts:
        if act == "back":
            written.take_back(who)
        else:
            written.judge(what, act, who)
    before = [(written.ledger.verdicts(each.detection_id), written.shown(each)) for each in CALLS]
    n_rows = len(written.rows)
    written.judge(one, verdict, reviewer)
    if len(written.rows) > n_rows:
        written.take_back(reviewer)
    assert [(written.ledger.verdicts(each.detection_id), written.shown(each)) for each in CALLS] == before


def test_rows_of_others_stay_as_they_were_and_come_back_word_for_word() -> None:
    one, written = call(), book()
    moved = replace(Judgement.of(one, "yes", "moved", "b.txt"), begin_s=4.0, reviewer="B", judged_utc="2025-01-01T00:00:00Z")
    written.store(moved)
    written.judge(one, "no", "A")
    assert written.take_back("A")
    assert [row.judgement.source for row in written.rows] == ["b.txt", SOURCE, TAKEN_BACK, "b.txt"]
    assert written.rows[-1].judgement == moved
    assert not written.take_back("A")
    assert not written.take_back("B"), "what a table said is not taken back here"


def test_who_judges_a_call_that_a_person_drew_keeps_its_origin_and_its_box() -> None:
    found, added = call(5000), call(9000, score=None)
    for one, origin in ((found, "moved"), (added, "added")):
        written = book()
        drawn = replace(Judgement.of(one, "yes", origin), begin_s=one.begin_s - 0.25, low_hz=61.5)
        written.store(drawn)
        assert written.ledger.drawn(one).low_hz == 61.5
        written.judge(one, "maybe", "A")
        last = written.rows[-1].judgement
        assert (last.origin, last.begin_s, last.low_hz, last.reviewer) == (origin, one.begin_s - 0.25, 61.5, "A")
        written.store(replace(last, verdict="no", origin="deleted", source="t.txt", reviewer=""))
        written.judge(one, "yes", "A")
        last = written.rows[-1].judgement
        assert (last.origin, last.low_hz) == (origin, 61.5), "it was deleted in between"
    written = book()
    written.store(Judgement.of(found, "no", "deleted"))
    written.judge(found, "yes", "A")
    assert written.rows[-1].judgement.origin == "review"


def test_a_table_of_ones_own_makes_what_was_said_before_it_final() -> None:
    one, other, written = call(5000), call(9000), book()
    written.judge(other, "no", "A")
    written.judge(one, "yes", "A")
    written.store(replace(Judgement.of(one, "no", "review", "t.txt"), reviewer="A"))
    assert written.take_back("A")
    assert (written.verdict(one, "A"), written.verdict(other, "A")) == ("no", "unreviewed")
    written.judge(one, "yes", "A")
    assert written.take_back("A")
    assert written.verdict(one, "A") == "no"
    assert written.rows[-1].judgement.verdict == "no"


def test_whoever_adds_a_row_knows_all_rows_before_it(tmp_path: Path) -> None:
    one = Judgement.of(call(), "yes", "review")
    known: list[tuple[int, int]] = []

    def write(name: str) -> None:
        last = 0
        for _ in range(25):
            sequence = last

            def decide(rows: Any, sequence: int = sequence) -> list[Judgement]:
                known.append((rows[-1].sequence if rows else sequence, len(known)))
                return [replace(one, reviewer=name)]

            last = validation_store.extend(tmp_path, last, decide)[-1].sequence

    threads = [threading.Thread(target=write, args=(name,)) for name in "ABCD"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sequence for sequence, _ in sorted(known, key=lambda pair: pair[1])] == list(range(100))
    rows = validation_store.since(tmp_path, 0)
    assert [row.sequence for row in rows] == list(range(1, 101))
    assert validation_store.since(tmp_path, 97) == rows[97:]
    assert validation_store.since(tmp_path / "nowhere", 0) == []


# Queues

MANY = tuple(
    replace(call(1000 * (i + 1), round(float(score), 4), f"r{i % 3}", "upcall" if i % 4 else "gunshot"), review=review)
    for i, (score, review) in enumerate(
        zip(
            np.random.default_rng(5).uniform(0.5, 1, 300),
            ["unreviewed", "yes", "no", "maybe", "unreviewed"] * 60,
            strict=True,
        )
    )
)
STANDING = np.array([CODES[one.review] for one in MANY], np.int8)
BY_ANNA = np.where(np.arange(300) % 7 == 0, CODES["yes"], CODES["unreviewed"])
BY_BEN = np.where(
    np.arange(300) % 21 == 0, CODES["no"], np.where(np.arange(300) % 2 == 0, CODES["yes"], CODES["unreviewed"])
)
SAID = Said(STANDING, {"Anna": BY_ANNA, "Ben": BY_BEN})
CATALOG = Catalog(MANY, {}, 0.6)
CHOICES = st.builds(
    Choice,
    st.sampled_from(Order),
    st.sampled_from(Show),
    st.one_of(st.none(), st.floats(0.5, 1)),
    st.one_of(st.none(), st.floats(0.5, 1)),
    st.sampled_from(["", "R1", "nowhere"]),
    st.sampled_from(["", "upcall", "gunshot", "no such class"]),
    st.sampled_from([None, "Anna", "nobody"]),
    st.one_of(st.none(), st.integers(1, 40)),
)


@given(CHOICES)
def test_a_queue_holds_what_was_chosen_in_the_order_that_was_chosen(choice: Choice) -> None:
    numbers = CATALOG.queue(choice, SAID, "Anna").tolist()
    assert len(set(numbers)) == len(numbers)
    if choice.order is Order.SAMPLE:
        first = stratified_sampling.sample_order(stratified_sampling.found_at(MANY, 0.6))[: choice.sample]
        own = [i for i, one in enumerate(MANY) if (one.score or 0) >= 0.6]
        pool = [own[i] for i in first]
        assert numbers == [i for i in pool if i in numbers]
    else:
        pool = list(range(300))
        scores = [MANY[i].score or 0 for i in numbers]
        keys = {
            Order.HIGHEST: [-score for score in scores],
            Order.LOWEST: scores,
            Order.THRESHOLD: [abs(score - 0.6) for score in scores],
        }.get(choice.order, list(map(float, numbers)))
        assert keys == sorted(keys)
    assert set(numbers) == {i for i in pool if is_wanted(i, choice)}


def is_wanted(i: int, choice: Choice) -> bool:
    one = MANY[i]
    assert one.score is not None
    by_anna, by_ben = BY_ANNA[i] != CODES["unreviewed"], BY_BEN[i] != CODES["unreviewed"]
    shown = {
        Show.ALL: True,
        Show.MINE: by_anna,
        Show.NOT_BY_ME: not by_anna,
        Show.DISAGREED: by_anna and by_ben and BY_ANNA[i] != BY_BEN[i],
    }.get(choice.show, one.review == choice.show.value)
    in_range = (choice.low is None or one.score >= choice.low - 6e-5) and (
        choice.high is None or one.score <= choice.high + 6e-5
    )
    is_there = choice.recording.casefold() in one.recording and choice.label in ("", one.label)
    return bool(shown and in_range and is_there and (choice.by is None or (choice.by == "Anna" and by_anna)))


def test_calls_without_a_clock_come_behind_those_with_one_and_without_a_score_behind_all(out: Path) -> None:
    run = open_run(out)
    name = next(iter(run.by_name))
    calls = (
        call(9000, 0.9),
        call(8000, None),
        replace(call(7000, 0.7), recording=name),
        replace(call(6000, 0.8), recording=name),
    )
    catalog = Catalog(calls, run.by_name, 0.5)
    nothing = Said(np.full(4, CODES["unreviewed"]), {})
    assert catalog.queue(Choice(Order.TIME), nothing, "A").tolist() == [3, 2, 0, 1]
    assert catalog.queue(Choice(Order.HIGHEST), nothing, "A").tolist() == [0, 3, 2, 1]
    assert catalog.queue(Choice(Order.LOWEST), nothing, "A").tolist() == [2, 3, 0, 1]
    assert sorted(catalog.queue(Choice(Order.SAMPLE), nothing, "A").tolist()) == [0, 2, 3]


# Sound


def tone(hz: float, seconds: float = 8.0, rate_hz: int = 2000) -> Excerpt:
    samples = np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz).astype(np.float32)
    return Excerpt(samples, np.zeros(len(samples), np.bool_), rate_hz, 0)


def played(wav: bytes) -> tuple[np.ndarray[Any, np.dtype[np.float64]], int]:
    samples, rate_hz = soundfile.read(io.BytesIO(wav))
    return samples, rate_hz


@pytest.mark.parametrize("speed", [1, 2, 4, 8, 10])
def test_a_tone_comes_out_as_many_times_higher_as_it_is_played_faster(speed: float) -> None:
    samples, rate_hz = played(playback.wav_bytes(tone(100), speed, 0, 1000))
    assert len(samples) / rate_hz == pytest.approx(8 / speed, abs=0.001)
    peak_hz = np.argmax(np.abs(np.fft.rfft(samples))) * rate_hz / len(samples)
    assert peak_hz == pytest.approx(100 * speed, rel=0.005)
    assert 0.85 < np.abs(samples).max() < 0.95


def test_what_lies_outside_the_band_is_not_heard_and_what_lies_in_it_does_not_move() -> None:
    both = replace(tone(100), samples=tone(100).samples + 3 * tone(600).samples)
    samples, rate_hz = played(playback.wav_bytes(both, 4, 30, 350))
    spectrum = np.abs(np.fft.rfft(samples))
    at = {hz: spectrum[round(4 * hz * len(samples) / rate_hz)] for hz in (100, 600)}
    assert at[600] < 0.005 * at[100]
    alone_, _ = played(playback.wav_bytes(tone(100), 4, 0, 1000))
    middle = slice(len(samples) // 4, 3 * len(samples) // 4)
    assert np.corrcoef(samples[middle], alone_[middle])[0, 1] > 0.9999


@given(st.integers(1, 3000), st.integers(0, 2**31), st.sampled_from([0.0, 30.0]), st.sampled_from([350.0, 1000.0]))
def test_nothing_is_clipped_and_what_is_missing_is_silent(n: int, seed: int, low_hz: float, high_hz: float) -> None:
    random = np.random.default_rng(seed)
    missing = np.zeros(n, np.bool_)
    missing[n // 3 : n // 2] = True
    heard = Excerpt(random.standard_normal(n).astype(np.float32) * ~missing, missing, 2000, 0)
    samples, rate_hz = played(playback.wav_bytes(heard, 1, low_hz, high_hz))
    assert np.abs(samples).max(initial=0) <= 0.9 + 1e-4
    assert len(samples) == pytest.approx(n * 12, abs=1)
    silent = samples[(n // 3 + 40) * 12 : max(n // 2 - 40, 0) * 12]
    assert np.abs(silent).max(initial=0) < 5e-3, "but for the resampler's ringing"
    assert rate_hz == playback.PLAYED_HZ


# The server


class Page:
    """What a page does, without the page."""

    def __init__(self, out: Path, blind: bool = False, reviewer: str = "Anna") -> None:
        self.desk = Desk(open_run(out), blind)
        self.ended = threading.Event()
        self.guard = Guard()
        app = make_app(self.desk, Wishes(), self.guard, self.ended.set)
        self.client: FlaskClient = app.test_client()
        self.reviewer = reviewer

    def ask(self, path: str, status: int = 200) -> Any:
        answer = self.client.get(f"/{self.guard.token}/{path}")
        assert answer.status_code == status, answer.text
        return answer.json if answer.is_json else answer

    def send(self, path: str, status: int = 200, **said: Any) -> Any:
        answer = self.client.post(f"/{self.guard.token}/{path}", json={"reviewer": self.reviewer, **said})
        assert answer.status_code == status, answer.text
        return answer.json

    def cards(self, **choice: Any) -> list[dict[str, Any]]:
        made = self.send("queues", **{"order": "recording", "show": "all", **choice})
        found: list[dict[str, Any]] = self.ask(f"queues/{made['name']}?from=0&count=50")["cards"]
        assert len(found) == made["n_calls"]
        return found

    def judge(self, number: int, verdict: str) -> dict[str, Any]:
        card: dict[str, Any] = self.send("judge", number=number, verdict=verdict)["card"]
        return card


def view(card: dict[str, Any], **more: Any) -> str:
    asked = {"begin": card["begin_s"] - 2, "end": card["end_s"] + 2, "low": 0, "high": 500, **more}
    return "&".join(f"{name}={value}" for name, value in asked.items())


def test_a_judgement_is_on_disk_when_the_page_hears_of_it(out: Path) -> None:
    page = Page(out)
    first, second, *_ = page.cards()
    assert page.judge(first["number"], "yes")["verdict"] == "yes"
    (row,) = validation_store.since(out, 0)
    one = row.judgement
    said = (one.detection_id, one.verdict, one.origin, one.source, one.reviewer)
    assert said == (first["detection_id"], "yes", "review", "whalescan review", "Anna")
    assert len(one.judged_utc) == len(NOW)
    page.judge(first["number"], "yes")
    assert len(validation_store.since(out, 0)) == 1, "to say it twice is to say it once"
    page.judge(second["number"], "no")
    assert page.send("take-back")["detection_id"] == second["detection_id"]
    assert page.send("take-back")["card"]["number"] == first["number"]
    assert page.send("take-back") == {"detection_id": "", "card": None}
    assert {one.verdict for one in validation_store.read(out).values()} == {"unreviewed"}


def test_two_servers_and_an_import_lose_nothing_of_one_another(out: Path) -> None:
    anna, ben = Page(out), Page(out, reviewer="Ben")
    first, second, third, *_ = anna.cards()
    anna.judge(first["number"], "yes")
    assert ben.judge(first["number"], "no")["others"] == {"Anna": "yes"}
    table = out.parent / "deployment.whalescan.sound.selections.txt"
    table.write_text((out / table.name).read_text().replace("unreviewed", "maybe"))
    import_review(out, [table], "Carl")
    everybody = ben.ask(f"calls/{first['number']}?reviewer=Ben")["card"]
    assert (everybody["verdict"], everybody["others"]) == ("no", {"Anna": "yes", "Carl": "maybe"})
    assert [card["number"] for card in anna.cards(show="disagreed")] == [first["number"]]
    assert anna.cards(show="unreviewed") == []
    ben.judge(second["number"], "yes")
    assert ben.send("take-back")["card"]["verdict"] == "unreviewed"
    latest = validation_store.read(out)
    assert (latest[second["detection_id"]].reviewer, latest[second["detection_id"]].verdict) == ("Carl", "maybe")
    ben.send("take-back")
    assert latest[third["detection_id"]].verdict == "maybe"
    assert validation_store.read(out)[first["detection_id"]].reviewer == "Carl", "he spoke later than Anna"


def test_after_a_restart_one_may_still_take_back(out: Path) -> None:
    first, second, *_ = (page := Page(out)).cards()
    page.judge(first["number"], "yes")
    page.judge(second["number"], "no")
    page.judge(second["number"], "maybe")
    again = Page(out)
    assert [again.send("take-back")["card"]["verdict"] for _ in range(2)] == ["no", "unreviewed"]
    assert again.send("take-back")["detection_id"] == first["detection_id"]


@pytest.mark.parametrize("reviewer", ["Anna", "Ben"])
def test_who_judges_a_call_that_took_the_place_of_a_lost_one_does_not_bring_that_back(out: Path, reviewer: str) -> None:
    first = open_run(out).calls()[0]
    lost = replace(first, detection_id="of another model", begin_s=first.begin_s + 0.3, end_s=first.end_s + 0.3)
    said = replace(Judgement.of(lost, "yes", "review", SOURCE), reviewer="Anna", judged_utc=NOW)
    validation_store.append(out, [said])

    def shown() -> list[tuple[str, str]]:
        return [(one.detection_id, one.review) for one in open_run(out).calls() if one.review != "unreviewed"]

    for restarts in (False, True):
        page = Page(out, reviewer=reviewer)
        assert shown() == [(first.detection_id, "yes")]
        page.judge(0, "no")
        assert shown() == [(first.detection_id, "no")]
        assert page.desk.said_since() == {"yes": 0, "no": 1, "maybe": 0, "unreviewed": 0}
        page = Page(out, reviewer=reviewer) if restarts else page
        page.send("take-back")
        assert shown() == [(first.detection_id, "yes")]
    stands = validation_store.read(out)[first.detection_id]
    assert (stands.reviewer, stands.verdict) == ("Anna", "yes")
    assert Page(out).send("take-back") == {"detection_id": "", "card": None}, "what was passed on is no decision here"


def test_what_was_taken_back_meanwhile_is_not_passed_on(out: Path) -> None:
    first = open_run(out).calls()[0]
    said = Judgement.of(replace(first, detection_id="of another model"), "yes", "review")
    validation_store.append(out, [said])
    page = Page(out)
    validation_store.append(out, [replace(said, verdict="unreviewed")])
    page.judge(0, "maybe")
    assert len(validation_store.since(out, 0)) == 3
    assert page.send("take-back")["card"]["verdict"] == "unreviewed"
    assert {one.review for one in open_run(out).calls()} == {"unreviewed"}


def test_what_others_said_shows_once_one_has_judged_or_asks(out: Path) -> None:
    first, *_ = (anna := Page(out)).cards()
    Page(out, reviewer="Ben").judge(first["number"], "no")
    assert anna.cards()[0]["others"] == {}
    assert anna.ask(f"calls/{first['number']}?reviewer=Anna")["card"]["others"] == {"Ben": "no"}
    assert anna.judge(first["number"], "yes")["others"] == {"Ben": "no"}


def test_a_blind_reviewer_gets_neither_scores_nor_what_others_said(out: Path) -> None:
    Page(out, reviewer="Ben").judge(0, "no")
    page = Page(out, blind=True)
    survey = page.ask("survey")
    assert (survey["threshold"], survey["reviewers"]) == (None, [])
    assert not TELLING_ORDERS & set(survey["orders"])
    assert not TELLING_SHOWS & set(survey["shows"])
    cards = [*page.cards(), page.ask("calls/0?reviewer=Anna")["card"]]
    assert {(card["is_open"], card["score"], str(card["others"])) for card in cards} == {(False, None, "{}")}
    telling: list[dict[str, Any]] = [
        *({"order": order} for order in TELLING_ORDERS),
        *({"show": show} for show in TELLING_SHOWS),
        {"low": 0.5},
    ]
    for choice in telling:
        page.send("queues", 400, **{"order": "time", **choice})
    card = page.judge(0, "yes")
    assert (card["is_open"], card["others"]) == (True, {"Ben": "no"})
    assert card["score"] > 0.3


def test_a_sample_goes_on_where_it_was_left_and_tells_the_precision_at_its_end(out: Path) -> None:
    page = Page(out, blind=True)
    n_calls = page.ask("survey")["n_calls"]
    queue = page.send("queues", order="sample", show="unreviewed", sample=n_calls)
    path = f"queues/{queue['name']}"
    cards = page.ask(f"{path}?count=50")["cards"]
    assert [card["number"] for card in cards] == stratified_sampling.sample_order(page.desk.catalog.calls).tolist()
    for card in cards[1:]:
        page.judge(card["number"], "no")
    assert page.ask(f"{path}/open?after=3")["position"] == 0, "what was passed over comes back"
    assert page.ask(f"{path}/progress?estimates")["estimates"] is None, "not before the end, for who is blind"
    assert len(page.cards(order="sample", show="unreviewed", sample=n_calls)) == 1
    page.judge(cards[0]["number"], "yes")
    assert page.ask(f"{path}/open")["position"] is None
    progress = page.ask(f"{path}/progress?estimates")
    assert progress["counts"] == {"yes": 1, "no": n_calls - 1, "maybe": 0, "unreviewed": 0}
    precision = progress["estimates"]["precision"]
    assert precision["value"] == precision["low"] == precision["high"] == pytest.approx(1 / n_calls), "all were judged"


def test_a_queue_stays_as_it_was_while_its_calls_are_judged(out: Path) -> None:
    page = Page(out)
    queue = page.send("queues", order="highest", show="unreviewed")
    before = [card["number"] for card in page.ask(f"queues/{queue['name']}?count=50")["cards"]]
    for number in before[:3]:
        page.judge(number, "yes")
    cards = page.ask(f"queues/{queue['name']}?count=50")["cards"]
    assert [card["number"] for card in cards] == before
    assert [card["position"] for card in cards] == list(range(len(before)))
    assert [card["verdict"] for card in cards][:4] == ["yes", "yes", "yes", "unreviewed"]


def test_pictures_and_sounds_say_which_seconds_they_hold(out: Path) -> None:
    page = Page(out)
    card = page.cards()[-1]
    answer = page.ask(f"calls/{card['number']}/picture?{view(card, width=320, height=100)}")
    image = Image.open(io.BytesIO(answer.data))
    assert (image.format, image.size) == ("PNG", (320, 100))
    begin_s, end_s = map(float, answer.headers["Whalescan-Span"].split())
    assert begin_s == pytest.approx(card["begin_s"] - 2, abs=0.001)
    sound = page.ask(f"calls/{card['number']}/sound?{view(card, speed=4)}")
    assert soundfile.info(io.BytesIO(sound.data)).duration == pytest.approx((end_s - begin_s) / 4, abs=0.001)
    early = page.ask(f"calls/0/picture?{view({'begin_s': -3, 'end_s': 1})}")
    assert early.headers["Whalescan-Span"].startswith("0.000000 "), "there is nothing before the recording"


@pytest.mark.parametrize(
    "path",
    [
        "calls/0/picture?begin=0&end=0",
        "calls/0/picture?begin=0&end=1e9",
        "calls/0/picture?begin=nan&end=5",
        "calls/0/picture?begin=0&end=5&low=300&high=200",
        "calls/0/picture?begin=0&end=5&low=0.1&high=0.9",
        "calls/0/sound?begin=0&end=5&high=1e-9",
        "calls/0/sound?begin=0&end=5&speed=1000",
        "calls/0/sound?begin=x&end=5",
        "calls/0?reviewer=",
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(out: Path, path: str) -> None:
    assert Page(out).ask(path, 400)["problem"]


def test_the_narrowest_bands_are_shown_and_heard(out: Path) -> None:
    page = Page(out)
    for band in ("low=0&high=1", "low=1e-300&high=400", "low=999&high=1e11", "low=5000&high=6000"):
        for kind in ("picture", "sound"):
            assert page.ask(f"calls/0/{kind}?begin=0&end=5&{band}").data


@pytest.mark.parametrize("choice", ['{"sample": 1e999}', '{"low": 1%s}' % ("0" * 400), '{"order": []}', '{"high": {}}'])
def test_choices_that_are_none_are_refused(out: Path, choice: str) -> None:
    page = Page(out)
    said = choice.replace("{", '{"reviewer": "Anna", ', 1)
    answer = page.client.post(f"/{page.guard.token}/queues", data=said, content_type="application/json")
    assert (answer.status_code, "cannot be chosen" in answer.text) == (400, True)


def test_a_page_asks_for_so_many_calls_and_gets_no_more(out: Path) -> None:
    page = Page(out)
    name = page.send("queues", order="recording", show="all")["name"]
    assert page.ask(f"queues/{name}?count=-3")["cards"] == []


@pytest.mark.parametrize(
    "path", ["calls/999", "calls/999/picture?begin=0&end=5", "calls/-1", "queues/none", "review.py", "calls"]
)
def test_what_is_not_there_is_not_there(out: Path, path: str) -> None:
    assert Page(out).ask(f"{path}", 404)["problem"]


def test_judgements_that_are_none_are_not_stored(out: Path) -> None:
    page = Page(out)
    for said in ({"number": 0, "verdict": "perhaps"}, {"number": "0", "verdict": "yes"}, {"verdict": "yes"}):
        page.send("judge", 400, **said)
    page.send("judge", 404, number=10**6, verdict="yes")
    for name in ("", " ", "x" * 61, "a\nb", None):
        page.send("judge", 400, number=0, verdict="yes", reviewer=name or "")
    assert not (out / validation_store.JUDGEMENTS).exists()


def test_a_recording_that_is_gone_is_named_and_its_calls_can_be_judged(sea: Path, tmp_path: Path) -> None:
    shutil.copytree(sea, tmp_path / "sea")
    whalescan.scan(tmp_path / "sea", tmp_path / "out", hop=1.0, threshold=0.3)
    (tmp_path / "sea").rename(tmp_path / "elsewhere")
    page = Page(tmp_path / "out")
    card = page.cards()[0]
    for kind in ("picture", "sound"):
        assert card["recording"] in page.ask(f"calls/0/{kind}?{view(card)}", 409)["problem"]
    assert page.judge(0, "maybe")["verdict"] == "maybe"
    (tmp_path / "elsewhere").rename(tmp_path / "sea")
    assert page.ask(f"calls/0/picture?{view(card)}").status_code == 200


# Who may ask


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8080", "localhost:5000", "LOCALHOST", "[::1]:80"])
def test_this_machine_may_ask_at_any_port(out: Path, host: str) -> None:
    page = Page(out)
    assert page.client.get(f"/{page.guard.token}/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil@127.0.0.1", "192.168.0.2", "127.0.0.1:x", ""]
)
def test_other_names_of_this_machine_are_refused(out: Path, host: str) -> None:
    page = Page(out)
    assert page.client.get(f"/{page.guard.token}/", headers={"Host": host}).status_code == 403


def test_every_path_needs_the_token(out: Path) -> None:
    page = Page(out)
    wrong = page.guard.token[:-1] + ("A" if page.guard.token[-1] != "A" else "B")
    for path in ("/", f"/{wrong}/", f"/{wrong}/survey", "/survey", "/review.js", "/favicon.ico"):
        assert page.client.get(path).status_code == 404, path
    assert Guard().token != Guard().token
    assert len(Guard().token) >= 32


def test_nothing_is_taken_from_other_pages(out: Path) -> None:
    page = Page(out)
    path, said = f"/{page.guard.token}/judge", {"number": 0, "verdict": "yes", "reviewer": "Anna"}
    for origin in ("http://evil.example", "null", "https://localhost", "http://localhost:1"):
        assert page.client.post(path, json=said, headers={"Origin": origin}).status_code == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert page.client.post(path, data=json.dumps(said), content_type=kind).status_code == 415
    assert page.client.post(path, data="[]", content_type="application/json").status_code == 400
    assert page.client.get(path).status_code == 405
    assert not (out / validation_store.JUDGEMENTS).exists()
    assert page.client.post(path, json=said, headers={"Origin": "http://localhost"}).status_code == 200


def test_every_answer_forbids_what_the_page_does_not_need(out: Path) -> None:
    page = Page(out)
    for path in ("", "review.js", "survey", "nothing", f"calls/0/picture?{view(page.cards()[0])}"):
        headers = page.client.get(f"/{page.guard.token}/{path}").headers
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Access-Control-Allow-Origin" not in headers


# The command


@contextmanager
def reviewing(out: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """A real process, its port and its token."""
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


def request(port: int, path: str, said: dict[str, Any] | None = None) -> tuple[int, Any]:
    """One request over a real socket; the path goes out as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest("POST" if said is not None else "GET", path, skip_host=False)
    body = json.dumps(said).encode() if said is not None else b""
    if said is not None:
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, json.loads(content) if content.startswith(b"{") else content


def test_a_server_that_is_killed_loses_no_judgement(out: Path) -> None:
    with reviewing(out, "--reviewer", "Anna") as (process, port, token):
        n_calls = request(port, f"/{token}/survey")[1]["n_calls"]
        for number in range(n_calls):
            verdict = VERDICTS[number % 3]
            assert request(port, f"/{token}/judge", {"number": number, "verdict": verdict, "reviewer": "Ben"})[0] == 200
        process.kill()
        process.wait()
    rows = validation_store.since(out, 0)
    assert [row.judgement.verdict for row in rows] == [VERDICTS[i % 3] for i in range(n_calls)]
    assert {row.judgement.reviewer for row in rows} == {"Anna"}, "the name given to the command stands above the page's"


def test_tricks_with_paths_get_nothing(out: Path) -> None:
    (out / "secret.txt").write_text("secret")
    with reviewing(out) as (_, port, token):
        for trick in (
            "../survey",
            "../../secret.txt",
            "%2e%2e/%2e%2e/secret.txt",
            "..%2f..%2fsecret.txt",
            "calls/../../secret.txt",
            f"calls/{out}/secret.txt/picture",
            "calls/..%2f..%2fsecret.txt/sound?begin=0&end=1",
            "//etc/passwd",
            f"/{token}/survey",
            "static/../review.py",
        ):
            status, content = request(port, f"/{token}/{trick}")
            assert status in (308, 400, 403, 404), trick
            assert b"secret" not in (content if isinstance(content, bytes) else b""), trick
        assert request(port, "/../../etc/passwd")[0] == 404
        assert request(port, f"/x/../{token}/survey")[0] == 404


@pytest.mark.parametrize("by_page", [False, True])
def test_at_the_end_every_table_follows(out: Path, by_page: bool) -> None:
    with reviewing(out) as (process, port, token):
        for number, verdict in enumerate(("yes", "yes", "no")):
            request(port, f"/{token}/judge", {"number": number, "verdict": verdict, "reviewer": "Anna"})
        if by_page:
            assert request(port, f"/{token}/finish", {})[0] == 200
        else:
            process.send_signal(signal.SIGINT)
        said, notes = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "judged 3 calls: 2 yes, 1 no, 0 maybe" in notes
    assert "all calls" in said, "how the detector stands by now"
    with (out / "detections.csv").open() as file:
        assert [row["review"] for row in csv.DictReader(file)][:3] == ["yes", "yes", "no"]


def test_where_another_writes_tables_judgements_are_safe_and_it_says_so(out: Path) -> None:
    with alone(out), reviewing(out) as (process, port, token):
        request(port, f"/{token}/judge", {"number": 0, "verdict": "yes", "reviewer": "Anna"})
        request(port, f"/{token}/finish", {})
        _, notes = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "is writing there" in notes
    assert f"`whalescan detect {out}`" in notes
    assert len(validation_store.read(out)) == 1


def test_what_cannot_be_reviewed_is_said_at_once(out: Path, tmp_path: Path) -> None:
    for options, reason in (
        ([str(tmp_path / "nowhere")], "no finished run"),
        ([str(out), "--sample", "5", "--order", "time"], "leave out --order"),
        ([str(out), "--blind", "--order", "highest"], "hides scores"),
        ([str(out), "--reviewer", "x" * 61], "1 to 60 characters"),
    ):
        result = CliRunner().invoke(main, ["review", *options, "--no-browser"])
        assert result.exit_code == 2
        assert reason in result.output


def test_a_port_that_is_taken_is_named(out: Path) -> None:
    with reviewing(out) as (_, port, _):
        result = CliRunner().invoke(main, ["review", str(out), "--no-browser", "--port", str(port)])
    assert result.exit_code == 2
    assert f"--port {port}" in result.output


def test_a_damaged_file_of_judgements_is_named_on_the_page(out: Path) -> None:
    page = Page(out)
    (out / validation_store.JUDGEMENTS).write_bytes(b"no database at all, and longer than its header" * 40)
    assert validation_store.JUDGEMENTS in page.send("judge", 500, number=0, verdict="yes")["problem"]
    (out / validation_store.JUDGEMENTS).unlink()
    with sqlite3.connect(out / validation_store.JUDGEMENTS) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert "later whalescan" in page.send("judge", 500, number=0, verdict="yes")["problem"]


def test_a_file_of_judgements_that_another_program_holds_is_not_called_damaged(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Page(out)
    page.judge(0, "yes")
    monkeypatch.setattr(validation_store, "_WAIT_S", 0.05)
    with closing(sqlite3.connect(out / validation_store.JUDGEMENTS, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "cannot be read now" in page.ask("calls/0?reviewer=Anna", 500)["problem"]
        assert "no judgement was taken" in page.send("judge", 500, number=1, verdict="yes")["problem"]
    assert page.judge(1, "no")["verdict"] == "no"


# Many calls


def test_a_run_without_calls_opens_and_says_so(out: Path) -> None:
    (out / "detections.csv").write_bytes(detections_csv([]))
    page = Page(out)
    assert page.ask("survey")["n_calls"] == 0
    queue = page.send("queues", order="sample", show="unreviewed", sample=5)
    assert queue["n_calls"] == 0
    assert page.ask(f"queues/{queue['name']}/progress?estimates")["estimates"]["precision"] is None


def test_with_200_000_calls_everything_is_there_at_once(out: Path, record_property: Callable[[str, object], None]) -> None:
    files = listed_files(out / "files.csv")
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
        placed.append((file.recording, calls))
    (out / "detections.csv").write_bytes(detections_csv(placed))
    run = open_run(out)
    began = time.perf_counter()
    run.calls()
    reading_s = time.perf_counter() - began
    began = time.perf_counter()
    page = Page(out)
    assert time.perf_counter() - began < reading_s + 6, "it takes 2.5 s where nothing else runs"
    took_s: dict[str, list[float]] = {"queue": [], "answer": []}

    def timed(kind: str, path: str, **said: Any) -> Any:
        began = time.perf_counter()
        answer = page.send(path, **said) if said else page.ask(path)
        took_s[kind].append(time.perf_counter() - began)
        return answer

    for order in Order:
        queue = timed("queue", "queues", order=order, show="unreviewed", recording="0")
    for position in range(20):
        (card, *_) = timed("answer", f"queues/{queue['name']}?from={position}&count=4")["cards"]
        timed("answer", "judge", number=card["number"], verdict="yes")
        timed("answer", f"queues/{queue['name']}/progress")
    record_property("ms", {kind: (1000 * np.median(times), 1000 * max(times)) for kind, times in took_s.items()})
    assert np.median(took_s["queue"]) < 0.3
    assert np.median(took_s["answer"]) < 0.05
