"""Precision estimates and advised thresholds on simulated surveys whose true precision is known."""

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
from whalescan.core.text import threshold_text
from whalescan.detections.precision_estimates import SurveyEstimate, estimate_precision, n_to_review
from whalescan.detections.sampling import sample_order
from whalescan.detections.threshold_advice import (
    FalsePositiveTarget,
    NoThreshold,
    NoThresholdReason,
    PrecisionTarget,
    ThresholdAdvice,
    advise_threshold,
)
from whalescan.survey.validation_summary import validation_lines

N_SURVEYS = 300


def make_detection(identity: str, score: float | None, review: str = "unreviewed") -> Detection:
    return Detection("a", 1, 0, 1, 90, 200, "upcall", score, identity, review)


def population(seed: int, n: int, power: float = 1.0) -> tuple[list[Detection], BoolArray]:
    """Detections, and which are true positives: each with the probability of its score to some power."""
    random = np.random.default_rng(seed)
    scores = 0.4 + 0.6 * random.beta(2, 1, n)
    detections = [make_detection(f"{seed}-{number:06d}", round(float(score), 4)) for number, score in enumerate(scores)]
    return detections, random.random(n) < scores**power


def reviewed(detections: list[Detection], true: BoolArray, n: int) -> list[Detection]:
    """The detections with the first ``n`` of the sample reviewed correctly."""
    reviewed_some = list(detections)
    for i in sample_order(detections)[:n]:
        reviewed_some[i] = replace(detections[i], review="yes" if true[i] else "no")
    return reviewed_some


@cache
def repeated(n: int, power: float) -> list[tuple[float, SurveyEstimate]]:
    """The true precision and its estimate for `N_SURVEYS` surveys with ``n`` reviewed detections each."""
    surveys = (population(seed, 600, power) for seed in range(N_SURVEYS))
    return [(float(true.mean()), estimate_precision(reviewed(detections, true, n), 10.0)) for detections, true in surveys]


CASES = pytest.mark.parametrize(
    ("n", "power"),
    [
        (30, 1.0),
        *(pytest.param(n, power, marks=pytest.mark.slow) for n, power in ((120, 1.0), (300, 1.0), (120, 0.05), (120, 8.0))),
    ],
)
"""Number of reviewed detections, and the power of the score that gives the probability of a true positive."""


@pytest.mark.slow
@CASES
def test_95_percent_intervals_hold_the_true_precision(n: int, power: float) -> None:
    held = [
        each.precision is not None and each.precision.low <= true <= each.precision.high for true, each in repeated(n, power)
    ]
    assert np.mean(held) >= 0.92


@CASES
def test_estimates_are_unbiased(n: int, power: float) -> None:
    errors = [each.precision.value - true for true, each in repeated(n, power) if each.precision]
    assert len(errors) == N_SURVEYS
    assert abs(np.mean(errors)) < 3 * np.std(errors) / np.sqrt(len(errors)) + 1e-9


@pytest.mark.slow
def test_intervals_of_strata_hold_the_true_precision() -> None:
    held = []
    for seed in range(100):
        detections, true = population(seed, 600)
        scores = np.array([one.score for one in detections])
        for part in estimate_precision(reviewed(detections, true, 80), 10.0).strata:
            there = (scores >= part.low_score) & (scores < part.high_score)
            assert part.precision is not None
            held.append(part.precision.low <= true[there].mean() <= part.precision.high)
    assert np.mean(held) >= 0.95


@pytest.mark.slow
def test_intervals_of_large_strata_are_clopper_pearson() -> None:
    detections = [make_detection(f"{number}", 0.75) for number in range(100_000)]
    (part,) = estimate_precision(reviewed(detections, np.arange(100_000) % 5 > 0, 60), 1.0).strata
    expected = stats.binomtest(part.n_yes, 60).proportion_ci(method="exact")
    assert part.precision is not None
    assert (part.precision.low, part.precision.high) == pytest.approx((expected.low, expected.high), abs=1e-3)


