"""Work on a worker: load a chunk, score it, report on its samples. Nothing is written; all results go back to the client."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from threading import Lock
from typing import TYPE_CHECKING
from uuid import uuid4

from distributed import get_worker

from whalescan._version import __version__
from whalescan.audio import reading, recordings
from whalescan.core import (
    BoolArray,
    ColumnGrid,
    ColumnScores,
    FloatArray,
    GapKind,
    MissingSpan,
    ModelError,
    RecordingError,
)
from whalescan.core.intervals import true_runs
from whalescan.core.profiling import StageTiming, collect_stages, stage
from whalescan.detector.batching import MIN_SEGMENT_S, batch_blocks, block_columns, recorded_runs
from whalescan.detector.model_spec import DEFAULT_MODEL, Model, find_model
from whalescan.engine.chunking import Chunk, audio_extent
from whalescan.engine.process_settings import configure_for_scoring, process_id
from whalescan.engine.retry import retry_on_disk_error

if TYPE_CHECKING:
    from whalescan.detector.scorer import Scorer


@dataclass(frozen=True, slots=True)
class ScoringTask:
    """How the chunks of a run are scored.

    Attributes:
        batch_size: windows for which there is memory.
        is_timed: whether workers report how long each stage took.
        version: whalescan's on the client; another one may give other scores.
        run_id: a name that no other run has.
        protected_process: the process whose settings stay as they are, as `process_id` names it; empty for none.
    """

    model: Model
    device: str
    batch_size: int
    is_timed: bool = False
    version: str = __version__
    run_id: str = field(default_factory=lambda: uuid4().hex)
    protected_process: str = field(default_factory=process_id)

    @property
    def columns(self) -> ColumnGrid:
        """The columns of the model's output."""
        return self.model.spec.columns

    @property
    def batch_columns(self) -> int:
        """Number of columns that are scored together."""
        n_blocks = batch_blocks(self.batch_size, self.columns, self.model.spec.front_end.window_samples)
        return n_blocks * block_columns(self.columns)


