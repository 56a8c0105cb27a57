"""Chunks sent to workers, and their scores fetched, whatever happens to a worker.

Only as many chunks are submitted as keep the workers busy, so that neither client nor scheduler grows with the survey. A
chunk whose worker died is tried again when no other chunk is running, so that no other chunk can be blamed; after
`MAX_WORKER_DEATHS` workers it is reported as failed. A chunk that fails for another reason is reported as failed at once.
The next run scores failed chunks again.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from distributed import Future, KilledWorker, Worker, as_completed

from whalescan.audio import recordings
from whalescan.core import ModelError, RecordingError, UsageError
from whalescan.engine.chunking import Chunk
from whalescan.engine.cluster import GPU_RESOURCE, WorkerPool
from whalescan.engine.process_settings import InterruptHandler
from whalescan.engine.worker import (
    CancelledChunk,
    RecordingNotVisibleError,
    ScoredChunk,
    ScoringTask,
    WorkerMismatchError,
    cancel_run,
    failed_chunk,
    load_chunk_task,
    score_chunk_task,
    score_loaded_chunk_task,
)

MAX_WORKER_DEATHS = 3
"""Workers that may die while they score a chunk before it is reported as failed."""
_CHUNKS_PER_THREAD = 2
"""Chunks submitted per worker thread: workers never wait, and the scheduler never grows."""
_MAX_FETCHED = 64
"""Scores fetched at a time: a request to the scheduler costs as much for one chunk as for many."""
_POLL_S = 0.01
_BATCH_WAIT_S = 0.05
"""How long to wait for more scores of a large cluster, to fetch them together; its workers have other chunks meanwhile."""
_TASK_NAME = "score_chunk"
"""Name of the tasks on Dask's dashboard and in its reports."""
_MAX_WAIT_S = 0.2
"""How long to wait for a result before interrupts and workers are checked again."""
_COUNT_INTERVAL_S = 2.0
_NOTICE_INTERVAL_S = 120.0
"""After this long without a result, the user is told that the run is waiting, and for what."""

Notifier = Callable[[str], None]
"""Receives messages for the user, one line at a time."""


