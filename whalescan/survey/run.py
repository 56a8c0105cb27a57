"""A run from recordings to tables, and the tables made again from the stored scores of a run."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from whalescan.audio import recordings
from whalescan.core.files import check_writable
from whalescan.core.profiling import PROFILE, Profile, collect_stages, stage
from whalescan.core.text import count
from whalescan.options import TableOptions
from whalescan.scores import validation_store
from whalescan.survey import provenance
from whalescan.survey.finished_run import stored_recordings
from whalescan.survey.outputs import Survey, check_noaa_reports, detect_survey, write_noaa_reports, write_tables
from whalescan.survey.provenance import RunRecord
from whalescan.survey.report import write_report
from whalescan.survey.run_folder import RunLog, exclusive_access
from whalescan.survey.scoring import inspect_recordings, score_all
from whalescan.survey.settings import OutputSettings, SurveyJob, scoring_method
from whalescan.tables import manifest
from whalescan.tables.run_json import RUN_JSON


def run(job: SurveyJob) -> Survey:
    """Score every recording and write every table.

    Raises:
        UsageError, ModelError: before anything is started.
        OutputError, ClusterError: when results cannot be written or the workers are lost; finished scores are stored.
        KeyboardInterrupt: when the user interrupted; finished scores are stored.
    """
    started = datetime.now(UTC), time.monotonic()
    method = scoring_method(job)
    settings = OutputSettings.of(method, job.tables)
    settings.check()
    check_noaa_reports(job.tables, settings)
    if not (job.work.scheduler or job.work.jobqueue or job.work.client):
        _check_device(job.work.device)
    clock_options = job.clock_options
    files = recordings.find_recordings(job.inputs)
    check_writable(job.output)
    with exclusive_access(job.output) as warning, RunLog(job.output) as log, collect_stages(job.work.profile) as spans:
        _check_earlier_results(job.output)
        log.write("run", f"{method.detector}: {', '.join(job.inputs)}; process {os.getpid()} on {platform.node()}")
        if warning is not None:
            log.warn(warning)
        profile = Profile()
        with stage("plan"):
            results = inspect_recordings(files, clock_options, job.scores)
        score_all(results, job, method, log, profile)
        (job.output / RUN_JSON).unlink(missing_ok=True)  # until all is written, there is no finished run
        with stage("tables"):
            survey = write_tables(job.output, results, settings)
            provenance.write_run_record(job, method, survey, *started)
            write_noaa_reports(job.output, survey, settings)
        with stage("report"):
            write_report(job.output, survey)
        profile.add(spans)
        if job.work.profile:
            profile.write(job.output)
        else:
            (job.output / PROFILE).unlink(missing_ok=True)  # of an earlier run
        log.write("done", f"{count(len(survey.files), 'recording')}, {count(len(survey.detections), 'detection')}")
    return survey


def detect(output: Path, threshold: float | None = None, options: TableOptions | None = None) -> Survey:
    """Detect calls again in the stored scores of a run, with all validations, and write every table again.

    Args:
        output: folder of a finished run.
        threshold: score at which a detection begins; None for the one used last.
        options: for the tables; None for those used last. How start times are read stays as it was in the run.

    Raises:
        TableError: when the folder holds no finished run.
    """
    record = provenance.read_run_record(output)
    settings = settings_for_detect(record, threshold, options)
    with exclusive_access(output):
        survey = write_tables(output, stored_recordings(output, record), settings)
        provenance.update_run_record(output, settings, survey)
        write_noaa_reports(output, survey, settings)
        write_report(output, survey)
    return survey


def detect_stored(output: Path, threshold: float | None = None, options: TableOptions | None = None) -> Survey:
    """Detect calls again in the stored scores of a run, with all validations, and write nothing.

    Args:
        output: as for `detect`.
        threshold: as for `detect`.
        options: as for `detect`.

    Raises:
        TableError: when the folder holds no finished run.
    """
    record = provenance.read_run_record(output)
    settings = settings_for_detect(record, threshold, options)
    return detect_survey(output, stored_recordings(output, record), settings)


def settings_for_detect(
    record: RunRecord, threshold: float | None = None, options: TableOptions | None = None
) -> OutputSettings:
    """Return how `detect` makes tables of the stored scores of a run.

    Args:
        record: of the run.
        threshold: as for `detect`.
        options: as for `detect`.

    Raises:
        UsageError: when a table or a report cannot be made.
    """
    rule = record.rule if threshold is None else replace(record.rule, threshold=threshold)
    options = replace(options or record.tables, timezone=record.tables.timezone, time_format=record.tables.time_format)
    settings = OutputSettings(rule, record.detector, record.classes, record.rate_hz, record.band_hz, options)
    settings.check()
    check_noaa_reports(options, settings)
    return settings


def _check_earlier_results(output: Path) -> None:
    """Check that tables and validations of an earlier run can be read, before hours of work."""
    manifest.read_manifest(output)
    validation_store.read_validations(output)


def _check_device(name: str) -> None:
    if name in ("auto", "cpu"):
        return
    from whalescan.detector.device import choose_device  # torch takes seconds to import

    choose_device(name)
