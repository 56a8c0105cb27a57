"""Review queues: which detections a reviewer wants to see, in which order, and what the page shows of each.

Detections are selected in NumPy arrays, so that a queue over 200,000 detections takes a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from whalescan.core import Detection, IntArray, Recording, to_ns
from whalescan.detections.precision_estimates import SurveyEstimate
from whalescan.detections.sampling import sample_order
from whalescan.detections.validations import REVIEWS

ReviewCodes = npt.NDArray[np.int8]
REVIEW_CODES = {review: np.int8(REVIEWS.index(review)) for review in REVIEWS}
_UNREVIEWED = REVIEW_CODES["unreviewed"]
_UNKNOWN_TIME = np.iinfo(np.int64).max
"""Sorts after every known time."""
_ROUNDING = 5e-5
"""Tables round scores to four decimals."""


class QueueOrder(StrEnum):
    """Order of the detections in a queue."""

    HIGHEST = "highest"
    LOWEST = "lowest"
    THRESHOLD = "threshold"
    TIME = "time"
    RECORDING = "recording"
    SAMPLE = "sample"


class ReviewFilter(StrEnum):
    """Which detections a queue contains, by their reviews."""

    UNREVIEWED = "unreviewed"
    NOT_BY_ME = "not-by-me"
    MINE = "mine"
    YES = "yes"
    NO = "no"
    MAYBE = "maybe"
    DISAGREED = "disagreed"
    ALL = "all"


ORDERS_BY_SCORE = frozenset({QueueOrder.HIGHEST, QueueOrder.LOWEST, QueueOrder.THRESHOLD})
"""Orders that reveal scores; not available in a blind review."""
FILTERS_BY_REVIEW = frozenset({ReviewFilter.YES, ReviewFilter.NO, ReviewFilter.MAYBE, ReviewFilter.DISAGREED})
"""Filters that reveal other reviewers' reviews; not available in a blind review."""


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """Selection and order of the detections in a queue.

    Attributes:
        order: order of the detections.
        review_filter: filter by reviews at the time when the queue is created.
        lowest_score, highest_score: range of scores, both ends included; None for no limit. Detections that people added
            have no score and are left out where a limit is given.
        recording: text that the recording's name contains, ignoring case.
        label: class; empty for all.
        reviewed_by: only detections that this reviewer reviewed; None for no such restriction.
        sample_size: for `QueueOrder.SAMPLE`, how many detections from the start of the random order; None for all.
    """

    order: QueueOrder = QueueOrder.HIGHEST
    review_filter: ReviewFilter = ReviewFilter.UNREVIEWED
    lowest_score: float | None = None
    highest_score: float | None = None
    recording: str = ""
    label: str = ""
    reviewed_by: str | None = None
    sample_size: int | None = None

    @property
    def reveals_hidden(self) -> bool:
        """Whether the queue would reveal scores or other reviewers' reviews."""
        has_score_limit = self.lowest_score is not None or self.highest_score is not None
        return has_score_limit or self.order in ORDERS_BY_SCORE or self.review_filter in FILTERS_BY_REVIEW


@dataclass(frozen=True, slots=True)
class ReviewQueue:
    """Detections in the order in which a reviewer sees them; fixed when the queue is created."""

    indices: npt.NDArray[np.int32]
    options: QueueOptions
    reviewer: str

    def position_of(self, index: int) -> int | None:
        """Return the position of a detection in the queue, from 0, or None where it is not in it."""
        positions = np.flatnonzero(self.indices == index)
        return int(positions[0]) if len(positions) else None


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """What the page shows of a detection. The field names are the keys of its JSON form.

    Attributes:
        index: index of the detection in the run.
        position: position in the queue, from 0; None where it is not in it.
        detection_id, recording, channel, begin_s, end_s, low_hz, high_hz, label: as in `Detection`.
        begin_utc: ISO 8601; empty where the recording's start is unknown.
        review: the reviewer's own review.
        is_revealed: whether the score is shown.
        score: None where it is hidden, and for a detection that a person added.
        other_reviews: other reviewers' reviews by name; empty where they are hidden.
    """

    index: int
    position: int | None
    detection_id: str
    recording: str
    channel: int
    begin_s: float
    end_s: float
    low_hz: float
    high_hz: float
    label: str
    begin_utc: str
    review: str
    is_revealed: bool
    score: float | None
    other_reviews: dict[str, str]


@dataclass(frozen=True, slots=True)
class QueueProgress:
    """Progress of a reviewer in a queue.

    Attributes:
        n_detections: length of the queue.
        counts: number of detections by the reviewer's own review.
        estimate: precision estimate from the reviewed part of the sample, whoever reviewed it; None where it was not asked
            for, or must stay hidden.
    """

    n_detections: int
    counts: dict[str, int]
    estimate: SurveyEstimate | None


