"""Contents of the report page: they agree with the survey, are escaped, and need nothing outside the page."""

from __future__ import annotations

import io
import re
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats

from tests.builders import HOUR_NS, PRESENCE_RULE, SURVEY_BEGIN, detection_in, simulated_report_data
from whalescan.core import GapKind, Outcome, Position, RecordingResult, Status, to_ns
from whalescan.core.intervals import union
from whalescan.core.text import percent, recording_offset
from whalescan.detections.detection_rates import hour_of_day_rates, poisson_interval, survey_timeline
from whalescan.detections.presence import bin_edges, presence_bins
from whalescan.detections.sampling import sample_order
from whalescan.report.contact_sheet import contact_sheet_view
from whalescan.report.hour_of_day import darkness_by_hour, hour_of_day_figures
from whalescan.report.report_data import ComplexitySeries, ContactSheet, ContactSheetEntry, ReportData
from whalescan.report.report_html import report_html
from whalescan.report.spectrogram_image import ImageExtent, SpectrogramImage
from whalescan.report.svg import SvgImage, SvgRect, SvgText, axis_end, ticks, time_ticks

DAY = 24 * HOUR_NS
MARKUP = "<script>alert(1)</script>&\"'"
SECTIONS = ("overview", "presence", "hours", "effort", "scoring", "validations", "sheets", "problems", "provenance")
VOID = {"meta", "link"}


class Page(HTMLParser):
    """A page as a list of elements, each with its attributes and its text, and the tables as lists of rows."""

    def __init__(self, content: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self.style = ""
        self._rows: list[list[str]] = []
        self.feed(content.decode())
        self.close()
        assert not self.open, "every element that begins ends"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            label = next(given["aria-label"] for name, given in reversed(self.elements) if name == "div")
            self._rows = self.tables.setdefault(label, [])
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        elif self.open and self.open[-1] in ("td", "th"):
            self._rows[-1][-1] += data
        elif self.open and data.strip():
            self.texts.setdefault(self.open[-1], []).append(data.strip())

    @property
    def words(self) -> str:
        return " ".join(text for texts in self.texts.values() for text in texts)

    def sum_of(self, label: str, column: str) -> float:
        head, *rows = self.tables[label]
        return sum(float(row[head.index(column)].replace(",", "")) for row in rows)


def make_image(begin_s: float = 10.0) -> SpectrogramImage:
    buffer = io.BytesIO()
    Image.fromarray(np.full((20, 40), 200, np.uint8)).save(buffer, "PNG")
    return SpectrogramImage(buffer.getvalue(), ImageExtent(begin_s, begin_s + 6, 0, 500))


def with_contact_sheets(data: ReportData) -> ReportData:
    """The same survey with a detection with an image, one without, and a call that only a person found."""
    recording = data.files[0].recording
    assert recording is not None
    middles_s = np.arange(10, 16, 0.5)
    values = np.random.default_rng(2).uniform(0, 0.3, (12, 4)).astype(np.float32)
    values[4:6] = np.nan
    shown = ContactSheetEntry(
        detection_in(recording, 12.5), SURVEY_BEGIN, make_image(), "", ComplexitySeries(middles_s, values)
    )
    gone = ContactSheetEntry(detection_in(recording, 20.0), None, None, f"{recording.path}: not there", None)
    added = ContactSheetEntry(detection_in(recording, 30.0, None, "yes"), SURVEY_BEGIN, make_image(28.0), "", None)
    return replace(
        data,
        sheets=(ContactSheet("Highest scores", "By score.", (shown, gone, added)), ContactSheet("Rest", "None.", ())),
    )


@pytest.fixture(scope="module")
def full_survey() -> ReportData:
    """Some weeks with gaps, reviews, a time zone, a position, contact sheets and a failed recording."""
    reviews = ("yes", "yes", "no", "maybe", "unreviewed")
    data = with_contact_sheets(
        simulated_report_data(1500, n_gaps=300, zone="America/New_York", position=Position(42.3, -70.2), reviews=reviews)
    )
    failed = RecordingResult("broken", Path("broken.wav"), None, Outcome(Status.FAILED, 0, 0, "no data chunk"))
    return replace(data, files=(*data.files, failed))


@pytest.fixture(scope="module")
def page(full_survey: ReportData) -> Page:
    return Page(report_html(full_survey))


def check_drawings(page: Page) -> None:
    """Every SVG element is well formed and lies within its drawing."""
    width = height = 0.0
    for tag, drawn in page.elements:
        if tag == "svg":
            _, _, width, height = map(float, drawn["viewbox"].split())
        elif tag == "path":
            assert re.fullmatch(r"(M[-\d.]+ [-\d.]+([LHVhvaz][-\d. ]*)*)+", drawn["d"]), drawn
            places = re.findall(r"[ML]([-\d.]+) ([-\d.]+)", drawn["d"])
            across = [x for x, _ in places] + re.findall(r"H([-\d.]+)", drawn["d"])
            upright = [y for _, y in places] + re.findall(r"V([-\d.]+)", drawn["d"])
            assert all(0 <= float(x) <= width for x in across), drawn
            assert all(0 <= float(y) <= height for y in upright), drawn
        elif tag in ("rect", "image"):
            x, y, wide, high = (float(drawn[name]) for name in ("x", "y", "width", "height"))
            assert min(x, y, wide, high) >= 0, drawn
            assert x + wide <= width, drawn
            assert y + high <= height, drawn
        elif tag == "text":
            assert 0 <= float(drawn["x"]) <= width
            assert 0 <= float(drawn["y"]) <= height


def check_page(page: Page) -> None:
    """Checks that hold for every report."""
    ids = [given["id"] for _, given in page.elements if "id" in given]
    assert len(ids) == len(set(ids))
    assert set(SECTIONS) <= set(ids)
    for tag, attributes in page.elements:
        for name in ("href", "src", "srcset", "action", "data", "poster", "xlink:href"):
            address = attributes.get(name, "#")
            assert address.startswith(("#", "data:")), f"{tag} {name}={address}"
            assert not address.startswith("#") or address == "#" or address[1:] in ids
        assert tag not in ("script", "iframe", "object", "embed", "img", "base", "form")
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        for name in ("aria-labelledby", "aria-label"):
            assert attributes.get(name, "x").strip()
        assert all(part in ids for part in attributes.get("aria-labelledby", "").split())
    assert "url(" not in page.style
    assert "@import" not in page.style
    assert "//" not in page.style
    check_drawings(page)
    drawings = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert all(one["role"] == "img" and len(one["aria-labelledby"].split()) == 2 for one in drawings)
    regions = [attributes for _, attributes in page.elements if "scroll" in attributes.get("class", "").split()]
    assert all(one["tabindex"] == "0" and one["role"] == "region" for one in regions)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))


