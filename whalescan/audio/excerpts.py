"""A few seconds of a recording to look at and to listen to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from whalescan.audio import reading
from whalescan.core import BoolArray, FloatArray, Recording, RecordingError


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Sound around a moment.

    Attributes:
        samples: float32 ``[n]`` at ``rate_hz``, full scale is 1.
        missing: bool ``[n]``, true where nothing could be read and in drop-outs.
        rate_hz: of the samples, not of the recording.
        begin_sample: at this rate, from the recording's first.
    """

    samples: FloatArray
    missing: BoolArray
    rate_hz: int
    begin_sample: int

    @property
    def begin_s(self) -> float:
        """From the recording's first sample."""
        return self.begin_sample / self.rate_hz

    @property
    def end_s(self) -> float:
        """Likewise; past the recording's own end where the sound goes on in the next one."""
        return (self.begin_sample + len(self.samples)) / self.rate_hz


def excerpt(
    recording: Recording, channel: int, begin_s: float, end_s: float, rate_hz: int, after: Sequence[Recording] = ()
) -> Excerpt:
    """What there is of a stretch of time; shorter where the recording begins later or ends earlier.

    Args:
        recording: where the stretch lies; ``begin_s`` and ``end_s`` count from its first sample.
        channel: counted from 1.
        begin_s: may lie before the first sample.
        end_s: may lie behind the last.
        rate_hz: that of the samples that come back.
        after: recordings in which the sound goes on.

    Raises:
        RecordingError: when the file is not there any more, or nothing of the stretch lies in it.
    """
    there = sum(one.n_samples(rate_hz) for one in (recording, *after))
    begin = max(math.floor(begin_s * rate_hz), 0)
    end = min(math.ceil(end_s * rate_hz), there)
    if not begin < end or begin >= recording.n_samples(rate_hz):
        raise RecordingError(f"{recording.path}: holds nothing from {begin_s:.1f} to {end_s:.1f} s; has it been replaced?")
    sound = reading.read(recording, channel, rate_hz, begin, end, after)
    return Excerpt(sound.samples, sound.lost | sound.silent, rate_hz, begin)
