"""Section on validations: precision by score and of the survey, from the reviewed sample, and advised thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from whalescan.core.text import count, percent, threshold_text
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
from whalescan.report.report_data import ReportData
from whalescan.report.svg import Drawing, Figure, Scale, SvgElement, SvgPath, SvgText, Table, bottom_axis, px

_WIDTH_PX, _LEFT_PX, _RIGHT_PX, _TOP_PX, _PITCH_PX = 900.0, 120.0, 640.0, 34.0, 26.0
_CAP_PX, _POINT_PX = 4.0, 4.0
_HALF_WIDTH = 0.05
_TARGET_PRECISION, _TARGET_PER_HOUR = 0.9, 1.0


@dataclass(frozen=True, slots=True)
class ValidationSection:
    """Text and figure of the section.

    Attributes:
        paragraphs: its text.
        figure: None where no stratum has a precision.
    """

    paragraphs: tuple[str, ...]
    figure: Figure | None


def validation_section(data: ReportData) -> ValidationSection:
    """Return precision by score and of the survey, as far as the reviewed sample gives it, and advised thresholds."""
    detections, hours = detections_at_threshold(data.detections, data.threshold), data.analysed_s / 3600
    estimate = estimate_precision(detections, hours)
    if not estimate.n_detections:
        return ValidationSection(("The detector found nothing, so there is nothing to review.",), None)
    n_classes = len({detection.label for detection in detections})
    paragraphs = [_sample_paragraph(estimate, n_classes), *_survey_paragraphs(estimate)]
    if estimate.n_sampled:
        paragraphs += [
            _threshold_paragraph(
                f"For a precision of at least {_TARGET_PRECISION:g}",
                advise_threshold(detections, hours, PrecisionTarget(_TARGET_PRECISION)),
            ),
            _threshold_paragraph(
                f"For at most {_TARGET_PER_HOUR:g} false positive per analysed hour",
                advise_threshold(detections, hours, FalsePositiveTarget(_TARGET_PER_HOUR)),
            ),
        ]
    n_more = min(n_to_review(estimate, _HALF_WIDTH), estimate.n_unreviewed)
    if n_more:
        paragraphs.append(
            f"Reviewing about {count(n_more, 'more detection')} of the random sample (whalescan review --sample) would "
            f"estimate the precision to ±{_HALF_WIDTH:g}."
        )
    return ValidationSection(tuple(paragraphs), _figure(estimate) if estimate.covered_share else None)


def _sample_paragraph(estimate: SurveyEstimate, n_classes: int) -> str:
    detections = f"{count(estimate.n_detections, 'detection')}{' of all classes' if n_classes > 1 else ''}"
    outside = (
        f" {count(estimate.n_outside_sample, 'other')} {'was' if estimate.n_outside_sample == 1 else 'were'} reviewed "
        "outside the sample; estimates do not use them."
        if estimate.n_outside_sample
        else ""
    )
    if not estimate.n_sampled:
        return f"Of {detections}, none is reviewed as part of a random sample.{outside}"
    share = percent(estimate.n_sampled, estimate.n_detections)
    sampled = f"{estimate.n_sampled:,} ({share}) {'is' if estimate.n_sampled == 1 else 'are'}"
    return f"Of {detections}, {sampled} reviewed as part of a random sample, stratified by score.{outside}"


def _survey_paragraphs(estimate: SurveyEstimate) -> Iterator[str]:
    """Return the estimates for all detections, or why there are none."""
    if estimate.precision is None or estimate.n_true_positives is None:
        if estimate.n_sampled:
            yield (
                f"The precision of the whole survey is not known yet: {percent(estimate.covered_share, 1)} of its "
                "detections have scores of which a sample is reviewed."
            )
        return
    rate = ""
    if estimate.false_positives_per_hour:
        rate = f" False positives per analysed hour: {_interval_text(estimate.false_positives_per_hour, '.2f')}."
    yield (
        f"Precision of all detections, each stratum weighted by its detections: "
        f"{_interval_text(estimate.precision, '.3f')}. True positives: "
        f"{_interval_text(estimate.n_true_positives, ',.0f')}.{rate} 95 % confidence intervals are in brackets."
    )


def _interval_text(estimate: IntervalEstimate, digits: str) -> str:
    return f"{estimate.value:{digits}} ({estimate.low:{digits}} to {estimate.high:{digits}})"


def _threshold_paragraph(target: str, advice: ThresholdAdvice | NoThreshold) -> str:
    """Return the threshold that meets a target, or why there is none."""
    if isinstance(advice, NoThreshold):
        return f"{target}: {advice.reason}."
    interval = ""
    if advice.interval is not None and advice.interval.low != advice.interval.high:
        low = threshold_text(advice.interval.low)
        interval = f" (95 % interval: {low} or higher, or no threshold)"
        if advice.interval.high is not None:
            interval = f" (95 % interval: {low} to {threshold_text(advice.interval.high)})"
    lower = ""
    if advice.may_be_lower:
        lower = " A lower threshold may meet it, too, but too few detections below it are reviewed."
    return (
        f"{target}: threshold {threshold_text(advice.threshold)}{interval}, which keeps "
        f"{count(advice.n_detections, 'detection')} with a precision of {_interval_text(advice.precision, '.3f')}; from "
        f"{count(advice.n_decided, 'review')}.{lower}"
    )


def _figure(estimate: SurveyEstimate) -> Figure:
    caption = (
        "Share of the detector's detections that reviewers confirmed, by score, with 95 % confidence intervals; maybe "
        "counts neither way. Square: all detections together."
    )
    return Figure("precision", "Precision by score", caption, _drawing(estimate), _table(estimate))


def _drawing(estimate: SurveyEstimate) -> Drawing:
    rows = [(_score_range(stratum), stratum.precision, _counts_text(stratum)) for stratum in estimate.strata]
    base = _TOP_PX + (len(rows) + bool(estimate.precision)) * _PITCH_PX
    x = Scale(0, 1, _LEFT_PX, _RIGHT_PX)
    grid = "".join(f"M{px(x(i / 10))} {px(_TOP_PX)}V{px(base)}" for i in range(0, 11, 2))
    elements: list[SvgElement] = [SvgPath(grid, "grid"), SvgText(0, _TOP_PX - 12, "score", role="soft")]
    elements.append(SvgText(_RIGHT_PX + 20, _TOP_PX - 12, "confirmed of decided, of all", role="soft"))
    for number, (name, precision, note) in enumerate(rows):
        elements += _row(_TOP_PX + (number + 0.5) * _PITCH_PX, name, precision, note, x, "point")
    if estimate.precision is not None:
        note = f"{estimate.precision.value:.3f} ({estimate.precision.low:.3f} to {estimate.precision.high:.3f})"
        elements += _row(base - 0.5 * _PITCH_PX, "all", estimate.precision, note, x, "total")
    elements += bottom_axis(x, base, [(i / 10, f"{i / 10:.1f}") for i in range(0, 11, 2)], "precision")
    description = "; ".join(f"{name}: {_interval_text(precision, '.2f')}" for name, precision, _ in rows if precision)
    return Drawing("Precision by score", f"{description}.", _WIDTH_PX, base + 44, tuple(elements))


def _score_range(stratum: StratumEstimate) -> str:
    return f"{stratum.low_score:g} to {stratum.high_score:g}"


def _counts_text(stratum: StratumEstimate) -> str:
    if stratum.precision is None:
        return f"none reviewed, of {stratum.n_detections:,}"
    return f"{stratum.n_yes:,} of {stratum.n_yes + stratum.n_no:,}, of {stratum.n_detections:,}"


def _row(y: float, name: str, precision: IntervalEstimate | None, note: str, x: Scale, role: str) -> list[SvgElement]:
    """Return a row of the figure: its name, its interval and its counts."""
    elements: list[SvgElement] = [SvgText(0, y + 4, name), SvgText(_RIGHT_PX + 20, y + 4, note, role="soft")]
    if precision is None:
        return elements
    caps = "".join(f"M{px(x(end))} {px(y - _CAP_PX)}v{px(2 * _CAP_PX)}" for end in (precision.low, precision.high))
    elements.append(SvgPath(f"M{px(x(precision.low))} {px(y)}H{px(x(precision.high))}{caps}", "interval"))
    half = _POINT_PX + (2 if role == "total" else 0)
    corner = f"M{px(x(precision.value) - half)} {px(y)}"
    square = f"{corner}v{px(-half)}h{px(2 * half)}v{px(2 * half)}h{px(-2 * half)}z"
    circle = f"{corner}a{px(half)} {px(half)} 0 1 0 {px(2 * half)} 0a{px(half)} {px(half)} 0 1 0 {px(-2 * half)} 0"
    return [*elements, SvgPath(square if role == "total" else circle, role)]


def _table(estimate: SurveyEstimate) -> Table:
    columns = ("Score", "Detections", "Sampled", "Confirmed", "Rejected", "Maybe", "Precision", "95 % from", "95 % to")
    counts = [
        (stratum.n_detections, stratum.n_sampled, stratum.n_yes, stratum.n_no, stratum.n_maybe)
        for stratum in estimate.strata
    ]
    rows = [
        (_score_range(stratum), *(f"{n:,}" for n in some), *_precision_cells(stratum.precision))
        for stratum, some in zip(estimate.strata, counts, strict=True)
    ]
    totals = (sum(column) for column in zip(*counts, strict=True))
    rows.append(("all", *(f"{n:,}" for n in totals), *_precision_cells(estimate.precision)))
    return Table(columns, tuple(rows))


def _precision_cells(precision: IntervalEstimate | None) -> tuple[str, str, str]:
    if precision is None:
        return "-", "-", "-"
    return f"{precision.value:.3f}", f"{precision.low:.3f}", f"{precision.high:.3f}"
