"""Files that are absent, old, or whole; never half-written."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from whalescan.core import OutputError


def check_writable(folder: Path) -> None:
    """Make the folder and see that it takes a file, before hours of work.

    Raises:
        OutputError: where it does not.
    """
    probe = folder / ".whalescan-probe"
    write_whole(probe, b"")
    with contextlib.suppress(OSError):  # it was written, which is what was asked
        probe.unlink()


def write_whole(path: Path, content: bytes) -> None:
    """Write beside the target, then take its place.

    Raises:
        OutputError: where the folder is read-only, the disk is full, or the like; what was there before is untouched.
    """
    partial = path.with_name(f".{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # the first error is the one to report
            partial.unlink(missing_ok=True)
        held = isinstance(error, PermissionError) and path.exists()
        remedy = "close it in Raven or Excel" if held else "make room or choose another --output"
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); {remedy}, and give the same command again: "
            "what was finished is kept"
        ) from error


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """Comma, UTF-8, LF; quotes only where a cell needs them."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode(errors="backslashreplace")


def iso_utc(moment: datetime | None) -> str:
    """``YYYY-MM-DDTHH:MM:SS.mmmZ``, rounded to the nearest millisecond; blank where the moment is not known."""
    if moment is None:
        return ""
    rounded = moment.astimezone(UTC) + timedelta(microseconds=500)
    return f"{rounded:%Y-%m-%dT%H:%M:%S}.{rounded.microsecond // 1000:03d}Z"
