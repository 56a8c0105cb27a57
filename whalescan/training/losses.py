r"""Loss of a batch of training sequences.

It is the sum of

- the *spans*: the log-odds of a span's columns are pooled to :math:`\log \sum_k e^{l_k} - \log 2`, as those of a window,
  and compared with its label. A clip's label says that some of its columns hold a call, not which (multiple-instance
  learning);
- the *columns without calls*, each compared with 0;
- *sharpness*: columns of a call's span that are far from the peak that the averaged network finds there, compared with 0;
- the *boxes* of the columns around the middle of a call whose place is known;
- *keeping*: columns without any label, compared with the scores of the model that training started from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss

from whalescan.detector.model_spec import FrontEndOptions
from whalescan.detector.network import BOX_UNITS
from whalescan.detector.pooling import N_COLUMNS_OF_A_CALL
from whalescan.training.sounds import Call, TrainingSequence
from whalescan.training.training_options import LossOptions

_OUTSIDE = -1e4
"""Log-odds of columns outside a span: they add nothing to its pooled log-odds."""
_BOX_WITHIN_S = 0.35
"""Columns this close to the middle of a call learn its box."""
_FAR_FROM_PEAK_S = 0.75
_FAR_PROBABILITY = 0.3
"""Columns this far from a call's peak, and below this score, are taken to hold no call."""
_FULL_WEIGHT_COLUMNS = {"no call": 150, "far": 60}
"""With fewer columns, a part of the loss has less weight."""


