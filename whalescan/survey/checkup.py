"""Before hours of compute: what was found, and what of it would not go well. Only one minute is scored, to time it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

from dask.system import CPU_COUNT

from whalescan.core import Gap, Recording, RecordingError, to_ns
from whalescan.sound import gaps, recordings, soundness, timeline
from whalescan.sound.clocks import ClockOptions
from whalescan.survey.engine import Task, score_chunk
from whalescan.survey.inspection import inspect_all
from whalescan.survey.job import Job, method
from whalescan.survey.plan import Chunk
from whalescan.tables.csvs import FileRow
from whalescan.tables.files import csv_bytes, iso_utc
from whalescan.tables.stored import Scored

LOOKED_INTO = 1000
"""Recordings that are listened to, at most, spread evenly over all: three looks of 2 s each."""
_MINUTE_S = 60
COLUMNS = (
    "recording",
    "path",
    "start_utc",
    "time_source",
    "sample_rate_hz",
    "channels",
    "format",
    "duration_s",
    "size_bytes",
    "goes_on_in",
    "problem",
)


@dataclass(frozen=True, slots=True)
class Looked:
    """A file and what speaks against it.

    Attributes:
        name, path: as in `Recording`.
        recording: None where its header cannot be read.
        goes_on_in: name of the recording in which its sound goes on; empty where in none.
        problems: each with its remedy.
    """

    name: str
    path: Path
    recording: Recording | None
    goes_on_in: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checkup:
    """What `check` found.

    Attributes:
        files: every file, in the order of names.
        gaps: gaps, overlaps and the pauses of duty cycles.
        n_looked_into: recordings whose sound was looked into.
        times_real_time: how much faster than real time this machine scores; None where no minute of sound could be read.
        clock: what the user said of the clocks.
    """

    files: tuple[Looked, ...]
    gaps: tuple[Gap, ...]
    n_looked_into: int
    times_real_time: float | None
    clock: ClockOptions

    @property
    def recordings(self) -> list[Recording]:
        """Those whose header can be read."""
        return [one.recording for one in self.files if one.recording is not None]

    @property
    def exit_code(self) -> int:
        """0 where a run would be clean: all is readable, has a clock, and is there once; else 3."""
        return 3 if any(one.problems for one in self.files) else 0


def check(job: Job) -> Checkup:
    """Look at everything that a run would read.

    Raises:
        UsageError, ModelError: as `run` does, before anything is started.
    """
    clock = ClockOptions(job.tables.timezone, job.tables.time_format)
    how = method(job)
    entries = inspect_all(recordings.find(job.inputs), clock, job.scores)
    readable = [entry.recording for entry in entries if entry.recording is not None]
    followers = timeline.followers(readable)
    looked = _looks([entry.recording for entry in entries if isinstance(entry, Scored)])
    found = _doubles(readable)
    for name, problems in looked.items():
        found[name] += problems
    files = tuple(_looked(entry, followers, found) for entry in entries)
    broken = [entry for entry in entries if isinstance(entry, FileRow) and entry.recording is None]
    missing = tuple(gaps.find(readable, (to_ns(row.start_utc) for row in broken if row.start_utc is not None)))
    task = Task(how.model, how.grid, job.work.device, job.work.batch_size)
    return Checkup(files, missing, len(looked), _measure(entries, task, job.work.workers or CPU_COUNT), clock)


def check_csv(checkup: Checkup) -> bytes:
    """Every file with its facts and problems."""
    return csv_bytes(COLUMNS, map(_row, checkup.files))


def _row(file: Looked) -> tuple[str, ...]:
    one = file.recording
    facts = ("",) * 7
    if one is not None:
        facts = (
            iso_utc(one.start_utc),
            one.time_source,
            str(one.rate_hz),
            str(one.channels),
            one.encoding,
            f"{one.duration_s:.6f}",
            str(one.size_bytes),
        )
    return file.name, str(file.path), *facts, file.goes_on_in, "; ".join(file.problems)


def _looked(entry: Scored | FileRow, followers: Mapping[str, Recording], found: Mapping[str, list[str]]) -> Looked:
    if isinstance(entry, FileRow):
        return Looked(entry.name, entry.path, entry.recording, "", (entry.outcome.problem,))
    one = entry.recording
    follower = followers.get(one.name)
    problems = [one.problem, one.clock_problem, _no_clock(one), *found.get(one.name, ())]
    return Looked(one.name, one.path, one, follower.name if follower else "", tuple(filter(None, problems)))


def _no_clock(recording: Recording) -> str:
    if recording.start_utc is not None:
        return ""
    if recording.time_source == "name-without-zone":
        return "its name states no time zone; give --timezone"
    if recording.time_source == "clock-unset":
        return "its clock was not set; rename it to when it began"
    return "its name tells no time; give --time-format, or rename it"


def _doubles(readable: Sequence[Recording]) -> defaultdict[str, list[str]]:
    """What is there twice: the same content, or the same time."""
    problems: defaultdict[str, list[str]] = defaultdict(list)
    alike: dict[str, list[Recording]] = defaultdict(list)
    for recording in readable:
        alike[recordings.content_key(recording)].append(recording)
    copies: set[frozenset[str]] = set()
    for group in alike.values():
        for same in _equal(group) if len(group) > 1 else ():
            for copy in same[1:]:
                copies.add(frozenset((same[0].name, copy.name)))
                problems[copy.name].append(f"has the same content as {same[0].path}; remove one of them")
    for one, other in timeline.overlapping(readable):
        if frozenset((one.name, other.name)) not in copies:
            problems[other.name].append(
                f"begins while {one.path} still runs; mend their clocks, or keep one of them: time counts once, calls twice"
            )
    return problems


def _equal(group: Iterable[Recording]) -> list[list[Recording]]:
    by_digest: dict[bytes, list[Recording]] = defaultdict(list)
    for recording in group:
        try:
            with recording.path.open("rb") as file:
                by_digest[file_digest(file, "sha256").digest()].append(recording)
        except OSError:
            continue  # it was readable a moment ago; the look into its sound says so
    return [same for same in by_digest.values() if len(same) > 1]


def _looks(scored: Sequence[Recording]) -> dict[str, list[str]]:
    """What short looks into the sound complain of, for recordings spread evenly over all."""
    step = max(1, -(-len(scored) // LOOKED_INTO))
    with ThreadPoolExecutor(CPU_COUNT) as pool:
        return dict(pool.map(_look, scored[::step]))


def _look(recording: Recording) -> tuple[str, list[str]]:
    try:
        return recording.name, soundness.complaints(soundness.look(recording))
    except RecordingError as error:
        return recording.name, [str(error)]


def _measure(entries: Iterable[Scored | FileRow], task: Task, n_workers: int) -> float | None:
    """How much faster than real time a minute is scored, on as many workers as a run would have."""
    entry = max((one for one in entries if isinstance(one, Scored)), key=lambda one: one.recording.duration_s, default=None)
    if entry is None:
        return None
    chunk = _minute(entry, task)
    score_chunk(chunk, task)  # loads the model
    with ThreadPoolExecutor(n_workers) as pool:
        begin_s = time.perf_counter()
        done = list(pool.map(lambda _: score_chunk(chunk, task), range(n_workers)))
        elapsed_s = time.perf_counter() - begin_s
    return len(done) * chunk.n_windows * task.grid.hop_samples / task.grid.rate_hz / elapsed_s


def _minute(entry: Scored, task: Task) -> Chunk:
    n_all = task.grid.n_windows(entry.recording.n_samples(task.grid.rate_hz))
    n_windows = min(n_all, _MINUTE_S * task.grid.rate_hz // task.grid.hop_samples)
    return Chunk(entry.recording, entry.channels[0], 0, n_windows, n_windows == n_all)


def name_examples(checkup: Checkup, n: int = 3) -> Iterator[tuple[str, str]]:
    """The first few names and the times they became."""
    for recording in checkup.recordings[:n]:
        shown = iso_utc(recording.start_utc)
        local = (
            f"{recording.start_local:%Y-%m-%d %H:%M:%S} by its name, zone unknown" if recording.start_local else "no time"
        )
        yield recording.path.name, shown or local
