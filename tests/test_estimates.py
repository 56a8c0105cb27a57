"""Precision of all calls from a few that were judged, and the threshold for a wanted one, where the truth is known."""

from __future__ import annotations

import shlex
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from whalescan.core import BoolArray, Detection
from whalescan.detections.precision_estimates import Estimates, estimate, n_to_judge
from whalescan.detections.stratified_sampling import sample_order
from whalescan.detections.threshold_advice import Advice, NoAdvice, WantedFalseAlarms, WantedPrecision, Why, advise
from whalescan.report.text import threshold
from whalescan.survey.validation_summary import judged_lines


def call(identity: str, score: float | None, review: str = "unreviewed") -> Detection:
    return Detection("a", 1, 0, 1, 90, 200, "upcall", score, identity, review)


def population(seed: int, n: int, power: float = 1.0) -> tuple[list[Detection], BoolArray]:
    """Calls, and which of them are one: with the probability of their score, to some power."""
    random = np.random.default_rng(seed)
    scores = 0.4 + 0.6 * random.beta(2, 1, n)
    calls = [call(f"{seed}-{number:06d}", round(float(score), 4)) for number, score in enumerate(scores)]
    return calls, random.random(n) < scores**power


def judged(calls: list[Detection], true: BoolArray, n: int) -> list[Detection]:
    """The first calls of the sample, judged rightly."""
    asked = list(calls)
    for i in sample_order(calls)[:n]:
        asked[i] = replace(calls[i], review="yes" if true[i] else "no")
    return asked


@cache
def repeated(n: int, power: float) -> list[tuple[float, Estimates]]:
    """The truth and its estimate for 300 surveys, of which so many calls are judged."""
    surveys = (population(seed, 600, power) for seed in range(300))
    return [(float(true.mean()), estimate(judged(calls, true, n), 10.0)) for calls, true in surveys]


CASES = pytest.mark.parametrize(("n", "power"), [(30, 1.0), (120, 1.0), (300, 1.0), (120, 0.05), (120, 8.0)])


@CASES
def test_95_percent_intervals_hold_the_truth(n: int, power: float) -> None:
    held = [
        each.precision is not None and each.precision.low <= true <= each.precision.high for true, each in repeated(n, power)
    ]
    assert np.mean(held) >= 0.92


@CASES
def test_estimates_are_right_on_the_average(n: int, power: float) -> None:
    errors = [each.precision.value - true for true, each in repeated(n, power) if each.precision]
    assert len(errors) == 300
    assert abs(np.mean(errors)) < 3 * np.std(errors) / np.sqrt(len(errors)) + 1e-9


def test_intervals_of_strata_hold_the_truth() -> None:
    held = []
    for seed in range(100):
        calls, true = population(seed, 600)
        scores = np.array([one.score for one in calls])
        for part in estimate(judged(calls, true, 80), 10.0).strata:
            there = (scores >= part.low) & (scores < part.high)
            assert part.precision is not None
            held.append(part.precision.low <= true[there].mean() <= part.precision.high)
    assert np.mean(held) >= 0.95


def test_intervals_of_strata_are_those_of_clopper_and_pearson_where_calls_are_many() -> None:
    calls = [call(f"{number}", 0.75) for number in range(100_000)]
    (part,) = estimate(judged(calls, np.arange(100_000) % 5 > 0, 60), 1.0).strata
    expected = stats.binomtest(part.n_yes, 60).proportion_ci(method="exact")
    assert part.precision is not None
    assert (part.precision.low, part.precision.high) == pytest.approx((expected.low, expected.high), abs=1e-3)


@given(st.lists(st.tuples(st.sampled_from([0.3, 0.35, 0.77, 0.99, 1.0]), st.booleans()), min_size=1, max_size=40))
def test_where_all_is_judged_nothing_is_uncertain(facts: list[tuple[float, bool]]) -> None:
    calls = [call(str(number), score, "yes" if true else "no") for number, (score, true) in enumerate(facts)]
    found = estimate(calls, 2.0)
    n_true = sum(true for _, true in facts)
    for value, truth in (
        (found.precision, n_true / len(facts)),
        (found.n_true_calls, n_true),
        (found.false_per_hour, (len(facts) - n_true) / 2),
    ):
        assert value is not None
        assert (value.value, value.low, value.high) == pytest.approx((truth, truth, truth), abs=1e-9)
    assert n_to_judge(found) == 0


