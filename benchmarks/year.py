"""A hydrophone-year: how long it takes, as a user would run it, and what it waits for."""

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
import soundfile
import soxr

from benchmarks.table import Row
from whalescan.training.simulation import SeaOptions, simulate

HOP_S = 0.5
YEAR_H = 8760
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_BUSY = 80
"""Percent from which on something is what the others wait for."""


def measure(hours: Sequence[int], flac_hours: int, device: str) -> list[Row]:
    """Rows of the table. The recordings are one hour of simulated sea under many names, so that no disk is in the way.

    Args:
        hours: lengths of surveys of 2 kHz WAV; several show how time and memory grow.
        flac_hours: of one of 48 kHz FLAC; 0 for none.
        device: as for ``whalescan run``.
    """
    with tempfile.TemporaryDirectory() as folder:
        sea = simulate(2000, SeaOptions(minutes=60)).samples
        low, high = Path(folder, "low.wav"), Path(folder, "high.flac")
        soundfile.write(low, sea, 2000)
        rows = [_survey("2 kHz WAV", low, n, device) for n in hours]
        if flac_hours:
            soundfile.write(high, soxr.resample(sea, 2000, 48_000), 48_000)
            rows += [_survey("48 kHz FLAC", high, flac_hours, device), _decoding(high, flac_hours)]
    return rows


def _survey(what: str, hour: Path, hours: int, device: str) -> Row:
    """Run whalescan over so many names of an hour of sound."""
    recordings = hour.with_suffix("")
    recordings.mkdir()
    for i in range(hours):
        began = _BEGIN + timedelta(hours=i)
        os.link(hour, recordings / f"sea_{began:%Y%m%dT%H%M%S}Z{hour.suffix}")
    command = [sys.executable, "-m", "whalescan", "run", str(recordings), "-o", str(recordings / "out"), "--quiet"]
    begin = time.perf_counter()
    with subprocess.Popen([*command, "--hop", f"{HOP_S}", "--device", device]) as run, _Watch(run.pid) as watch:
        assert run.wait() == 0
        seconds = time.perf_counter() - begin
    shutil.rmtree(recordings)
    busy = {"GPU": watch.median("gpu"), "processor": watch.median("processor")}
    bound = max(busy, key=lambda name: busy[name] or 0)
    return {
        "what": f"{what}, {hours} h, {HOP_S:g} s hop, {device}",
        "s": round(seconds, 1),
        "x real time": round(hours * 3600 / seconds),
        "a year, minutes": round(YEAR_H / hours * seconds / 60, 1),
        **{f"{name} busy, %": "" if value is None else round(value) for name, value in busy.items()},
        "memory, MB": watch.most("memory_mb"),
        "GPU memory, MB": watch.most("gpu_mb"),
        "waits for": bound if (busy[bound] or 0) >= _BUSY else "",
    }


def _decoding(hour: Path, hours: int) -> Row:
    """The same files decoded on all cores, and nothing else done with them: what no way to score them can exceed."""
    n_cores = os.cpu_count() or 1
    n = max(hours, n_cores)
    with ProcessPoolExecutor(n_cores) as cores:
        list(cores.map(len, repeat("", n_cores)))  # have them started
        begin = time.perf_counter()
        list(cores.map(_decode, repeat(hour, n)))
        seconds = time.perf_counter() - begin
    return {"what": f"48 kHz FLAC decoded on {n_cores} cores, nothing else", "x real time": round(n * 3600 / seconds)}


def _decode(path: Path) -> int:
    with soundfile.SoundFile(path) as file:
        return sum(len(block) for block in file.blocks(30 * file.samplerate, dtype="float32"))


@dataclass
class _Watch:
    """Looks, once a second, how busy this machine is, and how much memory a process has with all that it started."""

    pid: int
    seen: dict[str, list[float]] = field(default_factory=dict)
    _is_over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> _Watch:
        psutil.cpu_percent()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()

    def median(self, name: str) -> float | None:
        """Of what was seen; None where nothing was."""
        return statistics.median(self.seen[name]) if name in self.seen else None

    def most(self, name: str) -> int | str:
        """Likewise; nothing where nothing was."""
        return round(max(self.seen[name])) if name in self.seen else ""

    def _look(self) -> None:
        while not self._is_over.wait(1):
            for name, value in {"processor": psutil.cpu_percent(), "memory_mb": _memory_mb(self.pid), **_of_gpu()}.items():
                self.seen.setdefault(name, []).append(value)


def _memory_mb(pid: int) -> float:
    """Of a process and all that it started; 0 when it has ended."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        run = psutil.Process(pid)
        for one in [run, *run.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                total += one.memory_info().rss
    return total / 1e6


def _of_gpu() -> dict[str, float]:
    """Percent of the last moment in which the first GPU computed, and its memory in use; nothing where there is none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return {}
    asked = [tool, "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.splitlines()
    return dict(zip(("gpu", "gpu_mb"), map(float, answer[0].split(",")), strict=True)) if answer else {}
