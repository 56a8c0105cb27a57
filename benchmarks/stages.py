"""Throughput of each stage on one thread or a GPU, and the share of the hardware's limits that it reaches."""

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
from whalescan.core import Detection, FloatArray, Recording, RecordingResult
from whalescan.detections.detection_rule import DetectionRule, WindowTrack, find_detections
from whalescan.detector.batching import BLOCK_S
from whalescan.detector.device import best_dtype, choose_device, synchronize
from whalescan.detector.glance import prepare_to_glance
from whalescan.detector.model_file import load_detector, load_glance
from whalescan.detector.network import prepare_for_inference
from whalescan.engine.local_cluster import find_gpus, suggest_batch_size
from whalescan.engine.process_settings import configure_for_scoring
from whalescan.tables import csvs
from whalescan.training.simulation import SimulationOptions, simulate_soundscape

MINUTES = 5
HOP_S = 0.5
REPEATS = 5
_BLOCK_SAMPLES = 256 + 40 * (139 * 16 - 1)
_MATRIX_SIZE, _MATRIX_SIZE_GPU = 1024, 8192
_COPY_BYTES = 2**29
_CPU = torch.device("cpu")


def measure(device_name: str) -> list[Row]:
    """Return the rows of the table."""
    torch.set_num_threads(1)
    device = choose_device(device_name)
    configure_for_scoring()
    torch.backends.cudnn.deterministic = True
    sound = simulate_soundscape(2000, SimulationOptions(minutes=MINUTES)).samples.astype(np.float32)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        return [*_reading(Path(folder), sound), *_networks(sound, device), *_tables(sound)]


def _reading(folder: Path, sound: FloatArray) -> list[Row]:
    low, high = folder / "low.wav", folder / "high.flac"
    loud = soxr.resample(sound, 2000, 48_000)
    soundfile.write(low, sound, 2000)
    soundfile.write(high, loud, 48_000)
    stages: dict[str, Callable[[], object]] = {
        "decode 2 kHz WAV": lambda: soundfile.read(low, dtype="float32"),
        "decode 48 kHz FLAC": lambda: soundfile.read(high, dtype="float32"),
        "resample 48 kHz to 2 kHz": lambda: soxr.resample(loud, 48_000, 2000),
        "read 2 kHz WAV": lambda: _read(low),
        "read 48 kHz FLAC": lambda: _read(high),
    }
    return [{"stage": name, "x real time": round(MINUTES * 60 / _seconds(work))} for name, work in stages.items()]


def _read(path: Path) -> None:
    recording = recordings.read_header(recordings.find_recordings([path])[0])
    reading.read(recording, 1, 2000, 0, recording.n_samples(2000))


