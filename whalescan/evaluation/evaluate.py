"""Detections against annotations: every recording matched, all of them measured together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from whalescan.core import Annotation, Recording, UsageError
from whalescan.evaluation import bootstrap, metrics
from whalescan.evaluation.annotations import Truth
from whalescan.evaluation.bootstrap import FEW_RECORDINGS, Draws, Interval
from whalescan.evaluation.matching import Verdict, match
from whalescan.evaluation.metrics import PER_HOUR, Calibration, Curve, Point, Tally
from whalescan.evaluation.scored_sources import Heard, Source
from whalescan.evaluation.wording import in_hours


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """How detections are judged.

    Attributes:
        tolerance_s: largest distance between the middles of a detection and a call that match.
        threshold: where single recordings and errors are shown; None for the detector's own.
        per_hour: advice is wanted for at most so many false positives per hour.
        precision: advice is wanted for at least these precisions.
        draws: of the bootstrap.
    """

    tolerance_s: float = 1.0
    threshold: float | None = None
    per_hour: tuple[float, ...] = ()
    precision: tuple[float, ...] = ()
    draws: Draws = field(default_factory=Draws)

    def __post_init__(self) -> None:
        if self.tolerance_s < 0 or any(per_hour < 0 for per_hour in self.per_hour):
            raise UsageError("--tolerance and --false-positives-per-hour must not be below 0")
        if not all(0 < precision <= 1 for precision in self.precision):
            raise UsageError("--precision is a share; choose it above 0 and up to 1")
        if self.draws.n < 0 or self.draws.seed < 0:
            raise UsageError("--bootstrap and --seed must not be below 0")


@dataclass(frozen=True, slots=True)
class Event:
    """A detection and what it became, or a call that none heard.

    Attributes:
        selection: the detection; of a missed event the annotated call.
        call: what a hit heard; None for all others.
    """

    selection: Annotation
    verdict: Verdict
    call: Annotation | None = None


@dataclass(frozen=True, slots=True)
class RecordingResult:
    """What came of one recording.

    Attributes:
        hours: of listening.
        events: in the order of their times; a call counts as missed here when not even the lowest score heard it.
        n_calls: annotated calls.
        average_precision: None without calls.
        point: what the chosen threshold gives.
    """

    recording: Recording
    hours: float
    events: tuple[Event, ...]
    n_calls: int
    average_precision: float | None
    point: Point

    def errors(self) -> list[Event]:
        """False alarms and missed calls at the chosen threshold, in the order of their times."""
        wrong = []
        for event in self.events:
            kept = event.selection.score is not None and event.selection.score >= self.point.threshold
            if event.verdict is Verdict.MISSED or (event.verdict is Verdict.FALSE and kept):
                wrong.append(Event(event.selection, event.verdict))
            elif event.call is not None and not kept:
                wrong.append(Event(event.call, Verdict.MISSED))
        return sorted(wrong, key=lambda event: event.selection.begin_s)


@dataclass(frozen=True, slots=True)
class Advice:
    """A threshold for an aim.

    Attributes:
        aim: what was asked for.
        point: the lowest threshold that gives it; None where none does.
        why: what to know about it; where there is none, why not.
    """

    aim: str
    point: Point | None
    why: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How good a detector is on these recordings.

    Attributes:
        lowest: score below which the detector was not asked; None where its tables hold what they hold.
        curve: every threshold.
        point: the chosen threshold.
        intervals: by the names in `MEASURES` and of `recall_name`; None where there is none.
        calibration: of the detections that are hits or false; None where scores are no shares of 1.
        n_aside: detections that count neither way.
        notes: what was left out and what to keep in mind.
    """

    detector: str
    lowest: float | None
    options: EvaluateOptions
    recordings: tuple[RecordingResult, ...]
    curve: Curve
    point: Point
    intervals: dict[str, Interval | None]
    calibration: Calibration | None
    advice: tuple[Advice, ...]
    n_aside: int
    notes: tuple[str, ...]


MEASURES: dict[str, Callable[[Curve], float | None]] = {
    "average precision": Curve.average_precision,
    "best F1": lambda curve: best.f1 if (best := curve.best_f1()) else None,
}


def recall_name(per_hour: float) -> str:
    """What the recall at so many false positives per hour is called."""
    return f"recall at {per_hour:g} false positives per hour"


def evaluate(source: Source, truth: Truth, options: EvaluateOptions) -> Evaluation:
    """Match and measure the recordings that were both listened to and annotated.

    Raises:
        UsageError: when there are none, or the chosen threshold lies below what the detector was asked for.
    """
    threshold = source.threshold if options.threshold is None else options.threshold
    if source.lowest is not None and threshold < source.lowest:
        raise UsageError(f"a threshold of {threshold:g} lies below --lowest {source.lowest:g}; lower that as well")
    common = [heard for heard in source.heard if heard.recording.name in truth.calls]
    if not common:
        raise UsageError(
            "no recording was both listened to and annotated; see that detections and annotations belong together"
        )
    events = [_events(heard, truth, options.tolerance_s) for heard in common]
    counted = _tally(common, events, truth)
    whole = metrics.curve(counted)
    wanted = MEASURES | {recall_name(f): partial(_recall_at, per_hour=f) for f in PER_HOUR}
    results = tuple(_result(heard, events[i], counted.of(i), threshold) for i, heard in enumerate(common))
    return Evaluation(
        detector=source.detector,
        lowest=source.lowest,
        options=options,
        recordings=results,
        curve=whole,
        point=whole.at(threshold),
        intervals=bootstrap.over_recordings(counted, wanted, options.draws),
        calibration=metrics.calibration(counted.scores, counted.is_hit),
        advice=(*_for_false_positives(whole, options.per_hour), *_for_precision(whole, options.precision)),
        n_aside=sum(event.verdict is Verdict.ASIDE for own in events for event in own),
        notes=(*source.notes, *truth.notes, *_reservations(whole, len(common), source.lowest, options)),
    )


