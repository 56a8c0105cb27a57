from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import recording_of, write_sound
from whalescan.audio import reading
from whalescan.core import FloatArray


@pytest.fixture(scope="module")
def long_recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """150 s of noise at several rates, longer than two segments."""
    folder = tmp_path_factory.mktemp("long")
    random = np.random.default_rng(1)
    return {
        rate: write_sound(folder / f"{rate}.wav", 0.1 * random.standard_normal(150 * rate + 7), rate, subtype="FLOAT")
        for rate in (600, 2000, 4000, 11_025, 44_100)
    }


@pytest.mark.parametrize("rate", [600, 2000, 4000, 11_025, 44_100])
def test_segments_agree_with_resampling_all_at_once(long_recordings: dict[int, Path], rate: int) -> None:
    path = long_recordings[rate]
    recording = recording_of(path)
    sound = reading.read(recording, 1, 2000, 0, recording.n_samples(2000))
    samples, _ = soundfile.read(path, dtype="float32")
    at_once = soxr.resample(samples, rate, 2000) if rate != 2000 else samples
    assert len(sound.samples) - len(at_once) in (0, 1)
    np.testing.assert_allclose(sound.samples[: len(at_once)], at_once, atol=2e-6)
    assert not sound.lost.any()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("rate", [600, 2000, 11_025])
def test_a_sample_is_the_same_whichever_chunk_it_is_read_for(
    long_recordings: dict[int, Path], rate: int, data: st.DataObject
) -> None:
    recording = recording_of(long_recordings[rate])
    n = recording.n_samples(2000)
    whole = reading.read(recording, 1, 2000, 0, n).samples
    begin = data.draw(st.integers(0, n - 1))
    end = data.draw(st.integers(begin + 1, n))
    np.testing.assert_array_equal(reading.read(recording, 1, 2000, begin, end).samples, whole[begin:end])


@pytest.mark.parametrize("rate", [2000, 48_000])
def test_what_is_put_in_at_a_time_is_found_at_that_time(tmp_path: Path, rate: int) -> None:
    samples = np.zeros(70 * rate)
    samples[round(61.5 * rate) : round(61.5 * rate) + rate // 100] = 0.5
    sound = reading.read(recording_of(write_sound(tmp_path / "x.wav", samples, rate)), 1, 2000, 0, 140_000).samples
    assert abs(int(np.abs(sound).argmax()) - round(61.505 * 2000)) <= 12


def test_channels_are_told_apart(tmp_path: Path) -> None:
    both = np.stack([np.full(20_000, 0.25), np.full(20_000, -0.5)], axis=1)
    recording = recording_of(write_sound(tmp_path / "x.wav", both))
    assert reading.read(recording, 1, 2000, 0, 20_000).samples.mean() == 0.25
    assert reading.read(recording, 2, 2000, 0, 20_000).samples.mean() == -0.5


def test_samples_that_are_no_numbers(tmp_path: Path, noise: FloatArray) -> None:
    broken = noise.copy()
    broken[4000:4010], broken[9000] = np.nan, np.inf
    sound = reading.read(recording_of(write_sound(tmp_path / "x.wav", broken, subtype="FLOAT")), 1, 2000, 0, 20_000)
    assert np.isfinite(sound.samples).all()
    assert sound.lost.sum() == 11
    assert "2.0 s" in sound.problems[0]
    np.testing.assert_array_equal(sound.samples[~sound.lost], noise[~sound.lost])


def _flac(folder: Path, samples: FloatArray) -> Path:
    return write_sound(folder / "x.flac", samples, subtype="PCM_16")


@pytest.fixture
def minute() -> FloatArray:
    return (0.1 * np.random.default_rng(2).standard_normal(120_000)).astype(np.float32)


def test_flac_damaged_in_the_middle_keeps_what_is_before_and_after(tmp_path: Path, minute: FloatArray) -> None:
    """Other readers give up at the break, and one of them takes the whole batch with it."""
    path = _flac(tmp_path, minute)
    whole = reading.read(recording_of(path), 1, 2000, 0, 120_000).samples
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    path.write_bytes(bytes(content))
    sound = reading.read(recording_of(path), 1, 2000, 0, 120_000)
    assert sound.problems
    assert 0 < sound.lost.sum() < 20_000, "a few seconds are lost, not the rest"
    assert not sound.lost[:40_000].any()
    assert not sound.lost[-40_000:].any()
    np.testing.assert_array_equal(sound.samples[~sound.lost], whole[~sound.lost])


def test_flac_cut_off_keeps_what_is_there(tmp_path: Path, minute: FloatArray) -> None:
    path = _flac(tmp_path, minute)
    whole = reading.read(recording_of(path), 1, 2000, 0, 120_000).samples
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    sound = reading.read(recording_of(path), 1, 2000, 0, 120_000)
    assert 50_000 < (~sound.lost).sum() < 61_000
    np.testing.assert_array_equal(sound.samples[~sound.lost], whole[~sound.lost])


def test_damage_does_not_depend_on_the_chunk(tmp_path: Path, minute: FloatArray) -> None:
    path = _flac(tmp_path, minute)
    content = bytearray(path.read_bytes())
    content[90_000:91_000] = bytes(1000)
    path.write_bytes(bytes(content))
    recording = recording_of(path)
    whole = reading.read(recording, 1, 2000, 0, 120_000)
    parts = [reading.read(recording, 1, 2000, begin, begin + 7000) for begin in range(0, 120_000, 7000)]
    np.testing.assert_array_equal(np.concatenate([part.samples for part in parts]), whole.samples)
    np.testing.assert_array_equal(np.concatenate([part.lost for part in parts]), whole.lost)
