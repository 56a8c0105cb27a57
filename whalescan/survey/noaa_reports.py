"""NOAA's tables, made of the survey's days and of what only the user knows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from whalescan.core.files import write_whole
from whalescan.options import TableOptions
from whalescan.survey.output_settings import Views
from whalescan.survey.outputs import Survey
from whalescan.tables.noaa.days import Analysis
from whalescan.tables.noaa.makara import ANALYSES_FILE, DETECTIONS_FILE, check_makara, makara_tables, read_makara
from whalescan.tables.noaa.pars import PARS_FILE, check_pars, detection_data, read_pars

MAKARA_FOLDER = "makara"


def check_reports(options: TableOptions, views: Views) -> None:
    """See before hours of work that the facts for the reports are complete and fit the analysis.

    Raises:
        UsageError: with every field that is not as NOAA wants it.
    """
    analysis = _analysis(Counter(), views)
    if options.pars:
        check_pars(read_pars(Path(options.pars)), analysis)
    if options.makara:
        check_makara(read_makara(Path(options.makara)), analysis)


def write_reports(output: Path, survey: Survey, views: Views) -> None:
    """Write the reports that the user asked for.

    Raises:
        OutputError: where NOAA would refuse one; it is not written then, and an older one is removed.
    """
    options, days = views.options, survey.accounts.daily
    analysis = _analysis(
        Counter(call.review for call in survey.detections if views.counts(call.label)),
        views,
    )
    paths = [output / PARS_FILE, *(output / MAKARA_FOLDER / name for name in (ANALYSES_FILE, DETECTIONS_FILE))]
    for path in paths:
        path.unlink(missing_ok=True)
    if options.pars:
        write_whole(paths[0], detection_data(days, read_pars(Path(options.pars)), analysis))
    if options.makara:
        tables = makara_tables(days, read_makara(Path(options.makara)), analysis)
        write_whole(paths[1], tables.analyses)
        write_whole(paths[2], tables.detections)


def _analysis(reviews: Counter[str], views: Views) -> Analysis:
    low_hz, high_hz = views.band_hz
    n_unreviewed = reviews["unreviewed"]
    return Analysis(views.rate_hz, low_hz, high_hz, views.detector, reviews.total() - n_unreviewed, n_unreviewed)
