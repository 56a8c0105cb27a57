"""The scores of consecutive windows with their place in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from whalescan.core.recording import FloatArray, WindowScores
from whalescan.core.time import WindowGrid

if TYPE_CHECKING:
    import pandas as pd

COMPLEXITY_MEASURES = ("H", "C_SQ", "C_JSD", "C_TV")
"""Columns of `ScoreTrack.complexity`."""


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ScoreTrack:
    """Scores and complexity of the windows of one channel.

    Attributes:
        grid: places the windows in time.
        classes: names of the columns of ``scores``.
        windows: scores, boxes and complexity of the windows.
    """

    grid: WindowGrid
    classes: tuple[str, ...]
    windows: WindowScores

    @property
    def scores(self) -> FloatArray:
        """Scores, float32 ``[n_windows, n_classes]``, 0 to 1; NaN where a window holds no sound."""
        return self.windows.scores

    @property
    def complexity(self) -> FloatArray:
        """Complexity, float32 ``[n_windows, 4]``: H, C_SQ, C_JSD, C_TV."""
        return self.windows.complexity

    @property
    def begin_s(self) -> npt.NDArray[np.float64]:
        """Begin of each window in seconds from the first sample, float64 ``[n_windows]``."""
        return np.arange(len(self), dtype=np.int64) * self.grid.hop_samples / self.grid.rate_hz

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each window: ``begin_s``, ``end_s``, the score of each class, and the complexity measures."""
        import pandas as pd  # noqa: PLC0415 - takes time to import

        begin_s = self.begin_s
        columns = {"begin_s": begin_s, "end_s": begin_s + self.grid.window_samples / self.grid.rate_hz}
        columns |= dict(zip(self.classes, self.scores.T, strict=True))
        return pd.DataFrame(columns | dict(zip(COMPLEXITY_MEASURES, self.complexity.T, strict=True)))

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        highest = f"{np.nanmax(self.scores):.4f}" if np.isfinite(self.scores).any() else "none"
        hop_s, classes = self.grid.hop_samples / self.grid.rate_hz, ", ".join(self.classes)
        return f"ScoreTrack({len(self)} windows, one every {hop_s:g} s; {classes}; highest score {highest})"
