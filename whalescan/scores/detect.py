"""Detections made of stored scores: of one recording, and of a whole survey."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from whalescan.audio import timeline
from whalescan.audio.windows import window_extents
from whalescan.core import Detection, FloatArray, IntArray, MissingSpan, RecordingResult, WindowGrid, plain_text
from whalescan.core.intervals import subtract
from whalescan.detections import detection_rule
from whalescan.detections.detection_rule import DetectionRule, SampleDetection, WindowTrack
from whalescan.scores.score_file import ScoreFile, read_scores, score_path

CONTEXT_S = 8
"""How far neighbouring recordings are searched beyond a border, so that detections beside it do not depend on what lies
further away."""


def detect_in_channel(
    scores: ScoreFile,
    rule: DetectionRule,
    preceding: Sequence[ScoreFile] = (),
    following: Sequence[ScoreFile] = (),
    earlier: Sequence[Detection] = (),
) -> Iterator[Detection]:
    """Yield the detections that begin in one channel of a recording, with their IDs.

    Args:
        scores: of the channel.
        rule: how scores become detections.
        preceding: scores of the recordings that this one continues, in the order of time; `CONTEXT_S` of them are used.
        following: scores of the recordings that continue this one, likewise.
        earlier: what `shift_to_next` returns of the preceding recordings; a detection across the border is not repeated.
    """
    recording, grid = scores.recording, scores.grid
    channel = "" if scores.channel == 1 else f".ch{scores.channel}"
    segments = list(_segments(scores, preceding, following))
    for column, label in enumerate(scores.classes):
        earlier_s = [_middle_s(one) for one in earlier if (one.label, one.channel) == (label, scores.channel)]
        kind = "" if column == 0 else f"-{plain_text(label)}"
        for found in _detect_in_segments(segments, column, _n_samples(scores), rule):
            middle_s = grid.seconds(found.middle_sample)
            if any(abs(middle_s - other_s) < rule.separation_s for other_s in earlier_s):
                continue
            high_hz = min(found.high_hz, recording.rate_hz / 2)
            end_s = grid.seconds(found.end_sample)
            yield Detection(
                recording=recording.name,
                channel=scores.channel,
                begin_s=grid.seconds(found.begin_sample),
                end_s=end_s if following else min(end_s, recording.duration_s),
                low_hz=found.low_hz if found.low_hz < high_hz else 0.0,  # at 600 Hz, nothing above 300 Hz is recorded
                high_hz=high_hz,
                label=label,
                score=found.score,
                detection_id=f"{plain_text(recording.name)}{channel}{kind}-{round(1000 * middle_s):09d}",
            )


def shift_to_next(earlier: Sequence[Detection], found: Sequence[Detection], scores: ScoreFile) -> list[Detection]:
    """Return the detections near the end of a recording, with times from the first sample of the one that continues it.

    Args:
        earlier: detections of the recordings before, with times from this one's first sample.
        found: detections of this recording.
        scores: of this recording.
    """
    length_s = _n_samples(scores) / scores.grid.rate_hz
    return [
        replace(detection, begin_s=detection.begin_s - length_s, end_s=detection.end_s - length_s)
        for detection in (*earlier, *found)
        if detection.end_s > length_s - CONTEXT_S
    ]


def _detect_in_segments(
    segments: Sequence[_Segment], column: int, n_samples: int, rule: DetectionRule
) -> Iterator[SampleDetection]:
    """Yield the detections of one class that begin in the recording itself."""
    for segment in segments:
        for found in detection_rule.find_detections(segment.scores[:, column], segment.track, rule):
            if 0 <= found.begin_sample < n_samples:
                yield found


@dataclass(frozen=True, slots=True)
class _Segment:
    """Windows without a timestamp discontinuity between them, of a recording and of its neighbours.

    Attributes:
        scores: float32 ``[n_windows, n_classes]``.
        track: the windows, with times from the recording's first sample.
    """

    scores: FloatArray
    track: WindowTrack


@dataclass(frozen=True, slots=True)
class _ShiftedScores:
    """The scores of a recording that begins at a sample of another one's time axis.

    Attributes:
        begin_sample: where it begins there.
        extent_begins: int64 ``[n_windows]``, the first sample that each window uses, from the recording's own first; it
            tells on which side of a discontinuity the window lies.
    """

    scores: ScoreFile
    begin_sample: int
    extent_begins: IntArray

    @staticmethod
    def at(begin_sample: int, scores: ScoreFile) -> _ShiftedScores:
        n_windows = len(scores.windows.scores)
        extents = window_extents(scores.grid, 0, n_windows, scores.reach_samples, scores.discontinuities)
        return _ShiftedScores(scores, begin_sample, extents[:, 0])

    def discontinuities(self) -> list[int]:
        """Return the discontinuities within the recording itself."""
        return [sample for sample in self.scores.discontinuities if sample < _n_samples(self.scores)]

    def windows_within(self, begin: int, end: int) -> slice:
        """Return the windows that use samples from ``begin`` to ``end`` of the recording."""
        first, last = np.searchsorted(self.extent_begins, (begin, end))
        return slice(int(first), int(last))


def _segments(scores: ScoreFile, preceding: Sequence[ScoreFile], following: Sequence[ScoreFile]) -> Iterator[_Segment]:
    """Yield a recording in segments between discontinuities; the first and last include the neighbours' windows."""
    own, n_samples = _ShiftedScores.at(0, scores), _n_samples(scores)
    context = CONTEXT_S * scores.grid.rate_hz
    for first, last in itertools.pairwise([0, *own.discontinuities(), n_samples]):
        parts, begin, end = [(own, own.windows_within(first, last))], first, last
        if first == 0:
            for neighbour in reversed(preceding):
                n_neighbour = _n_samples(neighbour)
                shifted = _ShiftedScores.at(begin - n_neighbour, neighbour)
                used_from = max([0, n_neighbour - (context + begin), *shifted.discontinuities()])
                parts.insert(0, (shifted, shifted.windows_within(used_from, n_neighbour)))
                begin += used_from - n_neighbour
                if used_from > 0:
                    break
        if last == n_samples:
            for neighbour in following:
                shifted = _ShiftedScores.at(end, neighbour)
                used_to = min([_n_samples(neighbour), context + n_samples - end, *shifted.discontinuities()])
                parts.append((shifted, shifted.windows_within(0, used_to)))
                end += used_to
                if used_to < _n_samples(neighbour):
                    break
        yield _join(parts, scores.grid, begin, end)


