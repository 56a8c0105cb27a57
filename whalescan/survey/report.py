"""``report.html``: the survey on one page, made of what the tables are made of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from whalescan.audio.start_times import parse_zone
from whalescan.core import Position
from whalescan.core.files import write_whole
from whalescan.report.report_data import ReportFacts
from whalescan.report.report_html import report_html
from whalescan.survey import contact_sheets, provenance
from whalescan.survey.finished_run import Opened
from whalescan.survey.outputs import REPORT, Survey


def write_report(output: Path, survey: Survey) -> None:
    """Write the report of a survey whose tables and ``run.json`` are written.

    Pictures are made of the recordings; where these are not there any more, the report says so in their places.
    """
    opened = Opened(output, provenance.read(output), survey.files)
    write_whole(output / REPORT, report_html(_facts(survey, opened, datetime.now(UTC))))


def _facts(survey: Survey, opened: Opened, now: datetime) -> ReportFacts:
    options, accounts = survey.views.options, survey.accounts
    document = provenance.read_document(opened.output)
    return ReportFacts(
        title=_title(document["recordings"]),
        files=survey.files,
        calls=survey.detections,
        counts=np.array([survey.views.counts(call.label) for call in survey.detections], np.bool_),
        recorded=accounts.recorded,
        analysed=accounts.analysed,
        gaps=accounts.gaps,
        hourly=accounts.hourly,
        daily=accounts.daily,
        zone=parse_zone(options.summary_timezone) if options.summary_timezone else None,
        local_hourly=survey.local_hourly,
        position=Position.parse(options.position) if options.position else None,
        threshold=survey.views.rule.threshold,
        window_counts=survey.window_counts,
        presence_rule=survey.views.presence.sentence,
        sheets=contact_sheets.sheets(opened, survey.detections),
        provenance=document,
        written_utc=now,
    )


def _title(inputs: Sequence[str]) -> str:
    """The names of what was given."""
    names = list(dict.fromkeys(Path(given).name for given in inputs))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
