"""Pictures of what the model gets wrong in annotated recordings: missed calls and false alarms, at its own threshold."""

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
from whalescan.evaluation.annotations import TruthOptions, read_truth
from whalescan.evaluation.evaluate import EvaluateOptions, evaluate
from whalescan.evaluation.scored_sources import SourceOptions, read_source

CONTEXT_S = 3.0
COLUMNS = 5
MOST = 20


def measure(folder: Path, aside: tuple[Path, ...], picture: Path) -> list[Row]:
    """A row for each error, the false alarms from the surest down; ``picture`` shows them in the same order."""
    with tempfile.TemporaryDirectory() as out:
        whalescan.scan(folder, out)
        source = read_source(Path(out), SourceOptions())
    truth = read_truth(folder, [heard.recording for heard in source.heard], TruthOptions(aside=aside))
    found = evaluate(source, truth, EvaluateOptions())
    errors = [(event.verdict.value, event.selection, one.recording) for one in found.recordings for event in one.errors()]
    errors.sort(key=lambda error: (error[0], -(error[1].score or 0)))
    shown = errors[:MOST]
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
    figure.savefig(picture, dpi=90)
    return [
        {"what": kind, "recording": recording.name, "begin": f"{selection.begin_s:.1f} s", "score": selection.score or ""}
        for kind, selection, recording in shown
    ]


def _draw(axes: Axes, recording: Recording, selection: Annotation) -> None:
    """Power over each bin's median, six seconds of it, with the selection's begin and end."""
    options = FrontEndOptions()
    rate_hz, middle_s = options.rate_hz, (selection.begin_s + selection.end_s) / 2
    first = max(round((middle_s - CONTEXT_S) * rate_hz), 0)
    last = min(round((middle_s + CONTEXT_S) * rate_hz), recording.n_samples(rate_hz))
    sound = reading.read(recording, selection.channel, rate_hz, first, last)
    cells = FrontEnd(options).contrast(torch.from_numpy(sound.samples)[None]).cells[0]
    low_hz = (options.low_bin - 0.5) * options.bin_hz
    extent = (
        (first / rate_hz - middle_s),
        (last / rate_hz - middle_s),
        low_hz,
        low_hz + options.n_bins * options.bin_hz,
    )
    axes.imshow(np.log(cells + 0.05), origin="lower", aspect="auto", extent=extent, vmin=-1, vmax=4, cmap="gray_r")
    for edge_s in (selection.begin_s, selection.end_s):
        axes.axvline(edge_s - middle_s, color="tab:orange", linewidth=0.7)
    axes.tick_params(labelsize=6)
