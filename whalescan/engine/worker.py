"""What a worker does: hear a chunk, score it, account for it. It writes nothing; all of it goes back to the client."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from threading import Lock
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
from distributed import get_worker

from whalescan._version import __version__
from whalescan.audio import reading, recordings
from whalescan.audio.windows import hearing, unheard
from whalescan.core import BoolArray, FloatArray, GapKind, Loss, ModelError, RecordingError, WindowGrid, WindowScores
from whalescan.core.profiling import Span, stage, watching
from whalescan.detector.batching import Batching, batching
from whalescan.detector.model_spec import DEFAULT_MODEL, Model, find_model
from whalescan.engine.chunking import Chunk, n_windows, reach
from whalescan.engine.retry import patiently

if TYPE_CHECKING:
    from whalescan.detector.glancing import AnyScorer

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Names of settings in glibc's malloc.h."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker needs to know to score a chunk.

    Attributes:
        exact: whether every window is looked at, although the model has a glance.
        is_timed: whether it shall say how long each stage took.
        version: whalescan's, where the run began; another one may give other scores.
        run: a name that no other run has.
    """

    model: Model
    grid: WindowGrid
    device: str
    batch_size: int
    exact: bool = False
    is_timed: bool = False
    version: str = __version__
    run: str = field(default_factory=lambda: uuid4().hex)

    @property
    def together(self) -> Batching:
        """Which windows are scored together."""
        return batching(self.model.spec, self.grid, self.batch_size, self.exact)


@dataclass(frozen=True, slots=True)
class Heard:
    """A chunk's sound, ready to be scored.

    Attributes:
        first: sample of these at which the first window begins; before it lies a margin.
        samples: float32 ``[n]`` at the model's rate; nothing where there is nothing to score.
        empty: bool ``[n]``, true where nothing could be read or nothing was recorded.
        jumps: samples of these at which the clock jumps.
        losses: samples of the chunk's own, from the recording's first, that are not analysed.
        problems: what was wrong, and where.
        spans: how long it took, where that is asked for.
    """

    chunk: Chunk
    first: int
    samples: FloatArray
    empty: BoolArray
    jumps: tuple[int, ...]
    losses: tuple[Loss, ...]
    problems: tuple[str, ...]
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """A chunk with its scores.

    Attributes:
        windows: the scores; NaN where a window holds no sound.
        losses: samples of the chunk's own that were not analysed.
        problems: what was wrong, and where.
        is_final: False where another try might do better: the chunk's scoring failed, not its sound.
        note: what the user should know of how it was done; empty where nothing is to be said.
        spans: how long the stages took, where that is asked for.
    """

    chunk: Chunk
    windows: WindowScores
    losses: tuple[Loss, ...]
    problems: tuple[str, ...]
    is_final: bool = True
    note: str = ""
    spans: tuple[Span, ...] = ()


class UnfitError(RecordingError):
    """A worker that cannot do what others can.

    Attributes:
        worker: its address; empty where there is none.
    """

    def __init__(self, reason: str, worker: str) -> None:
        super().__init__(reason, worker)
        self.worker = worker

    def __str__(self) -> str:
        return str(self.args[0])


class OutOfSightError(UnfitError):
    """A recording is not where the client saw it; maybe for this worker only."""


@dataclass(frozen=True, slots=True)
class CalledOff:
    """A chunk that was not begun, since its run is to end."""


_called_off: set[str] = set()


def call_off(run: str) -> None:
    """Begin no more chunks of a run in this process; what is begun goes on."""
    _called_off.add(run)


def work(chunk: Chunk, task: Task) -> ScoredChunk | CalledOff:
    """What Dask is given to do: score a chunk, unless its run is to end."""
    if task.run in _called_off:
        return CalledOff()
    with watching(task.is_timed) as spans, stage("chunk"):
        scored = score_chunk(chunk, task)
    return replace(scored, spans=tuple(spans)) if spans else scored


