from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import DAY_NS, NOAA_ANALYSIS, SHARED, CsvRows, csv_bytes, csv_rows, presence_day
from whalescan import UsageError
from whalescan.core import OutputError
from whalescan.detections.presence import Presence, PresenceBin
from whalescan.tables.noaa.pars import (
    PARS_EXAMPLE,
    PARS_FILE,
    ParsMetadata,
    check_pars,
    pars_table,
    read_pars,
    validate_pars,
)

HOUR_NS = DAY_NS // 24
METADATA = ParsMetadata(
    "NEFSC_MA-RI_201901_NS01", "NEFSC", "CORNELL_CUSTOM", "protocol v1: 3 or more upcalls, by A. Analyst"
)
COLUMNS = [
    *("deployment_code", "analysis_organization_code", "analysis_sound_source_codes"),
    *("analysis_start_datetime", "analysis_end_datetime", "analysis_sample_rate_khz"),
    *("analysis_min_frequency_khz", "analysis_max_frequency_khz", "analysis_processing_code"),
    *("analysis_protocol_reference", "analysis_citations", "analysis_detector_code", "analysis_detector_version"),
    *("detection_start_datetime", "detection_end_datetime", "detection_effort_secs"),
    *("detection_sound_source_code", "detection_call_type_code", "detection_n_validated", "detection_result_code"),
    *("localization_method_code", "localization_latitude", "localization_longitude", "localization_distance_m"),
]
"""Columns in the PARS guide."""


@pytest.fixture
def example() -> CsvRows:
    """Four days: DETECTED, POSSIBLY_DETECTED, NOT_DETECTED (half a day's effort), NOT_AVAILABLE."""
    return csv_rows(
        pars_table(
            [presence_day(0, 9, 7), presence_day(1, 5, 1), presence_day(2, effort_s=43200), presence_day(3, effort_s=0)],
            METADATA,
            NOAA_ANALYSIS,
        )
    )


def test_the_example_of_the_guide_is_valid() -> None:
    path = SHARED / "examples" / "raven" / PARS_FILE
    if not path.exists():
        pytest.skip("no shared examples here")
    assert validate_pars(csv_rows(path.read_bytes())) == []


def test_written_cells(example: CsvRows) -> None:
    assert list(example[0]) == COLUMNS
    assert [row["detection_result_code"] for row in example] == [
        "DETECTED",
        "POSSIBLY_DETECTED",
        "NOT_DETECTED",
        "NOT_AVAILABLE",
    ]
    assert [row["detection_n_validated"] for row in example] == ["7", "1", "0", ""]
    assert [row["detection_effort_secs"] for row in example] == ["86400", "86400", "43200", "0"]
    assert example[3]["detection_start_datetime"] == "2019-01-04T00:00:00Z"
    assert {row["analysis_start_datetime"] for row in example} == {"2019-01-01T00:00:00Z"}
    assert {row["analysis_end_datetime"] for row in example} == {"2019-01-05T00:00:00Z"}
    assert {row["analysis_sample_rate_khz"] for row in example} == {"2"}
    assert {(row["analysis_min_frequency_khz"], row["analysis_max_frequency_khz"]) for row in example} == {
        ("0.015625", "0.515625")
    }
    assert {row["analysis_protocol_reference"] for row in example} == {
        METADATA.analysis_protocol_reference
    }  # with its comma
    assert validate_pars(example) == []


def pacm_violations(rows: CsvRows) -> list[str]:
    """Return the violated rules of PACM's reader, transcribed from its R code."""
    refused = []
    for row in rows:
        for name, cell in row.items():
            if cell.strip().upper() in {"NA", "N/A", "NULL", "-"}:
                refused.append(f"{name} placeholder")
            if name.endswith("_datetime"):
                datetime.strptime(cell.replace("Z", "+0000"), "%Y-%m-%dT%H:%M:%S%z")
            if name.endswith(("_khz", "_secs")) and not re.fullmatch(r"-?\d*(\.\d+)?", cell):
                refused.append(f"{name} format")
        required = [name for name in COLUMNS[:16] if name != "analysis_citations"]
        refused += [f"{name} present" for name in (*required, "detection_result_code") if not row[name]]
        if row["detection_result_code"] in ("DETECTED", "POSSIBLY_DETECTED"):
            refused += [f"{name} required" for name in COLUMNS[16:19] if not row[name]]
        low, high, rate = (float(row[f"analysis_{name}_khz"]) for name in ("min_frequency", "max_frequency", "sample_rate"))
        if not (0 <= low <= high and 0.1 <= rate <= 2000 and float(row["detection_effort_secs"]) >= 0):
            refused.append("range")
        if not (
            row["analysis_start_datetime"]
            <= row["detection_start_datetime"]
            <= row["detection_end_datetime"]
            <= row["analysis_end_datetime"]
        ):
            refused.append("window")
    return refused


