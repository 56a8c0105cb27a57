"""What a glance learns: tracks of sound, and what the network that it goes before says of windows in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from whalescan.audio import reading, recordings
from whalescan.core import FloatArray, IntArray, RecordingError, UsageError
from whalescan.detector.frontend import COLUMN_FRAMES
from whalescan.detector.model_spec import FrontEndOptions
from whalescan.detector.network import Detector
from whalescan.training.soundtracks import Sounds, soundtracks
from whalescan.training.training_options import TrainingRunOptions

STRIP_FRAMES = 40 * COLUMN_FRAMES
"""Of a track that is learnt from in a step (12.8 s)."""
SLACK_SAMPLES = 1280
"""A track is so much longer: where in it a strip begins is drawn, so that columns come to lie everywhere."""
_BATCH_SIZE = 32
EVEN_ODDS = 0.0
"""Log-odds from which on the teacher finds a call likelier than not."""


@dataclass(frozen=True, slots=True)
class GlanceLessons:
    """Tracks, and what the teacher says of windows in them.

    Attributes:
        tracks: float32 ``[n, track_samples]``.
        begins: int64 ``[n, n_windows]``, samples.
        logits: float32 ``[n, n_windows, n_classes]``.
    """

    tracks: FloatArray
    begins: IntArray
    logits: FloatArray


def strip_samples(options: FrontEndOptions) -> int:
    """Length of what is learnt from in a step."""
    return (STRIP_FRAMES - 1) * options.frame_hop_samples + options.fft_samples


def read_sounds(
    inputs: Sequence[str], rate_hz: int, is_wanted: Callable[[Path], bool], work: TrainingRunOptions
) -> list[FloatArray]:
    """The sound of folders, files and patterns, channel 1; what cannot be read is said, and left out.

    Args:
        inputs: recordings or clips.
        rate_hz: of the model.
        is_wanted: whether a file may be learnt from.
        work: how the work is done.

    Raises:
        UsageError: when an input is absent or holds no recording.
    """
    sounds = []
    wanted = [found for found in recordings.find_recordings(inputs) if is_wanted(found.path)]
    for found in tqdm(wanted, "read", unit="file", disable=work.quiet):
        try:
            recording = recordings.read_header(found)
            sounds.append(reading.read(recording, 1, rate_hz, 0, recording.n_samples(rate_hz)).samples)
        except RecordingError as error:
            work.report(str(error))
    if not sounds:
        raise UsageError(f"{', '.join(inputs)}: no recording or clip there can be used; give others")
    return sounds


def hold_back(
    sounds: Sequence[FloatArray], share: float, random: np.random.Generator
) -> tuple[list[FloatArray], list[FloatArray]]:
    """Sounds to learn from, and at most ``share`` of all to see what was learnt."""
    order = random.permutation(len(sounds))
    behind = np.cumsum([len(sounds[i]) for i in order])
    n_held = int(np.searchsorted(behind, share * behind[-1], side="right"))
    return [sounds[i] for i in order[n_held:]], [sounds[i] for i in order[:n_held]]


def prepare(
    sounds: Sequence[FloatArray], teacher: Detector, hop_s: float, random: np.random.Generator, work: TrainingRunOptions
) -> GlanceLessons:
    """Make tracks of sounds, and have the teacher judge windows in them.

    Args:
        sounds: recordings and clips.
        teacher: as it scans.
        hop_s: from one of its windows to the next.
        random: draws.
        work: how the work is done.

    Raises:
        UsageError: where the sounds do not fill a track.
    """
    o = teacher.frontend.options
    length, hop = o.window_samples, round(hop_s * o.rate_hz)
    windows = [sound[i : i + length] for sound in sounds for i in range(0, len(sound) - length + 1, length // 2)]
    likely = np.zeros(0, np.bool_)
    if windows:  # the FFT of MKL refuses an empty batch
        likely = _judge(windows, teacher, "look for calls", work).max(axis=1) > EVEN_ODDS
    calls = np.array([windows[i] for i in np.flatnonzero(likely)], np.float32).reshape(-1, length)
    n_samples = strip_samples(o) + SLACK_SAMPLES
    tracks = soundtracks(Sounds(sounds, calls), n_samples, teacher.frontend, random)
    if not len(tracks):
        raise UsageError(
            f"not enough sound: the sounds do not fill {n_samples / o.rate_hz:.0f} s; give more recordings or clips "
            "in which the calls of the model occur"
        )
    if not len(calls):
        work.report("the model finds no call in these sounds; a glance that is taught on them will know none")
    n_windows = (n_samples - length - hop) // hop + 1
    begins = random.integers(0, hop, (len(tracks), 1)) + hop * np.arange(n_windows)
    asked = [track[i : i + length] for track, own in zip(tracks, begins, strict=True) for i in own]
    logits = _judge(asked, teacher, "ask the teacher", work)
    return GlanceLessons(tracks, begins, logits.reshape(*begins.shape, -1))


def _judge(windows: Sequence[FloatArray], teacher: Detector, title: str, work: TrainingRunOptions) -> FloatArray:
    """The teacher's logits ``[n_windows, n_classes]``."""
    return np.concatenate(list(tqdm(_batches(windows, teacher), title, -(-len(windows) // _BATCH_SIZE), disable=work.quiet)))


def _batches(windows: Sequence[FloatArray], teacher: Detector) -> Iterator[FloatArray]:
    device = teacher.frontend.taper.device
    with torch.inference_mode():
        for i in range(0, len(windows), _BATCH_SIZE):
            batch = np.array(windows[i : i + _BATCH_SIZE], np.float32).reshape(-1, teacher.frontend.options.window_samples)
            yield teacher(torch.from_numpy(batch).to(device)).cpu().numpy()