SAMPLED = st.lists(
    st.tuples(
        st.one_of(st.none(), st.sampled_from([0.05, 0.55, 0.75, 0.92, 0.99])),
        st.sampled_from(["yes", "no", "maybe", "unreviewed"]),
    ),
    max_size=50,
).map(lambda facts: [call(str(number), *fact) for number, fact in enumerate(facts)])


@given(SAMPLED)
def test_numbers_add_up_and_values_lie_in_their_intervals(calls: list[Detection]) -> None:
    found = estimate(calls, 1.0)
    own = [one for one in calls if one.score is not None]
    assert found.n_calls == len(own) == sum(part.n_calls for part in found.strata)
    assert found.n_drawn + found.n_chosen == sum(one.review != "unreviewed" for one in own)
    for part in found.strata:
        assert part.n_yes + part.n_no + part.n_maybe == part.n_drawn <= part.n_calls
        assert (part.precision is None) == (part.n_yes + part.n_no == 0)
        if part.precision:
            known = part.n_yes / part.n_calls, 1 - part.n_no / part.n_calls
            assert known[0] - 1e-9 <= part.precision.low <= part.precision.value <= part.precision.high <= known[1] + 1e-9
    assert (found.precision is None) == (found.covered < 1)
    if found.precision and found.n_true_calls and found.false_per_hour:
        assert 0 <= found.precision.low <= found.precision.value <= found.precision.high <= 1
        assert found.n_true_calls.value + found.false_per_hour.value == pytest.approx(found.n_calls)
        assert found.n_true_calls.high + found.false_per_hour.low == pytest.approx(found.n_calls)
    assert 0 <= n_to_judge(found) <= found.n_calls


def test_without_a_judged_call_in_some_stratum_nothing_is_said_of_all() -> None:
    calls, true = population(1, 400)
    some = [
        one if one.score is None or one.score < 0.9 else replace(one, review="unreviewed") for one in judged(calls, true, 60)
    ]
    found = estimate(some, 1.0)
    assert found.precision is found.n_true_calls is found.false_per_hour is None
    assert 0 < found.covered < 1
    assert advise(some, 1.0, WantedPrecision(0.5)) == NoAdvice(Why.NOT_JUDGED)


def test_three_of_three_in_a_large_stratum_prove_little() -> None:
    calls = [call(f"{number}", 0.55) for number in range(9000)] + [call(f"top {number}", 0.99) for number in range(30)]
    found = estimate(judged(calls, np.ones(9030, np.bool_), 33), 1.0)
    assert found.precision is not None
    assert found.precision.value == found.precision.high == 1
    assert found.precision.low < 0.9


def test_maybe_counts_neither_way() -> None:
    calls, true = population(1, 300)
    asked = judged(calls, true, 90)
    doubtful = [
        replace(one, review="maybe") if i % 9 == 0 and one.review != "unreviewed" else one for i, one in enumerate(asked)
    ]
    found = estimate(doubtful, 1.0)
    n_maybe = sum(one.review == "maybe" for one in doubtful)
    assert sum(part.n_maybe for part in found.strata) == n_maybe > 0
    expected = sum(part.n_calls * part.n_yes / (part.n_yes + part.n_no) for part in found.strata) / 300
    assert found.precision is not None
    assert found.precision.value == pytest.approx(expected)


def test_as_many_more_judgements_as_asked_for_bring_the_width_asked_for() -> None:
    widths = []
    for seed in range(20):
        calls, true = population(seed, 3000)
        n_more = n_to_judge(estimate(judged(calls, true, 60), 1.0), 0.05)
        found = estimate(judged(calls, true, 60 + n_more), 1.0).precision
        assert found is not None
        widths.append((found.high - found.low) / 2)
    assert 0.04 < np.mean(widths) < 0.056
    assert 100 < n_to_judge(estimate(calls, 1.0)) < 800


# -- thresholds ----------------------------------------------------------------------------------------------------------


def precision_from(calls: list[Detection], true: BoolArray, threshold: float) -> float:
    return float(true[[one.score is not None and one.score >= threshold for one in calls]].mean())


def test_the_advised_threshold_brings_what_is_wanted() -> None:
    errors, held, covered = [], [], []
    for seed in range(60):
        calls, true = population(seed, 2000)
        advice = advise(judged(calls, true, 250), 20.0, WantedPrecision(0.85))
        assert isinstance(advice, Advice)
        reached = precision_from(calls, true, advice.threshold)
        errors.append(reached - 0.85)
        held.append(advice.precision.low <= reached <= advice.precision.high)
        needed = next(t for t in np.arange(0.4, 1, 0.002).tolist() if precision_from(calls, true, t) >= 0.85)
        assert advice.interval is not None
        assert advice.interval.high is not None
        covered.append(advice.interval.low <= needed <= advice.interval.high)
    assert abs(np.mean(errors)) < 0.02
    assert np.mean(held) >= 0.92
    assert np.mean(covered) >= 0.92


