"""Sparse WAV files: a header, and zeros that take no space on most disks."""

from __future__ import annotations

import struct
from pathlib import Path

_MAX_RIFF_BYTES = 2**32 - 2**12


def sparse_wav(path: Path, rate_hz: int, n_frames: int, n_bits: int) -> None:
    """Write a mono WAV file, or RF64 where it is too long for WAV, and create its folders.

    Args:
        path: the file.
        rate_hz: its sampling rate.
        n_frames: its length.
        n_bits: 16 for silence, which counts as a dropout; 8 for a constant, because zero is the lowest value there.
    """
    frame_bytes = n_bits // 8
    n_bytes = frame_bytes * n_frames
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate_hz, frame_bytes * rate_hz, frame_bytes, n_bits)
    if n_bytes < _MAX_RIFF_BYTES:
        head = struct.pack("<4sI4s", b"RIFF", n_bytes + 36, b"WAVE") + form + struct.pack("<4sI", b"data", n_bytes)
    else:
        sizes = struct.pack("<4sIQQQI", b"ds64", 28, n_bytes + 72, n_bytes, n_frames, 0)
        head = b"RF64" + b"\xff" * 4 + b"WAVE" + sizes + form + b"data" + b"\xff" * 4
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + n_bytes)
