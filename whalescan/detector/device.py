"""Devices that score: the processor or a GPU, their number formats, and how threads share them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import LifoQueue

import torch
from torch import Tensor

from whalescan.core import FloatArray, UsageError, invalid
from whalescan.core.profiling import is_collecting

N_STREAMS = 2
"""Chunks that a process scores at a time on a GPU, so that CPU work on one chunk overlaps GPU work on the other."""


def choose_device(name: str) -> torch.device:
    """Return the device of a name: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UsageError: for an invalid name, or a GPU that does not exist.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise invalid("device", name, "auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        n_gpus = torch.cuda.device_count()
        raise UsageError(f"invalid device {name!r}: torch finds {n_gpus} GPUs here; use cpu or auto", parameter="device")
    return device


def best_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the device has units for it, else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.bfloat16 if _cpu_has_bfloat16() else torch.float32


def _cpu_has_bfloat16() -> bool:
    supported: bool = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return supported


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has finished all work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def synchronize_when_profiling(device: torch.device) -> Iterator[None]:
    """Wait at the end of the block for the device's work, where stages are timed."""
    yield
    if is_collecting():
        synchronize(device)


def to_device(samples: FloatArray, device: torch.device) -> Tensor:
    """Return samples as a tensor on a device; a GPU copies them while this thread continues."""
    tensor = torch.from_numpy(samples)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


class _TorchSettings:
    """Settings of torch while any thread scores: one torch thread per scoring thread, and repeatable GPU algorithms.

    Scoring threads run in parallel instead, so that the arithmetic, and every bit of a score, is the same for any number of
    workers. The last thread that leaves restores the settings.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_scoring = 0
        self._n_threads = 1
        self._cudnn = (False, False)

    def __enter__(self) -> None:
        cudnn = torch.backends.cudnn
        with self._lock:
            if self._n_scoring == 0:
                self._n_threads = torch.get_num_threads()
                self._cudnn = cudnn.benchmark, cudnn.deterministic
                cudnn.benchmark, cudnn.deterministic = False, True
            self._n_scoring += 1
        torch.set_num_threads(1)  # a setting of each thread, not of the process

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._n_scoring -= 1
            if self._n_scoring == 0:
                torch.set_num_threads(self._n_threads)
                torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = self._cudnn


_torch_settings = _TorchSettings()


class DeviceQueue:
    """Access of threads to a device: any number at a time on a processor, `N_STREAMS` on a GPU.

    Each thread has a stream of the GPU for itself. The stream used last is given out next, as torch keeps its memory.
    """

    def __init__(self, device: torch.device) -> None:
        self._streams: LifoQueue[torch.cuda.Stream] | None = None
        if device.type == "cuda":
            self._streams = LifoQueue()
            for _ in range(N_STREAMS):
                self._streams.put(torch.cuda.Stream(device))

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for the device, and hold it for this thread until the block ends."""
        with torch.inference_mode(), _torch_settings:
            if self._streams is None:
                yield
                return
            stream = self._streams.get()
            try:
                with torch.cuda.stream(stream):
                    yield
            finally:
                self._streams.put(stream)
