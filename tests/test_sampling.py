"""The order of review, and the reviewed sample in it."""

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
from whalescan.detections.sampling import (
    STRATUM_EDGES,
    detections_at_threshold,
    indices_by_stratum,
    reviewed_sample,
    sample_order,
    stratum_of,
)


def make_detection(number: int, score: float | None, review: str = "unreviewed") -> Detection:
    return Detection("a", 1, number, number + 1, 90, 200, "upcall", score, f"a-{number:09d}", review)


SCORES = st.one_of(st.none(), st.sampled_from([0.0, 0.3, 0.35, 0.9, 0.95, 0.98, 1.0]), st.floats(0, 1))
REVIEWS = st.sampled_from(["yes", "no", "maybe", "unreviewed"])
DETECTIONS = st.lists(st.tuples(SCORES, REVIEWS), max_size=60).map(
    lambda pairs: [make_detection(number, *facts) for number, facts in enumerate(pairs)]
)


def test_every_score_lies_in_one_stratum() -> None:
    assert [stratum_of(edge) for edge in STRATUM_EDGES] == [*range(len(STRATUM_EDGES) - 1), len(STRATUM_EDGES) - 2]
    for score in np.linspace(0, 1, 1001):
        number = stratum_of(float(score))
        assert STRATUM_EDGES[number] <= score <= STRATUM_EDGES[number + 1]


@given(DETECTIONS)
def test_order_holds_each_scored_detection_once(detections: list[Detection]) -> None:
    order = sample_order(detections)
    assert sorted(order.tolist()) == [i for i, one in enumerate(detections) if one.score is not None]
    assert sorted(i for part in indices_by_stratum(detections).values() for i in part.tolist()) == sorted(order.tolist())


@given(DETECTIONS, st.randoms(use_true_random=False))
def test_order_does_not_depend_on_the_input_order(detections: list[Detection], shuffler: random.Random) -> None:
    shuffled = shuffler.sample(detections, len(detections))
    assert [detections[i] for i in sample_order(detections)] == [shuffled[i] for i in sample_order(shuffled)]


@given(DETECTIONS, st.floats(0, 1))
def test_higher_threshold_keeps_the_order_within_strata(detections: list[Detection], threshold: float) -> None:
    fewer = detections_at_threshold(detections, threshold)
    before = {number: [detections[i].detection_id for i in part] for number, part in indices_by_stratum(detections).items()}
    for number, part in indices_by_stratum(fewer).items():
        left = {fewer[i].detection_id for i in part}
        assert [fewer[i].detection_id for i in part] == [one for one in before[number] if one in left]


@given(DETECTIONS)
def test_every_prefix_takes_equally_from_every_stratum(detections: list[Detection]) -> None:
    sizes = {number: len(part) for number, part in indices_by_stratum(detections).items()}
    taken = Counter(dict.fromkeys(sizes, 0))
    for i in sample_order(detections).tolist():
        score = detections[i].score
        assert score is not None
        taken[stratum_of(score)] += 1
        left = [taken[number] for number in sizes if taken[number] < sizes[number]]
        assert max(taken.values()) - min(left, default=max(taken.values())) <= 1


@given(DETECTIONS)
def test_order_within_a_stratum_is_the_same_in_both_orders(detections: list[Detection]) -> None:
    for number, part in indices_by_stratum(detections).items():
        scores = {i: detections[i].score for i in sample_order(detections).tolist()}
        assert [i for i, score in scores.items() if score is not None and stratum_of(score) == number] == part.tolist()


def test_place_in_the_order_is_independent_of_the_score() -> None:
    sizes = {0.35: 3000, 0.75: 300, 0.99: 60}
    detections = [
        make_detection(1000 * number + at, score) for at, score in enumerate(sizes) for number in range(sizes[score])
    ]
    first = [detections[i].score for i in sample_order(detections)[: 3 * 60]]
    for score in sizes:
        assert 12 <= sum(one == score for one in first[::3]) <= 28  # 20 are expected to be the first of their round


def test_place_in_a_stratum_is_random() -> None:
    detections = [make_detection(number, 0.75) for number in range(2000)]
    (order,) = indices_by_stratum(detections).values()
    assert abs(np.corrcoef(np.arange(2000), order)[0, 1]) < 0.1
    assert abs(order[:200].mean() - 1000) < 120


@given(DETECTIONS)
def test_sample_is_the_reviewed_prefix(detections: list[Detection]) -> None:
    both = [*detections, make_detection(1000, 0.5, "yes"), make_detection(1001, 0.5, "no")]
    for number, part in indices_by_stratum(both).items():
        n = len(reviewed_sample(both)[number])
        assert reviewed_sample(both)[number].tolist() == part[:n].tolist()
        assert all(both[i].review != "unreviewed" for i in part[:n])
        assert n == len(part) or both[part[n]].review == "unreviewed"


@given(DETECTIONS)
def test_reviewing_in_order_samples_everything_reviewed(detections: list[Detection]) -> None:
    asked = sample_order(detections)[: len(detections) // 2].tolist()
    judged = [replace(one, review=("yes", "no")[i % 2] if i in asked else "unreviewed") for i, one in enumerate(detections)]
    assert sorted(i for part in reviewed_sample(judged).values() for i in part.tolist()) == sorted(asked)


@pytest.mark.parametrize("verdict", ["yes", "no"])
def test_marking_only_certain_detections_is_no_sample(verdict: str) -> None:
    detections = [make_detection(number, 0.75, (verdict, "unreviewed")[number % 7 == 0]) for number in range(200)]
    assert [len(part) for part in reviewed_sample(detections).values()] == [0]
    whole = [replace(one, review=verdict) for one in detections]
    assert [len(part) for part in reviewed_sample(whole).values()] == [200]


def test_no_detections_give_no_sample() -> None:
    for detections in ([], [make_detection(1, None, "yes")]):
        assert sample_order(detections).tolist() == []
        assert indices_by_stratum(detections) == reviewed_sample(detections) == {}


def test_detections_below_the_threshold_are_not_the_detectors() -> None:
    kept, own, rounded = make_detection(1, 0.4, "yes"), make_detection(2, 0.6), make_detection(3, 0.5)
    assert detections_at_threshold([kept, own, rounded, make_detection(4, None, "yes")], 0.50003) == (own, rounded)


@pytest.mark.slow
def test_order_of_200000_detections_is_fast() -> None:
    scores = np.random.default_rng(1).beta(2, 1, 200_000)
    detections = [make_detection(number, float(score)) for number, score in enumerate(scores)]
    times_s = []
    for _ in range(3):
        begun_s = time.process_time()
        sample_order(detections)
        times_s.append(time.process_time() - begun_s)
    assert min(times_s) < 3, "0.5 s where nothing traces it"
