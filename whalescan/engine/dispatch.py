"""Chunks handed out to workers, and scores that come back, whatever becomes of a worker.

Only as many chunks are handed out as keep the workers busy: neither client nor scheduler grows with the survey. A chunk
whose worker died is tried again when nothing else is at work, so that no other chunk is blamed for what it does; after
`DEATHS` workers it is given up. What fails for another reason is given up at once, and tried again by the next run.
"""

from __future__ import annotations

import itertools
import queue
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

from distributed import Future, KilledWorker, Worker

from whalescan.audio import recordings
from whalescan.core import ModelError, RecordingError, UsageError
from whalescan.engine.chunking import Chunk
from whalescan.engine.cluster import GPU, Workforce
from whalescan.engine.signals import Interruption
from whalescan.engine.worker import (
    CalledOff,
    OutOfSightError,
    ScoredChunk,
    Task,
    UnfitError,
    call_off,
    given_up,
    listen,
    work,
    work_for_a_gpu,
)

DEATHS = 3
"""Workers that may die of a chunk before it is given up."""
_AHEAD = 2
"""Chunks handed out for each one that can be worked on: workers never wait, and the scheduler never grows."""
_TOGETHER = 64
"""Scores fetched at a time, at most: a question to the scheduler costs as much for one chunk as for many."""
_MOMENT_S = 0.05
"""How long scores of a large cluster are waited for, to be fetched together; its workers have other chunks meanwhile."""
_NAME = "score_chunk"
"""What Dask's dashboard and reports call the work."""
_TICK_S = 2.0
_SILENCE_S = 120.0
"""After so long without a chunk the user is told that the run waits, and for what."""

Say = Callable[[str], None]


