from __future__ import annotations

import csv
import itertools
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whalescan import UsageError
from whalescan.core import Gap, GapKind, IntArray, from_ns, to_ns
from whalescan.core.intervals import subtract, union
from whalescan.detections.presence import (
    CountedDetection,
    Presence,
    PresenceBin,
    PresenceRule,
    bin_edges,
    presence_bins,
    time_in_bins,
)
from whalescan.tables.csvs import bins_csv, gaps_csv, local_bins_csv

SECOND, HOUR, DAY = 10**9, 3600 * 10**9, 86400 * 10**9
ZONES = (
    "UTC",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "America/Havana",
)
HOURS: tuple[Literal[1], Literal[24]] = (1, 24)


def ns(text: str, zone: str = "UTC") -> int:
    return to_ns(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))


def spans_of(*pairs: tuple[int, int]) -> IntArray:
    return np.array(pairs, np.int64).reshape(-1, 2)


def local_edges(edges: IntArray, zone: str) -> list[str]:
    return [from_ns(edge).astimezone(ZoneInfo(zone)).isoformat() for edge in edges.tolist()]


def hours_of(edges: IntArray) -> list[float]:
    return [length / HOUR for length in np.diff(edges).tolist()]


def rows_of(table: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(table.decode().splitlines()))


# Spans compared with the sets of time units that they hold.

some_spans = st.lists(st.tuples(st.integers(-40, 40), st.integers(-40, 40)), max_size=8).map(lambda pairs: spans_of(*pairs))
some_edges = st.lists(st.integers(-50, 50), max_size=8, unique=True).map(lambda edges: np.array(sorted(edges), np.int64))


def units_of(spans: IntArray) -> set[int]:
    return {unit for begin, end in spans.tolist() for unit in range(begin, end)}


def assert_disjoint(spans: IntArray) -> None:
    flat = spans.ravel().tolist()
    assert all(a < b for a, b in itertools.pairwise(flat)), "sorted, none empty, none touching"
    assert spans.dtype == np.int64
    assert spans.shape[1] == 2


@given(some_spans)
def test_a_union_holds_what_its_spans_hold(spans: IntArray) -> None:
    before = spans.copy()
    assert units_of(union(spans)) == units_of(spans)
    assert_disjoint(union(spans))
    assert np.array_equal(spans, before)


@given(some_spans, some_spans)
def test_subtract_removes_the_holes(spans: IntArray, holes: IntArray) -> None:
    assert units_of(subtract(spans, holes)) == units_of(spans) - units_of(holes)
    assert_disjoint(subtract(spans, holes))


@given(some_spans, some_edges)
def test_time_in_bins_is_counted_once(spans: IntArray, edges: IntArray) -> None:
    expected = [len(units_of(spans) & set(range(begin, end))) for begin, end in itertools.pairwise(edges.tolist())]
    assert time_in_bins(spans, edges).tolist() == expected
    assert time_in_bins(spans, edges).dtype == np.int64


def test_recording_that_starts_between_milliseconds() -> None:
    begin = ns("2026-05-01T13:37:12.345678")
    recorded = spans_of((begin, begin + 2 * HOUR + 1))
    edges = bin_edges(begin, begin + 2 * HOUR + 1, 1)
    assert local_edges(edges, "UTC") == [f"2026-05-01T{hour}:00:00+00:00" for hour in (13, 14, 15, 16)]
    until_14 = ns("2026-05-01T14:00:00") - begin
    assert time_in_bins(recorded, edges).tolist() == [until_14, HOUR, HOUR - until_14 + 1]


def test_time_in_bins_of_a_year_is_fast() -> None:
    begin = ns("2023-01-01T00:00:00")
    begins = begin + np.sort(np.random.default_rng(5).integers(0, 365 * DAY, 100_000))
    recorded = np.stack([begins, begins + 300 * SECOND], axis=1)
    started = time.process_time()
    in_hours = time_in_bins(recorded, bin_edges(begin, begin + 365 * DAY, 1))
    assert time.process_time() - started < 5  # half a second; a loop over bins and spans takes many minutes
    assert len(in_hours) == 8760
    assert in_hours.max() <= HOUR


