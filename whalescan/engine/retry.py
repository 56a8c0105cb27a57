"""Work on a disk that may not answer, as those on a network do at times: it is waited for, and asked again."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from threading import Thread
from typing import TypeVar

from whalescan.core import DiskError

PATIENCE_S = 300.0
"""How long a disk is waited for."""
_PAUSE_S = 5.0
_T = TypeVar("_T")


def patiently(work: Callable[[], _T], where: str) -> _T:
    """The result of work on a disk.

    Args:
        work: reads and returns; may be done more than once.
        where: the file that it is about, for messages.

    Raises:
        DiskError: when there is none after `PATIENCE_S`.
    """
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return _answer(work, where)
        except DiskError:
            if time.monotonic() + _PAUSE_S > deadline_s:
                raise
        except OSError as error:
            if time.monotonic() + _PAUSE_S > deadline_s:
                raise DiskError(f"{where}: {error}; give the same command again when its disk answers") from error
        time.sleep(_PAUSE_S)


def _answer(work: Callable[[], _T], where: str) -> _T:
    """What a look at the disk gives, in a thread of its own: one that hangs cannot be stopped, only left behind."""
    result: Future[_T] = Future()

    def look() -> None:
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)

    Thread(target=copy_context().run, args=(look,), name="whalescan-disk", daemon=True).start()  # timed as if done here
    try:
        return result.result(PATIENCE_S)
    except TimeoutError as error:
        if result.done():
            raise  # the system's own, which is an answer
        raise DiskError(
            f"{where}: its disk did not answer for {PATIENCE_S / 60:g} minutes; give the same command again when it does"
        ) from error
