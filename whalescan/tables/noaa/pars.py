"""NOAA's Passive Acoustic Reporting System, PARS 1.0: ``detectiondata.csv``, one row a UTC day.

Sources: the PARS guide (passiveacoustics.fisheries.noaa.gov/pars/guide), and the code that reads what is handed in
(NEFSC/READ-PSB-PACM, ``r/R/pars-*.R``). Nothing is written that breaks a rule of theirs which can be checked here. What
cannot be: whether NOAA knows the organization and the detector, and whether ``metadata.csv`` names the deployment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from whalescan.detections.presence import Bin
from whalescan.tables.noaa.days import (
    HIGHEST_RATE_KHZ,
    LOWEST_RATE_KHZ,
    PROCESSING,
    RESULTS,
    RIGHT_WHALE_CALLS,
    RIGHT_WHALES,
    SPECIMEN_DAY,
    Analysis,
    analysis_problems,
    day_cells,
    day_problems,
    sequence_problems,
    source_problems,
    window_cells,
    window_problems,
)
from whalescan.tables.noaa.rules import (
    Column,
    Kind,
    Problem,
    Row,
    cell_problems,
    number_or_none,
    parse_table,
    read_facts,
    refuse,
    refuse_facts,
    rows_csv,
)

PARS_FILE = "detectiondata.csv"
"""NOAA's reader knows the file by this name alone."""

PARS_EXAMPLE = """\
# What NOAA asks for and no recording tells. The keys are the columns of detectiondata.csv.
deployment_code = "NEFSC_MA-RI_201901_NS01"     # as in the metadata.csv that you hand in with it
analysis_organization_code = "NEFSC"            # who analysed; from NOAA's table of organizations
analysis_detector_code = "WHALESCAN"            # NOAA's table of detectors has none for whalescan yet: ask for one
analysis_protocol_reference = \"\"\"
    An analyst reviewed every detection at or above the threshold.
    A day is DETECTED from 3 confirmed upcalls on.\"\"\"

# Optional, with the values that hold where they are left out.
analysis_processing_code = "POST_PROCESSED"     # or REAL_TIME
detection_sound_source_code = "RIWH"            # North Atlantic right whale
detection_call_type_code = "RW_UPCALL"

# Optional: without them, no citation, and the band that the detector looks at.
analysis_citations = "doi:10.1038/s41598-017-13359-3"
analysis_min_frequency_khz = 0.05
analysis_max_frequency_khz = 0.35
"""
"""A complete file for `read_pars`."""

_FACTS = (
    Column("deployment_code", Kind.CODE, required=True),
    Column("analysis_organization_code", Kind.CODE, required=True),
    Column("analysis_detector_code", Kind.CODE, required=True),
    Column("analysis_protocol_reference", Kind.TEXT, required=True),
    Column("analysis_citations", Kind.TEXT),
    Column("analysis_processing_code", Kind.CODE, vocabulary=PROCESSING),
    Column("analysis_min_frequency_khz", Kind.FLOAT, low=0),
    Column("analysis_max_frequency_khz", Kind.FLOAT, low=0),
    Column("detection_sound_source_code", Kind.CODE, vocabulary=RIGHT_WHALES),
    Column("detection_call_type_code", Kind.CODE, vocabulary=RIGHT_WHALE_CALLS),
)
COLUMNS = (
    Column("deployment_code", Kind.CODE, required=True),
    Column("analysis_organization_code", Kind.CODE, required=True),
    Column("analysis_sound_source_codes", Kind.CODES, required=True),
    Column("analysis_start_datetime", Kind.TIMESTAMP, required=True),
    Column("analysis_end_datetime", Kind.TIMESTAMP, required=True),
    Column("analysis_sample_rate_khz", Kind.FLOAT, required=True, low=LOWEST_RATE_KHZ, high=HIGHEST_RATE_KHZ),
    Column("analysis_min_frequency_khz", Kind.FLOAT, required=True, low=0),
    Column("analysis_max_frequency_khz", Kind.FLOAT, required=True, low=0),
    Column("analysis_processing_code", Kind.CODE, required=True, vocabulary=PROCESSING),
    Column("analysis_protocol_reference", Kind.TEXT, required=True),
    Column("analysis_citations", Kind.TEXT),
    Column("analysis_detector_code", Kind.CODE, required=True),
    Column("analysis_detector_version", Kind.TEXT, required=True),
    Column("detection_start_datetime", Kind.TIMESTAMP, required=True),
    Column("detection_end_datetime", Kind.TIMESTAMP, required=True),
    Column("detection_effort_secs", Kind.FLOAT, required=True, low=0),
    Column("detection_sound_source_code", Kind.CODE, vocabulary=RIGHT_WHALES),
    Column("detection_call_type_code", Kind.CODE, vocabulary=RIGHT_WHALE_CALLS),
    Column("detection_n_validated", Kind.COUNT),
    Column("detection_result_code", Kind.CODE, required=True, vocabulary=RESULTS),
    Column("localization_method_code", Kind.CODE),
    Column("localization_latitude", Kind.FLOAT, low=-90, high=90),
    Column("localization_longitude", Kind.FLOAT, low=-180, high=180),
    Column("localization_distance_m", Kind.FLOAT, low=0),
)
_ANALYSIS = tuple(column.name for column in COLUMNS if column.name.startswith("analysis_"))
_SERIES = ("deployment_code", "detection_sound_source_code", "detection_call_type_code")


