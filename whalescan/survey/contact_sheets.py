"""Which calls a report shows, and their pictures."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from whalescan.core import Detection, FloatArray, RecordingError, TableError, WindowGrid
from whalescan.detections import stratified_sampling
from whalescan.report.report_data import Complexity, Exhibit, Sheet
from whalescan.report.spectrogram import Picture, picture
from whalescan.scores.score_file import read_complexity, score_path
from whalescan.survey.finished_run import Opened

_N_SHOWN = 12
"""Calls a sheet: enough to see what the detector takes for a call, few enough to look at all."""
_SHOWN_S = 6.0
"""Of sound, the call in the middle; longer where the call is."""
_MARGIN_S = 1.5
"""On both sides of a call, at least."""
_Stored = Callable[[Path], tuple[WindowGrid, FloatArray]]
_LOW_HZ, _HIGH_HZ = 0.0, 500.0
"""An upcall sweeps from 50 to 350 Hz."""


def sheets(opened: Opened, calls: Sequence[Detection]) -> tuple[Sheet, ...]:
    """The contact sheets of a survey; each call is on one of them at most, and a sheet without calls is left out.

    Args:
        opened: where sound and scores come from.
        calls: all of the survey, with what people said.
    """
    own = [call for call in calls if call.score is not None]
    standing = [call for call in own if call.review != "no"]
    chosen: list[tuple[str, str, Iterable[Detection]]] = [
        (
            "Highest scores",
            "The calls of which the detector is surest, those left out that people rejected.",
            _few(standing, lambda call: (-_score(call), call.detection_id)),
        ),
        (
            "At the threshold",
            "The detector's calls with the lowest scores, those left out that people rejected.",
            _few(
                stratified_sampling.found_at(standing, opened.kept.rule.threshold),
                lambda call: (_score(call), call.detection_id),
            ),
        ),
        (
            "Rejected by people",
            "What the detector took for a call, those of which it was surest first.",
            _few((call for call in own if call.review == "no"), lambda call: (-_score(call), call.detection_id)),
        ),
        (
            "Found by people",
            "Calls that the detector did not find.",
            _few((call for call in calls if call.score is None and call.review != "no"), _by_lot),
        ),
        (
            "A random sample",
            "Drawn from all calls by a hash of their ids, the same in every run; those above are left out.",
            _few(own, _by_lot),
        ),
    ]
    stored = lru_cache(maxsize=4)(read_complexity)  # the highest calls often lie in one recording, whose windows are many
    shown: set[str] = set()
    kept = []
    for title, rule, ones in chosen:
        news = [call for call in ones if call.detection_id not in shown]
        shown.update(call.detection_id for call in news)
        if news:
            kept.append((title, rule, news))
    with ThreadPoolExecutor() as pool:  # transforms and PNGs let go of Python's lock
        draw = partial(pool.map, lambda call: _exhibit(opened, call, stored))
        return tuple(Sheet(title, rule, tuple(draw(news))) for title, rule, news in kept)


def _few(calls: Iterable[Detection], key: Callable[[Detection], tuple[float | str, ...]]) -> list[Detection]:
    return heapq.nsmallest(_N_SHOWN, calls, key)


def _by_lot(call: Detection) -> tuple[str]:
    return (stratified_sampling.lot(call.detection_id).hex(),)


def _score(call: Detection) -> float:
    assert call.score is not None
    return call.score


def _exhibit(opened: Opened, call: Detection, stored: _Stored) -> Exhibit:
    recording = opened.by_name.get(call.recording)
    start_utc = recording.utc(call.begin_s) if recording else None
    margin_s = max(_MARGIN_S, (_SHOWN_S - (call.end_s - call.begin_s)) / 2)
    begin_s, end_s = max(call.begin_s - margin_s, 0.0), call.end_s + margin_s
    shown: Picture | None = None
    note = ""
    try:
        sound = opened.sound(call.recording, call.channel, begin_s, end_s, opened.kept.rate_hz)
    except RecordingError as error:
        note = str(error)
    else:
        shown = picture(sound, _LOW_HZ, max(_HIGH_HZ, 1.25 * call.high_hz))
        begin_s, end_s = shown.frame.begin_s, shown.frame.end_s
    return Exhibit(call, start_utc, shown, note, _complexity(opened, call, stored, begin_s, end_s))


def _complexity(opened: Opened, call: Detection, stored: _Stored, begin_s: float, end_s: float) -> Complexity | None:
    """Of the windows whose middles are shown; None where the scores are gone."""
    try:
        grid, values = stored(score_path(opened.output / "scores", call.recording, call.channel))
    except TableError:
        return None
    middles_s = (np.arange(len(values)) * grid.hop_samples + grid.window_samples / 2) / grid.rate_hz
    is_shown = (middles_s >= begin_s) & (middles_s <= end_s)
    return Complexity(middles_s[is_shown], values[is_shown])
