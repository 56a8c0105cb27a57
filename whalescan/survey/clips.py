"""Calls as sound files of their own: to look through, to pass on, to teach the next model with."""

from __future__ import annotations

import bisect
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from whalescan.audio.excerpts import Excerpt
from whalescan.audio.wav import wav_bytes
from whalescan.core import Detection, RecordingError, UsageError, owned_folder
from whalescan.core.files import write_whole
from whalescan.detections.selection import Choice, chosen
from whalescan.survey import provenance
from whalescan.survey.finished_run import Opened, open_run
from whalescan.survey.lock import alone
from whalescan.survey.text import count
from whalescan.tables import clip_tables
from whalescan.tables.clip_tables import Clip, clip_name

TABLE, LIST_FILE, CLIPS = "clips.whalescan.sound.selections.txt", "clips.listfile.txt", "clips.csv"
TRAINING_TABLE, TRAINING_FOLDER = "train.csv", "train"
_ROUNDING = 1e-4
"""Part of a sample by which seconds may miss the sample that they mean."""


_HIGHEST_HZ = 1_000_000
"""No recorder is faster, and a clip at a rate out of all proportion is larger than any memory."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of a recording a clip holds.

    Attributes:
        context_s: seconds before the call and after it.
        length_s: length of the clip instead, the call in its middle; None for as long as call and context are.
        rate_hz: of the clip; None for the recording's own, at which no sample is changed.

    Raises:
        UsageError: for times and rates that cannot be.
    """

    context_s: float = 1.0
    length_s: float | None = None
    rate_hz: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.context_s < math.inf:
            raise UsageError(f"--context {self.context_s:g}: seconds around a call are counted from 0")
        if self.length_s is not None and not 0 < self.length_s < math.inf:
            raise UsageError(f"--length {self.length_s:g}: a clip has more than 0 seconds")
        if self.rate_hz is not None and not 1 <= self.rate_hz <= _HIGHEST_HZ:
            raise UsageError(
                f"--rate {self.rate_hz}: give one from 1 to {_HIGHEST_HZ:,} Hz, or leave it out for the recording's own"
            )


@dataclass(frozen=True, slots=True)
class ClipsCut:
    """What came of cutting.

    Attributes:
        clips: that were written, in the order of their recordings and times.
        problems: what could not be cut, a line each kind.
        n_unclear: rejected calls that teach nothing, since another call lies so near that it would be in the clip.
    """

    clips: tuple[Clip, ...]
    problems: tuple[str, ...]
    n_unclear: int = 0

    @property
    def exit_code(self) -> int:
        """0 where every call was cut, else 3."""
        return 3 if self.problems else 0


def cut_clips(output: Path, folder: Path, choice: Choice, extent: Extent, quiet: bool = False) -> ClipsCut:
    """Write a WAV of each chosen call, and tables that tell what they are.

    The same command writes the same bytes again. What an earlier one left in the folder, and this one does not want, is
    removed.

    Args:
        output: folder of a finished run.
        folder: for the clips; new, empty, or written by an earlier call of this.
        choice: which calls.
        extent: how much of the recordings.
        quiet: no progress bar.

    Raises:
        UsageError: when the folder holds anything else.
        TableError: when there is no finished run.
        OutputError: when the folder cannot be written.
    """
    opened = open_run(output)
    return _fill(folder, chosen(opened.calls(), choice), _Cutter(opened, extent), quiet)


def cut_for_training(output: Path, folder: Path, choice: Choice, quiet: bool = False) -> ClipsCut:
    """Write a clip of each chosen call that people said yes or no of, in the layout that `train` takes.

    A clip is a window of the model, at its rate, the call in the middle. Calls that people added or moved are among them.
    A rejected call is left out where a window around it would hold a call that was not rejected.

    Args:
        output: folder of a finished run.
        folder: as in `cut_clips`.
        choice: which calls of those that are judged.
        quiet: no progress bar.

    Raises:
        UsageError, TableError, OutputError: as `cut_clips`.
    """
    opened = open_run(output)
    windows = provenance.read_document(output)["windows"]
    length_s = windows["window_samples"] / windows["rate_hz"]
    calls = opened.calls()
    wanted = chosen(calls, replace(choice, reviews=("yes", "no")))
    clear = _clear(wanted, calls, opened, length_s)
    cutter = _Cutter(opened, Extent(length_s=length_s, rate_hz=windows["rate_hz"]), for_training=True)
    return replace(_fill(folder, clear, cutter, quiet), n_unclear=len(wanted) - len(clear))


