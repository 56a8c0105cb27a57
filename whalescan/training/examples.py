"""Windows with what is known of them, and the options that say how labels and reviews are understood."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from whalescan.core import BoolArray, FloatArray, UsageError
from whalescan.tables.selections import is_uncertain

REVIEWS = frozenset({"", "yes", "no", "maybe"})
"""What a person leaves in the column Review; blank where a selection was drawn by hand."""
_LINES_PER_KIND = 20


CONTENT = re.compile(r"[0-9a-f]{16}")
"""What a group is that is a clip's content, and no name."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Windows, and what is known of each.

    Attributes:
        windows: float32 ``[n, window_samples]``, full scale is 1.
        targets: float32 ``[n, n_classes]``, 1 where the window holds a call of that class, else 0.
        names: the clip or recording of each, unique within the folder it came from.
        begin_s: float64 ``[n]``, begin of the window in its recording; 0 for clips.
        groups: what must stay on one side of a split: a day, a recording, or a clip's content.
    """

    windows: FloatArray
    targets: FloatArray
    names: tuple[str, ...]
    begin_s: npt.NDArray[np.float64]
    groups: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.windows)

    @property
    def holds_call(self) -> BoolArray:
        """Bool ``[n]``, true for windows with a call of any class."""
        holds: BoolArray = np.count_nonzero(self.targets, axis=1) > 0
        return holds

    @property
    def n_calls(self) -> int:
        """Windows with a call of any class; a long call may have several, and one window may show two calls."""
        return int(self.holds_call.sum())

    def where(self, chosen: BoolArray) -> Examples:
        """Those that a mask ``[n]`` chooses, in their order; these themselves, not a copy, where it chooses all."""
        if chosen.all():
            return self
        at = np.flatnonzero(chosen)
        names, groups = (tuple(texts[i] for i in at) for texts in (self.names, self.groups))
        return Examples(self.windows[at], self.targets[at], names, self.begin_s[at], groups)

    @staticmethod
    def join(parts: Sequence[Examples]) -> Examples:
        """Several as one, in their order. At least one is needed."""
        if len(parts) == 1:
            return parts[0]
        return Examples(
            np.concatenate([part.windows for part in parts]),
            np.concatenate([part.targets for part in parts]),
            tuple(name for part in parts for name in part.names),
            np.concatenate([part.begin_s for part in parts]),
            tuple(group for part in parts for group in part.groups),
        )

    @staticmethod
    def none(window_samples: int, n_classes: int) -> Examples:
        """No example at all, but of a shape that joins others."""
        shapes = (0, window_samples), (0, n_classes)
        windows, targets = (np.zeros(shape, np.float32) for shape in shapes)
        return Examples(windows, targets, (), np.zeros(0), ())


class Verdict(StrEnum):
    """What a label and a review say of a sound."""

    CALL = "call"
    NO_CALL = "no call"
    UNCERTAIN = "uncertain"
    FOREIGN = "foreign"
    """A call of a class that is not wanted, or of none that is named; treated as uncertain, but the user is told."""


@dataclass(frozen=True, slots=True)
class DataOptions:
    """How labels are understood, and how much is taken beside the calls.

    Attributes:
        classes: what is to be told apart, in the order of a model's outputs; empty for the labels that occur, in the order
            of the alphabet. A clip labelled 1 is taken as labelled ``NARW upcall``.
        renamed: pairs of a label and the class that it stands for.
        uncertain: labels, in any case, that say neither call nor not. Always uncertain are maybe, uncertain, possible,
            unknown, and whatever ends in a question mark, unless it is among ``classes``.
        background_per_call: windows without any selection per call, drawn from the recording that holds the calls.
        least_background: the same for each annotated recording without calls.
        group_by: what stays on one side of a split: a ``day`` (the recording, where its day is not known), or a
            ``recording``.
        seed: of everything that is drawn.

    Raises:
        UsageError: for values that cannot be.
    """

    classes: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    uncertain: tuple[str, ...] = ()
    background_per_call: float = 3.0
    least_background: int = 20
    group_by: str = "day"
    seed: int = 20090328

    def __post_init__(self) -> None:
        if self.group_by not in ("day", "recording"):
            raise UsageError(f"examples cannot be grouped by {self.group_by!r}; choose day or recording")
        if len(set(self.classes)) < len(self.classes) or "" in self.classes:
            raise UsageError(f"classes {', '.join(map(repr, self.classes))}: each needs a name, and a name of its own")
        if not 0 <= self.background_per_call < float("inf") or self.least_background < 0:
            raise UsageError("windows of background are counted from 0; give numbers that are not negative")

    def judge(self, label: str, review: str = "") -> tuple[Verdict, str]:
        """What a label and the cell ``Review`` say, and the class that the label stands for."""
        name = dict(self.renamed).get(label, label)
        if review.casefold() == "no":
            return Verdict.NO_CALL, name
        if review.casefold() not in ("", "yes") or (name not in self.classes and self._is_uncertain(name)):
            return Verdict.UNCERTAIN, name
        if not name or (self.classes and name not in self.classes):
            return Verdict.FOREIGN, name
        return Verdict.CALL, name

    def _is_uncertain(self, name: str) -> bool:
        return is_uncertain(name, self.uncertain)

    def foreign(self, what: str, name: str, n: int) -> str:
        """Says that ``n`` of something (a plural) carry a label that is no class, and what helps."""
        if not name:
            return f"{n} {what} have no label and were used neither way; label them, or rename the empty label to a class"
        known = f"none of the classes {', '.join(self.classes)}" if self.classes else "not the name of a class"
        return f"{n} {what} are labelled {name!r}, {known}, and were used neither way; rename the label, or add the class"


@dataclass(frozen=True, slots=True)
class CutPlan:
    """What all examples have in common, wherever they are cut from.

    Attributes:
        classes: columns of the targets.
        rate_hz: sampling rate of the windows.
        window_samples: length of a window.
        options: how labels are understood, and how much is taken beside the calls.
        quiet: no progress bar.
    """

    classes: tuple[str, ...]
    rate_hz: int
    window_samples: int
    options: DataOptions
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with the data that did not stop the rest.

    Attributes:
        kind: plural of what it is about, e.g. ``unreadable clips``; many of one kind are told in few lines.
        text: names the file, the place and the remedy.
    """

    kind: str
    text: str


def problem_lines(problems: Iterable[Problem]) -> tuple[str, ...]:
    """One line a problem, kind by kind in the order of their first; at most 20 of a kind, and how many more there are."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for problem in problems:
        by_kind[problem.kind].append(problem.text)
    lines: list[str] = []
    for kind, texts in by_kind.items():
        lines += texts[:_LINES_PER_KIND]
        if len(texts) > _LINES_PER_KIND:
            lines.append(f"and {len(texts) - _LINES_PER_KIND} more {kind}")
    return tuple(lines)


@dataclass(frozen=True, slots=True)
class Cutting:
    """What one folder gave.

    Attributes:
        examples: what can be learnt from.
        n_used, n_skipped: clips or recordings that gave an example, and that gave none.
        n_uncertain: clips or selections that are neither call nor not.
        problems: what was wrong.
    """

    examples: Examples
    n_used: int
    n_skipped: int
    n_uncertain: int
    problems: tuple[Problem, ...]
