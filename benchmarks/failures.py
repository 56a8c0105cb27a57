"""Spectrograms of the model's errors in annotated recordings: false negatives and false positives, at its own threshold."""

from __future__ import annotations

import tempfile
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
from whalescan.evaluation.comparison import EvaluationOptions, compare_detections
from whalescan.evaluation.sources import AnnotationOptions, SourceOptions, read_annotations, read_detection_source

CONTEXT_S = 3.0
COLUMNS = 5
MAX_SHOWN = 20


def measure(folder: Path, ignored: tuple[Path, ...], figure_path: Path) -> list[Row]:
    """Return a row per error, false positives by descending score, and draw them in the same order."""
    with tempfile.TemporaryDirectory() as out:
        whalescan.scan(folder, out)
        source = read_detection_source(Path(out), SourceOptions())
    recordings = [scored.recording for scored in source.recordings]
    annotations = read_annotations(folder, recordings, AnnotationOptions(ignored=ignored))
    found = compare_detections(source, annotations, EvaluationOptions())
    errors = [
        (event.outcome.value, event.selection, result.recording) for result in found.recordings for event in result.errors()
    ]
    errors.sort(key=lambda error: (error[0], -(error[1].score or 0)))
    shown = errors[:MAX_SHOWN]
    figure = Figure(figsize=(2.6 * COLUMNS, 2.2 * -(-len(shown) // COLUMNS)), layout="constrained")
    grid = figure.subplots(-(-len(shown) // COLUMNS), COLUMNS, squeeze=False).ravel()
    for axes, (kind, selection, recording) in zip(grid, shown, strict=False):
        _draw(axes, recording, selection)
        score = "" if selection.score is None else f" {selection.score:.2f}"
        axes.set_title(f"{kind}{score}: {recording.name[-15:]}, {selection.begin_s:.1f} s", fontsize=7)
    for axes in grid[len(shown) :]:
        axes.axis("off")
    figure.supxlabel("seconds from the selection's middle", fontsize=8)
    figure.supylabel("Hz", fontsize=8)
    figure.savefig(figure_path, dpi=90)
    return [
        {"what": kind, "recording": recording.name, "begin": f"{selection.begin_s:.1f} s", "score": selection.score or ""}
        for kind, selection, recording in shown
    ]


def _draw(axes: Axes, recording: Recording, selection: Annotation) -> None:
    """Draw six seconds of normalised power, with begin and end of the selection."""
    options = FrontEndOptions()
    rate_hz, middle_s = options.rate_hz, (selection.begin_s + selection.end_s) / 2
    first = max(round((middle_s - CONTEXT_S) * rate_hz), 0)
    last = min(round((middle_s + CONTEXT_S) * rate_hz), recording.n_samples(rate_hz))
    segment = reading.read(recording, selection.channel, rate_hz, first, last)
    power = FrontEnd(options).normalise(torch.from_numpy(segment.samples)[None]).power[0]
    low_hz = (options.low_bin - 0.5) * options.bin_hz
    extent = (
        (first / rate_hz - middle_s),
        (last / rate_hz - middle_s),
        low_hz,
        low_hz + options.n_bins * options.bin_hz,
    )
    axes.imshow(np.log(power + 0.05), origin="lower", aspect="auto", extent=extent, vmin=-1, vmax=4, cmap="gray_r")
    for edge_s in (selection.begin_s, selection.end_s):
        axes.axvline(edge_s - middle_s, color="tab:orange", linewidth=0.7)
    axes.tick_params(labelsize=6)
