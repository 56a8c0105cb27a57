"""The main job: recordings to tables. Scores are kept as they come, and tables are made of what is kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from whalescan.config import ScoreOptions
from whalescan.core import Outcome, RecordingError, Status
from whalescan.sound import recordings
from whalescan.sound.clocks import ClockOptions
from whalescan.survey import plan, provenance
from whalescan.survey.assembly import Assembly
from whalescan.survey.engine import Task, score_chunks
from whalescan.survey.job import Job, Method, method
from whalescan.survey.outputs import FILES, PROVENANCE, Scored, Survey, write_tables
from whalescan.survey.progress import Progress
from whalescan.tables.csvs import FileRow, listed_files
from whalescan.tables.files import check_writable
from whalescan.tables.raven import SelectionOptions
from whalescan.tables.scorefile import score_path


def run(job: Job) -> Survey:
    """Score every recording and write every table.

    Raises:
        UsageError, ModelError: before anything is started.
        OutputError: when results cannot be written; what was written before is kept.
    """
    started = datetime.now(UTC), time.monotonic()
    clock = ClockOptions(job.tables.timezone, job.tables.time_format)
    how = method(job)
    if not job.work.scheduler:
        _check_device(job.work.device)
    found = recordings.find(job.inputs)
    check_writable(job.output)
    entries = [_inspect(one, clock, job.scores) for one in found]
    (job.output / PROVENANCE).unlink(missing_ok=True)  # until all is written, there is no finished run
    _score(entries, job, how)
    survey = write_tables(job.output, entries, how.rule, SelectionOptions(how.detector, job.tables.raven_root))
    provenance.write(job, how, survey, *started)
    return survey


def detect(output: Path, threshold: float | None = None) -> Survey:
    """Find calls anew in the scores that a run left, and write every table anew.

    Raises:
        TableError: when the folder holds no finished run.
    """
    kept = provenance.read(output)
    rule = kept.rule if threshold is None else replace(kept.rule, threshold=threshold)
    entries: list[Scored | FileRow] = []
    for row in listed_files(output / FILES):
        channels = kept.scores.channels(row.recording.channels) if row.recording else ()
        scored = bool(channels) and score_path(output / "scores", row.name, channels[0]).exists()
        if row.outcome.status is Status.FAILED and not scored:
            entries.append(row)
        elif row.recording is not None:
            entries.append(Scored(row.recording, channels))
    survey = write_tables(output, entries, rule, SelectionOptions(kept.detector, kept.tables.raven_root))
    provenance.update(output, rule, survey)
    return survey


def _inspect(found: recordings.Found, clock: ClockOptions, options: ScoreOptions) -> Scored | FileRow:
    """A recording that can be scored, or the row that says why it cannot."""
    try:
        recording = recordings.inspect(found, clock)
    except RecordingError as error:
        return FileRow(found.name, found.path, None, Outcome(Status.FAILED, 0.0, 0, str(error)))
    channels = options.channels(recording.channels)
    if not channels:
        problem = f"{found.path}: has no channel {options.channel}, only 1 to {recording.channels}; give another --channel"
        return FileRow(found.name, found.path, recording, Outcome(Status.FAILED, 0.0, 0, problem))
    return Scored(recording, channels)


def _score(entries: Sequence[Scored | FileRow], job: Job, how: Method) -> None:
    """Score what has not been scored yet, and leave it on disk."""
    work, grid = job.work, how.grid
    assembly = Assembly(job.output / "scores", how.model, grid, work.batch_size)
    channels = [(entry.recording, c) for entry in entries if isinstance(entry, Scored) for c in entry.channels]
    total_s = sum(recording.duration_s for recording, _ in channels)
    with Progress(total_s, work.quiet) as progress:
        waiting = []
        for recording, channel in channels:
            if not work.restart and assembly.is_done(recording, channel):
                progress.skip(recording.duration_s)
            else:
                waiting.append((recording, channel))
        if not waiting:
            return
        chunks = (chunk for pair in waiting for chunk in plan.chunks(*pair, grid, work.batch_size))
        for scored in score_chunks(chunks, Task(how.model, grid, work.device, work.batch_size), work):
            begin, end = scored.chunk.own_samples(grid)
            progress.add(grid.seconds(end - begin))
            if assembly.add(scored) and work.verbose:
                progress.note(f"{scored.chunk.recording.name}: scored")


def _check_device(name: str) -> None:
    from whalescan.detector.scoring import choose_device  # torch takes seconds to import

    choose_device(name)
