"""Held-out calls planted into held-out backgrounds: all of them, pairs, and calls beside a louder sound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.known_calls import CutCall, add, cut_calls, event_row, held_out_sounds, measure_model, peaks_s, tiled
from benchmarks.table import Row
from whalescan.core import FloatArray
from whalescan.detector.model_spec import Model, find_model
from whalescan.evaluation.matching import MatchOutcome, match
from whalescan.training.levels import background_level
from whalescan.training.simulation import knock, ship
from whalescan.training.sounds import TrainingSounds
from whalescan.training.validation_sounds import validation_sounds

SEED = 5
N_PAIRS, PAIR_DB, PAIR_APART_S = 200, (0.0, 9.0), (1.0, 1.6)
N_BESIDE, BESIDE_DB, BESIDE_S, LOUDER_DB = 300, (0.0, 9.0), (0.3, 1.5), 10.0
_PLACE_S = 12.0
_TOLERANCE_S, _PAIR_TOLERANCE_S = 1.0, 0.5
_EDGE_S = 3.0


def planted(clips: Path, without_calls: Sequence[str], model: str) -> list[Row]:
    """Return a row for calls at -3 to 9 dB in up to an hour of backgrounds, as `validation_sounds` plants them."""
    found = find_model(model)
    held_out = held_out_sounds(clips, without_calls, found)
    sounds = validation_sounds(held_out, found.spec.front_end, SEED)
    return [{"sound": sounds.description} | event_row(found, measure_model(found, sounds))]


def pairs(clips: Path, without_calls: Sequence[str], model: str) -> list[Row]:
    """Return a row for pairs of calls 1.0 to 1.6 s apart, at the model's own threshold and at a tenth of its odds."""
    found = find_model(model)
    held_out, random = held_out_sounds(clips, without_calls, found), np.random.default_rng(SEED)
    calls, rate_hz = cut_calls(held_out.clips, held_out.rate_hz), held_out.rate_hz
    samples, places = _places(held_out, N_PAIRS, found)
    middles = []
    for place in places:
        apart = random.uniform(*PAIR_APART_S) * rate_hz
        gain_db = random.uniform(*PAIR_DB)
        for middle in (place - apart / 2, place + apart / 2):
            add(samples, calls[int(random.integers(len(calls)))], middle, gain_db)
            middles.append(middle / rate_hz)
    own = found.spec.thresholds[0]
    odds = own / (1 - own) / 10
    rows: list[Row] = []
    for name, threshold in (("the model's own", own), ("a tenth of its odds", odds / (1 + odds))):
        is_found = _found(peaks_s(found, samples, threshold), middles, _PAIR_TOLERANCE_S).reshape(-1, 2).sum(axis=1)
        row: Row = {"threshold": f"{name}: {threshold:.3f}", "pairs": N_PAIRS}
        rows.append(row | {f"{n} found": f"{(is_found == n).mean():.1%}" for n in (2, 1, 0)})
    return rows


def beside(clips: Path, without_calls: Sequence[str], model: str) -> list[Row]:
    """Return a row for each kind of louder sound beside a call: the recall with and without it."""
    found = find_model(model)
    held_out = held_out_sounds(clips, without_calls, found)
    calls, rate_hz = cut_calls(held_out.clips, held_out.rate_hz), held_out.rate_hz
    rows: list[Row] = []
    kinds: dict[str, Callable[[np.random.Generator], FloatArray]] = {
        "knock": lambda random: knock(rate_hz, random).astype(np.float32),
        "tone": lambda random: _tone(rate_hz, random),
        "ship": lambda random: _passing_ship(rate_hz, random),
    }
    for kind, make in kinds.items():
        random = np.random.default_rng(SEED)
        alone, places = _places(held_out, N_BESIDE, found)
        with_sound = alone.copy()
        for place in places:
            call, gain_db = calls[int(random.integers(len(calls)))], random.uniform(*BESIDE_DB)
            add(alone, call, place, gain_db)
            add(with_sound, call, place, gain_db)
            _add_beside(with_sound, call, place, gain_db, make(random), random, rate_hz)
        middles = [place / rate_hz for place in places]
        before, after = (_found(peaks_s(found, one), middles, _TOLERANCE_S) for one in (alone, with_sound))
        rows.append(
            {
                "beside": f"{kind}, {LOUDER_DB:g} dB louder",
                "calls": N_BESIDE,
                "recall without": f"{before.mean():.1%}",
                "recall with": f"{after.mean():.1%}",
                "lost, points": round(100 * (before.mean() - after.mean()), 1),
            }
        )
    return rows


def _places(held_out: TrainingSounds, n: int, model: Model) -> tuple[FloatArray, list[float]]:
    """Return a background with level 1 in each place, and the sample in the middle of each place."""
    place = round(_PLACE_S * held_out.rate_hz)
    samples = tiled(held_out.backgrounds, n * place)
    for i in range(n):
        part = samples[i * place : (i + 1) * place]
        part /= np.float32(background_level(part, model.spec.front_end))
    return samples, [(i + 0.5) * place for i in range(n)]


def _found(peaks: Sequence[float], middles: Sequence[float], tolerance_s: float) -> np.ndarray:
    """Return which of the calls are detected: bool ``[n_calls]``."""
    matching = match(peaks, [1.0] * len(peaks), middles, (), tolerance_s)
    is_found = np.ones(len(middles), np.bool_)
    is_found[list(matching.false_negatives)] = False
    assert is_found.sum() == sum(outcome is MatchOutcome.TRUE_POSITIVE for outcome in matching.outcomes)
    return is_found


def _add_beside(
    samples: FloatArray,
    call: CutCall,
    place: float,
    gain_db: float,
    sound: FloatArray,
    random: np.random.Generator,
    rate_hz: int,
) -> None:
    """Add a sound whose root mean square is above the call's, 0.3 to 1.5 s before or after it."""
    gap = random.uniform(*BESIDE_S) * rate_hz
    is_after = random.random() < 0.5
    edge = place - call.middle + (len(call.samples) + gap if is_after else -gap - len(sound))
    begin = round(min(max(edge, 0), len(samples) - len(sound)))
    level = np.sqrt(np.mean(call.samples**2) / np.mean(sound**2)) * 10 ** ((gain_db + LOUDER_DB) / 20)
    samples[begin : begin + len(sound)] += np.float32(level) * sound


def _tone(rate_hz: int, random: np.random.Generator) -> FloatArray:
    """Return a steady tone of 0.4 to 1.5 s at 80 to 250 Hz."""
    n = round(random.uniform(0.4, 1.5) * rate_hz)
    tone = np.sin(2 * np.pi * random.uniform(80, 250) * np.arange(n) / rate_hz)
    ramp = np.minimum(np.arange(n), np.arange(n)[::-1]) / (0.05 * rate_hz)
    return (tone * np.minimum(ramp, 1)).astype(np.float32)


def _passing_ship(rate_hz: int, random: np.random.Generator) -> FloatArray:
    """Return 3 s of a ship's tonal lines, faded in and out."""
    n = round(_EDGE_S * rate_hz)
    lines = ship(n, rate_hz, random) + 1e-6
    return (lines * np.hanning(n)).astype(np.float32)
