"""Every stage alone, on one thread: how many times faster than real time, and what of the hardware's limit it uses."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.table import Row
from whalescan import load_model
from whalescan.calls.detections import DetectionRule, Track, find
from whalescan.core import Detection, FloatArray, Recording
from whalescan.detector.device import best_dtype
from whalescan.detector.glance import prepare_to_glance
from whalescan.detector.modelfile import load_detector, load_glance
from whalescan.detector.network import prepare_for_scanning
from whalescan.learn.simulation import SeaOptions, simulate
from whalescan.sound import reading, recordings
from whalescan.tables import csvs

MINUTES = 5
HOP_S = 0.5
REPEATS = 5
_STRIP_SAMPLES = 256 + 40 * (139 * 16 - 1)
_BATCH = 32
_MATRIX = 1024
_CPU = torch.device("cpu")


def measure() -> list[Row]:
    """Rows of the table."""
    torch.set_num_threads(1)
    sound = simulate(2000, SeaOptions(minutes=MINUTES)).samples.astype(np.float32)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        return [*_reading(Path(folder), sound), *_networks(sound), *_after(sound)]


def _reading(folder: Path, sound: FloatArray) -> list[Row]:
    low, high = folder / "low.wav", folder / "high.flac"
    loud = soxr.resample(sound, 2000, 48_000)
    soundfile.write(low, sound, 2000)
    soundfile.write(high, loud, 48_000)
    ways: dict[str, Callable[[], object]] = {
        "decode 2 kHz WAV": lambda: soundfile.read(low, dtype="float32"),
        "decode 48 kHz FLAC": lambda: soundfile.read(high, dtype="float32"),
        "resample 48 kHz to 2 kHz": lambda: soxr.resample(loud, 48_000, 2000),
        "read 2 kHz WAV": lambda: _read(low),
        "read 48 kHz FLAC": lambda: _read(high),
    }
    return [{"stage": name, "x real time": round(MINUTES * 60 / _seconds(way))} for name, way in ways.items()]


def _read(path: Path) -> None:
    recording = recordings.inspect(recordings.find([path])[0])
    reading.read(recording, 1, 2000, 0, recording.n_samples(2000))


def _networks(sound: FloatArray) -> list[Row]:
    """Front ends and networks; operations are counted by torch, and compared with what a product of matrices reaches."""
    model, dtype = load_model(), best_dtype(_CPU)
    detector, glance = prepare_for_scanning(load_detector(model), _CPU, dtype), load_glance(model)
    assert glance is not None
    glance = prepare_to_glance(glance, _CPU, dtype)
    windows = torch.from_numpy(sound[: 4000 * _BATCH].reshape(_BATCH, 4000))
    strip, begins = torch.from_numpy(sound[None, :_STRIP_SAMPLES]), 2560 + 1000 * torch.arange(80)
    pictures = detector.frontend(windows)
    along = glance.frontend.picture(glance.frontend.contrast_along(strip))
    windows_s, strip_s = _BATCH * HOP_S, len(begins) * HOP_S
    rate = _matrix_rate(dtype)
    rows: list[Row] = [{"stage": f"product of matrices, {dtype}", "GFLOP/s": round(rate / 1e9)}]
    ways: list[tuple[str, float, Callable[[], object]]] = [
        ("spectrogram of windows", windows_s, lambda: detector.frontend(windows)),
        ("spectrogram of strips", strip_s, lambda: glance.frontend.picture(glance.frontend.contrast_along(strip))),
        ("network, every window", windows_s, lambda: detector.classify(pictures)),
        ("glance", strip_s, lambda: glance.judge(along, begins)),
    ]
    for name, of_sound_s, way in ways:
        seconds = _seconds(way)
        row: Row = {"stage": f"{name}, {HOP_S:g} s hop", "x real time": round(of_sound_s / seconds)}
        if "spectrogram" not in name:
            with FlopCounterMode(display=False) as counter:
                way()
            row["GFLOP a second of sound"] = round(counter.get_total_flops() / of_sound_s / 1e9, 2)
            row["of the matrix rate"] = f"{counter.get_total_flops() / seconds / rate:.0%}"
        rows.append(row)
    return rows


def _after(sound: FloatArray) -> list[Row]:
    """Detections and tables of an hour of scores with a call every half minute."""
    grid, random = load_model().spec.grid(HOP_S), np.random.default_rng(1)
    n = round(3600 / HOP_S)
    scores = (0.2 * random.random(n)).astype(np.float32)
    scores[:: round(30 / HOP_S)] = 0.9
    boxes = np.tile(np.array([1000, 3000, 90, 200], np.float32), (n, 1))
    track = Track.regular(boxes, grid, n * grid.hop_samples)
    calls = find(scores, track, DetectionRule())
    recording = Recording("sea", Path("sea.wav"), "sea.wav", 2000, 3600 * 2000, 1, len(sound))
    named = [
        Detection("sea", 1, c.begin_sample / 2000, c.end_sample / 2000, c.low_hz, c.high_hz, "upcall", c.score, f"{i:016x}")
        for i, c in enumerate(calls)
    ]
    ways: dict[str, Callable[[], object]] = {
        "detections": lambda: find(scores, track, DetectionRule()),
        "detections.csv": lambda: csvs.detections_csv([(recording, named)]),
    }
    return [{"stage": name, "x real time": round(3600 / _seconds(way))} for name, way in ways.items()]


def _matrix_rate(dtype: torch.dtype) -> float:
    one, other = torch.randn(2, _MATRIX, _MATRIX).to(dtype)
    return 2 * _MATRIX**3 / _seconds(lambda: one @ other)


def _seconds(way: Callable[[], object]) -> float:
    """Median of several runs after one that warms up."""
    way()
    taken = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        way()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)
