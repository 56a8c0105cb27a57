"""Review session: the state behind the review page. Every review is stored at once, and reviews by others appear at once."""

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
from whalescan.core.text import iso_utc
from whalescan.detections.precision_estimates import estimate_precision
from whalescan.detections.sampling import detections_at_threshold
from whalescan.detections.validations import CARRIED_OVER, UNREVIEWED, Validation
from whalescan.report.spectrogram_image import SpectrogramImage, spectrogram_image
from whalescan.review.page.history import ValidationHistory
from whalescan.review.page.queues import (
    REVIEW_CODES,
    CurrentReviews,
    DetectionArrays,
    QueueOptions,
    QueueOrder,
    QueueProgress,
    ReviewItem,
    ReviewQueue,
)
from whalescan.scores import validation_store
from whalescan.scores.validation_store import StoredValidation
from whalescan.survey.finished_run import FinishedRun

_CACHED_EXCERPTS = 24
"""Excerpts of up to two minutes: playback uses the one that was displayed, and the page fetches the next ones ahead."""
_LARGEST_NUMBER_OF_QUEUES = 50
_LONGEST_NAME = 60
_UNREVIEWED_CODE = REVIEW_CODES[UNREVIEWED]


def check_reviewer_name(text: str) -> str:
    """Return a reviewer's name without surrounding blanks.

    Raises:
        UsageError: when it is empty, too long, or contains control characters.
    """
    name = text.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise UsageError(
            f"invalid reviewer {text[: 2 * _LONGEST_NAME]!r}: expected a name of 1 to {_LONGEST_NAME} characters"
        )
    return name


