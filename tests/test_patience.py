"""Disks that do not answer, and those that answer again."""

from __future__ import annotations

import errno
import threading
import time

import pytest

from whalescan.core import DiskError, RecordingError
from whalescan.engine import retry
from whalescan.engine.retry import patiently


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PATIENCE_S", 0.5)
    monkeypatch.setattr(retry, "_PAUSE_S", 0.01)


@pytest.mark.parametrize(
    "error", [DiskError("gone for a moment"), OSError(errno.ESTALE, "Stale file handle"), TimeoutError()]
)
def test_a_disk_that_comes_back_is_read(error: Exception) -> None:
    tried = []

    def read() -> str:
        tried.append(time.monotonic())
        if len(tried) < 4:
            raise error
        return "sound"

    assert patiently(read, "a.wav") == "sound"
    assert len(tried) == 4


def test_a_disk_that_stays_away_is_named_when_patience_ends() -> None:
    begin_s = time.monotonic()
    with pytest.raises(DiskError, match=r"a\.wav: .*Stale file handle"):
        patiently(lambda: _raise(OSError(errno.ESTALE, "Stale file handle")), "a.wav")
    assert 0.4 < time.monotonic() - begin_s < 5


def test_a_look_that_hangs_is_left_behind() -> None:
    never = threading.Event()
    begin_s = time.monotonic()
    try:
        with pytest.raises(DiskError, match=r"a\.wav: its disk did not answer") as told:
            patiently(never.wait, "a.wav")
        assert told.value.__cause__ is not told.value
        assert time.monotonic() - begin_s < 5
    finally:
        never.set()


def test_what_no_waiting_mends_is_said_at_once() -> None:
    tried = []

    def read() -> None:
        tried.append(1)
        raise RecordingError("a.wav: changed")

    with pytest.raises(RecordingError, match="changed"):
        patiently(read, "a.wav")
    assert len(tried) == 1


def _raise(error: Exception) -> None:
    raise error