def test_report_is_one_self_contained_page(page: Page) -> None:
    check_page(page)
    policy = next(given["content"] for tag, given in page.elements if given.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    figures = {given["id"] for tag, given in page.elements if tag == "figure"}
    assert {"calendar", "diel-utc", "diel-local", "timeline", "scores", "windows", "precision"} <= figures
    n_figures, n_captions = (sum(tag == name for tag, _ in page.elements) for name in ("figure", "figcaption"))
    assert n_figures == n_captions
    assert sum(tag == "image" for tag, _ in page.elements) == 2


def test_the_same_data_give_the_same_bytes(full_survey: ReportData) -> None:
    assert report_html(full_survey) == report_html(replace(full_survey))


def test_tables_add_up_to_the_survey(full_survey: ReportData, page: Page) -> None:
    n_not_rejected = sum(detection.review != "no" for detection in full_survey.detections)
    analysed_h = float(np.diff(full_survey.analysed).sum()) / HOUR_NS
    days, utc, local, time_line, scores, windows, precision = (f"Numbers of figure {n}" for n in range(1, 8))
    for label in (days, utc, local, time_line):
        assert page.sum_of(label, "Detections") == n_not_rejected
        rounding = 0.006 * len(page.tables[label])
        assert page.sum_of(label, "Analysed (h)") == pytest.approx(analysed_h, abs=rounding)
    assert page.sum_of(scores, "All") == len(full_survey.detections)
    for verdict, head in (("yes", "Confirmed"), ("maybe", "Maybe"), ("no", "Rejected"), ("unreviewed", "Not reviewed")):
        assert page.sum_of(scores, head) == sum(detection.review == verdict for detection in full_survey.detections)
    assert full_survey.window_counts is not None
    assert page.sum_of(windows, "Windows") == full_survey.window_counts.sum()
    *strata, everything = page.tables[precision][1:]
    assert (
        sum(int(row[1].replace(",", "")) for row in strata)
        == int(everything[1].replace(",", ""))
        == len(full_survey.detections)
    )
    assert len(page.tables[utc]) == len(page.tables[local]) == 25


def test_timeline_accounts_for_all_time(full_survey: ReportData) -> None:
    parts = survey_timeline(full_survey.hourly, full_survey.recorded, full_survey.analysed, full_survey.gaps, 50)
    assert len(parts.n_detections) <= 50
    assert int(parts.n_detections.sum()) == sum(one.n_detections for one in full_survey.hourly)
    explained = sum(parts.durations_ns.values())
    assert isinstance(explained, np.ndarray)
    assert np.all(explained <= parts.bin_length_ns)
    gap_spans = [(gap.begin_ns, gap.end_ns) for gap in full_survey.gaps if gap.kind is not GapKind.OVERLAP]
    whole = union(np.concatenate([full_survey.analysed, np.array(gap_spans, np.int64)]))
    assert int(explained.sum()) == int(np.diff(whole).sum()), "where gaps overlap, no time is counted twice"


@pytest.mark.slow
@given(st.integers(1, 40_000), st.integers(20, 200))
@settings(max_examples=60)
def test_timeline_has_few_columns_and_every_hour(n_hours: int, most: int) -> None:
    edges = to_ns(SURVEY_BEGIN) + 5 * HOUR_NS + HOUR_NS * np.arange(n_hours + 1, dtype=np.int64)
    nothing = np.zeros((0, 2), np.int64)
    hourly = presence_bins(edges, nothing, nothing, (), PRESENCE_RULE)
    parts = survey_timeline(hourly, nothing, nothing, (), most)
    assert len(parts.n_detections) <= most
    assert parts.edges_ns[0] <= edges[0]
    assert parts.edges_ns[-1] >= edges[-1]
    assert parts.detections_per_hour == [None] * len(parts.n_detections)


def test_names_are_escaped() -> None:
    data = with_contact_sheets(simulated_report_data(30, name=MARKUP, reviews=("yes", "no")))
    detections = tuple(
        replace(detection, label=MARKUP, detection_id=f"{MARKUP}{i}") for i, detection in enumerate(data.detections)
    )
    sheets = tuple(replace(sheet, title=MARKUP, rule=MARKUP) for sheet in data.sheets)
    files = tuple(replace(row, outcome=Outcome(Status.PARTIAL, 1, 0, MARKUP)) for row in data.files)
    provenance = {
        MARKUP: MARKUP,
        "detector": MARKUP,
        "recordings": [MARKUP],
        "options": {"timezone": MARKUP, MARKUP: MARKUP},
    }
    hostile = replace(
        data,
        title=MARKUP,
        detections=detections,
        is_counted=np.zeros(len(detections), np.bool_),
        files=files,
        sheets=sheets,
        presence_rule=MARKUP,
        provenance=provenance,
    )
    content = report_html(hostile)
    assert b"<script" not in content
    found = Page(content)
    check_page(found)
    assert MARKUP in found.texts["h1"]
    assert MARKUP in found.texts["h3"]
    assert found.tables["Recordings that failed or are partial"][1][0].startswith(MARKUP)
    assert any(MARKUP in row[1] for row in found.tables["Contents of run.json"])


def test_invalid_utf8_in_names_is_escaped_as_in_tables() -> None:
    data = with_contact_sheets(simulated_report_data(30, name="sea\udcff", reviews=("yes", "no")))
    found = Page(report_html(replace(data, title="sea\udcff")))
    check_page(found)
    assert r"sea\udcff" in found.texts["h1"]


def test_detections_of_several_channels_are_counted_on_each() -> None:
    data = simulated_report_data(30)
    assert "on all channels together" not in Page(report_html(data)).words
    detections = tuple(replace(detection, channel=1 + i % 2) for i, detection in enumerate(data.detections))
    words = Page(report_html(replace(data, detections=detections))).words
    assert f"found {len(detections):,} detections on all channels together with a score" in words


def test_detections_of_several_classes_share_a_sample() -> None:
    data = simulated_report_data(30)
    assert "of all classes" not in Page(report_html(data)).words
    detections = tuple(
        replace(detection, label="gunshot") if i % 3 else detection for i, detection in enumerate(data.detections)
    )
    assert (
        f"Of {len(detections):,} detections of all classes" in Page(report_html(replace(data, detections=detections))).words
    )


def test_report_without_start_times() -> None:
    found = Page(report_html(simulated_report_data(10, has_clock=False)))
    check_page(found)
    assert "No recording has a known start" in found.words
    figures = {given["id"]: "svg" for tag, given in found.elements if tag == "figure"}
    assert {"calendar", "diel", "timeline", "scores"} <= set(figures)
    assert sum(tag == "svg" for tag, _ in found.elements) == 2, "scores need no start time"


def without_detections() -> ReportData:
    return simulated_report_data(48, detections_per_hour=0)


def only_added_calls() -> ReportData:
    data = simulated_report_data(4)
    return replace(data, detections=tuple(replace(detection, score=None, review="yes") for detection in data.detections))


def all_failed_survey() -> ReportData:
    nothing = np.zeros((0, 2), np.int64)
    data = simulated_report_data(3, detections_per_hour=0)
    files = tuple(
        RecordingResult(row.name, row.path, None, Outcome(Status.FAILED, 0, 0, "Format not recognised."))
        for row in data.files
    )
    return replace(data, files=files, recorded=nothing, analysed=nothing, hourly=(), daily=(), window_counts=None)


def unreadable_samples() -> ReportData:
    """Headers can be read, samples cannot."""
    data = simulated_report_data(3, detections_per_hour=0)
    nothing = np.zeros((0, 2), np.int64)
    daily, hourly = (
        tuple(replace(one, analysed_ns=0, result=PRESENCE_RULE.result(0, 0, 0)) for one in some)
        for some in (data.daily, data.hourly)
    )
    return replace(data, analysed=nothing, daily=daily, hourly=hourly, window_counts=np.zeros(100, np.int64))


@pytest.mark.parametrize(
    "data",
    [
        without_detections(),
        only_added_calls(),
        all_failed_survey(),
        unreadable_samples(),
        simulated_report_data(2, zone="Asia/Kolkata", position=Position(0, 0)),
        simulated_report_data(1, detections_per_hour=2000, position=Position(90, 0)),
        replace(without_detections(), files=(), provenance={}),
        with_contact_sheets(simulated_report_data(1)),
    ],
    ids=["no-detections", "added-only", "all-failed", "unreadable", "one-hour", "pole", "no-files", "sheet"],
)
def test_incomplete_surveys_have_a_report(data: ReportData) -> None:
    check_page(Page(report_html(data)))


def test_hours_without_effort_have_no_rate() -> None:
    found = Page(report_html(simulated_report_data(8)))
    head, *rows = found.tables["Numbers of figure 2"]
    without = [row for row in rows if row[head.index("Detections per hour")] == "no effort"]
    assert len(without) == 20
    assert all(row[head.index("Analysed (h)")] == "0.000" for row in without)


@given(st.integers(0, 10_000))
def test_poisson_interval_has_exact_tails(n: int) -> None:
    low, high = poisson_interval(n)
    assert low <= n < high
    assert stats.poisson.cdf(n, high) == pytest.approx(0.025, rel=1e-6)
    assert not n or stats.poisson.sf(n - 1, low) == pytest.approx(0.025, rel=1e-6)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])
