"""NOAA's Passive Acoustic Reporting System, PARS 1.0: ``detectiondata.csv`` with one row per UTC day.

Sources: the PARS guide (passiveacoustics.fisheries.noaa.gov/pars/guide), and the code that reads submissions
(NEFSC/READ-PSB-PACM, ``r/R/pars-*.R``). Nothing is written that violates their rules. Not checked here: whether NOAA knows
the organization and the detector, and whether ``metadata.csv`` contains the deployment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from whalescan.detections.presence import PresenceBin
from whalescan.tables.noaa.days import (
    EXAMPLE_DAY,
    HIGHEST_RATE_KHZ,
    LOWEST_RATE_KHZ,
    PROCESSING,
    RESULTS,
    RIGHT_WHALE_CALLS,
    RIGHT_WHALES,
    NoaaAnalysis,
    analysis_problems,
    day_cells,
    day_problems,
    sequence_problems,
    source_problems,
    window_cells,
    window_problems,
)
from whalescan.tables.noaa.rules import (
    CellType,
    NoaaColumn,
    Row,
    TableProblem,
    cell_problems,
    optional_number,
    raise_metadata_problems,
    raise_table_problems,
    read_metadata,
    rows_csv,
)

PARS_FILE = "detectiondata.csv"
"""File name that NOAA's reader requires."""

PARS_EXAMPLE = """\
# Metadata that NOAA requires and recordings do not contain. The keys are the columns of detectiondata.csv.
deployment_code = "NEFSC_MA-RI_201901_NS01"     # as in the metadata.csv of the same submission
analysis_organization_code = "NEFSC"            # who analysed; from NOAA's table of organizations
analysis_detector_code = "WHALESCAN"            # NOAA's table of detectors has no code for whalescan yet: request one
analysis_protocol_reference = \"\"\"
    An analyst reviewed every detection at or above the threshold.
    A day is DETECTED from 3 confirmed upcalls on.\"\"\"

# Optional, with their default values.
analysis_processing_code = "POST_PROCESSED"     # or REAL_TIME
detection_sound_source_code = "RIWH"            # North Atlantic right whale
detection_call_type_code = "RW_UPCALL"

# Optional; the defaults are no citation, and the band that the detector uses.
analysis_citations = "doi:10.1038/s41598-017-13359-3"
analysis_min_frequency_khz = 0.05
analysis_max_frequency_khz = 0.35
"""
"""A complete metadata file for `read_pars`."""

_METADATA_FIELDS = (
    NoaaColumn("deployment_code", CellType.CODE, required=True),
    NoaaColumn("analysis_organization_code", CellType.CODE, required=True),
    NoaaColumn("analysis_detector_code", CellType.CODE, required=True),
    NoaaColumn("analysis_protocol_reference", CellType.TEXT, required=True),
    NoaaColumn("analysis_citations", CellType.TEXT),
    NoaaColumn("analysis_processing_code", CellType.CODE, vocabulary=PROCESSING),
    NoaaColumn("analysis_min_frequency_khz", CellType.FLOAT, low=0),
    NoaaColumn("analysis_max_frequency_khz", CellType.FLOAT, low=0),
    NoaaColumn("detection_sound_source_code", CellType.CODE, vocabulary=RIGHT_WHALES),
    NoaaColumn("detection_call_type_code", CellType.CODE, vocabulary=RIGHT_WHALE_CALLS),
)
COLUMNS = (
    NoaaColumn("deployment_code", CellType.CODE, required=True),
    NoaaColumn("analysis_organization_code", CellType.CODE, required=True),
    NoaaColumn("analysis_sound_source_codes", CellType.CODES, required=True),
    NoaaColumn("analysis_start_datetime", CellType.TIMESTAMP, required=True),
    NoaaColumn("analysis_end_datetime", CellType.TIMESTAMP, required=True),
    NoaaColumn("analysis_sample_rate_khz", CellType.FLOAT, required=True, low=LOWEST_RATE_KHZ, high=HIGHEST_RATE_KHZ),
    NoaaColumn("analysis_min_frequency_khz", CellType.FLOAT, required=True, low=0),
    NoaaColumn("analysis_max_frequency_khz", CellType.FLOAT, required=True, low=0),
    NoaaColumn("analysis_processing_code", CellType.CODE, required=True, vocabulary=PROCESSING),
    NoaaColumn("analysis_protocol_reference", CellType.TEXT, required=True),
    NoaaColumn("analysis_citations", CellType.TEXT),
    NoaaColumn("analysis_detector_code", CellType.CODE, required=True),
    NoaaColumn("analysis_detector_version", CellType.TEXT, required=True),
    NoaaColumn("detection_start_datetime", CellType.TIMESTAMP, required=True),
    NoaaColumn("detection_end_datetime", CellType.TIMESTAMP, required=True),
    NoaaColumn("detection_effort_secs", CellType.FLOAT, required=True, low=0),
    NoaaColumn("detection_sound_source_code", CellType.CODE, vocabulary=RIGHT_WHALES),
    NoaaColumn("detection_call_type_code", CellType.CODE, vocabulary=RIGHT_WHALE_CALLS),
    NoaaColumn("detection_n_validated", CellType.COUNT),
    NoaaColumn("detection_result_code", CellType.CODE, required=True, vocabulary=RESULTS),
    NoaaColumn("localization_method_code", CellType.CODE),
    NoaaColumn("localization_latitude", CellType.FLOAT, low=-90, high=90),
    NoaaColumn("localization_longitude", CellType.FLOAT, low=-180, high=180),
    NoaaColumn("localization_distance_m", CellType.FLOAT, low=0),
)
_ANALYSIS = tuple(column.name for column in COLUMNS if column.name.startswith("analysis_"))
_SERIES_COLUMNS = ("deployment_code", "detection_sound_source_code", "detection_call_type_code")


