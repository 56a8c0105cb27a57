"""From audio files to stored scores: headers are read, and what an earlier run has not stored is scored."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from types import TracebackType

from tqdm import tqdm

from whalescan.audio import recordings, timeline
from whalescan.audio.recordings import AudioFile
from whalescan.audio.start_times import ClockOptions, read_start_time
from whalescan.core import Outcome, Recording, RecordingError, RecordingResult, Status
from whalescan.core.profiling import Profile, stage
from whalescan.core.text import count, hours
from whalescan.detector.batching import BATCH_SIZE
from whalescan.detector.model_spec import ModelSpec
from whalescan.engine import chunking
from whalescan.engine.chunking import Chunk, split_channel, whole_channel
from whalescan.engine.cluster import dask_report, worker_pool
from whalescan.engine.dispatch import ChunkDispatcher
from whalescan.engine.process_settings import InterruptHandler, process_id
from whalescan.engine.worker import ScoredChunk, ScoringTask
from whalescan.engine.worker_check import check_workers
from whalescan.options import ScoreOptions
from whalescan.scores.score_file import ScoreFile, score_path
from whalescan.survey.journal import column_span
from whalescan.survey.run_folder import RunLog
from whalescan.survey.run_summary import and_more
from whalescan.survey.score_assembly import JOURNAL_SUFFIX, Columns, ScoreAssembly
from whalescan.survey.settings import ScoringMethod, SurveyJob
from whalescan.tables.run_json import RUN_JSON

_FORMAT = "{desc}{percentage:3.0f} %|{bar}| {n:.2f}/{total:.2f} h of audio [{elapsed} elapsed, {remaining} left{postfix}]"
_NOT_A_TERMINAL_S = 60
"""Interval between two lines in the output of a batch job."""


class Progress:
    """A tqdm bar that counts hours of audio."""

    def __init__(self, total_s: float, quiet: bool) -> None:
        self._total_h = total_s / 3600
        self._bar = tqdm(
            total=self._total_h,
            bar_format=_FORMAT,
            disable=quiet,
            dynamic_ncols=True,
            delay=1,  # errors at the start are shown without a bar
            mininterval=0.1 if sys.stderr.isatty() else _NOT_A_TERMINAL_S,
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()

    def add(self, sound_s: float, n_workers: int) -> None:
        """Count audio that was scored by so many worker processes."""
        self._bar.update(min(sound_s / 3600, self._total_h - self._bar.n))  # sums of parts may exceed the total slightly
        elapsed_s = self._bar.format_dict["elapsed"]
        if elapsed_s > 0:
            workers = f", {n_workers} workers" if n_workers > 1 else ""
            self._bar.set_postfix_str(f"{self._bar.n * 3600 / elapsed_s:.0f} x real time{workers}", refresh=False)

    def skip(self, sound_s: float) -> None:
        """Subtract audio that an earlier run scored from the total."""
        self._total_h -= sound_s / 3600
        self._bar.total = self._total_h


logger = logging.getLogger("whalescan")

_READERS = 8
"""Headers read at a time: on a shared disk, most of the time is waiting."""
_LARGEST_SHARE = 64
"""Recordings that a reader takes at a time: a future for each would need as much memory as the recordings themselves."""
_ChannelPlan = tuple[Chunk, list[Columns]]
"""All columns of a channel as one chunk, and the ranges of them that are scored already."""


def inspect_recordings(files: Sequence[AudioFile], clock: ClockOptions, options: ScoreOptions) -> list[RecordingResult]:
    """Read the header of each file. Return results that are pending, or failed where the file cannot be scored."""
    share = max(1, min(len(files) // _READERS, _LARGEST_SHARE))

    def inspect_share(first: int) -> list[RecordingResult]:
        return [_inspect(file, clock, options) for file in files[first : first + share]]

    with ThreadPoolExecutor(_READERS) as pool:
        return list(chain.from_iterable(pool.map(inspect_share, range(0, len(files), share))))


def score_all(
    results: Sequence[RecordingResult], job: SurveyJob, method: ScoringMethod, log: RunLog, profile: Profile
) -> None:
    """Score what is not stored yet, and store it.

    Raises:
        KeyboardInterrupt: when the user interrupted; scores that were finished are stored.
        UsageError, ModelError: when nothing can be scored; what an earlier run stored is unchanged.
        OutputError, ClusterError: during scoring; scores that were finished are stored.
    """
    task = ScoringTask(
        method.model,
        job.work.device,
        method.batch_size,
        job.work.profile,
        protected_process="" if job.work.owns_process else process_id(),
    )
    assembly = ScoreAssembly(job.output / "scores", task, method.grid, job.work.batch_size or BATCH_SIZE)
    to_score = [result for result in results if result.channels]
    total_s = sum(result.readable_recording().duration_s * len(result.channels) for result in to_score)
    with InterruptHandler(job.work.owns_process) as interrupt_handler, Progress(total_s, job.work.quiet) as progress:
        if absent := _absent_recordings(job.output / "scores", to_score):
            log.warn(f"{absent[0]} was scored once, and is not among the recordings now; left out{and_more(len(absent))}")
        for result in results:
            if not result.channels:
                log.write("failed", result.outcome.problem)
        plans = []
        for channel, finished in _plan_channels(to_score, assembly, job.work.restart, method.model.spec):
            progress.skip(_finished_s(channel, finished))
            if finished == [column_span(channel)]:
                log.write("kept", _channel_name(channel.recording, channel.channel))
            else:
                plans.append((channel, finished))
        if plans and not interrupt_handler.is_requested:
            _score(plans, job, assembly, task, interrupt_handler, progress, log, profile)
        if interrupt_handler.is_requested:
            raise KeyboardInterrupt


def _score(
    plans: Sequence[_ChannelPlan],
    job: SurveyJob,
    assembly: ScoreAssembly,
    task: ScoringTask,
    interrupt_handler: InterruptHandler,
    progress: Progress,
    log: RunLog,
    profile: Profile,
) -> None:
    """Score what is planned on the workers that the user chose."""
    to_score_s = sum(channel.recording.duration_s - _finished_s(channel, finished) for channel, finished in plans)
    log.write("begin", f"{hours(to_score_s)} in {count(len(plans), 'recording')} to score")
    with worker_pool(job.work, to_score_s) as workers, dask_report(job.work):
        if workers.dashboard:
            log.note(f"dashboard: {workers.dashboard}")
        check_workers(workers, [channel.recording.path for channel, _ in plans], task, interrupt_handler, log.warn)
        (job.output / RUN_JSON).unlink(missing_ok=True)  # until all is written, there is no finished run
        if job.work.restart:
            for channel, _ in plans:
                assembly.discard(channel)
        chunk_size = chunking.columns_per_chunk(task.columns, task.batch_columns, to_score_s)
        dispatcher = ChunkDispatcher(_chunks(plans, chunk_size), task, workers, interrupt_handler, log.warn)
        if dispatcher.counts.has_gpus and job.work.batch_size is None:
            log.note(f"GPUs of a cluster are used better with a batch_size of 512; it is {task.batch_size}")
        warned: set[str] = set()
        for scored in dispatcher:
            if scored.note and scored.note not in warned:
                warned.add(scored.note)
                log.warn(scored.note)
            scores = _store(scored, assembly, profile)
            begin, end = scored.chunk.scored_span(task.columns)
            progress.add(task.columns.seconds(end - begin), dispatcher.counts.n_workers)
            if scores is not None:
                _log_scores(scores, log)
                if job.work.verbose:
                    logger.info("%s: scored", scores.recording.name)


def _store(scored: ScoredChunk, assembly: ScoreAssembly, profile: Profile) -> ScoreFile | None:
    profile.add(scored.timings)
    with stage("keep"):
        return assembly.add(scored)


def _plan_channels(
    results: Sequence[RecordingResult], assembly: ScoreAssembly, is_restart: bool, spec: ModelSpec
) -> Iterator[_ChannelPlan]:
    followers = timeline.successors(result.readable_recording() for result in results)
    for result in results:
        recording = result.readable_recording()
        following = chunking.following_recordings(recording, followers, spec)
        for number in result.channels:
            channel = whole_channel(recording, number, following, spec)
            yield channel, [] if is_restart else assembly.finished_columns(channel)


def _finished_s(channel: Chunk, finished: Sequence[Columns]) -> float:
    return channel.recording.duration_s * sum(end - begin for begin, end in finished) / channel.n_columns


def _chunks(plans: Sequence[_ChannelPlan], chunk_size: int) -> Iterator[Chunk]:
    for channel, finished in plans:
        yield from split_channel(channel, chunk_size, finished)


def _log_scores(scores: ScoreFile, log: RunLog) -> None:
    missing_s = scores.grid.seconds(scores.missing_samples)
    about = f"{_channel_name(scores.recording, scores.channel)}, {scores.recording.duration_s / 3600:.3f} h"
    if missing_s:
        log.write("partial", f"{about}, {missing_s:.1f} s not analysed: {scores.problem}")
    else:
        log.write("scored", f"{about}{': ' if scores.problem else ''}{scores.problem}")


def _channel_name(recording: Recording, channel: int) -> str:
    return recording.name if channel == 1 else f"{recording.name}, channel {channel}"


def _absent_recordings(folder: Path, results: Sequence[RecordingResult]) -> list[str]:
    """Return the names of stored scores whose recordings are not to be scored now."""
    expected = {score_path(folder, result.name, channel) for result in results for channel in result.channels}
    stored = {path.with_suffix(".npz") for suffix in (".npz", JOURNAL_SUFFIX) for path in folder.rglob(f"*{suffix}")}
    return sorted(str(path.relative_to(folder).with_suffix("")) for path in stored - expected)


def _inspect(file: AudioFile, clock: ClockOptions, options: ScoreOptions) -> RecordingResult:
    try:
        recording = recordings.read_header(file, clock)
    except RecordingError as error:
        return _unreadable(file, clock, str(error))
    channels = options.channels(recording.channels)
    if not channels:
        problem = f"{file.path}: has no channel {options.channel}, only 1 to {recording.channels}; choose another channel"
        return RecordingResult.of(recording, Outcome(Status.FAILED, 0.0, 0, problem))
    return RecordingResult.of(recording, channels=channels)


def _unreadable(file: AudioFile, clock: ClockOptions, problem: str) -> RecordingResult:
    """Return the result of a file without a readable header; its name may tell when it began."""
    start = read_start_time(file.path, clock)
    try:
        size_bytes = file.path.stat().st_size
    except OSError:
        size_bytes = None
    return RecordingResult(
        file.name,
        file.path,
        None,
        Outcome(Status.FAILED, 0.0, 0, problem),
        start_utc=start.utc,
        time_source=start.source,
        size_bytes=size_bytes,
    )
