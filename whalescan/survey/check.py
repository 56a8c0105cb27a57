"""Before hours of compute: what was found, and what of it would not go well. Only one minute is scored, to time it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

import numpy as np
from dask.system import CPU_COUNT

from whalescan.audio import gaps, quality, recordings, timeline
from whalescan.audio.start_times import ClockOptions
from whalescan.core import Gap, Recording, RecordingError, to_ns
from whalescan.core.files import csv_bytes, iso_utc
from whalescan.detector.model_spec import find_model
from whalescan.engine.chunking import Chunk
from whalescan.engine.worker import Task, score_chunk
from whalescan.scores.sequences import Scored
from whalescan.survey.inspection import inspect_all
from whalescan.survey.job import Job, batch_size
from whalescan.survey.text import no_clock
from whalescan.tables.csvs import FileRow

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
        entry: the recording, or the row that says why it cannot be scored.
        goes_on_in: name of the recording in which its sound goes on; empty where in none.
        problems: each with its remedy.
    """

    entry: Scored | FileRow
    goes_on_in: str
    problems: tuple[str, ...]

    @property
    def name(self) -> str:
        """As in `Recording`."""
        return self.entry.name if isinstance(self.entry, FileRow) else self.entry.recording.name

    @property
    def path(self) -> Path:
        """As in `Recording`."""
        return self.entry.path if isinstance(self.entry, FileRow) else self.entry.recording.path

    @property
    def recording(self) -> Recording | None:
        """None where its header cannot be read."""
        return self.entry.recording


@dataclass(frozen=True, slots=True)
class Checkup:
    """What `check` found.

    Attributes:
        files: every file, in the order of names.
        gaps: gaps, overlaps and the pauses of duty cycles.
        n_looked_into: recordings whose sound was looked into.
        to_score_s: seconds of sound that a run would score, all channels together.
        times_real_time: how much faster than real time this machine scores; None where there was no sound to time it by.
        clock: what the user said of the clocks.
    """

    files: tuple[Looked, ...]
    gaps: tuple[Gap, ...]
    n_looked_into: int
    to_score_s: float
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
        UsageError, ModelError: before anything is looked at.
    """
    clock = ClockOptions(job.tables.timezone, job.tables.time_format)
    task = _task(job)
    entries = inspect_all(recordings.find(job.inputs), clock, job.scores)
    readable = [entry.recording for entry in entries if entry.recording is not None]
    scored = [entry for entry in entries if isinstance(entry, Scored)]
    followers = timeline.followers(readable)
    looked = _looks(scored)
    found = _doubles(readable)
    for name, problems in looked.items():
        found[name] += problems
    unread = (entry.start_utc for entry in entries if isinstance(entry, FileRow) and entry.recording is None)
    return Checkup(
        files=tuple(_looked(entry, followers, found) for entry in entries),
        gaps=tuple(gaps.find(readable, [to_ns(start_utc) for start_utc in unread if start_utc is not None])),
        n_looked_into=len(looked),
        to_score_s=sum(entry.recording.duration_s * len(entry.channels) for entry in scored),
        times_real_time=_measure(scored, task, job.work.workers or CPU_COUNT),
        clock=clock,
    )


def _task(job: Job) -> Task:
    """What a run would score with. Any model will do: what it knows matters for calls, and none are looked for."""
    from whalescan.detector.device import choose_device  # torch takes seconds to import

    choose_device(job.work.device)
    model = find_model(job.scores.model)
    return Task(model, model.spec.grid(job.scores.hop_s), job.work.device, batch_size(job.work), job.scores.exact)


def check_csv(checkup: Checkup) -> bytes:
    """Every file with its facts and problems."""
    return csv_bytes(COLUMNS, map(_row, checkup.files))


def _row(file: Looked) -> tuple[str, ...]:
    return file.name, str(file.path), *_facts(file.entry), file.goes_on_in, "; ".join(file.problems)


def _facts(entry: Scored | FileRow) -> tuple[str, ...]:
    one = entry.recording
    if one is not None:
        return (
            iso_utc(one.start_utc),
            one.time_source,
            str(one.rate_hz),
            str(one.channels),
            one.encoding,
            f"{one.duration_s:.6f}",
            str(one.size_bytes),
        )
    assert isinstance(entry, FileRow)
    return (
        iso_utc(entry.start_utc),
        entry.time_source,
        "",
        "",
        "",
        "",
        "" if entry.size_bytes is None else str(entry.size_bytes),
    )


def _looked(entry: Scored | FileRow, followers: Mapping[str, Recording], found: Mapping[str, Sequence[str]]) -> Looked:
    problems = [entry.outcome.problem] if isinstance(entry, FileRow) else []
    one = entry.recording
    if one is None:
        return Looked(entry, "", tuple(problems))
    if one.problem:
        problems.append(f"{one.problem}; copy it again from the recorder, or go on with what is there")
    problems += [one.clock_problem, no_clock(one), *found.get(one.name, ())]
    follower = followers.get(one.name)
    return Looked(entry, follower.name if follower else "", tuple(filter(None, problems)))


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


def _looks(scored: Sequence[Scored]) -> dict[str, list[str]]:
    """What short looks into the sound complain of, for recordings spread evenly over all."""
    step = max(1, -(-len(scored) // LOOKED_INTO))
    with ThreadPoolExecutor(CPU_COUNT) as pool:
        return dict(pool.map(_look, scored[::step]))


def _look(entry: Scored) -> tuple[str, list[str]]:
    recording = entry.recording
    try:
        return recording.name, quality.complaints(quality.look(recording), entry.channels)
    except RecordingError as error:
        return recording.name, [str(error)]


def _measure(scored: Sequence[Scored], task: Task, n_workers: int) -> float | None:
    """How much faster than real time a minute is scored, on as many workers as a run would have.

    None where that minute cannot be read or is silent: silence is not scored, and would take no time.
    """
    if not scored:
        return None
    chunk = _minute(max(scored, key=lambda entry: entry.recording.duration_s), task)
    try:
        if np.isnan(score_chunk(chunk, task).windows.scores).all():  # this one loads the model, too
            return None
        with ThreadPoolExecutor(n_workers) as pool:
            begin_s = time.perf_counter()
            n_done = len(list(pool.map(lambda _: score_chunk(chunk, task), range(n_workers))))
            elapsed_s = time.perf_counter() - begin_s
    except RecordingError:
        return None  # it was there a moment ago
    return n_done * task.grid.seconds(chunk.n_windows * task.grid.hop_samples) / elapsed_s


def _minute(entry: Scored, task: Task) -> Chunk:
    """The middle of a recording: its beginning may be the silence, or the handling, before it was in the water."""
    n_all = task.grid.n_windows(entry.recording.n_samples(task.grid.rate_hz))
    n_windows = min(n_all, _MINUTE_S * task.grid.rate_hz // task.grid.hop_samples)
    first = (n_all - n_windows) // 2
    return Chunk(entry.recording, entry.channels[0], first, n_windows, first + n_windows == n_all)
