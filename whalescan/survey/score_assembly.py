"""Scored chunks are stored as they arrive, in any order, and the last one of a channel completes its score file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from whalescan.audio import recordings
from whalescan.core import (
    GapKind,
    MissingSpan,
    Recording,
    RecordingError,
    TableError,
    WindowGrid,
    WindowScores,
    intervals,
)
from whalescan.detector.model_spec import Model
from whalescan.engine import chunking
from whalescan.engine.chunking import Chunk
from whalescan.engine.worker import ScoredChunk, ScoringTask, failed_chunk
from whalescan.scores.score_file import ScoreFile, read_recording_and_fingerprint, read_scores, score_path, write_scores
from whalescan.survey.journal import Journal, window_span

_SCORING_VERSION = 4
"""Raised by one whenever a change of the program changes scores, so that old scores are not mixed with new ones."""

JOURNAL_SUFFIX = ".journal"
_PROBLEMS_NAMED = 3
_INCOMPLETE = " to be tried again"
"""Suffix of the fingerprint of a score file whose failed chunks the next run scores again."""
Windows = tuple[int, int]
"""A range of windows: the first, and the one past the last."""


def whole_channel(recording: Recording, channel: int, following: tuple[Recording, ...], grid: WindowGrid) -> Chunk:
    """Return all windows of a channel as one chunk.

    Args:
        recording: the recording.
        channel: 1-based.
        following: the recordings that continue its audio, as far as windows reach.
        grid: the windows.
    """
    n_windows = chunking.n_windows(recording, following, grid)
    return Chunk(recording, channel, 0, n_windows, is_last=True, following=following)


@dataclass(slots=True)
class _UnfinishedChannel:
    """A channel of which chunks are missing.

    Attributes:
        journal: the chunks that are stored.
        finished: ranges of windows that are stored or failed.
        failed: chunks that are not stored, so that the next run tries them again.
    """

    journal: Journal
    finished: list[Windows]
    failed: list[ScoredChunk] = field(default_factory=list)


class ScoreAssembly:
    """Assembles the chunks of a run to score files.

    Args:
        folder: of the score files.
        task: what determines scores, beside the recording.
        batch_size: as the user set it, or the default: scores of processors and GPUs, which have defaults of their own, are
            treated as equal.
    """

    def __init__(self, folder: Path, task: ScoringTask, batch_size: int) -> None:
        self._folder, self._task, self._batch_size = folder, task, batch_size
        self._unfinished: dict[tuple[str, int], _UnfinishedChannel] = {}

    @property
    def _grid(self) -> WindowGrid:
        return self._task.grid

    @property
    def _model(self) -> Model:
        return self._task.model

    def finished_windows(self, channel: Chunk) -> list[Windows]:
        """Return the ranges of windows that an earlier run scored with the same model and options.

        Args:
            channel: a `whole_channel`, with its recording as it is now.
        """
        whole = [window_span(channel)]
        if self._is_complete(channel):
            return whole
        journal = self._journal(channel)
        finished = _union(window_span(scored.chunk) for scored in journal.read())
        if finished:
            self._unfinished[_key(channel)] = _UnfinishedChannel(journal, finished)
        if finished == whole:  # the earlier run stopped before it wrote the score file
            self._complete(channel)
        return finished

    def discard(self, channel: Chunk) -> None:
        """Delete what an earlier run stored of a channel."""
        path = self._path(channel)
        path.unlink(missing_ok=True)
        path.with_suffix(JOURNAL_SUFFIX).unlink(missing_ok=True)

    def add(self, scored: ScoredChunk) -> ScoreFile | None:
        """Store a chunk. Return the scores of the channel that it completes, which are on the disk then; else None.

        Raises:
            OutputError: when it cannot be stored.
        """
        chunk = scored.chunk
        channel = whole_channel(chunk.recording, chunk.channel, chunk.following, self._grid)
        unfinished = self._unfinished.setdefault(_key(channel), _UnfinishedChannel(self._journal(channel), []))
        if not scored.is_final:
            unfinished.failed.append(scored)
        elif chunk.n_windows == channel.n_windows:
            return self._complete(channel, [scored])
        else:
            unfinished.journal.append(scored)
        unfinished.finished = _union([*unfinished.finished, window_span(chunk)])
        return self._complete(channel) if unfinished.finished == [window_span(channel)] else None

    def _complete(self, channel: Chunk, chunks: Sequence[ScoredChunk] = ()) -> ScoreFile:
        """Write the score file of a channel and delete its journal, unless a chunk failed."""
        unfinished = self._unfinished.pop(_key(channel))
        chunks = [*(chunks or unfinished.journal.read()), *unfinished.failed]
        chunks = sorted(chunks, key=lambda scored: scored.chunk.first_window)
        is_final, is_replaced = not unfinished.failed, _has_changed(channel.recording)
        if is_replaced:
            chunks, is_final = [self._failed_channel(channel)], False
        extent = chunking.audio_extent(channel.recording, channel.following, self._grid)
        missing_spans = _merge_spans(span for scored in chunks for span in scored.missing_spans)
        problems = [
            channel.recording.problem,
            *(problem for scored in chunks for problem in scored.problems),
            self._dropout_problem(missing_spans),
        ]
        scores = ScoreFile(
            recording=channel.recording,
            channel=channel.channel,
            grid=self._grid,
            classes=self._model.spec.classes,
            windows=WindowScores.join([scored.windows for scored in chunks]),
            reach_samples=extent.n_samples,
            discontinuities=extent.discontinuities,
            missing_spans=missing_spans,
            problem=_join_problems(list(dict.fromkeys(filter(None, problems)))),
            fingerprint=self._fingerprint(channel) + ("" if is_final else _INCOMPLETE),
        )
        write_scores(self._folder, scores)
        if is_final or is_replaced:
            unfinished.journal.remove(self._path(channel))
        return scores

    def _failed_channel(self, channel: Chunk) -> ScoredChunk:
        """Return a channel without scores, whose recording was replaced while it was scored: chunks of both may be mixed."""
        problem = f"{channel.recording.path}: changed while it was analysed; give the same command again"
        return failed_chunk(channel, self._task, problem)

    def _is_complete(self, channel: Chunk) -> bool:
        """Return whether a channel's score file is valid, after updating the recording in it where it was moved."""
        path = self._path(channel)
        try:
            stored, fingerprint = read_recording_and_fingerprint(path)
            if fingerprint != self._fingerprint(channel):
                return False
            if stored != replace(channel.recording, layout=None):  # it was moved, or its start time is known now
                write_scores(self._folder, replace(read_scores(path), recording=channel.recording))
        except TableError:
            return False
        self._journal(channel).remove(path)  # an earlier run may have stopped before it deleted it
        return True

    def _path(self, channel: Chunk) -> Path:
        return score_path(self._folder, channel.recording.name, channel.channel)

    def _journal(self, channel: Chunk) -> Journal:
        return Journal(self._path(channel).with_suffix(JOURNAL_SUFFIX), self._fingerprint(channel), channel)

    def _dropout_problem(self, missing_spans: Sequence[MissingSpan]) -> str:
        """Return a description of the drop-outs; empty where there is none."""
        dropouts = [span for span in missing_spans if span.kind is GapKind.DROPOUT]
        if not dropouts:
            return ""
        total_s = self._grid.seconds(sum(span.length_samples for span in dropouts))
        first_s = self._grid.seconds(dropouts[0].begin_sample)
        return f"{total_s:.1f} s of drop-outs (nothing but zeros), from {first_s:.1f} s on"

    def _fingerprint(self, channel: Chunk) -> str:
        """Return what determines the scores of a channel: scores with equal fingerprints are equal."""
        extent = chunking.audio_extent(channel.recording, channel.following, self._grid)
        return json.dumps(
            {
                "scoring": _SCORING_VERSION,
                "model": self._model.sha256,
                "hop_samples": self._grid.hop_samples,
                "batch_size": self._batch_size,
                "exact": self._task.exact or self._model.spec.glance is None,
                "channel": channel.channel,
                "recording": channel.recording.identity,
                "jumps": extent.discontinuities,
                "after": [recording.identity for recording in channel.following],
            },
            sort_keys=True,
        )


