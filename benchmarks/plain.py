"""Baseline: a network for windows in plain PyTorch, in float32, with a DataLoader of windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.windows_network import RATE_HZ, WINDOW_SAMPLES, WindowsNetwork


class Windows(Dataset[Tensor]):
    """Two-second windows of a recording, which is read into memory."""

    def __init__(self, path: Path, hop_samples: int) -> None:
        samples, _ = soundfile.read(path, dtype="float32")
        self.samples, self.hop_samples = torch.from_numpy(samples), hop_samples

    def __len__(self) -> int:
        return (len(self.samples) - WINDOW_SAMPLES) // self.hop_samples + 1

    def __getitem__(self, i: int) -> Tensor:
        begin = i * self.hop_samples
        return self.samples[begin : begin + WINDOW_SAMPLES]


def score(path: Path, hop_s: float) -> np.ndarray:
    """Return the scores ``[n_windows]`` of a 2 kHz recording."""
    network = WindowsNetwork().eval()
    loader = DataLoader(Windows(path, round(hop_s * RATE_HZ)), batch_size=32, num_workers=2)
    with torch.inference_mode():
        return torch.cat([network(batch) for batch in loader]).numpy()
