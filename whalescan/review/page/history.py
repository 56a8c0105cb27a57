"""Who said what of which call, what stands, and what becomes of it when somebody judges or takes a judgement back.

Rows are only ever added to the file. So what was taken back has to be told from what holds: a row whose source is
`TAKEN_BACK` cancels its reviewer's latest judgement of that call. Where somebody else's judgement stands again by that, a
copy of their row follows, since the latest row of a call is the one that tables show.

A call may have come in the place of one that is not found any more, and with it what was said of that (`inherit`). Before
somebody judges it, two rows put that down (`judgements.pass_on`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from whalescan.core import Detection
from whalescan.detections.validations import UNREVIEWED, Judgement, inherit, pass_on, same_box
from whalescan.scores.validation_store import Row

SOURCE = "whalescan review"
TAKEN_BACK = "whalescan review, taken back"
_DRAWN = frozenset({"added", "moved"})


class Ledger:
    """All rows of the file, as far as they were added here, in their order.

    Attributes:
        last_sequence: of the latest row.
    """

    def __init__(self) -> None:
        self.last_sequence = 0
        self._said: dict[str, list[Row]] = defaultdict(list)
        """Of each call, in the order in which they were said first; without what was taken back."""
        self._standing: dict[str, Judgement] = {}
        self._decisions: dict[str, list[Row]] = defaultdict(list)
        """Of each reviewer, on this page; what was taken back is not always gone from it, see `_last_decision`."""
        self._comes_again: Judgement | None = None
        """Behind a row that takes back, the copy that follows it, if any."""

    def add(self, rows: Iterable[Row]) -> None:
        """Take note of rows that came behind the others."""
        for row in rows:
            self._take(row)
            self.last_sequence = row.sequence
            self._standing[row.judgement.detection_id] = row.judgement

    def _take(self, row: Row) -> None:
        one, comes_again = row.judgement, self._comes_again
        said = self._said[one.detection_id]
        self._comes_again = None
        if one.source == TAKEN_BACK:
            last = _last_of(said, one.reviewer)
            if last is not None:
                said.remove(last)
            self._comes_again = _stands_again(said, one.reviewer)
        elif one != comes_again:
            said.append(row)
            if one.source == SOURCE:
                self._decisions[one.reviewer].append(row)

    def standing(self, identity: str) -> Judgement | None:
        """What tables show of a call; None where nobody has said anything."""
        return self._standing.get(identity)

    def verdicts(self, identity: str) -> dict[str, str]:
        """What each reviewer says of a call, without those who took everything back."""
        spoken = {row.judgement.reviewer: row.judgement.verdict for row in self._said.get(identity, ())}
        return {reviewer: verdict for reviewer, verdict in spoken.items() if verdict != UNREVIEWED}

    def drawn(self, call: Detection) -> Detection:
        """A call in the box that people gave it."""
        last = self.standing(call.detection_id)
        if last is None or last.origin not in _DRAWN:
            return call
        return replace(call, begin_s=last.begin_s, end_s=last.end_s, low_hz=last.low_hz, high_hz=last.high_hz)

    def judging(self, call: Detection, verdict: str, reviewer: str, now_utc: str) -> tuple[Judgement, ...]:
        """The row to add when somebody judges a call; none where that stands already, and in the same words.

        Args:
            call: as the detector, or who added it, found it.
            verdict: ``yes``, ``no`` or ``maybe``.
            reviewer: who says it.
            now_utc: ISO 8601.
        """
        last = self.standing(call.detection_id)
        if last is not None and (last.reviewer, last.verdict) == (reviewer, verdict):
            return ()
        said = replace(_as_found(call, last), verdict=verdict)
        return (replace(said, source=SOURCE, judged_utc=now_utc, reviewer=reviewer),)

    def passing_on(self, call: Detection, calls: Sequence[Detection], separation_s: float) -> tuple[Judgement, ...]:
        """The rows to add before somebody judges a call, as `judgements.pass_on`; none where it inherited nothing.

        Args:
            call: one of ``calls``.
            calls: of the run, with what stood when it was opened.
            separation_s: `DetectionRule.separation_s`.
        """
        if call.review == UNREVIEWED or self.standing(call.detection_id):
            return ()
        beside = {one.detection_id: one for one in calls if one.recording == call.recording}
        heirs = [one for one in beside.values() if one.review != UNREVIEWED and not self.standing(one.detection_id)]
        said = [one for one in self._standing.values() if one.recording == call.recording]
        lost = [one for one in said if one.detection_id not in beside]
        passed_on = inherit(heirs, lost, separation_s).get(call.detection_id)
        if passed_on is None:  # it was taken back meanwhile
            return ()
        return pass_on(call, passed_on)

    def taking_back(self, reviewer: str, now_utc: str) -> tuple[Judgement, ...]:
        """The rows to add when somebody takes back the latest judgement that they made on this page and that still holds.

        What they had said before of the call holds again, or that they have said nothing. What tables show is the latest
        thing said of the call by anybody that was not taken back.

        Returns:
            Nothing where there is nothing to take back.
        """
        decision = self._last_decision(reviewer)
        if decision is None:
            return ()
        rest = [row for row in self._said[decision.judgement.detection_id] if row is not decision]
        own = _last_of(rest, reviewer)
        again = own.judgement if own else replace(decision.judgement, verdict=UNREVIEWED)
        back = replace(again, source=TAKEN_BACK, judged_utc=now_utc)
        other = _stands_again(rest, reviewer)
        return (back,) if other is None else (back, other)

    def _last_decision(self, reviewer: str) -> Row | None:
        """Decisions that were taken back, or made void by a table of the same reviewer, are forgotten on the way."""
        decisions = self._decisions[reviewer]
        while decisions and _last_of(self._said[decisions[-1].judgement.detection_id], reviewer) is not decisions[-1]:
            decisions.pop()
        return decisions[-1] if decisions else None


def _last_of(rows: list[Row], reviewer: str) -> Row | None:
    return next((row for row in reversed(rows) if row.judgement.reviewer == reviewer), None)


def _stands_again(rest: list[Row], reviewer: str) -> Judgement | None:
    """What somebody else said last of a call, where the reviewer who takes something back has said nothing later."""
    return rest[-1].judgement if rest and rest[-1].judgement.reviewer != reviewer else None


def _as_found(call: Detection, last: Judgement | None) -> Judgement:
    """A call with the origin and the box that a further judgement keeps."""
    if call.score is None:
        return replace(last, origin="added") if last else Judgement.of(call, UNREVIEWED, "added")
    if last is None or last.origin == "review":
        return Judgement.of(call, UNREVIEWED, "review")
    if last.origin == "deleted" and same_box(last, call):
        return Judgement.of(call, UNREVIEWED, "review")
    return replace(last, origin="moved")  # whether it was drawn just before, or drawn, deleted, and is back now
