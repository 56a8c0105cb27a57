"""Check recordings before hours of computing: headers, start times, samples of the audio, and the speed of scoring."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import file_digest
from pathlib import Path

import numpy as np
from dask.system import CPU_COUNT

from whalescan.audio import quality, recordings, timeline
from whalescan.audio.start_times import ClockOptions
from whalescan.core import Gap, GapKind, Recording, RecordingError, RecordingResult, from_ns, to_ns
from whalescan.core.files import csv_bytes
from whalescan.core.text import count, duration, iso_utc
from whalescan.detector.batching import block_columns
from whalescan.detector.model_spec import Model, find_model
from whalescan.engine.chunking import Chunk, n_columns
from whalescan.engine.worker import ScoringTask, score_chunk
from whalescan.options import TableOptions
from whalescan.survey.operating_point import describe_performance, describe_threshold
from whalescan.survey.run_summary import (
    and_more,
    labelled_row,
    missing_start_problem,
    problem_kind,
    raven_clock_lines,
    wrap_sentence,
)
from whalescan.survey.scoring import inspect_recordings
from whalescan.survey.settings import SurveyJob, batch_size, choose_threshold

MAX_SAMPLED = 1000
"""Most recordings whose audio is sampled, spread evenly over all: three sections of 2 s each."""
CHECK_COLUMNS = (
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
class CheckedFile:
    """A file and its problems.

    Attributes:
        result: the recording: pending, or failed where it cannot be scored.
        continues_in: name of the recording that continues its audio; None where there is none.
        problems: each with its remedy.
    """

    result: RecordingResult
    continues_in: str | None
    problems: tuple[str, ...]

    @property
    def name(self) -> str:
        """As in `Recording`."""
        return self.result.name

    @property
    def path(self) -> Path:
        """As in `Recording`."""
        return self.result.path

    @property
    def recording(self) -> Recording | None:
        """None where the header cannot be read."""
        return self.result.recording


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The result of a check.

    Attributes:
        files: every file, in the order of names.
        gaps: gaps, overlaps and the pauses of duty cycles.
        n_sampled: recordings of which audio was sampled.
        to_score_s: seconds of audio that a run would score, all channels together.
        times_real_time: how much faster than real time this computer scores; None where it could not be measured.
        clock_options: how start times were read.
        threshold: the threshold of a run, and what it finds and misses, as sentences.
    """

    files: tuple[CheckedFile, ...] = field(repr=False)
    gaps: tuple[Gap, ...] = field(repr=False)
    n_sampled: int
    to_score_s: float
    times_real_time: float | None
    clock_options: ClockOptions
    threshold: tuple[str, ...] = ()

    @property
    def recordings(self) -> list[Recording]:
        """The recordings whose headers can be read."""
        return [file.recording for file in self.files if file.recording is not None]

    @property
    def exit_code(self) -> int:
        """0 where no file has a problem, else 3."""
        return 3 if any(file.problems for file in self.files) else 0


def check(job: SurveyJob) -> CheckReport:
    """Check everything that a run would read, and measure how fast this computer scores.

    Raises:
        UsageError, ModelError: before anything is read.
    """
    task = _scoring_task(job)
    threshold = _threshold(task.model, job.tables)
    results = inspect_recordings(recordings.find_recordings(job.inputs), job.clock_options, job.scores)
    readable = [result.recording for result in results if result.recording is not None]
    to_score = [result for result in results if result.channels]
    following = timeline.successors(readable)
    sampled = _sample_audio(to_score)
    problems = _duplicate_problems(readable)
    for name, found in sampled.items():
        problems[name] += found
    unreadable_starts = (result.start_utc for result in results if result.recording is None)
    unreadable_ns = [to_ns(start_utc) for start_utc in unreadable_starts if start_utc is not None]
    return CheckReport(
        files=tuple(_checked_file(result, following, problems) for result in results),
        gaps=tuple(timeline.find_gaps(readable, unreadable_ns)),
        n_sampled=len(sampled),
        to_score_s=sum(result.readable_recording().duration_s * len(result.channels) for result in to_score),
        times_real_time=measure_speed(to_score, task, job.work.workers or CPU_COUNT),
        clock_options=job.clock_options,
        threshold=threshold,
    )


