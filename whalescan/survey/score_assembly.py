"""Scored chunks are stored as they arrive, in any order, and the last one of a channel completes its score file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from whalescan.audio import recordings
from whalescan.core import (
    ColumnScores,
    GapKind,
    MissingSpan,
    Recording,
    RecordingError,
    TableError,
    WindowGrid,
    WindowScores,
    intervals,
)
from whalescan.detector.batching import MIN_SEGMENT_S
from whalescan.detector.model_spec import Model
from whalescan.detector.pooling import pool_windows
from whalescan.engine.chunking import AudioExtent, Chunk, audio_extent, whole_channel
from whalescan.engine.worker import ScoredChunk, ScoringTask, failed_chunk
from whalescan.scores.score_file import ScoreFile, read_origin, read_scores, score_path, write_scores
from whalescan.survey.journal import Journal, column_span

_SCORING_VERSION = 5
"""Raised by one whenever a change of the program changes scores, so that old scores are not mixed with new ones."""

JOURNAL_SUFFIX = ".journal"
_PROBLEMS_NAMED = 3
_INCOMPLETE = " to be tried again"
"""Suffix of the fingerprint of a score file whose failed chunks the next run scores again."""
Columns = tuple[int, int]
"""A range of columns: the first, and the one past the last."""


@dataclass(slots=True)
class _UnfinishedChannel:
    """A channel of which chunks are missing.

    Attributes:
        journal: the chunks that are stored.
        finished: ranges of columns that are stored or failed.
        failed: chunks that are not stored, so that the next run tries them again.
    """

    journal: Journal
    finished: list[Columns]
    failed: list[ScoredChunk] = field(default_factory=list)


class ScoreAssembly:
    """Assembles the chunks of a run to score files.

    Args:
        folder: of the score files.
        task: what determines scores, beside the recording.
        grid: the windows whose scores are stored with those of the columns.
        batch_size: as the user set it, or the default: scores of processors and GPUs, which have defaults of their own, are
            treated as equal.
    """

    def __init__(self, folder: Path, task: ScoringTask, grid: WindowGrid, batch_size: int) -> None:
        self._folder, self._task, self._grid, self._batch_size = folder, task, grid, batch_size
        self._unfinished: dict[tuple[str, int], _UnfinishedChannel] = {}

    @property
    def _model(self) -> Model:
        return self._task.model

    def finished_columns(self, channel: Chunk) -> list[Columns]:
        """Return the ranges of columns that an earlier run scored with the same model and options.

        Args:
            channel: a `whole_channel`, with its recording as it is now.
        """
        whole = [column_span(channel)]
        if self._is_complete(channel):
            return whole
        journal = self._journal(channel)
        finished = _union(column_span(scored.chunk) for scored in journal.read())
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
        channel = whole_channel(chunk.recording, chunk.channel, chunk.following, self._model.spec)
        unfinished = self._unfinished.setdefault(_key(channel), _UnfinishedChannel(self._journal(channel), []))
        if not scored.is_final:
            unfinished.failed.append(scored)
        elif chunk.n_columns == channel.n_columns:
            return self._complete(channel, [scored])
        else:
            unfinished.journal.append(scored)
        unfinished.finished = _union([*unfinished.finished, column_span(chunk)])
        return self._complete(channel) if unfinished.finished == [column_span(channel)] else None

    def _complete(self, channel: Chunk, chunks: Sequence[ScoredChunk] = ()) -> ScoreFile:
        """Write the score file of a channel and delete its journal, unless a chunk failed."""
        unfinished = self._unfinished.pop(_key(channel))
        chunks = [*(chunks or unfinished.journal.read()), *unfinished.failed]
        chunks = sorted(chunks, key=lambda scored: scored.chunk.first_column)
        is_final, is_replaced = not unfinished.failed, _has_changed(channel.recording)
        if is_replaced:
            chunks, is_final = [self._failed_channel(channel)], False
        extent = self._extent(channel)
        columns = ColumnScores.join([scored.columns for scored in chunks])
        missing_spans = _merge_spans(span for scored in chunks for span in scored.missing_spans)
        problems = [
            channel.recording.problem,
            *(problem for scored in chunks for problem in scored.problems),
            self._short_problem(sum(scored.n_short_samples for scored in chunks)),
            self._dropout_problem(missing_spans),
        ]
        scores = ScoreFile(
            recording=channel.recording,
            channel=channel.channel,
            grid=self._grid,
            classes=self._model.spec.classes,
            windows=self._pooled(columns, channel),
            column_grid=self._task.columns,
            columns=columns,
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
        """Return whether a channel's score file is valid, after updating the recording and the windows in it."""
        path = self._path(channel)
        try:
            origin = read_origin(path)
            if origin.fingerprint != self._fingerprint(channel):
                return False
            is_moved = origin.recording != replace(channel.recording, layout=None)  # or its start time is known now
            if is_moved or origin.grid != self._grid:
                stored = read_scores(path)
                windows = self._pooled(stored.columns, channel)
                write_scores(self._folder, replace(stored, recording=channel.recording, grid=self._grid, windows=windows))
        except TableError:
            return False
        self._journal(channel).remove(path)  # an earlier run may have stopped before it deleted it
        return True

    def _path(self, channel: Chunk) -> Path:
        return score_path(self._folder, channel.recording.name, channel.channel)

    def _journal(self, channel: Chunk) -> Journal:
        return Journal(self._path(channel).with_suffix(JOURNAL_SUFFIX), self._fingerprint(channel), channel)

    def _extent(self, channel: Chunk) -> AudioExtent:
        return audio_extent(channel.recording, channel.following, self._task.columns.rate_hz)

    def _pooled(self, columns: ColumnScores, channel: Chunk) -> WindowScores:
        """Return the scores of a channel's windows.

        Where another recording continues the audio, a window begins at every hop up to the end, so that calls across the
        border are covered.
        """
        extent, n_samples = self._extent(channel), channel.recording.n_samples(self._grid.rate_hz)
        n_windows = -(-n_samples // self._grid.hop_samples) if channel.following else self._grid.n_windows(n_samples)
        return pool_windows(columns, self._task.columns, self._grid, n_windows, extent.n_samples, extent.discontinuities)

    def _short_problem(self, n_samples: int) -> str:
        """Return a description of the segments that are too short to be scored; empty where there is none."""
        if not n_samples:
            return ""
        total_s = self._grid.seconds(n_samples)
        return f"{total_s:.2f} s in segments shorter than {MIN_SEGMENT_S:g} s were not scored"

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
        extent = self._extent(channel)
        return json.dumps(
            {
                "scoring": _SCORING_VERSION,
                "model": self._model.sha256,
                "batch_size": self._batch_size,
                "channel": channel.channel,
                "recording": channel.recording.identity,
                "jumps": extent.discontinuities,
                "after": [recording.identity for recording in channel.following],
            },
            sort_keys=True,
        )


def _key(channel: Chunk) -> tuple[str, int]:
    return channel.recording.name, channel.channel


def _union(ranges: Iterable[Columns]) -> list[Columns]:
    """Return the ranges of columns that these cover together, in order."""
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
