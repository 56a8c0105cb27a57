"""Presence: what the calls of an hour or a day, and the effort in it, say about whales. Pure arithmetic.

Presence needs evidence and absence needs effort. A reviewer's ``yes`` is evidence, and enough of them make a bin
``DETECTED``; what only the detector says never does. Where nothing was analysed, silence says nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from whalescan.core import IntArray, UsageError
from whalescan.detections.effort import time_in_bins

_HOUR_NS = 3600 * 10**9


class Result(StrEnum):
    """What is said about a bin; the codes are those of NOAA's PARS."""

    DETECTED = "DETECTED"
    POSSIBLY_DETECTED = "POSSIBLY_DETECTED"
    NOT_DETECTED = "NOT_DETECTED"
    NOT_AVAILABLE = "NOT_AVAILABLE"


@dataclass(frozen=True, slots=True)
class PresenceRule:
    """When a bin is called ``DETECTED``. Three upcalls a day is what surveys of right whales commonly ask for.

    Attributes:
        min_validated: calls in the bin that a reviewer confirmed; at least 1, since a detector alone detects no whale.
    """

    min_validated: int = 3

    def __post_init__(self) -> None:
        if self.min_validated < 1:
            raise UsageError(
                f"DETECTED from {self.min_validated} validated calls on would leave the word to the detector alone; "
                "ask for at least 1"
            )

    @property
    def sentence(self) -> str:
        """The rule in words, to be printed wherever its results are."""
        calls = "1 validated call" if self.min_validated == 1 else f"{self.min_validated} validated calls"
        fewer = "none validated" if self.min_validated == 1 else "fewer, or none validated"
        return (
            f"DETECTED: at least {calls}, on one channel; POSSIBLY_DETECTED: {fewer}; NOT_DETECTED: analysed, and no call "
            "but rejected ones; NOT_AVAILABLE: nothing was analysed."
        )

    def result(self, n_validated: int, n_detections: int, analysed_ns: int) -> Result:
        """What the rule says of a bin.

        Effort is asked for last: a call that a reviewer found in sound that could not be analysed is a call.
        """
        if n_validated >= self.min_validated:
            return Result.DETECTED
        if n_detections:
            return Result.POSSIBLY_DETECTED
        return Result.NOT_DETECTED if analysed_ns else Result.NOT_AVAILABLE


@dataclass(frozen=True, slots=True)
class Heard:
    """What presence needs to know of a detection.

    Attributes:
        begin_ns: when the call began, in nanoseconds since 1970 UTC.
        channel: 1-based.
        score: 0 to 1; None for a call that only a reviewer saw.
        review: ``yes``, ``no``, ``maybe`` or ``unreviewed``.
    """

    begin_ns: int
    channel: int
    score: float | None
    review: str


@dataclass(frozen=True, slots=True)
class Bin:
    """An hour or a day: its effort, its calls, and what they say.

    Attributes:
        begin_ns, end_ns: half open, in nanoseconds since 1970 UTC.
        recorded_ns, analysed_ns: time in the bin that was, on any channel; at most the bin's length.
        n_detections: calls that begin in the bin and were not rejected, on the channel that has most of them.
        n_validated: calls that a reviewer confirmed, on the channel that has most of them.
        max_score: highest score of the calls on any channel that were not rejected; None where there is none.
        result: what the rule says.
    """

    begin_ns: int
    end_ns: int
    recorded_ns: int
    analysed_ns: int
    n_detections: int
    n_validated: int
    max_score: float | None
    result: Result

    @property
    def detections_per_hour(self) -> float | None:
        """Calls in an analysed hour; None, and not 0, where nothing was analysed."""
        return self.n_detections * _HOUR_NS / self.analysed_ns if self.analysed_ns else None


def bins(edges: IntArray, recorded: IntArray, analysed: IntArray, heard: Iterable[Heard], rule: PresenceRule) -> list[Bin]:
    """Every bin between the first edge and the last, also those without calls and those without effort.

    Args:
        edges: as `effort.bin_edges` gives them; without edges there are no bins.
        recorded: spans, int64 ``[n, 2]``, in any order, of all recordings and channels; their union counts.
        analysed: likewise.
        heard: calls of one class, in any order; those that begin outside the bins are not counted.
        rule: when a bin is called ``DETECTED``.
    """
    standing = [call for call in heard if call.review != "no"]
    places = np.searchsorted(edges, np.array([call.begin_ns for call in standing], np.int64), side="right") - 1
    by_bin: dict[int, list[Heard]] = defaultdict(list)
    for place, call in zip(places.tolist(), standing, strict=True):
        by_bin[place].append(call)
    effort = zip(
        edges[:-1].tolist(),
        edges[1:].tolist(),
        time_in_bins(recorded, edges).tolist(),
        time_in_bins(analysed, edges).tolist(),
        strict=True,
    )
    return [_bin(*facts, by_bin.get(place, ()), rule) for place, facts in enumerate(effort)]


def _bin(
    begin_ns: int, end_ns: int, recorded_ns: int, analysed_ns: int, standing: Sequence[Heard], rule: PresenceRule
) -> Bin:
    n_detections = _on_best_channel(standing)
    n_validated = _on_best_channel(call for call in standing if call.review == "yes")
    return Bin(
        begin_ns=begin_ns,
        end_ns=end_ns,
        recorded_ns=recorded_ns,
        analysed_ns=analysed_ns,
        n_detections=n_detections,
        n_validated=n_validated,
        max_score=max((call.score for call in standing if call.score is not None), default=None),
        result=rule.result(n_validated, n_detections, analysed_ns),
    )


def _on_best_channel(calls: Iterable[Heard]) -> int:
    """Calls on the channel that has most: one call that reached four hydrophones is one call."""
    return max(Counter(call.channel for call in calls).values(), default=0)
