"""The desk at which calls are judged: what is on it is on disk, too, and what others put there shows at once."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from whalescan.audio.excerpts import Excerpt
from whalescan.core import Detection, UsageError
from whalescan.core.files import iso_utc
from whalescan.detections.precision_estimates import estimate
from whalescan.detections.stratified_sampling import found_at
from whalescan.detections.validations import PASSED_ON, Judgement
from whalescan.report.spectrogram import Picture, picture
from whalescan.review.page.history import Ledger
from whalescan.review.page.queues import CODES, Catalog, Choice, Order, Said
from whalescan.review.page.schemas import Card, Progress, Queue
from whalescan.scores import validation_store
from whalescan.scores.validation_store import Row
from whalescan.survey.finished_run import Opened

_EXCERPTS_KEPT = 24
"""Of a minute at most: what is looked at is listened to next, and what is looked at next is fetched already."""
_QUEUES_KEPT = 50
_UNREVIEWED = CODES["unreviewed"]


class Desk:
    """A run that several people review at once, from one place or many. Every method may be called by any thread.

    Args:
        run: whose calls are judged.
        is_blind: whether scores and what others said stay hidden until one has judged oneself.
    """

    def __init__(self, run: Opened, is_blind: bool = False) -> None:
        self.run = run
        self.is_blind = is_blind
        self._calls = list(run.calls())
        self.catalog = Catalog(tuple(self._calls), run.by_name, run.kept.rule.threshold)
        self._standing = np.array([CODES[call.review] for call in self._calls], np.int8)
        self._by_reviewer: dict[str, npt.NDArray[np.int8]] = {}
        self._ledger = Ledger()
        self._queues: dict[str, Queue] = {}
        self._lock = threading.Lock()
        self._excerpt = lru_cache(_EXCERPTS_KEPT)(self._listen)
        self._catch_up()
        self.first_sequence = self._ledger.last_sequence
        """What stands behind it was said since the desk was set up."""

    @property
    def reviewers(self) -> list[str]:
        """Everybody who has said anything; the name is empty where nobody told."""
        with self._lock:
            self._catch_up()
            return sorted(self._by_reviewer)

    def line_up(self, choice: Choice, reviewer: str) -> tuple[str, Queue]:
        """A queue, and the name under which it is asked for.

        Raises:
            UsageError: where the choice gives away what a blind reviewer must not know.
        """
        if self.is_blind and choice.is_telling:
            raise UsageError("scores and verdicts are hidden: choose the order sample, time or recording, and no scores")
        with self._lock:
            self._catch_up()
            queue = Queue(self.catalog.queue(choice, self._said, reviewer), choice, reviewer)
            name = secrets.token_hex(8)
            self._queues[name] = queue
            if len(self._queues) > _QUEUES_KEPT:
                del self._queues[next(iter(self._queues))]
        return name, queue

    def queue(self, name: str) -> Queue | None:
        """A queue by its name; None where it is not known any more."""
        return self._queues.get(name)

    def cards(self, queue: Queue, begin: int, count: int) -> list[Card]:
        """Some neighbours of a queue."""
        with self._lock:
            self._catch_up()
            numbers = queue.numbers[begin : begin + count].tolist()
            return [self._card(number, begin + i, queue.reviewer) for i, number in enumerate(numbers)]

    def card(self, number: int, reviewer: str) -> Card:
        """One call, with what others said where the reviewer may know it at all."""
        with self._lock:
            self._catch_up()
            return self._card(number, None, reviewer, is_asked=True)

    def judge(self, number: int, verdict: str, reviewer: str) -> Card:
        """Put a judgement on disk; it is there when this returns.

        Raises:
            TableError, OutputError: where that cannot be done; nothing was stored.
        """
        call = self.catalog.calls[number]
        with self._lock:

            def decide(news: Sequence[Row]) -> Sequence[Judgement]:
                self._note(news)
                passed_on = self._ledger.passing_on(call, self.catalog.calls, self.run.kept.rule.separation_s)
                return [*passed_on, *self._ledger.judging(call, verdict, reviewer, _now_utc())]

            self._note(validation_store.extend(self.run.output, self._ledger.last_sequence, decide))
            return self._card(number, None, reviewer)

    def take_back(self, reviewer: str, queue: Queue | None) -> tuple[str, Card | None] | None:
        """Take back the reviewer's latest judgement that still holds, on disk.

        Returns:
            The id of its call, and the call, unless it is none of those that were there when the desk was set up. None
            where there is nothing to take back.

        Raises:
            TableError, OutputError: where that cannot be done; nothing was stored.
        """
        with self._lock:
            self._catch_up()
            if not self._ledger.taking_back(reviewer, _now_utc()):
                return None
            taken: list[str] = []

            def decide(news: Sequence[Row]) -> Sequence[Judgement]:
                self._note(news)
                rows = self._ledger.taking_back(reviewer, _now_utc())
                taken.extend(row.detection_id for row in rows[:1])
                return rows

            self._note(validation_store.extend(self.run.output, self._ledger.last_sequence, decide))
            if not taken:
                return None
            number = self.catalog.number_of.get(taken[0])
            return taken[0], None if number is None else self._card(number, queue.place(number) if queue else None, reviewer)

    def progress(self, queue: Queue, with_estimates: bool = False) -> Progress:
        """How far the reviewer of a queue has come in it, and, for a sample, what is known by now."""
        with self._lock:
            self._catch_up()
            codes = self._said.of(queue.reviewer)[queue.numbers]
            calls = tuple(self._calls) if with_estimates and queue.choice.order is Order.SAMPLE else None
        counts = {verdict: int((codes == code).sum()) for verdict, code in CODES.items()}
        if calls is None or (self.is_blind and counts["unreviewed"]):
            return Progress(len(queue.numbers), counts, None)
        own = found_at(calls, self.catalog.threshold)
        return Progress(len(queue.numbers), counts, estimate(own, self.run.analysed_hours))

    def next_open(self, queue: Queue, after: int) -> int | None:
        """The place of the next call that its reviewer has not judged; those before ``after`` come behind the last."""
        with self._lock:
            self._catch_up()
            codes = self._said.of(queue.reviewer)[queue.numbers]
        places = np.flatnonzero(codes == _UNREVIEWED)
        if not len(places):
            return None
        behind = places[places > after]
        return int(behind[0] if len(behind) else places[0])

    def said_since(self) -> dict[str, int]:
        """How many calls were judged since the desk was set up, by anybody, by the verdict that stands now."""
        with self._lock:
            self._catch_up()
            rows = validation_store.since(self.run.output, self.first_sequence)
            said = [row.judgement for row in rows if row.judgement.source != PASSED_ON]
        standing = {one.detection_id: one.verdict for one in said}
        verdicts = list(standing.values())
        return {verdict: verdicts.count(verdict) for verdict in CODES}

    def picture(
        self, number: int, span_s: tuple[float, float], band_hz: tuple[float, float], width_px: int, height_px: int
    ) -> Picture:
        """The spectrogram of some seconds of the recording of a call.

        Raises:
            RecordingError: when the recording is not where it was, or cannot be read.
        """
        return picture(self.sound(number, span_s), *band_hz, width_px, height_px)

    def sound(self, number: int, span_s: tuple[float, float]) -> Excerpt:
        """Some seconds of the recording of a call.

        Raises:
            RecordingError: as `picture`.
        """
        call = self.catalog.calls[number]
        return self._excerpt(call.recording, call.channel, *span_s)

    @property
    def _said(self) -> Said:
        return Said(self._standing, self._by_reviewer)

    def _listen(self, name: str, channel: int, begin_s: float, end_s: float) -> Excerpt:
        return self.run.sound(name, channel, begin_s, end_s, self.run.kept.rate_hz)

    def _catch_up(self) -> None:
        """Take note of what this desk and others have stored since."""
        self._note(validation_store.since(self.run.output, self._ledger.last_sequence))

    def _note(self, rows: Sequence[Row]) -> None:
        self._ledger.add(row for row in rows if row.sequence > self._ledger.last_sequence)
        for identity in {row.judgement.detection_id for row in rows}:
            number, standing = self.catalog.number_of.get(identity), self._ledger.standing(identity)
            if number is None or standing is None:
                continue
            self._standing[number] = CODES[standing.verdict]
            self._calls[number] = replace(self._calls[number], review=standing.verdict)
            verdicts = self._ledger.verdicts(identity)
            for reviewer in verdicts:
                self._by_reviewer.setdefault(reviewer, np.full_like(self._standing, _UNREVIEWED))
            for reviewer, codes in self._by_reviewer.items():
                codes[number] = CODES[verdicts.get(reviewer, "unreviewed")]

    def _card(self, number: int, position: int | None, reviewer: str, is_asked: bool = False) -> Card:
        call = self._ledger.drawn(self.catalog.calls[number])
        verdicts = self._ledger.verdicts(call.detection_id)
        if self._ledger.standing(call.detection_id) is None and call.review != "unreviewed":
            verdicts = {"": call.review}  # it was said of a call that this one took the place of
        verdict = verdicts.pop(reviewer, "unreviewed")
        is_open = verdict != "unreviewed" or not self.is_blind
        shows_others = verdict != "unreviewed" or (is_asked and is_open)
        return Card(
            number=number,
            position=position,
            detection_id=call.detection_id,
            recording=call.recording,
            channel=call.channel,
            begin_s=call.begin_s,
            end_s=call.end_s,
            low_hz=call.low_hz,
            high_hz=call.high_hz,
            label=call.label,
            begin_utc=self._begin_utc(call),
            verdict=verdict,
            is_open=is_open,
            score=call.score if is_open else None,
            others=verdicts if shows_others else {},
        )

    def _begin_utc(self, call: Detection) -> str:
        recording = self.run.by_name.get(call.recording)
        return iso_utc(recording.utc(call.begin_s)) if recording else ""


def _now_utc() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
