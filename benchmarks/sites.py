"""Fine-tuning on simulated new sites: what a few annotated calls of a site gain, and whether they ever make it worse.

A site is one recording without calls, changed in one way, with held-out calls planted into it. One part of the calls and of
the recording is annotated and trained on, the other part is the test.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from scipy import signal

from benchmarks.known_calls import CutCall, add, curve_of, cut_calls, held_out_sounds, measure_model
from benchmarks.table import Row
from whalescan.core import Annotation, FloatArray
from whalescan.detector.model_spec import UPCALL, Model, find_model
from whalescan.tables.raven import annotation_bytes
from whalescan.training.sounds import Background, Call, TrainingSounds
from whalescan.training.train import train
from whalescan.training.validation_sounds import ContinuousSound, ValidationSounds

N_CALLS = (8, 20, 50)
N_DRAWS = 10
N_TEST_CALLS = 100
_APART_S = (6.0, 18.0)
_GAINS_DB = (-9.0, 3.0)
_LEAST_BACKGROUND_S = 30.0
_FULL_SCALE = 0.005
"""Level of a background in the file."""
_CALL_LOW_HZ, _CALL_HIGH_HZ = 80.0, 240.0
_CALL_S = 1.0


@dataclass(frozen=True, slots=True)
class Site:
    """A sound with planted calls.

    Attributes:
        samples: float32 ``[n]``, its background at level 1.
        middles: sample in the middle of each call.
    """

    samples: FloatArray
    middles: tuple[float, ...]


def measure(clips: Path, without_calls: Sequence[str], model: str, n_draws: int, kinds: Sequence[str]) -> list[Row]:
    """Return a row per kind of site and number of annotated calls, and print each as soon as it is known.

    Args:
        clips: folder with ``train.csv`` and ``train/``.
        without_calls: recordings without calls.
        model: name or path of the model that fine-tuning starts from.
        n_draws: number of sites of each kind.
        kinds: some of `KINDS`; empty for all.
    """
    start = find_model(model)
    held_out = held_out_sounds(clips, without_calls, start)
    rows: list[Row] = []
    for kind in kinds or KINDS:
        for n_calls in N_CALLS:
            draws = [_draw(held_out, start, kind, n_calls, seed) for seed in range(n_draws)]
            rows.append({"site": kind, "annotated calls": n_calls} | _summary(draws))
            print(rows[-1], flush=True)
    return rows


@dataclass(frozen=True, slots=True)
class _Draw:
    """Average precision on the test before and after, false positives per hour, and whether new weights were written."""

    before: float
    after: float
    false_before: float
    false_after: float
    is_new: bool


def _draw(held_out: TrainingSounds, start: Model, kind: str, n_calls: int, seed: int) -> _Draw:
    random = np.random.default_rng([seed, n_calls])
    rate_hz = held_out.rate_hz
    calls = cut_calls(held_out.clips, rate_hz)
    order = random.permutation(len(calls))
    own, other = ([calls[i] for i in half] for half in np.array_split(order, 2))
    usable = [one for one in held_out.backgrounds if len(one.samples) >= _LEAST_BACKGROUND_S * rate_hz]
    background = usable[int(random.integers(len(usable)))]
    half = len(background.samples) // 2
    changed = KINDS[kind](random, rate_hz)
    annotated = _site(background.samples[:half], own, n_calls, changed, random, rate_hz)
    test = _site(background.samples[half:], other, N_TEST_CALLS, changed, random, rate_hz)
    with tempfile.TemporaryDirectory() as folder:
        _write(annotated, Path(folder, "site"), rate_hz)
        path = Path(folder, "site.safetensors")
        trained = train(Path(folder, "site"), path, start_from=start.path, seed=seed, report=lambda _: None)
        (before, false_before), (after, false_after) = (_test(one, test, background) for one in (start, find_model(path)))
    return _Draw(before, after, false_before, false_after, not trained.keeps_start)


def _site(
    background: FloatArray,
    calls: Sequence[CutCall],
    n_calls: int,
    changed: Callable[[FloatArray, list[CutCall]], tuple[FloatArray, list[CutCall]]],
    random: np.random.Generator,
    rate_hz: int,
) -> Site:
    """Return a background, as long as the calls need, with calls; both changed as the site is."""
    middles = np.cumsum(random.uniform(*_APART_S, n_calls)) * rate_hz
    samples = np.resize(background, round(middles[-1] + _APART_S[1] * rate_hz)).astype(np.float32)
    chosen = [calls[int(random.integers(len(calls)))] for _ in range(n_calls)]
    samples, chosen = changed(samples, chosen)
    for call, middle in zip(chosen, middles, strict=True):
        add(samples, call, middle, random.uniform(*_GAINS_DB))
    return Site(samples, tuple(middles))


def _write(site: Site, folder: Path, rate_hz: int) -> None:
    """Write a recording and its Raven table."""
    folder.mkdir()
    soundfile.write(folder / "site.wav", (_FULL_SCALE * site.samples).clip(-1, 1), rate_hz, subtype="FLOAT")
    rows = [
        Annotation(m / rate_hz - _CALL_S / 2, m / rate_hz + _CALL_S / 2, _CALL_LOW_HZ, _CALL_HIGH_HZ, UPCALL)
        for m in site.middles
    ]
    (folder / "site.selections.txt").write_bytes(annotation_bytes(rows))


def _test(model: Model, site: Site, background: Background) -> tuple[float, float]:
    """Return average precision, and false positives per hour at the model's own threshold."""
    rate_hz = model.spec.front_end.rate_hz
    half = _CALL_S / 2 * rate_hz
    calls = tuple(Call(m - half, m + half, float("nan"), float("nan"), 0) for m in site.middles)
    continuous = ContinuousSound(site.samples, calls, np.zeros((0, 2), np.int64), background.name)
    sounds = ValidationSounds(model.spec.classes, rate_hz, (continuous,), (), "a simulated site")
    curve = curve_of(model, measure_model(model, sounds))
    own = curve.at(model.spec.thresholds[0])
    return curve.average_precision() or 0.0, own.false_positives_per_hour


