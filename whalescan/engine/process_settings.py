"""Settings of a whole process: signal handlers, memory allocator, cuBLAS. Only processes that whalescan owns change them.

A process is whalescan's own where the command line runs in it (`WorkOptions.owns_process`) or where it is a worker process.
A Python program that calls `whalescan.scan` keeps its own settings.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import sys
import threading
from functools import cache
from types import FrameType, TracebackType
from typing import Any

from distributed import Worker

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt, from glibc's malloc.h."""
_TRIM_BYTES, _MMAP_BYTES = 2**30, 2**25


class InterruptHandler:
    """Handler of SIGINT (Ctrl-C) and of SIGTERM, which ends batch jobs, while the context is entered.

    The first signal requests a clean end, the second raises KeyboardInterrupt at once.

    Args:
        is_enabled: False leaves the signal handlers of the process alone; no end is ever requested then.

    Attributes:
        is_requested: whether the run is to end as soon as its running chunks are stored.
        is_forced: whether it is to end at once. Python drops an exception that a signal raises within a finaliser, so that
            whoever waits checks this, too.
    """

    def __init__(self, is_enabled: bool = True) -> None:
        self.is_requested = self.is_forced = False
        self._is_enabled = is_enabled
        self._previous_handlers: dict[int, Any] = {}

    def __enter__(self) -> InterruptHandler:
        if self._is_enabled and threading.current_thread() is threading.main_thread():  # only there Python allows it
            self._previous_handlers = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.is_requested:
            self.is_forced = True
            raise KeyboardInterrupt
        self.is_requested = True


def process_id() -> str:
    """Return a name of this process that no other process has, also on other machines."""
    return f"{socket.gethostname()}:{os.getpid()}"


@cache
def configure_for_scoring() -> None:
    """Make scoring fast and repeatable in this process, for as long as it lives; before torch's first use of a GPU."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else products may differ where several streams work
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next batch.

    Dask's nannies configure it to return every block to the system; allocating the pages again took a third of a worker's
    time.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
            libc.mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)


def dask_setup(_worker: Worker) -> None:
    """Prepare a worker process of this machine; Dask calls this when it preloads the module.

    Ctrl-C reaches every process of a terminal, but it is the client that ends the workers and writes to the terminal.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
