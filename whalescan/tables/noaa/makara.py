"""NOAA's Makara database, templates v1.2: ``analyses.csv`` with one row, and ``detections.csv`` with one row per UTC day.

Sources: the Makara Data Submission Guide (juliannewilder.github.io/Makara-Data-Submission-Guide), and the definitions and
rules of jeffwalkernoaa/makaraValidatr. Both tables have all columns of their template, in its order; what whalescan does
not measure is blank. Not checked here: whether Makara knows the organizations, the detectors and the recordings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
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
    parse_timestamp,
    raise_metadata_problems,
    raise_table_problems,
    read_metadata,
    rows_csv,
)

ANALYSES_FILE = "analyses.csv"
DETECTIONS_FILE = "detections.csv"
"""Makara's file name, which whalescan's own table has, too: the two need different folders."""

MAKARA_EXAMPLE = """\
# Metadata that Makara requires and recordings do not contain. The keys are the columns of analyses.csv and detections.csv.
deployment_organization_code = "NEFSC"          # who deployed the recorder
deployment_code = "NEFSC_MA-RI_201901_NS01"     # as in Makara's deployments
recording_codes = ["NS01_RECORDING"]            # as in Makara's recordings of that deployment
analysis_organization_code = "NEFSC"            # who analysed
analysis_code = "RIWH_WHALESCAN"                # your name for this analysis, unique within the deployment
detector_codes = ["WHALESCAN"]                  # Makara's table of detectors has no code for whalescan yet: request one
analysis_protocol_reference = \"\"\"
    An analyst reviewed every detection at or above the threshold.
    A day is DETECTED from 3 confirmed upcalls on.\"\"\"
analysis_release_data = true                    # whether others may have the data
analysis_release_pacm = true                    # whether the Passive Acoustic Cetacean Map may show them

# Optional, with their default values.
analysis_processing_code = "POST_PROCESSED"     # or REAL_TIME
detection_sound_source_code = "RIWH"            # North Atlantic right whale
detection_call_type_code = "RW_UPCALL"

