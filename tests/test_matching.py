"""Which detection heard which call, and what hits and false alarms amount to."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score

from whalescan.evaluation import bootstrap, metrics
from whalescan.evaluation.bootstrap import Draws
from whalescan.evaluation.matching import Matching, Verdict, match
from whalescan.evaluation.metrics import Curve, Tally, calibration, curve

HIT, FALSE, ASIDE = Verdict.HIT, Verdict.FALSE, Verdict.ASIDE

times = st.integers(0, 2000).map(lambda ms: ms / 100)
calls = st.lists(times, max_size=12, unique=True)
detections = st.lists(st.tuples(times, st.integers(1, 20).map(lambda n: n / 20)), max_size=15, unique=True)
tolerances = st.sampled_from([0.0, 0.5, 1.0, 3.0])
Detections = list[tuple[float, float]]


def matched(found: Detections, calls_s: list[float], aside_s: list[float], tolerance_s: float) -> Matching:
    return match([middle for middle, _ in found], [score for _, score in found], calls_s, aside_s, tolerance_s)


@pytest.mark.parametrize(
    ("found", "verdicts", "missed"),
    [
        ([(10.0, 0.9)], (HIT,), (1,)),
        ([(11.0, 0.9)], (HIT,), (1,)),  # exactly the tolerance away
        ([(11.01, 0.9)], (FALSE,), (0, 1)),
        ([(10.2, 0.5), (10.4, 0.9)], (FALSE, HIT), (1,)),  # the surer takes the call, though it is farther
        ([(10.2, 0.9), (20.0, 0.8)], (HIT, HIT), ()),
        ([(30.3, 0.9), (29.9, 0.8)], (ASIDE, ASIDE), (0, 1)),  # never used up
        ([(19.5, 0.9), (20.6, 0.8)], (HIT, FALSE), (0,)),
    ],
)
def test_examples(found: Detections, verdicts: tuple[Verdict, ...], missed: tuple[int, ...]) -> None:
    matching = matched(found, [10.0, 20.0], [30.0], 1.0)
    assert matching.verdicts == verdicts
    assert matching.missed == missed


def test_the_nearest_free_call_is_taken() -> None:
    # calls at 10 and 11; the surest (10.6) takes 11, the next (10.7) finds only 10, 0.7 away, the third none
    matching = matched([(10.6, 0.9), (10.7, 0.8), (10.5, 0.7)], [10.0, 11.0], [], 1.0)
    assert matching.taken == (1, 0, None)
    assert matching.verdicts == (HIT, HIT, FALSE)


def test_a_certain_call_goes_before_an_uncertain_one_that_is_nearer() -> None:
    assert matched([(10.0, 0.9)], [10.9], [10.1], 1.0).verdicts == (HIT,)


@given(detections, calls, calls, tolerances)
def test_one_to_one_and_within_the_tolerance(
    found: Detections, calls_s: list[float], aside_s: list[float], tolerance_s: float
) -> None:
    matching = matched(found, calls_s, aside_s, tolerance_s)
    taken = [call for call in matching.taken if call is not None]
    assert len(taken) == len(set(taken)) == matching.verdicts.count(HIT) <= min(len(found), len(calls_s))
    assert sorted([*taken, *matching.missed]) == list(range(len(calls_s)))
    for (middle, _), verdict, call in zip(found, matching.verdicts, matching.taken, strict=True):
        assert (verdict is HIT) == (call is not None)
        assert call is None or abs(calls_s[call] - middle) <= tolerance_s + 1e-6
        near_aside = any(abs(middle - other) <= tolerance_s + 1e-6 for other in aside_s)
        assert verdict is HIT or (verdict is ASIDE) == near_aside
    for missed in matching.missed:  # nothing that could have heard it was left over
        near = [i for i, (middle, _) in enumerate(found) if abs(calls_s[missed] - middle) <= tolerance_s]
        assert all(matching.verdicts[i] is HIT for i in near)


@given(detections, calls, calls, tolerances, st.integers(0, 20))
def test_what_lies_below_a_threshold_changes_nothing_above(
    found: Detections, calls_s: list[float], aside_s: list[float], tolerance_s: float, twentieths: int
) -> None:
    above = [one for one in found if one[1] >= twentieths / 20]
    all_of_them = dict(zip(found, matched(found, calls_s, aside_s, tolerance_s).taken, strict=True))
    assert {one: all_of_them[one] for one in above} == dict(
        zip(above, matched(above, calls_s, aside_s, tolerance_s).taken, strict=True)
    )


@given(detections, calls, calls, tolerances, st.randoms(use_true_random=False))
def test_the_order_of_the_tables_changes_nothing(
    found: Detections,
    calls_s: list[float],
    aside_s: list[float],
    tolerance_s: float,
    random: Random,
) -> None:
    def heard(found: Detections, calls_s: list[float], aside_s: list[float]) -> set[tuple[object, ...]]:
        matching = matched(found, calls_s, aside_s, tolerance_s)
        pairs = zip(found, matching.verdicts, matching.taken, strict=True)
        return {(one, verdict, None if call is None else calls_s[call]) for one, verdict, call in pairs}

    in_order = heard(sorted(found), sorted(calls_s), sorted(aside_s))
    for table in (found, calls_s, aside_s):
        random.shuffle(table)
    assert heard(found, calls_s, aside_s) == in_order


@given(detections, calls)
def test_a_tolerance_of_nothing_asks_for_the_same_middle(found: Detections, calls_s: list[float]) -> None:
    matching = matched(found, calls_s, [], 0.0)
    assert set(calls_s) & {middle for middle, _ in found} == {calls_s[call] for call in matching.taken if call is not None}


# ---------------------------------------------------------------------------------------------- measures

scored = st.lists(st.tuples(st.integers(1, 99).map(lambda n: n / 100), st.booleans(), st.integers(0, 2)), max_size=30)
Scored = list[tuple[float, bool, int]]


def tally_of(found: Scored, n_missed: tuple[int, ...] = (1, 0, 2), hours: tuple[float, ...] = (0.5, 1.0, 1.5)) -> Tally:
    """Recordings in which so many calls were missed by all detections."""
    n_calls = [n + sum(is_hit for _, is_hit, i in found if i == k) for k, n in enumerate(n_missed)]
    scores, is_hit, recording = ([one[k] for one in found] for k in range(3))
    return metrics.tally(scores, is_hit, recording, np.array(n_calls), np.array(hours))


@pytest.fixture
def example() -> Curve:
    """Five detections, five calls of which three are found, two hours."""
    found = [(0.9, True, 0), (0.8, False, 0), (0.7, True, 0), (0.6, True, 0), (0.5, False, 0)]
    return curve(tally_of(found, (2,), (2.0,)))


def test_average_precision_by_hand(example: Curve) -> None:
    # precision at the hits: 1/1, 2/3, 3/4; two calls never found add nothing
    assert example.average_precision() == pytest.approx((1 + 2 / 3 + 3 / 4) / 5)


def test_a_point_by_hand(example: Curve) -> None:
    point = example.at(0.6)
    assert (point.hits, point.misses, point.false_positives) == (3, 2, 1)
    assert (point.precision, point.recall, point.false_positives_per_hour) == (3 / 4, 3 / 5, 0.5)
    assert point.f1 == pytest.approx(2 * 3 / (4 + 5))
    assert example.best_f1() == point
    nothing = example.at(0.95)
    assert (nothing.precision, nothing.recall, nothing.misses) == (None, 0, 5)


def test_recall_at_a_rate_by_hand(example: Curve) -> None:
    # 0.9 alone has no false one; down to 0.6 there is one in two hours; down to 0.5 there are two
    assert [example.recall_at(rate) for rate in (0, 0.49, 0.5, 1, 100)] == [1 / 5, 1 / 5, 3 / 5, 3 / 5, 3 / 5]


def test_advice_by_hand(example: Curve) -> None:
    advised = example.for_false_positives(0.5)
    assert advised is not None
    assert (advised.threshold, advised.hits, advised.false_positives) == (0.6, 3, 1)
    precise = example.for_precision(0.7)  # 3/4 at 0.6, though 1/2 at 0.8 and 2/3 at 0.7
    assert precise is not None
    assert precise.threshold == 0.6
    surest = curve(tally_of([(0.9, False, 0), (0.8, True, 0)], (0,), (2.0,)))
    assert surest.for_false_positives(0.4) is None, "the surest is false: already one in two hours"
    assert surest.recall_at(0.4) == 0
    assert surest.for_precision(0.6) is None


def test_equal_scores_pass_together() -> None:
    # precision at the one threshold is 1/2, for the hit whichever stands first
    for found in ([(0.5, True, 0), (0.5, False, 0)], [(0.5, False, 0), (0.5, True, 0)]):
        assert curve(tally_of(found, (0,), (1.0,))).average_precision() == 0.5


def test_without_calls_and_without_detections() -> None:
    no_calls = curve(tally_of([(0.5, False, 0)], (0,), (2.0,)))
    assert (no_calls.average_precision(), no_calls.best_f1(), no_calls.recall_at(1)) == (None, None, None)
    assert no_calls.at(0.5).false_positives_per_hour == 0.5
    silent = curve(tally_of([], (3,), (2.0,)))
    assert (len(silent), silent.average_precision(), silent.recall_at(1), silent.best_f1()) == (0, 0, 0, None)
    assert silent.for_false_positives(1) is None
    assert silent.for_precision(0.1) is None


@given(scored)
def test_average_precision_is_that_of_scikit_learn_times_the_share_found(found: Scored) -> None:
    assume(any(is_hit for _, is_hit, _ in found))
    counted = tally_of(found)
    expected = average_precision_score(counted.is_hit, counted.scores) * counted.is_hit.sum() / counted.n_calls.sum()
    assert curve(counted).average_precision() == pytest.approx(expected)


@given(scored, st.floats(0, 1))
def test_a_point_is_what_one_counts(found: Scored, threshold: float) -> None:
    point = curve(tally_of(found)).at(threshold)
    kept = [is_hit for score, is_hit, _ in found if score >= threshold]
    assert (point.hits, point.false_positives) == (sum(kept), len(kept) - sum(kept))


@given(scored, st.floats(0, 10))
def test_the_advised_threshold_keeps_its_promise_and_no_lower_one_does(found: Scored, per_hour: float) -> None:
    whole = curve(tally_of(found))
    advised = whole.for_false_positives(per_hour)
    kept = [point for point in whole.points() if point.false_positives_per_hour <= per_hour]
    assert (advised is None) == (not kept)
    if advised is not None:
        assert whole.at(advised.threshold) == advised
        assert advised.hits == max(point.hits for point in kept)
        assert advised.recall == whole.recall_at(per_hour)
        assert all(p.false_positives_per_hour > per_hour for p in whole.points() if p.threshold < advised.threshold)


@given(scored, st.floats(0.01, 1))
def test_the_advised_precision_is_reached_and_at_no_lower_threshold(found: Scored, precision: float) -> None:
    whole = curve(tally_of(found))
    advised = whole.for_precision(precision)
    reached = [p for p in whole.points() if p.precision is not None and p.precision >= precision * (1 + 1e-12)]
    assert advised is not None or not reached
    if advised is not None:
        assert whole.at(advised.threshold) == advised
        assert advised.precision is not None
        assert advised.precision >= precision * (1 - 1e-12)
        assert all(p.threshold >= advised.threshold for p in reached)


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_a_threshold_with_few_decimals_lets_the_same_through(one: float, two: float) -> None:
    assume(one != two)
    below, top = sorted((one, two))
    assert below < metrics._fewest_decimals(below, top) <= top
    assert metrics._fewest_decimals(0.6211, 0.6349) == 0.63


@given(scored, st.tuples(*[st.integers(0, 3)] * 3))
def test_a_recording_that_counts_twice_is_as_one_that_is_there_twice(found: Scored, times: tuple[int, int, int]) -> None:
    assume(sum(times) > 0)
    counted = tally_of(found)
    again = [i for i, n in enumerate(times) for _ in range(n)]
    repeated = tally_of(
        [(score, is_hit, k) for k, i in enumerate(again) for score, is_hit, own in found if own == i],
        tuple((1, 0, 2)[i] for i in again),
        tuple((0.5, 1.0, 1.5)[i] for i in again),
    )
    drawn, expected = curve(counted, np.array(times)), curve(repeated)
    assert drawn.average_precision() == pytest.approx(expected.average_precision())
    assert drawn.hours == expected.hours
    for threshold in (0.2, 0.5, 0.8):
        assert drawn.at(threshold) == expected.at(threshold)


def test_intervals() -> None:
    wanted = {"average precision": Curve.average_precision}
    alike = [(score, is_hit, i) for i in range(3) for score, is_hit in ((0.9, True), (0.8, False), (0.7, True))]
    same = bootstrap.over_recordings(tally_of(alike, (1, 1, 1), (1.0, 1.0, 1.0)), wanted, Draws(100))["average precision"]
    assert same is not None
    assert same.low == pytest.approx(same.high), "recordings that are alike leave nothing to chance"
    differing = tally_of([(0.9, True, 0), (0.8, False, 1), (0.7, True, 2)])
    one, again = (bootstrap.over_recordings(differing, wanted, Draws(200, 7))["average precision"] for _ in "ab")
    assert one == again
    assert one is not None
    assert one.low <= (curve(differing).average_precision() or 0) <= one.high
    assert bootstrap.over_recordings(tally_of(alike[:3], (0,), (1.0,)), wanted, Draws(10)) == {"average precision": None}
    assert bootstrap.over_recordings(differing, wanted, Draws(0)) == {"average precision": None}


def test_calibration_by_hand() -> None:
    found = calibration(np.array([0.05, 0.15, 0.95, 0.91]), np.array([False, True, True, False]))
    assert found is not None
    # (0.05^2 + 0.85^2 + 0.05^2 + 0.91^2) / 4
    assert found.brier == pytest.approx((0.0025 + 0.7225 + 0.0025 + 0.8281) / 4)
    assert [one.n for one in found.bins] == [1, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert found.bins[9].mean_score == pytest.approx(0.93)
    assert (found.bins[9].share, found.bins[5].share) == (0.5, None)
    assert calibration(np.array([-3.0, 2.5]), np.array([False, True])) is None, "no shares of 1"
    assert calibration(np.zeros(0), np.zeros(0, np.bool_)) is None
    only_false = calibration(np.array([0.5, 1.0]), np.array([False, False]))
    assert only_false is not None
    assert only_false.brier == pytest.approx((0.25 + 1) / 2)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_bins_are_those_of_scikit_learn(found: list[tuple[float, bool]]) -> None:
    scores, is_right = np.array([score for score, _ in found]), np.array([right for _, right in found])
    assume(len(set(is_right.tolist())) == 2)
    ours = calibration(scores, is_right)
    assert ours is not None
    shares, means = calibration_curve(is_right, scores, n_bins=10)
    filled = [one for one in ours.bins if one.n]
    assert [one.share for one in filled] == pytest.approx(shares)
    assert [one.mean_score for one in filled] == pytest.approx(means)
    assert sum(one.n for one in ours.bins) == len(found)