@dataclass(frozen=True)
class CurrentReviews:
    """Reviews of all detections as codes (`REVIEW_CODES`), int8 ``[n_detections]``.

    Attributes:
        current: the latest review by anybody, which tables show.
        by_reviewer: each reviewer's own review.
    """

    current: ReviewCodes
    by_reviewer: Mapping[str, ReviewCodes]

    def of_reviewer(self, reviewer: str) -> ReviewCodes:
        """Return a reviewer's own reviews."""
        unreviewed = np.full(len(self.current), _UNREVIEWED)
        return self.by_reviewer.get(reviewer, unreviewed)

    @property
    def is_disagreed(self) -> npt.NDArray[np.bool_]:
        """Where two reviewers differ, bool ``[n_detections]``."""
        first = np.full(len(self.current), _UNREVIEWED)
        differ = np.zeros(len(self.current), np.bool_)
        for codes in self.by_reviewer.values():
            differ |= (first != _UNREVIEWED) & (codes != _UNREVIEWED) & (codes != first)
            first = np.where(first == _UNREVIEWED, codes, first)
        return differ


class DetectionArrays:
    """The detections of a run as arrays.

    Args:
        detections: ordered by recording and time.
        recordings: by name; a detection in a recording that is absent has no UTC time.
        threshold: detection threshold of the run.
    """

    def __init__(self, detections: Sequence[Detection], recordings: Mapping[str, Recording], threshold: float) -> None:
        self.detections = detections
        self.threshold = threshold
        self.index_of = {detection.detection_id: index for index, detection in enumerate(detections)}
        self.labels = tuple(sorted({detection.label for detection in detections}))
        self._names, self._name_indices = _distinct([detection.recording for detection in detections])
        self._label_indices = np.array([self.labels.index(detection.label) for detection in detections], np.int32)
        self._scores = np.array([np.nan if detection.score is None else detection.score for detection in detections])
        self._begins_ns = _begins_ns(detections, recordings)
        is_detected = np.nan_to_num(self._scores, nan=-1.0) >= threshold - _ROUNDING
        random_order = sample_order(detections)
        self._orders: dict[QueueOrder, Callable[[], IntArray]] = {
            QueueOrder.HIGHEST: lambda: np.argsort(-self._scores, kind="stable"),  # NaN sorts last
            QueueOrder.LOWEST: lambda: np.argsort(self._scores, kind="stable"),
            QueueOrder.THRESHOLD: lambda: np.argsort(np.abs(self._scores - threshold), kind="stable"),
            QueueOrder.TIME: lambda: np.argsort(self._begins_ns, kind="stable"),
            QueueOrder.RECORDING: lambda: np.arange(len(detections)),
            QueueOrder.SAMPLE: lambda: random_order[is_detected[random_order]],
        }

    def select(self, options: QueueOptions, reviews: CurrentReviews, reviewer: str) -> npt.NDArray[np.int32]:
        """Return the indices of the detections that the options select for a reviewer, in order."""
        order = self._orders[options.order]()
        if options.order is QueueOrder.SAMPLE:
            order = order[: options.sample_size]
        return order[self._is_selected(options, reviews, reviewer)[order]].astype(np.int32)

    def _is_selected(self, options: QueueOptions, reviews: CurrentReviews, reviewer: str) -> npt.NDArray[np.bool_]:
        selected = _passes_filter(options.review_filter, reviews, reviewer)
        if options.lowest_score is not None:
            selected &= self._scores >= options.lowest_score - _ROUNDING
        if options.highest_score is not None:
            selected &= self._scores <= options.highest_score + _ROUNDING
        if options.recording:
            text = options.recording.casefold()
            selected &= np.array([text in name.casefold() for name in self._names], np.bool_)[self._name_indices]
        if options.label:
            selected &= self._label_indices == (self.labels.index(options.label) if options.label in self.labels else -1)
        if options.reviewed_by is not None:
            selected &= reviews.of_reviewer(options.reviewed_by) != _UNREVIEWED
        return selected


def _passes_filter(review_filter: ReviewFilter, reviews: CurrentReviews, reviewer: str) -> npt.NDArray[np.bool_]:
    match review_filter:
        case ReviewFilter.ALL:
            return np.ones(len(reviews.current), np.bool_)
        case ReviewFilter.DISAGREED:
            return reviews.is_disagreed
        case ReviewFilter.NOT_BY_ME:
            return np.equal(reviews.of_reviewer(reviewer), _UNREVIEWED)
        case ReviewFilter.MINE:
            return np.not_equal(reviews.of_reviewer(reviewer), _UNREVIEWED)
        case _:
            return np.equal(reviews.current, REVIEW_CODES[review_filter.value])


def _distinct(names: Sequence[str]) -> tuple[list[str], IntArray]:
    """Return the distinct names, and for each given name its index among them."""
    index_of: dict[str, int] = {}
    indices = np.array([index_of.setdefault(name, len(index_of)) for name in names], np.int64)
    return list(index_of), indices


def _begins_ns(detections: Sequence[Detection], recordings: Mapping[str, Recording]) -> IntArray:
    """Return the UTC begins in nanoseconds since 1970; `_UNKNOWN_TIME` where the recording's start is unknown.

    They follow the recording's clock segments: with a duty cycle, seconds in the file and seconds of time differ.
    """
    begins_utc = (
        recordings[detection.recording].utc(detection.begin_s) if detection.recording in recordings else None
        for detection in detections
    )
    return np.array([_UNKNOWN_TIME if begin_utc is None else to_ns(begin_utc) for begin_utc in begins_utc], np.int64)
