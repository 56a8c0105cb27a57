from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import NOAA_ANALYSIS, CsvRows, csv_rows, presence_day
from whalescan import UsageError
from whalescan.core import OutputError
from whalescan.tables.noaa.makara import (
    MAKARA_EXAMPLE,
    MakaraMetadata,
    MakaraTables,
    check_makara,
    makara_tables,
    quality_code,
    read_makara,
    validate_makara,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
METADATA = MakaraMetadata(
    deployment_organization_code="NEFSC",
    deployment_code="NEFSC_MA-RI_201901_NS01",
    recording_codes="NS01_A,NS01_B",
    analysis_organization_code="WHOI",
    analysis_code="RIWH_WHALESCAN",
    detector_codes="WHALESCAN",
    analysis_protocol_reference="protocol v1",
    analysis_release_data=False,
    analysis_release_pacm=True,
)
ANALYSES_REQUIRED = [
    *("deployment_organization_code", "deployment_code", "recording_codes", "analysis_organization_code", "analysis_code"),
    *("analysis_sound_source_codes", "analysis_granularity_code", "analysis_sample_rate_khz", "analysis_processing_code"),
    *("analysis_quality_code", "analysis_protocol_reference", "analysis_release_data", "analysis_release_pacm"),
    "detector_codes",
]
DETECTIONS_REQUIRED = [
    *("deployment_organization_code", "deployment_code", "analysis_organization_code", "analysis_code"),
    *("detection_start_datetime", "detection_sound_source_code", "detection_call_type_code", "detection_result_code"),
]
"""Required columns in makaraValidatr's definitions of v1.2."""


def tables() -> MakaraTables:
    days = [presence_day(0, 9, 7), presence_day(1, 5, 1), presence_day(2, effort_s=43200), presence_day(3, effort_s=0)]
    return makara_tables(days, METADATA, replace(NOAA_ANALYSIS, n_reviewed=8, n_unreviewed=6), NOW)


@pytest.fixture
def analyses() -> CsvRows:
    return csv_rows(tables().analyses)


@pytest.fixture
def detections() -> CsvRows:
    """Four days: DETECTED, POSSIBLY_DETECTED, NOT_DETECTED (half a day's effort), NOT_AVAILABLE."""
    return csv_rows(tables().detections)


def test_written_cells(analyses: CsvRows, detections: CsvRows) -> None:
    assert (len(analyses[0]), len(detections[0])) == (26, 45)  # the templates' columns
    (row,) = analyses
    assert row["analysis_granularity_code"] == "INTERVAL"
    assert row["analysis_quality_code"] == "PARTIALLY_VALIDATED"
    assert (row["analysis_start_datetime"], row["analysis_end_datetime"]) == ("2019-01-01T00:00:00Z", "2019-01-05T00:00:00Z")
    assert (row["analysis_release_data"], row["analysis_release_pacm"]) == ("FALSE", "TRUE")
    assert (row["analysis_sample_rate_khz"], row["recording_codes"]) == ("2", "NS01_A,NS01_B")
    assert row["detector_version"] == NOAA_ANALYSIS.detector_version
    assert [row["detection_n_validated"] for row in detections] == ["7", "1", "0", ""]
    assert [row["detection_n_total"] for row in detections] == ["9", "5", "0", ""]
    assert [row["detection_effort_secs"] for row in detections] == ["86400", "86400", "43200", "0"]
    assert [row["detection_result_code"] for row in detections][2:] == ["NOT_DETECTED", "NOT_AVAILABLE"]
    assert {row["detection_call_type_code"] for row in detections} == {"RW_UPCALL"}  # required on every row


def test_required_columns_are_filled(analyses: CsvRows, detections: CsvRows) -> None:
    assert all(analyses[0][name] for name in ANALYSES_REQUIRED)
    assert all(row[name] for row in detections for name in DETECTIONS_REQUIRED)


@pytest.mark.parametrize(
    ("n_reviewed", "n_unreviewed", "code"),
    [(0, 0, "NOT_VALIDATED"), (0, 4, "NOT_VALIDATED"), (1, 3, "PARTIALLY_VALIDATED"), (4, 0, "FULLY_VALIDATED")],
)
def test_quality(n_reviewed: int, n_unreviewed: int, code: str) -> None:
    assert quality_code(replace(NOAA_ANALYSIS, n_reviewed=n_reviewed, n_unreviewed=n_unreviewed)) == code


FORMATS = {
    "_datetime": r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?([+-]\d{4}(:\d{2})?|Z)",
    "_code": r"[A-Z0-9_-]+",
    "_codes": r"[A-Z0-9_,-]+",
    "_khz": r"-?\d*(\.\d+)?",
    "_secs": r"-?\d*(\.\d+)?",
    "_validated": r"-?\d+",
    "_total": r"-?\d+",
}
"""Patterns of makaraValidatr."""


@settings(max_examples=40)
@given(
    days=st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 50), st.just(0.0) | st.floats(1e-9, 86400)), min_size=1, max_size=30
    ),
    first=st.integers(-3000, 1000),
)
def test_tables_of_any_survey_are_valid(days: list[tuple[int, int, float]], first: int) -> None:
    survey = [presence_day(first + place, max(n), min(n), effort) for place, (*n, effort) in enumerate(days)]
    written_tables = makara_tables(survey, METADATA, NOAA_ANALYSIS, NOW)
    assert validate_makara(csv_rows(written_tables.analyses), csv_rows(written_tables.detections), NOW) == []
    for row in csv_rows(written_tables.analyses) + csv_rows(written_tables.detections):
        for name, cell in row.items():
            for ending, pattern in FORMATS.items():
                assert not cell or not name.endswith(ending) or re.fullmatch(pattern, cell), (name, cell)
    assert len(csv_rows(written_tables.detections)) == len(days)