@dataclass(frozen=True, slots=True)
class BatchTargets:
    """The labels of a batch, by columns.

    Attributes:
        rows: int64 ``[n_spans]``, sequence of each span.
        is_inside: bool ``[n_spans, n_columns]``, the span's columns.
        targets: float32 ``[n_spans, n_classes]``, 0 to 1, NaN where nobody knows.
        is_certain: bool ``[n_spans]``.
        is_without_call: bool ``[n_sequences, n_columns]``.
        box_rows, box_columns: int64 ``[n_boxes]``, sequence and column of each box.
        boxes: float32 ``[n_boxes, 4]`` in `BOX_UNITS`, NaN for an edge that is not known.
    """

    rows: Tensor
    is_inside: Tensor
    targets: Tensor
    is_certain: Tensor
    is_without_call: Tensor
    box_rows: Tensor
    box_columns: Tensor
    boxes: Tensor

    def to(self, device: torch.device) -> BatchTargets:
        """Return the same labels on a device."""
        return BatchTargets(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    @property
    def is_unlabelled(self) -> Tensor:
        """Columns of which nothing is known: bool ``[n_sequences, n_columns]``."""
        is_labelled = self.is_without_call.clone()
        for row, is_inside in zip(self.rows.tolist(), self.is_inside, strict=True):
            is_labelled[row] |= is_inside
        return ~is_labelled


def batch_targets(
    sequences: Sequence[TrainingSequence], front_end: FrontEndOptions, n_columns: int, n_classes: int
) -> BatchTargets:
    """Return the labels of sequences, for columns as a detector returns them.

    Spans without the middle of a column are left out.
    """
    middles = front_end.first_middle_sample + front_end.column_samples * np.arange(n_columns)
    is_without_call = np.zeros((len(sequences), n_columns), np.bool_)
    rows, insides, targets, certain = [], [], [], []
    boxes: list[tuple[int, int, tuple[float, ...]]] = []
    for row, sequence in enumerate(sequences):
        if sequence.without_calls:
            is_without_call[row] = True
            for begin, end in sequence.may_hold_calls:
                is_without_call[row, (middles >= begin) & (middles < end)] = False
        for span in sequence.spans:
            is_inside = (middles >= span.begin) & (middles < span.end)
            if not is_inside.any():
                continue
            rows.append(row)
            insides.append(is_inside)
            targets.append(span.targets)
            certain.append(span.is_certain)
            if span.call is not None:
                boxes += [(row, *box) for box in _column_boxes(span.call, middles, front_end.rate_hz)]
    return BatchTargets(
        torch.tensor(rows, dtype=torch.int64),
        torch.from_numpy(np.array(insides, np.bool_).reshape(len(rows), n_columns)),
        torch.from_numpy(np.array(targets, np.float32).reshape(len(rows), n_classes)),
        torch.tensor(certain, dtype=torch.bool),
        torch.from_numpy(is_without_call),
        torch.tensor([row for row, _, _ in boxes], dtype=torch.int64),
        torch.tensor([column for _, column, _ in boxes], dtype=torch.int64),
        torch.tensor([box for _, _, box in boxes], dtype=torch.float32).reshape(len(boxes), 4),
    )


def _column_boxes(call: Call, middles: np.ndarray, rate_hz: int) -> list[tuple[int, tuple[float, ...]]]:
    """Return the columns around the middle of a call, and the call's box from each of them."""
    columns = np.flatnonzero(np.abs(middles - call.middle) <= _BOX_WITHIN_S * rate_hz)
    return [
        (
            int(column),
            (
                (call.begin - middles[column]) / rate_hz / BOX_UNITS[0],
                (call.end - middles[column]) / rate_hz / BOX_UNITS[1],
                call.low_hz / BOX_UNITS[2],
                call.high_hz / BOX_UNITS[3],
            ),
        )
        for column in columns
    ]


def pooled(logits: Tensor, is_inside: Tensor) -> Tensor:
    """Return the pooled log-odds of spans.

    Args:
        logits: ``[n_spans, n_columns, n_classes]``.
        is_inside: bool ``[n_spans, n_columns]``, with a column in each span.

    Returns:
        ``[n_spans, n_classes]``.
    """
    inside = logits.masked_fill(~is_inside[..., None], _OUTSIDE)
    return inside.logsumexp(dim=1) - math.log(N_COLUMNS_OF_A_CALL)


@dataclass(frozen=True, slots=True)
class SequenceLoss:
    """Loss of a batch.

    Attributes:
        options: weights of its parts.
        column_s: seconds from one column to the next.
        is_known: bool ``[n_classes]``, classes of the model that training started from; None without one.
    """

    options: LossOptions
    column_s: float
    is_known: Tensor | None = None

    def __call__(
        self, logits: Tensor, boxes: Tensor, labels: BatchTargets, averaged: Tensor | None, initial: Tensor | None
    ) -> Tensor:
        """Return the loss, a number.

        Args:
            logits: of the detector, ``[n_sequences, n_columns, n_classes]``.
            boxes: of the detector, ``[n_sequences, n_columns, 4]``.
            labels: the labels.
            averaged: logits of the averaged network for the same input; None before targets are softened.
            initial: logits of the initial model for the same input; None where it is not kept.
        """
        loss = self._of_spans(logits, labels, averaged)
        loss = loss + self.options.no_call_weight * _towards_zero(logits[labels.is_without_call], "no call")
        if len(labels.boxes):
            predicted = boxes[labels.box_rows, labels.box_columns]
            targets = torch.where(labels.boxes.isnan(), predicted.detach(), labels.boxes)
            loss = loss + self.options.box_weight * smooth_l1_loss(predicted, targets)
        if initial is not None and self.is_known is not None:
            unlabelled = labels.is_unlabelled
            kept, own = initial[unlabelled][:, self.is_known], logits[unlabelled][:, self.is_known]
            loss = loss + self.options.keep_weight * _weighted(own, kept.sigmoid(), "no call")
        return loss

    def _of_spans(self, logits: Tensor, labels: BatchTargets, averaged: Tensor | None) -> Tensor:
        if not len(labels.rows):
            return logits.new_zeros(())
        found = pooled(logits[labels.rows], labels.is_inside)
        if averaged is None:
            is_labelled = ~labels.targets.isnan()
            if not is_labelled.any():
                return logits.new_zeros(())
            return binary_cross_entropy_with_logits(found[is_labelled], labels.targets[is_labelled])
        expected = averaged[labels.rows]
        targets = self._softened(labels, pooled(expected, labels.is_inside).sigmoid())
        loss = binary_cross_entropy_with_logits(found, targets)
        far = self._far_from_peak(expected, labels.is_inside) & (targets > 0.5)[:, None]
        return loss + self.options.sharpness * _towards_zero(logits[labels.rows][far], "far")

    def _softened(self, labels: BatchTargets, expected: Tensor) -> Tensor:
        """Return the targets of spans: those of clips come in part, or without a label wholly, from ``expected``."""
        share = torch.where(labels.is_certain, 0.0, self.options.soften)[:, None]
        softened = (1 - share) * labels.targets + share * expected
        return torch.where(labels.targets.isnan(), expected, softened)

    def _far_from_peak(self, expected: Tensor, is_inside: Tensor) -> Tensor:
        """Return the columns that hold no call if a span holds one: bool ``[n_spans, n_columns, n_classes]``."""
        peaks = expected.masked_fill(~is_inside[..., None], _OUTSIDE).argmax(dim=1, keepdim=True)
        columns = torch.arange(expected.shape[1], device=expected.device)[None, :, None]
        is_far = (columns - peaks).abs() * self.column_s > _FAR_FROM_PEAK_S
        return is_far & is_inside[..., None] & (expected.sigmoid() < _FAR_PROBABILITY)


def _towards_zero(logits: Tensor, part: str) -> Tensor:
    return _weighted(logits, torch.zeros_like(logits), part)


def _weighted(logits: Tensor, targets: Tensor, part: str) -> Tensor:
    """Return the mean cross entropy; with few columns it has less weight."""
    if not logits.numel():
        return logits.new_zeros(())
    return binary_cross_entropy_with_logits(logits, targets) * min(1.0, len(logits) / _FULL_WEIGHT_COLUMNS[part])
