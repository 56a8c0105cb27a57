"""Recordings on the clock: when each sample was recorded, and which recording goes on in which.

Recorders write files that follow one another, and name them to the second by clocks that jitter. So two files of one
recorder of which one begins within `TOLERANCE_S` of the other's end are one stretch of sound; a larger difference is a gap
or an overlap. No start is ever moved: what the clock says is what stands in the tables.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC
from itertools import pairwise
from pathlib import Path

from whalescan.core import Loss, Piece, Recording, to_ns

TOLERANCE_S = 2.0
"""MARS names jitter by 1 s though its sound is continuous; NRS has real gaps of 6 s (mbari-org/pbp, issue 13)."""
TOLERANCE_NS = round(TOLERANCE_S * 1e9)
Span = tuple[int, int]
"""Begin and end, half open: of time in nanoseconds since 1970 UTC."""


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


def frames(recording: Recording, loss: Loss, rate_hz: int) -> Span:
    """The recording's own samples that a loss, counted at another rate, covers: begin and end.

    A loss that begins or ends with a piece does so to the sample: no sliver of a piece is left that nobody heard.
    """
    borders = {-(-piece.first_frame * rate_hz // recording.rate_hz): piece.first_frame for piece in recording.pieces}

    def frame(sample: int) -> int:
        return borders.get(sample, min(-(-sample * recording.rate_hz // rate_hz), recording.n_frames))

    return frame(loss.begin_sample), frame(loss.end_sample)


def jumps(recording: Recording, rate_hz: int) -> list[int]:
    """Samples (at ``rate_hz``) at which the clock jumps within a recording, by more than jitter: no window crosses them."""
    found = []
    for before, after in pairwise(recording.pieces):
        if abs(to_ns(after.start_utc) - _running_ns(before, after.first_frame, recording.rate_hz)) > TOLERANCE_NS:
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
        for own in folders.values():
            found |= _within_folder(own)
        if len(folders) > 1:
            everything = [recording for own in folders.values() for recording in own]
            continuing = {after.name for after in found.values()}
            tails = [one for one in everything if one.name not in found]
            found |= _across_folders(tails, [one for one in everything if one.name not in continuing])
    return found


def _within_folder(own: Iterable[Recording]) -> dict[str, Recording]:
    """What begins closest to a recording's end, if it does so within jitter; each goes on in one, and goes on one."""
    begun = _Begun(own)
    pairs = [(abs(_begin(other) - _end(one)), one.name, other) for one in begun.recordings for other in begun.after(one)]
    found: dict[str, Recording] = {}
    taken: set[str] = set()
    for _, name, other in sorted(pairs, key=lambda pair: (pair[0], pair[1], pair[2].name)):
        if name not in found and other.name not in taken:
            found[name] = other
            taken.add(other.name)
    return found


def _across_folders(tails: Sequence[Recording], heads: Sequence[Recording]) -> dict[str, Recording]:
    """The one head that goes on from a tail, where no other tail could be meant, either."""
    begun = _Begun(heads)
    wanted: dict[str, list[Recording]] = defaultdict(list)
    for tail in tails:
        candidates = begun.after(tail)
        if len(candidates) == 1:
            wanted[candidates[0].name].append(tail)
    by_name = {head.name: head for head in begun.recordings}
    return {own[0].name: by_name[name] for name, own in wanted.items() if len(own) == 1}


class _Begun:
    """Recordings by when they begin."""

    def __init__(self, recordings: Iterable[Recording]) -> None:
        self.recordings = sorted(recordings, key=_begin_and_name)
        self._begins = [_begin(recording) for recording in self.recordings]

    def after(self, one: Recording) -> list[Recording]:
        """Those that begin within jitter of a recording's end, and after it began."""
        end = _end(one)
        first, last = bisect_left(self._begins, end - TOLERANCE_NS), bisect_right(self._begins, end + TOLERANCE_NS)
        return [other for other in self.recordings[first:last] if _begin(one) < _begin(other)]


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


def is_in_order(recordings: Iterable[Recording]) -> bool:
    """Whether recordings, in the order given, are in that of time, too, as Raven wants it for its clock."""
    begins = [own[0][0] for recording in recordings if (own := spans(recording))]
    return begins == sorted(begins)


def overlapping(recordings: Iterable[Recording]) -> list[tuple[Recording, Recording]]:
    """Pairs of which the second begins before the first has ended, by more than jitter."""
    found: list[tuple[Recording, Recording]] = []
    latest: Recording | None = None
    for recording in sorted((one for one in recordings if one.start_utc is not None), key=_begin_and_name):
        if latest is not None and _end(latest) - _begin(recording) > TOLERANCE_NS:
            found.append((latest, recording))
        if latest is None or _end(recording) > _end(latest):
            latest = recording
    return found