@given(st.lists(st.tuples(st.sampled_from([0.3, 0.35, 0.77, 0.99, 1.0]), st.booleans()), min_size=1, max_size=40))
def test_full_review_leaves_no_uncertainty(facts: list[tuple[float, bool]]) -> None:
    detections = [make_detection(str(number), score, "yes" if true else "no") for number, (score, true) in enumerate(facts)]
    found = estimate_precision(detections, 2.0)
    n_true = sum(true for _, true in facts)
    for value, truth in (
        (found.precision, n_true / len(facts)),
        (found.n_true_positives, n_true),
        (found.false_positives_per_hour, (len(facts) - n_true) / 2),
    ):
        assert value is not None
        assert (value.value, value.low, value.high) == pytest.approx((truth, truth, truth), abs=1e-9)
    assert n_to_review(found) == 0


SAMPLED = st.lists(
    st.tuples(
        st.one_of(st.none(), st.sampled_from([0.05, 0.55, 0.75, 0.92, 0.99])),
        st.sampled_from(["yes", "no", "maybe", "unreviewed"]),
    ),
    max_size=50,
).map(lambda facts: [make_detection(str(number), *fact) for number, fact in enumerate(facts)])


@given(SAMPLED)
def test_numbers_add_up_and_values_lie_in_their_intervals(detections: list[Detection]) -> None:
    found = estimate_precision(detections, 1.0)
    own = [one for one in detections if one.score is not None]
    assert found.n_detections == len(own) == sum(part.n_detections for part in found.strata)
    assert found.n_sampled + found.n_outside_sample == sum(one.review != "unreviewed" for one in own)
    for part in found.strata:
        assert part.n_yes + part.n_no + part.n_maybe == part.n_sampled <= part.n_detections
        assert (part.precision is None) == (part.n_yes + part.n_no == 0)
        if part.precision:
            known = part.n_yes / part.n_detections, 1 - part.n_no / part.n_detections
            assert known[0] - 1e-9 <= part.precision.low <= part.precision.value <= part.precision.high <= known[1] + 1e-9
    assert (found.precision is None) == (found.covered_share < 1)
    if found.precision and found.n_true_positives and found.false_positives_per_hour:
        assert 0 <= found.precision.low <= found.precision.value <= found.precision.high <= 1
        assert found.n_true_positives.value + found.false_positives_per_hour.value == pytest.approx(found.n_detections)
        assert found.n_true_positives.high + found.false_positives_per_hour.low == pytest.approx(found.n_detections)
    assert 0 <= n_to_review(found) <= found.n_detections


def test_stratum_without_reviews_leaves_the_survey_unknown() -> None:
    detections, true = population(1, 400)
    some = [
        one if one.score is None or one.score < 0.9 else replace(one, review="unreviewed")
        for one in reviewed(detections, true, 60)
    ]
    found = estimate_precision(some, 1.0)
    assert found.precision is found.n_true_positives is found.false_positives_per_hour is None
    assert 0 < found.covered_share < 1
    assert advise_threshold(some, 1.0, PrecisionTarget(0.5)) == NoThreshold(NoThresholdReason.TOO_FEW_REVIEWED)


def test_three_of_three_leave_a_wide_interval() -> None:
    detections = [make_detection(f"{number}", 0.55) for number in range(9000)] + [
        make_detection(f"top {number}", 0.99) for number in range(30)
    ]
    found = estimate_precision(reviewed(detections, np.ones(9030, np.bool_), 33), 1.0)
    assert found.precision is not None
    assert found.precision.value == found.precision.high == 1
    assert found.precision.low < 0.9


