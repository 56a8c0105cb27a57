"""Check of the workers before a run starts: their version, and whether they see the recordings, the model and a device."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from distributed import KilledWorker, wait

from whalescan._version import __version__
from whalescan.core import ModelError, UsageError
from whalescan.engine.cluster import WorkerPool
from whalescan.engine.dispatch import Notifier
from whalescan.engine.process_settings import InterruptHandler
from whalescan.engine.worker import ScoringTask, find_same_model

_MAX_FOLDERS = 500
"""Folders of which each worker looks for the first recording."""
_CHECK_TIMEOUT_S = 120.0
_FETCH_TIMEOUT_S = 10.0
_POLL_S = 1.0
_NOTICE_INTERVAL_S = 600.0


def check_workers(
    workers: WorkerPool,
    paths: Sequence[Path],
    task: ScoringTask,
    interrupt_handler: InterruptHandler,
    notify: Notifier,
) -> None:
    """Wait for the first workers, and check that the connected ones can score.

    Args:
        workers: the workers; threads of this process need no check.
        paths: the recordings.
        task: what is to be scored.
        interrupt_handler: knows whether the user wants the run to end.
        notify: takes what the user should know.

    Raises:
        UsageError: with each worker that cannot score, and why.
    """
    if workers.shares_memory:
        return
    addresses = _wait_for_workers(workers, interrupt_handler, notify)
    client = workers.client
    samples = _first_of_each_folder(paths)
    checks = {
        address: client.submit(_find_problems, samples, task, __version__, workers=[address], pure=False)
        for address in addresses
    }
    deadline_s = time.monotonic() + _CHECK_TIMEOUT_S
    while not interrupt_handler.is_requested and time.monotonic() < deadline_s:
        connected = workers.addresses()  # a worker that died meanwhile is not waited for
        running = [check for address, check in checks.items() if address in connected and not check.done()]
        if not running:
            break
        with contextlib.suppress(TimeoutError):
            wait(running, timeout=_POLL_S)
    problems = []
    for address, check in checks.items():
        if check.status == "finished":
            with contextlib.suppress(TimeoutError):  # the worker died before its result was fetched
                problems += [f"worker {address}: {problem}" for problem in check.result(timeout=_FETCH_TIMEOUT_S)]
        elif check.status == "error":
            error = check.exception()
            if not isinstance(error, KilledWorker):  # a worker that died needs no remedy
                problems.append(f"worker {address}: {error}")
        elif address in workers.addresses() and not interrupt_handler.is_requested:
            problems.append(f"worker {address}: no answer for {_CHECK_TIMEOUT_S:.0f} s; check the disks that it needs")
    client.cancel([check for check in checks.values() if not check.done()])
    if problems:
        raise UsageError(f"{workers.location}: some workers cannot score\n  " + "\n  ".join(problems))


def _wait_for_workers(workers: WorkerPool, interrupt_handler: InterruptHandler, notify: Notifier) -> list[str]:
    """Return the addresses of the connected workers, as soon as there is one."""
    last_notice_s = -_NOTICE_INTERVAL_S
    while not (connected := workers.addresses()) and not interrupt_handler.is_requested:
        if time.monotonic() - last_notice_s >= _NOTICE_INTERVAL_S:
            last_notice_s = time.monotonic()
            notify(f"{workers.location}: no workers yet; waiting for the first")
        time.sleep(_POLL_S)
    return connected


def _first_of_each_folder(paths: Iterable[Path]) -> list[str]:
    first: dict[Path, str] = {}
    for path in paths:
        first.setdefault(path.parent, str(path))
    return list(first.values())[:_MAX_FOLDERS]


def _find_problems(paths: Sequence[str], task: ScoringTask, version: str) -> list[str]:
    """Return what keeps a worker from scoring; runs on the worker."""
    if version != __version__:
        return [f"has whalescan {__version__}, the run {version}; install the same version there"]
    problems = []
    invisible = [path for path in paths if not Path(path).is_file()]
    if invisible:
        more = f" (and {len(invisible) - 1} more)" if len(invisible) > 1 else ""
        problems.append(f"does not see {invisible[0]}{more}; mount the disk there, at the same path")
    try:
        find_same_model(str(task.model.path), task.model.sha256)
    except ModelError as error:
        problems.append(str(error))
    return problems + _device_problems(task.device)


def _device_problems(name: str) -> list[str]:
    if name in ("auto", "cpu"):
        return []
    from whalescan.detector.device import choose_device  # torch takes seconds to import

    try:
        choose_device(name)
    except UsageError as error:
        return [str(error)]
    return []
