"""Audio quality of channels."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import read_recording, write_sound
from whalescan.audio.quality import ChannelStatistics, channel_problems, measure_channels
from whalescan.core import FloatArray, PcmLayout, RecordingError

RATE_HZ = 2000
LSB = 2.0**-15
KINDS = [("wav", "PCM_16"), ("wav", "FLOAT"), ("flac", "PCM_24")]


def ambient_noise(rms: float, seconds: float = 30, seed: int = 1, rate_hz: int = RATE_HZ) -> FloatArray:
    return (rms * np.random.default_rng(seed).standard_normal(round(seconds * rate_hz))).astype(np.float32)


def low_frequency_noise(rms: float, seed: int) -> FloatArray:
    """Return noise with most of its power at the lowest frequencies, as of ships and swell."""
    spectrum = np.fft.rfft(ambient_noise(1, seed=seed))
    spectrum[1:] /= np.arange(1, len(spectrum)) ** 0.5
    samples = np.fft.irfft(spectrum)
    return np.asarray(rms * samples / samples.std(), np.float32)


def measure(folder: Path, samples: FloatArray, kind: tuple[str, str] = KINDS[0]) -> tuple[ChannelStatistics, ...]:
    return measure_channels(read_recording(write_sound(folder / f"x.{kind[0]}", samples, RATE_HZ, subtype=kind[1])))


# ---------------------------------------------------------------------------------------------- no problems


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(ambient_noise(3 * LSB), id="quiet"),
        pytest.param(ambient_noise(0.5 * LSB), id="below one step"),
        pytest.param(ambient_noise(0.2), id="loud"),
        pytest.param(low_frequency_noise(0.15, 1), id="low frequencies"),
        pytest.param(ambient_noise(0.01) + np.float32(0.008), id="a small offset"),
        pytest.param(ambient_noise(0.05) + np.float32(0.02), id="an offset below the sound"),
        pytest.param(0.9 * np.sin(2 * np.pi * 5 * np.arange(60_000) / RATE_HZ).astype(np.float32), id="a pure tone"),
        pytest.param(ambient_noise(0.03) + 0.6 * np.sin(np.arange(60_000) / 20).astype(np.float32), id="a ship's tone"),
    ],
)
def test_no_problems_in_good_recordings(tmp_path: Path, samples: FloatArray, kind: tuple[str, str]) -> None:
    assert channel_problems(measure(tmp_path, samples, kind)) == []


@settings(max_examples=25)
@given(
    st.integers(0, 2**32 - 1), st.floats(LSB, 0.2), st.floats(-0.009, 0.009), st.sampled_from([*KINDS, ("wav", "PCM_U8")])
)
def test_no_problems_in_ambient_noise(seed: int, rms: float, offset: float, kind: tuple[str, str]) -> None:
    loud = max(rms, 0.02) if kind[1] == "PCM_U8" else rms  # noise below one step of 8 bits is silence
    with tempfile.TemporaryDirectory() as folder:
        assert channel_problems(measure(Path(folder), ambient_noise(loud, 10, seed) + np.float32(offset), kind)) == []


# ---------------------------------------------------------------------------------------------- each defect


@pytest.mark.parametrize("kind", KINDS)
def test_clipping_at_full_scale(tmp_path: Path, kind: tuple[str, str]) -> None:
    samples = ambient_noise(0.5)
    (channel,) = statistics = measure(tmp_path, np.clip(samples, -1, 1), kind)
    assert channel.clipped_share == pytest.approx(np.mean(np.abs(samples) >= 1), abs=0.01)
    assert channel.peak == 1
    (problem,) = channel_problems(statistics)
    assert "channel 1 is clipped" in problem


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("low", "high"), [(-0.7, 0.7), (-0.4, 1), (-1, 0.3)])
def test_clipping_before_the_converter(tmp_path: Path, kind: tuple[str, str], low: float, high: float) -> None:
    """An amplifier saturates below full scale, and not at the same level on both sides."""
    samples = np.convolve(ambient_noise(0.6), [0.5, 0.5, 0.5], mode="same").astype(
        np.float32
    )  # low-pass, so that several samples in a row are clipped
    statistics = measure(tmp_path, np.clip(samples, low, high), kind)
    (problem,) = channel_problems(statistics)
    assert "channel 1 is clipped" in problem


@settings(max_examples=25)
@given(st.floats(1.2, 2.5), st.integers(0, 100))
def test_clipped_share_grows_with_gain(factor: float, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shares = [
            measure(Path(folder), np.clip(gain * ambient_noise(0.35, 10, seed), -1, 1))[0].clipped_share
            for gain in (1, factor)
        ]
    assert 0 < shares[0] < shares[1] < 1


def test_single_transients_at_full_scale_are_not_clipping(tmp_path: Path) -> None:
    samples = ambient_noise(0.05)
    samples[::10_000] = 1
    assert channel_problems(measure(tmp_path, samples)) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("offset", [-0.3, 0.02])
def test_dc_offset(tmp_path: Path, kind: tuple[str, str], offset: float) -> None:
    (channel,) = statistics = measure(tmp_path, ambient_noise(0.005) + np.float32(offset), kind)
    assert channel.dc_offset == pytest.approx(offset, abs=0.001)
    assert channel.rms == pytest.approx(0.005, rel=0.05), "rms excludes the offset"
    (problem,) = channel_problems(statistics)
    assert "DC offset" in problem


@pytest.mark.parametrize("kind", KINDS)
def test_dropouts(tmp_path: Path, kind: tuple[str, str]) -> None:
    samples = ambient_noise(0.05)
    samples[15 * RATE_HZ - 1200 : 15 * RATE_HZ + 1200] = 0  # in the middle section
    (channel,) = statistics = measure(tmp_path, samples, kind)
    assert channel.longest_zeros_s == pytest.approx(1.2, abs=0.002)
    assert ["drop-outs" in problem for problem in channel_problems(statistics)] == [True]
    samples[15 * RATE_HZ - 300] = 0.1  # 0.9 s remain
    assert channel_problems(measure(tmp_path, samples, kind)) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.0, 0.25, -1.0, 1.0])
def test_silent_channel_suggests_one_with_signal(tmp_path: Path, kind: tuple[str, str], value: float) -> None:
    silent = np.full(60_000, value, np.float32)
    statistics = measure(tmp_path, np.stack([silent, ambient_noise(0.01)], axis=1), kind)
    assert [(channel.channel, channel.is_constant) for channel in statistics] == [(1, True), (2, False)]
    assert (statistics[0].rms, statistics[0].clipped_share) == (0, 0)
    (problem,) = channel_problems(statistics)
    assert "channel 1 is silent" in problem
    assert "`channel` to 2" in problem
    (alone,) = channel_problems(statistics[:1])
    assert "hydrophone" in alone


def test_samples_that_are_not_finite_are_silence(tmp_path: Path) -> None:
    samples = ambient_noise(0.05)
    samples[15 * RATE_HZ - 1200 : 15 * RATE_HZ + 1200] = np.nan
    samples[0], samples[5 * RATE_HZ] = np.inf, -np.inf
    (channel,) = measure(tmp_path, samples, ("wav", "FLOAT"))
    assert channel.longest_zeros_s == pytest.approx(1.2, abs=0.002)
    assert 0.1 < channel.peak < 0.4


def test_each_defect_is_a_problem(tmp_path: Path) -> None:
    samples = np.clip(ambient_noise(0.2) + 0.9, -1, 1).astype(np.float32)
    samples[14 * RATE_HZ : 16 * RATE_HZ] = 0
    words = ("clipped", "DC offset", "drop-outs")
    assert all(word in text for word, text in zip(words, channel_problems(measure(tmp_path, samples)), strict=True))


# ---------------------------------------------------------------------------------------------- sections


@settings(max_examples=40)
@given(st.integers(1, 40_000), st.integers(1, 6), st.sampled_from([0.001, 0.5, 2.0, 100.0]))
def test_sections_lie_inside_any_recording(n_frames: int, n_sections: int, section_s: float) -> None:
    samples = (np.arange(n_frames) % 1000 / 2000).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        recording = read_recording(write_sound(Path(folder, "x.wav"), samples))
        (channel,) = measure_channels(recording, n_sections, section_s)
    assert channel.channel == 1
    assert 0 <= channel.peak < 0.5
    assert channel.is_constant == (channel.rms == 0)


def test_only_the_sections_are_measured(tmp_path: Path) -> None:
    """Three sections of 2 s in 30 s: 4 to 6 s, 14 to 16 s, and 24 to 26 s."""
    samples = np.full(30 * RATE_HZ, 0.9, np.float32)
    for begin_s in (4, 14, 24):
        samples[begin_s * RATE_HZ : (begin_s + 2) * RATE_HZ] = ambient_noise(0.01, 2, begin_s)
    (channel,) = measure(tmp_path, samples)
    assert channel.peak < 0.1
    (longer,) = measure_channels(read_recording(tmp_path / "x.wav"), section_s=2.1)
    assert longer.peak > 0.8


def test_time_does_not_depend_on_the_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` may measure a hundred thousand recordings, some of them hours long."""
    recording = read_recording(write_sound(tmp_path / "x.flac", ambient_noise(0.05, 600)))
    read: list[int] = []
    original = soundfile.SoundFile.read

    def counted(file: soundfile.SoundFile, frames: int, **options: object) -> FloatArray:
        read.append(frames)
        return np.asarray(original(file, frames, **options), np.float32)

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    measure_channels(recording)
    assert read == [2 * RATE_HZ] * 3