@settings(max_examples=60)
@given(
    days=st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 50), st.just(0.0) | st.floats(1e-9, 86400)), min_size=1, max_size=40
    ),
    first=st.integers(-3000, 3000),
)
def test_tables_of_any_survey_are_valid(days: list[tuple[int, int, float]], first: int) -> None:
    survey = [presence_day(first + place, max(n), min(n), effort) for place, (*n, effort) in enumerate(days)]
    content = pars_table(survey, METADATA, NOAA_ANALYSIS)
    rows = csv_rows(content)
    assert validate_pars(rows) == []
    assert pacm_violations(rows) == []
    for row, bin_ in zip(rows, survey, strict=True):
        assert row["detection_start_datetime"] == (
            datetime(2019, 1, 1, tzinfo=UTC) + timedelta(microseconds=(bin_.begin_ns - presence_day(0).begin_ns) // 1000)
        ).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert float(row["detection_effort_secs"]) == pytest.approx(bin_.analysed_ns / 1e9, abs=1.5e-6)
        assert row["detection_result_code"] == bin_.result
        assert row["detection_n_validated"] in ("", str(bin_.n_validated))


MUTATIONS = [
    # row, column, cell, what the problem says; one line for each way in which a rule can be broken
    *((0, name, "", "is missing") for name in COLUMNS[:16] if name != "analysis_citations"),
    (0, "detection_result_code", "", "is missing"),
    *((0, name, "", "is missing although the result is DETECTED") for name in COLUMNS[16:19]),
    *((1, name, "", "is missing although the result is POSSIBLY_DETECTED") for name in COLUMNS[16:19]),
    *((2, "localization_method_code", cell, "is a placeholder") for cell in ("NA", "N/A", "NULL", "-", "na", "null")),
    (0, "analysis_citations", "NA", "is a placeholder"),
    (0, "deployment_code", "nefsc_01", "is not a code"),
    (0, "deployment_code", "NEFSC 01", "is not a code"),
    (0, "analysis_organization_code", "Northeast", "is not a code"),
    (0, "analysis_detector_code", "LFDCS,MANUAL", "is not a code"),
    (0, "analysis_detector_code", "WHALESCAN ", "blank"),
    (0, "analysis_sound_source_codes", "RIWH, HUWH", "is not a list of codes"),
    (0, "analysis_protocol_reference", "two\nlines", "control character"),
    (0, "analysis_processing_code", "POST-PROCESSED", "vocabulary"),
    (0, "detection_result_code", "Detected", "is not a code"),
    (0, "detection_result_code", "PRESENT", "vocabulary"),
    (0, "detection_sound_source_code", "HUWH", "vocabulary"),
    (0, "detection_sound_source_code", "NPRW", "does not include NPRW"),
    (0, "detection_call_type_code", "HUWH_SONG", "vocabulary"),
    (0, "detection_call_type_code", "HUWH_SONG", "HUWH_SONG:RIWH is not a valid pair"),
    (0, "detection_sound_source_code", "HUWH", "RW_UPCALL:HUWH is not a valid pair"),
    (2, "detection_sound_source_code", "", "RW_UPCALL: is not a valid pair"),
    (0, "detection_call_type_code", "RW_UPCALL,RW_MOAN", "is not a code"),
    *(
        (0, "detection_start_datetime", cell, "is not a UTC timestamp")
        for cell in (
            "2019-01-01T00:00:00",
            "2019-01-01T00:00:00+04:00",
            "2019-01-01T00:00:00-0500",
            "2019-01-01T00:00:00.000Z",
            "2019-01-01 00:00:00Z",
            "2019-01-01T00:00Z",
            "2019-02-30T00:00:00Z",
            "01/01/2019",
        )
    ),
    (0, "analysis_start_datetime", "2019-01-06T00:00:00Z", "after analysis_end_datetime"),
    (0, "analysis_start_datetime", "2019-01-02T00:00:00Z", "is before analysis_start_datetime"),
    (1, "analysis_start_datetime", "2018-12-31T00:00:00Z", "differs"),
    (1, "detection_start_datetime", "2019-01-04T00:00:00Z", "after detection_end_datetime"),
    (0, "detection_start_datetime", "2019-01-01T05:00:00Z", "not a UTC day"),
    (0, "detection_end_datetime", "2019-01-01T23:00:00Z", "not a UTC day"),
    (1, "detection_start_datetime", "2019-01-01T00:00:00Z", "not a UTC day"),
    (0, "analysis_sample_rate_khz", "48000", "above 2000"),
    (0, "analysis_sample_rate_khz", "0.05", "below 0.1"),
    (0, "analysis_sample_rate_khz", "2e0", "is not a decimal number"),
    (0, "analysis_sample_rate_khz", "2,0", "is not a decimal number"),
    (0, "analysis_sample_rate_khz", "nan", "is not a decimal number"),
    (0, "analysis_min_frequency_khz", "-1", "below 0"),
    (0, "analysis_min_frequency_khz", "0.9", "above the maximum"),
    (0, "analysis_max_frequency_khz", "350", "does not cover 350"),
    (0, "detection_effort_secs", "-1", "below 0"),
    (0, "detection_effort_secs", "86400.5", "exceed the length of the row"),
    (0, "detection_effort_secs", "8.64e4", "is not a decimal number"),
    (2, "detection_effort_secs", "0", "detection_effort_secs is 0"),
    (3, "detection_effort_secs", "60", "NOT_AVAILABLE although"),
    *((0, "detection_n_validated", cell, "is not a count") for cell in ("-1", "7.0", "many", "\u0667")),
    (0, "detection_n_validated", "0", "without a validated detection"),
    (2, "detection_n_validated", "2", "2 validated detections"),
    (3, "detection_n_validated", "1", "1 validated detections"),
    (0, "localization_latitude", "91", "above 90"),
    (0, "localization_longitude", "-181", "below -180"),
    (0, "localization_distance_m", "-5", "below 0"),
    *((2, name, "0.3", "differs") for name in ("analysis_sample_rate_khz", "analysis_max_frequency_khz")),
    *(
        (2, name, "OTHER", "differs")
        for name in ("analysis_detector_code", "analysis_detector_version", "analysis_citations")
    ),
]


@pytest.mark.parametrize(("row", "column", "cell", "what"), MUTATIONS)
def test_invalid_cells_are_reported(example: CsvRows, row: int, column: str, cell: str, what: str) -> None:
    assert example[row][column] != cell
    example[row][column] = cell
    problems = validate_pars(csv_rows(csv_bytes(example)))
    caught = [problem for problem in problems if what in str(problem) and problem.row == row + 1]
    assert caught, [str(problem) for problem in problems]
    assert all(problem.remedy for problem in problems)


def test_a_problem_names_row_field_and_remedy(example: CsvRows) -> None:
    example[2]["detection_effort_secs"] = "90000"
    (problem,) = validate_pars(csv_rows(csv_bytes(example)))
    assert str(problem) == (
        "row 3, detection_effort_secs: 90000 s of effort exceed the length of the row; "
        "count time with several recordings once"
    )


def test_rows_outside_the_window_of_their_analysis_are_invalid(example: CsvRows) -> None:
    late = [{**row, "analysis_start_datetime": "2019-01-02T00:00:00Z"} for row in example]
    assert [(p.row, p.field) for p in validate_pars(late)] == [(1, "detection_start_datetime")]
    early = [{**row, "analysis_end_datetime": "2019-01-04T00:00:00Z"} for row in example]
    assert [(p.row, p.field) for p in validate_pars(early)] == [(4, "detection_end_datetime")]


def test_duplicate_and_missing_days_are_invalid(example: CsvRows) -> None:
    assert "2019-01-02 is already in row 2" in str(validate_pars([*example, example[1]])[0])
    (problem,) = validate_pars([example[0], example[1], example[3]])
    assert "between 2019-01-02 and 2019-01-04" in str(problem)
    assert "NOT_AVAILABLE" in problem.remedy


def test_codes_outside_a_vocabulary_are_valid(example: CsvRows) -> None:
    for row in example:
        row.update(analysis_detector_code="WHALESCAN_9", analysis_organization_code="NEW-ORG_2")
    assert validate_pars(example) == []


def test_the_optional_columns_may_be_absent(example: CsvRows) -> None:
    required = [name for name in COLUMNS if not name.startswith("localization") and name != "analysis_citations"]
    assert validate_pars([{name: row[name] for name in required} for row in example]) == []


@settings(max_examples=100)
@given(place=st.integers(0, 3), column=st.sampled_from(COLUMNS), cell=st.text(max_size=30))
def test_any_cell_can_be_validated(place: int, column: str, cell: str) -> None:
    rows = csv_rows(
        pars_table(
            [presence_day(0, 9, 7), presence_day(1, 5, 1), presence_day(2), presence_day(3, effort_s=0)],
            METADATA,
            NOAA_ANALYSIS,
        )
    )
    rows[place][column] = cell
    for problem in validate_pars(rows):
        assert problem.remedy
        assert str(problem)


@pytest.mark.parametrize(
    ("days", "field"),
    [
        ([], "the table has no rows"),
        ([replace(presence_day(0), begin_ns=presence_day(0).begin_ns + HOUR_NS)], "detection_start_datetime"),
        (
            [
                replace(
                    presence_day(0),
                    begin_ns=presence_day(0).begin_ns + 5 * HOUR_NS,
                    end_ns=presence_day(0).end_ns + 5 * HOUR_NS,
                )
            ],
            "not a UTC day",
        ),
        ([replace(presence_day(0), begin_ns=presence_day(0).begin_ns + 1000)], "detection_start_datetime"),
        ([presence_day(0), presence_day(2)], "2019-01-01 and 2019-01-03"),
        ([presence_day(0), presence_day(0)], "already"),
        ([presence_day(1), presence_day(0)], "analysis_start_datetime"),
        ([replace(presence_day(0), analysed_ns=2 * DAY_NS)], "detection_effort_secs"),
        ([replace(presence_day(0), result=Presence.DETECTED)], "detection_result_code"),
        ([replace(presence_day(0), result=Presence.NOT_AVAILABLE)], "detection_result_code"),
    ],
)
def test_invalid_days_are_not_written(days: list[PresenceBin], field: str) -> None:
    with pytest.raises(OutputError, match=rf"detectiondata\.csv: not written(.|\n)*{field}"):
        pars_table(days, METADATA, NOAA_ANALYSIS)


def test_added_calls_without_effort_are_reported() -> None:
    rows = csv_rows(
        pars_table([presence_day(0, 4, 4, effort_s=0), presence_day(1, 1, 1, effort_s=0)], METADATA, NOAA_ANALYSIS)
    )
    assert [row["detection_result_code"] for row in rows] == ["DETECTED", "POSSIBLY_DETECTED"]


def test_a_long_list_of_problems_is_shortened() -> None:
    with pytest.raises(OutputError, match="40 problems") as error:
        pars_table([presence_day(n) for n in range(40)], replace(METADATA, deployment_code="no code"), NOAA_ANALYSIS)
    assert len(str(error.value).splitlines()) < 20


# Metadata --------------------------------------------------------


def written(folder: Path, text: str) -> Path:
    path = folder / "pars.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_documented_file_is_valid(tmp_path: Path) -> None:
    metadata = read_pars(written(tmp_path, PARS_EXAMPLE))
    assert metadata.analysis_protocol_reference.startswith(
        "An analyst reviewed every detection at or above the threshold. A day"
    )
    assert (metadata.analysis_min_frequency_khz, metadata.analysis_max_frequency_khz) == (0.05, 0.35)
    check_pars(metadata, NOAA_ANALYSIS)
    assert validate_pars(csv_rows(pars_table([presence_day(0, 3, 3)], metadata, NOAA_ANALYSIS))) == []


def test_absent_fields_have_the_documented_defaults(tmp_path: Path) -> None:
    full = read_pars(written(tmp_path, PARS_EXAMPLE))
    short = read_pars(written(tmp_path, PARS_EXAMPLE.split("# Optional")[0]))
    assert short == replace(full, analysis_citations="", analysis_min_frequency_khz=None, analysis_max_frequency_khz=None)
    assert short == ParsMetadata(
        short.deployment_code,
        short.analysis_organization_code,
        short.analysis_detector_code,
        short.analysis_protocol_reference,
    )


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("deployment_code = 5", "deployment_code: 5 has the wrong type; write text in quotes"),
        ('deployment_code = ["A"]', "wrong type"),
        ('deployment_code = "ns 1"', "is not a code"),
        ('deployment_code = ""', "deployment_code: is missing"),
        ('deployment_code = "NA"', "is a placeholder"),
        ('analysis_min_frequency_khz = "0.05"', "write a number without quotes"),
        ("analysis_min_frequency_khz = true", "wrong type"),
        ("analysis_min_frequency_khz = -0.1", "below 0"),
        ("analysis_min_frequency_khz = nan", "is not a decimal number"),
        ("analysis_min_frequency_khz = inf", "is not a decimal number"),
        ("analysis_citations = 2019-01-01", "wrong type"),
        ('detection_call_type_code = "HUWH_SONG"', "vocabulary"),
        ('analysis_processing_code = "POST-PROCESSED"', "vocabulary"),
        ('analysis_sample_rate_khz = "2"', "unknown field"),
        ('[pars]\ndeployment_code = "NS01"', "pars: unknown field"),
        ("deployment_code", "cannot be read as TOML"),
    ],
)
def test_an_invalid_field_is_named_with_its_file(tmp_path: Path, line: str, what: str) -> None:
    name = line.split(" =", maxsplit=1)[0]
    kept = [other for other in PARS_EXAMPLE.splitlines() if not other.startswith(f"{name} =")]
    path = written(tmp_path, "\n".join([*kept, line]))
    with pytest.raises(UsageError) as error:
        read_pars(path)
    assert what in str(error.value)
    assert str(error.value).startswith(f"pars {path}: ")


