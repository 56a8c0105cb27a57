"""One writer at a time in a folder of results."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from whalescan.core import UsageError
from whalescan.core.files import remove_partials, write_whole

LOCK, HOLDER = ".lock", ".lock-holder"


@contextmanager
def alone(output: Path) -> Iterator[str]:
    """Hold a folder of results for this process; the system lets go of it when the process ends, however it ends.

    Yields:
        A warning where the disk knows no locks; else nothing.

    Raises:
        UsageError: when another process holds it.
    """
    lock = FileLock(output / LOCK, timeout=0, is_singleton=True)
    if lock.is_locked:  # by ourselves: `import-review` writes tables as `detect` does
        yield ""
        return
    try:
        lock.acquire()
    except Timeout as error:
        raise UsageError(
            f"{output}: {_holder(output)} is writing there; wait until it is done, or choose another folder"
        ) from error
    except (OSError, NotImplementedError) as error:
        yield f"{output}: its disk knows no locks ({error}); see to it that nothing else writes there"
        return
    try:
        remove_partials(output)
        now = datetime.now(UTC)
        holder = f"whalescan, process {os.getpid()} on {platform.node()} since {now:%Y-%m-%d %H:%M} UTC,"
        write_whole(output / HOLDER, holder.encode())
        yield ""
    finally:
        with contextlib.suppress(OSError):  # it says who held it last, which does no harm
            (output / HOLDER).unlink(missing_ok=True)
        lock.release()


def _holder(output: Path) -> str:
    try:
        return (output / HOLDER).read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        return "another whalescan"
