"""Windows of sound to scores in two steps: a glance at whole strips, and a look at what it leaves in doubt.

A window that the glance is sure to hold no call keeps the glance's score, which lies below the gate, and gets no box. All
others are scored as `Scorer` scores them. So are those that the glance cannot judge, as they do not hear all that lies under
them - at the end of a recording, beside a jump of the clock - or stand beside silence, against which anything glares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad

from whalescan.core import FloatArray, WindowGrid, WindowScores
from whalescan.core.stages import stage
from whalescan.detector import complexity
from whalescan.detector.batching import MARGIN_FRAMES, Batching, batching
from whalescan.detector.glance import Glance, prepare_to_glance
from whalescan.detector.modelfile import load_glance
from whalescan.detector.network import best_dtype
from whalescan.detector.scoring import Scorer, choose_device, one_thread, settled
from whalescan.detector.spec import Model
from whalescan.sound.windows import cut, hearing

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Glanced:
    """What a glance says of the windows of a strip.

    Attributes:
        logits: float32 ``[n_windows, n_classes]``.
        complexity: float32 ``[n_windows, 4]``.
        is_beside_silence: bool ``[n_windows]``: whether it should not be trusted.
    """

    logits: FloatArray
    complexity: FloatArray
    is_beside_silence: BoolArray


class GlancingScorer:
    """A model's two networks on a device; scores as `Scorer` does, sooner.

    Args:
        scorer: looks at single windows.
        glance: of the same model; must not be used any more.
    """

    def __init__(self, scorer: Scorer, glance: Glance) -> None:
        assert scorer.spec.glance is not None
        self.spec = scorer.spec
        self._scorer = scorer
        self._glance = prepare_to_glance(glance, scorer.device, best_dtype(scorer.device))
        self._gates = np.array(scorer.spec.glance.gates, np.float32)
        self._note = ""

    @property
    def note(self) -> str:
        """What was not as it was asked for; empty where nothing was."""
        return self._note or self._scorer.note

    def score(
        self, samples: FloatArray, grid: WindowGrid, n_windows: int, jumps: Sequence[int] = (), first: int = 0
    ) -> WindowScores:
        """As `Scorer.score`.

        Windows share strips from the first one on, so it must be the first of a batch. Of what lies before it and behind the
        last, a margin is heard (`batching`); where there is none, the sound is mirrored.
        """
        own, own_jumps = samples[first:], [jump - first for jump in jumps if jump > first]
        windows = cut(own, grid, n_windows, own_jumps)
        is_whole = np.ptp(hearing(grid, 0, n_windows, len(own), own_jumps), axis=1) == grid.window_samples
        together = batching(self.spec, grid, self._scorer.batch_size, exact=False)
        parts = []
        with torch.inference_mode(), one_thread:
            for batch in _batches(n_windows, together):
                strips = np.stack([_sound_of(strip, samples, first, grid, together) for strip in batch])
                begins = torch.arange(len(batch[0])) * grid.hop_samples + together.margin_samples
                for strip, glanced in zip(batch, self._fit(strips, begins), strict=True):
                    of_strip = slice(strip.start, strip.stop)
                    parts.append(self._look(windows[of_strip], is_whole[of_strip], glanced))
        return WindowScores.join(parts)

    def _fit(self, strips: FloatArray, begins: Tensor) -> list[Glanced]:
        """Glance at a batch, in parts where the device's memory does not hold it whole."""
        try:
            return self._glance_at(strips, begins)
        except torch.cuda.OutOfMemoryError:
            if len(strips) == 1:
                raise
            self._note = (
                self._note
                or f"out of memory on {self._scorer.device} with {len(strips)} strips at a time: went on with fewer"
            )
            torch.cuda.empty_cache()
        half = len(strips) // 2
        return [*self._fit(strips[:half], begins), *self._fit(strips[half:], begins)]

    def _glance_at(self, strips: FloatArray, begins: Tensor) -> list[Glanced]:
        """What the glance says of windows that begin at samples ``begins`` of each strip."""
        device, o, frontend = self._scorer.device, self.spec.front_end, self._glance.frontend
        begins = begins.to(device)
        frames = begins // o.frame_hop_samples
        with stage("spectrogram"), settled(device):
            contrast = frontend.contrast_along(torch.from_numpy(strips).to(device))
            pictures = frontend.picture(contrast)
        with stage("complexity"), settled(device):
            measures = complexity.complexity_along(contrast.cells, o.bin_hz, o.low_bin, frames, o.n_frames)
        with stage("glance"), settled(device):
            logits = self._glance.judge(pictures, begins)
        beside = _is_beside_silence(contrast.cells, frames, o.n_frames)
        told = (values.cpu().numpy() for values in (logits, measures, beside))
        return [Glanced(*of_strip) for of_strip in zip(*told, strict=True)]

    def _look(self, windows: FloatArray, is_whole: BoolArray, glanced: Glanced) -> WindowScores:
        """Scores of a strip's windows: the glance's, or where that will not do those of a look."""
        is_doubtful = (glanced.logits >= self._gates).any(axis=1) | glanced.is_beside_silence | ~is_whole
        scored = WindowScores(
            scores=self._scorer.calibrated(torch.from_numpy(np.minimum(glanced.logits, self._gates))),
            boxes=np.full((len(windows), 4), np.nan, np.float32),
            complexity=glanced.complexity.copy(),
        )
        if is_doubtful.any():
            looked = self._scorer.look(windows[is_doubtful])
            scored.scores[is_doubtful] = looked.scores
            scored.boxes[is_doubtful] = looked.boxes
            scored.complexity[~is_whole] = looked.complexity[~is_whole[is_doubtful]]
        return scored


