"""Time for a hydrophone-year, run as a user would run it, and its bottleneck."""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import repeat
from pathlib import Path

import psutil
import pynvml
import soundfile
import soxr

from benchmarks.table import Row
from whalescan.training.simulation import SimulationOptions, simulate_soundscape

YEAR_H = 8760
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_BOTTLENECK_PERCENT = 80
"""Use from which a device counts as the bottleneck."""


def measure(hours: Sequence[int], flac_hours: int, device: str) -> list[Row]:
    """Return the rows of the table. The recordings are links to one hour of simulated noise, so that no disk limits the run.

    Args:
        hours: lengths of surveys of 2 kHz WAV; several show how time and memory grow.
        flac_hours: length of a survey of 48 kHz FLAC; 0 for none.
        device: as for ``whalescan run``.
    """
    with tempfile.TemporaryDirectory() as folder:
        samples = simulate_soundscape(2000, SimulationOptions(minutes=60)).samples
        low, high = Path(folder, "low.wav"), Path(folder, "high.flac")
        soundfile.write(low, samples, 2000)
        rows = [_survey("2 kHz WAV", low, n, device) for n in hours]
        if flac_hours:
            soundfile.write(high, soxr.resample(samples, 2000, 48_000), 48_000)
            rows += [_survey("48 kHz FLAC", high, flac_hours, device), _decoding(high, flac_hours)]
    return rows


def _survey(what: str, hour: Path, hours: int, device: str) -> Row:
    """Return the row of a run over many links to an hour of audio."""
    recordings = hour.with_suffix("")
    recordings.mkdir()
    for i in range(hours):
        start = _BEGIN + timedelta(hours=i)
        os.link(hour, recordings / f"noise_{start:%Y%m%dT%H%M%S}Z{hour.suffix}")
    command = [sys.executable, "-m", "whalescan", "run", str(recordings), "-o", str(recordings / "out"), "--quiet"]
    begin = time.perf_counter()
    with subprocess.Popen([*command, "--device", device]) as run, _UsageMonitor(run.pid) as monitor:
        assert run.wait() == 0
        seconds = time.perf_counter() - begin
    shutil.rmtree(recordings)
    busy = {"GPU": monitor.median("gpu"), "processor": monitor.median("processor")}
    bound = max(busy, key=lambda name: busy[name] or 0)
    return {
        "what": f"{what}, {hours} h, {device}",
        "s": round(seconds, 1),
        "x real time": round(hours * 3600 / seconds),
        "a year, minutes": round(YEAR_H / hours * seconds / 60, 1),
        **{f"{name} busy, %": "" if value is None else round(value) for name, value in busy.items()},
        "memory, MB": monitor.maximum("memory_mb"),
        "GPU memory, MB": monitor.maximum("gpu_mb"),
        "bottleneck": bound if (busy[bound] or 0) >= _BOTTLENECK_PERCENT else "",
    }


def _decoding(hour: Path, hours: int) -> Row:
    """Return the row of decoding alone, on all cores, which limits any way to score the files."""
    n_cores = os.cpu_count() or 1
    n = max(hours, n_cores)
    with ProcessPoolExecutor(n_cores) as cores:
        list(cores.map(len, repeat("", n_cores)))  # start the processes
        begin = time.perf_counter()
        list(cores.map(_decode, repeat(hour, n)))
        seconds = time.perf_counter() - begin
    return {"what": f"48 kHz FLAC decoded on {n_cores} cores", "x real time": round(n * 3600 / seconds)}


def _decode(path: Path) -> int:
    with soundfile.SoundFile(path) as file:
        return sum(len(block) for block in file.blocks(30 * file.samplerate, dtype="float32"))


@dataclass
class _UsageMonitor:
    """Use of processor and GPU, and memory of a process and its children, measured once a second."""

    pid: int
    measured: dict[str, list[float]] = field(default_factory=dict)
    _is_finished: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> _UsageMonitor:
        psutil.cpu_percent()
        self._thread = threading.Thread(target=self._measure, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_finished.set()
        self._thread.join()

    def median(self, name: str) -> float | None:
        """Return the median of a measurement; None where there is none."""
        return statistics.median(self.measured[name]) if name in self.measured else None

    def maximum(self, name: str) -> int | str:
        """Return the maximum of a measurement; empty where there is none."""
        return round(max(self.measured[name])) if name in self.measured else ""

    def _measure(self) -> None:
        while not self._is_finished.wait(1):
            for name, value in {
                "processor": psutil.cpu_percent(),
                "memory_mb": _memory_mb(self.pid),
                **_gpu_usage(),
            }.items():
                self.measured.setdefault(name, []).append(value)


def _memory_mb(pid: int) -> float:
    """Return the memory of a process and its children; 0 when it has ended."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        run = psutil.Process(pid)
        for process in [run, *run.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
    return total / 1e6


def _gpu_usage() -> dict[str, float]:
    """Return percent of use of the first GPU, and its memory in use in MiB; empty where there is none."""
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
        used_mb = int(pynvml.nvmlDeviceGetMemoryInfo(gpu).used) >> 20
        return {"gpu": float(pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu), "gpu_mb": float(used_mb)}
    return {}
