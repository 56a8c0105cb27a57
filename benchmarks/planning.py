"""How long it takes to plan a survey: find the recordings, read their headers and clocks, and put them on the time line."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from benchmarks.sparse import sparse_wav
from benchmarks.table import Row
from whalescan.audio import gaps, recordings, timeline
from whalescan.audio.start_times import ClockOptions
from whalescan.detector.batching import BATCH_SIZE, batching
from whalescan.detector.model_spec import find_model
from whalescan.engine import chunking
from whalescan.options import ScoreOptions
from whalescan.scores.sequences import Scored
from whalescan.survey.inspection import inspect_all

N_RECORDINGS = 100_000
RATE_HZ, LENGTH_S = 48_000, 900
_A_FOLDER = 1000
_T = TypeVar("_T")
_BEGIN = datetime(2024, 1, 1, tzinfo=UTC)


def measure() -> list[Row]:
    """Rows of the table, measured in a process of its own: what others have imported into this one is not planning."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure).result()


def _measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder))
        rows: list[Row] = [{"what": "start Python and import", "peak MB": peak_mb()}]
        elapsed_s: list[float] = []

        def timed(what: str, work: Callable[[], _T]) -> _T:
            begin_s = time.perf_counter()
            result = work()
            elapsed_s.append(time.perf_counter() - begin_s)
            rows.append({"what": what, "s": round(elapsed_s[-1], 1), "peak MB": peak_mb()})
            return result

        found = timed(f"find {N_RECORDINGS:,} recordings", lambda: recordings.find([folder]))
        entries = timed("read their headers and clocks", lambda: inspect_all(found, ClockOptions(), ScoreOptions()))
        ready = [entry.recording for entry in entries if isinstance(entry, Scored)]
        assert len(ready) == N_RECORDINGS
        followers = timed("put them on the time line", lambda: timeline.followers(ready))
        assert len(followers) == N_RECORDINGS - 1
        timed("find gaps and overlaps", lambda: gaps.find(ready))
        spec = find_model().spec
        grid = spec.grid(ScoreOptions().hop_s)
        together = batching(spec, grid, BATCH_SIZE, exact=False)
        step = chunking.chunk_windows(grid, together.n_windows, N_RECORDINGS * LENGTH_S)
        n_chunks = timed(
            "cut them into chunks", lambda: sum(1 for one in ready for _ in chunking.chunks(one, 1, grid, step))
        )
    rows.append({"what": f"all ({n_chunks:,} chunks)", "s": round(sum(elapsed_s), 1), "peak MB": peak_mb()})
    return rows


def peak_mb() -> int:
    """Most memory that this process has had; Linux's ``ru_maxrss`` would count that of the process that started it, too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return round(int(line.split()[1]) * 1024 / 1e6)


def _write(folder: Path) -> None:
    for i in range(N_RECORDINGS):
        moment = _BEGIN + timedelta(seconds=i * LENGTH_S)
        path = folder / f"{i // _A_FOLDER:03d}" / f"AMAR7.{moment:%Y%m%dT%H%M%SZ}.wav"
        sparse_wav(path, RATE_HZ, RATE_HZ * LENGTH_S, n_bits=16)
