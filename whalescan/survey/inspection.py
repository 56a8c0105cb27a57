"""The recordings of a survey, each ready to be scored, scored, or with the reason why it cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from pathlib import Path

from whalescan.audio import recordings
from whalescan.audio.recordings import Found
from whalescan.audio.start_times import ClockOptions
from whalescan.core import Outcome, Recording, RecordingError, Status
from whalescan.options import ScoreOptions
from whalescan.scores.score_file import read_recording, score_path
from whalescan.scores.sequences import Scored
from whalescan.survey.outputs import FILES
from whalescan.tables.csvs import FileRow, listed_files

_READERS = 8
"""Headers read at a time: on a shared disk, waiting is what takes time."""
_LARGEST_SHARE = 64
"""Recordings that a reader takes at a time: a future for each would take as much memory as the recordings themselves."""


def inspect_all(found: Sequence[Found], clock: ClockOptions, options: ScoreOptions) -> list[Scored | FileRow]:
    """Every recording that can be scored, or the row that says why it cannot; only headers are read."""
    share = max(1, min(len(found) // _READERS, _LARGEST_SHARE))

    def inspect_share(first: int) -> list[Scored | FileRow]:
        return [_inspect(one, clock, options) for one in found[first : first + share]]

    with ThreadPoolExecutor(_READERS) as pool:
        return list(chain.from_iterable(pool.map(inspect_share, range(0, len(found), share))))


def kept_entries(output: Path, options: ScoreOptions, clock: ClockOptions) -> list[Scored | FileRow]:
    """The recordings of a finished run: those whose scores are there, and the rows of the others.

    Of what could not be scored, such as a recording without the channel that was asked for, the header is read again where
    it is still there: a table does not hold all of it.

    Raises:
        TableError: when the folder holds no finished run, or its scores cannot be read.
    """
    entries: list[Scored | FileRow] = []
    for row in listed_files(output / FILES):
        channels = options.channels(row.recording.channels) if row.recording else ()
        stored = score_path(output / "scores", row.name, channels[0]) if channels else None
        if stored is None or (row.outcome.status is Status.FAILED and not stored.exists()):
            entries.append(row if row.recording is None else replace(row, recording=_again(row.recording, clock)))
        else:
            entries.append(Scored(read_recording(stored), channels))
    return entries


def _again(recording: Recording, clock: ClockOptions) -> Recording:
    try:
        return recordings.inspect(Found(recording.name, recording.path, recording.relative), clock)
    except RecordingError:
        return recording


def _inspect(found: Found, clock: ClockOptions, options: ScoreOptions) -> Scored | FileRow:
    try:
        recording = recordings.inspect(found, clock)
    except RecordingError as error:
        return _unreadable(found, clock, str(error))
    channels = options.channels(recording.channels)
    if not channels:
        problem = f"{found.path}: has no channel {options.channel}, only 1 to {recording.channels}; give another --channel"
        return FileRow(found.name, found.path, recording, Outcome(Status.FAILED, 0.0, 0, problem))
    return Scored(recording, channels)


def _unreadable(found: Found, clock: ClockOptions, problem: str) -> FileRow:
    """The row of a file without a readable header; its name may still tell when it began."""
    start = recordings.start_of_unreadable(found, clock)
    try:
        size_bytes = found.path.stat().st_size
    except OSError:
        size_bytes = None
    outcome = Outcome(Status.FAILED, 0.0, 0, problem)
    return FileRow(found.name, found.path, None, outcome, 0.0, start.utc, start.source, size_bytes)
