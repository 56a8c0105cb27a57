"""What analysts did to Raven tables comes back: tables to judgements, and from there to every table anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from whalescan.calls.detections import DetectionRule
from whalescan.calls.judgements import Judgement, same_box, settle
from whalescan.core import Detection, UsageError
from whalescan.survey import provenance
from whalescan.survey.outputs import FILES, Survey
from whalescan.survey.provenance import Kept
from whalescan.survey.run import detect
from whalescan.tables import judgementfile, manifest
from whalescan.tables.csvs import FileRow, listed_files
from whalescan.tables.held import Held
from whalescan.tables.reviewed import ReviewedTable, compare, lowest_score, read_table
from whalescan.tables.scorefile import read_recording, score_path
from whalescan.tables.selections import find_tables
from whalescan.tables.stored import Scored, call_all


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of reviewed tables.

    Attributes:
        tables: how many were read.
        n_yes, n_no, n_maybe: calls that were given this verdict by ``Review``, and did not have it before.
        n_deleted: calls whose rows were deleted; they count as ``no``.
        n_added: calls that only people saw.
        n_moved: calls whose boxes people drew anew.
        n_taken_back: calls whose rows are there again, unreviewed, after they had been deleted.
        problems: rows that could not be taken, and contradictions, each with the place and the remedy.
        notes: what was left as it was although a table might be read otherwise.
        survey: what the run found, with all that was judged.
    """

    tables: int
    n_yes: int
    n_no: int
    n_maybe: int
    n_deleted: int
    n_added: int
    n_moved: int
    n_taken_back: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    survey: Survey

    @property
    def exit_code(self) -> int:
        """0 where everything was taken, else 3."""
        return 3 if self.problems else 0


def import_review(output: Path, tables: Sequence[Path], reviewer: str = "") -> Imported:
    """Take back Raven tables that people reviewed, and write every table anew.

    All tables are read before anything is stored, and what they say is stored at once or not at all. What was said before
    stays on record. The same tables, imported again, add nothing.

    Args:
        output: folder of a finished run.
        tables: the tables, or folders of them.
        reviewer: who reviewed them; may be empty.

    Raises:
        UsageError: when there are no tables.
        TableError: when the folder holds no finished run, or a table is none, or is of another folder; nothing is stored.
        OutputError: when the judgements or the tables cannot be written.
    """
    kept = provenance.read(output)
    read = [read_table(path) for path in _once(table for given in tables for table in find_tables(given))]
    if not read:
        raise UsageError("there are no Raven tables to import; give the tables that were reviewed, or a folder of them")
    held = _held(output, kept, read)
    compared = [compare(table, held) for table in read]
    settled = settle((claim for one in compared for claim in one.claims), held.judged)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    new = [replace(judgement, judged_utc=now, reviewer=reviewer) for judgement in settled.new]
    judgementfile.append(output, new)
    survey = detect(output)
    problems = (*(problem for one in compared for problem in one.problems), *settled.conflicts)
    notes = tuple(note for one in compared for note in one.notes)
    return Imported(len(read), *_counts(new, held.judged), problems, notes, survey)


def _once(paths: Iterable[Path]) -> list[Path]:
    """Each path once, in the order given."""
    return list({path.absolute(): path for path in paths}.values())


def _counts(new: Iterable[Judgement], before: Mapping[str, Judgement]) -> tuple[int, int, int, int, int, int, int]:
    """Yes, no, maybe, deleted, added, moved, taken back."""
    counted = dict.fromkeys(("yes", "no", "maybe", "deleted", "added", "moved", "unreviewed"), 0)
    for judgement in new:
        old = before.get(judgement.detection_id)
        if judgement.origin == "deleted":
            counted["deleted"] += 1
            continue
        if old is None and judgement.origin == "added":
            counted["added"] += 1
            continue
        if judgement.origin in ("added", "moved") and (old is None or not same_box(judgement, old)):
            counted["moved"] += 1
        if judgement.verdict != (old.verdict if old else "unreviewed"):
            counted[judgement.verdict] += 1
    yes, no, maybe, deleted, added, moved, taken_back = counted.values()
    return yes, no, maybe, deleted, added, moved, taken_back


def _held(output: Path, kept: Kept, tables: Sequence[ReviewedTable]) -> Held:
    """What the folder holds, down to the lowest score in the tables."""
    files = listed_files(output / FILES)
    thresholds = manifest.read(output).thresholds or (kept.rule.threshold,)
    lowest = min(*thresholds, lowest_score(tables) or 1.0, 1.0)
    entries = _entries(output, kept, files)
    calls = {t: known_calls(output, entries, replace(kept.rule, threshold=t)) for t in sorted({*thresholds, lowest})}
    return Held(files, thresholds, calls, judgementfile.read(output), kept.classes[0])


def _entries(output: Path, kept: Kept, files: Iterable[FileRow]) -> list[Scored]:
    """The recordings whose scores are there."""
    entries = []
    for row in files:
        channels = kept.scores.channels(row.recording.channels) if row.recording else ()
        if channels and (stored := score_path(output / "scores", row.name, channels[0])).exists():
            entries.append(Scored(read_recording(stored), channels))
    return entries


def known_calls(output: Path, entries: Sequence[Scored], rule: DetectionRule) -> dict[str, Detection]:
    """The calls that the detector finds by a rule, by id; what people said of them does not show."""
    return {call.detection_id: call for called in call_all(output / "scores", entries, rule) for call in called.calls}
