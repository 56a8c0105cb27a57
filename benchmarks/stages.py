"""Every stage alone, on one thread or a GPU: how much faster than real time, and what of the hardware's limits it uses."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.table import Row
from whalescan import load_model
from whalescan.audio import reading, recordings
from whalescan.core import Detection, FloatArray, Recording
from whalescan.detections.detection_rule import DetectionRule, Track, find
from whalescan.detector.batching import STRIP_S
from whalescan.detector.device import be_repeatable, best_dtype, choose_device, settle
from whalescan.detector.glance import prepare_to_glance
from whalescan.detector.model_file import load_detector, load_glance
from whalescan.detector.network import prepare_for_scanning
from whalescan.engine.gpus import gpus_for, suited_batch_size
from whalescan.tables import csvs
from whalescan.training.simulation import SeaOptions, simulate

MINUTES = 5
HOP_S = 0.5
REPEATS = 5
_STRIP_SAMPLES = 256 + 40 * (139 * 16 - 1)
_MATRIX, _MATRIX_OF_GPU = 1024, 8192
_COPY_BYTES = 2**29
_CPU = torch.device("cpu")


def measure(device_name: str) -> list[Row]:
    """Rows of the table."""
    torch.set_num_threads(1)
    device = choose_device(device_name)
    be_repeatable(device)
    sound = simulate(2000, SeaOptions(minutes=MINUTES)).samples.astype(np.float32)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        return [*_reading(Path(folder), sound), *_networks(sound, device), *_after(sound)]


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


def _networks(sound: FloatArray, device: torch.device) -> list[Row]:
    """Front ends and networks: the operations that torch counts, and the bytes that they read and write, and what of the
    measured rates of both that is.
    """
    model, dtype, is_gpu = load_model(), best_dtype(device), device.type == "cuda"
    detector, glance = prepare_for_scanning(load_detector(model), device, dtype), load_glance(model)
    assert glance is not None
    glance = prepare_to_glance(glance, device, dtype)
    n_windows = suited_batch_size(gpus_for(device.type))
    n_strips = max(1, n_windows * 2 // STRIP_S)
    windows = torch.from_numpy(np.resize(sound, (n_windows, 4000))).to(device)
    strips = torch.from_numpy(np.resize(sound, (n_strips, _STRIP_SAMPLES))).to(device)
    begins = (2560 + 1000 * torch.arange(80)).to(device)
    pictures = detector.frontend(windows)
    along = glance.frontend.picture(glance.frontend.contrast_along(strips))
    windows_s, strips_s = n_windows * HOP_S, n_strips * len(begins) * HOP_S
    rate, bandwidth = _matrix_rate(dtype, device), _bandwidth(device)
    ways: dict[str, tuple[float, Callable[[], object]]] = {
        "spectrogram of windows": (windows_s, lambda: detector.frontend(windows)),
        "spectrogram of strips": (strips_s, lambda: glance.frontend.picture(glance.frontend.contrast_along(strips))),
        "network, every window": (windows_s, lambda: detector.classify(pictures)),
        "glance": (strips_s, lambda: glance.judge(along, begins)),
    }
    if is_gpu:
        ways["glance, replayed from a CUDA graph"] = strips_s, _graph(lambda: glance.judge(along, begins))
    rows: list[Row] = [
        {"stage": f"product of matrices, {dtype}, {device}", "GFLOP/s": round(rate / 1e9)},
        {"stage": f"copy in memory, read and written, {device}", "GB/s": round(bandwidth / 1e9, 1)},
    ]
    for name, (of_sound_s, way) in ways.items():
        seconds = _seconds(way, device)
        row: Row = {"stage": f"{name}, {HOP_S:g} s hop", "x real time": round(of_sound_s / seconds)}
        if "graph" not in name:
            with FlopCounterMode(display=False) as operations, Traffic() as traffic:
                way()
            n_operations = operations.get_total_flops()
            if n_operations:
                row["GFLOP a second of sound"] = round(n_operations / of_sound_s / 1e9, 2)
                row["of the matrix rate"] = f"{n_operations / seconds / rate:.0%}"
            row["MB a second of sound"] = round(traffic.n_bytes / of_sound_s / 1e6, 1)
            row["of the copy's rate"] = f"{traffic.n_bytes / seconds / bandwidth:.0%}"
        rows.append(row)
    return rows


class Traffic(TorchDispatchMode):
    """Counts the bytes that operations read and write, as if nothing stayed in a cache between two of them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of torch
        self.n_bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation, and count. Views move nothing."""
        done = func(*args, **(kwargs or {}))
        if not func.is_view:
            for leaf in tree_leaves((args, kwargs, done)):
                if isinstance(leaf, Tensor):
                    self.n_bytes += leaf.nbytes
        return done


def _graph(way: Callable[[], object]) -> Callable[[], object]:
    """The same work of a GPU, recorded once, without what Python does between its parts."""
    aside = torch.cuda.Stream()
    with torch.cuda.stream(aside):
        way()  # what is made at the first time only must not be recorded
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        way()
    return graph.replay


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


def _matrix_rate(dtype: torch.dtype, device: torch.device) -> float:
    size = _MATRIX_OF_GPU if device.type == "cuda" else _MATRIX
    one, other = torch.randn(2, size, size, device=device).to(dtype)
    return 2 * size**3 / _seconds(lambda: one @ other, device)


def _bandwidth(device: torch.device) -> float:
    """Bytes a second, read and written, of a copy that is larger than any cache."""
    source = torch.randint(-(2**62), 2**62, (_COPY_BYTES // 8,), device=device)
    target = torch.empty_like(source)
    return 2 * _COPY_BYTES / _seconds(lambda: target.copy_(source), device)


def _seconds(way: Callable[[], object], device: torch.device = _CPU) -> float:
    """Median of several runs after one that warms up."""
    way()
    taken = []
    for _ in range(REPEATS):
        settle(device)
        begin = time.perf_counter()
        way()
        settle(device)
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)
