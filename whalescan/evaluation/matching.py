"""Which detection heard which call: one to one, the surest first.

The rule, as `RULE` says it for people:

1. Detections are taken from the highest score to the lowest; of equal ones, the earlier first.
2. Each takes the nearest call that is still free and whose middle lies within the tolerance of its own: a *hit*.
3. One that finds no such call, but lies as near to a selection that counts neither way, is set *aside*. Such a selection is
   never used up: nothing near it counts, however much is found there.
4. Any other is *false*, also one that lies near calls that are all taken: a call found twice is one hit and one false.
5. A call that no detection took is *missed*.

What a detection became follows from those above it alone. So one matching serves every threshold, and no threshold's hits
depend on what lies below it. The price is that the rule is greedy: of two calls closer than twice the tolerance, a sure
detection between them may take the one that a fainter detection could have had.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

RULE = (
    "one to one, the highest score first: a detection takes the nearest free call whose middle lies within "
    "{tolerance_s:g} s of its own; near none but an uncertain selection it is set aside; "
    "else it is false, also where the call was taken before"
)
_ROUNDING_S = 1e-6
"""Tables give microseconds, so a distance is not known better."""


class Verdict(StrEnum):
    """What a detection became, or a call that none heard."""

    HIT = "hit"
    FALSE = "false"
    ASIDE = "aside"
    MISSED = "missed"


@dataclass(frozen=True, slots=True)
class Matching:
    """Detections and calls of one recording, told apart.

    Attributes:
        verdicts: of each detection, in the order in which they were given: hit, false or aside.
        taken: for each detection the position of the call that it took; None where it took none.
        missed: positions of the calls that none took, ascending.
    """

    verdicts: tuple[Verdict, ...]
    taken: tuple[int | None, ...]
    missed: tuple[int, ...]


def match(
    middles_s: Sequence[float],
    scores: Sequence[float],
    calls_s: Sequence[float],
    aside_s: Sequence[float],
    tolerance_s: float,
) -> Matching:
    """Match the detections of one recording with its calls, by the rule above.

    Args:
        middles_s: middle of each detection, in seconds from the recording's first sample.
        scores: of each detection; any numbers of which higher means surer.
        calls_s: middles of the calls.
        aside_s: middles of the selections that count neither way.
        tolerance_s: largest distance of two middles that match; 0 or more.
    """
    calls, aside = _Line(calls_s), _Line(aside_s)
    verdicts = [Verdict.FALSE] * len(middles_s)
    taken: list[int | None] = [None] * len(middles_s)
    free = [True] * len(calls_s)
    for i in sorted(range(len(middles_s)), key=lambda i: (-scores[i], middles_s[i])):
        candidates = [call for call in calls.within(middles_s[i], tolerance_s) if free[call]]
        if candidates:
            nearest = min(candidates, key=lambda call: abs(calls_s[call] - middles_s[i]))
            free[nearest], taken[i], verdicts[i] = False, nearest, Verdict.HIT
        elif aside.within(middles_s[i], tolerance_s):
            verdicts[i] = Verdict.ASIDE
    return Matching(tuple(verdicts), tuple(taken), tuple(call for call, is_free in enumerate(free) if is_free))


class _Line:
    """Moments in the order of time, to find those near another without looking at all of them."""

    def __init__(self, moments_s: Sequence[float]) -> None:
        self._order = sorted(range(len(moments_s)), key=lambda i: moments_s[i])
        self._moments_s = [moments_s[i] for i in self._order]

    def within(self, moment_s: float, tolerance_s: float) -> list[int]:
        """Positions of those at most a tolerance away, the earliest first."""
        reach_s = tolerance_s + _ROUNDING_S
        first = bisect_left(self._moments_s, moment_s - reach_s)
        return self._order[first : bisect_right(self._moments_s, moment_s + reach_s)]