class ReviewSession:
    """A run under review by one or several people at once. All methods are thread-safe.

    Args:
        run: the run whose detections are reviewed.
        is_blind: hide scores, and other reviewers' reviews, until the reviewer has reviewed a detection.

    Attributes:
        detections: the detections of the run, with their reviews at the start of the session.
        first_sequence: row number of the last validation that was stored before the session.
    """

    def __init__(self, run: FinishedRun, is_blind: bool = False) -> None:
        self.run = run
        self.is_blind = is_blind
        self._current_detections = list(run.read_detections())
        self.detections = DetectionArrays(tuple(self._current_detections), run.recordings_by_name, run.record.rule.threshold)
        self._current_codes = np.array([REVIEW_CODES[detection.review] for detection in self._current_detections], np.int8)
        self._codes_by_reviewer: dict[str, npt.NDArray[np.int8]] = {}
        self._history = ValidationHistory()
        self._queues: dict[str, ReviewQueue] = {}
        self._lock = threading.Lock()
        self._cached_excerpt = lru_cache(_CACHED_EXCERPTS)(self._read_excerpt)
        self._read_new_rows()
        self.first_sequence = self._history.last_sequence

    @property
    def reviewers(self) -> list[str]:
        """Names of all reviewers, sorted; an empty name stands for reviews without one."""
        with self._lock:
            self._read_new_rows()
            return sorted(self._codes_by_reviewer)

    def create_queue(self, options: QueueOptions, reviewer: str) -> tuple[str, ReviewQueue]:
        """Create a queue, and return it with the name under which `queue` finds it.

        Raises:
            UsageError: when the options would reveal what a blind review hides.
        """
        if self.is_blind and options.reveals_hidden:
            raise UsageError(
                "a blind review hides scores and reviews: choose the order sample, time or recording, no score limits, and "
                "a filter by your own reviews"
            )
        with self._lock:
            self._read_new_rows()
            queue = ReviewQueue(self.detections.select(options, self._reviews, reviewer), options, reviewer)
            name = secrets.token_hex(8)
            self._queues[name] = queue
            if len(self._queues) > _LARGEST_NUMBER_OF_QUEUES:
                del self._queues[next(iter(self._queues))]
        return name, queue

    def queue(self, name: str) -> ReviewQueue | None:
        """Return a queue by name, or None where it is unknown or was replaced by newer ones."""
        return self._queues.get(name)

    def items(self, queue: ReviewQueue, begin: int, count: int) -> list[ReviewItem]:
        """Return consecutive items of a queue, from position ``begin``."""
        with self._lock:
            self._read_new_rows()
            indices = queue.indices[begin : begin + count].tolist()
            return [self._item(index, begin + i, queue.reviewer) for i, index in enumerate(indices)]

    def item(self, index: int, reviewer: str) -> ReviewItem:
        """Return one detection with other reviewers' reviews, unless a blind review still hides them."""
        with self._lock:
            self._read_new_rows()
            return self._item(index, None, reviewer, with_others=True)

    def validate(self, index: int, review: str, reviewer: str) -> ReviewItem:
        """Store a review (``yes``, ``no`` or ``maybe``); it is on disk when this returns.

        Raises:
            TableError, OutputError: when it cannot be stored.
        """
        detection = self.detections.detections[index]
        with self._lock:

            def decide(new_rows: Sequence[StoredValidation]) -> Sequence[Validation]:
                self._add_rows(new_rows)
                separation_s = self.run.record.rule.separation_s
                inherited = self._history.inherited_rows(detection, self.detections.detections, separation_s)
                return [*inherited, *self._history.validation_rows(detection, review, reviewer, _now_utc())]

            self._add_rows(validation_store.append_decided(self.run.output, self._history.last_sequence, decide))
            return self._item(index, None, reviewer)

    def undo(self, reviewer: str, queue: ReviewQueue | None) -> tuple[str, ReviewItem | None] | None:
        """Undo the reviewer's latest review that is still valid; the undo is on disk when this returns.

        Returns:
            The detection's ID and its item; no item where the detection is not part of this session. None where there is
            nothing to undo.

        Raises:
            TableError, OutputError: when it cannot be stored.
        """
        with self._lock:
            self._read_new_rows()
            if not self._history.undo_rows(reviewer, _now_utc()):
                return None
            undone_ids: list[str] = []

            def decide(new_rows: Sequence[StoredValidation]) -> Sequence[Validation]:
                self._add_rows(new_rows)
                rows = self._history.undo_rows(reviewer, _now_utc())
                undone_ids.extend(row.detection_id for row in rows[:1])
                return rows

            self._add_rows(validation_store.append_decided(self.run.output, self._history.last_sequence, decide))
            if not undone_ids:
                return None
            index = self.detections.index_of.get(undone_ids[0])
            if index is None:
                return undone_ids[0], None
            return undone_ids[0], self._item(index, queue.position_of(index) if queue else None, reviewer)

    def progress(self, queue: ReviewQueue, with_estimate: bool = False) -> QueueProgress:
        """Return the progress of a queue's reviewer, on request with the precision estimate of a random sample."""
        with self._lock:
            self._read_new_rows()
            codes = self._reviews.of_reviewer(queue.reviewer)[queue.indices]
            has_estimate = with_estimate and queue.options.order is QueueOrder.SAMPLE
            detections = tuple(self._current_detections) if has_estimate else None
        counts = {review: int((codes == code).sum()) for review, code in REVIEW_CODES.items()}
        if detections is None or (self.is_blind and counts[UNREVIEWED]):
            return QueueProgress(len(queue.indices), counts, None)
        detected = detections_at_threshold(detections, self.detections.threshold)
        return QueueProgress(len(queue.indices), counts, estimate_precision(detected, self.run.analysed_hours))

    def next_unreviewed(self, queue: ReviewQueue, after: int) -> int | None:
        """Return the next position that the queue's reviewer has not reviewed, wrapping around at the end."""
        with self._lock:
            self._read_new_rows()
            codes = self._reviews.of_reviewer(queue.reviewer)[queue.indices]
        positions = np.flatnonzero(codes == _UNREVIEWED_CODE)
        if not len(positions):
            return None
        later = positions[positions > after]
        return int(later[0] if len(later) else positions[0])

    def review_counts_since_start(self) -> dict[str, int]:
        """Return how many detections anybody reviewed during the session, by their current review."""
        with self._lock:
            self._read_new_rows()
            rows = validation_store.read_rows_after(self.run.output, self.first_sequence)
        validations = [row.validation for row in rows if row.validation.source != CARRIED_OVER]
        reviews = list({validation.detection_id: validation.review for validation in validations}.values())
        return {review: reviews.count(review) for review in REVIEW_CODES}

    def spectrogram(
        self, index: int, span_s: tuple[float, float], band_hz: tuple[float, float], width_px: int, height_px: int
    ) -> SpectrogramImage:
        """Return the spectrogram of a span of a detection's recording, in seconds from its first sample.

        Raises:
            RecordingError: when the recording was moved or cannot be read.
        """
        return spectrogram_image(self.excerpt(index, span_s), *band_hz, width_px, height_px)

    def excerpt(self, index: int, span_s: tuple[float, float]) -> Excerpt:
        """Return the audio of a span of a detection's recording, in seconds from its first sample.

        Raises:
            RecordingError: as `spectrogram`.
        """
        detection = self.detections.detections[index]
        return self._cached_excerpt(detection.recording, detection.channel, *span_s)

    @property
    def _reviews(self) -> CurrentReviews:
        return CurrentReviews(self._current_codes, self._codes_by_reviewer)

    def _read_excerpt(self, name: str, channel: int, begin_s: float, end_s: float) -> Excerpt:
        return self.run.read_excerpt(name, channel, begin_s, end_s, self.run.record.rate_hz)

    def _read_new_rows(self) -> None:
        """Read the rows that this or another program has stored since the last call."""
        self._add_rows(validation_store.read_rows_after(self.run.output, self._history.last_sequence))

    def _add_rows(self, rows: Sequence[StoredValidation]) -> None:
        self._history.add(row for row in rows if row.sequence > self._history.last_sequence)
        for detection_id in {row.validation.detection_id for row in rows}:
            index, current = self.detections.index_of.get(detection_id), self._history.current(detection_id)
            if index is None or current is None:
                continue
            self._current_codes[index] = REVIEW_CODES[current.review]
            self._current_detections[index] = replace(self._current_detections[index], review=current.review)
            reviews = self._history.reviews_by_reviewer(detection_id)
            for reviewer in reviews:
                self._codes_by_reviewer.setdefault(reviewer, np.full_like(self._current_codes, _UNREVIEWED_CODE))
            for reviewer, codes in self._codes_by_reviewer.items():
                codes[index] = REVIEW_CODES[reviews.get(reviewer, UNREVIEWED)]

    def _item(self, index: int, position: int | None, reviewer: str, with_others: bool = False) -> ReviewItem:
        detection = self._history.with_reviewed_box(self.detections.detections[index])
        reviews = self._history.reviews_by_reviewer(detection.detection_id)
        if self._history.current(detection.detection_id) is None and detection.review != UNREVIEWED:
            reviews = {"": detection.review}  # inherited from a detection that is no longer found
        own_review = reviews.pop(reviewer, UNREVIEWED)
        is_revealed = own_review != UNREVIEWED or not self.is_blind
        shows_others = own_review != UNREVIEWED or (with_others and is_revealed)
        return ReviewItem(
            index=index,
            position=position,
            detection_id=detection.detection_id,
            recording=detection.recording,
            channel=detection.channel,
            begin_s=detection.begin_s,
            end_s=detection.end_s,
            low_hz=detection.low_hz,
            high_hz=detection.high_hz,
            label=detection.label,
            begin_utc=self._begin_utc(detection),
            review=own_review,
            is_revealed=is_revealed,
            score=detection.score if is_revealed else None,
            other_reviews=reviews if shows_others else {},
        )

    def _begin_utc(self, detection: Detection) -> str:
        recording = self.run.recordings_by_name.get(detection.recording)
        return iso_utc(recording.utc(detection.begin_s)) if recording else ""


def _now_utc() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
