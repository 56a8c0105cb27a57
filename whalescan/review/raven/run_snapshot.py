"""State of a run, with which a reviewed table is compared: recordings, detections, validations, and earlier tables."""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TypeVar

from whalescan.core import Detection, RecordingResult
from whalescan.detections.validations import DetectionRecord, Validation
from whalescan.tables.selections import RecordingFinder, name_prefixes

_Box = TypeVar("_Box", bound=DetectionRecord)


@dataclass(frozen=True)
class RunSnapshot:
    """The content of a run's output folder, and what its tables may have shown.

    A run has one table for each recording, so everything that is needed for each table is looked up in a mapping.

    Attributes:
        results: the recordings, ordered by name.
        thresholds: the thresholds at which tables were written.
        detections_at: detections by ID, for each of these thresholds that is relevant, and for the lowest at which the
            tables show a detection.
        validations: the latest validation of each ID, in the order of the IDs' first rows.
        label: label of an added call whose row has none.
        first_write: for each recording, the number of the write of tables that first contained it; 0 where it is no key.
        classes: classes of the model; added calls with other labels do not count in hours and days.
        earlier_validations: validations of an ID before its latest, the oldest first.
    """

    results: Sequence[RecordingResult]
    thresholds: Sequence[float]
    detections_at: Mapping[float, Mapping[str, Detection]]
    validations: Mapping[str, Validation]
    label: str
    first_write: Mapping[str, int] = field(default_factory=dict)
    classes: Sequence[str] = ()
    earlier_validations: Mapping[str, Sequence[Validation]] = field(default_factory=dict)

    @cached_property
    def detections(self) -> Mapping[str, Detection]:
        """Detections at any of the thresholds, by ID."""
        return {
            detection_id: detection
            for detections in self.detections_at.values()
            for detection_id, detection in detections.items()
        }

    @cached_property
    def result_by_name(self) -> Mapping[str, RecordingResult]:
        """The readable recordings by name."""
        return {result.name: result for result in self.results if result.recording}

    @cached_property
    def recording_finder(self) -> RecordingFinder:
        """The readable recordings by the names that tables give them."""
        return RecordingFinder(result.recording for result in self.results if result.recording)

    @cached_property
    def detections_in(self) -> Mapping[str, Sequence[Detection]]:
        """Detections at any of the thresholds, by recording."""
        return _by_recording(self.detections.values())

    @cached_property
    def boxes_in(self) -> Mapping[str, Sequence[DetectionRecord]]:
        """All boxes of detections and validations, by recording."""
        return _by_recording((*self.detections.values(), *self.validations.values()))

    @cached_property
    def added_order(self) -> Mapping[str, int]:
        """The order in which people added calls, by detection ID."""
        added = (validation for validation in self.validations.values() if validation.score is None)
        return {validation.detection_id: i for i, validation in enumerate(added)}

    @cached_property
    def added_in(self) -> Mapping[str, Sequence[Validation]]:
        """Calls that people added, by recording."""
        return _by_recording(self.validations[detection_id] for detection_id in self.added_order)

    def as_of_write(self, write: int) -> RunSnapshot:
        """Return the run with the sequence of recordings of an earlier write; recordings added later come last."""
        results, offset_s = [], 0.0
        for result in sorted(self.results, key=lambda result: self.first_write.get(result.name, 0) > write):
            results.append(replace(result, sequence_offset_s=offset_s))
            offset_s += result.recording.duration_s if result.recording else 0.0
        return replace(self, results=results)

    def boxes(self, detection_id: str) -> tuple[DetectionRecord, ...]:
        """Return the detector's box and the latest validated box of a detection, as far as they exist."""
        boxes = self.detections.get(detection_id), self.validations.get(detection_id)
        return tuple(box for box in boxes if box is not None)

    def result_at(self, begin_s: float) -> RecordingResult | None:
        """Return the recording at a time from the start of the sequence of all recordings."""
        i = bisect.bisect_right(self._readable_results, begin_s, key=lambda result: result.sequence_offset_s) - 1
        result = self._readable_results[i] if i >= 0 else None
        if result is None or result.recording is None:
            return None
        return result if begin_s < result.sequence_offset_s + result.recording.duration_s else None

    def recording_of_table(self, path: Path, recordings: Set[str]) -> str | None:
        """Return the name of the recording for which a table was written, by the table's path.

        Args:
            path: path of the table.
            recordings: recordings of its rows.

        Returns:
            None where the rows lie in other recordings, or where the name is ambiguous.
        """
        prefixes = name_prefixes(path.name, ".whalescan.")
        candidates = [name for prefix in prefixes for name in self._names_by_last_part.get(prefix, ())]
        candidates = [name for name in candidates if recordings <= {name}]
        folder = f"{path.absolute().parent.as_posix()}/"
        in_same_folder = [name for name in candidates if folder.endswith(f"/{PurePosixPath(name).parent}/")]
        best = candidates if len(candidates) == 1 else in_same_folder
        return best[0] if len(best) == 1 else None

    @cached_property
    def _readable_results(self) -> Sequence[RecordingResult]:
        return [result for result in self.results if result.recording]

    @cached_property
    def _names_by_last_part(self) -> Mapping[str, Sequence[str]]:
        names: dict[str, list[str]] = defaultdict(list)
        for name in self.result_by_name:
            names[PurePosixPath(name).name].append(name)
        return names


def _by_recording(boxes: Iterable[_Box]) -> Mapping[str, Sequence[_Box]]:
    by_recording: dict[str, list[_Box]] = defaultdict(list)
    for box in boxes:
        by_recording[box.recording].append(box)
    return dict(by_recording)