def test_false_alarms_are_those_of_the_calls_that_are_kept() -> None:
    calls, true = population(3, 2000)
    advice = advise(judged(calls, true, 400), 20.0, WantedFalseAlarms(5))
    assert isinstance(advice, Advice)
    assert advice.false_per_hour is not None
    kept = [one.score is not None and one.score >= advice.threshold for one in calls]
    assert advice.n_calls == sum(kept)
    assert advice.false_per_hour.value <= 5 + 1e-9
    assert advice.false_per_hour.low <= (~true[kept]).sum() / 20 <= advice.false_per_hour.high
    assert (advice.analysed_hours, advice.may_be_lower) == (20.0, False)


@settings(max_examples=30)
@given(SAMPLED, st.floats(0, 1), st.floats(0, 1))
def test_more_precision_never_takes_a_lower_threshold(calls: list[Detection], one: float, other: float) -> None:
    found = [advise(calls, 1.0, WantedPrecision(wanted)) for wanted in sorted((one, other))]
    scores = [each.score for each in calls if each.score is not None]
    if all(isinstance(each, Advice) for each in found):
        lower, higher = (each for each in found if isinstance(each, Advice))
        assert min(scores) <= lower.threshold <= higher.threshold <= max(scores)
        assert higher.precision.value >= lower.precision.value - 1e-9
        assert lower.n_calls == sum(score >= lower.threshold for score in scores)
    elif isinstance(found[0], NoAdvice):
        assert found[1] == found[0] or isinstance(found[1], NoAdvice)


def test_a_threshold_that_does_already_is_the_lowest_score() -> None:
    calls, true = population(1, 500)
    advice = advise(judged(calls, true, 200), 1.0, WantedPrecision(0.2))
    assert isinstance(advice, Advice)
    assert advice.threshold == min(one.score for one in calls if one.score is not None)
    assert advice.n_calls == 500
    whole = advise(judged(calls, true, 500), 1.0, WantedPrecision(0.2))
    assert isinstance(whole, Advice)
    assert whole.precision.value == pytest.approx(true.mean(), abs=0.002)
    assert whole.interval is not None
    assert whole.interval.low == whole.interval.high == advice.threshold


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60),
    st.sampled_from([WantedPrecision(0.8), WantedFalseAlarms(0.5)]),
)
def test_where_all_is_judged_a_threshold_promises_just_what_it_keeps(
    facts: list[tuple[float, bool]], wanted: WantedPrecision | WantedFalseAlarms
) -> None:
    calls = [call(f"{i}", score, "yes" if true else "no") for i, (score, true) in enumerate(facts)]
    found = advise(calls, 10.0, wanted)
    advice = found.best if isinstance(found, NoAdvice) else found
    assert advice is not None
    kept = [true for score, true in facts if score >= advice.threshold]
    assert advice.n_calls == advice.n_decided == len(kept)
    assert advice.precision.low == advice.precision.high == pytest.approx(np.mean(kept))
    if isinstance(found, Advice):
        assert found.interval is not None
        assert found.interval.low == found.interval.high == found.threshold


@pytest.mark.parametrize("lowest", [0.77176, 0.7718, 0.0, 1.0])
def test_a_threshold_as_it_is_said_keeps_the_lowest_score(lowest: float) -> None:
    calls = [call(f"{i}", max(lowest, i / 20), "yes") for i in range(20)]
    advice = advise(calls, 1.0, WantedPrecision(0.9))
    assert isinstance(advice, Advice)
    assert advice.n_calls == 20
    assert f"--threshold {threshold(advice.threshold)}" in said(calls)
    assert lowest - 1e-4 < float(threshold(advice.threshold)) <= lowest


def test_what_cannot_be_reached_is_said_with_the_best_there_is() -> None:
    calls, _ = population(1, 500)
    alternating = np.arange(500) % 2 == 0
    missed = advise(judged(calls, alternating, 300), 1.0, WantedPrecision(0.95))
    assert isinstance(missed, NoAdvice)
    assert missed.why == Why.NOT_REACHED
    assert missed.best is not None
    assert 0.4 < missed.best.precision.value < 0.95
    assert advise(calls, 1.0, WantedPrecision()) == advise([], 1.0, WantedPrecision()) == NoAdvice(Why.NOT_JUDGED)
    assert advise(calls, 0.0, WantedFalseAlarms()) == NoAdvice(Why.NO_EFFORT)


