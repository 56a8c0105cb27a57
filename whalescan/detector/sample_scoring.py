"""Score samples that a Python program holds in memory."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import soxr

from whalescan.audio.reading import find_dropouts
from whalescan.core import BoolArray, ColumnScores, FloatArray, ScoreTrack, UsageError, invalid
from whalescan.detector.batching import BATCH_SIZE
from whalescan.detector.model_spec import Model, find_model
from whalescan.detector.pooling import pool_windows

if TYPE_CHECKING:
    from whalescan.detector.scorer import Scorer


def score_samples(
    model: Model,
    samples: npt.ArrayLike,
    rate_hz: int,
    *,
    hop_s: float,
    device: str,
    batch_size: int | None,
) -> ScoreTrack:
    """Return the scores of samples, as `Model.score` does.

    Raises:
        UsageError: for samples that are not one channel of finite numbers, and for invalid options.
        ModelError: when the model's weights are damaged.
    """
    grid = model.spec.grid(hop_s)
    native, rate_hz = _one_channel(samples), _whole_rate(rate_hz)
    resampled, is_dropout = _at_rate(native, rate_hz, grid.rate_hz)
    column_grid, classes = model.spec.columns, model.spec.classes
    n_columns = column_grid.n_columns(len(resampled))
    if is_dropout.all():
        columns = ColumnScores.missing(n_columns, len(classes))
    else:
        scorer = _scorer(str(model.path), model.sha256, device, batch_size or BATCH_SIZE)
        columns = scorer.score(resampled, n_columns, is_empty=is_dropout)
    windows = pool_windows(columns, column_grid, grid, grid.n_windows(len(resampled)), len(resampled))
    return ScoreTrack(grid, classes, windows, column_grid, columns)


def _one_channel(samples: npt.ArrayLike) -> FloatArray:
    """Return samples as float32 ``[n]``; whole numbers are divided by the largest of their type, as in sound files."""
    array = np.asarray(samples)
    if array.ndim != 1:
        raise UsageError(
            f"invalid samples of shape {list(array.shape)}: expected one channel, shape [n]; choose a column",
            parameter="samples",
        )
    if np.issubdtype(array.dtype, np.signedinteger):
        return (array / -float(np.iinfo(array.dtype).min)).astype(np.float32)
    if not np.issubdtype(array.dtype, np.floating):
        raise UsageError(
            f"invalid samples of type {array.dtype}: expected floating-point or signed whole numbers", parameter="samples"
        )
    is_finite = np.isfinite(array)
    if not is_finite.all():
        raise UsageError(
            f"invalid samples: sample {int(np.argmin(is_finite))} is {array[np.argmin(is_finite)]}, expected finite numbers",
            parameter="samples",
        )
    return np.ascontiguousarray(array, np.float32)


def _whole_rate(rate_hz: float) -> int:
    if isinstance(rate_hz, bool) or not isinstance(rate_hz, int | float | np.number) or not rate_hz > 0 or rate_hz % 1:
        raise invalid("rate_hz", rate_hz, "a whole number of samples per second above 0")
    return int(rate_hz)


def _at_rate(native: FloatArray, native_hz: int, rate_hz: int) -> tuple[FloatArray, BoolArray]:
    """Return samples at the model's rate, and which of them lie in digital silence, as a run reads them from a file."""
    is_dropout = find_dropouts(native, native_hz)
    if native_hz == rate_hz or not len(native):
        return native, is_dropout
    n = -(-len(native) * rate_hz // native_hz)
    samples = np.zeros(n, np.float32)  # soxr rounds the length to the nearest, the grid rounds it up
    resampled = soxr.resample(native, native_hz, rate_hz)[:n]
    samples[: len(resampled)] = resampled
    nearest = np.minimum(np.arange(n) * native_hz // rate_hz, len(native) - 1)
    return samples, is_dropout[nearest]


@lru_cache(maxsize=1)
def _scorer(path: str, sha256: str, device: str, batch_size: int) -> Scorer:  # noqa: ARG001 - part of the cache key
    """Return the model ready to score; that of the last call is kept."""
    from whalescan.detector.scorer import load_scorer  # noqa: PLC0415 - torch takes seconds to import

    return load_scorer(find_model(path), device, batch_size)
