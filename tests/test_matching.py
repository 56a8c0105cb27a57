"""Matching of detections with calls, and the metrics of true and false positives."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score

from whalescan.evaluation import metrics
from whalescan.evaluation.matching import Matching, MatchOutcome, match
from whalescan.evaluation.metrics import (
    BootstrapOptions,
    DetectionCounts,
    ThresholdCurve,
    measure_reliability,
    threshold_curve,
)

TP, FP, IGNORED = MatchOutcome.TRUE_POSITIVE, MatchOutcome.FALSE_POSITIVE, MatchOutcome.IGNORED

times = st.integers(0, 2000).map(lambda ms: ms / 100)
calls = st.lists(times, max_size=12, unique=True)
detections = st.lists(st.tuples(times, st.integers(1, 20).map(lambda n: n / 20)), max_size=15, unique=True)
tolerances = st.sampled_from([0.0, 0.5, 1.0, 3.0])
Detections = list[tuple[float, float]]


def matched(found: Detections, calls_s: list[float], ignored_s: list[float], tolerance_s: float) -> Matching:
    return match([middle for middle, _ in found], [score for _, score in found], calls_s, ignored_s, tolerance_s)


@pytest.mark.parametrize(
    ("found", "outcomes", "undetected"),
    [
        ([(10.0, 0.9)], (TP,), (1,)),
        ([(11.0, 0.9)], (TP,), (1,)),  # exactly the tolerance away
        ([(11.01, 0.9)], (FP,), (0, 1)),
        ([(10.2, 0.5), (10.4, 0.9)], (FP, TP), (1,)),  # the higher score is matched, though it is farther
        ([(10.2, 0.9), (20.0, 0.8)], (TP, TP), ()),
        ([(30.3, 0.9), (29.9, 0.8)], (IGNORED, IGNORED), (0, 1)),  # one selection may cause several ignored detections
        ([(19.5, 0.9), (20.6, 0.8)], (TP, FP), (0,)),
    ],
)
def test_matching_examples(found: Detections, outcomes: tuple[MatchOutcome, ...], undetected: tuple[int, ...]) -> None:
    matching = matched(found, [10.0, 20.0], [30.0], 1.0)
    assert matching.outcomes == outcomes
    assert matching.false_negatives == undetected


def test_the_nearest_unmatched_call_is_matched() -> None:
    # calls at 10 and 11: 10.6 has the highest score and is matched with 11, 10.7 with the remaining call, 10.5 with none
    matching = matched([(10.6, 0.9), (10.7, 0.8), (10.5, 0.7)], [10.0, 11.0], [], 1.0)
    assert matching.matched_calls == (1, 0, None)
    assert matching.outcomes == (TP, TP, FP)


def test_a_call_takes_precedence_over_a_nearer_ignored_selection() -> None:
    assert matched([(10.0, 0.9)], [10.9], [10.1], 1.0).outcomes == (TP,)


@given(detections, calls, calls, tolerances)
def test_matches_are_one_to_one_and_within_the_tolerance(
    found: Detections, calls_s: list[float], ignored_s: list[float], tolerance_s: float
) -> None:
    matching = matched(found, calls_s, ignored_s, tolerance_s)
    matched_indices = [call for call in matching.matched_calls if call is not None]
    assert len(matched_indices) == len(set(matched_indices)) == matching.outcomes.count(TP) <= min(len(found), len(calls_s))
    assert sorted([*matched_indices, *matching.false_negatives]) == list(range(len(calls_s)))
    for (middle, _), outcome, call in zip(found, matching.outcomes, matching.matched_calls, strict=True):
        assert (outcome is TP) == (call is not None)
        assert call is None or abs(calls_s[call] - middle) <= tolerance_s + 1e-6
        near_ignored = any(abs(middle - other) <= tolerance_s + 1e-6 for other in ignored_s)
        assert outcome is TP or (outcome is IGNORED) == near_ignored
    for undetected in matching.false_negatives:  # no unmatched detection is near it
        near = [i for i, (middle, _) in enumerate(found) if abs(calls_s[undetected] - middle) <= tolerance_s]
        assert all(matching.outcomes[i] is TP for i in near)


@given(detections, calls, calls, tolerances, st.integers(0, 20))
def test_lower_scores_do_not_change_matches(
    found: Detections, calls_s: list[float], ignored_s: list[float], tolerance_s: float, twentieths: int
) -> None:
    above = [one for one in found if one[1] >= twentieths / 20]
    all_of_them = dict(zip(found, matched(found, calls_s, ignored_s, tolerance_s).matched_calls, strict=True))
    assert {one: all_of_them[one] for one in above} == dict(
        zip(above, matched(above, calls_s, ignored_s, tolerance_s).matched_calls, strict=True)
    )


@given(detections, calls, calls, tolerances, st.randoms(use_true_random=False))
def test_matching_does_not_depend_on_order(
    found: Detections,
    calls_s: list[float],
    ignored_s: list[float],
    tolerance_s: float,
    random: Random,
) -> None:
    def match_set(found: Detections, calls_s: list[float], ignored_s: list[float]) -> set[tuple[object, ...]]:
        matching = matched(found, calls_s, ignored_s, tolerance_s)
        pairs = zip(found, matching.outcomes, matching.matched_calls, strict=True)
        return {(one, outcome, None if call is None else calls_s[call]) for one, outcome, call in pairs}

    in_order = match_set(sorted(found), sorted(calls_s), sorted(ignored_s))
    for table in (found, calls_s, ignored_s):
        random.shuffle(table)
    assert match_set(found, calls_s, ignored_s) == in_order


@given(detections, calls)
def test_tolerance_zero_needs_equal_middles(found: Detections, calls_s: list[float]) -> None:
    matching = matched(found, calls_s, [], 0.0)
    assert set(calls_s) & {middle for middle, _ in found} == {
        calls_s[call] for call in matching.matched_calls if call is not None
    }


# ---------------------------------------------------------------------------------------------- measures

scored = st.lists(st.tuples(st.integers(1, 99).map(lambda n: n / 100), st.booleans(), st.integers(0, 2)), max_size=30)
Scored = list[tuple[float, bool, int]]


def counts_of(
    found: Scored, n_undetected: tuple[int, ...] = (1, 0, 2), hours: tuple[float, ...] = (0.5, 1.0, 1.5)
) -> DetectionCounts:
    """Recordings in which so many calls were undetected by all detections."""
    n_calls = [n + sum(is_true for _, is_true, i in found if i == k) for k, n in enumerate(n_undetected)]
    scores, is_true, recording = ([one[k] for one in found] for k in range(3))
    return metrics.count_detections(scores, is_true, recording, np.array(n_calls), np.array(hours))


@pytest.fixture
def example() -> ThresholdCurve:
    """Five detections, five calls of which three are found, two hours."""
    found = [(0.9, True, 0), (0.8, False, 0), (0.7, True, 0), (0.6, True, 0), (0.5, False, 0)]
    return threshold_curve(counts_of(found, (2,), (2.0,)))


def test_average_precision(example: ThresholdCurve) -> None:
    # precision at the hits: 1/1, 2/3, 3/4; two calls never found add nothing
    assert example.average_precision() == pytest.approx((1 + 2 / 3 + 3 / 4) / 5)


def test_operating_point(example: ThresholdCurve) -> None:
    point = example.at(0.6)
    assert (point.true_positives, point.false_negatives, point.false_positives) == (3, 2, 1)
    assert (point.precision, point.recall, point.false_positives_per_hour) == (3 / 4, 3 / 5, 0.5)
    assert point.f1 == pytest.approx(2 * 3 / (4 + 5))
    assert example.best_f1() == point
    nothing = example.at(0.95)
    assert (nothing.precision, nothing.recall, nothing.false_negatives) == (None, 0, 5)


def test_recall_at_false_positives_per_hour(example: ThresholdCurve) -> None:
    # 0.9 alone has no false one; down to 0.6 there is one in two hours; down to 0.5 there are two
    assert [example.recall_at(rate) for rate in (0, 0.49, 0.5, 1, 100)] == [1 / 5, 1 / 5, 3 / 5, 3 / 5, 3 / 5]


def test_recommended_thresholds(example: ThresholdCurve) -> None:
    advised = example.for_false_positives(0.5)
    assert advised is not None
    assert (advised.threshold, advised.true_positives, advised.false_positives) == (0.6, 3, 1)
    precise = example.for_precision(0.7)  # 3/4 at 0.6, though 1/2 at 0.8 and 2/3 at 0.7
    assert precise is not None
    assert precise.threshold == 0.6
    highest_is_false = threshold_curve(counts_of([(0.9, False, 0), (0.8, True, 0)], (0,), (2.0,)))
    assert highest_is_false.for_false_positives(0.4) is None, "the highest score is a false positive: one in two hours"
    assert highest_is_false.recall_at(0.4) == 0
    assert highest_is_false.for_precision(0.6) is None


def test_equal_scores_have_one_threshold() -> None:
    # precision at the one threshold is 1/2, for the hit whichever stands first
    for found in ([(0.5, True, 0), (0.5, False, 0)], [(0.5, False, 0), (0.5, True, 0)]):
        assert threshold_curve(counts_of(found, (0,), (1.0,))).average_precision() == 0.5


def test_curve_without_calls_or_detections() -> None:
    no_calls = threshold_curve(counts_of([(0.5, False, 0)], (0,), (2.0,)))
    assert (no_calls.average_precision(), no_calls.best_f1(), no_calls.recall_at(1)) == (None, None, None)
    assert no_calls.at(0.5).false_positives_per_hour == 0.5
    no_detections = threshold_curve(counts_of([], (3,), (2.0,)))
    assert (len(no_detections), no_detections.average_precision(), no_detections.recall_at(1), no_detections.best_f1()) == (
        0,
        0,
        0,
        None,
    )
    assert no_detections.for_false_positives(1) is None
    assert no_detections.for_precision(0.1) is None


@given(scored)
def test_average_precision_against_scikit_learn(found: Scored) -> None:
    assume(any(is_true for _, is_true, _ in found))
    counted = counts_of(found)
    expected = (
        average_precision_score(counted.is_true_positive, counted.scores)
        * counted.is_true_positive.sum()
        / counted.n_calls.sum()
    )
    assert threshold_curve(counted).average_precision() == pytest.approx(expected)


@given(scored, st.floats(0, 1))
def test_operating_point_against_counting(found: Scored, threshold: float) -> None:
    point = threshold_curve(counts_of(found)).at(threshold)
    kept = [is_true for score, is_true, _ in found if score >= threshold]
    assert (point.true_positives, point.false_positives) == (sum(kept), len(kept) - sum(kept))


@given(scored, st.floats(0, 10))
def test_threshold_for_false_positives_is_the_lowest(found: Scored, per_hour: float) -> None:
    whole = threshold_curve(counts_of(found))
    advised = whole.for_false_positives(per_hour)
    kept = [point for point in whole.points() if point.false_positives_per_hour <= per_hour]
    assert (advised is None) == (not kept)
    if advised is not None:
        assert whole.at(advised.threshold) == advised
        assert advised.true_positives == max(point.true_positives for point in kept)
        assert advised.recall == whole.recall_at(per_hour)
        assert all(p.false_positives_per_hour > per_hour for p in whole.points() if p.threshold < advised.threshold)


@given(scored, st.floats(0.01, 1))
def test_threshold_for_precision_is_the_lowest(found: Scored, precision: float) -> None:
    whole = threshold_curve(counts_of(found))
    advised = whole.for_precision(precision)
    reached = [p for p in whole.points() if p.precision is not None and p.precision >= precision * (1 + 1e-12)]
    assert advised is not None or not reached
    if advised is not None:
        assert whole.at(advised.threshold) == advised
        assert advised.precision is not None
        assert advised.precision >= precision * (1 - 1e-12)
        assert all(p.threshold >= advised.threshold for p in reached)


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_fewest_decimals(one: float, two: float) -> None:
    assume(one != two)
    below, top = sorted((one, two))
    assert below < metrics.fewest_decimals(below, top) <= top
    assert metrics.fewest_decimals(0.6211, 0.6349) == 0.63


@given(scored, st.tuples(*[st.integers(0, 3)] * 3))
def test_recording_weights_equal_repetitions(found: Scored, times: tuple[int, int, int]) -> None:
    assume(sum(times) > 0)
    counted = counts_of(found)
    again = [i for i, n in enumerate(times) for _ in range(n)]
    repeated = counts_of(
        [(score, is_true, k) for k, i in enumerate(again) for score, is_true, own in found if own == i],
        tuple((1, 0, 2)[i] for i in again),
        tuple((0.5, 1.0, 1.5)[i] for i in again),
    )
    drawn, expected = threshold_curve(counted, np.array(times)), threshold_curve(repeated)
    assert drawn.average_precision() == pytest.approx(expected.average_precision())
    assert drawn.hours == expected.hours
    for threshold in (0.2, 0.5, 0.8):
        assert drawn.at(threshold) == expected.at(threshold)


def test_bootstrap_intervals() -> None:
    wanted = {"average precision": ThresholdCurve.average_precision}
    alike = [(score, is_true, i) for i in range(3) for score, is_true in ((0.9, True), (0.8, False), (0.7, True))]
    same = metrics.recording_intervals(counts_of(alike, (1, 1, 1), (1.0, 1.0, 1.0)), wanted, BootstrapOptions(100))[
        "average precision"
    ]
    assert same is not None
    assert same.low == pytest.approx(same.high), "recordings that are alike leave nothing to chance"
    differing = counts_of([(0.9, True, 0), (0.8, False, 1), (0.7, True, 2)])
    one, again = (
        metrics.recording_intervals(differing, wanted, BootstrapOptions(200, 7))["average precision"] for _ in "ab"
    )
    assert one == again
    assert one is not None
    assert one.low <= (threshold_curve(differing).average_precision() or 0) <= one.high
    assert metrics.recording_intervals(counts_of(alike[:3], (0,), (1.0,)), wanted, BootstrapOptions(10)) == {
        "average precision": None
    }
    assert metrics.recording_intervals(differing, wanted, BootstrapOptions(0)) == {"average precision": None}


def test_reliability() -> None:
    found = measure_reliability(np.array([0.05, 0.15, 0.95, 0.91]), np.array([False, True, True, False]))
    assert found is not None
    # (0.05^2 + 0.85^2 + 0.05^2 + 0.91^2) / 4
    assert found.brier == pytest.approx((0.0025 + 0.7225 + 0.0025 + 0.8281) / 4)
    assert [one.n for one in found.bins] == [1, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert found.bins[9].mean_score == pytest.approx(0.93)
    assert (found.bins[9].share, found.bins[5].share) == (0.5, None)
    assert measure_reliability(np.array([-3.0, 2.5]), np.array([False, True])) is None, "no shares of 1"
    assert measure_reliability(np.zeros(0), np.zeros(0, np.bool_)) is None
    only_false = measure_reliability(np.array([0.5, 1.0]), np.array([False, False]))
    assert only_false is not None
    assert only_false.brier == pytest.approx((0.25 + 1) / 2)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_reliability_bins_against_scikit_learn(found: list[tuple[float, bool]]) -> None:
    scores, is_right = np.array([score for score, _ in found]), np.array([right for _, right in found])
    assume(len(set(is_right.tolist())) == 2)
    ours = measure_reliability(scores, is_right)
    assert ours is not None
    shares, means = calibration_curve(is_right, scores, n_bins=10)
    filled = [one for one in ours.bins if one.n]
    assert [one.share for one in filled] == pytest.approx(shares)
    assert [one.mean_score for one in filled] == pytest.approx(means)
    assert sum(one.n for one in ours.bins) == len(found)
