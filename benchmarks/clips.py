"""Performance of the default model on held-out clips: in float32, as in a run, and in noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score

from benchmarks.table import Row
from whalescan import load_model
from whalescan.core import FloatArray
from whalescan.detector.complexity import BAND_HZ
from whalescan.detector.frontend import FrontEnd
from whalescan.detector.model_file import load_detector
from whalescan.detector.model_spec import FrontEndOptions, Model
from whalescan.detector.score_calibration import fit_platt
from whalescan.detector.scorer import Scorer
from whalescan.training.datasets import read_dataset, read_negative_windows
from whalescan.training.examples import DataOptions, Examples
from whalescan.training.split import split

DROPS_DB = (5, 10, 15)
GAUSSIAN = 0.02
"""Standard deviation, of full scale, of the noise in the predecessor's evaluation."""


def measure(folder: Path) -> list[Row]:
    """Return the rows of the table; ``folder`` holds ``train.csv`` and ``train/``."""
    model = load_model()
    clips = held_out(folder, model)
    with torch.inference_mode():
        exact = load_detector(model)(torch.from_numpy(clips.windows)).numpy()[:, 0]
    ways = {"float32": exact, "as in a run": run_log_odds(model, clips.windows)}
    return [{"arithmetic": name} | _metrics(clips, logits, _even_odds(clips, logits)) for name, logits in ways.items()]


def in_noise(folder: Path, noises: dict[str, str]) -> list[Row]:
    """Return rows for clips in noise that lowers their SNR in the call band, and in the predecessor's noise."""
    model = load_model()
    clips = held_out(folder, model)
    clean = run_log_odds(model, clips.windows)
    at = _even_odds(clips, clean)
    random = np.random.default_rng(1)
    options = model.spec.front_end
    sounds = {
        name: read_negative_windows((path,), options.rate_hz, options.window_samples, options.rate_hz // 2).windows
        for name, path in noises.items()
    }
    rows: list[Row] = [{"noise": "none"} | _metrics(clips, clean, at)]
    for name in ("white", *sounds):
        for drop_db in DROPS_DB:
            drawn = (
                sounds[name][random.integers(len(sounds[name]), size=len(clips))]
                if name in sounds
                else _white(clips, random)
            )
            windows = lower_snr(clips.windows, drawn, drop_db, options)
            rows.append({"noise": f"{name}, SNR {drop_db} dB lower"} | _metrics(clips, run_log_odds(model, windows), at))
    windows = clips.windows + np.float32(GAUSSIAN) * _white(clips, random)
    return [*rows, {"noise": f"Gaussian, {GAUSSIAN} of full scale"} | _metrics(clips, run_log_odds(model, windows), at)]


def held_out(folder: Path, model: Model) -> Examples:
    """Return the clips that the model was not trained on, found by the rule of its training."""
    options = model.spec.front_end
    examples = read_dataset((folder,), DataOptions(), options.rate_hz, options.window_samples).examples
    return examples.select(split(examples, model.spec.training["recipe"]["validation_share"]).held_out)


def run_log_odds(model: Model, windows: FloatArray) -> FloatArray:
    """Return the log-odds of windows in the arithmetic of a run."""
    scorer = Scorer(model, torch.device("cpu"), 32)
    grid = model.spec.grid(model.spec.front_end.window_samples / model.spec.front_end.rate_hz)
    scores = scorer.score(windows.ravel(), grid, len(windows)).scores[:, 0].clip(1e-7, 1 - 1e-7)
    odds: FloatArray = np.log(scores / (1 - scores))
    return odds


def lower_snr(windows: FloatArray, noise: FloatArray, drop_db: float, options: FrontEndOptions) -> FloatArray:
    """Add noise so that the background in the call band rises by ``drop_db``, and with it the SNR falls.

    The background is the median over the frames of the power in the band, which a call of one second changes little.
    """
    own, other = (_band_power(sound, options) for sound in (windows, noise))
    gain = np.sqrt((10 ** (drop_db / 10) - 1) * np.median(own, axis=1) / other.mean(axis=1).clip(1e-20))
    louder: FloatArray = (windows + gain[:, None] * noise).astype(np.float32)
    return louder


def _band_power(windows: FloatArray, options: FrontEndOptions) -> FloatArray:
    """Return the power in the call band, ``[n, n_frames]``."""
    first, last = (round(edge_hz / options.bin_hz) - options.low_bin for edge_hz in BAND_HZ)
    power = FrontEnd(options).power(torch.from_numpy(windows))
    band: FloatArray = power[:, first:last].mean(dim=1).numpy()
    return band


def _white(clips: Examples, random: np.random.Generator) -> FloatArray:
    return random.standard_normal(clips.windows.shape).astype(np.float32)


def _even_odds(clips: Examples, logits: FloatArray) -> float:
    """Return the log-odds at which clean clips, half of them calls, hold a call with probability 0.5."""
    slope, offset = fit_platt(logits, clips.targets[:, 0] > 0)
    return -offset / slope


def _metrics(clips: Examples, logits: FloatArray, even_odds: float) -> Row:
    is_call = clips.targets[:, 0] > 0
    return {
        "held-out clips": len(clips),
        "AUC": round(float(roc_auc_score(is_call, logits)), 4),
        "accuracy": round(float(accuracy_score(is_call, logits > even_odds)), 4),
        "average precision": round(float(average_precision_score(is_call, logits)), 4),
    }
