"""The folder of a run: one writer at a time, and its log."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from whalescan.core import OutputError, UsageError, plain_text
from whalescan.core.files import remove_partials, write_atomically

logger = logging.getLogger("whalescan")

LOCK, HOLDER = ".lock", ".lock-holder"
LOG = "run.log"


@contextmanager
def exclusive_access(output: Path) -> Iterator[str | None]:
    """Lock a folder of results for this process. The system releases the lock when the process ends, also when it is killed.

    Yields:
        A warning where the file system does not support locking; else None.

    Raises:
        UsageError: when another process has locked the folder.
    """
    lock = FileLock(output / LOCK, timeout=0, is_singleton=True)
    if lock.is_locked:  # by this process: importing reviews runs `detect`
        yield None
        return
    try:
        lock.acquire()
    except Timeout as error:
        raise UsageError(
            f"{output}: {_read_holder(output)} is writing there; wait until it is done, or choose another folder"
        ) from error
    except (OSError, NotImplementedError) as error:
        yield (
            f"{output}: the file system does not support locking ({error}); "
            "make sure that no other process writes to this folder"
        )
        return
    try:
        remove_partials(output)
        now = datetime.now(UTC)
        holder = f"whalescan, process {os.getpid()} on {platform.node()} since {now:%Y-%m-%d %H:%M} UTC,"
        write_atomically(output / HOLDER, holder.encode())
        yield None
    finally:
        with contextlib.suppress(OSError):  # the file is only read while the folder is locked
            (output / HOLDER).unlink(missing_ok=True)
        lock.release()


def _read_holder(output: Path) -> str:
    try:
        return (output / HOLDER).read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        return "another whalescan"


class RunLog:
    """``run.log``, to which every run in a folder adds lines: a UTC time, a word, and what the word is about.

    Raises:
        OutputError: when it cannot be written.
    """

    def __init__(self, output: Path) -> None:
        path = output / LOG
        try:
            self._file = path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be written ({error.strerror or error}); choose another output folder"
            ) from error

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.write("stopped", str(error) or type(error).__name__)
        with contextlib.suppress(OSError):  # a full disk is reported when results are written
            self._file.close()

    def write(self, word: str, about: str) -> None:
        """Add a line. Errors are ignored: a full disk is reported when results are written."""
        with contextlib.suppress(OSError):
            self._file.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}  {word:<8}  {plain_text(about)}\n")

    def note(self, text: str) -> None:
        """Add a note, and log it as information."""
        logger.info("%s", text)
        self.write("note", text)

    def warn(self, text: str) -> None:
        """Add a note, and log it as a warning."""
        logger.warning("%s", text)
        self.write("note", text)
