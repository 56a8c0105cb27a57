"""Where nothing was recorded, where something was twice, and where what was recorded cannot be read."""

from __future__ import annotations

import statistics
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from whalescan.audio import timeline
from whalescan.audio.timeline import TOLERANCE_NS, Span
from whalescan.core import Gap, GapKind, Recording

_LEAST_CYCLES = 3
"""So many equal pauses, and at least half of all, make a duty cycle of what else is a gap."""


def find(recordings: Sequence[Recording], unreadable_ns: Iterable[int] = ()) -> list[Gap]:
    """Where nothing was recorded between the first and the last sample, and where something was more than once.

    Args:
        recordings: those without a clock are passed over.
        unreadable_ns: when files begin that cannot be read; their time is taken to be as long as the others' median.
    """
    of_recorder: dict[str, list[Span]] = defaultdict(list)
    for recording in recordings:
        of_recorder[recording.recorder] += timeline.spans(recording)
    everything = sorted(span for own in of_recorder.values() for span in own)
    pauses = set().union(*(_regular_pauses(own) for own in of_recorder.values()))
    unreadable = _unreadable(everything, sorted(unreadable_ns))
    found = list(_overlaps(everything))
    found += [Gap(begin, end, GapKind.UNREADABLE) for begin, end in unreadable if _is_outside(begin, everything)]
    for begin, end in _holes(everything):
        if (begin, end) in pauses:
            found.append(Gap(begin, end, GapKind.DUTY_CYCLE))
        else:
            found += _split(begin, end, unreadable)
    return sorted(
        (gap for gap in found if gap.end_ns - gap.begin_ns > TOLERANCE_NS), key=lambda gap: (gap.begin_ns, gap.kind)
    )


def _is_outside(begin: int, ordered: Sequence[Span]) -> bool:
    """Whether a file begins before the first sample that could be read, or behind the last."""
    return begin < ordered[0][0] or begin >= max(end for _, end in ordered)


def _holes(ordered: Sequence[Span]) -> Iterator[Span]:
    """What lies between spans, jitter included."""
    reached = ordered[0][1] if ordered else 0
    for begin, end in ordered[1:]:
        if begin > reached:
            yield reached, begin
        reached = max(reached, end)


def _overlaps(ordered: Sequence[Span]) -> Iterator[Gap]:
    """Time that more than one span covers."""
    edges = [(begin, 1) for begin, _ in ordered] + [(end, -1) for _, end in ordered]
    depth, since = 0, 0
    for at, step in sorted(edges, key=lambda edge: (edge[0], -edge[1])):  # overlaps that touch are one
        if depth < 2 <= depth + step:
            since = at
        elif depth >= 2 > depth + step:
            yield Gap(since, at, GapKind.OVERLAP)
        depth += step


def _regular_pauses(own: Sequence[Span]) -> set[Span]:
    """The pauses of a duty cycle: stretches of sound begin at equal distances, or are as far apart as those."""
    stretches: list[list[int]] = []
    for begin, end in sorted(own):
        if stretches and begin - stretches[-1][1] <= TOLERANCE_NS:
            stretches[-1][1] = max(end, stretches[-1][1])
        else:
            stretches.append([begin, end])
    cycles = [(after[0] - before[0], (before[1], after[0])) for before, after in pairwise(stretches)]
    if not cycles:
        return set()
    period = statistics.median_low(length for length, _ in cycles)
    regular = [pause for length, pause in cycles if abs(length - period) <= TOLERANCE_NS]
    if len(regular) < max(_LEAST_CYCLES, len(cycles) / 2):
        return set()
    usual = statistics.median_low(end - begin for begin, end in regular)
    return {pause for _, pause in cycles if abs(pause[1] - pause[0] - usual) <= TOLERANCE_NS} | set(regular)


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
        if first - reached > TOLERANCE_NS:
            yield Gap(reached, first, GapKind.GAP)
        else:
            first = reached  # noqa: PLW2901 - jitter
        if end - last <= TOLERANCE_NS:
            last = end  # noqa: PLW2901 - jitter
        yield Gap(first, last, GapKind.UNREADABLE)
        reached = last
    if reached < end:
        yield Gap(reached, end, GapKind.GAP)
