"""Transfer learning: an ImageNet network learns to hear right whales from labelled clips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from whalescan.core import FloatArray, IntArray, ModelError, UsageError
from whalescan.detector.modelfile import write_model
from whalescan.detector.network import Detector, best_dtype, start_from_imagenet
from whalescan.detector.spec import ModelSpec
from whalescan.learn import augmentation
from whalescan.learn.augmentation import AugmentationOptions
from whalescan.learn.clips import Clips, read_kaggle, read_without_calls
from whalescan.tables.files import check_writable


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """The recipe. Everything here changes the model.

    Attributes:
        epochs: passes over the training clips.
        batch_size: clips a step.
        learning_rate: highest rate of the one-cycle schedule (Smith 2018).
        warm_up: part of the steps in which the rate rises.
        weight_decay: of AdamW.
        average_steps: steps over which the weights are averaged; the average is what is validated and kept.
        validation_share: part of the clips that is never trained on.
        without_calls_per_batch: windows of recordings without calls that join each batch, where there are any.
        seed: of everything that is drawn.
    """

    epochs: int = 9
    batch_size: int = 48
    learning_rate: float = 5e-4
    warm_up: float = 0.2
    weight_decay: float = 1e-2
    average_steps: int = 200
    validation_share: float = 0.1
    without_calls_per_batch: int = 6
    seed: int = 20090328
    augmentation: AugmentationOptions = field(default_factory=AugmentationOptions)


@dataclass(frozen=True, slots=True)
class ClipMetrics:
    """How well windows with and without a call are told apart; each between 0 and 1."""

    auc: float
    accuracy: float
    average_precision: float
    n_clips: int


@dataclass(frozen=True, slots=True)
class TrainData:
    """What is learnt from.

    Attributes:
        clips: folder with ``train.csv`` and ``train/``, the layout of the Kaggle whale challenge.
        without_calls: folders, files and patterns of recordings in which nothing is a call.
        imagenet: safetensors file with ImageNet weights under timm's names; timm's own are fetched where this is None.
    """

    clips: Path
    without_calls: tuple[str, ...] = ()
    imagenet: Path | None = None


def train(
    data: TrainData,
    output: Path,
    options: TrainOptions | None = None,
    spec: ModelSpec | None = None,
    quiet: bool = False,
) -> ClipMetrics:
    """Train, and keep the best epoch as a model file.

    Args:
        data: what is learnt from.
        output: the ``.safetensors`` file to write, anew after each epoch that is better than all before.
        options: the recipe.
        spec: front end, classes and thresholds of the model to be.
        quiet: no progress bar.

    Returns:
        Metrics of the kept epoch on the held-out clips.
    """
    options, spec = options or TrainOptions(), spec or ModelSpec()
    check_writable(output.parent)
    rate_hz, window_samples = spec.front_end.rate_hz, spec.front_end.window_samples
    clips = read_kaggle(data.clips, rate_hz, window_samples, quiet)
    validating = clips.fold < options.validation_share
    learning, held_out = clips.where(~validating), clips.where(validating)
    if len(set(held_out.labels.tolist())) < 2:
        raise UsageError(f"{data.clips}: the {len(held_out)} held-out clips are all of one kind; give more clips")
    noise = np.zeros((0, window_samples), np.float32)
    if data.without_calls:
        noise = read_without_calls(data.without_calls, rate_hz, window_samples, hop_samples=rate_hz // 2)
    learner = _Learner(spec, options, len(learning), _imagenet_weights(data.imagenet, spec.architecture))
    best: ClipMetrics | None = None
    for epoch in range(1, options.epochs + 1):
        batches = learner.batches(learning, noise)
        progress = tqdm(batches, f"epoch {epoch}/{options.epochs}", learner.n_batches, unit="batch", disable=quiet)
        loss = sum(learner.step(windows, targets) for windows, targets in progress) / learner.n_batches
        logits = clip_logits(learner.average, held_out.windows)
        slope, offset = platt(held_out.labels, logits)
        metrics = clip_metrics(held_out.labels, slope * logits + offset)
        if not quiet:
            tqdm.write(f"  loss {loss:.4f}; held-out clips: AUC {metrics.auc:.4f}, accuracy {metrics.accuracy:.4f}")
        if best is None or metrics.auc > best.auc:
            best = metrics
            training = _provenance(data, options, len(learning), len(noise), epoch)
            measured = {"held-out clips": asdict(metrics)}
            kept = replace(spec, calibration=(slope, offset), training=training, metrics=measured)
            write_model(output, learner.average, kept)
    if best is None:
        raise UsageError("training needs at least one epoch; raise --epochs")
    return best


class _Learner:
    """The network while it learns: its optimiser, its schedule, and the running average that is kept."""

    def __init__(self, spec: ModelSpec, options: TrainOptions, n_clips: int, imagenet: Mapping[str, Tensor]) -> None:
        torch.manual_seed(options.seed)
        self.random = torch.Generator().manual_seed(options.seed)
        self.options = options
        self.n_batches = n_clips // options.batch_size
        if self.n_batches == 0:
            raise UsageError(f"{n_clips} training clips do not fill one batch of {options.batch_size}; give more clips")
        self.detector = Detector(spec.architecture, spec.front_end, len(spec.classes))
        start_from_imagenet(self.detector.network, imagenet)
        self.averaged = AveragedModel(
            self.detector, multi_avg_fn=get_ema_multi_avg_fn(1 - 1 / options.average_steps), use_buffers=True
        )
        self.optimizer = torch.optim.AdamW(self.detector.parameters(), weight_decay=options.weight_decay)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, options.learning_rate, options.epochs * self.n_batches, pct_start=options.warm_up
        )
        self.dtype = best_dtype(torch.device("cpu"))

    @property
    def average(self) -> Detector:
        """The detector with averaged weights, ready to score."""
        averaged = self.averaged.module
        assert isinstance(averaged, Detector)
        return averaged.eval()

    def batches(self, clips: Clips, without_calls: FloatArray) -> Iterator[tuple[Tensor, Tensor]]:
        """All clips in random order, each batch joined by windows without a call; a last part of a batch is left out."""
        order = torch.randperm(len(clips), generator=self.random).numpy()
        for i in range(self.n_batches):
            chosen = order[i * self.options.batch_size : (i + 1) * self.options.batch_size]
            windows, labels = clips.windows[chosen], clips.labels[chosen]
            if len(without_calls):
                n = self.options.without_calls_per_batch
                drawn = torch.randint(len(without_calls), (n,), generator=self.random).numpy()
                windows = np.concatenate([windows, without_calls[drawn]])
                labels = np.concatenate([labels, np.zeros(n, np.int64)])
            yield torch.from_numpy(windows), torch.from_numpy(labels).float()[:, None]

    def step(self, windows: Tensor, targets: Tensor) -> float:
        """One step down the gradient; returns the loss before it."""
        self.detector.train()
        varied = self.options.augmentation
        with torch.no_grad():
            pictures = self.detector.frontend(augmentation.add_noise(windows, varied, self.random))
            pictures = augmentation.mask(augmentation.shift(pictures, varied, self.random), varied, self.random)
            pictures, targets = augmentation.mixup(pictures, targets, varied, self.random)
        with torch.autocast("cpu", self.dtype, enabled=self.dtype != torch.float32):
            logits = self.detector.classify(pictures)
        loss = binary_cross_entropy_with_logits(logits, targets)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.averaged.update_parameters(self.detector)
        return loss.item()


def clip_logits(detector: Detector, windows: FloatArray, batch_size: int = 64) -> FloatArray:
    """Logits ``[n_clips]`` of a detector's first class, in float32."""
    with torch.inference_mode():
        batches = torch.from_numpy(windows).split(batch_size)
        return torch.cat([detector(batch)[:, 0] for batch in batches]).numpy()