class Dispatch:
    """One run's chunks, on their way to workers and back.

    Args:
        chunks: all that is to be scored; taken from as there is room.
        say: takes what the user should know, a line at a time.

    Attributes:
        census: the workers, as they were counted last.
    """

    def __init__(
        self, chunks: Iterable[Chunk], task: Task, workers: Workforce, interruption: Interruption, say: Say
    ) -> None:
        self._waiting = iter(chunks)
        self._task, self._workers, self._interruption, self._say = task, workers, interruption, say
        self._again: deque[Chunk] = deque()
        self._suspects: deque[Chunk] = deque()
        self._deaths: Counter[Chunk] = Counter()
        self._unfit: set[str] = set()
        self._at_work: dict[str, tuple[Chunk, Future]] = {}
        self._back: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._last_back_s = self._last_said_s = time.monotonic()
        self.census = workers.census()

    def __iter__(self) -> Iterator[ScoredChunk]:
        """The chunks with their scores as they come, in any order, until all are back or the user wants an end.

        Raises:
            ModelError, UsageError: where every other chunk would fail likewise.
            ClusterError: when the scheduler is gone.
        """
        counted_s = time.monotonic()
        is_ending = False
        while True:
            if not self._interruption.is_asked:
                self._hand_out()
            elif not is_ending:
                is_ending = True
                self._call_back()
            if not self._at_work:
                return
            yield from self._settle_all(self._come_back())
            if time.monotonic() - counted_s > _TICK_S:
                counted_s = time.monotonic()
                self._look_round()

    # ------------------------------------------------------------------------------------------------ out

    def _hand_out(self) -> None:
        room = max(_AHEAD * self.census.n_threads, 1) - len(self._at_work)
        fresh = list(itertools.islice(itertools.chain(_drained(self._again), self._waiting), max(room, 0)))
        if not fresh and not self._at_work and self._suspects:
            fresh = [self._suspects.popleft()]  # alone: if its worker dies now, nothing else was the reason
        if fresh:
            self._submit(fresh)

    def _submit(self, chunks: Sequence[Chunk]) -> None:
        """All in one message, which spares the scheduler half of its work."""
        client, task = self._workers.client, self._task
        if self.census.has_gpus:
            heard = client.map(listen, chunks, task=task, pure=False)
            futures = client.map(work_for_a_gpu, heard, task=task, key=_NAME, pure=False, resources={GPU: 1})
        else:
            futures = client.map(work, chunks, task=task, key=_NAME, pure=False)
        for chunk, future in zip(chunks, futures, strict=True):
            self._at_work[future.key] = chunk, future
            future.add_done_callback(self._back.put)

    def _call_back(self) -> None:
        """Take back what no worker has begun, and let none begin anything more."""
        client = self._workers.client
        begun = set(itertools.chain.from_iterable(client.run(_call_off, self._task.run, on_error="ignore").values()))
        idle = [(key, future) for key, (_, future) in self._at_work.items() if key not in begun and not future.done()]
        for key, _ in idle:
            del self._at_work[key]
        client.cancel([future for _, future in idle])
        n = len(self._at_work)
        self._say(
            f"stopping when {n} chunk{'' if n == 1 else 's'} at work {'is' if n == 1 else 'are'} done; Ctrl-C again: at once"
        )

    # ------------------------------------------------------------------------------------------------ back

    def _come_back(self) -> list[Future]:
        """Futures that are done, those of a moment together; none where nothing was done for longer."""
        back: list[Future] = []
        with suppress(queue.Empty):
            back.append(self._back.get(timeout=_TICK_S / 10))
            until_s = time.monotonic() + _MOMENT_S
            while len(back) < min(len(self._at_work) // 4, _TOGETHER):
                back.append(self._back.get(timeout=max(until_s - time.monotonic(), 0)))
            while len(back) < _TOGETHER:
                back.append(self._back.get_nowait())
        return back

    def _settle_all(self, futures: Sequence[Future]) -> Iterator[ScoredChunk]:
        """The chunks of these that are done with."""
        finished = {one.key: one for one in futures if one.status == "finished" and one.key in self._at_work}
        results = self._workers.client.gather(finished, errors="skip") if finished else {}
        for future in futures:
            if (scored := self._settle(future, results.get(future.key))) is not None:
                yield scored

    def _settle(self, future: Future, result: ScoredChunk | CalledOff | None) -> ScoredChunk | None:
        """What became of a chunk; None where it is to be tried again, now or by the next run."""
        if future.key not in self._at_work:
            return None  # it was called back
        if future.status == "cancelled":
            raise self._workers.gone()
        chunk, _ = self._at_work.pop(future.key)
        self._last_back_s = time.monotonic()
        if isinstance(result, ScoredChunk):
            self._deaths.pop(chunk, None)
            return result
        if future.status == "error":
            return self._fail(chunk, future.exception())
        if result is None:  # its worker died with the scores, before they were fetched
            self._again.append(chunk)
        return None

    def _fail(self, chunk: Chunk, error: BaseException) -> ScoredChunk | None:
        """A chunk that is given up; None where it is to be tried again."""
        if isinstance(error, ModelError | UsageError):
            raise error
        if isinstance(error, KilledWorker):
            return self._suspect(chunk, error)
        if isinstance(error, UnfitError) and self._send_home(chunk, error):
            self._again.append(chunk)
            return None
        problem = str(error) if isinstance(error, RecordingError) else f"{type(error).__name__}: {error}"
        return given_up(chunk, self._task, problem)

    def _suspect(self, chunk: Chunk, error: KilledWorker) -> ScoredChunk | None:
        """A worker died while it had this chunk, maybe of it."""
        was_alone = chunk in self._deaths
        self._deaths[chunk] += error.allowed_failures + 1
        if was_alone and self._deaths[chunk] >= DEATHS:
            return given_up(chunk, self._task, f"{self._deaths.pop(chunk)} workers died while they scored it")
        if not was_alone:
            self._say(f"{self._place(chunk)}: a worker died; to be tried again at the end, alone")
        self._suspects.append(chunk)
        return None

    def _send_home(self, chunk: Chunk, error: UnfitError) -> bool:
        """Whether it is only a worker that cannot do a chunk; it gets no more work then."""
        reason = str(error)
        if isinstance(error, OutOfSightError):
            try:
                recordings.has_changed(chunk.recording)
            except RecordingError:
                return False
            reason = f"does not see {chunk.recording.path}; mount its disk there"
        if error.worker and error.worker not in self._unfit:
            self._unfit.add(error.worker)
            self._say(f"{error.worker}: {reason}. It gets no more work")
            self._workers.client.retire_workers([error.worker])
        return bool(error.worker)

    # ------------------------------------------------------------------------------------------------ meanwhile

    def _look_round(self) -> None:
        try:
            self.census = self._workers.census()
        except (OSError, TimeoutError):
            return  # the futures will say it
        now_s = time.monotonic()
        if now_s - max(self._last_back_s, self._last_said_s) < _SILENCE_S:
            return
        self._last_said_s = now_s
        waited = f"for {(now_s - self._last_back_s) / 60:.0f} minutes nothing came back"
        if self.census.n_workers == 0:
            self._say(f"{waited}: no workers at {self._workers.where}; waiting for some")
        else:
            first = self._place(next(iter(self._at_work.values()))[0])
            self._say(
                f"{waited} of {len(self._at_work)} chunks, the first of {first}; waiting for the disk, or for the workers"
            )

    def _place(self, chunk: Chunk) -> str:
        return f"{chunk.recording.path}, {self._task.grid.seconds(chunk.own_samples(self._task.grid)[0]):.0f} s"


def _drained(chunks: deque[Chunk]) -> Iterator[Chunk]:
    while chunks:
        yield chunks.popleft()


def _call_off(run: str, dask_worker: Worker) -> list[str]:
    """Let a worker begin nothing more of a run. Returns the keys of what it is at."""
    call_off(run)
    return [ts.key for ts in dask_worker.state.executing]
