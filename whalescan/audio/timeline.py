"""Recordings on the UTC clock: recorded time spans, clock discontinuities, successors, overlaps, gaps and duty cycles.

Recorders write consecutive files and name them to the second by clocks that jitter. Two files of one recorder therefore
count as continuous where one begins within `TOLERANCE_S` of the other's end; a larger difference is a gap or an overlap.
Start times are never adjusted: tables show what the clock shows.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC
from itertools import pairwise
from pathlib import Path

import numpy as np

from whalescan.core import ClockSegment, Gap, GapKind, MissingSpan, Recording, to_ns
from whalescan.core.intervals import union

TOLERANCE_S = 2.0
"""MARS names jitter by 1 s though its sound is continuous; NRS has real gaps of 6 s (mbari-org/pbp, issue 13)."""
TOLERANCE_NS = round(TOLERANCE_S * 1e9)
_MIN_CYCLES = 3
"""At least so many equal pauses, and at least half of all pauses, are a duty cycle; otherwise they are gaps."""
Span = tuple[int, int]
"""Half-open ``(begin, end)``; unless said otherwise, in nanoseconds since 1970 UTC."""


# ------------------------------------------------------------------------------------------------ one recording


def recorded_spans(recording: Recording, begin: int = 0, end: int | None = None, rate_hz: int | None = None) -> list[Span]:
    """Return when samples ``[begin, end)`` were recorded: one span per clock segment, none without a known start.

    Args:
        recording: the recording.
        begin: first sample at ``rate_hz``.
        end: sample behind the last; None for the end of the recording.
        rate_hz: rate at which samples are counted; None for the recording's own.
    """
    if recording.start_utc is None:
        return []
    rate_hz = rate_hz or recording.rate_hz
    end = recording.n_frames * rate_hz // recording.rate_hz if end is None else end
    borders = [_sample_of_frame(segment.first_frame, recording, rate_hz) for segment in recording.clock_segments[1:]]
    edges = [begin, *(border for border in borders if begin < border < end), end]
    spans = []
    for first, last in pairwise(edges):
        begin_ns = recording.utc_ns(first, rate_hz)
        if begin_ns is not None and last > first:
            spans.append((begin_ns, begin_ns + (last - first) * 10**9 // rate_hz))
    return spans


def frame_span(recording: Recording, missing_span: MissingSpan, rate_hz: int) -> Span:
    """Return the frames ``(begin, end)`` of the file that a missing span, counted at another rate, covers.

    A border of the missing span that is a border of a clock segment is mapped to exactly that frame, so that no remainder of
    the segment counts as analysed.
    """
    borders = {
        _sample_of_frame(segment.first_frame, recording, rate_hz): segment.first_frame
        for segment in recording.clock_segments
    }

    def frame(sample: int) -> int:
        return borders.get(sample, min(-(-sample * recording.rate_hz // rate_hz), recording.n_frames))

    return frame(missing_span.begin_sample), frame(missing_span.end_sample)


def discontinuities(recording: Recording, rate_hz: int) -> list[int]:
    """Return the samples (at ``rate_hz``) where the timestamps of a recording jump by more than `TOLERANCE_S`, ascending."""
    samples = []
    for segment, following in pairwise(recording.clock_segments):
        expected_ns = _extrapolated_ns(segment, following.first_frame, recording.rate_hz)
        if abs(to_ns(following.start_utc) - expected_ns) > TOLERANCE_NS:
            samples.append(_sample_of_frame(following.first_frame, recording, rate_hz))
    return samples


def _sample_of_frame(frame: int, recording: Recording, rate_hz: int) -> int:
    """Return the first sample at ``rate_hz`` that does not lie before a frame of the recording."""
    return -(-frame * rate_hz // recording.rate_hz)


def _extrapolated_ns(segment: ClockSegment, frame: int, rate_hz: int) -> int:
    """Return the time of a frame if the clock of an earlier segment had kept running."""
    return to_ns(segment.start_utc) + (frame - segment.first_frame) * 10**9 // rate_hz


# ------------------------------------------------------------------------------------------------ successors, overlaps


def successors(recordings: Iterable[Recording]) -> dict[str, Recording]:
    """Return the recording that continues each recording, by the name of the earlier one.

    Both have the same recorder, rate and number of channels. The successor is sought in the same folder first; else in other
    folders (one folder per day is usual), if exactly one recording fits.
    """
    groups: dict[tuple[object, ...], dict[Path, list[Recording]]] = defaultdict(lambda: defaultdict(list))
    for recording in recordings:
        if _clock_span(recording) is not None:
            is_utc = recording.start_utc is not None
            key = recording.recorder, recording.rate_hz, recording.channels, is_utc
            groups[key][recording.path.parent].append(recording)
    found: dict[str, Recording] = {}
    for folders in groups.values():
        for group in folders.values():
            found |= _successors_within_folder(group)
        if len(folders) > 1:
            members = [recording for group in folders.values() for recording in group]
            continuations = {successor.name for successor in found.values()}
            without_successor = [recording for recording in members if recording.name not in found]
            without_predecessor = [recording for recording in members if recording.name not in continuations]
            found |= _successors_across_folders(without_successor, without_predecessor)
    return found


def _successors_within_folder(recordings: Iterable[Recording]) -> dict[str, Recording]:
    """Pair each recording with the one that begins closest to its end, within tolerance; each has one successor at most."""
    index = _StartIndex(recordings)
    pairs = [
        (abs(_begin_ns(successor) - _end_ns(recording)), recording.name, successor)
        for recording in index.recordings
        for successor in index.starting_at_end_of(recording)
    ]
    found: dict[str, Recording] = {}
    taken: set[str] = set()
    for _, name, successor in sorted(pairs, key=lambda pair: (pair[0], pair[1], pair[2].name)):
        if name not in found and successor.name not in taken:
            found[name] = successor
            taken.add(successor.name)
    return found


def _successors_across_folders(
    without_successor: Sequence[Recording], without_predecessor: Sequence[Recording]
) -> dict[str, Recording]:
    """Pair recordings where neither side has a second candidate."""
    index = _StartIndex(without_predecessor)
    predecessors: dict[str, list[Recording]] = defaultdict(list)
    for recording in without_successor:
        candidates = index.starting_at_end_of(recording)
        if len(candidates) == 1:
            predecessors[candidates[0].name].append(recording)
    by_name = {recording.name: recording for recording in index.recordings}
    return {candidates[0].name: by_name[name] for name, candidates in predecessors.items() if len(candidates) == 1}


class _StartIndex:
    """Recordings sorted by start, for lookups by time."""

    def __init__(self, recordings: Iterable[Recording]) -> None:
        self.recordings = sorted(recordings, key=_begin_and_name)
        self._begins_ns = [_begin_ns(recording) for recording in self.recordings]

    def starting_at_end_of(self, recording: Recording) -> list[Recording]:
        """Return recordings that begin within tolerance of the recording's end, and later than it begins."""
        end_ns = _end_ns(recording)
        first = bisect_left(self._begins_ns, end_ns - TOLERANCE_NS)
        last = bisect_right(self._begins_ns, end_ns + TOLERANCE_NS)
        return [other for other in self.recordings[first:last] if _begin_ns(recording) < _begin_ns(other)]


