"""``report.html``: the whole survey on one page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from whalescan.report import problems, reproducibility
from whalescan.report.calendar import calendar_figure
from whalescan.report.contact_sheet import pinned
from whalescan.report.hour_of_day import diel_figures
from whalescan.report.overview import glance
from whalescan.report.report_data import ReportFacts
from whalescan.report.score_histogram import call_scores_figure, window_scores_figure
from whalescan.report.svg import Figure, px
from whalescan.report.timeline import timeline_figure
from whalescan.report.validation_section import judged

_PAGES = Environment(
    loader=PackageLoader("whalescan.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_PAGES.filters["px"] = px


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page that consists of figures.

    Attributes:
        name: unique on the page.
        first: number of its first figure.
    """

    name: str
    title: str
    first: int
    figures: tuple[Figure, ...]


def report_html(facts: ReportFacts) -> bytes:
    r"""The report as one page of HTML, UTF-8; the same facts give the same bytes.

    Of a name that is no text, each byte that is none is shown as in the tables, such as ``\udcff``.

    It names no address but its own parts, and holds no script, so it works offline, from a disk and in an archive. However
    long the survey, figures stay small: time is cut into a bounded number of columns, and lists end with where the rest is.
    """
    page = _PAGES.get_template("report.html.j2")
    return page.render(
        facts=facts,
        glance=glance(facts),
        sections=list(_sections(facts)),
        judged=judged(facts),
        sheets=[pinned(i, sheet) for i, sheet in enumerate(facts.sheets, 1)],
        failures=problems.failures(facts),
        remarks=problems.remarks(facts),
        clocks=problems.clocks(facts),
        n_without_clock=problems.n_without_clock(facts),
        again=reproducibility.AGAIN,
        command=reproducibility.full_command(facts.provenance),
        provenance=reproducibility.provenance_table(facts.provenance),
    ).encode(errors="backslashreplace")


def _sections(facts: ReportFacts) -> Iterator[Section]:
    """The figures, numbered through."""
    scores = [call_scores_figure(facts.calls, facts.threshold)]
    if facts.window_counts is not None:
        scores.append(window_scores_figure(facts.window_counts, facts.threshold))
    hours = diel_figures(facts.hourly, facts.local_hourly, facts.daily, facts.zone, facts.position)
    first = 1
    for name, title, figures in (
        ("presence", "Presence", [calendar_figure(facts.daily, facts.presence_rule)]),
        ("hours", "Hours of the day", hours),
        ("effort", "Effort and gaps", [timeline_figure(facts)]),
        ("scoring", "Scores", scores),
    ):
        yield Section(name, title, first, tuple(figures))
        first += len(figures)
