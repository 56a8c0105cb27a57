"""Import of reviewed Raven tables: their reviews are stored as validations, and all tables are updated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from whalescan.core import Detection, RecordingResult, UsageError
from whalescan.core.text import list_some
from whalescan.detections.conflict_resolution import ConflictResolution, combine_successive, resolve_conflicts
from whalescan.detections.detection_rule import DetectionRule
from whalescan.detections.validations import UNREVIEWED, Validation, carried_over_validations, carry_over, same_box
from whalescan.review.raven.compare import ReviewedTable, TableComparison, compare_table, read_reviewed_table
from whalescan.review.raven.deletions import relevant_thresholds
from whalescan.review.raven.run_snapshot import RunSnapshot
from whalescan.scores import validation_store
from whalescan.scores.detect import detect_all
from whalescan.scores.score_file import read_recording, score_path
from whalescan.survey import provenance
from whalescan.survey.outputs import FILES, Survey
from whalescan.survey.provenance import RunRecord
from whalescan.survey.run import detect, settings_for_detect
from whalescan.survey.run_folder import exclusive_access
from whalescan.tables import manifest
from whalescan.tables.csvs import read_files_csv
from whalescan.tables.manifest import TableManifest
from whalescan.tables.selections import find_tables


@dataclass(frozen=True, slots=True)
class ImportCounts:
    """Numbers of detections that an import changed.

    Attributes:
        n_yes, n_no, n_maybe: detections that got this review in the Review column.
        n_deleted: detections whose rows were deleted; they count as ``no``.
        n_added: calls that people added.
        n_moved: detections whose boxes people changed.
        n_restored: detections that became unreviewed again, since their deleted rows exist again.
    """

    n_yes: int = 0
    n_no: int = 0
    n_maybe: int = 0
    n_deleted: int = 0
    n_added: int = 0
    n_moved: int = 0
    n_restored: int = 0


@dataclass(frozen=True, slots=True)
class ReviewImport:
    """Result of an import.

    Attributes:
        n_tables: number of tables that were read.
        counts: what they changed.
        problems: rows that cannot be used, and contradictions between tables, each with the place and the remedy.
        notes: what was left unchanged although a table could be read otherwise.
        survey: the results of the run with all validations.
    """

    n_tables: int
    counts: ImportCounts
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    survey: Survey

    @property
    def exit_code(self) -> int:
        """Exit code of the command: 0 without problems, else 3."""
        return 3 if self.problems else 0


def import_review(
    output: str | Path, tables: str | Path | Iterable[str | Path], reviewer: str | None = None
) -> ReviewImport:
    """Import Raven tables that analysts reviewed, and update all tables of a run.

    All tables are read before anything is stored, and their reviews are stored together or not at all. Earlier validations
    stay on record. Importing the same tables again adds nothing. Tables of the run that are unchanged, or were imported
    before, are not read. Of successive versions of a table, the last review of each detection counts.

    Args:
        output: output folder of a finished run.
        tables: a table, a folder of tables, or several of them.
        reviewer: name of the reviewer; None where it is not known.

    Raises:
        UsageError: when there are no tables.
        TableError: when the folder holds no finished run, or a table is invalid or of another run; nothing is stored.
        OutputError: when validations or tables cannot be written.
    """
    output = Path(output)
    paths = [Path(tables)] if isinstance(tables, str | Path) else [Path(path) for path in tables]
    run = provenance.read_run_record(output)
    _check_output_settings(output, run)
    with exclusive_access(output):
        return _import(output, run, paths, reviewer or "")


def _import(output: Path, run: RunRecord, given: Sequence[Path], reviewer: str) -> ReviewImport:
    table_manifest = manifest.read_manifest(output)
    found = _distinct(table for path in given for table in find_tables(path))
    if not found:
        raise UsageError("no Raven tables to import: give the tables that were reviewed, or a folder that contains them")
    new_tables = [table for table in found if not table_manifest.is_known(output, table)]
    digests = [manifest.table_digest(table) for table in new_tables]  # first, so that a table saved meanwhile stays new
    versions = [[read_reviewed_table(path) for path in group] for group in manifest.group_versions(new_tables)]
    stored = validation_store.read_validations(output)
    results = _results_with_scores(output, run, read_files_csv(output / FILES)) if versions else []
    detections = _detections_by_id(output, results, run.rule) if stored else {}
    lost = carried_over_validations(detections.values(), stored, run.rule.separation_s)
    carried_over = {detection_id: carry_over(detections[detection_id], lost[detection_id]) for detection_id in lost}
    current = stored | {detection_id: heir for detection_id, (heir, _) in carried_over.items()}  # as tables show them
    comparisons: list[TableComparison] = []
    resolution = ConflictResolution((), ())
    if versions:
        snapshot = _snapshot(output, run, table_manifest, current, versions, detections)
        comparisons, resolution = _compare_all(versions, snapshot)
    made_explicit = [row for validation in resolution.new for row in carried_over.get(validation.detection_id, ())]
    now_utc = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    overruled, new = (
        [replace(validation, validated_utc=now_utc, reviewer=reviewer) for validation in validations]
        for validations in (resolution.overruled, resolution.new)
    )
    validation_store.append_validations(output, [*made_explicit, *overruled, *new])
    manifest.record_imported(output, digests)
    survey = detect(output)
    problems = [problem for comparison in comparisons for problem in comparison.problems]
    notes = [note for comparison in comparisons for note in comparison.notes]
    return ReviewImport(
        n_tables=len(new_tables),
        counts=_count_changes(new, current),
        problems=(*problems, *resolution.conflicts),
        notes=(*_note_on_known_tables(given, new_tables), *notes),
        survey=survey,
    )


def _check_output_settings(output: Path, run: RunRecord) -> None:
    """Check, before anything is stored, that all tables can be written."""
    try:
        settings_for_detect(run)
    except UsageError as error:
        raise UsageError(f"{error}; or drop these reports: whalescan detect {output} --pars '' --makara ''") from error


def _distinct(paths: Iterable[Path]) -> list[Path]:
    """Return each path once, in the given order."""
    return list({path.absolute(): path for path in paths}.values())


def _note_on_known_tables(given: Iterable[Path], new_tables: Sequence[Path]) -> Iterator[str]:
    """Yield a note about the tables that were given by name and contain nothing new."""
    new = {path.absolute() for path in new_tables}
    known = [path for path in _distinct(given) if not path.is_dir() and path.absolute() not in new]
    if known:
        names = list_some([str(path) for path in known], limit=1)
        yield (
            f"skipped tables that are unchanged or were imported before: {names}. To import one again, copy it to another "
            "folder"
        )


def _compare_all(
    versions: Sequence[Sequence[ReviewedTable]], snapshot: RunSnapshot
) -> tuple[list[TableComparison], ConflictResolution]:
    """Compare each table with the run, and resolve conflicts between the tables."""
    comparisons = [[compare_table(table, snapshot) for table in group] for group in versions]
    entries = (
        entry
        for group in comparisons
        for entry in combine_successive([comparison.entries for comparison in group], snapshot.validations)
    )
    return [comparison for group in comparisons for comparison in group], resolve_conflicts(entries, snapshot.validations)


def _count_changes(new: Iterable[Validation], before: Mapping[str, Validation]) -> ImportCounts:
    """Count the new validations; a detection that was moved and reviewed counts as both."""
    counts: Counter[str] = Counter()
    for validation in new:
        old = before.get(validation.detection_id)
        if validation.origin == "deleted":
            counts["n_deleted"] += 1
            continue
        if old is None and validation.origin == "added":
            counts["n_added"] += 1
            continue
        if validation.origin in ("added", "moved") and (old is None or not same_box(validation, old)):
            counts["n_moved"] += 1
        if validation.review != (old.review if old else UNREVIEWED):
            counts["n_restored" if validation.review == UNREVIEWED else f"n_{validation.review}"] += 1
    return ImportCounts(**counts)


def _snapshot(
    output: Path,
    run: RunRecord,
    table_manifest: TableManifest,
    validations: Mapping[str, Validation],
    versions: Iterable[Iterable[ReviewedTable]],
    detections: dict[str, Detection],
) -> RunSnapshot:
    """Return the state of the run, as far as it is relevant for some tables.

    Args:
        output: output folder.
        run: how the run was made.
        table_manifest: the tables that it wrote.
        validations: the latest validation of each ID, including carried-over ones.
        versions: the reviewed tables.
        detections: detections by the present rule, where they were made already.
    """
    listed = read_files_csv(output / FILES)
    thresholds = table_manifest.thresholds or (run.rule.threshold,)
    scores = [table.scores for group in versions for table in group]
    results = _results_with_scores(output, run, listed)
    return RunSnapshot(
        listed,
        thresholds,
        {
            threshold: detections
            if detections and threshold == run.rule.threshold
            else _detections_by_id(output, results, replace(run.rule, threshold=threshold))
            for threshold in sorted(relevant_thresholds(scores, thresholds, validations))
        },
        validations,
        run.classes[0],
        table_manifest.recordings,
        run.classes,
        validation_store.read_earlier_validations(output),
    )


def _results_with_scores(output: Path, run: RunRecord, listed: Iterable[RecordingResult]) -> list[RecordingResult]:
    """Return the recordings that have stored scores."""
    results = []
    for result in listed:
        channels = run.scores.channels(result.recording.channels) if result.recording else ()
        if channels and (stored := score_path(output / "scores", result.name, channels[0])).exists():
            results.append(RecordingResult.of(read_recording(stored), channels=channels))
    return results


def _detections_by_id(output: Path, results: Sequence[RecordingResult], rule: DetectionRule) -> dict[str, Detection]:
    """Return the detector's detections by ID, by a rule and without validations."""
    return {
        detection.detection_id: detection
        for result, _ in detect_all(output / "scores", results, rule)
        for detection in result.detections
    }
