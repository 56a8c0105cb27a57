"""What people say of calls: what a judgement is, what it makes of detections, and how often the detector was right.

Judgements are kept, never changed: a later one of the same call is added, and the latest stands. They speak of calls by
their ids, and a call has the same id at every threshold. Where a call is not found any more, since another model looks or
the threshold is higher, what was said of it is still true; `apply` sees to that.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from whalescan.core import Detection

UNREVIEWED = "unreviewed"
VERDICTS = ("yes", "no", "maybe", UNREVIEWED)
PASSED_ON = "whalescan, passed on"
"""The source of what was not said anew, see `pass_on`."""
ORIGINS = ("review", "deleted", "added", "moved")
_STANDING = frozenset({"yes", "maybe"})
"""Verdicts with which a call stays, also where the detector does not find it."""
SAME_S, SAME_HZ = 0.001 + 1e-6, 0.1 + 1e-6
"""Boxes that differ by no more are one box, rounded by the programs that it went through."""
_Z_95 = 1.959963984540054
"""Of the normal distribution, 95 % lie within so many standard deviations."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What somebody said of a call, and the call as it was then.

    Attributes:
        detection_id: of the call; for one that only a person saw, `added_id`.
        verdict: ``yes``, ``no``, ``maybe``, or ``unreviewed`` where an earlier verdict was taken back.
        origin: ``review``: said in so many words; ``deleted``: the row was deleted; ``added``: a person found the call;
            ``moved``: a person drew the box. Who judges a call that was added or moved once more keeps that origin, unless
            by deleting it, and the box.
        recording, channel, begin_s, end_s, low_hz, high_hz, label, score: as in `Detection`.
        source: name of the table in which it was said, or what else it was said in.
        judged_utc: when it was taken down, ISO 8601.
        reviewer: who said it; empty where nobody told.
    """

    detection_id: str
    verdict: str
    origin: str
    recording: str
    channel: int
    begin_s: float
    end_s: float
    low_hz: float
    high_hz: float
    label: str
    score: float | None
    source: str = ""
    judged_utc: str = ""
    reviewer: str = ""

    @staticmethod
    def of(call: Detection, verdict: str, origin: str, source: str = "") -> Judgement:
        """A judgement of a call whose box nobody has changed."""
        return Judgement(
            call.detection_id,
            verdict,
            origin,
            call.recording,
            call.channel,
            call.begin_s,
            call.end_s,
            call.low_hz,
            call.high_hz,
            call.label,
            call.score,
            source,
        )

    @property
    def detection(self) -> Detection:
        """The call as it was judged."""
        box = self.begin_s, self.end_s, self.low_hz, self.high_hz
        return Detection(self.recording, self.channel, *box, self.label, self.score, self.detection_id, self.verdict)


Boxed = Detection | Judgement


def added_id(recording: str, channel: int, middle_s: float) -> str:
    """The id of a call that only a person saw, by half way between its begin and its end."""
    return f"{recording}{'' if channel == 1 else f'.ch{channel}'}-human-{round(1000 * middle_s):09d}"


def same_box(one: Boxed, other: Boxed) -> bool:
    """Whether two boxes are one but for rounding: to 1 ms and 0.1 Hz."""
    times = abs(one.begin_s - other.begin_s), abs(one.end_s - other.end_s)
    return max(times) <= SAME_S and max(abs(one.low_hz - other.low_hz), abs(one.high_hz - other.high_hz)) <= SAME_HZ


def apply(
    detections: Sequence[Detection], judgements: Mapping[str, Judgement], separation_s: float = 1.0
) -> tuple[Detection, ...]:
    """The calls of one recording as people left them.

    A call that is found gets its verdict, and its box where a person drew one. What was said of a call that is not found
    holds for the nearest one of its channel and label of which nobody has said anything, if their middles are closer than
    calls can be. Otherwise ``yes`` and ``maybe`` keep the call as it was judged, as they do one that a person added.

    Args:
        detections: the calls that the detector finds.
        judgements: the latest of each id, of this recording only.
        separation_s: `DetectionRule.separation_s`.

    Returns:
        In the order of their beginnings, then of their channels.
    """
    found = {call.detection_id for call in detections}
    lost = {identity: one for identity, one in sorted(judgements.items()) if identity not in found}
    unjudged = [call for call in detections if call.detection_id not in judgements]
    inherited = inherit(unjudged, lost.values(), separation_s)
    calls = []
    for call in detections:
        judgement = judgements.get(call.detection_id)
        calls.append(replace(call, review=inherited[call.detection_id].verdict) if call.detection_id in inherited else call)
        if judgement is not None:
            drawn = judgement.detection if judgement.origin in ("moved", "added") else call
            box = {name: getattr(drawn, name) for name in ("begin_s", "end_s", "low_hz", "high_hz")}
            calls[-1] = replace(call, review=judgement.verdict, **box)
    passed_on = {judgement.detection_id for judgement in inherited.values()}
    kept = [one.detection for identity, one in lost.items() if identity not in passed_on and one.verdict in _STANDING]
    return tuple(sorted([*calls, *kept], key=lambda call: (call.begin_s, call.channel)))


def inherit(calls: Sequence[Detection], lost: Iterable[Judgement], separation_s: float) -> dict[str, Judgement]:
    """For the id of a call, the judgement of a lost one that now holds for it; the closest pairs first.

    Args:
        calls: of one recording; nobody has said anything of them.
        lost: of the same recording, of calls that are not found any more.
        separation_s: `DetectionRule.separation_s`.
    """
    pairs = []
    for judgement in lost:
        if judgement.score is None or judgement.verdict == UNREVIEWED:
            continue  # a person saw it beside what the detector had found
        for call in calls:
            apart_s = abs(call.begin_s + call.end_s - judgement.begin_s - judgement.end_s) / 2
            if apart_s < separation_s and (call.channel, call.label) == (judgement.channel, judgement.label):
                pairs.append((apart_s, judgement.detection_id, call.detection_id, judgement))
    heirs: dict[str, Judgement] = {}
    passed_on: set[str] = set()
    for _, identity, heir, judgement in sorted(pairs, key=lambda pair: pair[:3]):
        if heir not in heirs and identity not in passed_on:
            heirs[heir] = judgement
            passed_on.add(identity)
    return heirs


def heirs(found: Iterable[Detection], judged: Mapping[str, Judgement], separation_s: float) -> dict[str, Judgement]:
    """For the id of a call of a survey, the judgement of a lost one that now holds for it; see `inherit`.

    Args:
        found: the calls that the detector finds.
        judged: the latest of each id.
        separation_s: `DetectionRule.separation_s`.
    """
    calls: dict[str, list[Detection]] = defaultdict(list)
    lost = dict(judged)
    for call in found:
        if lost.pop(call.detection_id, None) is None:
            calls[call.recording].append(call)
    gone: dict[str, list[Judgement]] = defaultdict(list)
    for one in lost.values():
        gone[one.recording].append(one)
    return {heir: one for name in gone for heir, one in inherit(calls[name], gone[name], separation_s).items()}


def pass_on(heir: Detection, lost: Judgement) -> tuple[Judgement, Judgement]:
    """The rows to add before somebody judges a call that has come in the place of one that is not found any more.

    The first says of the heir what was said last of the lost one, by the same reviewer; the second, that nobody says
    anything of the lost one. Without them that would stand beside its heir again, as a second call.
    """
    own = Judgement.of(heir, lost.verdict, "review", PASSED_ON)
    return (
        replace(own, judged_utc=lost.judged_utc, reviewer=lost.reviewer),
        replace(lost, verdict=UNREVIEWED, source=PASSED_ON),
    )


@dataclass(frozen=True, slots=True)
class Precision:
    """Which part of the detector's calls is one, as far as people have said.

    Attributes:
        n_yes, n_no: judged calls; ``maybe`` counts neither way.
        value: ``n_yes / (n_yes + n_no)``.
        low, high: 95 % interval (Wilson 1927), as if the judged calls had been drawn by chance from all.
    """

    n_yes: int
    n_no: int
    value: float
    low: float
    high: float


def precision(detections: Iterable[Detection]) -> Precision | None:
    """Over the detector's own calls; None where nobody has said yes or no of any. What people added was not its."""
    reviews = [call.review for call in detections if call.score is not None]
    n_yes, n_no = reviews.count("yes"), reviews.count("no")
    n = n_yes + n_no
    if n == 0:
        return None
    value, z2 = n_yes / n, _Z_95**2
    middle = (value + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z_95 / (1 + z2 / n) * math.sqrt(value * (1 - value) / n + z2 / (4 * n * n))
    return Precision(n_yes, n_no, value, 0.0 if n_yes == 0 else middle - half, 1.0 if n_no == 0 else middle + half)
