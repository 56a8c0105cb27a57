"""Detections made of stored scores: of one recording, and of a whole survey."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from whalescan.audio import timeline
from whalescan.core import BoolArray, ColumnScores, Detection, MissingSpan, RecordingResult, plain_text
from whalescan.core.intervals import subtract
from whalescan.detections.detection_rule import ColumnTrack, DetectionRule, SampleDetection, find_detections
from whalescan.scores.score_file import ScoreFile, read_scores, score_path

CONTEXT_S = 8
"""How far neighbouring recordings are searched beyond a border, so that detections beside it do not depend on what lies
further away."""


@dataclass(frozen=True, slots=True)
class LocatedDetection:
    """A detection, and the time that identifies it.

    Attributes:
        peak_s: time of its peak, in seconds from the first sample of the recording in which it begins.
    """

    detection: Detection
    peak_s: float


def detect_in_channel(
    scores: ScoreFile,
    rule: DetectionRule,
    preceding: Sequence[ScoreFile] = (),
    following: Sequence[ScoreFile] = (),
    earlier: Sequence[LocatedDetection] = (),
) -> Iterator[LocatedDetection]:
    """Yield the detections that begin in one channel of a recording, with their IDs.

    Args:
        scores: of the channel.
        rule: how log-odds become detections.
        preceding: scores of the recordings that this one continues, in the order of time; `CONTEXT_S` of them are used.
        following: scores of the recordings that continue this one, likewise.
        earlier: what `shift_to_next` returns of the preceding recordings; a detection across the border is not repeated.
    """
    recording, grid, channel = scores.recording, scores.column_grid, scores.channel
    segments = list(_segments(scores, preceding, following))
    for index, label in enumerate(scores.classes):
        earlier_s = [one.peak_s for one in earlier if (one.detection.label, one.detection.channel) == (label, channel)]
        for found in _detect_in_segments(segments, index, _n_samples(scores), rule):
            peak_s = grid.seconds(found.peak_sample)
            if any(abs(peak_s - other_s) < rule.separation_s for other_s in earlier_s):
                continue
            high_hz = min(found.high_hz, recording.rate_hz / 2)
            end_s = grid.seconds(found.end_sample)
            detection = Detection(
                recording=recording.name,
                channel=channel,
                begin_s=grid.seconds(found.begin_sample),
                end_s=end_s if following else min(end_s, recording.duration_s),
                low_hz=found.low_hz if found.low_hz < high_hz else 0.0,  # at 600 Hz, nothing above 300 Hz is recorded
                high_hz=high_hz,
                label=label,
                score=found.score,
                detection_id=_detection_id(recording.name, channel, "" if index == 0 else label, peak_s),
            )
            yield LocatedDetection(detection, peak_s)


def _detection_id(recording: str, channel: int, label: str, peak_s: float) -> str:
    """Return the ID of a detection.

    Args:
        recording: name of the recording.
        channel: 1-based.
        label: the class; empty for the model's first.
        peak_s: time of its peak, which may lie before the recording where the box does not.
    """
    name = plain_text(recording) + ("" if channel == 1 else f".ch{channel}") + (f"-{plain_text(label)}" if label else "")
    return f"{name}-{round(1000 * max(peak_s, 0)):09d}"


def shift_to_next(
    earlier: Sequence[LocatedDetection], found: Sequence[LocatedDetection], scores: ScoreFile
) -> list[LocatedDetection]:
    """Return the detections near the end of a recording, with peaks from the first sample of the one that continues it.

    Args:
        earlier: detections of the recordings before, with peaks from this one's first sample.
        found: detections of this recording.
        scores: of this recording.
    """
    length_s = _n_samples(scores) / scores.column_grid.rate_hz
    return [
        replace(located, peak_s=located.peak_s - length_s)
        for located in (*earlier, *found)
        if located.peak_s > length_s - CONTEXT_S
    ]


def _detect_in_segments(
    segments: Sequence[_Segment], index: int, n_samples: int, rule: DetectionRule
) -> Iterator[SampleDetection]:
    """Yield the detections of one class that begin in the recording itself."""
    for segment in segments:
        for found in find_detections(segment.track(index), rule):
            if 0 <= found.begin_sample < n_samples:
                yield found


@dataclass(frozen=True, slots=True)
class _Segment:
    """Columns without a timestamp discontinuity between them, of a recording and of its neighbours.

    Attributes:
        rate_hz: samples per second.
        middles: float64 ``[n_columns]``, the middle of each column, in samples from the recording's first.
        columns: the columns.
        begin_sample, end_sample: begin and end of the sound that they lie in.
    """

    rate_hz: int
    middles: npt.NDArray[np.float64]
    columns: ColumnScores
    begin_sample: int
    end_sample: int

    def track(self, index: int) -> ColumnTrack:
        """Return the columns of one class."""
        log_odds = self.columns.log_odds[:, index]
        return ColumnTrack(self.rate_hz, self.middles, log_odds, self.columns.boxes, self.begin_sample, self.end_sample)


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a recording that begins at a sample of another one's time axis.

    Attributes:
        scores: of the recording.
        origin_sample: the sample of the axis at which the recording begins.
        begin_sample, end_sample: begin and end of the part on the axis.
    """

    scores: ScoreFile
    origin_sample: int
    begin_sample: int
    end_sample: int


