"""Sound on which a model is validated: the held-back side of a split as continuous sound with known calls, and as clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from whalescan.core import FloatArray, IntArray
from whalescan.core.text import count, hours
from whalescan.detector.model_spec import FrontEndOptions
from whalescan.training.levels import background_level
from whalescan.training.sounds import Background, Call, Clip, TrainingSounds

ENOUGH_CALLS = 20
ENOUGH_S = 1800.0
"""With fewer annotated calls, or less annotated sound, sound without calls is used, too, and calls are planted into it."""
_LONGEST_BACKGROUND_S = 3600.0
_LEAST_BACKGROUND_S = 20.0
_SNR_DB = (-3.0, 9.0)
_BETWEEN_S = (3.0, 12.0)
"""Range of the levels of planted calls, and of the times from one to the next."""
_FADE_SAMPLES = 400
_JOINT_SAMPLES = 200
"""Samples in which a planted call rises from nothing, and in which one clip passes into the next."""


@dataclass(frozen=True, slots=True, repr=False)
class ContinuousSound:
    """A sound whose calls are known.

    Attributes:
        samples: float32 ``[n]``.
        calls: its calls.
        uncertain: int64 ``[n_spans, 2]``: spans that are neither a call nor the absence of one.
        name: of the recording.
    """

    samples: FloatArray
    calls: tuple[Call, ...]
    uncertain: IntArray
    name: str


@dataclass(frozen=True, slots=True)
class ValidationSounds:
    """Sound on which a model is validated.

    Attributes:
        classes: names of the classes.
        rate_hz: sampling rate.
        continuous: sounds with known calls.
        clips: labelled clips.
        description: one line about the continuous sounds; empty where there are none.
    """

    classes: tuple[str, ...]
    rate_hz: int
    continuous: tuple[ContinuousSound, ...] = field(repr=False)
    clips: tuple[Clip, ...] = field(repr=False)
    description: str

    @property
    def duration_s(self) -> float:
        """Length of the continuous sounds."""
        return sum(len(sound.samples) for sound in self.continuous) / self.rate_hz

    @property
    def n_calls(self) -> int:
        """Number of calls in the continuous sounds."""
        return sum(len(sound.calls) for sound in self.continuous)

    def __bool__(self) -> bool:
        return bool(self.continuous or self.clips)


def validation_sounds(held_out: TrainingSounds, front_end: FrontEndOptions, seed: int) -> ValidationSounds:
    """Return the sound on which a model is validated.

    It is the annotated sound. Where that is little, sound without calls is added; where it has few calls, calls of clips are
    planted into that. Without either, the clips are joined. Where nothing has calls, only false positives can be counted.

    Args:
        held_out: the held-back side of a split.
        front_end: the front end, whose frames the level of a background is measured in.
        seed: random seed of the planted calls.
    """
    random = np.random.default_rng([seed, 1])
    clips = tuple(clip for clip in held_out.clips if clip.is_labelled)
    sounds = [ContinuousSound(one.samples, one.calls, one.uncertain, one.name) for one in held_out.annotated]
    n_calls = sum(len(sound.calls) for sound in sounds)
    parts = []
    if sounds:
        names = {sound.name for sound in sounds}
        parts.append(
            f"{hours(held_out.annotated_s)} of {count(len(names), 'held-back recording')} with "
            f"{count(n_calls, 'annotated call')}"
        )
    if n_calls < ENOUGH_CALLS or held_out.annotated_s < ENOUGH_S:
        planted = [clip for clip in clips if clip.holds_call] if n_calls < ENOUGH_CALLS else []
        added = _with_planted_calls(held_out.backgrounds, planted, front_end, random)
        if added:
            sounds += added
            parts.append(_planted_text(added, front_end.rate_hz))
    if not any(sound.calls for sound in sounds) and len({clip.holds_call for clip in clips}) == 2:
        sounds.append(_joined(clips, random))
        parts.append(
            f"{hours(len(sounds[-1].samples) / front_end.rate_hz)} of joined held-back clips, "
            f"{sum(clip.holds_call for clip in clips):,} of {len(clips):,} with a call"
        )
    return ValidationSounds(held_out.classes, front_end.rate_hz, tuple(sounds), clips, "; ".join(parts))


def _planted_text(added: list[ContinuousSound], rate_hz: int) -> str:
    n_planted = sum(len(sound.calls) for sound in added)
    text = f"{hours(sum(len(sound.samples) for sound in added) / rate_hz)} of held-back sound without calls"
    if not n_planted:
        return text
    low_db, high_db = _SNR_DB
    return f"{text}, into which {n_planted:,} calls of held-back clips were planted ({low_db:g} to {high_db:g} dB)"


def _with_planted_calls(
    backgrounds: tuple[Background, ...], clips: list[Clip], front_end: FrontEndOptions, random: np.random.Generator
) -> list[ContinuousSound]:
    """Return backgrounds, about an hour of them at most, with calls of clips. Of long ones, the begin is used."""
    rate_hz = front_end.rate_hz
    usable = [one for one in backgrounds if len(one.samples) >= _LEAST_BACKGROUND_S * rate_hz]
    longest = _longest_part([len(one.samples) for one in usable], round(_LONGEST_BACKGROUND_S * rate_hz))
    sounds = []
    for background in usable:
        samples = background.samples[:longest].copy()
        calls = _plant(samples, clips, front_end, random) if clips else ()
        sounds.append(ContinuousSound(samples, calls, np.zeros((0, 2), np.int64), background.name))
    return sounds


def _longest_part(lengths: Sequence[int], total: int) -> int:
    """Return the length that parts are cut to, so that all together are not longer than ``total``."""
    longest, remaining = 0, total
    for i, length in enumerate(sorted(lengths)):
        n_left = len(lengths) - i
        if length * n_left > remaining:
            return remaining // n_left
        longest, remaining = length, remaining - length
    return longest


def _plant(
    samples: FloatArray, clips: list[Clip], front_end: FrontEndOptions, random: np.random.Generator
) -> tuple[Call, ...]:
    """Add calls of clips to a sound, at a level above that of the sound around them."""
    calls = []
    begin = front_end.rate_hz
    length = len(clips[0].samples)
    ramp = np.minimum(np.minimum(np.arange(length), np.arange(length)[::-1]) / _FADE_SAMPLES, 1).astype(np.float32)
    while begin + length + front_end.rate_hz <= len(samples):
        clip = clips[int(random.integers(len(clips)))]
        around = samples[max(begin - length, 0) : begin + 2 * length]
        gain = 10 ** (random.uniform(*_SNR_DB) / 20) * background_level(around, front_end)
        samples[begin : begin + length] += np.float32(gain) * ramp * clip.samples
        calls.append(_call_in(clip, begin))
        begin += round(random.uniform(*_BETWEEN_S) * front_end.rate_hz)
    return tuple(calls)


def _joined(clips: tuple[Clip, ...], random: np.random.Generator) -> ContinuousSound:
    """Return clips one after the other, in random order."""
    length = len(clips[0].samples)
    step = length - _JOINT_SAMPLES
    samples = np.zeros(step * len(clips) + _JOINT_SAMPLES, np.float32)
    rise = np.sin(np.linspace(0, np.pi / 2, _JOINT_SAMPLES)).astype(np.float32) ** 2
    envelope = np.concatenate([rise, np.ones(length - 2 * _JOINT_SAMPLES, np.float32), rise[::-1]])
    calls = []
    for i, clip in enumerate(random.permutation(len(clips)).tolist()):
        samples[i * step : i * step + length] += envelope * clips[clip].samples
        if clips[clip].holds_call:
            calls.append(_call_in(clips[clip], i * step))
    return ContinuousSound(samples, tuple(calls), np.zeros((0, 2), np.int64), "clips")


def _call_in(clip: Clip, begin: int) -> Call:
    """Return the call of a clip that begins at a sample. It lies somewhere in the clip: its middle is taken."""
    return Call(begin, begin + len(clip.samples), float("nan"), float("nan"), int(np.argmax(clip.targets)))
