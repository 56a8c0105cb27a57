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
from whalescan.survey.operating_point import ThresholdOrigin, threshold_for_rate
from whalescan.survey.outputs import (
    DEPLOYMENT_TABLE,
    DETECTIONS,
    Survey,
    check_noaa_reports,
    detect_survey,
    write_noaa_reports,
    write_tables,
)
from whalescan.survey.provenance import RunRecord
from whalescan.survey.report import write_report
from whalescan.survey.run_comparison import EarlierRun, read_earlier_run
from whalescan.survey.run_folder import RunLog, exclusive_access
from whalescan.survey.scoring import inspect_recordings, score_all
from whalescan.survey.settings import OutputSettings, ScoringMethod, SurveyJob, scoring_method
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
        earlier = _check_earlier_results(job.output, method)
        log.write("run", f"{method.detector}: {', '.join(job.inputs)}; process {os.getpid()} on {platform.node()}")
        if warning is not None:
            log.warn(warning)
        profile = Profile()
        with stage("plan"):
            results = inspect_recordings(files, clock_options, job.scores)
        score_all(results, job, method, log, profile)
        (job.output / RUN_JSON).unlink(missing_ok=True)  # until all is written, there is no finished run
        with stage("tables"):
            survey = write_tables(job.output, results, settings, earlier)
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


def detect(
    output: Path,
    threshold: float | None = None,
    options: TableOptions | None = None,
    *,
    false_positives_per_hour: float | None = None,
) -> Survey:
    """Detect calls again in the stored scores of a run, with all validations, and write every table again.

    Args:
        output: folder of a finished run.
        threshold: minimum score of a detection; None for the one used last.
        options: for the tables; None for those used last. How start times are read stays as it was in the run.
        false_positives_per_hour: choose the threshold by the operating points of the model; None for the one used last.

    Raises:
        UsageError: when the threshold cannot be chosen, or a table cannot be made.
        TableError: when the folder holds no finished run.
    """
    record = provenance.read_run_record(output)
    settings = settings_for_detect(record, threshold, options, false_positives_per_hour)
    with exclusive_access(output):
        survey = write_tables(output, stored_recordings(output, record), settings)
        provenance.update_run_record(output, settings, survey)
        write_noaa_reports(output, survey, settings)
        write_report(output, survey)
    return survey


def detect_stored(output: Path, threshold: float | None = None, false_positives_per_hour: float | None = None) -> Survey:
    """Detect calls again in the stored scores of a run, with all validations, and write nothing.

    Args:
        output: as for `detect`.
        threshold: as for `detect`.
        false_positives_per_hour: as for `detect`.

    Raises:
        UsageError, TableError: as for `detect`.
    """
    record = provenance.read_run_record(output)
    settings = settings_for_detect(record, threshold, None, false_positives_per_hour)
    return detect_survey(output, stored_recordings(output, record), settings)


def settings_for_detect(
    record: RunRecord,
    threshold: float | None = None,
    options: TableOptions | None = None,
    false_positives_per_hour: float | None = None,
) -> OutputSettings:
    """Return how `detect` makes tables of the stored scores of a run.

    Args:
        record: of the run.
        threshold: as for `detect`.
        options: as for `detect`.
        false_positives_per_hour: as for `detect`.

    Raises:
        UsageError: when the threshold cannot be chosen, or a table or a report cannot be made.
    """
    before, rule, origin = record.tables, record.rule, record.threshold_origin
    chosen = before.threshold, before.false_positives_per_hour
    if threshold is not None or false_positives_per_hour is not None:
        chosen = threshold, false_positives_per_hour
        origin = ThresholdOrigin.THRESHOLD
    if false_positives_per_hour is not None:
        threshold = threshold_for_rate(record.validation, false_positives_per_hour, record.model_name)
        origin = ThresholdOrigin.FALSE_POSITIVES
    settings = OutputSettings(
        rule=rule if threshold is None else replace(rule, threshold=threshold),
        threshold_origin=origin,
        detector=record.detector,
        classes=record.classes,
        validation=record.validation,
        rate_hz=record.rate_hz,
        band_hz=record.band_hz,
        options=replace(
            options or before,
            threshold=chosen[0],
            false_positives_per_hour=chosen[1],
            timezone=before.timezone,
            time_format=before.time_format,
        ),
    )
    settings.check()
    check_noaa_reports(settings.options, settings)
    return settings


def _check_earlier_results(output: Path, method: ScoringMethod) -> EarlierRun | None:
    """Check that tables and validations of an earlier run can be read, before hours of work.

    Returns:
        Its detections, if another version or model found them.
    """
    manifest.read_manifest(output)
    validation_store.read_validations(output)
    return read_earlier_run(output, output / DETECTIONS, output / DEPLOYMENT_TABLE, method.detector, method.model)


def _check_device(name: str) -> None:
    if name in ("auto", "cpu"):
        return
    from whalescan.detector.device import choose_device  # torch takes seconds to import

    choose_device(name)