@pytest.mark.parametrize(
    ("column", "cell", "what"),
    [
        *((name, "", "is missing") for name in ANALYSES_REQUIRED),
        *((f"analysis_{name}", "", "is missing") for name in ("start_datetime", "end_datetime", "min_frequency_khz")),
        ("analysis_granularity_code", "EVENT_CALL", "vocabulary"),
        ("analysis_quality_code", "VALIDATED", "vocabulary"),
        ("analysis_processing_code", "POST-PROCESSED", "vocabulary"),
        ("analysis_release_data", "true", "not a truth value"),
        ("recording_codes", "A, B", "not a list of codes"),
        ("detector_codes", "whalescan", "not a list of codes"),
        ("analysis_start_datetime", "2019-01-01T00:00:00+04:00", "not a UTC timestamp"),
        ("analysis_start_datetime", "2019-01-06T00:00:00Z", "after analysis_end_datetime"),
        ("analysis_end_datetime", "2027-01-01T00:00:00Z", "in the future"),
        ("analysis_sample_rate_khz", "2000.5", "above 2000"),
        ("analysis_max_frequency_khz", "350", "does not cover"),
        ("analysis_min_frequency_khz", "0.9", "above the maximum"),
        ("analysis_dataset_url", "example.org", "not a URL"),
        ("analysis_comments", "N/A", "is a placeholder"),
    ],
)
def test_invalid_analyses_are_reported(analyses: CsvRows, detections: CsvRows, column: str, cell: str, what: str) -> None:
    analyses[0][column] = cell
    problems = validate_makara(analyses, detections, NOW)
    assert any(p.file == "analyses.csv" and p.field == column and what in p.text for p in problems), list(map(str, problems))


@pytest.mark.parametrize(
    ("row", "column", "cell", "what"),
    [
        *((3, name, "", "is missing") for name in DETECTIONS_REQUIRED),
        (1, "detection_n_validated", "", "is missing although the result is POSSIBLY_DETECTED"),
        (0, "detection_end_datetime", "", "is missing"),
        (0, "detection_effort_secs", "", "is missing"),
        (0, "detection_effort_secs", "86401", "exceed the length of the row"),
        (0, "detection_n_total", "6", "below detection_n_validated"),
        (0, "detection_n_total", "9.0", "not a count"),
        (0, "detection_n_validated", "0", ""),
        (0, "detection_result_code", "YES", "vocabulary"),
        (0, "detection_sound_source_code", "SRWH", "does not include"),
        (0, "detection_start_datetime", "2019-01-01T00:00:00-0500", "not a UTC timestamp"),
        (0, "detection_start_datetime", "2018-12-31T00:00:00Z", "before analysis_start_datetime"),
        (1, "detection_start_datetime", "2019-01-02T01:00:00Z", "not a UTC day"),
        (2, "detection_start_datetime", "2019-01-02T00:00:00Z", "already"),
        (0, "analysis_code", "OTHER", "no analysis NEFSC"),
        (2, "deployment_code", "OTHER", "is no analysis"),
    ],
)
def test_invalid_detections_are_reported(
    analyses: CsvRows, detections: CsvRows, row: int, column: str, cell: str, what: str
) -> None:
    detections[row][column] = cell
    problems = validate_makara(analyses, detections, NOW)
    assert problems
    if what == "is no analysis":  # told under the name of the analysis
        column, what = "analysis_code", "has no analysis NEFSC OTHER"
    if column == "detection_n_validated" and cell == "0":  # told under the result
        column, what = "detection_result_code", "without a validated detection"
    caught = [p for p in problems if (p.file, p.row, p.field) == ("detections.csv", row + 1, column) and what in p.text]
    assert caught, list(map(str, problems))
    assert all(p.remedy for p in problems)


