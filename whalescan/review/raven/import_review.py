"""What analysts did to Raven tables comes back: tables to judgements, and from there to every table anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from whalescan.core import Detection, UsageError
from whalescan.detections.conflict_resolution import Settled, in_turn, settle
from whalescan.detections.detection_rule import DetectionRule
from whalescan.detections.validations import UNREVIEWED, Judgement, heirs, pass_on, same_box
from whalescan.review.raven.compare import Compared, compare
from whalescan.review.raven.deletions import thresholds_that_matter
from whalescan.review.raven.reviewed_table import ReviewedTable, read_table
from whalescan.review.raven.run_snapshot import Held
from whalescan.scores import validation_store
from whalescan.scores.score_file import read_recording, score_path
from whalescan.scores.sequences import Scored, call_all
from whalescan.survey import provenance
from whalescan.survey.lock import alone
from whalescan.survey.outputs import FILES, Survey
from whalescan.survey.provenance import Kept
from whalescan.survey.run import detect, views_again
from whalescan.tables import manifest
from whalescan.tables.csvs import FileRow, listed_files
from whalescan.tables.manifest import Manifest
from whalescan.tables.selections import find_tables


@dataclass(frozen=True, slots=True)
class Counts:
    """What was new in tables, in calls.

    Attributes:
        n_yes, n_no, n_maybe: calls that were given this verdict by ``Review``, and did not have it before.
        n_deleted: calls whose rows were deleted; they count as ``no``.
        n_added: calls that only people saw.
        n_moved: calls whose boxes people drew anew.
        n_taken_back: calls whose rows are there again, unreviewed, after they had been deleted.
    """

    n_yes: int = 0
    n_no: int = 0
    n_maybe: int = 0
    n_deleted: int = 0
    n_added: int = 0
    n_moved: int = 0
    n_taken_back: int = 0


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of reviewed tables.

    Attributes:
        tables: how many were read.
        counts: what was new in them.
        problems: rows that could not be taken, and contradictions, each with the place and the remedy.
        notes: what was left as it was although a table might be read otherwise.
        survey: what the run found, with all that was judged.
    """

    tables: int
    counts: Counts
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
    stays on record. The same tables, imported again, add nothing. Tables of the folder that are as they were written, or
    were imported before, are not read: what was said since then holds. Of tables that were set aside one after the other,
    the last to say anything of a call counts.

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
    _check_views(output, kept)
    with alone(output):
        return _take_back(output, kept, tables, reviewer)


def _take_back(output: Path, kept: Kept, tables: Sequence[Path], reviewer: str) -> Imported:
    known = manifest.read(output)
    found = _once(table for given in tables for table in find_tables(given))
    if not found:
        raise UsageError("there are no Raven tables to import; give the tables that were reviewed, or a folder of them")
    news = [table for table in found if not known.is_taken(output, table)]
    digests = [manifest.digest_of(table) for table in news]  # before they are read: what is saved meanwhile is news again
    read = [[read_table(path) for path in turn] for turn in manifest.in_turn(news)]
    judged = validation_store.read(output)
    entries = _entries(output, kept, listed_files(output / FILES)) if read else []
    calls = known_calls(output, entries, kept.rule) if judged else {}
    lost = heirs(calls.values(), judged, kept.rule.separation_s)
    passing = {identity: pass_on(calls[identity], lost[identity]) for identity in lost}
    shown = judged | {identity: own for identity, (own, _) in passing.items()}  # as tables do
    compared, settled = _settled(read, _held(output, kept, known, shown, read, calls)) if read else ([], Settled((), ()))
    passed_on = [row for one in settled.new for row in passing.get(one.detection_id, ())]
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    refused, new = (
        [replace(judgement, judged_utc=now, reviewer=reviewer) for judgement in ones]
        for ones in (settled.refused, settled.new)
    )
    validation_store.append(output, [*passed_on, *refused, *new])
    manifest.note_imported(output, digests)
    survey = detect(output)
    problems = (*(problem for one in compared for problem in one.problems), *settled.conflicts)
    notes = (*_known_already(tables, news), *(note for one in compared for note in one.notes))
    return Imported(len(news), _counts(new, shown), problems, notes, survey)


def _check_views(output: Path, kept: Kept) -> None:
    """See that every table can follow, before anything is stored."""
    try:
        views_again(kept)
    except UsageError as error:
        raise UsageError(f"{error}; or go on without it: whalescan detect {output} --pars '' --makara ''") from error


def _once(paths: Iterable[Path]) -> list[Path]:
    """Each path once, in the order given."""
    return list({path.absolute(): path for path in paths}.values())


def _known_already(given: Iterable[Path], news: Sequence[Path]) -> list[str]:
    """A note of the tables that were named, not found in a folder, and that hold nothing new."""
    new = {path.absolute() for path in news}
    old = [path for path in _once(given) if not path.is_dir() and path.absolute() not in new]
    if not old:
        return []
    others = (
        f" and {len(old) - 1} more are as they were written, or were" if len(old) > 1 else " is as it was written, or was"
    )
    return [
        f"{old[0]}{others} imported before; nothing was taken there. To take a table once more, copy it to another folder"
    ]


def _settled(read: Sequence[Sequence[ReviewedTable]], held: Held) -> tuple[list[Compared], Settled]:
    """What each table says, and what they say together."""
    turns = [[compare(table, held) for table in turn] for turn in read]
    claims = (claim for turn in turns for claim in in_turn([one.claims for one in turn], held.judged))
    return [one for turn in turns for one in turn], settle(claims, held.judged)


def _counts(new: Iterable[Judgement], before: Mapping[str, Judgement]) -> Counts:
    """What was new; a call may be moved and judged at once."""
    counted: Counter[str] = Counter()
    for judgement in new:
        old = before.get(judgement.detection_id)
        if judgement.origin == "deleted":
            counted["n_deleted"] += 1
            continue
        if old is None and judgement.origin == "added":
            counted["n_added"] += 1
            continue
        if judgement.origin in ("added", "moved") and (old is None or not same_box(judgement, old)):
            counted["n_moved"] += 1
        if judgement.verdict != (old.verdict if old else UNREVIEWED):
            counted["n_taken_back" if judgement.verdict == UNREVIEWED else f"n_{judgement.verdict}"] += 1
    return Counts(**counted)


def _held(
    output: Path,
    kept: Kept,
    known: Manifest,
    judged: Mapping[str, Judgement],
    read: Iterable[Iterable[ReviewedTable]],
    found: dict[str, Detection],
) -> Held:
    """What the folder holds, as far as some tables may have shown it.

    Args:
        output: the folder.
        kept: how its run was made.
        known: its tables, as they were written.
        judged: the latest judgement of each id, and what calls inherited.
        read: the tables that come back.
        found: the calls by the present rule, where they are known already.
    """
    files = listed_files(output / FILES)
    thresholds = known.thresholds or (kept.rule.threshold,)
    matter = thresholds_that_matter([table.scores for turn in read for table in turn], thresholds, judged)
    entries = _entries(output, kept, files)
    calls = {
        t: found if found and t == kept.rule.threshold else known_calls(output, entries, replace(kept.rule, threshold=t))
        for t in sorted(matter)
    }
    earlier = validation_store.earlier(output)
    return Held(files, thresholds, calls, judged, kept.classes[0], known.recordings, kept.classes, earlier)


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