def test_maybe_counts_neither_way() -> None:
    detections, true = population(1, 300)
    reviewed_some = reviewed(detections, true, 90)
    doubtful = [
        replace(one, review="maybe") if i % 9 == 0 and one.review != "unreviewed" else one
        for i, one in enumerate(reviewed_some)
    ]
    found = estimate_precision(doubtful, 1.0)
    n_maybe = sum(one.review == "maybe" for one in doubtful)
    assert sum(part.n_maybe for part in found.strata) == n_maybe > 0
    expected = sum(part.n_detections * part.n_yes / (part.n_yes + part.n_no) for part in found.strata) / 300
    assert found.precision is not None
    assert found.precision.value == pytest.approx(expected)


@pytest.mark.slow
def test_n_to_review_gives_the_requested_width() -> None:
    widths = []
    for seed in range(20):
        detections, true = population(seed, 3000)
        n_more = n_to_review(estimate_precision(reviewed(detections, true, 60), 1.0), 0.05)
        found = estimate_precision(reviewed(detections, true, 60 + n_more), 1.0).precision
        assert found is not None
        widths.append((found.high - found.low) / 2)
    assert 0.04 < np.mean(widths) < 0.056
    assert 100 < n_to_review(estimate_precision(detections, 1.0)) < 800


# -- thresholds ----------------------------------------------------------------------------------------------------------


def precision_from(detections: list[Detection], true: BoolArray, threshold: float) -> float:
    return float(true[[one.score is not None and one.score >= threshold for one in detections]].mean())


@pytest.mark.slow
def test_advised_threshold_meets_the_target() -> None:
    errors, held, covered = [], [], []
    for seed in range(60):
        detections, true = population(seed, 2000)
        advice = advise_threshold(reviewed(detections, true, 250), 20.0, PrecisionTarget(0.85))
        assert isinstance(advice, ThresholdAdvice)
        reached = precision_from(detections, true, advice.threshold)
        errors.append(reached - 0.85)
        held.append(advice.precision.low <= reached <= advice.precision.high)
        needed = next(t for t in np.arange(0.4, 1, 0.002).tolist() if precision_from(detections, true, t) >= 0.85)
        assert advice.interval is not None
        assert advice.interval.high is not None
        covered.append(advice.interval.low <= needed <= advice.interval.high)
    assert abs(np.mean(errors)) < 0.02
    assert np.mean(held) >= 0.92
    assert np.mean(covered) >= 0.92


def test_false_positives_are_those_of_the_kept_detections() -> None:
    detections, true = population(3, 2000)
    advice = advise_threshold(reviewed(detections, true, 400), 20.0, FalsePositiveTarget(5))
    assert isinstance(advice, ThresholdAdvice)
    assert advice.false_positives_per_hour is not None
    kept = [one.score is not None and one.score >= advice.threshold for one in detections]
    assert advice.n_detections == sum(kept)
    assert advice.false_positives_per_hour.value <= 5 + 1e-9
    assert advice.false_positives_per_hour.low <= (~true[kept]).sum() / 20 <= advice.false_positives_per_hour.high
    assert (advice.analysed_hours, advice.may_be_lower) == (20.0, False)


@settings(max_examples=30)
@given(SAMPLED, st.floats(0, 1), st.floats(0, 1))
def test_higher_precision_needs_no_lower_threshold(detections: list[Detection], one: float, other: float) -> None:
    found = [advise_threshold(detections, 1.0, PrecisionTarget(wanted)) for wanted in sorted((one, other))]
    scores = [each.score for each in detections if each.score is not None]
    if all(isinstance(each, ThresholdAdvice) for each in found):
        lower, higher = (each for each in found if isinstance(each, ThresholdAdvice))
        assert min(scores) <= lower.threshold <= higher.threshold <= max(scores)
        assert higher.precision.value >= lower.precision.value - 1e-9
        assert lower.n_detections == sum(score >= lower.threshold for score in scores)
    elif isinstance(found[0], NoThreshold):
        assert found[1] == found[0] or isinstance(found[1], NoThreshold)


