"""Chunks scored by Dask: one way for a laptop's threads and for a cluster's machines."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import dask
import numpy as np
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster, as_completed

from whalescan.config import WorkOptions
from whalescan.core import GapKind, Loss, ModelError, RecordingError, UsageError, WindowGrid, WindowScores
from whalescan.detector.spec import Model, find_model
from whalescan.sound import reading
from whalescan.sound.windows import hearing, unheard
from whalescan.survey.plan import Chunk, n_windows, reach

if TYPE_CHECKING:
    from whalescan.detector.scoring import Scorer

_PATIENCE = "30s"
_AHEAD = 2
"""Chunks handed out for each one that can be worked on: workers never wait, and the scheduler never grows."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker needs to know to score a chunk."""

    model: Model
    grid: WindowGrid
    device: str
    batch_size: int


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """A chunk with its scores.

    Attributes:
        windows: the scores; NaN where a window holds no sound.
        losses: samples of the chunk's own that were not analysed.
        problems: what was wrong, and where.
        is_final: False where another try might do better: the chunk's scoring failed, not its sound.
    """

    chunk: Chunk
    windows: WindowScores
    losses: tuple[Loss, ...]
    problems: tuple[str, ...]
    is_final: bool = True


def score_chunks(chunks: Iterable[Chunk], task: Task, options: WorkOptions) -> Iterator[ScoredChunk]:
    """Score chunks on this machine or a cluster and yield them as they are finished, in any order.

    A chunk that fails is yielded with its problem; it never stops the others.
    """
    waiting = iter(chunks)
    with _client(options) as client:
        n_threads = sum(client.nthreads().values())
        if n_threads == 0:
            raise UsageError(f"--scheduler {options.scheduler}: the cluster has no workers; start some with `dask worker`")

        at_work: dict[str, Chunk] = {}
        completed = as_completed()

        def hand_out(n: int) -> None:
            for chunk in islice(waiting, n):
                future = client.submit(score_chunk, chunk, task, pure=False)
                at_work[future.key] = chunk
                completed.add(future)

        hand_out(_AHEAD * n_threads)
        for future in completed:
            chunk = at_work.pop(future.key)
            error = future.exception()
            if isinstance(error, ModelError | UsageError):
                raise error  # every other chunk would meet it too
            yield future.result() if error is None else _given_up(chunk, task, error)
            hand_out(1)


def score_chunk(chunk: Chunk, task: Task) -> ScoredChunk:
    """Read, score and account for one chunk; runs on a worker."""
    begin, end = chunk.needed_samples(task.grid)
    sound = reading.read(chunk.recording, chunk.channel, task.grid.rate_hz, begin, end, chunk.after)
    within = reach(chunk.recording, chunk.after, task.grid)
    jumps = within.jumps
    beside = unheard(task.grid, n_windows(chunk.recording, chunk.after, task.grid), within.n_samples, jumps)
    losses = _losses(sound, chunk, task.grid, beside)
    own = [(begin, min(end, chunk.recording.n_samples(task.grid.rate_hz))) for begin, end in beside]
    problems = (*sound.problems, *_said_of_unheard([span for span in own if span[0] < span[1]], task.grid))
    empty = sound.lost | sound.silent
    if empty.all():
        return ScoredChunk(chunk, _no_scores(chunk, task), losses, problems)
    here = [jump - begin for jump in jumps if begin < jump < end]
    windows = _scorer(task.model, task.device, task.batch_size).score(sound.samples, task.grid, chunk.n_windows, here)
    if empty.any():
        n_sounding = np.concatenate([[0], np.cumsum(~empty)])
        begins, ends = hearing(task.grid, 0, chunk.n_windows, len(empty), here).T
        windows.scores[n_sounding[ends] == n_sounding[begins]] = np.nan
    return ScoredChunk(chunk, windows, losses, problems)


def _said_of_unheard(beside: Sequence[tuple[int, int]], grid: WindowGrid) -> Iterator[str]:
    """The same for every chunk of a recording, so that it is said once."""
    if beside:
        lost_s = grid.seconds(sum(end - begin for begin, end in beside))
        half_s, hop_s = grid.seconds(grid.window_samples / 2), grid.seconds(grid.hop_samples)
        why = f"choose a hop of {half_s:g} s or less" if hop_s > half_s else f"they are in pieces of less than {half_s:g} s"
        yield f"{lost_s:.1f} s beside jumps of the clock lie in no window; {why}"


def _losses(sound: reading.Sound, chunk: Chunk, grid: WindowGrid, beside: Sequence[tuple[int, int]]) -> tuple[Loss, ...]:
    """What of a chunk's own samples could not be read, was never recorded, or lies in no window."""
    begin, end = chunk.own_samples(grid)
    lost, silent = sound.lost[: end - begin].copy(), sound.silent[: end - begin]
    for first, last in beside:  # what of them lies in the recordings behind is theirs to hear
        lost[max(first - begin, 0) : max(last - begin, 0)] = True
    kinds = (lost, GapKind.UNREADABLE), (silent & ~lost, GapKind.DROPOUT)
    return tuple(Loss(begin + a, begin + b, kind) for where, kind in kinds for a, b in _runs(where))


def _runs(where: reading.BoolArray) -> list[tuple[int, int]]:
    """Begin and end of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], where, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _no_scores(chunk: Chunk, task: Task) -> WindowScores:
    n = chunk.n_windows
    nan = np.full((n, 4), np.nan, np.float32)
    return WindowScores(np.full((n, len(task.model.spec.classes)), np.nan, np.float32), nan, nan)


def _given_up(chunk: Chunk, task: Task, error: BaseException) -> ScoredChunk:
    begin, end = chunk.own_samples(task.grid)
    problem = str(error) if isinstance(error, RecordingError) else f"{type(error).__name__}: {error}"
    lost = (Loss(begin, end, GapKind.UNREADABLE),)
    return ScoredChunk(chunk, _no_scores(chunk, task), lost, (problem,), is_final=False)


_loading = Lock()


def _scorer(model: Model, device: str, batch_size: int) -> Scorer:
    """The model, loaded once in each process."""
    with _loading:
        return _load_scorer(str(model.path), model.sha256, device, batch_size)


@lru_cache(maxsize=1)
def _load_scorer(path: str, sha256: str, device: str, batch_size: int) -> Scorer:
    from whalescan.detector import scoring  # torch takes seconds to import, and a client does without it

    model = find_model(path)
    if model.sha256 != sha256:
        raise ModelError(f"{path}: another model lies there than the one that the run began with; restore it")
    return scoring.Scorer(model, scoring.choose_device(device), batch_size)


@contextmanager
def _client(options: WorkOptions) -> Iterator[Client]:
    if not options.scheduler:
        with (
            _quiet_dask(),
            LocalCluster(
                n_workers=1,
                threads_per_worker=options.workers or CPU_COUNT,
                processes=False,
                dashboard_address="127.0.0.1:0",  # any free port, and for this machine only
                memory_limit=0,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        if Path(options.scheduler).is_file():
            client = Client(scheduler_file=options.scheduler, timeout=_PATIENCE)
        else:
            client = Client(options.scheduler, timeout=_PATIENCE)
    except (OSError, ValueError) as error:
        raise UsageError(f"--scheduler {options.scheduler}: no Dask scheduler answers there ({error})") from error
    with client:
        yield client


@contextmanager
def _quiet_dask() -> Iterator[None]:
    """No profiling of workers that are threads of ours, no notes about them."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # what fails is reported by us, in one line
    try:
        with dask.config.set({"distributed.worker.profile.enabled": False}):
            yield
    finally:
        logger.setLevel(level)