# Optional; the defaults are blank, and the band that the detector uses.
analysis_min_frequency_khz = 0.05
analysis_max_frequency_khz = 0.35
analysis_analysts = "A. Analyst"
analysis_comments = "Threshold 0.5"
analysis_dataset_url = "https://example.org/dataset"
"""
"""A complete metadata file for `read_makara`."""

_METADATA_FIELDS = (
    NoaaColumn("deployment_organization_code", CellType.CODE, required=True),
    NoaaColumn("deployment_code", CellType.CODE, required=True),
    NoaaColumn("recording_codes", CellType.CODES, required=True),
    NoaaColumn("analysis_organization_code", CellType.CODE, required=True),
    NoaaColumn("analysis_code", CellType.CODE, required=True),
    NoaaColumn("detector_codes", CellType.CODES, required=True),
    NoaaColumn("analysis_protocol_reference", CellType.TEXT, required=True),
    NoaaColumn("analysis_release_data", CellType.BOOL, required=True),
    NoaaColumn("analysis_release_pacm", CellType.BOOL, required=True),
    NoaaColumn("analysis_processing_code", CellType.CODE, vocabulary=PROCESSING),
    NoaaColumn("detection_sound_source_code", CellType.CODE, vocabulary=RIGHT_WHALES),
    NoaaColumn("detection_call_type_code", CellType.CODE, vocabulary=RIGHT_WHALE_CALLS),
    NoaaColumn("analysis_min_frequency_khz", CellType.FLOAT, low=0),
    NoaaColumn("analysis_max_frequency_khz", CellType.FLOAT, low=0),
    NoaaColumn("analysis_analysts", CellType.TEXT),
    NoaaColumn("analysis_comments", CellType.TEXT),
    NoaaColumn("analysis_dataset_url", CellType.URL),
)
_KEY_COLUMNS = ("deployment_organization_code", "deployment_code", "analysis_organization_code", "analysis_code")
_SERIES_COLUMNS = (*_KEY_COLUMNS, "detection_sound_source_code", "detection_call_type_code")
ANALYSES_COLUMNS = (
    NoaaColumn("deployment_organization_code", CellType.CODE, required=True),
    NoaaColumn("deployment_code", CellType.CODE, required=True),
    NoaaColumn("recording_codes", CellType.CODES, required=True),
    NoaaColumn("analysis_organization_code", CellType.CODE, required=True),
    NoaaColumn("analysis_code", CellType.CODE, required=True),
    NoaaColumn("analysis_sound_source_codes", CellType.CODES, required=True),
    NoaaColumn(
        "analysis_granularity_code",
        CellType.CODE,
        required=True,
        vocabulary=frozenset({"INTERVAL"}),  # rows are days; EVENT_CALL and EVENT_ENCOUNTER would be other tables
    ),
    NoaaColumn(
        "analysis_start_datetime", CellType.TIMESTAMP, required=True
    ),  # NCEI requires this field, the next one and the band
    NoaaColumn("analysis_end_datetime", CellType.TIMESTAMP, required=True),
    NoaaColumn("analysis_sample_rate_khz", CellType.FLOAT, required=True, low=LOWEST_RATE_KHZ, high=HIGHEST_RATE_KHZ),
    NoaaColumn("analysis_min_frequency_khz", CellType.FLOAT, required=True, low=0),
    NoaaColumn("analysis_max_frequency_khz", CellType.FLOAT, required=True, low=0),
    NoaaColumn("analysis_processing_code", CellType.CODE, required=True, vocabulary=PROCESSING),
    NoaaColumn(
        "analysis_quality_code",
        CellType.CODE,
        required=True,
        vocabulary=frozenset({"FULLY_VALIDATED", "PARTIALLY_VALIDATED", "NOT_VALIDATED"}),
    ),
    NoaaColumn("analysis_protocol_reference", CellType.TEXT, required=True),
    NoaaColumn("analysis_dataset_url", CellType.URL),
    NoaaColumn("analysis_release_data", CellType.BOOL, required=True),
    NoaaColumn("analysis_release_pacm", CellType.BOOL, required=True),
    NoaaColumn("detector_codes", CellType.CODES, required=True),
    NoaaColumn("detector_version", CellType.TEXT),
    *(NoaaColumn(name, CellType.TEXT) for name in ("detector_json", "detector_output_filename", "detector_output_uri")),
    *(NoaaColumn(name, CellType.TEXT) for name in ("analysis_analysts", "analysis_json", "analysis_comments")),
)
_DETECTION_BLANKS = (
    *("event_type", "event_id", "latitude", "longitude", "received_level_db", "quality_code"),
    *("n_animals", "n_animals_min", "n_animals_max", "json", "comments"),
)
_LOCALIZATION_BLANKS = (
    *("method_code", "latitude", "latitude_min", "latitude_max", "longitude", "longitude_min", "longitude_max"),
    *("distance_m", "distance_m_min", "distance_m_max", "bearing", "bearing_min", "bearing_max"),
    *("depth_method_code", "depth_n_signals", "depth_m", "depth_m_min", "depth_m_max", "json", "comments"),
)
DETECTIONS_COLUMNS = (
    NoaaColumn("deployment_organization_code", CellType.CODE, required=True),
    NoaaColumn("deployment_code", CellType.CODE, required=True),
    NoaaColumn("analysis_organization_code", CellType.CODE, required=True),
    NoaaColumn("analysis_code", CellType.CODE, required=True),
    NoaaColumn("detection_start_datetime", CellType.TIMESTAMP, required=True),
    NoaaColumn(
        "detection_end_datetime", CellType.TIMESTAMP, required=True
    ),  # the guide requires this field and the next one, the validator does not
    NoaaColumn("detection_effort_secs", CellType.FLOAT, required=True, low=0),
    NoaaColumn("detection_sound_source_code", CellType.CODE, required=True, vocabulary=RIGHT_WHALES),
    NoaaColumn("detection_call_type_code", CellType.CODE, required=True, vocabulary=RIGHT_WHALE_CALLS),
    NoaaColumn("detection_behavior_code", CellType.CODE),
    NoaaColumn("detection_demographic_code", CellType.CODE),
    NoaaColumn("detection_n_validated", CellType.COUNT),
    NoaaColumn("detection_n_total", CellType.COUNT),
    NoaaColumn("detection_result_code", CellType.CODE, required=True, vocabulary=RESULTS),
    *(NoaaColumn(f"detection_{name}", CellType.TEXT) for name in _DETECTION_BLANKS),
    *(NoaaColumn(f"localization_{name}", CellType.TEXT) for name in _LOCALIZATION_BLANKS),
)


@dataclass(frozen=True, slots=True)
class MakaraMetadata:
    """Metadata that the recordings do not contain. The names are Makara's columns.

    Attributes:
        recording_codes, detector_codes: codes separated by commas.
        analysis_min_frequency_khz, analysis_max_frequency_khz: None for the band that the detector uses.
    """

    deployment_organization_code: str
    deployment_code: str
    recording_codes: str
    analysis_organization_code: str
    analysis_code: str
    detector_codes: str
    analysis_protocol_reference: str
    analysis_release_data: bool
    analysis_release_pacm: bool
    analysis_processing_code: str = "POST_PROCESSED"
    detection_sound_source_code: str = "RIWH"
    detection_call_type_code: str = "RW_UPCALL"
    analysis_min_frequency_khz: float | None = None
    analysis_max_frequency_khz: float | None = None
    analysis_analysts: str = ""
    analysis_comments: str = ""
    analysis_dataset_url: str = ""


@dataclass(frozen=True, slots=True)
class MakaraTables:
    """Contents of ``analyses.csv`` and ``detections.csv``, which need a folder of their own."""

    analyses: bytes
    detections: bytes


def read_makara(path: Path) -> MakaraMetadata:
    """Read metadata from a TOML file such as `MAKARA_EXAMPLE`.

    Raises:
        UsageError: when the file cannot be read, or with all fields that are unknown, missing or invalid.
    """
    cells = read_metadata(path, "makara", _METADATA_FIELDS)
    return MakaraMetadata(
        deployment_organization_code=cells["deployment_organization_code"],
        deployment_code=cells["deployment_code"],
        recording_codes=cells["recording_codes"],
        analysis_organization_code=cells["analysis_organization_code"],
        analysis_code=cells["analysis_code"],
        detector_codes=cells["detector_codes"],
        analysis_protocol_reference=cells["analysis_protocol_reference"],
        analysis_release_data=cells["analysis_release_data"] == "TRUE",
        analysis_release_pacm=cells["analysis_release_pacm"] == "TRUE",
        analysis_processing_code=cells["analysis_processing_code"] or "POST_PROCESSED",
        detection_sound_source_code=cells["detection_sound_source_code"] or "RIWH",
        detection_call_type_code=cells["detection_call_type_code"] or "RW_UPCALL",
        analysis_min_frequency_khz=optional_number(cells["analysis_min_frequency_khz"]),
        analysis_max_frequency_khz=optional_number(cells["analysis_max_frequency_khz"]),
        analysis_analysts=cells["analysis_analysts"],
        analysis_comments=cells["analysis_comments"],
        analysis_dataset_url=cells["analysis_dataset_url"],
    )


def check_makara(metadata: MakaraMetadata, analysis: NoaaAnalysis) -> None:
    """Check, before a long run, that the metadata and the analysis agree.

    Raises:
        UsageError: when Makara would reject the tables whatever the survey finds.
    """
    analyses, detections = _rows([EXAMPLE_DAY], metadata, analysis)
    raise_metadata_problems("makara", validate_makara(analyses, detections, datetime.now(UTC)))


def makara_tables(
    days: Sequence[PresenceBin], metadata: MakaraMetadata, analysis: NoaaAnalysis, now_utc: datetime | None = None
) -> MakaraTables:
    """Return ``analyses.csv`` and ``detections.csv`` with all days from the first to the last, also those without effort.

    Args:
        days: all full UTC days of the deployment, by time.
        metadata: what the user states.
        analysis: what the survey knows of the analysis.
        now_utc: time of writing, since Makara rejects days that are not over; None for the current time.

    Raises:
        OutputError: when Makara would reject them; names rows, fields and remedies.
    """
    analyses, detections = _rows([day_cells(day) for day in days], metadata, analysis)
    raise_table_problems(
        f"{ANALYSES_FILE}, {DETECTIONS_FILE}", validate_makara(analyses, detections, now_utc or datetime.now(UTC))
    )
    return MakaraTables(rows_csv(ANALYSES_COLUMNS, analyses), rows_csv(DETECTIONS_COLUMNS, detections))


def _rows(days: Sequence[Row], metadata: MakaraMetadata, analysis: NoaaAnalysis) -> tuple[list[Row], list[Row]]:
    """Return all cells of the row of ``analyses.csv``, and of the rows of ``detections.csv``."""
    key_cells = {name: getattr(metadata, name) for name in _KEY_COLUMNS}
    source_cells = {
        "detection_sound_source_code": metadata.detection_sound_source_code,
        "detection_call_type_code": metadata.detection_call_type_code,
    }
    analyses: Row = {
        **key_cells,
        "recording_codes": metadata.recording_codes,
        "analysis_sound_source_codes": metadata.detection_sound_source_code,
        "analysis_granularity_code": "INTERVAL",
        **window_cells(days, analysis, metadata.analysis_min_frequency_khz, metadata.analysis_max_frequency_khz),
        "analysis_processing_code": metadata.analysis_processing_code,
        "analysis_quality_code": quality_code(analysis),
        "analysis_protocol_reference": metadata.analysis_protocol_reference,
        "analysis_dataset_url": metadata.analysis_dataset_url,
        "analysis_release_data": str(metadata.analysis_release_data).upper(),
        "analysis_release_pacm": str(metadata.analysis_release_pacm).upper(),
        "detector_codes": metadata.detector_codes,
        "detector_version": analysis.detector_version,
        "analysis_analysts": metadata.analysis_analysts,
        "analysis_comments": metadata.analysis_comments,
    }
    return [analyses], [{**key_cells, **source_cells, **day} for day in days]


def quality_code(analysis: NoaaAnalysis) -> str:
    """Return Makara's code for how far detections were reviewed; ``NOT_VALIDATED`` without detections."""
    if not analysis.n_reviewed:
        return "NOT_VALIDATED"
    return "PARTIALLY_VALIDATED" if analysis.n_unreviewed else "FULLY_VALIDATED"


