"""Whether the workers can do the work, asked before a week of it: do they see the recordings, the model, a device?"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from distributed import KilledWorker, wait

from whalescan._version import __version__
from whalescan.core import ModelError, UsageError
from whalescan.engine.cluster import Workforce
from whalescan.engine.dispatch import Say
from whalescan.engine.signals import Interruption
from whalescan.engine.worker import Task, same_model

_LOOKS = 500
"""Recordings that each worker looks at, at most: the first of so many folders."""
_ANSWER_S = 120.0
_FETCH_S = 10.0
_TICK_S = 1.0
_SAID_EVERY_S = 600.0


def check_sight(workers: Workforce, paths: Sequence[Path], task: Task, interruption: Interruption, say: Say) -> None:
    """Wait for the first workers, and see that those who are there can do the work.

    Raises:
        UsageError: with every worker that cannot, and why.
    """
    if workers.shares_memory:
        return
    addresses = _wait_for_workers(workers, interruption, say)
    client = workers.client
    looks = _one_a_folder(paths)
    asked = {
        address: client.submit(_obstacles, looks, task, __version__, workers=[address], pure=False) for address in addresses
    }
    deadline_s = time.monotonic() + _ANSWER_S
    while not interruption.is_asked and time.monotonic() < deadline_s:
        there = workers.addresses()  # who has died meanwhile is not waited for
        if not (open_ones := [future for address, future in asked.items() if address in there and not future.done()]):
            break
        with contextlib.suppress(TimeoutError):
            wait(open_ones, timeout=_TICK_S)
    found = []
    for address, future in asked.items():
        if future.status == "finished":
            with contextlib.suppress(TimeoutError):  # the worker died with its answer
                found += [f"worker {address}: {obstacle}" for obstacle in future.result(timeout=_FETCH_S)]
        elif future.status == "error":
            error = future.exception()
            if not isinstance(error, KilledWorker):  # who has died meanwhile needs no remedy
                found.append(f"worker {address}: {error}")
        elif address in workers.addresses() and not interruption.is_asked:
            found.append(f"worker {address}: gave no answer in {_ANSWER_S:.0f} s; is a disk that it needs stalled?")
    client.cancel([future for future in asked.values() if not future.done()])
    if found:
        raise UsageError(f"{workers.where}: not every worker can do the work\n  " + "\n  ".join(found))


def _wait_for_workers(workers: Workforce, interruption: Interruption, say: Say) -> list[str]:
    """Addresses of those who are there, as soon as somebody is."""
    said_s = -_SAID_EVERY_S
    while not (there := workers.addresses()) and not interruption.is_asked:
        if time.monotonic() - said_s >= _SAID_EVERY_S:
            said_s = time.monotonic()
            say(f"{workers.where}: no workers yet; waiting for the first")
        time.sleep(_TICK_S)
    return there


def _one_a_folder(paths: Iterable[Path]) -> list[str]:
    first: dict[Path, str] = {}
    for path in paths:
        first.setdefault(path.parent, str(path))
    return list(first.values())[:_LOOKS]


def _obstacles(paths: Sequence[str], task: Task, version: str) -> list[str]:
    """What keeps a worker from its work; asked on the worker."""
    if version != __version__:
        return [f"has whalescan {__version__}, where the run has {version}; install the same there"]
    obstacles = []
    unseen = [path for path in paths if not Path(path).is_file()]
    if unseen:
        more = f" (and {len(unseen) - 1} more)" if len(unseen) > 1 else ""
        obstacles.append(f"does not see {unseen[0]}{more}; mount the disk there, at the same path")
    try:
        same_model(str(task.model.path), task.model.sha256)
    except ModelError as error:
        obstacles.append(str(error))
    return obstacles + _of_device(task.device)


def _of_device(name: str) -> list[str]:
    if name in ("auto", "cpu"):
        return []
    from whalescan.detector.device import choose_device  # torch takes seconds to import

    try:
        choose_device(name)
    except UsageError as error:
        return [str(error)]
    return []
