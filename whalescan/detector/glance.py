"""The glance: a network that runs along a recording, and says of every window whether it is worth a look of its own.

Windows overlap, and a network that sees each on its own does the same work many times. The glance is an Xception that is
run over long strips, as the convolutions that it is: each column of its last features stands for 0.32 s of sound, and a
window's log-odds are a weighted sum of the columns around its middle. So a short hop costs hardly more than a long one.

Against the network of ImageNet it lacks some of the middle blocks, which repeat one another, and the last stride in time:
the convolutions behind it are dilated instead, so that they see what they were taught to see, at twice as many places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from whalescan.detector.frontend import COLUMN_FRAMES, N_CHANNELS, FrontEnd
from whalescan.detector.model_spec import ARCHITECTURE, FrontEndOptions
from whalescan.detector.network import KERAS_EPS, optimise_for_inference

_FIRST_FRAME = 3
"""The frame in the middle of what the first column sees: the first two convolutions are not padded."""
_MIDDLE_BLOCKS = range(4, 12)
_KNOTS = 15
_FURTHEST = 0.7
"""Distance, in lengths of a window, between a window's middle and the furthest column that has a say."""
_N_FEATURES = 2048


class Glance(nn.Module):
    """Strips of sound to one logit per class for each window in them.

    Args:
        options: what the pictures of the windows' network are; those of strips are made alike.
        blocks: which of the middle blocks (4 to 11) it has.
        n_classes: of the windows' network.
    """

    def __init__(self, options: FrontEndOptions, blocks: Sequence[int], n_classes: int) -> None:
        super().__init__()
        self.frontend = FrontEnd(options)
        self.network = _along_time(blocks)
        self.head = nn.Linear(_N_FEATURES, n_classes)
        distance = torch.linspace(-_FURTHEST, _FURTHEST, _KNOTS)
        column = COLUMN_FRAMES * options.frame_hop_samples / options.window_samples
        self.knots = nn.Parameter(torch.where(distance.abs() < 0.5 - column / 2, column, 0.0))

    def forward(self, strips: Tensor, begins: Tensor) -> Tensor:
        """Logits ``[n_strips, n_windows, n_classes]`` of windows in strips ``[n_strips, strip_samples]``.

        Args:
            strips: float32, any scale, of at least 64 frames.
            begins: int64 ``[n_windows]`` or ``[n_strips, n_windows]``: samples at which windows begin in their strip.
        """
        return self.judge(self.frontend.network_input(self.frontend.normalise_blocks(strips)), begins)

    def judge(self, pictures: Tensor, begins: Tensor) -> Tensor:
        """The same from the strips' pictures."""
        dtype = next(self.network.parameters()).dtype
        features = self.network(pictures.to(dtype, memory_format=torch.channels_last))
        columns = self.head(features.float().mean(dim=2).transpose(1, 2))
        logits: Tensor = self._shares(begins, columns.shape[1]) @ (columns - self.head.bias) + self.head.bias
        return logits

    def _shares(self, begins: Tensor, n_columns: int) -> Tensor:
        """What each column counts for each window, ``[..., n_windows, n_columns]``: linear between the knots, 0 beyond."""
        o = self.frontend.options
        frames = COLUMN_FRAMES * torch.arange(n_columns, device=begins.device) + _FIRST_FRAME
        middles = frames * o.frame_hop_samples + o.fft_samples / 2
        distance = (middles - begins[..., None] - o.window_samples / 2) / o.window_samples
        place = ((distance + _FURTHEST) * (_KNOTS - 1) / (2 * _FURTHEST) + 1).clamp(0, _KNOTS + 1)
        knots = pad(self.knots, (1, 1))
        below = place.floor().clamp(max=_KNOTS).long()
        above = place - below
        return knots[below] * (1 - above) + knots[below + 1] * above


def _along_time(blocks: Sequence[int]) -> nn.Module:
    """The network without its head: pictures to features ``[n_strips, 2048, 2, n_columns]``."""
    network: Any = timm.create_model(ARCHITECTURE, num_classes=0, in_chans=N_CHANNELS, global_pool="")
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = KERAS_EPS
    for block in _MIDDLE_BLOCKS:
        if block not in blocks:
            setattr(network, f"block{block}", nn.Identity())
    network.block12.rep[-1] = nn.MaxPool2d(3, stride=(2, 1), padding=1)
    network.block12.skip.stride = (2, 1)
    for convolution in (network.conv3.conv1, network.conv4.conv1):
        convolution.dilation = convolution.padding = (1, 2)
    along: nn.Module = network.to(memory_format=torch.channels_last)
    return along


def start_from_detector(glance: Glance, network: nn.Module) -> None:
    """Copy what the windows' network knows: where glance teaching begins."""
    known = network.state_dict()
    own = glance.network.state_dict()
    glance.network.load_state_dict({name: known[name] for name in own})
    glance.head.load_state_dict({"weight": known["fc.weight"], "bias": known["fc.bias"]})


def prepare_to_glance(glance: Glance, device: torch.device, dtype: torch.dtype) -> Glance:
    """As `prepare_for_inference` does it; the glance given must not be used any more."""
    glance.eval()
    glance.network = optimise_for_inference(glance.network, device, dtype)
    return glance.to(device=device)
