"""What an analyst did to a Raven table of ours: the table as it came back, against the calls that it showed."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from whalescan.calls.judgements import SAME_S, UNREVIEWED, Boxed, Judgement, added_id, same_box
from whalescan.core import Annotation, Detection, TableError, plain_text
from whalescan.tables.csvs import FileRow
from whalescan.tables.held import Held
from whalescan.tables.ravenaxis import Anchored, Axis, Edges, axis_of, edges, in_sequence, locate, snapped
from whalescan.tables.selections import by_sound, by_table_name, columns, read_selections

_DEPLOYMENT = "deployment.whalescan.sound."
_SAID = {"yes": "yes", "y": "yes", "no": "no", "n": "no", "maybe": "maybe", "?": "maybe"}
_BLANK = frozenset({"", "na", "nan", "none"})
"""What programs write for a blank cell, in lower case."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What a table says.

    Attributes:
        claims: of each call that the table shows, for `judgements.settle`.
        problems: rows that could not be taken, each with the table, the place and the remedy.
        notes: what was left as it was although the table might be read otherwise.
    """

    claims: tuple[Judgement, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReviewedTable:
    """A table as it came back; ``rows`` with ids that are blank where nobody knows the call."""

    path: Path
    rows: tuple[Annotation, ...]


def read_table(path: Path) -> ReviewedTable:
    """Read a table that may hold reviews.

    Raises:
        TableError: when it is no Raven table, or has no column for the ids by which calls are known.
    """
    rows = read_selections(path)
    if "detection id" not in columns(path):
        raise TableError(
            f"{path}: has no column Detection ID, by which calls are known; save the table with all its columns"
        )
    return ReviewedTable(
        path, tuple(replace(row, detection_id="") if row.detection_id.casefold() in _BLANK else row for row in rows)
    )


def lowest_score(tables: Iterable[ReviewedTable]) -> float | None:
    """Of a row that names a call, half of the last decimal below what it says; None where no row says any."""
    scores = (row.score - 5e-5 for table in tables for row in table.rows if row.detection_id and row.score is not None)
    return min((score for score in scores if 0 < score <= 1), default=None)


def compare(table: ReviewedTable, held: Held) -> Compared:
    """What a table says of the calls that it shows.

    A row is known by its id; a second row of one id elsewhere, and a row without an id, is a call that a person added.

    Raises:
        TableError: when the table names calls that the folder never held.
    """
    strangers = [row.detection_id for row in table.rows if row.detection_id and not held.boxes(row.detection_id)]
    if strangers:
        raise TableError(
            f"{table.path}: {len(strangers)} of its calls are not of this folder, the first is {strangers[0]}; import the "
            "table into the folder whose `run` wrote it. Nothing was taken"
        )
    return _Comparison(table, held).compared()


class _Comparison:
    """A table on its way: claims, problems and notes grow as its rows are read."""

    def __init__(self, table: ReviewedTable, held: Held) -> None:
        self.path, self.held = table.path, held
        self.claims: list[Judgement] = []
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.present: set[str] = set()
        self.relabelled = 0
        self.by_id: dict[str, list[Annotation]] = defaultdict(list)
        for row in table.rows:
            self.by_id[row.detection_id].append(row)
        self.without_id = self.by_id.pop("", [])
        self.named = {held.boxes(identity)[0].recording for identity in self.by_id}
        self.is_deployment = table.path.name.startswith(_DEPLOYMENT)
        self.axis = axis_of(list(self._anchored()), Axis.SEQUENCE if self.is_deployment else Axis.RECORDING)

    def compared(self) -> Compared:
        """Every row, then what is not there."""
        for identity, rows in self.by_id.items():
            self._judge(identity, rows)
        for row in self.without_id:
            self._add(row)
        self._miss(self._shown())
        return Compared(tuple(self.claims), tuple(self.problems), tuple(self.notes))

    def _anchored(self) -> Iterator[Anchored]:
        """The rows whose recordings are known."""
        for identity, rows in self.by_id.items():
            boxes = self.held.boxes(identity)
            if file := self.held.by_name.get(boxes[0].recording):
                yield from (Anchored(row, file, _begins(boxes)) for row in rows)
        for row in self.without_id:
            if row.sound and (file := self._named_by(row)):
                yield Anchored(row, file, () if row.file_offset_s is None else (row.file_offset_s,))

    def _named_by(self, row: Annotation) -> FileRow | None:
        """The recording that a row names; where it names none, the one that its time or the table tells."""
        if row.sound:
            recording = by_sound(row.sound, self.held.recordings)
            return self.held.by_name[recording.name] if recording else None
        if self.axis is Axis.SEQUENCE:
            return in_sequence(row.begin_s, self.held.files)
        if len(self.named) == 1:
            return self.held.by_name.get(next(iter(self.named)))
        name = _written_for(self.path, self.named, self.held)
        named = by_table_name(self.path, self.held.recordings)
        return self.held.by_name.get(name or (named.name if named else ""))

    def _problem(self, row: Annotation, text: str) -> None:
        self.problems.append(f"{self.path}: the selection at {row.begin_s:g} s {text}")

    def _verdict(self, row: Annotation) -> str | None:
        """What a row's ``Review`` says; None where nobody can tell."""
        said = row.review.strip().casefold()
        if said == UNREVIEWED or said in _BLANK:
            return UNREVIEWED
        if said not in _SAID:
            self._problem(row, f"says {row.review!r} in Review; write yes, no or maybe there, and import the table again")
        return _SAID.get(said)

    def _judge(self, identity: str, rows: Sequence[Annotation]) -> None:
        """What the rows of one id say; the nearest to where the call was is the call's own."""
        boxes = self.held.boxes(identity)
        placed = [(row, self._place(row, boxes)) for row in rows]
        own_row, own = min(placed, key=lambda pair: _distance(pair[1], boxes))
        if isinstance(own, Judgement) and own.channel != boxes[-1].channel:  # all are drawn anew, on another channel
            for row in rows:
                self._add(row, _begins(boxes))
            return
        for row, place in placed:
            near = (*boxes, own) if isinstance(own, Judgement) else boxes
            if row is not own_row and isinstance(place, Judgement) and not any(same_box(place, box) for box in near):
                self._add(row, _begins(boxes))
                continue
            if isinstance(place, str):
                self._problem(row, place)
            verdict = self._verdict(row)
            claim = place if isinstance(place, Judgement) else _as_it_was(boxes, len(boxes) - 1)
            self.present.add(identity)  # also where nobody understands what the row says
            if verdict is not None:
                self.claims.append(replace(claim, verdict=verdict, source=self.path.name))
            if row.label and row.label != claim.label:
                self.relabelled += 1

    def _place(self, row: Annotation, boxes: Sequence[Boxed]) -> Judgement | str:
        """The call in a box that it had, or in the one of the row; or what is wrong with the row."""
        file = self.held.by_name.get(boxes[0].recording)
        if file is None:
            return _as_it_was(boxes, 0)
        begin_s = locate(Anchored(row, file, _begins(boxes)), self.axis)
        if isinstance(begin_s, str):
            return begin_s
        for i, box in enumerate(boxes):
            if snapped(row, begin_s, box, file) == edges(box):
                return _as_it_was(boxes, i)
        drawn = snapped(row, begin_s, boxes[-1], file)
        if problem := _impossible(row, drawn, file):
            return problem
        begin_s, end_s, low_hz, high_hz = drawn
        origin = "added" if boxes[-1].score is None else "moved"
        last = _as_it_was(boxes, len(boxes) - 1)
        return replace(
            last, channel=row.channel, begin_s=begin_s, end_s=end_s, low_hz=low_hz, high_hz=high_hz, origin=origin
        )

    def _add(self, row: Annotation, begins_s: tuple[float, ...] = ()) -> None:
        """A call that a person drew."""
        verdict, file = self._verdict(row), self._named_by(row)
        if file is None or file.recording is None:
            of = f"lies in {row.sound}, which is not one" if row.sound else "names no sound file, and its time none"
            self._problem(row, f"{of} of the recordings of this folder; mend Begin Path, or its times")
            return
        begin_s = locate(Anchored(row, file, begins_s), self.axis)
        if isinstance(begin_s, str):
            self._problem(row, begin_s)
            return
        drawn = snapped(row, begin_s, None, file)
        if problem := _impossible(row, drawn, file):
            self._problem(row, problem)
        elif verdict is not None:
            call = Detection(file.name, row.channel, *drawn, plain_text(row.label) or self.held.label, None, "")
            self._claim_added(row, call, verdict)

    def _claim_added(self, row: Annotation, call: Detection, verdict: str) -> None:
        """A call without an id: one of which the id was lost, one that was added before, or a new one."""
        for box in self.held.in_recording.get(call.recording, ()):
            if box.channel == call.channel and same_box(box, call) and box.detection_id not in self.by_id:
                boxes = self.held.boxes(box.detection_id)
                claim = _as_it_was(boxes, boxes.index(box))
                break
        else:
            identity = added_id(plain_text(call.recording), call.channel, (call.begin_s + call.end_s) / 2)
            before = self.held.judged.get(identity)
            was_moved = before is not None and abs(before.begin_s + before.end_s - call.begin_s - call.end_s) > 2 * SAME_S
            claim = Judgement.of(replace(call, detection_id=identity), verdict, "added")
            claim = before if before is not None and was_moved else claim
            other = next((one for one in self.claims if one.detection_id == identity and not same_box(one, claim)), None)
            if other is not None:
                self._problem(row, "has its middle where another added one has it; move one of them by 2 ms")
                return
        self.present.add(claim.detection_id)
        self.claims.append(replace(claim, verdict=verdict, source=self.path.name))

    def _shown(self) -> frozenset[str]:
        """The recordings whose calls the table showed."""
        every = frozenset(self.held.by_name)
        if self.is_deployment and self.axis is Axis.SEQUENCE:
            return every
        own = _written_for(self.path, self.named, self.held)
        shown = frozenset(self.named if own is None else {own}) & every
        if not shown and not self.without_id:
            self.problems.append(
                f"{self.path}: no row of it names a call, and its name no recording; nothing was taken from it. Give it the "
                "name under which it was written"
            )
        elif own is None and len(shown) < len(every):
            self.notes.append(
                f"{self.path}: speaks of {len(shown)} of {len(every)} recordings; calls in the others are left as they were"
            )
        return shown

    def _miss(self, shown: frozenset[str]) -> None:
        """Calls that the table showed and that are not in it were deleted."""
        threshold = self._threshold()
        found = self.held.calls.get(threshold, self.held.known)
        below = 0
        for identity, call in self.held.known.items():
            if call.recording not in shown or identity in self.present:
                continue
            if identity in found and is_above(call, threshold):
                self.claims.append(Judgement.of(call, "no", "deleted", self.path.name))
            elif identity not in self.held.judged:
                below += is_above(call, min(self.held.thresholds))
        self._miss_added(shown)
        if below:
            self.notes.append(
                f"{self.path}: {below} calls that score below {threshold:g} are not in it, and may never have been, since "
                "tables were written at several thresholds; they are left as they were"
            )
        if self.relabelled:
            self.notes.append(
                f"{self.path}: {self.relabelled} calls have another Annotation; only Review says what they are"
            )

    def _miss_added(self, shown: frozenset[str]) -> None:
        """Added calls were shown only where the table holds, by its id, one that was added at the same time or later."""
        added = [one for one in self.held.judged.values() if one.score is None]
        last = max((i for i, one in enumerate(added) if one.detection_id in self.by_id), default=-1)
        unknown = 0
        for i, one in enumerate(added):
            if one.recording in shown and one.detection_id not in self.present and one.verdict in ("yes", "maybe"):
                if i < last:
                    self.claims.append(replace(one, verdict="no", origin="deleted", source=self.path.name))
                else:
                    unknown += 1
        if unknown:
            self.notes.append(
                f"{self.path}: {unknown} calls that people added are not in it, and may never have been; they are left as "
                "they were. To withdraw one, write no in its Review"
            )

    def _threshold(self) -> float:
        """The highest at which the table may have been written: with it, nothing counts as deleted that was never shown.

        A call that somebody confirmed is shown at any threshold, and so tells nothing of it.
        """
        judged = self.held.judged
        kept = {identity for identity in self.by_id if identity in judged and judged[identity].verdict in ("yes", "maybe")}
        rows = [self.held.known[identity] for identity in self.by_id if identity in self.held.known and identity not in kept]
        possible = [t for t in self.held.thresholds if all(is_above(call, t) for call in rows)]
        return max(possible) if possible else min(call.score or 0.0 for call in rows)


