"""What a survey of ten hydrophone-years costs beside its scoring: a stand-in scores, all else is as in any run.

The scheduler and two workers are processes of their own. The recordings are WAV files of zeros, which take no room on most
disks; with 8 bits, zeros are samples at the lowest value, and no drop-outs.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ParamSpec, TypeVar
from unittest import mock

import psutil

from benchmarks.cluster import Cluster, cluster
from benchmarks.planning import peak_mb
from benchmarks.sparse import sparse_wav
from benchmarks.table import Row
from whalescan.audio import recordings
from whalescan.detector.batching import BATCH_SIZE, batching
from whalescan.detector.model_spec import find_model
from whalescan.engine import chunking
from whalescan.engine.dispatch import Dispatch
from whalescan.engine.worker import ScoredChunk
from whalescan.options import ScoreOptions, WorkOptions
from whalescan.scores.score_file import ScoreFile
from whalescan.survey import inspection, outputs, run, scoring
from whalescan.survey.job import Job
from whalescan.survey.score_assembly import Assembly

N_RECORDINGS = 90_000
_N_RECORDERS = 10
_RATE_HZ, _LENGTH_S = 2000, 3504
_N_WORKERS, _N_THREADS = 2, 16
"""As many chunks at work as on a cluster of 32 workers, so that client and scheduler have no less to do than there."""
_BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
_MARKS = (0.1, 0.5, 1.0)
"""Parts of the chunks after which memory is looked at."""
_P = ParamSpec("_P")
_T = TypeVar("_T")


def measure(n_recordings: int = N_RECORDINGS, n_chunks: int = 0) -> list[Row]:
    """Rows of the table.

    Args:
        n_recordings: how many, of 58.4 minutes each.
        n_chunks: after so many the run is interrupted, as by Ctrl-C, and writes no tables; 0 for all of them.
    """
    with tempfile.TemporaryDirectory() as folder:
        sound, output = Path(folder, "sound"), Path(folder, "out")
        write_recordings(sound, n_recordings)
        with (
            cluster(_N_WORKERS, _N_THREADS, preload="benchmarks.standin") as there,
            ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool,
        ):
            return pool.submit(_client, sound, output, there, n_recordings, n_chunks).result()


@dataclass(slots=True)
class _Watch:
    """What is seen of one run, from within the client.

    Attributes:
        taken_s: seconds of each stage.
        memory_mb: the client's and the scheduler's, after parts of the chunks.
        keeping_s, keeping_cpu_s: what journals and score files took of the client.
    """

    scheduler: psutil.Process
    n_chunks: int
    client: psutil.Process = field(default_factory=psutil.Process)
    taken_s: dict[str, float] = field(default_factory=dict)
    memory_mb: list[tuple[int, int]] = field(default_factory=list)
    n_done: int = 0
    keeping_s: float = 0.0
    keeping_cpu_s: float = 0.0
    task_bytes: int = 0
    begin: _Instant | None = None
    end: _Instant | None = None

    def timed(self, what: str, work: Callable[_P, _T]) -> Callable[_P, _T]:
        """The same work, with its time noted."""

        def timed(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            begin_s = time.perf_counter()
            result = work(*args, **kwargs)
            self.taken_s[what] = time.perf_counter() - begin_s
            return result

        return timed

    def look(self) -> _Instant:
        return _Instant(time.perf_counter(), time.thread_time(), _cpu_s(self.client), _cpu_s(self.scheduler))

    def count(self) -> None:
        """A chunk is back, and kept."""
        self.n_done += 1
        if len(self.memory_mb) < len(_MARKS) and self.n_done == round(_MARKS[len(self.memory_mb)] * self.n_chunks):
            self.memory_mb.append((_memory_mb(self.client), _memory_mb(self.scheduler)))


@dataclass(frozen=True, slots=True)
class _Instant:
    """Clocks: on the wall, of the client's main thread, of the client, of the scheduler."""

    s: float
    thread_s: float
    client_s: float
    scheduler_s: float


