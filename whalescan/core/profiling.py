"""Where the time goes: stages of the work, timed where somebody wants to know.

    with stage("decode"):
        ...

costs nothing worth mentioning unless the block stands in ``watching()``, which collects the stages of its thread.
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
class Span:
    """A stage that took its time.

    Attributes:
        name: of the stage.
        begin_ns: nanoseconds since 1970.
        length_ns: how long it took.
        own_ns: the same without the stages that were part of it.
        process, thread: who did it, as the system counts them.
    """

    name: str
    begin_ns: int
    length_ns: int
    own_ns: int
    process: int
    thread: int


@dataclass(frozen=True, slots=True)
class _Watch:
    spans: list[Span]
    inside_ns: list[int] = field(default_factory=list)
    """For each stage that has begun and not ended, how long the stages in it have taken so far."""


_watch: ContextVar[_Watch | None] = ContextVar("_watch", default=None)


@contextmanager
def watching(is_wanted: bool = True) -> Iterator[list[Span]]:
    """Collect the stages of this thread until the block ends, if that is wanted; the list fills as they end."""
    watch = _Watch([])
    token = _watch.set(watch if is_wanted else None)
    try:
        yield watch.spans
    finally:
        _watch.reset(token)


def is_watched() -> bool:
    """Whether somebody wants to know; what runs beside Python, as a GPU does, must then be waited for."""
    return _watch.get() is not None


@contextmanager
def stage(name: str) -> Iterator[None]:
    """A stage of the work."""
    watch = _watch.get()
    if watch is None:
        yield
        return
    watch.inside_ns.append(0)
    begin_ns = time.time_ns()
    try:
        yield
    finally:
        length_ns = time.time_ns() - begin_ns
        own_ns = length_ns - watch.inside_ns.pop()
        if watch.inside_ns:
            watch.inside_ns[-1] += length_ns
        watch.spans.append(Span(name, begin_ns, length_ns, own_ns, os.getpid(), threading.get_native_id()))
