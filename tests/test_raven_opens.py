"""Both ways in which Raven opens a table must place each selection on the energy of the call."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from scipy import signal

import whalescan
from whalescan.core import FloatArray

RATE_HZ = 2000


@pytest.fixture(scope="module")
def out(simulated_recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output of a run on recordings of 2 and 4 kHz, with one between them without calls."""
    folder, out = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("out")
    for path in simulated_recordings.iterdir():
        if path.suffix != ".txt":
            (folder / path.name).write_bytes(path.read_bytes())
    quiet = 0.01 * np.random.default_rng(1).standard_normal(7001)
    soundfile.write(folder / "SIM_20260401T000039Z.wav", quiet, RATE_HZ)
    whalescan.scan(folder, out, hop_s=0.5)
    return out


def read(path: str) -> FloatArray:
    samples, rate_hz = soundfile.read(path, dtype="float32")
    resampled: FloatArray = samples if rate_hz == RATE_HZ else signal.resample_poly(samples, RATE_HZ, rate_hz)
    return resampled


def energy_ratio(sound: FloatArray, begin_s: float, end_s: float, low_hz: float, high_hz: float) -> float:
    """Return the energy density in a box relative to the two seconds around it, in the same band."""
    band = signal.sosfiltfilt(signal.butter(4, [low_hz, high_hz], "bandpass", fs=RATE_HZ, output="sos"), sound)
    power = np.square(band)
    begin, end = round(begin_s * RATE_HZ), round(end_s * RATE_HZ)
    around = np.concatenate([power[max(begin - RATE_HZ, 0) : begin], power[end : end + RATE_HZ]])
    return float(power[begin:end].mean() / around.mean())


@pytest.mark.slow
@pytest.mark.parametrize("way", ["selection table", "sound selection table", "table of the recording"])
def test_the_energy_of_the_call_is_in_the_box(out: Path, way: str) -> None:
    paths = (out / "deployment.listfile.txt").read_text().splitlines()
    assert len(paths) == 4
    sounds = {path: read(path) for path in paths}
    sequence = np.concatenate(list(sounds.values()))
    tables = [out / "deployment.whalescan.sound.selections.txt"]
    if way == "table of the recording":
        tables = sorted((out / "selections").iterdir())
    ratios = []
    for table in tables:
        for row in pd.read_csv(table, sep="\t").to_dict("records"):
            length_s = row["End Time (s)"] - row["Begin Time (s)"]
            begin_s = row["File Offset (s)"] if way == "sound selection table" else row["Begin Time (s)"]
            sound = sequence if way == "selection table" else sounds[row["Begin Path"]]
            ratios.append(energy_ratio(sound, begin_s, begin_s + length_s, row["Low Freq (Hz)"], row["High Freq (Hz)"]))
    assert len(ratios) >= 5
    assert np.median(ratios) > 3
    assert min(ratios) > 1.2
