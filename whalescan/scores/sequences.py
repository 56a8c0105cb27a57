"""Chains of recordings that go on in one another, and the calls of a whole survey from its stored scores."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from whalescan.audio import timeline
from whalescan.core import Detection, Recording
from whalescan.detections.detection_rule import DetectionRule
from whalescan.scores.score_file import ScoreFile, read_scores, score_path
from whalescan.scores.scored_detections import CONTEXT_S, carried_on, find_calls


@dataclass(frozen=True, slots=True)
class Scored:
    """A recording whose scores are stored, and the channels that were scored."""

    recording: Recording
    channels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Called:
    """A recording's scores, a file for each channel, and the calls that begin in it, in the order of their times."""

    scores: tuple[ScoreFile, ...]
    calls: tuple[Detection, ...]

    @property
    def recording(self) -> Recording:
        """As it was when it was scored, or looked at last."""
        return self.scores[0].recording


def call_all(folder: Path, entries: Iterable[Scored], rule: DetectionRule) -> Iterator[Called]:
    """The calls of each recording. Scores are read once, and few recordings' are held at a time.

    Args:
        folder: where score files lie.
        entries: in any order; those that go on in one another come out in the order of time.
        rule: what makes calls of scores.

    Raises:
        TableError: when scores cannot be read.
    """
    by_name = {entry.recording.name: entry for entry in entries}
    followers = timeline.followers(entry.recording for entry in by_name.values())
    continuing = {after.name for after in followers.values()}
    for head in (entry for name, entry in by_name.items() if name not in continuing):
        chain = [head]
        while (after := followers.get(chain[-1].recording.name)) is not None:
            chain.append(by_name[after.name])
        yield from _call_chain(folder, chain, rule)


def _call_chain(folder: Path, chain: Sequence[Scored], rule: DetectionRule) -> Iterator[Called]:
    """Recordings that go on in one another; what lies within the context of one is held with it."""
    held: deque[list[ScoreFile]] = deque()
    already: list[Detection] = []
    n_read = own_at = 0
    for n_done in range(len(chain)):
        while n_read < len(chain) and (n_read <= n_done or _length_s(list(held)[own_at + 1 :]) < CONTEXT_S):
            held.append(_read(folder, chain[n_read]))
            n_read += 1
        files = list(held)
        own, before, after = files[own_at], files[:own_at], files[own_at + 1 :]
        found = [
            call
            for i, one in enumerate(own)
            for call in find_calls(one, rule, [files[i] for files in before], [files[i] for files in after], already)
        ]
        yield Called(tuple(own), tuple(sorted(found, key=lambda call: (call.begin_s, call.channel))))
        already = carried_on(already, found, own[0])
        own_at += 1
        while own_at > 1 and _length_s(list(held)[1:own_at]) >= CONTEXT_S:
            held.popleft()
            own_at -= 1


def _length_s(held: Iterable[Sequence[ScoreFile]]) -> float:
    return sum(files[0].recording.duration_s for files in held)


def _read(folder: Path, entry: Scored) -> list[ScoreFile]:
    """Scores, with the recording that is at hand where it is the same: whoever keeps what was called keeps no second one."""
    read = [read_scores(score_path(folder, entry.recording.name, channel)) for channel in entry.channels]
    return [replace(one, recording=entry.recording) if one.recording == entry.recording else one for one in read]