def _clock_span(recording: Recording) -> Span | None:
    """Return begin and end; by the local time in the file name where the zone is unknown, to compare with the same kind."""
    spans = recorded_spans(recording)
    if spans:
        return spans[0][0], spans[-1][1]
    if recording.start_local is None:
        return None
    begin_ns = to_ns(recording.start_local.replace(tzinfo=UTC))
    return begin_ns, begin_ns + recording.n_frames * 10**9 // recording.rate_hz


def _begin_ns(recording: Recording) -> int:
    span = _clock_span(recording)
    assert span is not None
    return span[0]


def _end_ns(recording: Recording) -> int:
    span = _clock_span(recording)
    assert span is not None
    return span[1]


def _begin_and_name(recording: Recording) -> tuple[int, str]:
    return _begin_ns(recording), recording.name


def is_chronological(recordings: Iterable[Recording]) -> bool:
    """Return whether recordings, in the order given, are in the order of time, as Raven's clock requires."""
    begins = [spans[0][0] for recording in recordings if (spans := recorded_spans(recording))]
    return begins == sorted(begins)


def overlapping_pairs(recordings: Iterable[Recording]) -> list[tuple[Recording, Recording]]:
    """Return pairs of which the second begins more than `TOLERANCE_S` before the first ends."""
    pairs: list[tuple[Recording, Recording]] = []
    latest: Recording | None = None
    timed = (recording for recording in recordings if recording.start_utc is not None)
    for recording in sorted(timed, key=_begin_and_name):
        if latest is not None and _end_ns(latest) - _begin_ns(recording) > TOLERANCE_NS:
            pairs.append((latest, recording))
        if latest is None or _end_ns(recording) > _end_ns(latest):
            latest = recording
    return pairs


# ------------------------------------------------------------------------------------------------ gaps


