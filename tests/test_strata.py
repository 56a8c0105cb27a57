"""The order in which calls are judged, and what of it was judged as a sample."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalescan.core import Detection
from whalescan.detections.stratified_sampling import EDGES, by_stratum, drawn, found_at, sample_order, stratum


def call(number: int, score: float | None, review: str = "unreviewed") -> Detection:
    return Detection("a", 1, number, number + 1, 90, 200, "upcall", score, f"a-{number:09d}", review)


SCORES = st.one_of(st.none(), st.sampled_from([0.0, 0.3, 0.35, 0.9, 0.95, 0.98, 1.0]), st.floats(0, 1))
REVIEWS = st.sampled_from(["yes", "no", "maybe", "unreviewed"])
CALLS = st.lists(st.tuples(SCORES, REVIEWS), max_size=60).map(
    lambda drawn: [call(number, *facts) for number, facts in enumerate(drawn)]
)


def test_every_score_lies_in_one_stratum() -> None:
    assert [stratum(edge) for edge in EDGES] == [*range(len(EDGES) - 1), len(EDGES) - 2]
    for score in np.linspace(0, 1, 1001):
        number = stratum(float(score))
        assert EDGES[number] <= score <= EDGES[number + 1]


@given(CALLS)
def test_the_order_holds_each_of_the_detectors_calls_once(calls: list[Detection]) -> None:
    order = sample_order(calls)
    assert sorted(order.tolist()) == [i for i, one in enumerate(calls) if one.score is not None]
    assert sorted(i for part in by_stratum(calls).values() for i in part.tolist()) == sorted(order.tolist())


@given(CALLS, st.randoms(use_true_random=False))
def test_the_order_is_that_of_the_calls_and_not_of_their_list(calls: list[Detection], shuffler: random.Random) -> None:
    shuffled = shuffler.sample(calls, len(calls))
    assert [calls[i] for i in sample_order(calls)] == [shuffled[i] for i in sample_order(shuffled)]


@given(CALLS, st.floats(0, 1))
def test_a_higher_threshold_leaves_the_order_within_strata(calls: list[Detection], threshold: float) -> None:
    fewer = found_at(calls, threshold)
    before = {number: [calls[i].detection_id for i in part] for number, part in by_stratum(calls).items()}
    for number, part in by_stratum(fewer).items():
        left = {fewer[i].detection_id for i in part}
        assert [fewer[i].detection_id for i in part] == [one for one in before[number] if one in left]


@given(CALLS)
def test_every_beginning_takes_equally_from_every_stratum_that_has_calls_left(calls: list[Detection]) -> None:
    sizes = {number: len(part) for number, part in by_stratum(calls).items()}
    taken = Counter(dict.fromkeys(sizes, 0))
    for i in sample_order(calls).tolist():
        score = calls[i].score
        assert score is not None
        taken[stratum(score)] += 1
        left = [taken[number] for number in sizes if taken[number] < sizes[number]]
        assert max(taken.values()) - min(left, default=max(taken.values())) <= 1


@given(CALLS)
def test_within_a_stratum_the_beginning_is_the_same_in_both_orders(calls: list[Detection]) -> None:
    for number, part in by_stratum(calls).items():
        scores = {i: calls[i].score for i in sample_order(calls).tolist()}
        assert [i for i, score in scores.items() if score is not None and stratum(score) == number] == part.tolist()


def test_places_in_the_order_tell_nothing_of_scores() -> None:
    sizes = {0.35: 3000, 0.75: 300, 0.99: 60}
    calls = [call(1000 * number + at, score) for at, score in enumerate(sizes) for number in range(sizes[score])]
    first = [calls[i].score for i in sample_order(calls)[: 3 * 60]]
    for score in sizes:
        assert 12 <= sum(one == score for one in first[::3]) <= 28  # 20 are expected to be the first of their round


def test_a_place_in_a_stratum_is_by_chance() -> None:
    calls = [call(number, 0.75) for number in range(2000)]
    (order,) = by_stratum(calls).values()
    assert abs(np.corrcoef(np.arange(2000), order)[0, 1]) < 0.1
    assert abs(order[:200].mean() - 1000) < 120


@given(CALLS)
def test_what_is_drawn_is_the_judged_beginning(calls: list[Detection]) -> None:
    both = [*calls, call(1000, 0.5, "yes"), call(1001, 0.5, "no")]
    for number, part in by_stratum(both).items():
        n = len(drawn(both)[number])
        assert drawn(both)[number].tolist() == part[:n].tolist()
        assert all(both[i].review != "unreviewed" for i in part[:n])
        assert n == len(part) or both[part[n]].review == "unreviewed"


@given(CALLS)
def test_whoever_judges_in_the_order_draws_all_that_was_judged(calls: list[Detection]) -> None:
    asked = sample_order(calls)[: len(calls) // 2].tolist()
    judged = [replace(one, review=("yes", "no")[i % 2] if i in asked else "unreviewed") for i, one in enumerate(calls)]
    assert sorted(i for part in drawn(judged).values() for i in part.tolist()) == sorted(asked)


@pytest.mark.parametrize("verdict", ["yes", "no"])
def test_who_marks_only_what_is_sure_draws_nothing(verdict: str) -> None:
    calls = [call(number, 0.75, (verdict, "unreviewed")[number % 7 == 0]) for number in range(200)]
    assert [len(part) for part in drawn(calls).values()] == [0]
    whole = [replace(one, review=verdict) for one in calls]
    assert [len(part) for part in drawn(whole).values()] == [200]


def test_without_calls_there_is_nothing_to_draw() -> None:
    for calls in ([], [call(1, None, "yes")]):
        assert sample_order(calls).tolist() == []
        assert by_stratum(calls) == drawn(calls) == {}


def test_calls_that_only_people_kept_are_not_the_detectors() -> None:
    kept, own, rounded = call(1, 0.4, "yes"), call(2, 0.6), call(3, 0.5)
    assert found_at([kept, own, rounded, call(4, None, "yes")], 0.50003) == (own, rounded)


def test_an_order_of_200000_calls_takes_less_than_a_second() -> None:
    scores = np.random.default_rng(1).beta(2, 1, 200_000)
    calls = [call(number, float(score)) for number, score in enumerate(scores)]
    times_s = []
    for _ in range(3):
        begun_s = time.perf_counter()
        sample_order(calls)
        times_s.append(time.perf_counter() - begun_s)
    assert min(times_s) < 1
