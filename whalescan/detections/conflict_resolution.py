"""Resolution of conflicts between reviewed tables: which validations several tables together add."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from whalescan.detections.validations import UNREVIEWED, Validation, same_box

_DRAWN_ORIGINS = frozenset({"moved", "added"})
"""Origins of boxes that people drew."""


@dataclass(frozen=True, slots=True)
class ConflictResolution:
    """Validations that several sources together add to the known ones.

    Attributes:
        new: validations that change something, one per ID.
        conflicts: contradictions between the sources, a line each.
        overruled: boxes that were overruled by those of ``new``. They are stored before them, so that importing the same
            tables again moves nothing.
    """

    new: tuple[Validation, ...]
    conflicts: tuple[str, ...]
    overruled: tuple[Validation, ...] = ()


def resolve_conflicts(entries: Iterable[Validation], known: Mapping[str, Validation]) -> ConflictResolution:
    """Return what several tables together add.

    An entered review overrules a deleted row, and a deleted row overrules an unreviewed one. Where entered reviews differ,
    the result is ``maybe``. An unreviewed row changes no review, but undoes a deletion.

    Args:
        entries: the entries of each table, ``unreviewed`` where its row exists without a review.
        known: the latest validation of each ID.
    """
    new, conflicts, overruled = [], [], []
    for identity, some in _by_id(entries).items():
        latest = known.get(identity)
        review, deciding, review_conflict = _resolve_review(some, latest)
        box, box_conflict = _resolve_box(some, latest)
        conflicts += [f"{identity}: {conflict}" for conflict in (review_conflict, box_conflict) if conflict]
        is_deleted = deciding is not None and deciding.origin == "deleted"
        origin = "deleted" if is_deleted else box.origin
        resolved = replace(box, review=review, origin=origin, source=(deciding or box).source)
        if _is_change(resolved, latest):
            new.append(resolved)
            others = (entry for entry in some if _has_new_box(entry, latest) and not same_box(entry, resolved))
            overruled += [replace(entry, review=review) for entry in others]
    return ConflictResolution(tuple(new), tuple(conflicts), tuple(overruled))


def _is_change(resolved: Validation, known: Validation | None) -> bool:
    if known is None:
        return resolved.review != UNREVIEWED or resolved.origin == "moved"
    return resolved.review != known.review or not same_box(resolved, known)


def _resolve_review(entries: Sequence[Validation], known: Validation | None) -> tuple[str, Validation | None, str]:
    """Return the review, the entry that gives it (None where none does), and the conflict, empty without one."""
    entered = {entry.review: entry for entry in entries if entry.review != UNREVIEWED and entry.origin != "deleted"}
    if len(entered) > 1:
        each = ", ".join(f"{entry.source} says {review}" for review, entry in entered.items())
        conflict = f"{each}; stored as maybe. Enter one of them in the Review column and import again"
        return "maybe", next(iter(entered.values())), conflict
    if entered:
        ((review, entry),) = entered.items()
        return review, entry, ""
    deletion = next((entry for entry in entries if entry.origin == "deleted"), None)
    if deletion is not None:
        return ("no", deletion, "") if known is None or known.review != "no" else ("no", None, "")
    if known is not None and known.origin != "deleted":
        return known.review, None, ""
    return ("yes" if entries[0].origin == "added" else UNREVIEWED), None, ""  # an added call is confirmed by being added


def _resolve_box(entries: Sequence[Validation], known: Validation | None) -> tuple[Validation, str]:
    """Return the entry, or the known validation, that gives the box, and the conflict, empty without one."""
    drawn = [entry for entry in entries if entry.origin in _DRAWN_ORIGINS]
    new = [entry for entry in drawn if _has_new_box(entry, known)]
    if new:
        other = next((entry for entry in new if not same_box(entry, new[0])), None)
        if other is None:
            return new[0], ""
        return new[0], f"{new[0].source} and {other.source} hold different boxes; the first is used, correct the other"
    if known is not None and known.origin in _DRAWN_ORIGINS:
        return known, ""
    existing = [entry for entry in entries if entry.origin != "deleted"]
    if known is not None and known.origin == "deleted" and existing and not same_box(known, existing[0]):
        return replace(known, origin="added" if known.score is None else "moved"), ""  # drawn, then deleted, now restored
    return (drawn or existing or list(entries))[0], ""


def combine_successive(tables: Sequence[Sequence[Validation]], known: Mapping[str, Validation]) -> tuple[Validation, ...]:
    """Return the entries of successive versions of a table: the last review of each detection, and its last box.

    An unreviewed row in a later version withdraws nothing, because its author may not have known the reviews in the earlier
    version.

    Args:
        tables: the entries of each version, the oldest first.
        known: the latest validation of each ID.
    """
    if len(tables) == 1:
        return tuple(tables[0])
    latest: dict[str, list[Validation]] = {}
    drawn: dict[str, Validation] = {}
    for entries in tables:
        for identity, some in _by_id(entries).items():
            if identity not in latest or any(entry.review != UNREVIEWED for entry in some):
                latest[identity] = some
            new_boxes = [entry for entry in some if _has_new_box(entry, known.get(identity))]
            drawn |= {identity: new_boxes[0]} if new_boxes else {}
    return tuple(
        entry
        if identity not in drawn or entry.origin == "deleted"
        else replace(drawn[identity], review=entry.review, source=entry.source)
        for identity, some in latest.items()
        for entry in some
    )


def _by_id(entries: Iterable[Validation]) -> dict[str, list[Validation]]:
    by_id: dict[str, list[Validation]] = defaultdict(list)
    for entry in entries:
        by_id[entry.detection_id].append(entry)
    return by_id


def _has_new_box(entry: Validation, known: Validation | None) -> bool:
    """Return whether an entry has a box that a person drew and that is not the known one."""
    return entry.origin in _DRAWN_ORIGINS and (known is None or not same_box(entry, known))
