"""A survey's time cut into a bounded number of columns: what became of each, and its calls. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from whalescan.core import Gap, GapKind, IntArray
from whalescan.detections.effort import subtract, time_in_bins, union
from whalescan.detections.presence import Bin

_HOUR_NS = 3600 * 10**9
_LENGTHS_H = (1, 2, 3, 4, 6, 8, 12, 24, 48, 96, 168, 336, 672)
_NOT_ANALYSED = (GapKind.DROPOUT, GapKind.UNREADABLE, GapKind.DUTY_CYCLE, GapKind.GAP)
"""The earlier one is believed where two reasons are known for the same time."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Equal parts of a survey's time.

    Attributes:
        edges_ns: int64 ``[n + 1]``.
        recorded_ns: int64 ``[n]``.
        shares_ns: what of each part was ``analysed``, and why the rest was not: int64 ``[n]`` by the name of a `GapKind`;
            together at most the part's length.
        overlap_ns: time recorded more than once, int64 ``[n]``.
        n_calls: int64 ``[n]``, as `Bin.n_detections` counts.
    """

    edges_ns: IntArray
    recorded_ns: IntArray
    shares_ns: dict[str, IntArray]
    overlap_ns: IntArray
    n_calls: IntArray

    @property
    def length_ns(self) -> int:
        """Of each part."""
        return int(self.edges_ns[1] - self.edges_ns[0])

    @property
    def calls_per_hour(self) -> list[float | None]:
        """Calls in an analysed hour; None where nothing was analysed."""
        analysed = self.shares_ns["analysed"].tolist()
        return [n * _HOUR_NS / of if of else None for n, of in zip(self.n_calls.tolist(), analysed, strict=True)]


def columns(hourly: Sequence[Bin], recorded: IntArray, analysed: IntArray, gaps: Iterable[Gap], most: int) -> Columns:
    """Cut the time of some hours into columns.

    Args:
        hourly: full UTC hours without holes between them; at least one.
        recorded: spans, int64 ``[n, 2]``.
        analysed: likewise.
        gaps: in any order; they may overlap.
        most: so many columns at most.
    """
    length_h = _length_h(len(hourly), most)
    first_ns = hourly[0].begin_ns // (min(length_h, 24) * _HOUR_NS) * (min(length_h, 24) * _HOUR_NS)
    n = -(-(hourly[-1].end_ns - first_ns) // (length_h * _HOUR_NS))
    edges: IntArray = first_ns + np.arange(n + 1, dtype=np.int64) * (length_h * _HOUR_NS)
    spans = {kind: [(gap.begin_ns, gap.end_ns) for gap in gaps_of] for kind, gaps_of in _by_kind(gaps).items()}
    by_kind = {kind: np.array(some, np.int64).reshape(-1, 2) for kind, some in spans.items()}
    taken, shares = union(analysed), {"analysed": time_in_bins(analysed, edges)}
    for kind in _NOT_ANALYSED:
        left = subtract(by_kind[kind], taken)
        shares[kind.value] = time_in_bins(left, edges)
        taken = union(np.concatenate([taken, left]))
    places = (np.array([one.begin_ns for one in hourly], np.int64) - first_ns) // (length_h * _HOUR_NS)
    n_calls = np.zeros(n, np.int64)
    np.add.at(n_calls, places, np.array([one.n_detections for one in hourly], np.int64))
    return Columns(edges, time_in_bins(recorded, edges), shares, time_in_bins(by_kind[GapKind.OVERLAP], edges), n_calls)


def _length_h(n_hours: int, most: int) -> int:
    """The shortest even length of which a survey has at most so many; from 24 h on, a column begins with a day."""
    lengths = (*_LENGTHS_H, *(_LENGTHS_H[-1] * 2**i for i in range(1, 64)))
    length_h: int = next(length for length in lengths if n_hours / length <= most - 1)
    return length_h


def _by_kind(gaps: Iterable[Gap]) -> dict[GapKind, list[Gap]]:
    found: dict[GapKind, list[Gap]] = {kind: [] for kind in GapKind}
    for gap in gaps:
        found[gap.kind].append(gap)
    return found