def validate_makara(analyses: Sequence[Row], detections: Sequence[Row], now_utc: datetime) -> list[TableProblem]:
    """Return all problems of the rows of both tables.

    Args:
        analyses: cells of ``analyses.csv`` by column; an absent column counts as blank.
        detections: likewise of ``detections.csv``, in days.
        now_utc: current time; later times are invalid.
    """
    by_name = {_analysis_key(row): row for row in analyses}
    windows = [by_name.get(_analysis_key(row), {}) for row in detections]
    return [
        *_with_file(ANALYSES_FILE, cell_problems(analyses, ANALYSES_COLUMNS)),
        *_with_file(ANALYSES_FILE, _duplicate_analyses(analyses)),
        *_with_file(ANALYSES_FILE, _future_problems(analyses, now_utc)),
        *_with_file(ANALYSES_FILE, analysis_problems(analyses)),
        *_with_file(DETECTIONS_FILE, cell_problems(detections, DETECTIONS_COLUMNS)),
        *_with_file(DETECTIONS_FILE, _missing_analyses(detections, by_name)),
        *_with_file(DETECTIONS_FILE, _future_problems(detections, now_utc)),
        *_with_file(DETECTIONS_FILE, day_problems(detections)),
        *_with_file(DETECTIONS_FILE, window_problems(detections, windows)),
        *_with_file(DETECTIONS_FILE, source_problems(detections, windows)),
        *_with_file(DETECTIONS_FILE, sequence_problems(detections, _SERIES_COLUMNS)),
    ]


