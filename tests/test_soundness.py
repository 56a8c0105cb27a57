from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import recording_of, write_sound
from whalescan.audio.quality import ChannelLook, complaints, look
from whalescan.core import FloatArray, PcmLayout, RecordingError

RATE_HZ = 2000
LSB = 2.0**-15
KINDS = [("wav", "PCM_16"), ("wav", "FLOAT"), ("flac", "PCM_24")]


def sea(rms: float, seconds: float = 30, seed: int = 1, rate_hz: int = RATE_HZ) -> FloatArray:
    return (rms * np.random.default_rng(seed).standard_normal(round(seconds * rate_hz))).astype(np.float32)


def rumble(rms: float, seed: int) -> FloatArray:
    """A sea with most of its power at the lowest frequencies, as ships and swell make it."""
    spectrum = np.fft.rfft(sea(1, seed=seed))
    spectrum[1:] /= np.arange(1, len(spectrum)) ** 0.5
    sound = np.fft.irfft(spectrum)
    return np.asarray(rms * sound / sound.std(), np.float32)


def looks_at(folder: Path, samples: FloatArray, kind: tuple[str, str] = KINDS[0]) -> tuple[ChannelLook, ...]:
    return look(recording_of(write_sound(folder / f"x.{kind[0]}", samples, RATE_HZ, subtype=kind[1])))


# ---------------------------------------------------------------------------------------------- nothing to complain about


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(sea(3 * LSB), id="quiet"),
        pytest.param(sea(0.5 * LSB), id="hardly anything"),
        pytest.param(sea(0.2), id="loud"),
        pytest.param(rumble(0.15, 1), id="rumble"),
        pytest.param(sea(0.01) + np.float32(0.008), id="a small offset"),
        pytest.param(sea(0.05) + np.float32(0.02), id="an offset below the sound"),
        pytest.param(0.9 * np.sin(2 * np.pi * 5 * np.arange(60_000) / RATE_HZ).astype(np.float32), id="a pure tone"),
        pytest.param(sea(0.03) + 0.6 * np.sin(np.arange(60_000) / 20).astype(np.float32), id="a ship's tone"),
    ],
)
def test_a_sound_sea_is_not_complained_about(tmp_path: Path, samples: FloatArray, kind: tuple[str, str]) -> None:
    assert complaints(looks_at(tmp_path, samples, kind)) == []


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.floats(LSB, 0.2), st.floats(-0.009, 0.009), st.sampled_from([*KINDS, ("wav", "PCM_U8")])
)
def test_no_sea_is_complained_about(seed: int, rms: float, offset: float, kind: tuple[str, str]) -> None:
    loud = max(rms, 0.02) if kind[1] == "PCM_U8" else rms  # what is below the steps of 8 bits is silence indeed
    with tempfile.TemporaryDirectory() as folder:
        assert complaints(looks_at(Path(folder), sea(loud, 10, seed) + np.float32(offset), kind)) == []


# ---------------------------------------------------------------------------------------------- each defect


@pytest.mark.parametrize("kind", KINDS)
def test_clipped_at_full_scale(tmp_path: Path, kind: tuple[str, str]) -> None:
    samples = sea(0.5)
    (one,) = looks = looks_at(tmp_path, np.clip(samples, -1, 1), kind)
    assert one.clipped_share == pytest.approx(np.mean(np.abs(samples) >= 1), abs=0.01)
    assert one.peak == 1
    (complaint,) = complaints(looks)
    assert complaint.startswith(f"channel 1 is clipped, {100 * one.clipped_share:.1f} %")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("low", "high"), [(-0.7, 0.7), (-0.4, 1), (-1, 0.3)])
def test_clipped_before_the_converter(tmp_path: Path, kind: tuple[str, str], low: float, high: float) -> None:
    """An amplifier saturates below full scale, and not at the same level on both sides."""
    samples = np.convolve(sea(0.6), [0.5, 0.5, 0.5], mode="same").astype(np.float32)  # so that it stays up for a while
    looks = looks_at(tmp_path, np.clip(samples, low, high), kind)
    (complaint,) = complaints(looks)
    assert "channel 1 is clipped" in complaint
    assert "less gain" in complaint


@settings(max_examples=25, deadline=None)
@given(st.floats(1.2, 2.5), st.integers(0, 100))
def test_the_louder_the_more_is_clipped(factor: float, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shares = [
            looks_at(Path(folder), np.clip(gain * sea(0.35, 10, seed), -1, 1))[0].clipped_share for gain in (1, factor)
        ]
    assert 0 < shares[0] < shares[1] < 1


def test_a_few_snaps_at_full_scale_are_no_defect(tmp_path: Path) -> None:
    samples = sea(0.05)
    samples[::10_000] = 1
    assert complaints(looks_at(tmp_path, samples)) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("offset", [-0.3, 0.02])
def test_dc_offset(tmp_path: Path, kind: tuple[str, str], offset: float) -> None:
    (one,) = looks = looks_at(tmp_path, sea(0.005) + np.float32(offset), kind)
    assert one.dc_offset == pytest.approx(offset, abs=0.001)
    assert one.rms == pytest.approx(0.005, rel=0.05), "the offset is no part of the sound"
    (complaint,) = complaints(looks)
    assert f"DC offset of {100 * one.dc_offset:.1f} %" in complaint


@pytest.mark.parametrize("kind", KINDS)
def test_drop_outs(tmp_path: Path, kind: tuple[str, str]) -> None:
    samples = sea(0.05)
    samples[15 * RATE_HZ - 1200 : 15 * RATE_HZ + 1200] = 0  # amid the look in the middle
    (one,) = looks = looks_at(tmp_path, samples, kind)
    assert one.longest_zeros_s == pytest.approx(1.2, abs=0.002)
    assert ["1.2 s of zeros" in complaint for complaint in complaints(looks)] == [True]
    samples[15 * RATE_HZ - 300] = 0.1  # 0.9 s remain
    assert complaints(looks_at(tmp_path, samples, kind)) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.0, 0.25, -1.0, 1.0])