@dataclass(frozen=True, slots=True)
class ParsMetadata:
    """Metadata that the recordings do not contain. The names are NOAA's columns.

    Attributes:
        analysis_detector_code: code in NOAA's table of detectors, which has none for whalescan yet.
        analysis_protocol_reference: what the analyst did, and how many confirmed calls make a day ``DETECTED``.
        analysis_min_frequency_khz, analysis_max_frequency_khz: None for the band that the detector uses.
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


def read_pars(path: Path) -> ParsMetadata:
    """Read metadata from a TOML file such as `PARS_EXAMPLE`.

    Raises:
        UsageError: when the file cannot be read, or with all fields that are unknown, missing or invalid.
    """
    cells = read_metadata(path, "pars", _METADATA_FIELDS)
    return ParsMetadata(
        deployment_code=cells["deployment_code"],
        analysis_organization_code=cells["analysis_organization_code"],
        analysis_detector_code=cells["analysis_detector_code"],
        analysis_protocol_reference=cells["analysis_protocol_reference"],
        analysis_citations=cells["analysis_citations"],
        analysis_processing_code=cells["analysis_processing_code"] or "POST_PROCESSED",
        analysis_min_frequency_khz=optional_number(cells["analysis_min_frequency_khz"]),
        analysis_max_frequency_khz=optional_number(cells["analysis_max_frequency_khz"]),
        detection_sound_source_code=cells["detection_sound_source_code"] or "RIWH",
        detection_call_type_code=cells["detection_call_type_code"] or "RW_UPCALL",
    )


def check_pars(metadata: ParsMetadata, analysis: NoaaAnalysis) -> None:
    """Check, before a long run, that the metadata and the analysis agree.

    Raises:
        UsageError: when NOAA would reject the table whatever the survey finds.
    """
    raise_metadata_problems("pars", validate_pars(_rows([EXAMPLE_DAY], metadata, analysis)))


def pars_table(days: Sequence[PresenceBin], metadata: ParsMetadata, analysis: NoaaAnalysis) -> bytes:
    """Return ``detectiondata.csv`` with all days from the first to the last, including days without detections or effort.

    Args:
        days: all full UTC days of the deployment, by time.
        metadata: what the user states.
        analysis: what the survey knows of the analysis.

    Raises:
        OutputError: when NOAA would reject the table; names rows, fields and remedies.
    """
    rows = _rows([day_cells(day) for day in days], metadata, analysis)
    raise_table_problems(PARS_FILE, validate_pars(rows))
    return rows_csv(COLUMNS, rows)


def _rows(days: Sequence[Row], metadata: ParsMetadata, analysis: NoaaAnalysis) -> list[Row]:
    """Return all cells of all rows; species and call type are stated on every day, so that absences are complete."""
    common_cells = {
        "deployment_code": metadata.deployment_code,
        "analysis_organization_code": metadata.analysis_organization_code,
        "analysis_sound_source_codes": metadata.detection_sound_source_code,
        **window_cells(days, analysis, metadata.analysis_min_frequency_khz, metadata.analysis_max_frequency_khz),
        "analysis_processing_code": metadata.analysis_processing_code,
        "analysis_protocol_reference": metadata.analysis_protocol_reference,
        "analysis_citations": metadata.analysis_citations,
        "analysis_detector_code": metadata.analysis_detector_code,
        "analysis_detector_version": analysis.detector_version,
        "detection_sound_source_code": metadata.detection_sound_source_code,
        "detection_call_type_code": metadata.detection_call_type_code,
    }
    return [{**common_cells, **day} for day in days]


def validate_pars(rows: Sequence[Row]) -> list[TableProblem]:
    """Return all problems of the rows of a ``detectiondata.csv`` with one analysis of whole days.

    Args:
        rows: cells by column; an absent column counts as blank.
    """
    return [
        *cell_problems(rows, COLUMNS),
        *analysis_problems(rows),
        *day_problems(rows),
        *window_problems(rows, rows),
        *source_problems(rows, rows),
        *_differing_analyses(rows),
        *sequence_problems(rows, _SERIES_COLUMNS),
    ]


def _differing_analyses(rows: Sequence[Row]) -> Iterator[TableProblem]:
    """Yield rows that differ in a cell of their analysis; NOAA would treat them as another analysis."""
    first: dict[str, Row] = {}
    for index, row in enumerate(rows, start=1):
        before = first.setdefault(row.get("deployment_code", ""), row)
        for name in _ANALYSIS:
            if row.get(name, "") != before.get(name, ""):
                text = f"{row.get(name, '')!r} differs from the deployment's first row, which makes it another analysis"
                yield TableProblem(name, index, text, f"write {before.get(name, '')!r}, or submit another file")
