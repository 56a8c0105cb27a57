"""Sound files that lose nothing of the samples they are given."""

from __future__ import annotations

import struct

import numpy as np

from whalescan.core import FloatArray

_PCM, _FLOAT = 1, 3


def wav_bytes(samples: FloatArray, rate_hz: int) -> bytes:
    """A WAV of one channel, in as few bits as the samples need.

    16 bit where these hold every sample exactly, as they do for excerpts of 16-bit recordings; else 24, which is as fine as
    recorders get; else, where samples lie beyond full scale, floating point. libsndfile would scale 16-bit samples by a
    hair, and write the date into files in floating point.

    Args:
        samples: float32 ``[n]``, full scale is 1.
        rate_hz: of the samples.
    """
    for n_bytes in (2, 3):
        scale = 2.0 ** (8 * n_bytes - 1)
        scaled = samples.astype(np.float64) * scale
        rounded = np.rint(scaled)
        fits = not len(samples) or (rounded.min() >= -scale and rounded.max() < scale)
        if fits and (n_bytes == 3 or np.array_equal(rounded, scaled)):
            content = rounded.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :n_bytes].tobytes()
            return _riff(_PCM, n_bytes, rate_hz, content)
    return _riff(_FLOAT, 4, rate_hz, samples.astype("<f4").tobytes())


def _riff(encoding: int, n_bytes: int, rate_hz: int, content: bytes) -> bytes:
    """The container: its chunks begin at even bytes, and one in floating point says how many samples there are."""
    form = struct.pack("<HHIIHH", encoding, 1, rate_hz, rate_hz * n_bytes, n_bytes, 8 * n_bytes)
    chunks = [(b"fmt ", form if encoding == _PCM else form + b"\0\0")]
    if encoding != _PCM:
        chunks.append((b"fact", struct.pack("<I", len(content) // n_bytes)))
    chunks.append((b"data", content))
    body = b"".join(name + struct.pack("<I", len(chunk)) + chunk + b"\0" * (len(chunk) % 2) for name, chunk in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body