def _join(parts: Sequence[tuple[_ShiftedScores, slice]], grid: WindowGrid, begin: int, end: int) -> _Segment:
    scores = [shifted.scores.windows.scores[own] for shifted, own in parts]
    boxes = [shifted.scores.windows.boxes[own] for shifted, own in parts]
    begins = [
        np.arange(own.start, own.stop, dtype=np.int64) * grid.hop_samples + shifted.begin_sample for shifted, own in parts
    ]
    track = WindowTrack(grid, np.concatenate(begins), np.concatenate(boxes), begin, end)
    return _Segment(np.concatenate(scores), track)


def _n_samples(scores: ScoreFile) -> int:
    return scores.recording.n_samples(scores.grid.rate_hz)


def _middle_s(detection: Detection) -> float:
    return (detection.begin_s + detection.end_s) / 2


def detect_all(
    folder: Path, results: Iterable[RecordingResult], rule: DetectionRule
) -> Iterator[tuple[RecordingResult, tuple[ScoreFile, ...]]]:
    """Yield each recording with its detections and missing spans, and its scores, one file for each channel.

    Scores are read once, and those of only a few recordings are in memory at a time. The recording in a result is the
    stored one where the two differ.

    Args:
        folder: where score files lie.
        results: recordings with the channels whose scores are stored, in any order; contiguous ones are returned in the
            order of time.
        rule: how scores become detections.

    Raises:
        TableError: when scores cannot be read.
    """
    by_name = {result.name: result for result in results}
    followers = timeline.successors(result.readable_recording() for result in by_name.values())
    following_names = {recording.name for recording in followers.values()}
    for head in (result for name, result in by_name.items() if name not in following_names):
        sequence = [head]
        while (following := followers.get(sequence[-1].name)) is not None:
            sequence.append(by_name[following.name])
        yield from _detect_sequence(folder, sequence, rule)


def missing_on_all_channels(channels: Sequence[ScoreFile]) -> tuple[MissingSpan, ...]:
    """Return the spans that were analysed on none of a recording's channels, in samples of the recording itself."""
    first, *others = channels
    found: list[MissingSpan] = []
    for span in first.missing_spans:
        on_all = np.array([[span.begin_sample, span.end_sample]], np.int64)
        for other in others:
            missing = np.array([(one.begin_sample, one.end_sample) for one in other.missing_spans], np.int64).reshape(-1, 2)
            on_all = subtract(on_all, subtract(on_all, missing))
        found += [MissingSpan(begin, end, span.kind) for begin, end in on_all.tolist()]
    recording, rate_hz = first.recording, first.grid.rate_hz
    return tuple(MissingSpan(*timeline.frame_span(recording, span, rate_hz), span.kind) for span in found)


def _detect_sequence(
    folder: Path, sequence: Sequence[RecordingResult], rule: DetectionRule
) -> Iterator[tuple[RecordingResult, tuple[ScoreFile, ...]]]:
    """Detect in contiguous recordings; the scores of neighbours within `CONTEXT_S` of a recording are in memory with it."""
    loaded: deque[list[ScoreFile]] = deque()
    earlier: list[Detection] = []
    n_read = own_index = 0
    for n_done, result in enumerate(sequence):
        while n_read < len(sequence) and (n_read <= n_done or _length_s(list(loaded)[own_index + 1 :]) < CONTEXT_S):
            loaded.append(_read(folder, sequence[n_read]))
            n_read += 1
        files = list(loaded)
        own, preceding, following = files[own_index], files[:own_index], files[own_index + 1 :]
        found = [
            detection
            for i, scores in enumerate(own)
            for detection in detect_in_channel(
                scores, rule, [channels[i] for channels in preceding], [channels[i] for channels in following], earlier
            )
        ]
        detections = tuple(sorted(found, key=lambda detection: (detection.begin_s, detection.channel)))
        missing_spans = missing_on_all_channels(own)
        known = result.with_recording(own[0].recording)
        yield replace(known, detections=detections, missing_spans=missing_spans), tuple(own)
        earlier = shift_to_next(earlier, found, own[0])
        own_index += 1
        while own_index > 1 and _length_s(list(loaded)[1:own_index]) >= CONTEXT_S:
            loaded.popleft()
            own_index -= 1


def _length_s(loaded: Iterable[Sequence[ScoreFile]]) -> float:
    return sum(channels[0].recording.duration_s for channels in loaded)


def _read(folder: Path, result: RecordingResult) -> list[ScoreFile]:
    """Read the scores of each channel; where the stored recording equals the given one, that object is used, not a copy."""
    recording = result.readable_recording()
    stored = [read_scores(score_path(folder, result.name, channel)) for channel in result.channels]
    return [replace(scores, recording=recording) if scores.recording == recording else scores for scores in stored]