def _summary(draws: Sequence[_Draw]) -> Row:
    before, after = (np.array([getattr(draw, name) for draw in draws]) for name in ("before", "after"))
    false_before, false_after = (
        np.mean([getattr(draw, name) for draw in draws]) for name in ("false_before", "false_after")
    )
    return {
        "draws": len(draws),
        "average precision before": round(float(before.mean()), 3),
        "after": round(float(after.mean()), 3),
        "not worse": int((after >= before - 1e-9).sum()),
        "new weights kept": sum(draw.is_new for draw in draws),
        "below .80 before": int((before < 0.8).sum()),
        "gain there": round(float((after - before)[before < 0.8].mean()), 3) if (before < 0.8).any() else "",
        "FP/h before": round(float(false_before), 2),
        "FP/h after": round(float(false_after), 2),
    }


# Kinds of sites: a function of a random generator and the sampling rate, which returns how sound and calls change.

_Change = Callable[[FloatArray, list[CutCall]], tuple[FloatArray, list[CutCall]]]


def _sampling_chain(random: np.random.Generator, rate_hz: int) -> _Change:
    """Another recorder: a steep high-pass and low-pass, a resonance, and 5 bits."""
    low_hz, high_hz, peak_hz = random.uniform(50, 90), random.uniform(260, 420), random.uniform(100, 300)
    band = signal.butter(4, (low_hz, high_hz), "bandpass", fs=rate_hz, output="sos")
    resonance = signal.tf2sos(*signal.iirpeak(peak_hz, 5, fs=rate_hz))

    def through(samples: FloatArray) -> FloatArray:
        filtered = signal.sosfilt(band, samples)
        filtered += 2 * signal.sosfilt(resonance, filtered)
        step = 8 * np.std(filtered) / 32
        heard: FloatArray = (np.round(filtered / step) * step).astype(np.float32)
        return heard

    def change(samples: FloatArray, calls: list[CutCall]) -> tuple[FloatArray, list[CutCall]]:
        return through(samples), [CutCall(through(call.samples), call.middle) for call in calls]

    return change


def _tonal_noise(random: np.random.Generator, rate_hz: int) -> _Change:
    """Machinery: steady lines, and tones in the band of calls that begin and end."""
    lines_hz = random.uniform(40, 300, 4)
    tone_hz, share = random.uniform(90, 220), random.uniform(0.1, 0.3)

    def change(samples: FloatArray, calls: list[CutCall]) -> tuple[FloatArray, list[CutCall]]:
        t_s, level = np.arange(len(samples)) / rate_hz, float(np.std(samples))
        noise = sum((np.sin(2 * np.pi * hz * t_s) for hz in lines_hz), start=np.zeros(len(t_s)))
        for begin, end in _on_and_off(len(samples), share, random, rate_hz):
            ramp = np.minimum(np.arange(end - begin), np.arange(end - begin)[::-1]) / (0.05 * rate_hz)
            noise[begin:end] += 4 * np.minimum(ramp, 1) * np.sin(2 * np.pi * tone_hz * t_s[begin:end])
        return (samples + 0.5 * level * noise).astype(np.float32), calls

    return change


def _on_and_off(n: int, share: float, random: np.random.Generator, rate_hz: int) -> Iterator[tuple[int, int]]:
    at = 0.0
    while at < n:
        at += random.exponential(1.5 / share) * rate_hz
        end = at + random.uniform(0.5, 2.5) * rate_hz
        if end < n:
            yield int(at), int(end)
        at = end


def _call_shape(random: np.random.Generator, rate_hz: int) -> _Change:
    """Another population: calls that are longer and lower, or shorter and higher."""
    del rate_hz
    factor = random.choice([random.uniform(0.55, 0.7), random.uniform(1.5, 1.8)])

    def change(samples: FloatArray, calls: list[CutCall]) -> tuple[FloatArray, list[CutCall]]:
        stretched = [
            CutCall(
                signal.resample(call.samples, round(factor * len(call.samples))).astype(np.float32), factor * call.middle
            )
            for call in calls
        ]
        return samples, stretched

    return change


KINDS: dict[str, Callable[[np.random.Generator, int], _Change]] = {
    "other sampling chain": _sampling_chain,
    "tonal noise": _tonal_noise,
    "other call shape": _call_shape,
}
