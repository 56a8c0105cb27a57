"""Detections, recordings, hours and days as sequences that give pandas frames, with the columns of the CSVs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, overload

from whalescan.core import Detection, Recording, RecordingResult
from whalescan.detections.presence import PresenceBin
from whalescan.tables.csvs import BIN_COLUMNS, DETECTION_COLUMNS, FILE_COLUMNS

if TYPE_CHECKING:
    from typing import Self

    import pandas as pd

_Row = TypeVar("_Row")
_NS = 10**9


class _Rows(tuple[_Row, ...]):
    """A tuple whose parts are tables, too, and whose text is short."""

    __slots__ = ()

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> _Row: ...
    @overload
    def __getitem__(self, index: slice, /) -> Self: ...
    def __getitem__(self, index: Any, /) -> Any:
        """Return a row, or the table of a part."""
        found = super().__getitem__(index)
        return self._like(found) if isinstance(index, slice) else found

    def _like(self, rows: Iterable[_Row]) -> Self:
        return type(self)(rows)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({_counted(len(self), 'row')})"


class DetectionTable(_Rows[Detection]):
    """Detections, recording by recording, in the order of their times.

    Args:
        detections: the rows.
        recordings: their recordings by name, which tell paths and UTC times.
    """

    _recordings: Mapping[str, Recording]

    def __new__(cls, detections: Iterable[Detection] = (), recordings: Mapping[str, Recording] | None = None) -> Self:
        """Return the table."""
        table = super().__new__(cls, detections)
        table._recordings = recordings or {}
        return table

    def __getnewargs__(self) -> tuple[tuple[Detection, ...], Mapping[str, Recording]]:
        return tuple(self), self._recordings

    @classmethod
    def of(cls, results: Iterable[RecordingResult]) -> Self:
        """Return the detections of recordings."""
        results = list(results)
        recordings = {result.name: result.recording for result in results if result.recording is not None}
        return cls((detection for result in results for detection in result.detections), recordings)

    def _like(self, rows: Iterable[Detection]) -> Self:
        return type(self)(rows, self._recordings)

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each detection with the columns of ``detections.csv`` and ``path``; times are UTC."""
        frame = _frame(("path", *DETECTION_COLUMNS), (self._row(detection) for detection in self))
        return _typed(frame, times=("start_utc", "end_utc"), integers=("channel",))

    def _row(self, detection: Detection) -> dict[str, Any]:
        recording = self._recordings.get(detection.recording)
        start_utc = recording.utc(detection.begin_s) if recording else None
        length = timedelta(seconds=detection.end_s - detection.begin_s)
        own = {name: getattr(detection, name) for name in DETECTION_COLUMNS if not name.endswith("_utc")}
        return own | {
            "path": str(recording.path) if recording else None,
            "start_utc": start_utc,
            "end_utc": start_utc + length if start_utc else None,
        }

    def __repr__(self) -> str:
        reviews = Counter(detection.review for detection in self)
        named = ", ".join(f"{n} {review}" for review, n in sorted(reviews.items()))
        return f"DetectionTable({_counted(len(self), 'detection')}{': ' if named else ''}{named})"


class FileTable(_Rows[RecordingResult]):
    """Recordings with their outcomes, in the order of their names."""

    __slots__ = ()

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each recording with the columns of ``files.csv``; times are UTC."""
        frame = _frame(FILE_COLUMNS, map(_file_row, self))
        return _typed(frame, times=("start_utc",), integers=("sample_rate_hz", "channels", "n_detections", "size_bytes"))

    def __repr__(self) -> str:
        statuses = Counter(str(result.outcome.status) for result in self)
        named = ", ".join(f"{n} {status}" for status, n in sorted(statuses.items()))
        return f"FileTable({_counted(len(self), 'recording')}{': ' if named else ''}{named})"


class BinTable(_Rows[PresenceBin]):
    """Hours or days with their effort, detections and presence, in the order of time."""

    __slots__ = ()

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each hour or day with the columns of ``hourly.csv``; times are UTC."""
        frame = _frame(BIN_COLUMNS, map(_bin_row, self))
        return _typed(frame, times=("bin_start_utc", "bin_end_utc"), integers=("n_detections", "n_validated"))

    def __repr__(self) -> str:
        results = Counter(str(one.result) for one in self)
        named = ", ".join(f"{n} {result}" for result, n in sorted(results.items()))
        return f"BinTable({_counted(len(self), 'bin')}{': ' if named else ''}{named})"


def _file_row(result: RecordingResult) -> dict[str, Any]:
    recording, outcome = result.recording, result.outcome
    return {
        "recording": result.name,
        "path": str(result.path),
        "start_utc": result.start_utc,
        "time_source": result.time_source,
        "sample_rate_hz": recording.rate_hz if recording else None,
        "channels": recording.channels if recording else None,
        "duration_s": recording.duration_s if recording else None,
        "analysed_s": outcome.analysed_s,
        "n_detections": outcome.n_detections,
        "status": str(outcome.status),
        "problem": outcome.problem,
        "sequence_offset_s": result.sequence_offset_s,
        "size_bytes": result.size_bytes,
    }


def _bin_row(one: PresenceBin) -> dict[str, Any]:
    return {
        "bin_start_utc": one.begin_ns,
        "bin_end_utc": one.end_ns,
        "recorded_s": one.recorded_ns / _NS,
        "analysed_s": one.analysed_ns / _NS,
        "n_detections": one.n_detections,
        "n_validated": one.n_validated,
        "detections_per_hour": one.detections_per_hour,
        "max_score": one.max_score,
        "result": str(one.result),
    }


def _frame(columns: Iterable[str], rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415 - takes time to import

    return pd.DataFrame(list(rows), columns=list(columns))


_NUMBERS = frozenset(
    {"begin_s", "end_s", "low_hz", "high_hz", "score", "duration_s", "analysed_s", "sequence_offset_s", "recorded_s"}
    | {"detections_per_hour", "max_score"}
)


def _typed(frame: pd.DataFrame, times: Iterable[str], integers: Iterable[str]) -> pd.DataFrame:
    """Return a frame whose columns have the same types with or without rows and missing values."""
    import pandas as pd  # noqa: PLC0415 - takes time to import

    typed = {name: pd.to_datetime(frame[name], utc=True).astype("datetime64[ns, UTC]") for name in times}
    typed |= {name: frame[name].astype("Int64") for name in integers}
    typed |= {name: frame[name].astype("float64") for name in frame.columns if name in _NUMBERS}
    text = pd.Series(["text"]).dtype  # object in pandas 2
    typed |= {name: frame[name].astype(text) for name in frame.columns if name not in typed}
    return frame.assign(**typed)


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
