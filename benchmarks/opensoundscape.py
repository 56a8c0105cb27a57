"""The network for windows, run by OpenSoundscape, where that is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from benchmarks.windows_network import BAND_HZ, N_BINS, N_FRAMES, RATE_HZ, WINDOW_SAMPLES, make_network
from whalescan.detector.model_spec import UPCALL


def is_installed() -> bool:
    """Return whether OpenSoundscape is installed. It is not a dependency; its torchaudio must fit the installed torch."""
    return importlib.util.find_spec("opensoundscape") is not None


def score(path: Path, hop_s: float) -> None:
    """Score the windows of a 2 kHz recording."""
    from opensoundscape import CNN

    spectrogram = {"height": N_BINS, "width": N_FRAMES, "channels": 3, "bandpass_range": BAND_HZ}
    cnn = CNN(make_network(), [UPCALL], WINDOW_SAMPLES / RATE_HZ, sample_rate=RATE_HZ, **spectrogram)
    cnn.device = "cpu"
    cnn.predict([str(path)], clip_step=hop_s, batch_size=32, num_workers=2, progress_bar=False)
