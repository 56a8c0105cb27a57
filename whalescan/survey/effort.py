"""The survey's time: what was recorded, what was analysed, what is missing, and what was heard in each hour and day."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo

import numpy as np

from whalescan.audio import gaps, timeline
from whalescan.core import Detection, Gap, GapKind, IntArray, Loss, Recording, to_ns
from whalescan.detections import effort
from whalescan.detections.effort import bin_edges
from whalescan.detections.presence import Bin, Heard, PresenceRule, bins
from whalescan.tables.csvs import FileRow


@dataclass(frozen=True, slots=True)
class Listened:
    """A recording with what was heard in it.

    Attributes:
        detections: its calls, in the order of their times, with what reviewers said of them.
        losses: what was analysed on none of its channels, in samples at ``rate_hz``; None where nothing was analysed.
    """

    recording: Recording
    detections: tuple[Detection, ...]
    losses: tuple[Loss, ...] | None
    rate_hz: int


@dataclass(frozen=True, slots=True)
class Accounts:
    """Time and presence.

    Attributes:
        recorded, analysed: spans, int64 ``[n, 2]``, in nanoseconds since 1970 UTC; unions.
        gaps: what is missing from them, or was recorded more than once.
        hourly, daily: full UTC hours and days, from the first sample to the last.
    """

    recorded: IntArray
    analysed: IntArray
    gaps: tuple[Gap, ...]
    hourly: tuple[Bin, ...] = ()
    daily: tuple[Bin, ...] = ()


def account(
    listened: Sequence[Listened], files: Iterable[FileRow], counts: Callable[[str], bool], rule: PresenceRule
) -> Accounts:
    """The accounts of a survey; recordings without a clock have no part in them.

    Args:
        listened: every recording whose header could be read.
        files: every file; of those that could not be read, the beginning is known where the name tells it.
        counts: whether calls of a label count.
        rule: when an hour or a day is called ``DETECTED``.
    """
    recorded = _spans(span for one in listened for span in timeline.spans(one.recording))
    lost = [lost for one in listened for lost in _lost(one)]
    analysed = [_analysed(one) for one in listened if one.losses is not None]
    unreadable = [to_ns(row.start_utc) for row in files if row.recording is None and row.start_utc is not None]
    found = gaps.find([one.recording for one in listened], unreadable)
    found += [Gap(begin, end, kind) for kind, (begin, end) in lost]
    accounts = Accounts(
        effort.union(recorded),
        effort.union(np.concatenate([_spans(()), *analysed])),
        tuple(sorted(found, key=lambda gap: (gap.begin_ns, gap.end_ns, gap.kind))),
    )
    hourly, daily = in_bins(accounts, heard_in(listened, counts), rule)
    return replace(accounts, hourly=hourly, daily=daily)


def in_bins(
    accounts: Accounts, heard: Sequence[Heard], rule: PresenceRule, zone: tzinfo = UTC
) -> tuple[tuple[Bin, ...], tuple[Bin, ...]]:
    """The hours and the days of a survey, as clocks in a zone show them."""
    if not len(accounts.recorded):
        return (), ()
    begin_ns, end_ns = int(accounts.recorded[0, 0]), int(accounts.recorded[-1, 1])
    hourly, daily = bin_edges(begin_ns, end_ns, 1, zone), bin_edges(begin_ns, end_ns, 24, zone)
    effort_ns = accounts.recorded, accounts.analysed
    return tuple(bins(hourly, *effort_ns, heard, rule)), tuple(bins(daily, *effort_ns, heard, rule))


def heard_in(listened: Iterable[Listened], counts: Callable[[str], bool]) -> list[Heard]:
    """The calls that count, on the clock."""
    return [
        Heard(to_ns(begin_utc), call.channel, call.score, call.review)
        for one in listened
        for call in one.detections
        if counts(call.label) and (begin_utc := one.recording.utc(call.begin_s)) is not None
    ]


def lost_on_all(channels: Sequence[Sequence[Loss]]) -> tuple[Loss, ...]:
    """What was analysed on none of the channels: what one hydrophone heard was heard."""
    first, *others = channels
    if not others:
        return tuple(first)
    found: list[Loss] = []
    for loss in first:
        left = np.array([[loss.begin_sample, loss.end_sample]], np.int64)
        for other in others:
            own = np.array([(one.begin_sample, one.end_sample) for one in other], np.int64).reshape(-1, 2)
            left = effort.subtract(left, effort.subtract(left, own))
        found += [Loss(begin, end, loss.kind) for begin, end in left.tolist()]
    return tuple(found)


def _lost(one: Listened) -> list[tuple[GapKind, timeline.Span]]:
    """When what was not analysed."""
    if one.losses is None:
        return [(GapKind.UNREADABLE, span) for span in timeline.spans(one.recording)]
    return [(loss.kind, span) for loss in one.losses for span in _when(one, loss)]


def _analysed(one: Listened) -> IntArray:
    own = _spans(timeline.spans(one.recording))
    return (
        effort.subtract(own, _spans(span for loss in one.losses or () for span in _when(one, loss))) if one.losses else own
    )


def _when(one: Listened, loss: Loss) -> list[timeline.Span]:
    """When a loss was, to the recording's own sample."""
    return timeline.spans(one.recording, *timeline.frames(one.recording, loss, one.rate_hz))


def _spans(spans: Iterable[timeline.Span]) -> IntArray:
    return np.array(list(spans), np.int64).reshape(-1, 2)