def test_lowest_score_is_advised_where_it_meets_the_target() -> None:
    detections, true = population(1, 500)
    advice = advise_threshold(reviewed(detections, true, 200), 1.0, PrecisionTarget(0.2))
    assert isinstance(advice, ThresholdAdvice)
    assert advice.threshold == min(one.score for one in detections if one.score is not None)
    assert advice.n_detections == 500
    whole = advise_threshold(reviewed(detections, true, 500), 1.0, PrecisionTarget(0.2))
    assert isinstance(whole, ThresholdAdvice)
    assert whole.precision.value == pytest.approx(true.mean(), abs=0.002)
    assert whole.interval is not None
    assert whole.interval.low == whole.interval.high == advice.threshold


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60),
    st.sampled_from([PrecisionTarget(0.8), FalsePositiveTarget(0.5)]),
)
def test_full_review_gives_the_exact_precision_of_a_threshold(
    facts: list[tuple[float, bool]], wanted: PrecisionTarget | FalsePositiveTarget
) -> None:
    detections = [make_detection(f"{i}", score, "yes" if true else "no") for i, (score, true) in enumerate(facts)]
    found = advise_threshold(detections, 10.0, wanted)
    advice = found.nearest if isinstance(found, NoThreshold) else found
    assert advice is not None
    kept = [true for score, true in facts if score >= advice.threshold]
    assert advice.n_detections == advice.n_decided == len(kept)
    assert advice.precision.low == advice.precision.high == pytest.approx(np.mean(kept))
    if isinstance(found, ThresholdAdvice):
        assert found.interval is not None
        assert found.interval.low == found.interval.high == found.threshold


@pytest.mark.parametrize("lowest", [0.77176, 0.7718, 0.0, 1.0])
def test_printed_threshold_keeps_the_lowest_score(lowest: float) -> None:
    detections = [make_detection(f"{i}", max(lowest, i / 20), "yes") for i in range(20)]
    advice = advise_threshold(detections, 1.0, PrecisionTarget(0.9))
    assert isinstance(advice, ThresholdAdvice)
    assert advice.n_detections == 20
    assert f"--threshold {threshold_text(advice.threshold)}" in summary_text(detections)
    assert lowest - 1e-4 < float(threshold_text(advice.threshold)) <= lowest


def test_unreachable_target_gives_the_nearest_threshold() -> None:
    detections, _ = population(1, 500)
    alternating = np.arange(500) % 2 == 0
    missed = advise_threshold(reviewed(detections, alternating, 300), 1.0, PrecisionTarget(0.95))
    assert isinstance(missed, NoThreshold)
    assert missed.reason == NoThresholdReason.NOT_REACHED
    assert missed.nearest is not None
    assert 0.4 < missed.nearest.precision.value < 0.95
    assert (
        advise_threshold(detections, 1.0, PrecisionTarget())
        == advise_threshold([], 1.0, PrecisionTarget())
        == NoThreshold(NoThresholdReason.TOO_FEW_REVIEWED)
    )
    assert advise_threshold(detections, 0.0, FalsePositiveTarget()) == NoThreshold(NoThresholdReason.NO_EFFORT)


def test_no_threshold_below_the_reviewed_strata() -> None:
    detections, true = population(1, 1000)
    high = [i for i in sample_order(detections)[:300] if (detections[i].score or 0) >= 0.8]
    reviewed_some = [
        replace(one, review="yes" if true[i] else "no") if i in high else one for i, one in enumerate(detections)
    ]
    advice = advise_threshold(reviewed_some, 1.0, PrecisionTarget(0.3))
    assert isinstance(advice, ThresholdAdvice)
    assert 0.8 <= advice.threshold < 0.82
    assert advice.may_be_lower


