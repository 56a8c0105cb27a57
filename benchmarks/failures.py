"""Spectrograms of hits, misses and false alarms in annotated recordings, at the model's own threshold."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import whalescan
from benchmarks.table import Row
from whalescan.audio import reading
from whalescan.core import Annotation, Recording
from whalescan.detector.frontend import FrontEnd
from whalescan.detector.model_spec import FrontEndOptions
from whalescan.evaluation.comparison import EvaluationOptions, MatchEvent, RecordingEvaluation, compare_detections
from whalescan.evaluation.matching import MatchOutcome
from whalescan.evaluation.sources import AnnotationOptions, SourceOptions, read_annotations, read_detection_source

CONTEXT_S = 3.0
_KINDS = {
    MatchOutcome.TRUE_POSITIVE: "hit",
    MatchOutcome.FALSE_NEGATIVE: "miss",
    MatchOutcome.FALSE_POSITIVE: "false alarm",
}


def measure(folder: Path, ignored: tuple[Path, ...], figure_path: Path, each: int, model: str) -> list[Row]:
    """Return a row per picture, and draw them in the same order, a line for each kind.

    Hits are drawn evenly over the scores, misses in the order of time, false alarms by descending score.

    Args:
        folder: recordings with Raven tables beside them.
        ignored: Raven tables of selections to ignore.
        figure_path: PNG file to write.
        each: number of pictures of each kind.
        model: name or path of the model.
    """
    with tempfile.TemporaryDirectory() as out:
        whalescan.scan(folder, out, model="" if model == "default" else model)
        source = read_detection_source(Path(out), SourceOptions())
    recordings = [scored.recording for scored in source.recordings]
    annotations = read_annotations(folder, recordings, AnnotationOptions(ignored=ignored))
    found = compare_detections(source, annotations, EvaluationOptions())
    events = [(event, result.recording) for result in found.recordings for event in (*_hits(result), *result.errors())]
    figure = Figure(figsize=(2.6 * each, 2.3 * len(_KINDS)), layout="constrained")
    grid = figure.subplots(len(_KINDS), each, squeeze=False)
    rows: list[Row] = []
    for line, (outcome, kind) in zip(grid, _KINDS.items(), strict=True):
        of_kind = [event for event in events if event[0].outcome == outcome]
        shown = _chosen(of_kind, each)
        for axes in line[len(shown) :]:
            axes.axis("off")
        for axes, (event, recording) in zip(line, shown, strict=False):
            selection = event.selection
            _draw(axes, recording, selection)
            score = "" if selection.score is None else f" {selection.score:.2f}"
            axes.set_title(f"{kind}{score}: {recording.name[-15:]}, {selection.begin_s:.1f} s", fontsize=7)
            rows.append({"what": kind, "recording": recording.name, "begin": f"{selection.begin_s:.1f} s", "score": score})
    figure.supxlabel("seconds from the selection's middle", fontsize=8)
    figure.supylabel("Hz", fontsize=8)
    figure.savefig(figure_path, dpi=90)
    return rows


def _hits(result: RecordingEvaluation) -> list[MatchEvent]:
    """Return the true positives at the threshold of the evaluation."""
    return [
        event
        for event in result.events
        if event.outcome is MatchOutcome.TRUE_POSITIVE and (event.selection.score or 0) >= result.point.threshold
    ]


def _chosen(events: Sequence[tuple[MatchEvent, Recording]], n: int) -> list[tuple[MatchEvent, Recording]]:
    """Return some of the events of one kind."""
    if not events:
        return []
    if events[0][0].outcome == MatchOutcome.FALSE_NEGATIVE:
        return list(events[:n])
    by_score = sorted(events, key=lambda event: -(event[0].selection.score or 0))
    if events[0][0].outcome == MatchOutcome.FALSE_POSITIVE:
        return by_score[:n]
    places = np.linspace(0, len(by_score) - 1, min(n, len(by_score))).round().astype(int)
    return [by_score[place] for place in places.tolist()]


def _draw(axes: Axes, recording: Recording, selection: Annotation) -> None:
    """Draw six seconds of power over background, with begin and end of the selection."""
    options = FrontEndOptions()
    rate_hz, middle_s = options.rate_hz, (selection.begin_s + selection.end_s) / 2
    n = recording.n_samples(rate_hz)
    first, last = (round((middle_s + side * CONTEXT_S) * rate_hz) for side in (-1, 1))
    margin = options.background_frames * options.frame_hop_samples  # so that the background is that of a run
    begin, end = max(first - margin, 0), min(last + margin, n)
    samples = reading.read(recording, selection.channel, rate_hz, begin, end).samples
    power = FrontEnd(options).normalise(torch.from_numpy(samples)[None]).power[0]
    low_hz = (options.low_bin - 0.5) * options.bin_hz
    begin_s = (begin + options.fft_samples / 2) / rate_hz - middle_s
    end_s = begin_s + power.shape[-1] * options.frame_hop_samples / rate_hz
    extent = (begin_s, end_s, low_hz, low_hz + options.n_bins * options.bin_hz)
    axes.imshow(np.log(power + 0.05), origin="lower", aspect="auto", extent=extent, vmin=-1, vmax=4, cmap="gray_r")
    axes.set_xlim(max(first, 0) / rate_hz - middle_s, min(last, n) / rate_hz - middle_s)
    for edge_s in (selection.begin_s, selection.end_s):
        axes.axvline(edge_s - middle_s, color="tab:orange", linewidth=0.7)
    axes.tick_params(labelsize=6)
