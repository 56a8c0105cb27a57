"""Baseline: the same network in plain PyTorch, in float32, with a DataLoader of windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from whalescan import load_model
from whalescan.detector.model_file import load_detector


class Windows(Dataset[Tensor]):
    """Two-second windows of a recording, which is read into memory."""

    def __init__(self, path: Path, hop_samples: int) -> None:
        samples, _ = soundfile.read(path, dtype="float32")
        self.samples, self.hop_samples = torch.from_numpy(samples), hop_samples

    def __len__(self) -> int:
        return (len(self.samples) - 4000) // self.hop_samples + 1

    def __getitem__(self, i: int) -> Tensor:
        begin = i * self.hop_samples
        return self.samples[begin : begin + 4000]


def score(path: Path, hop_s: float) -> np.ndarray:
    """Return the scores ``[n_windows]`` of a 2 kHz recording."""
    detector = load_detector(load_model())
    loader = DataLoader(Windows(path, round(hop_s * 2000)), batch_size=32, num_workers=2)
    with torch.inference_mode():
        return torch.cat([detector(batch).sigmoid() for batch in loader]).numpy()[:, 0]