def test_below_the_strata_that_were_judged_a_threshold_is_not_looked_for() -> None:
    calls, true = population(1, 1000)
    high = [i for i in sample_order(calls)[:300] if (calls[i].score or 0) >= 0.8]
    asked = [replace(one, review="yes" if true[i] else "no") if i in high else one for i, one in enumerate(calls)]
    advice = advise(asked, 1.0, WantedPrecision(0.3))
    assert isinstance(advice, Advice)
    assert 0.8 <= advice.threshold < 0.82
    assert advice.may_be_lower


def test_the_more_is_judged_the_better_the_threshold_is_known() -> None:
    calls, true = population(1, 1000)
    found = [advise(judged(calls, true, n), 1.0, WantedPrecision(0.85)) for n in (20, 150, 600, 1000)]
    assert all(isinstance(one, Advice) for one in found)
    intervals = [one.interval for one in found if isinstance(one, Advice)]
    assert all(one is not None for one in intervals)
    widths = [(1 if one.high is None else one.high) - one.low for one in intervals if one]
    assert widths == sorted(widths, reverse=True)
    assert intervals[0] is not None
    assert intervals[0].high is None, "twenty of a thousand prove nothing of the kind"
    assert widths[-1] == 0


def test_what_lies_below_the_lowest_score_is_no_threshold() -> None:
    calls, _ = population(1, 1000)
    advice = advise(judged(calls, np.ones(1000, np.bool_), 200), 1.0, WantedPrecision(0.5))
    assert isinstance(advice, Advice)
    assert advice.interval is not None
    assert advice.interval.low == advice.interval.high == advice.threshold


def test_the_same_judgements_give_the_same_advice() -> None:
    calls, true = population(5, 800)
    asked = judged(calls, true, 150)
    assert advise(asked, 3.0, WantedPrecision()) == advise(asked[::-1], 3.0, WantedPrecision())


# -- in words ------------------------------------------------------------------------------------------------------------


def said(calls: list[Detection], analysed_hours: float = 10.0) -> str:
    wishes = WantedPrecision(0.9), WantedFalseAlarms(2.0)
    advice = {wanted: advise(calls, analysed_hours, wanted) for wanted in wishes}
    return "\n".join(judged_lines(Path("OUT"), estimate(calls, analysed_hours), advice))


@given(SAMPLED, st.sampled_from([0.0, 10.0]))
def test_whatever_was_judged_is_said_in_lines_that_fit_a_terminal(calls: list[Detection], analysed_hours: float) -> None:
    text = said(calls, analysed_hours)
    assert max(map(len, text.splitlines())) <= 100
    assert "nan" not in text
    assert "None" not in text
    assert text.count("for a precision of 0.9") == (any(one.score is not None for one in calls))


def test_few_judgements_are_told_how_many_more_they_need() -> None:
    calls, true = population(1, 1000)
    found = estimate(judged(calls, true, 40), 10.0)
    text = said(judged(calls, true, 40))
    assert f"judge {n_to_judge(found)} more of the sample" in text
    assert f"--sample {40 + n_to_judge(found)}" in text
    assert found.precision is not None
    assert f"precision {found.precision.value:.2f} ({found.precision.low:.2f}-{found.precision.high:.2f})" in text
    assert "more of the sample" not in said(judged(calls, true, 1000))


def test_commands_stand_in_a_line_of_their_own_and_can_be_copied() -> None:
    calls, true = population(1, 1000)
    asked = judged(calls, true, 60)
    folder = Path("a folder") / ("with a long name " * 6)
    text = judged_lines(folder, estimate(asked, 10.0), {WantedPrecision(0.8): advise(asked, 10.0, WantedPrecision(0.8))})
    lines = [line for one in text for line in one.splitlines()]
    words = [shlex.split(line) for line in lines if line.strip().startswith("whalescan")]
    assert [(one[1], one[2], one[3], len(one)) for one in words] == [
        ("review", str(folder), "--sample", 5),
        ("detect", str(folder), "--threshold", 5),
    ]
    assert all(float(one[4]) > 0 for one in words)


def test_what_was_only_marked_as_sure_is_no_sample() -> None:
    calls, true = population(1, 300)
    marked = [replace(one, review="yes") if true[i] else one for i, one in enumerate(calls)]
    text = " ".join(said(marked).split())
    assert "precision not known" in text
    assert f"{true.sum()} judged calls count for nothing here" in text
