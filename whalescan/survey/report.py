"""``report.html``: the survey on one page, with contact sheets of its detections."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from whalescan.audio.start_times import parse_timezone
from whalescan.core import Detection, FloatArray, Position, RecordingError, TableError, WindowGrid
from whalescan.core.files import write_atomically
from whalescan.core.text import list_some
from whalescan.detections import sampling
from whalescan.report.report_data import ComplexitySeries, ContactSheet, ContactSheetEntry, ReportData
from whalescan.report.report_html import report_html
from whalescan.report.spectrogram_image import SpectrogramImage, spectrogram_image
from whalescan.scores.score_file import read_complexity, score_path
from whalescan.survey import provenance
from whalescan.survey.finished_run import FinishedRun
from whalescan.survey.outputs import REPORT, Survey
from whalescan.survey.run_summary import threshold_sentences
from whalescan.tables.run_json import read_run_json

_N_SHOWN = 12
"""Detections of a sheet: enough to see what the detector finds, few enough to look at all of them."""
_SHOWN_S = 6.0
"""Seconds of audio of an image, with the detection in its middle; more where the detection is longer."""
_MARGIN_S = 1.5
"""Least context on both sides of a detection."""
_LOW_HZ, _HIGH_HZ = 0.0, 500.0
"""Frequencies of an image: an upcall sweeps from 50 to 350 Hz."""
_ComplexityReader = Callable[[Path], tuple[WindowGrid, FloatArray]]


def write_report(output: Path, survey: Survey) -> None:
    """Write the report of a survey whose tables and ``run.json`` are written.

    Spectrograms are made from the recordings. Where a recording is absent, the report says so.
    """
    run = FinishedRun(output, provenance.read_run_record(output), survey.files)
    write_atomically(output / REPORT, report_html(_report_data(survey, run, datetime.now(UTC))))


def _report_data(survey: Survey, run: FinishedRun, now: datetime) -> ReportData:
    options, effort = survey.settings.options, survey.effort
    document = read_run_json(run.output)
    return ReportData(
        title=_title(document["recordings"]),
        files=survey.files,
        detections=survey.detections,
        is_counted=np.array([survey.settings.is_counted(one.label) for one in survey.detections], np.bool_),
        recorded=effort.recorded,
        analysed=effort.analysed,
        gaps=effort.gaps,
        hourly=effort.hourly,
        daily=effort.daily,
        summary_timezone=parse_timezone(options.summary_timezone) if options.summary_timezone else None,
        local_hourly=survey.local_hourly,
        position=Position.parse(options.position) if options.position else None,
        threshold=survey.settings.rule.threshold,
        threshold_text=" ".join(threshold_sentences(survey)),
        window_counts=survey.window_counts,
        presence_rule=survey.settings.presence_rule.description,
        sheets=contact_sheets(run, survey.detections),
        provenance=document,
        written_utc=now,
    )


def _title(inputs: Sequence[str]) -> str:
    """Return the names of the folders and files that were scanned."""
    names = list(dict.fromkeys(Path(path).name for path in inputs))
    return list_some(names, limit=3)


def contact_sheets(run: FinishedRun, detections: Sequence[Detection]) -> tuple[ContactSheet, ...]:
    """Return the contact sheets of a survey. Each detection is on at most one of them; empty sheets are left out.

    Args:
        run: where audio and scores are read.
        detections: of the survey, with their reviews.
    """
    scored = [one for one in detections if one.score is not None]
    not_rejected = [one for one in scored if one.review != "no"]
    chosen: list[tuple[str, str, Iterable[Detection]]] = [
        (
            "Highest scores",
            "The detections with the highest scores, without rejected ones.",
            _first(not_rejected, lambda one: (-_score(one), one.detection_id)),
        ),
        (
            "At the threshold",
            "The detections with the lowest scores, without rejected ones.",
            _first(
                sampling.detections_at_threshold(not_rejected, run.record.rule.threshold),
                lambda one: (_score(one), one.detection_id),
            ),
        ),
        (
            "Rejected by people",
            "The rejected detections with the highest scores.",
            _first((one for one in scored if one.review == "no"), lambda one: (-_score(one), one.detection_id)),
        ),
        (
            "Found by people",
            "Calls that reviewers added because the detector missed them.",
            _first((one for one in detections if one.score is None and one.review != "no"), _random_key),
        ),
        (
            "A random sample",
            "A random sample of all detections, by a hash of their IDs, without those shown above.",
            _first(scored, _random_key),
        ),
    ]
    read = lru_cache(maxsize=4)(read_complexity)  # the highest scores often lie in one recording, whose file is large
    shown: set[str] = set()
    sheets = []
    for title, rule, candidates in chosen:
        entries = [one for one in candidates if one.detection_id not in shown]
        shown.update(one.detection_id for one in entries)
        if entries:
            sheets.append((title, rule, entries))
    with ThreadPoolExecutor() as pool:  # transforms and PNG compression release Python's lock
        draw = partial(pool.map, lambda detection: _entry(run, detection, read))
        return tuple(ContactSheet(title, rule, tuple(draw(entries))) for title, rule, entries in sheets)


def _first(detections: Iterable[Detection], key: Callable[[Detection], tuple[float | str, ...]]) -> list[Detection]:
    return heapq.nsmallest(_N_SHOWN, detections, key)


def _random_key(detection: Detection) -> tuple[str]:
    return (sampling.random_key(detection.detection_id).hex(),)


def _score(detection: Detection) -> float:
    assert detection.score is not None
    return detection.score


def _entry(run: FinishedRun, detection: Detection, read: _ComplexityReader) -> ContactSheetEntry:
    recording = run.recordings_by_name.get(detection.recording)
    start_utc = recording.utc(detection.begin_s) if recording else None
    margin_s = max(_MARGIN_S, (_SHOWN_S - (detection.end_s - detection.begin_s)) / 2)
    begin_s, end_s = max(detection.begin_s - margin_s, 0.0), detection.end_s + margin_s
    image: SpectrogramImage | None = None
    note = ""
    try:
        excerpt = run.read_excerpt(detection.recording, detection.channel, begin_s, end_s, run.record.rate_hz)
    except RecordingError as error:
        note = str(error)
    else:
        image = spectrogram_image(excerpt, _LOW_HZ, max(_HIGH_HZ, 1.25 * detection.high_hz))
        begin_s, end_s = image.extent.begin_s, image.extent.end_s
    return ContactSheetEntry(detection, start_utc, image, note, _complexity(run, detection, read, begin_s, end_s))


def _complexity(
    run: FinishedRun, detection: Detection, read: _ComplexityReader, begin_s: float, end_s: float
) -> ComplexitySeries | None:
    """Return the complexity of the windows whose middles are shown; None where the scores are absent."""
    try:
        grid, values = read(score_path(run.output / "scores", detection.recording, detection.channel))
    except TableError:
        return None
    middles_s = (np.arange(len(values)) * grid.hop_samples + grid.window_samples / 2) / grid.rate_hz
    is_shown = (middles_s >= begin_s) & (middles_s <= end_s)
    return ComplexitySeries(middles_s[is_shown], values[is_shown])