def _with_file(file: str, problems: Iterable[TableProblem]) -> Iterator[TableProblem]:
    return (replace(problem, file=file) for problem in problems)


def _analysis_key(row: Row) -> tuple[str, ...]:
    return tuple(row.get(name, "") for name in _KEY_COLUMNS)


def _duplicate_analyses(analyses: Sequence[Row]) -> Iterator[TableProblem]:
    names: set[tuple[str, ...]] = set()
    for index, row in enumerate(analyses, start=1):
        if _analysis_key(row) in names:
            yield TableProblem(
                "analysis_code", index, f"{row.get('analysis_code', '')!r} occurs twice", "give each analysis its own code"
            )
        names.add(_analysis_key(row))


def _missing_analyses(detections: Sequence[Row], analyses: Mapping[tuple[str, ...], Row]) -> Iterator[TableProblem]:
    for index, row in enumerate(detections, start=1):
        if _analysis_key(row) not in analyses:
            text = f"{ANALYSES_FILE} has no analysis {' '.join(_analysis_key(row))}"
            yield TableProblem("analysis_code", index, text, "use the same four codes in both tables")


def _future_problems(rows: Sequence[Row], now_utc: datetime) -> Iterator[TableProblem]:
    for index, row in enumerate(rows, start=1):
        for name, cell in row.items():
            time_utc = parse_timestamp(cell) if name.endswith("_datetime") else None
            if time_utc and time_utc > now_utc:
                yield TableProblem(
                    name, index, f"{cell} is in the future", "wait until the day is over, or correct the recorder's clock"
                )
