"""The main job: recordings to tables. Scores are kept as they come, and tables are made of what is kept."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from whalescan.config import ScoreOptions, TableOptions
from whalescan.core import Outcome, RecordingError, Status
from whalescan.sound import recordings, timeline
from whalescan.sound.clocks import ClockOptions
from whalescan.sound.recordings import Found
from whalescan.survey import plan, provenance
from whalescan.survey.assembly import Assembly
from whalescan.survey.engine import Task, score_chunks
from whalescan.survey.job import Job, Method, method
from whalescan.survey.outputs import FILES, PROVENANCE, Survey, write_tables
from whalescan.survey.progress import Progress
from whalescan.survey.reports import check_reports, write_reports
from whalescan.survey.views import Views
from whalescan.tables.csvs import FileRow, listed_files
from whalescan.tables.files import check_writable
from whalescan.tables.scorefile import read_recording, score_path
from whalescan.tables.stored import Scored

_READERS = 8
"""Headers read at a time: on a shared disk, waiting is what takes time."""


def run(job: Job) -> Survey:
    """Score every recording and write every table.

    Raises:
        UsageError, ModelError: before anything is started.
        OutputError: when results cannot be written; what was written before is kept.
    """
    started = datetime.now(UTC), time.monotonic()
    clock = ClockOptions(job.tables.timezone, job.tables.time_format)
    how = method(job)
    views = Views.of(how, job.tables)
    views.check()
    check_reports(job.tables, views)
    if not job.work.scheduler:
        _check_device(job.work.device)
    found = recordings.find(job.inputs)
    check_writable(job.output)
    entries = inspect_all(found, clock, job.scores)
    (job.output / PROVENANCE).unlink(missing_ok=True)  # until all is written, there is no finished run
    _score(entries, job, how)
    survey = write_tables(job.output, entries, views)
    provenance.write(job, how, survey, *started)
    write_reports(job.output, survey, views)
    return survey


def detect(output: Path, threshold: float | None = None, options: TableOptions | None = None) -> Survey:
    """Find calls anew in the scores that a run left, with what was judged since, and write every table anew.

    Args:
        output: folder of a finished run.
        threshold: score at which a detection opens; None for the one used last.
        options: what tables shall be; None for what was asked for last. The clocks stay as they were read by the run.

    Raises:
        TableError: when the folder holds no finished run.
    """
    kept = provenance.read(output)
    rule = kept.rule if threshold is None else replace(kept.rule, threshold=threshold)
    asked = replace(options or kept.tables, timezone=kept.tables.timezone, time_format=kept.tables.time_format)
    views = Views(rule, kept.detector, kept.classes, kept.rate_hz, kept.band_hz, asked)
    views.check()
    check_reports(asked, views)
    entries: list[Scored | FileRow] = []
    for row in listed_files(output / FILES):
        channels = kept.scores.channels(row.recording.channels) if row.recording else ()
        stored = score_path(output / "scores", row.name, channels[0]) if channels else None
        if stored is None or (row.outcome.status is Status.FAILED and not stored.exists()):
            entries.append(row)
        else:
            entries.append(Scored(read_recording(stored), channels))
    survey = write_tables(output, entries, views)
    provenance.update(output, views, survey)
    write_reports(output, survey, views)
    return survey


def inspect_all(found: Sequence[Found], clock: ClockOptions, options: ScoreOptions) -> list[Scored | FileRow]:
    """Every recording that can be scored, or the row that says why it cannot; only headers are read."""
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(lambda one: _inspect(one, clock, options), found, chunksize=64))


def _inspect(found: Found, clock: ClockOptions, options: ScoreOptions) -> Scored | FileRow:
    """A recording that can be scored, or the row that says why it cannot."""
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
    with contextlib.suppress(OSError):
        size_bytes = found.path.stat().st_size
        return FileRow(
            found.name, found.path, None, Outcome(Status.FAILED, 0.0, 0, problem), 0.0, start.utc, start.source, size_bytes
        )
    return FileRow(found.name, found.path, None, Outcome(Status.FAILED, 0.0, 0, problem), 0.0, start.utc, start.source)


def _score(entries: Sequence[Scored | FileRow], job: Job, how: Method) -> None:
    """Score what has not been scored yet, and leave it on disk."""
    work, grid = job.work, how.grid
    assembly = Assembly(job.output / "scores", how.model, grid, work.batch_size)
    scored = [entry for entry in entries if isinstance(entry, Scored)]
    followers = timeline.followers(entry.recording for entry in scored)
    total_s = sum(entry.recording.duration_s * len(entry.channels) for entry in scored)
    with Progress(total_s, work.quiet) as progress:
        waiting = []
        for entry in scored:
            after = plan.following(entry.recording, followers, grid)
            for channel in entry.channels:
                if not work.restart and assembly.is_done(entry.recording, channel, after):
                    progress.skip(entry.recording.duration_s)
                else:
                    waiting.append((entry.recording, channel, after))
        if not waiting:
            return
        chunks = (
            chunk
            for recording, channel, after in waiting
            for chunk in plan.chunks(recording, channel, grid, work.batch_size, after=after)
        )
        for done in score_chunks(chunks, Task(how.model, grid, work.device, work.batch_size), work):
            begin, end = done.chunk.own_samples(grid)
            progress.add(grid.seconds(end - begin))
            if assembly.add(done) and work.verbose:
                progress.note(f"{done.chunk.recording.name}: scored")


def _check_device(name: str) -> None:
    from whalescan.detector.scoring import choose_device  # torch takes seconds to import

    choose_device(name)
