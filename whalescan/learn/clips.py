"""Labelled clips: reading them, and splitting them so that the same clip always falls on the same side."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from tqdm import tqdm

from whalescan.core import FloatArray, IntArray, RecordingError, UsageError
from whalescan.sound import reading, recordings


@dataclass(frozen=True, slots=True)
class Clips:
    """Windows with labels.

    Attributes:
        windows: float32 ``[n_clips, window_samples]``.
        labels: int64 ``[n_clips]``, 1 where the clip holds a call.
        fold: float64 ``[n_clips]`` in 0..1, drawn from a hash of the clip's samples: a fixed split for any order or subset.
    """

    windows: FloatArray
    labels: IntArray
    fold: np.ndarray[tuple[int], np.dtype[np.float64]]

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Clips:
        """The clips that a mask chooses."""
        return Clips(self.windows[chosen], self.labels[chosen], self.fold[chosen])


def read_without_calls(inputs: Sequence[str], rate_hz: int, window_samples: int, hop_samples: int) -> FloatArray:
    """Windows ``[n, window_samples]`` of recordings in which nothing is a call: humpback song, ships, fish.

    Raises:
        UsageError: names what is absent or cannot be read.
    """
    parts = []
    for found in recordings.find(inputs):
        try:
            recording = recordings.inspect(found)
            sound = reading.read(recording, 1, rate_hz, 0, recording.n_samples(rate_hz))
        except RecordingError as error:
            raise UsageError(str(error)) from error
        if len(sound.samples) >= window_samples:
            windows = np.lib.stride_tricks.sliding_window_view(sound.samples, window_samples)[::hop_samples]
            lost = np.lib.stride_tricks.sliding_window_view(sound.lost, window_samples)[::hop_samples]
            parts.append(windows[~lost.any(axis=1)])
    if not parts:
        raise UsageError(f"{', '.join(inputs)}: no recording there is as long as a window")
    return np.concatenate(parts)


def read_kaggle(root: Path, rate_hz: int, window_samples: int, quiet: bool = False) -> Clips:
    """Read clips in the layout of the Kaggle whale challenge: ``train.csv`` (clip_name, label) and ``train/``.

    Raises:
        UsageError: names every clip that is absent, unreadable or of another rate or length.
    """
    table = root / "train.csv"
    try:
        rows = pd.read_csv(table, dtype={"clip_name": str, "label": int})
        names, labels = rows["clip_name"].to_list(), rows["label"].to_numpy(np.int64)
    except (OSError, KeyError, ValueError) as error:
        raise UsageError(f"{table}: not a table with the columns clip_name and label (0 or 1): {error}") from error
    windows = np.zeros((len(names), window_samples), np.float32)
    fold = np.zeros(len(names))
    problems = []
    for i, name in enumerate(tqdm(names, desc="reading clips", unit="clip", disable=quiet)):
        try:
            samples, clip_rate_hz = soundfile.read(root / "train" / name, dtype="int16")
        except (OSError, RuntimeError) as error:
            problems.append(f"{name}: {error}")
            continue
        if clip_rate_hz != rate_hz or samples.shape != (window_samples,):
            problems.append(f"{name}: {samples.shape} samples at {clip_rate_hz} Hz, not {window_samples} at {rate_hz} Hz")
            continue
        windows[i] = samples / np.float32(32768)
        fold[i] = int.from_bytes(hashlib.sha256(samples.astype("<i2").tobytes()).digest()[:8]) / 2**64
    if problems:
        shown = "\n  ".join(problems[:20])
        raise UsageError(f"{root}: {len(problems)} of {len(names)} clips cannot be used:\n  {shown}")
    if len(set(labels.tolist())) < 2:
        raise UsageError(f"{table}: only one of the labels 0 and 1 occurs; a detector needs examples of both")
    return Clips(windows, labels, fold)
