"""The precision of the detector, estimated from validations, as text for the command line."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from whalescan.core import invalid
from whalescan.core.text import count, decimal, quantity, threshold_text
from whalescan.detections.precision_estimates import (
    IntervalEstimate,
    StratumEstimate,
    SurveyEstimate,
    estimate_precision,
    n_to_review,
)
from whalescan.detections.sampling import detections_at_threshold
from whalescan.detections.threshold_advice import (
    FalsePositiveTarget,
    NoThreshold,
    PrecisionTarget,
    ThresholdAdvice,
    advise_threshold,
)
from whalescan.survey.outputs import Survey
from whalescan.survey.run_summary import labelled_row, wrap_sentence

_WANTED_HALF_WIDTH = 0.05
"""Half width of a precision interval that is sufficient for a survey."""

Target = PrecisionTarget | FalsePositiveTarget


def validation_targets(precision: float | None, false_positives_per_hour: float | None) -> tuple[Target, ...]:
    """Return what a threshold is to achieve.

    Args:
        precision: least share of true positives; None for no such target.
        false_positives_per_hour: most false positives per analysed hour; None for no such target.

    Raises:
        UsageError: for values out of range.
    """
    if precision is not None and not 0 < precision <= 1:
        raise invalid("precision", precision, "a share above 0 and at most 1")
    if false_positives_per_hour is not None and not 0 < false_positives_per_hour < math.inf:
        raise invalid("false_positives_per_hour", false_positives_per_hour, "a rate above 0")
    return (
        *(() if precision is None else (PrecisionTarget(precision),)),
        *(() if false_positives_per_hour is None else (FalsePositiveTarget(false_positives_per_hour),)),
    )


def describe_validations(output: Path, survey: Survey, targets: Sequence[Target] = ()) -> Iterator[str]:
    """Yield the estimates from the validations of a survey, as `validation_lines`.

    Args:
        output: folder of the run.
        survey: with all validations.
        targets: for each, a threshold is advised.
    """
    detections, hours = detections_at_threshold(survey.detections, survey.settings.rule.threshold), survey.analysed_s / 3600
    advice = {target: advise_threshold(detections, hours, target) for target in targets}
    yield from validation_lines(output, estimate_precision(detections, hours), advice)


def validation_lines(
    output: Path, estimates: SurveyEstimate, advice: Mapping[Target, ThresholdAdvice | NoThreshold]
) -> Iterator[str]:
    """Yield precision by score and overall, how many more reviews would narrow it, and advised thresholds.

    Args:
        output: folder of the run, for the commands that follow.
        estimates: from the validations.
        advice: for each target.
    """
    if not estimates.n_detections:
        yield "no detections, so there is nothing to review"
        return
    yield labelled_row("score", [_columns("found", "sampled", "yes", "no", "maybe") + "  precision (95 %)"])
    for stratum in reversed(estimates.strata):
        numbers = stratum.n_detections, stratum.n_sampled, stratum.n_yes, stratum.n_no, stratum.n_maybe
        cells = _columns(*(f"{number:,}" for number in numbers))
        yield labelled_row(_score_range(stratum), [f"{cells}  {_precision(stratum.precision)}"])
    yield labelled_row("all", _overall(estimates))
    n_more = n_to_review(estimates, _WANTED_HALF_WIDTH)
    yield from _sentences("next", _next_reviews(n_more, estimates))
    if n_more:
        yield _command(f"whalescan review {_quote(output)} --sample {estimates.n_sampled + n_more}")
    for target, found in advice.items():
        yield from _sentences("threshold", _threshold(target, found))
        if isinstance(found, ThresholdAdvice):
            yield _command(f"whalescan detect {_quote(output)} --threshold {threshold_text(found.threshold)}")


def _columns(*cells: str) -> str:
    return "".join(f"{cell:>9}" for cell in cells)


def _score_range(stratum: StratumEstimate) -> str:
    return f"{stratum.low_score:.2f}-{stratum.high_score:.2f}"


def _precision(precision: IntervalEstimate | None) -> str:
    return "unknown" if precision is None else f"{precision.value:.2f} ({precision.low:.2f}-{precision.high:.2f})"


def _sentences(label: str, sentences: Iterator[str]) -> Iterator[str]:
    if text := " ".join(sentences):
        yield labelled_row(label, wrap_sentence(text))


def _command(text: str) -> str:
    """Return a command on a line of its own, so that it can be copied."""
    return labelled_row("", [f"  {text}"])


def _quote(path: Path) -> str:
    return shlex.quote(str(path))


def _overall(estimates: SurveyEstimate) -> Iterator[str]:
    n_true, false = estimates.n_true_positives, estimates.false_positives_per_hour
    n = count(estimates.n_detections, "detection")
    if estimates.precision is None or n_true is None:
        share = 1 - estimates.covered_share
        yield from wrap_sentence(f"precision unknown: no sample is reviewed in the score ranges with {share:.0%} of the {n}")
        return
    yield f"precision {_precision(estimates.precision)}"
    yield f"{n_true.value:,.0f} of {n} are true positives ({n_true.low:,.0f}-{n_true.high:,.0f})"
    if false:
        yield f"{_false_positives(false)} per analysed hour"


def _false_positives(rate: IntervalEstimate) -> str:
    places = 2 if rate.high < 10 else 0
    value, low, high = (f"{one:,.{places}f}" for one in (rate.value, rate.low, rate.high))
    return f"{value} false positives ({low}-{high})"


def _next_reviews(n_more: int, estimates: SurveyEstimate) -> Iterator[str]:
    """Yield how many detections to review next, and which reviews are not used."""
    if n_more:
        yield (
            f"review {min(n_more, estimates.n_unreviewed):,} more of the sample to estimate the precision of all detections "
            f"to about ±{_WANTED_HALF_WIDTH:.2f}."
        )
    if estimates.n_outside_sample:
        yield f"{count(estimates.n_outside_sample, 'detection')} reviewed outside the random sample cannot be used here."


def _threshold(target: Target, found: ThresholdAdvice | NoThreshold) -> Iterator[str]:
    aim = (
        f"a precision of {target.precision:g}"
        if isinstance(target, PrecisionTarget)
        else f"at most {quantity(target.per_hour, 'false positive', 4)} per analysed hour"
    )
    if isinstance(found, NoThreshold):
        yield f"for {aim}: {found.reason}."
        if found.nearest:
            yield f"The nearest threshold is {threshold_text(found.nearest.threshold)}, which {_kept(found.nearest)}."
        return
    yield f"for {aim}: {threshold_text(found.threshold)} {_kept(found)}."
    if (interval := found.interval) is not None and interval.low != interval.high:
        low = threshold_text(interval.low)
        limits = f"at {low} or above, or at none"
        if interval.high is not None:
            limits = f"between {low} and {threshold_text(interval.high)}"
        yield f"As far as this sample shows, the target is reached at a threshold {limits}."
    if found.may_be_lower:
        yield "A lower threshold may reach it as well, but too few detections below are reviewed."


def _kept(advice: ThresholdAdvice) -> str:
    """Return what a threshold keeps, and how that is known."""
    rate = advice.false_positives_per_hour
    false = f" and {_false_positives(rate)} per analysed hour" if rate else ""
    return (
        f"keeps {count(advice.n_detections, 'detection')} with a precision of {_precision(advice.precision)}{false}, "
        f"estimated from {count(advice.n_decided, 'reviewed detection')} in {decimal(advice.analysed_hours, 1)} hours"
    )
