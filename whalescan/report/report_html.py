"""``report.html``: the whole survey on one self-contained page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from whalescan.report import run_tables
from whalescan.report.contact_sheet import contact_sheet_view
from whalescan.report.effort_timeline import timeline_figure
from whalescan.report.hour_of_day import hour_of_day_figures
from whalescan.report.overview import survey_overview
from whalescan.report.presence_calendar import calendar_figure
from whalescan.report.report_data import ReportData
from whalescan.report.score_histogram import detection_scores_figure, window_scores_figure
from whalescan.report.svg import Figure, px
from whalescan.report.validation_section import validation_section

_TEMPLATES = Environment(
    loader=PackageLoader("whalescan.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters["px"] = px


@dataclass(frozen=True, slots=True)
class FigureSection:
    """A part of the page that consists of figures.

    Attributes:
        name: unique on the page.
        first_number: number of its first figure.
    """

    name: str
    title: str
    first_number: int
    figures: tuple[Figure, ...]


def report_html(data: ReportData) -> bytes:
    r"""Return the report as one page of HTML in UTF-8; the same data give the same bytes.

    Bytes of a name that are not valid UTF-8 are shown as in the tables, such as ``\udcff``.

    The page refers to nothing outside itself and holds no script, so it works offline, from a disk and in an archive. Its
    size is bounded however long the survey is: time is cut into a bounded number of columns, and long lists are truncated
    with a note where the rest is.
    """
    template = _TEMPLATES.get_template("report.html.j2")
    return template.render(
        data=data,
        overview=survey_overview(data),
        sections=list(_figure_sections(data)),
        validations=validation_section(data),
        sheets=[contact_sheet_view(i, sheet) for i, sheet in enumerate(data.sheets, 1)],
        failures=run_tables.failure_table(data),
        remarks=run_tables.remark_table(data),
        start_times=run_tables.start_time_table(data),
        rerun_command=run_tables.RERUN_COMMAND,
        full_command=run_tables.full_command(data.provenance),
        provenance=run_tables.provenance_table(data.provenance),
    ).encode(errors="backslashreplace")


def _figure_sections(data: ReportData) -> Iterator[FigureSection]:
    """Return the sections of figures, the figures numbered from 1."""
    scores = [detection_scores_figure(data.detections, data.threshold)]
    if data.window_counts is not None:
        scores.append(window_scores_figure(data.window_counts, data.threshold))
    hours = hour_of_day_figures(data.hourly, data.local_hourly, data.daily, data.summary_timezone, data.position)
    first_number = 1
    for name, title, figures in (
        ("presence", "Presence", [calendar_figure(data.daily, data.presence_rule)]),
        ("hours", "Hours of the day", hours),
        ("effort", "Effort and gaps", [timeline_figure(data)]),
        ("scoring", "Scores", scores),
    ):
        yield FigureSection(name, title, first_number, tuple(figures))
        first_number += len(figures)