def _clear(wanted: Sequence[Detection], calls: Sequence[Detection], opened: Opened, length_s: float) -> list[Detection]:
    """Confirmed calls, and rejected ones whose clips of such a length hold nothing but rejected ones."""
    standing: dict[tuple[str, int], list[Detection]] = defaultdict(list)
    for call in calls:
        if call.review != "no":
            standing[call.recording, call.channel].append(call)
    longest_s = max((call.end_s - call.begin_s for call in calls), default=0.0)

    def is_clear(call: Detection) -> bool:
        end_s = (call.begin_s + call.end_s + length_s) / 2
        recording = opened.by_name.get(call.recording)
        lacking_s = max(end_s - recording.duration_s, 0) if recording else 0  # by which a clip begins earlier at an end
        begin_s = end_s - length_s - lacking_s
        near = standing[call.recording, call.channel]  # in the order of their beginnings
        first, last = (
            bisect.bisect_left(near, at_s, key=lambda one: one.begin_s)
            for at_s in (begin_s - longest_s, max(end_s, length_s))
        )
        return not any(one.end_s > begin_s for one in near[first:last])

    return [call for call in wanted if call.review == "yes" or is_clear(call)]


@dataclass(frozen=True, slots=True)
class _Cutter:
    """Cuts clips out of the recordings of a run."""

    opened: Opened
    extent: Extent
    for_training: bool = False

    @property
    def below(self) -> str:
        """Where in their folder the clips lie."""
        return f"{TRAINING_FOLDER}/" if self.for_training else ""

    def sound(self, call: Detection) -> Excerpt:
        """What a clip holds.

        Raises:
            RecordingError: when the recording cannot be read, or too little of it.
        """
        recording = self.opened.by_name.get(call.recording)
        rate_hz = self.extent.rate_hz or (recording.rate_hz if recording else self.opened.kept.rate_hz)
        excerpt = (
            self._of_length(call, self.extent.length_s, rate_hz) if self.extent.length_s else self._around(call, rate_hz)
        )
        if excerpt.missing.any() if self.for_training else excerpt.missing.all():
            path = recording.path if recording else call.recording
            raise RecordingError(f"{path}: its sound is lost at {call.begin_s:.1f} s; bring a whole copy, or do without")
        return excerpt

    def _around(self, call: Detection, rate_hz: int) -> Excerpt:
        begin = math.floor((call.begin_s - self.extent.context_s) * rate_hz + _ROUNDING)
        return self._read(call, begin, math.ceil((call.end_s + self.extent.context_s) * rate_hz - _ROUNDING), rate_hz)

    def _of_length(self, call: Detection, length_s: float, rate_hz: int) -> Excerpt:
        """With the call in the middle; near an end of the sound, elsewhere."""
        n_samples = max(round(length_s * rate_hz), 1)
        begin = max(math.floor((call.begin_s + call.end_s) / 2 * rate_hz - n_samples / 2 + _ROUNDING), 0)
        excerpt = self._read(call, begin, begin + n_samples, rate_hz)
        lacking = n_samples - len(excerpt.samples)
        return self._read(call, begin - lacking, begin + n_samples, rate_hz) if lacking and begin else excerpt

    def _read(self, call: Detection, begin: int, end: int, rate_hz: int) -> Excerpt:
        """Samples from one to another; half a sample keeps the seconds in between from being rounded to a neighbour."""
        return self.opened.sound(call.recording, call.channel, (begin + 0.5) / rate_hz, (end - 0.5) / rate_hz, rate_hz)


def _fill(folder: Path, calls: Sequence[Detection], cutter: _Cutter, quiet: bool) -> ClipsCut:
    """Write clips and tables, and nothing else, into a folder."""
    tables = (TABLE, LIST_FILE, CLIPS, *((TRAINING_TABLE,) if cutter.for_training else ()))
    wanted = [*tables, *(cutter.below + clip_name(call.detection_id) for call in calls)]
    owned_folder.claim(folder, wanted)
    with alone(folder):
        clips: list[Clip] = []
        failures: Counter[str] = Counter()
        for call in tqdm(calls, "cutting clips", unit="clip", disable=quiet, delay=1):
            try:
                clip, content = _cut(folder.absolute() / cutter.below, call, cutter)
            except RecordingError as error:
                failures[str(error)] += 1
                continue
            write_whole(clip.path, content)
            clips.append(clip)
        write_whole(folder / TABLE, clip_tables.selections_bytes(clips, cutter.opened.kept.detector))
        write_whole(folder / LIST_FILE, clip_tables.list_bytes(clips))
        write_whole(folder / CLIPS, clip_tables.clips_csv(clips))
        if cutter.for_training:
            write_whole(folder / TRAINING_TABLE, clip_tables.training_csv(clips))
        owned_folder.keep_only(folder, wanted)
    problems = (f"{count(n, 'call')} without a clip: {text}" for text, n in failures.items())
    return ClipsCut(tuple(clips), tuple(problems))


def _cut(folder: Path, call: Detection, cutter: _Cutter) -> tuple[Clip, bytes]:
    """A clip, and the contents of its file."""
    excerpt = cutter.sound(call)
    clip = Clip(
        path=folder / clip_name(call.detection_id),
        call=call,
        recording=cutter.opened.by_name[call.recording],
        rate_hz=excerpt.rate_hz,
        begin_sample=excerpt.begin_sample,
        n_samples=len(excerpt.samples),
        missing_s=float(excerpt.missing.sum()) / excerpt.rate_hz,
    )
    return clip, wav_bytes(excerpt.samples, excerpt.rate_hz)
