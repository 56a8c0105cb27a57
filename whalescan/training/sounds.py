"""The sound that a model is trained on, in memory at the model's rate: clips, annotated recordings, and backgrounds.

`datasets.read_training_sounds` reads it from folders, `split.split_sounds` divides it, and `sequences.SequenceSampler` makes
continuous sequences of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from whalescan.core import FloatArray, IntArray

CONTENT_HASH = re.compile(r"[0-9a-f]{16}")
"""Form of a group that is the hash of a clip's content, not a name."""
TIME_BLOCK = re.compile(r".* block (\d+) of \d+")
"""Form of a group that is a block of time, with its number from 1."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call whose place is known.

    Attributes:
        begin, end: in samples from the begin of its sound.
        low_hz, high_hz: frequency range; NaN where it is not known.
        class_index: position of its class among the classes.
    """

    begin: float
    end: float
    low_hz: float
    high_hz: float
    class_index: int

    @property
    def middle(self) -> float:
        """Midpoint between begin and end."""
        return (self.begin + self.end) / 2


@dataclass(frozen=True, slots=True)
class Clip:
    """A short sound that as a whole holds a call of a class, or none.

    Attributes:
        samples: float32 ``[window_samples]``, its background at level 1.
        targets: float32 ``[n_classes]``: 1 for a call, 0 for none; NaN in all places for a clip without a label.
        call: the strongest trace, where the clip holds a call and a trace stands out; else None.
        name: of the file.
        group: what the split keeps on one side: a day, a block of time, or the hash of the clip's content.
        order: a folder, and the clip's number in the order of time among the clips of that folder; None where not known.
    """

    samples: FloatArray = field(repr=False)
    targets: FloatArray = field(repr=False)
    call: Call | None
    name: str
    group: str
    order: tuple[str, int] | None = None

    @property
    def is_labelled(self) -> bool:
        """Whether it is known to hold a call or not."""
        return bool(np.isfinite(self.targets).all())

    @property
    def holds_call(self) -> bool:
        """Whether it is labelled as a call of some class."""
        return self.is_labelled and bool(self.targets.any())


@dataclass(frozen=True, slots=True)
class AnnotatedSound:
    """A part of a recording in which every call is annotated.

    Attributes:
        samples: float32 ``[n]``, its background at level 1.
        calls: its calls, in the order of their begins.
        uncertain: int64 ``[n_spans, 2]``: spans that are neither a call nor the absence of one.
        rejected: int64 ``[n_spans, 2]``: spans that somebody took for a call, and a reviewer rejected.
        name: of the recording.
        group: what the split keeps on one side: a day or a recording.
        begin_s: begin of the part in its recording.
        channel: 1-based.
    """

    samples: FloatArray = field(repr=False)
    calls: tuple[Call, ...]
    uncertain: IntArray = field(repr=False)
    rejected: IntArray = field(repr=False)
    name: str
    group: str
    begin_s: float
    channel: int = 1


@dataclass(frozen=True, slots=True)
class Background:
    """A part of a recording without a call.

    Attributes:
        samples: float32 ``[n]``, its background at level 1.
        weight: how often it is used, compared with another one of the same length: how often its path was given.
        name: of the recording.
        source: folder of the recording; a split holds out recordings of each source.
        begin_s: begin of the part in its recording.
    """

    samples: FloatArray = field(repr=False)
    weight: float
    name: str
    source: str = ""
    begin_s: float = 0.0


@dataclass(frozen=True, slots=True, repr=False)
class TrainingSounds:
    """All sound of one side of a split.

    Attributes:
        classes: names of the classes.
        rate_hz: sampling rate.
        clips: in the order of their tables.
        annotated: in the order of recordings, channels and times.
        backgrounds: in the order in which they were given.
    """

    classes: tuple[str, ...]
    rate_hz: int
    clips: tuple[Clip, ...] = ()
    annotated: tuple[AnnotatedSound, ...] = ()
    backgrounds: tuple[Background, ...] = ()

    def __repr__(self) -> str:
        parts = f"{len(self.clips)} clips, {len(self.annotated)} annotated parts, {len(self.backgrounds)} backgrounds"
        return f"TrainingSounds({', '.join(self.classes)}: {parts}, {self.n_calls} calls)"

    @property
    def calls_per_class(self) -> IntArray:
        """Return the numbers of calls of each class, clips with a call and annotated calls: int64 ``[n_classes]``."""
        n = np.zeros(len(self.classes), np.int64)
        for clip in self.clips:
            if clip.holds_call:
                n += clip.targets > 0
        for sound in self.annotated:
            for call in sound.calls:
                n[call.class_index] += 1
        return n

    @property
    def n_calls(self) -> int:
        """Return the number of calls of all classes."""
        return int(self.calls_per_class.sum())

    @property
    def holds_no_call_somewhere(self) -> bool:
        """Whether some of it is known to hold no call."""
        has_negatives = any(clip.is_labelled and not clip.holds_call for clip in self.clips)
        return has_negatives or bool(self.backgrounds) or any(map(_is_partly_silent, self.annotated))

    @property
    def annotated_s(self) -> float:
        """Return the length of the annotated parts in seconds."""
        return sum(len(sound.samples) for sound in self.annotated) / self.rate_hz

    @property
    def background_s(self) -> float:
        """Return the length of the backgrounds in seconds, each counted once."""
        return sum(len(sound.samples) for sound in self.backgrounds) / self.rate_hz


def _is_partly_silent(sound: AnnotatedSound) -> bool:
    """Return whether calls and uncertain spans leave some of a part."""
    spans: Sequence[tuple[float, float]] = [(call.begin, call.end) for call in sound.calls]
    is_taken = np.zeros(len(sound.samples), np.bool_)
    for begin, end in [*spans, *sound.uncertain.tolist()]:
        is_taken[max(int(begin), 0) : max(int(np.ceil(end)), 0)] = True
    return not is_taken.all()


@dataclass(frozen=True, slots=True)
class LabelledSpan:
    """A span of a training sequence whose columns together have a label.

    Attributes:
        begin, end: in samples; the columns whose middle lies within are pooled.
        targets: float32 ``[n_classes]``, 0 to 1; NaN where nobody knows, as for clips without a label.
        is_certain: False where a label may be wrong, as those of clips, and may be softened.
        call: place of the call, of which the box is learnt, in samples from the begin of the sequence; low_hz and high_hz
            are NaN where only its time is known. None where the place is not known, or there is no call.
    """

    begin: float
    end: float
    targets: FloatArray
    is_certain: bool
    call: Call | None


@dataclass(frozen=True, slots=True)
class TrainingSequence:
    """A continuous sound of a training batch.

    Attributes:
        samples: float32 ``[sequence_samples]``.
        spans: its labelled spans.
        without_calls: whether all columns outside ``may_hold_calls`` are known to hold no call.
        may_hold_calls: int64 ``[n, 2]``: spans with calls, and around calls, where nothing is said of single columns.
        kind: how it was made, one of `sequences.KINDS`; for statistics and tests.
    """

    samples: FloatArray
    spans: tuple[LabelledSpan, ...]
    without_calls: bool
    may_hold_calls: IntArray
    kind: str = ""
