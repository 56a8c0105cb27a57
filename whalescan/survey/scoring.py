"""From recordings to scores on disk: what is left to do, who does it, and what is said meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from whalescan.core import Recording, WindowGrid
from whalescan.engine import plan
from whalescan.engine.dispatch import Dispatch
from whalescan.engine.interruption import Interruption
from whalescan.engine.plan import Chunk
from whalescan.engine.sight import check_sight
from whalescan.engine.worker import Task
from whalescan.engine.workforce import report_of, workforce
from whalescan.sound import timeline
from whalescan.survey.assembly import JOURNAL_SUFFIX, Assembly
from whalescan.survey.job import Job, Method
from whalescan.survey.logbook import Logbook
from whalescan.survey.progress import Progress
from whalescan.survey.words import and_more, count
from whalescan.tables.chains import Scored
from whalescan.tables.csvs import FileRow
from whalescan.tables.scorefile import ScoreFile, score_path


@dataclass(frozen=True, slots=True)
class _Rest:
    """A channel of a recording, and what of it is on disk already: first windows, and those behind the last."""

    recording: Recording
    channel: int
    after: tuple[Recording, ...]
    kept: tuple[tuple[int, int], ...]

    def kept_s(self, grid: WindowGrid) -> float:
        total = plan.n_windows(self.recording, self.after, grid)
        return self.recording.duration_s * sum(end - begin for begin, end in self.kept) / total


def score_all(entries: Sequence[Scored | FileRow], job: Job, how: Method, log: Logbook) -> None:
    """Score what has not been scored yet, and leave it on disk.

    Raises:
        KeyboardInterrupt: when the user wanted an end; what was finished is kept.
        UsageError, ModelError: where nothing can be scored.
        OutputError, ClusterError: in the midst of it; what was finished is kept.
    """
    task = Task(how.model, how.grid, job.work.device, job.work.batch_size)
    assembly = Assembly(job.output / "scores", task)
    scored = [entry for entry in entries if isinstance(entry, Scored)]
    total_s = sum(entry.recording.duration_s * len(entry.channels) for entry in scored)
    with ExitStack() as stack:
        interruption = stack.enter_context(Interruption())
        progress = stack.enter_context(Progress(total_s, job.work.quiet))

        def say(text: str) -> None:
            progress.warn(f"whalescan: {text}")
            log.write("note", text)

        if gone := _gone(job.output / "scores", scored):
            say(f"{gone[0]} was scored once, and is not among the recordings now; left out{and_more(len(gone))}")
        for entry in entries:
            if isinstance(entry, FileRow):
                log.write("failed", entry.outcome.problem)
        rests = [
            rest for rest in _rests(scored, assembly, job.work.restart, how.grid) if _is_left(rest, progress, log, how.grid)
        ]
        if not rests:
            return
        left_s = sum(rest.recording.duration_s - rest.kept_s(how.grid) for rest in rests)
        log.write("begin", f"{left_s / 3600:.2f} hours in {count(len(rests), 'recording')} to score")
        workers = stack.enter_context(workforce(job.work, left_s))
        if workers.dashboard:
            progress.note(f"dashboard: {workers.dashboard}")
            log.write("note", f"dashboard: {workers.dashboard}")
        check_sight(workers, [rest.recording.path for rest in rests], task, interruption, say)
        stack.enter_context(report_of(job.work))
        step = plan.chunk_windows(how.grid, task.batch_size, left_s)
        dispatch = Dispatch(_chunks(rests, how.grid, step), task, workers, interruption, say)
        said: set[str] = set()
        for done in dispatch:
            if done.note and done.note not in said:
                said.add(done.note)
                say(done.note)
            whole = assembly.add(done)
            begin, end = done.chunk.own_samples(how.grid)
            progress.add(how.grid.seconds(end - begin), dispatch.census.n_workers)
            if whole is not None:
                _finished(whole, log)
                if job.work.verbose:
                    progress.note(f"{whole.recording.name}: scored")
        if interruption.is_asked:
            raise KeyboardInterrupt


def _rests(scored: Sequence[Scored], assembly: Assembly, restart: bool, grid: WindowGrid) -> Iterator[_Rest]:
    """Every channel with what is kept of it."""
    followers: Mapping[str, Recording] = timeline.followers(entry.recording for entry in scored)
    for entry in scored:
        after = plan.following(entry.recording, followers, grid)
        for channel in entry.channels:
            if restart:
                assembly.forget(entry.recording, channel)
            yield _Rest(entry.recording, channel, after, tuple(assembly.kept(entry.recording, channel, after)))


def _is_left(rest: _Rest, progress: Progress, log: Logbook, grid: WindowGrid) -> bool:
    """Whether there is something to score; what is kept is noted."""
    if rest.kept:
        progress.skip(rest.kept_s(grid))
    if rest.kept != ((0, plan.n_windows(rest.recording, rest.after, grid)),):
        return True
    log.write("kept", _named(rest.recording, rest.channel))
    return False


def _chunks(rests: Sequence[_Rest], grid: WindowGrid, step: int) -> Iterator[Chunk]:
    for rest in rests:
        yield from plan.chunks(rest.recording, rest.channel, grid, step, rest.after, rest.kept)


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
