"""Reading and resampling spans of recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import read_recording, write_sound
from whalescan.audio import reading
from whalescan.core import FloatArray


@pytest.fixture(scope="module")
def long_recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Recordings of 150 s of noise at several rates, longer than two segments."""
    folder = tmp_path_factory.mktemp("long")
    random = np.random.default_rng(1)
    return {
        rate: write_sound(folder / f"{rate}.wav", 0.1 * random.standard_normal(150 * rate + 7), rate, subtype="FLOAT")
        for rate in (600, 2000, 4000, 11_025, 44_100)
    }


@pytest.mark.parametrize("rate", [600, 2000, 4000, 11_025, 44_100])
def test_segments_agree_with_resampling_the_whole_recording(long_recordings: dict[int, Path], rate: int) -> None:
    path = long_recordings[rate]
    recording = read_recording(path)
    segment = reading.read(recording, 1, 2000, 0, recording.n_samples(2000))
    samples, _ = soundfile.read(path, dtype="float32")
    at_once = soxr.resample(samples, rate, 2000) if rate != 2000 else samples
    assert len(segment.samples) - len(at_once) in (0, 1)
    np.testing.assert_allclose(segment.samples[: len(at_once)], at_once, atol=2e-6)
    assert not segment.is_unreadable.any()


@pytest.mark.slow
@settings(max_examples=25)
@given(data=st.data())
@pytest.mark.parametrize("rate", [600, 2000, 11_025])
def test_samples_do_not_depend_on_the_chunk(long_recordings: dict[int, Path], rate: int, data: st.DataObject) -> None:
    recording = read_recording(long_recordings[rate])
    n = recording.n_samples(2000)
    whole = reading.read(recording, 1, 2000, 0, n).samples
    begin = data.draw(st.integers(0, n - 1))
    end = data.draw(st.integers(begin + 1, n))
    np.testing.assert_array_equal(reading.read(recording, 1, 2000, begin, end).samples, whole[begin:end])


@pytest.mark.parametrize("rate", [2000, 48_000])
def test_resampling_does_not_move_sounds_in_time(tmp_path: Path, rate: int) -> None:
    samples = np.zeros(70 * rate)
    samples[round(61.5 * rate) : round(61.5 * rate) + rate // 100] = 0.5
    sound = reading.read(read_recording(write_sound(tmp_path / "x.wav", samples, rate)), 1, 2000, 0, 140_000).samples
    assert abs(int(np.abs(sound).argmax()) - round(61.505 * 2000)) <= 12


def test_channels_are_separate(tmp_path: Path) -> None:
    both = np.stack([np.full(20_000, 0.25), np.full(20_000, -0.5)], axis=1)
    recording = read_recording(write_sound(tmp_path / "x.wav", both))
    assert reading.read(recording, 1, 2000, 0, 20_000).samples.mean() == 0.25
    assert reading.read(recording, 2, 2000, 0, 20_000).samples.mean() == -0.5


def test_samples_that_are_not_finite(tmp_path: Path, noise: FloatArray) -> None:
    samples = noise.copy()
    samples[4000:4010], samples[9000] = np.nan, np.inf
    segment = reading.read(read_recording(write_sound(tmp_path / "x.wav", samples, subtype="FLOAT")), 1, 2000, 0, 20_000)
    assert np.isfinite(segment.samples).all()
    assert segment.is_unreadable.sum() == 11
    assert "2.0 s" in segment.problems[0]
    np.testing.assert_array_equal(segment.samples[~segment.is_unreadable], noise[~segment.is_unreadable])


def write_flac(folder: Path, samples: FloatArray) -> Path:
    return write_sound(folder / "x.flac", samples, subtype="PCM_16")


@pytest.fixture
def minute() -> FloatArray:
    return (0.1 * np.random.default_rng(2).standard_normal(120_000)).astype(np.float32)


def test_damaged_flac_is_read_before_and_after_the_damage(tmp_path: Path, minute: FloatArray) -> None:
    """Many readers stop at the damage, or discard the whole block before it."""
    path = write_flac(tmp_path, minute)
    whole = reading.read(read_recording(path), 1, 2000, 0, 120_000).samples
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    path.write_bytes(bytes(content))
    segment = reading.read(read_recording(path), 1, 2000, 0, 120_000)
    assert segment.problems
    assert 0 < segment.is_unreadable.sum() < 20_000, "only a few seconds are lost"
    assert not segment.is_unreadable[:40_000].any()
    assert not segment.is_unreadable[-40_000:].any()
    np.testing.assert_array_equal(segment.samples[~segment.is_unreadable], whole[~segment.is_unreadable])


def test_truncated_flac_is_read_to_its_end(tmp_path: Path, minute: FloatArray) -> None:
    path = write_flac(tmp_path, minute)
    whole = reading.read(read_recording(path), 1, 2000, 0, 120_000).samples
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    segment = reading.read(read_recording(path), 1, 2000, 0, 120_000)
    assert 50_000 < (~segment.is_unreadable).sum() < 61_000
    np.testing.assert_array_equal(segment.samples[~segment.is_unreadable], whole[~segment.is_unreadable])


def test_unreadable_samples_do_not_depend_on_the_chunk(tmp_path: Path, minute: FloatArray) -> None:
    path = write_flac(tmp_path, minute)
    content = bytearray(path.read_bytes())
    content[90_000:91_000] = bytes(1000)
    path.write_bytes(bytes(content))
    recording = read_recording(path)
    whole = reading.read(recording, 1, 2000, 0, 120_000)
    parts = [reading.read(recording, 1, 2000, begin, begin + 7000) for begin in range(0, 120_000, 7000)]
    np.testing.assert_array_equal(np.concatenate([part.samples for part in parts]), whole.samples)
    np.testing.assert_array_equal(np.concatenate([part.is_unreadable for part in parts]), whole.is_unreadable)
