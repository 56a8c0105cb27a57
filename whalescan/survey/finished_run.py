"""A finished run, opened to look at its calls and to listen to them. Nothing here writes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import chain
from pathlib import Path

from whalescan.audio import recordings, timeline
from whalescan.audio.excerpts import Excerpt, excerpt
from whalescan.audio.recordings import Found
from whalescan.audio.start_times import ClockOptions
from whalescan.core import Detection, Recording, RecordingError
from whalescan.detections import validations
from whalescan.detections.validations import UNREVIEWED
from whalescan.scores import validation_store
from whalescan.scores.score_file import read_recording, score_path
from whalescan.survey import provenance
from whalescan.survey.outputs import DETECTIONS, FILES
from whalescan.survey.provenance import Kept
from whalescan.tables.csvs import FileRow, listed_detections, listed_files

_ROUNDING = 5e-5
"""Tables say scores to four decimals."""


@dataclass(frozen=True)
class Opened:
    """What a run left in its folder.

    Attributes:
        output: the folder.
        kept: how the run was made.
        files: its recordings, in the order of their names.
    """

    output: Path
    kept: Kept
    files: tuple[FileRow, ...]

    def calls(self) -> tuple[Detection, ...]:
        """The calls as people have left them up to now, recording by recording, in the order of their times.

        What was said since the tables were written shows here already.

        Raises:
            TableError: when ``detections.csv`` or the judgements cannot be read.
        """
        lowest = self.kept.rule.threshold - _ROUNDING
        found: dict[str, list[Detection]] = defaultdict(list)
        for call in listed_detections(self.output / DETECTIONS):
            if call.score is not None and call.score >= lowest:  # others are there because of what people said
                found[call.recording].append(replace(call, review=UNREVIEWED))
        judged = validation_store.by_recording(self.output)
        names = [file.name for file in self.files]
        separation_s = self.kept.rule.separation_s
        return tuple(
            chain.from_iterable(validations.apply(found.get(name, ()), judged.get(name, {}), separation_s) for name in names)
        )

    @property
    def analysed_hours(self) -> float:
        """Sound that was analysed, all recordings together."""
        return sum(file.outcome.analysed_s for file in self.files) / 3600

    @cached_property
    def by_name(self) -> Mapping[str, Recording]:
        """The recordings that could be read, by their names."""
        return {file.name: file.recording for file in self.files if file.recording}

    @cached_property
    def _followers(self) -> Mapping[str, Recording]:
        return timeline.followers(self.by_name.values())

    def sound(self, name: str, channel: int, begin_s: float, end_s: float, rate_hz: int) -> Excerpt:
        """What there is of a stretch of a recording, and of the one in which it goes on; see `sound.excerpts.excerpt`.

        Raises:
            RecordingError: when the recording is not where it was, or cannot be read.
        """
        recording = self._readable(name)
        after = self._followers.get(name) if end_s > recording.duration_s else None
        if after is not None:
            try:
                return excerpt(recording, channel, begin_s, end_s, rate_hz, [self._readable(after.name)])
            except RecordingError:  # the sound up to there is worth looking at, too
                pass
        return excerpt(recording, channel, begin_s, end_s, rate_hz)

    def _readable(self, name: str) -> Recording:
        """The recording with what tables do not say of it, such as where its samples lie."""
        if name not in self.by_name:
            raise RecordingError(
                f"{self.output / FILES}: names no readable recording {name!r}; give the `run` command again"
            )
        listed = self.by_name[name]
        clock = ClockOptions(self.kept.tables.timezone, self.kept.tables.time_format)
        return _inspected(Found(name, listed.path, listed.relative), clock)


@lru_cache(maxsize=256)
def _inspected(found: Found, clock: ClockOptions) -> Recording:
    """A recording's header, read once; errors are not remembered, since a disk may come back."""
    return recordings.inspect(found, clock)


def open_run(output: Path) -> Opened:
    """Open the folder of a finished run.

    Raises:
        TableError: when there is no finished run, or one of an earlier version that lacks what is needed; says the remedy.
    """
    kept = provenance.read(output)
    return Opened(output, kept, tuple(_with_clock(output, kept, row) for row in listed_files(output / FILES)))


def _with_clock(output: Path, kept: Kept, row: FileRow) -> FileRow:
    """A recording with the jumps of its clock, of which tables say nothing; only XWAV files have any."""
    if row.recording is None or row.time_source != "harp":
        return row
    channels = kept.scores.channels(row.recording.channels)
    stored = score_path(output / "scores", row.name, channels[0]) if channels else None
    return replace(row, recording=read_recording(stored)) if stored and stored.exists() else row
