"""Spectrogram images show sound at its time and frequency; excerpts hold the samples of the recording."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.builders import read_recording, write_sound
from whalescan.audio.excerpts import Excerpt, read_excerpt
from whalescan.core import RecordingError
from whalescan.report.spectrogram_image import spectrogram_image

RATE_HZ = 2000
Pixels = np.ndarray[tuple[int, int], np.dtype[np.float64]]


def pixels(png: bytes) -> Pixels:
    return np.array(Image.open(io.BytesIO(png)).convert("L"), np.float64)


def with_tone(begin_s: float, end_s: float, hz: float, length_s: float = 6.0, from_s: float = 0.0) -> Excerpt:
    """A tone in white noise."""
    n = round(length_s * RATE_HZ)
    samples = 0.01 * np.random.default_rng(5).standard_normal(n)
    at_s = np.arange(n) / RATE_HZ
    samples += 0.05 * np.sin(2 * np.pi * hz * at_s) * ((at_s >= begin_s) & (at_s < end_s))
    return Excerpt(samples.astype(np.float32), np.zeros(n, np.bool_), RATE_HZ, round(from_s * RATE_HZ))


@given(
    st.floats(0.5, 4.5), st.floats(75, 440), st.integers(200, 700), st.integers(80, 300), st.sampled_from([0.0, 30.0, 45.5])
)
@settings(max_examples=25)
def test_tone_is_dark_where_it_sounds(begin_s: float, hz: float, width_px: int, height_px: int, low_hz: float) -> None:
    high_hz = 500.0
    image = spectrogram_image(with_tone(begin_s, begin_s + 1, hz), low_hz, high_hz, width_px, height_px)
    dark = pixels(image.png) < 60
    rows, columns = np.nonzero(dark)
    assert pixels(image.png).shape == (height_px, width_px)
    assert (image.extent.begin_s, image.extent.end_s, image.extent.low_hz, image.extent.high_hz) == (
        0.0,
        6.0,
        low_hz,
        high_hz,
    )
    assert np.median(columns + 0.5) * 6 / width_px == pytest.approx(begin_s + 0.5, abs=0.1)
    assert high_hz - np.median(rows) * (high_hz - low_hz) / (height_px - 1) == pytest.approx(hz, abs=6)


def test_image_does_not_depend_on_the_gain() -> None:
    loud = with_tone(2, 3, 150)
    quiet = Excerpt((loud.samples / 64).astype(np.float32), loud.is_missing, RATE_HZ, 0)
    assert (
        np.mean(np.abs(pixels(spectrogram_image(loud, 0, 500).png) - pixels(spectrogram_image(quiet, 0, 500).png)) > 17)
        < 0.01
    )


def test_missing_samples_are_white_and_not_in_the_median() -> None:
    whole = with_tone(2, 3, 150)
    missing = whole.is_missing.copy()
    missing[: 3 * RATE_HZ // 2] = True
    cut = Excerpt(np.where(missing, np.float32(0), whole.samples), missing, RATE_HZ, 0)
    image = pixels(spectrogram_image(cut, 0, 500, 600, 100).png)
    assert np.all(image[:, :149] == 255)
    assert abs(np.median(image[:, 350:]) - np.median(pixels(spectrogram_image(whole, 0, 500, 600, 100).png)[:, 350:])) <= 34
    nothing = Excerpt(np.zeros(RATE_HZ, np.float32), np.ones(RATE_HZ, np.bool_), RATE_HZ, 0)
    assert np.all(pixels(spectrogram_image(nothing, 0, 500).png) == 255)


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2, 50, 255, 257])
def test_shortest_excerpts_have_images(n: int) -> None:
    sound = Excerpt(np.ones(n, np.float32), np.zeros(n, np.bool_), RATE_HZ, 0)
    assert pixels(spectrogram_image(sound, 0, 5000, 64, 32).png).shape == (32, 64)
    assert spectrogram_image(sound, 0, 5000).extent.high_hz == RATE_HZ / 2


def test_image_is_small() -> None:
    noise = np.random.default_rng(1).standard_normal(8 * RATE_HZ).astype(np.float32)
    assert len(spectrogram_image(Excerpt(noise, noise > 9, RATE_HZ, 0), 0, 500).png) < 30_000  # 60 of them are 1.8 MB


def test_excerpt_holds_the_samples_of_the_recording(tmp_path: Path) -> None:
    samples = (0.1 * np.random.default_rng(2).standard_normal(10 * RATE_HZ)).astype(np.float32)
    first = read_recording(write_sound(tmp_path / "a.wav", samples, subtype="FLOAT"))
    second = read_recording(write_sound(tmp_path / "b.wav", -samples, subtype="FLOAT"))
    inside = read_excerpt(first, 1, 2.5, 4.0, RATE_HZ)
    assert np.array_equal(inside.samples, samples[5000:8000])
    assert (inside.begin_s, inside.end_s) == (2.5, 4.0)
    assert np.array_equal(read_excerpt(first, 1, -3, 1, RATE_HZ).samples, samples[:2000])
    assert read_excerpt(first, 1, 9, 12, RATE_HZ).end_s == 10
    across = read_excerpt(first, 1, 9, 12, RATE_HZ, [second])
    assert np.array_equal(across.samples, np.concatenate([samples[18_000:], -samples[:4000]]))


def test_excerpt_outside_the_recording_is_an_error(tmp_path: Path) -> None:
    recording = read_recording(write_sound(tmp_path / "a.wav", np.zeros(2000, np.float32)))
    with pytest.raises(RecordingError, match=r"a\.wav: holds nothing from 1\.0 to 2\.0 s"):
        read_excerpt(recording, 1, 1, 2, RATE_HZ)
    recording.path.unlink()
    with pytest.raises(RecordingError, match="no longer exists"):
        read_excerpt(recording, 1, 0, 1, RATE_HZ)