def _segments(scores: ScoreFile, preceding: Sequence[ScoreFile], following: Sequence[ScoreFile]) -> Iterator[_Segment]:
    """Yield a recording in segments between discontinuities; the first and last include the neighbours' columns."""
    n_samples, context = _n_samples(scores), CONTEXT_S * scores.column_grid.rate_hz
    for first, last in itertools.pairwise([0, *_own_discontinuities(scores), n_samples]):
        parts = [_Part(scores, 0, first, last)]
        if first == 0:
            begin = 0
            for neighbour in reversed(preceding):
                origin = begin - _n_samples(neighbour)
                used_from = max([origin, -context, *(origin + sample for sample in _own_discontinuities(neighbour))])
                parts.insert(0, _Part(neighbour, origin, used_from, begin))
                begin = origin
                if used_from > origin:
                    break
        if last == n_samples:
            end = n_samples
            for neighbour in following:
                origin, end = end, end + _n_samples(neighbour)
                used_to = min([end, n_samples + context, *(origin + sample for sample in _own_discontinuities(neighbour))])
                parts.append(_Part(neighbour, origin, origin, used_to))
                if used_to < end:
                    break
        yield _join(parts)


def _join(parts: Sequence[_Part]) -> _Segment:
    """Return the columns of contiguous parts as one segment.

    A recording's columns reach on into those that continue it, and were scored with the sound of both. They take the place
    of the following recording's first columns, except where that recording itself has no scores: its first samples count as
    not analysed then.
    """
    grid = parts[0].scores.column_grid
    begin, end = parts[0].begin_sample, parts[-1].end_sample
    middles, columns = [], []
    for i, part in enumerate(parts):
        own = part.scores.columns
        places = part.origin_sample + (np.arange(len(own), dtype=np.float64) + 0.5) * grid.column_samples
        is_scored = ~np.isnan(own.log_odds).all(axis=1) & _are_scored(places, parts[i + 1 :])
        is_used = (places >= begin) & (places < end) & ((places < part.end_sample) | is_scored)
        middles.append(places[is_used])
        columns.append(ColumnScores(own.log_odds[is_used], own.boxes[is_used], own.complexity[is_used]))
        if len(middles[-1]):  # two columns are at least half a column apart
            begin = max(part.begin_sample, middles[-1][-1] + grid.column_samples / 2)
    return _Segment(grid.rate_hz, np.concatenate(middles), ColumnScores.join(columns), parts[0].begin_sample, end)


def _are_scored(places: npt.NDArray[np.floating], following: Sequence[_Part]) -> BoolArray:
    """Return which places do not lie where a following recording's own column has no scores: bool ``[n_places]``."""
    are_scored = np.ones(len(places), np.bool_)
    for part in following:
        columns, step = part.scores.columns, part.scores.column_grid.column_samples
        indices = ((places - part.origin_sample) // step).astype(np.int64).clip(0, len(columns) - 1)
        is_inside = (places >= part.begin_sample) & (places < part.end_sample)
        are_scored &= ~(is_inside & np.isnan(columns.log_odds[indices]).all(axis=1))
    return are_scored


def _own_discontinuities(scores: ScoreFile) -> list[int]:
    """Return the discontinuities within the recording itself, without those of recordings that continue it."""
    return [sample for sample in scores.discontinuities if sample < _n_samples(scores)]


def _n_samples(scores: ScoreFile) -> int:
    return scores.recording.n_samples(scores.column_grid.rate_hz)


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
        rule: how log-odds become detections.

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
    recording, rate_hz = first.recording, first.column_grid.rate_hz
    return tuple(MissingSpan(*timeline.frame_span(recording, span, rate_hz), span.kind) for span in found)


def _detect_sequence(
    folder: Path, sequence: Sequence[RecordingResult], rule: DetectionRule
) -> Iterator[tuple[RecordingResult, tuple[ScoreFile, ...]]]:
    """Detect in contiguous recordings; the scores of neighbours within `CONTEXT_S` of a recording are in memory with it."""
    loaded: deque[list[ScoreFile]] = deque()
    earlier: list[LocatedDetection] = []
    n_read = own_index = 0
    for n_done, result in enumerate(sequence):
        while n_read < len(sequence) and (n_read <= n_done or _length_s(list(loaded)[own_index + 1 :]) < CONTEXT_S):
            loaded.append(_read(folder, sequence[n_read]))
            n_read += 1
        files = list(loaded)
        own, preceding, following = files[own_index], files[:own_index], files[own_index + 1 :]
        found = [
            located
            for i, scores in enumerate(own)
            for located in detect_in_channel(
                scores, rule, [channels[i] for channels in preceding], [channels[i] for channels in following], earlier
            )
        ]
        detections = tuple(
            sorted((located.detection for located in found), key=lambda detection: (detection.begin_s, detection.channel))
        )
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
