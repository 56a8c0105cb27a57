"""From stored scores to calls and tables. `run` and `detect` end here; nothing here needs the sound or the model."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from whalescan.calls.detections import DetectionRule
from whalescan.core import Detection, Outcome, Recording, Status
from whalescan.tables import csvs, raven
from whalescan.tables.calling import find_calls
from whalescan.tables.csvs import FileRow
from whalescan.tables.files import write_whole
from whalescan.tables.raven import Placed, SelectionOptions
from whalescan.tables.scorefile import ScoreFile, read_scores, score_path
from whalescan.tables.selections import is_reviewed

_TABLE_SUFFIX = ".whalescan.selections.txt"
DEPLOYMENT_TABLE = "deployment.whalescan.sound.selections.txt"
LIST_FILE = "deployment.listfile.txt"
DETECTIONS = "detections.csv"
FILES = "files.csv"
PROVENANCE = "run.json"


@dataclass(frozen=True, slots=True)
class Scored:
    """A recording whose scores are stored, and the channels that were scored."""

    recording: Recording
    channels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """What a run found.

    Attributes:
        files: every recording with its outcome, in the order of their names.
        detections: the calls, recording by recording, in the order of their times.
    """

    files: tuple[FileRow, ...]
    detections: tuple[Detection, ...]

    @property
    def exit_code(self) -> int:
        """0 where every recording was analysed to its end, else 3."""
        return 0 if all(row.outcome.status is Status.DONE for row in self.files) else 3


def write_tables(
    output: Path, entries: Sequence[Scored | FileRow], rule: DetectionRule, options: SelectionOptions
) -> Survey:
    """Find the calls in the stored scores and write every table.

    Args:
        output: folder in which ``scores/`` lies.
        entries: the recordings in the order of their names; one without scores comes as the row that says why.
        rule: what makes calls of scores.
        options: what Raven's tables say beside the calls.
    """
    files: list[FileRow] = []
    placed: list[Placed] = []
    written: list[Path] = []
    sequence_offset_s = 0.0
    for entry in entries:
        if isinstance(entry, FileRow):
            files.append(FileRow(entry.name, entry.path, entry.recording, entry.outcome, sequence_offset_s))
            sequence_offset_s += entry.recording.duration_s if entry.recording else 0.0
            continue
        scores = [read_scores(score_path(output / "scores", entry.recording.name, c)) for c in entry.channels]
        found = sorted(
            (call for channel in scores for call in find_calls(channel, rule)), key=lambda d: (d.begin_s, d.channel)
        )
        recording = scores[0].recording
        path = output / "selections" / f"{recording.name}{_TABLE_SUFFIX}"
        _set_reviewed_aside(path)
        write_whole(path, raven.table_bytes([Placed(recording, 0.0, found)], options))
        written.append(path)
        placed.append(Placed(recording, sequence_offset_s, found))
        files.append(FileRow(recording.name, recording.path, recording, _outcome(scores, len(found)), sequence_offset_s))
        sequence_offset_s += recording.duration_s
    _remove_tables(output, keep=frozenset(written))
    _set_reviewed_aside(output / DEPLOYMENT_TABLE)
    listed = [row.recording for row in files if row.recording is not None]
    write_whole(output / DEPLOYMENT_TABLE, raven.table_bytes(placed, options))
    write_whole(output / LIST_FILE, raven.list_file_bytes(listed, options))
    write_whole(output / DETECTIONS, csvs.detections_csv((place.recording, place.detections) for place in placed))
    write_whole(output / FILES, csvs.files_csv(files))
    return Survey(tuple(files), tuple(call for place in placed for call in place.detections))


def _remove_tables(output: Path, keep: frozenset[Path]) -> None:
    """Remove tables of recordings that are not there any more, but none that an analyst has worked on."""
    for path in (output / "selections").rglob(f"*{_TABLE_SUFFIX}"):
        if path not in keep:
            _set_reviewed_aside(path)
            path.unlink(missing_ok=True)


def _set_reviewed_aside(path: Path) -> None:
    """Rename a table in which somebody has judged calls, before another takes its place."""
    if not path.exists() or not is_reviewed(path):
        return
    for n in itertools.count(1):
        aside = path.with_name(path.name.replace(".selections.txt", f".reviewed-{n}.selections.txt"))
        if not aside.exists():
            path.rename(aside)
            return


def _outcome(scores: Sequence[ScoreFile], n_detections: int) -> Outcome:
    """Done only where every channel was read to its end, failed only where none was read at all."""
    duration_s = scores[0].recording.duration_s
    analysed_s = min(max(0.0, duration_s - one.grid.seconds(one.lost_samples)) for one in scores)
    named = [one.problem if len(scores) == 1 else f"channel {one.channel}: {one.problem}" for one in scores if one.problem]
    nothing_read = all(one.grid.seconds(one.lost_samples) >= duration_s for one in scores)
    status = Status.FAILED if nothing_read else Status.PARTIAL if named else Status.DONE
    return Outcome(status, analysed_s, n_detections, named[0] if named else "")