def is_above(call: Detection, threshold: float) -> bool:
    """Whether a call opens at a threshold; scores are float32, and are compared as such."""
    return bool(np.float32(call.score or 0.0) >= np.float32(threshold))


def _written_for(path: Path, named: Iterable[str], held: Held) -> str | None:
    """The recording for which a table was written, by its name; None where its rows speak of others, or two can be meant."""
    fitting = [name for name in held.by_name if path.name.startswith(f"{plain_name(name)}.whalescan.")]
    fitting = [name for name in fitting if set(named) <= {name}]
    folder = f"{path.absolute().parent.as_posix()}/"
    beside = [name for name in fitting if folder.endswith(f"/{PurePosixPath(name).parent}/")]
    best = fitting if len(fitting) == 1 else beside
    return best[0] if len(best) == 1 else None


def plain_name(name: str) -> str:
    """The last part of a recording's name."""
    return PurePosixPath(name).name


def _begins(boxes: Sequence[Boxed]) -> tuple[float, ...]:
    return tuple(box.begin_s for box in boxes)


def _distance(place: Judgement | str, boxes: Sequence[Boxed]) -> float:
    """How far a box went; another channel is further than any time."""
    if isinstance(place, str):
        return math.inf
    other_channel = 1e9 * (place.channel != boxes[-1].channel)
    return min(abs(place.begin_s - box.begin_s) + abs(place.end_s - box.end_s) for box in boxes) + other_channel


def _as_it_was(boxes: Sequence[Boxed], i: int) -> Judgement:
    """A call in one of its boxes, as a claim without a verdict."""
    box = boxes[i]
    if isinstance(box, Detection):
        return Judgement.of(box, UNREVIEWED, "review")
    origin = box.origin
    if origin == "deleted":  # whoever shows it again did not delete it
        origin = "added" if box.score is None else "moved" if len(boxes) > 1 else "review"
    return replace(box, verdict=UNREVIEWED, origin=origin)


def _impossible(row: Annotation, drawn: Edges, file: FileRow) -> str:
    """What is wrong with a box that nobody can have drawn; empty where nothing is."""
    begin_s, end_s, low_hz, high_hz = drawn
    if file.recording is not None and not 1 <= row.channel <= file.recording.channels:
        return f"is on channel {row.channel}, of {file.recording.channels}; mend its Channel"
    if not (begin_s < end_s and 0 <= low_hz < high_hz < math.inf):
        return f"has edges of {low_hz:g} and {high_hz:g} Hz; mend its frequencies"
    return ""
