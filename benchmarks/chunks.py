"""The chunks of a recording, as a run cuts it."""

from __future__ import annotations

from pathlib import Path

from whalescan.audio.recordings import find_recordings, read_header
from whalescan.engine.chunking import Chunk, columns_per_chunk, split_channel, whole_channel
from whalescan.engine.worker import ScoringTask


def chunks_of(path: Path, task: ScoringTask, total_s: float = 0.0) -> list[Chunk]:
    """Return the chunks of a recording's first channel.

    Args:
        path: the recording.
        task: how it is scored.
        total_s: seconds of sound in the whole survey; 0 for a short one.
    """
    recording = read_header(find_recordings([path])[0])
    channel = whole_channel(recording, 1, (), task.model.spec)
    return list(split_channel(channel, columns_per_chunk(task.columns, task.batch_columns, total_s)))
