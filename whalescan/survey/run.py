"""The main job: recordings to tables. Scores are kept as they come, and tables are made of what is kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from whalescan.config import TableOptions
from whalescan.sound import recordings, timeline
from whalescan.sound.clocks import ClockOptions
from whalescan.survey import plan, provenance
from whalescan.survey.assembly import Assembly
from whalescan.survey.engine import Task, score_chunks
from whalescan.survey.inspection import inspect_all, kept_entries
from whalescan.survey.job import Job, Method, method
from whalescan.survey.outputs import PROVENANCE, Survey, write_tables
from whalescan.survey.progress import Progress
from whalescan.survey.provenance import Kept
from whalescan.survey.reports import check_reports, write_reports
from whalescan.survey.views import Views
from whalescan.tables import judgementfile, manifest
from whalescan.tables.chains import Scored
from whalescan.tables.csvs import FileRow
from whalescan.tables.files import check_writable


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
    _check_kept(job.output)
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
    views = views_again(kept, threshold, options)
    clock = ClockOptions(kept.tables.timezone, kept.tables.time_format)
    survey = write_tables(output, kept_entries(output, kept.scores, clock), views)
    provenance.update(output, views, survey)
    write_reports(output, survey, views)
    return survey


def views_again(kept: Kept, threshold: float | None = None, options: TableOptions | None = None) -> Views:
    """What makes tables of the scores of a finished run, as for `detect`.

    Raises:
        UsageError: where a table or a report could not be made.
    """
    rule = kept.rule if threshold is None else replace(kept.rule, threshold=threshold)
    asked = replace(options or kept.tables, timezone=kept.tables.timezone, time_format=kept.tables.time_format)
    views = Views(rule, kept.detector, kept.classes, kept.rate_hz, kept.band_hz, asked)
    views.check()
    check_reports(asked, views)
    return views


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


def _check_kept(output: Path) -> None:
    """See before hours of work that what an earlier run and its reviewers left can be read."""
    manifest.read(output)
    judgementfile.read(output)


def _check_device(name: str) -> None:
    from whalescan.detector.scoring import choose_device  # torch takes seconds to import

    choose_device(name)