def _client(sound: Path, output: Path, there: Cluster, n_recordings: int, n_chunks: int) -> list[Row]:
    """A run, watched; in a process of its own, since what others have imported and left is not the client's."""
    n_in_all = n_recordings * _chunks_each(n_recordings)
    watch = _Watch(psutil.Process(there.scheduler_pid), n_chunks or n_in_all)

    class Watched(Assembly):
        """Counts what comes back, and what keeping it takes."""

        def add(self, scored: ScoredChunk) -> ScoreFile | None:
            begin_s, begin_cpu_s = time.perf_counter(), time.thread_time()
            whole = Assembly.add(self, scored)
            watch.keeping_s += time.perf_counter() - begin_s
            watch.keeping_cpu_s += time.thread_time() - begin_cpu_s
            watch.count()
            if watch.n_done == n_chunks:
                signal.raise_signal(signal.SIGINT)
            return whole

    class Seen(Dispatch):
        """Looks at the clocks before the first chunk and behind the last."""

        def __iter__(self) -> Iterator[ScoredChunk]:
            watch.begin = watch.look()
            for scored in Dispatch.__iter__(self):
                watch.task_bytes = watch.task_bytes or len(pickle.dumps((scored.chunk, self._task)))
                yield scored
            watch.end = watch.look()

    job = Job((str(sound),), output, work=WorkOptions(scheduler=str(there.scheduler_file), quiet=True))
    begin_s = time.perf_counter()
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(recordings, "find", watch.timed("find", recordings.find)))
        stack.enter_context(mock.patch.object(run, "inspect_all", watch.timed("inspect", inspection.inspect_all)))
        stack.enter_context(mock.patch.object(run, "write_tables", watch.timed("tables", outputs.write_tables)))
        stack.enter_context(mock.patch.object(scoring, "Assembly", Watched))
        stack.enter_context(mock.patch.object(scoring, "Dispatch", Seen))
        try:
            assert run.run(job).exit_code == 0
        except KeyboardInterrupt:
            assert n_chunks
    assert n_chunks or watch.n_done == n_in_all, (watch.n_done, n_in_all)
    return _rows(watch, begin_s)


def _rows(watch: _Watch, begin_s: float) -> list[Row]:
    begin, end, n = watch.begin, watch.end, watch.n_done
    assert begin is not None
    assert end is not None
    taken_s, planned_s, wall_s = watch.taken_s, begin.s - begin_s, end.s - begin.s
    found: dict[str, object] = {
        "find the recordings, s": round(taken_s["find"], 1),
        "read their headers and clocks, s": round(taken_s["inspect"], 1),
        "time line, what is kept, ask the workers, s": round(planned_s - taken_s["find"] - taken_s["inspect"], 1),
        "planned, s": round(planned_s, 1),
        f"{n:,} chunks handed out and kept, s": round(wall_s),
        "chunks a second": round(n / wall_s),
        "scheduler, ms of CPU a chunk": round(1e3 * (end.scheduler_s - begin.scheduler_s) / n, 2),
        "client, ms of CPU a chunk": round(1e3 * (end.client_s - begin.client_s) / n, 2),
        "of these in its main thread": round(1e3 * (end.thread_s - begin.thread_s) / n, 2),
        "of these to journal and to write scores": round(1e3 * watch.keeping_cpu_s / n, 2),
        "journals and score files, part of the time": round(watch.keeping_s / wall_s, 2),
        "a chunk and its task, bytes": watch.task_bytes,
        **{
            f"client, scheduler after {mark:.0%}, MB": f"{client}, {scheduler}"
            for mark, (client, scheduler) in zip(_MARKS, watch.memory_mb, strict=True)
        },
        **({"tables, s": round(taken_s["tables"], 1)} if "tables" in taken_s else {}),
        "client, most memory of all, MB": peak_mb(),
    }
    return [{"what": what, "value": value} for what, value in found.items()]


def _chunks_each(n_recordings: int) -> int:
    """Chunks of one recording."""
    spec = find_model().spec
    grid = spec.grid(ScoreOptions().hop_s)
    together = batching(spec, grid, BATCH_SIZE, exact=False)
    step = chunking.chunk_windows(grid, together.n_windows, n_recordings * _LENGTH_S)
    return -(-_LENGTH_S * grid.rate_hz // grid.hop_samples // step)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _memory_mb(process: psutil.Process) -> int:
    return round(int(process.memory_info().rss) / 1e6)


def write_recordings(folder: Path, n: int) -> None:
    """Recordings of 58.4 minutes that go on in one another, of ten recorders with a folder each."""
    for i in range(n):
        recorder, moment = i % _N_RECORDERS, _BEGIN + timedelta(seconds=i // _N_RECORDERS * _LENGTH_S)
        path = folder / f"hydrophone{recorder}" / f"AMAR{recorder}.{moment:%Y%m%dT%H%M%SZ}.wav"
        sparse_wav(path, _RATE_HZ, _RATE_HZ * _LENGTH_S, n_bits=8)