def find_gaps(recordings: Sequence[Recording], unreadable_ns: Iterable[int] = ()) -> list[Gap]:
    """Return where nothing was recorded between the first and the last sample, and where something was more than once.

    Args:
        recordings: those without a known start are ignored.
        unreadable_ns: starts of files that cannot be read; each is assumed to last as long as the median span of the others.
    """
    by_recorder: dict[str, list[Span]] = defaultdict(list)
    for recording in recordings:
        by_recorder[recording.recorder] += recorded_spans(recording)
    spans = sorted(span for group in by_recorder.values() for span in group)
    off_periods = set().union(*(_duty_cycle_pauses(group) for group in by_recorder.values()))
    unreadable = _unreadable_spans(spans, sorted(unreadable_ns))
    gaps = list(_overlaps(spans))
    gaps += [Gap(begin, end, GapKind.UNREADABLE) for begin, end in unreadable if _is_outside(begin, spans)]
    for begin, end in _pauses(spans):
        if (begin, end) in off_periods:
            gaps.append(Gap(begin, end, GapKind.DUTY_CYCLE))
        else:
            gaps += _split_by_unreadable(begin, end, unreadable)
    return sorted(
        (gap for gap in gaps if gap.end_ns - gap.begin_ns > TOLERANCE_NS), key=lambda gap: (gap.begin_ns, gap.kind)
    )


def _is_outside(begin_ns: int, spans: Sequence[Span]) -> bool:
    """Return whether a file begins before the first readable sample or behind the last; ``spans`` are sorted."""
    return begin_ns < spans[0][0] or begin_ns >= max(end for _, end in spans)


def _pauses(spans: Sequence[Span]) -> list[Span]:
    """Return what no span covers between the first begin and the last end, however short."""
    covered = union(np.array(spans, np.int64).reshape(-1, 2)).tolist()
    return [(end, begin) for (_, end), (begin, _) in pairwise(covered)]


def _overlaps(spans: Sequence[Span]) -> Iterator[Gap]:
    """Yield time that more than one span covers."""
    edges = [(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans]
    depth, since = 0, 0
    for at, step in sorted(edges, key=lambda edge: (edge[0], -edge[1])):  # begins first: overlaps that touch are one
        if depth < 2 <= depth + step:
            since = at
        elif depth >= 2 > depth + step:
            yield Gap(since, at, GapKind.OVERLAP)
        depth += step


def _duty_cycle_pauses(spans: Iterable[Span]) -> set[Span]:
    """Return the off periods of a duty cycle, empty where there is none.

    A pause is one if continuous recording before and after it begins one usual period apart, or if it has the usual length.
    """
    segments: list[list[int]] = []
    for begin, end in sorted(spans):
        if segments and begin - segments[-1][1] <= TOLERANCE_NS:
            segments[-1][1] = max(end, segments[-1][1])
        else:
            segments.append([begin, end])
    cycles = [(after[0] - before[0], (before[1], after[0])) for before, after in pairwise(segments)]
    if not cycles:
        return set()
    usual_period = statistics.median_low(period for period, _ in cycles)
    regular = [pause for period, pause in cycles if abs(period - usual_period) <= TOLERANCE_NS]
    if len(regular) < max(_MIN_CYCLES, len(cycles) / 2):
        return set()
    usual_length = statistics.median_low(end - begin for begin, end in regular)
    return {pause for _, pause in cycles if abs(pause[1] - pause[0] - usual_length) <= TOLERANCE_NS} | set(regular)


def _unreadable_spans(spans: Sequence[Span], begins: Sequence[int]) -> list[Span]:
    """Return the assumed spans of unreadable files: as long as the median of the others, and none beyond the next begin."""
    if not spans:
        return []
    length = statistics.median_low(end - begin for begin, end in spans)
    ends = [min(begin + length, after) for begin, after in pairwise(begins)] + [begin + length for begin in begins[-1:]]
    return list(zip(begins, ends, strict=True))


def _split_by_unreadable(begin: int, end: int, unreadable: Sequence[Span]) -> Iterator[Gap]:
    """Yield the parts of a pause: unreadable where an unreadable file lies, gap elsewhere."""
    reached = begin
    for first, last in unreadable[max(bisect_left(unreadable, (begin, 0)) - 1, 0) :]:
        if first >= end:
            break
        if last <= reached:
            continue
        first, last = max(first, reached), min(last, end)  # noqa: PLW2901 - clipped to the pause
        if first - reached > TOLERANCE_NS:
            yield Gap(reached, first, GapKind.GAP)
        else:
            first = reached  # noqa: PLW2901 - within jitter
        if end - last <= TOLERANCE_NS:
            last = end  # noqa: PLW2901 - within jitter
        yield Gap(first, last, GapKind.UNREADABLE)
        reached = last
    if reached < end:
        yield Gap(reached, end, GapKind.GAP)
