from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import SHARED
from whalescan import UsageError
from whalescan.core import OutputError, to_ns
from whalescan.detections.presence import Bin, PresenceRule, Result
from whalescan.tables.noaa.days import Analysis
from whalescan.tables.noaa.pars import (
    PARS_EXAMPLE,
    PARS_FILE,
    ParsFacts,
    check_pars,
    detection_data,
    read_pars,
    validate_pars,
    validate_pars_csv,
)

DAY_NS = 86400 * 10**9
HOUR_NS = DAY_NS // 24
FACTS = ParsFacts("NEFSC_MA-RI_201901_NS01", "NEFSC", "CORNELL_CUSTOM", "protocol v1: 3 or more upcalls, by A. Analyst")
ANALYSIS = Analysis(2000, 15.625, 515.625, "whalescan 0.2.0 narw-xception-2", n_reviewed=0, n_unreviewed=0)
COLUMNS = [
    *("deployment_code", "analysis_organization_code", "analysis_sound_source_codes"),
    *("analysis_start_datetime", "analysis_end_datetime", "analysis_sample_rate_khz"),
    *("analysis_min_frequency_khz", "analysis_max_frequency_khz", "analysis_processing_code"),
    *("analysis_protocol_reference", "analysis_citations", "analysis_detector_code", "analysis_detector_version"),
    *("detection_start_datetime", "detection_end_datetime", "detection_effort_secs"),
    *("detection_sound_source_code", "detection_call_type_code", "detection_n_validated", "detection_result_code"),
    *("localization_method_code", "localization_latitude", "localization_longitude", "localization_distance_m"),
]
"""As the PARS guide lists them."""
Rows = list[dict[str, str]]


def day(number: int, n_detections: int = 0, n_validated: int = 0, effort_s: float = 86400.0) -> Bin:
    """Day ``number`` of 2019, with the result that the usual rule gives it."""
    begin = to_ns(datetime(2019, 1, 1, tzinfo=UTC)) + number * DAY_NS
    effort = round(effort_s * 10**9)
    result = PresenceRule().result(n_validated, n_detections, effort)
    return Bin(begin, begin + DAY_NS, effort, effort, n_detections, n_validated, None, result)


def rows_of(content: bytes) -> Rows:
    return list(csv.DictReader(io.StringIO(content.decode())))


def bytes_of(rows: Rows, header: list[str] | None = None) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, header or list(rows[0]), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


@pytest.fixture
def example() -> Rows:
    """Four days: DETECTED, POSSIBLY_DETECTED, NOT_DETECTED (half a day's effort), NOT_AVAILABLE."""
    return rows_of(detection_data([day(0, 9, 7), day(1, 5, 1), day(2, effort_s=43200), day(3, effort_s=0)], FACTS, ANALYSIS))


def test_the_example_of_the_research_breaks_no_rule() -> None:
    path = SHARED / "examples" / "raven" / PARS_FILE
    if not path.exists():
        pytest.skip("no shared examples here")
    assert validate_pars_csv(path.read_bytes()) == []


def test_what_is_written(example: Rows) -> None:
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
    assert {row["analysis_protocol_reference"] for row in example} == {FACTS.analysis_protocol_reference}  # with its comma
    assert validate_pars_csv(bytes_of(example)) == []


def pacm_refuses(rows: Rows) -> list[str]:
    """The rules of PACM's reader, written down again from its R code, and its daily presence."""
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


