"""The effort of a survey: when it recorded, what was analysed, what is missing, and presence by hour and day."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo

import numpy as np

from whalescan.audio import timeline
from whalescan.core import Gap, GapKind, IntArray, MissingSpan, RecordingResult, intervals, to_ns
from whalescan.detections.presence import CountedDetection, PresenceBin, PresenceRule, bin_edges, presence_bins


@dataclass(frozen=True, slots=True)
class SurveyEffort:
    """Recorded and analysed time, and presence.

    Attributes:
        recorded, analysed: unions of spans, int64 ``[n, 2]``, half open, in nanoseconds since 1970 UTC.
        gaps: time that is missing from them, or was recorded more than once, in the order of time.
        hourly, daily: full UTC hours and days, from the first sample to the last.
    """

    recorded: IntArray = field(repr=False)
    analysed: IntArray = field(repr=False)
    gaps: tuple[Gap, ...] = field(repr=False)
    hourly: tuple[PresenceBin, ...] = field(default=(), repr=False)
    daily: tuple[PresenceBin, ...] = field(default=(), repr=False)


def survey_effort(results: Sequence[RecordingResult], is_counted: Callable[[str], bool], rule: PresenceRule) -> SurveyEffort:
    """Return the effort of a survey; recordings without a known start are left out.

    Args:
        results: every recording of the survey.
        is_counted: tells from its label whether a detection counts in hours and days.
        rule: decides when an hour or a day is ``DETECTED``.
    """
    readable = [result for result in results if result.recording is not None]
    recorded = _as_array(span for result in readable for span in timeline.recorded_spans(result.readable_recording()))
    analysed = [_analysed(result) for result in readable if result.missing_spans is not None]
    unreadable = [to_ns(row.start_utc) for row in results if row.recording is None and row.start_utc is not None]
    found = timeline.find_gaps([result.readable_recording() for result in readable], unreadable)
    found += [gap for result in readable for gap in _not_analysed(result)]
    effort = SurveyEffort(
        intervals.union(recorded),
        intervals.union(np.concatenate([_as_array(()), *analysed])),
        tuple(sorted(found, key=lambda gap: (gap.begin_ns, gap.end_ns, gap.kind))),
    )
    hourly, daily = hours_and_days(effort, counted_detections(readable, is_counted), rule)
    return replace(effort, hourly=hourly, daily=daily)


def hours_and_days(
    effort: SurveyEffort, detections: Sequence[CountedDetection], rule: PresenceRule, zone: tzinfo = UTC
) -> tuple[tuple[PresenceBin, ...], tuple[PresenceBin, ...]]:
    """Return the hours and the days of a survey in a time zone."""
    if not len(effort.recorded):
        return (), ()
    begin_ns, end_ns = int(effort.recorded[0, 0]), int(effort.recorded[-1, 1])
    hours, days = bin_edges(begin_ns, end_ns, 1, zone), bin_edges(begin_ns, end_ns, 24, zone)
    rest = effort.recorded, effort.analysed, detections, rule
    return tuple(presence_bins(hours, *rest)), tuple(presence_bins(days, *rest))


def counted_detections(results: Iterable[RecordingResult], is_counted: Callable[[str], bool]) -> list[CountedDetection]:
    """Return the detections that count in hours and days, with their UTC times; those without one are left out."""
    return [
        CountedDetection(to_ns(begin_utc), detection.channel, detection.score, detection.review)
        for result in results
        for detection in result.detections
        if is_counted(detection.label) and (begin_utc := result.readable_recording().utc(detection.begin_s)) is not None
    ]


def _not_analysed(result: RecordingResult) -> list[Gap]:
    """Return the parts of a recording that were not analysed; all of it where nothing was."""
    if result.missing_spans is None:
        whole = timeline.recorded_spans(result.readable_recording())
        return [Gap(begin, end, GapKind.UNREADABLE) for begin, end in whole]
    return [Gap(begin, end, missing.kind) for missing in result.missing_spans for begin, end in _in_utc(result, missing)]


def _analysed(result: RecordingResult) -> IntArray:
    recorded = _as_array(timeline.recorded_spans(result.readable_recording()))
    if not result.missing_spans:
        return recorded
    return intervals.subtract(recorded, _as_array(span for one in result.missing_spans for span in _in_utc(result, one)))


def _in_utc(result: RecordingResult, missing: MissingSpan) -> list[timeline.Span]:
    return timeline.recorded_spans(result.readable_recording(), missing.begin_sample, missing.end_sample)


def _as_array(spans: Iterable[timeline.Span]) -> IntArray:
    return np.array(list(spans), np.int64).reshape(-1, 2)
