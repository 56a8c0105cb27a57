"""Performance on held-out clips: as they are, and changed as recorders and noise change sound."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import soxr
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score

from benchmarks.known_calls import held_out_sounds, measure_model
from benchmarks.table import Row
from whalescan.audio import reading, recordings
from whalescan.core import FloatArray
from whalescan.detector.complexity import BAND_HZ
from whalescan.detector.model_spec import FrontEndOptions, Model, find_model
from whalescan.detector.score_calibration import fit_platt
from whalescan.training.levels import background_level, frame_power
from whalescan.training.sounds import Clip
from whalescan.training.validation_sounds import ValidationSounds

DROPS_DB = (5, 10, 15)
GAUSSIAN = 0.02
"""Standard deviation, of full scale, of the noise in the predecessor's evaluation."""
CLIP_PEAK = 2000 / 32768
"""Largest sample of each clip in its file, of full scale."""
GAINS_DB = (-40, 40)
CLIPPED_DB = (6, 12)
"""How far the peaks of a clip lie above the level at which it is clipped."""
RATES_HZ = (600, 1000, 48_000)
CODECS = {"MP3": ("MP3", "MPEG_LAYER_III"), "Ogg Vorbis": ("OGG", "VORBIS")}
_CODEC_HZ = 16_000
_SEED = 1
_Change = Callable[[], list[FloatArray]]


def measure(folder: Path, noises: dict[str, str], model: str) -> list[Row]:
    """Return a row for each change of the held-out clips.

    Args:
        folder: holds ``train.csv`` and ``train/``.
        noises: recordings without calls by the name of the noise.
        model: name or path of the model.
    """
    found = find_model(model)
    clips = [clip for clip in held_out_sounds(folder, (), found).clips if clip.is_labelled]
    clean = _log_odds(found, clips)
    even_odds = _even_odds(clips, clean)
    rows: list[Row] = [{"clips": "as they are"} | _metrics(clips, clean, even_odds)]
    for name, changed in _changes(clips, noises, found.spec.front_end).items():
        log_odds = _log_odds(found, [replace(c, samples=s) for c, s in zip(clips, changed(), strict=True)])
        rows.append({"clips": name} | _metrics(clips, log_odds, even_odds))
        print(rows[-1], flush=True)
    return rows


def _changes(clips: Sequence[Clip], noises: dict[str, str], options: FrontEndOptions) -> dict[str, _Change]:
    """Return functions that change all clips, by what they do."""
    own = [clip.samples for clip in clips]
    random = np.random.default_rng(_SEED)
    white = [random.standard_normal(len(samples)).astype(np.float32) for samples in own]
    noise = {"white noise": white} | {
        name: _windows_of(path, [len(samples) for samples in own], options) for name, path in noises.items()
    }
    changes: dict[str, _Change] = {}
    for name, sounds in noise.items():
        for drop_db in DROPS_DB:
            changes[f"{name}, SNR {drop_db} dB lower"] = partial(_with_noise, own, sounds, drop_db, options)
    changes[f"Gaussian noise, {GAUSSIAN} of full scale"] = partial(_with_gaussian_noise, own, white)
    for gain_db in GAINS_DB:
        changes[f"gain of {gain_db} dB"] = partial(_louder, own, gain_db)
    for over_db in CLIPPED_DB:
        changes[f"clipped {over_db} dB below the peak"] = partial(_clipped, own, over_db)
    for rate_hz in RATES_HZ:
        changes[f"recorded at {rate_hz:,} Hz"] = partial(_recorded_at, own, rate_hz, options.rate_hz)
    for codec, (container, subtype) in CODECS.items():
        changes[f"{codec} at {_CODEC_HZ:,} Hz"] = partial(_coded, own, container, subtype, options.rate_hz)
    return changes


def _with_noise(
    clips: Sequence[FloatArray], noise: Sequence[FloatArray], drop_db: float, options: FrontEndOptions
) -> list[FloatArray]:
    return [lower_snr(clip, other, drop_db, options) for clip, other in zip(clips, noise, strict=True)]


def _with_gaussian_noise(clips: Sequence[FloatArray], white: Sequence[FloatArray]) -> list[FloatArray]:
    """Return clips with noise as if each were scaled as in its file."""
    share = GAUSSIAN / CLIP_PEAK
    return [clip + np.float32(share * np.abs(clip).max()) * noise for clip, noise in zip(clips, white, strict=True)]


