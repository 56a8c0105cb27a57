"""WAV files of excerpts."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalescan.audio.excerpts import lossless_wav
from whalescan.core import FloatArray

_PCM, _FLOAT = 1, 3


def riff(encoding: int, bits: int, rate_hz: int, content: bytes) -> bytes:
    """Return a WAV file of one channel as its specification has it; its chunks begin at even bytes."""
    form = struct.pack("<HHIIHH", encoding, 1, rate_hz, rate_hz * bits // 8, bits // 8, bits)
    chunks = [(b"fmt ", form if encoding == _PCM else form + b"\0\0")]
    if encoding != _PCM:
        chunks.append((b"fact", struct.pack("<I", len(content) // (bits // 8))))
    chunks.append((b"data", content))
    body = b"".join(name + struct.pack("<I", len(chunk)) + chunk + b"\0" * (len(chunk) % 2) for name, chunk in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def as_float(integers: list[int], bits: int) -> FloatArray:
    return (np.array(integers, np.float64) / 2.0 ** (bits - 1)).astype(np.float32)


@given(st.lists(st.integers(-(2**15), 2**15 - 1), max_size=50), st.sampled_from([250, 2000, 384_000]))
def test_16_bits_where_they_hold_every_sample(integers: list[int], rate_hz: int) -> None:
    expected = riff(_PCM, 16, rate_hz, np.array(integers, "<i2").tobytes())
    assert lossless_wav(as_float(integers, 16), rate_hz) == expected


@given(st.lists(st.integers(-(2**23), 2**23 - 1), max_size=50), st.sampled_from([250, 2000, 384_000]))
def test_24_bits_for_finer_samples(integers: list[int], rate_hz: int) -> None:
    integers = [1, *integers]
    content = b"".join(value.to_bytes(3, "little", signed=True) for value in integers)
    assert lossless_wav(as_float(integers, 24), rate_hz) == riff(_PCM, 24, rate_hz, content)


@pytest.mark.parametrize("value", [1.0, -1.5, np.inf])
@given(st.lists(st.floats(-4, 4, width=32), max_size=50))
def test_floating_point_beyond_full_scale(value: float, samples: list[float]) -> None:
    beyond = np.array([value, *samples], np.float32)
    assert lossless_wav(beyond, 2000) == riff(_FLOAT, 32, 2000, beyond.astype("<f4").tobytes())
