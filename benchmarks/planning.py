"""Time to plan a survey: find the recordings, read their headers and start times, and order them."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from benchmarks.sparse import sparse_wav
from benchmarks.table import Row
from whalescan.audio import recordings, timeline
from whalescan.audio.start_times import ClockOptions
from whalescan.core import Recording
from whalescan.detector.batching import BATCH_SIZE
from whalescan.detector.model_spec import find_model
from whalescan.engine import chunking
from whalescan.engine.worker import ScoringTask
from whalescan.options import ScoreOptions
from whalescan.survey.scoring import inspect_recordings

N_RECORDINGS = 100_000
RATE_HZ, LENGTH_S = 48_000, 900
_RECORDINGS_PER_FOLDER = 1000
_T = TypeVar("_T")
_BEGIN = datetime(2024, 1, 1, tzinfo=UTC)


def measure() -> list[Row]:
    """Return the rows of the table, measured in a new process, so that imports of other benchmarks do not count."""
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

        found = timed(f"find {N_RECORDINGS:,} recordings", lambda: recordings.find_recordings([folder]))
        entries = timed(
            "read their headers and start times", lambda: inspect_recordings(found, ClockOptions(), ScoreOptions())
        )
        ready = [entry.readable_recording() for entry in entries if entry.channels]
        assert len(ready) == N_RECORDINGS
        followers = timed("order them in time", lambda: timeline.successors(ready))
        assert len(followers) == N_RECORDINGS - 1
        timed("find gaps and overlaps", lambda: timeline.find_gaps(ready))
        task = ScoringTask(find_model(), "cpu", BATCH_SIZE)
        n_chunks = timed("cut them into chunks", lambda: _n_chunks(ready, followers, task))
    rows.append({"what": f"all ({n_chunks:,} chunks)", "s": round(sum(elapsed_s), 1), "peak MB": peak_mb()})
    return rows


def _n_chunks(ready: Sequence[Recording], followers: Mapping[str, Recording], task: ScoringTask) -> int:
    spec = task.model.spec
    size = chunking.columns_per_chunk(task.columns, task.batch_columns, N_RECORDINGS * LENGTH_S)
    n = 0
    for recording in ready:
        following = chunking.following_recordings(recording, followers, spec)
        n += sum(1 for _ in chunking.split_channel(chunking.whole_channel(recording, 1, following, spec), size))
    return n


def peak_mb() -> int:
    """Return the peak memory of this process; ``ru_maxrss`` on Linux would include that of its parent."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return round(int(line.split()[1]) * 1024 / 1e6)


def _write(folder: Path) -> None:
    for i in range(N_RECORDINGS):
        moment = _BEGIN + timedelta(seconds=i * LENGTH_S)
        path = folder / f"{i // _RECORDINGS_PER_FOLDER:03d}" / f"AMAR7.{moment:%Y%m%dT%H%M%SZ}.wav"
        sparse_wav(path, RATE_HZ, RATE_HZ * LENGTH_S, n_bits=16)
