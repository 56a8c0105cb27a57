"""What people said of the detector's calls, and what that says of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from whalescan.detections.precision_estimates import Estimated, Estimates, StratumEstimate, estimate, n_to_judge
from whalescan.detections.stratified_sampling import found_at
from whalescan.detections.threshold_advice import Advice, NoAdvice, WantedFalseAlarms, WantedPrecision, advise
from whalescan.report import axes
from whalescan.report.axes import Scale
from whalescan.report.overview import analysed_s
from whalescan.report.report_data import ReportFacts
from whalescan.report.svg import Drawing, Figure, Mark, Path, Table, Text, px
from whalescan.report.text import count, percent, threshold

_WIDTH_PX, _LEFT_PX, _RIGHT_PX, _TOP_PX, _PITCH_PX = 900.0, 120.0, 640.0, 34.0, 26.0
_CAP_PX, _POINT_PX = 4.0, 4.0
_HALF_WIDTH = 0.05
_WANTED_PRECISION, _WANTED_PER_HOUR = 0.9, 1.0


@dataclass(frozen=True, slots=True)
class Judged:
    """What there is to say, and to show.

    Attributes:
        lines: paragraphs.
        figure: None where nothing can be said of any stratum.
    """

    lines: tuple[str, ...]
    figure: Figure | None


def judged(facts: ReportFacts) -> Judged:
    """Precision by score and of the whole survey, as far as the judged sample tells, and thresholds to choose."""
    calls, hours = found_at(facts.calls, facts.threshold), analysed_s(facts) / 3600
    known = estimate(calls, hours)
    if not known.n_calls:
        return Judged(("The detector found no call, so there is nothing to judge.",), None)
    lines = [_sample(known, len({call.label for call in calls})), *_survey_wide(known)]
    if known.n_drawn:
        lines += [
            _advised(
                f"For at least {100 * _WANTED_PRECISION:g} % of the calls to be right",
                advise(calls, hours, WantedPrecision(_WANTED_PRECISION)),
            ),
            _advised(
                f"For at most {_WANTED_PER_HOUR:g} false call an analysed hour",
                advise(calls, hours, WantedFalseAlarms(_WANTED_PER_HOUR)),
            ),
        ]
    more = min(n_to_judge(known, _HALF_WIDTH), known.n_unjudged)
    if more:
        lines.append(
            f"About {count(more, 'more judgement')}, in the order that whalescan review proposes, would tell the "
            f"precision to ±{_HALF_WIDTH:g}."
        )
    return Judged(tuple(lines), _figure(known) if known.covered else None)


def _sample(known: Estimates, n_classes: int) -> str:
    found = f"{count(known.n_calls, 'call')}{' of all classes' if n_classes > 1 else ''} that the detector found"
    chosen = (
        f" {count(known.n_chosen, 'other')} {'was' if known.n_chosen == 1 else 'were'} judged, too, but chosen by people; "
        "nothing is estimated from them."
        if known.n_chosen
        else ""
    )
    if not known.n_drawn:
        return f"Of {found}, none is judged as part of a random sample.{chosen}"
    drawn = f"{known.n_drawn:,} ({percent(known.n_drawn, known.n_calls)}) {'is' if known.n_drawn == 1 else 'are'}"
    return f"Of {found}, {drawn} judged as part of a random sample, stratified by score.{chosen}"


def _survey_wide(known: Estimates) -> Iterator[str]:
    """The values for all calls, or why there are none."""
    if known.precision is None or known.n_true_calls is None:
        if known.n_drawn:
            yield (
                f"There is no precision of the whole survey yet: {percent(known.covered, 1)} of its calls have scores of "
                "which people have judged a sample."
            )
        return
    rate = f" False calls in an analysed hour: {_said(known.false_per_hour, '.2f')}." if known.false_per_hour else ""
    yield (
        f"Precision of all calls, each stratum weighted by its calls: {_said(known.precision, '.3f')}. True calls among "
        f"them: {_said(known.n_true_calls, ',.0f')}.{rate} In brackets are 95 % intervals."
    )


def _said(value: Estimated, digits: str) -> str:
    return f"{value.value:{digits}} ({value.low:{digits}} to {value.high:{digits}})"


def _advised(wanted: str, advice: Advice | NoAdvice) -> str:
    """The threshold from which on something holds."""
    if isinstance(advice, NoAdvice):
        return f"{wanted}: {advice.why}."
    others = ""
    if advice.interval is not None and advice.interval.low != advice.interval.high:
        high = "none at all" if advice.interval.high is None else threshold(advice.interval.high)
        others = f" (as far as judgements tell, {threshold(advice.interval.low)} to {high})"
    lower = " A lower one may do, too, but too few calls below it are judged." if advice.may_be_lower else ""
    return (
        f"{wanted}: threshold {threshold(advice.threshold)}{others}, which keeps {count(advice.n_calls, 'call')} with a "
        f"precision of {_said(advice.precision, '.3f')}; from {count(advice.n_decided, 'judgement')}.{lower}"
    )


def _figure(known: Estimates) -> Figure:
    caption = (
        "Part of the detector's calls that people confirmed, by score, with 95 % intervals; calls in doubt count neither "
        "way. Square: of all calls together."
    )
    return Figure("precision", "Precision by score", caption, _drawing(known), _table(known))


def _drawing(known: Estimates) -> Drawing:
    rows = [(_scores(one), one.precision, _of(one)) for one in known.strata]
    foot = _TOP_PX + (len(rows) + bool(known.precision)) * _PITCH_PX
    x = Scale(0, 1, _LEFT_PX, _RIGHT_PX)
    grid = "".join(f"M{px(x(i / 10))} {px(_TOP_PX)}V{px(foot)}" for i in range(0, 11, 2))
    marks: list[Mark] = [Path(grid, "grid"), Text(0, _TOP_PX - 12, "score", role="soft")]
    marks.append(Text(_RIGHT_PX + 20, _TOP_PX - 12, "confirmed of decided, of all", role="soft"))
    for place, (name, value, note) in enumerate(rows):
        marks += _row(_TOP_PX + (place + 0.5) * _PITCH_PX, name, value, note, x, "point")
    if known.precision is not None:
        note = f"{known.precision.value:.3f} ({known.precision.low:.3f} to {known.precision.high:.3f})"
        marks += _row(foot - 0.5 * _PITCH_PX, "all", known.precision, note, x, "total")
    marks += axes.bottom_axis(x, foot, [(i / 10, f"{i / 10:.1f}") for i in range(0, 11, 2)], "precision")
    words = "; ".join(f"{name}: {_said(value, '.2f')}" for name, value, _ in rows if value)
    return Drawing("Precision by score", f"{words}.", _WIDTH_PX, foot + 44, tuple(marks))


def _scores(one: StratumEstimate) -> str:
    return f"{one.low:g} to {one.high:g}"


def _of(one: StratumEstimate) -> str:
    if one.precision is None:
        return f"none judged, of {one.n_calls:,}"
    return f"{one.n_yes:,} of {one.n_yes + one.n_no:,}, of {one.n_calls:,}"


def _row(y: float, name: str, value: Estimated | None, note: str, x: Scale, role: str) -> list[Mark]:
    """A stratum: its scores, its interval, its counts."""
    marks: list[Mark] = [Text(0, y + 4, name), Text(_RIGHT_PX + 20, y + 4, note, role="soft")]
    if value is None:
        return marks
    ends = "".join(f"M{px(x(end))} {px(y - _CAP_PX)}v{px(2 * _CAP_PX)}" for end in (value.low, value.high))
    marks.append(Path(f"M{px(x(value.low))} {px(y)}H{px(x(value.high))}{ends}", "interval"))
    half = _POINT_PX + (2 if role == "total" else 0)
    corner = f"M{px(x(value.value) - half)} {px(y)}"
    marks.append(
        Path(f"{corner}v{px(-half)}h{px(2 * half)}v{px(2 * half)}h{px(-2 * half)}z", role)
        if role == "total"
        else Path(
            f"{corner}a{px(half)} {px(half)} 0 1 0 {px(2 * half)} 0a{px(half)} {px(half)} 0 1 0 {px(-2 * half)} 0", role
        )
    )
    return marks


def _table(known: Estimates) -> Table:
    columns = ("Score", "Calls", "Drawn", "Confirmed", "Rejected", "In doubt", "Precision", "95 % from", "95 % to")
    counts = ((one.n_calls, one.n_drawn, one.n_yes, one.n_no, one.n_maybe) for one in known.strata)
    rows = [
        (_scores(one), *(f"{n:,}" for n in some), *_cells(one.precision))
        for one, some in zip(known.strata, counts, strict=True)
    ]
    sums = (sum(column) for column in zip(*((one.n_yes, one.n_no, one.n_maybe) for one in known.strata), strict=True))
    rows.append(("all", f"{known.n_calls:,}", f"{known.n_drawn:,}", *(f"{n:,}" for n in sums), *_cells(known.precision)))
    return Table(columns, tuple(rows))


def _cells(value: Estimated | None) -> tuple[str, str, str]:
    return ("-", "-", "-") if value is None else (f"{value.value:.3f}", f"{value.low:.3f}", f"{value.high:.3f}")
