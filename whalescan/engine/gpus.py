"""The GPUs of this machine, and how a run shares them; asked without torch, which a client does not load."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from whalescan.detector.batching import BATCH_SIZE

_ANSWER_S = 30.0
_ASKED = "--query-gpu=index,uuid,memory.total,compute_mode"
_SHARED = "Default"
"""The compute mode in which several processes may use a GPU."""
_MOST_WINDOWS = 512
"""The sound of a survey's chunk, about: chunks are whole batches, and would have to be longer with more."""
_MB_A_WINDOW = 8
"""512 windows (25 strips) take 0.6 GB, two such batches are at work, and as much again is for CUDA and what it keeps."""
_PROCESSES = 4
"""... of a GPU, at most: what Python does in one of them keeps none of the others waiting."""
_PROCESS_MB = 6000
_THREADS = 4
"""Of a process: two whose chunks are on the GPU, and two that read."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU.

    Attributes:
        name: as ``CUDA_VISIBLE_DEVICES`` names it.
        memory_mb: how much it has; None where nobody says.
        is_shared: whether several processes may use it at once.
    """

    name: str
    memory_mb: int | None = None
    is_shared: bool = False


def gpus_for(device: str) -> list[Gpu]:
    """Those that a run on this machine uses.

    Args:
        device: ``auto`` or ``cuda`` for all that are visible, ``cuda:N`` for one, ``cpu`` for none.
    """
    if device == "cpu" or not _torch_has_cuda():
        return []
    visible = _visible()
    if not device.startswith("cuda:"):
        return visible
    number = device.removeprefix("cuda:")
    return visible[int(number) :][:1] if number.isdecimal() else []


def suited_batch_size(gpus: Sequence[Gpu]) -> int:
    """Windows at a time: what suits a processor, or as many as the smallest GPU has memory for."""
    if not gpus:
        return BATCH_SIZE
    least_mb = min(gpu.memory_mb or _MB_A_WINDOW * BATCH_SIZE for gpu in gpus)
    power_of_two = 1 << (least_mb // _MB_A_WINDOW).bit_length() >> 1
    return min(max(power_of_two, BATCH_SIZE), _MOST_WINDOWS)


def processes_each(gpus: Sequence[Gpu], n_threads: int) -> int:
    """Processes that share each GPU, where ``n_threads`` shall work on this machine."""
    if not all(gpu.is_shared for gpu in gpus):
        return 1
    fit = min(((gpu.memory_mb or 0) // _PROCESS_MB for gpu in gpus), default=0)
    return max(1, min(_PROCESSES, fit, n_threads // (_THREADS * max(len(gpus), 1))))


def _torch_has_cuda() -> bool:
    try:
        return "+cpu" not in version("torch")
    except PackageNotFoundError:
        return False


def _visible() -> list[Gpu]:
    found = _found()
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return list(found.values())
    names = [name.strip() for name in given.split(",") if name.strip() not in ("", "-1")]
    return [_known(name, found) for name in names]


def _known(name: str, found: dict[str, Gpu]) -> Gpu:
    """What is known of a GPU that a user names: by its number, or by the beginning of its id."""
    for number, gpu in found.items():
        if name == number or gpu.name.startswith(name):
            return Gpu(name, gpu.memory_mb, gpu.is_shared)
    return Gpu(name)


def _found() -> dict[str, Gpu]:
    """All GPUs, by their numbers."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return {}
    asked = [tool, _ASKED, "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=_ANSWER_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines() if line.strip()]
    return {
        number: Gpu(uuid, int(memory) if memory.isdecimal() else None, mode == _SHARED)
        for number, uuid, memory, mode in rows
    }