def _networks(sound: FloatArray, device: torch.device) -> list[Row]:
    """Return rows for front ends and networks: operations as torch counts them, bytes read and written, and their shares of
    the measured maximum rates.
    """
    model, dtype, is_gpu = load_model(), best_dtype(device), device.type == "cuda"
    detector, glance = prepare_for_inference(load_detector(model), device, dtype), load_glance(model)
    assert glance is not None
    glance = prepare_to_glance(glance, device, dtype)
    n_windows = suggest_batch_size(find_gpus(device.type))
    n_blocks = max(1, n_windows * 2 // BLOCK_S)
    windows = torch.from_numpy(np.resize(sound, (n_windows, 4000))).to(device)
    blocks = torch.from_numpy(np.resize(sound, (n_blocks, _BLOCK_SAMPLES))).to(device)
    begins = (2560 + 1000 * torch.arange(80)).to(device)
    network_input = detector.frontend(windows)
    block_input = glance.frontend.network_input(glance.frontend.normalise_blocks(blocks))
    windows_s, blocks_s = n_windows * HOP_S, n_blocks * len(begins) * HOP_S
    rate, bandwidth = _matrix_rate(dtype, device), _bandwidth(device)
    stages: dict[str, tuple[float, Callable[[], object]]] = {
        "spectrogram of windows": (windows_s, lambda: detector.frontend(windows)),
        "spectrogram of blocks": (blocks_s, lambda: glance.frontend.network_input(glance.frontend.normalise_blocks(blocks))),
        "network, every window": (windows_s, lambda: detector.classify(network_input)),
        "glance": (blocks_s, lambda: glance.judge(block_input, begins)),
    }
    if is_gpu:
        stages["glance, replayed from a CUDA graph"] = blocks_s, _graph(lambda: glance.judge(block_input, begins))
    rows: list[Row] = [
        {"stage": f"product of matrices, {dtype}, {device}", "GFLOP/s": round(rate / 1e9)},
        {"stage": f"copy in memory, read and written, {device}", "GB/s": round(bandwidth / 1e9, 1)},
    ]
    for name, (audio_s, work) in stages.items():
        seconds = _seconds(work, device)
        row: Row = {"stage": f"{name}, {HOP_S:g} s hop", "x real time": round(audio_s / seconds)}
        if "graph" not in name:
            with FlopCounterMode(display=False) as operations, MemoryTraffic() as traffic:
                work()
            n_operations = operations.get_total_flops()
            if n_operations:
                row["GFLOP a second of audio"] = round(n_operations / audio_s / 1e9, 2)
                row["of the matrix rate"] = f"{n_operations / seconds / rate:.0%}"
            row["MB a second of audio"] = round(traffic.n_bytes / audio_s / 1e6, 1)
            row["of the copy's rate"] = f"{traffic.n_bytes / seconds / bandwidth:.0%}"
        rows.append(row)
    return rows


class MemoryTraffic(TorchDispatchMode):
    """Counter of the bytes that operations read and write, without caches between them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of torch
        self.n_bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation, and count its bytes; views have none."""
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            for leaf in tree_leaves((args, kwargs, result)):
                if isinstance(leaf, Tensor):
                    self.n_bytes += leaf.nbytes
        return result


def _graph(work: Callable[[], object]) -> Callable[[], object]:
    """Return the same GPU work as a CUDA graph, which runs without Python."""
    warm_up = torch.cuda.Stream()
    with torch.cuda.stream(warm_up):
        work()  # allocations of the first run must not be recorded
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def _tables(sound: FloatArray) -> list[Row]:
    """Return rows for detections and tables of an hour of scores, with a call every half minute."""
    grid, random = load_model().spec.grid(HOP_S), np.random.default_rng(1)
    n = round(3600 / HOP_S)
    scores = (0.2 * random.random(n)).astype(np.float32)
    scores[:: round(30 / HOP_S)] = 0.9
    boxes = np.tile(np.array([1000, 3000, 90, 200], np.float32), (n, 1))
    track = WindowTrack.regular(boxes, grid, n * grid.hop_samples)
    found = find_detections(scores, track, DetectionRule())
    recording = Recording("noise", Path("noise.wav"), "noise.wav", 2000, 3600 * 2000, 1, len(sound))
    detections = [
        Detection(
            "noise", 1, c.begin_sample / 2000, c.end_sample / 2000, c.low_hz, c.high_hz, "upcall", c.score, f"{i:016x}"
        )
        for i, c in enumerate(found)
    ]
    stages: dict[str, Callable[[], object]] = {
        "detections": lambda: find_detections(scores, track, DetectionRule()),
        "detections.csv": lambda: csvs.detections_csv([RecordingResult.of(recording, detections=detections)]),
    }
    return [{"stage": name, "x real time": round(3600 / _seconds(work))} for name, work in stages.items()]


def _matrix_rate(dtype: torch.dtype, device: torch.device) -> float:
    size = _MATRIX_SIZE_GPU if device.type == "cuda" else _MATRIX_SIZE
    one, other = torch.randn(2, size, size, device=device).to(dtype)
    return 2 * size**3 / _seconds(lambda: one @ other, device)


def _bandwidth(device: torch.device) -> float:
    """Return the bytes per second, read and written, of a copy that is larger than any cache."""
    source = torch.randint(-(2**62), 2**62, (_COPY_BYTES // 8,), device=device)
    target = torch.empty_like(source)
    return 2 * _COPY_BYTES / _seconds(lambda: target.copy_(source), device)


def _seconds(work: Callable[[], object], device: torch.device = _CPU) -> float:
    """Return the median time of several runs, after one that warms up."""
    work()
    taken = []
    for _ in range(REPEATS):
        synchronize(device)
        begin = time.perf_counter()
        work()
        synchronize(device)
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)
