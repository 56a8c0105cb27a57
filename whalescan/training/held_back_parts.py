"""The last part of each recording as validation sound, where recordings and days are too few to hold out whole ones."""

from __future__ import annotations

import math
from dataclasses import replace

from whalescan.core import FloatArray, IntArray
from whalescan.training.sounds import AnnotatedSound, Background, Call, TrainingSounds
from whalescan.training.split import Split

_LEAST_GAP_S = 1.0
"""A recording is cut this far from a call, at least."""
_LEAST_PART_S = 4.0


def hold_back_parts(sounds: TrainingSounds, share: float) -> Split:
    """Divide annotated recordings and backgrounds in time: the last part of each is held back.

    A recording is cut between two calls, so that a share of its calls lies behind the cut; one without calls is cut at that
    share of its length. Clips stay on the training side. Where no call, or all calls, would be held back, nothing is.

    Args:
        sounds: all sounds.
        share: share of the calls and of the sound to hold back.
    """
    rate_hz = sounds.rate_hz
    training: list[AnnotatedSound] = []
    held_back: list[AnnotatedSound] = []
    for sound in sounds.annotated:
        cut = _cut(sound, share, rate_hz)
        if cut is None:
            training.append(sound)
            continue
        training.append(_part(sound, 0, cut, rate_hz))
        held_back.append(_part(sound, cut, len(sound.samples), rate_hz))
    parts = Split(
        replace(
            sounds,
            annotated=tuple(training),
            backgrounds=tuple(_part_of_background(one, share, rate_hz, is_held_back=False) for one in sounds.backgrounds),
        ),
        replace(
            sounds,
            clips=(),
            annotated=tuple(held_back),
            backgrounds=tuple(_part_of_background(one, share, rate_hz, is_held_back=True) for one in sounds.backgrounds),
        ),
    )
    if not parts.training.n_calls or not parts.held_out.n_calls:
        return Split(sounds, replace(sounds, clips=(), annotated=(), backgrounds=()))
    return parts


def _cut(sound: AnnotatedSound, share: float, rate_hz: int) -> int | None:
    """Return the sample at which a recording is cut; None where it is too short, or its calls are too close."""
    calls = sorted(sound.calls, key=lambda call: call.begin)
    least = round(_LEAST_PART_S * rate_hz)
    if not calls:
        cut = round((1 - share) * len(sound.samples))
        return cut if least <= cut <= len(sound.samples) - least else None
    wanted = len(calls) - math.ceil(share * len(calls))
    for n_before in sorted(range(1, len(calls)), key=lambda n: abs(n - wanted)):
        gap = min(call.begin for call in calls[n_before:]) - max(call.end for call in calls[:n_before])
        cut = round(calls[n_before].begin - gap / 2)
        if gap >= 2 * _LEAST_GAP_S * rate_hz and least <= cut <= len(sound.samples) - least:
            return cut
    return None


def _part(sound: AnnotatedSound, begin: int, end: int, rate_hz: int) -> AnnotatedSound:
    calls = tuple(_moved(call, -begin) for call in sound.calls if begin <= call.middle < end)
    return replace(
        sound,
        samples=sound.samples[begin:end],
        calls=calls,
        uncertain=_within(sound.uncertain, begin, end),
        rejected=_within(sound.rejected, begin, end),
        begin_s=sound.begin_s + begin / rate_hz,
    )


def _moved(call: Call, by: float) -> Call:
    return replace(call, begin=call.begin + by, end=call.end + by)


def _within(spans: IntArray, begin: int, end: int) -> IntArray:
    inside = spans[(spans[:, 1] > begin) & (spans[:, 0] < end)]
    clipped: IntArray = inside.clip(begin, end) - begin
    return clipped


def _part_of_background(background: Background, share: float, rate_hz: int, is_held_back: bool) -> Background:
    cut = round((1 - share) * len(background.samples))
    samples: FloatArray = background.samples[cut:] if is_held_back else background.samples[:cut]
    return replace(background, samples=samples, begin_s=background.begin_s + (cut / rate_hz if is_held_back else 0.0))
