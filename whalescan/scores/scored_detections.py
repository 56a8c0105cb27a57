"""From stored scores to the calls in them, as every table names them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from whalescan.audio.windows import hearing
from whalescan.core import Detection, FloatArray, IntArray, WindowGrid, plain_text
from whalescan.detections import detection_rule
from whalescan.detections.detection_rule import Call, DetectionRule, Track
from whalescan.scores.score_file import ScoreFile

CONTEXT_S = 8
"""How far calls are sought beyond a border, so that what is named beside it does not depend on what lies further."""


def find_calls(
    scores: ScoreFile,
    rule: DetectionRule,
    before: Sequence[ScoreFile] = (),
    after: Sequence[ScoreFile] = (),
    already: Sequence[Detection] = (),
) -> Iterator[Detection]:
    """The calls that begin in one channel of a recording, as detections with a name and an id.

    Args:
        scores: the channel's scores.
        rule: what makes calls of them.
        before: scores of the recordings whose sound goes on in this one, in the order of time; `CONTEXT_S` of them count.
        after: scores of the recordings in which the sound goes on, likewise.
        already: what `carried_on` gives of the recordings before; a call that crosses the border is not found again.
    """
    recording, grid = scores.recording, scores.grid
    channel = "" if scores.channel == 1 else f".ch{scores.channel}"
    stretches = list(_stretches(scores, before, after))
    for column, label in enumerate(scores.classes):
        taken = [_middle_s(call) for call in already if (call.label, call.channel) == (label, scores.channel)]
        kind = "" if column == 0 else f"-{plain_text(label)}"
        for call in _own_calls(stretches, column, _n_samples(scores), rule):
            middle_s = grid.seconds(call.middle_sample)
            if any(abs(middle_s - other) < rule.separation_s for other in taken):
                continue
            high_hz = min(call.high_hz, recording.rate_hz / 2)
            end_s = grid.seconds(call.end_sample)
            yield Detection(
                recording=recording.name,
                channel=scores.channel,
                begin_s=grid.seconds(call.begin_sample),
                end_s=end_s if after else min(end_s, recording.duration_s),
                low_hz=call.low_hz if call.low_hz < high_hz else 0.0,  # a recording of 600 Hz holds nothing above 300
                high_hz=high_hz,
                label=label,
                score=call.score,
                detection_id=f"{plain_text(recording.name)}{channel}{kind}-{round(1000 * middle_s):09d}",
            )


def carried_on(already: Sequence[Detection], found: Sequence[Detection], scores: ScoreFile) -> list[Detection]:
    """The calls near the end of a recording, and of those before it, on the axis of the one in which its sound goes on."""
    length_s = _n_samples(scores) / scores.grid.rate_hz
    return [
        replace(call, begin_s=call.begin_s - length_s, end_s=call.end_s - length_s)
        for call in (*already, *found)
        if call.end_s > length_s - CONTEXT_S
    ]


def _own_calls(stretches: Sequence[_Stretch], column: int, n_samples: int, rule: DetectionRule) -> Iterator[Call]:
    """Calls of a class that begin in the recording itself."""
    for stretch in stretches:
        for call in detection_rule.find(stretch.scores[:, column], stretch.track, rule):
            if 0 <= call.begin_sample < n_samples:
                yield call


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Windows without a jump of the clock between them, of one recording and of what goes on beyond its borders."""

    scores: FloatArray
    track: Track


@dataclass(frozen=True, slots=True)
class _Axis:
    """The windows of a recording, on an axis on which it begins at ``shift``.

    Attributes:
        heard_from: where each window's hearing begins, which tells the side of a jump that it belongs to.
    """

    scores: ScoreFile
    shift: int
    heard_from: IntArray

    @staticmethod
    def of(scores: ScoreFile, shift: int = 0) -> _Axis:
        n_windows = len(scores.windows.scores)
        return _Axis(scores, shift, hearing(scores.grid, 0, n_windows, scores.reach_samples, scores.jumps)[:, 0])

    def own_jumps(self) -> list[int]:
        """The jumps within the recording itself."""
        return [jump for jump in self.scores.jumps if jump < _n_samples(self.scores)]

    def part(self, begin: int, end: int) -> slice:
        """The windows that hear what lies from ``begin`` to ``end`` of the recording."""
        first, last = np.searchsorted(self.heard_from, (begin, end))
        return slice(int(first), int(last))


def _stretches(scores: ScoreFile, before: Sequence[ScoreFile], after: Sequence[ScoreFile]) -> Iterator[_Stretch]:
    """A recording, cut where its clock jumps, with the windows beside it where the sound goes on."""
    own, n_samples = _Axis.of(scores), _n_samples(scores)
    for begin, end in itertools.pairwise([0, *own.own_jumps(), n_samples]):
        parts, reach = [(own, own.part(begin, end))], [begin, end]
        if begin == 0:
            for earlier in reversed(before):
                axis, n_earlier = _Axis.of(earlier, reach[0] - _n_samples(earlier)), _n_samples(earlier)
                first = max([0, n_earlier - (_context(scores) + reach[0]), *axis.own_jumps()])
                parts.insert(0, (axis, axis.part(first, n_earlier)))
                reach[0] += first - n_earlier
                if first > 0:
                    break
        if end == n_samples:
            for later in after:
                axis = _Axis.of(later, reach[1])
                last = min([_n_samples(later), _context(scores) + n_samples - reach[1], *axis.own_jumps()])
                parts.append((axis, axis.part(0, last)))
                reach[1] += last
                if last < _n_samples(later):
                    break
        yield _joined(parts, scores.grid, reach[0], reach[1])


def _context(scores: ScoreFile) -> int:
    return CONTEXT_S * scores.grid.rate_hz


def _joined(parts: Sequence[tuple[_Axis, slice]], grid: WindowGrid, begin: int, end: int) -> _Stretch:
    scores = [axis.scores.windows.scores[own] for axis, own in parts]
    boxes = [axis.scores.windows.boxes[own] for axis, own in parts]
    begins = [np.arange(own.start, own.stop, dtype=np.int64) * grid.hop_samples + axis.shift for axis, own in parts]
    return _Stretch(np.concatenate(scores), Track(grid, np.concatenate(begins), np.concatenate(boxes), begin, end))


def _n_samples(scores: ScoreFile) -> int:
    return scores.recording.n_samples(scores.grid.rate_hz)


def _middle_s(call: Detection) -> float:
    return (call.begin_s + call.end_s) / 2
