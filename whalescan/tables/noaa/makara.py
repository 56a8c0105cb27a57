"""NOAA's Makara database, templates v1.2: ``analyses.csv`` with one row, and ``detections.csv`` with one row a UTC day.

Sources: the Makara Data Submission Guide (juliannewilder.github.io/Makara-Data-Submission-Guide), and the definitions and
rules of jeffwalkernoaa/makaraValidatr. Both tables have every column of their template, in its order; what whalescan does
not measure is blank. What cannot be checked here: whether Makara knows the organizations, the detectors and the recordings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
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
    moment,
    number_or_none,
    parse_table,
    read_facts,
    refuse,
    refuse_facts,
    rows_csv,
)

ANALYSES_FILE = "analyses.csv"
DETECTIONS_FILE = "detections.csv"
"""Makara's name, which is also that of whalescan's own list of calls: the two need different folders."""

MAKARA_EXAMPLE = """\
# What Makara asks for and no recording tells. The keys are the columns of analyses.csv and detections.csv.
deployment_organization_code = "NEFSC"          # who put the recorder out
deployment_code = "NEFSC_MA-RI_201901_NS01"     # as in Makara's deployments
recording_codes = ["NS01_RECORDING"]            # as in Makara's recordings of that deployment
analysis_organization_code = "NEFSC"            # who analysed
analysis_code = "RIWH_WHALESCAN"                # your name for this analysis, unique within the deployment
detector_codes = ["WHALESCAN"]                  # Makara's table of detectors has none for whalescan yet: ask for one
analysis_protocol_reference = \"\"\"
    An analyst reviewed every detection at or above the threshold.
    A day is DETECTED from 3 confirmed upcalls on.\"\"\"
analysis_release_data = true                    # whether others may have the data
analysis_release_pacm = true                    # whether the Passive Acoustic Cetacean Map may show them

# Optional, with the values that hold where they are left out.
analysis_processing_code = "POST_PROCESSED"     # or REAL_TIME
detection_sound_source_code = "RIWH"            # North Atlantic right whale
detection_call_type_code = "RW_UPCALL"

# Optional: without them blank, and the band that the detector looks at.
analysis_min_frequency_khz = 0.05
analysis_max_frequency_khz = 0.35
analysis_analysts = "A. Analyst"
analysis_comments = "Threshold 0.5"
analysis_dataset_url = "https://example.org/dataset"
"""
"""A complete file for `read_makara`."""

_FACTS = (
    Column("deployment_organization_code", Kind.CODE, required=True),
    Column("deployment_code", Kind.CODE, required=True),
    Column("recording_codes", Kind.CODES, required=True),
    Column("analysis_organization_code", Kind.CODE, required=True),
    Column("analysis_code", Kind.CODE, required=True),
    Column("detector_codes", Kind.CODES, required=True),
    Column("analysis_protocol_reference", Kind.TEXT, required=True),
    Column("analysis_release_data", Kind.BOOL, required=True),
    Column("analysis_release_pacm", Kind.BOOL, required=True),
    Column("analysis_processing_code", Kind.CODE, vocabulary=PROCESSING),
    Column("detection_sound_source_code", Kind.CODE, vocabulary=RIGHT_WHALES),
    Column("detection_call_type_code", Kind.CODE, vocabulary=RIGHT_WHALE_CALLS),
    Column("analysis_min_frequency_khz", Kind.FLOAT, low=0),
    Column("analysis_max_frequency_khz", Kind.FLOAT, low=0),
    Column("analysis_analysts", Kind.TEXT),
    Column("analysis_comments", Kind.TEXT),
    Column("analysis_dataset_url", Kind.URL),
)
_NAMES = ("deployment_organization_code", "deployment_code", "analysis_organization_code", "analysis_code")
_SERIES = (*_NAMES, "detection_sound_source_code", "detection_call_type_code")
ANALYSES_COLUMNS = (
    Column("deployment_organization_code", Kind.CODE, required=True),
    Column("deployment_code", Kind.CODE, required=True),
    Column("recording_codes", Kind.CODES, required=True),
    Column("analysis_organization_code", Kind.CODE, required=True),
    Column("analysis_code", Kind.CODE, required=True),
    Column("analysis_sound_source_codes", Kind.CODES, required=True),
    Column(
        "analysis_granularity_code",
        Kind.CODE,
        required=True,
        vocabulary=frozenset({"INTERVAL"}),  # rows are days; EVENT_CALL and EVENT_ENCOUNTER would be other tables
    ),
    Column("analysis_start_datetime", Kind.TIMESTAMP, required=True),  # this and the next, and the band: for NCEI
    Column("analysis_end_datetime", Kind.TIMESTAMP, required=True),
    Column("analysis_sample_rate_khz", Kind.FLOAT, required=True, low=LOWEST_RATE_KHZ, high=HIGHEST_RATE_KHZ),
    Column("analysis_min_frequency_khz", Kind.FLOAT, required=True, low=0),
    Column("analysis_max_frequency_khz", Kind.FLOAT, required=True, low=0),
    Column("analysis_processing_code", Kind.CODE, required=True, vocabulary=PROCESSING),
    Column(
        "analysis_quality_code",
        Kind.CODE,
        required=True,
        vocabulary=frozenset({"FULLY_VALIDATED", "PARTIALLY_VALIDATED", "NOT_VALIDATED"}),
    ),
    Column("analysis_protocol_reference", Kind.TEXT, required=True),
    Column("analysis_dataset_url", Kind.URL),
    Column("analysis_release_data", Kind.BOOL, required=True),
    Column("analysis_release_pacm", Kind.BOOL, required=True),
    Column("detector_codes", Kind.CODES, required=True),
    Column("detector_version", Kind.TEXT),
    *(Column(name, Kind.TEXT) for name in ("detector_json", "detector_output_filename", "detector_output_uri")),
    *(Column(name, Kind.TEXT) for name in ("analysis_analysts", "analysis_json", "analysis_comments")),
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
    Column("deployment_organization_code", Kind.CODE, required=True),
    Column("deployment_code", Kind.CODE, required=True),
    Column("analysis_organization_code", Kind.CODE, required=True),
    Column("analysis_code", Kind.CODE, required=True),
    Column("detection_start_datetime", Kind.TIMESTAMP, required=True),
    Column("detection_end_datetime", Kind.TIMESTAMP, required=True),  # this and the next by the guide, not the validator
    Column("detection_effort_secs", Kind.FLOAT, required=True, low=0),
    Column("detection_sound_source_code", Kind.CODE, required=True, vocabulary=RIGHT_WHALES),
    Column("detection_call_type_code", Kind.CODE, required=True, vocabulary=RIGHT_WHALE_CALLS),
    Column("detection_behavior_code", Kind.CODE),
    Column("detection_demographic_code", Kind.CODE),
    Column("detection_n_validated", Kind.COUNT),
    Column("detection_n_total", Kind.COUNT),
    Column("detection_result_code", Kind.CODE, required=True, vocabulary=RESULTS),
    *(Column(f"detection_{name}", Kind.TEXT) for name in _DETECTION_BLANKS),
    *(Column(f"localization_{name}", Kind.TEXT) for name in _LOCALIZATION_BLANKS),
)


@dataclass(frozen=True, slots=True)
class MakaraFacts:
    """What the user knows and the recordings do not tell. The names are Makara's columns.

    Attributes:
        recording_codes, detector_codes: each a list of codes with commas between them.
        analysis_min_frequency_khz, analysis_max_frequency_khz: None for the band that the detector looks at.
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
    """The bytes of ``analyses.csv`` and ``detections.csv``, which belong in one folder, and in no other table's."""

    analyses: bytes
    detections: bytes


