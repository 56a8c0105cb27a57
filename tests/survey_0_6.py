"""The sound of `fixtures/survey_0_6`, which whalescan 0.6.0 scored and people then reviewed.

The fixture was made with the program of commit b92d272, from these recordings (`python -m tests.survey_0_6 FOLDER`), by
``whalescan run FOLDER -o OUT`` and ``whalescan import-review OUT TABLE`` with a table in which the reviews, a moved box, a
deleted row and an added one were entered. Its report and its log were left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import soundfile

FIXTURE = Path(__file__).parent / "fixtures" / "survey_0_6"
RATE_HZ = 2000
LENGTH_S = 60
CALLS_S = {
    "R_20260301T000000Z.wav": (5.0, 12.5, 20.0, 31.0, 42.0, 50.5, 59.7),
    "R_20260301T000100Z.wav": (8.0, 15.0, 16.4, 30.0, 44.0),
    "R_20260301T010000Z.wav": (10.0, 25.0, 40.0),
}
"""Begins of the calls in each recording; the first two recordings follow each other without a gap."""
_SNR = (4.0, 1.6, 2.5)
"""Amplitudes of the calls over the noise's, in turn."""


def write_sound(folder: Path) -> None:
    """Write the recordings: upsweeps of a second in noise, the same bytes whenever they are written."""
    rng = np.random.default_rng(61)
    folder.mkdir(parents=True, exist_ok=True)
    sequence = 0.01 * rng.standard_normal((len(CALLS_S) * LENGTH_S + 2) * RATE_HZ)
    number = 0
    for position, begins_s in enumerate(CALLS_S.values()):
        for begin_s in begins_s:
            first = round((position * LENGTH_S + begin_s) * RATE_HZ)
            call = _upcall(90 + 5 * (number % 4), 80 + 10 * (number % 5))
            sequence[first : first + len(call)] += 0.01 * _SNR[number % len(_SNR)] * call
            number += 1
    for position, name in enumerate(CALLS_S):
        own = sequence[position * LENGTH_S * RATE_HZ : (position + 1) * LENGTH_S * RATE_HZ]
        soundfile.write(folder / name, own, RATE_HZ, subtype="PCM_16")


def _upcall(low_hz: float, sweep_hz: float) -> np.typing.NDArray[np.float64]:
    """Return an upsweep of a second, which gets steeper, with soft ends."""
    time_s = np.arange(RATE_HZ) / RATE_HZ
    phase = 2 * np.pi * (low_hz * time_s + sweep_hz * time_s**3 / 3)
    return np.sin(phase) * np.hanning(RATE_HZ) ** 0.5


if __name__ == "__main__":
    write_sound(Path(sys.argv[1]))