def _threshold(model: Model, options: TableOptions) -> tuple[str, ...]:
    """Return the threshold of a run, and what it finds and misses; nothing where a run would need the option."""
    is_chosen = options.threshold is not None or options.false_positives_per_hour is not None
    if not is_chosen and len(set(model.spec.thresholds)) > 1:
        return ()
    threshold, origin = choose_threshold(model, options)
    return (
        describe_threshold(threshold, origin, options.false_positives_per_hour),
        *describe_performance(threshold, model.spec.validation, model.spec.classes),
    )


def _scoring_task(job: SurveyJob) -> ScoringTask:
    """Return how a run would score. Any model is accepted, whatever its classes are, since nothing is detected."""
    from whalescan.detector.device import choose_device  # torch takes seconds to import

    choose_device(job.work.device)
    model = find_model(job.scores.model)
    model.spec.grid(job.scores.hop_s)  # raises for an invalid hop
    return ScoringTask(model, job.work.device, batch_size(job.work))


def check_csv(report: CheckReport) -> bytes:
    """Return a table of all files with their facts and problems."""
    return csv_bytes(CHECK_COLUMNS, map(_row, report.files))


def _row(file: CheckedFile) -> tuple[str, ...]:
    return file.name, str(file.path), *_facts(file.result), file.continues_in or "", "; ".join(file.problems)


def _facts(result: RecordingResult) -> tuple[str, ...]:
    recording = result.recording
    header_facts = ("", "", "", "")
    if recording is not None:
        rate_hz, channels, duration_s = recording.rate_hz, recording.channels, recording.duration_s
        header_facts = str(rate_hz), str(channels), recording.encoding, f"{duration_s:.6f}"
    size_bytes = "" if result.size_bytes is None else str(result.size_bytes)
    return iso_utc(result.start_utc), result.time_source, *header_facts, size_bytes


def _checked_file(
    result: RecordingResult, following: Mapping[str, Recording], found: Mapping[str, Sequence[str]]
) -> CheckedFile:
    problems = [result.outcome.problem]
    recording = result.recording
    if recording is None:
        return CheckedFile(result, None, tuple(filter(None, problems)))
    if recording.problem:
        problems.append(f"{recording.problem}; copy it again from the recorder, or analyse the readable part")
    problems += [recording.clock_problem, missing_start_problem(recording), *found.get(recording.name, ())]
    continuing = following.get(recording.name)
    return CheckedFile(result, continuing.name if continuing else None, tuple(filter(None, problems)))


def _duplicate_problems(readable: Sequence[Recording]) -> defaultdict[str, list[str]]:
    """Return the problems of recordings that have the content, or the time, of another one."""
    problems: defaultdict[str, list[str]] = defaultdict(list)
    alike: dict[str, list[Recording]] = defaultdict(list)
    for recording in readable:
        alike[recordings.content_key(recording)].append(recording)
    copies: set[frozenset[str]] = set()
    for candidates in alike.values():
        for first, *others in _equal_files(candidates) if len(candidates) > 1 else ():
            for copy in others:
                copies.add(frozenset((first.name, copy.name)))
                problems[copy.name].append(f"has the same content as {first.path}; remove one of them")
    for first, second in timeline.overlapping_pairs(readable):
        if frozenset((first.name, second.name)) not in copies:
            problems[second.name].append(
                f"begins before {first.path} ends; correct the clocks, or remove one of them: "
                "their time counts once, their detections twice"
            )
    return problems


