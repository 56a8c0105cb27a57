"""From stored scores to calls and tables. `run` and `detect` end here; nothing here needs the sound or the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from whalescan.audio import timeline
from whalescan.audio.start_times import parse_zone
from whalescan.core import Detection, IntArray, Loss, Outcome, Status
from whalescan.core.files import write_whole
from whalescan.detections import validations
from whalescan.detections.detection_rule import DetectionRule
from whalescan.detections.presence import Bin
from whalescan.scores import validation_store
from whalescan.scores.score_file import ScoreFile
from whalescan.scores.sequences import Scored, call_all
from whalescan.survey.effort import Accounts, Listened, account, heard_in, in_bins, lost_on_all
from whalescan.survey.output_settings import Views
from whalescan.tables import bins as bin_tables
from whalescan.tables import csvs, raven
from whalescan.tables.csvs import FileRow
from whalescan.tables.formats import FORMATS, LEFT_BY_FORMATS
from whalescan.tables.manifest import Tables
from whalescan.tables.raven import Placed, SelectionOptions

_TABLE_SUFFIX = ".whalescan.selections.txt"
DEPLOYMENT_TABLE = "deployment.whalescan.sound.selections.txt"
LIST_FILE = "deployment.listfile.txt"
DETECTIONS, FILES, GAPS = "detections.csv", "files.csv", "gaps.csv"
HOURLY, DAILY = "hourly.csv", "daily.csv"
LOCAL_HOURLY, LOCAL_DAILY = "hourly.local.csv", "daily.local.csv"
PROVENANCE, REPORT = "run.json", "report.html"
SCORE_PARTS = 50
"""Parts of 0 to 1 in which windows are counted by their scores."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a run found.

    Attributes:
        files: every recording with its outcome, in the order of their names.
        detections: the calls, recording by recording, in the order of their times.
        accounts: recorded and analysed time, gaps, and presence in each hour and day.
        local_hourly: the hours by the clocks of the zone that the user asked for; empty where none was.
        window_counts: int64 ``[SCORE_PARTS]``, how many windows scored in each of so many equal parts of 0 to 1, by the
            class that they score highest.
        views: what made tables of scores.
    """

    files: tuple[FileRow, ...]
    detections: tuple[Detection, ...]
    accounts: Accounts
    local_hourly: tuple[Bin, ...]
    window_counts: IntArray
    views: Views

    @property
    def analysed_s(self) -> float:
        """Sound that was analysed, all recordings together."""
        return sum(row.outcome.analysed_s for row in self.files)

    @property
    def exit_code(self) -> int:
        """0 where every recording was analysed to its end, else 3."""
        return 0 if all(row.outcome.status is Status.DONE for row in self.files) else 3


def write_tables(output: Path, entries: Sequence[Scored | FileRow], views: Views) -> Survey:
    """Find the calls in the stored scores and write every table.

    Args:
        output: folder in which ``scores/`` lies.
        entries: the recordings in the order of their names; one without scores comes as the row that says why.
        views: what makes tables of scores.
    """
    scored = [entry for entry in entries if isinstance(entry, Scored)]
    heard: dict[str, tuple[Listened, Outcome]] = {}
    window_counts = np.zeros(SCORE_PARTS, np.int64)
    for listened, outcome, counts in _listen(output, scored, views.rule):
        heard[listened.recording.name] = listened, outcome
        window_counts += counts
    files: list[FileRow] = []
    placed: list[Placed] = []
    sequence_offset_s = 0.0
    for entry in entries:
        if isinstance(entry, FileRow):
            files.append(replace(entry, sequence_offset_s=sequence_offset_s))
        else:
            listened, outcome = heard[entry.recording.name]
            recording = listened.recording
            placed.append(Placed(recording, sequence_offset_s, listened.detections))
            files.append(FileRow(recording.name, recording.path, recording, outcome, sequence_offset_s))
        sequence_offset_s += files[-1].recording.duration_s if files[-1].recording else 0.0
    unheard = [Listened(row.recording, (), None, 1) for row in files if row.recording and row.name not in heard]
    everything = [listened for listened, _ in heard.values()] + unheard
    accounts = account(everything, files, views.counts, views.presence)
    _write_raven(output, placed, files, views)
    write_whole(output / DETECTIONS, csvs.detections_csv((place.recording, place.detections) for place in placed))
    write_whole(output / FILES, csvs.files_csv(files))
    local_hourly = _write_bins(output, accounts, everything, views)
    _write_formats(output, placed, views)
    calls = tuple(call for place in placed for call in place.detections)
    return Survey(tuple(files), calls, accounts, local_hourly, window_counts, views)


def _listen(output: Path, scored: Sequence[Scored], rule: DetectionRule) -> Iterator[tuple[Listened, Outcome, IntArray]]:
    """Calls, with what people said of them, and losses of each recording; and how many of its windows scored how high."""
    judged = validation_store.by_recording(output)
    for called in call_all(output / "scores", scored, rule):
        name = called.recording.name
        calls = validations.apply(called.calls, judged.get(name, {}), rule.separation_s)
        losses = lost_on_all([one.losses for one in called.scores])
        highest = np.concatenate([one.windows.scores.max(axis=1) for one in called.scores])
        counts = np.histogram(highest, SCORE_PARTS, (0, 1))[0]  # NaN is in no part
        rate_hz = called.scores[0].grid.rate_hz
        yield Listened(called.recording, calls, losses, rate_hz), _outcome(called.scores, losses, calls), counts


def _write_raven(output: Path, placed: Sequence[Placed], files: Sequence[FileRow], views: Views) -> None:
    """The tables that Raven opens; what an analyst changed in one is set aside, not overwritten."""
    options = SelectionOptions(views.detector, views.options.raven_root)
    folder = output / "selections"
    contents: dict[Path, Sequence[Placed]] = {
        folder / f"{place.recording.name}{_TABLE_SUFFIX}": [replace(place, sequence_offset_s=0.0)] for place in placed
    }
    contents[output / DEPLOYMENT_TABLE] = placed
    Tables(output).write(_RavenTables(contents, options), views.rule.threshold, folder)
    listed = [row.recording for row in files if row.recording is not None]
    write_whole(output / LIST_FILE, raven.list_file_bytes(listed, options))


class _RavenTables(Mapping[Path, bytes]):
    """Tables by their paths, each made whenever it is asked for: those of a long survey do not lie in memory together."""

    def __init__(self, contents: Mapping[Path, Sequence[Placed]], options: SelectionOptions) -> None:
        self._contents, self._options = contents, options

    def __getitem__(self, path: Path) -> bytes:
        return raven.table_bytes(self._contents[path], self._options)

    def __iter__(self) -> Iterator[Path]:
        return iter(self._contents)

    def __len__(self) -> int:
        return len(self._contents)


def _write_formats(output: Path, placed: Sequence[Placed], views: Views) -> None:
    """The further formats that are asked for; what an earlier run left of others goes."""
    options = SelectionOptions(views.detector, views.options.raven_root)
    wanted = {
        output / path: content for name in views.options.formats for path, content in FORMATS[name](placed, options).items()
    }
    for pattern in LEFT_BY_FORMATS:
        for path in output.glob(pattern):
            if path not in wanted:
                path.unlink()
    for path, content in wanted.items():
        write_whole(path, content)


def _write_bins(output: Path, accounts: Accounts, listened: Sequence[Listened], views: Views) -> tuple[Bin, ...]:
    """Hours, days and gaps; by local clocks, too, where the user wants them. The hours by these clocks come back."""
    write_whole(output / HOURLY, bin_tables.bins_csv(accounts.hourly))
    write_whole(output / DAILY, bin_tables.bins_csv(accounts.daily))
    write_whole(output / GAPS, bin_tables.gaps_csv(accounts.gaps))
    if not views.options.summary_timezone:
        for name in (LOCAL_HOURLY, LOCAL_DAILY):
            (output / name).unlink(missing_ok=True)
        return ()
    zone = parse_zone(views.options.summary_timezone)
    heard = heard_in(listened, views.counts)
    hourly, daily = in_bins(accounts, heard, views.presence, zone)
    write_whole(output / LOCAL_HOURLY, bin_tables.local_bins_csv(hourly, zone))
    write_whole(output / LOCAL_DAILY, bin_tables.local_bins_csv(daily, zone))
    return hourly


def _outcome(scores: Sequence[ScoreFile], losses: Sequence[Loss], detections: Sequence[Detection]) -> Outcome:
    """Done only where every channel was analysed to its end, failed only where none was at all."""
    recording, rate_hz = scores[0].recording, scores[0].grid.rate_hz
    lost = (timeline.frames(recording, loss, rate_hz) for loss in losses)
    n_analysed = recording.n_frames - sum(end - begin for begin, end in lost)
    named = [one.problem if len(scores) == 1 else f"channel {one.channel}: {one.problem}" for one in scores if one.problem]
    status = Status.FAILED if n_analysed <= 0 else Status.PARTIAL if named else Status.DONE
    n_detections = sum(call.review != "no" for call in detections)
    problem = "; ".join(filter(None, [*named[:1], recording.clock_problem]))
    return Outcome(status, n_analysed / recording.rate_hz, n_detections, problem)
