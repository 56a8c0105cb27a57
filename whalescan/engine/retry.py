"""Retries of file access on disks that do not answer for some time, as network disks do."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from threading import Thread
from typing import TypeVar

from whalescan.core import DiskError, RecordingError

DISK_TIMEOUT_S = 300.0
"""How long to wait for a disk."""
RETRY_INTERVAL_S = 5.0
_T = TypeVar("_T")


def retry_on_disk_error(operation: Callable[[], _T], path: str) -> _T:
    """Return the result of an operation on a disk, which is repeated while the disk does not answer.

    Args:
        operation: reads and returns; may be called several times.
        path: the file, for messages.

    Raises:
        DiskError: when there is no result after `DISK_TIMEOUT_S`.
    """
    deadline_s = time.monotonic() + DISK_TIMEOUT_S
    while True:
        try:
            return _run_with_timeout(operation, path)
        except DiskError:
            if time.monotonic() + RETRY_INTERVAL_S > deadline_s:
                raise
        except RecordingError:
            raise  # the file's own fault
        except OSError as error:
            if time.monotonic() + RETRY_INTERVAL_S > deadline_s:
                raise DiskError(f"{path}: {error}; run the same command again when its disk answers") from error
        time.sleep(RETRY_INTERVAL_S)


def _run_with_timeout(operation: Callable[[], _T], path: str) -> _T:
    """Return the result of an operation that runs in a thread of its own.

    A thread that hangs in the file system cannot be stopped. It is a daemon, and left behind.
    """
    result: Future[_T] = Future()

    def run() -> None:
        try:
            result.set_result(operation())
        except BaseException as error:
            result.set_exception(error)

    context = copy_context()  # its stages are timed as those of this thread
    Thread(target=context.run, args=(run,), name="whalescan-disk", daemon=True).start()
    try:
        return result.result(DISK_TIMEOUT_S)
    except TimeoutError as error:
        if result.done():
            raise  # the operation itself raised it
        raise DiskError(
            f"{path}: its disk did not answer for {DISK_TIMEOUT_S / 60:g} minutes; run the same command again when it does"
        ) from error
