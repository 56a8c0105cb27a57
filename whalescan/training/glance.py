"""A glance is taught by the network that it goes before: what that says of windows is what the glance should say sooner.

So no labels are needed, and windows may lie anywhere: across the border of two clips, over half of a call, over none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss
from tqdm import tqdm

from whalescan._version import __version__
from whalescan.core import IntArray
from whalescan.detector.batching import MARGIN_FRAMES
from whalescan.detector.device import best_dtype, choose_device
from whalescan.detector.glance import Glance, start_from_detector
from whalescan.detector.model_file import load_detector, write_model
from whalescan.detector.model_spec import GlanceOptions, Model
from whalescan.detector.network import prepare_for_inference
from whalescan.training.glance_lessons import (
    EVEN_ODDS,
    SLACK_SAMPLES,
    GlanceLessons,
    hold_back,
    prepare,
    read_sounds,
    strip_samples,
)
from whalescan.training.trainer import (
    AveragingOptimiser,
    OptimiserOptions,
    checkpoint_path,
    read_checkpoint,
    write_checkpoint,
)
from whalescan.training.training_options import TrainingRunOptions

_EDGE_FRAMES = 8
"""Windows nearer to a strip's edge are not learnt from."""
_KEPT_EVERY = 200
"""Steps from one checkpoint to the next."""


@dataclass(frozen=True, slots=True)
class GlanceTraining:
    """The recipe.

    Attributes:
        blocks: which middle blocks of an Xception (4 to 11) the glance has: fewer are quicker, and know less.
        gate: log-odds from which on a window is looked at; lower misses less, and looks at more.
        passes: over the tracks.
        batch_size: tracks a step.
        hop_s: from one window that the teacher judges to the next.
        distance_share: weight of the distance between the log-odds, beside the cross entropy of the scores.
        held_back: part of the sound that is not learnt from, to see how far glance and teacher agree.
        descent: learning rate and the like.
        seed: of everything that is drawn.
    """

    blocks: tuple[int, ...] = (4, 5, 10, 11)
    gate: float = -2.5
    passes: int = 8
    batch_size: int = 8
    hop_s: float = 0.5
    distance_share: float = 0.2
    held_back: float = 0.05
    descent: OptimiserOptions = field(default_factory=partial(OptimiserOptions, 3e-4, 0.1, 1e-2, 200))
    seed: int = 20090328


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a glance and its teacher agree, on sound that was held back.

    Attributes:
        correlation: of their log-odds.
        n_windows, n_calls: windows, and those in which the teacher finds a call likelier than not.
        looked_at: share of the windows that the glance would have looked at.
        missed: share of the windows with calls that it would not.
    """

    correlation: float
    n_windows: int
    n_calls: int
    looked_at: float
    missed: float

    def __str__(self) -> str:
        return (
            f"on {self.n_windows} held-back windows, log-odds of glance and teacher correlate with {self.correlation:.3f}; "
            f"{self.looked_at:.1%} would be looked at, and {self.missed:.2%} of the {self.n_calls} with a call would not"
        )


def teach_glance(
    model: Model,
    sounds: Sequence[str],
    output: Path,
    options: GlanceTraining,
    work: TrainingRunOptions,
    is_wanted: Callable[[Path], bool] = lambda _: True,
) -> Agreement | None:
    """Write the model with a glance, taught on sound in which the calls occur that it knows.

    A teaching that was killed goes on when it is asked for again.

    Args:
        model: the teacher; a glance that it has already is not used.
        sounds: folders, files and patterns of recordings or clips.
        output: the ``.safetensors`` file to write.
        options: the recipe.
        work: how the work is done.
        is_wanted: whether a file may be learnt from.

    Returns:
        How far they agree; None where there is too little sound to hold some back.

    Raises:
        UsageError: when the sounds are absent or too few.
        ModelError: when the model's weights are damaged.
    """
    device, random = choose_device(work.device), np.random.default_rng(options.seed)
    torch.manual_seed(options.seed)
    teacher = prepare_for_inference(load_detector(model), device, best_dtype(device))
    heard = read_sounds(sounds, model.spec.front_end.rate_hz, is_wanted, work)
    learning, held_back = hold_back(heard, options.held_back, random)
    lessons = prepare(learning, teacher, options.hop_s, random, work)
    work.report(f"{len(learning)} sounds in {len(lessons.tracks)} tracks to learn from, {len(held_back)} held back")
    glance = Glance(model.spec.front_end, options.blocks, len(model.spec.classes))
    start_from_detector(glance, load_detector(model).network)
    learnt = _learn(glance.to(device), lessons, options, output, work)
    agreement = None
    if held_back:
        agreement = _agreement(learnt, prepare(held_back, teacher, options.hop_s, random, work), options)
    taught = {"sounds": [Path(text).name for text in sounds], "n_tracks": len(lessons.tracks), "recipe": asdict(options)}
    metrics: dict[str, Any] = {"glance, on held-back sound": asdict(agreement)} if agreement else {}
    spec = replace(
        model.spec,
        glance=GlanceOptions(options.blocks, (options.gate,) * len(model.spec.classes)),
        training=model.spec.training | {"glance": taught},
        metrics=model.spec.metrics | metrics,
        whalescan_version=__version__,
    )
    write_model(output, load_detector(model), spec, learnt)
    checkpoint_path(output).unlink(missing_ok=True)
    return agreement


def _learn(
    glance: Glance, lessons: GlanceLessons, options: GlanceTraining, output: Path, work: TrainingRunOptions
) -> Glance:
    """All steps, or those that a teaching that was killed had left; the averaged glance."""
    batch_size = min(options.batch_size, len(lessons.tracks))
    n_steps = options.passes * (len(lessons.tracks) // batch_size)
    descent = AveragingOptimiser(glance, options.descent, n_steps)
    path, fingerprint = checkpoint_path(output), _fingerprint(glance, lessons, options)
    left = None if work.restart else read_checkpoint(path, fingerprint)
    done = 0
    if left is not None:
        state, _, done = left
        descent.restore(state)
        work.report(f"{output}: goes on after step {done} of an unfinished teaching")
    losses: list[float] = []
    steps = tqdm(range(done, n_steps), "teach", n_steps, initial=done, unit="step", disable=work.quiet)
    for step in steps:
        chosen, at = _drawn(step, batch_size, len(lessons.tracks), options.seed)
        losses.append(descent.step(_loss(glance, lessons, chosen, at, options.distance_share)))
        if len(losses) == _KEPT_EVERY:
            steps.set_postfix_str(f"loss {sum(losses) / len(losses):.4f}")
            losses = []
            write_checkpoint(path, fingerprint, descent.state(), torch.zeros(0), step + 1)
    return descent.average


def _drawn(step: int, batch_size: int, n_tracks: int, seed: int) -> tuple[IntArray, IntArray]:
    """Tracks of a step, and where in them it begins; told by the step alone, so that a teaching can go on."""
    a_pass, number = divmod(step, n_tracks // batch_size)
    order = np.random.default_rng((seed, a_pass)).permutation(n_tracks)
    at = np.random.default_rng((seed, a_pass, number)).integers(0, SLACK_SAMPLES + 1, batch_size)
    return order[number * batch_size : (number + 1) * batch_size], at


def _loss(glance: Glance, lessons: GlanceLessons, chosen: IntArray, at: IntArray, distance_share: float) -> Tensor:
    """How far the glance is from its teacher on windows that do not lie at the strip's edges."""
    o = glance.frontend.options
    device = glance.head.weight.device
    n_samples, edge = strip_samples(o), _EDGE_FRAMES * o.frame_hop_samples
    strips = np.stack([lessons.tracks[i, first : first + n_samples] for i, first in zip(chosen, at, strict=True)])
    begins = torch.from_numpy(lessons.begins[chosen] - at[:, None]).to(device)
    told = torch.from_numpy(lessons.logits[chosen]).to(device)
    is_inside = (begins >= edge) & (begins + o.window_samples <= n_samples - edge)
    glance.train()
    with torch.no_grad():
        pictures = glance.frontend.network_input(glance.frontend.normalise_blocks(torch.from_numpy(strips).to(device)))
    dtype = best_dtype(device)
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        logits = glance.judge(pictures, begins)
    own, teachers = logits.float()[is_inside], told[is_inside]
    return binary_cross_entropy_with_logits(own, teachers.sigmoid()) + distance_share * smooth_l1_loss(own, teachers)