def test_more_reviews_give_a_narrower_threshold_interval() -> None:
    detections, true = population(1, 1000)
    found = [advise_threshold(reviewed(detections, true, n), 1.0, PrecisionTarget(0.85)) for n in (20, 150, 600, 1000)]
    assert all(isinstance(one, ThresholdAdvice) for one in found)
    intervals = [one.interval for one in found if isinstance(one, ThresholdAdvice)]
    assert all(one is not None for one in intervals)
    widths = [(1 if one.high is None else one.high) - one.low for one in intervals if one]
    assert widths == sorted(widths, reverse=True)
    assert intervals[0] is not None
    assert intervals[0].high is None, "twenty of a thousand prove nothing of the kind"
    assert widths[-1] == 0


def test_no_threshold_below_the_lowest_score() -> None:
    detections, _ = population(1, 1000)
    advice = advise_threshold(reviewed(detections, np.ones(1000, np.bool_), 200), 1.0, PrecisionTarget(0.5))
    assert isinstance(advice, ThresholdAdvice)
    assert advice.interval is not None
    assert advice.interval.low == advice.interval.high == advice.threshold


def test_advice_does_not_depend_on_the_input_order() -> None:
    detections, true = population(5, 800)
    reviewed_some = reviewed(detections, true, 150)
    assert advise_threshold(reviewed_some, 3.0, PrecisionTarget()) == advise_threshold(
        reviewed_some[::-1], 3.0, PrecisionTarget()
    )


# -- summary --------------------------------------------------------------------------------------------------------------


def summary_text(detections: list[Detection], analysed_hours: float = 10.0) -> str:
    wishes = PrecisionTarget(0.9), FalsePositiveTarget(2.0)
    advice = {wanted: advise_threshold(detections, analysed_hours, wanted) for wanted in wishes}
    return "\n".join(validation_lines(Path("OUT"), estimate_precision(detections, analysed_hours), advice))


@pytest.mark.slow
@given(SAMPLED, st.sampled_from([0.0, 10.0]))
def test_summary_fits_a_terminal(detections: list[Detection], analysed_hours: float) -> None:
    text = summary_text(detections, analysed_hours)
    assert max(map(len, text.splitlines())) <= 100
    assert "nan" not in text
    assert "None" not in text
    assert text.count("for a precision of 0.9") == (any(one.score is not None for one in detections))


def test_summary_says_how_many_more_to_review() -> None:
    detections, true = population(1, 1000)
    found = estimate_precision(reviewed(detections, true, 40), 10.0)
    text = summary_text(reviewed(detections, true, 40))
    assert f"review {n_to_review(found)} more of the sample" in text
    assert f"--sample {40 + n_to_review(found)}" in text
    assert found.precision is not None
    assert f"precision {found.precision.value:.2f} ({found.precision.low:.2f}-{found.precision.high:.2f})" in text
    assert "more of the sample" not in summary_text(reviewed(detections, true, 1000))


def test_commands_are_on_lines_of_their_own() -> None:
    detections, true = population(1, 1000)
    reviewed_some = reviewed(detections, true, 60)
    folder = Path("a folder") / ("with a long name " * 6)
    text = validation_lines(
        folder,
        estimate_precision(reviewed_some, 10.0),
        {PrecisionTarget(0.8): advise_threshold(reviewed_some, 10.0, PrecisionTarget(0.8))},
    )
    lines = [line for one in text for line in one.splitlines()]
    words = [shlex.split(line) for line in lines if line.strip().startswith("whalescan")]
    assert [(one[1], one[2], one[3], len(one)) for one in words] == [
        ("review", str(folder), "--sample", 5),
        ("detect", str(folder), "--threshold", 5),
    ]
    assert all(float(one[4]) > 0 for one in words)


def test_marking_only_certain_detections_is_no_sample() -> None:
    detections, true = population(1, 300)
    marked = [replace(one, review="yes") if true[i] else one for i, one in enumerate(detections)]
    text = " ".join(summary_text(marked).split())
    assert "precision unknown" in text
    assert f"{true.sum()} detections reviewed outside the random sample" in text
