"""What the workers of `benchmarks.survey` load first: a scorer that neither reads nor scores, and answers at once."""

from __future__ import annotations

import numpy as np
from distributed import Worker

from whalescan.core import WindowScores
from whalescan.engine import worker
from whalescan.engine.chunking import Chunk
from whalescan.engine.worker import Heard, ScoredChunk, Task

_HIGHEST = 0.2
"""Below every threshold: a survey without calls."""
_noise = np.random.default_rng(1)


def hear(chunk: Chunk, task: Task) -> Heard:
    """No sound, and none that is missing."""
    del task
    return Heard(chunk, 0, np.empty(0, np.float32), np.zeros(1, bool), (), (), ())


def score_heard(heard: Heard, task: Task) -> ScoredChunk:
    """As many numbers as the model's, that can be compressed as badly; no boxes, since nothing is a call."""
    n, n_classes = heard.chunk.n_windows, len(task.model.spec.classes)
    scores = _HIGHEST * _noise.random((n, n_classes), np.float32)
    no_boxes = np.full((n, 4), np.nan, np.float32)
    return ScoredChunk(heard.chunk, WindowScores(scores, no_boxes, _noise.random((n, 4), np.float32)), (), ())


def dask_setup(_worker: Worker) -> None:
    """Called by Dask when a worker starts."""
    worker.hear, worker.score_heard = hear, score_heard