AnyScorer = Scorer | GlancingScorer


def load_scorer(model: Model, device: str, batch_size: int, exact: bool = False) -> AnyScorer:
    """The scorer of a model: one that glances first, where the model can and ``exact`` does not forbid it.

    Raises:
        ModelError: when its weights are damaged.
        UsageError: when the device is none.
    """
    scorer = Scorer(model, choose_device(device), batch_size)
    glance = None if exact else load_glance(model)
    return scorer if glance is None else GlancingScorer(scorer, glance)


def _batches(n_windows: int, together: Batching) -> list[list[range]]:
    """The windows of each strip, strips of one length together: all are but the last of a recording."""
    strips = [
        range(begin, min(begin + together.strip_windows, n_windows)) for begin in range(0, n_windows, together.strip_windows)
    ]
    batches = [strips[i : i + together.n_strips] for i in range(0, len(strips), together.n_strips)]
    return [list(alike) for batch in batches for _, alike in groupby(batch, key=len)]


def _sound_of(strip: range, samples: FloatArray, first: int, grid: WindowGrid, together: Batching) -> FloatArray:
    """The sound of a strip with its margins; what these lack is mirrored."""
    begin = first + grid.begin_sample(strip.start) - together.margin_samples
    end = first + grid.begin_sample(strip.stop - 1) + grid.window_samples + together.margin_samples
    there = samples[max(begin, 0) : end]
    sound: FloatArray = np.pad(there, (max(-begin, 0), end - max(begin, 0) - len(there)), "reflect")
    return sound


def _is_beside_silence(cells: Tensor, frames: Tensor, n_frames: int) -> Tensor:
    """Which windows, from their first ``frames`` on, have frames without any sound in or beside them, but hear some.

    Returns:
        bool ``[n_strips, n_windows]``.
    """
    n_silent = pad((cells.sum(dim=1) == 0).cumsum(dim=1), (1, 0))
    last = n_silent.shape[1] - 1
    inside, around = (
        n_silent[:, (frames + n_frames + far).clamp(max=last)] - n_silent[:, (frames - far).clamp(min=0)]
        for far in (0, MARGIN_FRAMES)
    )
    return (around > 0) & (inside < n_frames)
