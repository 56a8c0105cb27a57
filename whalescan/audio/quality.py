"""Audio quality of the channels of a recording, measured in a few short sections before hours are spent on it.

`measure_channels` measures, `channel_problems` reports clipping, DC offset, silence and drop-outs. Between the sections
anything may be: no problem found does not mean that there is none. A run examines every second; this serves ``check``, which
examines many recordings in little time.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np
import soundfile

from whalescan.audio.reading import DROPOUT_S, open_at_frame
from whalescan.core import BoolArray, FloatArray, Recording, RecordingError
from whalescan.core.intervals import true_runs

CLIPPED_SHARE = 0.001
"""More clipped samples than this distort calls; fewer are single transients."""
DC_OFFSET = 0.01
"""A smaller offset takes negligible headroom."""
_PLATEAU_PEAK = 0.25
"""An amplifier that saturates before its converter does so above this level; below it, samples are equal because they span
few steps of the converter."""
_NEAR_PEAK = 0.95
"""A wave crest has many samples between this share of the peak and the peak; a clipped plateau has more at the peak."""
_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """A channel in the sections that were measured.

    Attributes:
        channel: counted from 1.
        peak: largest amplitude; 1 is full scale, and floating-point samples may exceed it.
        rms: around the mean, relative to full scale.
        dc_offset: mean, relative to full scale.
        clipped_share: share of clipped samples, 0 to 1.
        longest_zeros_s: longest run of exact zeros, at most the length of a section.
        is_constant: whether all samples are equal.
    """

    channel: int
    peak: float
    rms: float
    dc_offset: float
    clipped_share: float
    longest_zeros_s: float
    is_constant: bool


def measure_channels(recording: Recording, n_sections: int = 3, section_s: float = 2.0) -> tuple[ChannelStatistics, ...]:
    """Measure every channel in a few sections, spread evenly over the recording.

    Samples that are not finite count as zeros, as the reader makes them.

    Args:
        recording: the recording, of which only the sections are read.
        n_sections: number of sections, from 1; fewer where the recording is shorter than they are together.
        section_s: length of a section, above 0; a shorter recording is measured as a whole.

    Raises:
        RecordingError: where the file cannot be opened, or a section cannot be read.
    """
    sections, subtype = _read_sections(recording, _section_positions(recording, n_sections, section_s))
    full_scale = 1 - 2.0 ** (1 - _BITS[subtype]) if subtype in _BITS else 1.0
    return tuple(
        _measure(channel + 1, [section[:, channel] for section in sections], full_scale, recording.rate_hz)
        for channel in range(recording.channels)
    )


def channel_problems(statistics: Sequence[ChannelStatistics], channels: Container[int] | None = None) -> list[str]:
    """Return the problems of the channels of a recording, each with its remedy.

    Args:
        statistics: of all channels.
        channels: those that are to be used, counted from 1; None for all. Problems of the others are not reported.
    """
    with_signal = [str(channel.channel) for channel in statistics if not channel.is_constant]
    used = [channel for channel in statistics if channels is None or channel.channel in channels]
    return [problem for channel in used for problem in _problems_of(channel, with_signal)]


def _problems_of(channel: ChannelStatistics, with_signal: Sequence[str]) -> list[str]:
    name = f"channel {channel.channel}"
    if channel.is_constant:
        remedy = f"set `channel` to {with_signal[0]}" if with_signal else "check the hydrophone, its connector and the gain"
        return [f"{name} is silent, all samples are {channel.dc_offset:g}; {remedy}"]
    problems = []
    if channel.clipped_share > CLIPPED_SHARE:
        problems.append(
            f"{name} is clipped, {100 * channel.clipped_share:.1f} % of its samples are at the maximum; "
            "loud calls are distorted, record with less gain"
        )
    if abs(channel.dc_offset) > max(DC_OFFSET, channel.rms):
        problems.append(
            f"{name} has a DC offset of {100 * channel.dc_offset:.1f} % of full scale, more than its signal; "
            "it leaves less headroom for loud calls, have the recorder checked"
        )
    if channel.longest_zeros_s >= DROPOUT_S:
        problems.append(
            f"{name} has drop-outs, {channel.longest_zeros_s:.1f} s of zeros in one section; "
            "check the recorder and its card, drop-outs are excluded from the effort"
        )
    return problems


def _section_positions(recording: Recording, n_sections: int, section_s: float) -> list[tuple[int, int]]:
    """Return first frame and length of each section, in the middle of its share of the recording."""
    length = min(max(round(section_s * recording.rate_hz), 1), recording.n_frames)
    n = max(1, min(n_sections, recording.n_frames // length))
    share = recording.n_frames // n
    return [(i * share + (share - length) // 2, length) for i in range(n)]


def _read_sections(recording: Recording, positions: Sequence[tuple[int, int]]) -> tuple[list[FloatArray], str]:
    """Return the sections as float32 ``[length, channels]``, and the subtype of the file."""
    first = positions[0][0]
    sections = []
    try:
        with open_at_frame(recording, first) as file:
            for first, length in positions:
                file.seek(first)
                section = file.read(length, dtype="float32", always_2d=True)
                if len(section) < length:
                    raise _read_error(recording, first + len(section), "the file ends there")
                sections.append(np.nan_to_num(section, copy=False, nan=0, posinf=0, neginf=0))
            return sections, file.subtype
    except soundfile.LibsndfileError as error:
        raise _read_error(recording, first, error.error_string.strip().rstrip(".")) from error


def _read_error(recording: Recording, frame: int, reason: str) -> RecordingError:
    at_s = frame / recording.rate_hz
    return RecordingError(f"{recording.path}: cannot be read at {at_s:.1f} s: {reason}; copy it again from the recorder")


def _measure(channel: int, sections: Sequence[FloatArray], full_scale: float, rate_hz: int) -> ChannelStatistics:
    samples = np.concatenate(sections)
    is_constant = bool((samples == samples[0]).all())
    is_clipped = _is_clipped(samples, full_scale) | _is_clipped(-samples, 1.0)
    zero_runs = np.concatenate([np.diff(true_runs(section == 0)) for section in sections])
    return ChannelStatistics(
        channel=channel,
        peak=float(np.abs(samples).max()),
        rms=0.0 if is_constant else float(samples.std(dtype=np.float64)),
        dc_offset=float(samples[0]) if is_constant else float(samples.mean(dtype=np.float64)),
        clipped_share=0.0 if is_constant else float(is_clipped.mean()),
        longest_zeros_s=int(zero_runs.max(initial=0)) / rate_hz,
        is_constant=is_constant,
    )


def _is_clipped(samples: FloatArray, full_scale: float) -> BoolArray:
    """Return which samples are clipped at the top: bool ``[n]``.

    That is every sample at full scale. Below full scale, it is the runs of samples at the peak, if more samples lie in these
    runs than near the peak: an amplifier that saturates before the converter produces this, the crests of a tone do not.
    """
    peak = samples.max()
    is_at_peak: BoolArray = samples == peak
    if peak == np.float32(full_scale):
        return is_at_peak
    padded = np.concatenate([[False], is_at_peak, [False]])
    in_runs: BoolArray = is_at_peak & (padded[:-2] | padded[2:])
    n_near = np.count_nonzero(samples >= _NEAR_PEAK * peak) - np.count_nonzero(is_at_peak)
    is_saturated = peak >= _PLATEAU_PEAK and np.count_nonzero(in_runs) > n_near
    return in_runs if is_saturated else np.zeros_like(is_at_peak)
