"""The same network run by OpenSoundscape, where that is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from whalescan import load_model
from whalescan.detector.model_file import load_detector


def is_installed() -> bool:
    """Return whether OpenSoundscape is installed. It is not a dependency; its torchaudio must fit the installed torch."""
    return importlib.util.find_spec("opensoundscape") is not None


def score(path: Path, hop_s: float) -> None:
    """Score a 2 kHz recording, with spectrograms of the same size as ours."""
    from opensoundscape import CNN

    model = load_model()
    o = model.spec.front_end
    spectrogram = {"height": o.n_bins, "width": o.n_frames, "channels": 3, "bandpass_range": o.band_hz}
    window_s = o.window_samples / o.rate_hz
    cnn = CNN(load_detector(model).network, list(model.spec.classes), window_s, sample_rate=o.rate_hz, **spectrogram)
    cnn.device = "cpu"
    cnn.predict([str(path)], clip_step=hop_s, batch_size=32, num_workers=2, progress_bar=False)
