"""Chunks come back in any order; here they become a recording's scores on disk, as soon as the last one is there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from whalescan.core import GapKind, Loss, Recording, TableError, WindowGrid, WindowScores
from whalescan.detector.spec import Model
from whalescan.survey.engine import ScoredChunk
from whalescan.survey.plan import reach
from whalescan.tables.scorefile import ScoreFile, read_scores, score_path, write_scores

_SCORING = 3
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

    def is_done(self, recording: Recording, channel: int, after: Sequence[Recording]) -> bool:
        """Whether scores of this recording, by this model and with these options, are on disk already.

        Args:
            recording: as it is now.
            channel: which of its channels.
            after: the recordings in which its sound goes on.
        """
        try:
            stored = read_scores(score_path(self._folder, recording.name, channel))
        except TableError:
            return False
        if stored.fingerprint != self._fingerprint(recording, channel, after):
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
        parts.sort(key=lambda part: part.chunk.first_window)
        last = parts[-1].chunk
        if not last.is_last or sum(part.chunk.n_windows for part in parts) < last.first_window + last.n_windows:
            return False
        del self._parts[key]
        within = reach(chunk.recording, last.after, self._grid)
        losses = _joined(loss for part in parts for loss in part.losses)
        problems = [
            chunk.recording.problem,
            *(problem for part in parts for problem in part.problems),
            self._silence(losses),
        ]
        retry = "" if all(part.is_final for part in parts) else " to be tried again"
        write_scores(
            self._folder,
            ScoreFile(
                recording=chunk.recording,
                channel=chunk.channel,
                grid=self._grid,
                classes=self._model.spec.classes,
                windows=WindowScores.join([part.windows for part in parts]),
                reach_samples=within.n_samples,
                jumps=within.jumps,
                losses=losses,
                problem=_some_of(list(dict.fromkeys(filter(None, problems)))),
                fingerprint=self._fingerprint(chunk.recording, chunk.channel, last.after) + retry,
            ),
        )
        return True

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
                "channel": channel,
                "recording": recording.identity,
                "jumps": reach(recording, after, self._grid).jumps,
                "after": [one.identity for one in after],
            },
            sort_keys=True,
        )


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
