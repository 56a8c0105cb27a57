"""Which calls of many: the highest, some by chance, or as many of every score. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from whalescan.core import Detection, UsageError
from whalescan.detections import stratified_sampling


class By(StrEnum):
    """How calls are chosen. By score only the detector's own can be: those that people added have none."""

    ALL = "all"
    HIGHEST = "highest"
    LOWEST = "lowest"
    RANDOM = "random"
    BALANCED = "balanced"
    """Equal numbers of each of `strata.EDGES`, as far as there are so many."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is chosen.

    Attributes:
        by: how.
        count: how many at most; None for all, and only for all.
        threshold: lowest score; None for any, and for calls without one.
        reviews: what people said of them, of `judgements.VERDICTS`; empty for anything.
        seed: of what is random; calls keep their places when others come or go.

    Raises:
        UsageError: for a number of all calls, where the number of others is not said, and for a threshold that is no score.
    """

    by: By = By.ALL
    count: int | None = None
    threshold: float | None = None
    reviews: tuple[str, ...] = ()
    seed: int = 1

    def __post_init__(self) -> None:
        if self.by is By.ALL and self.count is not None:
            others = ", ".join(by for by in By if by is not By.ALL)
            raise UsageError(f"--count {self.count} of all calls: say which, with --choose {others}")
        if self.by is not By.ALL and self.count is None:
            raise UsageError(f"--choose {self.by}: say how many, with --count")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UsageError(f"--threshold {self.threshold:g}: scores lie between 0 and 1")


def chosen(calls: Sequence[Detection], choice: Choice) -> tuple[Detection, ...]:
    """The calls that are chosen, in the order in which they are given."""
    fit = [call for call in calls if _fits(call, choice)]
    if choice.by is By.ALL:
        return tuple(fit)
    if choice.by is By.BALANCED:
        order = stratified_sampling.sample_order(fit).tolist()
    elif choice.by is By.RANDOM:
        order = sorted(range(len(fit)), key=lambda i: stratified_sampling.lot(f"{choice.seed}:{fit[i].detection_id}"))
    else:
        sign = 1 if choice.by is By.LOWEST else -1
        scored = [(sign * call.score, call.detection_id, i) for i, call in enumerate(fit) if call.score is not None]
        order = [i for _, _, i in sorted(scored)]
    return tuple(fit[i] for i in sorted(order[: choice.count]))


def _fits(call: Detection, choice: Choice) -> bool:
    if choice.reviews and call.review not in choice.reviews:
        return False
    return choice.threshold is None or (call.score is not None and call.score >= choice.threshold)
