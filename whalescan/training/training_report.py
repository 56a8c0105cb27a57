"""What a training leaves beside its model: curves to look at, metrics to read, and how the data were split."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from whalescan.core.files import write_whole
from whalescan.detector.model_spec import Model, ModelSpec
from whalescan.training.datasets import Gathered
from whalescan.training.options import TrainData, TrainOptions
from whalescan.training.validation_metrics import ClassMetrics, Validation


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass.

    Attributes:
        number: from 1.
        loss: mean over the steps, on varied examples and softened targets.
        validation: on the held-out examples; None where nothing could be held out.
    """

    number: int
    loss: float
    validation: Validation | None

    def __str__(self) -> str:
        text = f"epoch {self.number}: loss {self.loss:.4f}"
        if self.validation is None:
            return text
        measured = (
            f"{name}: AUC {m.auc:.4f}, accuracy {m.accuracy:.4f}, average precision {m.average_precision:.4f}"
            for name, m in self.validation.classes.items()
        )
        return f"{text}; held out: {'; '.join(measured)}"

    @staticmethod
    def from_dict(fields: dict[str, Any]) -> Epoch:
        """From what `dataclasses.asdict` made of one."""
        kept = fields["validation"]
        validation = None
        if kept is not None:
            classes = {name: ClassMetrics(**metrics) for name, metrics in kept["classes"].items()}
            calibration = tuple((slope, offset) for slope, offset in kept["calibration"])
            validation = Validation(kept["loss"], classes, calibration)
        return Epoch(fields["number"], fields["loss"], validation)


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training.

    Attributes:
        model: the file that was written.
        gathered: what was learnt from and measured on.
        epochs: all that were run; the best one is in the model.
        n_learning, n_held_out: examples on either side.
    """

    model: Path
    gathered: Gathered
    epochs: tuple[Epoch, ...]
    n_learning: int
    n_held_out: int

    @property
    def kept(self) -> Epoch:
        """The epoch that is in the model."""
        return best(self.epochs)


def best(epochs: Sequence[Epoch]) -> Epoch:
    """The epoch with the highest AUC on the held-out examples, of equals that with the lowest loss; else the last.

    A few held-out examples are soon told apart without a mistake; what then still grows is how sure the network is.
    """
    measured = [(epoch.validation.auc, -epoch.validation.loss, -epoch.number, epoch) for epoch in epochs if epoch.validation]
    return max(measured)[-1] if measured else epochs[-1]


def beside(output: Path, suffix: str) -> Path:
    """``model.safetensors`` and ``.curves.png`` to ``model.curves.png``."""
    return output.with_name(output.name.removesuffix(".safetensors") + suffix)


def provenance(
    data: TrainData, options: TrainOptions, gathered: Gathered, n_learning: int, n_sea: int, start: Model | None
) -> dict[str, Any]:
    """What stands in the model file about how it came to be; names of folders, not where they lie."""
    return {
        "data": [root.name for root in data.roots],
        "n_examples": n_learning,
        "n_clips": gathered.n_clips,
        "n_recordings": gathered.n_recordings,
        "without_calls": [Path(text).name for text in data.without_calls],
        "n_windows_without_calls": n_sea,
        "started_from": start.name if start else "random" if options.random_start else "ImageNet",
        "recipe": asdict(options),
        "torch": torch.__version__,
    }


def write(trained: Trained, spec: ModelSpec) -> None:
    """Write ``.metrics.json`` and ``.curves.png`` beside the model."""
    metrics = {
        "model": trained.model.name,
        "classes": spec.classes,
        "kept_epoch": trained.kept.number,
        "validated": trained.kept.validation is not None,
        "n_learning": trained.n_learning,
        "n_held_out": trained.n_held_out,
        "epochs": [asdict(epoch) for epoch in trained.epochs],
        "problems": trained.gathered.problems,
        "training": spec.training,
    }
    write_whole(beside(trained.model, ".metrics.json"), (json.dumps(metrics, indent=2) + "\n").encode())
    drawn = io.BytesIO()
    _curves(trained).savefig(drawn, dpi=120, format="png")
    write_whole(beside(trained.model, ".curves.png"), drawn.getvalue())


def _curves(trained: Trained) -> Figure:
    figure = Figure(figsize=(9, 4), layout="constrained")
    losses, skill = figure.subplots(1, 2)
    numbers = [epoch.number for epoch in trained.epochs]
    measured = [(epoch.number, epoch.validation) for epoch in trained.epochs if epoch.validation]
    losses.plot(numbers, [epoch.loss for epoch in trained.epochs], "o-", label=f"learnt from ({trained.n_learning}), varied")
    if measured:
        losses.plot([n for n, _ in measured], [v.loss for _, v in measured], "s--", label=f"held out ({trained.n_held_out})")
    losses.set(xlabel="epoch", ylabel="cross entropy", title="loss")
    for name in measured[0][1].classes if measured else ():
        for field, line in (("auc", "o-"), ("accuracy", "s--"), ("average_precision", "^:")):
            values = [getattr(v.classes[name], field) for _, v in measured]
            skill.plot([n for n, _ in measured], values, line, label=f"{name}: {field.replace('_', ' ')}")
    skill.set(xlabel="epoch", title="held-out examples" if measured else "nothing could be held out")
    for axes in (losses, skill):
        axes.axvline(trained.kept.number, color="0.7", zorder=0, label="kept")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    return figure
