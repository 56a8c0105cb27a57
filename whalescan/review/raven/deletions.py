"""The calls that a Raven table of ours showed, and that are not in it any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from whalescan.core import Detection
from whalescan.detections.validations import Judgement
from whalescan.review.raven.run_snapshot import Held

_KEPT = frozenset({"yes", "maybe"})
"""Verdicts with which a call is shown at any threshold, and so tells nothing of a table's."""

_ROUNDING = 5e-5 + 1e-6
"""Rows say scores to four decimals."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a table shows.

    Attributes:
        path: where it is.
        ids: those in its rows.
        present: of the calls whose rows are there, also of those that were known again without their ids.
        named: the recordings of the calls with these ids.
        is_of_all: whether it was written for all recordings that there were.
        holds_drawn: whether there are rows without ids.
    """

    path: Path
    ids: Set[str]
    present: Set[str]
    named: Set[str]
    is_of_all: bool
    holds_drawn: bool


@dataclass(frozen=True, slots=True)
class Missed:
    """What comes of calls that are not there, as in `reviewed.Compared`."""

    claims: tuple[Judgement, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def missed(seen: Seen, held: Held) -> Missed:
    """Calls that a table showed and that are not in it were deleted; what it may never have shown is left as it was."""
    shown, problems, notes = _shown(seen, held)
    threshold = _threshold(seen.ids, held)
    deleted = [call for call in _absent(shown, seen, held) if _was_found(call, threshold, held)]
    added, more = _withdrawn(shown, seen, held)
    claims = (*(Judgement.of(call, "no", "deleted", seen.path.name) for call in deleted), *added)
    return Missed(claims, problems, (*notes, *_below(shown, threshold, seen, held), *more))


def thresholds_that_matter(
    tables: Sequence[Mapping[str, float | None]], thresholds: Sequence[float], judged: Mapping[str, Judgement]
) -> frozenset[float]:
    """The lowest at which a call of the tables may have been found, and those at which the tables may have been written.

    Args:
        tables: for each, the scores of its calls by their ids, as its rows say them.
        thresholds: all at which tables were written.
        judged: the latest judgement of each id.
    """
    lowest = min(thresholds) - _ROUNDING
    lower = [score for scores in tables for score in scores.values() if score is not None and _ROUNDING < score < lowest]
    matter = {min(lower) - _ROUNDING if lower else min(thresholds)}
    for scores in tables:
        telling = [score for identity, score in scores.items() if _tells(identity, judged)]
        if any(score is None for score in telling):
            return frozenset({*matter, *thresholds})
        lowest = min((score for score in telling if score is not None), default=1.0)
        surely = [t for t in thresholds if t <= lowest - _ROUNDING]
        matter |= {max(surely)} if surely else set()
        matter |= {t for t in thresholds if abs(t - lowest) < _ROUNDING}
    return frozenset(matter)


def _shown(seen: Seen, held: Held) -> tuple[Sequence[str], tuple[str, ...], tuple[str, ...]]:
    """The recordings whose calls the table showed, problems, and notes."""
    if seen.is_of_all:
        return _in_the_whole(seen, held)
    own = held.written_for(seen.path, seen.named)
    shown = sorted(name for name in (seen.named if own is None else {own}) if name in held.by_name)
    if not shown and not seen.holds_drawn:
        problem = (
            f"{seen.path}: no row of it names a call, and its name no recording; nothing was taken from it. Give it the "
            "name under which it was written"
        )
        return (), (problem,), ()
    if own is None and len(shown) < len(held.by_name):
        of = f"{len(shown)} of {len(held.by_name)} recordings"
        note = f"{seen.path}: speaks of {of}; calls in the others are left as they were"
        return shown, (), (note,)
    return shown, (), ()


def _in_the_whole(seen: Seen, held: Held) -> tuple[Sequence[str], tuple[str, ...], tuple[str, ...]]:
    """The same of a table of all recordings: those that came after the last one it names, it may never have shown."""
    last = max((held.since.get(name, 0) for name in seen.named), default=0)
    shown = [name for name in held.by_name if held.since.get(name, 0) <= last]
    later = [name for name in held.by_name if held.since.get(name, 0) > last]
    threshold = _threshold(seen.ids, held)
    n_calls = sum(_was_found(call, threshold, held) for call in _absent(later, seen, held))
    if not n_calls:
        return shown, (), ()
    note = (
        f"{seen.path}: may have been written before {len(later)} of the recordings came, of which it names none; their "
        f"{n_calls} calls are left as they were. To reject one, write no in its Review"
    )
    return shown, (), (note,)


def _absent(recordings: Iterable[str], seen: Seen, held: Held) -> list[Detection]:
    """The detector's calls in some recordings that are not in the table."""
    calls = (call for name in recordings for call in held.known_in.get(name, ()))
    return [call for call in calls if call.detection_id not in seen.present]


def _below(shown: Iterable[str], threshold: float, seen: Seen, held: Held) -> tuple[str, ...]:
    """Notes of calls that score too low for the table, those of which nobody has said anything, and confirmed ones."""
    lowest = min(held.thresholds)
    below = [call for call in _absent(shown, seen, held) if not _was_found(call, threshold, held)]
    judged = [held.judged.get(call.detection_id) for call in below]
    n_below = sum(_is_above(call, lowest) and said is None for call, said in zip(below, judged, strict=True))
    n_kept = sum(said is not None and said.verdict in _KEPT for said in judged)
    notes: tuple[str, ...] = ()
    if n_kept:
        notes = (
            f"{seen.path}: {n_kept} confirmed calls that score below {threshold:g} are not in it, and may never have been; "
            "they are left as they were. To withdraw one, write no in its Review",
        )
    if not n_below:
        return notes
    return (
        *notes,
        f"{seen.path}: {n_below} calls that score below {threshold:g} are not in it, and may never have been, since tables "
        "were written at several thresholds; they are left as they were",
    )


def _withdrawn(shown: Iterable[str], seen: Seen, held: Held) -> tuple[list[Judgement], tuple[str, ...]]:
    """Added calls were shown only where the table holds, by its id, one that was added at the same time or later."""
    last = max((held.added[identity] for identity in seen.ids if identity in held.added), default=-1)
    absent = [
        one
        for name in shown
        for one in held.added_in.get(name, ())
        if one.detection_id not in seen.present and one.verdict in _KEPT
    ]
    deleted = [one for one in absent if held.added[one.detection_id] < last]
    claims = [replace(one, verdict="no", origin="deleted", source=seen.path.name) for one in deleted]
    if len(deleted) == len(absent):
        return claims, ()
    note = (
        f"{seen.path}: {len(absent) - len(deleted)} calls that people added are not in it, and may never have been; they "
        "are left as they were. To withdraw one, write no in its Review"
    )
    return claims, (note,)


def _threshold(ids: Set[str], held: Held) -> float:
    """The highest at which the table may have been written: with it, nothing counts as deleted that was never shown."""
    calls = [held.known[identity] for identity in ids if identity in held.known and _tells(identity, held.judged)]
    possible = [t for t in held.thresholds if all(_is_above(call, t) for call in calls)]
    return max(possible) if possible else min(call.score or 0.0 for call in calls)


def _tells(identity: str, judged: Mapping[str, Judgement]) -> bool:
    """Whether a row tells of the threshold: a call that somebody judged may have been confirmed once, and shown at any."""
    return identity not in judged


def _was_found(call: Detection, threshold: float, held: Held) -> bool:
    """Whether a call is shown at a threshold."""
    return call.detection_id in held.calls.get(threshold, held.known) and _is_above(call, threshold)


def _is_above(call: Detection, threshold: float) -> bool:
    """Whether a call opens at a threshold; scores are float32, and are compared as such."""
    return bool(np.float32(call.score or 0.0) >= np.float32(threshold))
