"""Sound that is made here, seeded; and a model, so that no test needs anything from outside."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import whalescan
from whalescan.audio.recordings import Found, inspect
from whalescan.core import Recording
from whalescan.training.simulation import SeaOptions, write_recordings

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def sea(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings of 40 s that follow one another: 2 kHz WAV, 4 kHz FLAC, 2 kHz AIFF, with the true calls."""
    folder = tmp_path_factory.mktemp("sea")
    options = SeaOptions(minutes=2 / 3, calls_per_hour=400, snr_db=(8, 12), ships=False, humpbacks=False, seed=3)
    list(write_recordings(folder, 3, options))
    return folder


@pytest.fixture(scope="session")
def scanned(sea: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a run on the sea; not to be changed."""
    folder = tmp_path_factory.mktemp("scanned")
    whalescan.scan(sea, folder, hop=1.0, threshold=0.3)
    return folder


@pytest.fixture
def out(scanned: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return shutil.copytree(scanned, tmp_path / "out")


@pytest.fixture
def noise() -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Ten seconds of white noise at 2 kHz."""
    return (0.1 * np.random.default_rng(7).standard_normal(20_000)).astype(np.float32)


def write_sound(path: Path, samples: np.ndarray, rate_hz: int = 2000, **options: str) -> Path:
    """Write a sound file, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate_hz, **options)
    return path


def recording_of(path: Path) -> Recording:
    """A file on its own as a recording."""
    return inspect(Found(path.stem, path, path.name))
