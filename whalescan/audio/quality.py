"""What a few short looks into a recording tell about its channels, before hours are spent on it.

`look` measures, `complaints` says in words what speaks against a channel. Between the looks anything may be: that nothing is
complained about is no promise. A run looks at every second; this is for `check`, on many recordings, in little time.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np
import soundfile

from whalescan.audio.reading import DROPOUT_S, open_at
from whalescan.core import BoolArray, FloatArray, Recording, RecordingError

CLIPPED_SHARE = 0.001
"""More samples than this at the ceiling cost calls their shape; fewer are the snap of a chain."""
DC_OFFSET = 0.01
"""A smaller offset takes no room from loud calls worth speaking of."""
_PLATEAU_PEAK = 0.25
"""Where an amplifier saturates before its converter, it does so above this; below it, samples are equal because they are few
steps of the converter."""
_BELOW_CEILING = 0.95
"""A crest comes from below; a ceiling holds more samples than there are from here up to it."""
_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}


@dataclass(frozen=True, slots=True)
class ChannelLook:
    """A channel in the stretches that were looked at.

    Attributes:
        channel: counted from 1.
        peak: largest amplitude; 1 is full scale, and samples that are floating point may lie above it.
        rms: of the sound around its mean, in full scales.
        dc_offset: its mean, in full scales.
        clipped_share: samples at a ceiling, 0 to 1.
        longest_zeros_s: longest run of exact zeros, at most the length of a look.
        is_constant: whether all samples are the same.
    """

    channel: int
    peak: float
    rms: float
    dc_offset: float
    clipped_share: float
    longest_zeros_s: float
    is_constant: bool


def look(recording: Recording, n_looks: int = 3, look_s: float = 2.0) -> tuple[ChannelLook, ...]:
    """Measure every channel in a few stretches, spread evenly over the recording.

    Samples that are no finite numbers count as zeros: that is what the reader makes of them.

    Args:
        recording: what is looked into; only the looks are read.
        n_looks: stretches at most, from 1; fewer where the recording is shorter than they are together.
        look_s: length of a stretch, above 0; a shorter recording is looked at as a whole.

    Raises:
        RecordingError: where the file cannot be opened, or a stretch cannot be read.
    """
    stretches, subtype = _read(recording, _places(recording, n_looks, look_s))
    full_scale = 1 - 2.0 ** (1 - _BITS[subtype]) if subtype in _BITS else 1.0
    return tuple(
        _measure(channel + 1, [stretch[:, channel] for stretch in stretches], full_scale, recording.rate_hz)
        for channel in range(recording.channels)
    )


def complaints(looks: Sequence[ChannelLook], channels: Container[int] | None = None) -> list[str]:
    """What speaks against the channels of a recording, each with what helps; empty where nothing does.

    Args:
        looks: at all channels.
        channels: those that are to be used, counted from 1; None for all. What is wrong with the others does no harm.
    """
    sounding = [str(look.channel) for look in looks if not look.is_constant]
    used = [look for look in looks if channels is None or look.channel in channels]
    return [complaint for look in used for complaint in _complaints(look, sounding)]


def _complaints(look: ChannelLook, sounding: Sequence[str]) -> list[str]:
    name = f"channel {look.channel}"
    if look.is_constant:
        remedy = f"give --channel {sounding[0]}" if sounding else "look at the hydrophone, its plug and the gain"
        return [f"{name} is silent, all samples are {look.dc_offset:g}; {remedy}"]
    found = []
    if look.clipped_share > CLIPPED_SHARE:
        found.append(
            f"{name} is clipped, {100 * look.clipped_share:.1f} % of its samples are at the ceiling; "
            "calls that loud lose their shape, record with less gain"
        )
    if abs(look.dc_offset) > max(DC_OFFSET, look.rms):
        found.append(
            f"{name} has a DC offset of {100 * look.dc_offset:.1f} % of full scale, more than its sound; "
            "it leaves loud calls less room, have the recorder looked at"
        )
    if look.longest_zeros_s >= DROPOUT_S:
        found.append(
            f"{name} drops out, {look.longest_zeros_s:.1f} s of zeros in one look; look at the recorder and its card, "
            "drop-outs are taken out of the effort"
        )
    return found


def _places(recording: Recording, n_looks: int, look_s: float) -> list[tuple[int, int]]:
    """First frame and length of each look, in the middle of its share of the recording."""
    length = min(max(round(look_s * recording.rate_hz), 1), recording.n_frames)
    n = max(1, min(n_looks, recording.n_frames // length))
    share = recording.n_frames // n
    return [(i * share + (share - length) // 2, length) for i in range(n)]


def _read(recording: Recording, places: Sequence[tuple[int, int]]) -> tuple[list[FloatArray], str]:
    """The stretches as float32 ``[length, channels]``, and how the file encodes them."""
    first = places[0][0]
    stretches = []
    try:
        with open_at(recording, first) as file:
            for first, length in places:
                file.seek(first)
                stretch = file.read(length, dtype="float32", always_2d=True)
                if len(stretch) < length:
                    raise _unreadable(recording, first + len(stretch), "the file ends there")
                stretches.append(np.nan_to_num(stretch, copy=False, nan=0, posinf=0, neginf=0))
            return stretches, file.subtype
    except soundfile.LibsndfileError as error:
        raise _unreadable(recording, first, error.error_string.strip().rstrip(".")) from error


def _unreadable(recording: Recording, frame: int, reason: str) -> RecordingError:
    at_s = frame / recording.rate_hz
    return RecordingError(f"{recording.path}: cannot be read at {at_s:.1f} s: {reason}; copy it again from the recorder")


def _measure(channel: int, stretches: Sequence[FloatArray], full_scale: float, rate_hz: int) -> ChannelLook:
    samples = np.concatenate(stretches)
    is_constant = bool((samples == samples[0]).all())
    clipped = _ceiling(samples, full_scale) | _ceiling(-samples, 1.0)
    return ChannelLook(
        channel=channel,
        peak=float(np.abs(samples).max()),
        rms=0.0 if is_constant else float(samples.std(dtype=np.float64)),
        dc_offset=float(samples[0]) if is_constant else float(samples.mean(dtype=np.float64)),
        clipped_share=0.0 if is_constant else float(clipped.mean()),
        longest_zeros_s=max(_longest(stretch == 0) for stretch in stretches) / rate_hz,
        is_constant=is_constant,
    )


def _ceiling(samples: FloatArray, full_scale: float) -> BoolArray:
    """Where samples are at the highest value and cannot have meant it.

    That is any sample at the format's full scale; below it, runs of the same highest value, where that value holds more
    samples than come near it: an amplifier that saturates before the converter does, but not the crests of a tone.
    """
    highest = samples.max()
    at_top: BoolArray = samples == highest
    if highest == np.float32(full_scale):
        return at_top
    beside = np.concatenate([[False], at_top, [False]])
    in_runs: BoolArray = at_top & (beside[:-2] | beside[2:])
    near = np.count_nonzero(samples >= _BELOW_CEILING * highest) - np.count_nonzero(at_top)
    saturated = highest >= _PLATEAU_PEAK and np.count_nonzero(in_runs) > near
    return in_runs if saturated else np.zeros_like(at_top)


def _longest(which: BoolArray) -> int:
    """Length of the longest run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], which, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))
