"""What the desk hands out: a queue of calls, a card for each, and how far one has come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whalescan.detections.precision_estimates import Estimates
from whalescan.review.page.queues import Choice


@dataclass(frozen=True, slots=True)
class Queue:
    """Calls in the order in which a reviewer judges them; it stays as it is while they are judged."""

    numbers: npt.NDArray[np.int32]
    choice: Choice
    reviewer: str

    def place(self, number: int) -> int | None:
        """Where a call is in it, from 0; None where it is not."""
        places = np.flatnonzero(self.numbers == number)
        return int(places[0]) if len(places) else None


@dataclass(frozen=True, slots=True)
class Card:
    """What a reviewer sees of a call.

    Attributes:
        number: of the call in the run.
        position: in the queue, from 0; None where it is not in it.
        detection_id, recording, channel, begin_s, end_s, low_hz, high_hz, label: as in `Detection`.
        begin_utc: ISO 8601; empty where the recording has no clock.
        verdict: what the reviewer said; ``unreviewed`` where nothing.
        is_open: whether score and what others said show.
        score: None where it does not show, and for a call that only a person saw.
        others: names and verdicts of others; empty where they do not show.
    """

    number: int
    position: int | None
    detection_id: str
    recording: str
    channel: int
    begin_s: float
    end_s: float
    low_hz: float
    high_hz: float
    label: str
    begin_utc: str
    verdict: str
    is_open: bool
    score: float | None
    others: dict[str, str]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a reviewer has come in a queue.

    Attributes:
        n_calls: in the queue.
        counts: how many of them the reviewer gave each verdict; what is left is ``unreviewed``.
        estimates: from all that was judged of the sample, whoever judged it; None where it was not asked for, or must not
            be known yet.
    """

    n_calls: int
    counts: dict[str, int]
    estimates: Estimates | None
