"""The detector: front end and a fully convolutional Xception as one module, the same in training and in scoring.

The network runs along a block of audio. Each of its columns stands for a short span of it and has the log-odds of a call for
each class, and one box for where the call lies. Against the network of ImageNet it lacks some of the middle blocks, which
repeat one another, the widest layers at its end, and the last strides in time. The convolutions behind the last stride are
dilated instead, so that they cover what they were trained to cover, at twice as many places.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm
import torch
from torch import Tensor, nn

from whalescan.core import ModelError
from whalescan.detector.frontend import N_CHANNELS, FrontEnd
from whalescan.detector.model_spec import EXIT_CHANNELS, MIDDLE_BLOCKS, FrontEndOptions, NetworkOptions

KERAS_EPS = 1e-3
"""Epsilon of Keras' BatchNorm, with which the ImageNet weights were trained; timm's 1e-5 shifts every feature."""
N_BOX = 4
_PRIOR_LOG_ODDS = -2.0
"""Log-odds of a call in a column before training."""
_TYPICAL_BOX = (-1.2, 1.2, 1.0, 2.0)
"""Box before training, in `BOX_UNITS`: a call of 1.2 s around the column's middle, 100 to 200 Hz."""
BOX_UNITS = (0.5, 0.5, 100.0, 100.0)
"""Units of the network's boxes: seconds before and after the column's middle, and Hz."""
_INITIAL_STD = 0.005


class Detector(nn.Module):
    """Network from blocks of audio to log-odds and boxes of columns.

    Args:
        architecture: name of the network in timm.
        front_end: options of the front end.
        options: which parts of the network are used.
        n_classes: number of classes.

    Shape:
        - blocks: float32 ``[n_blocks, block_samples]``, any scale
        - logits: float32 ``[n_blocks, n_columns, n_classes]``, before calibration
        - boxes: float32 ``[n_blocks, n_columns, 4]``: begin and end from the column's middle, low and high frequency, in
          `BOX_UNITS`

    Raises:
        ModelError: where timm does not have the architecture, or not with these options.
    """

    def __init__(self, architecture: str, front_end: FrontEndOptions, options: NetworkOptions, n_classes: int) -> None:
        super().__init__()
        self.frontend = FrontEnd(front_end)
        self.network = _fully_convolutional(architecture, options, front_end.column_frames)
        shape = options.exit_channels, n_rows(front_end.n_bins)
        self.head = nn.Conv2d(shape[0], n_classes, (shape[1], 1))
        self.box_head = nn.Conv2d(shape[0], N_BOX, (shape[1], 1))
        for head in (self.head, self.box_head):
            nn.init.normal_(head.weight, std=_INITIAL_STD)
        nn.init.constant_(_bias(self.head), _PRIOR_LOG_ODDS)
        with torch.no_grad():
            _bias(self.box_head).copy_(torch.tensor(_TYPICAL_BOX, device=_bias(self.box_head).device))

    def forward(self, blocks: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and boxes of blocks."""
        return self.classify(self.frontend(blocks))

    def classify(self, network_input: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and boxes of the front end's output ``[n_blocks, 3, n_bins, n_frames]``."""
        dtype = next(self.network.parameters()).dtype
        features = self.network(network_input.to(dtype, memory_format=torch.channels_last)).float()
        logits, boxes = self.head(features), self.box_head(features)
        return logits[:, :, 0].transpose(1, 2), boxes[:, :, 0].transpose(1, 2)


def _bias(head: nn.Conv2d) -> Tensor:
    assert head.bias is not None
    return head.bias


def n_rows(n_bins: int) -> int:
    """Return the number of rows of the last features of a spectrogram with ``n_bins``."""
    rows = (n_bins - 3) // 2 + 1 - 2  # the first two convolutions are not padded
    for _ in range(4):
        rows = (rows - 1) // 2 + 1
    return rows


def _fully_convolutional(architecture: str, options: NetworkOptions, column_frames: int) -> nn.Module:
    """Return the network without its head: input to features ``[n_blocks, exit_channels, n_rows, n_columns]``."""
    try:
        network: Any = timm.create_model(architecture, num_classes=0, in_chans=N_CHANNELS, global_pool="")
    except RuntimeError as error:
        raise ModelError(f"timm {timm.__version__} does not have network {architecture!r}: {error}") from error
    if not hasattr(network, "block12"):
        raise ModelError(f"network {architecture!r} is not an Xception with 12 blocks")
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = KERAS_EPS
    for block in MIDDLE_BLOCKS:
        if block not in options.middle_blocks:
            setattr(network, f"block{block}", nn.Identity())
    if column_frames == 8:
        _remove_stride_in_time(network.block3)
    _remove_stride_in_time(network.block12)
    for convolution in (network.conv3.conv1, network.conv4.conv1):
        convolution.dilation = convolution.padding = (1, 2)
    for layer, channels in zip((3, 4), EXIT_CHANNELS[1:], strict=True):
        if options.exit_channels < channels:
            for name in ("conv", "bn"):
                setattr(network, f"{name}{layer}", nn.Identity())
    if options.exit_channels < EXIT_CHANNELS[-1]:
        network.act4 = nn.Identity()  # a second ReLU in place would overwrite what the first one's gradient needs
    along: nn.Module = network.to(memory_format=torch.channels_last)
    return along


def _remove_stride_in_time(block: Any) -> None:
    block.rep[-1] = nn.MaxPool2d(3, stride=(2, 1), padding=1)
    block.skip.stride = (2, 1)


def load_imagenet_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy ImageNet weights into a network; those of parts that it lacks are not used.

    Raises:
        ModelError: where a weight is missing or has another shape.
    """
    own = network.state_dict()
    try:
        state = {name: weights[name].float() if name in weights else tensor for name, tensor in own.items()}
        missing = [name for name in own if name not in weights and not name.endswith("num_batches_tracked")]
        if missing:
            raise ModelError(f"these weights do not fit the network: missing {missing[:3]}")
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"these weights do not fit the network: {error}") from error