def _equal_files(candidates: Iterable[Recording]) -> list[list[Recording]]:
    """Return groups of recordings whose files are equal byte by byte."""
    of_digest: dict[bytes, list[Recording]] = defaultdict(list)
    for recording in candidates:
        try:
            with recording.path.open("rb") as file:
                of_digest[file_digest(file, "sha256").digest()].append(recording)
        except OSError:
            continue  # sampling its audio reports the error
    return [equal for equal in of_digest.values() if len(equal) > 1]


def _sample_audio(to_score: Sequence[RecordingResult]) -> dict[str, list[str]]:
    """Return the problems that short sections of the audio show, for recordings spread evenly over all."""
    step = max(1, -(-len(to_score) // MAX_SAMPLED))
    with ThreadPoolExecutor(CPU_COUNT) as pool:
        return dict(pool.map(_audio_problems, to_score[::step]))


def _audio_problems(result: RecordingResult) -> tuple[str, list[str]]:
    recording = result.readable_recording()
    try:
        return recording.name, quality.channel_problems(quality.measure_channels(recording), result.channels)
    except RecordingError as error:
        return recording.name, [str(error)]


def measure_speed(to_score: Sequence[RecordingResult], task: ScoringTask, n_workers: int) -> float | None:
    """Return how much faster than real time a block of audio is scored, by as many workers as a run would have.

    None where that block cannot be read or is silent: silence is not scored, and takes no time.
    """
    if not to_score:
        return None
    longest = max(to_score, key=lambda result: result.readable_recording().duration_s)
    chunk = _middle_block(longest, task)
    try:
        if np.isnan(score_chunk(chunk, task).columns.log_odds).all():  # this loads the model as well
            return None
        with ThreadPoolExecutor(n_workers) as pool:
            begin_s = time.perf_counter()
            n_done = len(list(pool.map(lambda _: score_chunk(chunk, task), range(n_workers))))
            elapsed_s = time.perf_counter() - begin_s
    except RecordingError:
        return None  # it became unreadable after its header was read
    return n_done * task.columns.seconds(task.columns.begin_sample(chunk.n_columns)) / elapsed_s


def _middle_block(result: RecordingResult, task: ScoringTask) -> Chunk:
    """Return the block in the middle of a recording: at its beginning, the recorder may not have been in the water."""
    recording, size = result.readable_recording(), block_columns(task.columns)
    n_all = n_columns(recording, (), task.model.spec)
    first = n_all // size // 2 * size
    n_own = min(n_all - first, size)
    return Chunk(recording, result.channels[0], first, n_own, first + n_own == n_all)


_PROBLEMS_SHOWN = 8
_NAMES_SHOWN = 3
_GAP_NAMES = {
    GapKind.GAP: ("gap", "gaps"),
    GapKind.OVERLAP: ("overlap", "overlaps"),
    GapKind.DUTY_CYCLE: ("pause of a duty cycle", "pauses of a duty cycle"),
    GapKind.UNREADABLE: ("unreadable part", "unreadable parts"),
    GapKind.DROPOUT: ("drop-out", "drop-outs"),
}
TIME_SOURCES = {
    "format": "from names, by `time_format`",
    "soundtrap-xml": "from SoundTrap logs",
    "harp": "from XWAV headers",
    "audiomoth-comment": "from AudioMoth headers",
    "name": "from names with their time zone",
    "name-zone": "from names with the letters of a time zone",
    "name-timezone": "from names, in the zone of `timezone`",
    "name-without-zone": "unknown: names without a time zone",
    "clock-unset": "unknown: clock not set",
    "none": "unknown: no time in the name",
}
"""How start times are known, by the ``time_source`` of recordings."""


def check_screen(report: CheckReport) -> str:
    """Return recordings, start times, gaps, the duration of a run, and problems as text."""
    readable = report.recordings
    rows = {
        "audio": [f"{count(len(report.files), 'recording')}, {duration(sum(one.duration_s for one in readable))}"],
        "formats": _counted(one.encoding for one in readable),
        "rates": _counted(f"{one.rate_hz} Hz" for one in readable),
        "channels": _counted(str(one.channels) for one in readable),
        "start times": _start_times(report),
        "Raven Pro": raven_clock_lines(readable, report.clock_options),
        "time line": _time_line(report),
        "a run": [_run_time(report)],
        "threshold": wrap_sentence(" ".join(report.threshold)),
        "problems": _problems(report),
    }
    return "\n".join(filter(None, (labelled_row(label, lines) for label, lines in rows.items())))


def _start_times(report: CheckReport) -> Iterator[str]:
    """Yield how start times are known, and the first few names with their times."""
    yield from _counted(TIME_SOURCES.get(one.time_source, one.time_source) for one in report.recordings)
    shown = report.recordings[:_NAMES_SHOWN]
    width = max((len(one.path.name) for one in shown), default=0)
    for one in shown:
        local = f"{one.start_local:%Y-%m-%d %H:%M:%S} by its name, time zone unknown" if one.start_local else "unknown"
        yield f"{one.path.name:<{width}}  {_utc_text(one.start_utc) if one.start_utc else local}"


def _time_line(report: CheckReport) -> Iterator[str]:
    """Yield the first and last time, contiguous recordings, and gaps and overlaps."""
    begins = [begin for one in report.recordings if (begin := one.utc(0))]
    ends = [end for one in report.recordings if (end := one.utc(one.duration_s))]
    if begins:
        yield f"{_utc_text(min(begins))} to {_utc_text(max(ends))}"
    n_continued = sum(file.continues_in is not None for file in report.files)
    if n_continued:
        yield f"{count(n_continued, 'recording')} continued by the next without a gap"
    for kind, names in _GAP_NAMES.items():
        gaps = [gap for gap in report.gaps if gap.kind is kind]
        if gaps:
            longest = max(gaps, key=_length_s)
            place = f"; the longest, {duration(_length_s(longest))}," if len(gaps) > 1 else ","
            longest_begin = _utc_text(from_ns(longest.begin_ns))
            yield f"{count(len(gaps), *names)}, {duration(sum(map(_length_s, gaps)))}{place} from {longest_begin}"


def _length_s(gap: Gap) -> float:
    return (gap.end_ns - gap.begin_ns) / 1e9


def _utc_text(utc: datetime) -> str:
    return f"{utc:%Y-%m-%d %H:%M:%S} UTC"


def _run_time(report: CheckReport) -> str:
    if report.times_real_time is None:
        return "duration not measured: the middle of the longest recording is silent or unreadable"
    return (
        f"takes about {duration(report.to_score_s / report.times_real_time)} on this computer, "
        f"{report.times_real_time:,.0f} x real time, measured on the middle of the longest recording"
    )


def _problems(report: CheckReport) -> Iterator[str]:
    """Yield one problem of each kind, with its path."""
    of_kind: dict[str, list[str]] = defaultdict(list)
    for file in report.files:
        for problem in file.problems:
            text = problem.replace(f"{file.path}: ", "")
            of_kind[problem_kind(text, file.path)].append(f"{file.path}: {text}")
    if not of_kind:
        yield f"none; the audio of {count(report.n_sampled, 'recording')} was sampled"
        return
    yield f"with {count(sum(bool(file.problems) for file in report.files), 'recording')}:"
    for alike in sorted(of_kind.values(), key=len, reverse=True)[:_PROBLEMS_SHOWN]:
        yield f"{alike[0]}{and_more(len(alike))}"
    if len(of_kind) > _PROBLEMS_SHOWN:
        yield f"... and {count(len(of_kind) - _PROBLEMS_SHOWN, 'more kind')}; --output FILE.csv lists all"


def _counted(values: Iterable[str]) -> list[str]:
    """Return the different values on one line, with how often each occurs where there are several."""
    counts = Counter(values).most_common()
    if not counts:
        return []
    return [", ".join(f"{value} ({n:,})" for value, n in counts) if len(counts) > 1 else counts[0][0]]
