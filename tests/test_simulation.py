from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import signal

from whalescan import read_selections
from whalescan.training.simulation import LABEL, SeaOptions, simulate, write_recordings


def test_the_same_seed_makes_the_same_sea() -> None:
    options = SeaOptions(minutes=0.5, calls_per_hour=300)
    one, same, other = simulate(2000, options), simulate(2000, options), simulate(2000, options, index=1)
    np.testing.assert_array_equal(one.samples, same.samples)
    assert one.calls == same.calls
    assert other.calls != one.calls


@pytest.mark.parametrize("rate", [2000, 4000])
def test_calls_are_where_the_truth_says(rate: int) -> None:
    options = SeaOptions(minutes=2, calls_per_hour=200, snr_db=(15, 15), ships=False, humpbacks=False, knocks=False)
    scene = simulate(rate, options)
    band = signal.butter(4, (60, 350), "bandpass", fs=rate, output="sos")
    power = signal.sosfiltfilt(band, scene.samples) ** 2
    assert len(scene.calls) >= 3
    for call in scene.calls:
        inside = power[round(call.begin_s * rate) : round(call.end_s * rate)].mean()
        assert inside > 4 * np.median(power), "15 dB stand out"
        assert 60 < call.low_hz < call.high_hz < 350
        assert 0.5 < call.end_s - call.begin_s < 1.5


def test_no_calls_and_full_scale() -> None:
    scene = simulate(2000, SeaOptions(minutes=1, calls_per_hour=0))
    assert scene.calls == ()
    assert np.abs(scene.samples).max() <= 1


def test_recordings_with_their_truth(tmp_path: Path) -> None:
    written = list(write_recordings(tmp_path, 3, SeaOptions(minutes=0.25, calls_per_hour=600)))
    assert [path.suffix for path, _ in written] == [".wav", ".flac", ".aiff"]
    for path, n_calls in written:
        truth = read_selections(path.with_suffix(".selections.txt"))
        assert len(truth) == n_calls
        assert all(call.label == LABEL for call in truth)
        assert soundfile.info(path).duration == 15