# Bins by the clock.


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("America/New_York", "2024-02-29", 24),
        ("America/New_York", "2025-12-31", 24),
        ("Asia/Kolkata", "2026-03-08", 24),
        ("America/St_Johns", "2026-03-08", 23),
        ("America/St_Johns", "2010-11-06", 25),  # at 00:01 of the 7th it was 23:01 of the 6th again
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("Australia/Lord_Howe", "2026-10-04", 23.5),
        ("America/Havana", "2025-03-09", 23),  # has no 00:00
        ("America/Havana", "2025-11-02", 25),  # has two
    ],
)
def test_lengths_of_local_days(zone: str, day: str, hours: float) -> None:
    noon = ns(f"{day}T12:00:00", zone)
    edges = bin_edges(noon, noon + 1, 24, ZoneInfo(zone))
    assert hours_of(edges) == [hours]
    assert from_ns(int(edges[0])).astimezone(ZoneInfo(zone)).date().isoformat() == day
    assert local_edges(edges[1:], zone)[0][10:19] == "T00:00:00"


def test_hours_of_days_with_clock_changes() -> None:
    """02:00 is left out in spring, and 01:00 comes twice in autumn."""
    zone = ZoneInfo("America/New_York")
    spring = bin_edges(ns("2026-03-08T01:10:00", "America/New_York"), ns("2026-03-08T03:10:00", "America/New_York"), 1, zone)
    assert local_edges(spring, "America/New_York") == [
        "2026-03-08T01:00:00-05:00",
        "2026-03-08T03:00:00-04:00",
        "2026-03-08T04:00:00-04:00",
    ]
    autumn = bin_edges(ns("2026-11-01T01:10:00", "America/New_York"), ns("2026-11-01T02:10:00", "America/New_York"), 1, zone)
    assert local_edges(autumn, "America/New_York") == [
        "2026-11-01T01:00:00-04:00",
        "2026-11-01T01:00:00-05:00",
        "2026-11-01T02:00:00-05:00",
        "2026-11-01T03:00:00-05:00",
    ]


@pytest.mark.parametrize("day", ["2026-04-05", "2026-10-04"])
def test_half_hour_clock_change_gives_a_half_hour_bin(day: str) -> None:
    zone = "Australia/Lord_Howe"
    begin = ns(f"{day}T00:00:00", zone)
    edges = bin_edges(begin, begin + 20 * HOUR, 1, ZoneInfo(zone))
    assert sorted(set(hours_of(edges))) == [0.5, 1]
    assert hours_of(edges).count(0.5) == 1
    assert all(text[13:19] == ":00:00" for text in local_edges(edges, zone) if text[11:13] not in ("01", "02"))


