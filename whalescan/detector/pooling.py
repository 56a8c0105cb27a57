"""Scores of windows, pooled from the log-odds of their columns. Without torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from whalescan.audio.windows import window_extents
from whalescan.core import BoolArray, ColumnGrid, ColumnScores, FloatArray, WindowGrid, WindowScores

EDGE_SAMPLES = 100
"""Columns whose middle is closer to an edge of a window have no part in its score."""
N_COLUMNS_OF_A_CALL = 2
"""Columns that a call raises: a window's log-odds are the log-sum-exp of its columns' minus the log of this number."""
_DECIMALS = 4


def scores_of(log_odds: npt.ArrayLike) -> FloatArray:
    """Return scores, float32 in 0 to 1 with 4 decimals, of calibrated log-odds."""
    scores = 1 / (1 + np.exp(-np.asarray(log_odds, np.float64)))
    return scores.round(_DECIMALS).astype(np.float32)


def pool_windows(
    columns: ColumnScores,
    column_grid: ColumnGrid,
    grid: WindowGrid,
    n_windows: int,
    n_samples: int,
    discontinuities: Sequence[int] = (),
) -> WindowScores:
    r"""Return the scores and the complexity of windows.

    With :math:`l_k` the log-odds of the columns of a window, its own are :math:`\log \sum_k e^{l_k} - \log 2`. Its
    complexity is the mean of its columns'.

    Args:
        columns: log-odds and complexity, from the first sample on.
        column_grid: places the columns in time.
        grid: places the windows in time.
        n_windows: number of windows.
        n_samples: samples that the windows can use.
        discontinuities: samples at which the timestamps jump, ascending; a window uses only one side of them.
    """
    extents = window_extents(grid, n_windows, n_samples, discontinuities)
    step = column_grid.column_samples
    first = np.ceil((extents[:, 0] + EDGE_SAMPLES) / step - 0.5).astype(np.int64)
    last = np.ceil((extents[:, 1] - EDGE_SAMPLES) / step - 0.5).astype(np.int64)
    # a segment may end before the middle of any of its columns; its window then has the nearest
    first = np.minimum(first, len(columns) - 1).clip(min=0)
    last = np.maximum(last.clip(max=len(columns)), first + 1)
    width = int((last - first).max(initial=1))
    indices = first[:, None] + np.arange(width)
    is_inside = indices < last[:, None]
    chosen = np.minimum(indices, max(len(columns) - 1, 0))
    log_odds = _log_sum_exp(columns.log_odds[chosen].astype(np.float64), is_inside) - np.log(N_COLUMNS_OF_A_CALL)
    return WindowScores(scores_of(log_odds), _mean(columns.complexity[chosen].astype(np.float64), is_inside))


def _log_sum_exp(values: npt.NDArray[np.float64], is_inside: BoolArray) -> npt.NDArray[np.float64]:
    """Return the log-sum-exp along axis 1 of ``[n_windows, width, n]``, without NaN; NaN where there is nothing else."""
    used = np.where(is_inside[..., None] & ~np.isnan(values), values, -np.inf)
    highest = used.max(axis=1, initial=-np.inf)
    finite = np.where(np.isfinite(highest), highest, 0)
    with np.errstate(divide="ignore"):
        summed = np.log(np.exp(used - finite[:, None]).sum(axis=1)) + finite
    return np.where(np.isfinite(highest), summed, np.nan)


def _mean(values: npt.NDArray[np.float64], is_inside: BoolArray) -> FloatArray:
    used = is_inside[..., None] & ~np.isnan(values)
    n_used = used.sum(axis=1)
    total = np.where(used, values, 0).sum(axis=1)
    means: FloatArray = np.where(n_used > 0, total / np.maximum(n_used, 1), np.nan).round(_DECIMALS).astype(np.float32)
    return means
