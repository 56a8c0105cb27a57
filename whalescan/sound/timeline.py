"""Recordings on the clock: which go on in which, where nothing was recorded, and where something was twice.

Recorders write files that follow one another, and name them to the second by clocks that jitter. So two files of one
recorder of which one begins within `TOLERANCE_S` of the other's end are one stretch of sound; a larger difference is a gap
or an overlap. No start is ever moved: what the clock says is what stands in the tables.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC
from itertools import pairwise
from pathlib import Path

from whalescan.core import Gap, GapKind, Piece, Recording, to_ns

TOLERANCE_S = 2.0
"""MARS names jitter by 1 s though its sound is continuous; NRS has real gaps of 6 s (mbari-org/pbp, issue 13)."""
_TOLERANCE_NS = round(TOLERANCE_S * 1e9)
_LEAST_CYCLES = 3
"""So many equal pauses, and at least half of all, make a duty cycle of what else is a gap."""

Span = tuple[int, int]
"""Begin and end in nanoseconds since 1970 UTC, half open."""


def spans(recording: Recording, begin: int = 0, end: int | None = None, rate_hz: int | None = None) -> list[Span]:
    """When samples ``begin`` to ``end`` (at ``rate_hz``) were recorded: a span for each piece; none without a clock.

    Without arguments: the whole recording, to its own last sample.
    """
    if recording.start_utc is None:
        return []
    rate_hz = rate_hz or recording.rate_hz
    end = recording.n_frames * rate_hz // recording.rate_hz if end is None else end
    borders = [-(-piece.first_frame * rate_hz // recording.rate_hz) for piece in recording.pieces[1:]]
    edges = [begin, *(border for border in borders if begin < border < end), end]
    found = []
    for first, last in pairwise(edges):
        begin_ns = recording.utc_ns(first, rate_hz)
        if begin_ns is not None and last > first:
            found.append((begin_ns, begin_ns + (last - first) * 10**9 // rate_hz))
    return found


def jumps(recording: Recording, rate_hz: int) -> list[int]:
    """Samples (at ``rate_hz``) at which the clock jumps within a recording, by more than jitter: no window crosses them."""
    found = []
    for before, after in pairwise(recording.pieces):
        if abs(to_ns(after.start_utc) - _running_ns(before, after.first_frame, recording.rate_hz)) > _TOLERANCE_NS:
            found.append(-(-after.first_frame * rate_hz // recording.rate_hz))
    return found


def _running_ns(piece: Piece, frame: int, rate_hz: int) -> int:
    """What the clock would show at a frame if it ran on from a piece."""
    return to_ns(piece.start_utc) + (frame - piece.first_frame) * 10**9 // rate_hz


def followers(recordings: Iterable[Recording]) -> dict[str, Recording]:
    """For the name of each recording that goes on in another, that other.

    Both are of one recorder, rate and number of channels, and lie in one folder where the sound goes on in that folder, else
    in another one (a folder a day is usual) where only one can be meant.
    """
    alike: dict[tuple[object, ...], dict[Path, list[Recording]]] = defaultdict(lambda: defaultdict(list))
    for recording in recordings:
        if _extent(recording) is not None:
            is_utc = recording.start_utc is not None
            key = recording.recorder, recording.rate_hz, recording.channels, is_utc
            alike[key][recording.path.parent].append(recording)
    found: dict[str, Recording] = {}
    for folders in alike.values():
        heads, tails = [], []
        for own in folders.values():
            own.sort(key=_begin_and_name)
            joined = [(one, other) for one, other in pairwise(own) if _goes_on(one, other)]
            found |= {one.name: other for one, other in joined}
            continued, continuing = {one.name for one, _ in joined}, {other.name for _, other in joined}
            tails += [one for one in own if one.name not in continued]
            heads += [one for one in own if one.name not in continuing]
        if len(folders) > 1:
            found |= _across_folders(tails, heads)
    return found


def _across_folders(tails: Sequence[Recording], heads: Sequence[Recording]) -> dict[str, Recording]:
    """The one head that goes on from a tail, where no other tail could be meant, either."""
    heads = sorted(heads, key=_begin_and_name)
    begins = [_begin(head) for head in heads]
    wanted: dict[str, list[Recording]] = defaultdict(list)
    for tail in tails:
        first, last = bisect_left(begins, _end(tail) - _TOLERANCE_NS), bisect_right(begins, _end(tail) + _TOLERANCE_NS)
        candidates = [head for head in heads[first:last] if _goes_on(tail, head)]
        if len(candidates) == 1:
            wanted[candidates[0].name].append(tail)
    by_name = {head.name: head for head in heads}
    return {own[0].name: by_name[name] for name, own in wanted.items() if len(own) == 1}


def _goes_on(one: Recording, other: Recording) -> bool:
    return _begin(one) < _begin(other) and abs(_begin(other) - _end(one)) <= _TOLERANCE_NS


def _extent(recording: Recording) -> Span | None:
    """Begin and end; by the local clock of the name where no zone is known, which serves to compare with its like."""
    own = spans(recording)
    if own:
        return own[0][0], own[-1][1]
    if recording.start_local is None:
        return None
    begin_ns = to_ns(recording.start_local.replace(tzinfo=UTC))
    return begin_ns, begin_ns + recording.n_frames * 10**9 // recording.rate_hz


def _begin(recording: Recording) -> int:
    extent = _extent(recording)
    assert extent is not None
    return extent[0]


def _end(recording: Recording) -> int:
    extent = _extent(recording)
    assert extent is not None
    return extent[1]


def _begin_and_name(recording: Recording) -> tuple[int, str]:
    return _begin(recording), recording.name


def gaps(recordings: Sequence[Recording], unreadable_ns: Iterable[int] = ()) -> list[Gap]:
    """Where nothing was recorded between the first and the last sample, and where something was more than once.

    Args:
        recordings: those without a clock are passed over.
        unreadable_ns: when files begin that cannot be read; their time is taken to be as long as the others' median.
    """
    of_recorder: dict[str, list[Span]] = defaultdict(list)
    for recording in recordings:
        of_recorder[recording.recorder] += spans(recording)
    everything = sorted(span for own in of_recorder.values() for span in own)
    pauses = set().union(*(_regular_pauses(own) for own in of_recorder.values()))
    unreadable = _unreadable(everything, sorted(unreadable_ns))
    found = list(_overlaps(everything))
    for begin, end in _holes(everything):
        if (begin, end) in pauses:
            found.append(Gap(begin, end, GapKind.DUTY_CYCLE))
        else:
            found += _split(begin, end, unreadable)
    return sorted(
        (gap for gap in found if gap.end_ns - gap.begin_ns > _TOLERANCE_NS), key=lambda gap: (gap.begin_ns, gap.kind)
    )


def _holes(ordered: Sequence[Span]) -> Iterator[Span]:
    """What lies between spans, jitter included."""
    reached = ordered[0][1] if ordered else 0
    for begin, end in ordered[1:]:
        if begin > reached:
            yield reached, begin
        reached = max(reached, end)


def _overlaps(ordered: Sequence[Span]) -> Iterator[Gap]:
    """Time that more than one span covers."""
    edges = sorted([(begin, 1) for begin, _ in ordered] + [(end, -1) for _, end in ordered])
    depth, since = 0, 0
    for at, step in edges:
        if depth < 2 <= depth + step:
            since = at
        elif depth >= 2 > depth + step:
            yield Gap(since, at, GapKind.OVERLAP)
        depth += step


def _regular_pauses(own: Sequence[Span]) -> set[Span]:
    """The pauses of a duty cycle: stretches of sound begin at equal distances, or are as far apart as those."""
    stretches: list[list[int]] = []
    for begin, end in sorted(own):
        if stretches and begin - stretches[-1][1] <= _TOLERANCE_NS:
            stretches[-1][1] = max(end, stretches[-1][1])
        else:
            stretches.append([begin, end])
    cycles = [(after[0] - before[0], (before[1], after[0])) for before, after in pairwise(stretches)]
    if not cycles:
        return set()
    period = statistics.median_low(length for length, _ in cycles)
    regular = [pause for length, pause in cycles if abs(length - period) <= _TOLERANCE_NS]
    if len(regular) < max(_LEAST_CYCLES, len(cycles) / 2):
        return set()
    usual = statistics.median_low(end - begin for begin, end in regular)
    return {pause for _, pause in cycles if abs(pause[1] - pause[0] - usual) <= _TOLERANCE_NS} | set(regular)


def _unreadable(ordered: Sequence[Span], begins: Sequence[int]) -> list[Span]:
    if not ordered:
        return []
    length = statistics.median_low(end - begin for begin, end in ordered)
    ends = [min(begin + length, after) for begin, after in pairwise(begins)] + [begin + length for begin in begins[-1:]]
    return list(zip(begins, ends, strict=True))


def _split(begin: int, end: int, unreadable: Sequence[Span]) -> Iterator[Gap]:
    """A hole, with those parts named as unreadable in which a file lies that cannot be read."""
    reached = begin
    for first, last in unreadable[max(bisect_left(unreadable, (begin, 0)) - 1, 0) :]:
        if first >= end:
            break
        if last <= reached:
            continue
        first, last = max(first, reached), min(last, end)  # noqa: PLW2901 - cut to the hole
        if first - reached > _TOLERANCE_NS:
            yield Gap(reached, first, GapKind.GAP)
        else:
            first = reached  # noqa: PLW2901 - jitter
        if end - last <= _TOLERANCE_NS:
            last = end  # noqa: PLW2901 - jitter
        yield Gap(first, last, GapKind.UNREADABLE)
        reached = last
    if reached < end:
        yield Gap(reached, end, GapKind.GAP)


def is_in_order(recordings: Iterable[Recording]) -> bool:
    """Whether recordings, in the order given, are in that of time, too, as Raven wants it for its clock."""
    begins = [own[0][0] for recording in recordings if (own := spans(recording))]
    return begins == sorted(begins)


def overlapping(recordings: Iterable[Recording]) -> list[tuple[Recording, Recording]]:
    """Pairs of which the second begins before the first has ended, by more than jitter."""
    found: list[tuple[Recording, Recording]] = []
    latest: Recording | None = None
    for recording in sorted((one for one in recordings if one.start_utc is not None), key=_begin_and_name):
        if latest is not None and _end(latest) - _begin(recording) > _TOLERANCE_NS:
            found.append((latest, recording))
        if latest is None or _end(recording) > _end(latest):
            latest = recording
    return found
