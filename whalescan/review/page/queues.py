"""Which calls are judged, and in which order: chosen in arrays, so that 200,000 calls take no time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from whalescan.core import Detection, IntArray, Recording, to_ns
from whalescan.detections import stratified_sampling
from whalescan.detections.validations import VERDICTS

Codes = npt.NDArray[np.int8]
CODES = {verdict: np.int8(VERDICTS.index(verdict)) for verdict in VERDICTS}
_UNREVIEWED = CODES["unreviewed"]
_NO_CLOCK = np.iinfo(np.int64).max
"""Behind every time there is."""
_ROUNDING = 5e-5
"""Tables say scores to four decimals."""


class Order(StrEnum):
    """In which order calls come."""

    HIGHEST = "highest"
    LOWEST = "lowest"
    THRESHOLD = "threshold"
    TIME = "time"
    RECORDING = "recording"
    SAMPLE = "sample"


class Show(StrEnum):
    """Which calls come, by what was said of them."""

    UNREVIEWED = "unreviewed"
    NOT_BY_ME = "not-by-me"
    MINE = "mine"
    YES = "yes"
    NO = "no"
    MAYBE = "maybe"
    DISAGREED = "disagreed"
    ALL = "all"


TELLING_ORDERS = frozenset({Order.HIGHEST, Order.LOWEST, Order.THRESHOLD})
"""Not for who shall not know the scores."""
TELLING_SHOWS = frozenset({Show.YES, Show.NO, Show.MAYBE, Show.DISAGREED})
"""Not for who shall not know what others said."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a reviewer wants to judge.

    Attributes:
        order: in which order.
        show: by what was said up to now.
        low, high: scores, both ends included; None for no limit. A call that only a person saw has no score, and is
            left out where a limit is given.
        recording: text that the recording's name holds, in upper or lower case.
        label: the class; empty for all.
        by: a reviewer who has judged the calls; None for anybody or nobody.
        sample: of the order `Order.SAMPLE`, as many from its beginning; None for all.
    """

    order: Order = Order.HIGHEST
    show: Show = Show.UNREVIEWED
    low: float | None = None
    high: float | None = None
    recording: str = ""
    label: str = ""
    by: str | None = None
    sample: int | None = None

    @property
    def is_telling(self) -> bool:
        """Whether it gives away scores, or what others said."""
        limited = self.low is not None or self.high is not None
        return limited or self.order in TELLING_ORDERS or self.show in TELLING_SHOWS


@dataclass(frozen=True)
class Said:
    """Verdicts as codes, of each call.

    Attributes:
        standing: what tables show.
        by_reviewer: what each says, `CODES` of ``unreviewed`` where they say nothing.
    """

    standing: Codes
    by_reviewer: Mapping[str, Codes]

    def of(self, reviewer: str) -> Codes:
        """What one says."""
        nothing = np.full(len(self.standing), _UNREVIEWED)
        return self.by_reviewer.get(reviewer, nothing)

    @property
    def disagreed(self) -> npt.NDArray[np.bool_]:
        """Where two reviewers say different things."""
        first = np.full(len(self.standing), _UNREVIEWED)
        differ = np.zeros(len(self.standing), np.bool_)
        for codes in self.by_reviewer.values():
            differ |= (first != _UNREVIEWED) & (codes != _UNREVIEWED) & (codes != first)
            first = np.where(first == _UNREVIEWED, codes, first)
        return differ


class Catalog:
    """The calls of a run as arrays.

    Args:
        calls: in the order of recordings and times.
        recordings: by their names; a call of one that is not there has no time.
        threshold: score at which a detection opens.
    """

    def __init__(self, calls: Sequence[Detection], recordings: Mapping[str, Recording], threshold: float) -> None:
        self.calls = calls
        self.threshold = threshold
        self.number_of = {call.detection_id: number for number, call in enumerate(calls)}
        self.labels = tuple(sorted({call.label for call in calls}))
        self._names, self._recording = _coded([call.recording for call in calls])
        self._label = np.array([self.labels.index(call.label) for call in calls], np.int32)
        self._scores = np.array([np.nan if call.score is None else call.score for call in calls])
        self._begins_ns = _begins_ns(calls, recordings)
        own = np.nan_to_num(self._scores, nan=-1.0) >= threshold - _ROUNDING
        drawn = stratified_sampling.sample_order(calls)
        self._orders: dict[Order, Callable[[], IntArray]] = {
            Order.HIGHEST: lambda: np.argsort(-self._scores, kind="stable"),  # without a score: at the end
            Order.LOWEST: lambda: np.argsort(self._scores, kind="stable"),
            Order.THRESHOLD: lambda: np.argsort(np.abs(self._scores - threshold), kind="stable"),
            Order.TIME: lambda: np.argsort(self._begins_ns, kind="stable"),
            Order.RECORDING: lambda: np.arange(len(calls)),
            Order.SAMPLE: lambda: drawn[own[drawn]],
        }

    def queue(self, choice: Choice, said: Said, reviewer: str) -> npt.NDArray[np.int32]:
        """The numbers of the calls that a reviewer wants to judge, in order."""
        order = self._orders[choice.order]()
        if choice.order is Order.SAMPLE:
            order = order[: choice.sample]
        return order[self._wanted(choice, said, reviewer)[order]].astype(np.int32)

    def _wanted(self, choice: Choice, said: Said, reviewer: str) -> npt.NDArray[np.bool_]:
        wanted = _shown(choice.show, said, reviewer)
        if choice.low is not None:
            wanted &= self._scores >= choice.low - _ROUNDING
        if choice.high is not None:
            wanted &= self._scores <= choice.high + _ROUNDING
        if choice.recording:
            text = choice.recording.casefold()
            wanted &= np.array([text in name.casefold() for name in self._names], np.bool_)[self._recording]
        if choice.label:
            wanted &= self._label == (self.labels.index(choice.label) if choice.label in self.labels else -1)
        if choice.by is not None:
            wanted &= said.of(choice.by) != _UNREVIEWED
        return wanted


def _shown(show: Show, said: Said, reviewer: str) -> npt.NDArray[np.bool_]:
    match show:
        case Show.ALL:
            return np.ones(len(said.standing), np.bool_)
        case Show.DISAGREED:
            return said.disagreed
        case Show.NOT_BY_ME:
            return np.equal(said.of(reviewer), _UNREVIEWED)
        case Show.MINE:
            return np.not_equal(said.of(reviewer), _UNREVIEWED)
        case _:
            return np.equal(said.standing, CODES[show.value])


def _coded(names: Sequence[str]) -> tuple[list[str], IntArray]:
    """Each name once, and for each of the names given, which one it is."""
    numbers: dict[str, int] = {}
    codes = np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)
    return list(numbers), codes


def _begins_ns(calls: Sequence[Detection], recordings: Mapping[str, Recording]) -> IntArray:
    """When calls begin, in nanoseconds since 1970; `_NO_CLOCK` where nobody knows."""
    starts_ns = {name: to_ns(one.start_utc) for name, one in recordings.items() if one.start_utc is not None}
    return np.array(
        [
            starts_ns[call.recording] + round(call.begin_s * 1e9) if call.recording in starts_ns else _NO_CLOCK
            for call in calls
        ],
        np.int64,
    )
