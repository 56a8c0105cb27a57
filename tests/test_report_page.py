"""What the report shows is what the survey found; it needs nothing but itself, whatever names and accidents it holds."""

from __future__ import annotations

import io
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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

from whalescan.core import Detection, Gap, GapKind, IntArray, Outcome, Position, Recording, Status, to_ns
from whalescan.detections.effort import bin_edges, subtract, union
from whalescan.detections.hour_of_day import by_hour_of_day, poisson_interval
from whalescan.detections.presence import Heard, PresenceRule, bins
from whalescan.detections.stratified_sampling import sample_order
from whalescan.detections.time_columns import columns
from whalescan.report import axes
from whalescan.report.contact_sheet import pinned
from whalescan.report.hour_of_day import diel_figures
from whalescan.report.report_data import Complexity, Exhibit, ReportFacts, Sheet
from whalescan.report.report_html import report_html
from whalescan.report.spectrogram import Frame, Picture
from whalescan.report.sun import skies
from whalescan.report.svg import Box, Raster, Text
from whalescan.report.text import offset, percent
from whalescan.tables.csvs import FileRow

HOUR, DAY = 3600 * 10**9, 86400 * 10**9
BEGIN = datetime(2023, 11, 5, tzinfo=UTC)
RULE = PresenceRule()
EVIL = "<script>alert(1)</script>&\"'"
SECTIONS = ("glance", "presence", "hours", "effort", "scoring", "judged", "sheets", "troubles", "provenance")
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


def spans_of(recordings: Sequence[Recording]) -> IntArray:
    """When they ran."""
    clocked = [(to_ns(one.start_utc), round(1e9 * one.duration_s)) for one in recordings if one.start_utc]
    return np.array([(begin, begin + length) for begin, length in clocked], np.int64).reshape(-1, 2)


def a_call(recording: Recording, begin_s: float, score: float | None = 0.9, review: str = "unreviewed") -> Detection:
    identity = f"{recording.name}-{round(1000 * begin_s):09d}"
    return Detection(recording.name, 1, begin_s, begin_s + 0.9, 90.0, 210.0, "NARW upcall", score, identity, review)


