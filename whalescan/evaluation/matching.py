"""One-to-one matching of detections with annotated calls, in the order of scores.

The rule, of which `RULE` is a summary:

1. Detections are matched from the highest score to the lowest; of equal scores, the earlier detection first.
2. A detection is matched with the nearest unmatched call whose middle lies within the tolerance of its own middle, and is a
   *true positive*.
3. A detection without such a call, but within the tolerance of an ignored selection, is *ignored*. Any number of detections
   may be ignored because of one selection.
4. Other detections are *false positives*. Two detections of one call are a true positive and a false positive.
5. A call without a detection is a *false negative*.

The outcome of a detection only depends on detections with higher scores. So one matching holds for every threshold, and the
true positives of a threshold do not depend on detections below it. The rule is greedy: of two calls that are closer than
twice the tolerance, a detection between them may be matched with the one that a lower-scored detection needs.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

RULE = (
    "one to one, the highest score first: a detection is matched with the nearest unmatched call whose middle lies within "
    "{tolerance_s:g} s of its own; a detection near an ignored selection, and near no call, is ignored; "
    "every other detection is a false positive, also near a call that is already matched"
)
_ROUNDING_S = 1e-6
"""Precision of times in tables."""


class MatchOutcome(StrEnum):
    """Outcome of a detection, or of a call without a detection. The values are cells of ``events.csv``."""

    TRUE_POSITIVE = "hit"
    FALSE_POSITIVE = "false"
    IGNORED = "aside"
    FALSE_NEGATIVE = "missed"


@dataclass(frozen=True, slots=True)
class Matching:
    """Matches of the detections and calls of one recording.

    Attributes:
        outcomes: outcome of each detection, in the given order: true positive, false positive or ignored.
        matched_calls: index of the call of each detection; None without one.
        false_negatives: indices of the calls without a detection, ascending.
    """

    outcomes: tuple[MatchOutcome, ...]
    matched_calls: tuple[int | None, ...]
    false_negatives: tuple[int, ...]


def match(
    middles_s: Sequence[float],
    scores: Sequence[float],
    calls_s: Sequence[float],
    ignored_s: Sequence[float],
    tolerance_s: float,
) -> Matching:
    """Match the detections of one recording with its calls.

    Args:
        middles_s: middle of each detection, in seconds from the first sample of the recording.
        scores: score of each detection, on any scale.
        calls_s: middles of the calls.
        ignored_s: middles of the ignored selections.
        tolerance_s: largest distance between the middles of a match, at least 0.
    """
    calls, ignored = _SortedTimes(calls_s), _SortedTimes(ignored_s)
    outcomes = [MatchOutcome.FALSE_POSITIVE] * len(middles_s)
    matched_calls: list[int | None] = [None] * len(middles_s)
    is_unmatched = [True] * len(calls_s)
    for i in sorted(range(len(middles_s)), key=lambda i: (-scores[i], middles_s[i])):
        candidates = [call for call in calls.within(middles_s[i], tolerance_s) if is_unmatched[call]]
        if candidates:
            nearest = min(candidates, key=lambda call: abs(calls_s[call] - middles_s[i]))
            is_unmatched[nearest], matched_calls[i], outcomes[i] = False, nearest, MatchOutcome.TRUE_POSITIVE
        elif ignored.within(middles_s[i], tolerance_s):
            outcomes[i] = MatchOutcome.IGNORED
    false_negatives = tuple(call for call, unmatched in enumerate(is_unmatched) if unmatched)
    return Matching(tuple(outcomes), tuple(matched_calls), false_negatives)


class _SortedTimes:
    """Times with a binary search for those near another time."""

    def __init__(self, times_s: Sequence[float]) -> None:
        self._order = sorted(range(len(times_s)), key=lambda i: times_s[i])
        self._times_s = [times_s[i] for i in self._order]

    def within(self, time_s: float, tolerance_s: float) -> list[int]:
        """Return the indices of the times at most a tolerance away, the earliest first."""
        distance_s = tolerance_s + _ROUNDING_S
        first = bisect_left(self._times_s, time_s - distance_s)
        return self._order[first : bisect_right(self._times_s, time_s + distance_s)]