def test_date_that_a_clock_shows_too_early_has_not_begun() -> None:
    """Newfoundland's clocks showed 00:00:30 on the 7th, and half a minute later 23:01 on the 6th again."""
    first = ns("2010-11-07T00:00:30", "America/St_Johns")
    edges = bin_edges(first, first + HOUR // 2, 24, ZoneInfo("America/St_Johns"))
    assert local_edges(edges, "America/St_Johns") == ["2010-11-06T00:00:00-02:30", "2010-11-07T00:00:00-03:30"]


def test_effort_until_a_full_hour_needs_no_further_bin() -> None:
    edges = bin_edges(ns("2026-05-01T13:00:00"), ns("2026-05-01T14:00:00"), 1)
    assert edges.tolist() == [ns("2026-05-01T13:00:00"), ns("2026-05-01T14:00:00")]


def test_day_that_a_zone_skipped_is_no_bin() -> None:
    """Samoa went from 29 to 31 December 2011."""
    edges = bin_edges(
        ns("2011-12-29T12:00:00", "Pacific/Apia"), ns("2011-12-31T12:00:00", "Pacific/Apia"), 24, ZoneInfo("Pacific/Apia")
    )
    assert local_edges(edges, "Pacific/Apia") == [
        "2011-12-29T00:00:00-10:00",
        "2011-12-31T00:00:00+14:00",
        "2012-01-01T00:00:00+14:00",
    ]


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        ("2025-12-31T23:59:59", "2026-01-01T00:00:01", ["2025-12-31", "2026-01-01", "2026-01-02"]),
        ("2024-02-28T12:00:00", "2024-03-01T12:00:00", ["2024-02-28", "2024-02-29", "2024-03-01", "2024-03-02"]),
        ("2026-05-01T00:00:00", "2026-05-02T00:00:00", ["2026-05-01", "2026-05-02"]),
    ],
)
def test_utc_days_of_year_ends_and_leap_days(first: str, last: str, days: list[str]) -> None:
    assert [text[:10] for text in local_edges(bin_edges(ns(first), ns(last), 24), "UTC")] == days
    hourly = bin_edges(ns(first), ns(last), 1)
    assert set(np.diff(hourly).tolist()) == {HOUR}


