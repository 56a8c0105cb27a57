"""Fixtures that several modules share: simulated recordings, and the results of a run on them."""

from __future__ import annotations

import ctypes
import gc
import platform
import shutil
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, settings

import whalescan
from tests.builders import LOW_THRESHOLD
from whalescan.training.simulation import SimulationOptions, write_recordings

# A test's result must depend neither on the speed of the machine nor on chance: there are no deadlines, and every run
# tries the same examples. `pytest --hypothesis-profile=search` looks for new ones.
_NO_TIMING = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture)
settings.register_profile("repeatable", deadline=None, derandomize=True, print_blob=True, suppress_health_check=_NO_TIMING)
settings.register_profile("search", settings.get_profile("repeatable"), derandomize=False, max_examples=1000)
settings.load_profile("repeatable")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a shell; processes of tests are interrupted
    signal.signal(signal.SIGINT, signal.default_int_handler)


class _MemoryTrimmer:
    """Returns freed memory to the system after tests that used much; glibc keeps what the network's batches took."""

    STEP_BYTES = 2**28

    def __init__(self) -> None:
        self._limit_bytes = 2**30

    def pytest_runtest_logfinish(self) -> None:
        process = psutil.Process()
        if process.memory_info().rss > self._limit_bytes:
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)
            self._limit_bytes = process.memory_info().rss + self.STEP_BYTES


def pytest_configure(config: pytest.Config) -> None:
    if platform.libc_ver()[0] == "glibc":
        config.pluginmanager.register(_MemoryTrimmer())


@pytest.fixture(scope="session")
def simulated_recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings of 40 s that follow one another: 2 kHz WAV, 4 kHz FLAC, 2 kHz AIFF, with the true calls."""
    folder = tmp_path_factory.mktemp("simulated")
    options = SimulationOptions(minutes=2 / 3, calls_per_hour=400, snr_db=(8, 12), ships=False, humpbacks=False, seed=3)
    list(write_recordings(folder, 3, options))
    return folder


@pytest.fixture(scope="session")
def finished_output(simulated_recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a run on the simulated recordings; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    whalescan.scan(simulated_recordings, folder, hop_s=1.0, threshold=LOW_THRESHOLD)
    return folder


@pytest.fixture
def out(finished_output: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return shutil.copytree(finished_output, tmp_path / "out")


@pytest.fixture
def noise() -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Ten seconds of white noise at 2 kHz."""
    return (0.1 * np.random.default_rng(7).standard_normal(20_000)).astype(np.float32)
