"""What people's judgements say of the detector, for a person to read."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from whalescan.core import UsageError
from whalescan.detections.precision_estimates import Estimated, Estimates, StratumEstimate, estimate, n_to_judge
from whalescan.detections.stratified_sampling import found_at
from whalescan.detections.threshold_advice import Advice, NoAdvice, WantedFalseAlarms, WantedPrecision, advise
from whalescan.report.text import threshold as as_said
from whalescan.survey.outputs import Survey
from whalescan.survey.text import count, row, wrapped

_SURE = 0.05
"""Half the width of an interval with which a survey can be content."""

Wanted = WantedPrecision | WantedFalseAlarms


def wishes(precision: float | None, false_per_hour: float | None) -> tuple[Wanted, ...]:
    """What is wished for; None for no such wish.

    Raises:
        UsageError: for what cannot be had.
    """
    if precision is not None and not 0 < precision <= 1:
        raise UsageError(f"--precision {precision:g} is no part of the calls; give one above 0 and at most 1")
    if false_per_hour is not None and not 0 < false_per_hour < math.inf:
        raise UsageError(f"--false-per-hour {false_per_hour:g} is no rate that a sample can show; give one above 0")
    return (
        *(() if precision is None else (WantedPrecision(precision),)),
        *(() if false_per_hour is None else (WantedFalseAlarms(false_per_hour),)),
    )


def what_people_said(output: Path, survey: Survey, wanted: Sequence[Wanted] = ()) -> Iterator[str]:
    """What the judgements of a survey say, as `judged_lines`.

    Args:
        output: folder of the run.
        survey: with all that was judged.
        wanted: for each, a threshold is advised.
    """
    calls, hours = found_at(survey.detections, survey.views.rule.threshold), survey.analysed_s / 3600
    yield from judged_lines(output, estimate(calls, hours), {wish: advise(calls, hours, wish) for wish in wanted})


def judged_lines(output: Path, estimates: Estimates, advice: Mapping[Wanted, Advice | NoAdvice]) -> Iterator[str]:
    """Precision by score and of all calls, how many judgements would tell it better, and thresholds for what is wanted.

    Args:
        output: folder of the run, for the commands to go on with.
        estimates: from the judged calls.
        advice: for each wish.
    """
    if not estimates.n_calls:
        yield "the detector found no call, so there is nothing to judge"
        return
    yield row("score", [_columns("calls", "drawn", "yes", "no", "maybe") + "  precision (95 %)"])
    for part in reversed(estimates.strata):
        numbers = part.n_calls, part.n_drawn, part.n_yes, part.n_no, part.n_maybe
        yield row(_span(part), [_columns(*(f"{number:,}" for number in numbers)) + f"  {_precision(part.precision)}"])
    yield row("all calls", _of_all(estimates))
    n_more = n_to_judge(estimates, _SURE)
    yield from _rows("to be surer", _surer(n_more, estimates))
    if n_more:
        yield _command(f"whalescan review {_quoted(output)} --sample {estimates.n_drawn + n_more}")
    for wanted, found in advice.items():
        yield from _rows("threshold", _threshold(wanted, found))
        if isinstance(found, Advice):
            yield _command(f"whalescan detect {_quoted(output)} --threshold {as_said(found.threshold)}")


def _columns(*cells: str) -> str:
    return "".join(f"{cell:>9}" for cell in cells)


def _span(part: StratumEstimate) -> str:
    return f"{part.low:.2f}-{part.high:.2f}"


def _precision(precision: Estimated | None) -> str:
    return "not known" if precision is None else f"{precision.value:.2f} ({precision.low:.2f}-{precision.high:.2f})"


def _rows(label: str, sentences: Iterator[str]) -> Iterator[str]:
    if text := " ".join(sentences):
        yield row(label, wrapped(text))


def _command(text: str) -> str:
    """A command in one line, and nothing behind it, so that it can be copied."""
    return row("", [f"  {text}"])


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _of_all(estimates: Estimates) -> Iterator[str]:
    true, false = estimates.n_true_calls, estimates.false_per_hour
    if estimates.precision is None or true is None:
        yield from wrapped(
            f"precision not known: nobody has judged a sample of the strata that hold {1 - estimates.covered:.0%} of the "
            f"{count(estimates.n_calls, 'call')}"
        )
        return
    yield f"precision {_precision(estimates.precision)}"
    yield f"{true.value:,.0f} of {count(estimates.n_calls, 'call')} are right ({true.low:,.0f}-{true.high:,.0f})"
    if false:
        yield f"{_false(false)} in an analysed hour"


def _false(rate: Estimated) -> str:
    value, low, high = (f"{one:.2f}" if rate.high < 10 else f"{one:,.0f}" for one in (rate.value, rate.low, rate.high))
    return f"{value} false calls ({low}-{high})"


def _surer(n_more: int, estimates: Estimates) -> Iterator[str]:
    """How many calls to judge, and which judgements do not help."""
    if n_more:
        yield (
            f"judge {min(n_more, estimates.n_unjudged):,} more of the sample to know the precision of all calls to about "
            f"±{_SURE:.2f}."
        )
    if estimates.n_chosen:
        yield (
            f"{count(estimates.n_chosen, 'judged call')} count{'s' if estimates.n_chosen == 1 else ''} for nothing here: "
            "what people choose to judge is not like the rest."
        )


def _threshold(wanted: Wanted, found: Advice | NoAdvice) -> Iterator[str]:
    wish = (
        f"a precision of {wanted.precision:g}"
        if isinstance(wanted, WantedPrecision)
        else f"at most {wanted.per_hour:g} false call{'' if wanted.per_hour == 1 else 's'} in an analysed hour"
    )
    if isinstance(found, NoAdvice):
        yield f"for {wish}: {found.why}."
        if found.best:
            yield f"The nearest is {as_said(found.best.threshold)}, which {_keeps(found.best)}."
        return
    yield f"for {wish}: {as_said(found.threshold)} {_keeps(found)}."
    if (interval := found.interval) is not None and interval.low != interval.high:
        where = f"from {as_said(interval.low)} up, or nowhere"
        if interval.high is not None:
            where = f"between {as_said(interval.low)} and {as_said(interval.high)}"
        yield f"As far as so many judgements tell, it lies {where}."
    if found.may_be_lower:
        yield "A lower one may do, too, but below too few are judged."


def _keeps(advice: Advice) -> str:
    """What is left from a threshold on, and how that is known."""
    false = f", {_false(advice.false_per_hour)} in an hour" if advice.false_per_hour else ""
    return (
        f"keeps {count(advice.n_calls, 'call')} with a precision of {_precision(advice.precision)}{false}, by "
        f"{count(advice.n_decided, 'judged call')} in {advice.analysed_hours:,.1f} analysed hours"
    )
