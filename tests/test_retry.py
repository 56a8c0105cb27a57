"""Disks that do not answer, and disks that answer again."""

from __future__ import annotations

import errno
import threading

import pytest

from whalescan.core import DiskError, RecordingError
from whalescan.engine import retry
from whalescan.engine.retry import retry_on_disk_error


@pytest.fixture(autouse=True)
def _short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DISK_TIMEOUT_S", 0.5)
    monkeypatch.setattr(retry, "RETRY_INTERVAL_S", 0.01)


@pytest.mark.parametrize(
    "error", [DiskError("no answer for a moment"), OSError(errno.ESTALE, "Stale file handle"), TimeoutError()]
)
def test_a_disk_that_answers_again_is_read(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DISK_TIMEOUT_S", 60)
    n_calls = 0

    def read() -> str:
        nonlocal n_calls
        n_calls += 1
        if n_calls < 4:
            raise error
        return "audio"

    assert retry_on_disk_error(read, "a.wav") == "audio"
    assert n_calls == 4


def test_a_disk_that_fails_for_too_long_is_named() -> None:
    n_calls = 0

    def read() -> None:
        nonlocal n_calls
        n_calls += 1
        raise OSError(errno.ESTALE, "Stale file handle")

    with pytest.raises(DiskError, match=r"a\.wav: .*Stale file handle"):
        retry_on_disk_error(read, "a.wav")
    assert n_calls > 1


def test_a_read_that_hangs_is_left_behind() -> None:
    never = threading.Event()
    try:
        with pytest.raises(DiskError, match=r"a\.wav") as failure:
            retry_on_disk_error(never.wait, "a.wav")
        assert failure.value.__cause__ is not failure.value
    finally:
        never.set()


def test_other_errors_are_raised_at_once() -> None:
    n_calls = 0

    def read() -> None:
        nonlocal n_calls
        n_calls += 1
        raise RecordingError("a.wav: changed")

    with pytest.raises(RecordingError, match="changed"):
        retry_on_disk_error(read, "a.wav")
    assert n_calls == 1
