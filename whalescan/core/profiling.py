"""Time the stages of the work.

    with stage("decode"):
        ...

costs next to nothing outside of ``collect_stages()``, which collects the stages of its thread.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StageTiming:
    """The time that a stage took.

    Attributes:
        name: of the stage.
        begin_ns: nanoseconds since 1970.
        length_ns: how long it took.
        own_ns: the same without the stages inside it.
        process, thread: numbers that the system gave them.
    """

    name: str
    begin_ns: int
    length_ns: int
    own_ns: int
    process: int
    thread: int


@dataclass(frozen=True, slots=True)
class _Collector:
    timings: list[StageTiming]
    nested_ns: list[int] = field(default_factory=list)
    """For each stage that is running, the time that the stages inside it have taken."""


_collector: ContextVar[_Collector | None] = ContextVar("_collector", default=None)


@contextmanager
def collect_stages(is_enabled: bool = True) -> Iterator[list[StageTiming]]:
    """Collect the stages of this thread until the block ends, if enabled; the list grows as stages end."""
    collector = _Collector([])
    token = _collector.set(collector if is_enabled else None)
    try:
        yield collector.timings
    finally:
        _collector.reset(token)


def is_collecting() -> bool:
    """Return whether stages are collected; work that runs beside Python, as on a GPU, must then be waited for."""
    return _collector.get() is not None


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Time the block as a stage of the work."""
    collector = _collector.get()
    if collector is None:
        yield
        return
    collector.nested_ns.append(0)
    begin_ns = time.time_ns()
    try:
        yield
    finally:
        length_ns = time.time_ns() - begin_ns
        own_ns = length_ns - collector.nested_ns.pop()
        if collector.nested_ns:
            collector.nested_ns[-1] += length_ns
        collector.timings.append(StageTiming(name, begin_ns, length_ns, own_ns, os.getpid(), threading.get_native_id()))