def read_makara(path: Path) -> MakaraFacts:
    """The facts in a TOML file such as `MAKARA_EXAMPLE`.

    Raises:
        UsageError: when the file cannot be read, or with every field that is unknown, missing, or not what it must be.
    """
    cells = read_facts(path, "--makara", _FACTS)
    return MakaraFacts(
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
        analysis_min_frequency_khz=number_or_none(cells["analysis_min_frequency_khz"]),
        analysis_max_frequency_khz=number_or_none(cells["analysis_max_frequency_khz"]),
        analysis_analysts=cells["analysis_analysts"],
        analysis_comments=cells["analysis_comments"],
        analysis_dataset_url=cells["analysis_dataset_url"],
    )


def check_makara(facts: MakaraFacts, analysis: Analysis) -> None:
    """See that the facts and the analysis fit each other, before hours of work.

    Raises:
        UsageError: with what Makara would refuse whatever the survey finds.
    """
    analyses, detections = _rows([SPECIMEN_DAY], facts, analysis)
    refuse_facts("--makara", validate_makara(analyses, detections, datetime.now(UTC)))


def makara_tables(
    days: Sequence[Bin], facts: MakaraFacts, analysis: Analysis, now_utc: datetime | None = None
) -> MakaraTables:
    """``analyses.csv`` and ``detections.csv``: every day from the first to the last, also those without effort.

    Args:
        days: all full UTC days of the deployment, by time.
        facts: what the user states.
        analysis: what the survey knows of how the days were analysed.
        now_utc: when they are written, since Makara takes no day that is not over; None for this moment.

    Raises:
        OutputError: when Makara would refuse them, with every row and field, and the remedy.
    """
    analyses, detections = _rows([day_cells(day) for day in days], facts, analysis)
    refuse(f"{ANALYSES_FILE}, {DETECTIONS_FILE}", validate_makara(analyses, detections, now_utc or datetime.now(UTC)))
    return MakaraTables(rows_csv(ANALYSES_COLUMNS, analyses), rows_csv(DETECTIONS_COLUMNS, detections))


