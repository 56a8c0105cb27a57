"""Validations: what people decided about detections, and detections with these decisions applied.

Validations are only ever added, never changed: the latest one of a detection counts. They refer to detections by ID, and a
detection has the same ID at every threshold. A validation stays true where its detection is no longer found, because another
model is used or the threshold is higher; `apply_validations` takes care of that.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from whalescan.core import Detection
from whalescan.detections.detection_rule import DetectionRule

UNREVIEWED = "unreviewed"
REVIEWS = ("yes", "no", "maybe", UNREVIEWED)
CARRIED_OVER = "whalescan, passed on"
"""Source of the rows that `carry_over` adds."""
ORIGINS = ("review", "deleted", "added", "moved")
_KEPT_REVIEWS = frozenset({"yes", "maybe"})
"""Reviews that keep a detection, also where the detector no longer finds it."""
BOX_TOLERANCE_S, BOX_TOLERANCE_HZ = 0.001 + 1e-6, 0.1 + 1e-6
"""Boxes that differ by no more are the same box, rounded by the programs that stored it."""
_SEPARATION_S = DetectionRule().separation_s
_ROUNDING_S = 0.001
"""Largest difference between two IDs' times that their rounding makes."""
_TIME_IN_ID = re.compile(r"-(\d{9,})$")


@dataclass(frozen=True, slots=True)
class Validation:
    """A decision about a detection, with the detection as it was then.

    Attributes:
        detection_id: ID of the detection; for a call that only a person found, `added_id`.
        review: ``yes``, ``no``, ``maybe``, or ``unreviewed`` where an earlier review was withdrawn.
        origin: ``review``: the review was entered; ``deleted``: the row was deleted; ``added``: a person found the call;
            ``moved``: a person drew the box. A later review of an added or moved call keeps that origin and the box, unless
            it deletes the row.
        recording, channel, begin_s, end_s, low_hz, high_hz, label, score: as in `Detection`.
        source: name of the table, or of another source, that holds the review.
        validated_utc: time at which it was stored, ISO 8601.
        reviewer: name of the reviewer; empty where it is not known.
    """

    detection_id: str
    review: str
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
    validated_utc: str = ""
    reviewer: str = ""

    @staticmethod
    def of_detection(detection: Detection, review: str, origin: str, source: str = "") -> Validation:
        """Return a validation of a detection with its own box."""
        return Validation(
            detection.detection_id,
            review,
            origin,
            detection.recording,
            detection.channel,
            detection.begin_s,
            detection.end_s,
            detection.low_hz,
            detection.high_hz,
            detection.label,
            detection.score,
            source,
        )

    @property
    def detection(self) -> Detection:
        """The detection as it was validated."""
        box = self.begin_s, self.end_s, self.low_hz, self.high_hz
        return Detection(self.recording, self.channel, *box, self.label, self.score, self.detection_id, self.review)


DetectionRecord = Detection | Validation
"""A record with a time-frequency box in a recording."""


def added_id(recording: str, channel: int, middle_s: float) -> str:
    """Return the ID of a call that only a person found, from the midpoint between its begin and its end."""
    return f"{recording}{'' if channel == 1 else f'.ch{channel}'}-human-{round(1000 * middle_s):09d}"


def identifying_time_s(record: DetectionRecord) -> float:
    """Return the time that an ID states, in seconds from the recording's first sample; the midpoint where it states none.

    It is that of the detection's peak (in IDs of whalescan 0.7 and older, the midpoint of its box), whatever box a person
    drew since. Detections of one run are at least `DetectionRule.separation_s` apart in it, at every threshold.
    """
    stated = _TIME_IN_ID.search(record.detection_id)
    return int(stated[1]) / 1000 if stated else (record.begin_s + record.end_s) / 2


def same_box(first: DetectionRecord, second: DetectionRecord) -> bool:
    """Return whether two boxes are the same but for rounding: to 1 ms and 0.1 Hz."""
    times = abs(first.begin_s - second.begin_s), abs(first.end_s - second.end_s)
    frequencies = abs(first.low_hz - second.low_hz), abs(first.high_hz - second.high_hz)
    return max(times) <= BOX_TOLERANCE_S and max(frequencies) <= BOX_TOLERANCE_HZ


