"""Which detections of an earlier run are found again, and which are new."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from whalescan.core import Detection
from whalescan.detections.validations import UNREVIEWED, same_box

MAX_DISTANCE_S = 1.0
"""Largest distance between the midpoints of two detections of one call."""


class Change(StrEnum):
    """What became of a detection."""

    SAME = "same"
    """Found again with the same box."""
    MOVED = "moved"
    """Found again with another box."""
    ONLY_OLD = "only_old"
    """No longer found."""
    ONLY_NEW = "only_new"
    """Not found before."""


@dataclass(frozen=True, slots=True)
class DetectionChange:
    """A call by an earlier run and by a new one.

    Attributes:
        old, new: its detections; None where a run does not find it. At least one is given.
    """

    old: Detection | None
    new: Detection | None

    @property
    def either(self) -> Detection:
        """The new detection, or the old one where there is no new one."""
        found = self.new or self.old
        assert found is not None
        return found

    @property
    def change(self) -> Change:
        """What became of the detection."""
        if self.old is None:
            return Change.ONLY_NEW
        if self.new is None:
            return Change.ONLY_OLD
        return Change.SAME if same_box(self.old, self.new) else Change.MOVED

    @property
    def review(self) -> str:
        """The review: of the new detection, or of the old one where the new one has none."""
        reviews = [one.review for one in (self.new, self.old) if one is not None]
        return next((review for review in reviews if review != UNREVIEWED), UNREVIEWED)


def compare_detections(old: Iterable[Detection], new: Iterable[Detection]) -> list[DetectionChange]:
    """Return the calls of two runs on the same recordings, by recording, time and channel.

    Detections of one recording, channel and label are matched one-to-one if their midpoints are at most `MAX_DISTANCE_S`
    apart, the nearest pairs first.
    """
    sides: dict[tuple[str, int, str], tuple[list[Detection], list[Detection]]] = defaultdict(lambda: ([], []))
    for side, detections in enumerate((old, new)):
        for detection in detections:
            sides[detection.recording, detection.channel, detection.label][side].append(detection)
    changes = [change for olds, news in sides.values() for change in _matched(olds, news)]
    return sorted(changes, key=lambda one: (one.either.recording, one.either.begin_s, one.either.channel, one.either.label))


def _matched(old: Sequence[Detection], new: Sequence[Detection]) -> list[DetectionChange]:
    """Match detections of one recording, channel and label."""
    old, new = sorted(old, key=_middle_s), sorted(new, key=_middle_s)
    pairs: list[tuple[float, int, int]] = []
    first = 0
    for i, one in enumerate(old):
        while first < len(new) and _middle_s(new[first]) < _middle_s(one) - MAX_DISTANCE_S:
            first += 1
        for j in range(first, len(new)):
            distance_s = abs(_middle_s(new[j]) - _middle_s(one))
            if distance_s > MAX_DISTANCE_S:
                break
            pairs.append((distance_s, i, j))
    match_of: dict[int, int] = {}
    used: set[int] = set()
    for _, i, j in sorted(pairs):
        if i not in match_of and j not in used:
            match_of[i] = j
            used.add(j)
    found = [DetectionChange(one, new[match_of[i]] if i in match_of else None) for i, one in enumerate(old)]
    return found + [DetectionChange(None, one) for j, one in enumerate(new) if j not in used]


def _middle_s(detection: Detection) -> float:
    return (detection.begin_s + detection.end_s) / 2
