"""What a picture shows lies where it is in the sound."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import recording_of, write_sound
from whalescan.audio.excerpts import Excerpt, excerpt
from whalescan.core import RecordingError
from whalescan.report.spectrogram import picture

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
@settings(max_examples=25, deadline=None)
def test_a_tone_is_dark_where_it_sounds_and_nowhere_else(
    begin_s: float, hz: float, width_px: int, height_px: int, low_hz: float
) -> None:
    high_hz = 500.0
    shown = picture(with_tone(begin_s, begin_s + 1, hz), low_hz, high_hz, width_px, height_px)
    dark = pixels(shown.png) < 60
    rows, columns = np.nonzero(dark)
    assert pixels(shown.png).shape == (height_px, width_px)
    assert (shown.frame.begin_s, shown.frame.end_s, shown.frame.low_hz, shown.frame.high_hz) == (0.0, 6.0, low_hz, high_hz)
    assert np.median(columns + 0.5) * 6 / width_px == pytest.approx(begin_s + 0.5, abs=0.1)
    assert high_hz - np.median(rows) * (high_hz - low_hz) / (height_px - 1) == pytest.approx(hz, abs=6)


def test_a_picture_does_not_hang_on_the_gain_of_the_recorder() -> None:
    loud = with_tone(2, 3, 150)
    quiet = Excerpt((loud.samples / 64).astype(np.float32), loud.missing, RATE_HZ, 0)
    assert np.mean(np.abs(pixels(picture(loud, 0, 500).png) - pixels(picture(quiet, 0, 500).png)) > 17) < 0.01


def test_what_could_not_be_read_is_white_and_does_not_darken_the_rest() -> None:
    whole = with_tone(2, 3, 150)
    missing = whole.missing.copy()
    missing[: 3 * RATE_HZ // 2] = True
    cut = Excerpt(np.where(missing, np.float32(0), whole.samples), missing, RATE_HZ, 0)
    shown = pixels(picture(cut, 0, 500, 600, 100).png)
    assert np.all(shown[:, :149] == 255)
    assert abs(np.median(shown[:, 350:]) - np.median(pixels(picture(whole, 0, 500, 600, 100).png)[:, 350:])) <= 34
    nothing = Excerpt(np.zeros(RATE_HZ, np.float32), np.ones(RATE_HZ, np.bool_), RATE_HZ, 0)
    assert np.all(pixels(picture(nothing, 0, 500).png) == 255)


@pytest.mark.parametrize("n", [1, 2, 50, 255, 257])
def test_the_shortest_sounds_have_pictures(n: int) -> None:
    sound = Excerpt(np.ones(n, np.float32), np.zeros(n, np.bool_), RATE_HZ, 0)
    assert pixels(picture(sound, 0, 5000, 64, 32).png).shape == (32, 64)
    assert picture(sound, 0, 5000).frame.high_hz == RATE_HZ / 2


def test_a_picture_is_small() -> None:
    noise = np.random.default_rng(1).standard_normal(8 * RATE_HZ).astype(np.float32)
    assert len(picture(Excerpt(noise, noise > 9, RATE_HZ, 0), 0, 500).png) < 30_000  # 60 of them are 1.8 MB


def test_an_excerpt_is_the_recordings_own_samples(tmp_path: Path) -> None:
    samples = (0.1 * np.random.default_rng(2).standard_normal(10 * RATE_HZ)).astype(np.float32)
    first = recording_of(write_sound(tmp_path / "a.wav", samples, subtype="FLOAT"))
    second = recording_of(write_sound(tmp_path / "b.wav", -samples, subtype="FLOAT"))
    inside = excerpt(first, 1, 2.5, 4.0, RATE_HZ)
    assert np.array_equal(inside.samples, samples[5000:8000])
    assert (inside.begin_s, inside.end_s) == (2.5, 4.0)
    assert np.array_equal(excerpt(first, 1, -3, 1, RATE_HZ).samples, samples[:2000])
    assert excerpt(first, 1, 9, 12, RATE_HZ).end_s == 10
    across = excerpt(first, 1, 9, 12, RATE_HZ, [second])
    assert np.array_equal(across.samples, np.concatenate([samples[18_000:], -samples[:4000]]))


def test_an_excerpt_of_what_is_not_there_says_so(tmp_path: Path) -> None:
    recording = recording_of(write_sound(tmp_path / "a.wav", np.zeros(2000, np.float32)))
    with pytest.raises(RecordingError, match=r"a\.wav: holds nothing from 1\.0 to 2\.0 s"):
        excerpt(recording, 1, 1, 2, RATE_HZ)
    recording.path.unlink()
    with pytest.raises(RecordingError, match="not there any more"):
        excerpt(recording, 1, 0, 1, RATE_HZ)