def test_a_silent_channel_names_one_that_is_not(tmp_path: Path, kind: tuple[str, str], value: float) -> None:
    silent = np.full(60_000, value, np.float32)
    looks = looks_at(tmp_path, np.stack([silent, sea(0.01)], axis=1), kind)
    assert [(one.channel, one.is_constant) for one in looks] == [(1, True), (2, False)]
    assert (looks[0].rms, looks[0].clipped_share) == (0, 0)
    (complaint,) = complaints(looks)
    assert complaint.startswith("channel 1 is silent")
    assert complaint.endswith("--channel 2")
    (alone,) = complaints(looks[:1])
    assert "hydrophone" in alone


def test_samples_that_are_no_numbers_are_silence_as_they_are_for_the_reader(tmp_path: Path) -> None:
    samples = sea(0.05)
    samples[15 * RATE_HZ - 1200 : 15 * RATE_HZ + 1200] = np.nan
    samples[0], samples[5 * RATE_HZ] = np.inf, -np.inf
    (one,) = looks_at(tmp_path, samples, ("wav", "FLOAT"))
    assert one.longest_zeros_s == pytest.approx(1.2, abs=0.002)
    assert 0.1 < one.peak < 0.4


def test_several_defects_are_several_complaints(tmp_path: Path) -> None:
    samples = np.clip(sea(0.2) + 0.9, -1, 1).astype(np.float32)
    samples[14 * RATE_HZ : 16 * RATE_HZ] = 0
    words = ("is clipped", "DC offset", "drops out")
    assert all(word in text for word, text in zip(words, complaints(looks_at(tmp_path, samples)), strict=True))


# ---------------------------------------------------------------------------------------------- where it looks


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40_000), st.integers(1, 6), st.sampled_from([0.001, 0.5, 2.0, 100.0]))
def test_looks_lie_inside_any_recording(n_frames: int, n_looks: int, look_s: float) -> None:
    samples = (np.arange(n_frames) % 1000 / 2000).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        recording = recording_of(write_sound(Path(folder, "x.wav"), samples))
        (one,) = look(recording, n_looks, look_s)
    assert one.channel == 1
    assert 0 <= one.peak < 0.5
    assert one.is_constant == (one.rms == 0)


def test_only_the_looks_are_read(tmp_path: Path) -> None:
    """Three looks of 2 s into 30 s: at 4 to 6 s, 14 to 16 s, and 24 to 26 s."""
    samples = np.full(30 * RATE_HZ, 0.9, np.float32)
    for begin_s in (4, 14, 24):
        samples[begin_s * RATE_HZ : (begin_s + 2) * RATE_HZ] = sea(0.01, 2, begin_s)
    (one,) = looks_at(tmp_path, samples)
    assert one.peak < 0.1
    (longer,) = look(recording_of(tmp_path / "x.wav"), look_s=2.1)
    assert longer.peak > 0.8


def test_a_long_recording_takes_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundred thousand recordings may be looked into, some of them hours long."""
    recording = recording_of(write_sound(tmp_path / "x.flac", sea(0.05, 600)))
    read: list[int] = []
    original = soundfile.SoundFile.read

    def counted(file: soundfile.SoundFile, frames: int, **options: object) -> FloatArray:
        read.append(frames)
        return np.asarray(original(file, frames, **options), np.float32)

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    look(recording)
    assert read == [2 * RATE_HZ] * 3


def test_a_header_that_lies_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(bytes(100) + (sea(0.1) * 2**15).astype("<i2").tobytes())
    plain = replace(
        recording_of(write_sound(tmp_path / "y.wav", sea(0.1))), path=path, layout=PcmLayout(100, "PCM_16", "LITTLE")
    )
    (one,) = look(plain)
    assert one.rms == pytest.approx(0.1, rel=0.05)


# ---------------------------------------------------------------------------------------------- what cannot be read


def test_what_cannot_be_read_is_named_with_its_place(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "x.flac", sea(0.1))
    recording = recording_of(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])
    with pytest.raises(RecordingError, match=r"x\.flac: cannot be read at \d+\.\d s.*copy it again"):
        look(recording)
    path.write_bytes(b"no sound")
    with pytest.raises(RecordingError, match=r"x\.flac"):
        look(recording)
    path.unlink()
    with pytest.raises(RecordingError, match=r"x\.flac.*not there any more"):
        look(recording)


def test_a_file_shorter_than_it_was(tmp_path: Path) -> None:
    recording = recording_of(write_sound(tmp_path / "x.wav", sea(0.1)))
    write_sound(tmp_path / "x.wav", sea(0.1, 15))
    with pytest.raises(RecordingError, match=r"x\.wav: cannot be read at"):
        look(recording)
