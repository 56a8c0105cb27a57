"""Which examples are never trained on, so that a model can be judged by them.

Neighbours in time are alike, so what belongs together (a day, a recording, a clip's content) falls on one side. On which is
decided by hashes, and so neither by chance nor by the order of anything.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from whalescan.core import BoolArray, UsageError
from whalescan.core.files import csv_bytes
from whalescan.training.examples import CONTENT, Examples

_LEFT_TO_LEARN = (0.5, 0.0)
"""Part of each class that holding out groups leaves; less only where it cannot be had otherwise."""
_NAMES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Split:
    """Two sides of the examples.

    Attributes:
        learning, validating: bool ``[n]``; each example is on exactly one side, each group too. Nothing is validating where
            nothing can be held out.
    """

    learning: BoolArray
    validating: BoolArray


def split(examples: Examples, validation_share: float, validation: Sequence[str] = ()) -> Split:
    """Hold examples out.

    A clip is held out when its hash, as a fraction of the largest, is below the share. Of recordings, and of clips whose
    table names their groups, groups are held out in
    the order of their names' hashes, until there is the wanted share of each class and of background; a group is passed
    over that adds nothing still lacking, or whose loss would leave too little to learn from. Where no call can be spared,
    as when there is but one group, no recording is held out.

    Args:
        examples: clips and windows of recordings, in any mixture.
        validation_share: part to be held out, 0 to below 1.
        validation: names of recordings or clips, or groups: these are held out, with all of their groups, and nothing else.

    Raises:
        UsageError: for a share outside its range, for a name that no example has, and when nothing is left to learn from.
    """
    if not 0 <= validation_share < 1:
        raise UsageError(f"a validation share of {validation_share:g} is none; choose one from 0 to below 1")
    held_out = _named(examples, validation) if validation else set(_by_hash(examples, validation_share))
    validating = np.array([group in held_out for group in examples.groups], np.bool_)
    if len(examples) and validating.all():
        raise UsageError("all examples are held out for validation, nothing is left to learn from; hold out fewer")
    return Split(~validating, validating)


def _named(examples: Examples, validation: Sequence[str]) -> set[str]:
    """Groups that are named themselves, or by one of their recordings."""
    if unknown := set(validation) - set(examples.groups) - set(examples.names):
        known = list(dict.fromkeys(examples.groups + examples.names))
        more = ", ..." if len(known) > _NAMES_SHOWN else ""
        raise UsageError(
            f"{', '.join(sorted(unknown))}: to be held out for validation, but not in the data; there are "
            f"{', '.join(known[:_NAMES_SHOWN])}{more}"
        )
    return {group for name, group in zip(examples.names, examples.groups, strict=True) if {name, group} & set(validation)}


def _by_hash(examples: Examples, share: float) -> Iterator[str]:
    """Groups to hold out: clips each by its own hash, recordings' groups together."""
    is_clip = np.array([CONTENT.fullmatch(group) is not None for group in examples.groups], np.bool_)
    for group, clip in zip(examples.groups, is_clip, strict=True):
        if clip and int(group, 16) / 2**64 < share:
            yield group
    recorded = examples.where(~is_clip)
    if not recorded.n_calls:
        return
    groups = sorted(set(recorded.groups), key=lambda group: hashlib.sha256(group.encode(errors="backslashreplace")).digest())
    number = {group: i for i, group in enumerate(groups)}
    contents = np.zeros((len(groups), recorded.targets.shape[1] + 1))
    kinds = np.column_stack([recorded.targets, ~recorded.holds_call])
    np.add.at(contents, [number[group] for group in recorded.groups], kinds)
    for least_left in _LEFT_TO_LEARN:
        chosen = _choose(contents, share, least_left)
        if contents[chosen, :-1].any():
            yield from (groups[i] for i in chosen)
            return


def _choose(contents: npt.NDArray[np.float64], share: float, least_left: float) -> list[int]:
    """Rows of ``[n_groups, n_kinds]`` that together hold a share of each kind, as far as rows can be spared."""
    total = contents.sum(axis=0)
    held = np.zeros_like(total)
    chosen = []
    for i, content in enumerate(contents):
        brings = content > 0
        left = (total - held - content)[brings]
        lacking = brings & (held < share * total)
        if lacking.any() and (left > 0).all() and (left >= least_left * total[brings]).all():
            held += content
            chosen.append(i)
    return chosen


def split_csv(examples: Examples, parts: Split, classes: Sequence[str]) -> bytes:
    """Which example is on which side, as a table that can be given back as a list of clips to be evaluated.

    Columns: clip_name (or the recording's name), begin_s, group, side (``training`` or ``validation``), and one for each
    class, 1 where the window holds a call of it, else 0.
    """
    columns = examples.names, examples.begin_s, examples.groups, parts.validating, examples.targets
    rows = (
        (name, f"{begin_s:.6f}", group, "validation" if held_out else "training", *(f"{target:.0f}" for target in targets))
        for name, begin_s, group, held_out, targets in zip(*columns, strict=True)
    )
    return csv_bytes(("clip_name", "begin_s", "group", "side", *classes), rows)


def held_out_names(path: Path) -> frozenset[str]:
    """Names of the clips and recordings that a training held out, from what `split_csv` wrote.

    Raises:
        UsageError: when the file cannot be read, or is no such table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return frozenset(row["clip_name"] for row in csv.DictReader(file) if row["side"] == "validation")
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise UsageError(f"{path}: not a .split.csv of `whalescan train` ({error!r}); give one") from error
