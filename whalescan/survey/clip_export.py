"""Detections as sound files of their own, for listening, for sharing, and for training."""

from __future__ import annotations

import bisect
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from whalescan.audio.excerpts import Excerpt, lossless_wav
from whalescan.core import Detection, RecordingError, invalid
from whalescan.core.files import claim_folder, keep_only, write_atomically
from whalescan.core.text import count
from whalescan.detections.sampling import Selection, select
from whalescan.survey.finished_run import FinishedRun, open_finished_run
from whalescan.survey.run_folder import exclusive_access
from whalescan.tables import clip_tables
from whalescan.tables.clip_tables import Clip, clip_name
from whalescan.tables.run_json import read_run_json

TABLE, LIST_FILE, CLIPS = "clips.whalescan.sound.selections.txt", "clips.listfile.txt", "clips.csv"
TRAINING_TABLE, TRAINING_FOLDER = "train.csv", "train"
_ROUNDING = 1e-4
"""Largest rounding error, in samples, of a time in seconds that denotes a sample."""
_MAX_RATE_HZ = 1_000_000
"""Above the rate of any recorder; a clip at a much higher rate would not fit in memory."""


@dataclass(frozen=True, slots=True)
class ClipExtent:
    """Extent of a clip around its detection.

    Attributes:
        context_s: seconds before and after the detection.
        length_s: length of the clip, with the detection in its middle; None for detection and context.
        rate_hz: sampling rate of the clip; None for that of the recording, which leaves the samples unchanged.

    Raises:
        UsageError: for an invalid value.
    """

    context_s: float = 1.0
    length_s: float | None = None
    rate_hz: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.context_s < math.inf:
            raise invalid("context_s", self.context_s, "seconds, at least 0")
        if self.length_s is not None and not 0 < self.length_s < math.inf:
            raise invalid("length_s", self.length_s, "seconds, above 0")
        if self.rate_hz is not None and not 1 <= self.rate_hz <= _MAX_RATE_HZ:
            raise invalid("rate_hz", self.rate_hz, f"1 to {_MAX_RATE_HZ:,} Hz, or None for the recording's own rate")


@dataclass(frozen=True, slots=True)
class ClipExport:
    """The result of writing clips.

    Attributes:
        clips: those that were written, in the order of their recordings and times.
        problems: one line for each kind of problem.
        n_ambiguous: rejected detections without a training clip, because it would hold another detection as well.
    """

    clips: tuple[Clip, ...]
    problems: tuple[str, ...]
    n_ambiguous: int = 0

    @property
    def exit_code(self) -> int:
        """0 where every clip was written, else 3."""
        return 3 if self.problems else 0


def cut_clips(output: Path, folder: Path, selection: Selection, extent: ClipExtent, quiet: bool = True) -> ClipExport:
    """Write a WAV file of each selected detection, and tables that describe them.

    The same call writes the same bytes again. Files of an earlier call that this one does not write are deleted.

    Args:
        output: folder of a finished run.
        folder: for the clips; new, empty, or written by an earlier call of this function.
        selection: of the detections.
        extent: of the clips.
        quiet: show no progress bar.

    Raises:
        UsageError: when the folder holds other files.
        TableError: when there is no finished run.
        OutputError: when the folder cannot be written.
    """
    run = open_finished_run(output)
    return _write_clips(folder, select(run.read_detections(), selection), _ClipReader(run, extent), quiet)


def cut_training_clips(output: Path, folder: Path, selection: Selection, quiet: bool = True) -> ClipExport:
    """Write a clip of each selected detection that is reviewed as yes or no, in the layout that `train` reads.

    A clip has the length and the rate of the model's windows, with the detection in its middle. Detections that reviewers
    added or moved are included. A rejected detection is left out where its clip would hold one that was not rejected.

    Args:
        output: folder of a finished run.
        folder: as for `cut_clips`.
        selection: of the reviewed detections.
        quiet: show no progress bar.

    Raises:
        UsageError, TableError, OutputError: as `cut_clips`.
    """
    run = open_finished_run(output)
    windows = read_run_json(output)["windows"]
    length_s = windows["window_samples"] / windows["rate_hz"]
    detections = run.read_detections()
    selected = select(detections, replace(selection, reviews=("yes", "no")))
    unambiguous = _unambiguous(selected, detections, run, length_s)
    reader = _ClipReader(run, ClipExtent(length_s=length_s, rate_hz=windows["rate_hz"]), for_training=True)
    export = _write_clips(folder, unambiguous, reader, quiet)
    return replace(export, n_ambiguous=len(selected) - len(unambiguous))


def _unambiguous(
    selected: Sequence[Detection], detections: Sequence[Detection], run: FinishedRun, length_s: float
) -> list[Detection]:
    """Return confirmed detections, and rejected ones whose clips hold only rejected ones."""
    not_rejected: dict[tuple[str, int], list[Detection]] = defaultdict(list)
    for detection in detections:
        if detection.review != "no":
            not_rejected[detection.recording, detection.channel].append(detection)
    longest_s = max((detection.end_s - detection.begin_s for detection in detections), default=0.0)

    def is_unambiguous(detection: Detection) -> bool:
        end_s = (detection.begin_s + detection.end_s + length_s) / 2
        recording = run.recordings_by_name.get(detection.recording)
        past_end_s = max(end_s - recording.duration_s, 0) if recording else 0  # at an end, a clip begins earlier
        begin_s = end_s - length_s - past_end_s
        neighbours = not_rejected[detection.recording, detection.channel]  # in the order of their beginnings
        first, last = (
            bisect.bisect_left(neighbours, limit_s, key=lambda one: one.begin_s)
            for limit_s in (begin_s - longest_s, max(end_s, length_s))
        )
        return not any(neighbour.end_s > begin_s for neighbour in neighbours[first:last])

    return [detection for detection in selected if detection.review == "yes" or is_unambiguous(detection)]


