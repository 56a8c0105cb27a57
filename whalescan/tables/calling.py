"""From stored scores to the calls in them, as every table names them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from whalescan.calls import detections
from whalescan.calls.detections import Call, DetectionRule, Track
from whalescan.core import Detection, FloatArray, IntArray, WindowGrid, plain_text
from whalescan.sound import timeline
from whalescan.sound.windows import hearing
from whalescan.tables.scorefile import ScoreFile

_CONTEXT_S = 8
"""How far calls are sought beyond a border, so that what is named beside it does not depend on what lies further."""


def find_calls(
    scores: ScoreFile,
    rule: DetectionRule,
    before: ScoreFile | None = None,
    after: ScoreFile | None = None,
    already: Sequence[Detection] = (),
) -> Iterator[Detection]:
    """The calls that begin in one channel of a recording, as detections with a name and an id.

    Args:
        scores: the channel's scores.
        rule: what makes calls of them.
        before: scores of the recording whose sound goes on in this one, where there is one.
        after: scores of the recording in which the sound goes on, where there is one.
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
        if call.end_s > length_s - _CONTEXT_S
    ]


def _own_calls(stretches: Sequence[_Stretch], column: int, n_samples: int, rule: DetectionRule) -> Iterator[Call]:
    """Calls of a class that begin in the recording itself."""
    for stretch in stretches:
        for call in detections.find(stretch.scores[:, column], stretch.track, rule):
            if 0 <= call.begin_sample < n_samples:
                yield call


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Windows without a jump of the clock between them, of one recording and of what goes on beyond its borders."""

    scores: FloatArray
    track: Track


def _stretches(scores: ScoreFile, before: ScoreFile | None, after: ScoreFile | None) -> Iterator[_Stretch]:
    """A recording, cut where its clock jumps, with the windows beside it where the sound goes on."""
    n_samples, grid = _n_samples(scores), scores.grid
    inner = list(itertools.pairwise([0, *timeline.jumps(scores.recording, grid.rate_hz), n_samples]))
    for begin, end in inner:
        parts, reach = [_part(scores, begin, end, 0)], [begin, end]
        if before is not None and begin == 0:
            n_before = _n_samples(before)
            first = max([0, n_before - _CONTEXT_S * grid.rate_hz, *timeline.jumps(before.recording, grid.rate_hz)])
            parts.insert(0, _part(before, first, n_before, -n_before))
            reach[0] = first - n_before
        if after is not None and end == n_samples:
            last = min([_n_samples(after), _CONTEXT_S * grid.rate_hz, *timeline.jumps(after.recording, grid.rate_hz)])
            parts.append(_part(after, 0, last, n_samples))
            reach[1] = n_samples + last
        yield _joined(parts, grid, reach[0], reach[1])


@dataclass(frozen=True, slots=True)
class _Part:
    scores: FloatArray
    boxes: FloatArray
    begins: IntArray


def _part(scores: ScoreFile, begin: int, end: int, shift: int) -> _Part:
    """The windows that hear what lies from ``begin`` to ``end`` of a recording, on an axis that begins elsewhere."""
    n, grid = len(scores.windows.scores), scores.grid
    # where the sound ends matters not here: a window belongs to where its hearing begins
    heard = hearing(grid, 0, n, n * grid.hop_samples + grid.window_samples, timeline.jumps(scores.recording, grid.rate_hz))
    first, last = np.searchsorted(heard[:, 0], (begin, end))
    own = slice(first, last)
    begins = np.arange(first, last, dtype=np.int64) * grid.hop_samples + shift
    return _Part(scores.windows.scores[own], scores.windows.boxes[own], begins)


def _joined(parts: Sequence[_Part], grid: WindowGrid, begin: int, end: int) -> _Stretch:
    boxes = np.concatenate([part.boxes for part in parts])
    begins = np.concatenate([part.begins for part in parts])
    return _Stretch(np.concatenate([part.scores for part in parts]), Track(grid, begins, boxes, begin, end))


def _n_samples(scores: ScoreFile) -> int:
    return scores.recording.n_samples(scores.grid.rate_hz)


def _middle_s(call: Detection) -> float:
    return (call.begin_s + call.end_s) / 2
