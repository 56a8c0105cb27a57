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
import torch
from torch import Tensor
from torch.nn.functional import pad

from whalescan.audio.windows import extract_windows, is_complete, window_extents
from whalescan.core import BoolArray, FloatArray, IntArray, WindowGrid, WindowScores
from whalescan.core.profiling import stage
from whalescan.detector import complexity
from whalescan.detector.batching import MARGIN_FRAMES, Batching, batching
from whalescan.detector.device import best_dtype, choose_device, synchronize, synchronize_when_profiling, to_device
from whalescan.detector.glance import Glance, prepare_to_glance
from whalescan.detector.model_file import load_glance
from whalescan.detector.model_spec import Model
from whalescan.detector.scorer import Scorer


@dataclass(frozen=True, slots=True)
class _Sound:
    """Sound under windows.

    Attributes:
        samples: float32 ``[n]``.
        first: which of these window 0 begins with; before it lies a margin.
        heard: what windows hear of ``samples[first:]``, int64 ``[n_windows, 2]``.
        together: how windows share strips.
    """

    samples: FloatArray
    first: int
    grid: WindowGrid
    heard: IntArray
    together: Batching

    def strip(self, windows: range) -> FloatArray:
        """The sound of a strip with its margins; what these lack is mirrored."""
        begin = self.first + self.grid.begin_sample(windows.start) - self.together.margin_samples
        last = self.first + self.grid.begin_sample(windows.stop - 1)
        end = last + self.grid.window_samples + self.together.margin_samples
        there = self.samples[max(begin, 0) : end]
        sound: FloatArray = np.pad(there, (max(-begin, 0), end - max(begin, 0) - len(there)), "reflect")
        return sound

    def mirrored(self, windows: IntArray) -> FloatArray:
        """Windows of which something is not heard."""
        return extract_windows(self.samples[self.first :], self.grid, self.heard, windows)


