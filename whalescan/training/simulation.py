"""Simulated recordings: ambient noise, ships, humpback whales, knocks, and upcalls at known samples.

For sample data, demonstrations and tests, not for training. Shapes and rates follow measurements: upcalls start near
109 Hz and sweep 89 Hz (PAMGuard's class means), last about 1 s, and come in clusters (intervals in DCLDE 2013 are log-normal
with a median of 21 s); the ambient spectrum is Wenz' in the closed form of Coates and Stojanovic.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from scipy import signal

from whalescan.core import Annotation
from whalescan.core.files import write_atomically
from whalescan.tables.raven import annotation_bytes

Samples = npt.NDArray[np.float64]
LABEL = "NARW upcall"
CALL_BAND_HZ = (50.0, 350.0)
_FORMATS = ((".wav", 2000), (".flac", 4000), (".aiff", 2000))
_BEGIN_UTC = datetime(2026, 4, 1, tzinfo=UTC)
_FULL_SCALE_RMS = 0.01
_LEAD_S = 2.0
"""Smallest distance of a call from the begin and the end of a recording."""


@dataclass(frozen=True, slots=True)
class SimulationOptions:
    """Options of a simulation.

    Attributes:
        minutes: length of a recording.
        calls_per_hour: mean rate of upcalls.
        snr_db: range of the signal-to-noise ratio of calls, in 50-350 Hz.
        wind_m_s: wind speed, which sets the ambient noise above 200 Hz.
        shipping: distant shipping from 0 to 1, which sets the ambient noise below 200 Hz.
        ships, humpbacks, knocks: include passing ships, humpback song, knocks of the mooring.
        seed: random seed; the same seed gives the same samples.
    """

    minutes: float = 5.0
    calls_per_hour: float = 54.0
    snr_db: tuple[float, float] = (0.0, 12.0)
    wind_m_s: float = 5.0
    shipping: float = 0.5
    ships: bool = True
    humpbacks: bool = True
    knocks: bool = True
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Soundscape:
    """A simulated recording with the annotations of its calls.

    Attributes:
        samples: float64 ``[n]``, full scale is 1.
        calls: the upcalls, in the order of their times.
    """

    samples: Samples
    calls: tuple[Annotation, ...]


def write_recordings(folder: Path, n: int, options: SimulationOptions) -> Iterator[tuple[Path, int]]:
    """Write consecutive recordings in different formats and sampling rates, with Raven tables of their calls.

    Yields:
        Path and number of calls of each recording.
    """
    for index in range(n):
        suffix, rate_hz = _FORMATS[index % len(_FORMATS)]
        begin = _BEGIN_UTC + index * timedelta(minutes=options.minutes)
        path = folder / f"SIM_{begin:%Y%m%dT%H%M%SZ}{suffix}"
        soundscape = simulate_soundscape(rate_hz, options, index)
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, soundscape.samples, rate_hz, subtype="PCM_16")
        write_atomically(path.with_suffix(".selections.txt"), annotation_bytes(soundscape.calls))
        yield path, len(soundscape.calls)


def simulate_soundscape(rate_hz: int, options: SimulationOptions, index: int = 0) -> Soundscape:
    """Return a recording; another ``index`` gives another recording with the same options."""
    random = np.random.default_rng([options.seed, index])
    n = round(options.minutes * 60 * rate_hz)
    samples = ambient_noise(n, rate_hz, options, random)
    band = signal.butter(4, CALL_BAND_HZ, "bandpass", fs=rate_hz, output="sos")
    noise_rms = float(np.sqrt(np.mean(signal.sosfilt(band, samples) ** 2)))
    if options.ships:
        samples += noise_rms * ship(n, rate_hz, random)
    if options.humpbacks:
        _add_at_random_time(samples, humpback_song(rate_hz, random), noise_rms, random)
    if options.knocks:
        for _ in range(random.poisson(2 * options.minutes)):
            _add_at_random_time(samples, knock(rate_hz, random), 3 * noise_rms, random)
    calls = []
    for begin_s in _call_times(options, random):
        call, low_hz, high_hz = upcall(rate_hz, random)
        snr_db = random.uniform(*options.snr_db)
        rms = float(np.sqrt(np.mean(call**2)))
        begin = round(begin_s * rate_hz)
        echo_at = begin + round(random.uniform(0.01, 0.2) * rate_hz)
        call *= noise_rms * 10 ** (snr_db / 20) / rms
        samples[begin : begin + len(call)] += call
        samples[echo_at : echo_at + len(call)] += call * 10 ** (-random.uniform(10, 20) / 20)
        calls.append(Annotation(begin / rate_hz, (begin + len(call)) / rate_hz, low_hz, high_hz, LABEL))
    samples *= _FULL_SCALE_RMS / np.sqrt(np.mean(samples**2))
    return Soundscape(np.clip(samples, -1, 1), tuple(calls))


def upcall(rate_hz: int, random: np.random.Generator) -> tuple[Samples, float, float]:
    """Return the samples of an upcall, and the lowest and highest frequency of its fundamental in Hz.

    The frequency is constant at first and then rises with increasing slope. 18 % have a second harmonic (Vanderlaan 2003).
    """
    duration_s = float(np.clip(random.normal(0.98, 0.18), 0.6, 1.4))
    start_hz, sweep_hz = float(np.clip(random.normal(105, 12), 75, 140)), float(np.clip(random.normal(89, 25), 45, 160))
    u = np.linspace(0, 1, round(duration_s * rate_hz))
    frequency_hz = start_hz + sweep_hz * u ** random.uniform(1.3, 2.5)
    phase = 2 * np.pi * np.cumsum(frequency_hz) / rate_hz
    call = np.sin(phase)
    if random.random() < 0.18:
        call += 10 ** (-15 / 20) * np.sin(2 * phase)
    return call * signal.windows.tukey(len(u), 0.3) * (0.6 + 0.4 * u), start_hz, start_hz + sweep_hz


def ambient_noise(n: int, rate_hz: int, options: SimulationOptions, random: np.random.Generator) -> Samples:
    """Return ambient noise with the spectrum of Wenz, whose level varies by a few decibels over minutes."""
    khz = np.maximum(np.fft.rfftfreq(n, 1 / rate_hz), 5.0) / 1000
    log_khz = np.log10(khz)
    turbulence = 17 - 30 * log_khz
    traffic = 40 + 20 * (options.shipping - 0.5) + 26 * log_khz - 60 * np.log10(khz + 0.03)
    wind = 50 + 7.5 * options.wind_m_s**0.5 + 20 * log_khz - 40 * np.log10(khz + 0.4)
    power = sum(10 ** (level_db / 10) for level_db in (turbulence, traffic, wind))
    spectrum = np.fft.rfft(random.standard_normal(n)) * np.sqrt(power)
    noise = np.fft.irfft(spectrum, n)
    knots_s = np.arange(0, n / rate_hz + 60, 30)
    walk_db = np.cumsum(random.normal(0, 0.7, len(knots_s)))
    level: Samples = noise / noise.std() * 10 ** (np.interp(np.arange(n) / rate_hz, knots_s, walk_db - walk_db.mean()) / 20)
    return level


def ship(n: int, rate_hz: int, random: np.random.Generator) -> Samples:
    """Return the sound of a passing ship: slowly drifting tonal lines of propeller and machinery, loudest when closest."""
    t_s = np.arange(n) / rate_hz
    closest_s, span_s = random.uniform(0, n / rate_hz), random.uniform(60, 240)
    passage = np.exp(-0.5 * ((t_s - closest_s) / span_s) ** 2)
    blade_hz = random.uniform(6, 14)
    lines_hz = [blade_hz * k for k in range(3, 9)] + list(random.uniform(40, 300, 3))
    drift = 1 + 0.002 * np.sin(2 * np.pi * t_s / random.uniform(60, 300))
    sound = np.zeros(n)
    for line_hz in lines_hz:
        sound += random.uniform(0.05, 0.25) * np.sin(2 * np.pi * np.cumsum(line_hz * drift) / rate_hz)
    return passage * sound


def humpback_song(rate_hz: int, random: np.random.Generator) -> Samples:
    """Return a repeated phrase of a few units: moans, downsweeps and upsweeps of 100 to 700 Hz with harmonics."""
    phrase = [np.zeros(round(0.5 * rate_hz))]
    for _ in range(random.integers(3, 6)):
        u = np.linspace(0, 1, round(random.uniform(0.3, 1.8) * rate_hz))
        begin_hz, end_hz = random.uniform(150, 500), random.uniform(100, 700)
        bend = random.uniform(-80, 80) * np.sin(np.pi * u)
        phase = 2 * np.pi * np.cumsum(np.maximum(begin_hz + (end_hz - begin_hz) * u + bend, 60)) / rate_hz
        unit = sum(0.5**k * np.sin((k + 1) * phase) for k in range(3) if (k + 1) * max(begin_hz, end_hz) < rate_hz / 2.2)
        phrase += [unit * signal.windows.tukey(len(u), 0.4), np.zeros(round(random.uniform(0.4, 1.5) * rate_hz))]
    return np.tile(np.concatenate(phrase), 2)


def knock(rate_hz: int, random: np.random.Generator) -> Samples:
    """Return a knock of the mooring: broadband sound that decays in 5 to 50 ms."""
    decay_s = random.uniform(0.005, 0.05)
    t_s = np.arange(round(6 * decay_s * rate_hz)) / rate_hz
    return random.standard_normal(len(t_s)) * np.exp(-t_s / decay_s)


def _add_at_random_time(samples: Samples, sound: Samples, level: float, random: np.random.Generator) -> None:
    """Add a sound to the recording at a random time, with a random level of 0.5 to 2 times the given one."""
    if len(sound) < len(samples):
        begin = random.integers(0, len(samples) - len(sound))
        samples[begin : begin + len(sound)] += level * random.uniform(0.5, 2) * sound


def _call_times(options: SimulationOptions, random: np.random.Generator) -> Iterator[float]:
    """Return the begins of calls, which are clustered and at least 2.5 s apart, so that calls do not overlap."""
    sigma = 1.35
    mean_s = 3600 / options.calls_per_hour if options.calls_per_hour > 0 else np.inf
    median_s = mean_s / np.exp(sigma**2 / 2)
    last_s = options.minutes * 60 - _LEAD_S - 1.6
    t_s = _LEAD_S + random.uniform(0, min(mean_s, options.minutes * 30))
    while t_s < last_s and np.isfinite(median_s):
        yield t_s
        t_s += max(2.5, float(random.lognormal(np.log(median_s), sigma)))
