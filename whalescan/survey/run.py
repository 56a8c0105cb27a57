"""The main job: recordings to tables. Scores are kept as they come, and tables are made of what is kept."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from whalescan.audio import recordings
from whalescan.audio.start_times import ClockOptions
from whalescan.core.files import check_writable
from whalescan.core.profiling import stage, watching
from whalescan.options import TableOptions
from whalescan.scores import validation_store
from whalescan.survey import provenance
from whalescan.survey.inspection import inspect_all, kept_entries
from whalescan.survey.job import Job, method
from whalescan.survey.lock import alone
from whalescan.survey.noaa_reports import check_reports, write_reports
from whalescan.survey.output_settings import Views
from whalescan.survey.outputs import PROVENANCE, Survey, write_tables
from whalescan.survey.profile import PROFILE, Profile
from whalescan.survey.provenance import Kept
from whalescan.survey.report import write_report
from whalescan.survey.run_log import Logbook
from whalescan.survey.scoring import score_all
from whalescan.tables import manifest


def run(job: Job) -> Survey:
    """Score every recording and write every table.

    Raises:
        UsageError, ModelError: before anything is started.
        OutputError, ClusterError: when results cannot be written, or workers are gone; what was finished is kept.
        KeyboardInterrupt: when the user wanted an end; likewise.
    """
    started = datetime.now(UTC), time.monotonic()
    clock = ClockOptions(job.tables.timezone, job.tables.time_format)
    how = method(job)
    views = Views.of(how, job.tables)
    views.check()
    check_reports(job.tables, views)
    if not (job.work.scheduler or job.work.jobqueue):
        _check_device(job.work.device)
    found = recordings.find(job.inputs)
    check_writable(job.output)
    with alone(job.output) as warning, Logbook(job.output) as log, watching(job.work.profile) as spans:
        _check_kept(job.output)
        log.write("run", f"{how.detector}: {', '.join(job.inputs)}; process {os.getpid()} on {platform.node()}")
        if warning:
            log.write("note", warning)
        profile = Profile()
        with stage("plan"):
            entries = inspect_all(found, clock, job.scores)
        score_all(entries, job, how, log, profile)
        (job.output / PROVENANCE).unlink(missing_ok=True)  # until all is written, there is no finished run
        with stage("tables"):
            survey = write_tables(job.output, entries, views)
            provenance.write(job, how, survey, *started)
            write_reports(job.output, survey, views)
        with stage("report"):
            write_report(job.output, survey)
        profile.add(spans)
        if job.work.profile:
            profile.write(job.output)
        else:
            (job.output / PROFILE).unlink(missing_ok=True)  # of an earlier run
        log.write("done", f"{len(survey.files)} recordings, {len(survey.detections)} calls")
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
    with alone(output):
        survey = write_tables(output, kept_entries(output, kept.scores, clock), views)
        provenance.update(output, views, survey)
        write_reports(output, survey, views)
        write_report(output, survey)
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


def _check_kept(output: Path) -> None:
    """See before hours of work that what an earlier run and its reviewers left can be read."""
    manifest.read(output)
    validation_store.read(output)


def _check_device(name: str) -> None:
    if name in ("auto", "cpu"):
        return
    from whalescan.detector.device import choose_device  # torch takes seconds to import

    choose_device(name)
