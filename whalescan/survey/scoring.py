"""From recordings to scores on disk: what is left to do, who does it, and what is said meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from whalescan.audio import timeline
from whalescan.core import Recording, WindowGrid
from whalescan.core.profiling import stage
from whalescan.detector.batching import BATCH_SIZE
from whalescan.engine import chunking
from whalescan.engine.chunking import Chunk
from whalescan.engine.cluster import report_of, workforce
from whalescan.engine.dispatch import Dispatch
from whalescan.engine.signals import Interruption
from whalescan.engine.worker import Task
from whalescan.engine.worker_check import check_sight
from whalescan.scores.score_file import ScoreFile, score_path
from whalescan.scores.sequences import Scored
from whalescan.survey.job import Job, Method
from whalescan.survey.outputs import PROVENANCE
from whalescan.survey.profile import Profile
from whalescan.survey.progress import Progress
from whalescan.survey.run_log import Logbook
from whalescan.survey.score_assembly import JOURNAL_SUFFIX, Assembly
from whalescan.survey.text import and_more, count
from whalescan.tables.csvs import FileRow


@dataclass(frozen=True, slots=True)
class _Rest:
    """A channel of a recording, and what of it is on disk already: first windows, and those behind the last."""

    recording: Recording
    channel: int
    after: tuple[Recording, ...]
    kept: tuple[tuple[int, int], ...]

    def kept_s(self, grid: WindowGrid) -> float:
        total = chunking.n_windows(self.recording, self.after, grid)
        return self.recording.duration_s * sum(end - begin for begin, end in self.kept) / total


@dataclass(frozen=True, slots=True)
class _Voice:
    """The terminal and the log."""

    progress: Progress
    log: Logbook

    def warn(self, text: str) -> None:
        """What a user must see."""
        self.progress.warn(f"whalescan: {text}")
        self.log.write("note", text)

    def note(self, text: str) -> None:
        """What a user may like to see, unless the run is a quiet one."""
        self.progress.note(text)
        self.log.write("note", text)


def score_all(entries: Sequence[Scored | FileRow], job: Job, how: Method, log: Logbook, profile: Profile) -> None:
    """Score what has not been scored yet, and leave it on disk.

    Raises:
        KeyboardInterrupt: when the user wanted an end; what was finished is kept.
        UsageError, ModelError: where nothing can be scored; what an earlier run left is as it was.
        OutputError, ClusterError: in the midst of it; what was finished is kept.
    """
    task = Task(how.model, how.grid, job.work.device, how.batch_size, job.scores.exact, job.work.profile)
    assembly = Assembly(job.output / "scores", task, job.work.batch_size or BATCH_SIZE)
    scored = [entry for entry in entries if isinstance(entry, Scored)]
    total_s = sum(entry.recording.duration_s * len(entry.channels) for entry in scored)
    with Interruption() as interruption, Progress(total_s, job.work.quiet) as progress:
        voice = _Voice(progress, log)
        if gone := _gone(job.output / "scores", scored):
            voice.warn(f"{gone[0]} was scored once, and is not among the recordings now; left out{and_more(len(gone))}")
        for entry in entries:
            if isinstance(entry, FileRow):
                log.write("failed", entry.outcome.problem)
        channels = _rests(scored, assembly, job.work.restart, how.grid)
        rests = [rest for rest in channels if _is_left(rest, voice, how.grid)]
        if rests and not interruption.is_asked:
            _score(rests, job, assembly, task, interruption, voice, profile)
        if interruption.is_asked:
            raise KeyboardInterrupt


def _score(
    rests: Sequence[_Rest],
    job: Job,
    assembly: Assembly,
    task: Task,
    interruption: Interruption,
    voice: _Voice,
    profile: Profile,
) -> None:
    """Have the rest scored by whoever the user wants to do it."""
    left_s = sum(rest.recording.duration_s - rest.kept_s(task.grid) for rest in rests)
    voice.log.write("begin", f"{left_s / 3600:.2f} hours in {count(len(rests), 'recording')} to score")
    with workforce(job.work, left_s) as workers, report_of(job.work):
        if workers.dashboard:
            voice.note(f"dashboard: {workers.dashboard}")
        check_sight(workers, [rest.recording.path for rest in rests], task, interruption, voice.warn)
        (job.output / PROVENANCE).unlink(missing_ok=True)  # until all is written, there is no finished run
        if job.work.restart:
            for rest in rests:
                assembly.forget(rest.recording, rest.channel)
        step = chunking.chunk_windows(task.grid, task.together.n_windows, left_s)
        dispatch = Dispatch(_chunks(rests, task.grid, step), task, workers, interruption, voice.warn)
        if dispatch.census.has_gpus and job.work.batch_size is None:
            voice.note(f"GPUs of a cluster are used better with --batch-size 512; it is {task.batch_size}")
        said: set[str] = set()
        for done in dispatch:
            if done.note and done.note not in said:
                said.add(done.note)
                voice.warn(done.note)
            profile.add(done.spans)
            with stage("keep"):
                whole = assembly.add(done)
            begin, end = done.chunk.own_samples(task.grid)
            voice.progress.add(task.grid.seconds(end - begin), dispatch.census.n_workers)
            if whole is not None:
                _finished(whole, voice.log)
                if job.work.verbose:
                    voice.progress.note(f"{whole.recording.name}: scored")


def _rests(scored: Sequence[Scored], assembly: Assembly, restart: bool, grid: WindowGrid) -> Iterator[_Rest]:
    """Every channel with what is kept of it."""
    followers: Mapping[str, Recording] = timeline.followers(entry.recording for entry in scored)
    for entry in scored:
        after = chunking.following(entry.recording, followers, grid)
        for channel in entry.channels:
            kept = () if restart else tuple(assembly.kept(entry.recording, channel, after))
            yield _Rest(entry.recording, channel, after, kept)


def _is_left(rest: _Rest, voice: _Voice, grid: WindowGrid) -> bool:
    """Whether there is something to score; what is kept is noted."""
    if rest.kept:
        voice.progress.skip(rest.kept_s(grid))
    if rest.kept != ((0, chunking.n_windows(rest.recording, rest.after, grid)),):
        return True
    voice.log.write("kept", _named(rest.recording, rest.channel))
    return False


def _chunks(rests: Sequence[_Rest], grid: WindowGrid, step: int) -> Iterator[Chunk]:
    for rest in rests:
        yield from chunking.chunks(rest.recording, rest.channel, grid, step, rest.after, rest.kept)


def _finished(whole: ScoreFile, log: Logbook) -> None:
    lost_s = whole.grid.seconds(whole.lost_samples)
    about = f"{_named(whole.recording, whole.channel)}, {whole.recording.duration_s / 3600:.3f} h"
    if lost_s:
        log.write("partial", f"{about}, {lost_s:.1f} s not analysed: {whole.problem}")
    else:
        log.write("scored", f"{about}{': ' if whole.problem else ''}{whole.problem}")


def _named(recording: Recording, channel: int) -> str:
    return recording.name if channel == 1 else f"{recording.name}, channel {channel}"


def _gone(folder: Path, scored: Sequence[Scored]) -> list[str]:
    """Names of what an earlier run scored and is not to be scored now."""
    now = {score_path(folder, entry.recording.name, channel) for entry in scored for channel in entry.channels}
    there = {path.with_suffix(".npz") for suffix in (".npz", JOURNAL_SUFFIX) for path in folder.rglob(f"*{suffix}")}
    return sorted(str(path.relative_to(folder).with_suffix("")) for path in there - now)