def _rows(days: Sequence[Row], facts: MakaraFacts, analysis: Analysis) -> tuple[list[Row], list[Row]]:
    """All cells of the row of ``analyses.csv`` and of those of ``detections.csv``."""
    names = {name: getattr(facts, name) for name in _NAMES}
    sought = {
        "detection_sound_source_code": facts.detection_sound_source_code,
        "detection_call_type_code": facts.detection_call_type_code,
    }
    analyses: Row = {
        **names,
        "recording_codes": facts.recording_codes,
        "analysis_sound_source_codes": facts.detection_sound_source_code,
        "analysis_granularity_code": "INTERVAL",
        **window_cells(days, analysis, facts.analysis_min_frequency_khz, facts.analysis_max_frequency_khz),
        "analysis_processing_code": facts.analysis_processing_code,
        "analysis_quality_code": quality_code(analysis),
        "analysis_protocol_reference": facts.analysis_protocol_reference,
        "analysis_dataset_url": facts.analysis_dataset_url,
        "analysis_release_data": str(facts.analysis_release_data).upper(),
        "analysis_release_pacm": str(facts.analysis_release_pacm).upper(),
        "detector_codes": facts.detector_codes,
        "detector_version": analysis.detector_version,
        "analysis_analysts": facts.analysis_analysts,
        "analysis_comments": facts.analysis_comments,
    }
    return [analyses], [{**names, **sought, **day} for day in days]


def quality_code(analysis: Analysis) -> str:
    """How far detections were judged; where there were none, nobody judged any."""
    if not analysis.n_reviewed:
        return "NOT_VALIDATED"
    return "PARTIALLY_VALIDATED" if analysis.n_unreviewed else "FULLY_VALIDATED"


def validate_makara(analyses: Sequence[Row], detections: Sequence[Row], now_utc: datetime) -> list[Problem]:
    """Everything that is wrong with the rows of both tables.

    Args:
        analyses: cells by column of ``analyses.csv``; a column that is not there is blank.
        detections: likewise of ``detections.csv``, in days.
        now_utc: Makara takes no moment after it.
    """
    by_name = {_name(row): row for row in analyses}
    windows = [by_name.get(_name(row), {}) for row in detections]
    return [
        *_of(ANALYSES_FILE, cell_problems(analyses, ANALYSES_COLUMNS)),
        *_of(ANALYSES_FILE, _repeated(analyses)),
        *_of(ANALYSES_FILE, _future_problems(analyses, now_utc)),
        *_of(ANALYSES_FILE, analysis_problems(analyses)),
        *_of(DETECTIONS_FILE, cell_problems(detections, DETECTIONS_COLUMNS)),
        *_of(DETECTIONS_FILE, _orphans(detections, by_name)),
        *_of(DETECTIONS_FILE, _future_problems(detections, now_utc)),
        *_of(DETECTIONS_FILE, day_problems(detections)),
        *_of(DETECTIONS_FILE, window_problems(detections, windows)),
        *_of(DETECTIONS_FILE, source_problems(detections, windows)),
        *_of(DETECTIONS_FILE, sequence_problems(detections, _SERIES)),
    ]


def _of(file: str, problems: Iterable[Problem]) -> Iterator[Problem]:
    return (replace(problem, file=file) for problem in problems)


def _name(row: Row) -> tuple[str, ...]:
    return tuple(row.get(name, "") for name in _NAMES)


def _repeated(analyses: Sequence[Row]) -> Iterator[Problem]:
    names: set[tuple[str, ...]] = set()
    for index, row in enumerate(analyses, start=1):
        if _name(row) in names:
            yield Problem(
                "analysis_code", index, f"{row.get('analysis_code', '')!r} is there twice", "give each its own code"
            )
        names.add(_name(row))


def _orphans(detections: Sequence[Row], analyses: Mapping[tuple[str, ...], Row]) -> Iterator[Problem]:
    for index, row in enumerate(detections, start=1):
        if _name(row) not in analyses:
            what = f"{ANALYSES_FILE} has no analysis {' '.join(_name(row))}"
            yield Problem("analysis_code", index, what, "use the same four codes in both tables")


def _future_problems(rows: Sequence[Row], now_utc: datetime) -> Iterator[Problem]:
    for index, row in enumerate(rows, start=1):
        for name, cell in row.items():
            when = moment(cell) if name.endswith("_datetime") else None
            if when and when > now_utc:
                yield Problem(
                    name, index, f"{cell} is yet to come", "wait until the day is over, or mend the recorder's clock"
                )


def validate_makara_csv(analyses: bytes, detections: bytes, now_utc: datetime) -> list[Problem]:
    """Everything that is wrong with two files, as `validate_makara`, and with their headers and form."""
    analyses_rows, analyses_problems = parse_table(analyses, ANALYSES_FILE, ANALYSES_FILE, ANALYSES_COLUMNS)
    detections_rows, detections_problems = parse_table(detections, DETECTIONS_FILE, DETECTIONS_FILE, DETECTIONS_COLUMNS)
    return [
        *_of(ANALYSES_FILE, analyses_problems),
        *_of(DETECTIONS_FILE, detections_problems),
        *validate_makara(analyses_rows, detections_rows, now_utc),
    ]
