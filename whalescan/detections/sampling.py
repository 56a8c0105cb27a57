"""Selections of detections: by score, at random, and stratified random samples for validation. Pure arithmetic.

Within its stratum of scores, a detection has its place by a hash of its ID. The order is random, but the same in every run,
at every threshold and for every reviewer. A sample therefore needs no record: whoever reviews detections in `sample_order`
draws the sample, in one session or in several, and `reviewed_sample` finds it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from whalescan.core import Detection, IntArray, invalid

STRATUM_EDGES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)
"""Score edges of the strata, closed below and open above; the last stratum is closed. They are the same for all surveys, so
that strata can be compared, and finer at the top, where most detections of a trained detector lie."""
_INNER_EDGES = np.array(STRATUM_EDGES[1:-1])
_ROUNDING = 5e-5
"""Tables hold scores to four decimals."""


class SelectionOrder(StrEnum):
    """Order in which detections are selected. Detections that people added have no score and are in no order by score."""

    ALL = "all"
    HIGHEST = "highest"
    LOWEST = "lowest"
    RANDOM = "random"
    BALANCED = "balanced"
    """Equal numbers from each stratum of `STRATUM_EDGES`, as far as strata have so many."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which detections to select.

    Attributes:
        order: order of selection.
        count: largest number of detections; None for all, and only with the order ``all``.
        threshold: lowest score; None for any score, and for detections without one.
        reviews: reviews to select, from `validations.REVIEWS`; empty for any.
        seed: random seed; a detection keeps its place when others are added or removed.

    Raises:
        UsageError: for a count with the order ``all``, another order without a count, or a threshold outside 0 to 1.
    """

    order: SelectionOrder = SelectionOrder.ALL
    count: int | None = None
    threshold: float | None = None
    reviews: tuple[str, ...] = ()
    seed: int = 1

    def __post_init__(self) -> None:
        if self.order is SelectionOrder.ALL and self.count is not None:
            others = ", ".join(order for order in SelectionOrder if order is not SelectionOrder.ALL)
            raise invalid("count", self.count, f"none for all detections; to select some, choose an order ({others})")
        if self.order is not SelectionOrder.ALL and self.count is None:
            raise invalid("count", None, f"a number of detections for the order {self.order}")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise invalid("threshold", self.threshold, "a score from 0 to 1")


def select(detections: Sequence[Detection], selection: Selection) -> tuple[Detection, ...]:
    """Return the selected detections, in the order in which they are given."""
    eligible = [detection for detection in detections if _is_eligible(detection, selection)]
    if selection.order is SelectionOrder.ALL:
        return tuple(eligible)
    if selection.order is SelectionOrder.BALANCED:
        order = sample_order(eligible).tolist()
    elif selection.order is SelectionOrder.RANDOM:
        order = sorted(range(len(eligible)), key=lambda i: random_key(f"{selection.seed}:{eligible[i].detection_id}"))
    else:
        sign = 1 if selection.order is SelectionOrder.LOWEST else -1
        scored = [
            (sign * detection.score, detection.detection_id, i)
            for i, detection in enumerate(eligible)
            if detection.score is not None
        ]
        order = [i for _, _, i in sorted(scored)]
    return tuple(eligible[i] for i in sorted(order[: selection.count]))


def _is_eligible(detection: Detection, selection: Selection) -> bool:
    if selection.reviews and detection.review not in selection.reviews:
        return False
    return selection.threshold is None or (detection.score is not None and detection.score >= selection.threshold)


def stratum_of(score: float) -> int:
    """Return the number of the stratum of a score from 0 to 1; stratum 0 holds the lowest scores."""
    return int(np.searchsorted(_INNER_EDGES, score, side="right"))


def detections_at_threshold(detections: Sequence[Detection], threshold: float) -> tuple[Detection, ...]:
    """Return the detector's own detections at a threshold.

    Detections below the threshold can be among the others because a reviewer confirmed them earlier. Estimates that include
    them would be too favourable, because the rejected ones are missing.

    Args:
        detections: as `validations.apply_validations` returns them.
        threshold: score at which a detection begins.
    """
    lowest = threshold - _ROUNDING
    return tuple(detection for detection in detections if detection.score is not None and detection.score >= lowest)


def random_key(detection_id: str) -> bytes:
    """Return a sort key for a random order: 16 bytes of the SHA-256 hash of an ID."""
    return hashlib.sha256(detection_id.encode(errors="backslashreplace")).digest()[:16]


def indices_by_stratum(detections: Sequence[Detection]) -> dict[int, IntArray]:
    """Return the indices of the detections with a score, by stratum, in the order in which they are to be reviewed.

    Args:
        detections: in any order; their IDs differ.
    """
    scored, strata, hashes = _scored(detections)
    order = np.argsort(hashes[:, 0])
    scored, strata = scored[order], strata[order]
    return {number: scored[strata == number] for number in np.unique(strata).tolist()}


def sample_order(detections: Sequence[Detection]) -> IntArray:
    """Return the indices of the detections with a score in a random order, each prefix of which is a stratified sample.

    In each round every stratum that has detections left gives one. The order of strata within a round is random, too, so
    that the place of a detection tells a reviewer nothing about its score.

    Args:
        detections: in any order; their IDs differ.
    """
    scored, strata, hashes = _scored(detections)
    order = np.lexsort((hashes[:, 0], strata))
    begins = np.flatnonzero(np.diff(strata[order], prepend=-1))
    rounds = np.arange(len(order)) - np.repeat(begins, np.diff(begins, append=len(order)))
    return scored[order[np.lexsort((hashes[order, 1], rounds))]]


def reviewed_sample(detections: Sequence[Detection], order: Mapping[int, IntArray] | None = None) -> dict[int, IntArray]:
    """Return the indices of the detections of each stratum that were reviewed as a random sample.

    The sample is the reviewed prefix of the stratum's order, whoever reviewed it and in however many sessions, because a
    prefix of a random order is a simple random sample. The first detection that is not reviewed ends it. Detections reviewed
    after that one were chosen by people and are not used.

    A sample is valid only if its end does not depend on the reviews. It does where reviewers stop at the first ``no``, or
    skip what they cannot tell instead of answering ``maybe``. The worst case is marking only certain calls, as is common in
    Raven: every prefix then ends before the first false positive. So nothing is sampled where detections were skipped and
    all reviews are ``yes``, or all are ``no``, apart from ``maybe``.

    Args:
        detections: in any order; their IDs differ.
        order: `indices_by_stratum` of the same detections, where it is known already.

    Returns:
        Every stratum that has detections, also where its sample is empty.
    """
    is_reviewed = np.array([detection.review in ("yes", "no", "maybe") for detection in detections], np.bool_)
    samples, n_reviewed = {}, 0
    for number, indices in (indices_by_stratum(detections) if order is None else order).items():
        is_skipped = ~is_reviewed[indices]
        samples[number] = indices[: is_skipped.argmax()] if is_skipped.any() else indices
        n_reviewed += len(indices) - int(is_skipped.sum())
    decisions = {detection.review for detection in detections if detection.score is not None} & {"yes", "no"}
    if len(decisions) == 1 and n_reviewed > sum(map(len, samples.values())):
        return {number: indices[:0] for number, indices in samples.items()}
    return samples


def _scored(detections: Sequence[Detection]) -> tuple[IntArray, IntArray, npt.NDArray[np.uint64]]:
    """Return the indices of the detections with a score, their strata, and hashes ``[n, 2]`` of their IDs.

    The first hash gives the place in the stratum, the second the place in a round; lower hashes come first.
    """
    scored = np.array([i for i, detection in enumerate(detections) if detection.score is not None], np.int64)
    scores = np.array([detection.score for detection in detections if detection.score is not None], np.float64)
    digests = b"".join(random_key(detections[i].detection_id) for i in scored.tolist())
    strata = np.searchsorted(_INNER_EDGES, scores, side="right").astype(np.int64)
    return scored, strata, np.frombuffer(digests, ">u8").astype(np.uint64).reshape(-1, 2)
