"""Where the time of a run went: a trace in Chrome's format, and the share of each stage."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from whalescan.core import TableError
from whalescan.core.files import write_atomically
from whalescan.core.profiling import StageTiming

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
