"""What scores: this machine's processor or a GPU, in which numbers, and how threads share it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import LifoQueue

import torch
from torch import Tensor

from whalescan.core import FloatArray, UsageError
from whalescan.core.profiling import is_watched

AT_ONCE = 2
"""Chunks that a process scores at a time on a GPU: while the processor sees to the one, the GPU has the other."""


def choose_device(name: str) -> torch.device:
    """``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UsageError: for a name that is none, or a GPU that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device {name!r} is no device; use auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"--device {name!r} is not supported; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"--device {name}: torch sees {torch.cuda.device_count()} GPUs here; use cpu or auto")
    return device


def best_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes with it, float32 elsewhere."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.bfloat16 if _cpu_has_bfloat16() else torch.float32


def _cpu_has_bfloat16() -> bool:
    supported: bool = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return supported


def be_repeatable(device: torch.device) -> None:
    """Have a GPU compute the same bits each time, whatever trials or free memory would choose; before its first product."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else products differ where several streams are at work
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True


def settle(device: torch.device) -> None:
    """Wait until all is done that was begun on a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def settled(device: torch.device) -> Iterator[None]:
    """What is begun on a device in the block is done when it ends, where somebody times it."""
    yield
    if is_watched():
        settle(device)


def arrive(samples: FloatArray, device: torch.device) -> Tensor:
    """Sound on the device; a GPU fetches it while this thread goes on."""
    there = torch.from_numpy(samples)
    return there.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else there


# ------------------------------------------------------------------------------------------------ sharing it


class _OneThread:
    """One torch thread a scoring task, while any task is scoring; tasks run beside each other instead.

    So the arithmetic, and with it every bit of a score, is the same for any number of workers.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_scoring = 0
        self._threads_outside = 1

    def __enter__(self) -> None:
        with self._lock:
            if self._n_scoring == 0:
                self._threads_outside = torch.get_num_threads()
            self._n_scoring += 1
        torch.set_num_threads(1)  # each thread has a setting of its own, so each one sets it

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._n_scoring -= 1
            if self._n_scoring == 0:
                torch.set_num_threads(self._threads_outside)


_one_thread = _OneThread()


class Turns:
    """Whose turn it is to score on a device: as many threads as like on a processor, `AT_ONCE` on a GPU.

    Each has a stream of the GPU for itself. The last one that was used is the next: what it needs of memory is kept for it.
    """

    def __init__(self, device: torch.device) -> None:
        self._streams: LifoQueue[torch.cuda.Stream] | None = None
        if device.type == "cuda":
            self._streams = LifoQueue()
            for _ in range(AT_ONCE):
                self._streams.put(torch.cuda.Stream(device))

    @contextmanager
    def working(self) -> Iterator[None]:
        """Score in this block, as soon as it is this thread's turn."""
        with torch.inference_mode(), _one_thread:
            if self._streams is None:
                yield
                return
            stream = self._streams.get()
            try:
                with torch.cuda.stream(stream):
                    yield
            finally:
                self._streams.put(stream)
