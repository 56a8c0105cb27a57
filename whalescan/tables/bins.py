"""What happens in time as CSVs: ``hourly.csv`` and ``daily.csv``, the same by local clocks, and ``gaps.csv``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import tzinfo

from whalescan.core import Gap, from_ns
from whalescan.core.files import csv_bytes
from whalescan.core.text import iso_utc
from whalescan.detections.presence import PresenceBin

BIN_COLUMNS = (
    "bin_start_utc",
    "bin_end_utc",
    "recorded_s",
    "analysed_s",
    "n_detections",
    "n_validated",
    "detections_per_hour",
    "max_score",
    "result",
)
LOCAL_BIN_COLUMNS = ("bin_start_local", "bin_end_local", *BIN_COLUMNS)
GAP_COLUMNS = ("start_utc", "end_utc", "seconds", "kind")


def bins_csv(bins: Iterable[PresenceBin]) -> bytes:
    """``hourly.csv`` or ``daily.csv``."""
    return csv_bytes(BIN_COLUMNS, map(_bin, bins))


def local_bins_csv(bins: Iterable[PresenceBin], zone: tzinfo) -> bytes:
    """The same, with what clocks in a zone show, as ISO 8601 with the offset: ``2026-03-08T00:00:00-05:00``."""
    return csv_bytes(LOCAL_BIN_COLUMNS, ((_local(b.begin_ns, zone), _local(b.end_ns, zone), *_bin(b)) for b in bins))


def gaps_csv(gaps: Iterable[Gap]) -> bytes:
    """``gaps.csv``, in the order of time."""
    in_order = sorted(gaps, key=lambda gap: (gap.begin_ns, gap.end_ns, gap.kind))
    return csv_bytes(
        GAP_COLUMNS,
        ((_utc(gap.begin_ns), _utc(gap.end_ns), _seconds(gap.end_ns - gap.begin_ns), gap.kind) for gap in in_order),
    )


def _bin(row: PresenceBin) -> tuple[str, ...]:
    return (
        _utc(row.begin_ns),
        _utc(row.end_ns),
        _seconds(row.recorded_ns),
        _seconds(row.analysed_ns),
        str(row.n_detections),
        str(row.n_validated),
        "" if row.detections_per_hour is None else f"{row.detections_per_hour:.3f}",
        "" if row.max_score is None else f"{row.max_score:.4f}",
        row.result,
    )


def _utc(moment_ns: int) -> str:
    return iso_utc(from_ns(moment_ns))


def _local(moment_ns: int, zone: tzinfo) -> str:
    return from_ns(moment_ns).astimezone(zone).isoformat()


def _seconds(length_ns: int) -> str:
    return f"{length_ns / 10**9:.6f}"