def _events(heard: Heard, truth: Truth, tolerance_s: float) -> tuple[Event, ...]:
    """Every detection with what it became, and every call that none took, in the order of their times."""
    name = heard.recording.name
    calls, found = truth.calls[name], heard.detections
    scores = [one.score for one in found if one.score is not None]
    matching = match(_middles_s(found), scores, _middles_s(calls), _middles_s(truth.aside.get(name, ())), tolerance_s)
    judged = zip(found, matching.verdicts, matching.taken, strict=True)
    events = [Event(one, verdict, None if taken is None else calls[taken]) for one, verdict, taken in judged]
    events += [Event(calls[missed], Verdict.MISSED) for missed in matching.missed]
    return tuple(sorted(events, key=lambda event: (event.selection.begin_s, event.selection.end_s)))


def _middles_s(selections: Sequence[Annotation]) -> list[float]:
    return [(one.begin_s + one.end_s) / 2 for one in selections]


def _tally(heard: Sequence[Heard], events: Sequence[Sequence[Event]], truth: Truth) -> Tally:
    """What counts: hits, false alarms, calls and hours, without what was set aside."""
    counting = [
        (event.selection.score, event.verdict is Verdict.HIT, i)
        for i, own in enumerate(events)
        for event in own
        if event.verdict in (Verdict.HIT, Verdict.FALSE)
    ]
    scores, is_hit, recording = zip(*counting, strict=True) if counting else ((), (), ())
    n_calls = np.array([len(truth.calls[one.recording.name]) for one in heard], np.int64)
    return metrics.tally(scores, is_hit, recording, n_calls, np.array([one.hours for one in heard]))


def _result(heard: Heard, events: tuple[Event, ...], counted: Tally, threshold: float) -> RecordingResult:
    own = metrics.curve(counted)
    return RecordingResult(heard.recording, heard.hours, events, own.n_calls, own.average_precision(), own.at(threshold))


def _recall_at(curve: Curve, per_hour: float) -> float | None:
    return curve.recall_at(per_hour)


def _for_false_positives(curve: Curve, aims: Sequence[float]) -> list[Advice]:
    advice = []
    for per_hour in aims:
        point = curve.for_false_positives(per_hour)
        why = "so has every higher threshold"
        if len(curve) == 0:
            why = "there are no detections"
        elif point is None:
            surest = curve.at(float(curve.thresholds[0]))
            why = f"already the highest score, {surest.threshold:.4f}, gives {surest.false_positives_per_hour:.3g}"
        elif point.threshold <= curve.thresholds[-1]:
            why = "there are no more than that at any threshold that was looked at"
        advice.append(Advice(f"at most {per_hour:g} false positives per hour", point, why))
    return advice


def _for_precision(curve: Curve, aims: Sequence[float]) -> list[Advice]:
    advice = []
    for precision in aims:
        point = curve.for_precision(precision)
        reached = [(one.threshold, one.precision or 0.0) for one in curve.points()]
        why = "the lowest that reaches it; a higher one may fall below, see curve.csv"
        if not reached:
            why = "there are no detections"
        elif point is None:
            why = f"the highest precision at any threshold is {max(share for _, share in reached):.3f}"
        elif all(share >= precision for threshold, share in reached if threshold >= point.threshold):
            why = "so has every higher threshold"
        advice.append(Advice(f"precision of at least {precision:g}", point, why))
    return advice


def _reservations(curve: Curve, n_recordings: int, lowest: float | None, options: EvaluateOptions) -> list[str]:
    """What to keep in mind when reading the numbers."""
    notes = []
    if curve.n_calls == 0:
        notes.append("no calls are annotated: recall and average precision are not defined, only false alarms are counted")
    if min(PER_HOUR + options.per_hour) * curve.hours < 1:
        one_alone = f"{1 / curve.hours:.2g} false positives per hour"
        notes.append(
            f"in {in_hours(curve.hours)} one false alarm is {one_alone}: whatever is said of lower rates is said of none"
        )
    if lowest is None and len(curve):
        notes.append(f"the tables hold nothing below a score of {curve.thresholds[-1]:.4g}; what lies there cannot count")
    if n_recordings < 2:
        notes.append("one recording gives no interval: how recordings differ cannot be seen")
    elif options.draws.n and n_recordings < FEW_RECORDINGS:
        notes.append(f"intervals from {n_recordings} recordings are rough, and mostly too narrow")
    return notes
