"""What an analyst did to a Raven table of ours: its rows, as they came back, against the calls that they showed."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from whalescan.core import Annotation, Detection, TableError, plain_text
from whalescan.detections.validations import SAME_S, UNREVIEWED, Boxed, Judgement, added_id, same_box
from whalescan.review.raven.deletions import Seen, missed
from whalescan.review.raven.reviewed_table import BLANK, ReviewedTable
from whalescan.review.raven.run_snapshot import Held
from whalescan.review.raven.time_axis import Anchored, Axis, axis_of, edges, impossible, locate, n_unmoved, snapped
from whalescan.tables.csvs import FileRow

_SAID = {"yes": "yes", "y": "yes", "no": "no", "n": "no", "maybe": "maybe", "?": "maybe"}


@dataclass(frozen=True, slots=True)
class Compared:
    """What a table says.

    Attributes:
        claims: of each call that the table shows, for `settling.settle`.
        problems: rows that could not be taken, each with the table, the place and the remedy.
        notes: what was left as it was although the table might be read otherwise.
    """

    claims: tuple[Judgement, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


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
    return _Comparison(table, _as_written(table, held) if table.is_of_deployment else held).compared()


def _as_written(table: ReviewedTable, held: Held) -> Held:
    """The folder with its recordings in the sequence along which a table of all of them counts, as far as rows tell."""
    calls = [(row, boxes[0].recording, _begins(boxes)) for row in table.rows if (boxes := held.boxes(row.detection_id))]

    def fit(one: Held) -> int:
        known = [Anchored(row, one.by_name[name], begins) for row, name, begins in calls if name in one.by_name]
        return n_unmoved(known, Axis.SEQUENCE)

    if fit(held) == len(calls):
        return held
    last = max((held.since.get(name, 0) for _, name, _ in calls), default=0)
    earlier = (held.as_of(write) for write in sorted({0, *held.since.values()}, reverse=True)[1:] if write >= last)
    return max((held, *earlier), key=fit)


class _Comparison:
    """A table on its way: claims, problems and notes grow as its rows are read."""

    def __init__(self, table: ReviewedTable, held: Held) -> None:
        self.path, self.held = table.path, held
        self.claims: list[Judgement] = []
        self.problems: list[str] = []
        self.present: set[str] = set()
        self.first: dict[str, Judgement] = {}  # claim of each call
        self.relabelled = 0
        self.of_no_class = 0
        self.by_id: dict[str, list[Annotation]] = defaultdict(list)
        for row in table.rows:
            self.by_id[row.detection_id].append(row)
        self.without_id = self.by_id.pop("", [])
        self.named = {held.boxes(identity)[0].recording for identity in self.by_id}
        self.axis = axis_of(list(self._anchored()), Axis.SEQUENCE if table.is_of_deployment else Axis.RECORDING)
        self.is_of_all = table.is_of_deployment and self.axis is Axis.SEQUENCE

    def compared(self) -> Compared:
        """Every row, then what is not there."""
        for identity, rows in self.by_id.items():
            self._judge(identity, rows)
        for row in self.without_id:
            self._add(row)
        seen = Seen(
            self.path, self.by_id.keys(), self.present, self.named, self.is_of_all, holds_drawn=bool(self.without_id)
        )
        gone = missed(seen, self.held)
        relabelled = (
            [f"{self.path}: {self.relabelled} calls have another Annotation; only Review says what they are"]
            if self.relabelled
            else []
        )
        of_no_class = (
            [
                f"{self.path}: the Annotation of {self.of_no_class} added calls is none of {', '.join(self.held.classes)}; "
                "it is taken as it is, but these do not count in hours and days"
            ]
            if self.of_no_class
            else []
        )
        notes = (*gone.notes, *relabelled, *of_no_class)
        return Compared((*self.claims, *gone.claims), (*self.problems, *gone.problems), notes)

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
            recording = self.held.named.by_sound(row.sound)
            return self.held.by_name[recording.name] if recording else None
        if self.axis is Axis.SEQUENCE:
            return self.held.at(row.begin_s)
        if len(self.named) == 1:
            return self.held.by_name.get(next(iter(self.named)))
        name = self.held.written_for(self.path, self.named)
        named = self.held.named.by_table_name(self.path)
        return self.held.by_name.get(name or (named.name if named else ""))

    def _problem(self, row: Annotation, text: str) -> None:
        self.problems.append(f"{self.path}: the selection at {row.begin_s:g} s {text}")

    def _verdict(self, row: Annotation) -> str | None:
        """What a row's ``Review`` says; None where nobody can tell."""
        said = row.review.strip().casefold()
        if said == UNREVIEWED or said in BLANK:
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
                self.first.setdefault(identity, claim)
                self.claims.append(replace(claim, verdict=verdict, source=self.path.name))
            if row.label and row.label != claim.label:
                self.relabelled += 1

    def _place(self, row: Annotation, boxes: Sequence[Boxed]) -> Judgement | str:
        """The call in a box that it had, or in the one of the row; or what is wrong with the row."""
        file = self.held.by_name.get(boxes[0].recording)
        if file is None:
            return _as_it_was(boxes, 0)
        earlier = self.held.earlier.get(row.detection_id, ())
        begin_s = locate(Anchored(row, file, _begins((*earlier, *boxes))), self.axis)
        if isinstance(begin_s, str):
            return begin_s
        for i, box in enumerate(boxes):
            if snapped(row, begin_s, box, file) == edges(box):
                return _as_it_was(boxes, i)
        if any(snapped(row, begin_s, box, file) == edges(box) and box.channel == row.channel for box in earlier):
            return _as_it_was(boxes, len(boxes) - 1)  # the table is older than the box
        drawn = snapped(row, begin_s, boxes[-1], file)
        if problem := impossible(row, drawn, file):
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
        if problem := impossible(row, drawn, file):
            self._problem(row, problem)
        elif verdict is not None:
            call = Detection(file.name, row.channel, *drawn, self._label(row), None, "")
            self._claim_added(row, call, verdict)

    def _label(self, row: Annotation) -> str:
        """What an added call is: a class in the class's own spelling, or whatever else a person says."""
        label = plain_text(row.label) or self.held.label
        own = next((one for one in self.held.classes if one.casefold() == label.casefold()), None)
        self.of_no_class += own is None and bool(self.held.classes)
        return own or label

    def _claim_added(self, row: Annotation, call: Detection, verdict: str) -> None:
        """A call without an id: one of which the id was lost, one that was added before, or a new one."""
        for box in self.held.boxes_in.get(call.recording, ()):
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
            if not same_box(self.first.setdefault(identity, claim), claim):
                self._problem(row, "has its middle where another added one has it; move one of them by 2 ms")
                return
        self.present.add(claim.detection_id)
        self.claims.append(replace(claim, verdict=verdict, source=self.path.name))


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
