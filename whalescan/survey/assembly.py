"""Chunks come back in any order; here they become a recording's scores on disk, as soon as the last one is there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from whalescan.core import Recording, TableError, WindowGrid, WindowScores
from whalescan.detector.spec import Model
from whalescan.survey.engine import ScoredChunk
from whalescan.tables.scorefile import ScoreFile, read_scores, score_path, write_scores

_SCORING = 2
"""Raised by one whenever a change of the program changes scores: old scores are then not mixed with new ones."""

_NAMED_PROBLEMS = 3


class Assembly:
    """Scores of a run on their way to disk.

    Args:
        folder: where score files lie.
        batch_size: of the scoring; part of what determines the bits of a score.
    """

    def __init__(self, folder: Path, model: Model, grid: WindowGrid, batch_size: int) -> None:
        self._folder, self._model, self._grid, self._batch_size = folder, model, grid, batch_size
        self._parts: dict[tuple[str, int], list[ScoredChunk]] = {}

    def is_done(self, recording: Recording, channel: int) -> bool:
        """Whether scores of this recording, by this model and with these options, are on disk already."""
        try:
            stored = read_scores(score_path(self._folder, recording.name, channel))
        except TableError:
            return False
        if stored.fingerprint != self._fingerprint(recording, channel):
            return False
        if stored.recording != replace(recording, layout=None):
            write_scores(self._folder, replace(stored, recording=recording))  # it was moved, or its clock is known now
        return True

    def add(self, scored: ScoredChunk) -> bool:
        """Keep a chunk; True when it completed its recording's channel, which is on disk then."""
        chunk = scored.chunk
        key = (chunk.recording.name, chunk.channel)
        parts = self._parts.setdefault(key, [])
        parts.append(scored)
        n_windows = self._grid.n_windows(chunk.recording.n_samples(self._grid.rate_hz))
        if sum(part.chunk.n_windows for part in parts) < n_windows:
            return False
        del self._parts[key]
        parts.sort(key=lambda part: part.chunk.first_window)
        problems = [chunk.recording.problem, *(part.problem for part in parts)]
        retry = "" if all(part.is_final for part in parts) else " to be tried again"
        write_scores(
            self._folder,
            ScoreFile(
                recording=chunk.recording,
                channel=chunk.channel,
                grid=self._grid,
                classes=self._model.spec.classes,
                windows=WindowScores.join([part.windows for part in parts]),
                lost_samples=sum(part.lost_samples for part in parts),
                problem="; ".join(list(dict.fromkeys(filter(None, problems)))[:_NAMED_PROBLEMS]),
                fingerprint=self._fingerprint(chunk.recording, chunk.channel) + retry,
            ),
        )
        return True

    def _fingerprint(self, recording: Recording, channel: int) -> str:
        """What determines the scores of a recording: equal text, equal scores."""
        return json.dumps(
            {
                "scoring": _SCORING,
                "model": self._model.sha256,
                "hop_samples": self._grid.hop_samples,
                "batch_size": self._batch_size,
                "channel": channel,
                "recording": recording.identity,
            },
            sort_keys=True,
        )
