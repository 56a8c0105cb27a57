"""From stored scores to the calls in them, as every table names them."""

from __future__ import annotations

from collections.abc import Iterator

from whalescan.calls import detections
from whalescan.calls.detections import DetectionRule
from whalescan.core import Detection, plain_text
from whalescan.tables.scorefile import ScoreFile


def find_calls(scores: ScoreFile, rule: DetectionRule) -> Iterator[Detection]:
    """The calls of one channel of a recording, as detections with a name and an id."""
    recording, grid = scores.recording, scores.grid
    n_samples = recording.n_samples(grid.rate_hz)
    channel = "" if scores.channel == 1 else f".ch{scores.channel}"
    for column, label in enumerate(scores.classes):
        kind = "" if column == 0 else f"-{plain_text(label)}"
        for call in detections.find(scores.windows.scores[:, column], scores.windows.boxes, grid, n_samples, rule):
            high_hz = min(call.high_hz, recording.rate_hz / 2)
            middle_ms = round(1000 * grid.seconds(call.middle_sample))
            yield Detection(
                recording=recording.name,
                channel=scores.channel,
                begin_s=grid.seconds(call.begin_sample),
                end_s=min(grid.seconds(call.end_sample), recording.duration_s),
                low_hz=call.low_hz if call.low_hz < high_hz else 0.0,  # a recording of 600 Hz holds nothing above 300
                high_hz=high_hz,
                label=label,
                score=call.score,
                detection_id=f"{plain_text(recording.name)}{channel}{kind}-{middle_ms:09d}",
            )
