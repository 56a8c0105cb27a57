"""Atomic file writing, and output folders that contain only files written by this package."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from whalescan.core import OutputError, UsageError

_PARTIAL = re.compile(r"\.\d+(-\d+)?\.partial")
_WRITTEN = ".whalescan-files"
"""Lists the files in a folder that this package wrote or was about to write."""


def check_writable(folder: Path) -> None:
    """Make the folder and check that files can be written there, before hours of work.

    Raises:
        OutputError: where they cannot.
    """
    probe = folder / ".whalescan-probe"
    write_atomically(probe, b"")
    with contextlib.suppress(OSError):  # the check succeeded: the file could be written
        probe.unlink()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file atomically: to a temporary file beside it, which then replaces it.

    File and folder are flushed to the disk, so that a power cut leaves the old file or the new one.

    Raises:
        OutputError: where the folder is read-only, the disk is full, or the like; what was there before is untouched.
    """
    partial = path.with_name(f".{os.getpid()}-{threading.get_native_id()}.partial")
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
    sync_folder(path.parent)


def remove_partials(folder: Path) -> None:
    """Remove the temporary files that killed processes left below a folder.

    Only for the process that holds the folder's lock: any other would remove files that are being written.
    """
    for path in folder.rglob(".*.partial"):
        if _PARTIAL.fullmatch(path.name):
            with contextlib.suppress(OSError):  # a leftover file only occupies disk space
                path.unlink()


def append_atomically(path: Path, kept_bytes: int, content: bytes) -> None:
    """Replace everything after the first ``kept_bytes`` bytes of a file with ``content``.

    Raises:
        OutputError: as `write_atomically` does; the first ``kept_bytes`` bytes are untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        with open(path, "x+b" if is_new else "r+b", buffering=0) as file:  # noqa: PTH123 - the mode varies
            try:
                file.truncate(kept_bytes)
                file.seek(kept_bytes)
                view = memoryview(content)
                while view:
                    view = view[file.write(view) :]
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):  # an incomplete record is recognised, and cut off later
                    file.truncate(kept_bytes)
                raise
    except OSError as error:
        raise _not_written(path, error) from error
    if is_new:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's list of files to the disk where the system can, so that a power cut does not undo a rename."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):  # some network file systems cannot sync, and do not need to
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _not_written(path: Path, error: OSError) -> OutputError:
    is_open_elsewhere = isinstance(error, PermissionError) and path.exists()
    remedy = "close it in Raven or Excel" if is_open_elsewhere else "make room or choose another output folder"
    return OutputError(
        f"{path}: cannot be written ({error.strerror or error}); {remedy}, and give the same command again: "
        "finished results are kept"
    )


# ------------------------------------------------------------------------------------------------ folders of our own


def claim_folder(folder: Path, names: Iterable[str]) -> None:
    """Make a folder, or take one that an earlier call made, before files are written there.

    Args:
        folder: where; it may hold what an earlier call listed, and files whose names begin with a point.
        names: paths below the folder, with ``/``, of all that will be written.

    Raises:
        UsageError: when it holds anything else.
        OutputError: when it cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file; choose a folder")
    written = _listed(folder)
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        is_hidden = any(part.startswith(".") for part in below.parts)
        if path.is_file() and not is_hidden and below.as_posix() not in written:
            raise UsageError(
                f"{folder}: holds {below}, which was not written by this command; choose an empty or a new folder"
            )
    _list(folder, written | set(names))


def keep_only(folder: Path, names: Iterable[str]) -> None:
    """Remove the files of a claimed folder that an earlier call wrote and this one did not.

    Raises:
        OutputError: when a file cannot be removed.
    """
    kept = set(names)
    for name in _listed(folder) - kept:
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"{folder / name}: an earlier file that cannot be removed ({error.strerror or error}); "
                "close the program that uses it, and give the same command again"
            ) from error
    _list(folder, kept)


def _listed(folder: Path) -> set[str]:
    path = folder / _WRITTEN
    return set(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else set()


def _list(folder: Path, names: Iterable[str]) -> None:
    write_atomically(folder / _WRITTEN, "".join(f"{name}\n" for name in sorted(names)).encode())


# ------------------------------------------------------------------------------------------------ contents


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """Return a CSV: comma, UTF-8, LF; quotes only where a cell needs them."""
    table = io.BytesIO()  # keeps the table in memory once, not as text and as bytes
    with io.TextIOWrapper(table, encoding="utf-8", errors="backslashreplace", newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        text.flush()
        return table.getvalue()
