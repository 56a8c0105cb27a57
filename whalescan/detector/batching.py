"""Windows that are scored together, and the audio that they need. Without torch, because planning needs it as well."""

from __future__ import annotations

from dataclasses import dataclass

from whalescan.core import WindowGrid
from whalescan.detector.model_spec import ModelSpec

BATCH_SIZE = 32
"""Number of windows at a time that suits a processor."""
BLOCK_S = 40
"""Audio whose windows share a block: longer blocks need fewer margins, shorter ones less memory."""
MARGIN_FRAMES = 64
"""Frames of context on both sides of a block (1.28 s), so that its first and last windows are scored as all others."""


@dataclass(frozen=True, slots=True)
class Batching:
    """How windows are grouped into blocks and batches.

    A batch consists of one or more blocks; each is padded with context that is read but not scored.

    Attributes:
        block_windows: windows of a block; 1 where each window is scored on its own.
        n_blocks: blocks of a batch.
        margin_samples: samples of context before the first window of a batch and after its last.
    """

    block_windows: int
    n_blocks: int
    margin_samples: int

    @property
    def n_windows(self) -> int:
        """Windows of a batch. Chunks are whole batches, so that the same windows share one however a recording is cut."""
        return self.block_windows * self.n_blocks


def batching(spec: ModelSpec, grid: WindowGrid, batch_size: int, exact: bool) -> Batching:
    """Return how a model's windows are grouped: in blocks where it has a first stage, a glance.

    Args:
        spec: of the model.
        grid: distance and length of the windows.
        batch_size: windows for which there is memory, where each is scored on its own.
        exact: score every window with the whole network, although the model has a first stage.
    """
    if spec.glance is None or exact:
        return Batching(1, batch_size, 0)
    block_windows = max(1, BLOCK_S * grid.rate_hz // grid.hop_samples)
    n_blocks = max(1, batch_size * grid.window_samples // (BLOCK_S * grid.rate_hz))
    return Batching(block_windows, n_blocks, MARGIN_FRAMES * spec.front_end.frame_hop_samples)
