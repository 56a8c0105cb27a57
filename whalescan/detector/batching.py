"""Blocks of columns that are scored together, and the audio that they need. Without torch, which planning does not need."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from whalescan.core import BoolArray, ColumnGrid
from whalescan.core.intervals import true_runs

BATCH_SIZE = 32
"""Number of windows at a time that suits a processor: less than a block."""
BLOCK_S = 160
"""Audio of a block, to the nearest column: longer blocks need fewer margins, shorter ones less memory."""
MIN_SEGMENT_S = 0.5
"""Shorter segments between drop-outs or timestamp discontinuities are not scored: no call fits in."""


def block_columns(grid: ColumnGrid) -> int:
    """Return the number of columns of a block.

    Blocks are counted from a recording's first column, and chunks are whole batches of blocks, so that a column is scored
    with the same ones however a recording is cut.
    """
    return round(BLOCK_S * grid.rate_hz / grid.column_samples)


def batch_blocks(batch_size: int, grid: ColumnGrid, window_samples: int) -> int:
    """Return the number of blocks in a batch.

    Args:
        batch_size: windows for which there is memory.
        grid: the columns.
        window_samples: length of a window.
    """
    return max(1, batch_size * window_samples // (block_columns(grid) * grid.column_samples))


def recorded_runs(
    n_samples: int, is_empty: BoolArray | None, discontinuities: Sequence[int], min_samples: int
) -> list[tuple[int, int]]:
    """Return the runs ``[begin, end)`` of sound that are scored: without empty samples and discontinuities, long enough."""
    is_recorded = np.ones(n_samples, np.bool_) if is_empty is None else ~is_empty
    runs = []
    for run_begin, run_end in true_runs(is_recorded).tolist():
        inside = [sample for sample in discontinuities if run_begin < sample < run_end]
        borders = [run_begin, *inside, run_end]
        runs += [(b, e) for b, e in pairwise(borders) if e - b >= min_samples]
    return runs
