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
from whalescan.detections.detection_rule import ColumnTrack, DetectionRule, find_detections
from whalescan.detector import complexity
from whalescan.detector.batching import batch_blocks, block_columns
from whalescan.detector.device import best_dtype, choose_device, synchronize
from whalescan.detector.frontend import N_CHANNELS
from whalescan.detector.inference import prepare_for_inference
from whalescan.detector.model_file import load_detector
from whalescan.detector.model_spec import ARCHITECTURE, FrontEndOptions, NetworkOptions
from whalescan.detector.network import Detector
from whalescan.engine.local_cluster import find_gpus, suggest_batch_size
from whalescan.engine.process_settings import configure_for_scoring
from whalescan.tables import csvs
from whalescan.training.simulation import SimulationOptions, simulate_soundscape

MINUTES = 5
REPEATS = 5
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
    """Return rows for spectrogram, network and complexity: operations as torch counts them, bytes read and written, and
    their shares of the measured maximum rates. The context of blocks, which is computed twice, is included.
    """
    model, dtype = load_model(), best_dtype(device)
    spec, columns = model.spec, model.spec.columns
    detector = prepare_for_inference(load_detector(model), device, dtype)
    n_blocks = batch_blocks(suggest_batch_size(find_gpus(device.type)), columns, spec.front_end.window_samples)
    n_columns = block_columns(columns) + 2 * (spec.context_samples // columns.column_samples - 1)
    options = spec.front_end
    n_samples = (n_columns * options.column_frames - 1) * options.frame_hop_samples + options.fft_samples
    blocks = torch.from_numpy(np.resize(sound, (n_blocks, n_samples))).to(device)
    audio_s = n_blocks * block_columns(columns) * columns.column_samples / columns.rate_hz
    spectrogram = detector.frontend.normalise(blocks)
    network_input = detector.frontend.network_input(spectrogram)
    rate, bandwidth = _matrix_rate(dtype, device), _bandwidth(device)
    stages: dict[str, Callable[[], object]] = {
        "spectrogram": lambda: detector.frontend(blocks),
        "network": lambda: detector.classify(network_input),
        "complexity": lambda: complexity.column_complexity(spectrogram.power, options),
    }
    if device.type == "cuda":
        stages["network, replayed from a CUDA graph"] = _graph(lambda: detector.classify(network_input))
    rows: list[Row] = [
        {"stage": f"product of matrices, {dtype}, {device}", "GFLOP/s": round(rate / 1e9)},
        {"stage": f"copy in memory, read and written, {device}", "GB/s": round(bandwidth / 1e9, 1)},
    ]
    for name, work in stages.items():
        seconds = _seconds(work, device)
        row: Row = {"stage": name, "x real time": round(audio_s / seconds)}
        if "graph" not in name:
            with FlopCounterMode(display=False) as operations, MemoryTraffic() as traffic:
                work()
            n_operations = operations.get_total_flops()
            if n_operations:
                row["GFLOP a second of audio"] = round(n_operations / audio_s / 1e9, 3)
                row["of the matrix rate"] = f"{n_operations / seconds / rate:.0%}"
            row["MB a second of audio"] = round(traffic.n_bytes / audio_s / 1e6, 1)
            row["of the copy's rate"] = f"{traffic.n_bytes / seconds / bandwidth:.0%}"
        rows.append(row)
    return rows


def gflop_per_second(front_end: FrontEndOptions, network: NetworkOptions) -> float:
    """Return the operations of a network for a second of audio, in 10^9 and without context, as torch counts them."""
    detector = Detector(ARCHITECTURE, front_end, network, 1).eval()
    n_frames = 40 * front_end.column_frames
    pictures = torch.zeros(1, N_CHANNELS, front_end.n_bins, n_frames)
    with torch.inference_mode(), FlopCounterMode(display=False) as operations:
        detector.classify(pictures)
    return int(operations.get_total_flops()) / (n_frames * front_end.frame_hop_samples / front_end.rate_hz) / 1e9


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
    columns, random = load_model().spec.columns, np.random.default_rng(1)
    n_samples = 3600 * columns.rate_hz
    n = columns.n_columns(n_samples)
    log_odds = random.normal(-5, 1, n).astype(np.float32)
    log_odds[:: round(30 * columns.rate_hz / columns.column_samples)] = 3
    boxes = np.tile(np.array([-1000, 1000, 90, 200], np.float32), (n, 1))
    track = ColumnTrack.regular(log_odds, boxes, columns, n_samples)
    recording = Recording("noise", Path("noise.wav"), "noise.wav", 2000, 3600 * 2000, 1, len(sound))
    detections = [
        Detection(
            "noise", 1, c.begin_sample / 2000, c.end_sample / 2000, c.low_hz, c.high_hz, "upcall", c.score, f"{i:016x}"
        )
        for i, c in enumerate(find_detections(track, DetectionRule()))
    ]
    stages: dict[str, Callable[[], object]] = {
        "detections": lambda: find_detections(track, DetectionRule()),
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
