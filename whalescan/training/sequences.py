"""Continuous sequences of a training batch, made of clips, annotated recordings and backgrounds.

A network that runs along recordings is trained on sound of some length:

``joined``
    Clips one after the other, labelled as a whole: a call is somewhere in a clip, and nothing is said of single columns.
``planted``
    Clips, and calls cut from clips and recordings at their trace, added to background at a known signal-to-noise ratio and
    at known times; calls also in pairs. Away from them, every column is known to hold no call.
``annotated``
    Parts of annotated recordings: every column is known, except near calls and in uncertain selections.
``background``
    Recordings without calls, such as song of other whales, ships and fish.
``noise``
    Noise of some colour, so that a detector stays silent where there is nothing.

Noise of some colour is added to a share of all sequences, and to a share of the joined clips. Levels are those of the
backgrounds, so that the signal-to-noise ratio of a planted call is its own, changed by the difference that is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from whalescan.core import FloatArray, IntArray, UsageError
from whalescan.detector.model_spec import FrontEndOptions
from whalescan.training.levels import background_level
from whalescan.training.noise import NoiseBank
from whalescan.training.sequence_options import SequenceOptions
from whalescan.training.sequence_sources import (
    AnnotatedSource,
    BackgroundSource,
    ClipSource,
    any_of,
    choose,
    cut_calls,
    mirrored,
    moved,
    targets_in,
    widened,
)
from whalescan.training.sounds import Call, Clip, LabelledSpan, TrainingSequence, TrainingSounds

__all__ = ["KINDS", "SequenceOptions", "SequenceSampler"]

KINDS = ("annotated", "joined", "planted", "background", "noise")
_FADE_S = 0.1
"""Clips that are joined go over into one another for this long."""
_CLIP_FADE_S, _CALL_FADE_S = 0.2, 0.15
"""Planted clips and calls fade in and out for this long."""
_CLIP_EDGE_S = 0.05
"""The columns of a clip begin and end so far from its ends."""
_LATEST_FIRST_S = 1.5
"""The first clip of a sequence, or the first place for a planted call, begins at most so late."""
_PLANTED_CALL_SHARE = 0.6
"""Share of the planted clips that hold a call."""
_CUT_S = 0.3, 0.25
"""Sound before and behind its trace that is cut with a call."""
_FIRST_MIDDLE_S = 0.75
"""Middle of a planted call, from the place for it."""
_AFTER_CLIP_S, _AFTER_CALL_S, _NOTHING_S = (2.0, 5.0), (0.0, 3.0), (1.0, 4.0)
"""Times from a place to the next: behind the begin of a clip, behind a call, and where nothing is planted."""
_CALL_SPAN_S = 0.3, 0.4
"""Columns so far before and behind the middle of an annotated call together hold it."""
_AROUND_CALL_S = 0.15, 0.2
"""Before and behind a call, nothing is said of single columns, nor nearer to its middle than `_AROUND_MIDDLE_S`."""
_AROUND_MIDDLE_S = 0.35
_AROUND_CLIP_S = 0.3
_WHITE_CLIP_SHARE = 0.6
"""Share of white noise in the noise that is added to single clips."""


class _Draft(NamedTuple):
    """A sequence while it is made; the lists are appended to."""

    samples: FloatArray
    spans: list[LabelledSpan]
    may_hold_calls: list[tuple[float, float]]


class SequenceSampler:
    """Sampler of training sequences, for which a pass over all data has no meaning.

    Args:
        sounds: what sequences are made of.
        front_end: frames in which levels are measured.
        options: what they are made of, and how.
        seed: random seed.

    Raises:
        UsageError: when there is no sound at all.
    """

    def __init__(self, sounds: TrainingSounds, front_end: FrontEndOptions, options: SequenceOptions, seed: int) -> None:
        self.options, self.front_end, self.seed = options, front_end, seed
        self.rate_hz, self.n_classes = sounds.rate_hz, len(sounds.classes)
        self.n_samples = round(options.length_s * sounds.rate_hz)
        self._clips = ClipSource(sounds.clips, self.n_classes)
        self._backgrounds = BackgroundSource(sounds.backgrounds, self.n_samples, self.rate_hz)
        self._annotated = AnnotatedSource(sounds.annotated, self.n_classes, self.n_samples)
        if self._clips.is_empty and self._backgrounds.is_empty and self._annotated.is_empty:
            raise UsageError("no sound to train on: give clips, annotated recordings or recordings without calls")
        self._cuts = cut_calls(sounds, options.trace_margin_s, self.n_samples / 2)
        self._kind_edges = np.cumsum(self._kind_shares())
        window = front_end.window_samples
        random = np.random.default_rng([seed, 0])
        n_noise = self.n_samples + 2 * window
        self._noises = NoiseBank(n_noise, options.white_share, options.steepest, front_end, random)
        rise = np.sin(np.linspace(0, np.pi / 2, self._samples(_FADE_S))) ** 2
        self._rise: FloatArray = rise.astype(np.float32)
        self._clip_ramp = _ramp(window, self._samples(_CLIP_FADE_S))

    def sample(self, step: int, n: int) -> list[TrainingSequence]:
        """Return the sequences of a step; the same seed, step, number and sounds give the same sequences.

        Args:
            step: of the training, from 0.
            n: number of sequences.
        """
        return [self._sequence(np.random.default_rng([self.seed, 1 + step, i])) for i in range(n)]

    def _sequence(self, random: np.random.Generator) -> TrainingSequence:
        kind = KINDS[choose(self._kind_edges, random)]
        draft = {
            "annotated": self._annotated_part,
            "joined": self._joined,
            "planted": self._planted,
            "background": self._background,
            "noise": self._noise_alone,
        }[kind](random)
        samples = draft.samples
        if random.random() < self.options.noisy_share:
            gain = _gain(self.options.noise_db, random) * self._level(samples)
            samples = samples + np.float32(gain) * self._noises.cut(self.n_samples, random)
        spans = np.array(draft.may_hold_calls, np.float64).reshape(-1, 2)
        spans = np.stack([np.floor(spans[:, 0]), np.ceil(spans[:, 1])], axis=1)
        may_hold: IntArray = spans.clip(0, self.n_samples).astype(np.int64)
        return TrainingSequence(samples, tuple(draft.spans), kind != "joined", may_hold, kind)

    def _kind_shares(self) -> list[float]:
        """Return the shares of `KINDS`; those for which there is no sound fall to the most similar ones."""
        o = self.options
        annotated = 0.0 if self._annotated.is_empty else o.annotated_share
        joined, planted, background = ((1 - annotated) * s for s in (o.joined_share, o.planted_share, o.background_share))
        noise = 1 - annotated - joined - planted - background
        if not self._cuts and not self._clips.has_labels:
            background, planted = background + planted, 0.0
        if self._clips.is_empty:
            if self._annotated.is_empty:
                background, joined = background + joined, 0.0
            else:
                annotated, joined = annotated + joined, 0.0
        if self._backgrounds.is_empty:
            if self._clips.is_empty:
                annotated, background = annotated + background, 0.0
            else:
                joined, background = joined + background, 0.0
        return [annotated, joined, planted, background, max(noise, 0.0)]

    def _joined(self, random: np.random.Generator) -> _Draft:
        """Return clips one after the other, the first behind some noise."""
        o = self.options
        samples = np.zeros(self.n_samples, np.float32)
        spans: list[LabelledSpan] = []
        fade, edge = len(self._rise), self._samples(_CLIP_EDGE_S)
        end = int(random.integers(0, self._samples(_LATEST_FIRST_S)))
        samples[:end] = self._noises.cut(end, random)
        while end < self.n_samples:
            clip = self._clips.draw(o.clip_call_share, o.clip_unlabelled_share, random)
            sound = self._noisy(clip.samples, random).copy()
            begin = end
            if end >= fade:
                begin = end - fade
                sound[:fade] *= self._rise
                samples[begin:end] *= self._rise[::-1]
            end = begin + len(sound)
            samples[begin:end] += sound[: self.n_samples - begin]
            if end - edge <= self.n_samples:
                spans.append(self._clip_span(clip, begin))
        return _Draft(samples, spans, [])

    def _planted(self, random: np.random.Generator) -> _Draft:
        """Return background with clips and with calls in it."""
        o = self.options
        draft = self._bed(random)
        taken = tuple(draft.may_hold_calls)
        at = int(random.integers(0, self._samples(_LATEST_FIRST_S)))
        while at + len(self._clip_ramp) <= self.n_samples:
            choice = random.random()
            if choice < o.plant_clip_share and self._clips.has_labels:
                self._plant_clip(draft, at, taken, random)
                at += self._samples(random.uniform(*_AFTER_CLIP_S))
            elif o.plant_clip_share <= choice < o.plant_clip_share + o.plant_call_share and self._cuts:
                middle = at + self._samples(_FIRST_MIDDLE_S)
                for _ in range(2 if random.random() < o.pair_share else 1):
                    self._plant_call(draft, middle, taken, random)
                    middle += self._samples(random.uniform(*o.pair_apart_s))
                at = middle + self._samples(random.uniform(*_AFTER_CALL_S))
            else:
                at += self._samples(random.uniform(*_NOTHING_S))
        return draft

    def _plant_clip(self, draft: _Draft, at: int, taken: Sequence[tuple[float, float]], random: np.random.Generator) -> None:
        """Add a clip at a sample; nothing where a call may be already."""
        clip = self._clips.draw_labelled(_PLANTED_CALL_SHARE, random)
        gain, end = _gain(self.options.plant_clip_db, random), at + len(clip.samples)
        margin = self._samples(_AROUND_CLIP_S)
        if _overlaps(taken, at - margin, end + margin):
            return
        draft.samples[at:end] += np.float32(gain) * self._clip_ramp * clip.samples
        draft.spans.append(self._clip_span(clip, at))
        draft.may_hold_calls.append((at - margin, end + margin))

    def _plant_call(
        self, draft: _Draft, middle: int, taken: Sequence[tuple[float, float]], random: np.random.Generator
    ) -> None:
        """Add a call with the middle of its trace at a sample; nothing where it does not fit, or a call may be already."""
        cut = any_of(any_of(self._cuts, random), random)
        gain = _gain(self.options.plant_call_db, random)
        first = max(0, int(cut.trace.begin) - self._samples(_CUT_S[0]))
        sound = cut.samples[first : int(cut.trace.end) + self._samples(_CUT_S[1])]
        at = int(middle - (cut.trace.middle - first))
        call = moved(cut.call, at - first)
        around = self._around(call, middle)
        if at < 0 or at + len(sound) > self.n_samples or _overlaps(taken, *around):
            return
        draft.samples[at : at + len(sound)] += np.float32(gain) * _ramp(len(sound), self._samples(_CALL_FADE_S)) * sound
        half = self._samples(_CALL_SPAN_S[0])
        draft.spans.append(LabelledSpan(middle - half, middle + half, cut.targets, True, call))
        draft.may_hold_calls.append(around)

    def _annotated_part(self, random: np.random.Generator) -> _Draft:
        """Return a part of an annotated recording."""
        sound, begin = self._annotated.draw(random)
        samples = mirrored(sound.samples[begin : begin + self.n_samples], self.n_samples)[: self.n_samples]
        draft = _Draft(samples / np.float32(self._level(samples)), [], [])
        before, behind = map(self._samples, _CALL_SPAN_S)
        end = begin + self.n_samples
        calls = [moved(call, -begin) for call in sound.calls if call.end >= begin and call.begin <= end]
        for call in calls:
            draft.may_hold_calls.append(self._around(call, call.middle))
            if call.begin >= 0 and call.end <= self.n_samples:
                span = call.middle - before, call.middle + behind
                draft.spans.append(LabelledSpan(*span, targets_in(calls, *span, self.n_classes), True, call))
        margins = np.array([-self._samples(_AROUND_CALL_S[0]), self._samples(_AROUND_CALL_S[1])])
        uncertain = sound.uncertain - begin + margins
        draft.may_hold_calls.extend((b, e) for b, e in uncertain.tolist() if e > 0 and b < self.n_samples)
        if len(sound.samples) - begin < self.n_samples:  # the mirrored end, where calls are mirrored, too
            draft.may_hold_calls.append((len(sound.samples) - begin, self.n_samples))
        return draft

    def _background(self, random: np.random.Generator) -> _Draft:
        samples = self._backgrounds.draw(random)
        return _Draft(samples / np.float32(self._level(samples)), [], [])

    def _noise_alone(self, random: np.random.Generator) -> _Draft:
        return _Draft(self._noises.cut(self.n_samples, random), [], [])

    def _bed(self, random: np.random.Generator) -> _Draft:
        """Return what clips and calls are planted into: background, annotated sound where there is none, or noise."""
        if random.random() < self.options.noise_bed_share or (self._backgrounds.is_empty and self._annotated.is_empty):
            return self._noise_alone(random)
        return self._annotated_part(random) if self._backgrounds.is_empty else self._background(random)

    def _clip_span(self, clip: Clip, begin: int) -> LabelledSpan:
        """Return the span of a clip that begins at a sample."""
        edge, end = self._samples(_CLIP_EDGE_S), begin + len(clip.samples)
        call = clip.call and moved(widened(clip.call, self.options.trace_margin_s, self.rate_hz), begin)
        return LabelledSpan(begin + edge, end - edge, clip.targets, False, call)

    def _around(self, call: Call, middle: float) -> tuple[float, float]:
        """Return the span around a call in which nothing is said of single columns."""
        before, behind = map(self._samples, _AROUND_CALL_S)
        reach = self._samples(_AROUND_MIDDLE_S)
        return min(call.begin, middle - reach) - before, max(call.end, middle + reach) + behind

    def _noisy(self, samples: FloatArray, random: np.random.Generator) -> FloatArray:
        """Return a clip, or with a share of them the clip under noise, its background at level 1 again."""
        if random.random() >= self.options.noisy_clip_share:
            return samples
        gain = random.uniform(*self.options.clip_noise) * np.abs(samples).max()
        is_white, n = random.random() < _WHITE_CLIP_SHARE, len(samples)
        noise: FloatArray = random.standard_normal(n, np.float32) if is_white else self._noises.cut(n, random)
        noisy: FloatArray = samples + np.float32(gain / noise.std()) * noise
        noisy /= np.float32(self._level(noisy))
        return noisy

    def _level(self, samples: FloatArray) -> float:
        return background_level(samples, self.front_end)

    def _samples(self, seconds: float) -> int:
        return round(seconds * self.rate_hz)


def _gain(range_db: tuple[float, float], random: np.random.Generator) -> float:
    return float(10 ** (random.uniform(*range_db) / 20))


def _ramp(n: int, fade: int) -> FloatArray:
    """Return ``[n]`` that rises from 0 to 1, and falls to 0 again."""
    position = np.arange(n)
    return np.minimum(np.minimum(position, position[::-1]) / fade, 1).astype(np.float32)


def _overlaps(spans: Sequence[tuple[float, float]], begin: float, end: float) -> bool:
    return any(b < end and begin < e for b, e in spans)
