"""Module that the workers of `benchmarks.survey` preload: they neither read nor score, and return random scores at once."""

from __future__ import annotations

import numpy as np
from distributed import Worker

from whalescan.core import LOG_ODDS_STEP, ColumnScores
from whalescan.engine import worker
from whalescan.engine.chunking import Chunk
from whalescan.engine.worker import LoadedChunk, ScoredChunk, ScoringTask

_HIGHEST = -2.0
"""Log-odds below every threshold: a survey without detections."""
_rng = np.random.default_rng(1)


def load_chunk(chunk: Chunk, task: ScoringTask) -> LoadedChunk:
    """Return a chunk without audio and without missing spans."""
    del task
    return LoadedChunk(chunk, 0, np.empty(0, np.float32), np.zeros(1, bool), (), (), 0, ())


def score_loaded_chunk(loaded: LoadedChunk, task: ScoringTask) -> ScoredChunk:
    """Return random log-odds, which compress as badly as a model's, and no boxes."""
    n, n_classes = loaded.chunk.n_columns, len(task.model.spec.classes)
    log_odds = _HIGHEST - np.round(4 * _rng.random((n, n_classes), np.float32) / LOG_ODDS_STEP) * np.float32(LOG_ODDS_STEP)
    no_boxes = np.full((n, 4), np.nan, np.float32)
    complexity = _rng.random((n, 4), np.float32).round(4)
    return ScoredChunk(loaded.chunk, ColumnScores(log_odds.astype(np.float32), no_boxes, complexity), (), 0, ())


def dask_setup(_worker: Worker) -> None:
    """Replace the functions of a worker; Dask calls this when it starts."""
    worker.load_chunk, worker.score_loaded_chunk = load_chunk, score_loaded_chunk
