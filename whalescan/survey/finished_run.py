"""The folder of a finished run: `Run` for programs, and `FinishedRun` with detections and audio for reviews and reports."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import tzinfo
from functools import cached_property, lru_cache
from itertools import chain
from pathlib import Path

from whalescan.audio import recordings, timeline
from whalescan.audio.excerpts import Excerpt, read_excerpt
from whalescan.audio.recordings import AudioFile
from whalescan.audio.start_times import ClockOptions
from whalescan.core import Detection, Position, Recording, RecordingError, RecordingResult, ScoreTrack, Status
from whalescan.detections import validations
from whalescan.detections.validations import UNREVIEWED
from whalescan.options import number, position_text, zone_text
from whalescan.scores import validation_store
from whalescan.scores.score_file import read_recording, read_scores, score_path
from whalescan.survey import provenance
from whalescan.survey.outputs import DETECTIONS, FILES, REPORT, Survey
from whalescan.survey.provenance import RunRecord
from whalescan.tables.csvs import read_detections_csv, read_files_csv
from whalescan.tables.frames import BinTable, DetectionTable, FileTable

_ROUNDING = 5e-5
"""Half of the last decimal of scores in tables."""


@dataclass(frozen=True)
class FinishedRun:
    """The results of a run, as its folder holds them.

    Attributes:
        output: the folder.
        record: how the run was made.
        files: its recordings, in the order of their names.
    """

    output: Path
    record: RunRecord
    files: tuple[RecordingResult, ...]

    def read_detections(self) -> tuple[Detection, ...]:
        """Return the detections with all validations, recording by recording, in the order of their times.

        Validations that were added since the tables were written are included.

        Raises:
            TableError: when ``detections.csv`` or the validations cannot be read.
        """
        lowest = self.record.rule.threshold - _ROUNDING
        found: dict[str, list[Detection]] = defaultdict(list)
        for detection in read_detections_csv(self.output / DETECTIONS):
            if detection.score is not None and detection.score >= lowest:  # others are there because of validations
                found[detection.recording].append(replace(detection, review=UNREVIEWED))
        validated = validation_store.validations_by_recording(self.output)
        separation_s = self.record.rule.separation_s
        reviewed = (
            validations.apply_validations(found.get(file.name, ()), validated.get(file.name, {}), separation_s)
            for file in self.files
        )
        return tuple(chain.from_iterable(reviewed))

    @property
    def analysed_hours(self) -> float:
        """Total analysed time of all recordings."""
        return sum(file.outcome.analysed_s for file in self.files) / 3600

    @cached_property
    def recordings_by_name(self) -> Mapping[str, Recording]:
        """The recordings whose headers could be read, by name."""
        return {file.name: file.recording for file in self.files if file.recording}

    @cached_property
    def _following(self) -> Mapping[str, Recording]:
        return timeline.successors(self.recordings_by_name.values())

    def read_excerpt(self, name: str, channel: int, begin_s: float, end_s: float, rate_hz: int) -> Excerpt:
        """Read an excerpt of a recording and of the one that continues it; see `audio.excerpts.read_excerpt`.

        Raises:
            RecordingError: when the recording is not where it was, or cannot be read.
        """
        recording = self._read_header(name)
        following = self._following.get(name) if end_s > recording.duration_s else None
        if following is not None:
            try:
                return read_excerpt(recording, channel, begin_s, end_s, rate_hz, [self._read_header(following.name)])
            except RecordingError:  # show the audio up to the border
                pass
        return read_excerpt(recording, channel, begin_s, end_s, rate_hz)

    def _read_header(self, name: str) -> Recording:
        """Return a recording with the facts that are in no table, such as where its samples begin."""
        if name not in self.recordings_by_name:
            raise RecordingError(f"{self.output / FILES}: names no readable recording {name!r}; run again")
        listed = self.recordings_by_name[name]
        return _cached_header(AudioFile(name, listed.path, listed.relative_path), self.record.clock_options)


@lru_cache(maxsize=256)
def _cached_header(file: AudioFile, clock: ClockOptions) -> Recording:
    """Read a header once. Errors are not cached, since a disk may be connected again."""
    return recordings.read_header(file, clock)


def open_finished_run(output: Path) -> FinishedRun:
    """Open the folder of a finished run.

    Raises:
        TableError: when it holds no finished run, or one of an earlier version that lacks what is needed.
    """
    record = provenance.read_run_record(output)
    return FinishedRun(output, record, tuple(_with_clock(output, record, row) for row in read_files_csv(output / FILES)))


def _with_clock(output: Path, record: RunRecord, row: RecordingResult) -> RecordingResult:
    """Return a recording with its clock segments, which only XWAV files have and no table holds."""
    if row.recording is None or row.time_source != "harp":
        return row
    channels = record.scores.channels(row.recording.channels)
    stored = score_path(output / "scores", row.name, channels[0]) if channels else None
    return row.with_recording(read_recording(stored)) if stored and stored.exists() else row


def stored_recordings(output: Path, record: RunRecord) -> list[RecordingResult]:
    """Return the recordings of a finished run: pending where their scores are stored, else with their outcomes.

    The headers of recordings that were not scored, such as those without the chosen channel, are read again where possible,
    because tables do not hold all of them.

    Raises:
        TableError: when the folder holds no finished run, or its scores cannot be read.
    """
    results: list[RecordingResult] = []
    for row in read_files_csv(output / FILES):
        channels = record.scores.channels(row.recording.channels) if row.recording else ()
        stored = score_path(output / "scores", row.name, channels[0]) if channels else None
        if stored is not None and (row.outcome.status is not Status.FAILED or stored.exists()):
            results.append(RecordingResult.of(read_recording(stored), channels=channels))
        elif row.recording is not None:
            results.append(row.with_recording(_reread_header(row.recording, record.clock_options)))
        else:
            results.append(row)
    return results


def _reread_header(recording: Recording, clock: ClockOptions) -> Recording:
    try:
        return recordings.read_header(AudioFile(recording.name, recording.path, recording.relative_path), clock)
    except RecordingError:
        return recording


@dataclass(frozen=True)
class Run:
    """A finished run: its stored scores, and what follows from them and from the validations.

    Each property is computed from the folder when it is used first; `open_run` again shows what has changed since.

    Attributes:
        output: the folder.
    """

    output: Path

    def __post_init__(self) -> None:
        provenance.read_run_record(self.output)

    @cached_property
    def survey(self) -> Survey:
        """Everything that the tables of the run say, with the threshold used last and all validations."""
        return self._detect()

    @property
    def detections(self) -> DetectionTable:
        """The detections, with their reviews."""
        return self.survey.detections

    @property
    def files(self) -> FileTable:
        """The recordings with their outcomes."""
        return self.survey.files

    @property
    def hourly(self) -> BinTable:
        """The UTC hours with their effort, detections and presence."""
        return self.survey.hourly

    @property
    def daily(self) -> BinTable:
        """The UTC days, likewise."""
        return self.survey.daily

    def detect(
        self, threshold: float | None = None, *, false_positives_per_hour: float | None = None, write: bool = False
    ) -> DetectionTable:
        """Detect calls again in the stored scores, without model and recordings.

        Args:
            threshold: minimum score of a detection; None for the one used last.
            false_positives_per_hour: choose the threshold as `scan` does.
            write: write every table and the report as well, as ``whalescan detect`` does; else the folder stays as it is.

        Raises:
            UsageError: for a threshold that is invalid or cannot be chosen, or, with ``write``, when another process writes
                to the folder.
            TableError: when the scores cannot be read.
            OutputError: when a table cannot be written.
        """
        threshold = None if threshold is None else number("threshold", threshold)
        if not write:
            return self._detect(threshold, false_positives_per_hour).detections
        from whalescan.survey.run import detect  # importing Dask is slow

        survey = detect(self.output, threshold, false_positives_per_hour=false_positives_per_hour)
        self.__dict__["survey"] = survey
        return survey.detections

    def report(
        self,
        *,
        position: str | tuple[float, float] | Position | None = None,
        summary_timezone: str | tzinfo | None = None,
    ) -> Path:
        """Write ``report.html`` and every table again, and return the path of the report.

        Args:
            position: as for `scan`; None for the one used last.
            summary_timezone: as for `scan`; None for the one used last.

        Raises:
            UsageError: for invalid options, or when another process writes to the folder.
            OutputError: when the report cannot be written.
        """
        from whalescan.survey.run import detect  # importing Dask is slow

        options = provenance.read_run_record(self.output).tables
        if position is not None:
            options = replace(options, position=position_text(position))
        if summary_timezone is not None:
            options = replace(options, summary_timezone=zone_text("summary_timezone", summary_timezone))
        self.__dict__["survey"] = detect(self.output, None, options)
        return self.output / REPORT

    def score_track(self, recording: str, channel: int = 1) -> ScoreTrack:
        """Return the stored scores of a channel of a recording.

        Args:
            recording: its name, as in ``files``.
            channel: 1-based.

        Raises:
            TableError: when there are none.
        """
        scores = read_scores(score_path(self.output / "scores", recording, channel))
        return ScoreTrack(scores.grid, scores.classes, scores.windows, scores.column_grid, scores.columns)

    def _detect(self, threshold: float | None = None, false_positives_per_hour: float | None = None) -> Survey:
        from whalescan.survey.run import detect_stored  # importing Dask is slow

        return detect_stored(self.output, threshold, false_positives_per_hour)
