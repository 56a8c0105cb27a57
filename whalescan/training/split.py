"""Split of the examples into a training side and a held-out side, by which the model is validated.

Consecutive windows are similar, so a group (a day, a recording, clips with the same content) stays on one side. Hashes
decide the side, so the split depends neither on a random generator nor on the order of the examples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from whalescan.core import BoolArray, UsageError
from whalescan.core.files import csv_bytes
from whalescan.tables.clip_tables import HELD_OUT, read_clip_table
from whalescan.training.examples import CONTENT_HASH, Examples

_TRAINING_SHARES = (0.5, 0.0)
"""Smallest share of each class on the training side; the second value is used where the first leaves no call to hold out."""
_NAMES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Split:
    """Two sides of the examples.

    Attributes:
        training, held_out: bool ``[n]``. Each example, and each group, is on exactly one side. ``held_out`` is false
            everywhere where no call can be held out.
    """

    training: BoolArray
    held_out: BoolArray


def split(examples: Examples, validation_share: float, validation: Sequence[str] = ()) -> Split:
    """Divide the examples into a training side and a held-out side.

    A clip is held out when its hash, as a fraction of the largest, is below the share. Of recordings, and of clips whose
    table has groups, groups are held out in the order of the hashes of their names, until there is the wanted share of each
    class and of background. A group is skipped when it adds nothing that is still missing, or when too few examples would
    remain for training. Where no call can be held out, as with a single group, no recording is held out.

    Args:
        examples: clips and windows of recordings.
        validation_share: share of the examples to hold out, from 0 to below 1.
        validation: recordings, clips or groups. Their groups are held out, and nothing else.

    Raises:
        UsageError: for an invalid share, for a name that no example has, and when no example is left for training.
    """
    if not 0 <= validation_share < 1:
        raise UsageError(f"invalid validation_share {validation_share:g}: expected a value from 0 to below 1")
    groups = _named_groups(examples, validation) if validation else set(_groups_by_hash(examples, validation_share))
    is_held_out = np.array([group in groups for group in examples.groups], np.bool_)
    if len(examples) and is_held_out.all():
        raise UsageError("all examples are held out for validation, and none is left for training: hold out fewer")
    return Split(~is_held_out, is_held_out)


def _named_groups(examples: Examples, validation: Sequence[str]) -> set[str]:
    """Return the groups that are named themselves, or by one of their recordings or clips."""
    if unknown := set(validation) - set(examples.groups) - set(examples.names):
        known = list(dict.fromkeys(examples.groups + examples.names))
        more = ", ..." if len(known) > _NAMES_SHOWN else ""
        raise UsageError(
            f"invalid validation {', '.join(map(repr, sorted(unknown)))}: not in the data; expected recordings, clips or "
            f"groups such as {', '.join(known[:_NAMES_SHOWN])}{more}"
        )
    return {group for name, group in zip(examples.names, examples.groups, strict=True) if {name, group} & set(validation)}


def _groups_by_hash(examples: Examples, share: float) -> Iterator[str]:
    """Return the groups to hold out: each clip by its own hash, the groups of recordings together."""
    is_clip = np.array([CONTENT_HASH.fullmatch(group) is not None for group in examples.groups], np.bool_)
    for group, clip in zip(examples.groups, is_clip, strict=True):
        if clip and int(group, 16) / 2**64 < share:
            yield group
    grouped = examples.select(~is_clip)
    if not grouped.n_calls:
        return
    groups = sorted(set(grouped.groups), key=lambda group: hashlib.sha256(group.encode(errors="backslashreplace")).digest())
    row_of_group = {group: i for i, group in enumerate(groups)}
    counts = np.zeros((len(groups), grouped.targets.shape[1] + 1))
    kinds = np.column_stack([grouped.targets, ~grouped.holds_call])
    np.add.at(counts, [row_of_group[group] for group in grouped.groups], kinds)
    for training_share in _TRAINING_SHARES:
        chosen = _choose_groups(counts, share, training_share)
        if counts[chosen, :-1].any():
            yield from (groups[i] for i in chosen)
            return


def _choose_groups(counts: npt.NDArray[np.float64], share: float, training_share: float) -> list[int]:
    """Return rows of counts ``[n_groups, n_kinds]`` that hold a share of each kind and leave a share for training."""
    total = counts.sum(axis=0)
    held_out = np.zeros_like(total)
    chosen = []
    for i, count in enumerate(counts):
        is_present = count > 0
        remaining = (total - held_out - count)[is_present]
        is_missing = is_present & (held_out < share * total)
        if is_missing.any() and (remaining > 0).all() and (remaining >= training_share * total[is_present]).all():
            held_out += count
            chosen.append(i)
    return chosen


def split_csv(examples: Examples, parts: Split, classes: Sequence[str]) -> bytes:
    """Return a table of the examples and their sides, which `evaluate` accepts as a list of clips.

    Columns: clip_name (or the name of the recording), begin_s, group, side (``training`` or ``validation``), and one column
    per class, 1 where the window holds a call of it, else 0.
    """
    columns = examples.names, examples.begin_s, examples.groups, parts.held_out, examples.targets
    rows = (
        (name, f"{begin_s:.6f}", group, HELD_OUT if held_out else "training", *(f"{target:.0f}" for target in targets))
        for name, begin_s, group, held_out, targets in zip(*columns, strict=True)
    )
    return csv_bytes(("clip_name", "begin_s", "group", "side", *classes), rows)


def held_out_names(path: Path) -> frozenset[str]:
    """Return the names of the clips and recordings that a training held out, from the table of `split_csv`.

    Raises:
        UsageError: when the file cannot be read, or is not such a table.
    """
    rows = read_clip_table(path, required=("clip_name", "side")).rows
    return frozenset(row.name for row in rows if row.side == HELD_OUT)
