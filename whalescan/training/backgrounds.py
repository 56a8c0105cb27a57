"""Training sound from recordings without calls, such as humpback song, ships or fish."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from whalescan.audio import recordings
from whalescan.core import FloatArray, RecordingError, UsageError
from whalescan.detector.model_spec import FrontEndOptions
from whalescan.training.labels import DataProblem, data_problem_lines
from whalescan.training.levels import background_level
from whalescan.training.recording_parts import read_parts
from whalescan.training.sounds import Background

_UNREADABLE = "recordings without calls that cannot be used, or only in part"
_FADE_S = 0.5
"""Excerpts are often faded in and out; nothing should be learnt from that."""


def read_backgrounds(
    inputs: Sequence[str], front_end: FrontEndOptions, quiet: bool = False
) -> tuple[tuple[Background, ...], tuple[DataProblem, ...]]:
    """Read recordings without calls; of a long one, a bounded number of parts.

    Args:
        inputs: folders, files and patterns. A recording that several of them name is used as often.
        front_end: rate of the sound, and frames in which its level is measured.
        quiet: show no progress bar.

    Raises:
        UsageError: when an input is absent or contains no recording, or when no recording is as long as a window.
    """
    if not inputs:
        return (), ()
    times_given = Counter(file.path for text in inputs for file in recordings.find_recordings([text]))
    shortest_s = front_end.window_samples / front_end.rate_hz
    backgrounds: list[Background] = []
    problems: list[DataProblem] = []
    files = recordings.find_recordings(inputs)
    for file in tqdm(files, "reading recordings without calls", unit="file", disable=quiet):
        try:
            recording = recordings.read_header(file)
            if recording.duration_s < shortest_s:
                raise RecordingError(
                    f"{recording.path}: {recording.duration_s:g} s are shorter than a window of {shortest_s:g} s"
                )
            read = read_parts(recording, 1, front_end.rate_hz, shortest_s)
        except RecordingError as error:
            problems.append(DataProblem(_UNREADABLE, str(error)))
            continue
        if problem := recording.problem or read.problem:
            problems.append(DataProblem(_UNREADABLE, f"{recording.path}: {problem}"))
        for part in read.parts:
            samples, trimmed = _without_fades(part.samples, front_end)
            level = np.float32(background_level(samples, front_end))
            begin_s = (part.begin + trimmed) / front_end.rate_hz
            weight, source = float(times_given[file.path]), str(file.path.parent)
            backgrounds.append(Background(samples / level, weight, recording.name, source, begin_s))
    if not backgrounds:
        title = f"{', '.join(inputs)}: no recording has readable sound of a window's length:"
        raise UsageError("\n  ".join([title, *data_problem_lines(problems)]))
    return tuple(backgrounds), tuple(problems)


def _without_fades(samples: FloatArray, front_end: FrontEndOptions) -> tuple[FloatArray, int]:
    """Return a sound without its first and last half second, and how many samples were removed at its begin.

    A sound of less than three windows stays as it is.
    """
    trimmed = round(_FADE_S * front_end.rate_hz)
    if len(samples) < 3 * front_end.window_samples:
        return samples, 0
    return samples[trimmed:-trimmed], trimmed
