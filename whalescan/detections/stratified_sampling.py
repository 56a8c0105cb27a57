"""Strata of score, and which calls to judge so that few judgements speak for all. Pure.

Within its stratum a call has its place by a hash of its id: by chance, but the same in every run, at every threshold, and
for everybody. So a sample is nothing that must be kept: whoever judges calls in the order of `sample_order` draws it, in
one sitting or in many, and `drawn` finds again what was drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from whalescan.core import Detection, IntArray

EDGES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)
"""Between neighbours of these lies a stratum, closed below and open above; the last is closed. The same for all surveys, so
that what is said of a stratum can be compared; finer at the top, where most calls of a taught detector are."""
_INNER = np.array(EDGES[1:-1])
_ROUNDING = 5e-5
"""Tables say scores to four decimals."""


def stratum(score: float) -> int:
    """The number of the stratum, from 0 for the lowest scores, in which a score from 0 to 1 lies."""
    return int(np.searchsorted(_INNER, score, side="right"))


def found_at(calls: Sequence[Detection], threshold: float) -> tuple[Detection, ...]:
    """The detector's own calls from a threshold on.

    What it misses at that threshold may stand among the calls since people said ``yes`` of it; estimates from such calls
    would flatter the detector, since those that people rejected are gone.

    Args:
        calls: as `judgements.apply` leaves them.
        threshold: score at which a detection opens.
    """
    lowest = threshold - _ROUNDING
    return tuple(call for call in calls if call.score is not None and call.score >= lowest)


def lot(detection_id: str) -> bytes:
    """A place by chance, the lower the earlier: 16 bytes of a hash of an id."""
    return hashlib.sha256(detection_id.encode(errors="backslashreplace")).digest()[:16]


def by_stratum(calls: Sequence[Detection]) -> dict[int, IntArray]:
    """Indices of the detector's own calls, those with a score, by stratum in the order in which they are to be judged.

    Args:
        calls: in any order; their ids differ.
    """
    own, strata, hashes = _own(calls)
    order = np.argsort(hashes[:, 0])
    own, strata = own[order], strata[order]
    return {number: own[strata == number] for number in np.unique(strata).tolist()}


def sample_order(calls: Sequence[Detection]) -> IntArray:
    """Indices of the detector's own calls in a random order of which every beginning is a stratified random sample.

    In each round every stratum gives one call, as long as it has some; by chance also is which gives first, so that the
    place of a call tells a reviewer nothing of its score.

    Args:
        calls: in any order; their ids differ.
    """
    own, strata, hashes = _own(calls)
    order = np.lexsort((hashes[:, 0], strata))
    begins = np.flatnonzero(np.diff(strata[order], prepend=-1))
    rounds = np.arange(len(order)) - np.repeat(begins, np.diff(begins, append=len(order)))
    return own[order[np.lexsort((hashes[order, 1], rounds))]]


def drawn(calls: Sequence[Detection], order: Mapping[int, IntArray] | None = None) -> dict[int, IntArray]:
    """Indices of the calls of each stratum that were judged as a random sample: the judged beginning of its order.

    Who judged them, when and where is all one: the beginning of a random order is a simple random sample. A call that was
    passed over ends it. What was judged behind that one was chosen by people, and is left out.

    A sample is only as good as its end. It must not depend on what was found, as it does when people stop at the first
    ``no``, or pass over what they cannot tell instead of saying ``maybe``. Worst is to mark only what is sure, as many do in
    Raven: every beginning then ends before the first call that is none. So nothing counts as drawn where calls were passed
    over and all that was said is ``yes``, or all is ``no``, ``maybe`` aside.

    Args:
        calls: in any order; their ids differ.
        order: of the same calls, `by_stratum`, where that is known already.

    Returns:
        Every stratum that has calls, also where nothing was drawn.
    """
    judged = np.array([call.review in ("yes", "no", "maybe") for call in calls], np.bool_)
    samples, n_judged = {}, 0
    for number, indices in (by_stratum(calls) if order is None else order).items():
        passed_over = ~judged[indices]
        samples[number] = indices[: passed_over.argmax()] if passed_over.any() else indices
        n_judged += len(indices) - int(passed_over.sum())
    said = {call.review for call in calls if call.score is not None} & {"yes", "no"}
    if len(said) == 1 and n_judged > sum(map(len, samples.values())):
        return {number: indices[:0] for number, indices in samples.items()}
    return samples


def _own(calls: Sequence[Detection]) -> tuple[IntArray, IntArray, npt.NDArray[np.uint64]]:
    """Indices of the calls with a score, their strata, and ``[n, 2]`` hashes of their ids.

    The first hash gives the place in the stratum, the second that in a round: early places have low hashes.
    """
    own = np.array([i for i, call in enumerate(calls) if call.score is not None], np.int64)
    scores = np.array([call.score for call in calls if call.score is not None], np.float64)
    digests = b"".join(lot(calls[i].detection_id) for i in own)
    strata = np.searchsorted(_INNER, scores, side="right").astype(np.int64)
    return own, strata, np.frombuffer(digests, ">u8").astype(np.uint64).reshape(-1, 2)
