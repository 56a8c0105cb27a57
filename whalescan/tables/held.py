"""What the folder of a run holds, against which a table that comes back is compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from whalescan.calls.judgements import Boxed, Judgement
from whalescan.core import Detection, Recording
from whalescan.tables.csvs import FileRow


@dataclass(frozen=True)
class Held:
    """What the folder of a run holds, and what its tables may have shown.

    Attributes:
        files: the recordings in the order of their names.
        thresholds: those at which tables were written.
        calls: for each of these, and for the lowest at which a call of the tables may have been found, the calls by id.
        judged: the latest judgement of each id, in the order in which the ids came.
        label: what a call is that somebody added without saying what.
    """

    files: Sequence[FileRow]
    thresholds: Sequence[float]
    calls: Mapping[float, Mapping[str, Detection]]
    judged: Mapping[str, Judgement]
    label: str

    @cached_property
    def known(self) -> Mapping[str, Detection]:
        """The calls at any of the thresholds."""
        return {identity: call for found in self.calls.values() for identity, call in found.items()}

    @cached_property
    def by_name(self) -> Mapping[str, FileRow]:
        """The recordings that could be read."""
        return {file.name: file for file in self.files if file.recording}

    @cached_property
    def recordings(self) -> Sequence[Recording]:
        """The same, as recordings."""
        return [file.recording for file in self.files if file.recording]

    @cached_property
    def in_recording(self) -> Mapping[str, Sequence[Boxed]]:
        """All boxes of all calls, by recording."""
        boxes: dict[str, list[Boxed]] = defaultdict(list)
        every: tuple[Boxed, ...] = (*self.known.values(), *self.judged.values())
        for box in every:
            boxes[box.recording].append(box)
        return boxes

    def boxes(self, identity: str) -> tuple[Boxed, ...]:
        """A call as the detector boxes it, and as people left it; what of this there is."""
        found = self.known.get(identity), self.judged.get(identity)
        return tuple(one for one in found if one is not None)
