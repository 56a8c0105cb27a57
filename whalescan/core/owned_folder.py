"""A folder in which nothing is but what we wrote, and so nothing that somebody misses when we write it anew."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from whalescan.core import OutputError, UsageError
from whalescan.core.files import write_whole

_WRITTEN = ".whalescan-files"
"""Lists what we wrote, or were about to write."""


def claim(folder: Path, names: Iterable[str]) -> None:
    """Make the folder, or take it back, before files are written there.

    Args:
        folder: where; it may hold what an earlier call of this listed, and files whose names begin with a point.
        names: paths below the folder, with ``/``, of all that will be written.

    Raises:
        UsageError: when it holds something else.
        OutputError: when it cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file; choose a folder")
    written = _written(folder)
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        is_hidden = any(part.startswith(".") for part in below.parts)
        if path.is_file() and not is_hidden and below.as_posix() not in written:
            raise UsageError(
                f"{folder}: holds {below}, which was not written by this command; choose an empty or a new folder"
            )
    _note(folder, written | set(names))


def keep_only(folder: Path, names: Iterable[str]) -> None:
    """Remove what an earlier call wrote and this one did not.

    Raises:
        OutputError: when something cannot be removed.
    """
    kept = set(names)
    for name in _written(folder) - kept:
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"{folder / name}: an earlier one that cannot be removed ({error.strerror or error}); close what uses it, "
                "and give the same command again"
            ) from error
    _note(folder, kept)


def _written(folder: Path) -> set[str]:
    path = folder / _WRITTEN
    return set(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else set()


def _note(folder: Path, names: Iterable[str]) -> None:
    write_whole(folder / _WRITTEN, "".join(f"{name}\n" for name in sorted(names)).encode())