@dataclass(frozen=True, slots=True)
class LoadedChunk:
    """A chunk with its audio.

    Attributes:
        first_sample: index in ``samples`` at which the first column begins; context lies before it.
        samples: float32 ``[n_samples]`` at the model's rate.
        is_empty: bool ``[n_samples]``, true where nothing could be read or nothing was recorded.
        discontinuities: indices in ``samples`` at which the timestamps jump.
        missing_spans: samples of the chunk's own that are not analysed, counted from the recording's first.
        n_short_samples: number of these that lie in segments shorter than `MIN_SEGMENT_S`.
        problems: what was wrong, and where.
        timings: how long the stages took, where that is measured.
    """

    chunk: Chunk
    first_sample: int
    samples: FloatArray
    is_empty: BoolArray
    discontinuities: tuple[int, ...]
    missing_spans: tuple[MissingSpan, ...]
    n_short_samples: int
    problems: tuple[str, ...]
    timings: tuple[StageTiming, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """A chunk with its scores.

    Attributes:
        columns: the scores; NaN where there is no sound.
        missing_spans: samples of the chunk's own that were not analysed, counted from the recording's first.
        n_short_samples: number of these that lie in segments shorter than `MIN_SEGMENT_S`, in which no call fits.
        problems: what was wrong, and where.
        is_final: False where the scoring failed, and not the audio: the next run tries again.
        note: what the user should know about the scoring; empty for nothing.
        timings: how long the stages took, where that is measured.
    """

    chunk: Chunk
    columns: ColumnScores
    missing_spans: tuple[MissingSpan, ...]
    n_short_samples: int
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
    columns = task.columns
    begin, end = chunk.read_span(columns, task.model.spec.context_samples)
    first_sample = columns.begin_sample(chunk.first_column) - begin
    segment = _read_with_retry(chunk, columns.rate_hz, begin, end)
    extent = audio_extent(chunk.recording, chunk.following, columns.rate_hz)
    discontinuities = tuple(sample - begin for sample in extent.discontinuities if begin < sample < end)
    is_short = _in_short_segments(segment, discontinuities, columns.rate_hz)
    own_begin, own_end = chunk.scored_span(columns)
    own = slice(own_begin - begin, own_end - begin)
    return LoadedChunk(
        chunk,
        first_sample,
        segment.samples,
        segment.is_unreadable | segment.is_dropout,
        discontinuities,
        _missing_spans(segment.is_unreadable[own] | is_short[own], segment.is_dropout[own], own_begin),
        int(is_short[own].sum()),
        segment.problems,
    )


def score_loaded_chunk(loaded: LoadedChunk, task: ScoringTask) -> ScoredChunk:
    """Score a loaded chunk; columns without sound get NaN.

    Raises:
        ModelError: when the model is absent or another one, or its output is infinite or not a number.
    """
    chunk, note = loaded.chunk, ""
    if loaded.is_empty.all():
        columns = _no_scores(chunk, task)
    else:
        scorer = _scorer(task)
        columns = scorer.score(
            loaded.samples,
            chunk.n_columns,
            is_empty=loaded.is_empty,
            discontinuities=loaded.discontinuities,
            first_sample=loaded.first_sample,
        )
        note = scorer.note
    return ScoredChunk(chunk, columns, loaded.missing_spans, loaded.n_short_samples, loaded.problems, note=note)


def failed_chunk(chunk: Chunk, task: ScoringTask, problem: str) -> ScoredChunk:
    """Return a chunk without scores, all of it missing, to be scored by the next run."""
    begin, end = chunk.scored_span(task.columns)
    missing = (MissingSpan(begin, end, GapKind.UNREADABLE),) if begin < end else ()
    return ScoredChunk(chunk, _no_scores(chunk, task), missing, 0, (problem,), is_final=False)


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


def _in_short_segments(segment: reading.AudioSegment, discontinuities: tuple[int, ...], rate_hz: int) -> BoolArray:
    """Return which samples were recorded, but lie in a segment that is too short to be scored: bool ``[n]``."""
    is_empty = segment.is_unreadable | segment.is_dropout
    is_short = ~is_empty
    for begin, end in recorded_runs(len(is_empty), is_empty, discontinuities, round(MIN_SEGMENT_S * rate_hz)):
        is_short[begin:end] = False
    return is_short


def _missing_spans(is_unreadable: BoolArray, is_dropout: BoolArray, first_sample: int) -> tuple[MissingSpan, ...]:
    """Return the spans of a chunk's own samples that are not analysed; the first one is the recording's ``first_sample``."""
    kinds = (is_unreadable, GapKind.UNREADABLE), (is_dropout, GapKind.DROPOUT)
    return tuple(
        MissingSpan(first_sample + first, first_sample + past_last, kind)
        for is_missing, kind in kinds
        for first, past_last in true_runs(is_missing).tolist()
    )


def _no_scores(chunk: Chunk, task: ScoringTask) -> ColumnScores:
    return ColumnScores.missing(chunk.n_columns, len(task.model.spec.classes))


_model_lock = Lock()


def _scorer(task: ScoringTask) -> Scorer:
    """Return the scorer of a task; each process loads it once."""
    with stage("wait for model"), _model_lock:
        if task.protected_process != process_id():
            configure_for_scoring()
        return cached_scorer(str(task.model.path), task.model.sha256, task.device, task.batch_size)


@lru_cache(maxsize=1)
def cached_scorer(path: str, sha256: str, device: str, batch_size: int) -> Scorer:
    """Return the scorer of a model file; the last one is kept.

    Raises:
        ModelError: when the model is absent, damaged or another one.
        UsageError: when the device does not exist.
    """
    with stage("import torch"):
        from whalescan.detector.scorer import load_scorer  # takes seconds, and a client does not need it
    with stage("load model"):
        return load_scorer(find_same_model(path, sha256), device, batch_size)


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
