"""Where windows are cut from a recording in which people selected calls. Pure arithmetic.

All positions are samples at the model's rate from the recording's first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whalescan.core import FloatArray, IntArray
from whalescan.training.examples import CutPlan, Verdict

MARGIN_S = 0.5
"""Background keeps this distance from every selection: boxes are drawn by hand, and calls have echoes."""
_CUT_OFF = 0.1
"""Largest part of a selection, not longer than a window, that a shifted window may cut off."""
_BACKGROUND = -1
_JUDGED = (Verdict.CALL, Verdict.NO_CALL)
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Selected:
    """A selection and what it says.

    Attributes:
        begin, end: ``0 <= begin < end <= length of the recording``; fractions of samples are possible.
        channel: 1-based.
        verdict: call, no call, or neither (uncertain, foreign).
        name: class of the call.
    """

    begin: float
    end: float
    channel: int
    verdict: Verdict
    name: str


@dataclass(frozen=True, slots=True)
class Places:
    """Where the windows of one recording lie, in the order of their channels and begins.

    Attributes:
        begins: int64 ``[n]``, first sample of each.
        channels: int64 ``[n]``, 1-based.
        targets: float32 ``[n, n_classes]``.
        shown: int64 ``[n]``, the selection (counted from 0) that the window was laid around; -1 for background.
    """

    begins: IntArray
    channels: IntArray
    targets: FloatArray
    shown: IntArray


def lay(selections: Sequence[Selected], n_samples: int, plan: CutPlan, random: np.random.Generator) -> Places:
    """Lay windows around calls, around what a reviewer rejected, and over background.

    A window around a call overlaps no uncertain selection; one around a rejected selection overlaps neither calls nor
    uncertain ones; background keeps `MARGIN_S` from every selection and does not overlap other background. Every window
    lies wholly in the recording.

    Args:
        selections: of one recording, from all its channels: hydrophones of one recording hear the same sea.
        n_samples: length of the recording, at least one window.
        plan: classes, lengths, and how much background.
        random: decides on the places; the same state gives the same ones.
    """
    around = _around_selections(selections, n_samples, plan, random)
    calls = [selection for selection in selections if selection.verdict == Verdict.CALL]
    n_background = round(plan.options.background_per_call * len(calls)) if calls else plan.options.least_background
    taken = _edges(selections) + np.array([[-MARGIN_S], [MARGIN_S]]) * plan.rate_hz
    heard = [call.channel for call in calls] or [1]
    background = [
        (heard[random.integers(len(heard))], at, _BACKGROUND)
        for at in _background(taken, n_samples, n_background, plan.window_samples, random)
    ]
    channels, begins, shown = np.array(sorted(around + background), np.int64).reshape(-1, 3).T
    return Places(begins, channels, _targets(calls, begins, plan), shown)


def _around_selections(
    selections: Sequence[Selected], n_samples: int, plan: CutPlan, random: np.random.Generator
) -> list[tuple[int, int, int]]:
    """Channel, first sample and number of the selection, for each window around a call or a rejected selection."""
    edges = _edges(selections)
    is_call, is_none = (np.array([s.verdict == verdict for s in selections], np.bool_) for verdict in _JUDGED)
    is_other = ~is_call & ~is_none
    places = []
    for i, selection in enumerate(selections):
        if is_other[i]:
            continue
        forbidden = is_other if is_call[i] else is_other | is_call
        begins = _around(selection, n_samples, plan.window_samples, random)
        clear = [at for at in begins if not (_shared(edges, at, plan.window_samples)[forbidden] > 0).any()]
        places += [(selection.channel, at, i) for at in clear]
    return places


def _around(selection: Selected, n_samples: int, window: int, random: np.random.Generator) -> list[int]:
    """First samples of the windows that show a selection: one around its middle, several along a call that is longer.

    Each is shifted at random: a call that always lies in the middle would teach where it lies. The selection's middle
    stays in its window, and the middle of each of several windows stays in the selection.
    """
    length = selection.end - selection.begin
    n = math.ceil(length / window) if selection.verdict == Verdict.CALL else 1
    step = length / n
    middles = selection.begin + step * (np.arange(n) + 0.5)
    slack = min(window / 4, (window - length) / 2 + _CUT_OFF * length) if length <= window else step / 4
    begins = middles - window / 2 + random.uniform(-slack, slack, n)
    return [round(at) for at in np.clip(begins, 0, n_samples - window)]


def _targets(calls: Sequence[Selected], begins: IntArray, plan: CutPlan) -> FloatArray:
    """Which classes each window holds: those with half of a call in it, or with a call that fills half of it."""
    edges = _edges(calls)
    enough = np.minimum(edges[1] - edges[0], plan.window_samples) / 2
    columns = np.array([plan.classes.index(call.name) for call in calls], np.int64)
    targets = np.zeros((len(begins), len(plan.classes)), np.float32)
    for target, at in zip(targets, begins, strict=True):
        target[columns[_shared(edges, int(at), plan.window_samples) >= enough]] = 1
    return targets


def _edges(selections: Sequence[Selected]) -> Doubles:
    """Begins and ends ``[2, n]``."""
    return np.array([[s.begin for s in selections], [s.end for s in selections]], np.float64)


def _shared(edges: Doubles, at: int, window: int) -> Doubles:
    """Samples that each selection shares with the window at ``at``; minus the distance of those that share none."""
    shared: Doubles = np.minimum(edges[1], at + window) - np.maximum(edges[0], at)
    return shared


def _background(taken: Doubles, n_samples: int, n: int, window: int, random: np.random.Generator) -> list[int]:
    """First samples of at most ``n`` windows that overlap neither what is taken nor one another, each place as likely."""
    first, last = _free(taken, n_samples, window)
    drawn: list[int] = []
    while len(drawn) < n and len(first):
        upto = np.cumsum(last - first + 1)
        place = int(random.integers(upto[-1]))
        i = int(np.searchsorted(upto, place, side="right"))
        at = int(last[i] - (upto[i] - 1 - place))
        drawn.append(at)
        first, last = np.insert(first, i + 1, at + window), np.insert(last, i, at - window)
        left = last >= first
        first, last = first[left], last[left]
    return drawn


def _free(taken: Doubles, n_samples: int, window: int) -> tuple[IntArray, IntArray]:
    """First and last of the samples at which a window may begin, stretch by stretch."""
    begin, end = taken[:, np.argsort(taken[0], kind="stable")]
    first = np.ceil(np.maximum.accumulate(np.append(0.0, end))).astype(np.int64)
    last = np.append(np.floor(begin).astype(np.int64), n_samples) - window
    left = last >= first
    return first[left], last[left]
