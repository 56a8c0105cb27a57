"""Simulated recordings: seeds, and calls at their annotated times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import signal

from whalescan import read_selections
from whalescan.training.simulation import LABEL, SimulationOptions, simulate_soundscape, write_recordings


def test_same_seed_same_samples() -> None:
    options = SimulationOptions(minutes=0.5, calls_per_hour=300)
    one, same = simulate_soundscape(2000, options), simulate_soundscape(2000, options)
    other = simulate_soundscape(2000, options, index=1)
    np.testing.assert_array_equal(one.samples, same.samples)
    assert one.calls == same.calls
    assert other.calls != one.calls


@pytest.mark.parametrize("rate", [2000, 4000])
def test_calls_have_power_at_their_times(rate: int) -> None:
    options = SimulationOptions(minutes=2, calls_per_hour=200, snr_db=(15, 15), ships=False, humpbacks=False, knocks=False)
    soundscape = simulate_soundscape(rate, options)
    band = signal.butter(4, (60, 350), "bandpass", fs=rate, output="sos")
    power = signal.sosfiltfilt(band, soundscape.samples) ** 2
    assert len(soundscape.calls) >= 3
    for call in soundscape.calls:
        inside = power[round(call.begin_s * rate) : round(call.end_s * rate)].mean()
        assert inside > 4 * np.median(power), "15 dB stand out"
        assert 60 < call.low_hz < call.high_hz < 350
        assert 0.5 < call.end_s - call.begin_s < 1.5


def test_without_calls() -> None:
    soundscape = simulate_soundscape(2000, SimulationOptions(minutes=1, calls_per_hour=0))
    assert soundscape.calls == ()
    assert np.abs(soundscape.samples).max() <= 1


def test_recordings_with_annotations(tmp_path: Path) -> None:
    written = list(write_recordings(tmp_path, 3, SimulationOptions(minutes=0.25, calls_per_hour=600)))
    assert [path.suffix for path, _ in written] == [".wav", ".flac", ".aiff"]
    for path, n_calls in written:
        annotations = read_selections(path.with_suffix(".selections.txt"))
        assert len(annotations) == n_calls
        assert all(call.label == LABEL for call in annotations)
        assert soundfile.info(path).duration == 15