def test_duplicate_analyses_are_reported(analyses: CsvRows, detections: CsvRows) -> None:
    (problem,) = validate_makara(analyses * 2, detections, NOW)
    assert str(problem).startswith("analyses.csv, row 2, analysis_code: 'RIWH_WHALESCAN' occurs twice")


def test_a_day_that_is_not_over_is_not_written() -> None:
    during = datetime(2019, 1, 1, 18, tzinfo=UTC)
    with pytest.raises(OutputError, match="2019-01-02T00:00:00Z is in the future"):
        makara_tables([presence_day(0)], METADATA, NOAA_ANALYSIS, during)
    makara_tables([presence_day(0)], METADATA, NOAA_ANALYSIS, datetime(2019, 1, 2, tzinfo=UTC))
    makara_tables([presence_day(0)], METADATA, NOAA_ANALYSIS)  # at this moment


def test_an_empty_table_is_not_written() -> None:
    with pytest.raises(
        OutputError, match=r"analyses\.csv, detections\.csv: not written(.|\n)*detections\.csv: the table has no rows"
    ):
        makara_tables([], METADATA, NOAA_ANALYSIS, NOW)


# Metadata --------------------------------------------------------


def test_the_documented_file_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "makara.toml"
    path.write_text(MAKARA_EXAMPLE)
    metadata = read_makara(path)
    assert metadata.recording_codes == "NS01_RECORDING"
    assert metadata.analysis_release_data is True
    assert metadata.analysis_max_frequency_khz == 0.35
    check_makara(metadata, NOAA_ANALYSIS)
    makara_tables([presence_day(0, 3, 3)], metadata, NOAA_ANALYSIS, NOW)


def test_absent_fields_have_the_documented_defaults(tmp_path: Path) -> None:
    path = tmp_path / "makara.toml"
    path.write_text(MAKARA_EXAMPLE)
    full = read_makara(path)
    path.write_text(MAKARA_EXAMPLE.split("# Optional")[0])
    short = read_makara(path)
    blank = replace(full, analysis_analysts="", analysis_comments="", analysis_dataset_url="")
    assert short == replace(blank, analysis_min_frequency_khz=None, analysis_max_frequency_khz=None)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('analysis_release_data = "TRUE"', "write true or false"),
        ("analysis_release_data = 1", "wrong type"),
        ("recording_codes = []", "wrong type"),
        ("recording_codes = [1]", "wrong type"),
        ('recording_codes = ["A b"]', "not a list of codes"),
        ('detector_codes = "LFDCS,MANUAL,"', "not a list of codes"),
        ('analysis_dataset_url = "example.org"', "not a URL"),
        ('analysis_code = ["A"]', "write text in quotes"),
        ('analysis_quality_code = "FULLY_VALIDATED"', "unknown field"),
    ],
)
def test_an_invalid_field_is_named_with_its_file(tmp_path: Path, line: str, what: str) -> None:
    name = line.split(" =", maxsplit=1)[0]
    path = tmp_path / "makara.toml"
    path.write_text("\n".join([*(kept for kept in MAKARA_EXAMPLE.splitlines() if not kept.startswith(f"{name} =")), line]))
    with pytest.raises(UsageError) as error:
        read_makara(path)
    assert str(error.value).startswith(f"makara {path}: 1 problem:\n  {name}: ")
    assert what in str(error.value)


def test_inconsistent_metadata_is_rejected_before_a_run() -> None:
    with pytest.raises(
        UsageError, match=r"makara: (.|\n)*analysis_max_frequency_khz: a sample rate of 2 kHz does not cover 350 kHz"
    ):
        check_makara(replace(METADATA, analysis_max_frequency_khz=350.0), NOAA_ANALYSIS)