def listen(chunk: Chunk, task: Task) -> Heard:
    """The first half of that, where GPUs score: any worker may hear."""
    with watching(task.is_timed) as spans, stage("chunk"):
        heard = hear(chunk, task)
    return replace(heard, spans=tuple(spans)) if spans else heard


def work_for_a_gpu(heard: Heard, task: Task) -> ScoredChunk | CalledOff:
    """The second half: score what another worker may have heard."""
    if task.run in _called_off:
        return CalledOff()
    with watching(task.is_timed) as spans, stage("chunk"):
        scored = score_heard(heard, task)
    return replace(scored, spans=(*heard.spans, *spans)) if spans else scored


def score_chunk(chunk: Chunk, task: Task) -> ScoredChunk:
    """Read, score and account for one chunk.

    Raises:
        RecordingError: when the recording cannot be read now.
        ModelError: when the model is another one, or not there.
    """
    return score_heard(hear(chunk, task), task)


def hear(chunk: Chunk, task: Task) -> Heard:
    """Read a chunk, and note what of it cannot be analysed.

    Raises:
        UnfitError: when this is another version of whalescan.
        OutOfSightError: when the recording is not where the client saw it.
        DiskError: when the disk did not answer.
        RecordingError: when the file cannot be opened any more, or is another one now.
    """
    if task.version != __version__:
        raise UnfitError(
            f"has whalescan {__version__}, where the run has {task.version}; install the same there", _address()
        )
    begin, end = chunk.needed_samples(task.grid, task.together.margin_samples)
    first = chunk.own_samples(task.grid)[0] - begin
    sound = _read(chunk, task.grid.rate_hz, begin, end)
    within = reach(chunk.recording, chunk.after, task.grid)
    beside = unheard(task.grid, n_windows(chunk.recording, chunk.after, task.grid), within.n_samples, within.jumps)
    own = [(a, min(b, chunk.recording.n_samples(task.grid.rate_hz))) for a, b in beside]
    return Heard(
        chunk,
        first,
        sound.samples,
        sound.lost | sound.silent,
        tuple(jump - begin for jump in within.jumps if begin < jump < end),
        _losses(sound, first, chunk, task.grid, beside),
        (*sound.problems, *_said_of_unheard([span for span in own if span[0] < span[1]], task.grid)),
    )


def score_heard(heard: Heard, task: Task) -> ScoredChunk:
    """Score what was heard."""
    chunk, empty = heard.chunk, heard.empty
    if empty.all():
        return ScoredChunk(chunk, _no_scores(chunk, task), heard.losses, heard.problems)
    scorer = _scorer(task)
    windows = scorer.score(heard.samples, task.grid, chunk.n_windows, heard.jumps, heard.first)
    if empty.any():
        own = empty[heard.first :]
        n_sounding = np.concatenate([[0], np.cumsum(~own)])
        jumps = [jump - heard.first for jump in heard.jumps if jump > heard.first]
        begins, ends = hearing(task.grid, 0, chunk.n_windows, len(own), jumps).T
        windows.scores[n_sounding[ends] == n_sounding[begins]] = np.nan
    return ScoredChunk(chunk, windows, heard.losses, heard.problems, note=scorer.note)


def given_up(chunk: Chunk, task: Task, problem: str) -> ScoredChunk:
    """A chunk without scores, all of it lost, to be tried again by the next run."""
    begin, end = chunk.own_samples(task.grid)
    lost = (Loss(begin, end, GapKind.UNREADABLE),)
    return ScoredChunk(chunk, _no_scores(chunk, task), lost, (problem,), is_final=False)


# ------------------------------------------------------------------------------------------------ reading


def _read(chunk: Chunk, rate_hz: int, begin: int, end: int) -> reading.Sound:
    """What a chunk's windows cover; a disk that does not answer is waited for."""
    for recording in (chunk.recording, *chunk.after):
        if not patiently(recording.path.exists, str(recording.path)):
            remedy = "bring it back and give the same command again"
            raise OutOfSightError(f"{recording.path}: is not there any more; {remedy}", _address())
    return patiently(partial(_read_now, chunk, rate_hz, begin, end), str(chunk.recording.path))


