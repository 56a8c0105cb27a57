"""What the folder of a run holds, against which a table that comes back is compared."""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TypeVar

from whalescan.core import Detection
from whalescan.detections.validations import Boxed, Judgement
from whalescan.tables.csvs import FileRow
from whalescan.tables.recording_names import Named, beginnings

_Box = TypeVar("_Box", bound=Boxed)


@dataclass(frozen=True)
class Held:
    """What the folder of a run holds, and what its tables may have shown.

    A folder has a table for each recording, so whatever is asked for each table is looked up and never searched for.

    Attributes:
        files: the recordings in the order of their names.
        thresholds: those at which tables were written.
        calls: for each of these that may matter, and for the lowest at which a call of the tables may have been found, the
            calls by id.
        judged: the latest judgement of each id, in the order in which the ids came.
        label: what a call is that somebody added without saying what.
        since: at which write of the tables a recording first was in them; one that is not a key was from the first, 0.
        classes: of the model; an added call of another label does not count in hours and days.
        earlier: what was said of an id before its latest judgement, the oldest first.
    """

    files: Sequence[FileRow]
    thresholds: Sequence[float]
    calls: Mapping[float, Mapping[str, Detection]]
    judged: Mapping[str, Judgement]
    label: str
    since: Mapping[str, int] = field(default_factory=dict)
    classes: Sequence[str] = ()
    earlier: Mapping[str, Sequence[Judgement]] = field(default_factory=dict)

    @cached_property
    def known(self) -> Mapping[str, Detection]:
        """The calls at any of the thresholds."""
        return {identity: call for found in self.calls.values() for identity, call in found.items()}

    @cached_property
    def by_name(self) -> Mapping[str, FileRow]:
        """The recordings that could be read."""
        return {file.name: file for file in self.files if file.recording}

    @cached_property
    def named(self) -> Named:
        """The same, by the names that tables give them."""
        return Named(file.recording for file in self.files if file.recording)

    @cached_property
    def known_in(self) -> Mapping[str, Sequence[Detection]]:
        """The calls at any of the thresholds, by recording."""
        return _by_recording(self.known.values())

    @cached_property
    def boxes_in(self) -> Mapping[str, Sequence[Boxed]]:
        """All boxes of all calls, by recording."""
        return _by_recording((*self.known.values(), *self.judged.values()))

    @cached_property
    def added(self) -> Mapping[str, int]:
        """The ids of calls that only people saw, numbered as they came."""
        return {one.detection_id: i for i, one in enumerate(one for one in self.judged.values() if one.score is None)}

    @cached_property
    def added_in(self) -> Mapping[str, Sequence[Judgement]]:
        """These calls, by recording."""
        return _by_recording(self.judged[identity] for identity in self.added)

    def as_of(self, write: int) -> Held:
        """The same with the recordings in the sequence of a table that was written then; those that came later go behind."""
        files, offset_s = [], 0.0
        for file in sorted(self.files, key=lambda file: self.since.get(file.name, 0) > write):
            files.append(replace(file, sequence_offset_s=offset_s))
            offset_s += file.recording.duration_s if file.recording else 0.0
        return replace(self, files=files)

    def boxes(self, identity: str) -> tuple[Boxed, ...]:
        """A call as the detector boxes it, and as people left it; what of this there is."""
        found = self.known.get(identity), self.judged.get(identity)
        return tuple(one for one in found if one is not None)

    def at(self, begin_s: float) -> FileRow | None:
        """The recording in which a time from the first of all recordings lies."""
        i = bisect.bisect_right(self._in_sequence, begin_s, key=lambda file: file.sequence_offset_s) - 1
        file = self._in_sequence[i] if i >= 0 else None
        if file is None or file.recording is None or begin_s >= file.sequence_offset_s + file.recording.duration_s:
            return None
        return file

    def written_for(self, path: Path, named: Set[str]) -> str | None:
        """The recording for which a table was written, by its name; None where its rows name others, or two can be meant."""
        fitting = [name for plain in beginnings(path.name, ".whalescan.") for name in self._by_plain_name.get(plain, ())]
        fitting = [name for name in fitting if named <= {name}]
        folder = f"{path.absolute().parent.as_posix()}/"
        beside = [name for name in fitting if folder.endswith(f"/{PurePosixPath(name).parent}/")]
        best = fitting if len(fitting) == 1 else beside
        return best[0] if len(best) == 1 else None

    @cached_property
    def _in_sequence(self) -> Sequence[FileRow]:
        return [file for file in self.files if file.recording]

    @cached_property
    def _by_plain_name(self) -> Mapping[str, Sequence[str]]:
        """Names of recordings by their last parts."""
        names: dict[str, list[str]] = defaultdict(list)
        for name in self.by_name:
            names[PurePosixPath(name).name].append(name)
        return names


def _by_recording(boxes: Iterable[_Box]) -> Mapping[str, Sequence[_Box]]:
    parted: dict[str, list[_Box]] = defaultdict(list)
    for box in boxes:
        parted[box.recording].append(box)
    return dict(parted)