def test_wrong_header_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(bytes(100) + (ambient_noise(0.1) * 2**15).astype("<i2").tobytes())
    plain = replace(
        read_recording(write_sound(tmp_path / "y.wav", ambient_noise(0.1))),
        path=path,
        layout=PcmLayout(100, "PCM_16", "LITTLE"),
    )
    (channel,) = measure_channels(plain)
    assert channel.rms == pytest.approx(0.1, rel=0.05)


# ---------------------------------------------------------------------------------------------- read errors


def test_read_error_names_file_and_time(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "x.flac", ambient_noise(0.1))
    recording = read_recording(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])
    with pytest.raises(RecordingError, match=r"x\.flac: cannot be read at \d+\.\d s"):
        measure_channels(recording)
    path.write_bytes(b"not audio")
    with pytest.raises(RecordingError, match=r"x\.flac"):
        measure_channels(recording)
    path.unlink()
    with pytest.raises(RecordingError, match=r"x\.flac"):
        measure_channels(recording)


def test_file_shorter_than_its_header_was(tmp_path: Path) -> None:
    recording = read_recording(write_sound(tmp_path / "x.wav", ambient_noise(0.1)))
    write_sound(tmp_path / "x.wav", ambient_noise(0.1, 15))
    with pytest.raises(RecordingError, match=r"x\.wav: cannot be read at"):
        measure_channels(recording)
