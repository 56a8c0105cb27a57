from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_pars import ANALYSIS, Rows, bytes_of, day, rows_of
from whalescan import UsageError
from whalescan.core import OutputError
from whalescan.tables.noaa.makara import (
    MAKARA_EXAMPLE,
    MakaraFacts,
    MakaraTables,
    check_makara,
    makara_tables,
    quality_code,
    read_makara,
    validate_makara,
    validate_makara_csv,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FACTS = MakaraFacts(
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
"""As makaraValidatr's column definitions say, of v1.2."""


def tables() -> MakaraTables:
    days = [day(0, 9, 7), day(1, 5, 1), day(2, effort_s=43200), day(3, effort_s=0)]
    return makara_tables(days, FACTS, replace(ANALYSIS, n_reviewed=8, n_unreviewed=6), NOW)


@pytest.fixture
def analyses() -> Rows:
    return rows_of(tables().analyses)


@pytest.fixture
def detections() -> Rows:
    """Four days: DETECTED, POSSIBLY_DETECTED, NOT_DETECTED (half a day's effort), NOT_AVAILABLE."""
    return rows_of(tables().detections)


def test_what_is_written(analyses: Rows, detections: Rows) -> None:
    assert (len(analyses[0]), len(detections[0])) == (26, 45)  # the templates' columns
    (row,) = analyses
    assert row["analysis_granularity_code"] == "INTERVAL"
    assert row["analysis_quality_code"] == "PARTIALLY_VALIDATED"
    assert (row["analysis_start_datetime"], row["analysis_end_datetime"]) == ("2019-01-01T00:00:00Z", "2019-01-05T00:00:00Z")
    assert (row["analysis_release_data"], row["analysis_release_pacm"]) == ("FALSE", "TRUE")
    assert (row["analysis_sample_rate_khz"], row["recording_codes"]) == ("2", "NS01_A,NS01_B")
    assert row["detector_version"] == ANALYSIS.detector_version
    assert [row["detection_n_validated"] for row in detections] == ["7", "1", "0", ""]
    assert [row["detection_n_total"] for row in detections] == ["9", "5", "0", ""]
    assert [row["detection_effort_secs"] for row in detections] == ["86400", "86400", "43200", "0"]
    assert [row["detection_result_code"] for row in detections][2:] == ["NOT_DETECTED", "NOT_AVAILABLE"]
    assert {row["detection_call_type_code"] for row in detections} == {"RW_UPCALL"}  # required on every row


def test_required_columns_come_filled(analyses: Rows, detections: Rows) -> None:
    assert all(analyses[0][name] for name in ANALYSES_REQUIRED)
    assert all(row[name] for row in detections for name in DETECTIONS_REQUIRED)


@pytest.mark.parametrize(
    ("n_reviewed", "n_unreviewed", "code"),
    [(0, 0, "NOT_VALIDATED"), (0, 4, "NOT_VALIDATED"), (1, 3, "PARTIALLY_VALIDATED"), (4, 0, "FULLY_VALIDATED")],
)
def test_quality(n_reviewed: int, n_unreviewed: int, code: str) -> None:
    assert quality_code(replace(ANALYSIS, n_reviewed=n_reviewed, n_unreviewed=n_unreviewed)) == code


FORMATS = {
    "_datetime": r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?([+-]\d{4}(:\d{2})?|Z)",
    "_code": r"[A-Z0-9_-]+",
    "_codes": r"[A-Z0-9_,-]+",
    "_khz": r"-?\d*(\.\d+)?",
    "_secs": r"-?\d*(\.\d+)?",
    "_validated": r"-?\d+",
    "_total": r"-?\d+",
}
"""The patterns of makaraValidatr."""


@settings(max_examples=40, deadline=None)
@given(
    days=st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 50), st.just(0.0) | st.floats(1e-9, 86400)), min_size=1, max_size=30
    ),
    first=st.integers(-3000, 1000),
)
def test_any_survey_gives_tables_that_makara_reads(days: list[tuple[int, int, float]], first: int) -> None:
    survey = [day(first + place, max(n), min(n), effort) for place, (*n, effort) in enumerate(days)]
    written_tables = makara_tables(survey, FACTS, ANALYSIS, NOW)
    assert validate_makara_csv(written_tables.analyses, written_tables.detections, NOW) == []
    for row in rows_of(written_tables.analyses) + rows_of(written_tables.detections):
        for name, cell in row.items():
            for ending, pattern in FORMATS.items():
                assert not cell or not name.endswith(ending) or re.fullmatch(pattern, cell), (name, cell)
    assert len(rows_of(written_tables.detections)) == len(days)