@dataclass(frozen=True, slots=True)
class _Glanced:
    """What a glance says of the windows of strips of one length.

    Attributes:
        windows: int64 ``[n_strips, n_windows]``: their indices.
        sound: float32 ``[n_strips, n_windows, window_samples]`` on the device, what lies under each; a view.
        logits: float32 ``[n_strips, n_windows, n_classes]``.
        complexity: float32 ``[n_strips, n_windows, 4]``.
        is_beside_silence: bool ``[n_strips, n_windows]``: whether it should not be trusted.
    """

    windows: IntArray
    sound: Tensor
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
        self._device = scorer.device
        self._glance = prepare_to_glance(glance, scorer.device, best_dtype(scorer.device))
        synchronize(scorer.device)
        self._gates = np.array(scorer.spec.glance.gates, np.float32)
        self._note = ""

    @property
    def note(self) -> str:
        """What was not as it was asked for; empty where nothing was."""
        return self._note or self._scorer.note

    def score(
        self,
        samples: FloatArray,
        grid: WindowGrid,
        n_windows: int,
        discontinuities: Sequence[int] = (),
        first_sample: int = 0,
    ) -> WindowScores:
        """As `Scorer.score`.

        Windows share strips from the first one on, so it must be the first of a batch. Of what lies before it and behind the
        last, a margin is heard (`batching`); where there is none, the sound is mirrored.
        """
        heard = window_extents(
            grid,
            0,
            n_windows,
            len(samples) - first_sample,
            [jump - first_sample for jump in discontinuities if jump > first_sample],
        )
        sound = _Sound(samples, first_sample, grid, heard, batching(self.spec, grid, self._scorer.batch_size, exact=False))
        with self._scorer.device_queue.slot():
            return WindowScores.join([self._score(batch, sound) for batch in _batches(n_windows, sound.together)])

    def _score(self, batch: Sequence[range], sound: _Sound) -> WindowScores:
        """Scores of a batch of strips: the glance's, and where that will not do those of a look."""
        glanced = []
        for _, alike in groupby(batch, key=len):  # all strips are of one length but for the last of a recording
            strips = list(alike)
            there = to_device(np.stack([sound.strip(strip) for strip in strips]), self._device)
            glanced += self._fit(there, np.array(strips), sound)
        logits, measures, is_beside = (
            np.concatenate([values.reshape(-1, *values.shape[2:]) for values in parts])
            for parts in zip(*((one.logits, one.complexity, one.is_beside_silence) for one in glanced), strict=True)
        )
        whole = is_complete(sound.grid, sound.heard[batch[0].start : batch[-1].stop])
        is_doubtful = (logits >= self._gates).any(axis=1) | is_beside | ~whole
        scored = WindowScores(
            scores=self._scorer.calibrate(torch.from_numpy(np.minimum(logits, self._gates))),
            boxes=np.full((len(logits), 4), np.nan, np.float32),
            complexity=measures,
        )
        if is_doubtful.any():
            looked = self._scorer.score_windows(_picked(glanced, is_doubtful, whole, sound))
            scored.scores[is_doubtful] = looked.scores
            scored.boxes[is_doubtful] = looked.boxes
            scored.complexity[~whole] = looked.complexity[~whole[is_doubtful]]
        return scored

    def _fit(self, strips: Tensor, windows: IntArray, sound: _Sound) -> list[_Glanced]:
        """Glance at strips of one length, in parts where the device's memory does not hold them all."""
        begins = sound.together.margin_samples + sound.grid.hop_samples * np.arange(windows.shape[1])
        try:
            told = self._judge(strips, torch.from_numpy(begins).to(self._device))
            under = strips[:, begins[0] :].unfold(1, sound.grid.window_samples, sound.grid.hop_samples)
            return [_Glanced(windows, under[:, : len(begins)], *(values.cpu().numpy() for values in told))]
        except torch.cuda.OutOfMemoryError:
            if len(strips) == 1:
                raise
            self._note = (
                self._note or f"out of memory on {self._device} with {len(strips)} strips at a time: went on with fewer"
            )
            torch.cuda.empty_cache()
        half = len(strips) // 2
        return [*self._fit(strips[:half], windows[:half], sound), *self._fit(strips[half:], windows[half:], sound)]

    def _judge(self, strips: Tensor, begins: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits and complexity of windows that begin at samples ``begins`` of each strip, and which are beside silence."""
        o, frontend = self.spec.front_end, self._glance.frontend
        frames = begins // o.frame_hop_samples
        with stage("spectrogram"), synchronize_when_profiling(self._device):
            contrast = frontend.normalise_blocks(strips)
            pictures = frontend.network_input(contrast)
        with stage("complexity"), synchronize_when_profiling(self._device):
            measures = complexity.block_complexity(contrast.power, o.bin_hz, o.low_bin, frames, o.n_frames)
        with stage("glance"), synchronize_when_profiling(self._device):
            logits = self._glance.judge(pictures, begins)
        return logits, measures, _is_beside_silence(contrast.power, frames, o.n_frames)


def _picked(glanced: Sequence[_Glanced], is_doubtful: BoolArray, whole: BoolArray, sound: _Sound) -> Tensor:
    """The sound of doubtful windows, ``[n_doubtful, window_samples]`` on the device, where most of it is already."""
    picked = []
    begin = 0
    for one in glanced:
        own = slice(begin, begin + one.windows.size)
        begin = own.stop
        places = np.flatnonzero(is_doubtful[own])
        windows = one.sound[np.unravel_index(places, one.windows.shape)]
        if not (there := whole[own][places]).all():
            windows[~there] = to_device(sound.mirrored(one.windows.ravel()[places[~there]]), windows.device)
        picked.append(windows)
    return torch.cat(picked)


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
    """The windows of each strip of each batch."""
    strips = [
        range(begin, min(begin + together.block_windows, n_windows)) for begin in range(0, n_windows, together.block_windows)
    ]
    return [strips[i : i + together.n_blocks] for i in range(0, len(strips), together.n_blocks)]


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
