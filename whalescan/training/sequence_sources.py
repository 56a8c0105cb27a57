"""What training sequences are drawn from: clips, calls cut from them, annotated recordings, and backgrounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from whalescan.core import FloatArray
from whalescan.training.sounds import AnnotatedSound, Background, Call, Clip, TrainingSounds

_Value = TypeVar("_Value")
_LONGEST_USE_S = 360.0
"""A recording without calls is not used more often than one of this length."""
_NEAR_EVENTS = 0.6
"""Share of the annotated sequences that are placed at a call or a rejected selection, not anywhere."""


class CutCall(NamedTuple):
    """A call that can be cut from its sound.

    Attributes:
        samples: float32 ``[n]``, the sound around it.
        trace: where its trace is in the samples.
        call: where an annotator would say that it is.
        targets: float32 ``[n_classes]``.
    """

    samples: FloatArray
    trace: Call
    call: Call
    targets: FloatArray


class ClipSource:
    """Clips, with and without a call, and without a label.

    Args:
        clips: all clips.
        n_classes: number of classes; a call is drawn from each as often.
    """

    def __init__(self, clips: Sequence[Clip], n_classes: int) -> None:
        of_class = ([clip for clip in clips if clip.is_labelled and clip.targets[i] > 0] for i in range(n_classes))
        self._of_class = [chosen for chosen in of_class if chosen]
        self._without_call = [clip for clip in clips if clip.is_labelled and not clip.holds_call]
        self._unlabelled = [clip for clip in clips if not clip.is_labelled]
        self.is_empty = not clips
        self.has_labels = bool(self._of_class or self._without_call)

    def draw(self, call_share: float, unlabelled_share: float, random: np.random.Generator) -> Clip:
        """Return any clip: with a call, without a label, or without a call; of what there is."""
        choice = random.random()
        is_unlabelled = call_share <= choice < call_share + unlabelled_share
        if self._unlabelled and (is_unlabelled or not self.has_labels):
            return any_of(self._unlabelled, random)
        return self.draw_labelled(float(choice < call_share), random)

    def draw_labelled(self, call_share: float, random: np.random.Generator) -> Clip:
        """Return a clip with or without a call, of what there is; only where ``has_labels``."""
        wants_call = random.random() < call_share
        if self._of_class and (wants_call or not self._without_call):
            return any_of(any_of(self._of_class, random), random)
        return any_of(self._without_call, random)


class BackgroundSource:
    """Recordings without calls.

    Args:
        backgrounds: their parts; a short one is followed by its mirror image.
        n_samples: length of what is drawn.
        rate_hz: sampling rate.
    """

    def __init__(self, backgrounds: Sequence[Background], n_samples: int, rate_hz: int) -> None:
        self._sounds = [mirrored(sound.samples, n_samples) for sound in backgrounds]
        self._n_samples = n_samples
        length: dict[tuple[str, str], int] = {}
        for sound in backgrounds:
            key = sound.source, sound.name
            length[key] = length.get(key, 0) + len(sound.samples)
        shares = [
            sound.weight * len(sound.samples) * min(1.0, _LONGEST_USE_S * rate_hz / length[sound.source, sound.name])
            for sound in backgrounds
        ]
        self._edges = np.cumsum(shares)
        self.is_empty = not backgrounds

    def draw(self, random: np.random.Generator) -> FloatArray:
        """Return float32 ``[n_samples]``, a view."""
        sound = self._sounds[choose(self._edges, random)]
        begin = int(random.integers(0, len(sound) - self._n_samples + 1))
        return sound[begin : begin + self._n_samples]


class AnnotatedSource:
    """Parts of annotated recordings.

    Args:
        annotated: the parts.
        n_classes: number of classes; calls are drawn from each as often, and rejected selections as often as a class.
        n_samples: length of what is drawn.
    """

    def __init__(self, annotated: Sequence[AnnotatedSound], n_classes: int, n_samples: int) -> None:
        self._sounds, self._n_samples = annotated, n_samples
        self._edges = np.cumsum([len(sound.samples) for sound in annotated])
        events: list[list[tuple[int, float]]] = [[] for _ in range(n_classes + 1)]
        for i, sound in enumerate(annotated):
            for call in sound.calls:
                events[call.class_index].append((i, call.middle))
            events[-1] += [(i, (begin + end) / 2) for begin, end in sound.rejected.tolist()]
        self._events = [of_kind for of_kind in events if of_kind]
        self.is_empty = not annotated

    def draw(self, random: np.random.Generator) -> tuple[AnnotatedSound, int]:
        """Return a part and the first sample in it, often near a call or a rejected selection."""
        if self._events and random.random() < _NEAR_EVENTS:
            index, middle = any_of(any_of(self._events, random), random)
            sound = self._sounds[index]
            wanted = int(middle - random.uniform(0.1, 0.9) * self._n_samples)
        else:
            sound = self._sounds[choose(self._edges, random)]
            wanted = int(random.integers(0, max(len(sound.samples) - self._n_samples, 0) + 1))
        return sound, max(min(wanted, len(sound.samples) - self._n_samples), 0)


def cut_calls(sounds: TrainingSounds, margin_s: tuple[float, float], longest: float) -> list[list[CutCall]]:
    """Return the calls that can be cut, of each class that has any.

    Args:
        sounds: clips with a trace, and annotated recordings.
        margin_s: how much earlier than its trace a call begins, and how much later it ends.
        longest: calls with more samples are not cut.
    """
    cuts: list[list[CutCall]] = [[] for _ in sounds.classes]
    for clip in sounds.clips:
        if clip.call is not None:
            call = widened(clip.call, margin_s, sounds.rate_hz)
            cuts[clip.call.class_index].append(CutCall(clip.samples, clip.call, call, clip.targets))
    for sound in sounds.annotated:
        for call in sound.calls:
            if call.end - call.begin <= longest:
                first, last = max(0, int(call.begin) - sounds.rate_hz), int(call.end) + sounds.rate_hz
                own, targets = moved(call, -first), targets_in(sound.calls, call.begin, call.end, len(sounds.classes))
                cuts[call.class_index].append(CutCall(sound.samples[first:last], own, own, targets))
    return [of_class for of_class in cuts if of_class]


def widened(trace: Call, margin_s: tuple[float, float], rate_hz: int) -> Call:
    """Return a trace with the margins that annotators leave before and behind it."""
    return replace(trace, begin=trace.begin - margin_s[0] * rate_hz, end=trace.end + margin_s[1] * rate_hz)


def moved(call: Call, by: float) -> Call:
    """Return a call so many samples later."""
    return replace(call, begin=call.begin + by, end=call.end + by)


def targets_in(calls: Sequence[Call], begin: float, end: float, n_classes: int) -> FloatArray:
    """Return float32 ``[n_classes]``: 1 for the classes of the calls whose middle lies in a span."""
    targets = np.zeros(n_classes, np.float32)
    targets[[call.class_index for call in calls if begin <= call.middle <= end]] = 1
    return targets


def mirrored(samples: FloatArray, n: int) -> FloatArray:
    """Return a sound of at least ``n`` samples: a shorter one is followed by its mirror image, and so on."""
    if len(samples) >= n:
        return samples
    there_and_back = np.concatenate([samples, samples[::-1]])
    return np.tile(there_and_back, -(-n // len(there_and_back)))


def choose(edges: npt.NDArray[np.float64] | npt.NDArray[np.int64], random: np.random.Generator) -> int:
    """Return an index, each as often as its step of the cumulated edges is high."""
    return min(int(np.searchsorted(edges, random.random() * edges[-1], side="right")), len(edges) - 1)


def any_of(values: Sequence[_Value], random: np.random.Generator) -> _Value:
    """Return one of some values, each as often."""
    return values[int(random.integers(len(values)))]
