"""Boxes around the strongest trace of a clip."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from whalescan.core import FloatArray
from whalescan.detector.frontend import FrontEnd
from whalescan.detector.model_spec import FrontEndOptions
from whalescan.training.localisation import close_gaps, trace_boxes
from whalescan.training.simulation import upcall

OPTIONS = FrontEndOptions()


def clip_with(sound: np.ndarray, at_s: float, level: float = 1.0) -> FloatArray:
    """Return a clip of two seconds: quiet noise and a sound."""
    clip = 0.05 * np.random.default_rng(5).standard_normal(4000)
    begin = round(at_s * 2000)
    clip[begin : begin + len(sound)] += level * sound
    return clip.astype(np.float32)


def normalised(*clips: FloatArray) -> FloatArray:
    power: FloatArray = FrontEnd(OPTIONS).normalise(torch.from_numpy(np.stack(clips))).power.numpy()
    return power


@pytest.mark.parametrize("seed", range(6))
def test_box_of_a_call(seed: int) -> None:
    call, low_hz, high_hz = upcall(2000, np.random.default_rng(seed))
    ((begin, end, box_low_hz, box_high_hz),) = trace_boxes(normalised(clip_with(call, 0.5, 0.1)), OPTIONS)
    assert begin / 2000 == pytest.approx(0.5, abs=0.2)
    assert end / 2000 == pytest.approx(0.5 + len(call) / 2000, abs=0.2)
    assert box_low_hz == pytest.approx(low_hz, abs=30)
    assert box_high_hz == pytest.approx(high_hz, abs=40)


def test_flat_power_has_no_box() -> None:
    assert np.isnan(trace_boxes(np.ones((3, OPTIONS.n_bins, 56), np.float32), OPTIONS)).all()


def test_boxes_do_not_depend_on_other_clips() -> None:
    random = np.random.default_rng(1)
    call, _, _ = upcall(2000, random)
    clips = [clip_with(call, at_s, loud) for at_s, loud in ((0.1, 1), (0.5, 0.1), (0.9, 1), (0.3, 0.03))]
    clips += list(random.standard_normal((5, 4000)).astype(np.float32))
    power = normalised(*clips)
    alone = np.concatenate([trace_boxes(of_one[None], OPTIONS) for of_one in power])
    assert np.array_equal(trace_boxes(power, OPTIONS), alone, equal_nan=True)
    assert np.isfinite(alone).all(axis=1).any()


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.sampled_from([1, 3, 5]), st.sampled_from([1, 5, 7]))
def test_close_gaps_agrees_with_scipy(seed: int, share: float, n_bins: int, n_frames: int) -> None:
    cells = np.random.default_rng(seed).random((2, 9, 17)) < share
    expected = ndimage.binary_closing(cells, np.ones((1, n_bins, n_frames), bool))
    assert np.array_equal(close_gaps(cells, n_bins, n_frames), expected)