@dataclass(frozen=True, slots=True)
class _ClipReader:
    """Reads the audio of clips from the recordings of a run."""

    run: FinishedRun
    extent: ClipExtent
    for_training: bool = False

    @property
    def subfolder(self) -> str:
        """Subfolder of the clips, with ``/``; empty where there is none."""
        return f"{TRAINING_FOLDER}/" if self.for_training else ""

    def read(self, detection: Detection) -> Excerpt:
        """Read the audio of a clip.

        Raises:
            RecordingError: when the recording cannot be read, or too little of it.
        """
        recording = self.run.recordings_by_name.get(detection.recording)
        rate_hz = self.extent.rate_hz or (recording.rate_hz if recording else self.run.record.rate_hz)
        excerpt = (
            self._read_length(detection, self.extent.length_s, rate_hz)
            if self.extent.length_s
            else self._read_with_context(detection, rate_hz)
        )
        if excerpt.is_missing.any() if self.for_training else excerpt.is_missing.all():
            path = recording.path if recording else detection.recording
            raise RecordingError(
                f"{path}: the audio at {detection.begin_s:.1f} s cannot be read; replace the file with an intact copy"
            )
        return excerpt

    def _read_with_context(self, detection: Detection, rate_hz: int) -> Excerpt:
        begin = math.floor((detection.begin_s - self.extent.context_s) * rate_hz + _ROUNDING)
        end = math.ceil((detection.end_s + self.extent.context_s) * rate_hz - _ROUNDING)
        return self._read_samples(detection, begin, end, rate_hz)

    def _read_length(self, detection: Detection, length_s: float, rate_hz: int) -> Excerpt:
        """Read so many seconds with the detection in the middle, or elsewhere near an end of the recording."""
        n_samples = max(round(length_s * rate_hz), 1)
        begin = max(math.floor((detection.begin_s + detection.end_s) / 2 * rate_hz - n_samples / 2 + _ROUNDING), 0)
        excerpt = self._read_samples(detection, begin, begin + n_samples, rate_hz)
        n_lacking = n_samples - len(excerpt.samples)
        if n_lacking and begin:
            return self._read_samples(detection, begin - n_lacking, begin + n_samples, rate_hz)
        return excerpt

    def _read_samples(self, detection: Detection, begin: int, end: int, rate_hz: int) -> Excerpt:
        """Read samples ``[begin, end)``. Half a sample keeps the seconds from being rounded to a neighbouring sample."""
        begin_s, end_s = (begin + 0.5) / rate_hz, (end - 0.5) / rate_hz
        return self.run.read_excerpt(detection.recording, detection.channel, begin_s, end_s, rate_hz)


def _write_clips(folder: Path, detections: Sequence[Detection], reader: _ClipReader, quiet: bool) -> ClipExport:
    """Write clips and tables to a folder, which holds nothing else then."""
    tables = (TABLE, LIST_FILE, CLIPS, *((TRAINING_TABLE,) if reader.for_training else ()))
    names = [*tables, *(reader.subfolder + clip_name(detection.detection_id) for detection in detections)]
    claim_folder(folder, names)
    with exclusive_access(folder):
        clips: list[Clip] = []
        n_failed: Counter[str] = Counter()
        for detection in tqdm(detections, "cutting clips", unit="clip", disable=quiet, delay=1):
            try:
                clip, content = _cut(folder.absolute() / reader.subfolder, detection, reader)
            except RecordingError as error:
                n_failed[str(error)] += 1
                continue
            write_atomically(clip.path, content)
            clips.append(clip)
        write_atomically(folder / TABLE, clip_tables.clip_selections_bytes(clips, reader.run.record.detector))
        write_atomically(folder / LIST_FILE, clip_tables.clip_list_bytes(clips))
        write_atomically(folder / CLIPS, clip_tables.clips_csv(clips))
        if reader.for_training:
            write_atomically(folder / TRAINING_TABLE, clip_tables.training_csv(clips))
        keep_only(folder, names)
    problems = (f"{count(n, 'detection')} without a clip: {problem}" for problem, n in n_failed.items())
    return ClipExport(tuple(clips), tuple(problems))


def _cut(folder: Path, detection: Detection, reader: _ClipReader) -> tuple[Clip, bytes]:
    """Return a clip and the content of its file."""
    excerpt = reader.read(detection)
    clip = Clip(
        path=folder / clip_name(detection.detection_id),
        detection=detection,
        recording=reader.run.recordings_by_name[detection.recording],
        rate_hz=excerpt.rate_hz,
        begin_sample=excerpt.begin_sample,
        length_samples=len(excerpt.samples),
        missing_s=float(excerpt.is_missing.sum()) / excerpt.rate_hz,
    )
    return clip, lossless_wav(excerpt.samples, excerpt.rate_hz)
