"""Placement of training windows in an annotated recording: around calls, around rejected selections, over background.

Pure arithmetic. All positions are samples at the rate of the model, from the first sample of the recording.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whalescan.core import FloatArray, IntArray
from whalescan.training.examples import ExampleLabel, ExtractionOptions

MARGIN_S = 0.5
"""Distance of background from every selection: boxes are drawn by hand, and calls have echoes."""
_CUT_OFF = 0.1
"""Largest share of a selection, not longer than a window, that a shifted window may cut off."""
_BACKGROUND = -1
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LabelledSelection:
    """A selection and the meaning of its label.

    Attributes:
        begin, end: ``0 <= begin < end <= length of the recording``; fractions of samples are possible.
        channel: 1-based.
        example_label: call, no call, uncertain, or of another class.
        name: class of the call.
    """

    begin: float
    end: float
    channel: int
    example_label: ExampleLabel
    name: str


@dataclass(frozen=True, slots=True)
class WindowPlacement:
    """Positions of the windows of one recording, in the order of channels and begins.

    Attributes:
        begins: int64 ``[n]``, first sample of each window.
        channels: int64 ``[n]``, 1-based.
        targets: float32 ``[n, n_classes]``.
        selection_index: int64 ``[n]``, the selection (counted from 0) of the window; -1 for background.
    """

    begins: IntArray
    channels: IntArray
    targets: FloatArray
    selection_index: IntArray


def place_windows(
    selections: Sequence[LabelledSelection], n_samples: int, extraction: ExtractionOptions, random: np.random.Generator
) -> WindowPlacement:
    """Return windows around calls, around rejected selections, and over background.

    A window around a call overlaps no uncertain selection. A window around a rejected selection overlaps neither calls nor
    uncertain selections. Background has a distance of `MARGIN_S` from every selection and does not overlap other background.
    Every window lies completely within the recording.

    Args:
        selections: selections of one recording in all its channels, as hydrophones of one recording receive the same calls.
        n_samples: length of the recording, at least one window.
        extraction: classes, lengths, and amount of background.
        random: random generator; the same state gives the same placement.
    """
    around = _around_selections(selections, n_samples, extraction, random)
    calls = [selection for selection in selections if selection.example_label == ExampleLabel.CALL]
    n_background = (
        round(extraction.data_options.background_per_call * len(calls))
        if calls
        else extraction.data_options.least_background
    )
    occupied = _edges(selections) + np.array([[-MARGIN_S], [MARGIN_S]]) * extraction.rate_hz
    call_channels = [call.channel for call in calls] or [1]
    background = [
        (call_channels[random.integers(len(call_channels))], begin, _BACKGROUND)
        for begin in _background(occupied, n_samples, n_background, extraction.window_samples, random)
    ]
    channels, begins, selection_index = np.array(sorted(around + background), np.int64).reshape(-1, 3).T
    return WindowPlacement(begins, channels, _targets(calls, begins, extraction), selection_index)


def _around_selections(
    selections: Sequence[LabelledSelection], n_samples: int, extraction: ExtractionOptions, random: np.random.Generator
) -> list[tuple[int, int, int]]:
    """Return channel, first sample and index of the selection, for each window around a call or a rejected selection."""
    edges = _edges(selections)
    is_call = np.array([s.example_label == ExampleLabel.CALL for s in selections], np.bool_)
    is_rejected = np.array([s.example_label == ExampleLabel.NO_CALL for s in selections], np.bool_)
    is_uncertain = ~is_call & ~is_rejected
    windows = []
    for i, selection in enumerate(selections):
        if is_uncertain[i]:
            continue
        avoided = is_uncertain if is_call[i] else is_uncertain | is_call
        begins = _around(selection, n_samples, extraction.window_samples, random)
        overlaps = [(_overlap(edges, begin, extraction.window_samples)[avoided] > 0).any() for begin in begins]
        windows += [(selection.channel, begin, i) for begin, is_bad in zip(begins, overlaps, strict=True) if not is_bad]
    return windows


def _around(selection: LabelledSelection, n_samples: int, window: int, random: np.random.Generator) -> list[int]:
    """Return the first samples of the windows of a selection: one around its middle, several along a longer call.

    Each window is shifted at random, so that the network does not learn a fixed position. The middle of the selection stays
    in its window, and the middle of each of several windows stays in the selection.
    """
    length = selection.end - selection.begin
    n = math.ceil(length / window) if selection.example_label == ExampleLabel.CALL else 1
    step = length / n
    middles = selection.begin + step * (np.arange(n) + 0.5)
    slack = min(window / 4, (window - length) / 2 + _CUT_OFF * length) if length <= window else step / 4
    begins = middles - window / 2 + random.uniform(-slack, slack, n)
    return [round(begin) for begin in np.clip(begins, 0, n_samples - window)]


def _targets(calls: Sequence[LabelledSelection], begins: IntArray, extraction: ExtractionOptions) -> FloatArray:
    """Return targets ``[n, n_classes]``: 1 where half of a call lies in the window, or a call fills half of it."""
    edges = _edges(calls)
    least_overlap = np.minimum(edges[1] - edges[0], extraction.window_samples) / 2
    columns = np.array([extraction.classes.index(call.name) for call in calls], np.int64)
    targets = np.zeros((len(begins), len(extraction.classes)), np.float32)
    for target, begin in zip(targets, begins, strict=True):
        target[columns[_overlap(edges, int(begin), extraction.window_samples) >= least_overlap]] = 1
    return targets


def _edges(selections: Sequence[LabelledSelection]) -> Doubles:
    """Return begins and ends ``[2, n]``."""
    return np.array([[s.begin for s in selections], [s.end for s in selections]], np.float64)


def _overlap(edges: Doubles, begin: int, window: int) -> Doubles:
    """Return the samples of overlap of each selection with a window; minus the distance where they do not overlap."""
    overlap: Doubles = np.minimum(edges[1], begin + window) - np.maximum(edges[0], begin)
    return overlap


def _background(occupied: Doubles, n_samples: int, n: int, window: int, random: np.random.Generator) -> list[int]:
    """Return the first samples of at most ``n`` windows, uniformly distributed, that overlap nothing and not each other."""
    first, last = _free_begins(occupied, n_samples, window)
    begins: list[int] = []
    while len(begins) < n and len(first):
        n_possible = np.cumsum(last - first + 1)
        chosen = int(random.integers(n_possible[-1]))
        i = int(np.searchsorted(n_possible, chosen, side="right"))
        begin = int(last[i] - (n_possible[i] - 1 - chosen))
        begins.append(begin)
        first, last = np.insert(first, i + 1, begin + window), np.insert(last, i, begin - window)
        is_possible = last >= first
        first, last = first[is_possible], last[is_possible]
    return begins


def _free_begins(occupied: Doubles, n_samples: int, window: int) -> tuple[IntArray, IntArray]:
    """Return the first and last samples of the spans in which a window may begin."""
    begin, end = occupied[:, np.argsort(occupied[0], kind="stable")]
    first = np.ceil(np.maximum.accumulate(np.append(0.0, end))).astype(np.int64)
    last = np.append(np.floor(begin).astype(np.int64), n_samples) - window
    is_possible = last >= first
    return first[is_possible], last[is_possible]