@pytest.mark.parametrize(
    ("column", "cell", "what"),
    [
        *((name, "", "is missing") for name in ANALYSES_REQUIRED),
        *((f"analysis_{name}", "", "is missing") for name in ("start_datetime", "end_datetime", "min_frequency_khz")),
        ("analysis_granularity_code", "EVENT_CALL", "vocabulary"),
        ("analysis_quality_code", "VALIDATED", "vocabulary"),
        ("analysis_processing_code", "POST-PROCESSED", "vocabulary"),
        ("analysis_release_data", "true", "neither TRUE nor FALSE"),
        ("recording_codes", "A, B", "no list of codes"),
        ("detector_codes", "whalescan", "no list of codes"),
        ("analysis_start_datetime", "2019-01-01T00:00:00+04:00", "no moment in UTC"),
        ("analysis_start_datetime", "2019-01-06T00:00:00Z", "after analysis_end_datetime"),
        ("analysis_end_datetime", "2027-01-01T00:00:00Z", "yet to come"),
        ("analysis_sample_rate_khz", "2000.5", "above 2000"),
        ("analysis_max_frequency_khz", "350", "holds nothing"),
        ("analysis_min_frequency_khz", "0.9", "above the maximum"),
        ("analysis_dataset_url", "example.org", "no address"),
        ("analysis_comments", "N/A", "stands for nothing"),
    ],
)
def test_every_broken_rule_of_analyses_is_caught(
    analyses: Rows, detections: Rows, column: str, cell: str, what: str
) -> None:
    analyses[0][column] = cell
    problems = validate_makara(analyses, detections, NOW)
    assert any(p.file == "analyses.csv" and p.field == column and what in p.what for p in problems), list(map(str, problems))


@pytest.mark.parametrize(
    ("row", "column", "cell", "what"),
    [
        *((3, name, "", "is missing") for name in DETECTIONS_REQUIRED),
        (1, "detection_n_validated", "", "is missing, and the result is POSSIBLY_DETECTED"),
        (0, "detection_end_datetime", "", "is missing"),
        (0, "detection_effort_secs", "", "is missing"),
        (0, "detection_effort_secs", "86401", "more than the row is long"),
        (0, "detection_n_total", "6", "below detection_n_validated"),
        (0, "detection_n_total", "9.0", "no count"),
        (0, "detection_n_validated", "0", ""),
        (0, "detection_result_code", "YES", "vocabulary"),
        (0, "detection_sound_source_code", "SRWH", "did not look for"),
        (0, "detection_start_datetime", "2019-01-01T00:00:00-0500", "no moment in UTC"),
        (0, "detection_start_datetime", "2018-12-31T00:00:00Z", "before analysis_start_datetime"),
        (1, "detection_start_datetime", "2019-01-02T01:00:00Z", "no UTC day"),
        (2, "detection_start_datetime", "2019-01-02T00:00:00Z", "already"),
        (0, "analysis_code", "OTHER", "no analysis NEFSC"),
        (2, "deployment_code", "OTHER", "is no analysis"),
    ],
)
def test_every_broken_rule_of_detections_is_caught(
    analyses: Rows, detections: Rows, row: int, column: str, cell: str, what: str
) -> None:
    detections[row][column] = cell
    problems = validate_makara(analyses, detections, NOW)
    assert problems
    if what == "is no analysis":  # told under the name of the analysis
        column, what = "analysis_code", "has no analysis NEFSC OTHER"
    if column == "detection_n_validated" and cell == "0":  # told under the result
        column, what = "detection_result_code", "without a validated call"
    caught = [p for p in problems if (p.file, p.row, p.field) == ("detections.csv", row + 1, column) and what in p.what]
    assert caught, list(map(str, problems))
    assert all(p.remedy for p in problems)