def _louder(clips: Sequence[FloatArray], gain_db: float) -> list[FloatArray]:
    return [np.float32(10 ** (gain_db / 20)) * clip for clip in clips]


def _clipped(clips: Sequence[FloatArray], over_db: float) -> list[FloatArray]:
    limits = [float(np.abs(clip).max() * 10 ** (-over_db / 20)) for clip in clips]
    return [clip.clip(-limit, limit) for clip, limit in zip(clips, limits, strict=True)]


def _recorded_at(clips: Sequence[FloatArray], other_hz: int, rate_hz: int) -> list[FloatArray]:
    return [_resampled(_resampled(clip, rate_hz, other_hz), other_hz, rate_hz, len(clip)) for clip in clips]


def lower_snr(samples: FloatArray, noise: FloatArray, drop_db: float, options: FrontEndOptions) -> FloatArray:
    """Add noise so that the background in the call band rises by ``drop_db``, and with it the SNR falls.

    The background is the median over the frames of the power in the band, which a call of one second changes little.
    """
    band = slice(*(round(edge_hz / options.bin_hz) for edge_hz in BAND_HZ))
    of_noise = max(float(frame_power(noise, options, band).mean()), 1e-20)
    gain = background_level(samples, options) * np.sqrt((10 ** (drop_db / 10) - 1) / of_noise)
    louder: FloatArray = (samples + np.float32(gain) * noise).astype(np.float32)
    return louder


def _windows_of(path: str, lengths: Sequence[int], options: FrontEndOptions) -> list[FloatArray]:
    """Return parts of recordings at random, one of each length."""
    random, sounds = np.random.default_rng(_SEED), []
    for file in recordings.find_recordings([path]):
        recording = recordings.read_header(file)
        sounds.append(reading.read(recording, 1, options.rate_hz, 0, recording.n_samples(options.rate_hz)).samples)
    joined = np.concatenate(sounds)
    begins = random.integers(0, len(joined) - max(lengths), len(lengths))
    return [joined[begin : begin + n] for begin, n in zip(begins.tolist(), lengths, strict=True)]


def _resampled(samples: FloatArray, from_hz: int, to_hz: int, n: int | None = None) -> FloatArray:
    """Return samples at another rate, and ``n`` of them; the last is repeated where there are fewer."""
    other: FloatArray = soxr.resample(samples, from_hz, to_hz).astype(np.float32)
    return other if n is None else np.pad(other, (0, max(n - len(other), 0)), "edge")[:n]


def _coded(clips: Sequence[FloatArray], container: str, subtype: str, rate_hz: int) -> list[FloatArray]:
    """Return clips that were written one after the other with a lossy codec, and read again."""
    scale = [0.5 / np.abs(one).max() for one in clips]
    joined = np.concatenate([one * factor for one, factor in zip(clips, scale, strict=True)])
    file = io.BytesIO()
    resampled = _resampled(joined.astype(np.float32), rate_hz, _CODEC_HZ)
    with soundfile.SoundFile(file, "w", _CODEC_HZ, 1, subtype, format=container) as written:
        for begin in range(0, len(resampled), _CODEC_HZ):  # libsndfile cannot encode long blocks with Vorbis
            written.write(resampled[begin : begin + _CODEC_HZ])
    file.seek(0)
    read = _resampled(soundfile.read(file, dtype="float32")[0], _CODEC_HZ, rate_hz, len(joined))
    return np.split(read, np.cumsum([len(one) for one in clips])[:-1])


def _log_odds(model: Model, clips: Sequence[Clip]) -> np.ndarray:
    sounds = ValidationSounds(model.spec.classes, model.spec.front_end.rate_hz, (), tuple(clips), "held-out clips")
    return measure_model(model, sounds).clip_log_odds


def _is_call(clips: Sequence[Clip]) -> np.ndarray:
    return np.array([clip.holds_call for clip in clips])


def _even_odds(clips: Sequence[Clip], log_odds: np.ndarray) -> float:
    """Return the log-odds at which clean clips, half of them calls, hold a call with probability 0.5."""
    slope, offset = fit_platt(log_odds, _is_call(clips))
    return -offset / slope


def _metrics(clips: Sequence[Clip], log_odds: np.ndarray, even_odds: float) -> Row:
    is_call = _is_call(clips)
    return {
        "held-out clips": len(clips),
        "AUC": round(float(roc_auc_score(is_call, log_odds)), 4),
        "accuracy": round(float(accuracy_score(is_call, log_odds > even_odds)), 4),
        "average precision": round(float(average_precision_score(is_call, log_odds)), 4),
    }