def test_hours_of_the_day_hold_all_detections_and_effort_in_any_zone(zone: str) -> None:
    data = simulated_report_data(400, zone=zone, n_gaps=50)
    hours = hour_of_day_rates(data.local_hourly, ZoneInfo(zone))
    by_name = {row.name: row.recording for row in data.files if row.recording}
    began = [moment for detection in data.detections if (moment := by_name[detection.recording].utc(detection.begin_s))]
    by_clock = Counter(moment.astimezone(ZoneInfo(zone)).hour for moment in began)
    assert [one.n_detections for one in hours] == [by_clock[hour] for hour in range(24)]
    assert sum(one.n_detections for one in hours) == len(data.detections)
    assert sum(one.analysed_ns for one in hours) == int(np.diff(data.analysed).sum())


def test_darkness_agrees_with_almanacs() -> None:
    daily = simulated_report_data(48 * 7).daily
    at_greenwich = darkness_by_hour(daily, Position(51.48, 0), UTC)  # 5 to 11 November: from about 07:07 to 16:20
    assert [round(one.dark, 1) for one in at_greenwich[8:16]] == [0.0] * 8
    assert at_greenwich[7].dark == pytest.approx(1 / 6, abs=0.12)
    assert at_greenwich[16].dark == pytest.approx(4 / 6, abs=0.12)
    assert all(one.night == 1 for one in (*at_greenwich[18:], *at_greenwich[:6]))
    new_york = darkness_by_hour(daily, Position(51.48, -75), ZoneInfo("America/New_York"))
    assert [round(one.dark, 1) for one in new_york[8:16]] == [0.0] * 8
    assert all(one.dark == 1 for one in darkness_by_hour(daily, Position(85, 0), UTC))
    assert all(one.dark == 0 for one in darkness_by_hour(daily, Position(-85, 0), UTC))