def test_an_analysis_given_twice(analyses: Rows, detections: Rows) -> None:
    (problem,) = validate_makara(analyses * 2, detections, NOW)
    assert str(problem).startswith("analyses.csv, row 2, analysis_code: 'RIWH_WHALESCAN' is there twice")


def test_a_broken_header_is_caught(analyses: Rows, detections: Rows) -> None:
    head, rest = bytes_of(detections).split(b"\n", 1)
    problems = validate_makara_csv(bytes_of(analyses), head.replace(b"analysis_code", b"Analysis_Code") + b"\n" + rest, NOW)
    assert any(p.file == "detections.csv" and "call it analysis_code" in p.remedy for p in problems)


def test_a_day_that_is_not_over_is_not_written() -> None:
    during = datetime(2019, 1, 1, 18, tzinfo=UTC)
    with pytest.raises(OutputError, match="2019-01-02T00:00:00Z is yet to come"):
        makara_tables([day(0)], FACTS, ANALYSIS, during)
    makara_tables([day(0)], FACTS, ANALYSIS, datetime(2019, 1, 2, tzinfo=UTC))
    makara_tables([day(0)], FACTS, ANALYSIS)  # at this moment


def test_nothing_is_written_of_no_days() -> None:
    with pytest.raises(
        OutputError, match=r"analyses\.csv, detections\.csv: was not written(.|\n)*detections\.csv: there is no row"
    ):
        makara_tables([], FACTS, ANALYSIS, NOW)


# What the user states --------------------------------------------------------


def test_the_documented_file_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "makara.toml"
    path.write_text(MAKARA_EXAMPLE)
    facts = read_makara(path)
    assert facts.recording_codes == "NS01_RECORDING"
    assert facts.analysis_release_data is True
    assert facts.analysis_max_frequency_khz == 0.35
    check_makara(facts, ANALYSIS)
    makara_tables([day(0, 3, 3)], facts, ANALYSIS, NOW)


def test_what_may_be_left_out_has_the_documented_value(tmp_path: Path) -> None:
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
        ('analysis_release_data = "TRUE"', "give true or false"),
        ("analysis_release_data = 1", "wrong type"),
        ("recording_codes = []", "wrong type"),
        ("recording_codes = [1]", "wrong type"),
        ('recording_codes = ["A b"]', "no list of codes"),
        ('detector_codes = "LFDCS,MANUAL,"', "no list of codes"),
        ('analysis_dataset_url = "example.org"', "no address"),
        ('analysis_code = ["A"]', "give text in quotes"),
        ('analysis_quality_code = "FULLY_VALIDATED"', "there is no such field"),
    ],
)
def test_a_mistake_in_the_file_names_the_file_and_the_field(tmp_path: Path, line: str, what: str) -> None:
    name = line.split(" =", maxsplit=1)[0]
    path = tmp_path / "makara.toml"
    path.write_text("\n".join([*(kept for kept in MAKARA_EXAMPLE.splitlines() if not kept.startswith(f"{name} =")), line]))
    with pytest.raises(UsageError) as error:
        read_makara(path)
    assert str(error.value).startswith(f"--makara {path}: 1 problem:\n  {name}: ")
    assert what in str(error.value)


def test_facts_that_do_not_fit_are_refused_before_the_work() -> None:
    with pytest.raises(
        UsageError, match=r"--makara: (.|\n)*analysis_max_frequency_khz: sound of 2 kHz holds nothing at 350 kHz"
    ):
        check_makara(replace(FACTS, analysis_max_frequency_khz=350.0), ANALYSIS)