@settings(max_examples=60, deadline=None)
@given(
    days=st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 50), st.just(0.0) | st.floats(1e-9, 86400)), min_size=1, max_size=40
    ),
    first=st.integers(-3000, 3000),
)
def test_any_survey_gives_a_table_that_noaa_reads(days: list[tuple[int, int, float]], first: int) -> None:
    survey = [day(first + place, max(n), min(n), effort) for place, (*n, effort) in enumerate(days)]
    content = detection_data(survey, FACTS, ANALYSIS)
    assert validate_pars_csv(content) == []
    rows = rows_of(content)
    assert pacm_refuses(rows) == []
    for row, bin_ in zip(rows, survey, strict=True):
        assert row["detection_start_datetime"] == (
            datetime(2019, 1, 1, tzinfo=UTC) + timedelta(microseconds=(bin_.begin_ns - day(0).begin_ns) // 1000)
        ).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert float(row["detection_effort_secs"]) == pytest.approx(bin_.analysed_ns / 1e9, abs=1.5e-6)
        assert row["detection_result_code"] == bin_.result
        assert row["detection_n_validated"] in ("", str(bin_.n_validated))


MUTATIONS = [
    # row, column, cell, what the problem says; one line for each way in which a rule can be broken
    *((0, name, "", "is missing") for name in COLUMNS[:16] if name != "analysis_citations"),
    (0, "detection_result_code", "", "is missing"),
    *((0, name, "", "is missing, and the result is DETECTED") for name in COLUMNS[16:19]),
    *((1, name, "", "is missing, and the result is POSSIBLY_DETECTED") for name in COLUMNS[16:19]),
    *((2, "localization_method_code", cell, "stands for nothing") for cell in ("NA", "N/A", "NULL", "-", "na", "null")),
    (0, "analysis_citations", "NA", "stands for nothing"),
    (0, "deployment_code", "nefsc_01", "is no code"),
    (0, "deployment_code", "NEFSC 01", "is no code"),
    (0, "analysis_organization_code", "Northeast", "is no code"),
    (0, "analysis_detector_code", "LFDCS,MANUAL", "is no code"),
    (0, "analysis_detector_code", "WHALESCAN ", "blank"),
    (0, "analysis_sound_source_codes", "RIWH, HUWH", "is no list of codes"),
    (0, "analysis_protocol_reference", "two\nlines", "control character"),
    (0, "analysis_processing_code", "POST-PROCESSED", "vocabulary"),
    (0, "detection_result_code", "Detected", "is no code"),
    (0, "detection_result_code", "PRESENT", "vocabulary"),
    (0, "detection_sound_source_code", "HUWH", "vocabulary"),
    (0, "detection_sound_source_code", "NPRW", "did not look for NPRW"),
    (0, "detection_call_type_code", "HUWH_SONG", "vocabulary"),
    (0, "detection_call_type_code", "HUWH_SONG", "HUWH_SONG:RIWH is no pair"),
    (0, "detection_sound_source_code", "HUWH", "RW_UPCALL:HUWH is no pair"),
    (2, "detection_sound_source_code", "", "RW_UPCALL: is no pair"),
    (0, "detection_call_type_code", "RW_UPCALL,RW_MOAN", "is no code"),
    *(
        (0, "detection_start_datetime", cell, "is no moment in UTC")
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
    (0, "analysis_start_datetime", "2019-01-02T00:00:00Z", "lies before analysis_start_datetime"),
    (1, "analysis_start_datetime", "2018-12-31T00:00:00Z", "differs"),
    (1, "detection_start_datetime", "2019-01-04T00:00:00Z", "after detection_end_datetime"),
    (0, "detection_start_datetime", "2019-01-01T05:00:00Z", "no UTC day"),
    (0, "detection_end_datetime", "2019-01-01T23:00:00Z", "no UTC day"),
    (1, "detection_start_datetime", "2019-01-01T00:00:00Z", "no UTC day"),
    (0, "analysis_sample_rate_khz", "48000", "above 2000"),
    (0, "analysis_sample_rate_khz", "0.05", "below 0.1"),
    (0, "analysis_sample_rate_khz", "2e0", "is no plain number"),
    (0, "analysis_sample_rate_khz", "2,0", "is no plain number"),
    (0, "analysis_sample_rate_khz", "nan", "is no plain number"),
    (0, "analysis_min_frequency_khz", "-1", "below 0"),
    (0, "analysis_min_frequency_khz", "0.9", "above the maximum"),
    (0, "analysis_max_frequency_khz", "350", "holds nothing at 350"),
    (0, "detection_effort_secs", "-1", "below 0"),
    (0, "detection_effort_secs", "86400.5", "more than the row is long"),
    (0, "detection_effort_secs", "8.64e4", "is no plain number"),
    (2, "detection_effort_secs", "0", "nobody listened"),
    (3, "detection_effort_secs", "60", "NOT_AVAILABLE, and"),
    *((0, "detection_n_validated", cell, "is no count") for cell in ("-1", "7.0", "many", "\u0667")),
    (0, "detection_n_validated", "0", "without a validated call"),
    (2, "detection_n_validated", "2", "2 validated calls"),
    (3, "detection_n_validated", "1", "1 validated calls"),
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
def test_every_broken_rule_is_caught(example: Rows, row: int, column: str, cell: str, what: str) -> None:
    assert example[row][column] != cell
    example[row][column] = cell
    problems = validate_pars_csv(bytes_of(example))
    caught = [problem for problem in problems if what in str(problem) and problem.row == row + 1]
    assert caught, [str(problem) for problem in problems]
    assert all(problem.remedy for problem in problems)


def test_a_problem_names_row_field_and_remedy(example: Rows) -> None:
    example[2]["detection_effort_secs"] = "90000"
    (problem,) = validate_pars_csv(bytes_of(example))
    assert str(problem) == (
        "row 3, detection_effort_secs: 90000 s of effort are more than the row is long; "
        "count time that was recorded twice once"
    )


def test_rows_outside_the_window_of_their_analysis(example: Rows) -> None:
    late = [{**row, "analysis_start_datetime": "2019-01-02T00:00:00Z"} for row in example]
    assert [(p.row, p.field) for p in validate_pars(late)] == [(1, "detection_start_datetime")]
    early = [{**row, "analysis_end_datetime": "2019-01-04T00:00:00Z"} for row in example]
    assert [(p.row, p.field) for p in validate_pars(early)] == [(4, "detection_end_datetime")]


def test_a_day_given_twice_and_a_day_left_out(example: Rows) -> None:
    assert "2019-01-02 is in row 2 already" in str(validate_pars([*example, example[1]])[0])
    (problem,) = validate_pars([example[0], example[1], example[3]])
    assert "between 2019-01-02 and 2019-01-04" in str(problem)
    assert "NOT_AVAILABLE" in problem.remedy


def test_codes_that_noaa_may_add_pass(example: Rows) -> None:
    for row in example:
        row.update(analysis_detector_code="WHALESCAN_9", analysis_organization_code="NEW-ORG_2")
    assert validate_pars(example) == []


def rename(old: str, new: str) -> Callable[[bytes], bytes]:
    return lambda content: content.replace(old.encode(), new.encode(), 1)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (rename("deployment_code", "Deployment_Code"), "call it deployment_code"),
        (rename("deployment_code", "Deployment_Code"), "the column is missing"),
        (rename("analysis_citations,", "notes,"), "leave it out"),
        (rename("analysis_citations", "deployment_code"), "more than once"),
        (lambda content: b"\xef\xbb\xbf" + content, "byte order mark"),
        (lambda content: content.replace(b"NEFSC", b"NEFSC\xff", 1), "no CSV in UTF-8"),
        (lambda content: content + b'"', "no CSV"),
        (
            rename('"protocol v1: 3 or more upcalls, by A. Analyst"', "3 or more, by A. Analyst"),
            "25 cells under a header of 24",
        ),
        (lambda content: content.splitlines(keepends=True)[0], "there is no row"),
        (lambda _: b"", "the column is missing"),
    ],
)
def test_every_broken_file_is_caught(example: Rows, change: Callable[[bytes], bytes], what: str) -> None:
    problems = validate_pars_csv(change(bytes_of(example)))
    assert any(what in str(problem) for problem in problems), [str(problem) for problem in problems]


def test_columns_in_another_order_and_without_the_optional_ones_pass(example: Rows) -> None:
    header = [name for name in reversed(COLUMNS) if not name.startswith("localization") and name != "analysis_citations"]
    assert validate_pars_csv(bytes_of(example, header)) == []


def test_the_file_has_one_name() -> None:
    content = detection_data([day(0)], FACTS, ANALYSIS)
    assert validate_pars_csv(content, "detectiondata.csv") == []
    (problem,) = validate_pars_csv(content, "NEFSC_detectiondata.csv")
    assert "call it detectiondata.csv" in str(problem)


@settings(max_examples=100, deadline=None)
@given(place=st.integers(0, 3), column=st.sampled_from(COLUMNS), cell=st.text(max_size=30))
def test_no_cell_breaks_the_validator(place: int, column: str, cell: str) -> None:
    rows = rows_of(detection_data([day(0, 9, 7), day(1, 5, 1), day(2), day(3, effort_s=0)], FACTS, ANALYSIS))
    rows[place][column] = cell
    for problem in validate_pars(rows):
        assert problem.remedy
        assert str(problem)


@pytest.mark.parametrize(
    ("days", "field"),
    [
        ([], "there is no row"),
        ([replace(day(0), begin_ns=day(0).begin_ns + HOUR_NS)], "detection_start_datetime"),
        ([replace(day(0), begin_ns=day(0).begin_ns + 5 * HOUR_NS, end_ns=day(0).end_ns + 5 * HOUR_NS)], "no UTC day"),
        ([replace(day(0), begin_ns=day(0).begin_ns + 1000)], "detection_start_datetime"),
        ([day(0), day(2)], "2019-01-01 and 2019-01-03"),
        ([day(0), day(0)], "already"),
        ([day(1), day(0)], "analysis_start_datetime"),
        ([replace(day(0), analysed_ns=2 * DAY_NS)], "detection_effort_secs"),
        ([replace(day(0), result=Result.DETECTED)], "detection_result_code"),
        ([replace(day(0), result=Result.NOT_AVAILABLE)], "detection_result_code"),
    ],
)
def test_days_that_noaa_would_refuse_are_not_written(days: list[Bin], field: str) -> None:
    with pytest.raises(OutputError, match=rf"detectiondata\.csv: was not written(.|\n)*{field}"):
        detection_data(days, FACTS, ANALYSIS)


def test_calls_that_a_reviewer_found_without_effort_are_reported() -> None:
    rows = rows_of(detection_data([day(0, 4, 4, effort_s=0), day(1, 1, 1, effort_s=0)], FACTS, ANALYSIS))
    assert [row["detection_result_code"] for row in rows] == ["DETECTED", "POSSIBLY_DETECTED"]


def test_a_long_list_of_problems_is_cut() -> None:
    with pytest.raises(OutputError, match="40 problems") as error:
        detection_data([day(n) for n in range(40)], replace(FACTS, deployment_code="no code"), ANALYSIS)
    assert len(str(error.value).splitlines()) < 20


# What the user states --------------------------------------------------------


def written(folder: Path, text: str) -> Path:
    path = folder / "pars.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_documented_file_is_accepted(tmp_path: Path) -> None:
    facts = read_pars(written(tmp_path, PARS_EXAMPLE))
    assert facts.analysis_protocol_reference.startswith(
        "An analyst reviewed every detection at or above the threshold. A day"
    )
    assert (facts.analysis_min_frequency_khz, facts.analysis_max_frequency_khz) == (0.05, 0.35)
    check_pars(facts, ANALYSIS)
    assert validate_pars_csv(detection_data([day(0, 3, 3)], facts, ANALYSIS)) == []


def test_what_may_be_left_out_has_the_documented_value(tmp_path: Path) -> None:
    full = read_pars(written(tmp_path, PARS_EXAMPLE))
    short = read_pars(written(tmp_path, PARS_EXAMPLE.split("# Optional")[0]))
    assert short == replace(full, analysis_citations="", analysis_min_frequency_khz=None, analysis_max_frequency_khz=None)
    assert short == ParsFacts(
        short.deployment_code,
        short.analysis_organization_code,
        short.analysis_detector_code,
        short.analysis_protocol_reference,
    )


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("deployment_code = 5", "deployment_code: 5 is of the wrong type; give text in quotes"),
        ('deployment_code = ["A"]', "wrong type"),
        ('deployment_code = "ns 1"', "is no code"),
        ('deployment_code = ""', "deployment_code: is missing"),
        ('deployment_code = "NA"', "stands for nothing"),
        ('analysis_min_frequency_khz = "0.05"', "give a number without quotes"),
        ("analysis_min_frequency_khz = true", "wrong type"),
        ("analysis_min_frequency_khz = -0.1", "below 0"),
        ("analysis_min_frequency_khz = nan", "is no plain number"),
        ("analysis_min_frequency_khz = inf", "is no plain number"),
        ("analysis_citations = 2019-01-01", "wrong type"),
        ('detection_call_type_code = "HUWH_SONG"', "vocabulary"),
        ('analysis_processing_code = "POST-PROCESSED"', "vocabulary"),
        ('analysis_sample_rate_khz = "2"', "there is no such field"),
        ('[pars]\ndeployment_code = "NS01"', "pars: there is no such field"),
        ("deployment_code", "cannot be read as TOML"),
    ],
)
def test_a_mistake_in_the_file_names_the_file_and_the_field(tmp_path: Path, line: str, what: str) -> None:
    name = line.split(" =", maxsplit=1)[0]
    kept = [other for other in PARS_EXAMPLE.splitlines() if not other.startswith(f"{name} =")]
    path = written(tmp_path, "\n".join([*kept, line]))
    with pytest.raises(UsageError) as error:
        read_pars(path)
    assert what in str(error.value)
    assert str(error.value).startswith(f"--pars {path}: ")


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
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


def test_a_file_that_is_absent_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--pars .*none\.toml: cannot be read"):
        read_pars(tmp_path / "none.toml")
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        read_pars(tmp_path / "x.toml")


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xef\xbb\xbf" + PARS_EXAMPLE.encode())
    assert read_pars(tmp_path / "x.toml").deployment_code == "NEFSC_MA-RI_201901_NS01"


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        (replace(FACTS, analysis_max_frequency_khz=350.0), "holds nothing at 350"),
        (replace(FACTS, analysis_min_frequency_khz=0.8), "above the maximum"),
        (replace(FACTS, analysis_min_frequency_khz=float("nan")), "is no plain number"),
        (replace(FACTS, analysis_protocol_reference=""), "is missing"),
        (replace(FACTS, deployment_code="ns01"), "is no code"),
    ],
)
def test_facts_that_do_not_fit_are_refused_before_the_work(facts: ParsFacts, what: str) -> None:
    check_pars(FACTS, ANALYSIS)
    with pytest.raises(UsageError, match=what):
        check_pars(facts, ANALYSIS)
    with pytest.raises(OutputError, match=what):
        detection_data([day(0)], facts, ANALYSIS)