@dataclass(frozen=True, slots=True)
class ParsFacts:
    """What the user knows and the recordings do not tell. The names are NOAA's columns.

    Attributes:
        analysis_detector_code: from NOAA's table of detectors, which has none for whalescan yet.
        analysis_protocol_reference: what the analyst did, and from how many confirmed calls on a day is ``DETECTED``.
        analysis_min_frequency_khz, analysis_max_frequency_khz: None for the band that the detector looks at.
    """

    deployment_code: str
    analysis_organization_code: str
    analysis_detector_code: str
    analysis_protocol_reference: str
    analysis_citations: str = ""
    analysis_processing_code: str = "POST_PROCESSED"
    analysis_min_frequency_khz: float | None = None
    analysis_max_frequency_khz: float | None = None
    detection_sound_source_code: str = "RIWH"
    detection_call_type_code: str = "RW_UPCALL"


def read_pars(path: Path) -> ParsFacts:
    """The facts in a TOML file such as `PARS_EXAMPLE`.

    Raises:
        UsageError: when the file cannot be read, or with every field that is unknown, missing, or not what it must be.
    """
    cells = read_facts(path, "--pars", _FACTS)
    return ParsFacts(
        deployment_code=cells["deployment_code"],
        analysis_organization_code=cells["analysis_organization_code"],
        analysis_detector_code=cells["analysis_detector_code"],
        analysis_protocol_reference=cells["analysis_protocol_reference"],
        analysis_citations=cells["analysis_citations"],
        analysis_processing_code=cells["analysis_processing_code"] or "POST_PROCESSED",
        analysis_min_frequency_khz=number_or_none(cells["analysis_min_frequency_khz"]),
        analysis_max_frequency_khz=number_or_none(cells["analysis_max_frequency_khz"]),
        detection_sound_source_code=cells["detection_sound_source_code"] or "RIWH",
        detection_call_type_code=cells["detection_call_type_code"] or "RW_UPCALL",
    )


def check_pars(facts: ParsFacts, analysis: Analysis) -> None:
    """See that the facts and the analysis fit each other, before hours of work.

    Raises:
        UsageError: with what NOAA would refuse whatever the survey finds.
    """
    refuse_facts("--pars", validate_pars(_rows([SPECIMEN_DAY], facts, analysis)))


def detection_data(days: Sequence[Bin], facts: ParsFacts, analysis: Analysis) -> bytes:
    """``detectiondata.csv``: every day from the first to the last, also those without calls and those without effort.

    Args:
        days: all full UTC days of the deployment, by time.
        facts: what the user states.
        analysis: what the survey knows of how the days were analysed.

    Raises:
        OutputError: when NOAA would refuse the table, with every row and field, and the remedy.
    """
    rows = _rows([day_cells(day) for day in days], facts, analysis)
    refuse(PARS_FILE, validate_pars(rows))
    return rows_csv(COLUMNS, rows)


def _rows(days: Sequence[Row], facts: ParsFacts, analysis: Analysis) -> list[Row]:
    """All cells of a row; species and call are named on every day, so that the map knows what was not heard."""
    same = {
        "deployment_code": facts.deployment_code,
        "analysis_organization_code": facts.analysis_organization_code,
        "analysis_sound_source_codes": facts.detection_sound_source_code,
        **window_cells(days, analysis, facts.analysis_min_frequency_khz, facts.analysis_max_frequency_khz),
        "analysis_processing_code": facts.analysis_processing_code,
        "analysis_protocol_reference": facts.analysis_protocol_reference,
        "analysis_citations": facts.analysis_citations,
        "analysis_detector_code": facts.analysis_detector_code,
        "analysis_detector_version": analysis.detector_version,
        "detection_sound_source_code": facts.detection_sound_source_code,
        "detection_call_type_code": facts.detection_call_type_code,
    }
    return [{**same, **day} for day in days]


def validate_pars(rows: Sequence[Row]) -> list[Problem]:
    """Everything that is wrong with the rows of a ``detectiondata.csv`` that holds one analysis of whole days.

    Args:
        rows: cells by column; a column that is not there is blank.
    """
    return [
        *cell_problems(rows, COLUMNS),
        *analysis_problems(rows),
        *day_problems(rows),
        *window_problems(rows, rows),
        *source_problems(rows, rows),
        *_other_analyses(rows),
        *sequence_problems(rows, _SERIES),
    ]


def _other_analyses(rows: Sequence[Row]) -> Iterator[Problem]:
    """Rows that differ in a cell of their analysis: NOAA would take them for another analysis."""
    first: dict[str, Row] = {}
    for index, row in enumerate(rows, start=1):
        before = first.setdefault(row.get("deployment_code", ""), row)
        for name in _ANALYSIS:
            if row.get(name, "") != before.get(name, ""):
                what = f"{row.get(name, '')!r} differs from the deployment's first row, which makes it another analysis"
                yield Problem(name, index, what, f"write {before.get(name, '')!r}, or hand in another file")


def validate_pars_csv(content: bytes, name: str = PARS_FILE) -> list[Problem]:
    """Everything that is wrong with a file, as `validate_pars`, and with its name, header and form.

    Args:
        content: the file.
        name: what it is called, without folders.
    """
    rows, problems = parse_table(content, name, PARS_FILE, COLUMNS)
    return problems + validate_pars(rows)
