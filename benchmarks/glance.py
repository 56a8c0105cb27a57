"""What is lost by glancing first: calls that a look at every window finds, and a run with a glance does not."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

import whalescan
from benchmarks.clips import held_out
from benchmarks.table import Row
from whalescan.audio import reading, recordings
from whalescan.core import Detection, FloatArray, WindowScores
from whalescan.scores.score_file import read_scores
from whalescan.survey.run import detect

HOPS_S = (0.25, 0.5)
THRESHOLDS = (0.1, 0.5)
"""Beside the model's own."""
_SAME_S = 0.5
_APART_S = (3.0, 9.0)
_GAINS_DB = (-3.0, 9.0)
_FADE_S = 0.2


def measure(folders: tuple[Path, ...], clips: Path | None) -> list[Row]:
    """Rows of the table: recordings, and with ``clips`` the same with held-out calls planted every few seconds."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as planted:
        sets = {folder.name: folder for folder in folders}
        if clips:
            _plant(folders, clips, Path(planted))
            sets["all of them, held-out calls planted"] = Path(planted)
        for name, folder in sets.items():
            rows += [row for hop_s in HOPS_S for row in _compare(name, folder, hop_s)]
    return rows


def _compare(name: str, folder: Path, hop_s: float) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as out:
        exact, glanced = Path(out, "exact"), Path(out, "glanced")
        exact_s, glanced_s = _timed(folder, exact, hop_s, True), _timed(folder, glanced, hop_s, False)
        windows = [read_scores(path).windows for path in sorted((glanced / "scores").rglob("*.npz"))]
        looked_at = _looked_at(windows)
        for threshold in (*THRESHOLDS, whalescan.load_model().spec.thresholds[0]):
            found, again = (detect(path, threshold).detections for path in (exact, glanced))
            lost = [call for call in found if not _is_among(call, again)]
            yield {
                "recordings": name,
                "hop": f"{hop_s:g} s",
                "threshold": threshold,
                "calls": len(found),
                "lost": len(lost),
                "lost, share": f"{len(lost) / len(found):.2%}" if found else "",
                "windows looked at": f"{looked_at:.1%}",
                "time": f"{glanced_s / exact_s:.2f}",
            }


def _timed(folder: Path, out: Path, hop_s: float, exact: bool) -> float:
    begin = time.perf_counter()
    whalescan.scan(folder, out, hop_s=hop_s, exact=exact)
    return time.perf_counter() - begin


def _looked_at(windows: list[WindowScores]) -> float:
    """Share of the windows that the glance left in doubt, by their scores: none that it ruled out scores above its gate."""
    model = whalescan.load_model()
    assert model.spec.glance is not None
    slope, offset = model.spec.calibration[0]
    gate = 1 / (1 + np.exp(-(slope * model.spec.glance.gates[0] + offset)))
    scores = np.concatenate([part.scores[:, 0] for part in windows])
    boxed = np.concatenate([~np.isnan(part.boxes[:, 0]) for part in windows])
    return float((boxed | (scores > gate * 1.0001)).mean())


def _is_among(call: Detection, others: tuple[Detection, ...]) -> bool:
    middle = (call.begin_s + call.end_s) / 2
    return any(
        other.recording == call.recording and abs((other.begin_s + other.end_s) / 2 - middle) <= _SAME_S for other in others
    )


def _plant(folders: tuple[Path, ...], clips: Path, into: Path) -> None:
    """Write recordings in which calls that the model was not taught on follow one another, some faint."""
    model, random = whalescan.load_model(), np.random.default_rng(1)
    examples = held_out(clips, model)
    calls = examples.windows[examples.targets[:, 0] > 0]
    for found in recordings.find_recordings([str(folder) for folder in folders]):
        recording = recordings.read_header(found)
        sound = reading.read(recording, 1, 2000, 0, recording.n_samples(2000)).samples.copy()
        at = round(random.uniform(*_APART_S) * 2000)
        while at + calls.shape[1] < len(sound):
            own, call = sound[at : at + calls.shape[1]], calls[random.integers(len(calls))]
            own += _faded(call) * np.float32(_rms(own) / _rms(call) * 10 ** (random.uniform(*_GAINS_DB) / 20))
            at += round(random.uniform(*_APART_S) * 2000)
        path = into / f"{recording.name.replace('/', '_')}.wav"
        soundfile.write(path, sound / (np.abs(sound).max() * 1.01), 2000)


def _faded(call: FloatArray) -> FloatArray:
    ramp = np.minimum(np.arange(len(call)), np.arange(len(call))[::-1]) / (_FADE_S * 2000)
    faded: FloatArray = (call * np.minimum(ramp, 1)).astype(np.float32)
    return faded


def _rms(sound: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(sound)))) or 1.0
