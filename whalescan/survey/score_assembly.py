"""Chunks come back in any order; each is kept at once, and when the last is there they become a recording's scores."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from whalescan.audio import recordings
from whalescan.core import GapKind, Loss, Recording, RecordingError, TableError, WindowGrid, WindowScores
from whalescan.detector.model_spec import Model
from whalescan.engine import chunking
from whalescan.engine.chunking import Chunk, reach
from whalescan.engine.worker import ScoredChunk, Task, given_up
from whalescan.scores.journal import Entry, Journal, joined_spans
from whalescan.scores.score_file import ScoreFile, read_origin, read_scores, score_path, write_scores

_SCORING = 4
"""Raised by one whenever a change of the program changes scores: old scores are then not mixed with new ones."""

JOURNAL_SUFFIX = ".journal"
_NAMED_PROBLEMS = 3
_AGAIN = " to be tried again"


@dataclass(slots=True)
class _Part:
    """A recording's channel of which something is still to come.

    Attributes:
        given_up: what is not in the journal, since another run shall try it again.
    """

    journal: Journal
    kept: list[tuple[int, int]]
    given_up: list[Entry] = field(default_factory=list)


class Assembly:
    """Scores of a run on their way to disk.

    Args:
        folder: where score files lie.
        task: what determines the bits of a score, beside the recording.
        batch_size: as the user said it. Scores of a processor and a GPU are not told apart, nor is what suits each of them.
    """

    def __init__(self, folder: Path, task: Task, batch_size: int) -> None:
        self._folder, self._task, self._batch_size = folder, task, batch_size
        self._parts: dict[tuple[str, int], _Part] = {}

    @property
    def _grid(self) -> WindowGrid:
        return self._task.grid

    @property
    def _model(self) -> Model:
        return self._task.model

    def kept(self, recording: Recording, channel: int, after: Sequence[Recording]) -> list[tuple[int, int]]:
        """Windows that need not be scored again, by this model and with these options: first and last behind.

        Args:
            recording: as it is now.
            channel: which of its channels.
            after: the recordings in which its sound goes on.
        """
        total = chunking.n_windows(recording, after, self._grid)
        fingerprint = self._fingerprint(recording, channel, after)
        if self._is_done(recording, channel, fingerprint):
            return [(0, total)]
        journal = self._journal(recording, channel, fingerprint)
        spans = joined_spans([entry.span for entry in journal.read()])
        if spans:
            self._parts[recording.name, channel] = _Part(journal, spans)
        if spans == [(0, total)]:  # all that an accident left to do is to write it down
            self._finish(Chunk(recording, channel, 0, total, True, tuple(after)))
        return spans

    def forget(self, recording: Recording, channel: int) -> None:
        """Throw away what an earlier run left of a recording's channel."""
        path = score_path(self._folder, recording.name, channel)
        path.unlink(missing_ok=True)
        path.with_suffix(JOURNAL_SUFFIX).unlink(missing_ok=True)

    def add(self, scored: ScoredChunk) -> ScoreFile | None:
        """Keep a chunk; the recording's channel that it completed, which is on disk then, or None where parts are to come.

        Raises:
            OutputError: where it cannot be kept.
        """
        chunk = scored.chunk
        entry = Entry(chunk.first_window, scored.windows, scored.losses, scored.problems)
        total = chunking.n_windows(chunk.recording, chunk.after, self._grid)
        fingerprint = self._fingerprint(chunk.recording, chunk.channel, chunk.after)
        part = self._parts.setdefault(
            (chunk.recording.name, chunk.channel),
            _Part(self._journal(chunk.recording, chunk.channel, fingerprint), []),
        )
        if scored.is_final:
            if entry.span == (0, total):
                return self._finish(chunk, [entry])
            part.journal.append(entry)
        else:
            part.given_up.append(entry)
        part.kept = joined_spans([*part.kept, entry.span])
        if part.kept != [(0, total)]:
            return None
        return self._finish(chunk)

    def _finish(self, chunk: Chunk, entries: Sequence[Entry] = ()) -> ScoreFile:
        """Write a recording's scores, and let its journal go; of what shall be tried again, it keeps the rest."""
        recording, after = chunk.recording, chunk.after
        part = self._parts.pop((recording.name, chunk.channel))
        entries = sorted([*(entries or part.journal.read()), *part.given_up], key=lambda entry: entry.first_window)
        is_final, is_other = not part.given_up, _has_changed(recording)
        if is_other:
            entries, is_final = [self._nothing(chunk)], False
        within = reach(recording, after, self._grid)
        losses = _joined(loss for entry in entries for loss in entry.losses)
        problems = [
            recording.problem,
            *(problem for entry in entries for problem in entry.problems),
            self._silence(losses),
        ]
        whole = ScoreFile(
            recording=recording,
            channel=chunk.channel,
            grid=self._grid,
            classes=self._model.spec.classes,
            windows=WindowScores.join([entry.windows for entry in entries]),
            reach_samples=within.n_samples,
            jumps=within.jumps,
            losses=losses,
            problem=_some_of(list(dict.fromkeys(filter(None, problems)))),
            fingerprint=self._fingerprint(recording, chunk.channel, after) + ("" if is_final else _AGAIN),
        )
        write_scores(self._folder, whole)
        if is_final or is_other:
            part.journal.remove(score_path(self._folder, recording.name, chunk.channel))
        return whole

    def _nothing(self, chunk: Chunk) -> Entry:
        """A recording that was replaced while it was scored: some scores may be of the old one, some of the new."""
        total = chunking.n_windows(chunk.recording, chunk.after, self._grid)
        whole = Chunk(chunk.recording, chunk.channel, 0, total, is_last=True, after=chunk.after)
        problem = f"{chunk.recording.path}: changed while it was analysed; give the same command again"
        lost = given_up(whole, self._task, problem)
        return Entry(0, lost.windows, lost.losses, lost.problems)

    def _is_done(self, recording: Recording, channel: int, fingerprint: str) -> bool:
        path = score_path(self._folder, recording.name, channel)
        try:
            stored, of_stored = read_origin(path)
            if of_stored != fingerprint:
                return False
            if stored != replace(recording, layout=None):  # it was moved, or its clock is known now
                write_scores(self._folder, replace(read_scores(path), recording=recording))
        except TableError:
            return False
        self._journal(recording, channel, fingerprint).remove(path)  # an accident may have left it
        return True

    def _journal(self, recording: Recording, channel: int, fingerprint: str) -> Journal:
        return Journal(score_path(self._folder, recording.name, channel).with_suffix(JOURNAL_SUFFIX), fingerprint)

    def _silence(self, losses: Sequence[Loss]) -> str:
        """What is said of drop-outs; empty where there are none."""
        silent = [loss for loss in losses if loss.kind is GapKind.DROPOUT]
        if not silent:
            return ""
        total_s = self._grid.seconds(sum(loss.n_samples for loss in silent))
        first_s = self._grid.seconds(silent[0].begin_sample)
        return f"{total_s:.1f} s of drop-outs (nothing but zeros), from {first_s:.1f} s on"

    def _fingerprint(self, recording: Recording, channel: int, after: Sequence[Recording]) -> str:
        """What determines the scores of a recording: equal text, equal scores."""
        return json.dumps(
            {
                "scoring": _SCORING,
                "model": self._model.sha256,
                "hop_samples": self._grid.hop_samples,
                "batch_size": self._batch_size,
                "exact": self._task.exact or self._model.spec.glance is None,
                "channel": channel,
                "recording": recording.identity,
                "jumps": reach(recording, after, self._grid).jumps,
                "after": [one.identity for one in after],
            },
            sort_keys=True,
        )


def _has_changed(recording: Recording) -> bool:
    try:
        return recordings.has_changed(recording)
    except RecordingError:
        return False  # it was there while it was read


def _joined(losses: Iterable[Loss]) -> tuple[Loss, ...]:
    """Losses in the order of time, those of a kind that touch at the border of two chunks as one."""
    found: list[Loss] = []
    for loss in sorted(losses, key=lambda loss: (loss.kind, loss.begin_sample)):
        if found and found[-1].kind is loss.kind and found[-1].end_sample == loss.begin_sample:
            found[-1] = replace(found[-1], end_sample=loss.end_sample)
        else:
            found.append(loss)
    return tuple(sorted(found, key=lambda loss: loss.begin_sample))


def _some_of(problems: Sequence[str]) -> str:
    """The first few problems, and how many more there are."""
    more = f"; and {len(problems) - _NAMED_PROBLEMS} more" if len(problems) > _NAMED_PROBLEMS else ""
    return "; ".join(problems[:_NAMED_PROBLEMS]) + more