def _key(channel: Chunk) -> tuple[str, int]:
    return channel.recording.name, channel.channel


def _union(ranges: Iterable[Windows]) -> list[Windows]:
    """Return the ranges of windows that these cover together, in order."""
    united = intervals.union(np.array(list(ranges), np.int64).reshape(-1, 2))
    return [(begin, end) for begin, end in united.tolist()]


def _has_changed(recording: Recording) -> bool:
    try:
        return recordings.has_changed(recording)
    except RecordingError:
        return False  # the file was there while it was read


def _merge_spans(spans: Iterable[MissingSpan]) -> tuple[MissingSpan, ...]:
    """Return missing spans in the order of time, with those of one kind joined that meet at the border of two chunks."""
    merged: list[MissingSpan] = []
    for span in sorted(spans, key=lambda span: (span.kind, span.begin_sample)):
        if merged and merged[-1].kind is span.kind and merged[-1].end_sample == span.begin_sample:
            merged[-1] = replace(merged[-1], end_sample=span.end_sample)
        else:
            merged.append(span)
    return tuple(sorted(merged, key=lambda span: span.begin_sample))


def _join_problems(problems: Sequence[str]) -> str:
    """Return the first few problems, and how many more there are."""
    n_more = len(problems) - _PROBLEMS_NAMED
    return "; ".join(problems[:_PROBLEMS_NAMED]) + (f"; and {n_more} more" if n_more > 0 else "")
