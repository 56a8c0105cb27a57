"""Files that are absent, old, or whole; never half-written."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from whalescan.core import OutputError

_PARTIAL = re.compile(r"\.\d+\.partial")


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
        raise _not_written(path, error) from error


def remove_partials(folder: Path) -> None:
    """Remove what killed processes were writing below a folder; only for who holds its lock, and so writes there alone."""
    for path in folder.rglob(".*.partial"):
        if _PARTIAL.fullmatch(path.name):
            with contextlib.suppress(OSError):  # it takes room, and does no other harm
                path.unlink()


def append_whole(path: Path, end: int, content: bytes) -> None:
    """Write behind the first ``end`` bytes, which are whole; whatever stands behind them is cut off.

    Raises:
        OutputError: as `write_whole` does; the first ``end`` bytes are untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "r+b" if path.exists() else "x+b", buffering=0) as file:  # noqa: PTH123 - the mode varies
            try:
                file.truncate(end)
                file.seek(end)
                view = memoryview(content)
                while view:
                    view = view[file.write(view) :]
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):  # what stands there is known to be no record, and cut off later
                    file.truncate(end)
                raise
    except OSError as error:
        raise _not_written(path, error) from error


def sync_folder(folder: Path) -> None:
    """See to it that a power cut does not undo what was renamed in a folder, where the system has a way to."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _not_written(path: Path, error: OSError) -> OutputError:
    held = isinstance(error, PermissionError) and path.exists()
    remedy = "close it in Raven or Excel" if held else "make room or choose another --output"
    return OutputError(
        f"{path}: cannot be written ({error.strerror or error}); {remedy}, and give the same command again: "
        "what was finished is kept"
    )


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """Comma, UTF-8, LF; quotes only where a cell needs them."""
    table = io.BytesIO()  # held once, and not as text and bytes
    with io.TextIOWrapper(table, encoding="utf-8", errors="backslashreplace", newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        text.flush()
        return table.getvalue()


def iso_utc(moment: datetime | None) -> str:
    """``YYYY-MM-DDTHH:MM:SS.mmmZ``, rounded to the nearest millisecond; blank where the moment is not known."""
    if moment is None:
        return ""
    rounded = moment.astimezone(UTC) + timedelta(microseconds=500)
    return f"{rounded:%Y-%m-%dT%H:%M:%S}.{rounded.microsecond // 1000:03d}Z"