@settings(max_examples=150)
@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime(2001, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC)),
    st.timedeltas(timedelta(microseconds=1), timedelta(days=9)),
)
def test_bins_cover_the_time_and_no_more(name: str, first: datetime, length: timedelta) -> None:
    zone, first_ns, last_ns = ZoneInfo(name), to_ns(first), to_ns(first + length)
    hourly, daily = (bin_edges(first_ns, last_ns, hours, zone) for hours in HOURS)
    for edges in (hourly, daily):
        assert edges[0] <= first_ns < edges[1]
        assert edges[-2] < last_ns <= edges[-1]
    lengths = set(np.diff(hourly).tolist())
    assert lengths <= {HOUR, HOUR // 2}
    assert lengths == {HOUR} or name == "Australia/Lord_Howe"
    assert set(daily[1:-1].tolist()) <= set(hourly.tolist()), "the hours of a day add up to it"
    assert dates_by_quarter_hours(daily, zone) == [from_ns(edge).astimezone(zone).date() for edge in daily[:-1].tolist()]


def dates_by_quarter_hours(edges: IntArray, zone: ZoneInfo) -> list[date]:
    """Return the dates that a clock in the zone shows in the bins, read a minute after every quarter of an hour.

    By then Newfoundland's clocks have gone back to the day before, where they did so at 00:01.
    """
    moments: Iterator[int] = iter(range(int(edges[0]), int(edges[-1]), HOUR // 4))
    shown = (from_ns(moment + 60 * SECOND).astimezone(zone).date() for moment in moments)
    return [day for day, _ in itertools.groupby(shown)]


@pytest.mark.parametrize("hours", HOURS)
def test_empty_span_has_no_bins(hours: Literal[1, 24]) -> None:
    edges = bin_edges(ns("2026-05-01T12:00:00"), ns("2026-05-01T12:00:00"), hours)
    assert len(edges) == 0
    assert presence_bins(edges, spans_of(), spans_of(), [], PresenceRule()) == []
    assert rows_of(bins_csv([])) == []


# Presence.

EDGES = np.arange(0, 5 * HOUR, HOUR)
reviews = st.sampled_from(["yes", "no", "maybe", "unreviewed"])
detection_lists = st.lists(
    st.builds(
        CountedDetection,
        begin_ns=st.one_of(st.integers(-HOUR, 5 * HOUR), st.sampled_from([-1, *EDGES.tolist()])),
        channel=st.integers(1, 3),
        score=st.none() | st.floats(0, 1),
        review=reviews,
    ),
    max_size=40,
)
quarters = st.lists(st.tuples(st.integers(0, 16), st.integers(0, 16)), max_size=5).map(
    lambda pairs: spans_of(*((begin * HOUR // 4, end * HOUR // 4) for begin, end in pairs))
)


@given(detection_lists, quarters, st.integers(1, 4))
def test_every_bin_agrees_with_a_direct_count(detections: list[CountedDetection], analysed: IntArray, least: int) -> None:
    for row in presence_bins(EDGES, analysed, analysed, iter(detections), PresenceRule(least)):
        n_validated, n_detections, highest = 0, 0, None
        for channel in (1, 2, 3):
            confirmed, n_not_rejected = 0, 0
            for detection in detections:
                if (
                    row.begin_ns <= detection.begin_ns < row.end_ns
                    and detection.channel == channel
                    and detection.review != "no"
                ):
                    n_not_rejected += 1
                    confirmed += detection.review == "yes"
                    if detection.score is not None:
                        highest = detection.score if highest is None else max(highest, detection.score)
            n_validated, n_detections = max(n_validated, confirmed), max(n_detections, n_not_rejected)
        assert (row.n_validated, row.n_detections, row.max_score) == (n_validated, n_detections, highest)
        quarters_analysed = {at for begin, end in analysed.tolist() for at in range(begin, end, HOUR // 4)}
        assert row.analysed_ns == HOUR // 4 * sum(row.begin_ns <= at < row.end_ns for at in quarters_analysed)
        if n_validated >= least:
            assert row.result is Presence.DETECTED
        elif n_detections > 0:
            assert row.result is Presence.POSSIBLY_DETECTED
        elif row.analysed_ns > 0:
            assert row.result is Presence.NOT_DETECTED
        else:
            assert row.result is Presence.NOT_AVAILABLE


@given(detection_lists, st.randoms(use_true_random=False))
def test_order_of_detections_changes_nothing(detections: list[CountedDetection], random: Any) -> None:
    analysed, shuffled = spans_of((0, HOUR)), random.sample(detections, len(detections))
    assert presence_bins(EDGES, analysed, analysed, detections, PresenceRule()) == presence_bins(
        EDGES, analysed, analysed, shuffled, PresenceRule()
    )


@given(detection_lists)
def test_unreviewed_detections_are_never_detected(detections: list[CountedDetection]) -> None:
    not_confirmed = [detection for detection in detections if detection.review != "yes"]
    analysed = spans_of((0, 4 * HOUR))
    results = {row.result for row in presence_bins(EDGES, analysed, analysed, not_confirmed, PresenceRule(1))}
    assert results <= {Presence.POSSIBLY_DETECTED, Presence.NOT_DETECTED}


def test_call_on_four_channels_counts_once() -> None:
    detections = [CountedDetection(SECOND, channel, 0.9, "yes") for channel in (1, 2, 3, 4)]
    (row,) = presence_bins(EDGES[:2], spans_of((0, HOUR)), spans_of((0, HOUR)), detections, PresenceRule())
    assert (row.n_detections, row.n_validated, row.result) == (1, 1, Presence.POSSIBLY_DETECTED)


def test_added_calls_count_without_effort() -> None:
    added = [CountedDetection(second * SECOND, 1, None, "yes") for second in (1, 2, 3)]
    (row,) = presence_bins(EDGES[:2], spans_of((0, HOUR)), spans_of(), added, PresenceRule())
    assert (row.result, row.analysed_ns, row.max_score) == (Presence.DETECTED, 0, None)
    assert row.detections_per_hour is None


def test_rate_is_per_analysed_hour() -> None:
    detections = [CountedDetection(second * SECOND, 1, 0.5, "unreviewed") for second in range(3)]
    (row,) = presence_bins(
        EDGES[:2], spans_of((0, HOUR)), spans_of((0, HOUR // 4), (0, HOUR // 8)), detections, PresenceRule()
    )
    assert row.detections_per_hour == 12


@pytest.mark.parametrize("least", [0, -3])
def test_rule_without_validation_is_refused(least: int) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        PresenceRule(least)


def test_description_of_the_rule() -> None:
    assert "at least 3 validated detections" in PresenceRule().description
    assert "at least 1 validated detection " in PresenceRule(1).description
    assert all(result in PresenceRule(7).description for result in Presence)


# Tables.


def test_columns_of_hourly_and_daily_tables() -> None:
    begin = ns("2026-03-08T05:00:00")
    silent = PresenceBin(begin, begin + 23 * HOUR, 0, 0, 0, 0, None, Presence.NOT_AVAILABLE)
    detections = PresenceBin(begin, begin + 23 * HOUR, 23 * HOUR, 2 * HOUR + 1600, 3, 1, 0.98765, Presence.POSSIBLY_DETECTED)
    assert bins_csv([silent, detections]).decode().splitlines() == [
        "bin_start_utc,bin_end_utc,recorded_s,analysed_s,n_detections,n_validated,detections_per_hour,max_score,result",
        "2026-03-08T05:00:00.000Z,2026-03-09T04:00:00.000Z,0.000000,0.000000,0,0,,,NOT_AVAILABLE",
        "2026-03-08T05:00:00.000Z,2026-03-09T04:00:00.000Z,82800.000000,7200.000002,3,1,1.500,0.9877,POSSIBLY_DETECTED",
    ]
    (row,) = rows_of(local_bins_csv([detections], ZoneInfo("America/New_York")))
    assert list(row)[:3] == ["bin_start_local", "bin_end_local", "bin_start_utc"]
    assert (row["bin_start_local"], row["bin_end_local"]) == ("2026-03-08T00:00:00-05:00", "2026-03-09T00:00:00-04:00")
    del row["bin_start_local"], row["bin_end_local"]
    assert [row] == rows_of(bins_csv([detections]))


@given(st.sampled_from(ZONES), st.datetimes(datetime(2001, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC)))
def test_local_and_utc_columns_are_the_same_moments(name: str, first: datetime) -> None:
    zone = ZoneInfo(name)
    edges = bin_edges(to_ns(first), to_ns(first) + DAY, 1, zone)
    rows = rows_of(local_bins_csv(presence_bins(edges, spans_of(), spans_of(), [], PresenceRule()), zone))
    assert len(rows) == len(edges) - 1
    for row in rows:
        for which in ("start", "end"):
            assert datetime.fromisoformat(row[f"bin_{which}_local"]) == datetime.fromisoformat(row[f"bin_{which}_utc"])


def test_gaps_are_sorted_by_time() -> None:
    begin = ns("2025-12-31T23:59:59.500000")
    gaps = [
        Gap(begin + SECOND, begin + 2 * SECOND, GapKind.DROPOUT),
        Gap(begin, begin + 2 * SECOND, GapKind.UNREADABLE),
        Gap(begin, begin + 2 * SECOND, GapKind.GAP),
        Gap(begin, begin + 1_500_000, GapKind.OVERLAP),
        Gap(begin - DAY, begin, GapKind.DUTY_CYCLE),
    ]
    table = gaps_csv(gaps)
    assert table.decode().splitlines() == [
        "start_utc,end_utc,seconds,kind",
        "2025-12-30T23:59:59.500Z,2025-12-31T23:59:59.500Z,86400.000000,duty_cycle",
        "2025-12-31T23:59:59.500Z,2025-12-31T23:59:59.502Z,0.001500,overlap",
        "2025-12-31T23:59:59.500Z,2026-01-01T00:00:01.500Z,2.000000,gap",
        "2025-12-31T23:59:59.500Z,2026-01-01T00:00:01.500Z,2.000000,unreadable",
        "2026-01-01T00:00:00.500Z,2026-01-01T00:00:01.500Z,1.000000,dropout",
    ]
    assert gaps_csv(reversed(gaps)) == table