def test_all_invalid_fields_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        read_pars(written(tmp_path, 'deployment = "X"\nanalysis_detector_code = 1\nanalysis_max_frequency_khz = "350"'))
    for field in (
        "deployment:",
        "deployment_code: is missing",
        "analysis_detector_code: 1",
        "analysis_max_frequency_khz: '350'",
    ):
        assert field in str(error.value)
    assert "6 problems" in str(error.value)


def test_an_absent_or_binary_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"pars .*none\.toml: cannot be read"):
        read_pars(tmp_path / "none.toml")
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        read_pars(tmp_path / "x.toml")


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xef\xbb\xbf" + PARS_EXAMPLE.encode())
    assert read_pars(tmp_path / "x.toml").deployment_code == "NEFSC_MA-RI_201901_NS01"


@pytest.mark.parametrize(
    ("metadata", "what"),
    [
        (replace(METADATA, analysis_max_frequency_khz=350.0), "does not cover 350"),
        (replace(METADATA, analysis_min_frequency_khz=0.8), "above the maximum"),
        (replace(METADATA, analysis_min_frequency_khz=float("nan")), "is not a decimal number"),
        (replace(METADATA, analysis_protocol_reference=""), "is missing"),
        (replace(METADATA, deployment_code="ns01"), "is not a code"),
    ],
)
def test_inconsistent_metadata_is_rejected_before_a_run(metadata: ParsMetadata, what: str) -> None:
    check_pars(METADATA, NOAA_ANALYSIS)
    with pytest.raises(UsageError, match=what):
        check_pars(metadata, NOAA_ANALYSIS)
    with pytest.raises(OutputError, match=what):
        pars_table([presence_day(0)], metadata, NOAA_ANALYSIS)