def _read_now(chunk: Chunk, rate_hz: int, begin: int, end: int) -> reading.Sound:
    sound = reading.read(chunk.recording, chunk.channel, rate_hz, begin, end, chunk.after)
    if recordings.has_changed(chunk.recording):
        raise RecordingError(f"{chunk.recording.path}: changed while it was analysed; give the same command again")
    return sound


def _address() -> str:
    try:
        return str(get_worker().address)
    except ValueError:  # called without Dask
        return ""


def _said_of_unheard(beside: Sequence[tuple[int, int]], grid: WindowGrid) -> Iterator[str]:
    """The same for every chunk of a recording, so that it is said once."""
    if beside:
        lost_s = grid.seconds(sum(end - begin for begin, end in beside))
        half_s, hop_s = grid.seconds(grid.window_samples / 2), grid.seconds(grid.hop_samples)
        why = f"choose a hop of {half_s:g} s or less" if hop_s > half_s else f"they are in pieces of less than {half_s:g} s"
        yield f"{lost_s:.1f} s beside jumps of the clock lie in no window; {why}"


def _losses(
    sound: reading.Sound, first: int, chunk: Chunk, grid: WindowGrid, beside: Sequence[tuple[int, int]]
) -> tuple[Loss, ...]:
    """What of a chunk's own samples, from ``first`` on, could not be read, was never recorded, or lies in no window."""
    begin, end = chunk.own_samples(grid)
    own = slice(first, first + end - begin)
    lost, silent = sound.lost[own].copy(), sound.silent[own]
    for a, b in beside:  # what of them lies in the recordings behind is theirs to hear
        lost[max(a - begin, 0) : max(b - begin, 0)] = True
    kinds = (lost, GapKind.UNREADABLE), (silent & ~lost, GapKind.DROPOUT)
    return tuple(Loss(begin + a, begin + b, kind) for where, kind in kinds for a, b in _runs(where))


def _runs(where: BoolArray) -> list[tuple[int, int]]:
    """Begin and end of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], where, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


# ------------------------------------------------------------------------------------------------ the model


def _no_scores(chunk: Chunk, task: Task) -> WindowScores:
    n = chunk.n_windows
    nan = np.full((n, 4), np.nan, np.float32)
    return WindowScores(np.full((n, len(task.model.spec.classes)), np.nan, np.float32), nan, nan)


_loading = Lock()


def _scorer(task: Task) -> AnyScorer:
    """The model, loaded once in each process."""
    with stage("wait for model"), _loading:
        return _load_scorer(str(task.model.path), task.model.sha256, task.device, task.batch_size, task.exact)


@lru_cache(maxsize=1)
def _load_scorer(path: str, sha256: str, device: str, batch_size: int, exact: bool) -> AnyScorer:
    with stage("import torch"):
        from whalescan.detector.glancing import load_scorer  # takes seconds, and a client does without it

    _keep_memory()
    with stage("load model"):
        return load_scorer(same_model(path, sha256), device, batch_size, exact)


def _keep_memory() -> None:
    """Let glibc keep freed memory for the next batch.

    Dask's nannies tell it to hand every block back; fetching them anew took a third of all the time of a worker.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(_MMAP_THRESHOLD, 2**25)
            libc.mallopt(_TRIM_THRESHOLD, 2**30)


def same_model(path: str, sha256: str) -> Model:
    """The model that a run began with, as it lies here: a package of another place has the default one, too.

    Raises:
        ModelError: when it is not here, or another one is.
    """
    for there in (path, DEFAULT_MODEL):
        try:
            model = find_model(there)
        except ModelError:
            continue
        if model.sha256 == sha256:
            return model
    raise ModelError(f"{path}: not the model that the run began with, or none is there; restore it")
