"""Training examples: windows with targets, the interpretation of labels and reviews, and problems found in the data."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from whalescan.core import BoolArray, FloatArray, UsageError
from whalescan.core.text import count
from whalescan.tables.selections import is_uncertain

REVIEWS = frozenset({"", "yes", "no", "maybe"})
"""Cells of the column Review that a person writes; blank for a selection that was drawn by hand."""
CONTENT_HASH = re.compile(r"[0-9a-f]{16}")
"""Form of a group that is the hash of a clip's content, not a name."""
_LINES_PER_KIND = 20


@dataclass(frozen=True, slots=True, repr=False)
class Examples:
    """Windows with their targets.

    Attributes:
        windows: float32 ``[n, window_samples]``, full scale is 1.
        targets: float32 ``[n, n_classes]``, 1 where the window holds a call of that class, else 0.
        names: clip or recording of each window, unique within its folder.
        begin_s: float64 ``[n]``, begin of the window in its recording; 0 for clips.
        groups: day, recording, or hash of a clip's content. A split keeps windows with the same group on one side.
    """

    windows: FloatArray
    targets: FloatArray
    names: tuple[str, ...]
    begin_s: npt.NDArray[np.float64]
    groups: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.windows)

    def __repr__(self) -> str:
        return f"Examples({len(self)} windows, {self.n_calls} with a call)"

    @property
    def holds_call(self) -> BoolArray:
        """Return bool ``[n]``, true for windows with a call of any class."""
        holds: BoolArray = np.count_nonzero(self.targets, axis=1) > 0
        return holds

    @property
    def n_calls(self) -> int:
        """Return the number of windows with a call of any class.

        A long call may fill several windows, and a window may hold two calls.
        """
        return int(self.holds_call.sum())

    def select(self, chosen: BoolArray) -> Examples:
        """Return the examples where a mask ``[n]`` is true; the same object, not a copy, where it is true everywhere."""
        if chosen.all():
            return self
        indices = np.flatnonzero(chosen)
        names, groups = (tuple(texts[i] for i in indices) for texts in (self.names, self.groups))
        return Examples(self.windows[indices], self.targets[indices], names, self.begin_s[indices], groups)

    @staticmethod
    def concatenate(parts: Sequence[Examples]) -> Examples:
        """Return one or more sets of examples as one, in the given order."""
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
    def empty(window_samples: int, n_classes: int) -> Examples:
        """Return a set without examples whose shape fits `concatenate`."""
        shapes = (0, window_samples), (0, n_classes)
        windows, targets = (np.zeros(shape, np.float32) for shape in shapes)
        return Examples(windows, targets, (), np.zeros(0), ())


class ExampleLabel(StrEnum):
    """Meaning of a label and a review for training."""

    CALL = "call"
    NO_CALL = "no call"
    UNCERTAIN = "uncertain"
    OTHER_CLASS = "other class"
    """A call of a class that is not trained, or a blank label. It is treated as uncertain, and reported."""


@dataclass(frozen=True, slots=True)
class DataOptions:
    """Interpretation of labels, and amount of background.

    Attributes:
        classes: names of the classes, in the order of the model's outputs; empty for all labels that occur, in alphabetical
            order. A clip labelled 1 is taken as labelled ``NARW upcall``.
        renamed: pairs of a label and the class that it stands for.
        uncertain: labels, in any case, that are neither a call nor the absence of one. Always uncertain are maybe,
            uncertain, possible, unknown, and labels that end in a question mark, unless they are among ``classes``.
        background_per_call: number of windows without a selection per call, sampled from the recording with the calls.
        least_background: number of such windows from each annotated recording without calls.
        group_by: unit that a split keeps on one side: a ``day`` (the recording, where its day is unknown), or a
            ``recording``.
        seed: random seed.

    Raises:
        UsageError: for invalid values.
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
            raise UsageError(f"invalid group_by {self.group_by!r}: expected 'day' or 'recording'")
        if len(set(self.classes)) < len(self.classes) or "" in self.classes:
            raise UsageError(f"invalid classes {', '.join(map(repr, self.classes))}: expected different, non-empty names")
        if not 0 <= self.background_per_call < float("inf"):
            raise UsageError(f"invalid background_per_call {self.background_per_call:g}: expected a number of at least 0")
        if self.least_background < 0:
            raise UsageError(f"invalid least_background {self.least_background}: expected at least 0")

    def interpret(self, label: str, review: str = "") -> tuple[ExampleLabel, str]:
        """Return the meaning of a label and a cell of ``Review``, and the class that the label stands for."""
        name = dict(self.renamed).get(label, label)
        if review.casefold() == "no":
            return ExampleLabel.NO_CALL, name
        if review.casefold() not in ("", "yes") or (name not in self.classes and self._is_uncertain(name)):
            return ExampleLabel.UNCERTAIN, name
        if not name or (self.classes and name not in self.classes):
            return ExampleLabel.OTHER_CLASS, name
        return ExampleLabel.CALL, name

    def _is_uncertain(self, name: str) -> bool:
        return is_uncertain(name, self.uncertain)

    def unknown_label_message(self, what: str, name: str, n: int) -> str:
        """Return a message that ``n`` clips or selections have a label that is not a class, with the remedy.

        Args:
            what: ``clip`` or ``selection``.
            name: the label.
            n: number of clips or selections.
        """
        number = count(n, what)
        if not name:
            return f"{number} not used, without a label: label them, or rename the empty label to a class"
        known = f"which is not one of the classes {', '.join(self.classes)}" if self.classes else "not the name of a class"
        return f"{number} not used, labelled {name!r}, {known}: rename the label, or add the class"


@dataclass(frozen=True, slots=True)
class ExtractionOptions:
    """Format of the examples that are extracted from clips and recordings.

    Attributes:
        classes: columns of the targets.
        rate_hz: sampling rate of the windows.
        window_samples: length of a window.
        data_options: interpretation of labels, and amount of background.
        quiet: show no progress bar.
    """

    classes: tuple[str, ...]
    rate_hz: int
    window_samples: int
    data_options: DataOptions
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class DataProblem:
    """A problem in the data that does not prevent training.

    Attributes:
        kind: plural noun phrase such as ``unreadable clips``; problems of one kind are summarised.
        text: message with the file, the place and the remedy.
    """

    kind: str
    text: str


def data_problem_lines(problems: Iterable[DataProblem]) -> tuple[str, ...]:
    """Return one line per problem, grouped by kind: at most 20 of a kind, and the number of the others."""
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
class FolderExamples:
    """Examples of one folder.

    Attributes:
        examples: the examples.
        n_used, n_skipped: numbers of clips or recordings with, and without, an example.
        n_uncertain: number of clips or selections that are uncertain or of another class.
        problems: problems of the folder.
    """

    examples: Examples
    n_used: int
    n_skipped: int
    n_uncertain: int
    problems: tuple[DataProblem, ...]