def a_survey(
    n_files: int,
    calls_an_hour: float = 5.0,
    seed: int = 1,
    n_gaps: int = 0,
    zone: str = "",
    position: Position | None = None,
    has_clock: bool = True,
    reviews: Sequence[str] = ("unreviewed",),
    name: str = "rec",
) -> ReportFacts:
    """Recordings of half an hour, one after another, from a Sunday on which New York sets its clocks back."""
    random = np.random.default_rng(seed)
    starts = [BEGIN + timedelta(minutes=30 * i) if has_clock else None for i in range(n_files)]
    recordings = [
        Recording(
            f"{name}-{i:05d}", Path(f"/sea/{name}-{i:05d}.wav"), f"{i}.wav", 2000, 3_600_000, 1, 7_200_044, start, "name"
        )
        for i, start in enumerate(starts)
    ]
    recorded = union(spans_of(recordings))
    lost = np.zeros((0, 2), np.int64)
    if n_gaps:
        begins = np.sort(random.integers(0, n_files * HOUR // 2, n_gaps)) + to_ns(BEGIN)
        lost = np.stack([begins, begins + random.integers(10**9, 10**11, n_gaps)], axis=1)
    kinds = list(GapKind)
    gaps = tuple(Gap(begin, end, kinds[i % 5]) for i, (begin, end) in enumerate(lost.tolist()))
    analysed = subtract(recorded, lost)
    where = np.sort(random.uniform(0, n_files * 1799, random.poisson(calls_an_hour * n_files / 2)))
    scores = random.beta(6, 1.5, len(where)).round(4)
    calls = tuple(
        a_call(recordings[int(at // 1799)], float(at % 1799), max(float(score), 0.5), reviews[i % len(reviews)])
        for i, (at, score) in enumerate(zip(where, scores, strict=True))
    )
    files = tuple(FileRow(one.name, one.path, one, Outcome(Status.DONE, one.duration_s, 0)) for one in recordings)
    by_name = {one.name: one for one in recordings}
    heard = [
        Heard(to_ns(begin_utc), 1, call.score, call.review)
        for call in calls
        if (begin_utc := by_name[call.recording].utc(call.begin_s)) is not None
    ]
    ends = (int(recorded[0, 0]), int(recorded[-1, 1])) if len(recorded) else (0, 0)
    effort = recorded, analysed, heard, RULE
    local = ZoneInfo(zone) if zone else None
    return ReportFacts(
        title="Stellwagen",
        files=files,
        calls=calls,
        counts=np.ones(len(calls), np.bool_),
        recorded=recorded,
        analysed=analysed,
        gaps=gaps,
        hourly=tuple(bins(bin_edges(*ends, 1), *effort)),
        daily=tuple(bins(bin_edges(*ends, 24), *effort)),
        zone=local,
        local_hourly=tuple(bins(bin_edges(*ends, 1, local), *effort)) if local else (),
        position=position,
        threshold=0.5,
        window_counts=random.integers(0, 1000, 200),
        presence_rule=RULE.sentence,
        sheets=(),
        provenance={
            "detector": "whalescan 0.5.0 narw",
            "recordings": ["/sea/of recordings"],
            "options": {"hop": 0.5, "exact": True, "formats": ["audacity", "parquet"], "threshold": None, "workers": 0},
            "model": {"sha256": "0d333ae4"},
        },
        written_utc=datetime(2024, 5, 1, 12, tzinfo=UTC),
    )


def a_picture(begin_s: float = 10.0) -> Picture:
    buffer = io.BytesIO()
    Image.fromarray(np.full((20, 40), 200, np.uint8)).save(buffer, "PNG")
    return Picture(buffer.getvalue(), Frame(begin_s, begin_s + 6, 0, 500))


def with_sheet(facts: ReportFacts) -> ReportFacts:
    """The same survey with a call with a picture, one without, and one that nobody but a person saw."""
    recording = facts.files[0].recording
    assert recording is not None
    middles_s = np.arange(10, 16, 0.5)
    values = np.random.default_rng(2).uniform(0, 0.3, (12, 4)).astype(np.float32)
    values[4:6] = np.nan
    shown = Exhibit(a_call(recording, 12.5), BEGIN, a_picture(), "", Complexity(middles_s, values))
    gone = Exhibit(a_call(recording, 20.0), None, None, f"{recording.path}: not there", None)
    added = Exhibit(a_call(recording, 30.0, None, "yes"), BEGIN, a_picture(28.0), "", None)
    return replace(facts, sheets=(Sheet("Highest scores", "The surest.", (shown, gone, added)), Sheet("Rest", "None.", ())))


@pytest.fixture(scope="module")
def rich() -> ReportFacts:
    """Some weeks with everything in them."""
    reviews = ("yes", "yes", "no", "maybe", "unreviewed")
    facts = with_sheet(a_survey(1500, n_gaps=300, zone="America/New_York", position=Position(42.3, -70.2), reviews=reviews))
    failed = FileRow("broken", Path("broken.wav"), None, Outcome(Status.FAILED, 0, 0, "no data chunk"))
    return replace(facts, files=(*facts.files, failed))


@pytest.fixture(scope="module")
def page(rich: ReportFacts) -> Page:
    return Page(report_html(rich))


def check_drawings(page: Page) -> None:
    """Every mark is well formed, and lies on the paper of its drawing."""
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


def check_sound(page: Page) -> None:
    """What holds for every report."""
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


def test_a_report_is_one_page_that_needs_nothing_but_itself(page: Page) -> None:
    check_sound(page)
    policy = next(given["content"] for tag, given in page.elements if given.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    figures = {given["id"] for tag, given in page.elements if tag == "figure"}
    assert {"calendar", "diel-utc", "diel-local", "timeline", "scores", "windows", "precision"} <= figures
    n_figures, n_captions = (sum(tag == name for tag, _ in page.elements) for name in ("figure", "figcaption"))
    assert n_figures == n_captions
    assert sum(tag == "image" for tag, _ in page.elements) == 2


def test_the_same_facts_give_the_same_bytes(rich: ReportFacts) -> None:
    assert report_html(rich) == report_html(replace(rich))


def test_tables_add_up_to_what_the_survey_found(rich: ReportFacts, page: Page) -> None:
    n_standing = sum(call.review != "no" for call in rich.calls)
    analysed_h = float(np.diff(rich.analysed).sum()) / HOUR
    days, utc, local, time_line, scores, windows, precision = (f"Numbers of figure {n}" for n in range(1, 8))
    for label in (days, utc, local, time_line):
        assert page.sum_of(label, "Calls") == n_standing
        rounding = 0.006 * len(page.tables[label])
        assert page.sum_of(label, "Analysed (h)") == pytest.approx(analysed_h, abs=rounding)
    assert page.sum_of(scores, "All") == len(rich.calls)
    for verdict, head in (("yes", "Confirmed"), ("maybe", "In doubt"), ("no", "Rejected"), ("unreviewed", "Not reviewed")):
        assert page.sum_of(scores, head) == sum(call.review == verdict for call in rich.calls)
    assert rich.window_counts is not None
    assert page.sum_of(windows, "Windows") == rich.window_counts.sum()
    *strata, everything = page.tables[precision][1:]
    assert sum(int(row[1].replace(",", "")) for row in strata) == int(everything[1].replace(",", "")) == len(rich.calls)
    assert len(page.tables[utc]) == len(page.tables[local]) == 25


def test_a_time_line_says_of_all_time_what_became_of_it(rich: ReportFacts) -> None:
    parts = columns(rich.hourly, rich.recorded, rich.analysed, rich.gaps, 50)
    assert len(parts.n_calls) <= 50
    assert int(parts.n_calls.sum()) == sum(one.n_detections for one in rich.hourly)
    explained = sum(parts.shares_ns.values())
    assert isinstance(explained, np.ndarray)
    assert np.all(explained <= parts.length_ns)
    lost = [(gap.begin_ns, gap.end_ns) for gap in rich.gaps if gap.kind is not GapKind.OVERLAP]
    whole = union(np.concatenate([rich.analysed, np.array(lost, np.int64)]))
    assert int(explained.sum()) == int(np.diff(whole).sum()), "where reasons overlap, no time is explained twice"


@given(st.integers(1, 40_000), st.integers(20, 200))
@settings(max_examples=60, deadline=None)
def test_however_long_a_survey_its_columns_are_few_and_hold_every_hour(n_hours: int, most: int) -> None:
    edges = to_ns(BEGIN) + 5 * HOUR + HOUR * np.arange(n_hours + 1, dtype=np.int64)
    nothing = np.zeros((0, 2), np.int64)
    hourly = bins(edges, nothing, nothing, (), RULE)
    parts = columns(hourly, nothing, nothing, (), most)
    assert len(parts.n_calls) <= most
    assert parts.edges_ns[0] <= edges[0]
    assert parts.edges_ns[-1] >= edges[-1]
    assert parts.calls_per_hour == [None] * len(parts.n_calls)


def test_names_are_never_markup() -> None:
    facts = with_sheet(a_survey(30, name=EVIL, reviews=("yes", "no")))
    calls = tuple(replace(call, label=EVIL, detection_id=f"{EVIL}{i}") for i, call in enumerate(facts.calls))
    sheets = tuple(replace(sheet, title=EVIL, rule=EVIL) for sheet in facts.sheets)
    files = tuple(replace(row, outcome=Outcome(Status.PARTIAL, 1, 0, EVIL)) for row in facts.files)
    provenance = {EVIL: EVIL, "detector": EVIL, "recordings": [EVIL], "options": {"timezone": EVIL, EVIL: EVIL}}
    evil = replace(
        facts,
        title=EVIL,
        calls=calls,
        counts=np.zeros(len(calls), np.bool_),
        files=files,
        sheets=sheets,
        presence_rule=EVIL,
        provenance=provenance,
    )
    content = report_html(evil)
    assert b"<script" not in content
    found = Page(content)
    check_sound(found)
    assert EVIL in found.texts["h1"]
    assert EVIL in found.texts["h3"]
    assert found.tables["Recordings that failed or are partial"][1][0].startswith(EVIL)
    assert any(EVIL in row[1] for row in found.tables["What was run"])


def test_a_name_that_is_no_text_is_shown_as_in_the_tables() -> None:
    facts = with_sheet(a_survey(30, name="sea\udcff", reviews=("yes", "no")))
    found = Page(report_html(replace(facts, title="sea\udcff")))
    check_sound(found)
    assert r"sea\udcff" in found.texts["h1"]


def test_calls_of_several_channels_are_said_to_be_counted_on_each() -> None:
    facts = a_survey(30)
    assert "on all channels together" not in Page(report_html(facts)).words
    calls = tuple(replace(call, channel=1 + i % 2) for i, call in enumerate(facts.calls))
    words = Page(report_html(replace(facts, calls=calls))).words
    assert f"found {len(calls):,} calls on all channels together with a score" in words


def test_calls_of_several_classes_are_said_to_be_judged_together() -> None:
    facts = a_survey(30)
    assert "of all classes" not in Page(report_html(facts)).words
    calls = tuple(replace(call, label="gunshot") if i % 3 else call for i, call in enumerate(facts.calls))
    assert (
        f"Of {len(calls):,} calls of all classes that the detector found"
        in Page(report_html(replace(facts, calls=calls))).words
    )


def test_a_survey_without_clocks_says_so_in_words() -> None:
    found = Page(report_html(a_survey(10, has_clock=False)))
    check_sound(found)
    assert "No recording has a known start" in found.words
    figures = {given["id"]: "svg" for tag, given in found.elements if tag == "figure"}
    assert {"calendar", "diel", "timeline", "scores"} <= set(figures)
    assert sum(tag == "svg" for tag, _ in found.elements) == 2, "scores are shown all the same"


def empty_of_calls() -> ReportFacts:
    return a_survey(48, calls_an_hour=0)


def added_only() -> ReportFacts:
    facts = a_survey(4)
    return replace(facts, calls=tuple(replace(call, score=None, review="yes") for call in facts.calls))


def all_failed() -> ReportFacts:
    nothing = np.zeros((0, 2), np.int64)
    facts = a_survey(3, calls_an_hour=0)
    files = tuple(
        FileRow(row.name, row.path, None, Outcome(Status.FAILED, 0, 0, "Format not recognised.")) for row in facts.files
    )
    return replace(facts, files=files, recorded=nothing, analysed=nothing, hourly=(), daily=(), window_counts=None)


def unreadable_inside() -> ReportFacts:
    """Headers can be read, samples cannot."""
    facts = a_survey(3, calls_an_hour=0)
    nothing = np.zeros((0, 2), np.int64)
    daily, hourly = (
        tuple(replace(one, analysed_ns=0, result=RULE.result(0, 0, 0)) for one in some)
        for some in (facts.daily, facts.hourly)
    )
    return replace(facts, analysed=nothing, daily=daily, hourly=hourly, window_counts=np.zeros(100, np.int64))


@pytest.mark.parametrize(
    "facts",
    [
        empty_of_calls(),
        added_only(),
        all_failed(),
        unreadable_inside(),
        a_survey(2, zone="Asia/Kolkata", position=Position(0, 0)),
        a_survey(1, calls_an_hour=2000, position=Position(90, 0)),
        replace(empty_of_calls(), files=(), provenance={}),
        with_sheet(a_survey(1)),
    ],
    ids=["no-calls", "added-only", "all-failed", "unreadable", "one-hour", "pole", "no-files", "sheet"],
)
def test_a_survey_that_lacks_something_has_a_report_all_the_same(facts: ReportFacts) -> None:
    check_sound(Page(report_html(facts)))


def test_hours_without_effort_are_no_zeros() -> None:
    found = Page(report_html(a_survey(8)))
    head, *rows = found.tables["Numbers of figure 2"]
    without = [row for row in rows if row[head.index("Calls per hour")] == "no effort"]
    assert len(without) == 20
    assert all(row[head.index("Analysed (h)")] == "0.000" for row in without)


@given(st.integers(0, 10_000))
def test_the_interval_of_a_count_holds_it_and_leaves_out_what_is_unlikely(n: int) -> None:
    low, high = poisson_interval(n)
    assert low <= n < high
    assert stats.poisson.cdf(n, high) == pytest.approx(0.025, rel=1e-6)
    assert not n or stats.poisson.sf(n - 1, low) == pytest.approx(0.025, rel=1e-6)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])
def test_hours_of_the_day_hold_all_calls_and_all_effort_by_any_clock(zone: str) -> None:
    facts = a_survey(400, zone=zone, n_gaps=50)
    hours = by_hour_of_day(facts.local_hourly, ZoneInfo(zone))
    by_name = {row.name: row.recording for row in facts.files if row.recording}
    began = [moment for call in facts.calls if (moment := by_name[call.recording].utc(call.begin_s))]
    by_clock = Counter(moment.astimezone(ZoneInfo(zone)).hour for moment in began)
    assert [one.n_calls for one in hours] == [by_clock[hour] for hour in range(24)]
    assert sum(one.n_calls for one in hours) == len(facts.calls)
    assert sum(one.analysed_ns for one in hours) == int(np.diff(facts.analysed).sum())


def test_the_sun_sets_when_almanacs_say_and_not_at_all_at_the_poles() -> None:
    daily = a_survey(48 * 7).daily
    at_greenwich = skies(daily, Position(51.48, 0), UTC)  # 5 to 11 November: from about 07:07 to 16:20
    assert [round(one.sun_is_down, 1) for one in at_greenwich[8:16]] == [0.0] * 8
    assert at_greenwich[7].sun_is_down == pytest.approx(1 / 6, abs=0.12)
    assert at_greenwich[16].sun_is_down == pytest.approx(4 / 6, abs=0.12)
    assert all(one.night == 1 for one in (*at_greenwich[18:], *at_greenwich[:6]))
    new_york = skies(daily, Position(51.48, -75), ZoneInfo("America/New_York"))
    assert [round(one.sun_is_down, 1) for one in new_york[8:16]] == [0.0] * 8
    assert all(one.sun_is_down == 1 for one in skies(daily, Position(85, 0), UTC))
    assert all(one.sun_is_down == 0 for one in skies(daily, Position(-85, 0), UTC))


def test_a_box_lies_on_its_picture_where_the_call_lies_in_its_frame() -> None:
    sheet = with_sheet(a_survey(1)).sheets[0]
    drawing = pinned(1, sheet).shown[0].drawing
    assert drawing is not None
    picture = next(mark for mark in drawing.marks if isinstance(mark, Raster))
    box = next(mark for mark in drawing.marks if isinstance(mark, Box) and mark.role == "call")
    assert (box.x - picture.x) / picture.width == pytest.approx(2.5 / 6)
    assert box.width / picture.width == pytest.approx(0.9 / 6)
    assert (box.y - picture.y) / picture.height == pytest.approx(1 - 210 / 500)
    assert box.height / picture.height == pytest.approx(120 / 500)


def test_an_hour_with_seconds_of_effort_does_not_flatten_the_others() -> None:
    facts = a_survey(48, calls_an_hour=20)
    hourly = [
        replace(one, analysed_ns=one.analysed_ns // 600, n_detections=0) if not i else one
        for i, one in enumerate(facts.hourly)
    ]
    check_sound(Page(report_html(replace(facts, hourly=tuple(hourly)))))
    (figure,) = diel_figures(hourly, (), facts.daily, None, None)
    interval = by_hour_of_day(hourly, UTC)[0].interval
    assert interval is not None
    assert interval[1] > 2000
    assert figure.drawing is not None
    numbers = [float(one.text) for one in figure.drawing.marks if isinstance(one, Text) and one.anchor == "end"]
    assert 20 < max(numbers) <= 100


def test_a_call_that_stands_below_the_threshold_is_no_part_of_the_detectors_precision() -> None:
    facts = a_survey(48, reviews=("yes", "no", "yes"))
    kept = replace(facts.calls[0], score=0.2, review="yes")
    found = Page(report_html(replace(facts, calls=(kept, *facts.calls[1:]), window_counts=None)))
    *strata, everything = found.tables["Numbers of figure 5"][1:]
    assert everything[0] == "all"
    assert int(everything[1]) == len(facts.calls) - 1
    assert strata[0][0] == "0.5 to 0.6"


def test_long_lists_end_with_where_the_rest_is() -> None:
    facts = a_survey(48 * 500, calls_an_hour=0.01)
    files = tuple(replace(row, outcome=Outcome(Status.PARTIAL, 1, 0, "cut")) for row in facts.files[:450])
    found = Page(report_html(replace(facts, files=files)))
    assert len(found.tables["Recordings that failed or are partial"]) == 201
    assert "And 250 more recordings, in files.csv." in found.words
    assert len(found.tables["Numbers of figure 1"]) == 401
    assert "The first 400 days; all 500 stand in daily.csv." in found.words
    begins_ns = [to_ns(BEGIN) + i * DAY for i in range(3650)]
    decade = tuple(replace(facts.daily[0], begin_ns=begin_ns, end_ns=begin_ns + DAY) for begin_ns in begins_ns)
    found = Page(report_html(replace(facts, daily=decade)))
    assert len(found.elements) < 10_000
    assert "Later months stand in daily.csv." in found.texts["text"]


def test_the_command_repeats_the_run(page: Page) -> None:
    again, command = page.texts["code"]
    assert again == "whalescan run --config run.json -o again"
    assert command == ("whalescan run '/sea/of recordings' -o again --hop 0.5 --exact --format audacity --format parquet")


@given(st.floats(1e-6, 1e9), st.integers(2, 9))
def test_an_axis_ends_above_its_highest_bar_with_few_round_numbers(highest: float, most: int) -> None:
    top = axes.ceiling(highest, most)
    assert highest <= top * (1 + 1e-9)
    places = axes.ticks(0, top, most)
    assert places[0] == 0
    assert places[-1] == pytest.approx(top)
    assert 2 <= len(places) <= most + 2


@given(st.integers(0, 100 * 365 * 24), st.integers(1, 60 * 365 * 24))
@settings(max_examples=200, deadline=None)
def test_time_has_a_few_marks_that_lie_within_it(begin_h: int, n_hours: int) -> None:
    begin_ns = to_ns(BEGIN) + begin_h * HOUR
    marks = axes.time_ticks(begin_ns, begin_ns + n_hours * HOUR)
    assert len(marks) <= 10
    assert all(begin_ns <= at <= begin_ns + n_hours * HOUR for at, _ in marks)
    assert len({name for _, name in marks if "-" in name}) == sum("-" in name for _, name in marks)


def test_shares_and_places_are_never_rounded_into_what_they_are_not() -> None:
    assert [percent(part, 100_000) for part in (0, 1, 50_000, 99_999, 100_000)] == [
        "0.0 %",
        "< 0.1 %",
        "50.0 %",
        "> 99.9 %",
        "100.0 %",
    ]
    assert [offset(seconds) for seconds in (0, 59.99, 3599.96, 36_000)] == [
        "0:00:00.0",
        "0:00:59.9",
        "0:59:59.9",
        "10:00:00.0",
    ]


def test_a_year_with_200_000_calls_takes_seconds_and_stays_a_small_page() -> None:
    year = a_survey(17_520, 200_000 / 8760, n_gaps=100_000, zone="America/New_York", position=Position(42.3, -70.2))
    calls = list(year.calls)
    for i in sample_order(calls)[:400].tolist():
        calls[i] = replace(calls[i], review="yes" if i % 3 else "no")
    assert len(calls) > 195_000
    began_s = time.monotonic()
    content = report_html(replace(year, calls=tuple(calls)))
    assert time.monotonic() - began_s < 20
    assert len(content) < 1_000_000, "which leaves 14 MB for pictures"
    found = Page(content)
    check_sound(found)
    assert len(found.elements) < 10_000


def test_a_clock_that_is_years_off_makes_no_page_of_years() -> None:
    facts = a_survey(10)
    early = a_survey(2)
    edges = bin_edges(to_ns(datetime(1999, 1, 1, 3, tzinfo=UTC)), int(facts.recorded[-1, 1]), 24)
    spans = np.concatenate([[[edges[0], edges[0] + HOUR]], facts.recorded])
    daily = bins(edges, spans, spans, (), RULE)
    hours = bins(bin_edges(int(edges[0]), int(edges[-1]), 1), spans, spans, (), RULE)
    content = report_html(
        replace(
            facts,
            files=(*early.files, *facts.files),
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


def test_words_and_marks_stand_out_on_light_and_dark_screens(page: Page) -> None:
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


def test_recordings_without_a_clock_are_not_put_into_the_dates() -> None:
    facts = a_survey(4)
    timeless = replace(facts.files[0].recording, start_utc=None) if facts.files[0].recording else None
    page = report_html(replace(facts, files=(replace(facts.files[0], recording=timeless), *facts.files[1:]))).decode()
    assert "1 of the recordings has no known start and may be of other dates." in page
    assert "may be of other dates" not in report_html(facts).decode()