def test_box_lies_in_the_image_where_the_detection_is() -> None:
    sheet = with_contact_sheets(simulated_report_data(1)).sheets[0]
    drawing = contact_sheet_view(1, sheet).entries[0].drawing
    assert drawing is not None
    picture = next(mark for mark in drawing.elements if isinstance(mark, SvgImage))
    box = next(mark for mark in drawing.elements if isinstance(mark, SvgRect) and mark.role == "detection")
    assert (box.x - picture.x) / picture.width == pytest.approx(2.5 / 6)
    assert box.width / picture.width == pytest.approx(0.9 / 6)
    assert (box.y - picture.y) / picture.height == pytest.approx(1 - 210 / 500)
    assert box.height / picture.height == pytest.approx(120 / 500)


def test_axis_is_not_set_by_an_hour_with_little_effort() -> None:
    data = simulated_report_data(48, detections_per_hour=20)
    hourly = [
        replace(one, analysed_ns=one.analysed_ns // 600, n_detections=0) if not i else one
        for i, one in enumerate(data.hourly)
    ]
    check_page(Page(report_html(replace(data, hourly=tuple(hourly)))))
    (figure,) = hour_of_day_figures(hourly, (), data.daily, None, None)
    interval = hour_of_day_rates(hourly, UTC)[0].interval
    assert interval is not None
    assert interval[1] > 2000
    assert figure.drawing is not None
    numbers = [float(one.text) for one in figure.drawing.elements if isinstance(one, SvgText) and one.anchor == "end"]
    assert 20 < max(numbers) <= 100


def test_detections_below_the_threshold_are_not_in_the_precision() -> None:
    data = simulated_report_data(48, reviews=("yes", "no", "yes"))
    kept = replace(data.detections[0], score=0.2, review="yes")
    found = Page(report_html(replace(data, detections=(kept, *data.detections[1:]), window_counts=None)))
    *strata, everything = found.tables["Numbers of figure 5"][1:]
    assert everything[0] == "all"
    assert int(everything[1]) == len(data.detections) - 1
    assert strata[0][0] == "0.5 to 0.6"


@pytest.mark.slow
def test_long_lists_are_truncated_with_a_note() -> None:
    data = simulated_report_data(48 * 500, detections_per_hour=0.01)
    files = tuple(replace(row, outcome=Outcome(Status.PARTIAL, 1, 0, "cut")) for row in data.files[:450])
    found = Page(report_html(replace(data, files=files)))
    assert len(found.tables["Recordings that failed or are partial"]) == 201
    assert "250 more recordings in files.csv." in found.words
    assert len(found.tables["Numbers of figure 1"]) == 401
    assert "The first 400 days; all 500 are in daily.csv." in found.words
    begins_ns = [to_ns(SURVEY_BEGIN) + i * DAY for i in range(3650)]
    ten_years = tuple(replace(data.daily[0], begin_ns=begin_ns, end_ns=begin_ns + DAY) for begin_ns in begins_ns)
    found = Page(report_html(replace(data, daily=ten_years)))
    assert len(found.elements) < 10_000
    assert "Later months are in daily.csv." in found.texts["text"]


def test_command_repeats_the_run(page: Page) -> None:
    again, command = page.texts["code"]
    assert again == "whalescan run --config run.json -o again"
    assert command == (
        "whalescan run '/survey/of recordings' -o again --hop 0.5 --any-class --format audacity --format parquet"
    )


@given(st.floats(1e-6, 1e9), st.integers(2, 9))
def test_axis_ends_above_the_highest_bar_at_a_round_number(highest: float, most: int) -> None:
    top = axis_end(highest, most)
    assert highest <= top * (1 + 1e-9)
    places = ticks(0, top, most)
    assert places[0] == 0
    assert places[-1] == pytest.approx(top)
    assert 2 <= len(places) <= most + 2


@given(st.integers(0, 100 * 365 * 24), st.integers(1, 60 * 365 * 24))
@settings(max_examples=200)
def test_time_axis_has_few_ticks_within_it(begin_h: int, n_hours: int) -> None:
    begin_ns = to_ns(SURVEY_BEGIN) + begin_h * HOUR_NS
    marks = time_ticks(begin_ns, begin_ns + n_hours * HOUR_NS)
    assert len(marks) <= 10
    assert all(begin_ns <= at <= begin_ns + n_hours * HOUR_NS for at, _ in marks)
    assert len({name for _, name in marks if "-" in name}) == sum("-" in name for _, name in marks)


def test_percentages_and_offsets_are_rounded_conservatively() -> None:
    assert [percent(part, 100_000) for part in (0, 1, 50_000, 99_999, 100_000)] == [
        "0.0 %",
        "< 0.1 %",
        "50.0 %",
        "> 99.9 %",
        "100.0 %",
    ]
    assert [recording_offset(seconds) for seconds in (0, 59.99, 3599.96, 36_000)] == [
        "0:00:00.0",
        "0:00:59.9",
        "0:59:59.9",
        "10:00:00.0",
    ]


@pytest.mark.slow
def test_year_with_200_000_detections_is_a_small_page() -> None:
    year = simulated_report_data(
        17_520, 200_000 / 8760, n_gaps=100_000, zone="America/New_York", position=Position(42.3, -70.2)
    )
    detections = list(year.detections)
    for i in sample_order(detections)[:400].tolist():
        detections[i] = replace(detections[i], review="yes" if i % 3 else "no")
    assert len(detections) > 195_000
    began_s = time.process_time()
    content = report_html(replace(year, detections=tuple(detections)))
    assert time.process_time() - began_s < 20
    assert len(content) < 1_000_000, "leaves 14 MB for spectrograms"
    found = Page(content)
    check_page(found)
    assert len(found.elements) < 10_000


@pytest.mark.slow
def test_wrong_clock_does_not_fill_the_page_with_years() -> None:
    data = simulated_report_data(10)
    early = simulated_report_data(2)
    edges = bin_edges(to_ns(datetime(1999, 1, 1, 3, tzinfo=UTC)), int(data.recorded[-1, 1]), 24)
    spans = np.concatenate([[[edges[0], edges[0] + HOUR_NS]], data.recorded])
    daily = presence_bins(edges, spans, spans, (), PRESENCE_RULE)
    hours = presence_bins(bin_edges(int(edges[0]), int(edges[-1]), 1), spans, spans, (), PRESENCE_RULE)
    content = report_html(
        replace(
            data,
            files=(*early.files, *data.files),
            recorded=spans,
            analysed=spans,
            daily=tuple(daily),
            hourly=tuple(hours),
        )
    )
    found = Page(content)
    assert "months without recordings" in " ".join(found.texts["text"])
    assert len(found.elements) < 3_000


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.1)."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_contrast_on_light_and_dark_screens(page: Page) -> None:
    schemes = [
        dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", page.style, re.S)
    ]
    assert len(schemes) == 2
    for colours in schemes:
        light = {name: luminance(colour) for name, colour in colours.items()}

        def contrast(one: str, other: str, light: dict[str, float] = light) -> float:
            return (max(light[one], light[other]) + 0.05) / (min(light[one], light[other]) + 0.05)

        for paper in ("paper", "panel"):
            assert all(contrast(ink, paper) >= 4.5 for ink in ("ink", "soft", "link"))
        assert contrast("on-blue", "blue") >= 4.5
        for mark in ("blue", "orange", "vermilion", "purple", "grey", "night"):
            assert contrast(mark, "paper") >= 3, mark


def test_recordings_without_a_start_time_are_not_in_the_dates() -> None:
    data = simulated_report_data(4)
    timeless = replace(data.files[0].recording, start_utc=None) if data.files[0].recording else None
    page = report_html(replace(data, files=(replace(data.files[0], recording=timeless), *data.files[1:]))).decode()
    assert "1 of the recordings has no known start time and may be of other dates." in page
    assert "may be of other dates" not in report_html(data).decode()
