"""What several tables, read together, say of each call, and what of it is new."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from whalescan.detections.validations import UNREVIEWED, Judgement, same_box

_DRAWN = frozenset({"moved", "added"})
"""Origins of boxes that people drew."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What several sources, read together, add to what is known.

    Attributes:
        new: judgements that change something, one an id.
        conflicts: where the sources contradict one another, a line each.
        refused: boxes that lost to those of ``new``; kept as said before them, so that the same tables move nothing again.
    """

    new: tuple[Judgement, ...]
    conflicts: tuple[str, ...]
    refused: tuple[Judgement, ...] = ()


def settle(claims: Iterable[Judgement], known: Mapping[str, Judgement]) -> Settled:
    """What tables say together.

    A verdict in words beats a deleted row, and a deleted row beats one that nobody judged; where verdicts differ, nobody
    knows: ``maybe``. A row that nobody judged changes no verdict, but takes a deletion back.

    Args:
        claims: what each table says of a call, ``unreviewed`` where its row is there and nobody judged it.
        known: the latest judgement of each id.
    """
    new, conflicts, refused = [], [], []
    for identity, said in _by_id(claims).items():
        verdict, tells, why = _verdict(said, known.get(identity))
        box, why_box = _box(said, known.get(identity))
        conflicts += [f"{identity}: {line}" for line in (why, why_box) if line]
        by_deleting = tells is not None and tells.origin == "deleted"
        origin = "deleted" if by_deleting else box.origin
        settled = replace(box, verdict=verdict, origin=origin, source=(tells or box).source)
        if _changes(settled, known.get(identity)):
            new.append(settled)
            others = (claim for claim in said if _is_new_box(claim, known.get(identity)) and not same_box(claim, settled))
            refused += [replace(claim, verdict=verdict) for claim in others]
    return Settled(tuple(new), tuple(conflicts), tuple(refused))


def _changes(settled: Judgement, known: Judgement | None) -> bool:
    if known is None:
        return settled.verdict != UNREVIEWED or settled.origin == "moved"
    return settled.verdict != known.verdict or not same_box(settled, known)


def _verdict(said: Sequence[Judgement], known: Judgement | None) -> tuple[str, Judgement | None, str]:
    """The verdict, the claim that gives it (None where none does), and what contradicts."""
    in_words = {claim.verdict: claim for claim in said if claim.verdict != UNREVIEWED and claim.origin != "deleted"}
    if len(in_words) > 1:
        each = ", ".join(f"{claim.source} says {verdict}" for verdict, claim in in_words.items())
        return "maybe", next(iter(in_words.values())), f"{each}; taken as maybe, say one of them in Review and import again"
    if in_words:
        ((verdict, claim),) = in_words.items()
        return verdict, claim, ""
    deletion = next((claim for claim in said if claim.origin == "deleted"), None)
    if deletion is not None:
        return ("no", deletion, "") if known is None or known.verdict != "no" else ("no", None, "")
    if known is not None and known.origin != "deleted":
        return known.verdict, None, ""
    return ("yes" if said[0].origin == "added" else UNREVIEWED), None, ""  # who draws a call says that it is there


def _box(said: Sequence[Judgement], known: Judgement | None) -> tuple[Judgement, str]:
    """The claim, or the known judgement, whose box holds, and what contradicts."""
    drawn = [claim for claim in said if claim.origin in _DRAWN]
    new = [claim for claim in drawn if _is_new_box(claim, known)]
    if new:
        differ = next((claim for claim in new if not same_box(claim, new[0])), None)
        names = f"{new[0].source} and {differ.source} hold different boxes" if differ else ""
        return new[0], f"{names}; the first is taken, mend the other" if names else ""
    if known is not None and known.origin in _DRAWN:
        return known, ""
    there = [claim for claim in said if claim.origin != "deleted"]
    if known is not None and known.origin == "deleted" and there and not same_box(known, there[0]):
        return replace(known, origin="added" if known.score is None else "moved"), ""  # drawn, then deleted, now back
    return (drawn or there or list(said))[0], ""


def in_turn(tables: Sequence[Sequence[Judgement]], known: Mapping[str, Judgement]) -> tuple[Judgement, ...]:
    """What tables that took one another's place say together: of each call its last verdict, and its last box.

    Whoever wrote the later table knew nothing of what was said in the earlier one, so a row that nobody judged there takes
    nothing back.

    Args:
        tables: the claims of each, the oldest table first.
        known: the latest judgement of each id.
    """
    if len(tables) == 1:
        return tuple(tables[0])
    spoken: dict[str, list[Judgement]] = {}
    drawn: dict[str, Judgement] = {}
    for claims in tables:
        for identity, said in _by_id(claims).items():
            if identity not in spoken or any(claim.verdict != UNREVIEWED for claim in said):
                spoken[identity] = said
            anew = [claim for claim in said if _is_new_box(claim, known.get(identity))]
            drawn |= {identity: anew[0]} if anew else {}
    return tuple(
        claim
        if identity not in drawn or claim.origin == "deleted"
        else replace(drawn[identity], verdict=claim.verdict, source=claim.source)
        for identity, said in spoken.items()
        for claim in said
    )


def _by_id(claims: Iterable[Judgement]) -> dict[str, list[Judgement]]:
    of_one: dict[str, list[Judgement]] = defaultdict(list)
    for claim in claims:
        of_one[claim.detection_id].append(claim)
    return of_one


def _is_new_box(claim: Judgement, known: Judgement | None) -> bool:
    """Whether a person drew a box that is not the known one."""
    return claim.origin in _DRAWN and (known is None or not same_box(claim, known))
