"""Work on a worker: load a chunk, score it, report on its samples. Nothing is written; all results go back to the client."""

from __future__ import annotations

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
from whalescan.audio.windows import uncovered_spans, windows_without_audio
from whalescan.core import BoolArray, FloatArray, GapKind, MissingSpan, ModelError, RecordingError, WindowGrid, WindowScores
from whalescan.core.intervals import true_runs
from whalescan.core.profiling import StageTiming, collect_stages, stage
from whalescan.detector.batching import Batching, batching
from whalescan.detector.model_spec import DEFAULT_MODEL, Model, find_model
from whalescan.engine.chunking import Chunk, audio_extent, n_windows
from whalescan.engine.process_settings import configure_for_scoring, process_id
from whalescan.engine.retry import retry_on_disk_error

if TYPE_CHECKING:
    from whalescan.detector.glancing import AnyScorer


@dataclass(frozen=True, slots=True)
class ScoringTask:
    """How the chunks of a run are scored.

    Attributes:
        batch_size: windows scored at a time.
        exact: score every window with the whole network, although the model has a first stage.
        is_timed: whether workers report how long each stage took.
        version: whalescan's on the client; another one may give other scores.
        run_id: a name that no other run has.
        protected_process: the process whose settings stay as they are, as `process_id` names it; empty for none.
    """

    model: Model
    grid: WindowGrid
    device: str
    batch_size: int
    exact: bool = False
    is_timed: bool = False
    version: str = __version__
    run_id: str = field(default_factory=lambda: uuid4().hex)
    protected_process: str = field(default_factory=process_id)

    @property
    def batching(self) -> Batching:
        """The windows that are scored together."""
        return batching(self.model.spec, self.grid, self.batch_size, self.exact)