def apply_validations(
    detections: Sequence[Detection], validations: Mapping[str, Validation], separation_s: float = _SEPARATION_S
) -> tuple[Detection, ...]:
    """Return the detections of one recording with their validations applied.

    A detection gets its review, and its box where a person drew one. The validation of a lost detection, one that is no
    longer found, is carried over to the nearest unvalidated detection of its channel and label, if their times are closer
    than those of two detections can be. Otherwise ``yes`` and ``maybe`` keep the detection as it was validated, as they
    keep a call that a person added.

    Args:
        detections: the detector's detections.
        validations: the latest of each ID, of this recording only.
        separation_s: `DetectionRule.separation_s`.

    Returns:
        Sorted by begin, then by channel.
    """
    found = {detection.detection_id for detection in detections}
    lost = {identity: validation for identity, validation in sorted(validations.items()) if identity not in found}
    unvalidated = [detection for detection in detections if detection.detection_id not in validations]
    carried_over = match_lost_validations(unvalidated, lost.values(), separation_s)
    applied = []
    for detection in detections:
        if (validation := validations.get(detection.detection_id)) is not None:
            drawn = validation if validation.origin in ("moved", "added") else detection
            applied.append(
                replace(
                    detection,
                    review=validation.review,
                    begin_s=drawn.begin_s,
                    end_s=drawn.end_s,
                    low_hz=drawn.low_hz,
                    high_hz=drawn.high_hz,
                )
            )
        elif detection.detection_id in carried_over:
            applied.append(replace(detection, review=carried_over[detection.detection_id].review))
        else:
            applied.append(detection)
    used = {validation.detection_id for validation in carried_over.values()}
    kept = [
        validation.detection
        for identity, validation in lost.items()
        if identity not in used and validation.review in _KEPT_REVIEWS
    ]
    return tuple(sorted([*applied, *kept], key=lambda detection: (detection.begin_s, detection.channel)))


def match_lost_validations(
    detections: Sequence[Detection], lost: Iterable[Validation], separation_s: float
) -> dict[str, Validation]:
    """Return the validations of lost detections by the ID of the detection that they carry over to, nearest pairs first.

    Args:
        detections: of one recording, without validations of their own.
        lost: validations of the same recording whose detections are no longer found.
        separation_s: `DetectionRule.separation_s`.
    """
    pairs = []
    for validation in lost:
        if validation.score is None or validation.review == UNREVIEWED:
            continue  # a call that a person added is another one than those that the detector finds
        for detection in detections:
            distance_s = abs(identifying_time_s(detection) - identifying_time_s(validation))
            is_same_kind = (detection.channel, detection.label) == (validation.channel, validation.label)
            if distance_s < separation_s - _ROUNDING_S and is_same_kind:
                pairs.append((distance_s, validation.detection_id, detection.detection_id, validation))
    carried_over: dict[str, Validation] = {}
    used: set[str] = set()
    for _, lost_id, identity, validation in sorted(pairs, key=lambda pair: pair[:3]):
        if identity not in carried_over and lost_id not in used:
            carried_over[identity] = validation
            used.add(lost_id)
    return carried_over


def carried_over_validations(
    detections: Iterable[Detection], validations: Mapping[str, Validation], separation_s: float
) -> dict[str, Validation]:
    """Return `match_lost_validations` of all recordings of a survey.

    Args:
        detections: the detector's detections.
        validations: the latest of each ID.
        separation_s: `DetectionRule.separation_s`.
    """
    unvalidated: dict[str, list[Detection]] = defaultdict(list)
    lost = dict(validations)
    for detection in detections:
        if lost.pop(detection.detection_id, None) is None:
            unvalidated[detection.recording].append(detection)
    lost_by_recording: dict[str, list[Validation]] = defaultdict(list)
    for validation in lost.values():
        lost_by_recording[validation.recording].append(validation)
    return {
        identity: validation
        for recording, some in lost_by_recording.items()
        for identity, validation in match_lost_validations(unvalidated[recording], some, separation_s).items()
    }


def carry_over(detection: Detection, lost: Validation) -> tuple[Validation, Validation]:
    """Return the rows to add before somebody reviews a detection to which the validation of a lost one carries over.

    The first gives the detection the latest review of the lost one, with its time and reviewer. The second withdraws the
    review of the lost one, which would otherwise be kept beside the detection as a second one.
    """
    own = Validation.of_detection(detection, lost.review, "review", CARRIED_OVER)
    return (
        replace(own, validated_utc=lost.validated_utc, reviewer=lost.reviewer),
        replace(lost, review=UNREVIEWED, source=CARRIED_OVER),
    )
