"""Interpretation of labels and reviews, problems found in training data, and what reading a folder of them gives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from whalescan.core import UsageError, invalid
from whalescan.core.text import count
from whalescan.detector.model_spec import FrontEndOptions
from whalescan.tables.selections import is_uncertain
from whalescan.training.sounds import AnnotatedSound, Clip

REVIEWS = frozenset({"", "yes", "no", "maybe"})
"""Cells of the column Review that a person writes; blank for a selection that was drawn by hand."""
_LINES_PER_KIND = 20


class Meaning(StrEnum):
    """Meaning of a label and a review for training."""

    CALL = "call"
    NO_CALL = "no call"
    UNCERTAIN = "uncertain"
    OTHER_CLASS = "other class"
    """A call of a class that is not trained, or a blank label. It is treated as uncertain, and reported."""


@dataclass(frozen=True, slots=True)
class DataOptions:
    """Interpretation of labels, and the unit of the split.

    Attributes:
        classes: names of the classes, in the order of the model's outputs; empty for all labels that occur, in alphabetical
            order. A clip labelled 1 is taken as labelled ``NARW upcall``.
        renamed: pairs of a label and the class that it stands for.
        uncertain: labels, in any case, that are neither a call nor the absence of one. Always uncertain are maybe,
            uncertain, possible, unknown, and labels that end in a question mark, unless they are among ``classes``.
        group_by: unit that a split keeps on one side: a ``day`` (the recording, where its day is unknown), or a
            ``recording``.

    Raises:
        UsageError: for invalid values.
    """

    classes: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    uncertain: tuple[str, ...] = ()
    group_by: str = "day"

    def __post_init__(self) -> None:
        if self.group_by not in ("day", "recording"):
            raise invalid("group_by", self.group_by, "'day' or 'recording'")
        if len(set(self.classes)) < len(self.classes) or "" in self.classes:
            raise UsageError(f"invalid classes {', '.join(map(repr, self.classes))}: expected different, non-empty names")

    def interpret(self, label: str, review: str = "") -> tuple[Meaning, str]:
        """Return the meaning of a label and a cell of ``Review``, and the class that the label stands for."""
        name = dict(self.renamed).get(label, label)
        if review.casefold() == "no":
            return Meaning.NO_CALL, name
        if review.casefold() not in ("", "yes") or (name not in self.classes and is_uncertain(name, self.uncertain)):
            return Meaning.UNCERTAIN, name
        if not name or (self.classes and name not in self.classes):
            return Meaning.OTHER_CLASS, name
        return Meaning.CALL, name

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
class ReadOptions:
    """How sound is read.

    Attributes:
        classes: names of the classes.
        front_end: rate and length of windows, and the frames in which levels are measured.
        data: interpretation of labels.
        quiet: show no progress bar.
    """

    classes: tuple[str, ...]
    front_end: FrontEndOptions
    data: DataOptions
    quiet: bool = False

    @property
    def rate_hz(self) -> int:
        """Rate to which sound is resampled."""
        return self.front_end.rate_hz

    @property
    def window_s(self) -> float:
        """Length of a window."""
        return self.front_end.window_samples / self.front_end.rate_hz


@dataclass(frozen=True, slots=True)
class FolderSounds:
    """Sound of one folder.

    Attributes:
        clips, annotated: the sound.
        n_used, n_skipped: numbers of clips or recordings of which something is used, and of the others.
        n_uncertain: number of clips or selections that are uncertain or of another class.
        problems: problems of the folder.
    """

    clips: tuple[Clip, ...]
    annotated: tuple[AnnotatedSound, ...]
    n_used: int
    n_skipped: int
    n_uncertain: int
    problems: tuple[DataProblem, ...]
