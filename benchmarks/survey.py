"""Cost of a survey of ten hydrophone-years without its scoring: workers return random scores, all else is as in any run.

The scheduler and two workers are processes of their own. The recordings are WAV files of zeros, which take no space on most
disks; with 8 bits, zeros are samples at the lowest value, and not dropouts.
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

from benchmarks.dask_processes import ClusterProcesses, start_cluster
from benchmarks.planning import peak_mb
from benchmarks.sparse import sparse_wav
from benchmarks.table import Row
from whalescan.audio import recordings
from whalescan.detector.batching import BATCH_SIZE
from whalescan.detector.model_spec import find_model
from whalescan.engine import chunking
from whalescan.engine.dispatch import ChunkDispatcher
from whalescan.engine.worker import ScoredChunk, ScoringTask
from whalescan.options import WorkOptions
from whalescan.scores.score_file import ScoreFile
from whalescan.survey import outputs, run, scoring
from whalescan.survey.score_assembly import ScoreAssembly
from whalescan.survey.settings import SurveyJob

N_RECORDINGS = 90_000
_N_RECORDERS = 10
_RATE_HZ, _LENGTH_S = 2000, 3504
_N_WORKERS, _N_THREADS = 2, 16
"""As many running chunks as on a cluster of 32 workers, so that client and scheduler have as much to do."""
_BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
_MARKS = (0.1, 0.5, 1.0)
"""Shares of the chunks after which memory is measured."""
_P = ParamSpec("_P")
_T = TypeVar("_T")


def measure(n_recordings: int = N_RECORDINGS, n_chunks: int = 0) -> list[Row]:
    """Return the rows of the table.

    Args:
        n_recordings: number of recordings of 58.4 minutes.
        n_chunks: chunks after which the run is interrupted, as by Ctrl-C, and writes no tables; 0 for all of them.
    """
    with tempfile.TemporaryDirectory() as folder:
        recordings_folder, output = Path(folder, "recordings"), Path(folder, "out")
        write_recordings(recordings_folder, n_recordings)
        with (
            start_cluster(_N_WORKERS, _N_THREADS, preload="benchmarks.fake_worker") as started,
            ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool,
        ):
            return pool.submit(_client, recordings_folder, output, started, n_recordings, n_chunks).result()


@dataclass(slots=True)
class _RunMeasurements:
    """Measurements of one run, made in the client.

    Attributes:
        taken_s: seconds of each stage.
        memory_mb: memory of client and scheduler, after shares of the chunks.
        keeping_s, keeping_cpu_s: elapsed and CPU time of the client for journals and score files.
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
    begin: _ClockReadings | None = None
    end: _ClockReadings | None = None

    def timed(self, what: str, work: Callable[_P, _T]) -> Callable[_P, _T]:
        """Return the same function, which records its time."""

        def timed(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            begin_s = time.perf_counter()
            result = work(*args, **kwargs)
            self.taken_s[what] = time.perf_counter() - begin_s
            return result

        return timed

    def read_clocks(self) -> _ClockReadings:
        """Return the present readings of the clocks."""
        return _ClockReadings(time.perf_counter(), time.thread_time(), _cpu_s(self.client), _cpu_s(self.scheduler))

    def count(self) -> None:
        """Count a chunk that was stored."""
        self.n_done += 1
        if len(self.memory_mb) < len(_MARKS) and self.n_done == round(_MARKS[len(self.memory_mb)] * self.n_chunks):
            self.memory_mb.append((_memory_mb(self.client), _memory_mb(self.scheduler)))


@dataclass(frozen=True, slots=True)
class _ClockReadings:
    """Elapsed time, and CPU time of the client's main thread, the client and the scheduler."""

    s: float
    thread_s: float
    client_s: float
    scheduler_s: float


def _client(folder: Path, output: Path, started: ClusterProcesses, n_recordings: int, n_chunks: int) -> list[Row]:
    """Measure a run, in a process of its own, so that imports of other benchmarks do not count."""
    n_total = n_recordings * _chunks_each(n_recordings)
    measured = _RunMeasurements(psutil.Process(started.scheduler_pid), n_chunks or n_total)

    class MeasuredAssembly(ScoreAssembly):
        """Assembly that counts chunks, and the time to store them."""

        def add(self, scored: ScoredChunk) -> ScoreFile | None:
            begin_s, begin_cpu_s = time.perf_counter(), time.thread_time()
            score_file = ScoreAssembly.add(self, scored)
            measured.keeping_s += time.perf_counter() - begin_s
            measured.keeping_cpu_s += time.thread_time() - begin_cpu_s
            measured.count()
            if measured.n_done == n_chunks:
                signal.raise_signal(signal.SIGINT)
            return score_file

    class MeasuredDispatcher(ChunkDispatcher):
        """Dispatcher that reads the clocks before the first chunk and after the last."""

        def __iter__(self) -> Iterator[ScoredChunk]:
            measured.begin = measured.read_clocks()
            for scored in ChunkDispatcher.__iter__(self):
                measured.task_bytes = measured.task_bytes or len(pickle.dumps((scored.chunk, self._task)))
                yield scored
            measured.end = measured.read_clocks()

    job = SurveyJob((str(folder),), output, work=WorkOptions(scheduler=str(started.scheduler_file), quiet=True))
    begin_s = time.perf_counter()
    with ExitStack() as stack:
        stack.enter_context(
            mock.patch.object(recordings, "find_recordings", measured.timed("find", recordings.find_recordings))
        )
        stack.enter_context(
            mock.patch.object(run, "inspect_recordings", measured.timed("inspect", scoring.inspect_recordings))
        )
        stack.enter_context(mock.patch.object(run, "write_tables", measured.timed("tables", outputs.write_tables)))
        stack.enter_context(mock.patch.object(scoring, "ScoreAssembly", MeasuredAssembly))
        stack.enter_context(mock.patch.object(scoring, "ChunkDispatcher", MeasuredDispatcher))
        try:
            assert run.run(job).exit_code == 0
        except KeyboardInterrupt:
            assert n_chunks
    assert n_chunks or measured.n_done == n_total, (measured.n_done, n_total)
    return _rows(measured, begin_s)


def _rows(measured: _RunMeasurements, begin_s: float) -> list[Row]:
    begin, end, n = measured.begin, measured.end, measured.n_done
    assert begin is not None
    assert end is not None
    taken_s, planned_s, wall_s = measured.taken_s, begin.s - begin_s, end.s - begin.s
    found: dict[str, object] = {
        "find the recordings, s": round(taken_s["find"], 1),
        "read their headers and start times, s": round(taken_s["inspect"], 1),
        "order, stored results, worker check, s": round(planned_s - taken_s["find"] - taken_s["inspect"], 1),
        "planned, s": round(planned_s, 1),
        f"{n:,} chunks dispatched and stored, s": round(wall_s),
        "chunks a second": round(n / wall_s),
        "scheduler, ms of CPU a chunk": round(1e3 * (end.scheduler_s - begin.scheduler_s) / n, 2),
        "client, ms of CPU a chunk": round(1e3 * (end.client_s - begin.client_s) / n, 2),
        "of these in its main thread": round(1e3 * (end.thread_s - begin.thread_s) / n, 2),
        "of these to journal and to write scores": round(1e3 * measured.keeping_cpu_s / n, 2),
        "journals and score files, share of the time": round(measured.keeping_s / wall_s, 2),
        "a chunk and its task, bytes": measured.task_bytes,
        **{
            f"client, scheduler after {mark:.0%}, MB": f"{client}, {scheduler}"
            for mark, (client, scheduler) in zip(_MARKS, measured.memory_mb, strict=True)
        },
        **({"tables, s": round(taken_s["tables"], 1)} if "tables" in taken_s else {}),
        "client, peak memory, MB": peak_mb(),
    }
    return [{"what": what, "value": value} for what, value in found.items()]


def _chunks_each(n_recordings: int) -> int:
    """Return the number of chunks of a recording."""
    task = ScoringTask(find_model(), "cpu", BATCH_SIZE)
    step = chunking.columns_per_chunk(task.columns, task.batch_columns, n_recordings * _LENGTH_S)
    return -(-task.columns.n_columns(_LENGTH_S * task.columns.rate_hz) // step)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _memory_mb(process: psutil.Process) -> int:
    return round(int(process.memory_info().rss) / 1e6)


def write_recordings(folder: Path, n: int) -> None:
    """Write consecutive recordings of 58.4 minutes, of ten recorders with a folder each."""
    for i in range(n):
        recorder, moment = i % _N_RECORDERS, _BEGIN + timedelta(seconds=i // _N_RECORDERS * _LENGTH_S)
        path = folder / f"hydrophone{recorder}" / f"AMAR{recorder}.{moment:%Y%m%dT%H%M%SZ}.wav"
        sparse_wav(path, _RATE_HZ, _RATE_HZ * _LENGTH_S, n_bits=8)
