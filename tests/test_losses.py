"""The loss of training sequences: pooled spans, columns without calls, sharpness, boxes, kept scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from whalescan.core import IntArray
from whalescan.detector.model_spec import FrontEndOptions
from whalescan.training.losses import BatchTargets, SequenceLoss, batch_targets, pooled
from whalescan.training.sounds import Call, LabelledSpan, TrainingSequence
from whalescan.training.training_options import LossOptions

FRONT_END = FrontEndOptions()
STEP, FIRST = FRONT_END.column_samples, FRONT_END.first_middle_sample
N = 20
ONLY_SPANS = LossOptions(soften=0.5, sharpness=0, no_call_weight=0, box_weight=0)


def span(first: int, last: int, target: float, is_certain: bool = False, call: Call | None = None) -> LabelledSpan:
    """Return a span of the columns from the first to the last."""
    begin, end = FIRST + first * STEP, FIRST + last * STEP + 1
    return LabelledSpan(begin, end, np.array([target], np.float32), is_certain, call)


def labels(
    *spans: LabelledSpan, without_calls: bool = False, may_hold_calls: tuple[tuple[int, int], ...] = ()
) -> BatchTargets:
    may_hold: IntArray = np.array(may_hold_calls, np.int64).reshape(-1, 2)
    sequence = TrainingSequence(np.zeros(1, np.float32), spans, without_calls, may_hold)
    return batch_targets([sequence], FRONT_END, N, 1)


def logits_of(*values: float) -> torch.Tensor:
    """Return logits ``[1, N, 1]`` with values in the first columns, and -3 in the others."""
    return torch.tensor([*values, *[-3.0] * (N - len(values))])[None, :, None].requires_grad_()


def loss_of(
    options: LossOptions,
    of: BatchTargets,
    logits: torch.Tensor,
    averaged: torch.Tensor | None = None,
    initial: torch.Tensor | None = None,
) -> torch.Tensor:
    loss = SequenceLoss(options, STEP / 2000, torch.tensor([True]))
    boxes = torch.zeros(1, N, 4)
    return loss(logits, boxes, of, averaged, initial)


def test_a_span_is_pooled_as_a_window() -> None:
    logits = logits_of(0, 1, 2)
    of = labels(span(0, 2, 1.0))
    expected = torch.logsumexp(torch.tensor([0.0, 1.0, 2.0]), 0) - math.log(2)
    assert pooled(logits, of.is_inside).item() == pytest.approx(expected.item())
    found = loss_of(ONLY_SPANS, of, logits)
    assert found.item() == pytest.approx(cross_entropy(expected, torch.tensor(1.0)).item())


@pytest.mark.parametrize(("is_certain", "target"), [(False, 0.5), (True, 1.0)])
def test_uncertain_labels_are_softened(is_certain: bool, target: float) -> None:
    of = labels(span(0, 2, 1.0, is_certain))
    averaged = torch.full((1, N, 1), -50.0)  # certain that there is no call
    expected = cross_entropy(pooled(logits_of(0, 1, 2), of.is_inside), torch.tensor([[target]]))
    assert loss_of(ONLY_SPANS, of, logits_of(0, 1, 2), averaged).item() == pytest.approx(expected.item(), abs=1e-5)


def test_spans_without_a_label_learn_from_the_average_alone() -> None:
    of = labels(span(0, 2, float("nan")))
    assert loss_of(ONLY_SPANS, of, logits_of(1)).item() == 0
    averaged = torch.full((1, N, 1), 50.0)
    expected = cross_entropy(pooled(logits_of(1), of.is_inside), torch.tensor([[1.0]]))
    assert loss_of(ONLY_SPANS, of, logits_of(1), averaged).item() == pytest.approx(expected.item(), abs=1e-5)


def test_columns_without_calls_are_those_outside_the_given_spans() -> None:
    begin, end = FIRST + 2 * STEP, FIRST + 5 * STEP
    of = labels(without_calls=True, may_hold_calls=((begin, end),))
    assert of.is_without_call[0].tolist() == [not 2 <= column < 5 for column in range(N)]
    assert of.is_unlabelled[0].tolist() == [2 <= column < 5 for column in range(N)]
    logits = logits_of(*[0.0] * N)
    options = LossOptions(sharpness=0, no_call_weight=0.5, box_weight=0)
    loss_of(options, of, logits).backward()
    assert logits.grad is not None
    assert (logits.grad[0, :, 0] > 0).tolist() == of.is_without_call[0].tolist()
    assert not labels().is_without_call.any()


def test_columns_far_from_the_peak_of_a_call_are_lowered() -> None:
    of = labels(span(0, 9, 1.0))
    averaged = torch.full((1, N, 1), -4.0)
    averaged[0, 2] = 4.0
    averaged[0, 7] = 3.0  # as likely a second call: left alone
    logits = logits_of(*[0.0] * 10)
    options = LossOptions(soften=0, sharpness=1.0, no_call_weight=0, box_weight=0)
    without = logits.detach().clone().requires_grad_()
    loss_of(options, of, logits, averaged).backward()
    loss_of(LossOptions(soften=0, sharpness=0, no_call_weight=0, box_weight=0), of, without, averaged).backward()
    assert logits.grad is not None
    assert without.grad is not None
    lowered = (logits.grad - without.grad)[0, :, 0] > 0
    assert lowered.nonzero()[:, 0].tolist() == [5, 6, 8, 9], "0.75 s are 2.9 columns"


def test_boxes_are_learnt_around_the_middle_of_a_call() -> None:
    middle = FIRST + 6 * STEP
    call = Call(middle - 1000, middle + 1000, 100.0, float("nan"), 0)
    of = labels(span(5, 7, 1.0, True, call))
    assert of.box_columns.tolist() == [5, 6, 7]
    begin, end, low, high = of.boxes[1].tolist()
    assert (begin, end, low) == (-1.0, 1.0, 1.0)
    assert math.isnan(high)
    assert of.boxes[0, :2].tolist() == pytest.approx([-1 + STEP / 1000, 1 + STEP / 1000])
    loss = SequenceLoss(LossOptions(sharpness=0, no_call_weight=0), STEP / 2000)
    boxes = torch.zeros(1, N, 4, requires_grad=True)
    loss(logits_of(), boxes, of, None, None).backward()
    assert boxes.grad is not None
    assert boxes.grad[0, 6].tolist()[3] == 0, "an edge that is not known"
    assert (boxes.grad[0, 6, :3] != 0).all()


def test_columns_without_a_label_keep_the_scores_of_the_initial_model() -> None:
    of = labels(span(0, 4, 1.0))
    logits, initial = logits_of(*[0.0] * N), torch.full((1, N, 1), 5.0)
    options = LossOptions(sharpness=0, no_call_weight=0, box_weight=0, keep_weight=1.0)
    loss_of(options, of, logits, initial=initial).backward()
    assert logits.grad is not None
    assert (logits.grad[0, 5:, 0] < 0).all()


def test_spans_between_columns_are_left_out() -> None:
    of = labels(LabelledSpan(FIRST + 1, FIRST + STEP - 1, np.ones(1, np.float32), True, None))
    assert len(of.rows) == 0
    assert loss_of(LossOptions(), of, logits_of()).item() == 0
