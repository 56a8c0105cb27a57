"""Which windows are scored together, and the sound that it takes. Pure arithmetic without torch: planning needs it, too."""

from __future__ import annotations

from dataclasses import dataclass

from whalescan.core import WindowGrid
from whalescan.detector.model_spec import ModelSpec

BATCH_SIZE = 32
"""Windows at a time that suit a processor."""
STRIP_S = 40
"""Sound whose windows share a strip: longer ones waste less on margins, shorter ones take less memory."""
MARGIN_FRAMES = 64
"""Frames on both sides of a strip's windows (1.28 s) that its first and last windows need, to be like all others."""


@dataclass(frozen=True, slots=True)
class Batching:
    """How windows meet.

    Attributes:
        strip_windows: windows of a strip; 1 where each is scored on its own.
        n_strips: strips of a batch.
        margin_samples: sound before the first window of a batch, and behind its last, that is heard with it.
    """

    strip_windows: int
    n_strips: int
    margin_samples: int

    @property
    def n_windows(self) -> int:
        """Windows of a batch. Chunks are whole batches, so that the same windows meet however a recording is cut."""
        return self.strip_windows * self.n_strips


def batching(spec: ModelSpec, grid: WindowGrid, batch_size: int, exact: bool) -> Batching:
    """How a model's windows meet: in strips where it has a glance.

    Args:
        spec: of the model.
        grid: distance of the windows.
        batch_size: windows for which there is memory, if each is scored on its own.
        exact: look at every window, although the model has a glance.
    """
    if spec.glance is None or exact:
        return Batching(1, batch_size, 0)
    strip_windows = max(1, STRIP_S * grid.rate_hz // grid.hop_samples)
    n_strips = max(1, batch_size * grid.window_samples // (STRIP_S * grid.rate_hz))
    return Batching(strip_windows, n_strips, MARGIN_FRAMES * spec.front_end.frame_hop_samples)
