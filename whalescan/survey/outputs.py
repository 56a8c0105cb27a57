"""Detections and tables made of stored scores; neither the recordings nor the model are read."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from whalescan.audio.start_times import parse_timezone
from whalescan.core import Detection, IntArray, MissingSpan, Outcome, RecordingResult, Status
from whalescan.core.files import write_atomically
from whalescan.detections import validations
from whalescan.detections.detection_rule import DetectionRule
from whalescan.detections.presence import PresenceBin
from whalescan.options import TableOptions
from whalescan.scores import validation_store
from whalescan.scores.detect import detect_all
from whalescan.scores.score_file import ScoreFile
from whalescan.survey.run_comparison import EarlierRun, write_comparison
from whalescan.survey.settings import OutputSettings
from whalescan.survey.survey_effort import SurveyEffort, counted_detections, hours_and_days, survey_effort
from whalescan.tables import csvs, raven
from whalescan.tables.formats import FORMAT_OUTPUTS, FORMATS
from whalescan.tables.frames import BinTable, DetectionTable, FileTable
from whalescan.tables.manifest import TableWriter
from whalescan.tables.noaa.days import NoaaAnalysis
from whalescan.tables.noaa.makara import ANALYSES_FILE, DETECTIONS_FILE, check_makara, makara_tables, read_makara
from whalescan.tables.noaa.pars import PARS_FILE, check_pars, pars_table, read_pars
from whalescan.tables.raven import RavenTableOptions

_TABLE_SUFFIX = ".whalescan.selections.txt"
DEPLOYMENT_TABLE = "deployment.whalescan.sound.selections.txt"
LIST_FILE = "deployment.listfile.txt"
DETECTIONS, FILES, GAPS = "detections.csv", "files.csv", "gaps.csv"
HOURLY, DAILY = "hourly.csv", "daily.csv"
LOCAL_HOURLY, LOCAL_DAILY = "hourly.local.csv", "daily.local.csv"
REPORT = "report.html"
MAKARA_FOLDER = "makara"
SCORE_BINS = 50
"""Bins of the histogram of window scores, from 0 to 1."""


@dataclass(frozen=True, slots=True, repr=False)
class Survey:
    """The result of a run.

    Attributes:
        files: every recording with its outcome, in the order of their names.
        detections: recording by recording, in the order of their times.
        effort: recorded and analysed time, gaps, and presence in each hour and day.
        local_hourly, local_daily: hours and days in the local time of ``summary_timezone``; empty without one.
        window_counts: int64 ``[SCORE_BINS]``, the histogram of window scores from 0 to 1, by the class with the highest
            score.
        kept_ids: IDs of calls that are there only because of a validation: people added them, or confirmed them when they
            were still found.
        settings: what the tables were made by.
    """

    files: FileTable
    detections: DetectionTable
    effort: SurveyEffort
    local_hourly: BinTable
    local_daily: BinTable
    window_counts: IntArray
    kept_ids: frozenset[str]
    settings: OutputSettings

    @property
    def hourly(self) -> BinTable:
        """The full UTC hours from the first sample to the last."""
        return BinTable(self.effort.hourly)

    @property
    def daily(self) -> BinTable:
        """The full UTC days from the first sample to the last."""
        return BinTable(self.effort.daily)

    @property
    def accounts(self) -> SurveyEffort:
        """The former name of ``effort``."""
        warnings.warn("Survey.accounts is now Survey.effort", DeprecationWarning, stacklevel=2)
        return self.effort

    @property
    def views(self) -> OutputSettings:
        """The former name of ``settings``."""
        warnings.warn("Survey.views is now Survey.settings", DeprecationWarning, stacklevel=2)
        return self.settings

    @property
    def analysed_s(self) -> float:
        """Total analysed time of all recordings."""
        return sum(row.outcome.analysed_s for row in self.files)

    @property
    def exit_code(self) -> int:
        """0 where every recording was analysed to its end, else 3."""
        return 0 if all(row.outcome.status is Status.DONE for row in self.files) else 3

    def __repr__(self) -> str:
        return f"Survey({self.files!r}, {self.detections!r})"


def write_tables(
    output: Path, results: Sequence[RecordingResult], settings: OutputSettings, earlier: EarlierRun | None = None
) -> Survey:
    """Detect calls in the stored scores and write every table.

    Args:
        output: folder in which ``scores/`` lies.
        results: the recordings in the order of their names; the scores of those with channels are read.
        settings: what the tables are made by.
        earlier: the detections that these replace, where another version or model found them; they are compared.
    """
    survey = detect_survey(output, results, settings)
    if earlier is not None:  # before anything is replaced, so that an interruption loses nothing
        write_comparison(output, earlier, survey.detections, survey.kept_ids)
    scored = [result for result in survey.files if result.channels]
    _write_raven(output, survey, scored)
    write_atomically(output / DETECTIONS, csvs.detections_csv(scored))
    write_atomically(output / FILES, csvs.files_csv(survey.files))
    _write_bins(output, survey)
    _write_formats(output, scored, settings)
    return survey


def detect_survey(output: Path, results: Sequence[RecordingResult], settings: OutputSettings) -> Survey:
    """Detect calls in the stored scores, with the reviews of validations, and write nothing.

    Args:
        output: as for `write_tables`.
        results: as for `write_tables`.
        settings: as for `write_tables`.
    """
    detected, window_counts, kept_ids = _detect(output, [result for result in results if result.channels], settings.rule)
    files: list[RecordingResult] = []
    sequence_offset_s = 0.0
    for result in results:
        files.append(replace(detected.get(result.name, result), sequence_offset_s=sequence_offset_s))
        sequence_offset_s += files[-1].recording.duration_s if files[-1].recording else 0.0
    effort = survey_effort(files, settings.is_counted, settings.presence_rule)
    local: tuple[Sequence[PresenceBin], Sequence[PresenceBin]] = (), ()
    if settings.options.summary_timezone:
        counted = counted_detections([result for result in files if result.channels], settings.is_counted)
        zone = parse_timezone(settings.options.summary_timezone)
        local = hours_and_days(effort, counted, settings.presence_rule, zone)
    return Survey(
        files=FileTable(files),
        detections=DetectionTable.of(files),
        effort=effort,
        local_hourly=BinTable(local[0]),
        local_daily=BinTable(local[1]),
        window_counts=window_counts,
        kept_ids=kept_ids,
        settings=settings,
    )


def _detect(
    output: Path, results: Sequence[RecordingResult], rule: DetectionRule
) -> tuple[dict[str, RecordingResult], IntArray, frozenset[str]]:
    """Return the results by name with reviewed detections and outcomes, the histogram of window scores, and the kept IDs."""
    validated = validation_store.validations_by_recording(output)
    detected: dict[str, RecordingResult] = {}
    window_counts = np.zeros(SCORE_BINS, np.int64)
    kept_ids: set[str] = set()
    for result, scores in detect_all(output / "scores", results, rule):
        detections = validations.apply_validations(result.detections, validated.get(result.name, {}), rule.separation_s)
        kept_ids |= {one.detection_id for one in detections} - {one.detection_id for one in result.detections}
        outcome = _outcome(scores, result.missing_spans or (), detections)
        detected[result.name] = replace(result, detections=detections, outcome=outcome)
        highest = np.concatenate([one.windows.scores.max(axis=1) for one in scores])
        window_counts += np.histogram(highest, SCORE_BINS, (0, 1))[0]  # NaN is in no bin
    return detected, window_counts, frozenset(kept_ids)


def _write_raven(output: Path, survey: Survey, scored: Sequence[RecordingResult]) -> None:
    """Write the tables that Raven opens. A table that an analyst changed is moved aside, not overwritten."""
    settings = survey.settings
    options = RavenTableOptions(settings.detector, settings.options.raven_root)
    folder = output / "selections"
    contents: dict[Path, Sequence[RecordingResult]] = {
        folder / f"{result.name}{_TABLE_SUFFIX}": [replace(result, sequence_offset_s=0.0)] for result in scored
    }
    contents[output / DEPLOYMENT_TABLE] = scored
    TableWriter(output).write(_RavenTables(contents, options), settings.rule.threshold, folder)
    listed = [result.recording for result in survey.files if result.recording is not None]
    write_atomically(output / LIST_FILE, raven.list_file_bytes(listed, options))


class _RavenTables(Mapping[Path, bytes]):
    """Tables by path, each made when it is read, so that those of a long survey are not in memory together."""

    def __init__(self, contents: Mapping[Path, Sequence[RecordingResult]], options: RavenTableOptions) -> None:
        self._contents, self._options = contents, options

    def __getitem__(self, path: Path) -> bytes:
        return raven.table_bytes(self._contents[path], self._options)

    def __iter__(self) -> Iterator[Path]:
        return iter(self._contents)

    def __len__(self) -> int:
        return len(self._contents)


def _write_formats(output: Path, results: Sequence[RecordingResult], settings: OutputSettings) -> None:
    """Write the further formats that the user chose, and delete those of an earlier run."""
    options = RavenTableOptions(settings.detector, settings.options.raven_root)
    contents = {
        output / path: content
        for name in settings.options.formats
        for path, content in FORMATS[name](results, options).items()
    }
    for pattern in FORMAT_OUTPUTS:
        for path in output.glob(pattern):
            if path not in contents:
                path.unlink()
    for path, content in contents.items():
        write_atomically(path, content)


def _write_bins(output: Path, survey: Survey) -> None:
    """Write hours, days and gaps; with ``summary_timezone``, hours and days in local time as well."""
    write_atomically(output / HOURLY, csvs.bins_csv(survey.effort.hourly))
    write_atomically(output / DAILY, csvs.bins_csv(survey.effort.daily))
    write_atomically(output / GAPS, csvs.gaps_csv(survey.effort.gaps))
    timezone = survey.settings.options.summary_timezone
    for name, bins in ((LOCAL_HOURLY, survey.local_hourly), (LOCAL_DAILY, survey.local_daily)):
        if timezone:
            write_atomically(output / name, csvs.local_bins_csv(bins, parse_timezone(timezone)))
        else:
            (output / name).unlink(missing_ok=True)


def _outcome(scores: Sequence[ScoreFile], missing_spans: Sequence[MissingSpan], detections: Sequence[Detection]) -> Outcome:
    """Return the outcome: done if every channel was analysed to its end, failed if none was analysed at all."""
    recording = scores[0].recording
    n_analysed = recording.n_frames - sum(span.length_samples for span in missing_spans)
    problems = [
        channel.problem if len(scores) == 1 else f"channel {channel.channel}: {channel.problem}"
        for channel in scores
        if channel.problem
    ]
    status = Status.FAILED if n_analysed <= 0 else Status.PARTIAL if problems else Status.DONE
    n_detections = sum(detection.review != "no" for detection in detections)
    problem = "; ".join(filter(None, [*problems[:1], recording.clock_problem]))
    return Outcome(status, n_analysed / recording.rate_hz, n_detections, problem)


def check_noaa_reports(options: TableOptions, settings: OutputSettings) -> None:
    """Check that the facts for NOAA's tables are complete and fit the analysis, before hours of work.

    Raises:
        UsageError: with every field that NOAA would refuse.
    """
    analysis = _noaa_analysis(Counter(), settings)
    if options.pars:
        check_pars(read_pars(Path(options.pars)), analysis)
    if options.makara:
        check_makara(read_makara(Path(options.makara)), analysis)


def write_noaa_reports(output: Path, survey: Survey, settings: OutputSettings) -> None:
    """Write the NOAA tables that the user asked for, and delete those of an earlier run.

    Raises:
        OutputError: when NOAA would refuse a table, which is not written then.
    """
    options, days = settings.options, survey.effort.daily
    reviews = Counter(one.review for one in survey.detections if settings.is_counted(one.label))
    analysis = _noaa_analysis(reviews, settings)
    paths = [output / PARS_FILE, *(output / MAKARA_FOLDER / name for name in (ANALYSES_FILE, DETECTIONS_FILE))]
    for path in paths:
        path.unlink(missing_ok=True)
    if options.pars:
        write_atomically(paths[0], pars_table(days, read_pars(Path(options.pars)), analysis))
    if options.makara:
        tables = makara_tables(days, read_makara(Path(options.makara)), analysis)
        write_atomically(paths[1], tables.analyses)
        write_atomically(paths[2], tables.detections)


def _noaa_analysis(reviews: Counter[str], settings: OutputSettings) -> NoaaAnalysis:
    low_hz, high_hz = settings.band_hz
    n_unreviewed = reviews["unreviewed"]
    return NoaaAnalysis(settings.rate_hz, low_hz, high_hz, settings.detector, reviews.total() - n_unreviewed, n_unreviewed)