def platt(labels: IntArray, logits: FloatArray) -> tuple[float, float]:
    """Slope and offset that make ``sigmoid(slope * logit + offset)`` the share of calls (Platt 1999)."""
    fitted = LogisticRegression(C=1e3).fit(logits[:, None], labels)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


def clip_metrics(labels: IntArray, logits: FloatArray) -> ClipMetrics:
    """AUC, accuracy at even odds, and average precision."""
    return ClipMetrics(
        auc=float(roc_auc_score(labels, logits)),
        accuracy=float(accuracy_score(labels, logits > 0)),
        average_precision=float(average_precision_score(labels, logits)),
        n_clips=len(labels),
    )


def _imagenet_weights(path: Path | None, architecture: str) -> dict[str, Tensor]:
    if path is None:
        # only asked for where no file is given: timm fetches its weights from the network
        network = timm.create_model(architecture, pretrained=True)
        return dict(network.state_dict())
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: no ImageNet weights can be read there ({error})") from error


def _provenance(data: TrainData, options: TrainOptions, n_clips: int, n_without_calls: int, epoch: int) -> dict[str, Any]:
    return {
        "clips": data.clips.name,
        "n_clips": n_clips,
        "without_calls": [Path(text).name for text in data.without_calls],
        "n_windows_without_calls": n_without_calls,
        "recipe": asdict(options),
        "kept_epoch": epoch,
        "torch": torch.__version__,
    }
