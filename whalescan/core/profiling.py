"""The time that each stage of the work takes, and a trace of all of them in Chrome's format.

    with stage("decode"):
        ...

costs next to nothing outside of ``collect_stages()``, which collects the stages of its thread.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from whalescan.core.errors import TableError
from whalescan.core.files import write_atomically


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
    """Return whether stages are collected; asynchronous work, as on a GPU, must then be synchronised."""
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


PROFILE = "profile.json"
MAX_SPANS = 200_000
"""Spans in the trace, as many as a browser can show; the shares count all."""


class Profile:
    """The stages of a run, of all its workers."""

    def __init__(self) -> None:
        self._own_ns: Counter[str] = Counter()
        self._spans: list[StageTiming] = []

    def add(self, spans: Iterable[StageTiming]) -> None:
        """Add finished stages."""
        for span in spans:
            self._own_ns[span.name] += span.own_ns
            if len(self._spans) < MAX_SPANS:
                self._spans.append(span)

    def write(self, output: Path) -> None:
        """Write ``profile.json``, which ``chrome://tracing`` and Perfetto open."""
        first_ns = min((span.begin_ns for span in self._spans), default=0)
        events = [
            {
                "name": span.name,
                "ph": "X",  # a complete event
                "ts": (span.begin_ns - first_ns) / 1e3,
                "dur": span.length_ns / 1e3,
                "pid": span.process,
                "tid": span.thread,
            }
            for span in self._spans
        ]
        stages = {name: own_ns / 1e9 for name, own_ns in self._own_ns.most_common()}
        document = {"traceEvents": events, "displayTimeUnit": "ms", "otherData": {"stages_s": stages}}
        write_atomically(output / PROFILE, (json.dumps(document) + "\n").encode())


def stage_shares(output: Path) -> str:
    """Return how long each stage of a run took, in all workers together, from its ``profile.json``.

    Raises:
        TableError: when there is none.
    """
    path = output / PROFILE
    try:
        stages: dict[str, float] = json.loads(path.read_bytes())["otherData"]["stages_s"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TableError(f"{path}: no profile there ({error}); run with `profile`") from error
    total_s = sum(stages.values())
    lines = [f"  {name:<14}{seconds:8.2f} s {seconds / total_s:6.1%}" for name, seconds in stages.items() if seconds]
    return "\n".join([f"{total_s:.1f} s of work by stage ({path}):", *lines])