def _agreement(glance: Glance, lessons: GlanceLessons, options: GlanceTraining) -> Agreement | None:
    """How far they agree on windows that have a scan's margins; None where there is none."""
    o = glance.frontend.options
    device = glance.head.weight.device
    margin = MARGIN_FRAMES * o.frame_hop_samples
    with torch.inference_mode():
        parts = [
            glance(torch.from_numpy(track)[None].to(device), torch.from_numpy(begins).to(device))[0].cpu().numpy()
            for track, begins in zip(lessons.tracks, lessons.begins, strict=True)
        ]
    is_inside = (lessons.begins >= margin) & (lessons.begins + o.window_samples <= lessons.tracks.shape[1] - margin)
    own, teachers = np.stack(parts)[is_inside], lessons.logits[is_inside]
    is_call = teachers.max(axis=1) > EVEN_ODDS
    if not is_call.any():
        return None
    is_looked_at = (own >= options.gate).any(axis=1)
    return Agreement(
        correlation=float(np.corrcoef(own.ravel(), teachers.ravel())[0, 1]),
        n_windows=len(own),
        n_calls=int(is_call.sum()),
        looked_at=float(is_looked_at.mean()),
        missed=float(1 - is_looked_at[is_call].mean()),
    )


def _fingerprint(glance: Glance, lessons: GlanceLessons, options: GlanceTraining) -> str:
    """Of all that the course depends on: sound, what the teacher says, recipe, and the weights that it starts from."""
    digest = hashlib.sha256(json.dumps(asdict(options), sort_keys=True).encode())
    for array in (lessons.tracks, lessons.begins, lessons.logits):
        digest.update(np.ascontiguousarray(array).tobytes())
    for weights in glance.state_dict().values():
        digest.update(weights.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