class ChunkDispatcher:
    """The chunks of one run, sent to workers.

    Args:
        chunks: all that is to be scored; taken as workers become free.
        task: how to score them.
        workers: who scores them.
        interrupt_handler: knows whether the user wants the run to end.
        notify: takes what the user should know.

    Attributes:
        counts: the workers, when they were counted last.
    """

    def __init__(
        self,
        chunks: Iterable[Chunk],
        task: ScoringTask,
        workers: WorkerPool,
        interrupt_handler: InterruptHandler,
        notify: Notifier,
    ) -> None:
        self._chunks = iter(chunks)
        self._task, self._workers, self._interrupt_handler, self._notify = task, workers, interrupt_handler, notify
        self._retries: deque[Chunk] = deque()
        self._suspects: deque[Chunk] = deque()
        self._deaths: Counter[Chunk] = Counter()
        self._retired: set[str] = set()
        self._pending: dict[str, tuple[Chunk, Future]] = {}
        self._completed = as_completed(loop=workers.client.loop)
        self._last_result_s = self._last_notice_s = time.monotonic()
        self.counts = workers.counts()

    def __iter__(self) -> Iterator[ScoredChunk]:
        """Yield the chunks with their scores as they complete, in any order, until all have or the user ends the run.

        Raises:
            ModelError, UsageError: where every other chunk would fail likewise.
            ClusterError: when the connection to the scheduler is lost.
        """
        last_count_s = time.monotonic()
        is_ending = False
        try:
            while True:
                if not self._interrupt_handler.is_requested:
                    self._submit_next()
                elif not is_ending:
                    is_ending = True
                    self._cancel_waiting()
                if not self._pending:
                    return
                yield from self._fetch(self._wait_for_completed())
                if time.monotonic() - last_count_s > _COUNT_INTERVAL_S:
                    last_count_s = time.monotonic()
                    self._update_counts()
        finally:
            if self._pending and self._workers.is_external and self._workers.client.status == "running":
                self._workers.client.cancel([future for _, future in self._pending.values()])

    def _submit_next(self) -> None:
        room = max(_CHUNKS_PER_THREAD * self.counts.n_threads, 1) - len(self._pending)
        chunks = list(itertools.islice(itertools.chain(_drain(self._retries), self._chunks), max(room, 0)))
        if not chunks and not self._pending and self._suspects:
            chunks = [self._suspects.popleft()]  # alone: if its worker dies, no other chunk is the reason
        if chunks:
            self._submit(chunks)

    def _submit(self, chunks: Sequence[Chunk]) -> None:
        """Submit chunks in one message, which halves the scheduler's work."""
        client, task = self._workers.client, self._task
        if self.counts.has_gpus:
            loaded = client.map(load_chunk_task, chunks, task=task, pure=False)
            on_gpu = {GPU_RESOURCE: 1}
            futures = client.map(score_loaded_chunk_task, loaded, task=task, key=_TASK_NAME, pure=False, resources=on_gpu)
        else:
            futures = client.map(score_chunk_task, chunks, task=task, key=_TASK_NAME, pure=False)
        for chunk, future in zip(chunks, futures, strict=True):
            self._pending[future.key] = chunk, future
        self._completed.update(futures)

    def _cancel_waiting(self) -> None:
        """Cancel the chunks that no worker has started, and let none start another."""
        client = self._workers.client
        executing = client.run(_cancel_on_worker, self._task.run_id, on_error="ignore").values()
        started = set(itertools.chain.from_iterable(executing))
        waiting = [(key, future) for key, (_, future) in self._pending.items() if key not in started and not future.done()]
        for key, _ in waiting:
            del self._pending[key]
        client.cancel([future for _, future in waiting])
        n = len(self._pending)
        self._notify(f"stopping after {n} running chunk{'' if n == 1 else 's'}; press Ctrl-C again to stop at once")

    def _wait_for_completed(self) -> list[Future]:
        """Return futures that are done, none where that takes longer than `_MAX_WAIT_S`."""
        deadline_s = time.monotonic() + _MAX_WAIT_S
        while not self._completed.has_ready() and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)  # as_completed can wait, but not with a time limit
            if self._interrupt_handler.is_forced:
                raise KeyboardInterrupt
        if len(self._pending) > _MAX_FETCHED:
            time.sleep(_BATCH_WAIT_S)
        futures: list[Future] = self._completed.next_batch(block=False)
        return futures

    def _fetch(self, futures: Sequence[Future]) -> Iterator[ScoredChunk]:
        """Yield the chunks of these futures that are scored, or have failed."""
        for begin in range(0, len(futures), _MAX_FETCHED):
            batch = futures[begin : begin + _MAX_FETCHED]
            finished = {one.key: one for one in batch if one.status == "finished" and one.key in self._pending}
            results = self._workers.client.gather(finished, errors="skip") if finished else {}
            for future in batch:
                if (scored := self._complete(future, results.get(future.key))) is not None:
                    yield scored

    def _complete(self, future: Future, result: ScoredChunk | CancelledChunk | None) -> ScoredChunk | None:
        """Return the scored or failed chunk of a future; None where it is to be tried again, now or by the next run."""
        if future.key not in self._pending:
            return None  # it was cancelled
        if future.status == "cancelled":
            raise self._workers.connection_lost()
        chunk, _ = self._pending.pop(future.key)
        self._last_result_s = time.monotonic()
        if isinstance(result, ScoredChunk):
            self._deaths.pop(chunk, None)
            return result
        if future.status == "error":
            return self._handle_error(chunk, future.exception())
        if result is None:  # its worker died before the scores were fetched
            self._retries.append(chunk)
        return None

    def _handle_error(self, chunk: Chunk, error: BaseException) -> ScoredChunk | None:
        """Return a chunk as failed; None where it is to be tried again."""
        if isinstance(error, ModelError | UsageError):
            raise error
        if isinstance(error, KilledWorker):
            return self._handle_death(chunk, error)
        if isinstance(error, WorkerMismatchError) and self._retire_worker(chunk, error):
            self._retries.append(chunk)
            return None
        problem = str(error) if isinstance(error, RecordingError) else f"{type(error).__name__}: {error}"
        return failed_chunk(chunk, self._task, problem)

    def _handle_death(self, chunk: Chunk, error: KilledWorker) -> ScoredChunk | None:
        """Return a chunk as failed where it killed too many workers; None where it is to be tried again, alone."""
        was_alone = chunk in self._deaths
        self._deaths[chunk] += error.allowed_failures + 1
        if was_alone and self._deaths[chunk] >= MAX_WORKER_DEATHS:
            return failed_chunk(chunk, self._task, f"{self._deaths.pop(chunk)} workers died while they scored it")
        if not was_alone:
            self._notify(f"{self._describe(chunk)}: a worker died; the chunk is scored again at the end, alone")
        self._suspects.append(chunk)
        return None

    def _retire_worker(self, chunk: Chunk, error: WorkerMismatchError) -> bool:
        """Retire the worker that cannot score a chunk. Returns whether others may be able to."""
        reason = str(error)
        if isinstance(error, RecordingNotVisibleError):
            try:
                recordings.has_changed(chunk.recording)
            except RecordingError:
                return False
            reason = f"does not see {chunk.recording.path}; mount its disk there"
        if error.worker and error.worker not in self._retired:
            self._retired.add(error.worker)
            self._notify(f"worker {error.worker}: {reason}. It gets no more work")
            self._workers.client.retire_workers([error.worker])
        return bool(error.worker)

    def _update_counts(self) -> None:
        """Count the workers, and tell the user where nothing has come back for long."""
        try:
            self.counts = self._workers.counts()
        except (OSError, TimeoutError):
            return  # the futures will report it
        now_s = time.monotonic()
        if now_s - max(self._last_result_s, self._last_notice_s) < _NOTICE_INTERVAL_S:
            return
        self._last_notice_s = now_s
        waited = f"no results for {(now_s - self._last_result_s) / 60:.0f} minutes"
        if self.counts.n_workers == 0:
            self._notify(f"{waited}: no workers at {self._workers.location}; waiting for workers")
        else:
            first = self._describe(next(iter(self._pending.values()))[0])
            self._notify(
                f"{waited} of {len(self._pending)} chunks, the first of {first}; waiting for the disk or the workers"
            )

    def _describe(self, chunk: Chunk) -> str:
        columns = self._task.columns
        return f"{chunk.recording.path}, {columns.seconds(chunk.scored_span(columns)[0]):.0f} s"


def _drain(chunks: deque[Chunk]) -> Iterator[Chunk]:
    while chunks:
        yield chunks.popleft()


def _cancel_on_worker(run_id: str, dask_worker: Worker) -> list[str]:
    """Let a worker start no more chunks of a run. Returns the keys of what it executes."""
    cancel_run(run_id)
    return [state.key for state in dask_worker.state.executing]
