"""The calls of a whole survey from its stored scores; recordings that go on in one another are looked at together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from whalescan.calls.detections import DetectionRule
from whalescan.core import Detection, Recording
from whalescan.sound import timeline
from whalescan.tables.calling import carried_on, find_calls
from whalescan.tables.scorefile import ScoreFile, read_scores, score_path


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
    """The calls of each recording. Scores are read once, and no more than three recordings' are held at a time.

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
    before: Sequence[ScoreFile] = ()
    already: list[Detection] = []
    own = _read(folder, chain[0])
    for following in (*chain[1:], None):
        after = _read(folder, following) if following else []
        befores, afters = ({one.channel: one for one in side} for side in (before, after))
        found = [
            call for one in own for call in find_calls(one, rule, befores.get(one.channel), afters.get(one.channel), already)
        ]
        yield Called(tuple(own), tuple(sorted(found, key=lambda call: (call.begin_s, call.channel))))
        before, own, already = own, after, carried_on(already, found, own[0])


def _read(folder: Path, entry: Scored) -> list[ScoreFile]:
    return [read_scores(score_path(folder, entry.recording.name, channel)) for channel in entry.channels]