@dataclass(frozen=True, slots=True)
class LoadedChunk:
    """A chunk with its audio.

    Attributes:
        first_sample: index in ``samples`` at which the first window begins; a margin lies before it.
        samples: float32 ``[n_samples]`` at the model's rate; empty where there is nothing to score.
        is_empty: bool ``[n_samples]``, true where nothing could be read or nothing was recorded.
        discontinuities: indices in ``samples`` at which the timestamps jump.
        missing_spans: samples of the chunk's own that are not analysed, counted from the recording's first.
        problems: what was wrong, and where.
        timings: how long the stages took, where that is measured.
    """

    chunk: Chunk
    first_sample: int
    samples: FloatArray
    is_empty: BoolArray
    discontinuities: tuple[int, ...]
    missing_spans: tuple[MissingSpan, ...]
    problems: tuple[str, ...]
    timings: tuple[StageTiming, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """A chunk with its scores.

    Attributes:
        windows: the scores; NaN for windows without audio.
        missing_spans: samples of the chunk's own that were not analysed, counted from the recording's first.
        problems: what was wrong, and where.
        is_final: False where the scoring failed, and not the audio: the next run tries again.
        note: what the user should know about the scoring; empty for nothing.
        timings: how long the stages took, where that is measured.
    """

    chunk: Chunk
    windows: WindowScores
    missing_spans: tuple[MissingSpan, ...]
    problems: tuple[str, ...]
    is_final: bool = True
    note: str = ""
    timings: tuple[StageTiming, ...] = ()


@dataclass(frozen=True, slots=True)
class CancelledChunk:
    """A chunk that was not started, because its run is ending."""


class WorkerMismatchError(RecordingError):
    """A worker cannot score a chunk that others may be able to score.

    Attributes:
        worker: its address; empty where there is none.
    """

    def __init__(self, reason: str, worker: str) -> None:
        super().__init__(reason, worker)
        self.worker = worker

    def __str__(self) -> str:
        return str(self.args[0])


class RecordingNotVisibleError(WorkerMismatchError):
    """A recording is not where the client saw it; perhaps on this worker only."""


_cancelled_runs: set[str] = set()


def cancel_run(run_id: str) -> None:
    """Let this process start no more chunks of a run; running ones are finished."""
    _cancelled_runs.add(run_id)


def score_chunk_task(chunk: Chunk, task: ScoringTask) -> ScoredChunk | CancelledChunk:
    """Load and score a chunk, unless its run is ending: the Dask task where any worker scores."""
    if task.run_id in _cancelled_runs:
        return CancelledChunk()
    with collect_stages(task.is_timed) as timings, stage("chunk"):
        scored = score_chunk(chunk, task)
    return replace(scored, timings=tuple(timings)) if timings else scored


def load_chunk_task(chunk: Chunk, task: ScoringTask) -> LoadedChunk:
    """Load a chunk on any worker: the first Dask task where GPU workers score."""
    with collect_stages(task.is_timed) as timings, stage("chunk"):
        loaded = load_chunk(chunk, task)
    return replace(loaded, timings=tuple(timings)) if timings else loaded


def score_loaded_chunk_task(loaded: LoadedChunk, task: ScoringTask) -> ScoredChunk | CancelledChunk:
    """Score a loaded chunk on a GPU worker, unless its run is ending: the second Dask task there."""
    if task.run_id in _cancelled_runs:
        return CancelledChunk()
    with collect_stages(task.is_timed) as timings, stage("chunk"):
        scored = score_loaded_chunk(loaded, task)
    return replace(scored, timings=(*loaded.timings, *timings)) if timings else scored


def score_chunk(chunk: Chunk, task: ScoringTask) -> ScoredChunk:
    """Load and score a chunk.

    Raises:
        RecordingError: when the recording cannot be read at present.
        ModelError: when the model is absent or another one.
    """
    return score_loaded_chunk(load_chunk(chunk, task), task)


def load_chunk(chunk: Chunk, task: ScoringTask) -> LoadedChunk:
    """Read the audio of a chunk, and find which of its samples cannot be analysed.

    Raises:
        WorkerMismatchError: when this is another version of whalescan.
        RecordingNotVisibleError: when the recording is not where the client saw it.
        DiskError: when the disk does not answer.
        RecordingError: when the file cannot be opened any more, or was replaced.
    """
    if task.version != __version__:
        raise WorkerMismatchError(
            f"has whalescan {__version__}, the run {task.version}; install the same version there", _worker_address()
        )
    grid, recording = task.grid, chunk.recording
    begin, end = chunk.read_span(grid, task.batching.margin_samples)
    first_sample = chunk.scored_span(grid)[0] - begin
    segment = _read_with_retry(chunk, grid.rate_hz, begin, end)
    extent = audio_extent(recording, chunk.following, grid)
    uncovered = uncovered_spans(grid, n_windows(recording, chunk.following, grid), extent.n_samples, extent.discontinuities)
    return LoadedChunk(
        chunk,
        first_sample,
        segment.samples,
        segment.is_unreadable | segment.is_dropout,
        tuple(sample - begin for sample in extent.discontinuities if begin < sample < end),
        _missing_spans(segment, first_sample, chunk, grid, uncovered),
        (*segment.problems, *_uncovered_problem(uncovered, recording.n_samples(grid.rate_hz), grid)),
    )


def score_loaded_chunk(loaded: LoadedChunk, task: ScoringTask) -> ScoredChunk:
    """Score a loaded chunk; windows of which nothing was recorded get NaN.

    Raises:
        ModelError: when the model is absent or another one.
    """
    chunk, first_sample = loaded.chunk, loaded.first_sample
    if loaded.is_empty.all():
        return ScoredChunk(chunk, _nan_scores(chunk, task), loaded.missing_spans, loaded.problems)
    scorer = _scorer(task)
    windows = scorer.score(loaded.samples, task.grid, chunk.n_windows, loaded.discontinuities, first_sample)
    if loaded.is_empty.any():
        is_empty = loaded.is_empty[first_sample:]
        discontinuities = [sample - first_sample for sample in loaded.discontinuities if sample > first_sample]
        windows.scores[windows_without_audio(task.grid, chunk.n_windows, is_empty, discontinuities)] = np.nan
    return ScoredChunk(chunk, windows, loaded.missing_spans, loaded.problems, note=scorer.note)


def failed_chunk(chunk: Chunk, task: ScoringTask, problem: str) -> ScoredChunk:
    """Return a chunk without scores, all of it missing, to be scored by the next run."""
    begin, end = chunk.scored_span(task.grid)
    missing = (MissingSpan(begin, end, GapKind.UNREADABLE),)
    return ScoredChunk(chunk, _nan_scores(chunk, task), missing, (problem,), is_final=False)


def _read_with_retry(chunk: Chunk, rate_hz: int, begin: int, end: int) -> reading.AudioSegment:
    """Read samples of a chunk, and wait for a disk that does not answer."""
    for recording in (chunk.recording, *chunk.following):
        if not retry_on_disk_error(recording.path.exists, str(recording.path)):
            remedy = "restore it and run the same command again"
            raise RecordingNotVisibleError(f"{recording.path}: no longer exists; {remedy}", _worker_address())
    return retry_on_disk_error(partial(_read, chunk, rate_hz, begin, end), str(chunk.recording.path))


def _read(chunk: Chunk, rate_hz: int, begin: int, end: int) -> reading.AudioSegment:
    segment = reading.read(chunk.recording, chunk.channel, rate_hz, begin, end, chunk.following)
    if recordings.has_changed(chunk.recording):
        raise RecordingError(f"{chunk.recording.path}: changed while it was analysed; run the same command again")
    return segment


def _worker_address() -> str:
    try:
        return str(get_worker().address)
    except ValueError:  # called without Dask
        return ""


def _uncovered_problem(uncovered: Sequence[tuple[int, int]], n_samples: int, grid: WindowGrid) -> Iterator[str]:
    """Yield the problem of samples that lie in no window; the same text for every chunk of a recording."""
    uncovered_samples = sum(max(min(end, n_samples) - begin, 0) for begin, end in uncovered)
    if uncovered_samples:
        half_s, hop_s = grid.seconds(grid.window_samples / 2), grid.seconds(grid.hop_samples)
        short = f"these segments are shorter than {half_s:g} s"
        reason = f"choose a hop of {half_s:g} s or less" if hop_s > half_s else short
        yield f"{grid.seconds(uncovered_samples):.1f} s beside timestamp discontinuities lie in no window; {reason}"


def _missing_spans(
    segment: reading.AudioSegment,
    first_sample: int,
    chunk: Chunk,
    grid: WindowGrid,
    uncovered: Sequence[tuple[int, int]],
) -> tuple[MissingSpan, ...]:
    """Return a chunk's own samples that could not be read, were never recorded, or lie in no window."""
    begin, end = chunk.scored_span(grid)
    own = slice(first_sample, first_sample + end - begin)
    is_unreadable, is_dropout = segment.is_unreadable[own].copy(), segment.is_dropout[own]
    for uncovered_begin, uncovered_end in uncovered:  # those beyond the recording are the next recording's to report
        is_unreadable[max(uncovered_begin - begin, 0) : max(uncovered_end - begin, 0)] = True
    kinds = (is_unreadable, GapKind.UNREADABLE), (is_dropout & ~is_unreadable, GapKind.DROPOUT)
    return tuple(
        MissingSpan(begin + first, begin + past_last, kind)
        for is_missing, kind in kinds
        for first, past_last in true_runs(is_missing).tolist()
    )


def _nan_scores(chunk: Chunk, task: ScoringTask) -> WindowScores:
    return WindowScores.missing(chunk.n_windows, len(task.model.spec.classes))


_model_lock = Lock()


def _scorer(task: ScoringTask) -> AnyScorer:
    """Return the scorer of a task; each process loads it once."""
    with stage("wait for model"), _model_lock:
        if task.protected_process != process_id():
            configure_for_scoring()
        return cached_scorer(str(task.model.path), task.model.sha256, task.device, task.batch_size, task.exact)


@lru_cache(maxsize=1)
def cached_scorer(path: str, sha256: str, device: str, batch_size: int, exact: bool) -> AnyScorer:
    """Return the scorer of a model file; the last one is kept.

    Raises:
        ModelError: when the model is absent, damaged or another one.
        UsageError: when the device does not exist.
    """
    with stage("import torch"):
        from whalescan.detector.glancing import load_scorer  # takes seconds, and a client does not need it
    with stage("load model"):
        return load_scorer(find_same_model(path, sha256), device, batch_size, exact)


def find_same_model(path: str, sha256: str) -> Model:
    """Return the model with a hash: the file at a path, or this package's default model.

    Raises:
        ModelError: when neither has this hash.
    """
    for candidate in (path, DEFAULT_MODEL):
        try:
            model = find_model(candidate)
        except ModelError:
            continue
        if model.sha256 == sha256:
            return model
    raise ModelError(f"{path}: absent, or not the model that the run began with; restore it")
