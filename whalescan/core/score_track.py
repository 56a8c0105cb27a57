"""The scores of columns and of windows, and their place in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from whalescan.core.recording import FloatArray
from whalescan.core.time import ColumnGrid, WindowGrid

if TYPE_CHECKING:
    import pandas as pd

COMPLEXITY_MEASURES = ("H", "C_SQ", "C_JSD", "C_TV")
"""Columns of `ScoreTrack.complexity`."""
LOG_ODDS_STEP = 1 / 64
"""Log-odds are stored in these steps: the arithmetic of devices differs by less, or by one step."""
MIN_BOX_LOG_ODDS = -6.0
"""Columns whose log-odds are lower (a score of 0.0025) have no box."""


@dataclass(frozen=True, slots=True, repr=False)
class ColumnScores:
    """The detector's output for consecutive columns.

    Attributes:
        log_odds: float32 ``[n_columns, n_classes]``, calibrated log-odds of a call around the column's middle, rounded to
            `LOG_ODDS_STEP`; NaN where nothing was recorded.
        boxes: float32 ``[n_columns, 4]``: begin and end of the call in samples from the column's middle, low and high edge
            in Hz; NaN where the log-odds of every class are below `MIN_BOX_LOG_ODDS`.
        complexity: float32 ``[n_columns, 4]``: H, C_SQ, C_JSD, C_TV.
    """

    log_odds: FloatArray
    boxes: FloatArray
    complexity: FloatArray

    @staticmethod
    def missing(n_columns: int, n_classes: int) -> ColumnScores:
        """Return columns without audio: NaN throughout."""
        log_odds, boxes, complexity = (np.full((n_columns, n), np.nan, np.float32) for n in (n_classes, 4, 4))
        return ColumnScores(log_odds, boxes, complexity)

    @staticmethod
    def join(parts: Sequence[ColumnScores]) -> ColumnScores:
        """Return consecutive columns as one."""
        return ColumnScores(
            np.concatenate([part.log_odds for part in parts]),
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.complexity for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.log_odds)

    def __repr__(self) -> str:
        return f"ColumnScores({len(self)} columns)"


@dataclass(frozen=True, slots=True, repr=False)
class WindowScores:
    """Scores and complexity of windows.

    Attributes:
        scores: float32 ``[n_windows, n_classes]``, 0 to 1; NaN where nothing was recorded.
        complexity: float32 ``[n_windows, 4]``: H, C_SQ, C_JSD, C_TV.
    """

    scores: FloatArray
    complexity: FloatArray

    def __repr__(self) -> str:
        return f"WindowScores({len(self.scores)} windows)"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ScoreTrack:
    """Scores and complexity of the windows and columns of one channel.

    Attributes:
        grid: places the windows in time.
        classes: names of the columns of ``scores``.
        windows: scores and complexity of the windows.
        column_grid: places the columns in time.
        columns: log-odds, boxes and complexity of the columns, of which the windows' are made.
    """

    grid: WindowGrid
    classes: tuple[str, ...]
    windows: WindowScores
    column_grid: ColumnGrid
    columns: ColumnScores

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
